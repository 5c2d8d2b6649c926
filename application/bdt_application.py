#!/usr/bin/env python3
"""Score an ntuple with the boosted trees of a training: scores as new branches of its tree, or as a friend."""

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
    """Append the scores to one tree of one file, or write them into a friend."""
    from ntupleml.application import append_planned_scores, make_plan, write_planned_friends

    plan = make_plan(
        arguments.config_dataset,
        arguments.config_training,
        arguments.config_application,
        kind="boosted_trees",
        engine=arguments.engine,
    )
    if arguments.friend:
        write_planned_friends(plan, [arguments.input], arguments.tree, overwrite=arguments.overwrite)
    else:
        append_planned_scores(plan, arguments.input, arguments.tree, overwrite=arguments.overwrite)
    return 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    add_configs(parser, "dataset", "training", "application")
    parser.add_argument("input", type=Path, metavar="INPUT", help="ROOT file, which gets the new branches")
    parser.add_argument("tree", metavar="TREE", help="tree in it, with its folders, e.g. mt_nominal/ntuple")
    parser.add_argument("--friend", action="store_true", help="write a friend tree, and leave INPUT as it is")
    parser.add_argument(
        "--engine",
        choices=("onnx", "forest"),
        help="what scores: ONNX Runtime, or the kernel for forests, which is the default",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace score branches or a friend tree that exist")
    sys.exit(run(main, parser))
