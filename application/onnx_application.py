#!/usr/bin/env python3
"""Score ntuples with ONNX classifiers: those of a training, exports, or files of other programs."""

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

EPILOG = """The classifiers of the application config are ONNX files, element j for the events of fold j or one for all
events; left out, those of the training are used. Its block onnx says how the inputs of a stranger's file are filled."""


def main(arguments: argparse.Namespace) -> int:
    """Score all inputs."""
    from ntupleml.application import score_files
    from ntupleml.application.onnx_plan import make_onnx_plan

    given = split_configs(arguments.arguments)
    make = partial(make_onnx_plan, *given.configs)
    return score_files(make, given.inputs, arguments.tree, application_options(arguments))


if __name__ == "__main__":
    parser = IntermixedParser(description=__doc__, epilog=EPILOG)
    add_configs_and_inputs(parser)
    add_application_options(parser)
    sys.exit(run(main, parser))
