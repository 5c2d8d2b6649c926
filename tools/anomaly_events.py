#!/usr/bin/env python3
"""Made-up events of a trigger: `anomaly_events.py FOLDER`.

`EB.root` is the background, of enhanced bias: `weight` brings its events back to the rate of collisions, 31.6 MHz for
the sum of all weights. Signals, with weights of 1, are `HHbbtautau.root`, `HtoAAto4b.root` (soft jets) and
`dark_showers.root`. The tree `trigger` has an entry per event: `run_number`, `event_number`, `pileup`, `weight`, what
has selected it already (`passL1`, `passHLT`), lists of objects of the high-level trigger (`jet_pt`, `jet_eta`,
`jet_phi`; `el_…`, `muon_…`, `ph_…`) with `met` and `met_phi`, and of the first level (`L1_jet_…`, `L1_tau_…`,
`L1_muon_…`, `L1_met`, `L1_met_phi`). Energies are in GeV. A few events of the background have a pile-up of 0, as data
do where it is unknown.

With `--hdf5` the same events are also in `EB.h5`, …, in the arrays of the original study: `HLT_data` (events, 16, 3)
of six jets, three electrons, muons and photons, and missing energy; `L1_jFexSR_jets`, `L1_eFex_taus`, `L1_muons` (in
TeV), `L1_MET`; numbers as `weights`, `run_numbers`, `event_numbers`, `pileups`; `topo2A_AD_scores`, which no network
has made. Files that are in the folder already stay as they are.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import awkward as ak
import h5py
import numpy as np
import uproot
from trigger_toy import PROCESSES, RUNS, events

from ntupleml.atomic import replace_file

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray
    from trigger_toy import Events

TREE = "trigger"
#: Events of a signal, as share of those of the background.
SIGNAL_SHARE = 0.1
#: Share of the background with a pile-up of 0.
UNKNOWN_PILEUP = 0.002
#: Largest numbers of objects of each type in `HLT_data`.
SLOTS = {"jets": 6, "electrons": 3, "muons": 3, "photons": 3}
#: Beginnings of the branches.
BRANCHES = {"jets": "jet", "electrons": "el", "muons": "muon", "photons": "ph", "taus": "tau"}
#: Of the sums of pT in the score of the first level, in GeV.
UNITS = {"jets": 40.0, "taus": 25.0, "muons": 8.0}
#: Events that are drawn at a time, so that memory does not grow with their number.
CHUNK = 50_000


def numbers(found: Events, process: str, first: int, random: np.random.Generator) -> dict[str, NDArray[Any]]:
    """What an event has beside its objects, by the names of the branches."""
    total = len(found.weights)
    unknown = (random.random(total) < UNKNOWN_PILEUP) & (process == "EB")
    runs = random.choice(RUNS, total, p=(0.3, 0.3, 0.3, 0.1)) if process == "EB" else np.ones(total)
    return {
        "run_number": runs.astype(np.uint32),
        "event_number": 6_000_000_000 + first + random.permutation(total),
        "pileup": np.where(unknown, 0.0, found.pileup).astype(np.float32),
        "weight": found.weights,
        "passL1": found.l1,
        "passHLT": found.hlt,
    }


def branches(found: Events) -> dict[str, Any]:
    """Objects as lists of what is there, and missing energy."""
    lists = {BRANCHES[name]: values for name, values in found.objects.items()}
    lists |= {f"L1_{BRANCHES[name]}": values for name, values in found.l1_objects.items()}
    columns: dict[str, Any] = {name: _filled(values) for name, values in lists.items()}
    for name, met in (("met", found.met), ("L1_met", found.l1_met)):
        columns |= {name: met[:, 0].astype(np.float32), f"{name}_phi": met[:, 2].astype(np.float32)}
    return columns


def _filled(values: NDArray[np.float64]) -> ak.Array:
    there = values[..., 0] > 0
    counts = there.sum(axis=1)
    of_objects = values[there].astype(np.float32).T
    return ak.zip({key: ak.unflatten(one, counts) for key, one in zip(("pt", "eta", "phi"), of_objects, strict=True)})


def arrays(found: Events, of_events: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Columns of fixed shape, by the names of the original study."""
    slots = [found.objects[name][:, :number] for name, number in SLOTS.items()]
    plural = {"run_number": "run_numbers", "event_number": "event_numbers", "pileup": "pileups", "weight": "weights"}
    return {
        **{plural.get(name, name): values for name, values in of_events.items()},
        "HLT_data": np.concatenate([*slots, found.met[:, np.newaxis]], axis=1).astype(np.float32),
        "L1_jFexSR_jets": found.l1_objects["jets"].astype(np.float32),
        "L1_eFex_taus": found.l1_objects["taus"].astype(np.float32),
        "L1_muons": (found.l1_objects["muons"] * [1e-3, 1, 1]).astype(np.float32),
        "L1_MET": found.l1_met.astype(np.float32),
        "topo2A_AD_scores": _like_an_anomaly(found),
    }


def _like_an_anomaly(found: Events) -> NDArray[np.float32]:
    """Mean of three squares, as the score of the first level is; here of sums of pT."""
    sums = [found.l1_objects[name][..., 0].sum(axis=1) / unit for name, unit in UNITS.items()]
    return np.mean(np.square([*sums, found.l1_met[:, 0] / UNITS["jets"]]), axis=0).astype(np.float32)


def chunks(process: str, total: int, seed: int) -> Iterator[tuple[Events, dict[str, NDArray[Any]]]]:
    """Events of a process and their numbers; the same for the same seed."""
    random = np.random.default_rng([seed, list(PROCESSES).index(process)])
    for first in range(0, total, CHUNK):
        found = events(process, min(CHUNK, total - first), random)
        yield found, numbers(found, process, first, random)


def write_root(path: Path, parts: Iterator[tuple[Events, dict[str, NDArray[Any]]]]) -> None:
    """Write lists of objects, complete or not at all."""
    with replace_file(path) as place, uproot.recreate(place) as file:
        tree = None
        for found, of_events in parts:
            columns = {**of_events, **branches(found)}
            if tree is None:
                tree = file.mktree(
                    TREE, {name: getattr(one, "type", None) or one.dtype for name, one in columns.items()}
                )
            tree.extend(columns)


def write_hdf5(path: Path, parts: Iterator[tuple[Events, dict[str, NDArray[Any]]]]) -> None:
    """Write arrays of fixed shape, complete or not at all."""
    with replace_file(path) as place, h5py.File(place, "w") as file:
        for found, of_events in parts:
            for name, values in arrays(found, of_events).items():
                if name not in file:
                    file.create_dataset(name, data=values, maxshape=(None, *values.shape[1:]), chunks=True)
                    continue
                file[name].resize(len(file[name]) + len(values), axis=0)
                file[name][-len(values) :] = values


#: By the ending of the files.
WRITERS = {"root": write_root, "h5": write_hdf5}


def main() -> int:
    """Write the files that are not there."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--events", type=int, default=100_000, help="of the background (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="default: %(default)s")
    parser.add_argument("--hdf5", action="store_true", help="also the arrays of the original study")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    for process in PROCESSES:
        total = arguments.events if process == "EB" else round(SIGNAL_SHARE * arguments.events)
        for ending, write in WRITERS.items():
            path = arguments.folder / f"{process}.{ending}"
            if ending == "h5" and not arguments.hdf5:
                continue
            if path.exists():
                print(f"{path}: is there already")
                continue
            write(path, chunks(process, total, arguments.seed))
            print(f"{path}: {total:,} events")
    return 0


if __name__ == "__main__":
    sys.exit(main())
