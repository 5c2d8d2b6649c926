"""The events of the testing stage in memory: scores of one or several methods, truth, weights and variables."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ntupleml.datasets.excluding import EXCLUDE
from ntupleml.datasets.splitting import uniform_by_entry
from ntupleml.errors import NtuplemlError, did_you_mean
from ntupleml.events.evaluation import read_group
from ntupleml.features.images import FULL_CIRCLE, missing_energy_of
from ntupleml.metrics import Undefined
from ntupleml.ntuples import columns_to_matrix, required_branches
from ntupleml.ntuples.opening import files_kept_open, open_root_file, tree_paths
from ntupleml.progress import watched
from ntupleml.testing.events import require_finite, require_scores, require_weight

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from ntupleml.datasets.excluding import TrainedKeys
    from ntupleml.events.groups import InputGroup
    from ntupleml.ntuples import Chunk, Ntuple
    from ntupleml.testing.events import HeldOutSample
    from ntupleml.testing.sources import ScoreSource

log = logging.getLogger(__name__)

#: Distinguishes the random numbers of the sampling from those of other purposes.
_SAMPLING_STREAM = 7
#: Key of the testing config for what a signal alone may have, such as its masses.
POINTS = "search: points"
#: Key of the testing config for weights of simulation, which recorded data need not have.
SYSTEMATICS = "systematics"
#: Class of events whose class nobody knows: recorded data.
NO_CLASS = -1


@dataclass(frozen=True, eq=False)
class TestedEvents:
    """Events, each scored by the models that did not see it."""

    __test__ = False  # the name begins with "Test", but pytest has nothing to collect here

    #: Classes of the training, by the columns of the scores.
    classes: list[str]
    #: Shape (n_events, n_classes). By method, finite.
    scores: dict[str, NDArray[np.float32]]
    #: Shape (n_events,). Index of the true class; −1 for recorded data.
    truth: NDArray[np.int64]
    #: Shape (n_events,). Event weights, with class weights where the testing config asks for them.
    weights: NDArray[np.float64]
    #: Shape (n_events,). Index of the model that scored the event.
    models: NDArray[np.int64]
    #: Inputs of the training config, then spectators.
    variables: list[str]
    #: Shape (n_events, n_variables). Their values; NaN and infinite ones are as in the ntuple.
    values: NDArray[np.float32]
    #: Share of the events of each class that are here, where it is less than 1; their weights are divided by it.
    sampled: dict[str, float]
    #: Methods without scores, and why.
    left_out: dict[str, str]
    #: Names of the scores, by their columns; empty where these are the classes.
    outputs: list[str] = field(default_factory=list)
    #: Shape (n_events, n_values). Truth where values are learnt, by the columns of the scores; no values else.
    target: NDArray[np.float32] = field(default_factory=lambda: np.empty((0, 0), np.float32))
    #: Shape (n_events, n_members, n_outputs). Scores of the members, by method; only of ensembles.
    members: dict[str, NDArray[np.float32]] = field(default_factory=dict)
    #: Number of events of each class that are not here, since other trainings saw them.
    excluded: dict[str, int] = field(default_factory=dict)
    #: Shape (n_events, 2). Missing transverse energy of images that are simple estimators, by their names.
    references: dict[str, NDArray[np.float32]] = field(default_factory=dict)

    def __len__(self) -> int:
        """Number of events."""
        return len(self.truth)

    def values_of(self, variable: str) -> NDArray[np.float32]:
        """Values of one variable, shape (n_events,)."""
        if variable not in self.variables:
            raise NtuplemlError(f"variable '{variable}' was not read{did_you_mean(variable, self.variables)}")
        column: NDArray[np.float32] = self.values[:, self.variables.index(variable)]
        return column

    def scores_of(self, method: str | None) -> NDArray[np.float32]:
        """Scores of a method, by default of the first one."""
        method = method or next(iter(self.scores))
        if method not in self.scores:
            raise NtuplemlError(f"method '{method}' is not among those tested{did_you_mean(method, self.scores)}")
        return self.scores[method]

    def chosen(self, events: NDArray[Any]) -> TestedEvents:
        """Some of the events, by a mask or their positions."""
        return TestedEvents(
            self.classes,
            {name: scores[events] for name, scores in self.scores.items()},
            self.truth[events],
            self.weights[events],
            self.models[events],
            self.variables,
            self.values[events],
            self.sampled,
            self.left_out,
            self.outputs,
            self.target[events] if len(self.target) else self.target,
            {name: scores[events] for name, scores in self.members.items()},
            self.excluded,
            {name: components[events] for name, components in self.references.items()},
        )

    def of_model(self, model: int) -> TestedEvents:
        """Those that one model scored."""
        return self.chosen(self.models == model)


@dataclass(frozen=True)
class Reading:
    """What is read of the fold files, and how."""

    classes: list[str]
    variables: list[str]
    spectators: list[str]
    #: None for weights of 1.
    weight_branch: str | None
    #: Config and key that name it, for messages.
    weight_key: str
    #: Class weights; empty for none.
    factors: dict[str, float]
    max_events: int
    seed: int
    entries_per_chunk: int | None = None
    #: Names of the scores; empty where these are the classes.
    outputs: list[str] = field(default_factory=list)
    #: Formulas of the target, where it has values, and its image, where it has one.
    values: list[str] = field(default_factory=list)
    image: InputGroup | None = None
    #: Keys of the testing config that name the spectators; those of `POINTS` are NaN in trees that lack them, but for
    #: that of the signal.
    keys: Mapping[str, str] = field(default_factory=dict)
    signal: str | None = None
    #: Rows that other trainings saw, which are left out; None where it does not matter.
    trained: TrainedKeys | None = None
    #: Images that are simple estimators of a vector, by the name of the estimator.
    references: Mapping[str, InputGroup] = field(default_factory=dict)
    #: Whether parts have the true image itself, too.
    keeps_image: bool = False

    @property
    def is_measured(self) -> bool:
        """Whether each score has a true number."""
        return bool(self.values) or self.image is not None


class ScoredPart(NamedTuple):
    """Some events of one class, and of one model."""

    scores: dict[str, NDArray[np.float32]]
    class_index: int
    weights: NDArray[np.float64]
    model: int
    values: NDArray[np.float32]
    target: NDArray[np.float32]
    #: Of the members of ensembles.
    members: dict[str, NDArray[np.float32]]
    #: Missing transverse energy of the images that are simple estimators.
    references: dict[str, NDArray[np.float32]]
    #: Shape (n_events, η, φ). The true image, where `Reading.keeps_image`.
    image: NDArray[np.floating] | None = None
    #: Events that are not here, since other trainings saw them.
    excluded: int = 0


@files_kept_open()
def read_tested_events(
    samples: Sequence[HeldOutSample],
    sources: Mapping[int, Sequence[ScoreSource]],
    reading: Reading,
    *,
    tolerant: bool = False,
    left_out: Mapping[str, str] | None = None,
) -> TestedEvents:
    """Read the held-out folds of some models once, and score their events by all methods.

    Parameters
    ----------
    sources : mapping of int to sequence of ScoreSource
        By the index of the model.
    tolerant : bool, default: False
        Leave out a method that cannot score the events, with the reason, in place of raising its error.
    left_out : mapping of str to str, optional
        Methods that are left out already, and why.
    """
    failed: dict[str, str] = dict(left_out or {})
    shares, total = _shares(samples, reading)
    read = (
        part
        for number, sample in enumerate(samples)
        for name in reading.classes
        for part in _parts(
            sample,
            name,
            (number, reading.classes.index(name)),
            sources[sample.model],
            reading,
            shares[name],
            failed if tolerant else None,
        )
    )
    parts = list(watched(read, "scoring the events", total, size=lambda part: len(part.weights)))
    methods = list(dict.fromkeys(source.method for some in sources.values() for source in some))
    return _joined(parts, [name for name in methods if name not in failed], reading, shares, failed)


def read_recorded_data(
    samples: Sequence[HeldOutSample],
    sources: Mapping[int, Sequence[ScoreSource]],
    reading: Reading,
    data_class: str,
    *,
    tolerant: bool = False,
) -> TestedEvents | Undefined:
    """Recorded data of the fold files, scored as `read_tested_events` does; undefined where there are none.

    Their class is −1 and their weights are those of the weight branch, or 1 where the tree has no such branch.
    """
    without = [sample.path for sample in samples if not has_tree(sample, data_class)]
    if without:
        return Undefined(f"no tree '{data_class}' in {without[0]}")
    failed: dict[str, str] = {}
    parts = [
        part
        for number, sample in enumerate(samples)
        for part in _parts(
            sample,
            data_class,
            (number, len(reading.classes)),
            sources[sample.model],
            reading,
            1.0,
            failed if tolerant else None,
        )
    ]
    methods = list(dict.fromkeys(source.method for some in sources.values() for source in some))
    return _joined(parts, [name for name in methods if name not in failed], reading, {}, failed)


def scored_parts(
    sample: HeldOutSample,
    sources: Sequence[ScoreSource],
    reading: Reading,
    names: Sequence[str] | None = None,
    share: float = 1.0,
) -> Iterator[ScoredPart]:
    """Events of one fold with their scores, tree after tree, a bounded number at a time.

    Parameters
    ----------
    names : sequence of str, optional
        Trees; by default the classes.
    share : float, default: 1
        Of the events that are taken at random; their weights are divided by it.
    """
    for index, name in enumerate(reading.classes if names is None else names):
        yield from _parts(sample, name, (0, index), sources, reading, share, None)


def has_tree(sample: HeldOutSample, name: str) -> bool:
    """Whether the fold file has a tree."""
    with open_root_file(sample.path, sample.where) as file:
        return name in tree_paths(file)


def _shares(samples: Sequence[HeldOutSample], reading: Reading) -> tuple[dict[str, float], float]:
    """Share of the events of each class that is taken, so that no more than `max_events` are held; and their number."""
    numbers = dict.fromkeys(reading.classes, 0)
    for sample in samples:
        for name in reading.classes:
            with sample.open(name) as ntuple:
                numbers[name] += ntuple.num_entries
    shares = dict(zip(numbers, shares_of_classes(list(numbers.values()), reading.max_events), strict=True))
    for name, share in shares.items():
        if share < 1:
            log.info("class '%s': a random sample of %.3g of its %d events is tested", name, share, numbers[name])
    return shares, sum(share * numbers[name] for name, share in shares.items())


def shares_of_classes(numbers: Sequence[int], max_events: int) -> list[float]:
    """Share of the events of each class that is taken: the smallest classes whole, as far as there is room.

    Examples
    --------
    >>> shares_of_classes([100, 2000, 4000], 2100)
    [1.0, 0.5, 0.25]
    """
    left, shares = max_events, [1.0] * len(numbers)
    for position, index in enumerate(sorted(range(len(numbers)), key=lambda one: numbers[one])):
        room = left // (len(numbers) - position)
        if numbers[index]:
            shares[index] = min(1.0, max(room, 1) / numbers[index])
        left -= min(numbers[index], room)
    return shares


def _parts(
    sample: HeldOutSample,
    name: str,
    place: tuple[int, int],
    sources: Sequence[ScoreSource],
    reading: Reading,
    share: float,
    failed: dict[str, str] | None,
) -> Iterator[ScoredPart]:
    """Scored events of one tree, chunk by chunk."""
    with sample.open(name) as ntuple:
        where = f"{sample.path}: tree '{name}'"
        is_class = name in reading.classes
        weight_branch = reading.weight_branch if is_class or reading.weight_branch in ntuple.branches else None
        branches = required_branches(reading.variables, ntuple.branches, where)
        absent = {one for one in reading.spectators if _may_lack(reading, one, name, ntuple)}
        beside = [one for one in reading.spectators if one not in absent]
        for one in beside:
            key = reading.keys.get(one, "spectators")
            branches += required_branches([one], ntuple.branches, f"{where}: {key}")
        if is_class:
            of_image = [] if reading.image is None else reading.image.needed
            branches += required_branches([*reading.values, *of_image], ntuple.branches, f"{where}: target")
            for one, group in reading.references.items():
                branches += required_branches(group.needed, ntuple.branches, f"{where}: {_key_of_reference(one)}")
        branches += _branches_of_sources(sources, ntuple, sample, failed)
        branches += [] if reading.trained is None else reading.trained.branches(ntuple)
        if weight_branch is not None:
            require_weight(ntuple, weight_branch, reading.weight_key)
            branches.append(weight_branch)
        class_index = reading.classes.index(name) if is_class else NO_CLASS
        factor = reading.factors.get(name, 1.0) / share
        for chunk in ntuple.chunks(list(dict.fromkeys(branches)), reading.entries_per_chunk):
            columns, excluded = chunk.columns, 0
            kept = np.arange(chunk.stop - chunk.start)
            if share < 1:
                entries = np.arange(chunk.start, chunk.stop)
                kept = np.flatnonzero(uniform_by_entry(entries, reading.seed, *place, _SAMPLING_STREAM) < share)
            if reading.trained is not None:
                is_seen = reading.trained.has(columns, kept, where)
                kept, excluded = kept[~is_seen], int(is_seen.sum())
            if len(kept) < chunk.stop - chunk.start:
                columns = {branch: values[kept] for branch, values in columns.items()}
            weights = _weights(columns, weight_branch, len(kept), chunk, where)
            matrix = columns_to_matrix(columns, [*reading.variables, *beside], where=where)
            if absent:
                matrix = _with_gaps(matrix, [one in absent for one in (*reading.variables, *reading.spectators)])
            inputs = matrix[:, : len(reading.variables)] if reading.spectators else matrix
            scores, members = _scores(sources, columns, inputs, chunk, where, failed)
            target, image = _target(columns, reading if is_class else None, len(kept), chunk, where)
            references = _references(columns, reading, len(kept), where, is_class=is_class)
            image = image if reading.keeps_image else None
            yield ScoredPart(
                scores, class_index, weights * factor, sample.model, matrix, target, members, references, image,
                excluded,
            )  # fmt: skip


def _may_lack(reading: Reading, variable: str, name: str, ntuple: Ntuple) -> bool:
    """Whether a tree that is not the signal's lacks a variable of the points, or data a weight of the simulation."""
    key = reading.keys.get(variable, "")
    of_simulation = key.startswith(f"{SYSTEMATICS}: ") and name not in reading.classes
    if not of_simulation and (key != POINTS or name == reading.signal):
        return False
    try:
        required_branches([variable], ntuple.branches, name)
    except NtuplemlError:
        return True
    return False


