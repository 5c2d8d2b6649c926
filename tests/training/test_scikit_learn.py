"""Estimators of scikit-learn: the same numbers as scikit-learn itself by hand, through ONNX Runtime."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import numpy as np
import onnxruntime
import pytest
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler
from sklearn.utils import all_estimators

from ntupleml import load_model
from ntupleml.artifacts import Method, find_by_checksum, model_files, read_record
from ntupleml.errors import NtuplemlError
from ntupleml.onnx_models.graph import GraphBuilder
from ntupleml.onnx_models.scikit_learn import estimator_nodes
from ntupleml.testing.engines import forms_of_model
from ntupleml.training import TrainingOptions, scikit_learn
from ntupleml.training.estimators import ESTIMATORS
from ntupleml.training.importance import importance_path
from ntupleml.training.listed_methods import train_listed
from ntupleml.training.scikit_learn import _balanced, _Events
from ntupleml.training.submitting import trainings
from ntupleml.tuning.space import searched

if TYPE_CHECKING:
    from collections.abc import Callable

    from ntupleml.artifacts import TrainingRecord
    from ntupleml.config import TrainingConfig

#: Options that make each quick.
OPTIONS: dict[str, dict[str, Any]] = {
    "AdaBoostClassifier": {"n_estimators": 9},
    "AdaBoostRegressor": {"n_estimators": 9},
    "DecisionTreeClassifier": {"criterion": "entropy", "max_depth": 5},
    "DecisionTreeRegressor": {"max_depth": 5},
    "ElasticNet": {"alpha": 0.01},
    "ExtraTreesClassifier": {"n_estimators": 12, "max_depth": 6},
    "ExtraTreesRegressor": {"n_estimators": 12, "max_depth": 6},
    "GaussianNB": {},
    "GradientBoostingClassifier": {"n_estimators": 6},
    "GradientBoostingRegressor": {"n_estimators": 6},
    "Lasso": {"alpha": 0.01},
    "LinearRegression": {},
    "LogisticRegression": {"C": 0.5},
    "MLPClassifier": {"hidden_layer_sizes": [6, 4], "activation": "tanh", "max_iter": 400, "tol": 0.01},
    "MLPRegressor": {"hidden_layer_sizes": [6], "max_iter": 400, "tol": 0.01},
    "RandomForestClassifier": {"n_estimators": 12, "max_depth": 6},
    "RandomForestRegressor": {"n_estimators": 12, "max_depth": 6},
    "Ridge": {"alpha": 0.3},
}
CLASSIFIERS = [name for name in OPTIONS if name.endswith("Classifier") or name in ("GaussianNB", "LogisticRegression")]
REGRESSORS = [name for name in OPTIONS if name not in CLASSIFIERS]
#: Of one value alone, by scikit-learn.
ONE_VALUE = ("AdaBoostRegressor", "GradientBoostingRegressor")


def entry(name: str, **keys: Any) -> dict[str, Any]:
    options = OPTIONS[name] | keys.pop("options", {})
    return {"name": "a", "type": name, "options": options, "negative_weights": "IgnoreNegWeightsInTraining", **keys}


def train(config: TrainingConfig, **options: Any) -> TrainingRecord:
    return train_listed(config, "scikit_learn", [0], TrainingOptions(threads=1, **options))[0]


def scores_of(config: TrainingConfig, rows: np.ndarray) -> np.ndarray:
    path = model_files(config.output_path, 0, Method("scikit_learn", "a")).model
    session = onnxruntime.InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"])
    (found,) = session.run(["scores"], {"variables": rows.astype(np.float32)})
    empty = session.run(["scores"], {"variables": rows[:0].astype(np.float32)})[0]
    assert empty.shape == (0, found.shape[1])
    return np.asarray(found)


class ByHand:
    """The training events of `make_config`, split and scaled by scikit-learn and numpy alone."""

    def __init__(self, columns: Callable[..., dict[str, Any]], classes: int, scale: dict[int, float]) -> None:
        parts = [columns(0, index, 300 + 200 * index) for index in range(classes)]
        self.rows = np.concatenate([np.stack([part[name] for name in "xyn"], axis=1) for part in parts])
        self.columns, self.rows = self.rows.T, self.rows.astype(np.float32)
        self.classes = np.repeat(np.arange(classes), [len(part["x"]) for part in parts])
        weights = np.concatenate([part["weight"] for part in parts])
        self.weights = weights * np.array([scale.get(index, 1.0) for index in range(classes)])[self.classes]
        trains, _ = train_test_split(np.arange(len(weights)), train_size=0.75, random_state=7)
        self.used = trains[self.weights[trains] > 0]
        self.scaler = StandardScaler().fit(self.rows[self.used].astype(np.float64))

    def scaled(self, rows: np.ndarray) -> np.ndarray:
        return self.scaler.transform(rows.astype(np.float64)).astype(np.float32).astype(np.float64)

    def fit(self, estimator: Any, truth: np.ndarray) -> Any:
        return estimator.fit(self.scaled(self.rows[self.used]), truth[self.used], sample_weight=self.weights[self.used])


def estimator_of(name: str) -> Any:
    kind = dict(all_estimators())[name]
    seeded = {"random_state": 7} if "random_state" in kind().get_params() else {}
    return kind(**OPTIONS[name], **seeded)


def any_rows() -> np.ndarray:
    return np.random.default_rng(3).normal([0.5, 5.0, 2.0], [1.5, 12.0, 1.0], (500, 3)).astype(np.float32)


def test_every_estimator_is_tried() -> None:
    assert sorted(OPTIONS) == sorted(ESTIMATORS) == list(ESTIMATORS)


@pytest.mark.parametrize("classes", [("sig", "bkg"), ("sig", "bkg", "tt")], ids=["two", "three"])
@pytest.mark.parametrize("name", CLASSIFIERS)
def test_probabilities_are_those_of_scikit_learn(
    name: str, classes: tuple[str, ...], make_config: Any, columns: Any
) -> None:
    weights = {"sig": 2.0, "bkg": 1.0, "tt": 0.5}
    config = make_config(
        classes=classes, class_weights={one: weights[one] for one in classes}, scikit_learn=[entry(name)]
    )
    record = train(config)
    by_hand = ByHand(columns, len(classes), {0: 2.0, 2: 0.5})
    estimator = by_hand.fit(estimator_of(name), by_hand.classes)
    rows = any_rows()
    found, expected = scores_of(config, rows), estimator.predict_proba(by_hand.scaled(rows))
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert np.ptp(found[:, 0]) > 0.1
    assert record.network["event_weights"] is True
    assert (record.engine, record.preprocessing, record.split.training) == (
        "scikit_learn",
        "standard_scaler",
        600 if len(classes) == 2 else 1125,
    )


@pytest.mark.parametrize("name", REGRESSORS)
def test_values_are_those_of_scikit_learn(name: str, make_config: Any, columns: Any) -> None:
    values = {"a": "x + 0.1 * y"} | ({} if name in ONE_VALUE else {"b": "100 + y * n"})
    config = make_config(target={"values": values}, scikit_learn=[entry(name)])
    target = train(config).target
    by_hand = ByHand(columns, 2, {})
    x, y, n = by_hand.columns
    truth = np.stack([x + 0.1 * y, 100 + y * n], axis=1)[:, : len(values)].astype(np.float32).astype(np.float64)
    kept = by_hand.weights[by_hand.used]
    mean = np.average(truth[by_hand.used], axis=0, weights=kept)
    width = np.sqrt(np.average((truth[by_hand.used] - mean) ** 2, axis=0, weights=kept))
    np.testing.assert_allclose([target.mean, target.scale], [mean, width], rtol=1e-10)
    # Forests choose between cuts that are as good as each other by the last bit.
    mean, width = np.array(target.mean), np.array(target.scale)
    estimator = by_hand.fit(estimator_of(name), np.squeeze((truth - mean) / width))
    rows = any_rows()
    expected = estimator.predict(by_hand.scaled(rows)).reshape(len(rows), -1)
    difference = (scores_of(config, rows) - mean) / width - expected
    assert np.abs(difference).max() < 2e-5
    assert np.ptp(expected) > 0.5


def test_steps_of_preprocessing_missing_values_and_conditions(make_config: Any) -> None:
    steps = ["min_max_scaler", "yeo_johnson", {"type": "pca", "n_components": 2, "whiten": True}]
    config = make_config(missing={"value": -3.0}, scikit_learn=[entry("LogisticRegression", preprocessing=steps)])
    record = train(config)
    rows = any_rows()
    lost = rows.copy()
    lost[::3, 1], lost[1::3, 1], rows[::3, 1], rows[1::3, 1] = np.nan, -np.inf, -3.0, -3.0
    np.testing.assert_array_equal(scores_of(config, lost), scores_of(config, rows))
    assert record.preprocessing == "min_max_scaler, yeo_johnson, pca"
    assert set(record.importance) == {"component 1", "component 2"}
    assert record.importance_spread == {}


def test_conditions_are_inputs(make_config: Any) -> None:
    plain = make_config()
    content = plain.model_dump(exclude_unset=True) | {
        "conditions": {era: {"datasets": plain.datasets} for era in ("2016", "2017")},
        "scikit_learn": [entry("ExtraTreesClassifier", preprocessing=["standard_scaler", "pca"])],
    }
    del content["datasets"]
    config = type(plain).model_validate(content)
    (record, _) = train_listed(config, "scikit_learn", [0, 1], TrainingOptions(conditional=True))
    assert record.conditions == ["2016", "2017"]
    assert {"2016", "2017"} < set(record.importance)
    assert record.onnx_check is not None
    assert record.onnx_check.largest_difference < 1e-6
    found = load_model(config, "a", condition="2017")
    part = dict(zip("xyn", any_rows().T, strict=True))
    rows = np.concatenate([any_rows(), np.tile([0, 1], (500, 1))], axis=1)
    np.testing.assert_allclose(found.score(part, event=np.ones(500, np.int64)), scores_of(config, rows), atol=1e-6)


@pytest.mark.parametrize("trees", ["DecisionTreeClassifier", "RandomForestClassifier", "ExtraTreesRegressor"])
def test_cuts_between_neighbouring_floats(trees: str) -> None:
    """A cut half way between two float32 numbers is none itself: it has to be rounded down, not to the nearest."""
    start = np.float32(1000.1)
    steps = [start]
    for _ in range(7):
        steps.append(np.nextafter(steps[-1], np.float32(2000)))
    rows = np.array(steps, np.float32)[:, np.newaxis]
    estimator = dict(all_estimators())[trees](random_state=0).fit(rows.astype(np.float64), np.arange(8) % 2)
    graph = GraphBuilder()
    output = estimator_nodes(graph, "rows", estimator, 2 if "Classifier" in trees else 1)
    found = run_nodes(graph, output, rows)
    expected = estimator.predict_proba(rows) if "Classifier" in trees else estimator.predict(rows)[:, np.newaxis]
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert np.ptp(expected[:, 0]) > 0.2


def run_nodes(graph: GraphBuilder, output: str, rows: np.ndarray) -> np.ndarray:
    from onnx import helper

    kind = helper.np_dtype_to_tensor_dtype(np.dtype(np.float32))
    model = helper.make_model(
        helper.make_graph(
            graph.nodes,
            "test",
            [helper.make_tensor_value_info("rows", kind, ["events", rows.shape[1]])],
            [helper.make_empty_tensor_value_info(output)],
            initializer=graph.constants,
        ),
        opset_imports=[helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)],
        ir_version=8,
    )
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return np.asarray(session.run([output], {"rows": rows})[0])


def test_importance_is_the_estimators_own(make_config: Any, columns: Any) -> None:
    config = make_config(scikit_learn=[entry("RandomForestClassifier")])
    record = train(config)
    by_hand = ByHand(columns, 2, {})
    forest = by_hand.fit(estimator_of("RandomForestClassifier"), by_hand.classes)
    assert list(record.importance) == [("x", "y", "n")[index] for index in np.argsort(-forest.feature_importances_)]
    of_trees = [tree.feature_importances_ for tree in forest.estimators_]
    for index, name in enumerate(("x", "y", "n")):
        assert record.importance[name] == pytest.approx(forest.feature_importances_[index])
        assert record.importance_spread[name] == pytest.approx(np.std(of_trees, axis=0)[index])
    stem = importance_path(model_files(config.output_path, 0, Method("scikit_learn", "a")).model)
    first = stem.with_suffix(".txt").read_text().splitlines()[0]
    assert " ± " in first
    assert f": {record.importance['x']:.6g} ±" in first

    config = make_config(scikit_learn=[entry("LogisticRegression")], output_path=config.output_path + "2")
    record = train(config)
    logistic = by_hand.fit(estimator_of("LogisticRegression"), by_hand.classes)
    effects = np.abs(logistic.coef_[0]) * by_hand.scaled(by_hand.rows[by_hand.used]).std(axis=0)
    for index, name in enumerate(("x", "y", "n")):
        assert record.importance[name] == pytest.approx(effects[index] / effects.sum(), rel=1e-4)
    assert record.network["importance"] == "coefficients"


def test_files_records_and_scores_of_each_event(make_config: Any, columns: Any) -> None:
    config = make_config(scikit_learn=[entry("ExtraTreesClassifier")])
    records = train_listed(config, "scikit_learn", [0, 1])
    files = model_files(config.output_path, 0, Method("scikit_learn", "a"))
    names = {path.name for path in files.model.parent.iterdir() if path.name.startswith("fold0")}
    importance = {f"fold0_a_importance.{ending}" for ending in ("txt", "yaml", "png", "pdf")}
    assert names == {f"fold0_a_{rest}" for rest in ("model.onnx", "training.json", "training.csv", "training.log")} | (
        importance
    )
    found = find_by_checksum(files.model)
    assert found is not None
    assert found.method == Method("scikit_learn", "a", "ExtraTreesClassifier")
    assert read_record(files.record).onnx_check.events == 200
    assert [form.name for form in forms_of_model(found, config.output_path) if form.evaluator] == ["ONNX"]
    part = {name: columns(9, 1, 60)[name] for name in "xyn"}
    rows = np.stack([part[name] for name in "xyn"], axis=1)
    by_fold = load_model(config, "a").score(part, event=np.zeros(60, np.int64))
    np.testing.assert_allclose(
        scores_of(config, rows), load_model(config, "a").score(part, event=np.ones(60, np.int64)), atol=1e-6
    )
    assert np.abs(by_fold - scores_of(config, rows)).max() > 0.01
    assert [record.fold for record in records] == [0, 1]
    with pytest.raises(NtuplemlError, match="exists already; give --overwrite"):
        train(config)


def test_same_config_same_model(make_config: Any) -> None:
    paths = []
    for number in (1, 2):
        config = make_config(scikit_learn=[entry("MLPClassifier", balance=True)])
        config = config.model_copy(update={"output_path": f"{config.output_path}{number}"})
        train(config)
        paths.append(config)
    np.testing.assert_array_equal(*(scores_of(config, any_rows()) for config in paths))


def test_balanced_events_are_drawn_by_their_weights() -> None:
    random = np.random.default_rng(2)
    weights = np.repeat([1.0, 3.0, 0.0, 2.0, 2.0], 2000)
    classes = np.repeat([0, 0, 0, 0, 1], 2000)
    empty = np.empty((len(weights), 0), np.float32)
    drawn = _balanced(_Events(empty, classes, weights, empty), random)
    assert [np.count_nonzero(classes[drawn] == index) for index in (0, 1)] == [5000, 5000]
    of_kind = np.bincount(drawn // 2000, minlength=5)
    for number, share in zip(of_kind[:4], (1 / 6, 1 / 2, 0, 1 / 3), strict=True):
        assert abs(number - 5000 * share) <= 5 * np.sqrt(5000 * share * (1 - share))


def test_an_estimator_without_weights_says_so(
    make_config: Any, columns: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(scikit_learn, "takes_weights", lambda estimator: False)
    config = make_config(scikit_learn=[entry("GaussianNB")])
    with caplog.at_level(logging.WARNING):
        train(config)
    assert "GaussianNB knows no event weights: all events count the same; balance: true draws them" in caplog.text
    by_hand = ByHand(columns, 2, {})
    plain = estimator_of("GaussianNB").fit(by_hand.scaled(by_hand.rows[by_hand.used]), by_hand.classes[by_hand.used])
    rows = any_rows()
    np.testing.assert_allclose(scores_of(config, rows), plain.predict_proba(by_hand.scaled(rows)), atol=1e-5)


def test_a_fit_that_has_not_converged_is_said(make_config: Any, caplog: pytest.LogCaptureFixture) -> None:
    config = make_config(scikit_learn=[entry("MLPClassifier", options={"max_iter": 1})])
    with caplog.at_level(logging.WARNING):
        train(config)
    assert "scikit_learn[0]: " in caplog.text
    assert "converged" in caplog.text


@pytest.mark.parametrize(
    ("block", "message"),
    [
        ({"type": "RandomForrest"}, "scikit_learn[0].type: no estimator 'RandomForrest'; nearest: 'RandomForest"),
        ({"type": "SVC"}, "scikit_learn[0].type: no estimator 'SVC'"),
        ({"type": "Ridge"}, "scikit_learn[0].type: Ridge learns values, but the target is classes"),
        ({"options": {"max_dept": 3}}, "options: RandomForestClassifier has no parameter 'max_dept'; nearest: 'max_d"),
        ({"options": {"max_depth": "deep"}}, "scikit_learn[0].options: The 'max_depth' parameter must be an int"),
        ({"options": {"random_state": 3}}, "options: 'random_state' cannot be set here: give seed in the training"),
        ({"type": "AdaBoostClassifier", "options": {"estimator": "x"}}, "'estimator' cannot be set here: only the"),
        ({"options": {"oob_score": True, "bootstrap": False}}, "scikit_learn[0].options: Out of bag estimation only"),
        ({"preprocessing": ["standard"]}, "preprocessing[0]: no preprocessing 'standard'; nearest: 'standard_scaler'"),
        ({"preprocessing": [{"type": "pca", "n_component": 1}]}, "pca has no setting 'n_component'; nearest: 'n_comp"),
        ({"preprocessing": [{"type": "pca", "n_components": 7}]}, "preprocessing[0]: n_components=7 must be between"),
        ({"preprocessing": [{"type": "robust_scaler", "x": 7}]}, "robust_scaler has no setting 'x'"),
        (
            {"preprocessing": ["box_cox"], "options": {}},
            "preprocessing[0]: box_cox takes positive inputs only, but inp",
        ),
        ({"negative_weights": "Prey"}, "negative_weights: no treatment 'Prey' of negative weights; nearest: 'Pray'"),
        ({"negative_weights": "Pray"}, "scikit_learn[0]: RandomForestClassifier cannot take negative weights ("),
    ],
)
def test_mistakes(block: dict[str, Any], message: str, make_config: Any) -> None:
    plain = {"name": "a", "type": "RandomForestClassifier", "negative_weights": "IgnoreNegWeightsInTraining"}
    config = make_config(scikit_learn=[plain | block])
    with pytest.raises(NtuplemlError) as caught:
        train(config)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not model_files(config.output_path, 0, Method("scikit_learn", "a")).model.exists()


def test_targets_and_lists_that_do_not_fit(make_config: Any) -> None:
    for block, target, message in (
        (entry("GaussianNB"), {"values": {"a": "x"}}, "GaussianNB learns classes, but the target is values"),
        (entry("AdaBoostRegressor"), {"values": {"a": "x", "b": "y"}}, "options: y should be a 1d array"),
        (entry("Ridge", balance=True), {"values": {"a": "x"}}, "balance: makes classes equal, but the target is val"),
    ):
        with pytest.raises(NtuplemlError, match=message):
            train(make_config(scikit_learn=[block], target=target))
    with pytest.raises(NtuplemlError, match="no scikit_learn; list at least one"):
        train(make_config())
    with pytest.raises(NtuplemlError, match="has no estimator of scikit-learn 'b'; there are: 'a'"):
        train(make_config(scikit_learn=[entry("GaussianNB")]), method="b")
    with pytest.raises(ValueError, match="scikit_learn: 'a' is the name of another method already"):
        make_config(scikit_learn=[entry("GaussianNB")], boosted_trees=[{"name": "a"}])


def test_what_searches_and_submits_knows_them(make_config: Any) -> None:
    forest = entry("RandomForestClassifier")
    key = "scikit_learn.a.options.max_depth"
    config = make_config(scikit_learn=[forest], tune={key: [2, 9]})
    found = searched(config, "t.yaml", [0], TrainingOptions())
    assert found.method == Method("scikit_learn", "a", "RandomForestClassifier")
    assert found.with_values({key: 4}).scikit_learn[0].options["max_depth"] == 4
    with pytest.raises(NtuplemlError, match=r"scikit_learn\.b\.options.*: no entry 'b'; there are: 'a'"):
        searched(
            make_config(scikit_learn=[forest], tune={"scikit_learn.b.options.max_depth": [2, 9]}),
            "t",
            [0],
            TrainingOptions(),
        )
    options = TrainingOptions()
    assert len(trainings(config, [0, 1], [], ["a"], options, "t")) == 2
    train(config)
    assert [str(one) for one in trainings(config, [0, 1], [], ["a"], options, "t")] == ["model 1 of 'a' with seed 7"]
    changed = make_config(scikit_learn=[forest | {"balance": True}])
    with pytest.raises(NtuplemlError, match=r"is of another config: scikit_learn\.a"):
        trainings(changed, [0], [], ["a"], options, "t")
