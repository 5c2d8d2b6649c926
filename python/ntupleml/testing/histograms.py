"""Histograms of scores by region and process, each event by the model that never saw it: what a fit takes."""

from __future__ import annotations

import logging
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ntupleml.atomic import all_or_none, replace_file
from ntupleml.config.histograms import EqualContentConfig, HistogramsConfig, RegionConfig
from ntupleml.errors import NtuplemlError, did_you_mean
from ntupleml.metrics.histograms import Filling, Histogram, add_histograms
from ntupleml.ntuples.histogram_files import write_histograms
from ntupleml.ntuples.opening import files_kept_open
from ntupleml.testing.blinding import blinded_rows, branches_of_blind
from ntupleml.testing.fit_files import ASIMOV, DATA, datacard_text, workspace_text
from ntupleml.testing.histogram_variations import (
    Variations,
    pairs_of,
    shifted_preparations,
    shifted_weights,
)
from ntupleml.testing.scored_parts import has_tree, scored_parts
from ntupleml.testing.signals import signals_of
from ntupleml.testing.steps import refuse_existing
from ntupleml.testing.systematics import finite_factors
from ntupleml.testing.tested_events import shares_of_classes

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from ntupleml.testing.preparation import Preparation
    from ntupleml.testing.scored_parts import Reading, ScoredPart

log = logging.getLogger(__name__)

#: Region of two classes where the config names none.
_ONLY = "all"
#: By how much a probability may be beyond the ends of its range.
_ROUNDING = 1e-5


class Region(NamedTuple):
    """A region, and the edges of its bins."""

    name: str
    config: RegionConfig
    #: Column of the score.
    score: int
    edges: NDArray[np.float64]
    #: Whether the edges were given, so that events may be beyond them.
    given: bool


class FitHistograms(NamedTuple):
    """Histograms by region and process; `data_obs` are recorded data, `asimov` is the sum of all processes."""

    contents: dict[str, dict[str, Histogram]]
    #: Score that each region is of.
    scores: dict[str, str]
    signals: list[str]
    #: By region and process the variations of the testing config's `systematics`.
    variations: dict[str, dict[str, Variations]]


def fit_histograms(found: Preparation) -> FitHistograms:
    """Histograms of the scores of a method in all regions of the testing config, of all events of the held-out folds.

    Raises
    ------
    NtuplemlError
        For regions, classes and formulas that are not there, a model that does not tell classes apart, and scores
        that are no probabilities where the edges are not given.
    """
    config = found.testing.histograms or HistogramsConfig()
    classes = list(found.reading.classes)
    if found.training.target is not None:
        raise NtuplemlError(
            f"{found.training_path}: histograms are of the scores of classes, but the target is "
            f"{found.training.target_kind}"
        )
    signals = _signals(found)
    regions = _regions(found, config, signals)
    cuts = list(dict.fromkeys(one.cut for one in regions.values() if one.cut is not None))
    factors = shifted_weights(found.testing)
    found = _reading_cuts(found, cuts, regions, list(dict.fromkeys(factors.values())))
    prepared = _with_edges(found, config, regions, classes)
    names = [*classes, *_data_tree(found)]
    fillings = {(one.name, name): Filling(one.edges) for one in prepared for name in names}
    blinded: set[str] = set()
    for part in _parts(found, names):
        hidden = _hidden(found, part)
        name = found.testing.data_class if part.class_index < 0 else classes[part.class_index]
        weights = {name: part.weights}
        if part.class_index >= 0:
            for label, formula in factors.items():
                where = f"{found.testing_path}: systematics"
                factor = finite_factors(_value_of(found, part, formula), formula, where)
                weights[f"{name}_{label}"] = part.weights * factor
        for one in prepared:
            inside = _fill(found, one, part, weights, fillings)
            if (hidden & inside).any():
                blinded.add(one.name)
    for label, shifted in shifted_preparations(found):
        for part in _parts(shifted, shifted.reading.classes):
            for one in prepared:
                _fill(shifted, one, part, {f"{classes[part.class_index]}_{label}": part.weights}, fillings)
    contents: dict[str, dict[str, Histogram]] = {}
    for one in prepared:
        filled = {name: fillings[one.name, name].histogram() for name in names}
        processes = {name: filled[name] for name in classes}
        contents[one.name] = {**processes, ASIMOV: _sum(list(processes.values()))}
        if len(names) > len(classes) and one.name not in blinded:
            contents[one.name][DATA] = filled[names[-1]]
    for name in sorted(blinded):
        log.info("region '%s': blind: it has no recorded data", name)
    variations = {
        one.name: {
            name: pairs_of(
                contents[one.name][name],
                {
                    key.removeprefix(f"{name}_"): filling.histogram()
                    for (region, key), filling in fillings.items()
                    if region == one.name and key.startswith(f"{name}_")
                },
                found.testing,
            )
            for name in classes
        }
        for one in prepared
    }
    return FitHistograms(contents, {one.name: classes[one.score] for one in prepared}, signals, variations)


