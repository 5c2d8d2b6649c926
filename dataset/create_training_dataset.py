#!/usr/bin/env python3
"""Build the fold files that classifiers are trained and tested on."""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path

try:
    from ntupleml.cluster import add_cluster_options, cluster_options
    from ntupleml.command_line import run
except ModuleNotFoundError:
    sys.stderr.write(f"{sys.argv[0]}: ntupleml is not installed in this environment; source setup.sh first\n")
    sys.exit(2)

log = logging.getLogger("ntupleml.create_training_dataset")


def main(arguments: argparse.Namespace) -> int:
    """Build the dataset of a config and log its table."""
    from ntupleml.config import DatasetConfig, load_config
    from ntupleml.datasets import create_training_dataset

    config = load_config(arguments.config, DatasetConfig)
    summary = create_training_dataset(
        config, overwrite=arguments.overwrite, where=str(arguments.config), cluster=cluster_options(arguments)
    )
    log.info("%s", summary)
    return 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", type=Path, metavar="CONFIG", help="dataset config (YAML)")
    parser.add_argument("--overwrite", action="store_true", help="replace fold files that exist")
    add_cluster_options(parser)
    sys.exit(run(main, parser))
