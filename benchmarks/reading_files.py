#!/usr/bin/env python3
"""Cost of reading HDF5 and Parquet files, and batches of images, against bare h5py and pyarrow in the same chunks."""

from __future__ import annotations

import statistics
import time
from typing import TYPE_CHECKING

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from support.measuring import run_in_folder

from ntupleml.config.inputs import ImageConfig
from ntupleml.events.groups import groups_of
from ntupleml.events.reading import read_events
from ntupleml.ntuples import open_ntuple

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

NUMBERS = tuple(f"x{index}" for index in range(20))
IMAGE = (4, 8)
#: Images of a calorimeter, their channels, and the events that are read and given to a network at a time.
CALORIMETER, CHANNELS = (50, 64), ("cluster", "SK", "VorSK", "CSSK")
_IMAGES_PER_CHUNK, _BATCH = 256, 64
#: What reading may cost at most, relative to the library, processor time.
LIMIT = 1.3
_CHUNK = 100_000


def write_files(folder: Path, events: int) -> dict[str, Path]:
    """Write numbers and an image per event, and lists of six numbers on average."""
    random = np.random.default_rng(1)
    # steps of 1/16, so that there is something to compress
    columns = {name: np.round(16 * random.standard_normal(events, dtype=np.float32)) / 16 for name in NUMBERS}
    image = np.round(16 * random.standard_normal((events, *IMAGE), dtype=np.float32)) / 16
    with h5py.File(folder / "a.h5", "w") as file:
        for name, column in {**columns, "image": image}.items():
            file.create_dataset(
                name, data=column, chunks=(8192, *column.shape[1:]), compression="gzip", compression_opts=1
            )
    offsets = np.concatenate([[0], np.cumsum(random.poisson(6, events))]).astype(np.int32)
    lists = pa.ListArray.from_arrays(offsets, random.standard_normal(offsets[-1], dtype=np.float32))
    flat = pa.FixedSizeListArray.from_arrays(pa.array(image.reshape(-1)), IMAGE[1])
    table = pa.table({**columns, "image": pa.FixedSizeListArray.from_arrays(flat, IMAGE[0]), "lists": lists})
    pq.write_table(table, folder / "a.parquet", use_dictionary=False)
    return {"HDF5": folder / "a.h5", "Parquet": folder / "a.parquet"}


def write_images(path: Path, events: int) -> None:
    """Write sparse images of energies."""
    random = np.random.default_rng(2)
    with h5py.File(path, "w") as file:
        for name in CHANNELS:
            images = np.round(16 * random.exponential(2, (events, *CALORIMETER))) / 16
            images *= random.random(images.shape) < 0.1
            file.create_dataset(
                name, data=images.astype(np.float32), chunks=(64, *CALORIMETER), compression="gzip", compression_opts=1
            )


def batches_of_images(path: Path) -> None:
    """Batches as a network takes them: channels last."""
    groups = groups_of({"calo": ImageConfig(image=list(CHANNELS))})
    with open_ntuple(path, "") as ntuple:
        for chunk in read_events(ntuple, groups, entries_per_chunk=_IMAGES_PER_CHUNK):
            for start in range(0, len(chunk), _BATCH):
                chunk.inputs.batch(slice(start, start + _BATCH))


def bare_images(path: Path) -> None:
    """Slices of all datasets."""
    with h5py.File(path) as file:
        for start in range(0, len(file[CHANNELS[0]]), _IMAGES_PER_CHUNK):
            for name in CHANNELS:
                file[name][start : start + _IMAGES_PER_CHUNK]


def ours(path: Path) -> None:
    """All columns in chunks."""
    with open_ntuple(path, "") as ntuple:
        for _ in ntuple.chunks(ntuple.main_branches, _CHUNK):
            pass


def bare_h5py(path: Path) -> None:
    """Slices of all datasets."""
    with h5py.File(path) as file:
        for start in range(0, len(file["x0"]), _CHUNK):
            for dataset in file.values():
                dataset[start : start + _CHUNK]


def bare_pyarrow(path: Path) -> None:
    """Batches of all columns, numbers as numpy."""
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(_CHUNK):
            for name in NUMBERS:
                batch.column(name).to_numpy()


def main(events: int, repetitions: int, folder: Path) -> int:
    """Print the table; 1 if the limit is exceeded."""
    ways: dict[str, tuple[Callable[[Path], None], Callable[[Path], None]]] = {
        "HDF5": (ours, bare_h5py),
        "Parquet": (ours, bare_pyarrow),
        "images": (batches_of_images, bare_images),
    }
    number = max(1, events // 100)
    files = {**write_files(folder, events), "images": folder / "images.h5"}
    write_images(files["images"], number)
    too_slow = False
    print(
        f"{events:,} events, {len(NUMBERS)} numbers and an image of {IMAGE[0]} × {IMAGE[1]}; {number:,} images of "
        f"{CALORIMETER[0]} × {CALORIMETER[1]} × {len(CHANNELS)} in batches of {_BATCH}; medians of {repetitions}"
    )
    for kind, path in files.items():
        own_way, bare_way = ways[kind]
        costs: dict[str, list[float]] = {"ours": [], "bare": []}
        for repetition in range(repetitions + 1):
            for name, way in (("ours", own_way), ("bare", bare_way)):
                cpu = time.process_time()
                way(path)
                if repetition:  # the first imports
                    costs[name].append(time.process_time() - cpu)
        own, bare = (statistics.median(costs[name]) for name in ("ours", "bare"))
        print(f"{kind:10}{own:8.2f} s CPU{bare:8.2f} s bare{own / bare:8.2f} (limit {LIMIT})")
        too_slow |= own / bare > LIMIT
    return int(too_slow)


if __name__ == "__main__":
    run_in_folder(main, __doc__, events=1_000_000, repetitions=5)
