"""Fits in blocks of rounds against scikit-learn's classifier fitted at once."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import log_loss

from ntupleml.errors import NtuplemlError
from ntupleml.training import histogram_boosting
from ntupleml.training.histogram_boosting import fit_hist_gradient_boosting

PARAMETERS = {"max_leaf_nodes": 4, "learning_rate": 0.2, "max_features": 0.5}


def events(num_classes: int, number: int = 600, seed: int = 1) -> tuple[Any, Any, Any]:
    """Classes apart in the first of three inputs; the second is noise, the last constant.

    Inputs are rounded to tenths: so few values are bins of their own, in whatever way bins are found.
    """
    generator = np.random.default_rng(seed)
    classes = generator.integers(0, num_classes, number)
    inputs = generator.normal(size=(number, 3)) + classes[:, None] * [1.0, 0.0, 0.0]
    inputs[:, 2] = 1
    return inputs.round(1).astype(np.float32), classes, generator.uniform(0.5, 1.5, number)


def peer(rounds: int) -> HistGradientBoostingClassifier:
    return HistGradientBoostingClassifier(max_iter=rounds, early_stopping=False, random_state=3, **PARAMETERS)


@pytest.mark.parametrize("num_classes", [2, 3])
def test_without_early_stopping(num_classes: int) -> None:
    inputs, classes, weights = events(num_classes)
    validation = events(num_classes, seed=2)
    fit = fit_hist_gradient_boosting(
        inputs, classes, weights, rounds=8, parameters=PARAMETERS, seed=3, where="t.yaml", validation=validation
    )
    expected = peer(8).fit(inputs, classes, sample_weight=weights)
    np.testing.assert_allclose(fit.estimator.predict_proba(inputs), expected.predict_proba(inputs), rtol=1e-12)
    assert (fit.rounds, fit.best_round) == (8, None)
    for key, (rows, truth, factors) in {"loss": (inputs, classes, weights), "val_loss": validation}.items():
        losses = [log_loss(truth, p, sample_weight=factors) for p in expected.staged_predict_proba(rows)]
        np.testing.assert_allclose(fit.history[key], losses, rtol=1e-6)
    assert sorted(fit.gain) == [0, 1]
    assert fit.gain[0] > fit.gain[1]


@pytest.mark.parametrize("num_classes", [2, 3])
@pytest.mark.parametrize("first_block", [1, 7, 50])
def test_early_stopping_keeps_the_best_rounds(
    num_classes: int, first_block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the blocks, the model is that of a fit at once, up to its best round."""
    monkeypatch.setattr(histogram_boosting, "_FIRST_ROUNDS", first_block)
    inputs, classes, weights = events(num_classes)
    check, truth, factors = events(num_classes, seed=2)
    fit = fit_hist_gradient_boosting(
        inputs,
        classes,
        weights,
        rounds=120,
        parameters=PARAMETERS,
        seed=3,
        where="t.yaml",
        validation=(check, truth, factors),
        early_stopping=6,
    )
    stages = list(peer(120).fit(inputs, classes, sample_weight=weights).staged_predict_proba(check))
    losses = [log_loss(truth, p, sample_weight=factors) for p in stages]
    stop = next(index for index in range(6, 120) if min(losses[index - 5 : index + 1]) >= min(losses[: index - 5])) + 1
    best = int(np.argmin(losses[:stop])) + 1
    assert (fit.rounds, fit.best_round) == (stop, best)
    assert best + 6 == stop < 120
    np.testing.assert_allclose(fit.history["val_loss"], losses[:stop], rtol=1e-6)
    assert len(fit.history["loss"]) == stop
    np.testing.assert_allclose(fit.estimator.predict_proba(check), stages[best - 1], rtol=1e-12)


def test_the_gain_of_one_cut() -> None:
    """G²/H of the left and of the right minus that of both, with the derivatives p − y and p (1 − p)."""
    inputs = np.repeat([0.0, 1.0], 50)[:, None].astype(np.float32)
    classes = np.repeat([0, 1, 0, 1], [40, 10, 5, 45])
    fit = fit_hist_gradient_boosting(
        inputs, classes, np.ones(100), rounds=1, parameters={"min_samples_leaf": 1}, seed=0, where="t.yaml"
    )
    p = classes.mean()
    gradients, hessian = p - classes, p * (1 - p)
    expected = sum(gradients[rows].sum() ** 2 / (50 * hessian) for rows in (slice(0, 50), slice(50, 100)))
    assert fit.gain == pytest.approx({0: expected}, rel=1e-5)


def test_inputs_of_many_values() -> None:
    """The bins are not those of scikit-learn to the last digit, but as good."""
    inputs, classes, weights = events(2, 3000)
    check, truth, _ = events(2, 3000, seed=2)
    shifts = np.random.default_rng(0).uniform(-0.05, 0.05, size=(2, *inputs.shape)).astype(np.float32)
    fit = fit_hist_gradient_boosting(
        inputs + shifts[0], classes, weights, rounds=30, parameters=PARAMETERS, seed=3, where="t.yaml"
    )
    expected = peer(30).fit(inputs + shifts[0], classes)
    scores = [estimator.predict_proba(check + shifts[1]) for estimator in (fit.estimator, expected)]
    losses = [log_loss(truth, p) for p in scores]
    assert losses[0] == pytest.approx(losses[1], rel=0.01)
    assert losses[0] < 0.63  # for a normal distribution moved by its width, the best is 0.58


def test_what_is_refused() -> None:
    inputs, classes, weights = events(2)
    options: dict[str, Any] = {"rounds": 2, "parameters": {}, "seed": 0, "where": "t.yaml: boosted_trees[1]"}
    with pytest.raises(ValueError, match="needs validation events"):
        fit_hist_gradient_boosting(inputs, classes, weights, early_stopping=3, **options)
    weights[7] = -0.1
    message = r"t\.yaml: boosted_trees\[1\]: HistGradientBoostingClassifier cannot take negative weights .*; set nega"
    with pytest.raises(NtuplemlError, match=message):
        fit_hist_gradient_boosting(inputs, classes, weights, **options)
