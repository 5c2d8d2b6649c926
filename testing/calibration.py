#!/usr/bin/env python3
"""Draw reliability curves, with Brier scores and calibration errors, and say whether scores are probabilities."""

from __future__ import annotations

import argparse
import logging
import sys

try:
    from ntupleml.command_line import run
    from ntupleml.testing.steps import add_step_options, prepared
except ModuleNotFoundError:
    sys.stderr.write(f"{sys.argv[0]}: ntupleml is not installed in this environment; source setup.sh first\n")
    sys.exit(2)

log = logging.getLogger("ntupleml.calibration")


def main(arguments: argparse.Namespace) -> int:
    """Write the picture, and say how calibrated the scores are."""
    from ntupleml.metrics.measurement import Undefined
    from ntupleml.testing.calibration import calibration_files

    _, summary = calibration_files(prepared(arguments), overwrite=arguments.overwrite)
    for mixture, brier in summary.brier.items():
        text = str(brier) if isinstance(brier, Undefined) else f"{brier.value:.5f} ± {brier.uncertainty:.5f}"
        log.info("Brier score of all classes (%s): %s", mixture, text)
    log.info("is it calibrated: %s: %s", summary.verdict.level, summary.verdict.text)
    return 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    add_step_options(parser)
    sys.exit(run(main, parser))
