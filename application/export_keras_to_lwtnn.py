#!/usr/bin/env python3
"""Write trained Keras networks with their preprocessing as JSON files of lwtnn, checked against Keras."""

from __future__ import annotations

import argparse
import sys

try:
    from ntupleml.command_line import add_configs, run
except ModuleNotFoundError:
    sys.stderr.write(f"{sys.argv[0]}: ntupleml is not installed in this environment; source setup.sh first\n")
    sys.exit(2)


def main(arguments: argparse.Namespace) -> int:
    """Write a file per model to the config's output_path."""
    from ntupleml.lwtnn.export_training import export_to_lwtnn

    export_to_lwtnn(arguments.config_training, arguments.fold, form=arguments.form, overwrite=arguments.overwrite)
    return 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=f"{__doc__} The file of model f is output_path/fold{{f}}_lwtnn.json.")
    add_configs(parser, "training")
    parser.add_argument("fold", metavar="FOLD", nargs="?", default="all", help="index of the model (default: all)")
    parser.add_argument(
        "--form",
        choices=("auto", "sequential", "graph"),
        default="auto",
        help="form of the file (default: auto, which is sequential where the network allows it)",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace existing files")
    sys.exit(run(main, parser))
