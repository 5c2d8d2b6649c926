#!/usr/bin/env python3
"""Jets with their constituents in slots, as a script with uproot and awkward writes them: `bare_jets.py IN OUT`."""

from __future__ import annotations

import sys
from typing import Any

import awkward as ak
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import uproot

TREE = "trees_DV_"
LAYERS = [f"l{number}{kind}" for number in range(1, 5) for kind in ("hcal", "ecal")]
TRACKS = [
    "vertex_nParticles",
    "d0",
    "z0",
    "chiSquared",
    *(f"{one}{what}" for what in ("Shared", "Holes", "Hits") for one in ("Pixel", "SCT")),
]
#: Slots, the variables, the branch of the jet that an object belongs to, and that by which they are sorted.
COLLECTIONS: dict[str, tuple[int, list[str], str, str | None]] = {
    "clus": (30, ["pt", "eta", "phi", *LAYERS, "time"], "cluster_jetIndex", "pt"),
    "track": (20, ["pT", "eta", "phi", *TRACKS], "track_jetIndex", "pT"),
    "MSeg": (30, ["etaPos", "phiPos", "etaDir", "phiDir", "chiSquared", "t0"], "MSeg_jetIndex", None),
}
NUMBERS = ["eventNumber", "runNumber", "mcEventWeight"]
_CHUNK = 5_000


def main(source: str, output: str) -> None:
    """Write the table."""
    names = [*NUMBERS, *(f"jet_{name}" for name in ("pT", "eta", "phi"))]
    for collection, (_, variables, index, _) in COLLECTIONS.items():
        names += [index, *(f"{collection}_{variable}" for variable in variables)]
    writer = None
    for events in uproot.iterate({source: TREE}, names, step_size=_CHUNK):
        columns = pa.table(_columns(events))
        writer = writer or pq.ParquetWriter(output, columns.schema, compression="zstd", compression_level=1)
        writer.write_table(columns)
    if writer is not None:
        writer.close()


def _columns(events: Any) -> dict[str, Any]:
    jets = ak.zip({name: events[f"jet_{name}"] for name in ("pT", "eta", "phi")})
    jets["position"] = ak.local_index(events.jet_pT)
    jets = jets[ak.argsort(jets.pT, ascending=False, stable=True)]
    jets = jets[(jets.pT >= 40) & (jets.pT < 500) & (abs(jets.eta) <= 2.5)]
    columns = {name: ak.to_numpy(ak.flatten(ak.broadcast_arrays(events[name], jets.pT)[0])) for name in NUMBERS}
    columns |= {f"jet_{name}": ak.to_numpy(ak.flatten(jets[name])) for name in ("pT", "eta", "phi")}
    for collection, (length, variables, index, sort) in COLLECTIONS.items():
        objects = ak.zip({name: events[f"{collection}_{name}"] for name in variables} | {"jet": events[index]})
        if sort is not None:
            objects = objects[ak.argsort(objects[sort], ascending=False, stable=True)]
        pairs = ak.cartesian({"jet": jets, "object": objects}, nested=True)
        own = ak.flatten(pairs[pairs.jet.position == pairs.object.jet])
        for name in variables:
            values = own.object[name]
            if name in ("eta", "phi", "etaPos", "phiPos", "phiDir"):
                of = "eta" if name.startswith("eta") else "phi"
                values = values - (ak.firsts(values) if collection == "clus" else own.jet[of])
                values = values if of == "eta" else (values + np.pi) % (2 * np.pi) - np.pi
            padded = ak.to_numpy(ak.fill_none(ak.pad_none(values, length, clip=True), 0))
            columns |= {f"{collection}_{name}_{slot}": padded[:, slot] for slot in range(length)}
    return columns


if __name__ == "__main__":
    main(*sys.argv[1:])