def _fill(
    found: Preparation,
    region: Region,
    part: ScoredPart,
    weights: Mapping[str, NDArray[np.float64]],
    fillings: dict[tuple[str, str], Filling],
) -> NDArray[np.bool_]:
    """Add a part to the histograms of a region by their names; which of its events are in the region."""
    inside = _inside(found, region.config, region.score, part)
    scores = _in_range(found, region, part.scores[found.methods[0]][inside, region.score])
    for name, values in weights.items():
        fillings.setdefault((region.name, name), Filling(region.edges)).add(scores, values[inside])
    return inside


def write_fit_histograms(
    found: Preparation, output: str | Path | None = None, *, overwrite: bool = False
) -> list[Path]:
    """Write the histograms as a ROOT file, and beside it a workspace of pyhf and a datacard of Combine.

    Parameters
    ----------
    output : path, optional
        The ROOT file; by default ``fold{f}_{method}_histograms.root`` in the training's `output_path`.

    Returns
    -------
    list of Path
        The files written: all or, if anything fails, none.

    Raises
    ------
    NtuplemlError
        As `fit_histograms`; and if a file exists and must not be overwritten, before events are read.
    """
    stem = found.stem("histograms")
    root = stem.with_name(f"{stem.name}.root") if output is None else Path(output)
    if root.suffix != ".root":
        raise NtuplemlError(f"--output {root}: a ROOT file is written; let its name end in .root")
    paths = [root, root.with_suffix(".json"), root.with_suffix(".txt")]
    refuse_existing(paths, overwrite=overwrite)
    made = fit_histograms(found)
    _warn(made)
    flat = {f"{region}/{name}": one for region, named in made.contents.items() for name, one in named.items()}
    flat |= {
        f"{region}/{name}_{source}{ending}": one
        for region, by_process in made.variations.items()
        for name, by_source in by_process.items()
        for source, pair in by_source.items()
        for ending, one in zip(("Up", "Down"), pair, strict=True)
    }
    titles = {name: f"score of {made.scores[name.partition('/')[0]]}" for name in flat}
    with all_or_none():
        write_histograms(root, flat, titles, overwrite=overwrite)
        for path, text in (
            (paths[1], workspace_text(made.contents, made.signals, made.variations)),
            (paths[2], datacard_text(made.contents, made.signals, root.name, list(found.testing.systematics))),
        ):
            with replace_file(path, overwrite=overwrite) as temporary:
                temporary.write_text(text, encoding="utf-8")
    log.info("written: %s", ", ".join(map(str, paths)))
    return paths


def _warn(made: FitHistograms) -> None:
    """Say what a fit stumbles over."""
    for region, named in made.contents.items():
        for name, one in named.items():
            where = f"region '{region}', '{name}'"
            negative = int((one.sums < 0).sum())
            if negative:
                log.warning("%s: %d bins are negative, which fits refuse; take fewer bins", where, negative)
            if name != ASIMOV and (one.underflow[1] or one.overflow[1]):
                beyond = one.underflow[0] + one.overflow[0]
                log.warning("%s: a sum of weights of %.6g is beyond the edges, where no fit sees it", where, beyond)
        empty = int((named[ASIMOV].sums <= 0).sum())
        if empty:
            log.warning("region '%s': %d bins have no simulation; take fewer bins", region, empty)
        if DATA not in named:
            log.info("region '%s': no recorded data; what is observed is the sum of all processes", region)


