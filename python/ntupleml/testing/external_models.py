"""Models of other programs or in other forms, tested beside the methods of the training config."""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ntupleml.artifacts import find_by_record_hash
from ntupleml.artifacts.origins import Origin, doubt_about, find_files, find_origin, require_number_of_files
from ntupleml.config import OnnxConfig
from ntupleml.datasets import read_fold_record
from ntupleml.errors import NtuplemlError, did_you_mean
from ntupleml.events.fold_numbers import fold_numbers
from ntupleml.folds import BY_ENTRY
from ntupleml.scoring.model_files import (
    Filling,
    OpenFile,
    description_of_lwtnn,
    names_of_scores,
    open_lwtnn,
    scorer_of_files,
)
from ntupleml.scoring.onnx_graphs import choose_output, open_onnx
from ntupleml.scoring.onnx_scores import gives_steps
from ntupleml.testing.events import require_same_division, require_unseen
from ntupleml.testing.sources import ScoreSource, vectors_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from ntupleml.artifacts import TrainingRecord
    from ntupleml.config import TrainingConfig
    from ntupleml.config.testing import ExternalModelConfig
    from ntupleml.events.values import InputValues
    from ntupleml.folds import FoldRule
    from ntupleml.ntuples import Ntuple
    from ntupleml.onnx_models.lwtnn import Replaced
    from ntupleml.scoring.onnx_graphs import OnnxGraph
    from ntupleml.testing.events import HeldOutSample

log = logging.getLogger(__name__)

#: What files call their classes that know only their number: sklearn-onnx, and our conversions of bare forests.
_NUMBERED = re.compile(r"(?:class_)?(\d+)")
#: Files of lwtnn; all others are ONNX.
_JSON = ".json"


class _File(NamedTuple):
    """A file that is open, the record of its training, and what its scores are called."""

    opened: OpenFile
    record: TrainingRecord | None
    scores: list[str]
    columns: list[int]


def external_sources(
    name: str,
    external: ExternalModelConfig,
    training: TrainingConfig,
    samples: Sequence[HeldOutSample],
    training_path: str,
    testing_path: str,
) -> list[ScoreSource]:
    """Scores of a model of the testing config's `external`, for the fold that each of some models never saw.

    Parameters
    ----------
    name : str
        Its name there.
    external : ExternalModelConfig
    training : TrainingConfig
        For the classes, for the variables of a file that does not say what it takes, and for the folder of records.
    samples : sequence of HeldOutSample
    training_path, testing_path : str
        Files of the configs, for messages.

    Returns
    -------
    list of ScoreSource
        One per sample.
    """
    where = f"{testing_path}: external: {name}"
    paths = find_files(external.files, training.output_path, f"{where}: files")
    require_number_of_files(paths, training.num_folds, f"{where}: files")
    if {path.suffix == _JSON for path in paths} == {True, False}:
        raise NtuplemlError(f"{where}: files: lwtnn's JSON and ONNX files together; list files of one training")
    opened: dict[int, _File] = {}
    sources = []
    for sample in samples:
        index = 0 if len(paths) == 1 else sample.model
        if index not in opened:
            opened[index] = _open(paths[index], external.onnx, training, training_path, where)
        remark = _checked_place(
            opened[index].opened.origin, paths[index], sample, len(paths), training.num_folds, where
        )
        sources.append(_source(name, opened[index], external.onnx, training, sample, where, remark))
    for remark in dict.fromkeys(source.remark for source in sources if source.remark):
        log.warning("%s: %s", where, remark)
    return sources


def _open(path: Path, onnx: OnnxConfig, training: TrainingConfig, training_path: str, where: str) -> _File:
    if path.suffix == _JSON:
        description = description_of_lwtnn(path)
        origin = find_origin(path, description, training.output_path)
        opened = _open_network(path, onnx, origin, where)
        onnx = OnnxConfig(classes=onnx.classes)
    else:
        graph = open_onnx(path)
        description = graph.description
        origin = find_origin(path, description, training.output_path)
        opened = OpenFile(graph, origin)
    graph = opened.graph
    if gives_steps(graph, choose_output(graph, onnx.output, where)):
        raise NtuplemlError(
            f"{where}: files: {path} gives scores for each step of a sequence, but an event has one class; list a file "
            "with one row of scores per event"
        )
    record = _record(path, description, origin, training.output_path)
    scores, columns = _classes(graph, onnx, training.outputs, training_path, where)
    return _File(opened, record, scores, columns)


