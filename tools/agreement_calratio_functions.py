"""The folder `functions` of the set `calratio` of `agreement.py`: weights, scans, curves, efficiencies and distances.

Layout: `functions.npz` and `functions.json`. Those answers count that are right. After a veto the original multiplies
the rejection with the share of QCD jets that is left, by which it should divide: undone here. Jets on an edge, which
it leaves out of all slices, are left out here too.
"""

from __future__ import annotations

import json
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import numpy as np
from quantities import Quantity, largest

from ntupleml.metrics import RocCurve, Undefined, roc_curve
from ntupleml.metrics.class_scales import scaled_weights
from ntupleml.metrics.cut_scan import cut_scan
from ntupleml.metrics.point_efficiency import selected_share, shares_of_points
from ntupleml.metrics.sliced_distances import NO_SLICE, sliced_distances, slices_of
from ntupleml.metrics.two_samples import TwoSampleTest, kolmogorov_smirnov
from ntupleml.testing.search import above_veto, veto_threshold, without_vetoed

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

#: Of the scores, by their columns.
CLASSES = ["qcd", "signal", "bib"]
QCD, SIGNAL, BIB = range(3)
LIMIT = 1e-9


class Functions:
    """Made-up jets with the answers of the original's functions."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @cached_property
    def arrays(self) -> dict[str, NDArray[Any]]:
        """Inputs and answers by their names."""
        with np.load(self.folder / "functions.npz") as file:
            return dict(file)

    @cached_property
    def answers(self) -> dict[str, Any]:
        """The other answers."""
        answers: dict[str, Any] = json.loads((self.folder / "functions.json").read_text())
        return answers

    @property
    def truth(self) -> NDArray[np.int64]:
        """Classes of the jets."""
        return self.arrays["label"]

    @property
    def scores(self) -> NDArray[Any]:
        """Scores of the jets."""
        return self.arrays["prediction"]

    def weights(self, scales: dict[str, float | str], chosen: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Weights of some jets, whose classes are scaled as in all of them."""
        found = scaled_weights(self.arrays["weight"], self.truth, CLASSES, dict.fromkeys(CLASSES, "rows") | scales)
        assert isinstance(found, np.ndarray)
        return found[chosen]

    def subset(self, name: str) -> NDArray[np.bool_]:
        """Jets of a subset: all, one background alone, one mass of the signal against all, the first twelve rows."""
        if name.startswith("mH"):
            return (self.truth != SIGNAL) | (self.arrays["mH"] == float(name.removeprefix("mH")))
        if name == "first_12_rows":
            return np.arange(len(self.truth)) < 12
        kept = {"QCD_only": self.truth != BIB, "BIB_only": self.truth != QCD}
        return kept.get(name, np.ones(len(self.truth), np.bool_))


def functions(folder: Path) -> Iterator[Quantity]:
    """Quantities of made-up jets."""
    if not (folder / "functions" / "functions.json").is_file():
        return
    found = Functions(folder / "functions")
    quantities = {
        "weights of each class scaled to its number": partial(_normalised, found),
        "control weights of simulation scaled to data": partial(_control_weights, found),
        "weights of QCD scaled to the signal": partial(_main_weights, found),
    }
    for name in found.answers["s_over_sqrt_b"]:
        quantities[f"S/√B scan, {name}"] = partial(_scan, found, name)
    for name in found.answers["roc"]:
        if not name.startswith("bib_cut"):
            quantities[f"rejection, {name}"] = partial(_rejection, found, name, "")
            continue
        share = name.removeprefix("bib_cut_")
        quantities[f"rejection, veto of {share} of BIB"] = partial(_rejection, found, "all", share)
        quantities[f"jets that the veto of {share} of BIB leaves"] = partial(_left, found, share)
    quantities["efficiency of each mass point"] = partial(_point_efficiencies, found)
    quantities["false positives"] = partial(_false_positives, found)
    quantities["K-S distance of equal values"] = partial(_ties, found)
    for name in ("all", "slices", "sum of the slices"):
        quantities[f"K-S distances, {name}"] = partial(_distances, found, name)
    for name, difference in quantities.items():
        yield Quantity(f"functions: {name}", difference, LIMIT)


def _normalised(found: Functions) -> float:
    return largest(found.weights({}, found.subset("all")), found.arrays["weight_normalised"])


def _control_weights(found: Functions) -> float:
    """Rows in the order of the original: simulation (0), then data (2)."""
    rows = found.arrays["cr_matched_index"]
    truth = (found.arrays["cr_label"][rows] == 2).astype(np.int64)
    weights = scaled_weights(found.arrays["cr_weight"][rows], truth, ["simulation", "data"], {"simulation": "data"})
    assert isinstance(weights, np.ndarray)
    return largest(weights, found.arrays["cr_matched_weight"])


def _main_weights(found: Functions) -> float:
    weights = scaled_weights(found.arrays["main_weight"], found.arrays["main_label"], CLASSES, {"qcd": "signal"})
    assert isinstance(weights, np.ndarray)
    return largest(weights, found.arrays["main_mcWeights_reweighted"])


