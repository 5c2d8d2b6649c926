"""Every form of a trained model that can score: its own library, our engines, and the files that were made from it."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ntupleml.artifacts import KERAS, member_models
from ntupleml.errors import NtuplemlError
from ntupleml.scoring import Evaluator, model_evaluator
from ntupleml.scoring.evaluators import matrix_evaluator, mean_evaluator
from ntupleml.scoring.outputs import class_scores

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from ntupleml.artifacts import KerasFile, TrainedModel
    from ntupleml.events.values import InputValues
    from ntupleml.lwtnn.network import Network
    from ntupleml.onnx_models.lwtnn import Replaced
    from ntupleml.scoring.outputs import Binary

    Batch = Mapping[str, NDArray[Any]]

#: Events per call of Keras and XGBoost.
_BATCH_SIZE = 10_000


class Form(NamedTuple):
    """A form of a model."""

    name: str
    #: Takes raw inputs and gives one score per class; None where the form is not there.
    evaluator: Evaluator | None
    #: Why it is not.
    absent: str = ""


def forms_of_model(model: TrainedModel, output_path: str | Path) -> list[Form]:
    """All forms of a model, the library that it was made with first.

    Parameters
    ----------
    output_path : path
        Folder of the training, where exports are looked for.
    """
    builders = _own_forms(model)
    builders["ONNX"] = partial(_onnx_evaluator, model)
    for name, path in exported_files(model, Path(output_path)).items():
        builders[name] = partial(_export_evaluator, model, path)
    if model.method == KERAS and model.record.ensemble is None:
        builders["lwtnn JSON"] = partial(_lwtnn_evaluator, model, Path(output_path), "onnx")
        builders["liblwtnn"] = partial(_lwtnn_evaluator, model, Path(output_path), "liblwtnn")
        builders["frugally-deep JSON"] = partial(_frugally_deep_file, model, Path(output_path))
    return [_form(name, builder) for name, builder in builders.items()]


def exported_files(model: TrainedModel, output_path: Path) -> dict[str, Path]:
    """Where `application/export_to_onnx.py` writes unless told otherwise."""
    from ntupleml.onnx_models.files import all_folds_path, exported_path

    fold, name = model.record.fold, model.method.name
    return {
        "exported ONNX": exported_path(output_path, fold, name),
        "ONNX of all folds": all_folds_path(output_path, name, fold),
    }


def reference_evaluator(model: TrainedModel) -> Form:
    """The library that a model was made with; where that is not at hand, the nearest thing to it.

    Raises
    ------
    NtuplemlError
        If there is none.
    """
    reasons = []
    for name, builder in _own_forms(model).items():
        form = _form(name, builder)
        if form.evaluator is not None:
            return form
        reasons.append(form.absent)
    raise NtuplemlError(f"{model.files.model}: cannot be evaluated: {reasons[0]}")


def _own_forms(model: TrainedModel) -> dict[str, Callable[[], Evaluator]]:
    """What evaluates the file of the model itself, its own library first."""
    if model.record.ensemble is not None:
        return {"members": partial(_members_evaluator, model), "ONNX": partial(_onnx_evaluator, model)}
    suffix = model.files.model.suffix
    if suffix == ".xml":
        return _tmva_forms(model)
    if suffix in (".json", ".npz", ".txt"):
        return _forest_forms(model)
    if suffix == ".onnx":
        return {"scikit-learn": _no_estimator, "ONNX": partial(_onnx_evaluator, model)}
    return {"Keras": partial(keras_evaluator, model)}


def _members_evaluator(model: TrainedModel) -> Evaluator:
    """Mean of what an ensemble is made of, each evaluated by the library that it was made with."""
    forms = [reference_evaluator(one) for one in member_models(model)]
    return mean_evaluator([form.evaluator for form in forms if form.evaluator is not None])


def _form(name: str, build: Callable[[], Evaluator]) -> Form:
    try:
        return Form(name, build())
    except NtuplemlError as error:
        return Form(name, None, str(error))
    except ModuleNotFoundError as error:
        return Form(name, None, f"{error.name} is not installed")


def keras_evaluator(model: TrainedModel) -> Evaluator:
    """Keras itself, with the preprocessing in double precision by scikit-learn. Imports TensorFlow."""
    from ntupleml.artifacts import load_keras_model
    from ntupleml.events.groups import makers_of, numbers_of_columns
    from ntupleml.onnx_models.sessions import scores_of_batch
    from ntupleml.preprocessing import load_scalers

    files, record = model.files, model.record
    for path in (files.model, files.preprocessing):
        if path is None or not path.exists():
            raise NtuplemlError(f"no file '{path}'")
    assert files.preprocessing is not None
    scalers = load_scalers(files.preprocessing, numbers_of_columns(record.groups))
    network = load_keras_model(files.model)
    makers = makers_of(record.groups)
    return Evaluator(
        lambda batch: scores_of_batch(network, scalers, batch, record.missing, record.target, makers), _BATCH_SIZE
    )


def _forest_forms(model: TrainedModel) -> dict[str, Callable[[], Evaluator]]:
    libraries: dict[str, dict[str, Callable[[], Evaluator]]] = {
        ".json": {"XGBoost": partial(_xgboost_evaluator, model)},
        ".npz": {"scikit-learn": _no_estimator},
        ".txt": {"LightGBM": partial(_lightgbm_evaluator, model)},
    }
    return {**libraries[model.files.model.suffix], "forest kernel": partial(model_evaluator, model, "forest")}


def _no_estimator() -> Evaluator:
    raise NtuplemlError("the estimator of scikit-learn itself is not kept")


def _xgboost_evaluator(model: TrainedModel) -> Evaluator:
    """XGBoost's own predictor, which gets the file only as we have read it."""
    import xgboost

    from ntupleml.forests.xgboost import forest_of_xgboost
    from ntupleml.forests.xgboost_file import json_for_xgboost, read_xgboost
    from ntupleml.preprocessing.missing import fill_missing

    path, record = model.files.model, model.record
    if not path.exists():
        raise NtuplemlError(f"no file '{path}'")
    content = read_xgboost(path)
    forest_of_xgboost(content, str(path))
    booster = xgboost.Booster(model_file=bytearray(json_for_xgboost(content)))
    booster.set_param({"nthread": 1})
    best = booster.attr("best_iteration")
    rounds = (0, 0 if best is None else int(best) + 1)  # all, or those that XGBClassifier takes

    def scores(rows: NDArray[np.float32]) -> NDArray[Any]:
        events = xgboost.DMatrix(fill_missing(rows, record.missing))
        found = booster.predict(events, validate_features=False, iteration_range=rounds)
        return class_scores(found.reshape(len(rows), -1), len(record.classes), "second")

    return matrix_evaluator(scores, _BATCH_SIZE)


