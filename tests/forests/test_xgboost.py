from __future__ import annotations

import copy
import json

import numpy as np
import pytest
import xgboost

from ntupleml.errors import NtuplemlError
from ntupleml.forests.kernel import evaluate
from ntupleml.forests.xgboost import forest_of_xgboost, names_in_xgboost


def sample(num_events: int = 1500, seed: int = 1):
    """Inputs that are often equal, so that cuts have events on both their sides and nearly on them; three classes."""
    generator = np.random.default_rng(seed)
    inputs = np.round(generator.normal(size=(num_events, 4)), 1).astype(np.float32)
    noise = generator.normal(size=num_events)
    return inputs, (inputs[:, 0] + noise > 0).astype(int) + (inputs[:, 1] > 0.5)


def train(objective: str, rounds: int = 12, **parameters) -> xgboost.Booster:
    inputs, classes = sample()
    targets = {"multi": classes, "binary": classes > 0, "reg": 5 + 3 * inputs[:, 0] * inputs[:, 1]}
    targets |= {"count": classes, "rank": classes}
    if objective == "reg:logistic":
        targets["reg"] = (1 + np.tanh(inputs[:, 0])) / 2
    if objective.startswith("multi"):
        parameters["num_class"] = 3
    matrix = xgboost.DMatrix(inputs, label=targets[objective.split(":")[0]])
    if objective.startswith("rank"):
        matrix.set_group([len(inputs)])
    return xgboost.train({"objective": objective, "nthread": 1, "seed": 1, **parameters}, matrix, rounds)


def as_json(booster: xgboost.Booster) -> dict:
    return json.loads(bytes(booster.save_raw("json")))


CASES = {
    "softmax": ("multi:softprob", {}),
    "logistic": ("binary:logistic", {}),
    "margin": ("binary:logitraw", {}),
    "regression": ("reg:squarederror", {}),
    "logistic regression": ("reg:logistic", {}),
    "pruned": ("binary:logistic", {"gamma": 5.0, "max_depth": 9, "tree_method": "exact"}),
    "by leaves": ("multi:softprob", {"grow_policy": "lossguide", "max_leaves": 25, "max_depth": 0}),
    "parallel trees": ("multi:softprob", {"num_parallel_tree": 3, "subsample": 0.5}),
    "stumps": ("binary:logistic", {"max_depth": 1}),
    "given start": ("binary:logistic", {"base_score": 0.2}),
    "single leaves": ("binary:logistic", {"min_child_weight": 1e6, "base_score": 0.3}),
}


@pytest.mark.parametrize("name", CASES)
def test_answers_are_those_of_xgboost(name):
    objective, parameters = CASES[name]
    booster = train(objective, **parameters)
    inputs = np.concatenate([sample(seed=2)[0], np.random.default_rng(3).normal(size=(1000, 4)).astype(np.float32)])
    expected = booster.predict(xgboost.DMatrix(inputs)).reshape(len(inputs), -1)
    found = evaluate(forest_of_xgboost(bytes(booster.save_raw("json"))), inputs)
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)


def test_bytes_of_json_and_of_ubjson_and_its_content_are_alike():
    booster = train("multi:softprob", 3)
    inputs = sample()[0]
    ubjson = booster.save_raw("ubj")
    models = [bytes(booster.save_raw("json")), bytes(ubjson), ubjson, as_json(booster)]
    first, *others = [evaluate(forest_of_xgboost(model), inputs) for model in models]
    for other in others:
        np.testing.assert_array_equal(other, first)


def test_a_model_cut_to_its_best_round():
    booster = train("binary:logistic", 10)
    inputs = sample()[0]
    expected = booster.predict(xgboost.DMatrix(inputs), iteration_range=(0, 4))
    forest = forest_of_xgboost(bytes(booster[:4].save_raw("json")))
    assert forest.num_trees == 4
    np.testing.assert_allclose(evaluate(forest, inputs)[:, 0], expected, atol=1e-6)


