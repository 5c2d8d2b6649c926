"""Run mixed commands for a long time, in one Python process and in new ones, and look for what grows.

    python tools/soak.py --minutes 30 [KIND ...]

A small analysis in a temporary folder is done again and again: through the Python interface, by the verbs of the
command `ntupleml` in this process, and by commands that are started. After each, this process's memory (RSS, after
Python's garbage and what the C library keeps are given back), open files, threads, child processes, figures of
matplotlib, temporary and hidden files and the size of the folder are looked at. A table shows what each kind has added
since the warm-up, the first quarter of the time. The exit status is 1 where anything but memory has grown, or memory by
more than 5 %.
"""

from __future__ import annotations

import argparse
import atexit
import ctypes
import gc
import io
import logging
import os
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import redirect_stdout
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import yaml
from campaign_commands import DATASET, FRIEND, INPUTS, KERAS, ONNX, SCORE, SCORE_TABLE, TABLE, TOP, TREES, prepare
from kill_campaign import hidden

if TYPE_CHECKING:
    from collections.abc import Callable

#: Growth of the memory that is no fault, as part of it.
ALLOWED = 0.05
#: Of how many rounds one has the commands that are started, which take most of the time.
STARTED_EVERY = 5
#: Steps of the testing stage of which figures are drawn.
STEPS = ("roc", "confusion", "calibration", "score_distributions", "significance")


class State(NamedTuple):
    """What could grow."""

    #: Memory in MB.
    rss: float
    files: int
    threads: int
    children: int
    figures: int
    #: Temporary and hidden files.
    temporary: int
    #: Size of the folder in kB.
    kilobytes: int


