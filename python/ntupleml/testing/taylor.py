"""Taylor coefficients of Keras networks on the events that they never saw: rankings and matrices, as pictures."""

from __future__ import annotations

import logging
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ntupleml.artifacts import load_keras_model, load_preprocessing, require_single
from ntupleml.errors import NtuplemlError, one_line
from ntupleml.metrics import Measurement, Undefined, as_plain
from ntupleml.metrics.number_texts import measurement_text
from ntupleml.metrics.taylor import RankedTerm, derivative_sums, taylor_matrix, taylor_ranking, taylor_terms
from ntupleml.plots.pictures import Picture, Table
from ntupleml.plots.style import figure_paths
from ntupleml.plots.taylor import draw_taylor_matrix, draw_taylor_ranking
from ntupleml.preprocessing import fill_missing
from ntupleml.scoring import append_condition
from ntupleml.testing.steps import Answer, Group

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from ntupleml.artifacts import TrainedModel
    from ntupleml.metrics.taylor import DerivativeSums, TaylorMatrix, TaylorRanking
    from ntupleml.testing.material import Material
    from ntupleml.testing.preparation import Preparation
    from ntupleml.testing.tested_events import TestedEvents

log = logging.getLogger(__name__)

#: Events that are differentiated by default, by the order of the derivatives: seconds to a minute.
MOST_EVENTS = {1: 100_000, 2: 100_000, 3: 10_000}
#: Difference between the scores of Keras and those of the engine, in units of the largest, that is worth a warning.
_TOLERANCE = 1e-4
#: Lines of a picture's table; the files have all terms.
_MOST_ROWS = 30
#: Distinguishes the random numbers of this sampling from those of other purposes.
_SAMPLING_STREAM = 11
_UNDEFINED = "undefined: "
_ORDERS = {1: "first", 2: "second", 3: "third"}


class TaylorSums(NamedTuple):
    """Derivatives of the score of the true class, summed up over events."""

    #: In the order of the classes.
    by_class: dict[str, DerivativeSums]
    #: Inputs of the network: variables, then conditions.
    inputs: list[str]
    #: Highest order of the derivatives.
    order: int
    #: Whether the modulus of the derivatives is averaged.
    absolute: bool
    #: Share of the events of each class that were taken, where it is less than 1.
    sampled: dict[str, float]
    #: Largest difference between the scores of the differentiated networks and those that events are scored with.
    largest_difference: float

    @property
    def all_classes(self) -> DerivativeSums:
        """Sums of the events of all classes together."""
        first, *others = self.by_class.values()
        return sum(others, first)

    def rankings(self) -> dict[str, TaylorRanking]:
        """Ranking of each class and, as the last, of all classes together."""
        sums = {**self.by_class, name_of_all(list(self.by_class)): self.all_classes}
        return {name: taylor_ranking(one, self.inputs, self.order) for name, one in sums.items()}


def name_of_all(classes: list[str]) -> str:
    """What stands for all classes together in names of files: `all`, with underscores while a class is called so.

    Examples
    --------
    >>> name_of_all(["signal", "all"])
    'all_'
    """
    name = "all"
    while name in classes:
        name += "_"
    return name


def differentiable_method(preparation: Preparation, method: str | None = None) -> str:
    """Name of the method whose networks are differentiated: the first Keras network of those that are tested."""
    names = [method] if method is not None else preparation.methods
    for name in names:
        models = preparation.trained.get(name, [])
        if models and all(model.files.model.suffix == ".keras" and model.files.preprocessing for model in models):
            return name
        require_single(models, "no derivatives of its own")
    raise NtuplemlError(
        f"{', '.join(names)}: only Keras networks have derivatives, not trees, TMVA's methods, ONNX or lwtnn files; "
        "rank the inputs with testing/permutation_importance.py"
    )


