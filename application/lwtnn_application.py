#!/usr/bin/env python3
"""Score ntuples with networks in lwtnn's JSON formats: exports of a training, or files of other programs."""

from __future__ import annotations

import sys
from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

try:
    from ntupleml.application_arguments import add_application_options, application_options
    from ntupleml.command_line import run
    from ntupleml.config_arguments import IntermixedParser, add_configs_and_inputs, split_configs
except ModuleNotFoundError:
    sys.stderr.write(f"{sys.argv[0]}: ntupleml is not installed in this environment; source setup.sh first\n")
    sys.exit(2)

EPILOG = """The classifiers of the application config are JSON files, element j for the events of fold j or one for all
events; left out, the exports of the training are used. The names of a network's inputs are branches (or formulas of
branches); the variables of a sequence are vectors."""


def main(arguments: argparse.Namespace) -> int:
    """Score all inputs."""
    from ntupleml.application import score_files
    from ntupleml.application.lwtnn_plan import make_lwtnn_plan

    given = split_configs(arguments.arguments)
    make = partial(
        make_lwtnn_plan,
        *given.configs,
        engine=arguments.engine,
        output=arguments.output,
        replaced=arguments.replaced,
    )
    return score_files(make, given.inputs, arguments.tree, application_options(arguments))


if __name__ == "__main__":
    parser = IntermixedParser(description=__doc__, epilog=EPILOG)
    add_configs_and_inputs(parser)
    parser.add_argument(
        "--engine",
        choices=("onnx", "liblwtnn"),
        default="onnx",
        help="what scores: ONNX Runtime, which is the default, or liblwtnn itself, through ROOT",
    )
    parser.add_argument("--output", metavar="NAME", help="the output that scores, of networks with several")
    parser.add_argument(
        "--replaced",
        choices=("nan", "nan_and_infinities", "nothing"),
        help="raw values that the defaults in the file stand for; by default NaN, for exports what the training had",
    )
    add_application_options(parser)
    sys.exit(run(main, parser))
