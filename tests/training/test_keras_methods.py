"""Methods of TMVA of the type kPyKeras: their options, and their training as Keras networks."""

from __future__ import annotations

import json
import pickle
import zipfile
from typing import TYPE_CHECKING, Any

import numpy as np
import onnxruntime
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.preprocessing import MinMaxScaler

from ntupleml.artifacts import Method, load_keras_model, model_files, read_record
from ntupleml.config import TmvaConfig, TmvaMethodConfig
from ntupleml.errors import NtuplemlError
from ntupleml.models import Network
from ntupleml.training.initial_model import load_initial_model
from ntupleml.training.keras_methods import PyKerasSettings, pykeras_settings
from ntupleml.training.tmva_training import train_tmva

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from ntupleml.artifacts import TrainingRecord
    from ntupleml.config import TrainingConfig


Make = "Callable[..., TrainingConfig]"


def settings_of(options: str, fold: int = 0) -> PyKerasSettings:
    return pykeras_settings(options, fold, "training.yaml")


class TestOptions:
    def test_all_that_decide(self) -> None:
        found = settings_of(
            "H:!V:VarTransform=N:NumEpochs=20:BatchSize=32:SaveBestOnly:TriesEarlyStopping=5:"
            "LearningRateSchedule=0,0.01;10,0.001"
        )
        assert found == PyKerasSettings(None, 20, 32, True, 5, {0: 0.01, 10: 0.001}, "min_max_scaler")

    def test_nothing_given_is_nothing_said(self) -> None:
        assert settings_of("") == PyKerasSettings()
        assert settings_of("!H:!V") == PyKerasSettings()

    @given(st.integers(1, 10**6), st.sampled_from(["NumEpochs", "numepochs", "NUMEPOCHS"]))
    def test_names_count_in_any_case(self, epochs: int, name: str) -> None:
        assert settings_of(f"{name}={epochs}").epochs == epochs

    @pytest.mark.parametrize(
        ("text", "value"),
        [("SaveBestOnly", True), ("!SaveBestOnly", False), ("SaveBestOnly=False", False), ("SaveBestOnly=True", True)],
    )
    def test_flags_as_tmva_writes_them(self, text: str, value: bool) -> None:
        assert settings_of(text).save_best_only is value

    @pytest.mark.parametrize(
        ("text", "name"), [("None", "identity"), ("N", "min_max_scaler"), ("G", "quantile_transformer")]
    )
    def test_transformations_are_our_scalers(self, text: str, name: str) -> None:
        assert settings_of(f"VarTransform={text}").preprocessing == name

    def test_what_has_no_meaning_is_told(self) -> None:
        found = settings_of("!H:V:ValidationSize=20%:NumThreads=4:FilenameTrainedModel=x.h5")
        assert found.remarks == ("without a meaning here: ValidationSize, NumThreads, FilenameTrainedModel",)

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ("NumEpoch=5", r"no option 'NumEpoch' of kPyKeras; nearest: 'NumEpochs'"),
            ("NumEpochs", r"option 'NumEpochs' is not a flag and needs a value, e.g. NumEpochs=100"),
            ("!NumEpochs=5", r"no option '!NumEpochs' of kPyKeras; nearest: 'NumEpochs'"),
            ("NumEpochs=many", r"NumEpochs=many: not an integer"),
            ("NumEpochs=5:numepochs=6", r"option NumEpochs is given twice; leave one out"),
            ("BatchSize=0", r"BatchSize=0: at least 1 is needed"),
            ("SaveBestOnly=perhaps", r"SaveBestOnly=perhaps: neither True nor False"),
            ("VarTransform=D", r"option VarTransform: .* not with 'D'"),
            ("LearningRateSchedule=5", r"LearningRateSchedule: '5' is not an epoch and a learning rate"),
            ("LearningRateSchedule=5,-1", r"LearningRateSchedule: '5,-1' is not"),
            ("UserCode=evil.py", r"option UserCode: code from a file is never run"),
            ("ContinueTraining", r"option ContinueTraining: "),
            ("IgnoreNegWeightsInTraining", r"option IgnoreNegWeightsInTraining: .*as they are"),
            ("FilenameModel=nothing.keras", r"FilenameModel: nothing\.keras: no such file"),
        ],
    )
    def test_refused_in_one_line(self, options: str, message: str) -> None:
        with pytest.raises(NtuplemlError, match=message) as error:
            settings_of(options)
        assert str(error.value).startswith("training.yaml: ")
        assert "\n" not in str(error.value)

    def test_refused_options_may_be_off(self) -> None:
        assert settings_of("!ContinueTraining:IgnoreNegWeightsInTraining=False:UserCode=") == PyKerasSettings()

    def test_a_network_in_hdf5_is_not_loaded(self) -> None:
        """htt-ml's own methods name one."""
        found = settings_of("FilenameModel=fold{fold}_model.h5", 1)
        assert found.model is None
        (remark,) = found.remarks
        assert "'fold1_model.h5' is not loaded, since loading a Keras model in HDF5 can run code" in remark


