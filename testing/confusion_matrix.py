#!/usr/bin/env python3
"""Test a fold's model of any method on the fold that it never saw, and write its confusion matrices."""

from __future__ import annotations

import argparse
import sys

try:
    from ntupleml.command_line import add_testing_options, run
except ModuleNotFoundError:
    sys.stderr.write(f"{sys.argv[0]}: ntupleml is not installed in this environment; source setup.sh first\n")
    sys.exit(2)


def main(arguments: argparse.Namespace) -> int:
    """Write the matrices and say where they are."""
    from ntupleml.testing.confusion_matrices import write_confusion_matrices

    return write_confusion_matrices(arguments)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    add_testing_options(parser)
    parser.add_argument("--method", metavar="NAME", help="method to test; by default the testing config's, or keras")
    sys.exit(run(main, parser))