@pytest.mark.parametrize(
    ("written", "expected"), [("5E-1", [0.5] * 3), ("[5E-1]", [0.5] * 3), ("[1,2,-3E0]", [1, 2, -3])]
)
def test_starting_values_of_older_and_newer_versions(written, expected):
    """One number for all up to XGBoost 3.0, a list since 3.1."""
    model = as_json(train("multi:softprob", 1))
    model["learner"]["learner_model_param"]["base_score"] = written
    assert forest_of_xgboost(model).offsets.tolist() == expected


def test_a_probability_as_starting_value_becomes_a_logarithm():
    model = as_json(train("binary:logistic", 1))
    model["learner"]["learner_model_param"]["base_score"] = "2E-1"
    assert forest_of_xgboost(model).offsets[0] == pytest.approx(np.log(0.25), rel=1e-15)


def stopped_early(**parameters) -> xgboost.Booster:
    """25 rounds at most, stopped some rounds after the best; its attribute says which was."""
    inputs, classes = sample()
    training, validation = (
        xgboost.DMatrix(inputs[part], label=classes[part]) for part in (slice(500), slice(500, None))
    )
    given = {"objective": "multi:softprob", "num_class": 3, "eta": 1.0, "nthread": 1, "seed": 1, **parameters}
    return xgboost.train(given, training, 25, evals=[(validation, "v")], early_stopping_rounds=4, verbose_eval=False)


@pytest.mark.parametrize("parameters", [{}, {"num_parallel_tree": 3, "subsample": 0.5}])
def test_a_model_that_was_stopped_early_has_its_best_rounds(parameters, caplog):
    """As `XGBClassifier.predict_proba`; also in files before XGBoost 2.0, which do not say where rounds end."""
    caplog.set_level("INFO")
    booster = stopped_early(**parameters)
    best, inputs = booster.best_iteration, sample(seed=2)[0]
    expected = booster.predict(xgboost.DMatrix(inputs), iteration_range=(0, best + 1))
    model = as_json(booster)
    old = copy.deepcopy(model)
    del old["learner"]["gradient_booster"]["model"]["iteration_indptr"]
    for content in (model, old):
        forest = forest_of_xgboost(content, "model.json")
        assert forest.num_trees == (best + 1) * 3 * parameters.get("num_parallel_tree", 1)
        np.testing.assert_allclose(evaluate(forest, inputs), expected, atol=1e-6)
    assert f"model.json: learner: was stopped early: the first {best + 1} of {best + 5} rounds are taken" in caplog.text


@pytest.mark.parametrize("objective", ["binary:logistic", "multi:softprob"])
def test_files_that_say_nothing_of_parallel_trees(objective):
    """Those of the first versions that wrote JSON: the model's parameters are its number of trees alone."""
    booster = train(objective)
    booster.set_attr(best_iteration="4")
    model = as_json(booster)
    trees = model["learner"]["gradient_booster"]["model"]
    trees["gbtree_model_param"] = {"num_trees": trees["gbtree_model_param"]["num_trees"], "size_leaf_vector": "0"}
    for name in ("iteration_indptr", "cats"):
        del trees[name]
    loaded = xgboost.Booster(model_file=bytearray(json.dumps(model).encode()))
    inputs, _ = sample(seed=2)
    expected = loaded.predict(xgboost.DMatrix(inputs), iteration_range=(0, 5))
    scores = evaluate(forest_of_xgboost(model), inputs)
    np.testing.assert_allclose(scores.reshape(expected.shape), expected, atol=1e-6)


def test_a_best_round_that_is_not_there_is_refused():
    model = as_json(stopped_early())
    model["learner"]["attributes"]["best_iteration"] = "25"
    with pytest.raises(NtuplemlError, match=r"attributes: best_iteration is 25, but there are \d+ rounds from 0 on"):
        forest_of_xgboost(model)


