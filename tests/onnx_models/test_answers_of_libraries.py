"""Every kind of forest file against what its own library predicts from it: NaN, infinities, −0, values on a cut."""

from __future__ import annotations

import gzip
import math
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from xml.etree import ElementTree

import numpy as np
import onnxruntime
import pytest
import xgboost
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

from ntupleml.forests.files import load_forest, save_forest
from ntupleml.forests.kernel import evaluate
from ntupleml.forests.sklearn import forest_of_hist_gradient_boosting
from ntupleml.forests.xgboost import forest_of_xgboost
from ntupleml.onnx_models.convert import convert_file
from ntupleml.scoring import scores_of_matrix, weights_evaluator
from ntupleml.tmva.reading import read_weights

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

TMVA = Path(__file__).resolve().parents[1] / "data" / "tmva"
INPUTS = 4


class Model(NamedTuple):
    """A file, numbers on which its cuts lie, and what its library predicts."""

    path: Path
    cuts: NDArray[np.float64]
    predict: Callable[[NDArray[np.float32]], NDArray[Any]]
    num_inputs: int = INPUTS
    #: XGBoost adds in float32.
    tolerance: float = 2e-6
    takes_nan: bool = True
    events: int = 300


def sample(missing: float) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Events of three classes; some inputs of the last two variables are missing, which says something of the class."""
    random = np.random.default_rng(7)
    rows = random.normal(size=(3000, INPUTS)).astype(np.float32)
    rows[:, 1] = np.round(rows[:, 1])
    classes = (rows[:, 0] + random.normal(size=3000) > 0).astype(np.int64) + (rows[:, 2] > 1)
    lost = (random.random((3000, 2)) < missing) & (random.random((3000, 1)) < 0.3 + 0.3 * classes[:, None])
    rows[:, 2:][lost] = np.nan
    rows[random.random(3000) < missing / 4, 0] = np.nan
    return rows, classes


def xgboost_model(folder: Path, objective: str, ending: str = "json", missing: float = 0.3, **parameters: Any) -> Model:
    rows, classes = sample(missing)
    kind = objective.split(":")[0]
    target = {"multi": classes, "binary": classes > 0, "reg": 5 + 3 * np.nan_to_num(rows[:, 0])}[kind]
    stop = parameters.pop("early_stopping_rounds", None)
    given = {
        "objective": objective,
        "nthread": 1,
        "seed": 1,
        **({"num_class": 3} if kind == "multi" else {}),
        **parameters,
    }
    training, validation = (
        xgboost.DMatrix(rows[part], label=target[part], feature_names=[f"v{index}" for index in range(INPUTS)])
        for part in (slice(2000), slice(2000, None))
    )
    booster = xgboost.train(
        given, training, 25, evals=[(validation, "v")], early_stopping_rounds=stop, verbose_eval=False
    )
    path = folder / f"model.{ending}"
    booster.save_model(path)
    assert stop is None or booster.best_iteration + 1 < booster.num_boosted_rounds()
    splits = booster.trees_to_dataframe()["Split"].dropna().to_numpy()

    def predict(events: NDArray[np.float32]) -> NDArray[Any]:
        """As a user does: load the file, ask the estimator."""
        if kind == "reg":
            regressor = xgboost.XGBRegressor()
            regressor.load_model(path)
            return regressor.predict(events)[:, None]
        classifier = xgboost.XGBClassifier()
        classifier.load_model(path)
        return classifier.predict_proba(events)

    return Model(path, splits, predict, tolerance=1e-5 if kind == "reg" else 2e-6)


def scikit_learn_wrapper(folder: Path) -> Model:
    """A file of the estimator itself, stopped early."""
    rows, classes = sample(0.3)
    estimator = xgboost.XGBClassifier(n_estimators=60, learning_rate=1.0, early_stopping_rounds=10, n_jobs=1)
    estimator.fit(rows[:2000], classes[:2000], eval_set=[(rows[2000:], classes[2000:])], verbose=False)
    path = folder / "model.json"
    estimator.save_model(path)
    booster = estimator.get_booster()
    assert estimator.best_iteration + 1 < booster.num_boosted_rounds()
    loaded = xgboost.XGBClassifier()
    loaded.load_model(path)
    return Model(path, booster.trees_to_dataframe()["Split"].dropna().to_numpy(), loaded.predict_proba)


def histogram_boosting(folder: Path, num_classes: int, missing: float = 0.3) -> Model:
    rows, classes = sample(missing)
    rows[:, 3] = np.where(np.isnan(rows[:, 3]), np.nan, 1.0)  # the only cut here is that between missing and not
    if num_classes:
        estimator = HistGradientBoostingClassifier(max_iter=20, random_state=1)
        estimator.fit(rows, np.minimum(classes, num_classes - 1))
        predict = estimator.predict_proba
    else:
        estimator = HistGradientBoostingRegressor(max_iter=20, random_state=1).fit(rows, classes)

        def predict(events: NDArray[np.float32]) -> NDArray[Any]:
            return estimator.predict(events)[:, None]

    path = folder / "model.npz"
    save_forest(path, forest_of_hist_gradient_boosting(estimator))
    nodes = np.concatenate([predictor.nodes for step in estimator._predictors for predictor in step])
    cuts = nodes["num_threshold"][nodes["is_leaf"] == 0]
    assert missing == 0 or np.isinf(cuts).any()
    return Model(path, cuts[np.isfinite(cuts)], predict, tolerance=1e-14)


def tmva(folder: Path, name: str) -> Model:
    """By the rule of TMVA's DecisionTreeNode: to the right where x ≥ cut, the other way round for cType 0."""
    path = folder / "model.weights.xml"
    path.write_bytes(gzip.decompress((TMVA / name / "weights.xml.gz").read_bytes()))
    root = ElementTree.parse(path).getroot()
    trees = [(tree.find("Node"), float(np.float32(tree.get("boostWeight")))) for tree in root.iter("BinaryTree")]
    options = {option.get("name"): option.text for option in root.iter("Option")}
    is_gradient = options["BoostType"] == "Grad"

    def leaf(node: Any, event: NDArray[np.float32]) -> float:
        while node.get("nType") == "0":
            goes_right = event[int(node.get("IVar"))] >= np.float32(node.get("Cut"))
            side = "r" if goes_right == (node.get("cType") == "1") else "l"
            (node,) = (daughter for daughter in node if daughter.get("pos") == side)
        return float(np.float32(node.get("res"))) if is_gradient else float(node.get("nType"))

    def predict(events: NDArray[np.float32]) -> NDArray[Any]:
        rows = []
        for event in events:
            if is_gradient:
                rows.append([2 / (1 + math.exp(-2 * sum(leaf(tree, event) for tree, _ in trees))) - 1])
            else:
                rows.append([sum(leaf(tree, event) * weight for tree, weight in trees) / sum(w for _, w in trees)])
        return np.array(rows)

    cuts = np.array([float(node.get("Cut")) for node in root.iter("Node") if node.get("nType") == "0"])
    num_inputs = len(root.findall("Variables/Variable"))
    return Model(path, cuts, predict, num_inputs, tolerance=1e-13, takes_nan=False, events=25)


