"""The real `TMVA::Reader`, where ROOT has it, as an evaluator: a compiled loop over the events."""

from __future__ import annotations

import logging
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from ntupleml.errors import NtuplemlError, one_line
from ntupleml.scoring.evaluators import Evaluator, matrix_evaluator

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ntupleml.tmva.method import TmvaMethod

log = logging.getLogger(__name__)

#: Events per call: with thousands of trees a Reader does some thousand per second.
_BATCH_SIZE = 10_000

#: The names of variables and the path come as arguments, so that no text of a file becomes part of a program.
_CODE = """
#include <stdexcept>
#include <string>
#include <vector>
#include "TMVA/Reader.h"

namespace ntupleml {

/// A method booked in a Reader of its own, with the variables that its weights file names.
class BookedMethod {
public:
    BookedMethod(const std::vector<std::string> &variables, const std::vector<std::string> &spectators,
                 const std::string &weights)
        : fVariables(variables.size()), fSpectators(spectators.size()), fReader("!Color:Silent")
    {
        for (std::size_t i = 0; i < variables.size(); ++i)
            fReader.AddVariable(variables[i].c_str(), &fVariables[i]);
        for (std::size_t i = 0; i < spectators.size(); ++i)
            fReader.AddSpectator(spectators[i].c_str(), &fSpectators[i]);
        fReader.BookMVA("method", weights.c_str());
    }
    BookedMethod(const BookedMethod &) = delete;
    BookedMethod &operator=(const BookedMethod &) = delete;

    void Classification(const float *matrix, long events, double *answers)
    {
        for (long event = 0; event < events; ++event) {
            Fill(matrix, event);
            answers[event] = fReader.EvaluateMVA("method");
        }
    }
    void Multiclass(const float *matrix, long events, long outputs, double *answers)
    {
        for (long event = 0; event < events; ++event) {
            Fill(matrix, event);
            Copy(fReader.EvaluateMulticlass("method"), outputs, answers + event * outputs);
        }
    }
    void Regression(const float *matrix, long events, long outputs, double *answers)
    {
        for (long event = 0; event < events; ++event) {
            Fill(matrix, event);
            Copy(fReader.EvaluateRegression("method"), outputs, answers + event * outputs);
        }
    }

private:
    void Fill(const float *matrix, long event)
    {
        const float *row = matrix + event * fVariables.size();
        for (std::size_t i = 0; i < fVariables.size(); ++i)
            fVariables[i] = row[i];
    }
    static void Copy(const std::vector<float> &values, long outputs, double *answers)
    {
        if (static_cast<long>(values.size()) != outputs)
            throw std::runtime_error("the Reader gives another number of values than the weights file has outputs");
        for (long i = 0; i < outputs; ++i)
            answers[i] = values[i];
    }

    std::vector<float> fVariables;
    std::vector<float> fSpectators;
    TMVA::Reader fReader;
};

} // namespace ntupleml
"""


def reader_evaluator(method: TmvaMethod) -> Evaluator:
    """Evaluator that asks ROOT's own `TMVA::Reader`.

    Parameters
    ----------
    method : TmvaMethod
        Content of the weights file, which names variables, spectators and outputs; the Reader reads the file itself.
    """
    root = _root_with_tmva()
    variables = [variable.full_name for variable in method.variables]
    spectators = [spectator.full_name for spectator in method.spectators]
    try:
        booked = root.ntupleml.BookedMethod(_texts(root, variables), _texts(root, spectators), str(method.path))
    except Exception as error:  # what TMVA throws depends on its version
        raise NtuplemlError(f"{method.path}: TMVA's Reader refuses it: {one_line(error)}") from error
    log.info("%s: scored by TMVA's Reader of ROOT %s", method.path, root.gROOT.GetVersion())
    outputs = len(method.output_names)

    def scores(matrix: NDArray[np.float32]) -> NDArray[Any]:
        rows = np.ascontiguousarray(matrix)
        answers = np.empty((len(rows), outputs), dtype=np.float64)
        if method.analysis == "Classification":
            booked.Classification(rows, len(rows), answers)
        else:
            getattr(booked, method.analysis)(rows, len(rows), outputs, answers)
        return answers

    return matrix_evaluator(scores, _BATCH_SIZE)


@cache
def _root_with_tmva() -> Any:
    """ROOT, with the loop compiled; once per process."""
    from ntupleml.imports import import_root

    root = import_root()
    try:
        _ = root.TMVA.Reader
    except AttributeError:
        raise NtuplemlError(
            f"--engine tmva: this ROOT ({root.gROOT.GetVersion()}) has no TMVA, as that of PyPI; take one that has it, "
            "e.g. from an LCG view, or leave --engine out, which gives the same scores sooner"
        ) from None
    if not root.gInterpreter.Declare(_CODE):
        raise NtuplemlError(
            f"--engine tmva: the headers of this ROOT's TMVA ({root.gROOT.GetVersion()}) cannot be compiled; leave "
            "--engine out, which gives the same scores sooner"
        )
    return root


def _texts(root: Any, texts: list[str]) -> Any:
    vector = root.std.vector["std::string"]()
    for text in texts:
        vector.push_back(text)
    return vector
