"""Files as uproot writes them, by the names of their kinds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import awkward as ak
import numpy as np
import uproot

if TYPE_CHECKING:
    from pathlib import Path

NUMBERS = np.arange(60)
COMMON = {"x": (0.25 * NUMBERS - 5).astype("f4"), "event": 1000 + 7 * NUMBERS}
LISTS = ak.Array([[float(k)] * (k % 3) for k in NUMBERS])


def uproot_tree(path: Path) -> None:
    jets = ak.zip({"pt": LISTS, "eta": 0.1 * LISTS})
    columns: dict[str, Any] = {
        **COMMON,
        "v": LISTS,
        "n3": np.stack([NUMBERS, 2 * NUMBERS, 3 * NUMBERS], axis=1),
        "flag": NUMBERS % 3 == 1,
        "Jet": jets,
    }
    types = {name: column.type if isinstance(column, ak.Array) else column.dtype for name, column in columns.items()}
    types["n3"] = np.dtype(("i8", (3,)))
    with uproot.recreate(path) as file:
        tree = file.mktree("ntuple", types)
        for start in (0, 25):
            stop = start + 25 if start == 0 else 60
            tree.extend({name: column[start:stop] for name, column in columns.items()})


def uproot_rntuple(path: Path) -> None:
    with uproot.recreate(path) as file:
        file.mkrntuple("ntuple", {**COMMON, "v": LISTS, "y": 2.0 * NUMBERS, "flag": NUMBERS % 3 == 1})


def uproot_rntuple_with_collections(path: Path) -> None:
    jets = ak.zip(
        {"pt": LISTS, "eta": 0.1 * LISTS, "cells": ak.Array([[[1.0, 2.0]] * (k % 3) for k in NUMBERS])}, depth_limit=2
    )
    with uproot.recreate(path) as file:
        file.mkrntuple("ntuple", {**COMMON, "Jet": jets, "met": ak.zip({"pt": 1.0 * NUMBERS, "phi": 0.1 * NUMBERS})})
