#!/usr/bin/env python3
"""Convert a model to ONNX: TMVA's weights.xml, JSON of lwtnn or XGBoost, a forest (.npz), a network (.keras)."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

try:
    from ntupleml.command_line import run
except ModuleNotFoundError:
    sys.stderr.write(f"{sys.argv[0]}: ntupleml is not installed in this environment; source setup.sh first\n")
    sys.exit(2)


def main(arguments: argparse.Namespace) -> int:
    """Convert one file."""
    from ntupleml.onnx_models.convert import convert_file

    convert_file(
        arguments.model,
        arguments.file,
        dtype=arguments.dtype,
        overwrite=arguments.overwrite,
        network_output=arguments.output,
        replaced=arguments.replaced,
    )
    return 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path, metavar="MODEL", help="the model file")
    parser.add_argument("file", type=Path, metavar="OUTPUT", help="the ONNX file to write")
    parser.add_argument(
        "--dtype",
        choices=("float32", "float64"),
        default="float32",
        help="of inputs and scores (default: float32)",
    )
    parser.add_argument("--output", metavar="NAME", help="of lwtnn's networks with several outputs, the one wanted")
    parser.add_argument(
        "--replaced",
        choices=("nan", "nan_and_infinities", "nothing"),
        help="raw values that the defaults in a file of lwtnn stand for (default: nan)",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace an existing OUTPUT")
    sys.exit(run(main, parser))
