#!/usr/bin/env python3
"""Score an ntuple with the trained networks and append the scores to its tree as new branches."""

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
    """Append the scores to one tree of one file."""
    from ntupleml.application import append_scores

    append_scores(
        arguments.config_dataset,
        arguments.config_training,
        arguments.config_application,
        arguments.input,
        arguments.tree,
        overwrite=arguments.overwrite,
    )
    return 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    add_configs(parser, "dataset", "training", "application")
    parser.add_argument("input", type=Path, metavar="INPUT", help="ROOT file, which gets the new branches")
    parser.add_argument("tree", metavar="TREE", help="tree in it, with its folders, e.g. mt_nominal/ntuple")
    parser.add_argument("--overwrite", action="store_true", help="replace score branches that the tree has already")
    sys.exit(run(main, parser))
