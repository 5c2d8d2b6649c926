#!/usr/bin/env python3
"""CPU time of building the fold files of 4,000,000 events, relative to ROOT's RDataFrame.

Four files of 1,000,000 events with 32 branches, as ROOT writes them by default; half of the events pass the cut; two
folds by the parity of the event number; a new weight branch.

The peer is `RDataFrame.Snapshot` in its fastest fair form: one chain of the four files, both folds as lazy snapshots
of one event loop, one thread, default options. (One data frame per file, all run by `RunGraphs`, needs more: eight
snapshots are compiled instead of two.) For information it also runs with the compression that ntupleml uses, and with
the few columns of `branches: needed`.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from support.measuring import median_costs, table

PROJECT = Path(__file__).resolve().parents[1]
FILES = 4
#: What the project promises, as multiples of the peer's CPU time.
LIMITS = {"all": 0.35, "needed": 0.15}
FEW = ("event", "x0", "x1", "training_weight")

WRITE = """
import sys, warnings
warnings.simplefilter("ignore")
import numpy as np, ROOT
events, folder = int(sys.argv[1]), sys.argv[2]
for number in range(4):
    random = np.random.default_rng(number)
    columns = {"event": np.arange(number * events, (number + 1) * events)}
    columns |= {f"x{i}": random.standard_normal(events, dtype=np.float32) for i in range(30)}
    columns["w"] = random.random(events, dtype=np.float32)
    ROOT.RDF.FromNumpy(columns).Snapshot("ntuple", f"{folder}/input{number}.root")
"""

PEER = """
import sys, warnings
warnings.simplefilter("ignore")
import ROOT
folder, compression, *columns = sys.argv[1:]
options = ROOT.RDF.RSnapshotOptions()
options.fLazy = True
if compression == "zstd":
    options.fCompressionAlgorithm = ROOT.RCompressionSetting.EAlgorithm.kZSTD
    options.fCompressionLevel = 1
frame = ROOT.RDataFrame("ntuple", [f"{folder}/input{number}.root" for number in range(4)])
frame = frame.Filter("x0 > 0").Define("training_weight", "(float)(0.1 * w)")
folds = []
for fold in range(2):
    of_fold = frame.Filter(f"event % 2 == {fold}")
    path = f"{folder}/peer{fold}.root"
    folds.append(of_fold.Snapshot("signal", path, columns or "", options))
ROOT.RDF.RunGraphs(folds)
"""

CONFIG = """
output_path: {folder}
output_filename: ntupleml.root
base_path: {folder}
tree_path: ntuple
event_branch: event
training_weight_branch: training_weight
branches: {branches}
variables: [x0, x1]
processes:
  signal:
    files: [input0.root, input1.root, input2.root, input3.root]
    cut_string: x0 > 0
    weight_string: 0.1 * w
"""


def commands(folder: Path) -> dict[str, list[str]]:
    """What is compared, by name."""
    peer = [sys.executable, "-c", PEER, str(folder)]
    found = {
        "Snapshot, all": [*peer, "default"],
        "Snapshot, all, ZSTD(1)": [*peer, "zstd"],
        "Snapshot, needed": [*peer, "default", *FEW],
    }
    for branches in LIMITS:
        config = folder / f"{branches}.yaml"
        config.write_text(CONFIG.format(folder=folder, branches=branches))
        script = PROJECT / "dataset" / "create_training_dataset.py"
        found[f"ntupleml, {branches}"] = [sys.executable, str(script), str(config), "--overwrite"]
    return found


def check_equal(folder: Path) -> None:
    """Compare the last output of both: the same events, in the same order, with the same weights."""
    import numpy as np
    import uproot

    for fold in range(2):
        with (
            uproot.open({folder / f"peer{fold}.root": "signal"}) as peer,
            uproot.open({folder / f"fold{fold}_ntupleml.root": "signal"}) as own,
        ):
            for name in FEW:
                np.testing.assert_array_equal(peer[name].array(library="np"), own[name].array(library="np"))


def main() -> int:
    """Measure and print; exit status 1 if a promise is not kept."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--events", type=int, default=1_000_000, help="events per file (default: %(default)s)")
    parser.add_argument("--repetitions", type=int, default=3, help="runs of each, of which the median counts")
    parser.add_argument("--folder", type=Path, help="where to make the data, 1 GB (default: a temporary folder)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as temporary:
        folder = Path(temporary)
        subprocess.run([sys.executable, "-c", WRITE, str(arguments.events), temporary], check=True)
        sizes: dict[str, float] = {}

        def note_size(name: str) -> None:
            pattern = "fold*_ntupleml.root" if name.startswith("ntupleml") else "peer*.root"
            sizes[name] = sum(path.stat().st_size for path in folder.glob(pattern)) / 1e6

        medians = median_costs(commands(folder), arguments.repetitions, after=note_size)
        check_equal(folder)
    print(f"{FILES} files of {arguments.events:,} events, 32 branches; medians of {arguments.repetitions}")
    print(table(medians, "Snapshot, all"))
    print("output: " + ", ".join(f"{name} {size:.0f} MB" for name, size in sizes.items()))
    is_kept = True
    for branches, limit in LIMITS.items():
        cpu = medians[f"ntupleml, {branches}"].cpu
        ratio = cpu / medians["Snapshot, all"].cpu
        same = cpu / medians["Snapshot, all, ZSTD(1)"].cpu
        print(f"CPU time, branches: {branches}: {ratio:.3f} of Snapshot (limit {limit}); {same:.3f} of it with ZSTD(1)")
        is_kept &= ratio <= limit
    few = medians["ntupleml, needed"].cpu / medians["Snapshot, needed"].cpu
    print(f"CPU time, branches: needed: {few:.3f} of Snapshot with the same columns")
    return 0 if is_kept else 1


if __name__ == "__main__":
    sys.exit(main())
