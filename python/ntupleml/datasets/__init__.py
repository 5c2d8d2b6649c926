"""Building fold files from ntuples, and reading them for training."""

from ntupleml.datasets.building import create_training_dataset
from ntupleml.datasets.records import DatasetSummary, FoldRecord, read_fold_record

__all__ = ["DatasetSummary", "FoldRecord", "create_training_dataset", "read_fold_record"]