def method(options: str = "", name: str = "PyKeras_fold{fold}") -> TmvaMethodConfig:
    return TmvaMethodConfig(name=name, type="kPyKeras", options=options)


def train(config: TrainingConfig, fold: int, methods: list[Any], where: str = "t.yaml") -> list[TrainingRecord]:
    """Train the methods alone."""
    return train_tmva(config.model_copy(update={"tmva": TmvaConfig(methods=methods)}), [fold], where=where).records


def test_htt_mls_method_trains_the_configs_network(make_config: Make) -> None:
    config = make_config(model={"epochs": 2, "batch_size": 50})
    wanted = [one for one in TmvaConfig().methods if one.type == "kPyKeras"]
    (record,) = train(config, 1, wanted, where="training.yaml")
    assert (record.method, record.engine, record.epochs, record.fold) == ("PyKeras_fold1", "keras", 2, 1)
    assert record.network["hidden"] == [8]
    assert record.preprocessing == "standard_scaler"
    files = model_files(config.output_path, 1, Method("tmva", "PyKeras_fold1", "kPyKeras"))
    assert files.model.as_posix().endswith("out/fold1_training/weights/TMVAMulticlass_PyKeras_fold1.keras")
    assert read_record(files.record) == record
    assert all(path is None or path.exists() for path in files)
    assert set(record.sha256) == {files.model.name, files.preprocessing.name, files.pickle.name, files.onnx.name}
    # Nothing of the config's own network is touched.
    assert not any(path is not None and path.exists() for path in model_files(config.output_path, 1))
    with pytest.raises(NtuplemlError, match=r"TMVAMulticlass_PyKeras_fold1\.keras: exists already; give --overwrite"):
        train(config, 1, wanted, where="training.yaml")


def test_options_win_over_the_config(make_config: Make, columns: Callable[..., dict[str, Any]]) -> None:
    config = make_config(model={"epochs": 9})
    options = "VarTransform=N:NumEpochs=3:BatchSize=100:!SaveBestOnly:LearningRateSchedule=0,0.5;2,0.25"
    (record,) = train(config, 0, [method(options)])
    assert record.epochs == 3
    assert record.best_epoch is None  # the last epoch's weights
    assert record.config["model"]["batch_size"] == 100
    assert record.history["learning_rate"] == [0.5, 0.5, 0.25]
    files = model_files(config.output_path, 0, Method("tmva", "PyKeras_fold0", "kPyKeras"))
    scaler = pickle.loads(files.pickle.read_bytes())
    assert isinstance(scaler, MinMaxScaler)
    sig = columns(1, 0, 300)
    raw = np.column_stack([sig[name] for name in "xyn"]).astype(np.float32)
    expected = np.asarray(load_keras_model(files.model)(scaler.transform(raw.astype(float))))
    session = onnxruntime.InferenceSession(files.onnx.read_bytes(), providers=["CPUExecutionProvider"])
    np.testing.assert_allclose(session.run(None, {"variables": raw})[0], expected, atol=1e-5)


def save_network(path: Path, num_inputs: int = 3, loss: str | None = "mean_squared_error") -> list[Any]:
    import keras

    model = keras.Sequential(
        [keras.Input((num_inputs,)), keras.layers.Dense(5, activation="tanh"), keras.layers.Dense(2, "softmax")]
    )
    if loss is not None:
        model.compile(optimizer=keras.optimizers.SGD(learning_rate=1e-9), loss=loss)
    model.save(path)
    weights: list[Any] = model.get_weights()
    return weights


