#!/usr/bin/env python3
"""Look at the inputs in the fold files before anything is trained: distributions, correlations, weights, by class."""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING

try:
    from ntupleml.command_line import add_configs, add_reading_options, positive_number, run
    from ntupleml.config_arguments import IntermixedParser
    from ntupleml.errors import NtuplemlError
except ModuleNotFoundError:
    sys.stderr.write(f"{sys.argv[0]}: ntupleml is not installed in this environment; source setup.sh first\n")
    sys.exit(2)

if TYPE_CHECKING:
    import argparse

log = logging.getLogger("ntupleml.validate_inputs")
_ENDINGS = (".yaml", ".yml")


def main(arguments: argparse.Namespace) -> int:
    """Write the pictures and say which variables separate best."""
    from ntupleml.testing.input_validation import validate_inputs

    configs = [text for text in arguments.arguments if text.endswith(_ENDINGS)]
    folds = [text for text in arguments.arguments if not text.endswith(_ENDINGS)]
    if len(configs) > 1 or len(folds) > 1:
        extra = (configs[1:] + folds[1:])[0]
        raise NtuplemlError(f"'{extra}': CONFIG_TRAINING, CONFIG_TESTING and FOLD are all that is taken")
    summary, paths = validate_inputs(
        arguments.config_training,
        configs[0] if configs else None,
        folds[0] if folds else "all",
        variables=arguments.variables,
        condition=arguments.condition,
        class_weights=arguments.class_weights,
        max_events=arguments.max_events,
        entries_per_chunk=arguments.num_events,
        overwrite=arguments.overwrite,
    )
    for name, one in summary.weights.items():
        log.info("class '%s': %d events, worth %.1f of equal weight", name, one.events, one.effective_events)
    for name, label, separation in summary.ranking()[:3]:
        log.info("%s: separation %.4f ± %.4f ('%s' from the rest)", name, *separation, label)
    log.info("%d files written to %s", len(paths), paths[0].parent)
    return 0


if __name__ == "__main__":
    parser = IntermixedParser(description=__doc__, usage="%(prog)s [options] CONFIG_TRAINING [CONFIG_TESTING] [FOLD]")
    add_configs(parser, "training")
    parser.add_argument(
        "arguments",
        nargs="*",
        metavar="[CONFIG_TESTING] [FOLD]",
        help="testing config (YAML), for its weights, spectators and plot block; index of the fold file (default: all)",
    )
    parser.add_argument(
        "--variable",
        action="append",
        dest="variables",
        default=[],
        metavar="NAME",
        help="one more branch, or formula of branches; may be given several times",
    )
    parser.add_argument("--class-weights", action="store_true", help="multiply with the training's class weights")
    parser.add_argument(
        "--max-events", type=positive_number, metavar="N", help="look at a random sample of N events (default: all)"
    )
    add_reading_options(parser)
    sys.exit(run(main, parser))
