#!/usr/bin/env python3
"""Score an ntuple with methods of TMVA: those of a training, or any weights files."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

try:
    from ntupleml.command_line import run
except ModuleNotFoundError:
    sys.stderr.write(f"{sys.argv[0]}: ntupleml is not installed in this environment; source setup.sh first\n")
    sys.exit(2)

USAGE = """%(prog)s [options] CONFIG_DATASET CONFIG_TRAINING CONFIG_APPLICATION INPUT TREE
       %(prog)s [options] --weights A.xml [B.xml ...] [CONFIG_DATASET CONFIG_APPLICATION] INPUT TREE"""
EPILOG = """The variables of weights files are their expressions, computed from the branches of TREE; where TREE lacks a
branch that an expression needs, but has one called as the variable's label, that one is taken. Events with NaN in a
variable get -999 in all scores, as from TMVA::Reader, and -1 as max_index, so that no cut on it takes them."""
CONFIGS = {5: ("dataset", "training", "application"), 4: ("dataset", "application"), 2: ()}


class Parser(argparse.ArgumentParser):
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
        arguments = self.parse_intermixed_args(spelt, namespace)
        self._check(arguments)
        return arguments

    def _check(self, arguments: argparse.Namespace) -> None:
        number = len(arguments.arguments)
        if number not in CONFIGS:
            self.error(f"{number} arguments are no known form: {' '.join(arguments.arguments) or 'none given'}")
        if arguments.weights is None and (number != 5 or arguments.variables_from_xml):
            self.error("without --weights three configs are needed, and the variables are those of the training config")
        if arguments.event_branch is not None and number == 5 and not arguments.variables_from_xml:
            self.error("--event-branch is for --weights --variables-from-xml; here the dataset config names the branch")


def main(arguments: argparse.Namespace) -> int:
    """Append the scores to one tree of one file, or write them into a friend."""
    from ntupleml.application import append_planned_scores, make_plan, make_weights_plan, write_planned_friends

    *configs, source, tree = arguments.arguments
    given = dict(zip(CONFIGS[len(arguments.arguments)], configs, strict=True))
    common = {
        "engine": arguments.engine,
        "branch_prefix": arguments.branch_prefix,
        "output_directory": arguments.output_directory,
    }
    if "training" in given and not arguments.variables_from_xml:
        plan = make_plan(*configs, kind="tmva", weights=arguments.weights, **common)
    else:
        plan = make_weights_plan(
            arguments.weights,
            dataset_path=given.get("dataset"),
            application_path=given.get("application"),
            event_branch=arguments.event_branch,
            **common,
        )
    if arguments.friend:
        write_planned_friends(plan, [Path(source)], tree, overwrite=arguments.overwrite)
    else:
        append_planned_scores(plan, Path(source), tree, overwrite=arguments.overwrite)
    return 0


if __name__ == "__main__":
    parser = Parser(description=__doc__, usage=USAGE, epilog=EPILOG)
    parser.add_argument("arguments", nargs="*", metavar="CONFIG... INPUT TREE", help="configs, ROOT file, tree in it")
    parser.add_argument("--friend", action="store_true", help="write a friend tree; without it INPUT gets the branches")
    parser.add_argument(
        "--engine",
        choices=("onnx", "forest", "tmva"),
        help="what scores: ONNX Runtime, the kernel for BDTs, or ROOT's TMVA::Reader; by default the fastest",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace score branches or a friend tree that exist")
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
    weights.add_argument("--output-directory", metavar="FOLDER", help="folder of the friends")
    sys.exit(run(main, parser))
