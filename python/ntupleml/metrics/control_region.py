"""Are the scores of simulation and data distributed alike in a control region? A test per score and slice."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from ntupleml.metrics.measurement import Undefined, Verdict
from ntupleml.metrics.sliced_distances import sliced_distances
from ntupleml.metrics.two_samples import TwoSampleTest, corrected_level, critical_distance, p_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

#: Chance to reject anything where simulation describes the data.
LEVEL = 0.05


class ControlTest(NamedTuple):
    """Kolmogorov-Smirnov test of one score in one slice."""

    score: str
    slice: str
    #: Effective entries of simulation and data.
    entries: tuple[float, float]
    test: TwoSampleTest | Undefined
    #: Distance above which this test alone rejects, at the level.
    critical: float
    #: The same at the level that is corrected for the number of tests.
    corrected: float

    @property
    def rejects(self) -> bool:
        """Whether this test alone says that simulation and data differ."""
        return not isinstance(self.test, Undefined) and self.test.statistic > self.critical

    @property
    def rejects_corrected(self) -> bool:
        """Whether it says so as one of many tests."""
        return not isinstance(self.test, Undefined) and self.test.statistic > self.corrected

    def plain(self) -> dict[str, Any]:
        """As a file has it."""
        known = not isinstance(self.test, Undefined)
        return {
            "score": self.score,
            "slice": self.slice,
            "effective_entries": {"simulation": self.entries[0], "data": self.entries[1]},
            "test": self.test,
            **({"critical_distance": self.critical, "corrected_critical_distance": self.corrected} if known else {}),
            "rejects": self.rejects,
            "rejects_corrected": self.rejects_corrected,
        }


class ControlRegion(NamedTuple):
    """All tests of a control region."""

    level: float
    tests: tuple[ControlTest, ...]
    #: By score, the sum of the distances of all slices: what a training notes of each epoch; NaN where none exists.
    sums: dict[str, float]

    @property
    def verdict(self) -> Verdict:
        """Whether simulation describes the scores of the data."""
        known = [one for one in self.tests if not isinstance(one.test, Undefined)]
        missing = [one for one in self.tests if isinstance(one.test, Undefined)]
        more = ""
        if missing:
            reason = f"{_place(missing[0])}: {missing[0].test}"
            if not known:
                return Verdict("unknown", f"no test could be made: {reason}")
            more = f"; {len(missing)} could not be made, the first of them {reason}"
        worst = max(known, key=lambda one: _statistic(one) / one.corrected)
        assert isinstance(worst.test, TwoSampleTest)
        text = f"{_place(worst)} has D = {worst.test.statistic:.3f} ({p_text(worst.test.p_value)})"
        limit = f"the limit {worst.corrected:.3f} at the level {self.level:g} for {len(known)} tests"
        if worst.rejects_corrected:
            text = f"simulation and data differ: {text}, above {limit}{more}"
            return Verdict("attention", text, "Simulation and data have different scores.")
        text = f"no difference beyond chance: {text}, below {limit}{more}"
        if missing:
            return Verdict(
                "unknown", text, "No difference of simulation and data is seen, but not all could be tested."
            )
        return Verdict("good", text, "Simulation and data have the same scores, as far as can be seen.")


def _place(one: ControlTest) -> str:
    return f"the score of '{one.score}'" + (f" for {one.slice}" if one.slice else "")


def _statistic(one: ControlTest) -> float:
    return 0.0 if isinstance(one.test, Undefined) else one.test.statistic


def control_region(
    scores: NDArray[Any],
    is_data: NDArray[np.bool_],
    weights: NDArray[np.float64],
    names: Sequence[str],
    slices: NDArray[np.intp] | None = None,
    slice_names: Sequence[str] = ("",),
    level: float = LEVEL,
) -> ControlRegion:
    """Test each score in each slice.

    Parameters
    ----------
    scores : array, shape (n_rows, n_scores)
    is_data : array of bool, shape (n_rows,)
        Else simulation.
    weights : array of float64, shape (n_rows,)
        Of both; negative ones count as they are. Their normalisation does not matter.
    names : sequence of str
        Of the scores.
    slices : array of int, shape (n_rows,), optional
        Slice of each row, as of `sliced_distances.slices_of`; by default all rows are one.
    level : float, default: 0.05
        See `critical_distance`; of all tests together it is corrected by Šidák's rule.
    """
    found = sliced_distances(scores, is_data, weights, slices, len(slice_names))
    known = sum(isinstance(test, TwoSampleTest) for of_score in found.tests for test in of_score)
    tests = []
    for name, of_score in zip(names, found.tests, strict=True):
        for where, entries, test in zip(slice_names, found.entries, of_score, strict=True):
            limits = (0.0, 0.0)
            if isinstance(test, TwoSampleTest):
                each = corrected_level(level, known)
                limits = (critical_distance(level, *entries), critical_distance(each, *entries))
            tests.append(ControlTest(name, where, entries, test, *limits))
    return ControlRegion(level, tuple(tests), dict(zip(names, found.sums, strict=True)))
