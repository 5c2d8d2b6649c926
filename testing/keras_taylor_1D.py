#!/usr/bin/env python3
"""Mean first derivatives of a Keras network's scores, as a matrix of classes and inputs (arXiv:1803.08782)."""

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
    """Write the matrix."""
    from ntupleml.testing.taylor import MOST_EVENTS
    from ntupleml.testing.taylor_files import taylor_matrix_files

    arguments.max_events = arguments.max_events or MOST_EVENTS[1]
    taylor_matrix_files(
        prepared(arguments),
        absolute=not arguments.no_abs,
        normalised=arguments.normalize,
        most_events=arguments.max_events,
        overwrite=arguments.overwrite,
    )
    return 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    add_step_options(parser)
    parser.add_argument("--no-abs", action="store_true", help="average the derivatives themselves, not their modulus")
    parser.add_argument("--normalize", action="store_true", help="divide each row by its sum")
    sys.exit(run(main, parser))