MODELS: dict[str, Callable[[Path], Model]] = {
    "xgboost json": lambda folder: xgboost_model(folder, "binary:logistic"),
    "xgboost ubjson": lambda folder: xgboost_model(folder, "binary:logistic", "ubj"),
    "xgboost never missing": lambda folder: xgboost_model(folder, "binary:logistic", missing=0.0),
    "xgboost exact": lambda folder: xgboost_model(folder, "binary:logistic", tree_method="exact"),
    "xgboost multiclass": lambda folder: xgboost_model(folder, "multi:softprob"),
    "xgboost multiclass ubjson": lambda folder: xgboost_model(folder, "multi:softmax", "ubj"),
    "xgboost start": lambda folder: xgboost_model(folder, "multi:softprob", base_score=0.2),
    "xgboost logit": lambda folder: xgboost_model(folder, "binary:logitraw"),
    "xgboost stopped early": lambda folder: xgboost_model(
        folder, "binary:logistic", learning_rate=1.0, early_stopping_rounds=3
    ),
    "xgboost multiclass stopped early": lambda folder: xgboost_model(
        folder, "multi:softprob", "ubj", learning_rate=1.0, early_stopping_rounds=3, num_parallel_tree=2, subsample=0.5
    ),
    "xgboost regression": lambda folder: xgboost_model(folder, "reg:squarederror"),
    "xgboost of scikit-learn": scikit_learn_wrapper,
    "histogram boosting": lambda folder: histogram_boosting(folder, 2),
    "histogram boosting never missing": lambda folder: histogram_boosting(folder, 2, missing=0.0),
    "histogram boosting multiclass": lambda folder: histogram_boosting(folder, 3),
    "histogram boosting regression": lambda folder: histogram_boosting(folder, 0),
    "TMVA gradient": lambda folder: tmva(folder, "bin_bdtg"),
    "TMVA AdaBoost": lambda folder: tmva(folder, "bin_ada_default"),
}


