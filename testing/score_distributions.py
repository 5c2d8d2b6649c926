#!/usr/bin/env python3
"""Draw the scores of a method: training part against unseen events (overtraining), and stacked with recorded data."""

from __future__ import annotations

import argparse
import sys

try:
    from ntupleml.command_line import run
    from ntupleml.testing.steps import add_step_options, prepared
except ModuleNotFoundError:
    sys.stderr.write(f"{sys.argv[0]}: ntupleml is not installed in this environment; source setup.sh first\n")
    sys.exit(2)


def main(arguments: argparse.Namespace) -> int:
    """Write the pictures and say whether the method is overtrained."""
    from ntupleml.testing.score_distributions import score_distribution_files

    score_distribution_files(prepared(arguments), overwrite=arguments.overwrite)
    return 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    add_step_options(parser)
    sys.exit(run(main, parser))
