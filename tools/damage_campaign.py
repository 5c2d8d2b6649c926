"""Damage files in many ways, read each with the toolkit, and count what becomes of it.

    python tools/damage_campaign.py --number 200 --seed 1 [KIND ...]

A kind is a format of events or models, or a command on a damaged ntuple; without names, all are done. Every reading
happens in a process of its own with a limit of time. Outcomes are counted: the same answer as of the whole file,
another one, an error of one line, a traceback, a crash of the process, more than a minute, more than a gigabyte of
memory beyond what the whole file takes. The exit status is 1 where there were tracebacks, crashes, or too much time or
memory. ROOT, whose opinion on what cannot be read takes a process and a second, is asked with `--with-root` only.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from damage import damaged
from damage_kinds import KINDS

from ntupleml.errors import NtuplemlError
from ntupleml.ntuples import root_opinion

if TYPE_CHECKING:
    from damage_kinds import Read

#: Processor time of a reading, and how many times that it may take where others use the machine.
SECONDS, LOADED = 60, 10
MEMORY = 2**30
IMPORTED = (
    "ntupleml.application", "ntupleml.artifacts.keras2_files", "ntupleml.config", "ntupleml.datasets",
    "ntupleml.forests.lightgbm", "ntupleml.forests.xgboost", "ntupleml.frugally_deep.reading",
    "ntupleml.ntuples.appending", "ntupleml.onnx_models.convert", "ntupleml.onnx_models.forest",
    "ntupleml.onnx_models.lwtnn", "ntupleml.onnx_models.tmva_method", "ntupleml.preprocessing",
    "ntupleml.scoring.onnx_graphs", "ntupleml.training.kept_epochs", "awkward", "h5py", "onnxruntime",
    "pyarrow.parquet", "sklearn.preprocessing", "uproot", "uproot.models.RNTuple", "uproot.models.TTree",
)  # fmt: skip
OUTCOMES = ("same", "other", "refused", "traceback", "crash", "time", "memory")


class Outcome(NamedTuple):
    """What became of a reading."""

    kind: str
    #: Digest of the answer, or the message.
    text: str
    #: Most memory in bytes.
    memory: int


def outcome(read: Read, path: Path, *, with_root: bool = False) -> Outcome:
    """Read in a fork, within a limit of processor time."""
    receiver, sender = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(receiver)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
        if not with_root:
            root_opinion._root_reads = _no_opinion
        try:
            answer = ["answer", read(path).hex()]
        except NtuplemlError as error:
            answer = ["refused" if "\n" not in str(error) else "traceback", str(error)]
        except BaseException:
            answer = ["traceback", traceback.format_exc()]
        os.write(sender, json.dumps([answer[0], answer[1][-5_000:]]).encode())
        os._exit(0)
    os.close(sender)
    end = time.monotonic() + LOADED * SECONDS
    while True:
        ended, status, usage = os.wait4(child, os.WNOHANG)
        if ended:
            break
        if time.monotonic() > end:
            os.kill(child, signal.SIGKILL)
            os.wait4(child, 0)
            os.close(receiver)
            return Outcome("time", "", 0)
        time.sleep(0.002)
    with os.fdopen(receiver, "rb") as file:
        content = file.read()
    if os.WIFSIGNALED(status) and usage.ru_utime + usage.ru_stime > SECONDS - 1:
        return Outcome("time", "", usage.ru_maxrss * 1024)
    if status != 0 or not content:
        return Outcome("crash", f"status {status}", usage.ru_maxrss * 1024)
    kind, text = json.loads(content)
    return Outcome(kind, text, usage.ru_maxrss * 1024)


def _no_opinion(place: root_opinion.Place) -> bool | None:  # noqa: ARG001 - it is not asked
    return None


def campaign(name: str, number: int, seed: int, only: int | None = None, *, with_root: bool = False) -> Counter[str]:
    """Damage a file of a kind many times; how often each outcome came."""
    for module in IMPORTED:  # once, not in every fork
        importlib.import_module(module)
    counts: Counter[str] = Counter()
    kind = KINDS[name]
    with tempfile.TemporaryDirectory() as folder:
        whole = kind.make(Path(folder) / name)
        content = whole.read_bytes()
        for index in [-1, *([only] if only is not None else range(number))]:
            place = Path(folder) / "damaged" / name
            shutil.rmtree(place.parent, ignore_errors=True)
            place.parent.mkdir()
            random = np.random.default_rng([seed, *name.encode(), max(index, 0)])
            place.write_bytes(content if index < 0 else damaged(content, random))
            found = outcome(kind.read, place, with_root=with_root)
            if index < 0:
                if found.kind != "answer":
                    raise RuntimeError(f"{name}: the whole file: {found}")
                reference = found
                continue
            what = found.kind if found.kind != "answer" else "same" if found.text == reference.text else "other"
            if found.memory > reference.memory + MEMORY:
                what = "memory"
            counts[what] += 1
            if what == "other" and only is None:
                print(f"{name} {index}: {what}", flush=True)
            elif what not in OUTCOMES[:3] or only is not None:
                print(f"{name} {index}: {what}: {found.text[-1500:]} ({found.memory / 1e6:.0f} MB)", flush=True)
    return counts


def main() -> int:
    """Run campaigns and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kinds", nargs="*", metavar="KIND", help=", ".join(KINDS))
    parser.add_argument("--number", type=int, default=200, help="of damaged files of each kind")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", type=int, help="index of the one file to look at")
    parser.add_argument("--with-root", action="store_true", help="ask ROOT about what uproot cannot read")
    arguments = parser.parse_args()
    failed = 0
    print(f"{'kind':20}", *(f"{one:>9}" for one in OUTCOMES))
    for name in arguments.kinds or KINDS:
        counts = campaign(name, arguments.number, arguments.seed, arguments.only, with_root=arguments.with_root)
        failed += sum(counts[one] for one in OUTCOMES[3:])
        print(f"{name:20}", *(f"{counts[one]:9}" for one in OUTCOMES), flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