def _signals(found: Preparation) -> list[str]:
    signals = signals_of(found.testing, found.reading.classes)
    if not signals:
        raise NtuplemlError(
            f"{found.testing_path}: signals: a fit needs classes whose strength it finds; name them, e.g. "
            f"signals: [{found.reading.classes[0]}]"
        )
    return signals


def _require_class(found: Preparation, name: str, key: str) -> None:
    classes = found.reading.classes
    if name not in classes:
        raise NtuplemlError(f"{found.testing_path}: histograms.{key}: no class '{name}'{did_you_mean(name, classes)}")


def _regions(found: Preparation, config: HistogramsConfig, signals: Sequence[str]) -> dict[str, RegionConfig]:
    """Regions of the config, or those that stand for none; each names its score."""
    classes = found.reading.classes
    if not config.regions:
        if len(classes) == 2:
            return {_ONLY: RegionConfig(score=signals[0])}
        return {name: RegionConfig(score=name, highest=True) for name in classes}
    regions = {}
    for name, one in config.regions.items():
        regions[name] = one.model_copy(update={"score": one.score or signals[0]})
        _require_class(found, regions[name].score or "", f"regions.{name}.score")
    return regions


def _reading_cuts(
    found: Preparation, cuts: Sequence[str], regions: dict[str, RegionConfig], factors: Sequence[str]
) -> Preparation:
    """Read the cuts, what blinds and the factors of weights, and nothing else beside the inputs."""
    keys = {one.cut: f"histograms.regions.{name}.cut" for name, one in regions.items() if one.cut is not None}
    keys |= dict.fromkeys(branches_of_blind(found.testing, found.reading.classes), "blind")
    keys |= dict.fromkeys((name for name in factors if name not in keys), "systematics")
    beside = [name for name in dict.fromkeys([*cuts, *keys]) if name not in found.reading.variables]
    return replace(found, reading=replace(found.reading, spectators=beside, keys=keys))


def _data_tree(found: Preparation) -> list[str]:
    name = found.testing.data_class
    there = all(has_tree(sample, name) for sample in found.samples)
    return [name] if there and name not in found.reading.classes else []


def _parts(found: Preparation, names: Sequence[str], share: float = 1.0) -> Iterator[ScoredPart]:
    with files_kept_open():
        for sample in found.samples:
            yield from scored_parts(sample, found.sources[sample.model], found.reading, names, share)


def _value_of(found: Preparation, part: ScoredPart, name: str) -> NDArray[np.float32]:
    reading: Reading = found.reading
    column: NDArray[np.float32] = part.values[:, [*reading.variables, *reading.spectators].index(name)]
    return column


def _hidden(found: Preparation, part: ScoredPart) -> NDArray[np.bool_]:
    """Events of a part that lie where recorded data are not looked at."""
    scores, formula = part.scores[found.methods[0]], found.testing.blind
    if formula is None:
        return np.zeros(len(scores), np.bool_)
    where = f"{found.testing_path}: blind"
    return blinded_rows(scores, found.reading.classes, partial(_value_of, found, part), formula, where)


def _inside(found: Preparation, region: RegionConfig, score: int, part: ScoredPart) -> NDArray[np.bool_]:
    """Events of a part that are in a region."""
    scores = part.scores[found.methods[0]]
    inside = np.ones(len(scores), np.bool_)
    if region.cut is not None:
        values = _value_of(found, part, region.cut)
        inside &= (values != 0) & ~np.isnan(values)
    if region.highest:
        inside &= scores.argmax(axis=1) == score
    return inside


