"""Engines against TMVA's Reader, XGBoost and scikit-learn; and what each refuses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from ntupleml.artifacts import (
    Method,
    TrainedModel,
    TrainingRecord,
    model_files,
    models_by_fold,
    read_record,
    record_hash,
    sha256_of_file,
    write_record,
)
from ntupleml.config import OnnxConfig, TrainingConfig
from ntupleml.errors import NtuplemlError
from ntupleml.onnx_models.tmva_method import tmva_to_onnx
from ntupleml.scoring import Engine, Scorer, load_scorer, model_evaluator, scores_of_matrix, weights_evaluator
from ntupleml.scoring.model_files import Filling, OpenFile, scorer_of_files
from ntupleml.scoring.onnx_graphs import open_onnx
from ntupleml.tmva.reading import read_weights

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray


def score(scorer: Scorer, rows: NDArray[np.float32], folds: NDArray[np.integer[Any]]) -> NDArray[np.float32]:
    """Scores of rows of variables, each by the model for its fold."""
    return scorer.score(dict(zip(scorer.variables, rows.T, strict=True)), folds)


FORESTS = [
    "bin_ada_decorr",
    "bin_ada_default",
    "bin_ada_fishercuts",
    "bin_ada_presel",
    "bin_bdtg_expr",
    "bin_realada",
    "mc_bdtg_50",
    "reg_bdt_adar2",
    "reg_bdtg",
]
OTHERS = ["bin_fisher_D", "bin_ld", "mc_mlp_expr", "reg_mlp"]
BDT = Method("tmva", "BDT", "kBDT")


@pytest.mark.parametrize(
    ("name", "engine"),
    [(name, engine) for name in FORESTS for engine in ("forest", "onnx", None)] + [(name, None) for name in OTHERS],
)
def test_tmva_weights_give_what_the_reader_gives(
    name: str, engine: Engine | None, tmva_case: Callable[[str], Any]
) -> None:
    case = tmva_case(name)
    scores = scores_of_matrix(weights_evaluator(read_weights(case.weights), engine), case.inputs)
    np.testing.assert_allclose(scores, case.answers, rtol=2e-6, atol=1e-7)


@pytest.mark.parametrize("name", FORESTS)
def test_kernel_and_graph_agree(name: str, tmva_case: Callable[[str], Any]) -> None:
    case = tmva_case(name)
    method = read_weights(case.weights)
    kernel, graph = (scores_of_matrix(weights_evaluator(method, engine), case.inputs) for engine in ("forest", "onnx"))
    np.testing.assert_allclose(kernel.astype(np.float32), graph, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("name", ["bin_fisher_none", "mc_mlp_tanh_N"])
def test_only_forests_go_to_the_kernel(name: str, tmva_case: Callable[[str], Any]) -> None:
    with pytest.raises(NtuplemlError, match=r"--engine forest: '.*weights\.xml' is no forest of decision trees"):
        weights_evaluator(read_weights(tmva_case(name).weights), "forest")


def trained(
    folder: Path,
    method: Method,
    write: Callable[[Path, int], None],
    num_inputs: int,
    classes: list[str],
    **changes: Any,
) -> list[TrainedModel]:
    """Two models as a training leaves them, without ONNX files."""
    for fold in (0, 1):
        files = model_files(folder, fold, method)
        files.model.parent.mkdir(parents=True, exist_ok=True)
        write(files.model, fold)
        content: dict[str, Any] = {
            "engine": method.type,
            "method": method.name,
            "fold": fold,
            "num_folds": 2,
            "trained_on": [fold],
            "held_out_fold": 1 - fold,
            "classes": classes,
            "variables": [f"v{index}" for index in range(num_inputs)],
            "preprocessing": "none",
            "seed": 1,
            "config": {},
            "sha256": {files.model.name: sha256_of_file(files.model)},
        }
        write_record(files.record, TrainingRecord(**{**content, **changes}))
    first = read_record(model_files(folder, 0, method).record)
    training = TrainingConfig(
        datasets=["0.root", "1.root"], output_path=str(folder), classes=first.classes, variables=first.variables
    )
    return models_by_fold(training, where="config.yaml", method=method)


@pytest.mark.parametrize(
    ("name", "engine"),
    [
        ("bin_ada_default", "forest"),
        ("bin_ada_default", "onnx"),
        ("bin_ada_default", None),
        ("bin_ada_noyesno", "forest"),
        ("bin_ada_noyesno", "onnx"),
        ("bin_realada", None),
        ("bin_mlp_tanh_N", None),
        ("bin_fisher_none", None),
        ("bin_likelihood", None),
    ],
)
def test_one_value_of_tmva_becomes_the_scores_of_two_classes(
    name: str, engine: Engine | None, tmva_case: Callable[[str], Any], tmp_path: Path
) -> None:
    """Votes r from -1 to 1 are (1 + r)/2 for the signal, which is the first class; purities and MLP are from 0 to 1.

    Fisher and Likelihood with TransformOutput have no bounds.
    """
    case = tmva_case(name)
    models = trained(
        tmp_path, BDT, lambda path, _: path.write_bytes(case.weights.read_bytes()), case.inputs.shape[1], ["ggh", "ztt"]
    )
    scores = score(load_scorer(models, engine=engine), case.inputs, np.zeros(len(case.inputs), dtype=int))
    response = case.answers[:, 0]
    first, second = {
        "bin_ada_default": ((1 + response) / 2, (1 - response) / 2),
        "bin_fisher_none": (response, -response),
        "bin_likelihood": (response, -response),
    }.get(name, (response, 1 - response))
    atol = 1e-5 if name == "bin_likelihood" else 3e-7
    np.testing.assert_allclose(scores, np.stack([first, second], axis=1), rtol=0, atol=atol)
    # An ONNX file says itself what its one value is.
    method = read_weights(case.weights)
    graph = open_onnx(tmp_path / "converted.onnx", content=tmva_to_onnx(method).SerializeToString())
    names = [variable.full_name for variable in method.variables]
    scorer = scorer_of_files([OpenFile(graph, None)], ["ggh", "ztt"], Filling(OnnxConfig(), names, None, "t"))
    columns = dict(zip(names, case.inputs.T, strict=True))
    from_file = scorer.score(columns, np.arange(len(case.inputs)))
    np.testing.assert_allclose(from_file, scores, rtol=0, atol=3e-7)


def test_a_classification_has_no_answer_to_nan(tmva_case: Callable[[str], Any], tmp_path: Path) -> None:
    """As from `Reader::EvaluateMVA`."""
    case = tmva_case("bin_ada_default")
    models = trained(tmp_path, BDT, lambda path, _: path.write_bytes(case.weights.read_bytes()), 2, ["A", "B"])
    rows = case.inputs.copy()
    rows[3, 1] = np.nan
    rows[7] = np.nan
    for engine in ("forest", "onnx"):
        scores = score(load_scorer(models, engine=engine), rows, np.arange(len(rows)) % 2)
        np.testing.assert_array_equal(scores[[3, 7]], -999)
        others = np.setdiff1d(np.arange(len(rows)), [3, 7])
        np.testing.assert_allclose(scores[others, 0], (1 + case.answers[others, 0]) / 2, atol=2e-7)


def test_several_classes_have_an_answer_to_nan(tmva_case: Callable[[str], Any], tmp_path: Path) -> None:
    """`Reader::EvaluateMulticlass` goes on with NaN, which goes to the left as −infinity does."""
    case = tmva_case("mc_bdtg_50")
    models = trained(tmp_path, BDT, lambda path, _: path.write_bytes(case.weights.read_bytes()), 2, ["A", "B", "C"])
    rows = case.inputs.copy()
    rows[8, 0] = np.inf
    rows[3, 1], rows[7] = -np.inf, -np.inf
    with_nan = rows.copy()
    with_nan[3, 1], with_nan[7] = np.nan, np.nan
    for engine in ("forest", "onnx"):
        scorer = load_scorer(models, engine=engine)
        scores = score(scorer, with_nan, np.arange(len(rows)) % 2)
        np.testing.assert_array_equal(scores, score(scorer, rows, np.arange(len(rows)) % 2))
        others = np.setdiff1d(np.arange(len(rows)), [3, 7, 8])
        np.testing.assert_allclose(scores[others], case.answers[others], rtol=2e-6)
        np.testing.assert_allclose(scores.sum(axis=1), 1, rtol=1e-6)


def test_missing_values_are_replaced_where_the_training_did(tmva_case: Callable[[str], Any], tmp_path: Path) -> None:
    case = tmva_case("mc_bdtg_50")
    write = lambda path, _: path.write_bytes(case.weights.read_bytes())  # noqa: E731
    models = trained(tmp_path, BDT, write, 2, ["A", "B", "C"], missing=float(case.inputs[4, 1]))
    rows = case.inputs[:10].copy()
    rows[4, 1] = np.nan
    for engine in ("forest", "onnx"):
        scores = score(load_scorer(models, engine=engine), rows, np.zeros(10, dtype=int))
        np.testing.assert_allclose(scores, case.answers[:10], rtol=2e-6)


def test_a_transformation_that_gives_nan_has_no_answer(tmva_case: Callable[[str], Any]) -> None:
    """Decorrelation of infinite inputs: infinity minus infinity."""
    case = tmva_case("bin_ada_decorr")
    rows = case.inputs[:2].copy()
    rows[0] = np.inf
    method = read_weights(case.weights)
    for engine in ("forest", "onnx"):
        scores = scores_of_matrix(weights_evaluator(method, engine), rows)
        assert scores[0] == -999
        assert scores[1] == pytest.approx(case.answers[1], rel=2e-6)


@pytest.mark.parametrize("num_classes", [2, 3])
@pytest.mark.parametrize("engine", ["forest", "onnx"])
def test_xgboost(num_classes: int, engine: Engine, tmp_path: Path) -> None:
    import xgboost

    random = np.random.default_rng(5)
    rows = random.normal(size=(2000, 4)).astype("f4")
    target = (rows[:, 0] + rows[:, 1] * rows[:, 2] > 0).astype(int) + (num_classes == 3) * (rows[:, 3] > 0.5)
    expected: dict[int, NDArray[np.float32]] = {}

    def write(path: Path, fold: int) -> None:
        parameters = (
            {"objective": "multi:softprob", "num_class": 3} if num_classes == 3 else {"objective": "binary:logistic"}
        )
        data = xgboost.DMatrix(rows[fold::2], target[fold::2])
        booster = xgboost.train({**parameters, "max_depth": 4, "nthread": 1}, data, 20)
        booster.save_model(path)
        prediction = booster.predict(xgboost.DMatrix(rows))
        expected[1 - fold] = prediction if num_classes == 3 else np.stack([1 - prediction, prediction], axis=1)

    models = trained(tmp_path, Method("boosted_trees", "bdt", "xgboost"), write, 4, list("abc")[:num_classes])
    folds = np.arange(len(rows)) % 2
    scores = score(load_scorer(models, engine=engine), rows, folds)
    for fold in (0, 1):
        np.testing.assert_allclose(scores[folds == fold], expected[fold][folds == fold], atol=1e-6)
    assert np.abs(expected[0] - expected[1]).max() > 0.01
    rows[0, 0] = np.nan
    with pytest.raises(NtuplemlError, match="variable 'v0' is NaN or infinite in 1 of 2000 events"):
        score(load_scorer(models, engine=engine), rows, folds)


@pytest.mark.parametrize("num_classes", [2, 3])
@pytest.mark.parametrize("engine", ["forest", "onnx"])
def test_histogram_boosting(num_classes: int, engine: Engine, tmp_path: Path) -> None:
    from sklearn.ensemble import HistGradientBoostingClassifier

    from ntupleml.forests.files import save_forest
    from ntupleml.forests.sklearn import forest_of_hist_gradient_boosting

    random = np.random.default_rng(6)
    rows = random.normal(size=(1000, 3)).astype("f4")
    target = (rows[:, 0] > 0).astype(int) + (num_classes == 3) * (rows[:, 1] > 0.5)
    estimator = HistGradientBoostingClassifier(max_iter=10, random_state=1).fit(rows, target)
    models = trained(
        tmp_path,
        Method("boosted_trees", "hist", "hist_gradient_boosting"),
        lambda path, _: save_forest(path, forest_of_hist_gradient_boosting(estimator)),
        3,
        list("abc")[:num_classes],
    )
    scores = score(load_scorer(models, engine=engine), rows, np.zeros(len(rows), dtype=int))
    np.testing.assert_allclose(scores, estimator.predict_proba(rows), atol=1e-6)


def test_several_threads_give_the_same_scores(tmva_case: Callable[[str], Any]) -> None:
    case = tmva_case("mc_bdtg_50")
    rows = np.tile(case.inputs, (60, 1))
    method = read_weights(case.weights)
    np.testing.assert_array_equal(
        scores_of_matrix(weights_evaluator(method, threads=2), rows), scores_of_matrix(weights_evaluator(method), rows)
    )


def test_the_graph_of_another_training_is_refused(tmva_case: Callable[[str], Any], tmp_path: Path) -> None:
    """Only `--engine onnx` looks at the graph; the kernel takes the model itself."""
    from ntupleml.onnx_models.forest import forest_to_onnx

    case = tmva_case("mc_bdtg_50")
    method = read_weights(case.weights)
    models = trained(tmp_path, BDT, lambda path, _: path.write_bytes(case.weights.read_bytes()), 2, ["A", "B", "C"])
    for model in models:
        graph = forest_to_onnx(
            method.body, ["v0", "v1"], ["A", "B", "C"], kind="tmva", classes=["A", "B", "C"],
            record_hash=record_hash(models[0].record),
        )  # fmt: skip
        model.files.onnx.write_bytes(graph.SerializeToString())
    np.testing.assert_allclose(
        scores_of_matrix(model_evaluator(models[0], "onnx"), case.inputs), case.answers, rtol=2e-6, atol=1e-7
    )
    with pytest.raises(NtuplemlError, match=r"TMVAMulticlass_BDT\.onnx: is not of the training .* record_hash"):
        model_evaluator(models[1], "onnx")
    model_evaluator(models[1])


def test_weights_of_other_classes_than_the_record_are_refused(tmva_case: Callable[[str], Any], tmp_path: Path) -> None:
    case = tmva_case("mc_bdtg_50")
    models = trained(tmp_path, BDT, lambda path, _: path.write_bytes(case.weights.read_bytes()), 2, ["A", "C", "B"])
    with pytest.raises(NtuplemlError, match=r"has the classes A, B, C, but .* has A, C, B"):
        load_scorer(models)


def test_a_keras_model_has_one_engine(train: Callable[..., Any]) -> None:
    models = train().models
    with pytest.raises(NtuplemlError, match=r"--engine forest: '.*\.keras' is no forest of decision trees"):
        load_scorer(models, engine="forest")
    with pytest.raises(NtuplemlError, match=r"--engine tmva: TMVA's Reader reads weights files .*, not '.*\.keras'"):
        load_scorer(models, engine="tmva")
    assert load_scorer(models, engine="onnx").num_folds == 2
