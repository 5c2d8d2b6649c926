"""From calibration numbers to an answer: whether scores can be used as probabilities."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ntupleml.metrics.calibration import Agreement, Calibration
from ntupleml.metrics.measurement import Undefined, Verdict

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Calibration error that matters, beyond what fluctuations make.
LARGE_ERROR = 0.02
#: Chance of "attention" for calibrated scores.
SIGNIFICANT = 0.01


def calibration_verdict(results: Mapping[str, Calibration | Undefined], mixture: str = "") -> Verdict:
    """Whether the scores of all classes are probabilities.

    Parameters
    ----------
    results : mapping of str to Calibration or Undefined
        By class.
    mixture : str
        Which weights the events have, for the sentence.

    Notes
    -----
    "attention" where for any class the calibration error, less what fluctuations make of it, is at least 0.02 *and* the
    p-value of the agreement, times the number of classes (Bonferroni), is below 0.01; "unknown" where fluctuations are
    so large that such an error would be hidden, or nothing is defined.
    """
    known = {name: one for name, one in results.items() if isinstance(one, Calibration)}
    suffix = f" ({mixture})" if mixture else ""
    if not known:
        reason = next((str(one) for one in results.values() if isinstance(one, Undefined)), "no classes")
        return Verdict("unknown", f"calibration{suffix}: {reason}")
    name, worst = max(known.items(), key=lambda item: _excess(item[1]))
    bad = {one: found for one, found in known.items() if _is_bad(found, len(known))}
    if bad:
        name, worst = max(bad.items(), key=lambda item: _excess(item[1]))
        return Verdict(
            "attention", f"the scores are not the probabilities of the classes{suffix}: of '{name}', {_numbers(worst)}"
        )
    if any(isinstance(one.agreement, Undefined) or one.error.expected > LARGE_ERROR for one in known.values()):
        return Verdict("unknown", f"too few events to judge the calibration{suffix}: of '{name}', {_numbers(worst)}")
    return Verdict("good", f"the scores are calibrated{suffix}: worst is '{name}', where {_numbers(worst)}")


def _excess(one: Calibration) -> float:
    return one.error.value.value - one.error.expected


def _is_bad(one: Calibration, tests: int) -> bool:
    significant = isinstance(one.agreement, Agreement) and one.agreement.p_value * tests < SIGNIFICANT
    return significant and _excess(one) >= LARGE_ERROR


def _numbers(one: Calibration) -> str:
    value, uncertainty = one.error.value
    text = f"the mean distance of score and probability is {value:.4f} ± {uncertainty:.4f}"
    text += f" ({one.error.expected:.4f} would be fluctuations"
    if isinstance(one.agreement, Agreement):
        text += f"; χ² = {one.agreement.chi_square:.1f} for {one.agreement.degrees_of_freedom} degrees of freedom"
    return f"{text})"
