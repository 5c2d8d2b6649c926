"""The comparison with which a training of TMVA's methods ends, as TMVA's factory ends with one."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from ntupleml.artifacts import TMVA_JOB
from ntupleml.config import TestingConfig

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ntupleml.artifacts import TrainingRecord
    from ntupleml.config import TrainingConfig

log = logging.getLogger(__name__)


def compare_trained_methods(config: TrainingConfig, records: Sequence[TrainingRecord], where: str) -> list[Path]:
    """Compare the methods of each fold that were trained together, on the events that they never saw.

    Nothing is written for a fold with a single method. Earlier comparisons are replaced, as their methods were.

    Parameters
    ----------
    config : TrainingConfig
    records : sequence of TrainingRecord
        As the training returned them; with those of TMVA itself, its own areas go into the table.
    where : str
        Path of the config, for messages.

    Returns
    -------
    list of Path
        ``fold{f}_training/TMVAMulticlass_comparison.txt`` and the like.
    """
    written: list[Path] = []
    for fold in sorted({record.fold for record in records}):
        trained = [record for record in records if record.fold == fold]
        if len(trained) > 1:
            from ntupleml.testing.comparison import compare_methods

            areas = {record.method: record.network.get("roc_integrals", {}) for record in trained}
            factory = {method: found for method, found in areas.items() if found}
            written += compare_methods(
                config,
                TestingConfig(plot=config.plot),
                str(fold),
                methods=[record.method for record in trained],
                class_weights=bool(factory),  # the numbers of TMVA's factory have them
                factory=factory,
                stem=Path(config.output_path) / f"fold{fold}_training" / f"{TMVA_JOB}_comparison",
                training_path=where,
                overwrite=True,
            )
    if written:
        log.info("written: %s", ", ".join(map(str, written)))
    return written
