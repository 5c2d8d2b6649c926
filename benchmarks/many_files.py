#!/usr/bin/env python3
"""Many files: two workers against one, what starting them costs, and what handing out a file costs."""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import sys
import tempfile
from pathlib import Path

from support.measuring import cost_of
from support.scoring_setup import TREE, write_configs, write_models, write_ntuple

SCRIPT = Path(__file__).resolve().parents[1] / "application" / "keras_application_friend.py"
#: Wall time of two workers relative to one, on an idle machine of two cores.
LIMIT = 0.6
#: Milliseconds per file that a worker may take longer than a process without one.
LIMIT_PER_FILE = 50
#: Seconds that two workers may take longer for two tiny files than a process without any.
LIMIT_START = 0.5


def main(files: int, events: int, tiny_files: int, repetitions: int, folder: Path) -> int:
    """Print both figures; 1 if a limit is exceeded."""
    write_models(folder / "models")
    configs = write_configs(folder)
    write_links(folder / "large", files, events)
    write_links(folder / "tiny", tiny_files, 10)
    print(f"load before: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    ratios = []
    for _ in range(repetitions):
        wall = {workers: wall_time(folder, configs, "large", workers) for workers in (1, 2)}
        ratios.append(wall[2] / wall[1])
        print(f"{files} files of {events:,} events: {wall[1]:.1f} s with one worker, {wall[2]:.1f} s with two")
    ratio = statistics.median(ratios)
    print(f"two workers / one: {ratio:.2f} (median, limit {LIMIT})")
    with_worker, without = (time_per_file(folder, configs, tiny_files, workers) for workers in (1, 0))
    scheduling = with_worker - without
    print(f"{tiny_files} files of 10 events: {with_worker:.0f} ms per file with a worker, {without:.0f} ms without")
    print(f"scheduling per file: {scheduling:.0f} ms (limit {LIMIT_PER_FILE})")
    with_workers, without = (
        statistics.median(wall_time(folder, configs, "tiny", workers, "[01]") for _ in range(5)) for workers in (2, 0)
    )
    print(f"two tiny files: {with_workers:.2f} s with two workers, {without:.2f} s without (limit {LIMIT_START} more)")
    return int(ratio > LIMIT or scheduling > LIMIT_PER_FILE or with_workers - without > LIMIT_START)


def time_per_file(folder: Path, configs: list[Path], tiny_files: int, workers: int) -> float:
    """Milliseconds per file of next to no events, beyond what starting costs."""
    few, all_files = (wall_time(folder, configs, "tiny", workers, which) for which in ("[0-9]", "*"))
    return 1000 * (all_files - few) / (tiny_files - 10)


def write_links(folder: Path, number: int, events: int) -> None:
    """Write a file, and links to it, each in a folder of its own."""
    first = folder / "0" / "0.root"
    write_ntuple(first, events)
    for index in range(1, number):
        link = folder / str(index) / f"{index}.root"
        link.parent.mkdir()
        link.hardlink_to(first)


def wall_time(folder: Path, configs: list[Path], name: str, workers: int, which: str = "*") -> float:
    """Seconds that scoring the files takes, models and workers started anew."""
    shutil.rmtree(folder / "friends", ignore_errors=True)
    options = ["--workers", workers] if workers else []
    return cost_of([sys.executable, SCRIPT, *configs, folder / name / which / "*.root", TREE, *options]).wall


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=20)
    parser.add_argument("--events", type=int, default=500_000, help="of each of these files")
    parser.add_argument("--tiny-files", type=int, default=200)
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="where the files of the benchmark lie while it runs")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as temporary:
        sys.exit(main(arguments.files, arguments.events, arguments.tiny_files, arguments.repetitions, Path(temporary)))