def _with_edges(
    found: Preparation, config: HistogramsConfig, regions: dict[str, RegionConfig], classes: list[str]
) -> list[Region]:
    """Regions with the edges of their bins."""
    prepared = []
    for name, one in regions.items():
        bins = config.bins if one.bins is None else one.bins
        score = classes.index(one.score or "")
        lowest = 1 / len(classes) if one.highest else 0.0
        if isinstance(bins, EqualContentConfig):
            edges = _equal_content(found, name, one, score, bins, (lowest, 1.0))
        elif isinstance(bins, list):
            edges = np.asarray(bins, np.float64)
        else:
            edges = np.linspace(lowest, 1.0, bins + 1)
        prepared.append(Region(name, one, score, edges, isinstance(bins, list)))
    return prepared


def _in_range(found: Preparation, region: Region, scores: NDArray[np.float32]) -> NDArray[np.float64]:
    """Scores, of probabilities without what rounding puts beyond their range."""
    values = scores.astype(np.float64)
    if region.given or not len(values):
        return values
    low, high = region.edges[0], region.edges[-1]
    if values.min() < low - _ROUNDING or values.max() > high + _ROUNDING:
        raise NtuplemlError(
            f"{found.testing_path}: histograms: scores in region '{region.name}' reach from {values.min():.6g} to "
            f"{values.max():.6g}, so they are no probabilities; give the edges of the bins, e.g. bins: [-1, 0, 1]"
        )
    return np.clip(values, low, high)


def _equal_content(
    found: Preparation,
    name: str,
    region: RegionConfig,
    score: int,
    bins: EqualContentConfig,
    ends: tuple[float, float],
) -> NDArray[np.float64]:
    """Edges between which the sums of weights are the same; the ends are those of the range."""
    if bins.of is not None:
        _require_class(found, bins.of, "bins.of")
    names = found.reading.classes if bins.of is None else [bins.of]
    number = 0
    for sample in found.samples:
        for one in names:
            with sample.open(one) as ntuple:
                number += ntuple.num_entries
    share = shares_of_classes([number], found.reading.max_events)[0]
    found_values, found_weights = [np.empty(0)], [np.empty(0)]
    for part in _parts(found, names, share):
        inside = _inside(found, region, score, part)
        found_values.append(part.scores[found.methods[0]][inside, score].astype(np.float64))
        found_weights.append(part.weights[inside])
    values, weights = np.concatenate(found_values), np.concatenate(found_weights)
    if weights.sum() <= 0:
        raise NtuplemlError(
            f"{found.testing_path}: histograms: region '{name}' has a sum of weights of {weights.sum():.6g} of "
            f"'{bins.of or 'all classes'}', so no bins of equal content; choose another class or cut"
        )
    edges = equal_content_edges(values, weights, bins.equal_content)
    low, high = min(ends[0], values.min()), max(ends[1], values.max())
    return np.unique(np.concatenate([[low], edges, [high]]))


def equal_content_edges(values: NDArray[np.float64], weights: NDArray[np.float64], number: int) -> NDArray[np.float64]:
    """Inner edges of bins with equal sums of weights, between values that occur.

    Equal values are never divided, so there may be fewer. Negative weights count as they are; where the sum falls
    again, an edge stands where it was reached first.

    Examples
    --------
    >>> equal_content_edges(np.array([0.1, 0.2, 0.6, 0.8]), np.array([1.0, 1.0, 1.0, 1.0]), 2)
    array([0.4])
    """
    points, inverse = np.unique(values, return_inverse=True)
    sums = np.maximum.accumulate(np.cumsum(np.bincount(inverse, weights, len(points))))
    wanted = weights.sum() * np.arange(1, number) / number
    at = np.searchsorted(sums, wanted * (1 - 1e-12))
    at = np.unique(at[at < len(points) - 1])
    edges: NDArray[np.float64] = (points[at] + points[at + 1]) / 2
    return edges


def _sum(histograms: Sequence[Histogram]) -> Histogram:
    total = histograms[0]
    for one in histograms[1:]:
        total = add_histograms(total, one)
    return total
