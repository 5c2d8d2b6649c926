"""The whole training of boosted trees: files, record, reproducibility, negative weights, and what is refused."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import lightgbm
import numpy as np
import onnxruntime
import pytest
import xgboost
import yaml
from sklearn.metrics import log_loss, roc_auc_score
from sklearn.model_selection import train_test_split

from ntupleml.artifacts import Method, model_files, read_record, record_hash
from ntupleml.errors import NtuplemlError
from ntupleml.forests.files import load_forest
from ntupleml.forests.kernel import evaluate
from ntupleml.onnx_models.sessions import graph_scores
from ntupleml.plots.style import figure_paths
from ntupleml.training import TrainingOptions
from ntupleml.training.boosted_trees import train_boosted_trees
from ntupleml.training.importance import importance_path
from ntupleml.training.library_trees import weights_path
from ntupleml.training.outputs import check_difference

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from ntupleml.artifacts import ModelFiles
    from ntupleml.config import TrainingConfig

XGBOOST = {"name": "xgb", "rounds": 30, "early_stopping": 5, "options": {"max_depth": 2, "learning_rate": 0.3}}
HISTOGRAM = {
    "name": "hist",
    "type": "hist_gradient_boosting",
    "rounds": 30,
    "early_stopping": 5,
    "options": {"max_leaf_nodes": 4},
    "negative_weights": "IgnoreNegWeightsInTraining",
}
LIGHTGBM = {
    "name": "light",
    "type": "lightgbm",
    "rounds": 30,
    "early_stopping": 5,
    "options": {"num_leaves": 4, "learning_rate": 0.3},
}
METHODS = {
    "xgb": Method("boosted_trees", "xgb", "xgboost"),
    "hist": Method("boosted_trees", "hist", "hist_gradient_boosting"),
    "light": Method("boosted_trees", "light", "lightgbm"),
}


def one_thread(**options: Any) -> TrainingOptions:
    """More threads than free cores wait for one another."""
    return TrainingOptions(**{"threads": 1, **options})


@pytest.fixture
def make(make_config: Callable[..., TrainingConfig]) -> Callable[..., TrainingConfig]:
    """A config with all methods, or the given ones."""

    def make(*methods: dict[str, Any], **keys: Any) -> TrainingConfig:
        return make_config(boosted_trees=list(methods or (XGBOOST, HISTOGRAM, LIGHTGBM)), **keys)

    return make


def held_out(columns: Callable[..., Any], fold: int, num_classes: int = 2) -> tuple[NDArray[np.float32], Any, Any]:
    """Inputs, classes and weights of a fold file."""
    parts = [columns(fold, index, 300 + 200 * index) for index in range(num_classes)]
    inputs = np.concatenate([np.column_stack([part[name] for name in "xyn"]) for part in parts])
    classes = np.repeat(np.arange(num_classes), [len(part["x"]) for part in parts])
    return inputs.astype(np.float32), classes, np.concatenate([part["weight"] for part in parts])


def onnx_scores(path: Path, inputs: NDArray[np.float32]) -> NDArray[np.float32]:
    session = onnxruntime.InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"])
    (scores,) = session.run(None, {"variables": inputs})
    return np.asarray(scores)


def scores_of(files: ModelFiles, inputs: NDArray[np.float32]) -> NDArray[Any]:
    """Scores of the model file itself: by its library, or from the forest."""
    if files.model.suffix == ".json":
        scores = xgboost.Booster(model_file=files.model).inplace_predict(inputs)
    elif files.model.suffix == ".txt":
        scores = lightgbm.Booster(model_file=files.model).predict(inputs)
    else:
        scores = evaluate(load_forest(files.model), inputs)
        scores = scores[:, 0] if scores.shape[1] == 1 else scores
    return np.stack([1 - scores, scores], axis=1) if scores.ndim == 1 else scores


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("classes", [("sig", "bkg"), ("sig", "bkg", "tt")])
def test_files_record_and_scores(make: Any, columns: Callable[..., Any], name: str, classes: tuple[str, ...]) -> None:
    config = make(classes=classes)
    (record,) = train_boosted_trees(config, [0], one_thread(method=name))
    files = model_files(config.output_path, 0, METHODS[name])
    weights = weights_path(files.model)
    importance = figure_paths(importance_path(files.model), ["txt", "yaml", "png", "pdf"])
    written = {*(path for path in files if path is not None), *importance, weights, files.record.with_suffix(".csv")}
    assert set(files.model.parent.iterdir()) == written
    assert all(path.stat().st_size for path in written)
    assert read_record(files.record) == record
    for path in (files.model, files.onnx, weights):
        assert record.sha256[path.name] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert (record.engine, record.method) == (METHODS[name].type, name)
    assert (record.trained_on, record.held_out_fold, record.preprocessing) == ([0], 1, "none")
    assert record.best_epoch is not None
    assert record.epochs == min(record.best_epoch + 5, 30) == len(record.history["val_loss"])
    assert int(np.argmin(record.history["val_loss"])) + 1 == record.best_epoch
    assert record.onnx_check is not None
    assert record.onnx_check.largest_difference < 1e-6
    # The files agree with one another on the fold that was held out.
    inputs, truth, _ = held_out(columns, 1, len(classes))
    scores = onnx_scores(files.onnx, inputs)
    np.testing.assert_allclose(scores, scores_of(files, inputs), atol=1e-6)
    np.testing.assert_allclose(scores.sum(axis=1), 1, atol=1e-6)
    assert (scores.argmax(axis=1) == truth).mean() > 0.6
    log_text = files.log.read_text()
    assert "% of the events have negative weights" in log_text
    assert "class 'bkg': 500 events" in log_text


def test_the_first_class_has_the_first_score(make: Any, columns: Callable[..., Any]) -> None:
    """Gaussians at 0 and 1 in x, and at 0 and 10 with a width of 10 in y: the best AUC is Φ(√2/√2) = 0.841."""
    config = make()
    train_boosted_trees(config, [0], one_thread())
    inputs, truth, _ = held_out(columns, 1)
    for method in METHODS.values():
        scores = onnx_scores(model_files(config.output_path, 0, method).onnx, inputs)
        assert abs(roc_auc_score(truth == 0, scores[:, 0]) - 0.841) < 0.05


@pytest.mark.parametrize("name", METHODS)
def test_importance_in_all_its_files(make: Any, name: str) -> None:
    config = make()
    (record,) = train_boosted_trees(config, [1], one_thread(method=name))
    files = model_files(config.output_path, 1, METHODS[name])
    stem = importance_path(files.model)
    shares = yaml.safe_load(stem.with_suffix(".yaml").read_text())
    assert list(shares.items()) == list(record.importance.items())
    assert set(shares) == {"x", "y", "n"}
    assert min(shares, key=shares.__getitem__) == "n"  # the same in both classes
    assert sum(shares.values()) == pytest.approx(1)
    assert list(shares.values()) == sorted(shares.values(), reverse=True)
    lines = [line.split(" : ") for line in stem.with_suffix(".txt").read_text().splitlines()]
    assert [(int(rank), variable.strip()) for rank, variable, _ in lines] == list(enumerate(shares))
    assert [float(share) for *_, share in lines] == pytest.approx(list(shares.values()), rel=1e-5)


@pytest.mark.parametrize("classes", [("sig", "bkg"), ("sig", "bkg", "tt")])
def test_the_weights_file_of_tmva(make: Any, columns: Callable[..., Any], classes: tuple[str, ...]) -> None:
    """Multiclass, the classes in order, and the ranges of the training events."""
    config = make(classes=classes)
    train_boosted_trees(config, [0], one_thread(method="xgb"))
    files = model_files(config.output_path, 0, METHODS["xgb"])
    root = ElementTree.parse(weights_path(files.model)).getroot()
    assert [element.attrib["Name"] for element in root.iter("Class")] == list(classes)
    inputs, *_ = held_out(columns, 0, len(classes))
    training, _ = train_test_split(np.arange(len(inputs)), test_size=0.25, random_state=7)
    ranges = [(float(element.attrib["Min"]), float(element.attrib["Max"])) for element in root.iter("Variable")]
    np.testing.assert_allclose(ranges, np.transpose([f(inputs[training], axis=0) for f in (np.min, np.max)]), rtol=1e-6)
    model = json.loads(files.model.read_text())["learner"]["gradient_booster"]["model"]
    num_trees = int(model["gbtree_model_param"]["num_trees"])
    assert len(list(root.iter("BinaryTree"))) == (2 if len(classes) == 2 else 1) * num_trees


def test_messages_name_the_files_that_stay(make: Any, caplog: pytest.LogCaptureFixture) -> None:
    """Files are written in a temporary folder, which is gone when a user reads the line."""
    caplog.set_level("INFO")
    config = make()
    train_boosted_trees(config, [0], one_thread(method="hist"))
    weights = weights_path(model_files(config.output_path, 0, METHODS["hist"]).model)
    (line,) = [record.getMessage() for record in caplog.records if "where NaN goes" in record.getMessage()]
    assert line.startswith(f"{weights}: does not say")


def test_same_seed_same_model(make: Any) -> None:
    content = []
    for seed in (7, 7, 8):
        subsampled = {**XGBOOST, "options": {"subsample": 0.5}}
        drawn = {**LIGHTGBM, "options": {"bagging_fraction": 0.5, "bagging_freq": 1}}
        config = make(subsampled, {**HISTOGRAM, "options": {"max_features": 0.4}}, drawn, seed=seed)
        records = train_boosted_trees(config, [0], one_thread(overwrite=True))
        content.append([model_files(config.output_path, 0, method).model.read_bytes() for method in METHODS.values()])
        assert [record.seed for record in records] == [seed] * 3
    assert content[0] == content[1]
    assert all(one != other for one, other in zip(content[0], content[2], strict=True))


def test_weights_of_events_and_classes_count(make: Any, columns: Callable[..., Any]) -> None:
    """The validation loss in the record is that of the saved model, with event, class and global weights."""
    config = make(class_weights={"sig": 4.0, "bkg": 0.5}, global_weight_scale=3.0)
    inputs, classes, weights = held_out(columns, 0)
    _, rows = train_test_split(np.arange(800), test_size=0.25, random_state=7)
    factors = (weights * np.array([4.0, 0.5])[classes])[rows]
    for record in train_boosted_trees(config, [0], one_thread()):
        assert record.best_epoch is not None
        scores = onnx_scores(model_files(config.output_path, 0, METHODS[record.method]).onnx, inputs[rows])
        losses = -np.log(scores[np.arange(len(rows)), classes[rows]])
        expected = factors @ losses / factors.sum()
        assert record.history["val_loss"][record.best_epoch - 1] == pytest.approx(expected, abs=2e-6)
        assert expected != pytest.approx(log_loss(classes[rows], scores), rel=0.01)


def test_negative_weights_by_treatment(make: Any) -> None:
    config = make(HISTOGRAM | {"negative_weights": "Pray"})
    with pytest.raises(NtuplemlError, match=r"boosted_trees\[0\]: HistGradientBoostingClassifier cannot take negative"):
        train_boosted_trees(config, [0], one_thread())
    for method in (XGBOOST, LIGHTGBM):
        models = set()
        for treatment in ("Pray", "IgnoreNegWeightsInTraining", "PairNegWeightsGlobal"):
            config = make(method | {"negative_weights": treatment})
            (record,) = train_boosted_trees(config, [0], one_thread(overwrite=True))
            assert record.network["negative_weights"] == treatment
            models.add(model_files(config.output_path, 0, METHODS[method["name"]]).model.read_bytes())
        assert len(models) == 3


def test_conditions_are_inputs(
    make: Any, tmp_path: Path, fold_file: Callable[..., None], columns: Callable[..., Any]
) -> None:
    conditions = {}
    for era in ("2016", "2017"):
        paths = [str(tmp_path / f"{fold}_{era}.root") for fold in (0, 1)]
        for path in paths:
            fold_file(path, {name: columns(int(era), index, 200) for index, name in enumerate(("sig", "bkg"))})
        conditions[era] = {"datasets": paths}
    config = make(datasets=None, conditions=conditions)
    for record in train_boosted_trees(config, [0], one_thread(conditional=True)):
        assert record.conditions == ["2016", "2017"]
        assert set(record.importance) == {"x", "y", "n", "2016", "2017"}
        files = model_files(config.output_path, 0, METHODS[record.method])
        assert onnx_scores(files.onnx, np.zeros((2, 5), dtype=np.float32)).shape == (2, 2)
        assert not weights_path(files.model).exists()
        assert "no weights file of TMVA: the conditions are inputs" in files.log.read_text()


def test_missing_inputs_are_replaced_in_the_onnx_file_too(
    make: Any, tmp_path: Path, fold_file: Callable[..., None], columns: Callable[..., Any]
) -> None:
    config = make(missing={"value": -20.0})
    content = {name: columns(0, index, 300) for index, name in enumerate(("sig", "bkg"))}
    content["bkg"]["x"][::2] = np.nan
    fold_file(tmp_path / "fold0.root", content)
    train_boosted_trees(config, [0], one_thread())
    rows = np.array([[np.nan, 1, 1], [-20, 1, 1], [0, 1, 1], [np.inf, 1, 1]], dtype=np.float32)
    for method in METHODS.values():
        scores = onnx_scores(model_files(config.output_path, 0, method).onnx, rows)
        assert (scores[[0, 3]] == scores[1]).all()
        assert scores[0, 1] > 0.9 > scores[2, 1]


def test_existing_files_are_not_overwritten_unasked(make: Any) -> None:
    config = make()
    train_boosted_trees(config, [1], one_thread(method="hist"))
    with pytest.raises(NtuplemlError, match=r"fold1_hist_model\.npz: exists already; give --overwrite to train anew"):
        train_boosted_trees(config, [0, 1], one_thread())
    assert not model_files(config.output_path, 0, METHODS["xgb"]).model.exists()
    files = model_files(config.output_path, 1, METHODS["hist"])
    for path in (files.model, files.onnx, files.record):
        path.unlink()
    with pytest.raises(NtuplemlError, match="exists already"):  # the figures are left
        train_boosted_trees(config, [1], one_thread(method="hist"))
    train_boosted_trees(config, [1], one_thread(method="hist", overwrite=True))
    assert files.model.exists()


def test_an_earlier_training_survives_one_that_cannot_be_written(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    config = make(XGBOOST)
    train_boosted_trees(config, [0], one_thread())
    files = model_files(config.output_path, 0, METHODS["xgb"])
    kept = [path for path in files.model.parent.iterdir() if path != files.log]
    before = {path: path.read_bytes() for path in kept}

    def full(*arguments: object, **options: object) -> None:
        raise NtuplemlError("no space left on device")

    monkeypatch.setattr("ntupleml.training.driver.write_record", full)
    with pytest.raises(NtuplemlError, match="no space left"):
        train_boosted_trees(make(XGBOOST, seed=99), [0], one_thread(overwrite=True))
    assert {path: path.read_bytes() for path in files.model.parent.iterdir() if path != files.log} == before


def test_a_stale_weights_file_does_not_stay(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    config = make(XGBOOST)
    train_boosted_trees(config, [0], one_thread())
    weights = weights_path(model_files(config.output_path, 0, METHODS["xgb"]).model)
    assert weights.exists()

    def refuse(*arguments: object, **options: object) -> None:
        raise NtuplemlError("this forest cannot be written")

    monkeypatch.setattr("ntupleml.tmva.writing.write_weights", refuse)
    (record,) = train_boosted_trees(config, [0], one_thread(overwrite=True))
    assert not weights.exists()
    assert weights.name not in record.sha256


def test_a_wrong_onnx_file_is_refused(make: Any, columns: Callable[..., Any]) -> None:
    import onnx

    config = make(XGBOOST)
    (record,) = train_boosted_trees(config, [0], one_thread())
    graph = onnx.load(model_files(config.output_path, 0, METHODS["xgb"]).onnx)
    description = json.loads(next(item.value for item in graph.metadata_props if item.key == "ntupleml"))
    assert description["record_hash"] == record_hash(record)
    assert (description["kind"], description["classes"]) == ("xgboost", ["sig", "bkg"])
    inputs, *_ = held_out(columns, 1)
    right = scores_of(model_files(config.output_path, 0, METHODS["xgb"]), inputs)
    found = graph_scores(graph, inputs)
    assert check_difference("ONNX graph", "trained forest", found, right, "t.yaml").largest_difference < 1e-6
    for wrong in (right[:, ::-1], right + 2e-5, right * np.nan):
        with pytest.raises(NtuplemlError, match=r"t\.yaml: the ONNX graph differs from the trained forest by up to"):
            check_difference("ONNX graph", "trained forest", found, wrong, "t.yaml")


@pytest.mark.parametrize(
    ("keys", "methods", "options", "message"),
    [
        ({}, [{"name": "a"}], {"method": "b"}, r"--method: t\.yaml has no boosted trees 'b'; there are: 'a'"),
        ({}, [{"name": "a", "options": {"max_dept": 3}}], {}, r"t\.yaml: boosted_trees\[0\]\.options: XGBoost has no"),
        (
            {},
            [XGBOOST, {"name": "a", "negative_weights": "Hope"}],
            {},
            r"boosted_trees\[1\]\.negative_weights: no tr",
        ),
        ({"global_weight_scale": 1e-12}, [XGBOOST], {}, r"no tree found a cut .* the mean weight of .* is .*e-13"),
        ({}, [XGBOOST], {"conditional": True}, "--conditional: the training config has no conditions"),
        ({"event_weights": "n", "train_test_split": 0.999}, [XGBOOST], {}, "its one event that validates sum to 0"),
    ],
)
def test_what_is_refused(
    make: Any, keys: dict[str, Any], methods: list[Any], options: dict[str, Any], message: str
) -> None:
    config = make(*methods, **keys)
    if "train_test_split" in keys:  # one event validates; find a seed for which it weighs nothing
        config = config.model_copy(update={"seed": next(_seeds_of_weight_zero(config))})
    with pytest.raises(NtuplemlError, match=message) as caught:
        train_boosted_trees(config, [0], one_thread(**options), "t.yaml")
    assert "\n" not in str(caught.value)


def _seeds_of_weight_zero(config: TrainingConfig) -> Any:
    import uproot

    with uproot.open(config.datasets_of(None)[0]) as file:
        weights = np.concatenate([file[name]["n"].array(library="np") for name in config.classes])
    for seed in range(1000):
        _, rows = train_test_split(np.arange(len(weights)), test_size=1 - 0.999, random_state=seed)
        if not weights[rows].any():
            yield seed


def test_without_boosted_trees(make_config: Any) -> None:
    with pytest.raises(NtuplemlError, match=r"t\.yaml: no boosted_trees; list at least one"):
        train_boosted_trees(make_config(), [0], where="t.yaml")


@pytest.mark.slow
def test_the_script_as_users_see_it(make: Any, tmp_path: Path, run_script: Callable[..., Any]) -> None:
    path = tmp_path / "t.yaml"
    path.write_text(yaml.safe_dump(make().model_dump(mode="json", by_alias=True, exclude_unset=True)))
    result = run_script("training/bdt_training.py", path, "all", "--threads", "1")
    assert result.returncode == 0, result.stderr
    assert result.stdout == ""
    assert "training xgboost model 'xgb' 0 on fold 0" in result.stderr
    for noise in ("WARNING", "Traceback", "tensorflow"):
        assert noise not in result.stderr
    assert (tmp_path / "out" / "fold1_hist_model.onnx").exists()
    for arguments, message in (
        ([path, "0"], "exists already; give --overwrite"),
        ([path, "0", "--overwrite", "--method", "xgc"], "has no boosted trees 'xgc'; nearest: 'xgb'"),
        ([path, "2"], "fold '2'"),
    ):
        result = run_script("training/bdt_training.py", *arguments)
        assert result.returncode == 2
        assert result.stderr.count("\n") == 1
        assert message in result.stderr
    assert run_script("training/bdt_training.py", path, "0", "--threads", "0").returncode == 2
