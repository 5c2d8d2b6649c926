"""What can be learnt: the one list of targets, and what all stages call their parts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, get_args

if TYPE_CHECKING:
    from collections.abc import Iterable

#: What a model learns.
TargetKind = Literal["classes", "values", "reconstruction", "image"]
ALL_TARGETS: tuple[TargetKind, ...] = get_args(TargetKind)
#: Targets with one true number for each score.
MEASURED: tuple[TargetKind, ...] = ("values", "image")
#: First scores of an image: its missing transverse energy.
COMPONENTS = ("ex", "ey")
#: What an image that is learnt is called in a batch of raw arrays, where no group of inputs has such a name, and among
#: the outputs of an ONNX file.
TARGET_IMAGE, IMAGE_OUTPUT = "target.image", "predicted_image"


def vectors_among(names: Iterable[str]) -> dict[str, tuple[str, str]]:
    """Values that are taken for the x and y components of vectors, where a config says nothing: by their last letter.

    Returns
    -------
    dict of str to (str, str)
        By a name for the vector.

    Examples
    --------
    >>> vectors_among(["ex", "ey", "met_x", "pileup", "met_y"])
    {'etmiss': ('ex', 'ey'), 'met': ('met_x', 'met_y')}
    """
    known = list(dict.fromkeys(names))
    found: dict[str, tuple[str, str]] = {}
    for x in known:
        y = f"{x[:-1]}y"
        if x.endswith("x") and y in known:
            name = "etmiss" if (x, y) == COMPONENTS else x[:-1].rstrip("_") or "vector"
            found[f"{name}_vector" if name in known else name] = (x, y)
    return found
