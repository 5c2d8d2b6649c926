#!/usr/bin/env python3
"""Score ntuples with the boosted trees of a training: scores as new branches of their trees, or as friends."""

from __future__ import annotations

import argparse
import sys
from functools import partial

try:
    from ntupleml.application_arguments import add_application_options, add_inputs, application_options
    from ntupleml.command_line import add_configs, run
except ModuleNotFoundError:
    sys.stderr.write(f"{sys.argv[0]}: ntupleml is not installed in this environment; source setup.sh first\n")
    sys.exit(2)


def main(arguments: argparse.Namespace) -> int:
    """Append the scores to one tree of each file, or write them into friends."""
    from ntupleml.application import make_plan, score_files

    configs = (arguments.config_dataset, arguments.config_training, arguments.config_application)
    make = partial(make_plan, *configs, kind="boosted_trees", engine=arguments.engine)
    return score_files(make, arguments.inputs, arguments.tree, application_options(arguments))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    add_configs(parser, "dataset", "training", "application")
    add_inputs(parser)
    add_application_options(parser)
    parser.add_argument(
        "--engine",
        choices=("onnx", "forest"),
        help="what scores: ONNX Runtime, or the kernel for forests, which is the default",
    )
    sys.exit(run(main, parser))