def _lightgbm_evaluator(model: TrainedModel) -> Evaluator:
    """LightGBM's own predictor, which gets the file only as we have read it."""
    import lightgbm

    from ntupleml.forests.lightgbm import forest_of_lightgbm, read_lightgbm
    from ntupleml.preprocessing.missing import fill_missing

    path, record = model.files.model, model.record
    if not path.exists():
        raise NtuplemlError(f"no file '{path}'")
    text = read_lightgbm(path)
    forest_of_lightgbm(text, str(path))
    booster = lightgbm.Booster(model_str=text)

    def scores(rows: NDArray[np.float32]) -> NDArray[Any]:
        found = np.asarray(booster.predict(fill_missing(rows, record.missing), num_threads=1))
        return class_scores(found.reshape(len(rows), -1), len(record.classes), "second")

    return matrix_evaluator(scores, _BATCH_SIZE)


def _tmva_forms(model: TrainedModel) -> dict[str, Callable[[], Evaluator]]:
    return {
        "TMVA Reader": partial(model_evaluator, model, "tmva"),
        "weights in double precision": partial(_double_evaluator, model),
        "forest kernel": partial(model_evaluator, model, "forest"),
        "weights as ONNX": partial(_weights_as_onnx, model),
    }


def _double_evaluator(model: TrainedModel) -> Evaluator:
    """TMVA's formulas in double precision, of which its Reader rounds less or more by the method."""
    return _weights_graph(model, np.float64)