def _with_gaps(matrix: NDArray[np.float32], is_gap: Sequence[bool]) -> NDArray[np.float32]:
    """The same with columns of NaN."""
    wider = np.full((len(matrix), len(is_gap)), np.nan, np.float32)
    wider[:, ~np.array(is_gap)] = matrix
    return wider


def _target(
    columns: Mapping[str, Any], reading: Reading | None, number: int, chunk: Chunk, where: str
) -> tuple[NDArray[np.float32], NDArray[np.floating] | None]:
    """Truth of what is measured, and the true image; none of recorded data, and of other targets."""
    image = None
    if reading is None or not reading.is_measured:
        width = len(reading.outputs) if reading is not None and reading.is_measured else 0
        return np.full((number, width), np.nan, np.float32), None
    parts: list[NDArray[Any]] = []
    if reading.image is not None:
        image = _image(reading.image, columns, number, where)
        parts.append(missing_energy_of(image, _phi_range(reading.image)))
    if reading.values:
        parts.append(columns_to_matrix(columns, reading.values, where=f"{where}: target"))
    target = np.concatenate(parts, axis=1, dtype=np.float32)
    for name, column in zip(reading.outputs, target.T, strict=True):
        require_finite(column, f"the values of the target '{name}'", chunk, where)
    return target, image


