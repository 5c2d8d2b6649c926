#!/usr/bin/env python3
"""Score ntuples with the trained networks and append the scores to their trees as new branches."""

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
    """Append the scores to one tree of each file."""
    from ntupleml.application import make_plan, score_files

    configs = (arguments.config_dataset, arguments.config_training, arguments.config_application)
    return score_files(partial(make_plan, *configs), arguments.inputs, arguments.tree, application_options(arguments))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    add_configs(parser, "dataset", "training", "application")
    add_inputs(parser)
    add_application_options(parser, friend="never")
    sys.exit(run(main, parser))
