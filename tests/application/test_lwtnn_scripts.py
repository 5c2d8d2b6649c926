"""The two exports for lwtnn as a user runs them, on networks whose files a training would have written."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
import onnxruntime
import pytest
import uproot
import yaml

from ntupleml.application.htt_ml_export import export_to_json
from ntupleml.application.lwtnn_export import export_to_lwtnn
from ntupleml.artifacts import TrainingRecord, model_files, sha256_of_file, write_record
from ntupleml.errors import NtuplemlError
from ntupleml.preprocessing import fit_scaler, write_preprocessing

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

LWTNN = "application/export_keras_to_lwtnn.py"
HTT_ML = "application/export_keras_to_json.py"
CLASSES = ["signal", "background"]


@dataclass
class Trained:
    """A folder with two trained networks, their fold files and configs."""

    folder: Path
    conditions: list[str]
    models: list[Any]
    scalers: list[Any]

    @property
    def training(self) -> Path:
        return self.folder / "training.yaml"

    @property
    def application(self) -> Path:
        return self.folder / "application.yaml"

    def exported(self, fold: int) -> dict[str, Any]:
        content: dict[str, Any] = json.loads((self.folder / "out" / f"fold{fold}_lwtnn.json").read_text())
        return content

    def expected(self, fold: int, rows: NDArray[Any]) -> NDArray[Any]:
        """Scores by scikit-learn and Keras; a single one is that of the second class."""
        scaled = np.concatenate([self.scalers[fold].transform(rows[:, :2]), rows[:, 2:]], axis=1)
        scores = np.asarray(self.models[fold](scaled.astype("f4")))
        return scores if scores.shape[1] == 2 else np.concatenate([1 - scores, scores], axis=1)


@pytest.fixture
def make_trained(tmp_path: Path) -> Callable[..., Trained]:
    def make(
        layers: Callable[[Any], list[Any]] | None = None,
        *,
        preprocessing: str = "standard_scaler",
        missing: float | None = None,
        conditions: tuple[str, ...] = (),
        fold_files: bool = True,
    ) -> Trained:
        trained = Trained(tmp_path, list(conditions), [], [])
        for fold in range(2):
            _write_fold(trained, fold, layers or _default_layers, preprocessing, missing, fold_files)
        datasets = [str(tmp_path / f"fold{fold}.root") for fold in range(2)]
        training: dict[str, Any] = {"output_path": str(tmp_path / "out"), "classes": CLASSES, "variables": ["x", "y"]}
        training["preprocessing"] = preprocessing
        if missing is not None:
            training["missing"] = {"value": missing}
        training |= (
            {"conditions": {name: {"datasets": datasets} for name in conditions}}
            if conditions
            else {"datasets": datasets}
        )
        trained.training.write_text(yaml.safe_dump(training))
        application = {
            "weights": ["weights_even.h5", "weights_odd.h5"],
            "variable_exports": ["variables_even.json", "variables_odd.json"],
            "architecture_exports": ["architecture_even.json", "architecture_odd.json"],
        }
        named = {key: [str(tmp_path / name) for name in names] for key, names in application.items()}
        trained.application.write_text(yaml.safe_dump(named))
        return trained

    return make


def _default_layers(layers: Any) -> list[Any]:
    return [layers.Dense(8, "relu", name="hidden"), layers.Dropout(0.3), layers.Dense(2, "softmax", name="scores")]


def _write_fold(
    trained: Trained, fold: int, layers: Any, preprocessing: str, missing: float | None, fold_files: bool
) -> None:
    from ntupleml.imports import import_tensorflow

    import_tensorflow()
    import keras

    random = np.random.default_rng(fold)
    rows = random.normal([100.0, -3.0], [30.0, 0.5], size=(400, 2))
    scaler = fit_scaler(preprocessing, rows)
    keras.utils.set_random_seed(fold)
    number = 2 + len(trained.conditions)
    model = keras.Sequential([keras.Input((number,)), *layers(keras.layers)])
    for variable in model.variables:
        if "seed" not in variable.name:
            values = random.normal(size=variable.shape)
            variable.assign(0.1 + np.abs(values) if "variance" in variable.name else values)
    trained.models.append(model)
    trained.scalers.append(scaler)
    files = model_files(trained.folder / "out", fold)
    files.model.parent.mkdir(exist_ok=True)
    model.save(files.model)
    assert files.preprocessing is not None
    write_preprocessing(files.preprocessing, scaler)
    record = TrainingRecord(
        fold=fold,
        num_folds=2,
        trained_on=[fold],
        held_out_fold=1 - fold,
        event_branch="event",
        classes=CLASSES,
        variables=["x", "y"],
        conditions=trained.conditions,
        preprocessing=preprocessing,
        missing=missing,
        seed=1,
        config={},
        sha256={path.name: sha256_of_file(path) for path in (files.model, files.preprocessing)},
    )
    write_record(files.record, record)
    if fold_files:
        with uproot.recreate(trained.folder / f"fold{fold}.root") as file:
            for name in CLASSES:
                values = rows.astype("f4")
                if missing is not None:
                    values[::7, 0] = np.nan
                columns = {"x": values[:, 0], "y": values[:, 1]}
                file.mktree(name, {key: column.dtype for key, column in columns.items()}).extend(columns)


def _rows(trained: Trained, missing: bool = False) -> NDArray[np.float32]:
    rows = np.random.default_rng(9).normal([100.0, -3.0], [30.0, 0.5], size=(300, 2)).astype("f4")
    if missing:
        rows[::3, 0] = np.nan
    if not trained.conditions:
        return rows
    number = len(trained.conditions)
    return np.concatenate([rows, np.eye(number, dtype="f4")[np.arange(300) % number]], axis=1)


def _lwtnn_scores(path: Path, rows: NDArray[np.float32]) -> NDArray[np.float64]:
    from ntupleml.onnx_models.lwtnn import lwtnn_to_onnx

    graph = lwtnn_to_onnx(path, np.float64).SerializeToString()
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    scores: NDArray[np.float64] = session.run(None, {session.get_inputs()[0].name: rows.astype("f8")})[0]
    return scores


@pytest.mark.slow
@pytest.mark.parametrize("form", ["sequential", "graph"])
def test_export(make_trained: Any, run_script: Any, form: str) -> None:
    trained = make_trained()
    finished = run_script(LWTNN, trained.training, "--form", form)
    assert (finished.returncode, finished.stdout) == (0, ""), finished.stderr
    *models, first, second, written = finished.stderr.splitlines()
    assert written.startswith("wrote 2 files: ")
    assert [line.split(":")[0] for line in models] == ["model 0", "model 1"]
    assert f"fold0_lwtnn.json: lwtnn's {form} form of " in first
    assert second.endswith(" on 800 real events")
    rows = _rows(trained)
    for fold in range(2):
        content = trained.exported(fold)
        assert ("nodes" in content) == (form == "graph")
        remarks = content["miscellaneous"]
        assert float(remarks["largest_difference"]) < 1e-6
        assert remarks["compared_events"] == "800"
        assert remarks["source"] == f"fold{fold}_keras_model.keras"
        scores = _lwtnn_scores(trained.folder / "out" / f"fold{fold}_lwtnn.json", rows)
        np.testing.assert_allclose(scores, trained.expected(fold, rows), rtol=0, atol=1e-6)
    assert sorted(path.name for path in (trained.folder / "out").iterdir() if path.name.startswith(".")) == []


def test_one_fold_and_existing_files(make_trained: Any, caplog: Any) -> None:
    """Typical events where there are no real ones; nothing is replaced unasked; the same files again."""
    trained = make_trained(fold_files=False)
    with caplog.at_level("INFO"):
        (path,) = export_to_lwtnn(trained.training, "1")
    assert caplog.messages[-1].endswith("on 3000 typical events")
    before = path.read_bytes()
    with pytest.raises(NtuplemlError, match=r"fold1_lwtnn\.json: exists already; give --overwrite to replace it"):
        export_to_lwtnn(trained.training, "all")
    other = trained.folder / "out" / "fold0_lwtnn.json"
    assert not other.exists()
    assert export_to_lwtnn(trained.training, "all", overwrite=True) == [other, path]
    assert path.read_bytes() == before


@pytest.mark.parametrize("preprocessing", ["robust_scaler", "min_max_scaler", "identity"])
def test_scalers(make_trained: Any, preprocessing: str) -> None:
    trained = make_trained(preprocessing=preprocessing)
    path, _ = export_to_lwtnn(trained.training, "all")
    rows = _rows(trained)
    np.testing.assert_allclose(_lwtnn_scores(path, rows), trained.expected(0, rows), rtol=0, atol=1e-6)


def test_missing_inputs_conditions_and_a_single_output(make_trained: Any) -> None:
    """Defaults for NaN; conditions as they are; 1 − p and p of a network with one output."""
    trained = make_trained(
        lambda layers: [layers.Dense(4, "elu"), layers.Dense(1, "sigmoid")],
        missing=-9.9,
        conditions=("2016", "2018"),
    )
    path, _ = export_to_lwtnn(trained.training, "all")
    content = trained.exported(0)
    assert set(content["defaults"]) == {"x", "y"}
    assert [one["name"] for one in content["inputs"]] == ["x", "y", "2016", "2018"]
    assert content["inputs"][3] == {"name": "2018", "offset": 0.0, "scale": 1.0}
    assert content["outputs"] == CLASSES
    rows = _rows(trained, missing=True)
    replaced = np.where(np.isnan(rows), np.float32(-9.9), rows)
    np.testing.assert_allclose(_lwtnn_scores(path, rows), trained.expected(0, replaced), rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"layers": lambda layers: [layers.Dense(4, "gelu", name="hidden_1"), layers.Dense(2, "softmax")]},
            "fold0_keras_model.keras: layer 'hidden_1' (Dense) has no lwtnn form: activation 'gelu': lwtnn has no GELU",
        ),
        (
            {"preprocessing": "quantile_transformer"},
            "fold0_keras_preprocessing.json: preprocessing by a quantile_transformer has no lwtnn form",
        ),
    ],
)
def test_refused_before_anything_is_written(make_trained: Any, arguments: dict[str, Any], message: str) -> None:
    trained = make_trained(**arguments)
    before = sorted(trained.folder.rglob("*"))
    with pytest.raises(NtuplemlError, match=re.escape(message)):
        export_to_lwtnn(trained.training, "all")
    with pytest.raises(NtuplemlError, match=r"gelu|quantile_transformer"):
        export_to_json(trained.training, trained.application)
    assert sorted(trained.folder.rglob("*")) == before


def test_mistakes_are_one_line(make_trained: Any, run_script: Any) -> None:
    trained = make_trained()
    for arguments, message in (
        ([trained.training, 2], "fold '2':"),
        ([trained.folder / "missing.yaml"], "missing.yaml"),
    ):
        finished = run_script(LWTNN, *arguments)
        assert finished.returncode == 2
        assert message in finished.stderr.splitlines()[-1]
        assert "Traceback" not in finished.stderr
    (trained.folder / "out" / "fold0_keras_training.json").unlink()
    finished = run_script(LWTNN, trained.training)
    assert finished.returncode == 2
    assert "no trained model of fold 0" in finished.stderr


@pytest.mark.slow
def test_htt_ml_files(make_trained: Any, run_script: Any) -> None:
    """Element 0 is for even events, so of model 1. Keras reads the weights again, and numpy all three files."""
    trained = make_trained()
    finished = run_script(HTT_ML, trained.training, trained.application)
    assert (finished.returncode, finished.stdout) == (0, ""), finished.stderr
    rows = _rows(trained)
    for name, fold in (("even", 1), ("odd", 0)):
        found = _numpy_scores(trained.folder, name, rows)
        np.testing.assert_allclose(found, trained.expected(fold, rows), rtol=0, atol=1e-6)
        model = trained.models[fold]
        weights = model.get_weights()
        model.set_weights([np.zeros_like(values) for values in weights])
        model.load_weights(trained.folder / f"weights_{name}.h5")
        for old, new in zip(weights, model.get_weights(), strict=True):
            np.testing.assert_array_equal(old, new)


def _numpy_scores(folder: Path, name: str, rows: NDArray[np.float32]) -> NDArray[np.float64]:
    """Dense layers of relu and softmax, as the three files describe them."""
    variables = json.loads((folder / f"variables_{name}.json").read_text())
    architecture = json.loads((folder / f"architecture_{name}.json").read_text())
    assert set(variables) == {"class_labels", "inputs"}
    assert variables["class_labels"] == CLASSES
    assert (architecture["class_name"], architecture["keras_version"][0]) == ("Sequential", "2")
    first, *layers = architecture["config"]["layers"]
    assert first["config"]["batch_input_shape"] == [None, 2]
    offset, scale = (np.array([one[key] for one in variables["inputs"]]) for key in ("offset", "scale"))
    values = (rows.astype("f8") + offset) * scale
    with h5py.File(folder / f"weights_{name}.h5") as file:
        for layer in layers:
            if layer["class_name"] != "Dense":
                assert layer["class_name"] == "Dropout"
                continue
            key = layer["config"]["name"]
            values = values @ file[key][key]["kernel:0"][...] + file[key][key]["bias:0"][...]
            if layer["config"]["activation"] == "relu":
                values = np.maximum(values, 0)
            else:
                assert layer["config"]["activation"] == "softmax"
                exponentials = np.exp(values - values.max(axis=1, keepdims=True))
                values = exponentials / exponentials.sum(axis=1, keepdims=True)
    return values


def test_htt_ml_normalisation(make_trained: Any) -> None:
    """Layers that lwtnn's converter wants complete: bias, scale and centre are always written."""
    trained = make_trained(
        lambda layers: [
            layers.Dense(4, "leaky_relu", use_bias=False, name="first"),
            layers.BatchNormalization(scale=False, center=False, name="normalisation"),
            layers.Activation("silu", name="activation"),
            layers.Dense(1, "sigmoid", name="last"),
        ],
        missing=-5.0,
    )
    export_to_json(trained.training, trained.application)
    architecture = json.loads((trained.folder / "architecture_odd.json").read_text())
    layers = architecture["config"]["layers"]
    assert [layer["class_name"] for layer in layers] == [
        "InputLayer", "Dense", "LeakyReLU", "BatchNormalization", "Activation", "Dense", "Dense",
    ]  # fmt: skip
    assert layers[4]["config"]["activation"] == "swish"
    with h5py.File(trained.folder / "weights_odd.h5") as file:
        assert set(file["normalisation/normalisation"]) == {
            "gamma:0", "beta:0", "moving_mean:0", "moving_variance:0",
        }  # fmt: skip
        assert file["first/first/bias:0"][...].tolist() == [0.0] * 4
    variables = json.loads((trained.folder / "variables_odd.json").read_text())
    assert [one["default"] for one in variables["inputs"]] == [-5.0, -5.0]


