#!/usr/bin/env python3
"""Show efficiency, purity and the shape of the background against variables, and say whether scores sculpt them."""

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

log = logging.getLogger("ntupleml.sculpting")


def main(arguments: argparse.Namespace) -> int:
    """Write the pictures, and say what is sculpted."""
    from ntupleml.testing.sculpting import sculpting_files, sculpts, worst_rows

    preparation = prepared(arguments)
    _, rows = sculpting_files(preparation, arguments.variables, overwrite=arguments.overwrite)
    for row in worst_rows(rows, 5):
        log.info("%s: %s", row.verdict.level, row.verdict.text)
    verdict = sculpts(rows, arguments.variables or preparation.testing.spectators)
    log.info("does it sculpt: %s: %s", verdict.level, verdict.text)
    return 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    add_step_options(parser)
    parser.add_argument(
        "--variable",
        action="append",
        default=[],
        dest="variables",
        metavar="NAME",
        help="branch of the fold files or formula; may be repeated (default: the spectators of the testing config, "
        "else the inputs)",
    )
    sys.exit(run(main, parser))
