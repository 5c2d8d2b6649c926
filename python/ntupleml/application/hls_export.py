"""Quantised networks as firmware projects, by da4ml or hls4ml, each compared with whole numbers on held-out events."""

from __future__ import annotations

import io
import json
import logging
import tarfile
from contextlib import redirect_stdout
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ntupleml import __version__
from ntupleml.application.onnx_export import NUM_CHECKED
from ntupleml.artifacts import load_keras_model, models_by_fold, read_keras_file, record_hash, require_single
from ntupleml.atomic import all_or_none, replace_file, scratch_folder
from ntupleml.config import TrainingConfig, load_config
from ntupleml.errors import NtuplemlError, one_line
from ntupleml.events.groups import makers_of, numbers_of_columns
from ntupleml.folds import chosen_models
from ntupleml.imports import import_hgq
from ntupleml.preprocessing import load_scalers
from ntupleml.preprocessing.groups import network_inputs
from ntupleml.quantised import evaluate, is_quantised, resources_of, up_to, without_softmax
from ntupleml.quantised.fixed_point import quantised
from ntupleml.quantised.layers import dense_of
from ntupleml.testing.held_out_rows import held_out_rows

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from ntupleml.artifacts import KerasFile, TrainedModel
    from ntupleml.artifacts.keras_network import KerasNetwork
    from ntupleml.quantised.fixed_point import Quantiser

log = logging.getLogger(__name__)

#: Layers that do nothing once a network is trained.
_TRAINING_ONLY = ("ActivityRegularization", "AlphaDropout", "Dropout", "GaussianDropout", "GaussianNoise")
#: Layers whose numbers give the score of an autoencoder.
_LATENT = ("latent", "latent_mean")
#: Name of the module in the projects.
_NAME = "network"


class _Hardware(NamedTuple):
    """What is written as firmware."""

    #: From the scaled inputs to the numbers before a softmax, or to the latent ones of an autoencoder.
    file: KerasFile
    #: The same of HGQ2's layers.
    model: Any
    #: How the inputs are rounded before the firmware gets them.
    inputs: Quantiser
    #: Shape (n_events, n_inputs) and (n_events, n_outputs): rounded inputs of held-out events, and what they give.
    cases: NDArray[np.float32]
    expected: NDArray[np.float64]


def export_to_hls(
    config_path: str | Path,
    fold: str = "all",
    *,
    form: str = "verilog",
    compiled: bool = False,
    overwrite: bool = False,
) -> list[Path]:
    """Write firmware projects of trained quantised networks, all or none, as archives.

    Parameters
    ----------
    config_path : path
        Training config.
    fold : str
        Index of the model, or ``"all"``.
    form : {"verilog", "vhdl", "vitis", "hls4ml"}
        Logic by da4ml in one of two languages, C++ by da4ml for Vitis HLS, or a project of hls4ml for Vitis.
    compiled : bool, default: False
        Compile the C++ of `vitis` and `hls4ml` with this machine's compiler and compare what it gives, too.

    Returns
    -------
    list of Path
        `fold{f}_hls_{form}.tar.gz` in the config's `output_path`.

    Raises
    ------
    NtuplemlError
        If a model is not there or not quantised, a package is not installed, a file exists, or a project does not give
        the numbers of the network.
    """
    if compiled and form not in _COMPILED:
        raise NtuplemlError(f"--compile is for {' and '.join(_COMPILED)}; {form} has nothing that g++ compiles")
    config = load_config(config_path, TrainingConfig)
    where = config.where
    folds = chosen_models(fold, config.num_folds, where)
    paths = {index: Path(config.output_path) / f"fold{index}_hls_{form}.tar.gz" for index in folds}
    for path in paths.values():
        if path.exists() and not overwrite:
            raise NtuplemlError(f"{path}: exists already; give --overwrite to replace it")
    models = models_by_fold(config, where=where, training_path=where, only=folds)
    require_single(models, "no form in hardware")
    with all_or_none():
        for model in models:
            path = paths[model.record.fold]
            content = _archive(model, config, form, compiled, where)
            with replace_file(path, overwrite=overwrite) as temporary:
                temporary.write_bytes(content)
            log.info("%s: %s of %s, %.1f kB", path, form, model.files.model, len(content) / 1000)
    return list(paths.values())


