"""A training done again from its record, and compared with what it gave then."""

from __future__ import annotations

import io
import logging
import re
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ntupleml import __version__
from ntupleml.artifacts import TrainedModel, find_method, model_files, read_record, sha256_of_file
from ntupleml.atomic import scratch_folder
from ntupleml.config import TrainingConfig
from ntupleml.datasets.loading import class_trees, fold_files
from ntupleml.errors import NtuplemlError
from ntupleml.expressions.syntax import ENTRY
from ntupleml.ntuples import open_ntuple
from ntupleml.ntuples.variables import required_branches
from ntupleml.scoring import load_scorer
from ntupleml.training.jobs import TrainingOptions
from ntupleml.training.record_parts import library_versions

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from ntupleml.artifacts import Method, ModelFiles, TrainingRecord
    from ntupleml.datasets.loading import ClassTree

log = logging.getLogger(__name__)

#: Rows of each tree that are scored by both models.
_ROWS = 10_000


@dataclass
class Replay:
    """What a training gave when it was done again."""

    #: What is not as it was: versions, fold files.
    changes: list[str]
    #: Model files that are the same but for the time at which they were made, and those that are not.
    same_files: list[str]
    other_files: list[str]
    #: Rows of the training's files that both models scored.
    rows: int
    #: Largest difference of a score, in the units of the record's target.
    largest_difference: float
    #: Largest difference of a metric of any epoch or round; NaN where their number is another.
    history_difference: float = field(default=0.0)

    def lines(self) -> list[str]:
        """What is to be said, a line each."""
        count = len(self.same_files) + len(self.other_files)
        files = f"{len(self.same_files)} of {count} model files are the same"
        others = f"; not {', '.join(self.other_files)}" if self.other_files else ""
        scores = "are the same" if self.largest_difference == 0 else f"differ by up to {self.largest_difference:.3g}"
        metrics = "are the same" if self.history_difference == 0 else f"differ by up to {self.history_difference:.3g}"
        return [
            *self.changes,
            f"{files}{others}",
            f"metrics of the epochs {metrics}",
            f"scores of {self.rows:,} rows {scores}",
        ]


def replay(record_path: str | Path, network: str | None = None) -> Replay:
    """Train again what a record describes, in a temporary folder, and compare models and scores.

    The fold files are found by the paths of the record's config, from the current folder. Ensembles are trained with
    all of their members.

    Parameters
    ----------
    network : str, optional
        File of the network that was trained in place of the config's; by default a Keras file is where the record says.
        A Python file is run, so records alone do not name one.

    Raises
    ------
    NtuplemlError
        If the record or its model is not there or cannot be read, for fold files that are not there, and for the file
        of a network that is not there, is another one by now, or has to be given.
    """
    path = Path(record_path)
    record = read_record(path)
    where = str(path)
    config = TrainingConfig.model_validate(record.config)
    method = find_method(config, record.method, record.fold, where)
    conditional = bool(record.conditions)
    folder = _folder(path, record, method)
    options = TrainingOptions(
        conditional=conditional,
        randomization=record.randomization,
        balance_batches=record.balance_batches,
        network=_network_file(record, network, where),
        keep_weights=record.network.get("weights") == "kept",
        figures=False,
    )
    trees = class_trees(config, fold_files(config, record.fold, conditional))
    changes = list(_changes(record, trees))
    for line in changes:
        log.warning("%s: %s", path, line)
    with scratch_folder() as place:
        again = config.model_copy(update={"output_path": str(place)})
        vars(again)["where"] = where
        _train(again, record, method, options, where)
        files = model_files(place, record.fold, method)
        new = read_record(files.record)
        before = model_files(folder, record.fold, method)
        same, others = _compared_files(before, files, record.sha256)
        models = [_model(before, record, method), _model(files, new, method)]
        rows, difference = _compared_scores(models, config, trees)
    return Replay(changes, same, others, rows, difference, _history_difference(record, new))


def _folder(path: Path, record: TrainingRecord, method: Method) -> Path:
    """The `output_path` by now: it may have been moved with all that is in it."""
    for folder in path.absolute().parents:
        if model_files(folder, record.fold, method).record == path.absolute():
            return folder
    expected = model_files(Path(), record.fold, method).record
    raise NtuplemlError(f"{path}: the record of '{record.method}' is called {expected}; give it where its model lies")


def _network_file(record: TrainingRecord, given: str | None, where: str) -> str | None:
    """File of the network that was trained in place of the config's; None where there was none."""
    path = record.network.get("file")
    if path is None:
        if given is not None:
            raise NtuplemlError(
                f"{where}: the network of the config was trained, not one of a file; leave out --network"
            )
        return None
    if given is None and Path(path).suffix != ".keras":
        raise NtuplemlError(f"{where}: the network of {path} was trained, which is run: give it with --network {path}")
    file = Path(given or path)
    if not file.is_file():
        raise NtuplemlError(f"{where}: {file}: no such file; give the file of the network with --network")
    if sha256_of_file(file) != record.network["sha256"]:
        raise NtuplemlError(f"{where}: {file}: not the file of the network that was trained; give that with --network")
    return str(file)


