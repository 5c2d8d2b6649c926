#!/usr/bin/env python3
"""Score ntuples with methods of TMVA: those of a training, or any weights files."""

from __future__ import annotations

import sys
from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Sequence

    from ntupleml.application import Plan

try:
    from ntupleml.application_arguments import INPUT_FORMS, add_application_options, application_options
    from ntupleml.command_line import run
    from ntupleml.config_arguments import IntermixedParser
except ModuleNotFoundError:
    sys.stderr.write(f"{sys.argv[0]}: ntupleml is not installed in this environment; source setup.sh first\n")
    sys.exit(2)

USAGE = """%(prog)s [options] CONFIG_DATASET CONFIG_TRAINING CONFIG_APPLICATION INPUT [INPUT ...] TREE
       %(prog)s [options] --weights A.xml [B.xml ...] [CONFIG_DATASET CONFIG_APPLICATION] INPUT [INPUT ...] TREE"""
EPILOG = """The variables of weights files are their expressions, computed from the branches of TREE; where TREE lacks a
branch that an expression needs, but has one called as the variable's label, that one is taken. Events with NaN in a
variable get -999 in all scores, as from TMVA::Reader, and -1 as max_index, so that no cut on it takes them."""
CONFIGS: dict[int, tuple[str, ...]] = {3: ("dataset", "training", "application"), 2: ("dataset", "application"), 0: ()}


class Parser(IntermixedParser):
    """Options may stand anywhere, and --weights takes only what ends in .xml."""

    def parse_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: None = None
    ) -> argparse.Namespace:
        """Parse, with one --weights per file, so that it does not swallow the arguments after its files."""
        spelt: list[str] = []
        goes_on = False
        for text in sys.argv[1:] if args is None else args:
            if spelt[-1:] == ["--weights"]:
                spelt.append(text)
                goes_on = True
            elif goes_on and text.endswith(".xml"):
                spelt += ["--weights", text]
            else:
                spelt.append(text)
                goes_on = text.startswith("--weights=")
        arguments = super().parse_args(spelt, namespace)
        self._check(arguments)
        return arguments

    def _check(self, arguments: argparse.Namespace) -> None:
        number = number_of_configs(arguments)
        if number not in CONFIGS or len(arguments.arguments) < number + 2:
            given = len(arguments.arguments)
            self.error(f"{given} arguments are no known form: {' '.join(arguments.arguments) or 'none given'}")
        if arguments.weights is None and (number != 3 or arguments.variables_from_xml):
            self.error("without --weights three configs are needed, and the variables are those of the training config")
        if arguments.event_branch is not None and number == 3 and not arguments.variables_from_xml:
            self.error("--event-branch is for --weights --variables-from-xml; here the dataset config names the branch")


def number_of_configs(arguments: argparse.Namespace) -> int:
    """Number of configs before the first INPUT: all arguments up to there end in .yaml or .yml.

    Without --weights there are always three, whatever they are called.
    """
    texts = arguments.arguments
    if arguments.weights is None and len(texts) >= 5:
        return 3
    are_configs = [text.endswith((".yaml", ".yml")) for text in texts]
    return are_configs.index(False) if False in are_configs else len(texts)


def main(arguments: argparse.Namespace) -> int:
    """Append the scores to one tree of each file, or write them into friends."""
    from ntupleml.application import make_plan, make_weights_plan, score_files

    number = number_of_configs(arguments)
    configs, (*inputs, tree) = arguments.arguments[:number], arguments.arguments[number:]
    given = dict(zip(CONFIGS[number], configs, strict=True))
    make: Callable[[], Plan]
    if "training" in given and not arguments.variables_from_xml:
        make = partial(
            make_plan,
            *configs,
            kind="tmva",
            weights=arguments.weights,
            engine=arguments.engine,
            branch_prefix=arguments.branch_prefix,
        )
    else:
        make = partial(
            make_weights_plan,
            arguments.weights,
            dataset_path=given.get("dataset"),
            application_path=given.get("application"),
            event_branch=arguments.event_branch,
            engine=arguments.engine,
            branch_prefix=arguments.branch_prefix,
        )
    return score_files(make, inputs, tree, application_options(arguments))


if __name__ == "__main__":
    parser = Parser(description=__doc__, usage=USAGE, epilog=EPILOG)
    parser.add_argument(
        "arguments", nargs="*", metavar="CONFIG... INPUT... TREE", help=f"configs (.yaml); {INPUT_FORMS}; tree in them"
    )
    parser.add_argument(
        "--engine",
        choices=("onnx", "forest", "tmva"),
        help="what scores: ONNX Runtime, the kernel for BDTs, or ROOT's TMVA::Reader; by default the fastest",
    )
    weights = parser.add_argument_group("with weights files of any TMVA")
    weights.add_argument(
        "--weights",
        action="append",
        metavar="FILE.xml",
        help="weights files: one for all events, or one per fold, of which file j scores the events of fold j",
    )
    weights.add_argument(
        "--variables-from-xml",
        action="store_true",
        help="take the variables from the weights files, not from a training config",
    )
    weights.add_argument("--event-branch", metavar="BRANCH", help="branch that decides the fold, else the entry number")
    weights.add_argument("--branch-prefix", metavar="PREFIX", help="beginning of the new branches' names")
    add_application_options(parser)
    sys.exit(run(main, parser))
