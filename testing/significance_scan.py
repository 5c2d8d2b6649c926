#!/usr/bin/env python3
"""Scan cuts on the score of each class: efficiencies, expected significances by four formulas, and the best cuts."""

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

log = logging.getLogger("ntupleml.significance_scan")


def main(arguments: argparse.Namespace) -> int:
    """Write the pictures and their numbers."""
    from ntupleml.testing.significance import significance_files

    significance_files(prepared(arguments), overwrite=arguments.overwrite)
    return 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    add_step_options(parser)
    sys.exit(run(main, parser))