def _changes(record: TrainingRecord, trees: Sequence[ClassTree]) -> Iterator[str]:
    """What differs from the time of the record."""
    then = {"ntupleml": record.ntupleml_version, **record.versions}
    now = {"ntupleml": __version__, **library_versions()}
    for name in sorted(then.keys() | now.keys()):
        if then.get(name) != now.get(name):
            yield f"{name}: {then.get(name, 'not installed')} then, {now.get(name, 'not installed')} now"
    uuids = {tree.file.path: tree.uuid for tree in trees}
    for dataset in record.datasets:
        if (uuid := uuids.get(dataset.path)) != dataset.uuid:
            yield f"{dataset.path}: another file than then (UUID {dataset.uuid} then, {uuid} now)"


def _train(
    config: TrainingConfig, record: TrainingRecord, method: Method, options: TrainingOptions, where: str
) -> None:
    """Train the one method of one fold, by the engine of the record."""
    if method.kind == "keras":
        from ntupleml.training.keras_training import train_keras

        train_keras(config, [record.fold], options, where)
    elif method.kind == "tmva":
        from ntupleml.training.tmva_training import train_tmva

        engine = "tmva" if record.engine == "tmva" else "xgboost"
        trained = train_tmva(config, [record.fold], engine=engine, method=record.method, where=where)  # type: ignore[arg-type]
        if trained.failures:
            raise NtuplemlError(trained.failures[0])
    else:
        from dataclasses import replace

        from ntupleml.training.listed_methods import train_listed

        train_listed(config, method.kind, [record.fold], replace(options, method=record.method), where)


def _model(files: ModelFiles, record: TrainingRecord, method: Method) -> TrainedModel:
    return TrainedModel(files.of_record(record), record, method)


def _compared_files(then: ModelFiles, now: ModelFiles, names: Iterable[str]) -> tuple[list[str], list[str]]:
    """Names of model files with the same content, and of the others."""
    same: list[str] = []
    others: list[str] = []
    for name in names:
        paths = [files.record.with_name(name) for files in (then, now)]
        is_same = all(path.exists() for path in paths) and _content(paths[0]) == _content(paths[1])
        (same if is_same else others).append(name)
    return same, others


def _content(path: Path) -> object:
    """What a model file says of the model, but not when it was made, by how many threads, and from which record."""
    content = path.read_bytes()
    if path.suffix == ".onnx":
        import onnx

        graph = onnx.load_from_string(content)
        del graph.metadata_props[:]
        return graph.SerializeToString(deterministic=True)
    if path.suffix == ".keras":
        return _members(path)
    if path.suffix == ".txt":  # of LightGBM
        return re.sub(rb"\n\[num_threads: \d+\]", b"", content)
    if path.suffix == ".xml":
        return re.sub(rb'<Info name="(Date|TrainingTime|Dir|Host)"[^>]*>', b"", content)
    return content


def _members(path: Path) -> dict[str, object]:
    """Network and weights of a Keras file; HDF5 notes times."""
    import h5py

    found: dict[str, object] = {}
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            if not name.endswith(".h5"):
                content = re.sub(rb'"shared_object_id": \d+', b"", archive.read(name))  # an address in memory
                found[name] = None if name == "metadata.json" else content
                continue
            with h5py.File(io.BytesIO(archive.read(name))) as weights:
                weights.visititems(
                    lambda place, item: (
                        found.update({place: item[()].tobytes()}) if isinstance(item, h5py.Dataset) else None
                    )
                )
    return found


def _compared_scores(
    models: Sequence[TrainedModel], config: TrainingConfig, trees: Sequence[ClassTree]
) -> tuple[int, float]:
    """Number of rows that both models scored, and the largest difference of a score."""
    for model in models:
        for name, checksum in model.record.sha256.items():
            file = model.files.record.with_name(name)
            if not file.exists() or sha256_of_file(file) != checksum:
                raise NtuplemlError(f"{file}: not the file of its record; it is not there, or was changed since")
    scorers = [load_scorer([model]) for model in models]
    fold, units = models[0].record.held_out_fold, models[0].record.target.units
    rows, largest = 0, 0.0
    for tree in trees:
        if config.parameters is not None and tree.name not in config.parameters.of:
            continue  # its rows have no parameters of their own
        with open_ntuple(tree.file.path, tree.name) as ntuple:
            needed = required_branches(scorers[0].variables, ntuple.branches, tree.where)
            chunk = next(ntuple.chunks(needed, _ROWS), None)
            if chunk is None:
                continue
            columns = dict(chunk.columns)
        number = chunk.stop - chunk.start
        columns.setdefault(ENTRY, np.arange(number))
        found: list[NDArray[np.float32]] = [
            one.of_condition(tree.file.condition, tree.where).score(columns, np.full(number, fold), where=tree.where)
            for one in scorers
        ]
        rows += number
        if number:
            differences = np.abs(found[0].astype(np.float64) - found[1]) / np.resize(units, found[0].shape[1])
            largest = max(largest, float(np.nanmax(differences, initial=0.0)))
    return rows, largest


def _history_difference(record: TrainingRecord, new: TrainingRecord) -> float:
    """Largest difference of a metric of any epoch."""
    then, now = ({name: values for name, values in one.history.items() if name != "seconds"} for one in (record, new))
    if {name: len(values) for name, values in then.items()} != {name: len(values) for name, values in now.items()}:
        return float("nan")
    differences = [np.abs(np.subtract(values, now[name])) for name, values in then.items()]
    return max((float(np.nanmax(one, initial=0.0)) for one in differences), default=0.0)