def taylor_sums(
    preparation: Preparation,
    events: TestedEvents,
    order: int,
    *,
    absolute: bool = True,
    method: str | None = None,
    most_events: int | None = None,
) -> TaylorSums:
    """Differentiate the score of each event's true class, by the model that never saw the event.

    Parameters
    ----------
    order : {1, 2, 3}
        Highest order of the derivatives.
    absolute : bool, default: True
        Whether to average the modulus of the derivatives.
    method : str, optional
        By default that of `differentiable_method`.
    most_events : int, optional
        Of more events a random sample is taken, as evenly from the classes as their numbers allow; by default
        `MOST_EVENTS` of the order.
    """
    method = differentiable_method(preparation, method)
    chosen = _sample(events, most_events or MOST_EVENTS[order], preparation.testing.seed)
    by_class: dict[str, DerivativeSums] = {}
    inputs: list[str] = []
    difference = 0.0
    for model, trained in zip(preparation.models, preparation.trained[method], strict=True):
        part = _sums_of_model(trained, chosen.of_model(model), preparation.condition, order, absolute, method)
        for name, sums in part.by_class.items():
            by_class[name] = by_class[name] + sums if name in by_class else sums
        inputs, difference = part.inputs, max(difference, part.largest_difference)
    log.info("%d events differentiated; their scores agree within %.2g", len(chosen), difference)
    return TaylorSums(by_class, inputs, order, absolute, chosen.sampled, difference)


