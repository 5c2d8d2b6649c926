"""Inputs of the L1 network in units of the hardware, and scores matched by run and event number.

Layout: `l1_input_and_matching.npz` has the answers, `EB_toy_*.h5` the events. Where a key has no partner, the original
gives 0; the product refuses it unless it is asked for that.
"""

from __future__ import annotations

import tempfile
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from quantities import Quantity, largest

from ntupleml.config import SlotsGroupConfig
from ntupleml.errors import NtuplemlError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    Array = NDArray[Any]

#: Exponents of the powers of two of the stored answers: jets, taus, muons, missing energy.
EXPONENTS = [
    *(7, 5, 5, 7, 5, 5, 5, 4, 4, 5, 4, 3, 4, 3, 3, 3, 3, 2),
    *(6, 5, 5, 5, 4, 5, 4, 3, 4, 3, 2, 3),
    *(4, 4, 4, 2, 3, 3, 1, 1, 2, -2, -1, -1),
    *(6, 5),
]
SLOTS = {
    "jets": {"column": "L1_jFexSR_jets", "number": 6},
    "taus": {"column": "L1_eFex_taus", "number": 4},
    "muons": {"column": "L1_muons", "number": 4},
    "met": {"column": "L1_MET", "columns": [0, None, 2], "number": 1},
}


def _read(paths: Sequence[Path], steps: list[Any]) -> tuple[Array, dict[str, Array]]:
    """Numbers of events with pile-up, in double precision, and their branches."""
    from ntupleml.events.groups import groups_of
    from ntupleml.events.reading import read_events
    from ntupleml.ntuples import open_ntuple
    from ntupleml.preprocessing.slots import slots_made

    group = SlotsGroupConfig.model_validate({"slots": SLOTS, "steps": steps})
    more = ("run_number", "event_number", "EB_weights", "pass_L1_unprescaled", "mu")
    numbers, columns = [], []
    for path in paths:
        with open_ntuple(path, "") as ntuple:
            for chunk in read_events(
                ntuple, groups_of({"l1": group}), more=more, choose=lambda one: np.flatnonzero(one.columns["mu"])
            ):
                numbers.append(slots_made(group.maker, chunk.inputs.batch()["l1"])[0].astype(np.float64))
                columns.append(chunk.columns)
    return np.concatenate(numbers), {name: np.concatenate([one[name] for one in columns]) for name in more}


def l1_inputs(folder: Path) -> Iterator[Quantity]:
    """Quantities of inputs and matching."""
    paths = sorted(folder.glob("EB_toy_*.h5"))
    if not paths or not (folder / "l1_input_and_matching.npz").is_file():
        return
    with np.load(folder / "l1_input_and_matching.npz") as file:
        stored = dict(file)
    yield Quantity("l1: numbers in hardware units, one file", partial(_single, paths[0], stored), 0)
    yield Quantity("l1: numbers in hardware units, all files", partial(_all, paths, stored, "topo2A_shuffled"), 0)
    yield Quantity("l1: divided by powers of two", partial(_all, paths, stored, "scaled"), 0)
    yield Quantity("l1: scores by run and event", partial(_matched, stored), 0)
    yield Quantity("l1: rows without a partner are refused", partial(_refused, stored), 0)
    yield Quantity("l1: runs and events of the training", partial(_division, stored), 0)


def _single(path: Path, stored: Mapping[str, Array]) -> float:
    numbers, columns = _read([path], ["hardware_units"])
    differences = [largest(numbers, np.nan_to_num(stored["single_topo2A"]))]
    for name, branch in (("run", "run_number"), ("event", "event_number"), ("weights", "EB_weights")):
        differences.append(float((columns[branch] != stored[f"single_{name}"]).sum()))
    return max(differences)


def _all(paths: Sequence[Path], stored: Mapping[str, Array], name: str) -> float:
    """The original shuffles the events: both sides are compared in the order of their keys and numbers."""
    steps: list[Any] = ["hardware_units"]
    if name == "scaled":
        steps.append({"powers_of_two": {"exponents": EXPONENTS}})
    numbers, columns = _read(paths, steps)
    branches = ("run_number", "event_number", "EB_weights", "pass_L1_unprescaled")
    found = _sorted([columns[branch].astype(np.float64) for branch in branches], numbers)
    keys = [stored[f"all_{one}"].astype(np.float64) for one in ("run", "event", "weights", "pass_L1")]
    return largest(found, _sorted(keys, np.nan_to_num(stored[f"all_{name}"])))


def _sorted(columns: list[Array], numbers: Array) -> Array:
    rows = np.column_stack([*columns, numbers])
    return rows[np.lexsort(rows.T[::-1])]


def _join(stored: Mapping[str, Array], folder: Path, **options: Any) -> dict[str, Array]:
    """Scores of the events of the HLT by the product's join of two files."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from ntupleml.datasets.joining import join

    for side, names in (("HLT", ("run", "event")), ("L1", ("run", "event", "score"))):
        pq.write_table(pa.table({name: stored[f"match_{side}_{name}"] for name in names}), folder / f"{side}.parquet")
    output = folder / "joined.parquet"
    join(folder / "HLT.parquet", folder / "L1.parquet", output, ["run", "event"], ["score"], **options)
    return {
        name: column.to_numpy()
        for name, column in zip(("run", "event", "score"), pq.read_table(output).columns, strict=True)
    }


def _matched(stored: Mapping[str, Array]) -> float:
    with tempfile.TemporaryDirectory() as folder:
        found = _join(stored, Path(folder), unmatched=0.0, duplicates="last")
    return largest(found["score"], stored["match_HLT_score"])


def _refused(stored: Mapping[str, Array]) -> float:
    """1 if the product takes what nobody asked for."""
    keys = [
        {*zip(stored[f"match_{side}_run"].tolist(), stored[f"match_{side}_event"].tolist(), strict=True)}
        for side in ("HLT", "L1")
    ]
    cases: list[dict[str, Any]] = []
    if keys[0] - keys[1]:
        cases.append({"duplicates": "last"})
    if len(keys[1]) < len(stored["match_L1_run"]):
        cases.append({"unmatched": 0.0})
    for options in cases:
        with tempfile.TemporaryDirectory() as folder:
            try:
                _join(stored, Path(folder), **options)
            except NtuplemlError:
                continue
            return 1.0
    return 0.0


def _division(stored: Mapping[str, Array]) -> float:
    """Events whose data set differs: that of the training by keys, the others by run."""
    from ntupleml.events.keys import KeyIndex

    index = KeyIndex(len(stored["match_train_run"]), [np.dtype(np.int64)] * 2)
    index.add([stored["match_train_run"], stored["match_train_event"]])
    index.finish()
    runs = stored["match_HLT_run"]
    of_training = index.find([runs, stored["match_HLT_event"]]) >= 0
    by_run = {run: f"EB_{run}" for run in np.unique(runs)} | {475341: "HLT_noalg_eb_L1All"}
    names = np.array([by_run[run] for run in runs])
    return float((np.where(of_training, "topo2A_train", names) != stored["match_dataset"]).sum())