def _image(group: InputGroup, columns: Mapping[str, Any], number: int, where: str) -> NDArray[np.floating]:
    """Images of one channel, shape (n_events, η, φ)."""
    images: NDArray[np.floating] = read_group(group, columns, number, where).take(slice(None))
    if images.shape[-1] > 1:
        raise NtuplemlError(f"{where}: '{group.variables[0]}' has {images.shape[-1]} channels; one is needed")
    return images[..., 0]


def _phi_range(group: InputGroup) -> Sequence[float]:
    assert group.image is not None
    return group.image.phi_range or FULL_CIRCLE


def _key_of_reference(name: str) -> str:
    return f"regression: references: {name}: image"


def _references(
    columns: Mapping[str, Any], reading: Reading, number: int, where: str, *, is_class: bool
) -> dict[str, NDArray[np.float32]]:
    """Missing transverse energy of the images that are simple estimators; none of recorded data."""
    if not is_class:
        return {name: np.full((number, 2), np.nan, np.float32) for name in reading.references}
    return {
        name: missing_energy_of(
            _image(group, columns, number, f"{where}: {_key_of_reference(name)}"), _phi_range(group)
        ).astype(np.float32)
        for name, group in reading.references.items()
    }


def _active(sources: Sequence[ScoreSource], failed: Mapping[str, str] | None) -> list[ScoreSource]:
    return [source for source in sources if source.method not in (failed or {})]