def _scan(found: Functions, name: str) -> float:
    """Curve, maximum and area; where there is one background alone, its weights count as they are."""
    chosen = found.subset(name)
    truth = found.truth[chosen]
    weights = found.weights({}, chosen)
    scaled = scaled_weights(weights, truth, CLASSES, {"qcd": "bib"})
    scan = cut_scan(found.scores[chosen, SIGNAL], truth == SIGNAL, weights if isinstance(scaled, Undefined) else scaled)
    answer = found.answers["s_over_sqrt_b"][name]
    if isinstance(scan, Undefined):  # for the original 0, where there is no signal
        return 0.0 if not answer["maximum"] else float("inf")
    numbers = np.array([scan.maximum.value, scan.area.value])
    compared = [
        largest(numbers, np.array([answer["maximum"], answer["area_under_significance"]])),
        float(abs(len(scan.cuts) - answer["points"])),
        abs(scan.cut - answer.get("threshold_at_maximum", scan.cut)),
    ]
    if f"scan_{name}_value" in found.arrays:
        compared.append(largest(scan.values, found.arrays[f"scan_{name}_value"]))
        compared.append(largest(1 - scan.cuts, found.arrays[f"scan_{name}_one_minus_threshold"]))
    return max(compared)


def _rejection(found: Functions, name: str, share: str) -> float:
    """Area, and the distance of each point of the original's curve to the nearest of ours."""
    chosen = found.subset(name)
    truth, scores = found.truth[chosen], found.scores[chosen]
    vetoed = np.zeros(len(truth), np.bool_)
    answer = found.answers["roc"][f"bib_cut_{share}" if share else name]
    if share:
        vetoed = above_veto(scores[:, BIB], answer["threshold"])
    weights = found.weights({}, chosen)
    left = 1.0 if not share else float(weights[~vetoed & (truth == QCD)].sum() / weights[truth == QCD].sum())
    weights = weights * np.where(truth == BIB, 0.1, 1.0)
    curve = roc_curve(without_vetoed(scores[:, SIGNAL], vetoed), truth == SIGNAL, weights)
    assert isinstance(curve, RocCurve)
    last = len(curve.thresholds) - (2 if share else 1)  # after all that was not vetoed
    signal, background = (one[: last + 1] for one in (curve.signal_efficiency, curve.background_efficiency))
    background = background / background[-1] * left
    stem = f"roc_bibcut{share}" if share else f"roc_{name}"
    stored = np.stack([found.arrays[f"{stem}_signal_efficiency"], left / found.arrays[f"{stem}_rejection"] * left])
    return max(
        abs(float(np.trapezoid(signal, background)) - answer["auc"]),
        _farthest(stored, np.stack([signal, background])),
    )


def _farthest(points: NDArray[np.float64], curve: NDArray[np.float64]) -> float:
    from scipy.spatial import KDTree

    distances, _ = KDTree(curve.T).query(points.T)
    return float(distances.max())


def _left(found: Functions, share: str) -> float:
    """Number of jets; the original vetoes the next jet below the cut, too, which it does not count as caught."""
    scores = found.scores[:, BIB]
    answer = found.answers["roc"][f"bib_cut_{share}"]
    cut = veto_threshold(scores, found.truth == BIB, np.ones(len(scores)), float(share))
    between = np.count_nonzero(above_veto(scores, answer["threshold"]) & ~above_veto(scores, cut))
    left = np.count_nonzero(~above_veto(scores, cut))
    below = scores[found.truth == BIB]
    one_more = np.count_nonzero((below >= answer["threshold"]) & (below < cut)) - 1
    return float(abs(left - between - answer["n_left"]) + abs(one_more))


def _point_efficiencies(found: Functions) -> float:
    own = found.truth == SIGNAL
    points = np.stack([found.arrays["mH"], found.arrays["mS"]], axis=1)[own]
    shares = shares_of_points(found.scores[own].argmax(axis=1) == SIGNAL, np.ones(len(points)), points)
    answer = found.answers["signal_efficiency"]
    values = {",".join(f"{value:g}" for value in point): one.share.value for point, one in shares.items()}
    if set(values) != set(answer):
        return float("inf")
    return max(abs(values[name] - answer[name]) for name in answer)


def _false_positives(found: Functions) -> float:
    rest = found.scores[found.truth != SIGNAL].argmax(axis=1) == SIGNAL
    answer = float(found.answers["false_positive_text"].strip().split(",")[-1])
    return abs(selected_share(rest, np.ones(len(rest))).share.value - answer)


def _ties(found: Functions) -> float:
    example = {name: np.array(one) for name, one in found.answers["ks"]["ties_example"].items()}
    test = kolmogorov_smirnov(example["sample1"], example["weight1"], example["sample2"], example["weight2"])
    assert isinstance(test, TwoSampleTest)
    return abs(test.statistic - float(example["D"]))


def _distances(found: Functions, name: str) -> float:
    """Distances of the three scores; of the slices those of all three."""
    answer, pt = found.answers["ks"], found.arrays["ks_jet_pt"]
    edges = [0.25, 0.5]
    slices = np.where(np.isin(pt, edges), NO_SLICE, slices_of(pt, edges))
    is_data = found.arrays["ks_label"] == 1
    of_slices = (slices, 3) if name != "all" else (None, 1)
    order = [answer["order"].index(one) for one in ("qcd", "sig", "bib")]
    distances = sliced_distances(found.arrays["ks_prediction"], is_data, found.arrays["ks_weight"], *of_slices)
    if name == "sum of the slices":
        return largest(np.array(distances.sums), np.array(answer["epoch_value"])[order])
    keys = ["all"] if name == "all" else ["low_pt_lt_0p25", "mid_0p25_0p5", "high_gt_0p5"]
    values = np.array([[test.statistic for test in of_score] for of_score in distances.tests])
    return largest(values, np.array([answer[key] for key in keys]).T[order])