def _open_network(path: Path, onnx: OnnxConfig, origin: Origin | None, where: str) -> OpenFile:
    """An lwtnn file, which says itself how its inputs are filled."""
    from ntupleml.lwtnn.json_file import read_json

    if "learner" in read_json(path):
        raise NtuplemlError(
            f"{where}: files: {path} is a model of XGBoost, not lwtnn's JSON; application/convert_to_onnx.py makes "
            "an ONNX file of it"
        )
    unused = onnx.model_fields_set - {"output", "classes", "apply"}
    if unused:
        raise NtuplemlError(
            f"{where}: onnx: {min(unused)}: is for ONNX files; an lwtnn file says that itself, leave the key out"
        )
    if onnx.output is not None and not isinstance(onnx.output, str):
        raise NtuplemlError(f"{where}: onnx: output: {onnx.output}: give the name of an output of the lwtnn file")
    replaced_all = origin is not None and origin.missing
    replaced: Replaced = "nan_and_infinities" if replaced_all else "nan"
    return open_lwtnn(path, origin, onnx.output, replaced, f"{where}: onnx: output")


def _record(
    path: Path, description: Mapping[str, Any], origin: Origin | None, output_path: str
) -> TrainingRecord | None:
    """Record of the training of one fold, which identifies the fold files of the training."""
    if origin is None or origin.held_out_fold is None or origin.record is not None:
        return None if origin is None else origin.record
    hash_of_record = description.get("record_hash")
    if not isinstance(hash_of_record, str):
        return None
    found = find_by_record_hash(hash_of_record, [path.parent, Path(output_path)])
    return None if found is None else found.record


def _classes(
    graph: OnnxGraph, onnx: OnnxConfig, classes: list[str], training_path: str, where: str
) -> tuple[list[str], list[int]]:
    """Names of a file's scores in its own order, and the score of each class of the training config.

    A file that does not say how its scores are called, or only numbers them, has them in the order of the training
    config; so has a method of TMVA for two classes, which are Signal and Background whatever they are.
    """
    order = list(range(len(classes)))
    stated = onnx.classes or names_of_scores(graph, onnx, where)
    if stated is None:
        log.info("%s: %s does not name its scores; they are taken in the order of %s", where, graph.path, training_path)
        return classes, order
    if set(stated) == set(classes) and len(stated) == len(classes):
        return list(stated), [stated.index(name) for name in classes]
    if len(stated) == 1 and len(classes) == 2 and stated[0] in classes:
        # The one value is the probability of this class.
        names = [name for name in classes if name != stated[0]] + stated
        return names, [names.index(name) for name in classes]
    if onnx.classes is None:
        numbers = [match and int(match[1]) for match in map(_NUMBERED.fullmatch, stated)]
        if sorted(number for number in numbers if number is not None) == order:
            return [classes[number or 0] for number in numbers], [numbers.index(number) for number in order]
        one_value = choose_output(graph, onnx.output, where).shape[1:] == (1,)
        if one_value and len(classes) == 2 and graph.description.get("kind") == "tmva":
            return classes, order
    unknown = next((name for name in stated if name not in classes), "")
    raise NtuplemlError(
        f"{where}: the classes of {graph.path} are {', '.join(stated)}, but {training_path} has "
        f"{', '.join(classes)}{did_you_mean(unknown, classes) if unknown else ''}; name them in the order of the "
        "file's scores (onnx: classes:)"
    )


