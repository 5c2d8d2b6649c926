"""Give commands many events, and look at the memory that they take and at what they write.

    python tools/size_campaign.py --events 2000000,100000000 --folder /scratch [COMMAND ...]

An ntuple of eight numbers and the event number is made for each number of events; a network and a forest, which were
trained on a few of them, score it, and so on. The memory is what all processes of a command have together, 20 times per
second (PSS), or the peak of one (VmHWM) if that is more; it must stay below a gigabyte and not grow with the events. Of
what is written the numbers of entries and sums are compared with those known from the making, and scores of many places
with those that ONNX Runtime and XGBoost give from the columns as they were made. The exit status is 1 where any of this
fails. 100,000,000 events need 20 GB on disk.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import uproot
import yaml

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

TOP = Path(__file__).resolve().parents[1]
VARIABLES = [f"v{index}" for index in range(8)]
CLASSES = ["signal", "background"]
#: What decides the class.
CUTS = {"signal": "v0 > 0", "background": "v0 <= 0"}
CLUSTER = 250_000
TRAINED = 20_000
#: Megabytes that a command may take, and how much more for the largest ntuple than for the smallest.
LIMIT, GROWTH = 1000, 100
#: Places of a file at which scores are compared, and rows of each.
PLACES, ROWS = 40, 2_000


def columns(start: int, stop: int) -> dict[str, NDArray[Any]]:
    """Columns of a cluster of events."""
    random = np.random.default_rng([1, start])
    values = random.standard_normal((len(VARIABLES), stop - start), dtype=np.float32)
    values[1] += 0.5 * values[0]
    return {**dict(zip(VARIABLES, values, strict=True)), "event": np.arange(start, stop)}


def write_ntuple(path: Path, events: int) -> int:
    """Write an ntuple, cluster by cluster, not packed; the number of signal events."""
    path.parent.mkdir(parents=True, exist_ok=True)
    signal = 0
    with uproot.recreate(path, compression=None) as file:
        tree = file.mktree("events", {**dict.fromkeys(VARIABLES, "f4"), "event": "i8"})
        for start in range(0, events, CLUSTER):
            cluster = columns(start, min(start + CLUSTER, events))
            signal += int((cluster["v0"] > 0).sum())
            tree.extend(cluster)
    return signal


def prepare(folder: Path) -> None:
    """Configs, and the models of a few events."""
    write_ntuple(folder / "few.root", TRAINED)
    dataset = {
        "output_path": "folds",
        "output_filename": "d.root",
        "tree_path": "events",
        "event_branch": "event",
        "processes": {name: {"files": ["few.root"], "cut_string": cut} for name, cut in CUTS.items()},
    }
    training = {
        "output_path": "models",
        "datasets": ["folds/fold0_d.root", "folds/fold1_d.root"],
        "classes": CLASSES,
        "variables": VARIABLES,
        "model": {"hidden": [16], "epochs": 2},
        "boosted_trees": [{"name": "forest", "type": "xgboost", "rounds": 50}],
    }
    of_all = {name: {"files": ["all/all.root"], "cut_string": cut} for name, cut in CUTS.items()}
    configs = {
        "few": dataset,
        "dataset": {**dataset, "output_path": "all", "processes": of_all},
        "training": training,
        "testing": {"method": "keras", "histograms": {"regions": {"sr": "v2 > -100"}}, "signals": ["signal"]},
        "of-all": {**training, "datasets": ["all/fold0_d.root", "all/fold1_d.root"]},
        "forest": {"method": "forest", "output_directory": "friends"},
        "network": {"output_directory": "friends"},
        "columns": {"tree_path": "events", "variables": ["event", "v0", {"sum": "v1 + v2"}]},
    }
    for name, content in configs.items():
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(content))
    for arguments in (
        ["dataset/create_training_dataset.py", "few.yaml"],
        ["training/keras_training.py", "training.yaml", "all"],
        ["training/bdt_training.py", "training.yaml", "all"],
    ):
        run(arguments, folder)


class Cost(NamedTuple):
    """Seconds of processor time and of waiting, and megabytes."""

    cpu: float
    wall: float
    memory: float


def run(arguments: list[str], folder: Path) -> Cost:
    """Run a script; what it cost."""
    start, memory = time.monotonic(), 0.0
    cpu: dict[int, float] = {}
    with (folder / "log.txt").open("wb") as log:
        command = [sys.executable, str(TOP / arguments[0]), *arguments[1:]]
        process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log)
        while process.poll() is None:
            together = 0.0
            for number in descendants(process.pid):
                with suppress(OSError):  # it has just ended
                    shared, peak, cpu[number] = _memory_and_cpu(number)
                    together += shared
                    memory = max(memory, peak)
            memory = max(memory, together)
            time.sleep(0.05)
    if process.returncode != 0:
        text = (folder / "log.txt").read_text()[-1000:]
        raise RuntimeError(f"{' '.join(arguments)}: status {process.returncode}: {text}")
    return Cost(sum(cpu.values()), time.monotonic() - start, memory)


def descendants(number: int) -> list[int]:
    """A process and all that it started."""
    try:
        children = [path.read_text() for path in Path(f"/proc/{number}/task").glob("*/children")]
    except OSError:
        children = []  # it has just ended
    return [number, *(one for text in children for child in text.split() for one in descendants(int(child)))]


def _memory_and_cpu(number: int) -> tuple[float, float, float]:
    """Megabytes of a process by now, of shared ones its part, and at most so far; seconds of processor time."""
    place = Path(f"/proc/{number}")
    fields = {
        line.split()[0]: line.split()[1] for line in (place / "status").read_text().splitlines() if line[:2] == "Vm"
    }
    parts = [line.split()[1] for line in (place / "smaps_rollup").read_text().splitlines() if line.startswith("Pss:")]
    times = (place / "stat").read_text().rpartition(")")[2].split()
    return sum(map(int, parts)) / 1000, int(fields.get("VmHWM:", 0)) / 1000, (int(times[11]) + int(times[12])) / 100


@cache
def _models(folder: Path, method: str) -> list[Any]:
    if method == "forest":
        import xgboost

        return [xgboost.Booster(model_file=folder / "models" / f"fold{fold}_forest_model.json") for fold in (0, 1)]
    import onnxruntime

    return [onnxruntime.InferenceSession(folder / "models" / f"fold{fold}_keras_model.onnx") for fold in (0, 1)]


def expected(folder: Path, method: str, events: dict[str, NDArray[Any]]) -> NDArray[np.float32]:
    """Scores of events by the libraries themselves: an event that is even is scored by the model of the odd ones."""
    matrix = np.stack([events[name] for name in VARIABLES], axis=1)
    fold_of_model = (events["event"] + 1) % 2
    both = []
    for model in _models(folder, method):
        if method == "forest":
            second = model.inplace_predict(matrix)
            both.append(np.stack([1 - second, second], axis=1))
        else:
            both.append(model.run(["scores"], {"variables": matrix})[0])
    return np.where(fold_of_model[:, None] == 0, both[0], both[1])


def places(events: int) -> list[int]:
    """First entries of places that are looked at: the beginning, the end, and random ones."""
    last = max(events - ROWS, 0)
    return sorted({0, last, *np.random.default_rng(3).integers(0, last + 1, PLACES).tolist()})


def check_scores(folder: Path, path: Path, events: int, method: str, *, whole: bool = False) -> None:
    """Compare a file of scores with what the models give; `whole` files have all columns as well."""
    with uproot.open(path) as file:
        tree = file[file.keys(cycle=False)[0]]
        if tree.num_entries != events:
            raise ValueError(f"{tree.num_entries:,} entries, not {events:,}")
        names = [next(one for one in tree.keys(recursive=False) if one.endswith(name)) for name in CLASSES]
        for start in places(events):
            stop = min(start + ROWS, events)
            first = start - start % CLUSTER
            made = [columns(at, min(at + CLUSTER, events)) for at in range(first, stop, CLUSTER)]
            rows = slice(start - first, stop - first)
            known = {name: np.concatenate([one[name] for one in made])[rows] for name in (*VARIABLES, "event")}
            found = tree.arrays([*names, *(known if whole else ())], entry_start=start, entry_stop=stop, library="np")
            for name, values in known.items():
                if whole and not np.array_equal(found[name], values):
                    raise ValueError(f"{name} is another at {start:,}")
            scores = np.stack([found[name] for name in names], axis=1)
            np.testing.assert_allclose(scores, expected(folder, method, known), atol=1e-6)


def check_table(folder: Path, events: int) -> None:
    """A score table with all event numbers, in order."""
    import pyarrow.parquet

    file, start = pyarrow.parquet.ParquetFile(folder / "scores.parquet"), 0
    for batch in file.iter_batches(250_000, columns=["event"]):
        if not np.array_equal(batch["event"].to_numpy(), np.arange(start, start + len(batch))):
            raise ValueError(f"events after {start:,} are others")
        start += len(batch)
    if start != events:
        raise ValueError(f"{start:,} events, not {events:,}")


def check_conversion(folder: Path, events: int) -> None:
    """An HDF5 table with all event numbers, in order."""
    import h5py

    with h5py.File(folder / "table.h5") as file:
        numbers = file["events/event"]
        for start in range(0, max(events, len(numbers)), CLUSTER):
            if not np.array_equal(numbers[start : start + CLUSTER], np.arange(start, min(start + CLUSTER, events))):
                raise ValueError(f"events after {start:,} are others")


def check_folds(folder: Path, events: int, signal: int) -> None:
    """Fold files with each event once, in the fold of its number."""
    entries = dict.fromkeys(CLASSES, 0)
    for fold in (0, 1):
        total = 0
        with uproot.open(folder / "all" / f"fold{fold}_d.root") as file:
            for name in CLASSES:
                entries[name] += file[name].num_entries
                for part in file[name].iterate(["event"], step_size=CLUSTER, library="np"):
                    if np.any(part["event"] % 2 != fold):
                        raise ValueError(f"fold {fold} has events of the other")
                    total += int(part["event"].sum())
        if total != sum(range(fold, events, 2)):
            raise ValueError(f"event numbers of fold {fold} add up to {total}")
    if entries != {"signal": signal, "background": events - signal}:
        raise ValueError(f"{entries}, not {signal:,} and {events - signal:,}")


def check_histograms(folder: Path, events: int, signal: int) -> None:
    """Histograms with each event once."""
    with uproot.open(folder / "hist.root") as file:
        found = {name: float(file[f"sr/{name}"].values(flow=True).sum()) for name in CLASSES}
    if found != {"signal": signal, "background": events - signal}:
        raise ValueError(f"{found}, not {signal:,} and {events - signal:,}")


FRIEND = Path("friends/all/all.root")
SCRIPT = "application/keras_application"
NETWORK = ["few.yaml", "training.yaml", "network.yaml"]
FOREST = ["few.yaml", "training.yaml", "forest.yaml"]
ALL = ["all/all.root", "events"]


class Command(NamedTuple):
    """A command, and the look at what it wrote, by folder, events and signal events."""

    arguments: list[str]
    check: Callable[[Path, int, int], None]
    #: Files that are not needed after it.
    written: list[str]


COMMANDS = {
    "friend": Command(
        [f"{SCRIPT}_friend.py", *NETWORK, *ALL],
        lambda folder, events, _: check_scores(folder, folder / FRIEND, events, "keras"),
        ["friends"],
    ),
    "friend-of-forest": Command(
        ["application/bdt_application.py", *FOREST, *ALL, "--friend"],
        lambda folder, events, _: check_scores(folder, folder / FRIEND, events, "forest"),
        ["friends"],
    ),
    "in-place": Command(
        [f"{SCRIPT}.py", *NETWORK, "copy/all.root", "events"],
        lambda folder, events, _: check_scores(folder, folder / "copy/all.root", events, "keras", whole=True),
        ["copy"],
    ),
    "score-table": Command(
        ["application/score_table.py", *NETWORK, *ALL, "-o", "scores.parquet"],
        lambda folder, events, _: check_table(folder, events),
        ["scores.parquet"],
    ),
    "convert": Command(
        ["dataset/convert.py", "-v", "columns.yaml", "-s", "table.h5", "all/all.root"],
        lambda folder, events, _: check_conversion(folder, events),
        ["table.h5"],
    ),
    "inspect": Command(["dataset/inspect_ntuple.py", "all/all.root"], lambda *_: None, []),
    "dataset": Command(["dataset/create_training_dataset.py", "dataset.yaml", "--overwrite"], check_folds, []),
    "histograms": Command(
        ["testing/histograms.py", "of-all.yaml", "testing.yaml", "--output", "hist.root", "--overwrite"],
        check_histograms,
        ["hist.root", "all/fold0_d.root", "all/fold1_d.root", "all/fold0_d.json", "all/fold1_d.json"],
    ),
}


def campaign(events: int, names: list[str], folder: Path) -> dict[str, Cost]:
    """Let commands work on an ntuple; what each cost."""
    signal = write_ntuple(folder / "all" / "all.root", events)
    costs = {}
    for name in names:
        command = COMMANDS[name]
        if name == "in-place":  # what is scored in place is written anew: the link stays what it was
            (folder / "copy").mkdir()
            (folder / "copy/all.root").hardlink_to(folder / "all/all.root")
        costs[name] = run(command.arguments, folder)
        command.check(folder, events, signal)
        for path in (folder / one for one in command.written):
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        print(
            f"{name:18}{events:>14,}{costs[name].cpu:>10.1f}{costs[name].wall:>10.1f}{costs[name].memory:>8.0f}",
            flush=True,
        )
    return costs


def main() -> int:
    """Run the campaign and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("commands", nargs="*", metavar="COMMAND", help=", ".join(COMMANDS))
    parser.add_argument("--events", default="2000000,20000000", help="of each ntuple, with commas between")
    parser.add_argument("--folder", type=Path, help="where the files lie meanwhile")
    arguments = parser.parse_args()
    numbers = sorted(int(text) for text in arguments.events.split(","))
    print(f"{'command':18}{'events':>14}{'CPU (s)':>10}{'wall (s)':>10}{'MB':>8}")
    with tempfile.TemporaryDirectory(dir=arguments.folder) as place:
        prepare(Path(place))
        costs = [campaign(number, arguments.commands or list(COMMANDS), Path(place)) for number in numbers]
    too_much = [
        name for name, most in costs[-1].items() if most.memory > LIMIT or most.memory - costs[0][name].memory > GROWTH
    ]
    for name in too_much:
        print(f"{name}: {costs[0][name].memory:.0f} MB, then {costs[-1][name].memory:.0f} MB")
    return int(bool(too_much))


if __name__ == "__main__":
    sys.exit(main())
