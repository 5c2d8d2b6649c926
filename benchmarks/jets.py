#!/usr/bin/env python3
"""Rows per second of jets with their constituents in slots, against a bare script with uproot and awkward.

Events are made up by `tools/calratio_events.py`.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from support.measuring import median_costs, run_in_folder, table

PROJECT = Path(__file__).resolve().parents[1]
SCRIPT, CONFIGS = PROJECT / "dataset" / "convert.py", PROJECT / "configs" / "calratio" / "reference"
PEER = Path(__file__).parent / "support" / "bare_jets.py"
#: Rows per second of CalRatioTrainer, at best, on a machine that did nothing else.
ORIGINAL = 1_780
#: What the same table may cost at most, relative to the bare script, processor time.
LIMIT = 1.0


def main(events: int, repetitions: int, folder: Path) -> int:
    """Print the table; 1 if the limit is exceeded, or the numbers differ."""
    subprocess.run([sys.executable, PROJECT / "tools/calratio_events.py", folder, "--events", str(events)], check=True)
    ntuple = folder / "qcd.root"
    ours = [sys.executable, SCRIPT, ntuple, "-O", "-v", CONFIGS / "qcd.yaml"]
    unscaled = ["-v", folder / "unscaled.yaml"]
    text = (CONFIGS / "unscaled.yaml").read_text()
    (folder / "unscaled.yaml").write_text(text.replace("  jet_isClean_LooseBadLLP: jet_isClean_LooseBadLLP\n", ""))
    bare, same, scaled = "bare uproot and awkward", "convert.py, the same table", "convert.py, scaled"
    costs = median_costs(
        {
            bare: [sys.executable, PEER, ntuple, folder / "bare.parquet"],
            same: [*ours, "-s", folder / "unscaled.parquet", *unscaled],
            scaled: [*ours, "-s", folder / "scaled.parquet"],
        },
        repetitions,
    )
    rows = pq.read_metadata(folder / "scaled.parquet").num_rows
    print(f"{events:,} events, {rows:,} jets, medians of {repetitions}")
    print(table(costs, bare))
    for what, seconds in (("processor time", costs[scaled].cpu), ("time", costs[scaled].wall)):
        speed = rows / seconds
        print(f"{speed:,.0f} rows per second of {what}; CalRatioTrainer {ORIGINAL:,}: {speed / ORIGINAL:.1f} times")
    ratio = costs[same].cpu / costs[bare].cpu
    print(f"convert.py / bare script: {ratio:.2f} (limit {LIMIT})")
    found, expected = (pq.read_table(folder / f"{name}.parquet") for name in ("unscaled", "bare"))
    names = {"jet_pT": "jet_pt"} | {f"track_pT_{slot}": f"track_pt_{slot}" for slot in range(20)}
    different = [
        name
        for name in expected.column_names
        if not np.allclose(found[names.get(name, name)], expected[name], rtol=1e-12, atol=1e-12)
    ]
    print(f"columns that differ from those of the bare script: {', '.join(different) or 'none'}")
    return int(ratio > LIMIT or bool(different))


if __name__ == "__main__":
    run_in_folder(main, __doc__, events=100_000, repetitions=3)
