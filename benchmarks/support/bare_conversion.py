"""The peer of the benchmark of converting: jagged columns read with uproot, padded with NumPy, written with h5py.

Takes the ROOT file and the HDF5 file.
"""

from __future__ import annotations

import sys

import awkward as ak
import h5py
import numpy as np
import uproot

LISTS = [f"jet_{name}" for name in ("pt", "eta", "phi", "e")]
SCALARS = ["eventNumber", "met_met", "met_phi"]
SLOTS = 12

with uproot.open({sys.argv[1]: "nominal"}) as tree, h5py.File(sys.argv[2], "w") as file:
    start, events = 0, tree.num_entries
    for columns in tree.iterate([*LISTS, *SCALARS], step_size=100_000, library="ak"):
        counts = ak.to_numpy(ak.num(columns[LISTS[0]]))
        kept = np.minimum(counts, SLOTS)
        rows = np.repeat(np.arange(len(counts)), kept)
        slots = np.arange(len(rows)) - np.repeat(np.cumsum(kept) - kept, kept)
        places = np.repeat(np.cumsum(counts) - counts, kept) + slots
        written = {name: ak.to_numpy(columns[name]) for name in SCALARS}
        for name in LISTS:
            padded = np.zeros((SLOTS, len(counts)), np.float32)
            padded[slots, rows] = ak.to_numpy(ak.flatten(columns[name]))[places]
            written |= {f"{name}_{slot + 1}": padded[slot] for slot in range(SLOTS)}
        for name, values in written.items():
            if name not in file:
                file.create_dataset(name, (events,), values.dtype)
            file[name][start : start + len(values)] = values
        start += len(counts)
