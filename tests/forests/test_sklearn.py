from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

from ntupleml.errors import NtuplemlError
from ntupleml.forests.kernel import evaluate
from ntupleml.forests.sklearn import float32_cuts, forest_of_hist_gradient_boosting


def sample(seed: int = 1):
    """Inputs that are often equal, and three classes."""
    generator = np.random.default_rng(seed)
    inputs = np.round(generator.normal(size=(1500, 4)), 1).astype(np.float32)
    return inputs, (inputs[:, 0] + generator.normal(size=1500) > 0).astype(int) + (inputs[:, 1] > 0.5)


@given(threshold=st.floats(allow_nan=False), steps=st.integers(-3, 3))
def test_cuts_decide_as_thresholds_in_double(threshold, steps):
    """For the float32 numbers around the threshold, the largest and smallest included."""
    with np.errstate(over="ignore", under="ignore"):
        value = np.float32(threshold)
        for _ in range(abs(steps)):
            value = np.nextafter(value, np.float32(np.copysign(np.inf, steps)))
    if np.isfinite(value):
        cut = float32_cuts(np.array([threshold]))[0]
        assert (value >= cut) == (float(value) > threshold)


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("parameters", [{}, {"max_leaf_nodes": None, "max_depth": 7}, {"max_leaf_nodes": 2}])
def test_answers_are_those_of_histogram_boosting(classes, parameters):
    inputs, labels = sample()
    estimator = HistGradientBoostingClassifier(max_iter=15, random_state=1, **parameters)
    estimator.fit(inputs, np.minimum(labels, classes - 1))
    for events in (sample(2)[0], np.random.default_rng(3).normal(size=(1000, 4)).astype(np.float32)):
        expected = estimator.predict_proba(events)
        found = evaluate(forest_of_hist_gradient_boosting(estimator), events)
        np.testing.assert_allclose(found, expected if classes == 3 else expected[:, 1:], rtol=0, atol=1e-14)


@pytest.mark.parametrize("loss", ["squared_error", "absolute_error"])
def test_answers_are_those_of_a_regressor(loss):
    inputs, _ = sample()
    estimator = HistGradientBoostingRegressor(max_iter=15, loss=loss).fit(inputs, inputs[:, 0] * inputs[:, 1])
    found = evaluate(forest_of_hist_gradient_boosting(estimator), inputs)
    np.testing.assert_allclose(found[:, 0], estimator.predict(inputs), rtol=0, atol=1e-14)


def test_histogram_boosting_of_other_kinds_is_refused():
    inputs, labels = sample()
    poisson = HistGradientBoostingRegressor(max_iter=2, loss="poisson").fit(inputs, labels)
    with pytest.raises(NtuplemlError, match="the loss 'poisson'; understood are log_loss"):
        forest_of_hist_gradient_boosting(poisson)
    codes = np.abs(inputs * 10).astype(int)
    categorical = HistGradientBoostingClassifier(max_iter=2, categorical_features=[0]).fit(codes, labels)
    with pytest.raises(NtuplemlError, match="categorical features"):
        forest_of_hist_gradient_boosting(categorical)
