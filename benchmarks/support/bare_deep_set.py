"""The peer of the benchmark of deep sets: jagged columns read with uproot, padded with NumPy, the session run.

Takes the ROOT file and the ONNX file.
"""

from __future__ import annotations

import sys

import awkward as ak
import numpy as np
import onnxruntime
import uproot

BRANCHES = [f"Jet_{name}" for name in ("pt", "eta", "phi", "btag")]
SLOTS, BATCH = 12, 2_000

options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
session = onnxruntime.InferenceSession(sys.argv[2], options)
for columns in uproot.iterate({sys.argv[1]: "Events"}, [*BRANCHES, "event"], step_size=100_000, library="ak"):
    counts = ak.to_numpy(ak.num(columns[BRANCHES[0]]))
    kept = np.minimum(counts, SLOTS)
    rows = np.repeat(np.arange(len(counts)), kept)
    slots = np.arange(len(rows)) - np.repeat(np.cumsum(kept) - kept, kept)
    places = np.repeat(np.cumsum(counts) - counts, kept) + slots
    jets = np.zeros((len(counts), SLOTS, len(BRANCHES)), np.float32)
    for index, name in enumerate(BRANCHES):
        jets[rows, slots, index] = ak.to_numpy(ak.flatten(columns[name]))[places]
    lengths = kept.astype(np.int64)
    for start in range(0, len(counts), BATCH):
        batch = slice(start, start + BATCH)
        session.run(None, {"jets": jets[batch], "jets_length": lengths[batch]})