def test_models_that_are_no_sums_of_trees_are_refused():
    several = xgboost.train({"nthread": 1}, xgboost.DMatrix(sample()[0], label=sample()[0][:, :2]), 2)
    for booster, message in [
        (several, "a model of several targets; train one model for each"),
        (train("count:poisson", 2), "objective 'count:poisson'; understood are multi:softprob"),
        (train("rank:pairwise", 2), "objective 'rank:pairwise'; understood are multi:softprob"),
        (train("binary:logistic", 2, booster="dart"), "booster 'dart'; only 'gbtree'"),
        (train("binary:logistic", 2, booster="gblinear"), "booster 'gblinear'; only 'gbtree'"),
        (train("reg:pseudohubererror", 2), "objective 'reg:pseudohubererror'; understood are multi:softprob"),
        (train("multi:softprob", 2, multi_strategy="multi_output_tree"), "several outputs"),
    ]:
        with pytest.raises(NtuplemlError, match=message):
            forest_of_xgboost(bytes(booster.save_raw("json")))


def test_categorical_splits_are_refused():
    generator = np.random.default_rng(1)
    inputs = generator.integers(0, 5, (500, 1))
    matrix = xgboost.DMatrix(inputs, label=inputs[:, 0] % 2, feature_types=["c"], enable_categorical=True)
    booster = xgboost.train({"objective": "binary:logistic", "max_cat_to_onehot": 1, "nthread": 1}, matrix, 2)
    with pytest.raises(NtuplemlError, match=r"a categorical split|categorical features"):
        forest_of_xgboost(bytes(booster.save_raw("json")))


@pytest.mark.parametrize("name", ["split_type", "categories_segments"])
def test_trees_with_parts_of_categorical_splits_are_refused(model, name):
    damaged = copy.deepcopy(model)
    trees_of(damaged)[1][name] = [0, 1]
    with pytest.raises(NtuplemlError, match=r"trees\[1\]: a categorical split"):
        forest_of_xgboost(damaged)


@pytest.fixture(scope="module")
def model() -> dict:
    return as_json(train("multi:softprob", 2))


def trees_of(model: dict) -> list[dict]:
    return model["learner"]["gradient_booster"]["model"]["trees"]


def set_tree(name: str, index: int, value):
    def change(model):
        trees_of(model)[1][name][index] = value

    return change


def replace_tree(name: str, value):
    def change(model):
        trees_of(model)[1][name] = value

    return change


def empty_tree(model):
    tree = trees_of(model)[1]
    tree.update({name: [] for name in tree if isinstance(tree[name], list)})


def set_parameter(name: str, value):
    def change(model):
        model["learner"]["learner_model_param"][name] = value

    return change


def remove(*path: str):
    def change(model):
        for name in path[:-1]:
            model = model[name]
        del model[path[-1]]

    return change


