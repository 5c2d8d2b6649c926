"""The step of the score distributions: training part against unseen events, and stacked classes with recorded data."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from ntupleml.metrics import Undefined, as_plain, histogram
from ntupleml.metrics.overtraining import ALLOWED_AUC, Overtraining, ScoredSample, no_overtraining
from ntupleml.metrics.overtraining import overtraining as compare_samples
from ntupleml.metrics.score_distributions import density, score_edges, score_stack, sum_of_weights
from ntupleml.metrics.two_samples import TwoSampleTest
from ntupleml.plots.pictures import Picture, Table, together
from ntupleml.plots.score_distributions import ScoreSamples, draw_all_score_distributions, draw_all_score_stacks
from ntupleml.testing.steps import Answer

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from ntupleml.metrics import Histogram, Measurement
    from ntupleml.metrics.overtraining import ClassOvertraining
    from ntupleml.metrics.score_distributions import ScoreStack
    from ntupleml.plots.pictures import Cell
    from ntupleml.testing.material import Material
    from ntupleml.testing.tested_events import TestedEvents


_INTRODUCTION = (
    "Where the distributions of the events that a model was fitted on and of those that it never saw differ by more "
    "than chance, it has learnt its training events by heart."
)


def score_distributions(material: Material) -> Answer:
    """Distributions of the scores of every method, and whether it is overtrained."""
    material.announce(f"{kind}_{name}" for name in material.classes for kind in ("scores", "stack"))
    allowed = material.testing.overtraining.auc_difference
    results, pictures = {}, {}
    for method in material.methods if material.for_page else list(material.events.scores):
        part, areas = material.training_part(method), material.areas(method) if material.for_page else None
        results[method] = overtraining(material.events, part, method, areas, allowed=allowed)
        pictures[method] = score_distribution_pictures(
            material.events,
            part,
            material.data_of(method),
            method,
            results[method],
            material.signals,
            blinded=material.blinded(material.events, method),
            in_panels=material.for_page,
        )
    return Answer.by_method(
        pictures,
        _INTRODUCTION,
        numbers=results,
        question="Overtrained?",
        verdicts={method: one.verdict for method, one in results.items()},
        only_first_open=True,
        remarks=[f"{method}: {one.verdict.text}" for method, one in results.items()],
    )


def overtraining(
    test: TestedEvents,
    training: TestedEvents | Undefined,
    method: str,
    test_areas: Mapping[int, Mapping[str, Measurement | Undefined]] | None = None,
    *,
    allowed: float = ALLOWED_AUC,
) -> Overtraining:
    """Compare the events that the models of a method were fitted on with those that they never saw.

    Parameters
    ----------
    training : TestedEvents or Undefined
        From `training_part`; where it is undefined, so is the result, with the reason in its verdict.
    test_areas : mapping of int to mapping of str to Measurement or Undefined, optional
        Areas of the unseen events by model and class, where they are known already.
    allowed : float
        By how much an area may be smaller on unseen events before the verdict calls attention.
    """
    if isinstance(training, Undefined):
        return no_overtraining(training)
    edges = _edges(test, training, None, method)
    return compare_samples(_sample(test, method), _sample(training, method), test.classes, edges, test_areas, allowed)


def score_distribution_pictures(
    test: TestedEvents,
    training: TestedEvents | Undefined,
    data: TestedEvents | Undefined,
    method: str,
    result: Overtraining | None = None,
    signals: Sequence[str] = (),
    *,
    blinded: NDArray[np.bool_] | None = None,
    in_panels: bool = False,
) -> list[Picture]:
    """Distributions of the scores of all classes.

    Parameters
    ----------
    test : TestedEvents
        Unseen events.
    training : TestedEvents or Undefined
        From `training_part`.
    data : TestedEvents or Undefined
        From `recorded_data`.
    result : Overtraining, optional
        From `overtraining`, if it is there already.
    signals : sequence of str, optional
        Classes that the stacks show scaled, too.
    blinded : array of bool, shape (n_events,), optional
        Which unseen events lie where data are not looked at; bins with one of them are blinded.
    in_panels : bool, default: False
        Make one picture of all classes in place of one for each.

    Returns
    -------
    list of Picture
        Of each class `scores_{class}` and `stack_{class}`; in panels `scores` and `stacks`.
    """
    result = overtraining(test, training, method) if result is None else result
    edges = _edges(test, training, data, method)
    unseen = _histograms(test, method, edges)
    fitted = {} if isinstance(training, Undefined) else _histograms(training, method, edges)
    scores, stacks, samples, sums = {}, {}, {}, {}
    for index, name in enumerate(test.classes):
        samples[name] = _samples(name, unseen[name], fitted.get(name, {}), result)
        scores[name] = _distributions(
            name, unseen[name], fitted.get(name, {}), samples[name], result, _sampling(test, training)
        )
        recorded: Histogram | Undefined = (
            data if isinstance(data, Undefined) else histogram(data.scores[method][:, index], data.weights, edges[name])
        )
        sums[name] = score_stack(unseen[name], recorded, _blinded_bins(test, method, index, edges[name], blinded))
        stacks[name] = _stack(name, sums[name], signals)
    if in_panels:
        return [
            together("scores", _of_each(scores), scores, partial(draw_all_score_distributions, samples), "Score of"),
            together(
                "stacks", _of_each(stacks), stacks, partial(draw_all_score_stacks, sums, signals=signals), "Score of"
            ),
        ]
    return [picture for name in test.classes for picture in (scores[name], stacks[name])]


def _blinded_bins(
    test: TestedEvents, method: str, index: int, edges: NDArray[np.float64], blinded: NDArray[np.bool_] | None
) -> NDArray[np.bool_] | None:
    """Bins of a score that have a blinded event of the simulation: what data have there is not shown."""
    if blinded is None:
        return None
    return histogram(test.scores[method][blinded, index], None, edges).sums > 0


def _of_each(pictures: Mapping[str, Picture]) -> str:
    """The caption of the pictures of all classes together."""
    name, first = next(iter(pictures.items()))
    return first.caption.replace(f"score of '{name}'", "score of each class").replace(
        f"Score of '{name}'", "Score of each class"
    )


def _sample(events: TestedEvents, method: str) -> ScoredSample:
    return ScoredSample(events.scores[method], events.truth, events.weights, events.models)


def _edges(
    test: TestedEvents, training: TestedEvents | Undefined, data: TestedEvents | Undefined | None, method: str
) -> dict[str, NDArray[np.float64]]:
    """Bins by the class of the score, wide enough for all events."""
    samples = [
        one.scores[method] for one in (test, training, data) if one is not None and not isinstance(one, Undefined)
    ]
    return {name: score_edges([scores[:, index] for scores in samples]) for index, name in enumerate(test.classes)}


def _histograms(
    events: TestedEvents, method: str, edges: Mapping[str, NDArray[np.float64]]
) -> dict[str, dict[str, Histogram]]:
    """By class of the score and true class."""
    found: dict[str, dict[str, Histogram]] = {name: {} for name in events.classes}
    for true_index, true_class in enumerate(events.classes):
        chosen = np.flatnonzero(events.truth == true_index)
        scores, weights = events.scores[method][chosen], events.weights[chosen]
        for index, name in enumerate(events.classes):
            found[name][true_class] = histogram(scores[:, index], weights, edges[name])
    return found


def _samples(
    name: str, unseen: Mapping[str, Histogram], fitted: Mapping[str, Histogram], result: Overtraining
) -> ScoreSamples:
    return ScoreSamples(
        {true_class: density(one) for true_class, one in unseen.items()},
        {true_class: density(one) for true_class, one in fitted.items()},
        {true_class: result.p_values(name, true_class) for true_class in unseen} if result.models else {},
    )


def _distributions(
    name: str,
    unseen: Mapping[str, Histogram],
    fitted: Mapping[str, Histogram],
    samples: ScoreSamples,
    result: Overtraining,
    sampling: str,
) -> Picture:
    compared = "points: the events that the models were fitted on" if fitted else result.verdict.text.rstrip(".")
    tables = (_table_of_areas(name, result), _table_of_tests(name, result)) if result.models else ()
    return Picture(
        f"scores_{name}",
        f"Score of '{name}' for the events of each true class, each normalised to 1. Lines: unseen events; {compared}."
        f"{sampling}",
        partial(draw_all_score_distributions, {name: samples}),
        {
            "score": name,
            "unseen": as_plain(samples.test),
            "training_part": as_plain(samples.training),
            "overtraining": _numbers_of_class(name, result),
        },
        (_table_of_events(unseen, fitted), *tables),
    )


def _numbers_of_class(name: str, result: Overtraining) -> dict[str, Any]:
    """The verdict on all classes, and the numbers of this one."""
    numbers = as_plain(result)
    if not result.models:
        return {"verdict": numbers["verdict"]}
    return {
        "verdict": numbers["verdict"],
        "average_difference": numbers["average_difference"][name],
        "models": {model: classes[name] for model, classes in numbers["models"].items()},
    }


def _table_of_events(unseen: Mapping[str, Histogram], fitted: Mapping[str, Histogram]) -> Table:
    header = ("True class", "Unseen events", *(("Training part",) if fitted else ()))
    rows = [
        (true_class, sum_of_weights(one), *((sum_of_weights(fitted[true_class]),) if fitted else ()))
        for true_class, one in unseen.items()
    ]
    return Table(header, tuple(rows), "Sums of weights")


def _table_of_areas(name: str, result: Overtraining) -> Table:
    rows: list[tuple[Cell, ...]] = [
        (f"model {model}", classes[name].training_auc, classes[name].test_auc, classes[name].difference)
        for model, classes in result.models.items()
    ]
    if len(rows) > 1:
        rows.append(("average", "", "", result.average[name]))
    return Table(("", "Training part", "Unseen events", "Difference"), tuple(rows), f"AUC of '{name}' against the rest")


def _table_of_tests(name: str, result: Overtraining) -> Table:
    rows = [row for model, classes in result.models.items() for row in _rows_of_tests(model, classes[name])]
    if len(result.models) > 1:
        for true_class in result.average:
            kolmogorov_smirnov, chi_square = result.p_values(name, true_class)
            rows.append((true_class, "all, corrected", "", kolmogorov_smirnov, "", "", chi_square))
    header = ("True class", "Model", "K-S distance", "K-S p-value", "χ²", "Degrees of freedom", "χ² p-value")
    return Table(header, tuple(rows), "Training part against unseen events")


def _rows_of_tests(model: int, result: ClassOvertraining) -> Iterator[tuple[Cell, ...]]:
    for true_class, (distance, chi) in result.shapes.items():
        cells: list[Cell] = [true_class, model]
        cells += [distance.statistic, distance.p_value] if isinstance(distance, TwoSampleTest) else [distance, distance]
        if isinstance(chi, TwoSampleTest):
            cells += [chi.statistic, chi.degrees_of_freedom or 0, chi.p_value]
        else:
            cells += [chi, "", chi]
        yield tuple(cells)


def _sampling(test: TestedEvents, training: TestedEvents | Undefined) -> str:
    """What is said of samples that were taken."""
    texts = [_share(test.sampled, "the unseen events")]
    if not isinstance(training, Undefined):
        texts.append(_share(training.sampled, "the training part"))
    return "".join(texts)


def _share(sampled: Mapping[str, float], what: str) -> str:
    if not sampled:
        return ""
    shares = ", ".join(f"{share:.3g} of '{name}'" for name, share in sampled.items())
    return f" Of {what} a random sample was taken and weighted up: {shares}."


def _stack(name: str, stack: ScoreStack, signals: Sequence[str]) -> Picture:
    if isinstance(stack.data, Undefined):
        points = f"recorded data are not shown ({stack.data.reason})"
    else:
        points = "points: recorded data, below their ratio to the sum"
        if stack.scale != 1:
            points += f", which is scaled by {stack.scale:.3g} to the data"
        if stack.blinded is not None:
            points += "; data in the hatched bins are blinded, and count nowhere"
    lines = f" Lines: {_listed(signals)} once more, scaled to be seen; the legend has the factors." if signals else ""
    return Picture(
        f"stack_{name}",
        f"Sums of weights of all true classes in bins of the score of '{name}', unseen events, with the statistical "
        f"uncertainty of the sum; {points}.{lines}",
        partial(draw_all_score_stacks, {name: stack}, signals=signals),
        {"score": name, **as_plain(stack)},
        _tables_of_stack(stack),
    )


def _listed(names: Sequence[str]) -> str:
    return ", ".join(f"'{name}'" for name in names)


def _tables_of_stack(stack: ScoreStack) -> tuple[Table, ...]:
    rows: list[tuple[Cell, ...]] = [(name, sum_of_weights(one)) for name, one in stack.classes.items()]
    rows.append(("all classes", sum_of_weights(stack.total)))
    if not isinstance(stack.data, Undefined):
        rows += [("data", sum_of_weights(stack.data)), ("data / all classes", stack.normalisation)]
        shape = stack.shape if isinstance(stack.shape, Undefined) else stack.shape.p_value
        rows.append(("p-value of the shapes (χ²)", shape))
    return (Table(("", "Sum of weights"), tuple(rows)),)
