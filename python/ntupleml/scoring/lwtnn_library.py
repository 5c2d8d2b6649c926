"""The real liblwtnn, where ROOT finds it, as an evaluator: a compiled loop over the events."""

from __future__ import annotations

import logging
import os
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ntupleml.errors import NtuplemlError, one_line
from ntupleml.scoring.evaluators import Evaluator, StepScores

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from ntupleml.lwtnn.network import InputGroup, Network, Output
    from ntupleml.onnx_models.lwtnn import Replaced

log = logging.getLogger(__name__)

#: Where lwtnn is installed, if the system does not find it by itself.
PREFIX_VARIABLE = "LWTNN_PREFIX"
_BATCH_SIZE = 2_000

#: Names and paths come as arguments, so that no text of a file becomes part of a program.
_CODE = """
#include <fstream>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>
#include "lwtnn/LightweightGraph.hh"
#include "lwtnn/LightweightNeuralNetwork.hh"
#if __has_include("lwtnn/LightweightRNN.hh")
#include "lwtnn/LightweightRNN.hh"
#endif
#include "lwtnn/parse_json.hh"

namespace ntupleml {

/// A network of liblwtnn, evaluated for many events in one call.
class LwtnnNetwork {
public:
    void AddGroup(const std::string &name, bool sequence) { fGroups.push_back({name, sequence, {}}); }
    void AddVariable(const std::string &name) { fGroups.back().variables.push_back(name); }
    void AddLabel(const std::string &label) { fLabels.push_back(label); }
    void AskEachStep() { fEachStep = true; }

    void ReadSequential(const std::string &path)
    {
        std::ifstream file(path);
        const auto config = lwt::parse_json(file);
        if (fGroups.at(0).sequence)
            fRnn = std::make_unique<lwt::LightweightRNN>(config.inputs, config.layers, config.outputs);
        else
            fNetwork = std::make_unique<lwt::LightweightNeuralNetwork>(config.inputs, config.layers, config.outputs);
    }
    void ReadGraph(const std::string &path, const std::string &output)
    {
        std::ifstream file(path);
        fGraph = std::make_unique<lwt::LightweightGraph>(lwt::parse_json_graph(file), output);
    }

    /// rows: events x variables of all groups that are no sequences. steps: for one sequence after the other
    /// events x most[sequence] x variables. lengths: sequences x events. Gives, for one event or step after the other,
    /// the values of all labels; found: number of steps of each event.
    std::vector<double> Evaluate(const double *rows, const double *steps, const long *most, const long *lengths,
                                 long events, long *found) const
    {
        std::vector<double> answers;
        for (long event = 0; event < events; ++event) {
            lwt::LightweightGraph::NodeMap values;
            lwt::LightweightGraph::SeqNodeMap sequences;
            const double *block = steps;
            long sequence = 0;
            for (const Group &group : fGroups) {
                if (!group.sequence) {
                    for (const std::string &name : group.variables)
                        values[group.name][name] = *rows++;
                    continue;
                }
                const long width = group.variables.size();
                const long length = lengths[sequence * events + event];
                const double *first = block + event * most[sequence] * width;
                for (long i = 0; i < width; ++i) {
                    std::vector<double> &column = sequences[group.name][group.variables[i]];
                    column.reserve(length);
                    for (long step = 0; step < length; ++step)
                        column.push_back(first[step * width + i]);
                }
                block += events * most[sequence] * width;
                ++sequence;
            }
            if (fEachStep) {
                const lwt::VectorMap result = fGraph->scan(values, sequences);
                found[event] = result.at(fLabels.at(0)).size();
                for (long step = 0; step < found[event]; ++step)
                    for (const std::string &label : fLabels)
                        answers.push_back(result.at(label).at(step));
                continue;
            }
            const lwt::ValueMap result = Compute(values, sequences);
            for (const std::string &label : fLabels)
                answers.push_back(result.at(label));
        }
        return answers;
    }

private:
    struct Group {
        std::string name;
        bool sequence;
        std::vector<std::string> variables;
    };
    lwt::ValueMap Compute(const lwt::LightweightGraph::NodeMap &values,
                          const lwt::LightweightGraph::SeqNodeMap &sequences) const
    {
        if (fGraph)
            return fGraph->compute(values, sequences);
        if (fRnn)
            return fRnn->reduce(sequences.begin()->second);
        return fNetwork->compute(values.begin()->second);
    }

    std::vector<Group> fGroups;
    std::vector<std::string> fLabels;
    bool fEachStep = false;
    std::unique_ptr<lwt::LightweightGraph> fGraph;
    std::unique_ptr<lwt::LightweightNeuralNetwork> fNetwork;
    std::unique_ptr<lwt::LightweightRNN> fRnn;
};

} // namespace ntupleml
"""


