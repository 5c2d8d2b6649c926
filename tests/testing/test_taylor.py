"""Taylor rankings of a trained analysis: numbers by formula, htt-ml's files, sampling, and what is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import yaml

from ntupleml.artifacts import KERAS, model_files
from ntupleml.errors import NtuplemlError
from ntupleml.metrics import Measurement, Undefined
from ntupleml.metrics.taylor import RankedTerm, taylor_factor, taylor_terms
from ntupleml.preprocessing import fit_scaler, write_preprocessing
from ntupleml.testing.preparation import prepare, tested_events
from ntupleml.testing.registry import STEPS
from ntupleml.testing.steps import write_step
from ntupleml.testing.taylor import (
    differentiable_method,
    name_of_all,
    ranking_pictures,
    read_taylor_ranking,
    taylor_sums,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

CLASSES = ["signal", "background_1", "background_2"]
#: Of the scores' logits, those of tests/testing/conftest.py.
SLOPES = [
    np.array([[0.0, 1.0, -1.0], [0.5, 0.2, -0.4]]),
    np.array([[1.0, -0.3, 0.1], [0.0, 0.6, 0.9]]),
]


def add_keras_files(analysis: Any, conditions: int = 0) -> Any:
    """Beside the ONNX files the networks that they are of: softmax(inputs × slopes)."""
    import keras

    for model in range(analysis.num_folds):
        kernel = np.concatenate([SLOPES[model], *([[4.0 * index, 0, 0]] for index in range(conditions))])
        layers = [keras.Input((2 + conditions,)), keras.layers.Dense(3, activation="softmax", use_bias=False)]
        network = keras.Sequential(layers)
        network.set_weights([kernel])
        files = model_files(analysis.folder / "out", model, KERAS)
        network.save(files.model)
        write_preprocessing(files.preprocessing, fit_scaler("identity", np.zeros((2, 2))))
    return analysis


@pytest.fixture
def keras_analysis(analysis: Any) -> Any:
    return add_keras_files(analysis)


def _prepared(analysis: Any, fold: str, **options: Any) -> Any:
    analysis.write_configs()
    return prepare(analysis.folder / "training.yaml", analysis.folder / "testing.yaml", fold, **options)


def expected(analysis: Any, models: list[int], classes: list[int], absolute: bool = True) -> dict[str, float]:
    """Weighted means of p_c(W_c − m) and p_c[(W_c − m)(W_c − m)ᵀ − cov], by the names of the terms."""
    columns, weights = [], []
    for model in models:
        for index in classes:
            events = analysis.events[(model + 1) % analysis.num_folds][CLASSES[index]]
            inputs = np.stack([events["x"], events["y"]], axis=1).astype("f8")
            shares = np.exp(inputs @ SLOPES[model])
            shares /= shares.sum(axis=1, keepdims=True)
            centred = SLOPES[model].T[None] - (shares @ SLOPES[model].T)[:, None]
            slope = centred[:, index]
            second = np.einsum("ei,ej->eij", slope, slope) - np.einsum("ek,eki,ekj->eij", shares, centred, centred)
            full = np.concatenate([slope, second[:, [0, 0, 1], [0, 1, 1]]], axis=1) * shares[:, [index]]
            columns.append(np.abs(full) if absolute else full)
            weights.append(events["weights"])
    means = np.average(np.concatenate(columns), weights=np.concatenate(weights), axis=0)
    names = ["x", "y", "x, x", "x, y", "y, y"]
    return {name: taylor_factor(term) * mean for name, term, mean in zip(names, taylor_terms(2, 2), means, strict=True)}


def _table(path: Path) -> list[list[str]]:
    return [[part.strip() for part in line.split(" : ")] for line in path.read_text().splitlines()]


@pytest.mark.parametrize(("fold", "models"), [("0", [0]), ("all", [0, 1])])
def test_files_have_the_means_of_the_formula(keras_analysis: Any, fold: str, models: list[int]) -> None:
    """Weights, 8 % of them negative, as they are; `all` has every event once, by the model that did not see it."""
    paths, _ = write_step(STEPS["taylor"], _prepared(keras_analysis, fold))
    out = keras_analysis.folder / "out"
    names = [f"taylor_{kind}_{name}" for kind in ("ranking", "1D") for name in (*CLASSES, "all")]
    tables = {out / f"fold{fold}_keras_{name}.txt" for name in names}
    pictures = {
        out / f"fold{fold}_keras_taylor_ranking_{name}.{ending}"
        for name in (*CLASSES, "all")
        for ending in ("png", "pdf", "yaml")
    }
    assert set(paths) == {*tables, *pictures, out / f"fold{fold}_keras_taylor_ranking.yaml"}
    assert all(path.exists() for path in paths)
    for name, indices in {"all": [0, 1, 2], "signal": [0], "background_2": [2]}.items():
        means = expected(keras_analysis, models, indices)
        order = sorted(means, key=lambda label: -means[label])
        rows = _table(out / f"fold{fold}_keras_taylor_ranking_{name}.txt")
        assert [row[:2] for row in rows] == [[str(rank), label] for rank, label in enumerate(order)]
        np.testing.assert_allclose([float(row[2]) for row in rows], [means[label] for label in order], rtol=1e-5)
        first = [label for label in order if "," not in label]
        assert [row[1] for row in _table(out / f"fold{fold}_keras_taylor_1D_{name}.txt")] == first
    means = expected(keras_analysis, models, [0, 1, 2])
    with (out / f"fold{fold}_keras_taylor_ranking.yaml").open() as file:
        summary = yaml.safe_load(file)
    assert [", ".join(entry["variables"]) for entry in summary] == sorted(means, key=lambda label: -means[label])
    for entry in summary:
        assert entry["score"] == pytest.approx(means[", ".join(entry["variables"])], rel=1e-5)
        assert 0 < entry["uncertainty"] < entry["score"]


def test_table_has_the_columns_of_htt_ml(keras_analysis: Any) -> None:
    (path, *_), _ = write_step(STEPS["taylor"], _prepared(keras_analysis, "0"))
    assert path.name == "fold0_keras_taylor_ranking_all.txt"
    for rank, line in enumerate(path.read_text().splitlines()):
        assert line[:7] == f"{rank}    : "
        assert line[67:70] == " : "
        assert f"{float(line[70:]):g}" == line[70:]


def test_without_modulus(keras_analysis: Any) -> None:
    write_step(STEPS["taylor"], _prepared(keras_analysis, "1"), no_abs=True)
    means = expected(keras_analysis, [1], [0], absolute=False)
    rows = _table(keras_analysis.folder / "out" / "fold1_keras_taylor_ranking_signal.txt")
    assert [row[1] for row in rows] == sorted(means, key=lambda label: -means[label])
    np.testing.assert_allclose([float(row[2]) for row in rows], sorted(means.values(), reverse=True), rtol=1e-4)


def test_matrix(keras_analysis: Any) -> None:
    paths, _ = write_step(STEPS["taylor-1d"], _prepared(keras_analysis, "0"), normalize=True)
    assert [path.name for path in paths] == [f"fold0_keras_taylor_1D.{ending}" for ending in ("png", "pdf", "yaml")]
    content = keras_analysis.result("fold0_keras_taylor_1D")
    for index, name in enumerate(CLASSES):
        means = expected(keras_analysis, [0], [index])
        for variable in "xy":
            found = content["coefficients"][name][variable]["value"]
            assert found == pytest.approx(means[variable] / (means["x"] + means["y"]), rel=1e-5)


def test_conditions_are_inputs(make_analysis: Callable[..., Any]) -> None:
    analysis = add_keras_files(make_analysis(conditions=("2016", "2017")), conditions=2)
    write_step(STEPS["taylor"], _prepared(analysis, "0", condition="2017"), order=1)
    ranking = read_taylor_ranking(analysis.folder / "out" / "fold0_keras_taylor_ranking_2017.yaml")
    assert {term.label for term in ranking} == {"x", "y", "2016", "2017"}
    coefficients = {term.label: term.coefficient for term in ranking}
    # The score of a condition whose slopes are all zero does not depend on it.
    assert coefficients["2016"] == Measurement(0, 0)
    assert coefficients["2017"].value > 0
    assert (analysis.folder / "out" / "fold0_keras_taylor_1D_signal_2017.txt").exists()


def test_sample_is_unbiased_repeatable_and_said(keras_analysis: Any) -> None:
    preparation = _prepared(keras_analysis, "all")
    events = tested_events(preparation)
    whole = taylor_sums(preparation, events, 1)
    assert whole.sampled == {}
    assert whole.all_classes.events == len(events)
    sampled = [taylor_sums(preparation, events, 1, most_events=300) for _ in range(2)]
    assert sampled[0].all_classes.events == 300
    assert sampled[0].sampled == pytest.approx({name: 100 / (400 + 2 * i) for i, name in enumerate(CLASSES)})
    for one, other in zip(sampled[0].rankings()["all"].terms, sampled[1].rankings()["all"].terms, strict=True):
        assert one == other
    means = expected(keras_analysis, [0, 1], [0, 1, 2])
    for term in sampled[0].rankings()["all"].terms:
        assert abs(term.coefficient.value - means[term.label]) < 4 * term.coefficient.uncertainty


def test_class_without_events_and_zero_weights_are_undefined(keras_analysis: Any) -> None:
    preparation = _prepared(keras_analysis, "0")
    events = tested_events(preparation)
    events = events.chosen(events.truth != 0)
    events.weights[events.truth == 1] = 0
    sums = taylor_sums(preparation, events, 2)
    pictures = ranking_pictures(sums, sums.rankings())
    assert [picture.name for picture in pictures] == [f"taylor_ranking_{name}" for name in (*CLASSES, "all")]
    reasons = {picture.numbers["class"]: picture.numbers["ranking"][0]["score"] for picture in pictures}
    assert reasons["signal"] == "undefined: no events"
    assert reasons["background_1"] == "undefined: sum of weights is zero"
    assert reasons["background_2"] == pytest.approx(max(expected(keras_analysis, [0], [2]).values()), rel=1e-5)
    assert isinstance(reasons["all"], float)
    for picture in pictures:
        picture.draw(preparation.testing.plot)
        (table,) = picture.tables
        assert len(table.rows) == 5


def test_existing_files_stay(keras_analysis: Any) -> None:
    out = keras_analysis.folder / "out"
    (out / "fold0_keras_taylor_1D_signal.txt").write_text("mine")
    before = sorted(out.iterdir())
    with pytest.raises(NtuplemlError, match=r"taylor_1D_signal.txt: exists already; give --overwrite"):
        write_step(STEPS["taylor"], _prepared(keras_analysis, "0"))
    assert sorted(out.iterdir()) == before
    write_step(STEPS["taylor"], _prepared(keras_analysis, "0"), overwrite=True)
    assert (out / "fold0_keras_taylor_1D_signal.txt").read_text() != "mine"


def test_other_methods_have_no_derivatives(keras_analysis: Any) -> None:
    keras_analysis.training["tmva"] = {"methods": [{"name": "MLP", "type": "kMLP"}]}
    preparation = _prepared(keras_analysis, "0")
    preparation.trained["MLP"] = [
        model._replace(files=model.files._replace(model=model.files.model.with_suffix(".xml")))
        for model in preparation.trained["keras"]
    ]
    with pytest.raises(NtuplemlError, match=r"^MLP: only Keras networks .* testing/permutation_importance.py$"):
        differentiable_method(preparation, "MLP")


def test_class_called_all() -> None:
    assert name_of_all(["signal", "all", "all_"]) == "all__"


def test_reading_back_ours_and_htt_mls(tmp_path: Path) -> None:
    path = tmp_path / "fold0_keras_taylor_ranking.yaml"
    path.write_text(
        "- score: 0.5\n  variables:\n  - x\n  - y\n- {score: 0.25, uncertainty: 0.125, variables: [x]}\n"
        "- {score: 'undefined: no events', variables: [y]}\n"
    )
    assert read_taylor_ranking(path) == [
        RankedTerm(("x", "y"), Measurement(0.5, 0.0)),
        RankedTerm(("x",), Measurement(0.25, 0.125)),
        RankedTerm(("y",), Undefined("no events")),
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("signal: 1", "not a Taylor ranking, which is a list"),
        ("- [x]", "entry 0: not a term of a Taylor ranking: it has no list of variables"),
        ("- {score: .5, variables: [x]}\n- {score: high, variables: [y]}", "entry 1: .* is not a number"),
        ("- {score: [", "not a Taylor ranking: "),
        ("!!python/object/apply:os.system [ls]", "not a Taylor ranking: could not determine a constructor"),
    ],
)
def test_reading_something_else(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "ranking.yaml"
    path.write_text(text)
    with pytest.raises(NtuplemlError, match=message):
        read_taylor_ranking(path)


def test_reading_what_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(NtuplemlError, match=r"no such file; testing/keras_taylor_ranking.py writes it"):
        read_taylor_ranking(tmp_path / "ranking.yaml")


def test_scripts(keras_analysis: Any, run_script: Callable[..., Any]) -> None:
    arguments = [keras_analysis.folder / "training.yaml", keras_analysis.folder / "testing.yaml", "all"]
    done = run_script("testing/keras_taylor_ranking.py", *arguments, "--order", 3, "--max-events", 90)
    assert done.returncode == 0, done.stderr
    assert "leading terms: " in done.stderr
    ranking = read_taylor_ranking(keras_analysis.folder / "out" / "foldall_keras_taylor_ranking.yaml")
    assert max(len(term.variables) for term in ranking) == 3
    done = run_script("testing/keras_taylor_1D.py", *arguments, "--no-abs", "--method", "keras_")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "nearest: 'keras'" in done.stderr
