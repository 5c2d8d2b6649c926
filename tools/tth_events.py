#!/usr/bin/env python3
"""Ntuples of ttH(bb) and tt events with jets, leptons and missing energy: `tth_events.py FOLDER [SAMPLE.npz ...]`.

A sample holds the rows of a simulation: `ttH` and `tt` (events × columns) and the names of their `columns`, in GeV:
`jet_{pt,eta,phi,e,tagWeightBin_DL1r_Continuous}_{1..12}`, `lep_{pt,eta,phi,e,is_muon}`, `met_{met,phi}`.

Without a sample the events are of a toy: tops and Higgs bosons with pT and rapidity from simple distributions, decayed
isotropically, with radiated jets (of b quarks in 40 % of tt), smeared and tagged.

Either way the ntuples are `ttH.root` and `tt.root`, tree `nominal_Loose`.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import awkward as ak
import numpy as np
import uproot
from toy_particles import decayed, directions, particle

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Numbers = NDArray[np.float64]

PROCESSES = ("ttH", "tt")
TREE = "nominal_Loose"
TAG = "tagWeightBin_DL1r_Continuous"
#: Masses in GeV.
TOP, W, HIGGS, BOTTOM = 172.5, 80.4, 125.0, 4.8
#: Shares of the five b-tag bins for jets with a b quark and for others.
TAG_SHARES = {True: (0.15, 0.08, 0.07, 0.10, 0.60), False: (0.84, 0.10, 0.04, 0.015, 0.005)}


class Events(NamedTuple):
    """Events of one process: jets (pt, eta, phi, e, tag), one lepton (pt, eta, phi, e, is_muon), missing energy."""

    jets: dict[str, ak.Array]
    lepton: dict[str, Numbers]
    met: Numbers
    met_phi: Numbers


def read_sample(paths: Sequence[Path], process: str) -> Events:
    """Events of some samples, one after the other."""
    tables = []
    for path in paths:
        with np.load(path) as sample:
            names = [str(name) for name in sample["columns"]]
            tables.append(dict(zip(names, np.asarray(sample[process], np.float64).T, strict=True)))
    table = {name: np.concatenate([one[name] for one in tables]) for name in tables[0]}
    slots = sum(name.startswith("jet_pt_") for name in table)
    jets = {
        key: np.stack([table[f"jet_{column}_{slot}"] for slot in range(1, slots + 1)], axis=1)
        for key, column in {"pt": "pt", "eta": "eta", "phi": "phi", "e": "e", "tag": TAG}.items()
    }
    lepton = {key: table[f"lep_{key}"] for key in ("pt", "eta", "phi", "e", "is_muon")}
    return Events(_filled(jets, jets["pt"] > 0), lepton, table["met_met"], table["met_phi"])


def toy(process: str, number: int, seed: int) -> Events:
    """Events of the toy; one lepton of 27 GeV, at least five jets of 25 GeV, two of them tagged."""
    random = np.random.default_rng([seed, PROCESSES.index(process)])
    parts: list[Events] = []
    while sum(len(part.met) for part in parts) < number:
        parts.append(_toy_events(process, 20_000, random))
    jets = {key: ak.concatenate([part.jets[key] for part in parts])[:number] for key in parts[0].jets}
    lepton = {key: np.concatenate([part.lepton[key] for part in parts])[:number] for key in parts[0].lepton}
    met, phi = (np.concatenate([getattr(part, name) for part in parts])[:number] for name in ("met", "met_phi"))
    return Events(jets, lepton, met, phi)


def _toy_events(process: str, number: int, random: np.random.Generator) -> Events:
    quarks: list[tuple[Numbers, bool | NDArray[np.bool_]]] = []
    splits = random.random(number) < (0.4 if process == "tt" else 0.0)
    radiated = random.poisson(1.2 if process == "ttH" else 2.0, number) + 2 * splits
    for place in range(6):
        jet = particle(0.0, np.where(radiated > place, 25 + random.exponential(30.0, number), 0.0), random)
        quarks.append((jet, splits if place < 2 else False))
    recoil = sum(jet[:, :2] for jet, _ in quarks)
    if process == "ttH":
        higgs = particle(HIGGS, random.gamma(2.0, 50.0, number), random)
        recoil = recoil + higgs[:, :2]
        quarks += [(quark, True) for quark in decayed(higgs, BOTTOM, BOTTOM, random)]
    top = particle(TOP, random.gamma(2.0, 55.0, number), random)
    other = particle(TOP, np.ones(number), random)
    other[:, :2] = -top[:, :2] - recoil
    other[:, 3] = np.sqrt(TOP**2 + np.sum(other[:, :3] ** 2, axis=1))
    bosons = []
    for one in (top, other):
        boson, quark = decayed(one, W, BOTTOM, random)
        bosons.append(boson)
        quarks.append((quark, True))
    lepton, neutrino = decayed(bosons[0], 0.0, 0.0, random)
    quarks += [(quark, False) for quark in decayed(bosons[1], 0.0, 0.0, random)]

    momenta = np.stack([quark for quark, _ in quarks], axis=1)
    momenta *= random.normal(1.0, 0.1, momenta.shape[:2]).clip(0.5, 1.5)[..., np.newaxis]
    is_b = np.stack([np.broadcast_to(flag, number) for _, flag in quarks], axis=1)
    tags = np.where(is_b, *(random.choice(5, is_b.shape, p=TAG_SHARES[flag]) + 1 for flag in (True, False)))
    pt, eta, phi = directions(momenta)
    kept = (pt > 25) & (np.abs(eta) < 2.5)
    order = np.argsort(np.where(kept, -pt, 0.0), axis=1, kind="stable")
    energy = pt * np.hypot(np.cosh(eta), random.uniform(0.03, 0.2, pt.shape))  # of any jet, whatever it comes from
    columns = {"pt": pt, "eta": eta, "phi": phi, "e": energy, "tag": tags.astype(float)}
    columns = {key: np.take_along_axis(values, order, axis=1) for key, values in columns.items()}
    kept = np.take_along_axis(kept, order, axis=1)

    lepton_pt, lepton_eta, lepton_phi = directions(lepton)
    missing = neutrino[:, :2] + random.normal(0, 15.0, (number, 2))
    selected = (lepton_pt > 27) & (np.abs(lepton_eta) < 2.5) & (kept.sum(axis=1) >= 5)
    selected &= np.sum(kept & (columns["tag"] >= 4), axis=1) >= 2
    is_muon = random.random(number) < 0.5
    of_lepton = {"pt": lepton_pt, "eta": lepton_eta, "phi": lepton_phi, "e": lepton[:, 3], "is_muon": is_muon}
    return Events(
        _filled({key: values[selected] for key, values in columns.items()}, kept[selected]),
        {key: np.asarray(values[selected], np.float64) for key, values in of_lepton.items()},
        np.hypot(*missing.T)[selected],
        np.arctan2(missing[:, 1], missing[:, 0])[selected],
    )


def _filled(columns: dict[str, Numbers], kept: NDArray[np.bool_]) -> dict[str, ak.Array]:
    """Lists of what is there."""
    counts = kept.sum(axis=1)
    return {key: ak.unflatten(values[kept], counts) for key, values in columns.items()}


def write(path: Path, events: Events) -> None:
    """Write an ntuple."""
    number = len(events.met)
    branches: dict[str, object] = {
        "event": np.arange(number, dtype=np.int64),
        "met_met": events.met.astype(np.float32),
        "met_phi": events.met_phi.astype(np.float32),
        "HT_all": ak.to_numpy(ak.sum(events.jets["pt"], axis=1)).astype(np.float32),
        "nBTags_DL1r_70": ak.to_numpy(ak.sum(events.jets["tag"] >= 4, axis=1)).astype(np.int32),
        "jet": ak.zip(
            {
                **{key: ak.values_astype(events.jets[key], np.float32) for key in ("pt", "eta", "phi", "e")},
                TAG: ak.values_astype(events.jets["tag"], np.int32),
            }
        ),
    }
    is_muon = events.lepton["is_muon"] > 0
    for name, chosen in (("el", ~is_muon), ("mu", is_muon)):
        columns = {key: events.lepton[key].astype(np.float32)[chosen] for key in ("pt", "eta", "phi", "e")}
        branches[name] = ak.zip({key: ak.unflatten(values, chosen.astype(int)) for key, values in columns.items()})
    with uproot.recreate(path) as file:
        file.mktree(TREE, {name: getattr(values, "type", None) or values.dtype for name, values in branches.items()})
        file[TREE].extend(branches)


def main() -> int:
    """Write the ntuples."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("samples", type=Path, nargs="*")
    parser.add_argument("--events", type=int, default=5_000, help="of each process, in the toy (%(default)s)")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    for process in PROCESSES:
        events = (
            read_sample(arguments.samples, process)
            if arguments.samples
            else toy(process, arguments.events, arguments.seed)
        )
        write(arguments.folder / f"{process}.root", events)
        print(f"{arguments.folder / f'{process}.root'}: {len(events.met)} events")
    return 0


if __name__ == "__main__":
    sys.exit(main())
