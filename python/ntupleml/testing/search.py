"""A search for a signal: its class, the veto, and the subsets with curves of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import numpy as np

from ntupleml.config import SearchConfig
from ntupleml.errors import NtuplemlError, did_you_mean
from ntupleml.metrics.binned_efficiency import cuts_that_keep
from ntupleml.metrics.class_scales import ROWS, scaled_weights
from ntupleml.metrics.measurement import Undefined, no_sum_of_weights
from ntupleml.metrics.point_efficiency import SelectedShare, selected_share

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from ntupleml.testing.material import Material
    from ntupleml.testing.tested_events import TestedEvents

Curve = TypeVar("Curve")

#: Points, and values of the first parameter: with more of them, a parameter is no mass but something continuous.
MOST_POINTS = 400
#: Name of the signal's class, where none is given.
_USUAL = "signal"


class Search(NamedTuple):
    """A class against all others, each of which is one of the classes of the events."""

    config: SearchConfig
    signal: str
    backgrounds: tuple[str, ...]
    #: Config and key, for messages.
    where: str


class Veto(NamedTuple):
    """Events that are left out before the signal is selected: those whose score of a class is not below a threshold."""

    of: str
    threshold: float
    #: By class, the share that is left out.
    caught: dict[str, SelectedShare]


def has_search(material: Material) -> bool:
    """Whether the testing config names what is searched for."""
    return material.testing.search is not None


def search_of(material: Material) -> Search:
    """The search of the testing config, by default for the class `signal`, else for the first.

    Raises
    ------
    NtuplemlError
        Naming a class that is none.
    """
    config = material.testing.search or SearchConfig()
    where = "search" if material.found is None else f"{material.found.testing_path}: search"
    classes = material.classes
    named: dict[str, str | None] = {"signal": config.signal}
    if config.rejection.veto is not None:
        named["rejection: veto: class"] = config.rejection.veto.of
    for step, scales in (("rejection", config.rejection.scale), ("cut_scan", config.cut_scan.scale)):
        named |= {f"{step}: scale: {name}": name for name in scales}
        texts = {name: scale for name, scale in scales.items() if isinstance(scale, str) and scale != ROWS}
        named |= {f"{step}: scale: {name} (to)": scale for name, scale in texts.items()}
    for key, name in named.items():
        if name is not None and name not in classes:
            raise NtuplemlError(f"{where}: {key}: no class '{name}'{did_you_mean(name, classes)}")
    signal = signal_of(config, classes)
    return Search(config, signal, tuple(name for name in classes if name != signal), where)


def signal_of(config: SearchConfig, classes: Sequence[str]) -> str:
    """The class that is searched for."""
    return config.signal or (_USUAL if _USUAL in classes else classes[0])


def curves_of_subsets(
    search: Search,
    events: TestedEvents,
    weights: NDArray[np.float64],
    make: Callable[[NDArray[np.intp], NDArray[np.float64]], Curve],
) -> tuple[dict[str, Curve], dict[str, Curve]]:
    """Curves of the signal against all backgrounds and, of several, each alone; and of each value of the first point.

    Parameters
    ----------
    weights : array of float64, shape (n_events,)
        With the scales of the classes.
    make : callable
        Makes a curve from the positions and the weights of some events.
    """
    own = events.classes.index(search.signal)
    subsets = {"all backgrounds" if len(search.backgrounds) > 1 else search.backgrounds[0]: np.arange(len(events))}
    if len(search.backgrounds) > 1:
        for name in search.backgrounds:
            kept = (events.truth == own) | (events.truth == events.classes.index(name))
            subsets[name] = np.flatnonzero(kept)
    of_points: dict[str, NDArray[np.intp]] = {}
    if search.config.points:
        parameter = search.config.points[0]
        values = events.values_of(parameter)
        for value in distinct_values(values[events.truth == own], search):
            kept = (events.truth != own) | (values == value)
            of_points[f"{parameter} = {value:g}"] = np.flatnonzero(kept)
    found = [{name: make(rows, weights[rows]) for name, rows in some.items()} for some in (subsets, of_points)]
    return found[0], found[1]


def distinct_values(values: NDArray[Any], search: Search) -> NDArray[Any]:
    """Values of points, ascending: of one parameter, or as rows of all of them.

    Raises
    ------
    NtuplemlError
        Where there are too many for points.
    """
    known = values[~np.isnan(values.reshape(len(values), -1)).any(axis=1)]
    distinct: NDArray[Any] = np.unique(known, axis=0)
    if len(distinct) > MOST_POINTS:
        raise NtuplemlError(
            f"{search.where}: points: {', '.join(search.config.points)}: {len(distinct)} different values of "
            f"'{search.signal}', but points are for at most {MOST_POINTS}; name parameters with few values"
        )
    return distinct


def scaled(events: TestedEvents, scales: Mapping[str, float | str]) -> NDArray[np.float64] | Undefined:
    """Weights of the events with the scales of their classes."""
    return scaled_weights(events.weights, events.truth, events.classes, scales, events.sampled)


def scales_text(scales: Mapping[str, float | str]) -> str:
    """What captions say of scales.

    Examples
    --------
    >>> scales_text({"bib": 0.1, "qcd": "bib"})
    '; weights of bib times 0.1, of qcd scaled to the sum of bib'
    """
    texts = [
        f"{name} times {scale:g}"
        if not isinstance(scale, str)
        else f"{name} scaled to " + ("their number" if scale == ROWS else f"the sum of {scale}")
        for name, scale in scales.items()
    ]
    return f"; weights of {', of '.join(texts)}" if texts else ""


def veto_of(
    search: Search, events: TestedEvents, scores: NDArray[Any]
) -> tuple[Veto | None, NDArray[np.bool_]] | Undefined:
    """The veto of a search, if it has one, and which events it leaves out."""
    config = search.config.rejection.veto
    if config is None:
        return None, np.zeros(len(events), np.bool_)
    index = events.classes.index(config.of)
    threshold = config.threshold
    if config.share is not None:
        if undefined := no_sum_of_weights(events.weights[events.truth == index], f"'{config.of}'"):
            return undefined
        threshold = veto_threshold(scores[:, index], events.truth == index, events.weights, config.share)
    assert threshold is not None
    vetoed = above_veto(scores[:, index], threshold)
    return Veto(config.of, threshold, shares_by_class(vetoed, events, events.classes)), vetoed


def shares_by_class(
    selected: NDArray[np.bool_], events: TestedEvents, names: Sequence[str]
) -> dict[str, SelectedShare]:
    """Share of some classes that is selected."""
    kinds = {name: events.truth == events.classes.index(name) for name in names}
    return {name: selected_share(selected[kind], events.weights[kind]) for name, kind in kinds.items()}


def veto_threshold(
    scores: NDArray[Any], is_class: NDArray[np.bool_], weights: NDArray[np.float64], share: float
) -> float:
    """The largest score at which a veto, score ≥ threshold, catches this share of a class, by its weights."""
    return float(cuts_that_keep(scores[is_class], weights[is_class], [share])[0])


def above_veto(scores: NDArray[Any], threshold: float) -> NDArray[np.bool_]:
    """Which events a veto leaves out, in the precision of the scores."""
    vetoed: NDArray[np.bool_] = scores >= scores.dtype.type(threshold)
    return vetoed


def without_vetoed(scores: NDArray[Any], vetoed: NDArray[np.bool_]) -> NDArray[Any]:
    """Scores of the signal with those of vetoed events below all others: no cut selects them."""
    return np.where(vetoed, -np.inf, scores).astype(scores.dtype)
