"""The gamma function where it has no value, as TMath and the C library have it."""

from __future__ import annotations

import numpy as np
import pytest

from ntupleml.expressions import parse

X = [-1.0, -170.0, 0.0, -np.inf, np.inf, -0.5, 4.0]
ROOT_PI = 1.7724538509055159


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        ("TMath::Gamma", [np.inf, np.inf, np.inf, np.inf, np.inf, -2 * ROOT_PI, 6.0]),
        ("tgamma", [np.nan, np.nan, np.inf, np.nan, np.inf, -2 * ROOT_PI, 6.0]),
        ("TMath::LnGamma", [np.inf, np.inf, np.inf, np.inf, np.inf, np.log(2 * ROOT_PI), np.log(6.0)]),
        ("lgamma", [np.inf, np.inf, np.inf, np.inf, np.inf, np.log(2 * ROOT_PI), np.log(6.0)]),
    ],
)
def test_gamma(function: str, expected: list[float]) -> None:
    """Numbers of ROOT 6.40 and glibc 2.36 at the poles; Γ(-1/2) = -2 √π, Γ(4) = 6."""
    found = parse(f"{function}(x)").evaluate({"x": np.array(X)}, len(X))
    np.testing.assert_allclose(found, expected, rtol=1e-14)