def _archive(model: TrainedModel, config: TrainingConfig, form: str, compiled: bool, where: str) -> bytes:
    """The project, the network that it was made from, and held-out events for a test bench."""
    file = read_keras_file(model.files.model)
    hardware = _hardware(file, model, config, where)
    with scratch_folder() as scratch:
        folder = scratch / f"fold{model.record.fold}_hls_{form}"
        folder.mkdir()
        with redirect_stdout(io.StringIO()):  # both packages print
            check = _FORMS[form](hardware, folder / "project", compiled)
            hardware.model.save(folder / "network.keras")
        np.savez(folder / "cases.npz", inputs=hardware.cases, outputs=hardware.expected)
        description = _description(model, hardware, form, check)
        (folder / "description.json").write_text(json.dumps(description, indent=2) + "\n", encoding="utf-8")
        stream = io.BytesIO()
        with tarfile.open(fileobj=stream, mode="w:gz") as archive:
            archive.add(folder, folder.name)
    log.info("model %d: %s", model.record.fold, _in_words(check))
    return stream.getvalue()


def _hardware(file: KerasFile, model: TrainedModel, config: TrainingConfig, where: str) -> _Hardware:
    """The network on hardware, and held-out events."""
    path, record = model.files.model, model.record
    if not is_quantised(file):
        raise NtuplemlError(
            f"{path}: is not quantised, so hardware cannot have its numbers; train with model.quantised"
        )
    on_hardware = _without_rest(file)
    first = on_hardware.network.calls[0].layer
    if not _is_chain(on_hardware.network) or first.kind != "hgq>QDense":
        raise NtuplemlError(f"{path}: takes several groups of inputs; networks of one matrix are written as firmware")
    import_hgq()
    built = _built(load_keras_model(file), on_hardware)
    rows = held_out_rows(config, record, NUM_CHECKED, where)
    if not len(rows):
        raise NtuplemlError(f"{path}: the held-out fold of model {record.fold} has no events to check it on")
    assert model.files.preprocessing is not None
    scalers = load_scalers(model.files.preprocessing, numbers_of_columns(record.groups))
    inputs = network_inputs(rows.batch(), scalers, record.missing, makers_of(record.groups))
    rounding = dense_of(first, file.weights[first.names]).inputs
    assert rounding is not None
    cases = quantised(next(iter(inputs.values())), rounding).values.astype(np.float32)
    return _Hardware(on_hardware, built, rounding, cases, evaluate(on_hardware, cases))


def _without_rest(file: KerasFile) -> KerasFile:
    """The encoder of an autoencoder, whose numbers give the score; else the network without its softmax."""
    names = {call.layer.names[-1] for call in file.network.calls}
    for latent in _LATENT:
        if latent in names:
            return up_to(file, latent)
    return without_softmax(file)


def _is_chain(network: KerasNetwork) -> bool:
    """Whether each layer takes what the one before it gives."""
    before = [0, *(call.output for call in network.calls)]
    return len(network.input_names) == 1 and all(
        call.inputs == (one,) for call, one in zip(network.calls, before, strict=False)
    )


def _built(model: Any, file: KerasFile) -> Any:
    """The layers that hardware has, without what only a training needs."""
    import keras

    given = value = keras.Input((file.network.num_inputs,), name="inputs")
    for call in file.network.calls:
        if call.layer.kind not in _TRAINING_ONLY:
            value = model.get_layer(call.layer.names[-1])(value)
    return keras.Model(given, value, name=_NAME)


