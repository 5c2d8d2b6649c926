"""Give commands ntuples of unusual shapes, and compare what they write with what other libraries read.

    python tools/shape_campaign.py [--shapes one,none] [--formats ttree,hdf5]

Shapes are files with 0, 1 and 1,048,577 entries, with a basket (cluster, chunk, row group) for each entry, with lists
that are all empty, chains whose first and last file are empty, and many files; formats are TTree, RNTuple, HDF5 and
Parquet. They are inspected, built into fold files, scored into friends, in place and into a table, and converted.
Numbers of entries and values are compared with what was made, scores with those of ONNX Runtime. What cannot be done is
refused with one line. The exit status is 1 where any of this fails.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import re
import shutil
import sys
import tempfile
import time
import traceback
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import awkward as ak
import h5py
import numpy as np
import onnxruntime
import pyarrow as pa
import pyarrow.parquet as pq
import uproot
import yaml

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    Columns = dict[str, Any]

TREE = "events"
NUMBERS = {"event": "i8", "x": "f4", "y": "f8"}
VARIABLES = ["x", "y", "Sum$(jet)"]
CLASSES = {"signal": "x > 0", "background": "x <= 0"}


def columns(entries: int, first: int = 0, most_jets: int = 4) -> Columns:
    """Numbers, and a list of jets, of events; their numbers begin with `first`."""
    random = np.random.default_rng([entries, first])
    counts = random.integers(0, most_jets, entries) if most_jets else np.zeros(entries, np.int64)
    jets = ak.unflatten(random.exponential(size=int(counts.sum())).astype("f4"), counts)
    x = np.arange(entries) % 3 - np.float32(0.5)
    return {"event": first + np.arange(entries), "x": x.astype("f4"), "y": random.normal(size=entries), "jet": jets}


#: Columns of the files of each shape, and the entries of a basket.
SHAPES: dict[str, Callable[[], tuple[list[Columns], int]]] = {
    "none": lambda: ([columns(0)], 100),
    "one": lambda: ([columns(1)], 100),
    "few": lambda: ([columns(200)], 100),
    "baskets-of-one": lambda: ([columns(1_000)], 1),
    "empty-lists": lambda: ([columns(200, most_jets=0)], 100),
    "empty-ends": lambda: ([columns(0), columns(120), columns(80, 120), columns(0)], 100),
    "odd-million": lambda: ([columns(1_048_577)], 100_000),
    "many-files": lambda: ([columns(10, 10 * number) for number in range(1_000)], 100),
}


def _parts(table: Columns, basket: int) -> Iterator[Columns]:
    for start in range(0, len(table["event"]), basket):
        yield {name: column[start : start + basket] for name, column in table.items()}


def write_ttree(path: Path, table: Columns, basket: int) -> None:
    """A TTree with a basket for each so many entries."""
    with uproot.recreate(path) as file:
        tree = file.mktree(TREE, {**NUMBERS, "jet": "var * float32"})
        for part in _parts(table, basket):
            tree.extend(part)


def write_rntuple(path: Path, table: Columns, basket: int) -> None:
    """An RNTuple with a cluster for each so many entries."""
    with uproot.recreate(path) as file:
        ntuple = file.mkrntuple(TREE, {name: ak.Array(column)[:0] for name, column in table.items()})
        for part in _parts(table, basket):
            ntuple.extend({name: ak.Array(column) for name, column in part.items()})


def write_hdf5(path: Path, table: Columns, basket: int) -> None:
    """A group of datasets in chunks."""
    with h5py.File(path, "w") as file:
        group, entries = file.create_group(TREE), len(table["event"])
        for name in NUMBERS:
            group.create_dataset(name, data=table[name], chunks=(basket,), maxshape=(None,))
        jets = group.create_dataset("jet", (entries,), h5py.vlen_dtype("f4"), chunks=(basket,), maxshape=(None,))
        ends = np.cumsum(ak.to_numpy(ak.num(table["jet"])))
        lists = np.split(ak.to_numpy(ak.flatten(table["jet"])), ends[:-1]) if entries else []
        if entries > 10_000:
            jets[...] = np.array([*lists, None], object)[:-1]
            return
        for row, one in enumerate(lists):  # h5py takes lists of one length for a matrix
            jets[row] = one


def write_parquet(path: Path, table: Columns, basket: int) -> None:
    """A table with a row group for each so many rows."""
    arrays = {name: pa.array(table[name]) for name in NUMBERS}
    jets = ak.to_arrow(table["jet"], extensionarray=False).cast(pa.list_(pa.float32()))
    pq.write_table(pa.table({**arrays, "jet": jets}), path, row_group_size=basket)


FORMATS: dict[str, tuple[str, Callable[[Path, Columns, int], None]]] = {
    "ttree": (".root", write_ttree),
    "rntuple": (".root", write_rntuple),
    "hdf5": (".h5", write_hdf5),
    "parquet": (".parquet", write_parquet),
}


def prepare(folder: Path) -> None:
    """Configs in a folder, and the network of a few events."""
    os.chdir(folder)
    write_ttree(Path("few.root"), columns(2_000), 1_000)
    dataset = {
        "output_path": "folds",
        "output_filename": "d.root",
        "tree_path": TREE,
        "event_branch": "event",
        "branches": ["event", "x", "y", "jet"],
        "processes": {name: {"files": ["few.root"], "cut_string": cut} for name, cut in CLASSES.items()},
    }
    training = {
        "output_path": "models",
        "datasets": ["folds/fold0_d.root", "folds/fold1_d.root"],
        "classes": list(CLASSES),
        "variables": VARIABLES,
        "model": {"hidden": [4], "epochs": 1},
    }
    configs = {
        "few": dataset,
        "training": training,
        "application": {"output_directory": "friends"},
        "columns": {"tree_path": TREE, "variables": ["event", "x", {"sum": "Sum$(jet)"}]},
    }
    for name, content in configs.items():
        Path(f"{name}.yaml").write_text(yaml.safe_dump(content))
    for arguments in (["dataset", "few.yaml"], ["train-keras", "training.yaml", "all"]):
        run(arguments)


class RefusedError(Exception):
    """One line with which a verb says that it cannot do what is asked."""


def run(arguments: list[str]) -> str:
    """Run a verb; what it prints."""
    from ntupleml.cli import main

    printed, said = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(said):
        status = main([*arguments, "-q"])
    lines = said.getvalue().splitlines()
    if status == 0:
        return printed.getvalue()
    if status not in (1, 2) or len(lines) != 1:
        raise ValueError(f"{arguments[0]}: status {status}: {said.getvalue()[-500:]}")
    raise RefusedError(lines[0])


@cache
def _sessions(folder: str) -> list[onnxruntime.InferenceSession]:
    return [onnxruntime.InferenceSession(f"{folder}/models/fold{fold}_keras_model.onnx") for fold in (0, 1)]


def expected(table: Columns) -> NDArray[np.float32]:
    """Scores of ONNX Runtime: an event with an even number is scored by the model that was trained on odd ones."""
    sums = ak.to_numpy(ak.sum(table["jet"], axis=1))
    matrix = np.stack([table["x"], table["y"], sums], axis=1).astype("f4")
    both = [session.run(["scores"], {"variables": matrix})[0] for session in _sessions(str(Path.cwd()))]
    scores: NDArray[np.float32] = np.where((table["event"] % 2 == 1)[:, None], both[0], both[1])
    return scores


def same_scores(found: Any, tables: list[Columns], what: str) -> None:
    """Compare scores, by class, of all files one after the other."""
    scores = np.stack([np.asarray(found[f"ml_score_{name}"]) for name in CLASSES], axis=1)
    wanted = np.concatenate([expected(table) for table in tables])
    if scores.shape != wanted.shape:
        raise ValueError(f"{what}: {len(scores):,} entries, not {len(wanted):,}")
    np.testing.assert_allclose(scores, wanted, atol=2e-6, err_msg=what)


def _joined(files: list[Any], names: list[str]) -> Columns:
    return {name: np.concatenate([np.asarray(file[name]) for file in files]) for name in names}


def check_inspect(paths: list[Path], tables: list[Columns]) -> None:
    """The number of entries of each file is shown."""
    for path, table in zip(paths[:3], tables, strict=False):
        entries, shown = len(table["event"]), run(["inspect", str(path), "--head", "2"])
        if re.search(rf"│ +{entries:,} │", shown) is None:
            raise ValueError(f"inspect: not {entries:,} entries: {shown[:200]}")


def check_dataset(paths: list[Path], tables: list[Columns]) -> None:
    """Each event is in the fold of its number and the class of its cut; a fold without events is refused."""
    content = yaml.safe_load(Path("few.yaml").read_text())
    files = [str(path) for path in paths]
    content["processes"] = {name: {"files": files, "cut_string": cut} for name, cut in CLASSES.items()}
    content["output_path"] = "built"
    Path("dataset.yaml").write_text(yaml.safe_dump(content))
    numbers, x = (np.concatenate([table[name] for table in tables]) for name in ("event", "x"))
    jets = ak.concatenate([table["jet"] for table in tables])
    chosen = {
        (fold, name): (numbers % 2 == fold) & ((x > 0) == (name == "signal")) for fold in (0, 1) for name in CLASSES
    }
    try:
        run(["dataset", "dataset.yaml", "--overwrite"])
    except RefusedError:
        if all(rows.any() for rows in chosen.values()):
            raise
        return
    for (fold, name), rows in chosen.items():
        with uproot.open(f"built/fold{fold}_d.root") as file:
            found = file[name].arrays(["event", "jet"])
        if found["event"].to_list() != numbers[rows].tolist() or not ak.array_equal(
            found["jet"], jets[rows], check_parameters=False, check_regular=False
        ):
            raise ValueError(f"dataset: fold {fold} of {name} has other events")


def check_friends(paths: list[Path], tables: list[Columns]) -> None:
    """Friends as ROOT and as HDF5 files."""
    for form, ending in (("root", ".root"), ("hdf5", ".h5")):
        Path("friends.yaml").write_text(yaml.safe_dump({"output_directory": "friends", "friend_format": form}))
        command = ["apply-keras-friend", "few.yaml", "training.yaml", "friends.yaml", *map(str, paths), TREE]
        run([*command, "--keep-names", "--overwrite"])
        found = []
        for path in paths:
            friend = Path("friends") / path.parent.name / path.with_suffix(ending).name
            if form == "hdf5":
                with h5py.File(friend) as file:
                    group = next(iter(file.values()))
                    found.append({name: group[f"ml_score_{name}"][:] for name in CLASSES})
            else:
                with uproot.open(friend) as file:
                    tree = file[file.keys(cycle=False)[0]]
                    found.append({name: tree[f"ml_score_{name}"].array(library="np") for name in CLASSES})
        joined = {f"ml_score_{name}": np.concatenate([one[name] for one in found]) for name in CLASSES}
        same_scores(joined, tables, f"friend {form}")


def check_in_place(paths: list[Path], tables: list[Columns]) -> None:
    """Copies with the scores have the numbers that they had."""
    command = ["apply-keras", "few.yaml", "training.yaml", "application.yaml", *map(str, paths), TREE]
    run([*command, "--output-directory", "copies", "--keep-names"])
    found = []
    for path in paths:
        with uproot.open(Path("copies") / path.parent.name / path.name) as file:
            found.append(file[TREE].arrays([*NUMBERS, "jet", *(f"ml_score_{name}" for name in CLASSES)]))
    whole = ak.concatenate(found)
    for name in (*NUMBERS, "jet"):
        before = ak.concatenate([table[name] for table in tables])
        if not ak.array_equal(whole[name], before, check_parameters=False, check_regular=False):
            raise ValueError(f"in place: {name} is another")
    same_scores(whole, tables, "in place")


def check_table(paths: list[Path], tables: list[Columns]) -> None:
    """A score table has a row for each event of all files."""
    command = ["score-table", "few.yaml", "training.yaml", "application.yaml", *map(str, paths), TREE]
    run([*command, "-o", "scores.parquet", "--overwrite"])
    found = pq.read_table("scores.parquet")
    if found["event"].to_pylist() != np.concatenate([table["event"] for table in tables]).tolist():
        raise ValueError("score-table: other events")
    same_scores(
        {name: found[name].to_numpy() for name in found.column_names if name.startswith("ml_score")},
        tables,
        "score-table",
    )


def check_conversion(paths: list[Path], tables: list[Columns]) -> None:
    """An HDF5 table has a row for each event of all files."""
    run(["convert", "-v", "columns.yaml", "-s", "table.h5", "-O", *map(str, paths)])
    wanted = np.concatenate([ak.to_numpy(ak.sum(table["jet"], axis=1)) for table in tables])
    with h5py.File("table.h5") as file:
        found = file[TREE]["sum"][:]
    if found.shape != wanted.shape:
        raise ValueError(f"convert: {len(found):,} rows, not {len(wanted):,}")
    np.testing.assert_allclose(found, wanted, rtol=1e-6)


CHECKS = (check_inspect, check_dataset, check_friends, check_in_place, check_table, check_conversion)


def campaign(shape: str, form: str) -> list[str]:
    """Give a shape to all commands, in the current folder, which `prepare` filled; a line for each fault."""
    tables, basket = SHAPES[shape]()
    ending, write = FORMATS[form]
    paths = []
    for number, table in enumerate(tables):
        paths.append(Path(f"{shape}-{form}") / f"{number}" / f"{number}{ending}")
        paths[-1].parent.mkdir(parents=True, exist_ok=True)
        write(paths[-1], table, basket)
    faults = []
    for check in CHECKS:
        if check is check_in_place and form != "ttree":
            continue  # branches are added to TTrees alone
        start = time.monotonic()
        try:
            check(paths, tables)
        except Exception as error:
            line = traceback.extract_tb(error.__traceback__)[-1]
            faults.append(f"{check.__name__}: {type(error).__name__} {error} ({line.filename}:{line.lineno})")
        print(f"{shape:16}{form:10}{check.__name__:18}{time.monotonic() - start:8.1f} s", flush=True)
    for left in (f"{shape}-{form}", "friends", "copies", "built"):
        shutil.rmtree(left, ignore_errors=True)
    return faults


def main() -> int:
    """Run campaigns and print what fails."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shapes", default=",".join(SHAPES), help="with commas between (default: all)")
    parser.add_argument("--formats", default=",".join(FORMATS), help="with commas between (default: all)")
    arguments = parser.parse_args()
    failed = False
    with tempfile.TemporaryDirectory() as place:
        prepare(Path(place))
        for shape in arguments.shapes.split(","):
            for form in arguments.formats.split(","):
                for fault in campaign(shape, form):
                    failed = True
                    print(f"    {fault}", flush=True)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
