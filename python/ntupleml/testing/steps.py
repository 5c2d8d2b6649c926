"""What all steps of the testing stage share: options of their scripts, and writing their pictures all or none.

Importing this costs a script's `--help` next to nothing.
"""

from __future__ import annotations

import argparse
import logging
from typing import TYPE_CHECKING

from ntupleml.atomic import all_or_none
from ntupleml.command_line import add_testing_options, positive_number

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from ntupleml.plots.pictures import Picture
    from ntupleml.testing.preparation import Preparation

log = logging.getLogger(__name__)


def add_step_options(parser: argparse.ArgumentParser, *, several_methods: bool = False) -> None:
    """Add configs, FOLD and the options that all steps have.

    Parameters
    ----------
    parser : argparse.ArgumentParser
    several_methods : bool, default: False
        Whether the step can put several methods into one picture.
    """
    add_testing_options(parser)
    parser.add_argument(
        "--method",
        type=method_names if several_methods else _name,
        dest="methods",
        metavar="A[,B]" if several_methods else "NAME",
        help="method of the training config, or external model of the testing config; by default the testing config's "
        "method, or keras" + ("; 'all' takes all that are trained" if several_methods else ""),
    )
    parser.add_argument("--class-weights", action="store_true", help="multiply with the training's class weights")
    parser.add_argument(
        "--max-events",
        type=positive_number,
        metavar="N",
        help="events held in memory, of more a random sample is taken (default: the testing config's, 2000000)",
    )


def _name(text: str) -> list[str]:
    return [text]


def method_names(text: str) -> list[str]:
    """Names of methods in an option, with commas between.

    Raises
    ------
    argparse.ArgumentTypeError
        If there are none.
    """
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names:
        raise argparse.ArgumentTypeError("no names; give some, e.g. keras,BDT")
    return names


def prepared(arguments: argparse.Namespace, *, all_methods: bool = False, tolerant: bool = False) -> Preparation:
    """What `prepare` makes of the arguments of a script with the options of `add_step_options`."""
    from ntupleml.testing.preparation import prepare

    methods = None if arguments.methods == ["all"] else arguments.methods
    return prepare(
        arguments.config_training,
        arguments.config_testing,
        arguments.fold,
        methods=methods,
        all_methods=all_methods or arguments.methods == ["all"],
        condition=arguments.condition,
        class_weights=arguments.class_weights,
        max_events=arguments.max_events,
        entries_per_chunk=arguments.num_events,
        tolerant=tolerant,
    )


def write_step(
    preparation: Preparation,
    names: Sequence[str],
    make: Callable[[], Sequence[Picture]],
    *,
    overwrite: bool = False,
) -> list[Path]:
    """Make the pictures of a step and write them; all files or, if anything fails, none.

    Parameters
    ----------
    preparation : Preparation
    names : sequence of str
        Names of the pictures that will be made, so that existing files are noticed before anything is computed.
    make : callable
        Makes them.
    overwrite : bool, default: False
        Whether existing files may be replaced.

    Returns
    -------
    list of Path
        The files written.

    Raises
    ------
    NtuplemlError
        If a file exists and must not be overwritten, or cannot be written, and whatever `make` raises.
    """
    from ntupleml.plots.pictures import refuse_existing_pictures, write_picture

    refuse_existing_pictures(map(preparation.stem, names), overwrite=overwrite)
    pictures = make()
    if unexpected := {picture.name for picture in pictures} - set(names):
        raise ValueError(f"pictures that were not announced: {unexpected}")
    paths: list[Path] = []
    with all_or_none():
        for picture in pictures:
            stem = preparation.stem(picture.name)
            paths += write_picture(picture, stem, preparation.testing.plot, overwrite=overwrite)
    log.info("%d files written to %s", len(paths), preparation.training.output_path)
    return paths