def _branches_of_sources(
    sources: Sequence[ScoreSource], ntuple: Ntuple, sample: HeldOutSample, failed: dict[str, str] | None
) -> list[str]:
    """Branches that the methods need, of those that may score this tree."""
    branches = []
    for source in _active(sources, failed):
        try:
            source.require_unseen(ntuple, sample)
            branches += source.branches(ntuple)
        except NtuplemlError as error:
            _leave_out(source, error, failed)
    return branches


def _leave_out(source: ScoreSource, error: NtuplemlError, failed: dict[str, str] | None) -> None:
    """Note why a method has no scores, or raise the error where that is not to be tolerated."""
    if failed is None:
        raise error
    failed[source.method] = str(error)
    log.warning("%s: left out: %s", source.method, error)


def _weights(
    columns: Mapping[str, Any], weight_branch: str | None, number: int, chunk: Chunk, where: str
) -> NDArray[np.float64]:
    if weight_branch is None:
        return np.ones(number)
    weights = np.asarray(columns[weight_branch], dtype=np.float64)
    require_finite(weights, f"the weights in branch '{weight_branch}'", chunk, where)
    return weights


def _scores(
    sources: Sequence[ScoreSource],
    columns: Mapping[str, Any],
    inputs: NDArray[np.float32],
    chunk: Chunk,
    where: str,
    failed: dict[str, str] | None,
) -> tuple[dict[str, NDArray[np.float32]], dict[str, NDArray[np.float32]]]:
    """Scores by method, and those of the members of ensembles."""
    found, members = {}, {}
    for source in _active(sources, failed):
        matrix = np.ascontiguousarray(inputs)
        try:
            if source.ensemble is None:
                scores = source.score(columns, matrix, where)
            else:
                scores, _, members[source.method] = source.ensemble(columns, matrix, where)
            require_scores(scores, f"the scores of '{source.method}'", chunk, where)
        except NtuplemlError as error:
            _leave_out(source, error, failed)
            continue
        found[source.method] = scores
    return found, members