def state(folder: Path, temporary: Path) -> State:
    """What this process has and has left."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    plots = sys.modules.get("matplotlib.pyplot")
    process = Path("/proc/self")
    return State(
        int((process / "statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6,
        len(list((process / "fd").iterdir())),
        len(list((process / "task").iterdir())),
        sum(len((task / "children").read_text().split()) for task in (process / "task").iterdir()),
        len(plots.get_fignums()) if plots is not None else 0,
        len(list(temporary.rglob("*"))) + len(hidden(folder)),
        sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) // 1000,
    )


def _tested() -> None:
    from ntupleml import test

    tested = test("trees.yaml", "testing.yaml", 0)
    for step in set(STEPS) & set(tested.steps):
        tested[step].figure()


def _scored() -> None:
    from ntupleml import load_model, read_events

    events = read_events("training.yaml", 0)
    variables = next(iter(events.inputs.values()))
    model = load_model("training.yaml")
    model.score({"x": variables[:, 0], "y": variables[:, 1]}, event=range(len(variables)))
    load_model("model.onnx").score(variables)


def _stage(name: str, *arguments: object, **options: object) -> None:
    import ntupleml

    getattr(ntupleml, name)(*arguments, **options)


def _verb(*arguments: str) -> None:
    from ntupleml.cli import main

    with redirect_stdout(io.StringIO()):
        status = main([*arguments, "--quiet"])
    if status != 0:
        raise RuntimeError(f"{' '.join(arguments)}: status {status}")


def _started(arguments: list[str]) -> None:
    command = [sys.executable, str(TOP / arguments[0]), *arguments[1:]]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(arguments)}: status {done.returncode}: {done.stderr[-1000:]}")


_APPLIED = (None, None, "application.yaml", ["[ab]/*.root"], "events")
_FOLDER = {"output_directory": "out", "overwrite": True}
KINDS: dict[str, Callable[[], None]] = {
    "create_datasets": partial(_stage, "create_datasets", "dataset.yaml", overwrite=True),
    "train network": partial(_stage, "train", "training.yaml", overwrite=True),
    "train trees": partial(_stage, "train", "trees.yaml", 0, method="hist", overwrite=True),
    "test": _tested,
    "load_model": _scored,
    "apply friend": partial(_stage, "apply", *_APPLIED, kind="onnx", friend=True, **_FOLDER),
    "apply workers": partial(_stage, "apply", *_APPLIED, kind="onnx", friend=True, workers=2, **_FOLDER),
    "apply in place": partial(_stage, "apply", *_APPLIED, kind="onnx", overwrite=True),
    "inspect": partial(_verb, "inspect", "a/a.root"),
    "convert": partial(_verb, "convert", *TABLE[1:]),
    "score-table": partial(
        _verb, "score-table", *SCORE_TABLE[1:], *INPUTS, "events", "-o", "scores.parquet", "--overwrite"
    ),
    "histograms": partial(_verb, "histograms", "trees.yaml", "histograms.yaml", "0", "--overwrite"),
    "report": partial(_verb, "report", "trees.yaml", "testing.yaml", "0", "--output", "report.html", "--overwrite"),
    "tune": partial(_verb, "tune", "trees.yaml", "--folds", "0", "--overwrite"),
    "convert-to-onnx": partial(_verb, "convert-to-onnx", *ONNX[1:]),
    "started dataset": partial(_started, DATASET),
    "started training": partial(_started, KERAS),
    "started friend": partial(_started, [*FRIEND, "--workers", "2", *INPUTS[2:], "events"]),
    "started in place": partial(_started, [*SCORE, "--overwrite", "b/b.root", "events"]),
}


def soak(seconds: float, chosen: list[str], place: Path) -> tuple[list[tuple[str, State]], State]:
    """Run kinds of commands in turn for a time; what each had added at its end, after the warm-up; the state before."""
    changes, warm = list[tuple[str, State]](), None
    folder, temporary = place / "analysis", place / "temporary"
    for made in (folder, temporary):
        made.mkdir()
    tempfile.tempdir = os.environ["TMPDIR"] = str(temporary)
    os.chdir(folder)
    prepare(folder, 2000)
    (folder / "histograms.yaml").write_text(yaml.safe_dump({"method": "hist", "histograms": {"bins": 10}}))
    for before in (DATASET, TREES, ONNX, KERAS):
        _started(before)
    began, last, rounds = time.monotonic(), state(folder, temporary), 0
    while not changes or time.monotonic() - began < seconds:
        rounds += 1
        for kind in chosen:
            if kind.startswith("started") and len(chosen) > 1 and rounds % STARTED_EVERY != 1:
                continue
            KINDS[kind]()
            now = state(folder, temporary)
            if warm is not None:
                changes.append((kind, State(*(after - before for after, before in zip(now, last, strict=True)))))
            last = now
        print(f"{time.monotonic() - began:6.0f} s {last}", flush=True)
        if warm is None and time.monotonic() - began > seconds / 4:
            warm = last
    return changes, warm


def main() -> int:
    """Run commands and print what they add."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kinds", nargs="*", metavar="KIND", help=", ".join(KINDS))
    parser.add_argument("--minutes", type=float, default=30)
    arguments = parser.parse_args()
    logging.getLogger("ntupleml").setLevel(logging.WARNING)
    place = Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, place, ignore_errors=True)  # after the end of what multiprocessing keeps there
    changes, warm = soak(60 * arguments.minutes, arguments.kinds or list(KINDS), place)
    print(f"\n{'kind':18} {'runs':>5} {'MB':>8} {'MB a run':>9} " + " ".join(f"{one:>9}" for one in State._fields[1:]))
    for kind in arguments.kinds or KINDS:
        own = [change for name, change in changes if name == kind]
        added = [sum(values) for values in zip(*own, strict=True)] or [0] * len(State._fields)
        each = added[0] / max(len(own), 1)
        print(f"{kind:18} {len(own):5} {added[0]:8.1f} {each:9.3f} " + " ".join(f"{one:9}" for one in added[1:]))
    total = State(*(sum(values) for values in zip(*(change for _, change in changes), strict=True)))
    print(f"{len(changes)} runs: memory {warm.rss:.0f} MB after the warm-up, {warm.rss + total.rss:.0f} MB at the end")
    grown = [name for name, value in zip(State._fields[1:], total[1:], strict=True) if value > 0]
    if total.rss > ALLOWED * warm.rss:
        grown.append("memory")
    print(f"grown: {', '.join(grown) or 'nothing'}")
    return 1 if grown else 0


if __name__ == "__main__":
    sys.exit(main())