def library_evaluator(network: Network, output: Output, replaced: Replaced) -> Evaluator:
    """Evaluator that asks liblwtnn itself, in double precision.

    Parameters
    ----------
    output : Output
        The one that is wanted.
    replaced : {"nan", "nan_and_infinities", "nothing"}
        Raw values that the defaults of the variables replace, as the library's NanReplacer does for its callers.

    Raises
    ------
    NtuplemlError
        If ROOT has no liblwtnn, or that refuses the file.
    """
    root = _root_with_lwtnn()
    booked = root.ntupleml.LwtnnNetwork()
    for group in network.groups:
        booked.AddGroup(group.name, group.sequence)
        for variable in group.variables:
            booked.AddVariable(variable.name)
    for label in output.labels:
        booked.AddLabel(label)
    if output.per_step:
        booked.AskEachStep()
    try:
        if network.form == "sequential":
            booked.ReadSequential(str(network.path))
        else:
            booked.ReadGraph(str(network.path), output.name)
    except Exception as error:  # a C++ exception, as whatever class of Python's ROOT makes of it
        raise NtuplemlError(f"{network.path}: liblwtnn refuses it: {one_line(error)}") from error
    log.info("%s: scored by liblwtnn", network.path)

    def scores(arrays: Mapping[str, NDArray[Any]]) -> NDArray[Any] | StepScores:
        number = len(arrays[network.groups[0].name])
        values = {group.name: _replaced(arrays[group.name], group, replaced) for group in network.groups}
        rows = [values[group.name] for group in network.groups if not group.sequence]
        sequences = [group.name for group in network.groups if group.sequence]
        lengths = [arrays[f"{name}_length"] for name in sequences]
        for place, group in enumerate(group for group in network.groups if group.sequence):
            values[group.name], lengths[place] = steps_of(values[group.name], lengths[place], group)
        found = np.ones(number + 1, dtype=np.int64)
        answers = booked.Evaluate(
            # never empty, which PyROOT takes for no buffer
            np.append(np.concatenate([*rows, np.empty((number, 0))], axis=1).ravel(), 0.0),
            np.concatenate([*(values[name].ravel() for name in sequences), np.zeros(1)]),
            np.array([*(values[name].shape[1] for name in sequences), 0], dtype=np.int64),
            np.concatenate([*lengths, np.zeros(1, np.int64)]),
            number,
            found,
        )
        matrix = np.array(answers).reshape(-1, len(output.labels))
        return StepScores(matrix, found[:number]) if output.per_step else matrix

    return Evaluator(scores, _BATCH_SIZE, per_step=output.per_step)


def _replaced(values: NDArray[Any], group: InputGroup, replaced: Replaced) -> NDArray[np.float64]:
    """Raw values as double, with the defaults of the variables where they are lost."""
    exact = values.astype(np.float64)
    for index, variable in enumerate(group.variables):
        if variable.default is not None and replaced != "nothing":
            column = exact[..., index]
            lost = np.isnan(column) if replaced == "nan" else ~np.isfinite(column)
            column[lost] = variable.default
    return exact


def steps_of(
    steps: NDArray[np.float64], lengths: NDArray[np.int64], group: InputGroup
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Raw steps, events × steps × variables, cut, and filled with what becomes 0, where the file says so."""
    if group.objects is None or group.objects.length is None:
        return steps, lengths
    most = group.objects.length
    steps, lengths = steps[:, :most], np.minimum(lengths, most)
    if not group.objects.filled:
        return steps, lengths
    nothing = np.array([-variable.offset for variable in group.variables])
    filled = np.broadcast_to(nothing, (len(steps), most, len(nothing))).copy()
    there = np.arange(steps.shape[1]) < lengths[:, np.newaxis]
    filled[:, : steps.shape[1]][there] = steps[there]
    return filled, np.full_like(lengths, most)


@cache
def _root_with_lwtnn() -> Any:
    """ROOT with liblwtnn loaded and the loop compiled; once per process."""
    from ntupleml.imports import import_root

    root = import_root()
    prefix = os.environ.get(PREFIX_VARIABLE)
    if prefix:
        root.gInterpreter.AddIncludePath(str(Path(prefix) / "include"))
        root.gSystem.AddDynamicPath(str(Path(prefix) / "lib"))
        root.gSystem.AddDynamicPath(str(Path(prefix) / "lib64"))
    advice = (
        f"take it from an LCG view, or set {PREFIX_VARIABLE} to the folder that it is installed in, or leave --engine "
        "out, which gives the same scores sooner"
    )
    found = root.gSystem.FindDynamicLibrary(root.TString("liblwtnn"), True)
    if not found or root.gSystem.Load("liblwtnn") < 0:
        raise NtuplemlError(f"--engine liblwtnn: liblwtnn is not installed where ROOT looks for libraries; {advice}")
    if not root.gInterpreter.Declare(_CODE):
        raise NtuplemlError(f"--engine liblwtnn: its headers (lwtnn/*.hh) cannot be compiled; {advice}")
    return root
