"""Read and score the held-out events of a training, and nothing else: takes its config and the testing config."""

from __future__ import annotations

import sys

from ntupleml.testing.preparation import prepare, tested_events

print(len(tested_events(prepare(sys.argv[1], sys.argv[2], "all", all_methods=True))))
