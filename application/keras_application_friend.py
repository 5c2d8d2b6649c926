#!/usr/bin/env python3
"""Score ntuples with the trained networks and write the scores into friend trees."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

try:
    from ntupleml.command_line import add_configs, run
except ModuleNotFoundError:
    sys.stderr.write(f"{sys.argv[0]}: ntupleml is not installed in this environment; source setup.sh first\n")
    sys.exit(2)


def main(arguments: argparse.Namespace) -> int:
    """Write a friend file per input file."""
    from ntupleml.application import write_friends

    write_friends(
        arguments.config_dataset,
        arguments.config_training,
        arguments.config_application,
        arguments.inputs,
        arguments.tree,
        overwrite=arguments.overwrite,
    )
    return 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=f"{__doc__} The friend of INPUT is output_directory/NAME/NAME.root, where NAME is the folder that "
        "holds INPUT."
    )
    add_configs(parser, "dataset", "training", "application")
    parser.add_argument("inputs", type=Path, nargs="+", metavar="INPUT", help="ROOT files to score")
    parser.add_argument("tree", metavar="TREE", help="tree in them, with its folders, e.g. mt_nominal/ntuple")
    parser.add_argument("--overwrite", action="store_true", help="replace friend trees that exist")
    sys.exit(run(main, parser))
