"""The peer of the benchmark of images: the columns read with uproot, the session run, and nothing written.

Takes the ROOT file, the tree, the ONNX file and the columns.
"""

from __future__ import annotations

import sys

import numpy as np
import onnxruntime
import uproot

#: Events that are read, and those that are given to the session at a time.
CHUNK, BATCH = 1_000, 100

path, tree, model, *names = sys.argv[1:]
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
session = onnxruntime.InferenceSession(model, options)
for columns in uproot.iterate({path: tree}, names, step_size=CHUNK, library="np"):
    images = np.stack([columns[name] for name in names], axis=-1)
    for start in range(0, len(images), BATCH):
        session.run(["scores"], {"calo": images[start : start + BATCH]})
