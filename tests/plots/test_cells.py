"""Numbers as people read them: expected texts follow the rule of two digits of the uncertainty."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis.strategies import floats

from ntupleml.metrics import Measurement, Undefined
from ntupleml.plots.cells import cell_text


@pytest.mark.parametrize(
    ("cell", "text"),
    [
        (Measurement(0.81234, 0.00123), "0.8123 ± 0.0012"),
        (Measurement(-3.7, 12.0), "−4 ± 12"),
        (Measurement(123456.0, 789.0), "123\u202f456 ± 789"),
        (Measurement(5e-12, 7e-14), "(5.000 ± 0.070) × 10⁻¹²"),
        (Measurement(2e12, 3e10), "(2.000 ± 0.030) × 10¹²"),
        (Measurement(1.0, 0.0), "1"),
        (Undefined("no events"), "undefined: no events"),
        (12, "12"),
        (20000, "20\u202f000"),
        (True, "yes"),
        (0.123456, "0.1235"),
        (1.5e-7, "1.5 × 10⁻⁷"),
        (-0.25, "−0.25"),
        ("text", "text"),
    ],
)
def test_cells(cell: object, text: str) -> None:
    assert cell_text(cell) == text  # type: ignore[arg-type]


@given(value=floats(-1e6, 1e6), uncertainty=floats(1e-5, 1e6))
def test_rounding_is_small_beside_the_uncertainty(value: float, uncertainty: float) -> None:
    text = cell_text(Measurement(value, uncertainty))
    shown = [float(part.replace("−", "-").replace("\u202f", "")) for part in text.split(" ± ")]
    assert abs(shown[0] - value) <= 0.06 * uncertainty + 0.5 * (uncertainty >= 10)
    assert abs(shown[1] - uncertainty) <= 0.06 * uncertainty + 0.5 * (uncertainty >= 10)