def events(model: Model) -> dict[str, NDArray[np.float32]]:
    """Ordinary events, and such in which one input is special."""
    random = np.random.default_rng(3)
    plain = random.normal(size=(model.events, model.num_inputs)).astype(np.float32)
    nearest = np.unique(model.cuts.astype(np.float32))[:: max(1, len(model.cuts) // 100)]
    infinity = np.float32(np.inf)
    edges = np.concatenate([nearest, np.nextafter(nearest, infinity), np.nextafter(nearest, -infinity)])
    kinds = {"−0": [-0.0], "+∞": [np.inf], "−∞": [-np.inf], "on a cut": edges, "largest": [3.4e38, -3.4e38, 1e-45]}
    if model.takes_nan:
        kinds["NaN"] = [np.nan]
    found = {"ordinary": plain}
    for kind, values in kinds.items():
        rows = np.repeat(plain[:10], len(values) * model.num_inputs, axis=0)
        for row, (_, value, column) in zip(rows, product(range(10), values, range(model.num_inputs)), strict=True):
            row[column] = value
        found[kind] = rows[:: 1 + len(rows) // (5 * model.events)]
    if model.takes_nan:
        found["nothing but NaN"] = np.full((2, model.num_inputs), np.nan, dtype=np.float32)
    return found


def by_kernel(path: Path, rows: NDArray[np.float32]) -> NDArray[Any]:
    if path.name.endswith(".xml"):
        return scores_of_matrix(weights_evaluator(read_weights(path), "forest"), rows)
    forest = load_forest(path) if path.suffix == ".npz" else forest_of_xgboost(path.read_bytes())
    found = evaluate(forest, rows)
    return np.concatenate([1 - found, found], axis=1) if forest.link == "sigmoid" else found


def by_onnx(path: Path, rows: NDArray[np.float32], dtype: str) -> NDArray[Any]:
    output = path.with_name(f"{dtype}.onnx")
    convert_file(path, output, dtype=dtype)
    session = onnxruntime.InferenceSession(output, providers=["CPUExecutionProvider"])
    result: NDArray[Any] = session.run(["scores"], {"variables": rows.astype(dtype)})[0]
    return result


@pytest.mark.parametrize("name", MODELS)
def test_answers_are_those_of_the_library(name: str, tmp_path: Path) -> None:
    model = MODELS[name](tmp_path)
    kinds = events(model)
    rows = np.concatenate(list(kinds.values()))
    label = np.repeat(list(kinds), [len(part) for part in kinds.values()])
    expected = model.predict(rows)
    if name == "xgboost logit":
        expected = expected[:, 1:]  # a margin is no probability, of whose complement the estimator makes a column
    for engine, found, rounding in (
        ("kernel", by_kernel(model.path, rows), 0.0),
        ("float64", by_onnx(model.path, rows, "float64"), 0.0),
        ("float32", by_onnx(model.path, rows, "float32"), 1e-6),
    ):
        assert found.shape == expected.shape
        wrong = np.abs(found - expected).max(axis=1) > model.tolerance + rounding * np.abs(expected).max()
        assert not wrong.any(), f"{engine}: {dict(zip(*np.unique(label[wrong], return_counts=True), strict=True))}"