def _weights_as_onnx(model: TrainedModel) -> Evaluator:
    return _weights_graph(model, np.float32)


def _weights_graph(model: TrainedModel, dtype: type[np.floating[Any]]) -> Evaluator:
    from ntupleml.onnx_models.tmva_method import tmva_to_onnx
    from ntupleml.preprocessing.missing import fill_missing
    from ntupleml.scoring.engines import weights_of
    from ntupleml.scoring.evaluators import BATCH_SIZE, open_session

    if not model.files.model.exists():
        raise NtuplemlError(f"no file '{model.files.model}'")
    method = weights_of(model)
    session = open_session(tmva_to_onnx(method, dtype).SerializeToString(), method.path, 1)

    def scores(rows: NDArray[np.float32]) -> NDArray[Any]:
        filled = fill_missing(rows, model.record.missing).astype(dtype)
        values = session.run(["scores"], {"variables": filled})[0]
        return class_scores(values, len(model.record.classes), method.one_value)

    return matrix_evaluator(scores, BATCH_SIZE)


def _onnx_evaluator(model: TrainedModel) -> Evaluator:
    """The ONNX file of the training."""
    if not model.files.onnx.exists():
        raise NtuplemlError(f"no file '{model.files.onnx}'")
    if model.files.model.suffix == ".xml":
        from ntupleml.scoring.engines import weights_of
        from ntupleml.scoring.onnx_files import open_graph

        method = weights_of(model)
        evaluator = open_graph(model, 1)
        return evaluator._replace(
            evaluate=lambda batch: class_scores(evaluator.evaluate(batch), len(model.record.classes), method.one_value)
        )
    return model_evaluator(model, "onnx")


def _export_evaluator(model: TrainedModel, path: Path) -> Evaluator:
    """An export, which must be of this training."""
    if not path.exists():
        raise NtuplemlError(f"no file '{path}'; application/export_to_onnx.py writes it")
    return evaluator_of_export(path, model)


def evaluator_of_export(path: Path, model: TrainedModel, content: bytes | None = None) -> Evaluator:
    """Evaluator of an exported file for one model, whose held-out fold all events belong to.

    Parameters
    ----------
    content : bytes, optional
        What is to be at the path.

    Raises
    ------
    NtuplemlError
        If it was made from another training.
    """
    from ntupleml.artifacts import record_hash
    from ntupleml.config import OnnxConfig
    from ntupleml.scoring.onnx_graphs import choose_output, open_onnx
    from ntupleml.scoring.onnx_inputs import EVENT, plan_inputs
    from ntupleml.scoring.onnx_scores import graph_evaluator

    graph = open_onnx(path, content=content)
    hashes = [graph.description.get("record_hash"), *(graph.description.get("record_hashes") or [])]
    if record_hash(model.record) not in hashes:
        raise NtuplemlError(f"{path}: was made from another training; export it again")
    inputs = plan_inputs(graph, OnnxConfig(), None, str(path))
    binary: Binary = graph.description.get("one_value") or "second"
    output = choose_output(graph, None, str(path))
    evaluate = graph_evaluator(graph, inputs, output, model.record.outputs, binary=binary)
    dtypes = {group.name: group.dtype for group in inputs.groups}

    def scores(batch: Mapping[str, NDArray[Any]]) -> NDArray[Any]:
        arrays = {name: values.astype(dtypes.get(name, values.dtype)) for name, values in batch.items()}
        number = len(next(iter(arrays.values())))
        arrays[EVENT] = np.full(number, model.record.held_out_fold, dtype=np.int64)
        found: NDArray[Any] = evaluate.evaluate(arrays)
        return found

    return Evaluator(scores, evaluate.batch_size)