def test_htt_ml_mistakes(make_trained: Any) -> None:
    trained = make_trained()
    content = yaml.safe_load(trained.application.read_text())
    for change, message in (
        ({"weights": None}, "no key 'weights'; list a file per fold"),
        ({"weights": content["weights"][:1]}, "weights lists 1 files, but the training has 2 folds"),
        ({"weights": content["variable_exports"]}, "is listed for two files"),
        ({"classifiers": [str(trained.folder / f"out/fold{fold}_keras_model.h5") for fold in (0, 1)]}, "wrong order"),
    ):
        kept = {key: value for key, value in {**content, **change}.items() if value is not None}
        trained.application.write_text(yaml.safe_dump(kept))
        with pytest.raises(NtuplemlError, match=message):
            export_to_json(trained.training, trained.application)
    trained.application.write_text(yaml.safe_dump(content))
    with pytest.raises(NtuplemlError, match="were trained without conditions; leave it out"):
        export_to_json(trained.training, trained.application, conditional=True)
    assert not list(trained.folder.glob("*.h5"))


def test_htt_ml_refuses_what_the_converter_cannot_read(make_trained: Any) -> None:
    trained = make_trained(lambda layers: [layers.Dense(4, "selu", name="hidden"), layers.Dense(2, "softmax")])
    with pytest.raises(NtuplemlError, match=r"layer 'hidden'.* the activation 'selu'; use application/export"):
        export_to_json(trained.training, trained.application)