FAULTS = {
    "no learner": (remove("learner"), "no 'learner'; not a complete model"),
    "no objective": (remove("learner", "objective"), "learner: no 'objective'"),
    "no trees": (remove("learner", "gradient_booster", "model", "trees"), "no 'trees'"),
    "tree missing": (lambda model: trees_of(model).pop(), "5 trees, but tree_info has 6"),
    "tree is a number": (lambda model: trees_of(model).__setitem__(1, 7), r"trees\[1\]: no object, but 7"),
    "empty": (lambda model: trees_of(model).clear(), "no trees"),
    "cycle": (set_tree("left_children", 1, 0), "in more than one way"),
    "two parents": (set_tree("left_children", 0, 2), "in more than one way"),
    "child outside": (set_tree("right_children", 0, 9999), r"trees\[1\]: a child that is none of its"),
    "negative child": (set_tree("right_children", 0, -2), r"trees\[1\]: a child that is none of its"),
    "feature outside": (set_tree("split_indices", 0, 4), "'features' goes from"),
    "huge feature": (set_tree("split_indices", 0, 2**40), "a split on a feature that does not exist"),
    "lengths": (set_tree("split_conditions", slice(0, 1), []), "lists of its nodes are not of one length"),
    "text": (set_tree("split_conditions", 0, "x"), "split_conditions: numbers are needed"),
    "fraction": (set_tree("left_children", 0, 1.5), "left_children: whole numbers are needed"),
    "NaN": (set_tree("split_conditions", 0, float("nan")), "'cuts' has values that are NaN"),
    "nested": (replace_tree("left_children", [[1], [2, 3]]), "left_children: a list of numbers is needed"),
    "no list": (replace_tree("left_children", {"a": 1}), "left_children: a list of numbers is needed"),
    "parent outside": (set_tree("parents", 1, 999_999_999), r"trees\[1\]: a parent that is none of its"),
    "directions": (replace_tree("default_left", [1]), "lists of its nodes are not of one length"),
    "rounds": (
        lambda model: model["learner"]["gradient_booster"]["model"].update(iteration_indptr=[-5, 3, 6]),
        "iteration_indptr does not divide the 6 trees into rounds",
    ),
    "categories": (
        lambda model: model["learner"]["gradient_booster"]["model"].update(cats={"enc": 999}),
        "categorical features; train on numbers only",
    ),
    "no nodes": (empty_tree, "lists of its nodes are not of one length"),
    "class outside": (
        set_parameter("num_class", "2"),
        "base_score is .*; 2 numbers, or one for all|goes from 0 to 2; 0 to 1",
    ),
    "many classes": (set_parameter("num_class", "999999999"), "num_class is 999999999, but there are 6 trees"),
    "many inputs": (set_parameter("num_feature", "999999999"), "at most 100000 inputs are possible"),
    "number of inputs": (set_parameter("num_feature", "many"), "num_feature is 'many'; a number from 1 on"),
    "no inputs": (set_parameter("num_feature", "0"), "num_feature is '0'; a number from 1 on"),
    "targets": (set_parameter("num_target", "2"), "a model of several targets"),
    "start": (set_parameter("base_score", "[1,2]"), r"base_score is '\[1,2\]'; 3 numbers, or one for all"),
    "start as text": (set_parameter("base_score", "half"), "base_score is 'half'"),
    "infinite start": (set_parameter("base_score", "inf"), "base_score is 'inf'"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_damaged_models_are_refused_in_one_line(model, name):
    change, message = FAULTS[name]
    damaged = copy.deepcopy(model)
    change(damaged)
    with pytest.raises(NtuplemlError, match=message) as error:
        forest_of_xgboost(damaged, "models/fold0.json")
    assert str(error.value).startswith("models/fold0.json: ")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("content", [b"", b"{", b"[1, 2]", b"7", b"\xff\x00", b"{L\x00\x00nonsense", b"[" * 100_000])
def test_what_is_no_model_is_refused_in_one_line(content):
    with pytest.raises(
        NtuplemlError, match=r"^fold0.json: (not (JSON|UBJSON), or cut off or damaged|no object)"
    ) as error:
        forest_of_xgboost(content, "fold0.json")
    assert "\n" not in str(error.value)


def test_names_of_the_inputs():
    model = as_json(train("binary:logistic", 1))
    assert names_in_xgboost(model, "x.json") is None
    model["learner"]["feature_names"] = ["a", "b", "c", "d"]
    assert names_in_xgboost(model, "x.json") == ["a", "b", "c", "d"]
    for names in (["a"], "abcd", [1, 2, 3, 4], {"a": 1}):
        model["learner"]["feature_names"] = names
        with pytest.raises(NtuplemlError, match=r"x\.json: learner: feature_names are not 4 names"):
            names_in_xgboost(model, "x.json")


def test_probabilities_outside_of_their_range_are_refused():
    model = as_json(train("binary:logistic", 1))
    set_parameter("base_score", "1.5")(model)
    with pytest.raises(NtuplemlError, match="a probability is needed"):
        forest_of_xgboost(model)
