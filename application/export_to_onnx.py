#!/usr/bin/env python3
"""Write the trained models as ONNX files for other programs, each checked on events that it never saw."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

try:
    from ntupleml.command_line import add_configs, run
    from ntupleml.config_arguments import IntermixedParser
except ModuleNotFoundError:
    sys.stderr.write(f"{sys.argv[0]}: ntupleml is not installed in this environment; source setup.sh first\n")
    sys.exit(2)


def main(arguments: argparse.Namespace) -> int:
    """Write one file per fold, or one for all."""
    from ntupleml.application.onnx_export import export_to_onnx

    export_to_onnx(
        arguments.config_training,
        arguments.fold,
        single=arguments.single,
        opset=arguments.opset,
        dtype=arguments.dtype,
        method=arguments.method,
        output=arguments.output,
        overwrite=arguments.overwrite,
    )
    return 0


if __name__ == "__main__":
    parser = IntermixedParser(description=__doc__)
    add_configs(parser, "training")
    parser.add_argument("fold", nargs="?", default="all", metavar="FOLD", help="index of the model, or 'all' (default)")
    parser.add_argument(
        "--single",
        action="store_true",
        help="write one file for all folds, which takes the event number too and asks the model that never saw it",
    )
    parser.add_argument("--opset", type=int, default=17, metavar="N", help="operator set, 13 to 23 (default: 17)")
    parser.add_argument("--dtype", choices=("float32", "float64"), default="float32", help="of inputs and scores")
    parser.add_argument("--method", metavar="NAME", help="method of the training config; by default its network")
    parser.add_argument("--output", metavar="FOLDER", help="folder of the files; by default the training's output_path")
    parser.add_argument("--overwrite", action="store_true", help="replace files that exist")
    sys.exit(run(main, parser))
