"""PyKeras weights files: the Keras file they name is found, and is converted with the transformations in front."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
import onnxruntime
import pytest

from ntupleml.errors import NtuplemlError
from ntupleml.onnx_models.tmva_method import tmva_to_onnx
from ntupleml.tmva.networks import PyKeras
from ntupleml.tmva.reading import read_weights

if TYPE_CHECKING:
    from pathlib import Path

LOW, HIGH = np.array([-2.0, 0.0]), np.array([2.0, 10.0])

#: The layout of MethodBase::WriteStateToXML; MethodPyKeras adds no weights.
XML = """<?xml version="1.0"?>
<MethodSetup Method="PyKeras::PyKeras_fold0">
  <GeneralInfo>
    <Info name="TMVA Release" value="4.2.1 [262657]"/>
    <Info name="AnalysisType" value="{analysis}"/>
  </GeneralInfo>
  <Options>
    <Option name="V" modified="Yes">False</Option>
    <Option name="VarTransform" modified="Yes">{transform}</Option>
    <Option name="FilenameModel" modified="Yes">fold0_model.h5</Option>
    <Option name="FilenameTrainedModel" modified="No">{trained}</Option>
    <Option name="NumEpochs" modified="Yes">10</Option>
  </Options>
  <Variables NVar="2">
    <Variable VarIndex="0" Expression="x" Label="x" Title="x" Unit="" Internal="x" Type="F" Min="-2" Max="2"/>
    <Variable VarIndex="1" Expression="y" Label="y" Title="y" Unit="" Internal="y" Type="F" Min="0" Max="10"/>
  </Variables>
  <Spectators NSpec="0"/>
  <Classes NClass="{num_classes}">
    {classes}
  </Classes>
  {transformations}
  <MVAPdfs/>
