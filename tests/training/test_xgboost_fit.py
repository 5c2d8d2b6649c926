"""Fits against XGBoost's own classifier, and weights of either sign."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import xgboost
from sklearn.metrics import log_loss

from ntupleml.training.xgboost_fit import fit_xgboost, predict_xgboost

if TYPE_CHECKING:
    from numpy.typing import NDArray

PARAMETERS = {"max_depth": 3, "learning_rate": 0.3}


def events(num_classes: int, number: int = 1500, seed: int = 1) -> tuple[Any, Any, Any]:
    """Classes apart in the first of four inputs, less in the second; the third is noise, the last constant."""
    generator = np.random.default_rng(seed)
    classes = generator.integers(0, num_classes, number)
    inputs = generator.normal(size=(number, 4)) + classes[:, None] * [1.0, 0.5, 0.0, 0.0]
    inputs[:, 3] = 1
    return inputs.astype(np.float32), classes, generator.uniform(0.5, 1.5, number)


def cross_entropy(scores: NDArray[Any], classes: NDArray[Any], weights: NDArray[Any]) -> float:
    return float(-(weights @ np.log(scores[np.arange(len(classes)), classes])) / weights.sum())


@pytest.mark.parametrize("num_classes", [2, 3])
@pytest.mark.parametrize("method", ["hist", "exact"])
def test_the_model_is_that_of_xgboosts_classifier(num_classes: int, method: str) -> None:
    inputs, classes, weights = events(num_classes)
    parameters = {**PARAMETERS, "tree_method": method}
    fit = fit_xgboost(inputs, classes, weights, num_classes, rounds=10, parameters=parameters, seed=0)
    peer = xgboost.XGBClassifier(n_estimators=10, base_score=0.5, **parameters)
    expected = peer.fit(inputs, classes, sample_weight=weights).predict_proba(inputs)
    np.testing.assert_allclose(predict_xgboost(fit.model, inputs), expected, atol=1e-6)
    assert (fit.rounds, fit.best_round, list(fit.history)) == (10, None, ["loss"])
    assert fit.history["loss"][-1] == pytest.approx(log_loss(classes, expected, sample_weight=weights), rel=1e-4)
    assert sorted(fit.gain) == [0, 1, 2]
    assert fit.gain[0] > fit.gain[1] > fit.gain[2]
    scores = json.loads(fit.model)["learner"]["learner_model_param"]["base_score"]
    assert set(json.loads(scores)) == {0.5}


@pytest.mark.parametrize("num_classes", [2, 3])
def test_the_objective_with_signs_is_xgboosts_without(num_classes: int) -> None:
    """A weight of −1e-12 changes nothing but the code that computes the objective."""
    inputs, classes, weights = events(num_classes)
    fits = []
    for tiny in (1e-12, -1e-12):
        weights[0] = tiny
        options: dict[str, Any] = {"rounds": 20, "parameters": PARAMETERS, "seed": 0}
        validation = events(num_classes, 300, seed=2)
        fits.append(fit_xgboost(inputs, classes, weights, num_classes, validation=validation, **options))
    plain, signed = fits
    # Sums of float32 in another order decide between cuts of equal gain; most scores are the same.
    difference = np.abs(predict_xgboost(plain.model, inputs) - predict_xgboost(signed.model, inputs))
    assert np.median(difference) < 1e-5
    for key in ("loss", "val_loss"):
        np.testing.assert_allclose(signed.history[key], plain.history[key], rtol=1e-3)


@pytest.mark.parametrize("num_classes", [2, 3])
def test_an_event_and_its_negative_cancel(num_classes: int) -> None:
    """All events three times, with weights w, w and −w, train as they do once with w."""
    inputs, classes, weights = events(num_classes)
    options: dict[str, Any] = {"rounds": 10, "parameters": PARAMETERS, "seed": 0}
    once = fit_xgboost(inputs, classes, weights, num_classes, **options)
    signed = np.concatenate([weights, weights, -weights])
    thrice = fit_xgboost(np.tile(inputs, (3, 1)), np.tile(classes, 3), signed, num_classes, **options)
    difference = np.abs(predict_xgboost(once.model, inputs) - predict_xgboost(thrice.model, inputs))
    assert np.median(difference) < 1e-4
    np.testing.assert_allclose(thrice.history["loss"], once.history["loss"], rtol=1e-3)
    unsigned = fit_xgboost(np.tile(inputs, (3, 1)), np.tile(classes, 3), np.abs(signed), num_classes, **options)
    assert abs(unsigned.history["loss"][-1] - once.history["loss"][-1]) > 1e-4  # else this shows nothing


@pytest.mark.parametrize("share_negative", [0.0, 0.1])
@pytest.mark.parametrize("num_classes", [2, 3])
def test_early_stopping_keeps_the_best_rounds(num_classes: int, share_negative: float) -> None:
    inputs, classes, weights = events(num_classes, 400)
    check, truth, check_weights = events(num_classes, 400, seed=2)
    check_weights[: int(share_negative * 400)] *= -1
    fit = fit_xgboost(
        inputs,
        classes,
        weights,
        num_classes,
        rounds=500,
        parameters=PARAMETERS,
        seed=0,
        validation=(check, truth, check_weights),
        early_stopping=5,
    )
    losses = fit.history["val_loss"]
    assert fit.best_round == int(np.argmin(losses)) + 1
    assert fit.rounds == len(losses) == fit.best_round + 5 < 500
    assert len(fit.history["loss"]) == fit.rounds
    found = cross_entropy(predict_xgboost(fit.model, check), truth, check_weights)
    assert found == pytest.approx(losses[fit.best_round - 1], abs=2e-6)  # XGBoost writes six digits
    content = json.loads(fit.model)["learner"]["gradient_booster"]["model"]
    assert int(content["gbtree_model_param"]["num_trees"]) == fit.best_round * (1 if num_classes == 2 else num_classes)


@pytest.mark.parametrize("threads", [1, 2])
def test_the_seed_decides(threads: int) -> None:
    inputs, classes, weights = events(3)

    def model(seed: int) -> bytes:
        parameters = {**PARAMETERS, "subsample": 0.5}
        options: dict[str, Any] = {"rounds": 3, "parameters": parameters, "threads": threads}
        return fit_xgboost(inputs, classes, weights, 3, seed=seed, **options).model

    assert model(2**32 - 1) == model(2**32 - 1)
    assert model(1) != model(2)


def test_early_stopping_without_validation_is_a_fault_of_the_caller() -> None:
    with pytest.raises(ValueError, match="needs validation events"):
        fit_xgboost(*events(2), 2, rounds=1, parameters={}, seed=0, early_stopping=3)
