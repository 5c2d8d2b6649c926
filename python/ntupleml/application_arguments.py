"""What the command lines of all application scripts share: INPUT ... TREE, where scores go, and who computes them.

A script calls `add_inputs` and `add_application_options` for its parser, and in its `main`
`ntupleml.application.score_files` with `application_options(arguments)`. Nothing heavy is imported
here: `--help` is fast.
"""

from __future__ import annotations

import argparse
import math
from typing import TYPE_CHECKING, Literal, NamedTuple

from ntupleml.cluster.options import ClusterOptions, add_cluster_options, cluster_options
from ntupleml.errors import NtuplemlError

if TYPE_CHECKING:
    from collections.abc import Sequence

#: What may stand for INPUT.
INPUT_FORMS = "ROOT files, quoted wildcards ('ntuples/*/*.root'), @FILE with one such per line, or root:// address"
#: What TREE may be.
TREE_FORMS = (
    "tree in them, with its folders, e.g. mt_nominal/ntuple; or several: names with commas between, quoted patterns "
    "('mt_*/ntuple')"
)
#: Forms of a command line, for its help.
FORMS = """%(prog)s [options] CONFIG_DATASET CONFIG_TRAINING CONFIG_APPLICATION INPUT [INPUT ...] TREE
       %(prog)s [options] CONFIG_DATASET CONFIG_APPLICATION INPUT [INPUT ...] TREE
       %(prog)s [options] CONFIG_APPLICATION INPUT [INPUT ...] TREE"""
_ENDINGS = (".yaml", ".yml")
_DESTINATION = {
    "always": "folder of the friends, in place of the config's",
    "never": "folder for copies with the scores; the inputs stay as they are",
    "option": "folder of the friends or, without --friend, for copies with the scores; the inputs stay as they are",
}


class ApplicationOptions(NamedTuple):
    """What the command line says of outputs and workers."""

    #: Whether the scores go into friend trees, not into the tree itself.
    friend: bool = False
    #: Whether scores that exist are replaced.
    overwrite: bool = False
    #: Folder of the friends, or of copies with the scores.
    output_directory: str | None = None
    #: Whether an output is called as its input: `{output_directory}/{folder}/{file}`.
    keep_names: bool = False
    cluster: ClusterOptions = ClusterOptions()
    #: Whether inputs are checked and outputs shown, and nothing is scored or written.
    dry_run: bool = False


def add_inputs(parser: argparse.ArgumentParser) -> None:
    """Add the arguments INPUT [INPUT ...] TREE; they become `inputs` and `tree`."""
    parser.add_argument("inputs", nargs="+", metavar="INPUT", help=f"what to score: {INPUT_FORMS}")
    _add_tree(parser)


def _add_tree(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("tree", metavar="TREE", help=TREE_FORMS)


def _name_and_number(text: str) -> tuple[str, float]:
    name, _, number = text.partition("=")
    try:
        value = float(number)
    except ValueError:
        value = math.nan
    if not (name and math.isfinite(value)):
        raise argparse.ArgumentTypeError(f"'{text}' is not NAME=NUMBER, e.g. mass=125")
    return name, value


def add_parameters(parser: argparse.ArgumentParser) -> None:
    """Add the option `--parameter`."""
    parser.add_argument(
        "--parameter",
        type=_name_and_number,
        action="append",
        default=[],
        metavar="NAME=NUMBER",
        help="number that stands for a branch in all inputs, such as a mass that the models take; may be repeated",
    )


def application_parameters(arguments: argparse.Namespace) -> dict[str, float]:
    """Numbers that `--parameter` gave."""
    return dict(arguments.parameter)


def add_application_options(
    parser: argparse.ArgumentParser, *, friend: Literal["always", "never", "option"] = "option"
) -> None:
    """Add the options of outputs and workers.

    Parameters
    ----------
    friend : {"always", "never", "option"}
        Whether the script writes friends, or appends branches, or does either as `--friend` says.
    """
    if friend == "option":
        parser.add_argument(
            "--friend", action="store_true", help="write friend trees, and leave the inputs as they are"
        )
    else:
        parser.set_defaults(friend=friend == "always")
    parser.add_argument("--output-directory", metavar="FOLDER", help=_DESTINATION[friend])
    parser.add_argument(
        "--keep-names",
        action="store_true",
        help="call an output as its input, FOLDER/its folder/its file; friends of inputs in one folder always are",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace scores that exist")
    parser.add_argument("--dry-run", action="store_true", help="check the inputs, and show where scores would go")
    add_parameters(parser)
    add_cluster_options(parser)


def application_options(arguments: argparse.Namespace) -> ApplicationOptions:
    """The options that `add_application_options` added, as they were given."""
    return ApplicationOptions(
        arguments.friend,
        arguments.overwrite,
        arguments.output_directory,
        arguments.keep_names,
        cluster_options(arguments),
        arguments.dry_run,
    )


class Given(NamedTuple):
    """Dataset, training and application config, of which the first two may be left out; the inputs."""

    configs: tuple[str | None, str | None, str]
    inputs: list[str]


def add_configs_and_inputs(parser: argparse.ArgumentParser) -> None:
    """Add the arguments; they become `arguments` and `tree`, see `split_configs`."""
    parser.usage = FORMS
    parser.add_argument(
        "arguments",
        nargs="+",
        metavar="CONFIG ... INPUT",
        help="configs (.yaml), then ROOT files, quoted wildcards, @FILE with one such per line, or root:// addresses",
    )
    _add_tree(parser)


def split_configs(arguments: Sequence[str]) -> Given:
    """Configs and inputs of a command line: what ends in .yaml at its beginning is a config.

    A single one that has blocks of stages stands for each of them.

    Raises
    ------
    NtuplemlError
        If there is no config, more than three, or nothing else.

    Examples
    --------
    >>> split_configs(["dataset.yaml", "application.yaml", "a.root", "b.root"])
    Given(configs=('dataset.yaml', None, 'application.yaml'), inputs=['a.root', 'b.root'])
    """
    from ntupleml.config.loading import stages_in

    number = next((index for index, text in enumerate(arguments) if not text.endswith(_ENDINGS)), len(arguments))
    configs, inputs = list(arguments[:number]), list(arguments[number:])
    if not 1 <= number <= 3 or not inputs:
        raise NtuplemlError(
            f"{number} configs (.yaml) and {len(inputs)} inputs are given; one to three configs (of the dataset, the "
            "training and the application, the last always) and at least one ROOT file are needed"
        )
    if number == 1:
        stages = stages_in(configs[0])
        dataset, training = (configs[0] if stage in stages else None for stage in ("dataset", "training"))
        return Given((dataset, training, configs[0]), inputs)
    if number == 3:
        return Given((configs[0], configs[1], configs[2]), inputs)
    return Given((configs[0], None, configs[1]), inputs)