def test_a_keras_file_is_the_network_to_begin_with(make_config: Make, tmp_path: Path) -> None:
    """With its weights, loss and optimiser: a learning rate of 1e-9 leaves them as they are."""
    before = save_network(tmp_path / "start.keras")
    config = make_config()
    (record,) = train(config, 0, [method(f"NumEpochs=1:FilenameModel={tmp_path / 'start.keras'}")])
    files = model_files(config.output_path, 0, Method("tmva", "PyKeras_fold0", "kPyKeras"))
    for one, other in zip(load_keras_model(files.model).get_weights(), before, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)
    assert record.network["loss"] == "mean_squared_error"
    assert record.network["learning_rate"] == pytest.approx(1e-9)
    assert [layer["outputs"] for layer in record.network["layers"]] == [5, 2]


@pytest.mark.parametrize("loss", [None, "sparse_categorical_crossentropy"])
def test_a_loss_for_other_targets_is_replaced(make_config: Make, tmp_path: Path, loss: str | None) -> None:
    save_network(tmp_path / "start.keras", loss=loss)
    config = make_config(model={"epochs": 1})
    (record,) = train(config, 0, [method(f"FilenameModel={tmp_path / 'start.keras'}")])
    assert record.network["loss"] == "categorical_crossentropy"


def compiled_with(path: Path, **compiled: Any) -> Path:
    """A Keras file whose description says something else about its training."""
    save_network(path)
    with zipfile.ZipFile(path) as archive:
        content = {name: archive.read(name) for name in archive.namelist()}
    config = json.loads(content["config.json"])
    config["compile_config"].update(compiled)
    content["config.json"] = json.dumps(config).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in content.items():
            archive.writestr(name, data)
    return path


def optimizer(kind: str, module: str = "keras.optimizers", **settings: Any) -> dict[str, Any]:
    return {"module": module, "class_name": kind, "config": settings, "registered_name": None}


SCHEDULE = optimizer(
    "ExponentialDecay", "keras.optimizers.schedules", initial_learning_rate=0.25, decay_steps=10, decay_rate=0.5
)


@pytest.mark.parametrize(
    ("compiled", "loss", "name", "rate"),
    [
        ({"optimizer": optimizer("Nadam", learning_rate=0.25)}, "mean_squared_error", "nadam", 0.25),
        ({"optimizer": optimizer("SGD", learning_rate=SCHEDULE)}, "mean_squared_error", "SGD", 0.25),
        ({"loss": {"class_name": "function", "config": "log_cosh"}}, "log_cosh", "SGD", 1e-9),
        ({"loss": {"config": {"name": "huber"}, "class_name": "Huber"}}, "huber", "SGD", 1e-9),
        # what is not Keras' own, or no plain number, is replaced by what the config says
        ({"optimizer": optimizer("Popen", "subprocess", args=["false"])}, "mean_squared_error", "adam", 0.125),
        ({"optimizer": optimizer("SGD", learning_rate=optimizer("system", "os"))}, "mean_squared_error", "adam", 0.125),
        ({"optimizer": optimizer("SGD", momentum=[[0.5] * 10])}, "mean_squared_error", "adam", 0.125),
        ({"loss": {"module": "os", "class_name": "system", "config": 7}}, "categorical_crossentropy", "SGD", 1e-9),
    ],
)
def test_loss_and_optimiser_of_a_file(
    compiled: dict[str, Any], loss: str, name: str, rate: float, tmp_path: Path
) -> None:
    network = Network(hidden=(5,), activation="tanh", learning_rate=0.125)
    model, description = load_initial_model(compiled_with(tmp_path / "start.keras", **compiled), network, 3, 2)
    assert (description["loss"], description["optimizer"]) == (loss, name.lower())
    assert description["learning_rate"] == pytest.approx(rate)
    assert type(model.optimizer).__name__.lower() == name.lower()


def test_a_network_of_other_inputs_is_refused(make_config: Make, tmp_path: Path) -> None:
    save_network(tmp_path / "start.keras", num_inputs=4)
    config = make_config()
    with pytest.raises(NtuplemlError, match=r"start\.keras: a network of 4 inputs and 2 outputs, but .* 3 variables"):
        train(config, 0, [method(f"FilenameModel={tmp_path / 'start.keras'}")])


def test_all_options_are_read_before_anything_is_trained(make_config: Make) -> None:
    config = make_config()
    with pytest.raises(NtuplemlError, match=r"training\.yaml: tmva\.methods: 'second': no option 'NumEpoch'"):
        train(config, 0, [method(name="first"), method("NumEpoch=3", "second")], where="training.yaml")
    assert not model_files(config.output_path, 0, Method("tmva", "first", "kPyKeras")).record.exists()
