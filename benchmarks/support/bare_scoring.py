"""The peer of the application's benchmarks: the columns read with uproot, the session run, and nothing written.

Takes the ROOT file and the ONNX file.
"""

from __future__ import annotations

import sys

import numpy as np
import onnxruntime
import uproot

VARIABLES = [f"variable_{index}" for index in range(30)]
BATCH = 10_000

options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
session = onnxruntime.InferenceSession(sys.argv[2], options)
for columns in uproot.iterate({sys.argv[1]: "ntuple"}, [*VARIABLES, "event"], step_size=100_000, library="np"):
    matrix = np.stack([columns[name] for name in VARIABLES], axis=1)
    for start in range(0, len(matrix), BATCH):
        session.run(None, {"variables": matrix[start : start + BATCH]})
