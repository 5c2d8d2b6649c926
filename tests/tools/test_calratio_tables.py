"""Tables of jets by the reference configs: what loops in plain Python make, mistakes of the original included."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import uproot

TOP = Path(__file__).resolve().parents[2]
LAYERS = ["l1hcal", "l1ecal", "l2hcal", "l2ecal", "l3hcal", "l3ecal", "l4ecal", "l4hcal"]
HITS = [f"{one}{what}" for what in ("Shared", "Holes", "Hits") for one in ("Pixel", "SCT")]
BRANCHES = {
    "jet": ["pT", "eta", "phi", "isClean_LooseBadLLP"],
    "clus": ["pt", "eta", "phi", *LAYERS, "time"],
    "track": ["pT", "eta", "phi", "vertex_nParticles", "d0", "z0", "chiSquared", *HITS],
    "MSeg": ["etaPos", "phiPos", "etaDir", "phiDir", "chiSquared", "t0"],
    "llp": ["pT", "eta", "phi", "Lxy", "Lz"],
    "HLT_jet": ["pT", "eta", "phi", "isBIB"],
}
LENGTHS = {"clus": 30, "track": 20, "MSeg": 30}
LABELS = {"qcd": 0, "sig": 1, "bib": 2}
LOW, HIGH = 40, 500

Event = dict[str, Any]


def events_of(kind: str) -> list[Event]:
    """Jets with many or few constituents, one of them without clusters where the original can do with it."""
    random = np.random.default_rng(len(kind) + LABELS[kind])
    events = []
    for number in range(12):
        numbers = {"jet": number % 4, "llp": 2, "HLT_jet": number % 3, "clus": 0, "track": 0, "MSeg": 0}
        if numbers["jet"]:
            numbers |= {"clus": int(random.integers(3, 80)), "track": int(random.integers(0, 50)), "MSeg": 9}
        event: Event = {"eventNumber": number, "runNumber": 7, "mcEventWeight": float(random.normal())}
        for collection, names in BRANCHES.items():
            objects = random.normal(size=(numbers[collection], len(names)))
            event[collection] = [dict(zip(names, one, strict=True)) for one in objects.tolist()]
        for jet in event["jet"]:
            jet |= {"pT": abs(jet["pT"]) * 200 + 25, "isClean_LooseBadLLP": 1.0}
        for llp, jet in zip(event["llp"], event["jet"], strict=False):
            llp |= {"eta": jet["eta"] + 0.1, "phi": jet["phi"] - 0.2 * number % 3, "Lxy": 2000.0, "Lz": 4000.0}
        for jet in event["HLT_jet"]:
            jet["isBIB"] = float(jet["isBIB"] > -0.5)
        for collection in LENGTHS:
            for place, one in enumerate(event[collection]):
                one["jet"] = place % numbers["jet"] if place % 7 or collection == "clus" else -1
        for one in event["clus"]:
            one["pt"] = abs(one["pt"]) * 1e4
        events.append(event)
    return events


def write(path: Path, events: list[Event], kind: str) -> None:
    kept = [name for name in BRANCHES if name not in {"llp", "HLT_jet"} - {{"sig": "llp", "bib": "HLT_jet"}.get(kind)}]
    columns: dict[str, Any] = {
        name: np.array([event[name] for event in events]) for name in ("eventNumber", "runNumber")
    }
    if kind != "bib":
        columns["mcEventWeight"] = np.array([event["mcEventWeight"] for event in events])
    for collection in kept:
        counts = [len(event[collection]) for event in events]
        for name in [*BRANCHES[collection], *(["jet"] if collection in LENGTHS else [])]:
            values = np.array([one[name] for event in events for one in event[collection]])
            index = "cluster_jetIndex" if collection == "clus" else f"{collection}_jetIndex"
            branch = index if name == "jet" else f"{collection}_{name}"
            columns[branch] = ak.unflatten(values.astype(np.int32) if name == "jet" else values, counts)
    with uproot.recreate(path) as file:
        file.mktree("trees_DV_", {name: getattr(c, "dtype", None) or c.type for name, c in columns.items()})
        file["trees_DV_"].extend(columns)


def distance(one: Event, other: Event) -> float:
    return math.hypot(one["eta"] - other["eta"], math.remainder(one["phi"] - other["phi"], 2 * math.pi))


def is_fiducial(llp: Event) -> bool:
    if abs(llp["eta"]) < 1.4:
        return bool(1200 < llp["Lxy"] < 4000)
    return bool(3500 < abs(llp["Lz"]) < 6000)


def chosen(event: Event, kind: str) -> list[tuple[Event, Event | None]]:
    """Jets that are rows, with what they are matched to."""
    jets = [{**jet, "place": place} for place, jet in enumerate(event["jet"])]
    good = sorted(
        (jet for jet in jets if LOW <= jet["pT"] < HIGH and abs(jet["eta"]) <= 2.5), key=lambda jet: -jet["pT"]
    )
    if kind == "qcd" or not good:
        return [(jet, None) for jet in good]
    if kind == "bib":
        others, radius = [jet for jet in event["HLT_jet"] if jet["isBIB"] == 1], math.inf
    else:
        others, radius = [llp for llp in event["llp"] if is_fiducial(llp)], 0.4
    pairs = [(min(good, key=lambda jet: distance(jet, other)), other) for other in others]
    return [(jet, other) for jet, other in pairs if distance(jet, other) <= radius]


def members(event: Event, jet: Event) -> dict[str, list[Event]]:
    """Constituents in order, with angles that are relative."""
    found = {}
    for collection, sort in (("clus", "pt"), ("track", "pT"), ("MSeg", None)):
        own = [dict(one) for one in event[collection] if one["jet"] == jet["place"]]
        own = sorted(own, key=lambda one: -one[sort]) if sort else own
        reference = dict(own[0]) if collection == "clus" and own else jet
        for one in own:
            for name in one:
                if name in ("eta", "etaPos"):
                    one[name] -= reference["eta"]
                elif name in ("phi", "phiPos", "phiDir"):
                    one[name] = math.remainder(one[name] - reference["phi"], 2 * math.pi)
        found[collection] = own[: LENGTHS[collection]]
    return found


def scaled(jet: Event, found: dict[str, list[Event]], low: float) -> None:
    """As the original builds it."""
    jet["pT"] = (jet["pT"] - low) / (HIGH - low)
    for track in found["track"]:
        track["pT"] = (track["pT"] - low) / (HIGH - low)
        track["z0"] /= 250
    for collection, pt in (("clus", "pt"), ("track", "pT")):
        sign = 1 if sum(one["eta"] * one[pt] for one in found[collection]) >= 0 else -1
        for one in found[collection]:
            one["eta"] *= sign
    for cluster in found["clus"]:
        energy = sum(cluster[layer] for layer in LAYERS)
        cluster |= {layer: cluster[layer] / energy for layer in LAYERS}
        cluster["pt"] = (cluster["pt"] - low) / ((HIGH - low) * 1000)


def table(events: list[Event], kind: str, low: float | None) -> pa.Table:
    """Rows of the original: built with a lowest pT, or (None) before that."""
    empty = {} if low is None else {**dict.fromkeys(LAYERS, math.nan), "pt": -low / (HIGH - low) / 1000}
    padding = {"clus": empty, "track": {} if low is None else {"pT": -low / (HIGH - low)}, "MSeg": {}}
    rows = []
    for event in events:
        for one, other in chosen(event, kind):
            jet, found = dict(one), members(event, one)
            if low is not None:
                scaled(jet, found, low)
            weight = event["mcEventWeight"] if kind == "qcd" else 1
            row = {"label": LABELS[kind], "eventNumber": event["eventNumber"], "mcEventWeight": weight}
            row |= {f"jet_{key}": jet[name] for key, name in (("pt", "pT"), ("eta", "eta"), ("phi", "phi"))}
            llp = other if kind == "sig" and other else dict.fromkeys(BRANCHES["llp"], 0.0)
            row |= {"llp_mH": 600.0 if kind == "sig" else 0.0} | {f"llp_{name}": llp[name] for name in BRANCHES["llp"]}
            for collection, length in LENGTHS.items():
                for slot in range(length):
                    own = found[collection][slot] if slot < len(found[collection]) else padding[collection]
                    for name in BRANCHES[collection]:
                        row[f"{collection}_{'pt' if name == 'pT' else name}_{slot}"] = own.get(name, 0.0)
            rows.append(row)
    return pa.Table.from_pylist(rows)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("root_synth", "convert", "build"):
        (tmp_path / name).mkdir()
    common = {"min_jet_pt": LOW, "max_jet_pt": HIGH, "llp_mH": 600, "llp_mS": 0, "log": [], "outcome": "written"}
    cases = []
    for kind in LABELS:
        key, events = f"synth_{kind}", events_of(kind)
        write(tmp_path / "root_synth" / f"{kind}.root", events, kind)
        pq.write_table(table(events, kind, None), tmp_path / "convert" / f"{key}.parquet")
        case = {"key": key, "file": f"{kind}.root", "data_type": kind, "parquet": f"convert/{key}.parquet"}
        cases.append({**common, **case})
    builds = []
    for low, number, query in ((LOW, None, None), (0, None, "eventNumber % 2 == 1"), (LOW, 5, None)):
        build = {"name": f"{low}", "min_jet_pt": low, "max_jet_pt": HIGH, "event_filter": query, "num_events": number}
        build |= {"error": None, "inputs": ["synth_qcd"] if number else [one["key"] for one in cases], "rows": number}
        if number is None:
            every = 2 if query else 1
            parts = [table(events_of(kind)[every - 1 :: every], kind, low) for kind in LABELS]
            build["parquet"] = f"build/{low}.parquet"
            pq.write_table(pa.concat_tables(parts, promote_options="permissive"), tmp_path / build["parquet"])
        builds.append(build)
    np.savez(tmp_path / "build" / "signs_and_counts.npz")
    summary = {"convert": cases, "build": builds}
    (tmp_path / "convert_build_summary.json").write_text(json.dumps(summary))
    return tmp_path


def agreement(folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, TOP / "tools" / "agreement.py", "calratio", folder]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_tables_agree(folder: Path) -> None:
    done = agreement(folder)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.endswith("7 quantities, 0 beyond their limit\n")
    for name in ("convert/synth_sig", "build/0"):  # a change is found where it was made
        path = folder / f"{name}.parquet"
        changed = pq.read_table(path)
        column = changed.column_names.index("track_eta_0")
        values = changed[column].to_numpy() + 1e-9
        pq.write_table(changed.set_column(column, "track_eta_0", [values]), path)
    done = agreement(folder)
    assert done.returncode == 1
    wrong = {line.split(": largest")[0] for line in done.stdout.splitlines() if line.endswith("BEYOND THE LIMIT")}
    assert wrong == {"convert: synth_sig", "build: 0: as the original", "build: 0: right numbers"}
