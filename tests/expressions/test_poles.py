"""Functions where they have no value, as TFormula, TMath and the C library have it."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ntupleml.expressions import ROOT_VERSION, parse
from ntupleml.training.record_parts import library_versions

X = [-1.0, -170.0, 0.0, -np.inf, np.inf, -0.5, 4.0, 709.5, 710.0, -800.5]
ROOT_PI = 1.7724538509055159
#: ln |Γ| of the last three, of the C library.
LARGE = [math.lgamma(709.5), math.lgamma(710), math.lgamma(-800.5)]


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        ("TMath::Gamma", [np.inf, np.inf, np.inf, np.inf, np.inf, -2 * ROOT_PI, 6.0, np.inf, np.nan, np.nan]),
        ("tgamma", [np.nan, np.nan, np.inf, np.nan, np.inf, -2 * ROOT_PI, 6.0, np.inf, np.inf, 0.0]),
        ("TMath::LnGamma", [np.inf, np.inf, np.inf, np.inf, np.inf, np.log(2 * ROOT_PI), np.log(6.0), *LARGE]),
        ("lgamma", [np.inf, np.inf, np.inf, np.inf, np.inf, np.log(2 * ROOT_PI), np.log(6.0), *LARGE]),
    ],
)
def test_gamma(function: str, expected: list[float]) -> None:
    """Numbers of ROOT 6.40 and glibc 2.36 at the poles; Γ(-1/2) = -2 √π, Γ(4) = 6."""
    found = parse(f"{function}(x)").evaluate({"x": np.array(X)}, len(X))
    np.testing.assert_allclose(found, expected, rtol=1e-14)


def test_roots_of_negative_numbers_are_those_of_one_release() -> None:
    """ROOT 6.40, as the records of datasets and trainings say."""
    columns = {"x": np.array([-4.0, 9.0])}
    assert parse("sqrt(x)").evaluate(columns, 2).tolist() == [2, 3]
    np.testing.assert_array_equal(parse("TMath::Sqrt(x)").evaluate(columns, 2), [np.nan, 3])
    assert ROOT_VERSION == "6.40"
    assert library_versions()["TTreeFormula"] == ROOT_VERSION
