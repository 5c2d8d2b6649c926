"""The page of scalers: every scaler stands on it, and its example has the numbers that it says."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from ntupleml.preprocessing.scalers import SCALERS, fit_scaler
from ntupleml.preprocessing.steps import STEPS, fit_steps, transformed

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "scalers.md").read_text(encoding="utf-8")
EXAMPLE = dict(re.findall(r"^\| `(\w+)` \|((?: -?[\d.]+ \|){5})$", PAGE, re.MULTILINE))
VALUES = np.array([[1.0], [2.0], [3.0], [4.0], [10.0]], dtype=np.float32)


def test_every_scaler_and_step_stands_there_once() -> None:
    described = re.findall(r"^\| `(\w+)` \| (?!-?[\d.]+ \|)", PAGE, re.MULTILINE)
    assert sorted(described) == sorted([*SCALERS, *STEPS])
    assert sorted(EXAMPLE) == sorted(SCALERS)


@pytest.mark.parametrize("name", sorted(SCALERS))
def test_the_example(name: str) -> None:
    expected = [float(cell) for cell in EXAMPLE[name].split("|")[:5]]
    scaled = fit_scaler(name, VALUES).transform(VALUES.astype(np.float64))
    assert scaled[:, 0] == pytest.approx(expected, abs=6e-4)


def test_power_transformations_are_those_of_the_page() -> None:
    for name, sign in (("box_cox", 1), ("yeo_johnson", 1), ("yeo_johnson", -1)):
        rows = sign * VALUES
        (step,) = fit_steps([name], rows)
        power, x = float(step.lambdas_[0]), rows[:, 0].astype(np.float64)
        if name == "box_cox":
            made = (x**power - 1) / power
        elif sign > 0:
            made = ((1 + x) ** power - 1) / power
        else:
            made = -((1 - x) ** (2 - power) - 1) / (2 - power)
        expected = (made - made.mean()) / made.std()
        assert transformed([step], rows)[:, 0] == pytest.approx(expected, abs=1e-5)
