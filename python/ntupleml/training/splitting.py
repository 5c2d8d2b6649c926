"""Which events train and which validate: `ntupleml.datasets.splitting`, which the testing stage needs, too."""

from ntupleml.datasets.splitting import Split, split_events, uniform_by_entry

__all__ = ["Split", "split_events", "uniform_by_entry"]
