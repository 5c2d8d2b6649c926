"""Any model file that we read as an ONNX file: the kind of the file decides how."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ntupleml.atomic import replace_file
from ntupleml.errors import NtuplemlError, one_line

if TYPE_CHECKING:
    from collections.abc import Callable

    import onnx

    from ntupleml.artifacts import KerasFile, TrainingRecord
    from ntupleml.forests import Forest
    from ntupleml.onnx_models.lwtnn import Replaced

log = logging.getLogger(__name__)

DTYPES: dict[str, type[np.generic]] = {"float32": np.float32, "float64": np.float64}


def convert_file(
    model: str | Path,
    output: str | Path,
    *,
    dtype: str = "float32",
    overwrite: bool = False,
    network_output: str | None = None,
    replaced: Replaced | None = None,
    score: str | None = None,
) -> None:
    """Write the ONNX form of a model file, complete or not at all.

    Parameters
    ----------
    model : path
        TMVA's `.weights.xml`, a JSON of lwtnn or XGBoost, XGBoost's UBJSON (`.ubj`), LightGBM's text (`.txt`), a
        forest (`.npz`), a Keras network (`.keras`) with the record of its training and its preprocessing beside it, or
        a network of Keras 2 or QKeras (`.h5`).
    dtype : {"float32", "float64"}
        Type of inputs and scores.
    network_output, replaced, score : optional
        See `convert`.

    Raises
    ------
    NtuplemlError
        If the model cannot be read or converted, or the output exists.
    """
    model, output = Path(model), Path(output)
    if output.exists() and model.exists() and output.samefile(model):
        raise NtuplemlError(f"{output}: is the model itself; choose another path for the ONNX file")
    with replace_file(output, overwrite=overwrite) as temporary:
        graph = convert(model, DTYPES[dtype], network_output=network_output, replaced=replaced, score=score)
        content = graph.SerializeToString()
        _check(content, model)
        temporary.write_bytes(content)
    description = _description(graph)
    log.info(
        "%s: %s model of %d variables and %d scores in %s, %.1f kB",
        output,
        description["kind"],
        sum(len(names) for names in description["variables"].values()),
        sum(value.type.tensor_type.shape.dim[-1].dim_value for value in graph.graph.output),
        dtype,
        len(content) / 1000,
    )


def convert(
    model: Path,
    dtype: type[np.generic] = np.float32,
    *,
    network_output: str | None = None,
    replaced: Replaced | None = None,
    score: str | None = None,
) -> onnx.ModelProto:
    """ONNX form of a model file, by its ending or, for JSON, its content.

    Parameters
    ----------
    dtype : type
        float32 or float64, of inputs and scores.
    network_output : str, optional
        For files of lwtnn: the one output that is wanted, of a network with several.
    replaced : {"nan", "nan_and_infinities", "nothing"}, optional
        For files of lwtnn: raw values that the defaults stand for; by default NaN.
    score : {"outputs", "latent_norm"}, optional
        For files of Keras 2: what the scores are, see `keras2_to_onnx`.

    Raises
    ------
    NtuplemlError
        If the kind of file is not known, or it cannot be read, or has no such options.
    """
    if not model.is_file():
        raise NtuplemlError(f"{model}: " + ("is a folder" if model.is_dir() else "no such file"))
    if model.suffix not in _CONVERTERS:
        endings = ", ".join(ending for ending in _CONVERTERS if ending not in _NOT_READ)
        raise NtuplemlError(f"{model}: not a kind of model that is converted; the names of those end in {endings}")
    if score is not None and model.suffix not in _HDF5:
        raise NtuplemlError(f"{model}: --score is for networks of Keras 2 (.h5); leave it out")
    if model.suffix in _HDF5 and network_output is None and replaced is None:
        return _convert_keras2(model, dtype, score or "outputs")
    if network_output is None and replaced is None:
        return _CONVERTERS[model.suffix](model, dtype)
    if model.suffix != ".json" or "layers" not in _read_json(model):
        raise NtuplemlError(f"{model}: --output and --replaced are for networks of lwtnn; leave them out")
    from ntupleml.onnx_models.lwtnn import lwtnn_to_onnx

    return lwtnn_to_onnx(model, dtype, network_output, replaced=replaced or "nan")


def _convert_tmva(model: Path, dtype: type[np.generic]) -> onnx.ModelProto:
    from ntupleml.onnx_models.tmva_method import tmva_to_onnx
    from ntupleml.tmva.reading import read_weights

    record = _record_of(model)
    missing = None if record is None else record.missing
    return tmva_to_onnx(read_weights(model), dtype, missing=missing, record_hash=_hash(record))


def _convert_json(model: Path, dtype: type[np.generic]) -> onnx.ModelProto:
    """Lwtnn's networks and XGBoost's trees are both JSON."""
    content = _read_json(model)
    if "learner" in content:
        from ntupleml.forests.xgboost import forest_of_xgboost, names_in_xgboost

        forest = forest_of_xgboost(content, str(model))
        return _convert_forest(model, forest, names_in_xgboost(content, str(model)), "xgboost", dtype)
    if "layers" in content:
        from ntupleml.onnx_models.lwtnn import lwtnn_to_onnx

        return lwtnn_to_onnx(model, dtype)
    raise NtuplemlError(
        f"{model}: neither a network of lwtnn (it has no 'layers') nor a model of XGBoost (no 'learner')"
    )


def _read_json(model: Path) -> dict[str, Any]:
    from ntupleml.forests.xgboost_file import read_xgboost

    content = read_xgboost(model)
    if not isinstance(content, dict):
        raise NtuplemlError(f"{model}: holds no object, so it is neither a network of lwtnn nor a model of XGBoost")
    return content


def _convert_npz(model: Path, dtype: type[np.generic]) -> onnx.ModelProto:
    from ntupleml.forests.files import load_forest

    return _convert_forest(model, load_forest(model), None, "forest", dtype)


def _convert_lightgbm(model: Path, dtype: type[np.generic]) -> onnx.ModelProto:
    from ntupleml.forests.lightgbm import forest_of_lightgbm, names_in_lightgbm, read_lightgbm

    text = read_lightgbm(model)
    forest = forest_of_lightgbm(text, str(model))
    return _convert_forest(model, forest, names_in_lightgbm(text, str(model)), "lightgbm", dtype)


def _convert_forest(
    model: Path, forest: Forest, names: list[str] | None, kind: str, dtype: type[np.generic]
) -> onnx.ModelProto:
    """Forest with the names that the record of its training has, else those of the file, else numbers."""
    from ntupleml.onnx_models.forest import forest_to_onnx

    record = _record_of(model)
    if record is None:
        variables = names or [f"f{index}" for index in range(forest.num_inputs)]
        num_scores = 2 if forest.num_outputs == 1 and forest.link == "sigmoid" else forest.num_outputs
        classes = [f"class_{index}" for index in range(num_scores)]
        return forest_to_onnx(forest, variables, classes, kind=kind, classes=classes, dtype=dtype)
    return forest_to_onnx(
        forest,
        record.variables,
        record.classes,
        kind=kind,
        classes=record.classes,
        dtype=dtype,
        missing=record.missing,
        conditions=record.conditions,
        record_hash=_hash(record),
    )


def _convert_keras(model: Path, dtype: type[np.generic]) -> onnx.ModelProto:
    if dtype != np.float32:
        raise NtuplemlError(f"{model}: Keras networks compute in float32; convert it with --dtype float32")
    from ntupleml.artifacts import read_keras_file
    from ntupleml.artifacts.listed_files import find_by_checksum

    found = find_by_checksum(model)
    if found is None or found.files.preprocessing is None:
        raise NtuplemlError(
            f"{model}: no record of a training goes with it, so its variables and their preprocessing are not known; "
            "keep the files of a training together"
        )
    return graph_of_record(read_keras_file(model), found.files.preprocessing, found.record)[0]


def graph_of_record(
    file: KerasFile, preprocessing: Path, record: TrainingRecord
) -> tuple[onnx.ModelProto, dict[str, Any]]:
    """Graph of a trained network, and its scalers by the names of the groups of inputs."""
    from ntupleml.artifacts import record_hash
    from ntupleml.events.groups import groups_of, makers_of, numbers_of_columns
    from ntupleml.onnx_models.keras_network import keras_to_onnx
    from ntupleml.preprocessing import load_scalers

    groups = groups_of(record.groups, record.missing)
    scalers = load_scalers(preprocessing, numbers_of_columns(record.groups))
    graph = keras_to_onnx(
        file,
        scalers,
        groups,
        record.outputs,
        target=record.target,
        makers=makers_of(record.groups),
        conditions=record.conditions,
        record_hash=record_hash(record),
    )
    return graph, scalers


def _record_of(model: Path) -> TrainingRecord | None:
    from ntupleml.artifacts.listed_files import find_by_checksum

    found = find_by_checksum(model)
    return None if found is None else found.record


def _hash(record: TrainingRecord | None) -> str:
    from ntupleml.artifacts import record_hash

    return "" if record is None else record_hash(record)


def _convert_keras2(model: Path, dtype: type[np.generic], score: str = "outputs") -> onnx.ModelProto:
    if dtype != np.float32:
        raise NtuplemlError(f"{model}: Keras networks compute in float32; convert it with --dtype float32")
    from ntupleml.artifacts.keras2_files import read_keras2_file
    from ntupleml.onnx_models.keras2 import keras2_to_onnx

    return keras2_to_onnx(read_keras2_file(model), score)


def _refuse_onnx(model: Path, _dtype: type[np.generic]) -> onnx.ModelProto:
    raise NtuplemlError(f"{model}: is an ONNX file already")


_HDF5 = (".h5", ".hdf5")
_CONVERTERS: dict[str, Callable[[Path, type[np.generic]], onnx.ModelProto]] = {
    ".xml": _convert_tmva,
    ".json": _convert_json,
    ".ubj": _convert_json,
    ".npz": _convert_npz,
    ".txt": _convert_lightgbm,
    ".keras": _convert_keras,
    **dict.fromkeys(_HDF5, _convert_keras2),
    ".onnx": _refuse_onnx,
}
_NOT_READ = (".onnx",)


def _check(content: bytes, model: Path) -> None:
    """ONNX Runtime must accept what we write."""
    from ntupleml.onnx_models.sessions import new_session

    try:
        new_session(content)
    except Exception as error:  # ONNX Runtime's exceptions have no common class of their own
        raise NtuplemlError(
            f"{model}: ONNX Runtime cannot load what it was converted to: {one_line(error)}; please report it"
        ) from error


def _description(graph: onnx.ModelProto) -> dict[str, Any]:
    from ntupleml.onnx_models.contract import PROPERTY

    (text,) = [item.value for item in graph.metadata_props if item.key == PROPERTY]
    content: dict[str, Any] = json.loads(text)
    return content
