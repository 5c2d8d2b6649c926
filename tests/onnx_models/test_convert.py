"""The conversion of model files to ONNX as a user does it, each kind against its own library."""

from __future__ import annotations

import gzip
import json
import logging
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import onnxruntime
import pytest
import xgboost

from ntupleml.artifacts import TrainingRecord, model_files, record_hash, sha256_of_file, write_record
from ntupleml.artifacts.files import Method
from ntupleml.errors import NtuplemlError
from ntupleml.forests.files import save_forest
from ntupleml.forests.sklearn import forest_of_hist_gradient_boosting
from ntupleml.onnx_models.convert import convert_file

if TYPE_CHECKING:
    from collections.abc import Callable

DATA = Path(__file__).resolve().parents[1] / "data"


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    path = tmp_path / "X.weights.xml"
    path.write_bytes(gzip.decompress((DATA / "tmva" / "bin_bdtg" / "weights.xml.gz").read_bytes()))
    return path


@pytest.fixture(scope="module")
def sample() -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(5)
    rows = random.normal(size=(2000, 3)).astype(np.float32)
    return rows, (rows[:, 0] + rows[:, 1] ** 2 > 0.5).astype(np.int64) + (rows[:, 2] > 1)


def scores(path: Path, rows: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (given,) = session.get_inputs()
    assert given.name == "variables"
    result: np.ndarray = session.run(["scores"], {"variables": rows})[0]
    return result


def description(path: Path) -> dict[str, Any]:
    (text,) = [item.value for item in onnx.load(path).metadata_props if item.key == "ntupleml"]
    content: dict[str, Any] = json.loads(text)
    return content


def files(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_script_converts_tmva_weights(
    dtype: str, weights: Path, run_script: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    output = weights.with_name("out.onnx")
    done = run_script("application/convert_to_onnx.py", weights, output, "--dtype", dtype)
    assert (done.returncode, done.stdout) == (0, "")
    assert f"{output}: tmva model of 2 variables and 1 scores in {dtype}" in done.stderr
    assert files(weights.parent) == {"X.weights.xml", "out.onnx"}
    with np.load(DATA / "tmva" / "toy2_eval.npz") as data:
        rows = np.stack([data["x"], data["y"]], axis=1).astype(dtype)
    expected = np.load(DATA / "tmva" / "bin_bdtg" / "responses.npz")["response"]
    tolerance = 2e-7 if dtype == "float32" else 1e-12
    np.testing.assert_allclose(scores(output, rows)[:, 0], expected, rtol=tolerance)


def test_the_script_refuses_bad_xml_in_one_line_and_writes_nothing(
    weights: Path, run_script: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    weights.write_bytes(weights.read_bytes()[:-1000])
    output = weights.parent / "new" / "folder" / "out.onnx"
    done = run_script("application/convert_to_onnx.py", weights, output)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert f"{weights}: not an XML file, or cut off or damaged" in done.stderr
    assert files(weights.parent) == {"X.weights.xml"}


def test_an_existing_file_is_kept_unless_asked(weights: Path) -> None:
    output = weights.with_name("out.onnx")
    output.write_text("precious")
    with pytest.raises(NtuplemlError, match="exists already"):
        convert_file(weights, output)
    assert output.read_text() == "precious"
    convert_file(weights, output, overwrite=True)
    assert description(output)["method"] == "BDT::M"


def test_a_failed_conversion_leaves_the_old_file(weights: Path) -> None:
    output = weights.with_name("out.onnx")
    output.write_text("precious")
    weights.write_text("<MethodSetup Method='KNN::K'/>")
    with pytest.raises(NtuplemlError, match="method 'KNN' of TMVA is not supported"):
        convert_file(weights, output, overwrite=True)
    assert output.read_text() == "precious"
    assert files(weights.parent) == {"X.weights.xml", "out.onnx"}


def test_the_model_itself_is_not_overwritten(weights: Path) -> None:
    before = weights.read_bytes()
    with pytest.raises(NtuplemlError, match="is the model itself"):
        convert_file(weights, weights, overwrite=True)
    assert weights.read_bytes() == before


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        (
            "x.dat",
            b"",
            "not a kind of model that is converted; the names of those end in .xml, .json, .ubj, .npz, .txt, .keras",
        ),
        ("x.txt", b"", "not a model of LightGBM, whose first line is 'tree'"),
        ("x.h5", b"\x89HDF\r\n\x1a\n", "not a model of Keras 2, or damaged"),
        ("x.onnx", b"", "is an ONNX file already"),
        ("x.json", b"{", "not JSON, or cut off or damaged"),
        ("x.json", b"[" * 100_000, "not JSON, or cut off or damaged"),
        ("x.json", b"[]", "holds no object"),
        ("x.json", b"{L" + bytes(7) + b"\1a" + b"[" * 200_000, "nested more than 32 levels deep"),
        (
            "x.ubj",
            b"{L" + bytes(7) + b"\1a[$d#L" + bytes([127, *7 * [255]]),
            "damaged: a length of 9223372036854775807",
        ),
        ("x.ubj", b"{}", "neither a network of lwtnn"),
        ("x.json", b"{}", "neither a network of lwtnn"),
        ("x.json", b'{"learner": 3}', "x.json"),
        ("x.json", b'{"layers": 3}', "x.json"),
        ("x.npz", b"PK", "x.npz"),
        ("x.keras", b"PK", "no record of a training goes with it"),
        ("x.xml", b"<a/>", "its root element is a, not MethodSetup"),
    ],
)
def test_what_is_no_model_is_refused_in_one_line(name: str, content: bytes, reason: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(NtuplemlError) as caught:
        convert_file(path, tmp_path / "out.onnx")
    assert reason in str(caught.value)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert files(tmp_path) == {name}


def test_a_missing_model_and_a_folder_are_named(tmp_path: Path) -> None:
    for path, reason in ((tmp_path / "none.weights.xml", "no such file"), (tmp_path, "is a folder")):
        with pytest.raises(NtuplemlError, match=f"{path}: {reason}"):
            convert_file(path, tmp_path / "out.onnx")


@pytest.mark.parametrize("num_classes", [2, 3])
def test_xgboost_answers_as_its_own_predictor(
    num_classes: int, sample: tuple[np.ndarray, np.ndarray], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rows, classes = sample
    matrix = xgboost.DMatrix(rows, np.minimum(classes, num_classes - 1), feature_names=["pt", "eta", "mass"])
    options = {"objective": "binary:logistic"} if num_classes == 2 else {"objective": "multi:softprob", "num_class": 3}
    booster = xgboost.train({**options, "max_depth": 4, "nthread": 1}, matrix, 30)
    model = tmp_path / "model.json"
    booster.save_model(model)
    expected = booster.predict(matrix)
    if num_classes == 2:
        expected = np.stack([1 - expected, expected], axis=1)
    with caplog.at_level(logging.INFO, logger="ntupleml"):
        convert_file(model, tmp_path / "out.onnx")
    assert f"xgboost model of 3 variables and {num_classes} scores in float32" in caplog.text
    np.testing.assert_allclose(scores(tmp_path / "out.onnx", rows), expected, atol=1e-6)
    content = description(tmp_path / "out.onnx")
    assert content["variables"] == {"variables": ["pt", "eta", "mass"]}
    assert content["classes"] == [f"class_{index}" for index in range(num_classes)]


def test_a_forest_takes_its_names_from_the_record_of_its_training(
    sample: tuple[np.ndarray, np.ndarray], tmp_path: Path
) -> None:
    from sklearn.ensemble import HistGradientBoostingClassifier

    rows, classes = sample
    estimator = HistGradientBoostingClassifier(max_iter=20, early_stopping=False, random_state=1).fit(rows, classes)
    files_of_fold = model_files(tmp_path, 0, Method("boosted_trees", "hgb", "hist_gradient_boosting"))
    save_forest(files_of_fold.model, forest_of_hist_gradient_boosting(estimator))
    record = TrainingRecord(
        engine="hist_gradient_boosting",
        method="hgb",
        fold=0,
        num_folds=2,
        trained_on=[0],
        held_out_fold=1,
        classes=["ggh", "qqh", "ztt"],
        variables=["pt", "eta", "mass"],
        preprocessing="none",
        missing=-3.0,
        seed=1,
        config={},
        sha256={files_of_fold.model.name: sha256_of_file(files_of_fold.model)},
    )
    write_record(files_of_fold.record, record)
    output = tmp_path / "out.onnx"
    convert_file(files_of_fold.model, output, dtype="float64")
    holed = rows.astype(np.float64)
    holed[::7, 1] = np.nan
    expected = estimator.predict_proba(np.nan_to_num(holed, nan=-3.0))
    np.testing.assert_allclose(scores(output, holed), expected, rtol=1e-12)
    content = description(output)
    assert (content["kind"], content["classes"]) == ("forest", ["ggh", "qqh", "ztt"])
    assert content["record_hash"] == record_hash(record)


def test_lwtnn_is_told_from_xgboost_by_its_content(tmp_path: Path) -> None:
    model = tmp_path / "network.json"
    layer = {"architecture": "dense", "activation": "linear", "weights": [2.0, -1.0], "bias": [0.5]}
    inputs = [{"name": name, "offset": 1.0, "scale": 3.0} for name in ("pt", "eta")]
    model.write_text(json.dumps({"inputs": inputs, "layers": [layer], "outputs": ["score"]}))
    convert_file(model, tmp_path / "out.onnx")
    rows = np.array([[1, 2], [-4, 0.5]], dtype=np.float32)
    expected = 2 * (rows[:, 0] + 1) * 3 - (rows[:, 1] + 1) * 3 + 0.5
    np.testing.assert_allclose(scores(tmp_path / "out.onnx", rows)[:, 0], expected, rtol=1e-6)
    assert description(tmp_path / "out.onnx")["kind"] == "lwtnn"


def test_a_keras_network_is_converted_with_its_preprocessing(tmp_path: Path) -> None:
    from sklearn.preprocessing import StandardScaler

    from ntupleml.imports import import_tensorflow
    from ntupleml.preprocessing import write_preprocessing

    import_tensorflow()
    import keras

    network = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3, activation="softmax")])
    rows = np.random.default_rng(2).normal(5, 3, size=(100, 2)).astype(np.float32)
    scaler = StandardScaler().fit(rows.astype(np.float64))
    names = model_files(tmp_path, 1)
    network.save(names.model)
    assert names.preprocessing is not None
    write_preprocessing(names.preprocessing, scaler)
    record = TrainingRecord(
        fold=1,
        num_folds=2,
        trained_on=[1],
        held_out_fold=0,
        classes=["a", "b", "c"],
        variables=["pt", "eta"],
        preprocessing="standard_scaler",
        seed=1,
        config={},
        sha256={path.name: sha256_of_file(path) for path in (names.model, names.preprocessing)},
    )
    write_record(names.record, record)
    output = tmp_path / "out.onnx"
    convert_file(names.model, output)
    expected = np.asarray(network(scaler.transform(rows.astype(np.float64)).astype(np.float32)))
    np.testing.assert_allclose(scores(output, rows), expected, atol=1e-6)
    assert description(output)["kind"] == "keras"
    with pytest.raises(NtuplemlError, match="convert it with --dtype float32"):
        convert_file(names.model, output, dtype="float64", overwrite=True)
    # Where only scores are wanted, Keras need not be there.
    code = (
        "import sys; from ntupleml.onnx_models.convert import convert_file;"
        "convert_file(sys.argv[1], sys.argv[2]); print({'keras', 'tensorflow'} & sys.modules.keys())"
    )
    command = [sys.executable, "-c", code, str(names.model), str(tmp_path / "again.onnx")]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "set()\n"
    assert (tmp_path / "again.onnx").read_bytes() == output.read_bytes()
