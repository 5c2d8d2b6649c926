#!/usr/bin/env python3
"""Write trained Keras networks as architecture, weights and variables, the files of lwtnn's converter keras2json.py."""

from __future__ import annotations

import argparse
import sys

try:
    from ntupleml.command_line import add_configs, run
except ModuleNotFoundError:
    sys.stderr.write(f"{sys.argv[0]}: ntupleml is not installed in this environment; source setup.sh first\n")
    sys.exit(2)


def main(arguments: argparse.Namespace) -> int:
    """Write three files per model, by the names in the application config."""
    from ntupleml.lwtnn.export_htt_ml import export_to_json

    export_to_json(
        arguments.config_training,
        arguments.config_application,
        conditional=arguments.conditional,
        overwrite=arguments.overwrite,
    )
    return 0


def _true_or_false(text: str) -> bool:
    values = {"true": True, "false": False}
    if text.lower() not in values:
        raise argparse.ArgumentTypeError(f"'{text}' is neither True nor False")
    return values[text.lower()]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=f"{__doc__} Their names are in the keys weights, architecture_exports and variable_exports of "
        "CONFIG_APPLICATION. export_keras_to_lwtnn.py writes the finished file without a converter."
    )
    add_configs(parser, "training", "application")
    parser.add_argument(
        "--conditional",
        type=_true_or_false,
        nargs="?",
        const=True,
        metavar="True|False",
        help="whether the networks take conditions (eras); by default as they were trained",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace existing files")
    sys.exit(run(main, parser))
