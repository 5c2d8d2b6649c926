"""The loop over liblwtnn: with a stand-in of its headers, since the library is on no package registry."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

CONFIG = """
#pragma once
#include <istream>
#include <map>
#include <string>
#include <vector>
namespace lwt {
typedef std::map<std::string, double> ValueMap;
typedef std::map<std::string, std::vector<double>> VectorMap;
struct JSONConfig { int inputs = 1, layers = 2, outputs = 3; };
struct GraphConfig { bool good; };
inline JSONConfig parse_json(std::istream &) { return {}; }
inline GraphConfig parse_json_graph(std::istream &file) { return {file.good()}; }
// 1000 for a variable "x", 1 for any other: an exchange of names is seen.
inline double weight(const std::string &name) { return name == "x" ? 1000 : 1; }
inline ValueMap answer(const ValueMap &values, const VectorMap &steps)
{
    double sum = 0, number = 0;
    for (const auto &[name, value] : values) sum += weight(name) * value;
    for (const auto &[name, column] : steps) {
        number += column.size();
        for (std::size_t i = 0; i < column.size(); ++i) sum += weight(name) * (i + 1) * column[i];
    }
    return {{"number", number}, {"sum", sum}};
}
}
"""
NETWORK = """
#include "lwtnn/config.hh"
namespace lwt {
struct LightweightNeuralNetwork {
    LightweightNeuralNetwork(int, int, int) {}
    ValueMap compute(const ValueMap &values) const { return answer(values, {}); }
};
struct LightweightRNN {
    LightweightRNN(int, int, int) {}
    ValueMap reduce(const VectorMap &steps) const { return answer({}, steps); }
};
}
"""
GRAPH = """
#include <stdexcept>
#include "lwtnn/config.hh"
namespace lwt {
struct LightweightGraph {
    typedef std::map<std::string, ValueMap> NodeMap;
    typedef std::map<std::string, VectorMap> SeqNodeMap;
    LightweightGraph(const GraphConfig &config, std::string output)
    {
        if (!config.good || output != "out") throw std::runtime_error("no such file or output");
    }
    ValueMap compute(const NodeMap &values, const SeqNodeMap &steps) const
    {
        return answer(values.at("event"), steps.at("tracks"));
    }
    VectorMap scan(const NodeMap &, const SeqNodeMap &steps) const
    {
        const VectorMap &tracks = steps.at("tracks");
        VectorMap answers{{"number", {}}, {"sum", {}}};
        for (std::size_t i = 0; i < tracks.at("x").size(); ++i) {
            answers["number"].push_back(i);
            answers["sum"].push_back(weight("x") * tracks.at("x")[i] + tracks.at("y")[i]);
        }
        return answers;
    }
};
}
"""
PROGRAM = """
import json, sys
import numpy as np
from ntupleml.lwtnn import read_network
from ntupleml.scoring.lwtnn_library import library_evaluator

network = read_network(sys.argv[1])
evaluator = library_evaluator(network, network.outputs[0], "nan")
arrays = {name: np.array(values) for name, values in json.loads(sys.argv[2]).items()}
found = evaluator.evaluate(arrays)
print(json.dumps([part.tolist() for part in found] if evaluator.per_step else found.tolist()))
"""


@pytest.fixture
def prefix(tmp_path: Path) -> Path:
    """What a user has in LWTNN_PREFIX; the library is one of Python's own, as the stand-in needs none."""
    for name, text in {
        "config.hh": CONFIG,
        "LightweightNeuralNetwork.hh": NETWORK,
        "LightweightGraph.hh": GRAPH,
        "parse_json.hh": '#include "lwtnn/config.hh"',
    }.items():
        path = tmp_path / "include" / "lwtnn" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (tmp_path / "lib").mkdir()
    library = importlib.util.find_spec("_ctypes")
    assert library is not None
    assert library.origin is not None
    (tmp_path / "lib" / "liblwtnn.so").symlink_to(library.origin)
    return tmp_path


def evaluate(prefix: Path, network: dict[str, object], arrays: dict[str, object]) -> list[list[float]]:
    path = prefix / "network.json"
    path.write_text(json.dumps(network))
    command = [sys.executable, "-c", PROGRAM, str(path), json.dumps(arrays)]
    environment = {**os.environ, "LWTNN_PREFIX": str(prefix)}
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=120)
    assert result.returncode == 0, result.stderr
    found: list[list[float]] = json.loads(result.stdout)
    return found


def variables(*names: str, **more: float) -> list[dict[str, object]]:
    return [{"name": name, "offset": 0, "scale": 1, **more} for name in names]


def test_groups_and_sequences_reach_a_graph(prefix: Path) -> None:
    """Two events of 2 and 0 steps; the third step is padding and must not arrive."""
    width = {"type": "input", "size": 2, "sources": [0]}
    nodes = [width, {"type": "input_sequence", "size": 2, "sources": [0]}, {"type": "sum", "sources": [1]}]
    network = {
        "inputs": [{"name": "event", "variables": variables("x", "y", default=5)}],
        "input_sequences": [{"name": "tracks", "variables": variables("y", "x")}],
        "nodes": [*nodes, {"type": "add", "sources": [0, 2]}],
        "layers": [],
        "outputs": {"out": {"labels": ["sum", "number"], "node_index": 3}},
    }
    steps = [[[1, 2], [3, 4], [9, 9]], [[9, 9], [9, 9], [9, 9]]]
    arrays = {"event": [[1, 2], [float("nan"), 3]], "tracks": steps, "tracks_length": [2, 0]}
    first = 1000 * 1 + 2 + (1 * 1 + 3 * 2) + 1000 * (2 * 1 + 4 * 2)
    assert evaluate(prefix, network, arrays) == [[first, 4], [1000 * 5 + 3, 0]]


def test_scores_for_each_step(prefix: Path) -> None:
    """Three events of 2, 0 and 1 steps: their rows one after the other, and their numbers."""
    network = {
        "inputs": [],
        "input_sequences": [{"name": "tracks", "variables": variables("y", "x")}],
        "nodes": [{"type": "input_sequence", "size": 2, "sources": [0]}],
        "layers": [],
        "outputs": {"out": {"labels": ["sum", "number"], "node_index": 0}},
    }
    steps = [[[1, 2], [3, 4]], [[9, 9], [9, 9]], [[5, 6], [9, 9]]]
    rows, lengths = evaluate(prefix, network, {"tracks": steps, "tracks_length": [2, 0, 1]})
    assert rows == [[2001, 0], [4003, 1], [6005, 0]]
    assert lengths == [2, 0, 1]


def test_sequential_form(prefix: Path) -> None:
    network = {"inputs": variables("y", "x"), "layers": [], "outputs": ["sum", "number"]}
    assert evaluate(prefix, network, {"variables": [[1, 2], [3, 4]]}) == [[2001, 0], [4003, 0]]