def _excluded(parts: Sequence[ScoredPart], reading: Reading) -> dict[str, int]:
    """Number of events of each class that other trainings saw; no class may consist of them."""
    numbers: dict[str, int] = {}
    if reading.trained is None:
        return numbers
    for index, name in [*enumerate(reading.classes), (NO_CLASS, "recorded data")]:
        of_class = [part for part in parts if part.class_index == index]
        number, left = sum(part.excluded for part in of_class), sum(len(part.weights) for part in of_class)
        if number and not left:
            raise NtuplemlError(
                f"{EXCLUDE}: those trainings saw all {number:,} events of {name}; test on other events, or leave it out"
            )
        if of_class:
            numbers[name] = number
            log.info("%s: %s of %s events of %s are left out", EXCLUDE, f"{number:,}", f"{number + left:,}", name)
    return numbers


def _joined(
    parts: Sequence[ScoredPart],
    methods: Sequence[str],
    reading: Reading,
    shares: Mapping[str, float],
    failed: Mapping[str, str],
) -> TestedEvents:
    variables = [*reading.variables, *reading.spectators]
    lengths = [len(part.weights) for part in parts]
    total = sum(lengths)
    events = TestedEvents(
        list(reading.classes),
        {name: np.empty((total, len(reading.outputs or reading.classes)), np.float32) for name in methods},
        np.empty(total, np.int64),
        np.empty(total),
        np.empty(total, np.int64),
        variables,
        np.empty((total, len(variables)), np.float32),
        {name: share for name, share in shares.items() if share < 1},
        dict(failed),
        list(reading.outputs),
        np.concatenate([part.target for part in parts]) if reading.is_measured else np.empty((0, 0), np.float32),
        {name: np.concatenate([part.members[name] for part in parts]) for name in methods if _has_members(parts, name)},
        _excluded(parts, reading),
        {name: np.concatenate([part.references[name] for part in parts]) for name in reading.references},
    )
    start = 0
    for part, length in zip(parts, lengths, strict=True):
        rows = slice(start, start + length)
        for name in methods:
            events.scores[name][rows] = part.scores[name]
        events.truth[rows], events.weights[rows], events.models[rows] = part.class_index, part.weights, part.model
        events.values[rows] = part.values
        start += length
    return events


def _has_members(parts: Sequence[ScoredPart], method: str) -> bool:
    return bool(parts) and all(method in part.members for part in parts)
