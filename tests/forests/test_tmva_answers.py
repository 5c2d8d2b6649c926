"""The kernel against the answers of a real TMVA::Reader, from files of tests/data/tmva."""

from __future__ import annotations

import gzip
import json

import numpy as np
import pytest

from ntupleml.forests import Forest
from ntupleml.forests.kernel import evaluate
from ntupleml.tmva.reading import read_weights

#: Every kind of boosting, with oblique cuts, preselection, pruned trees, several classes and both regressions.
CASES = [
    "bin_ada_default",
    "bin_ada_fishercuts",
    "bin_ada_negw",
    "bin_ada_noyesno",
    "bin_ada_presel",
    "bin_bagging",
    "bin_bdtg",
    "bin_bdtg_bag_toy5_w",
    "bin_realada",
    "mc_bdtg_50",
    "mc_bdtg_toy5_w",
    "modern_mc_bdtg_50_nobag",
    "reg_bdt_adar2",
    "reg_bdtg",
]


@pytest.mark.parametrize("case", CASES)
def test_answers_are_those_of_reader(project, tmp_path, case):
    """float32 answers to the last bit, double ones to the rounding of the exponential function."""
    folder = project / "tests" / "data" / "tmva"
    weights = tmp_path / "weights.xml"
    weights.write_bytes(gzip.decompress((folder / case / "weights.xml.gz").read_bytes()))
    method = read_weights(weights)
    assert isinstance(method.body, Forest)
    data = json.loads((folder / case / "meta.json").read_text())["data"]
    with np.load(folder / f"{data}_eval.npz") as columns:
        matrix = np.stack([columns[variable.expression] for variable in method.variables], axis=1).astype(np.float32)
    expected = np.load(folder / case / "responses.npz")["response"].reshape(len(matrix), -1)
    found = evaluate(method.body, matrix)
    if expected.dtype == np.float32:
        np.testing.assert_array_equal(found.astype(np.float32), expected)
    else:
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-15)