def _lwtnn_evaluator(model: TrainedModel, output_path: Path, engine: str) -> Evaluator:
    """The lwtnn file of a Keras model, through ONNX Runtime or the library itself."""
    from ntupleml.artifacts import record_hash
    from ntupleml.artifacts.files import lwtnn_path
    from ntupleml.lwtnn import read_network
    from ntupleml.lwtnn.json_file import read_json
    from ntupleml.onnx_models.lwtnn import lwtnn_to_onnx
    from ntupleml.scoring.evaluators import BATCH_SIZE, open_session
    from ntupleml.scoring.lwtnn_library import library_evaluator

    path = lwtnn_path(output_path, model.record.fold)
    if not path.exists():
        raise NtuplemlError(f"no file '{path}'; application/export_keras_to_lwtnn.py writes it")
    remarks = read_json(path).get("miscellaneous")
    if not isinstance(remarks, dict) or remarks.get("record_hash") != record_hash(model.record):
        raise NtuplemlError(f"{path}: was made from another training; export it again")
    network = read_network(path)
    taken = _taken_by_lwtnn(model, network)
    replaced: Replaced = "nan" if model.record.missing is None else "nan_and_infinities"
    if engine == "liblwtnn":
        library = library_evaluator(network, network.outputs[0], replaced)
        return Evaluator(lambda batch: library.evaluate(taken(batch)), library.batch_size)
    graph = lwtnn_to_onnx(path, replaced=replaced)
    session = open_session(graph.SerializeToString(), path, 1)
    return Evaluator(lambda batch: np.asarray(session.run(["scores"], dict(taken(batch)))[0]), BATCH_SIZE)


def _taken_by_lwtnn(model: TrainedModel, network: Network) -> Callable[[Batch], Batch]:
    """Inputs of an export from a batch: groups unchanged, variables by the names and in the order of the file."""
    if model.record.inputs:
        return lambda batch: batch
    (group,) = network.groups
    names = [*model.record.variables, *model.record.conditions]
    columns = [names.index(variable.name) for variable in group.variables]
    return lambda batch: {group.name: next(iter(batch.values()))[:, columns]}


def _frugally_deep_file(model: TrainedModel, output_path: Path) -> Evaluator:
    """The frugally-deep file of a Keras model, read by us."""
    from ntupleml.artifacts import record_hash
    from ntupleml.artifacts.files import frugally_deep_path
    from ntupleml.frugally_deep.reading import REMARKS, network_of
    from ntupleml.lwtnn.json_file import read_json

    path = frugally_deep_path(output_path, model.record.fold)
    if not path.exists():
        raise NtuplemlError(f"no file '{path}'; application/export_to_frugally_deep.py writes it")
    content = read_json(path, "frugally-deep")
    remarks = content.get(REMARKS)
    if not isinstance(remarks, dict) or remarks.get("record_hash") != record_hash(model.record):
        raise NtuplemlError(f"{path}: was made from another training; export it again")
    return frugally_deep_evaluator(network_of(content, str(path)), model.record.missing)


def frugally_deep_evaluator(file: KerasFile, missing: float | None) -> Evaluator:
    """A network of frugally-deep, evaluated with NumPy, which takes raw inputs."""
    from ntupleml.frugally_deep.evaluation import evaluate, raw_inputs

    return Evaluator(lambda batch: evaluate(file, raw_inputs(file, batch, missing)), _BATCH_SIZE)


def all_scores(evaluator: Evaluator, rows: InputValues) -> NDArray[np.float64]:
    """Scores of all events, in batches of the evaluator's size."""
    size = evaluator.batch_size
    parts = [evaluator.evaluate(rows.batch(slice(start, start + size))) for start in range(0, len(rows), size)]
    return np.concatenate(parts).astype(np.float64)
