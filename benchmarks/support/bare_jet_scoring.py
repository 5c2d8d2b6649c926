"""The peer of the benchmark of jets: columns read with uproot, members sorted and padded with NumPy, the session run.

Takes the ROOT file and the ONNX file.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import awkward as ak
import numpy as np
import onnxruntime
import uproot

sys.path.insert(0, str(Path(__file__).parents[1]))
from jet_application import ETA, LOWEST_PT, MEMBERS

if TYPE_CHECKING:
    from numpy.typing import NDArray

BATCH = 1_000


def flat(column: Any) -> NDArray[Any]:
    """Numbers of all events."""
    return ak.to_numpy(ak.flatten(column))


def padded(columns: Any, name: str, jet_counts: NDArray[np.int64], rows: NDArray[np.int64]) -> Any:
    """Array of the members of some jets, the largest first, and how many each jet has."""
    of = MEMBERS[name]
    counts = ak.to_numpy(ak.num(columns[of.index]))
    index = flat(columns[of.index])
    owner = np.repeat(np.cumsum(jet_counts) - jet_counts, counts) + index
    place = np.full(jet_counts.sum(), -1)
    place[rows] = np.arange(len(rows))
    row = np.where(index < 0, -1, place[owner])
    members = np.flatnonzero(row >= 0)
    values = {branch: flat(columns[branch]) for branch in of.branches}
    members = members[np.lexsort((-values[of.branches[0]][members], row[members]))]
    row = row[members]
    numbers = np.bincount(row, minlength=len(rows))
    first = np.cumsum(numbers) - numbers
    slot = np.arange(len(members)) - first[row]
    kept = slot < of.length
    array = np.zeros((len(rows), of.length, len(of.branches)), np.float32)
    for column, branch in enumerate(of.branches):
        of_members = values[branch][members]
        if branch in of.angles:
            of_members = of_members - of_members[first[row]]
            if branch.endswith("phi"):
                of_members = of_members - 2 * np.pi * np.ceil((of_members - np.pi) / (2 * np.pi))
        array[row[kept], slot[kept], column] = of_members[kept]
    return array, np.minimum(numbers, of.length)


def main(path: str, model: str) -> None:
    """Read and score, and keep nothing."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model, options)
    jets = ["jet_pt", "jet_eta", "jet_phi"]
    branches = [*jets, *(name for one in MEMBERS.values() for name in (*one.branches, one.index)), "event"]
    for columns in uproot.iterate({path: "Events"}, branches, step_size=5_000, library="ak"):
        counts = ak.to_numpy(ak.num(columns["jet_pt"]))
        of_jets = np.stack([flat(columns[name]) for name in jets], axis=1)
        rows = np.flatnonzero((of_jets[:, 0] > LOWEST_PT) & (abs(of_jets[:, 1]) < ETA))
        arrays = {"jet": of_jets[rows]}
        for name in MEMBERS:
            arrays[name], arrays[f"{name}_length"] = padded(columns, name, counts, rows)
        for start in range(0, len(rows), BATCH):
            batch = slice(start, start + BATCH)
            session.run(None, {name: array[batch] for name, array in arrays.items()})


main(*sys.argv[1:])
