"""Command lines where a model may do without some configs: CONFIG ... INPUT ... TREE, told apart by their endings."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from ntupleml.errors import NtuplemlError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

#: Forms of a command line, for its help.
FORMS = """%(prog)s [options] CONFIG_DATASET CONFIG_TRAINING CONFIG_APPLICATION INPUT [INPUT ...] TREE
       %(prog)s [options] CONFIG_DATASET CONFIG_APPLICATION INPUT [INPUT ...] TREE
       %(prog)s [options] CONFIG_APPLICATION INPUT [INPUT ...] TREE"""
_ENDINGS = (".yaml", ".yml")


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
    parser.add_argument("tree", metavar="TREE", help="tree in them, with its folders, e.g. mt_nominal/ntuple")


def split_configs(arguments: Sequence[str]) -> Given:
    """Configs and inputs of a command line: what ends in .yaml at its beginning is a config.

    Raises
    ------
    NtuplemlError
        If there is no config, more than three, or nothing else.

    Examples
    --------
    >>> split_configs(["dataset.yaml", "application.yaml", "a.root", "b.root"])
    Given(configs=('dataset.yaml', None, 'application.yaml'), inputs=['a.root', 'b.root'])
    """
    number = next((index for index, text in enumerate(arguments) if not text.endswith(_ENDINGS)), len(arguments))
    configs, inputs = list(arguments[:number]), list(arguments[number:])
    if not 1 <= number <= 3 or not inputs:
        raise NtuplemlError(
            f"{number} configs (.yaml) and {len(inputs)} inputs are given; one to three configs (of the dataset, the "
            "training and the application, the last always) and at least one ROOT file are needed"
        )
    if number == 3:
        return Given((configs[0], configs[1], configs[2]), inputs)
    return Given((configs[0] if number == 2 else None, None, configs[-1]), inputs)
