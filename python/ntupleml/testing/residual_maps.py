"""Where in images that are learnt predictions are too large or too small."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from ntupleml.errors import NtuplemlError
from ntupleml.metrics.measurement import Undefined, as_plain
from ntupleml.metrics.residual_maps import BY_CHANCE, residual_map, verdict_of
from ntupleml.plots.images import draw_residual_map
from ntupleml.plots.pictures import Picture, Table
from ntupleml.scoring import load_scorer
from ntupleml.testing.scored_parts import scored_parts
from ntupleml.testing.sources import trained_source
from ntupleml.testing.steps import Answer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from ntupleml.metrics.residual_maps import ResidualMap
    from ntupleml.testing.material import Material
    from ntupleml.testing.preparation import Preparation

    Part = tuple[NDArray[np.float32], NDArray[np.floating], NDArray[np.float64]]

_NAME = "residual_map"
_INTRODUCTION = (
    "Mean of prediction less truth of each pixel, this mean in units of its uncertainty, and the root of the mean "
    f"square, over all events of the folds that a model never saw. By chance {BY_CHANCE:.2%} of the pixels are beyond "
    "three of their uncertainties."
)


def has_images(material: Material) -> bool:
    """Whether a trained model gives images."""
    return material.found is not None and bool(_methods(material))


def _methods(material: Material) -> list[str]:
    trained = material.preparation.trained
    return [name for name, models in trained.items() if models[0].record.target.image is not None]


def residual_maps(material: Material) -> Answer:
    """Mean residuals of each pixel, for every method that gives images; memory does not grow with the events."""
    methods = _methods(material)
    if not methods:
        raise NtuplemlError(f"{', '.join(material.preparation.methods)}: gives no images; choose a network")
    material.announce([_NAME])
    found = {method: residual_map(_parts(material.preparation, method)) for method in methods}
    verdicts = {method: verdict_of(one) for method, one in found.items()}
    return Answer.by_method(
        {method: [_picture(method, one)] for method, one in found.items()},
        _INTRODUCTION,
        numbers=found,
        question="Residual maps of",
        verdicts=verdicts,
        only_first_open=True,
        remarks=[f"{method}: {one.text}" for method, one in verdicts.items()],
    )


def _parts(preparation: Preparation, method: str) -> Iterator[Part]:
    """Predicted and true images and weights of the held-out events, a bounded number at a time."""
    reading = replace(preparation.reading, spectators=[], references={}, keeps_image=True)
    for sample, model in zip(preparation.samples, preparation.trained[method], strict=True):
        source = trained_source(method, sample, model, load_scorer([model], with_image=True))
        for part in scored_parts(sample, [source], reading):
            assert part.image is not None, "an image is learnt"
            pixels = part.scores[method][:, len(reading.outputs) :]
            yield pixels.reshape(part.image.shape), part.image, part.weights


def _picture(method: str, found: ResidualMap | Undefined) -> Picture:
    caption = f"Residuals of the image that {method} gives, pixel by pixel"
    if isinstance(found, Undefined):
        return Picture(_NAME, f"{caption}: {found}.", None, as_plain({"method": method, "undefined": found}))
    rows = tuple(
        (text, f"{function(found.mean):.4g}", f"{function(found.spread):.4g}")
        for text, function in (("smallest", np.min), ("mean", np.mean), ("largest", np.max))
    )
    return Picture(
        _NAME,
        f"{caption}: {found.entries} events that it never saw.",
        partial(draw_residual_map, found),
        {"method": method} | as_plain(found),
        (Table(("Of the pixels", "Mean residual", "Root mean square"), rows),),
    )