def _da4ml(hardware: _Hardware, folder: Path, compiled: bool, language: str) -> dict[str, Any]:
    """Logic of da4ml, checked by its own emulation, and by this machine's compiler if asked for."""
    _require("da4ml")
    from da4ml.codegen import HLSModel, RTLModel
    from da4ml.converter import trace_model
    from da4ml.trace import FixedVariableArray, HWConfig, comb_trace

    if not all(_rounds_plainly(layer) for layer in hardware.model.layers):
        raise NtuplemlError(
            "da4ml rounds numbers in the middle of two steps up, but this network rounds them to even; train with "
            "model.quantised.ties: up, or take the form hls4ml"
        )
    options, config = {"hard_dc": 2}, HWConfig(1, -1, -1)
    shape = hardware.cases.shape[1:]
    widths = [np.broadcast_to(one, shape).astype(np.int8) for one in hardware.inputs[:3]]
    inputs = FixedVariableArray.from_kif(*widths, config, 0, options)
    logic = comb_trace(*trace_model(hardware.model, config, options, inputs=inputs))
    _require_equal(logic.predict(hardware.cases), hardware, "da4ml's emulation")
    check: dict[str, Any] = {"emulated": len(hardware.cases), "cost": float(logic.cost), "depth": logic.latency[1]}
    if language == "vitis":
        project = HLSModel(logic, _NAME, folder, flavor=language)
        project.write()
        if compiled:
            project.compile()
            _require_equal(project.predict(hardware.cases), hardware, "da4ml's C++")
            check["compiled"] = len(hardware.cases)
    else:
        RTLModel(logic, _NAME, folder, flavor=language).write()
    return check


def _rounds_plainly(layer: Any) -> bool:
    quantiser = getattr(layer, "iq", None) or getattr(layer, "quantizer", None)
    rounding = getattr(getattr(quantiser, "quantizer", quantiser), "round_mode", "RND")
    return rounding in ("RND", "TRN")


def _hls4ml(hardware: _Hardware, folder: Path, compiled: bool) -> dict[str, Any]:
    """A project of hls4ml, checked by this machine's compiler if asked for."""
    _require("hls4ml")
    import hls4ml

    project = hls4ml.converters.convert_from_keras_model(
        hardware.model,
        output_dir=str(folder),
        project_name=_NAME,
        backend="Vitis",
        hls_config={"Model": {"Precision": "fixed<1,0>", "ReuseFactor": 1}},  # widths are those of the network
    )
    project.write()
    if not compiled:
        return {}
    project.compile()
    _require_equal(project.predict(np.ascontiguousarray(hardware.cases)), hardware, "hls4ml's C++")
    return {"compiled": len(hardware.cases)}


def _require(package: str) -> None:
    from importlib import import_module

    try:
        import_module(package)
    except ImportError as error:
        raise NtuplemlError(
            f"this form of firmware needs {package}, which cannot be imported: {one_line(error)}; run pip install "
            '"ntupleml[hls]"'
        ) from error


def _require_equal(found: NDArray[Any], hardware: _Hardware, what: str) -> None:
    difference = float(np.abs(np.asarray(found).reshape(hardware.expected.shape) - hardware.expected).max())
    if difference:
        raise NtuplemlError(
            f"not written: {what} gives other numbers than the network, by up to {difference:.2g} on "
            f"{len(hardware.cases)} held-out events; take another form, or report it"
        )


def _description(model: TrainedModel, hardware: _Hardware, form: str, check: dict[str, Any]) -> dict[str, Any]:
    record, shape = model.record, hardware.cases.shape[1:]
    last = hardware.file.network.last.layer.names[-1]
    latent = [f"{last}_{number}" for number in range(hardware.expected.shape[1])]
    sign, integer, fraction = (np.broadcast_to(one, shape).tolist() for one in hardware.inputs[:3])
    return {
        "variables": [*record.variables, *record.conditions],
        "preprocessing": record.preprocessing,
        "inputs": {"sign": sign, "integer_bits": integer, "fraction_bits": fraction},
        "outputs": latent if last in _LATENT else record.outputs,
        "form": form,
        "layers": [one._asdict() for one in resources_of(hardware.file)],
        "check": check,
        "source": model.files.model.name,
        "fold": record.fold,
        "record_hash": record_hash(record),
        "written_by": f"ntupleml {__version__}",
    }


def _in_words(check: dict[str, Any]) -> str:
    if not check:
        return "not compared with the network; --compile does it"
    parts = []
    if "emulated" in check:
        parts.append(f"cost {check['cost']:.0f}, depth {check['depth']:.0f}; emulated on {check['emulated']} events")
    if "compiled" in check:
        parts.append(f"compiled and run on {check['compiled']} events")
    return f"{', '.join(parts)}: equal to the network bit for bit"


_COMPILED = ("vitis", "hls4ml")
_FORMS: dict[str, Callable[[_Hardware, Path, bool], dict[str, Any]]] = {
    **{language: partial(_da4ml, language=language) for language in ("verilog", "vhdl", "vitis")},
    "hls4ml": _hls4ml,
}