def _checked_place(
    origin: Origin | None, path: Path, sample: HeldOutSample, num_files: int, num_folds: int, where: str
) -> str:
    """Refuse a file at a wrong place of the list; warn about what cannot be checked."""
    doubt = doubt_about(origin, sample.fold, num_files)
    if origin is None:
        return (
            "no record of a training goes with its files, so it cannot be checked which events they were trained on; "
            + ("one file is tested on all folds" if num_files == 1 else "element i is tested on the fold of model i")
        )
    if doubt == "all folds among others":
        raise NtuplemlError(f"{where}: files: {path} has the models of all folds; list it alone")
    if doubt == "other number of folds" or (origin.held_out_fold is None and origin.num_folds != num_folds):
        raise NtuplemlError(
            f"{where}: files: there are {num_folds} folds, but {path} is of a training with {origin.num_folds} "
            f"({origin.where}); give the files of a training with {num_folds} folds"
        )
    if doubt == "wrong order":
        raise NtuplemlError(
            f"{where}: files: wrong order: element {sample.model} is tested on fold {sample.fold}, which {path} was "
            f"trained on ({origin.where}); it is to be tested on fold {origin.held_out_fold}"
        )
    if doubt == "one for all" and (origin.held_out_fold, origin.num_folds) != (sample.fold, num_folds):
        return (
            f"{path} was trained on fold {', '.join(map(str, origin.trained_on))} of {origin.num_folds} "
            f"({origin.where}) and is tested on all folds: it looks better than it is; list one file per fold"
        )
    if not origin.folds_recorded:
        return "their training had no record of how events were divided; the fold files are trusted"
    return ""


def _source(
    name: str,
    file: _File,
    onnx: OnnxConfig,
    training: TrainingConfig,
    sample: HeldOutSample,
    where: str,
    remark: str,
) -> ScoreSource:
    if file.opened.graph.path.suffix == _JSON:
        onnx = OnnxConfig(apply=onnx.apply)
    origin = file.opened.origin
    has_conditions = bool(file.opened.graph.description.get("conditions") or (origin and origin.conditions))
    filling = Filling(onnx, training.numbers, sample.condition if has_conditions else None, where)
    scorer = scorer_of_files([file.opened], file.scores, filling)
    rule = _fold_rule(sample) if scorer.takes_event else BY_ENTRY

    def score(columns: Mapping[str, Any], matrix: NDArray[np.float32], place: str) -> NDArray[np.float32]:
        return of_inputs(read(columns, matrix, place), columns, place)

    def read(columns: Mapping[str, Any], matrix: NDArray[np.float32], place: str) -> InputValues:
        return scorer.read(columns, len(matrix), f"{place}: {where}")

    def of_inputs(inputs: InputValues, columns: Mapping[str, Any], place: str) -> NDArray[np.float32]:
        numbers = np.full(len(inputs), sample.fold, np.int64)
        if rule.branches and all(name in columns for name in rule.branches):
            numbers = fold_numbers(rule, columns, numbers, place)
        scores = scorer.score_inputs(inputs, numbers, where=f"{place}: {where}")
        return np.ascontiguousarray(scores[:, file.columns])

    return ScoreSource(
        name,
        list(scorer.variables),
        _require_unseen(file, training.num_folds),
        score,
        rule.branches,
        vectors_of(scorer),
        remark,
        scorer.groups,
        read,
        of_inputs,
    )


def _fold_rule(sample: HeldOutSample) -> FoldRule:
    """What decided the folds; where the entry number did, the fold's own index is given to the model."""
    found = read_fold_record(sample.path)
    return BY_ENTRY if found is None else found.fold_rule


def _require_unseen(file: _File, num_folds: int) -> Callable[[Ntuple, HeldOutSample], None]:
    """Check of a tree, as far as the training of a file is known."""
    origin, record = file.opened.origin, file.record

    def check(ntuple: Ntuple, sample: HeldOutSample) -> None:
        if origin is None:
            return
        of_another_fold = origin.held_out_fold is not None and origin.held_out_fold != sample.fold
        if of_another_fold or origin.num_folds != num_folds:
            return  # the model of one fold, alone in the list, of which `_checked_place` warned
        if record is not None:
            require_unseen(ntuple, sample, record)
        else:
            require_same_division(ntuple, sample, origin)

    return check
