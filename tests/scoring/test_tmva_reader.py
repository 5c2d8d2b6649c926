"""The loop around TMVA's Reader, with a stand-in for the Reader where ROOT has no TMVA."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

#: Stands for the class of ROOT: the same functions, and answers from which order and names of the variables show.
STAND_IN = """
#ifndef STAND_IN_READER
#define STAND_IN_READER
#include <fstream>
#include <stdexcept>
#include <string>
#include <vector>
#include "TString.h"
namespace TMVA {
class Reader {
public:
    Reader(const TString &, bool = false) {}
    void AddVariable(const TString &name, float *value) { fNames.push_back(name.Data()); fValues.push_back(value); }
    void AddSpectator(const TString &name, float *) { fNames.push_back(std::string("spectator ") + name.Data()); }
    void *BookMVA(const TString &, const TString &path)
    {
        if (path.Contains("refused")) throw std::runtime_error("<FATAL> wrong\\nvariables");
        std::ofstream file((path + ".booked").Data());
        for (auto &name : fNames) file << name << "\\n";
        return this;
    }
    double EvaluateMVA(const TString &, double = 0) { return *fValues[0] - 2 * *fValues[1]; }
    using Values = std::vector<float>;
    const Values &EvaluateMulticlass(const TString &, double = 0) { return fAnswer = {*fValues[1], *fValues[0], 5}; }
    const Values &EvaluateRegression(const TString &, double = 0) { return fAnswer = {*fValues[4]}; }
private:
    std::vector<std::string> fNames;
    std::vector<float *> fValues;
    std::vector<float> fAnswer;
};
}
#endif
"""

CODE = """
import json, sys
import numpy as np
from ntupleml.errors import NtuplemlError
from ntupleml.imports import import_root
from ntupleml.scoring import scores_of_matrix, weights_evaluator
from ntupleml.tmva.reading import read_weights

headers, *paths = sys.argv[1:]
root = import_root()
if headers:
    root.gInterpreter.AddIncludePath(headers)
    root.gInterpreter.Declare('#include "TMVA/Reader.h"')
answers = []
for path in paths:
    method = read_weights(path)
    rows = np.arange(3 * len(method.variables), dtype="f4").reshape(3, -1)
    try:
        answers.append(scores_of_matrix(weights_evaluator(method, "tmva"), rows).tolist())
    except NtuplemlError as error:
        answers.append(str(error))
print(json.dumps(answers))
"""


@pytest.fixture
def answers(tmp_path: Path) -> Callable[..., list[Any]]:
    """Answers of the Reader, in a process of its own, since ROOT keeps what it has compiled."""

    def ask(*weights: Path, stand_in: bool = True) -> list[Any]:
        headers = tmp_path / "include"
        (headers / "TMVA").mkdir(parents=True)
        (headers / "TMVA" / "Reader.h").write_text(STAND_IN)
        command = [sys.executable, "-c", CODE, str(headers) if stand_in else "", *map(str, weights)]
        finished = subprocess.run(command, capture_output=True, text=True, check=False)
        assert finished.returncode == 0, finished.stderr
        found: list[Any] = json.loads(finished.stdout)
        return found

    return ask


def test_each_analysis_has_its_function(answers: Callable[..., list[Any]], tmva_case: Callable[[str], Any]) -> None:
    weights = [tmva_case(name).weights for name in ("bin_ada_default", "mc_bdtg_50", "reg_bdtg")]
    binary, multiclass, regression = answers(*weights)
    np.testing.assert_array_equal(binary, [[-2], [-4], [-6]])
    np.testing.assert_array_equal(multiclass, [[1, 0, 5], [3, 2, 5], [5, 4, 5]])
    np.testing.assert_array_equal(regression, [[4], [9], [14]])


def test_variables_are_added_by_their_full_text_in_order(
    answers: Callable[..., list[Any]], tmva_case: Callable[[str], Any]
) -> None:
    weights = tmva_case("bin_bdtg_expr").weights
    answers(weights)
    booked = weights.with_name(f"{weights.name}.booked").read_text().splitlines()
    assert booked == ["x+y", "diff := x-y", "TMath::Abs(x)", "spectator x", "spectator y2 := y*2"]


def test_what_the_reader_throws_is_one_line(
    answers: Callable[..., list[Any]], tmva_case: Callable[[str], Any], tmp_path: Path
) -> None:
    refused = tmva_case("mc_bdtg_50").weights.rename(tmp_path / "refused.xml")
    (message,) = answers(refused)
    assert message.startswith(f"{refused}: TMVA's Reader refuses it: ")
    assert "<FATAL> wrong variables" in message
    assert "\n" not in message


def test_a_root_without_tmva_is_one_line(answers: Callable[..., list[Any]], tmva_case: Callable[[str], Any]) -> None:
    """The wheel of PyPI has none; where ROOT has TMVA, the answers are those of the real Reader."""
    case = tmva_case("mc_bdtg_50")
    (found,) = answers(case.weights, stand_in=False)
    if isinstance(found, str):
        assert found.startswith("--engine tmva: this ROOT (6.")
        assert "has no TMVA, as that of PyPI" in found
        assert "\n" not in found
    else:
        np.testing.assert_allclose(np.sum(found, axis=1), 1, rtol=1e-6)
