"""Events of the fold files with their scores, a bounded number at a time: what is read, and how."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ntupleml.datasets.splitting import uniform_by_entry
from ntupleml.errors import NtuplemlError
from ntupleml.events.evaluation import read_group
from ntupleml.features.images import FULL_CIRCLE, missing_energy_of
from ntupleml.ntuples import columns_to_matrix, required_branches
from ntupleml.ntuples.opening import open_root_file, tree_paths
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
        yield from parts_of_tree(sample, name, (0, index), sources, reading, share, None)


def has_tree(sample: HeldOutSample, name: str) -> bool:
    """Whether the fold file has a tree."""
    with open_root_file(sample.path, sample.where) as file:
        return name in tree_paths(file)


def parts_of_tree(
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
