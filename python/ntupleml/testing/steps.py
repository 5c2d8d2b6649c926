"""What all steps of the testing stage share: writing their pictures all or none."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from ntupleml.atomic import all_or_none

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from ntupleml.plots.pictures import Picture
    from ntupleml.testing.preparation import Preparation

log = logging.getLogger(__name__)


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
