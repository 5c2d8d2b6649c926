"""The comparison with stored answers of scans, curves, efficiencies, distances: against loops over jets made here."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import auc, roc_curve

TOP = Path(__file__).resolve().parents[2]
QCD, SIGNAL, BIB = range(3)
NAMES = ("qcd", "sig", "bib")


def agreement(folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, TOP / "tools" / "agreement.py", "calratio", folder]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def distance(values: np.ndarray, is_data: np.ndarray, weights: np.ndarray) -> float:
    shares = [
        np.array([weights[kind & (values <= point)].sum() for point in values]) / weights[kind].sum()
        for kind in (is_data, ~is_data)
    ]
    return float(np.abs(shares[0] - shares[1]).max())


def scan(label: np.ndarray, score: np.ndarray, weights: np.ndarray) -> dict[str, Any]:
    cuts = [*np.logspace(-5, -1, 100), *np.linspace(0.11, 0.89, 20), *np.logspace(0, -0.04575, 600)[::-1]]
    both = weights[label == QCD].sum() and (label == BIB).sum()
    factor = (label == BIB).sum() / weights[label == QCD].sum() if both else 1.0
    found: list[tuple[float, float]] = []
    for cut in cuts:
        passed = score.astype("f8") > cut
        background = (passed & (label == BIB)).sum() + factor * weights[passed & (label == QCD)].sum()
        if background <= 10:
            break
        found.append((cut, (passed & (label == SIGNAL)).sum() / np.sqrt(background)))
    at, values = np.array(found).T
    return {
        "maximum": values.max(),
        "area_under_significance": np.trapezoid(values, at),
        "points": len(at),
        "threshold_at_maximum": at[values.argmax()],
    }


@pytest.fixture
def functions(tmp_path: Path) -> Path:
    random = np.random.default_rng(6)
    number = 400
    label = random.integers(0, 3, number)
    scores = random.dirichlet([1, 1, 1], number) + np.eye(3)[label] * random.random((number, 1))
    scores = (scores / scores.sum(axis=1, keepdims=True)).astype("f4")
    weights = np.where(label == QCD, random.exponential(2, number), 1.0)
    normalised = np.where(label == QCD, weights * (label == QCD).sum() / weights[label == QCD].sum(), weights)
    m_h = np.where(label == SIGNAL, random.choice([60.0, 400.0], number), 0.0)
    m_s = np.where(label == SIGNAL, random.choice([5.0, 50.0], number), 0.0)
    sets = {"all": label >= 0, "QCD_only": label != BIB, "BIB_only": label != QCD, "mH60": (label != 1) | (m_h == 60)}
    arrays = {
        "label": label,
        "prediction": scores,
        "weight": weights,
        "weight_normalised": normalised,
        "mH": m_h,
        "mS": m_s,
    }
    answers: dict[str, Any] = {
        "s_over_sqrt_b": {name: scan(label[one], scores[one, 1], normalised[one]) for name, one in sets.items()},
        "roc": {},
    }
    of_curve = normalised * np.where(label == BIB, 0.1, 1)
    for name, one in (("all", sets["all"]), ("mH60", sets["mH60"]), ("bib_cut_0.5", None)):
        answer: dict[str, Any] = {}
        ratios, stem = (1.0, 1.0), name
        if one is None:
            caught = np.sort(scores[label == BIB, 2])[::-1]
            answer["threshold"] = float(caught[int(np.ceil(0.5 * len(caught)))])
            one = scores[:, 2] < np.float32(answer["threshold"])
            answer["n_left"] = int(one.sum())
            ratios = tuple(normalised[one & (label == k)].sum() / normalised[label == k].sum() for k in (SIGNAL, QCD))
            stem = "bibcut0.5"
        false, true, _ = roc_curve(label[one] == SIGNAL, scores[one, 1], sample_weight=of_curve[one])
        answer["auc"] = auc(false, true) * ratios[0] * ratios[1]
        answers["roc"][name] = answer
        arrays[f"roc_{stem}_signal_efficiency"] = true[false > 0] * ratios[0]
        arrays[f"roc_{stem}_rejection"] = ratios[1] / false[false > 0]
    chosen = scores.argmax(axis=1) == SIGNAL
    answers["signal_efficiency"] = {
        f"{a:g},{b:g}": float(chosen[(m_h == a) & (m_s == b)].mean()) for a in (60.0, 400.0) for b in (5.0, 50.0)
    }
    answers["false_positive_text"] = f"0.0,0.0,{chosen[label != SIGNAL].mean()!r}\n".replace("np.float64(", "").replace(
        ")", ""
    )
    is_data, pt = random.random(number) < 0.5, random.random(number)
    pt[:2] = 0.25, 0.5
    slices = {
        "all": pt >= 0,
        "low_pt_lt_0p25": pt < 0.25,
        "mid_0p25_0p5": (pt > 0.25) & (pt < 0.5),
        "high_gt_0p5": pt > 0.5,
    }
    distances = {
        key: [distance(scores[one, k], is_data[one], weights[one]) for k in range(3)] for key, one in slices.items()
    }
    sums = np.sum([distances[key] for key in list(slices)[1:]], axis=0)
    example = {"sample1": [1.0, 2, 3], "weight1": [1, 2, 1], "sample2": [2.0, 3], "weight2": [1, 1], "D": 0.25}
    answers["ks"] = {"order": list(NAMES), **distances, "epoch_value": sums.tolist(), "ties_example": example}
    arrays |= {"ks_label": is_data.astype(int), "ks_prediction": scores, "ks_weight": weights, "ks_jet_pt": pt}
    arrays |= {
        "cr_label": np.array([2, 0, 0]),
        "cr_weight": np.array([6.0, 1, 2]),
        "cr_matched_index": np.array([1, 2, 0]),
    }
    arrays |= {
        "cr_matched_weight": np.array([2.0, 4, 6]),
        "main_label": np.array([0, 1, 2]),
        "main_weight": np.array([4.0, 1, 1]),
    }
    arrays["main_mcWeights_reweighted"] = np.array([1.0, 1, 1])
    (tmp_path / "functions").mkdir()
    np.savez(tmp_path / "functions" / "functions.npz", **arrays)
    (tmp_path / "functions" / "functions.json").write_text(json.dumps(answers, default=float))
    return tmp_path


def test_functions_agree(functions: Path) -> None:
    done = agreement(functions)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count(": agrees") == 17


def test_functions_that_do_not_agree(functions: Path) -> None:
    """Each change is found where it was made."""
    path = functions / "functions" / "functions.json"
    answers = json.loads(path.read_text())
    answers["s_over_sqrt_b"]["QCD_only"]["area_under_significance"] += 1e-6
    answers["roc"]["bib_cut_0.5"]["n_left"] -= 1
    answers["roc"]["mH60"]["auc"] += 1e-6
    answers["signal_efficiency"]["60,5"] += 1e-6
    answers["ks"]["mid_0p25_0p5"][1] += 1e-6
    path.write_text(json.dumps(answers))
    done = agreement(functions)
    assert done.returncode == 1
    wrong = {line.split(": largest")[0] for line in done.stdout.splitlines() if line.endswith("BEYOND THE LIMIT")}
    assert wrong == {
        "functions: S/√B scan, QCD_only",
        "functions: jets that the veto of 0.5 of BIB leaves",
        "functions: rejection, mH60",
        "functions: efficiency of each mass point",
        "functions: K-S distances, slices",
    }
