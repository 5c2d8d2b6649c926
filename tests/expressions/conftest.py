"""Trees on disk, and what ROOT's TTreeFormula says of formulas on them."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any, NamedTuple

import awkward as ak
import numpy as np
import pytest
import uproot

from ntupleml import ntuples
from ntupleml.expressions import parse

if TYPE_CHECKING:
    from pathlib import Path

NUM_EVENTS = 24
#: Sizes of the vectors; both orders of 1 and more than 1 occur, and of each with 0.
SIZES_V = [0, 1, 2, 3, 4, 0, 1, 2, 3, 4, 2, 1] * 2
SIZES_W = [1, 3, 2, 0, 4, 0, 2, 1, 1, 3, 3, 1] * 2
SIZES_K = [2, 2, 2, 1, 0, 0, 3, 1, 4, 1, 2, 5] * 2
#: Arrays of one length: type and length.
FIXED_ARRAYS = {"fx": ("f4", 3), "dx": ("f8", 5), "ix": ("i4", 4), "ux": ("u4", 2), "one": ("f4", 1)}


class Ntuple(NamedTuple):
    """A tree as ROOT sees it and as the columns that this package reads."""

    root: Any
    root_file: Any
    tree: Any
    columns: dict[str, Any]
    num_events: int

    def root_values(self, formula: str) -> list[list[float]] | None:
        """Values of all instances of each event by TTreeFormula; None if it refuses the formula."""
        compiled = self.root.TTreeFormula("formula", formula, self.tree)
        if compiled.GetNdim() == 0:
            return None
        values = []
        for entry in range(self.num_events):
            # Reads all branches: by itself TTreeFormula (6.40) does not read a branch that it met first in the side of
            # '?:' that an earlier instance or the same one skipped, and takes what an earlier event left.
            self.tree.GetEntry(entry)
            values.append([compiled.EvalInstance(i) for i in range(compiled.GetNdata())])
        return values

    def assert_as_root(self, formula: str, has_index: bool = False) -> None:
        """Equal up to the last digits of functions of the C library; an event without instances is NaN with us.

        With `has_index`, NaN of ours is not compared: for an index without value TTreeFormula (6.40) reads an element
        that happens to be there.
        """
        theirs = self.root_values(formula)
        assert theirs is not None, f"TTreeFormula refuses {formula}"
        ours = parse(formula).evaluate(self.columns, self.num_events)
        assert len(ours) == len(theirs)
        for event, (mine, root_values) in enumerate(zip(ours.tolist(), theirs, strict=True)):
            expected = root_values if isinstance(mine, list) else root_values or [np.nan]
            message = f"{formula}, event {event}"
            if has_index and np.size(mine) == len(expected):
                expected = np.where(np.isnan(mine), np.nan, expected)
            np.testing.assert_allclose(np.atleast_1d(mine), expected, rtol=2e-14, atol=1e-300, err_msg=message)

    def copied(self, cut: str) -> list[int]:
        """Entry numbers that CopyTree keeps (the tree has them in its branch `entry`)."""
        self.root.gROOT.cd()
        return [int(event.entry) for event in self.tree.CopyTree(cut)]


def open_ntuple(root: Any, path: Path, tree_path: str) -> Ntuple:
    with ntuples.open_ntuple(path, tree_path) as opened:
        columns = next(opened.chunks([*opened.branches, "Entry$"])).columns
    file = root.TFile.Open(str(path))
    tree = file.Get(tree_path)
    return Ntuple(root, file, tree, columns, tree.GetEntries())


@pytest.fixture(scope="session")
def higgs(root: Any, root_data: Path) -> Ntuple:
    """10,000 events of the HIGGS sample that ROOT ships."""
    return open_ntuple(root, root_data / "Higgs_data.root", "sig_tree")


@pytest.fixture(scope="session")
def root() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # ROOT's wheel warns that it is an alpha release
        import ROOT
    ROOT.gROOT.SetBatch(True)
    return ROOT


def scalar_values() -> dict[str, Any]:
    random = np.random.default_rng(7)
    integers = random.integers(-5, 6, NUM_EVENTS).astype("i4")
    integers[[0, 5]] = 0
    special = [0, 1, -1, 0.5, -0.5, 2, np.nan, np.inf, -np.inf, 3, 1e10, -0.0]
    return {
        "entry": np.arange(NUM_EVENTS, dtype="i4"),
        "f": random.normal(0, 3, NUM_EVENTS).astype("f4"),
        "d": random.normal(0, 3, NUM_EVENTS),
        "g": np.array(special * 2),
        "i": integers,
        "j": random.integers(1, 5, NUM_EVENTS).astype("i4"),
        "u": random.integers(0, 9, NUM_EVENTS).astype("u4"),
        "l": (2**53 + np.arange(NUM_EVENTS)).astype("i8"),
        "ul": (2**63 + 3 * np.arange(NUM_EVENTS).astype("u8")).astype("u8"),
        "b": random.integers(0, 2, NUM_EVENTS).astype(np.bool_),
        "c": random.integers(-100, 100, NUM_EVENTS).astype("i1"),
        "s": random.integers(-100, 100, NUM_EVENTS).astype("i2"),
        "us": random.integers(0, 100, NUM_EVENTS).astype("u2"),
    }


@pytest.fixture(scope="session")
def ntuple(root: Any, tmp_path_factory: pytest.TempPathFactory) -> Ntuple:
    """A tree that ROOT wrote: all scalar types, v[nv]/F, vector<double> w, vector<int> k, and FIXED_ARRAYS."""
    path = tmp_path_factory.mktemp("expressions") / "root.root"
    codes = {
        "i4": "I",
        "f4": "F",
        "f8": "D",
        "u4": "i",
        "i8": "L",
        "u8": "l",
        "b1": "O",
        "i1": "B",
        "i2": "S",
        "u2": "s",
    }
    scalars = scalar_values()
    random = np.random.default_rng(11)
    file = root.TFile(str(path), "recreate")
    tree = root.TTree("tree", "")
    buffers = {name: np.zeros(1, values.dtype) for name, values in scalars.items()}
    for name, buffer in buffers.items():
        tree.Branch(name, buffer, f"{name}/{codes[buffer.dtype.str[1:]]}")
    nv, v = np.zeros(1, "i4"), np.zeros(9, "f4")
    fixed = {name: np.zeros(length, dtype) for name, (dtype, length) in FIXED_ARRAYS.items()}
    w, k = root.std.vector("double")(), root.std.vector("int")()
    tree.Branch("nv", nv, "nv/I")
    tree.Branch("v", v, "v[nv]/F")
    for name, buffer in fixed.items():
        tree.Branch(name, buffer, f"{name}[{buffer.size}]/{codes[buffer.dtype.str[1:]]}")
    tree.Branch("w", w)
    tree.Branch("k", k)
    for event in range(NUM_EVENTS):
        for name, buffer in buffers.items():
            buffer[0] = scalars[name][event]
        nv[0] = SIZES_V[event]
        v[: nv[0]] = random.normal(0, 3, nv[0])
        for buffer in fixed.values():
            is_float = buffer.dtype.kind == "f"
            buffer[:] = random.normal(0, 3, buffer.size) if is_float else random.integers(0, 4, buffer.size)
        w.clear()
        k.clear()
        for value in random.normal(0, 3, SIZES_W[event]):
            w.push_back(float(value))
        for value in random.integers(-1, 4, SIZES_K[event]):
            k.push_back(int(value))
        tree.Fill()
    tree.Write()
    file.Close()
    return open_ntuple(root, path, "tree")


@pytest.fixture(scope="session")
def uproot_ntuple(root: Any, tmp_path_factory: pytest.TempPathFactory) -> Ntuple:
    """A tree that uproot wrote: the scalars, and v and w as arrays with counters."""
    path = tmp_path_factory.mktemp("expressions") / "uproot.root"
    random = np.random.default_rng(13)
    with uproot.recreate(path) as file:
        columns = scalar_values()
        columns["v"] = ak.unflatten(random.normal(0, 3, sum(SIZES_V)).astype("f4"), SIZES_V)
        columns["w"] = ak.unflatten(random.normal(0, 3, sum(SIZES_W)), SIZES_W)
        tree = file.mktree("deep/tree", {name: _type(array) for name, array in columns.items()})
        tree.extend(columns)
    return open_ntuple(root, path, "deep/tree")


def _type(array: Any) -> Any:
    return array.dtype if isinstance(array, np.ndarray) else f"var * {ak.type(array).content.content.primitive}"