</MethodSetup>
"""
_SELECTION = "".join(
    f'<{tag} N{tag}s="2"><{tag} Type="Variable" Label="x" Expression="x"/>'
    f'<{tag} Type="Variable" Label="y" Expression="y"/></{tag}>'
    for tag in ("Input", "Output")
)
_RANGES = '<Ranges><Range Index="0" Min="-2" Max="2"/><Range Index="1" Min="0" Max="10"/></Ranges>'


def write_xml(path: Path, trained: str, *, classes: tuple[str, ...] = ("A", "B", "C"), normalize: bool = True) -> Path:
    blocks = "".join(f'<Class ClassIndex="{index}">{_RANGES}</Class>' for index in range(len(classes) + 1))
    transformations = '<Transformations NTransformations="0"/>'
    if normalize:
        transformations = (
            f'<Transformations NTransformations="1"><Transform Name="Normalize"><Selection>{_SELECTION}</Selection>'
            f"{blocks}</Transform></Transformations>"
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        XML.format(
            analysis="Multiclass" if len(classes) > 2 else "Classification",
            transform="N" if normalize else "None",
            trained=trained,
            num_classes=len(classes),
            classes="".join(f'<Class Name="{name}" Index="{index}"/>' for index, name in enumerate(classes)),
            transformations=transformations,
        )
    )
    return path


def save_network(path: Path, num_inputs: int = 2, num_outputs: int = 3) -> Any:
    import keras

    keras.utils.set_random_seed(3)
    layers = [keras.layers.Dense(7, activation="tanh"), keras.layers.Dense(num_outputs, activation="softmax")]
    model = keras.Sequential([keras.Input((num_inputs,)), *layers])
    path.parent.mkdir(parents=True, exist_ok=True)
    model.save(path)
    return model


def answers(path: Path, rows: np.ndarray, dtype: type = np.float32) -> np.ndarray:
    graph = tmva_to_onnx(read_weights(path), dtype).SerializeToString()
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    (scores,) = session.run(["scores"], {"variables": rows.astype(dtype)})
    return np.asarray(scores)


def rows() -> np.ndarray:
    return np.random.default_rng(1).uniform(LOW, HIGH, (500, 2)).astype(np.float32)


class TestConversion:
    def test_the_transformation_stands_before_the_network(self, tmp_path: Path) -> None:
        model = save_network(tmp_path / "trained.keras")
        path = write_xml(tmp_path / "m.weights.xml", str(tmp_path / "trained.keras"))
        transformed = 2 * (rows() - LOW) / (HIGH - LOW) - 1
        expected = np.asarray(model(transformed.astype(np.float32)))
        np.testing.assert_allclose(answers(path, rows()), expected, atol=1e-6)
        doubled = answers(path, rows(), np.float64)
        assert doubled.dtype == np.float64
        np.testing.assert_allclose(doubled, expected, atol=1e-6)

    def test_without_a_transformation(self, tmp_path: Path) -> None:
        model = save_network(tmp_path / "trained.keras")
        path = write_xml(tmp_path / "m.weights.xml", str(tmp_path / "trained.keras"), normalize=False)
        np.testing.assert_allclose(answers(path, rows()), np.asarray(model(rows())), atol=1e-6)

    def test_of_two_classes_the_first_is_the_signal(self, tmp_path: Path) -> None:
        model = save_network(tmp_path / "trained.keras", num_outputs=2)
        path = write_xml(
            tmp_path / "m.weights.xml", str(tmp_path / "trained.keras"), classes=("S", "B"), normalize=False
        )
        found = answers(path, rows())
        assert found.shape == (500, 1)
        np.testing.assert_allclose(found, np.asarray(model(rows()))[:, :1], atol=1e-6)

    @pytest.mark.parametrize(("num_inputs", "num_outputs"), [(3, 3), (2, 2)])
    def test_a_network_of_other_numbers_is_refused(self, tmp_path: Path, num_inputs: int, num_outputs: int) -> None:
        save_network(tmp_path / "trained.keras", num_inputs, num_outputs)
        path = write_xml(tmp_path / "m.weights.xml", str(tmp_path / "trained.keras"))
        message = rf"trained\.keras: a network of {num_inputs} inputs and {num_outputs} outputs, .* 2 variables and 3"
        with pytest.raises(NtuplemlError, match=message):
            tmva_to_onnx(read_weights(path))

    def test_a_keras_file_that_is_not_safe_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "trained.keras").write_bytes(b"PK\x03\x04 not a zip")
        path = write_xml(tmp_path / "m.weights.xml", str(tmp_path / "trained.keras"))
        with pytest.raises(NtuplemlError, match=r"trained\.keras: not a Keras 3 model, or damaged"):
            tmva_to_onnx(read_weights(path))


class TestWhereTheKerasFileIs:
    @pytest.mark.parametrize(
        ("trained", "place"),
        [
            ("out/fold0_training/weights/TrainedModel_P.keras", "out/fold0_training/weights/TrainedModel_P.keras"),
            ("out/fold0_training/weights/TrainedModel_P.h5", "out/fold0_training/weights/TrainedModel_P.keras"),
            ("/somewhere/else/TrainedModel_P.h5", "out/fold0_training/weights/TrainedModel_P.keras"),
            ("networks/best.keras", "networks/best.keras"),
            ("", "out/fold0_training/weights/TrainedModel_PyKeras_fold0.keras"),
        ],
    )
    @pytest.mark.parametrize("from_there", [True, False])
    def test_it_is_found(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trained: str, place: str, from_there: bool
    ) -> None:
        """From the folder of the training, and from anywhere else."""
        keras_file = tmp_path / place
        keras_file.parent.mkdir(parents=True, exist_ok=True)
        keras_file.write_bytes(b"")
        weights = write_xml(tmp_path / "out/fold0_training/weights/P.weights.xml", trained)
        (tmp_path / "empty").mkdir()
        monkeypatch.chdir(tmp_path if from_there else tmp_path / "empty")
        body = read_weights(weights).body
        assert isinstance(body, PyKeras)
        assert body.file.resolve() == keras_file
        assert body.num_outputs == 3

    def test_hdf5_is_refused_and_the_way_out_works(self, tmp_path: Path) -> None:
        old = tmp_path / "TrainedModel_P.h5"
        with h5py.File(old, "w") as file:
            file.attrs["model_config"] = "anything"
        path = write_xml(tmp_path / "m.weights.xml", "TrainedModel_P.h5")
        with pytest.raises(NtuplemlError, match=r"in HDF5, which is not read: loading one can run code") as error:
            read_weights(path)
        assert "load_model('TrainedModel_P.h5', compile=False).save('TrainedModel_P.keras')" in str(error.value)
        assert "\n" not in str(error.value)
        save_network(tmp_path / "TrainedModel_P.keras")  # what that command writes
        assert answers(path, rows()).shape == (500, 3)

    def test_it_is_not_there(self, tmp_path: Path) -> None:
        path = write_xml(tmp_path / "m.weights.xml", "weights/TrainedModel_P.h5")
        with pytest.raises(
            NtuplemlError, match=r"FilenameTrainedModel is 'weights/TrainedModel_P\.h5', which is found"
        ):
            read_weights(path)
