#!/usr/bin/env python3
"""Made-up ntuples of displaced jets in a calorimeter: `calratio_events.py FOLDER`.

The tree `trees_DV_` has an entry per event: lists of jets, of their clusters, tracks and muon segments, of long-lived
particles (signal) and of jets of the trigger (beam-induced background). Clusters and layer energies are in MeV, other
momenta in GeV, lengths in mm, times in ns.

`sig.root`, `sig_125.root`: two long-lived particles; where they decay inside the hadronic calorimeter, their jets have
most of the energy there, and few tracks. `qcd.root`: jets with tracks. `bib.root`: jets from particles beside the beam,
early, narrow in φ, with muon segments along the beam. `control_{mc,data}.root`: jets like those of `qcd.root`; in the
data, clusters come earlier and the hadronic layers have more energy, as a simulation may be wrong. Files that are in
the folder already stay as they are.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import awkward as ak
import numpy as np
import uproot

from ntupleml.atomic import replace_file

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Numbers = NDArray[np.float64]

TREE = "trees_DV_"
#: Files, and their events as shares of what is asked for.
FILES = {"sig": 0.3, "sig_125": 0.3, "qcd": 1.0, "bib": 0.6, "control_mc": 1.0, "control_data": 1.0}
#: Branches that are float32 or integers; others are float64.
TYPES = {"time": np.float32, "chiSquared": np.float32, "t0": np.float32, "isBIB": np.int32}
#: What a jet is made of.
QCD, SIGNAL, BIB = range(3)
LAYERS = ("l1ecal", "l2ecal", "l3ecal", "l4ecal", "l1hcal", "l2hcal", "l3hcal", "l4hcal")
#: Mean numbers of clusters, tracks and muon segments by kind of jet.
NUMBERS = {"clus": (9.0, 6.0, 5.0), "track": (7.0, 1.6, 1.4), "MSeg": (0.5, 1.2, 4.0)}
#: Parameters of the beta distribution of the share of the hadronic calorimeter.
HADRONIC = ((2.0, 3.0), (5.0, 2.0), (5.0, 1.6))
#: Widths of the clusters around the jet in η and φ; mean and width of their time in ns.
WIDTH_ETA, WIDTH_PHI = (0.12, 0.07, 0.12), (0.12, 0.07, 0.03)
TIME, TIME_WIDTH = (0.0, 0.8, -3.0), (2.0, 2.0, 3.0)
#: How the data of the control region differ from its simulation.
EARLY, MORE_HADRONIC = 1.5, 1.5


class Lists(NamedTuple):
    """Objects of one collection, event after event."""

    columns: dict[str, Numbers]
    #: Event of each object, in order.
    events: NDArray[np.int64]


class Events(NamedTuple):
    """All that is in a file."""

    number: int
    numbers: dict[str, Numbers]
    collections: dict[str, Lists]
    #: Jets that an object belongs to; −1 for none.
    jets_of: dict[str, NDArray[np.int64]]


def events(file: str, number: int, seed: int) -> Events:
    """Events of a file."""
    random = np.random.default_rng([seed, list(FILES).index(file)])
    jets, more = _jets(file, number, random)
    parts = {name: _parts(name, jets, file == "control_data", random) for name in NUMBERS}
    numbers = {} if file in ("bib", "control_data") else {"mcEventWeight": _weights(number, random)}
    first = np.searchsorted(jets.events, np.arange(number))
    owners = {name: jet - first[jets.events[jet]] for name, (_, jet) in parts.items()}
    del jets.columns["kind"]
    return Events(number, numbers, {"jet": jets, **{name: one for name, (one, _) in parts.items()}, **more}, owners)


def _weights(number: int, random: np.random.Generator) -> Numbers:
    return random.gamma(2.0, 1.5, number) * np.where(random.random(number) < 0.03, -1.0, 1.0)


def _jets(file: str, number: int, random: np.random.Generator) -> tuple[Lists, dict[str, Lists]]:
    """Jets of all events, with their kind; long-lived particles, or jets of the trigger."""
    others = _some_jets(random.integers(1, 4, number), QCD, random)
    if file.startswith("sig"):
        particles = _some_jets(np.full(number, 2), SIGNAL, random)
        eta = particles.columns["eta"]
        central = np.abs(eta) < 1.4
        lxy = np.where(central, random.uniform(500, 4500, len(eta)), random.uniform(100, 3000, len(eta)))
        lz = np.where(
            central, random.uniform(-3000, 3000, len(eta)), random.uniform(2500, 6500, len(eta)) * np.sign(eta)
        )
        inside = np.where(central, (lxy > 1200) & (lxy < 4000), (np.abs(lz) > 3500) & (np.abs(lz) < 6000))
        heavy = file == "sig"
        particles.columns["pT"] *= 1.5 if heavy else 0.8
        jets = _smeared(particles, random)
        jets.columns["kind"] = np.where(inside, float(SIGNAL), float(QCD))
        llp = {**{key: particles.columns[key] for key in ("pT", "eta", "phi")}, "Lxy": lxy, "Lz": lz}
        return _merged(others, jets), {"llp": Lists(llp, particles.events)}
    if file == "bib":
        jets = _merged(others, _some_jets(random.integers(1, 3, number), BIB, random))
        trigger = _smeared(jets, random)
        trigger.columns["isBIB"] = (trigger.columns.pop("kind") == BIB).astype(float)
        return jets, {"HLT_jet": trigger}
    return others, {}


def _some_jets(counts: NDArray[np.int64], kind: int, random: np.random.Generator) -> Lists:
    total = int(counts.sum())
    columns = {
        "pT": 25 + random.exponential(110.0, total),
        "eta": random.uniform(-2.7, 2.7, total),
        "phi": random.uniform(-np.pi, np.pi, total),
        "kind": np.full(total, float(kind)),
    }
    return Lists(columns, np.repeat(np.arange(len(counts)), counts))


def _smeared(jets: Lists, random: np.random.Generator) -> Lists:
    """Near to where others are."""
    columns = dict(jets.columns)
    number = len(jets.events)
    columns["pT"] = columns["pT"] * random.normal(1.0, 0.05, number)
    columns["eta"] = columns["eta"] + random.normal(0, 0.05, number)
    columns["phi"] = _wrapped(columns["phi"] + random.normal(0, 0.05, number))
    return Lists(columns, jets.events)


def _merged(first: Lists, second: Lists) -> Lists:
    events = np.concatenate([first.events, second.events])
    order = np.argsort(events, kind="stable")
    return Lists(
        {name: np.concatenate([one, second.columns[name]])[order] for name, one in first.columns.items()}, events[order]
    )


def _parts(collection: str, jets: Lists, is_data: bool, random: np.random.Generator) -> tuple[Lists, NDArray[np.int64]]:
    """Clusters, tracks or segments of all jets in random order within their event, and the jet of each."""
    kind = jets.columns["kind"].astype(int)
    counts = random.poisson(np.array(NUMBERS[collection])[kind])
    if collection == "clus":
        counts = np.maximum(counts, 1)
    jet = np.repeat(np.arange(len(kind)), counts)
    shuffled = np.lexsort((random.random(len(jet)), jets.events[jet]))
    jet = jet[shuffled]
    make = {"clus": _clusters, "track": _tracks, "MSeg": _segments}[collection]
    return Lists(make(jets, jet, is_data, random), jets.events[jet]), jet


def _clusters(jets: Lists, jet: NDArray[np.int64], is_data: bool, random: np.random.Generator) -> dict[str, Numbers]:
    kind, number = jets.columns["kind"].astype(int), len(jet)
    own = kind[jet]
    shares = random.exponential(1.0, number)
    energy = 1000 * jets.columns["pT"][jet] * shares / np.bincount(jet, shares, len(kind))[jet]
    hadronic = random.beta(*np.array(HADRONIC)[kind].T)[jet] * (MORE_HADRONIC if is_data else 1.0)
    hadronic = np.clip(hadronic, 0.0, 1.0)
    within = random.dirichlet(np.full(4, 0.6), (number, 2))
    layers = np.concatenate(
        [within[:, 0] * (1 - hadronic)[:, np.newaxis], within[:, 1] * hadronic[:, np.newaxis]], axis=1
    )
    return {
        "pt": energy,
        "eta": jets.columns["eta"][jet] + random.normal(0, 1, number) * np.array(WIDTH_ETA)[own],
        "phi": _wrapped(jets.columns["phi"][jet] + random.normal(0, 1, number) * np.array(WIDTH_PHI)[own]),
        **{name: energy * layers[:, place] for place, name in enumerate(LAYERS)},
        "time": random.normal(0, 1, number) * np.array(TIME_WIDTH)[own]
        + np.array(TIME)[own]
        - (EARLY if is_data else 0.0),
    }


def _tracks(jets: Lists, jet: NDArray[np.int64], is_data: bool, random: np.random.Generator) -> dict[str, Numbers]:  # noqa: ARG001
    number = len(jet)
    return {
        "pT": 0.5 + random.exponential(0.08, number) * jets.columns["pT"][jet],
        "eta": jets.columns["eta"][jet] + random.normal(0, 0.13, number),
        "phi": _wrapped(jets.columns["phi"][jet] + random.normal(0, 0.13, number)),
        "vertex_nParticles": random.integers(0, 60, number).astype(float),
        "d0": random.normal(0, 1, number),
        "z0": random.normal(0, 60, number),
        "chiSquared": random.gamma(3, 5, number),
        **{name: random.integers(0, 3, number).astype(float) for name in ("PixelShared", "SCTShared", "PixelHoles")},
        **{name: random.integers(0, 6, number).astype(float) for name in ("SCTHoles", "PixelHits")},
        "SCTHits": random.integers(4, 11, number).astype(float),
    }


def _segments(jets: Lists, jet: NDArray[np.int64], is_data: bool, random: np.random.Generator) -> dict[str, Numbers]:  # noqa: ARG001
    number = len(jet)
    along_beam = jets.columns["kind"][jet] == BIB
    eta, phi = (jets.columns[angle][jet] + random.normal(0, 0.2, number) for angle in ("eta", "phi"))
    return {
        "etaPos": eta,
        "phiPos": _wrapped(phi),
        "etaDir": np.where(along_beam, 4.0 * np.sign(eta), eta) + random.normal(0, 0.7, number),
        "phiDir": _wrapped(phi + random.normal(0, 0.3, number)),
        "chiSquared": random.gamma(2, 3, number),
        "t0": random.normal(0, 8, number) - 6.0 * along_beam,
    }


def _wrapped(phi: Numbers) -> Numbers:
    return np.asarray((phi + np.pi) % (2 * np.pi) - np.pi)


def write(path: Path, found: Events) -> None:
    """Write an ntuple, complete or not at all."""
    number = found.number
    branches: dict[str, Any] = {
        "runNumber": np.full(number, 300_000, np.uint32),
        "eventNumber": np.arange(number, dtype=np.uint64),
        **{name: values.astype(np.float32) for name, values in found.numbers.items()},
    }
    for collection, one in found.collections.items():
        counts = np.bincount(one.events, minlength=number)
        branches[collection] = ak.zip(
            {
                name: ak.unflatten(values.astype(TYPES.get(name, np.float64)), counts)
                for name, values in one.columns.items()
            }
        )
        if collection in found.jets_of:
            name = "cluster_jetIndex" if collection == "clus" else f"{collection}_jetIndex"
            branches[name] = ak.unflatten(found.jets_of[collection].astype(np.int32), counts)
    with replace_file(path) as place, uproot.recreate(place) as file:
        file.mktree(TREE, {name: getattr(values, "type", None) or values.dtype for name, values in branches.items()})
        file[TREE].extend(branches)


def main() -> int:
    """Write the ntuples that are not there."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument(
        "--events", type=int, default=4_000, help="of qcd.root (%(default)s); others have as many or fewer"
    )
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    for file, share in FILES.items():
        path = arguments.folder / f"{file}.root"
        if path.exists():
            print(f"{path}: is there already")
            continue
        number = round(share * arguments.events)
        write(path, events(file, number, arguments.seed))
        print(f"{path}: {number} events")
    return 0


if __name__ == "__main__":
    sys.exit(main())