def _sample(events: TestedEvents, most: int, seed: int) -> TestedEvents:
    """Some of the events of each class, weighted up; recorded data are left out."""
    numbers = {index: int(np.count_nonzero(events.truth == index)) for index in range(len(events.classes))}
    left, kept, weights = most, [], events.weights.copy()
    sampled = dict(events.sampled)
    # The smallest classes are taken whole as far as there is room, the others share what is left.
    for position, index in enumerate(sorted(numbers, key=lambda one: numbers[one])):
        of_class = np.flatnonzero(events.truth == index)
        room = max(left // (len(numbers) - position), 1)
        if numbers[index] > room:
            random = np.random.default_rng([seed, index, _SAMPLING_STREAM])
            of_class = np.sort(random.choice(of_class, room, replace=False))
            weights[of_class] *= numbers[index] / room
            name = events.classes[index]
            sampled[name] = sampled.get(name, 1.0) * room / numbers[index]
            log.info("class '%s': a random sample of %d of %d events is differentiated", name, room, numbers[index])
        left -= len(of_class)
        kept.append(of_class)
    return replace(replace(events, weights=weights).chosen(np.sort(np.concatenate(kept))), sampled=sampled)


def _sums_of_model(
    trained: TrainedModel, events: TestedEvents, condition: str | None, order: int, absolute: bool, method: str
) -> TaylorSums:
    """Sums over the events that one model never saw."""
    from ntupleml.testing.gradients import score_derivatives

    record, path = trained.record, trained.files.model
    model = load_keras_model(path)
    inputs = _network_inputs(trained, events, condition)
    nothing = derivative_sums(np.zeros((0, len(taylor_terms(inputs.shape[1], order)))), np.zeros(0))
    sums = dict.fromkeys(record.classes, nothing)
    difference = 0.0
    for batch in score_derivatives(model, inputs, events.truth, order, where=str(path)):
        rows = slice(batch.start, batch.start + len(batch.scores))
        truth, weights = events.truth[rows], events.weights[rows]
        for index in np.unique(truth):
            of_class = truth == index
            sums[record.classes[index]] += derivative_sums(
                batch.derivatives[of_class], weights[of_class], absolute=absolute
            )
        difference = max(difference, _difference(batch.scores, events.scores[method][rows]))
    if difference > _TOLERANCE:
        log.warning(
            "%s: its scores differ by up to %.2g from those of the ONNX file; single precision may not suffice for its "
            "inputs",
            path,
            difference,
        )
    return TaylorSums(sums, [*record.variables, *record.conditions], order, absolute, {}, difference)


def _network_inputs(trained: TrainedModel, events: TestedEvents, condition: str | None) -> NDArray[np.float32]:
    """What the network takes: scaled variables, then the one-hot conditions."""
    record = trained.record
    assert trained.files.preprocessing is not None
    scaler = load_preprocessing(trained.files.preprocessing)
    columns = [events.variables.index(name) for name in record.variables]
    raw = fill_missing(events.values[:, columns], record.missing).astype(np.float64)
    scaled = scaler.transform(raw).astype(np.float32) if len(raw) else raw.astype(np.float32)
    return append_condition(scaled, record.conditions, condition, str(trained.files.model))


def _difference(found: NDArray[Any], expected: NDArray[Any]) -> float:
    return float(np.abs(found - expected).max()) / max(1.0, float(np.abs(expected).max()))


def taylor_rankings(material: Material, *, order: int = 2, no_abs: bool = False) -> Answer:
    """Ranking of inputs and pairs by the Taylor coefficients of a Keras network: for each class and for all together.

    Parameters
    ----------
    order : {1, 2, 3}
        Highest order of the derivatives.
    no_abs : bool, default: False
        Average the derivatives themselves, not their modulus.
    """
    method = differentiable_method(material.preparation)
    names = [name_of_all(material.classes), *material.classes]
    tables = {f"taylor_{kind}_{name}.txt": (kind, name) for name in names for kind in ("ranking", "1D")}
    pictures = [f"taylor_ranking_{name}" for name in (*names[1:], names[0])]
    material.announce([*pictures, *tables, "taylor_ranking.yaml"])
    sums = _sums(material, order, no_abs, method)
    rankings = sums.rankings()
    shown = tuple(ranking_pictures(sums, rankings))
    of_all = rankings[names[0]]
    return Answer(
        "",
        (Group(f"{method}: Taylor coefficients", (), (), shown, method),),
        numbers=rankings,
        remarks=(f"{_summary_of(material.preparation)}: leading terms: {leading_terms(of_all.terms)}",),
        files={
            **{
                file: _as_columns(rankings[name] if kind == "ranking" else rankings[name].of_order(1))
                for file, (kind, name) in tables.items()
            },
            "taylor_ranking.yaml": _as_yaml(of_all),
        },
    )


def taylor_matrix_of_classes(material: Material, *, no_abs: bool = False, normalize: bool = False) -> Answer:
    """Coefficients of first order by class and input, as a matrix; parameters as for `taylor_rankings`.

    With `normalize` each row is divided by its sum.
    """
    method = differentiable_method(material.preparation)
    material.announce(["taylor_1D"])
    picture = taylor_matrix_picture(_sums(material, 1, no_abs, method), normalised=normalize)
    return Answer("", (Group(method, (), (), (picture,), method),), numbers=picture.numbers)


def _sums(material: Material, order: int, no_abs: bool, method: str) -> TaylorSums:
    if material.for_page:
        return taylor_sums(material.preparation, material.events, order, absolute=not no_abs, method=method)
    most = material.preparation.asked_events or MOST_EVENTS[order]
    events = material.at_most(most).events
    return taylor_sums(material.preparation, events, order, absolute=not no_abs, method=method, most_events=most)


def _summary_of(preparation: Preparation) -> Path:
    """Where the ranking of all classes is written, which `read_taylor_ranking` reads."""
    return figure_paths(preparation.stem("taylor_ranking"), ["yaml"])[0]


def ranking_pictures(sums: TaylorSums, rankings: Mapping[str, TaylorRanking]) -> list[Picture]:
    """Pictures of rankings that are there already."""
    return [_ranking_picture(name, name not in sums.by_class, ranking, sums) for name, ranking in rankings.items()]


def _ranking_picture(name: str, is_all: bool, ranking: TaylorRanking, sums: TaylorSums) -> Picture:
    whose = "all classes" if is_all else name
    modulus = "modulus of the " if sums.absolute else ""
    caption = (
        f"Mean {modulus}Taylor coefficients, up to the {_ORDERS[sums.order]} order, of the score of the true class, "
        f"for {ranking.events} events of {'all classes' if is_all else f'class {name}'}."
    )
    header = ("rank", "term", "order", "⟨t⟩")
    rows = tuple(
        (rank, term.label, term.order, term.coefficient) for rank, term in enumerate(ranking.terms[:_MOST_ROWS])
    )
    title = "" if len(ranking.terms) <= _MOST_ROWS else f"The first {_MOST_ROWS} of {len(ranking.terms)} terms"
    draw = partial(_draw_ranking, ranking, whose)
    numbers = {"class": name, **_description(sums), **as_plain(ranking)}
    return Picture(f"taylor_ranking_{name}", caption, draw, numbers, (Table(header, rows, title),))


def _draw_ranking(ranking: TaylorRanking, name: str, config: Any) -> Any:
    return draw_taylor_ranking(ranking, config.class_labels.get(name, name), config)


def _description(sums: TaylorSums) -> dict[str, Any]:
    return {
        "order": sums.order,
        "modulus": sums.absolute,
        "inputs": sums.inputs,
        "sampled": sums.sampled,
        "largest_difference_of_scores": sums.largest_difference,
    }


def taylor_matrix_picture(sums: TaylorSums, *, normalised: bool = False) -> Picture:
    """Coefficients of first order by class and input.

    Parameters
    ----------
    sums : TaylorSums
        Of first derivatives alone.
    normalised : bool, default: False
        Whether to divide each row by its sum.
    """
    matrix = taylor_matrix(sums.by_class, sums.inputs, normalised=normalised)
    modulus = "modulus of the " if sums.absolute else ""
    shares = ", as shares of each row" if normalised else ""
    caption = f"Mean {modulus}first derivatives of the score of the true class by the preprocessed inputs{shares}."
    numbers = {"coefficients": as_plain(matrix), "normalised": normalised, **_description(sums)}
    return Picture("taylor_1D", caption, partial(draw_taylor_matrix, matrix), numbers, (_matrix_table(matrix),))


def _matrix_table(matrix: TaylorMatrix) -> Table:
    """A line per input, since there are more inputs than classes."""
    rows = tuple((name, *(row[index] for row in matrix.rows.values())) for index, name in enumerate(matrix.inputs))
    return Table(("input", *matrix.rows), rows)


def _as_columns(ranking: TaylorRanking) -> str:
    """Rank from 0, label and coefficient of each term, in columns as htt-ml has them."""
    return "".join(f"{rank:<4} : {term.label:<60} : {_number(term)}\n" for rank, term in enumerate(ranking.terms))


def _number(term: RankedTerm) -> str:
    coefficient = term.coefficient
    return f"{coefficient.value:g}" if isinstance(coefficient, Measurement) else str(coefficient)


def _as_yaml(ranking: TaylorRanking) -> str:
    """A list of variables and score, as htt-ml has it, with the uncertainty beside them."""
    import yaml

    dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
    text: str = yaml.dump(ranking.to_list(), Dumper=dumper, default_flow_style=False, allow_unicode=True)
    return text


def read_taylor_ranking(path: str | Path) -> list[RankedTerm]:
    """Read back ``fold{f}_keras_taylor_ranking.yaml``, ours or htt-ml's.

    Returns
    -------
    list of RankedTerm
        In rank order. In htt-ml's files, which have none, uncertainties are 0.
    """
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        content = yaml.load(Path(path).read_text(encoding="utf-8"), Loader=loader)  # noqa: S506 - a safe one
    except FileNotFoundError:
        raise NtuplemlError(f"{path}: no such file; testing/keras_taylor_ranking.py writes it") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise NtuplemlError(f"{path}: not a Taylor ranking: {one_line(error)}") from None
    if not isinstance(content, list):
        raise NtuplemlError(f"{path}: not a Taylor ranking, which is a list of variables and scores")
    return [_term(entry, f"{path}: entry {number}") for number, entry in enumerate(content)]


def _term(entry: Any, where: str) -> RankedTerm:
    variables = entry.get("variables") if isinstance(entry, dict) else None
    if not isinstance(variables, list) or not variables or not all(isinstance(name, str) for name in variables):
        raise NtuplemlError(f"{where}: not a term of a Taylor ranking: it has no list of variables")
    score, uncertainty = entry.get("score"), entry.get("uncertainty", 0.0)
    if isinstance(score, str) and score.startswith(_UNDEFINED):
        return RankedTerm(tuple(variables), Undefined(score.removeprefix(_UNDEFINED)))
    if not _is_number(score) or not _is_number(uncertainty):
        raise NtuplemlError(f"{where}: not a term of a Taylor ranking: score or uncertainty is not a number")
    return RankedTerm(tuple(variables), Measurement(float(score), float(uncertainty)))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def leading_terms(ranking: Sequence[RankedTerm], number: int = 3) -> str:
    """The first terms of a ranking as a text, for the log."""
    return "; ".join(
        f"{term.label}: {measurement_text(value)}"
        if isinstance(value := term.coefficient, Measurement)
        else f"{term.label}: {value}"
        for term in ranking[:number]
    )
