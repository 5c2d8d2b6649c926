"""Tables of jets as CalRatioTrainer makes them of ntuples, before and after they are scaled.

Layout: `convert_build_summary.json` lists what the original made of the files in `root_real` and `root_synth`; its
tables lie in `convert` and `build`. With `unscaled.yaml` or `original.yaml` behind the configs of a kind of data, the
product has to make the same; without, what is right: `build/signs_and_counts.npz`, and the tables built with a lowest
pT of 0, in which the mistakes do not show.
"""

from __future__ import annotations

import json
import tempfile
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import yaml
from quantities import Quantity, largest

from ntupleml.config import DatasetConfig
from ntupleml.config.conversion import load_conversion
from ntupleml.datasets import create_training_dataset
from ntupleml.datasets.converting import convert
from ntupleml.errors import NtuplemlError
from ntupleml.expressions import parse_filter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from numpy.typing import NDArray

    Table = dict[str, NDArray[Any]]

CONFIGS = Path(__file__).parents[1] / "configs" / "calratio" / "reference"
#: Of doubles, which are computed by the same formulas.
LIMIT = 1e-12
#: Slots of the collections.
LENGTHS = {"clus": 30, "track": 20, "MSeg": 30}


class Case(NamedTuple):
    """What the original made of one file."""

    folder: Path
    key: str
    file: str
    data_type: str
    min_jet_pt: float
    max_jet_pt: float
    llp_mH: float  # noqa: N815 - called so in the summary
    llp_mS: float  # noqa: N815
    outcome: str
    log: list[list[str]]
    parquet: str | None = None

    @property
    def path(self) -> Path:
        """The ntuple."""
        return self.folder / ("root_synth" if self.key.startswith("synth_") else "root_real") / self.file

    @property
    def cut(self) -> str:
        """Which jets are rows."""
        return f"jet_pT >= {self.min_jet_pt} && jet_pT < {self.max_jet_pt} && abs(jet_eta) <= 2.5"

    def table(self, *behind: str, change: Mapping[str, Any] | None = None) -> Table:
        """What the product makes of the file, with some configs behind that of its kind of data."""
        kinds = ["qcd"] if self.data_type == "qcd" else ["qcd", self.data_type]
        define = {"llp_mH": self.llp_mH, "llp_mS": self.llp_mS} if self.data_type == "sig" else {}
        with tempfile.TemporaryDirectory() as scratch:
            last = Path(scratch) / "last.yaml"
            last.write_text(yaml.safe_dump({"rows": {"selection": self.cut}, "define": define}))
            changed = Path(scratch) / "changed.yaml"
            changed.write_text(yaml.safe_dump(dict(change or {})))
            configs = [CONFIGS / f"{name}.yaml" for name in (*kinds, *behind)]
            output = Path(scratch) / "table.parquet"
            convert([str(self.path)], output, load_conversion([*configs, last, changed]))
            return read_table(output) if output.exists() else {}  # no file holds events


def read_table(path: Path) -> Table:
    """Columns of a Parquet file."""
    import pyarrow.parquet as pq

    table = pq.read_table(path)
    return {"llp_pt" if name == "llp_pT" else name: table[name].to_numpy() for name in table.column_names}


def _summary(folder: Path, part: str) -> list[dict[str, Any]]:
    """What the original did; nothing for a folder without its tables."""
    path = folder / "convert_build_summary.json"
    found: list[dict[str, Any]] = json.loads(path.read_text())[part] if path.is_file() else []
    return found


def _cases(folder: Path) -> dict[str, Case]:
    cases = _summary(folder, "convert")
    return {one["key"]: Case(folder, **{key: one[key] for key in Case._fields if key in one}) for one in cases}


def _difference(found: Table, expected: Table) -> float:
    """Largest difference of all columns of the original; infinite where the numbers of rows differ."""
    rows = len(next(iter(expected.values())))
    if len(found["label"]) != rows:
        return np.inf
    return max(largest(found[name], values) for name, values in expected.items() if not name.startswith("__"))


def converted(folder: Path) -> Iterator[Quantity]:
    """Tables before they are scaled, and what is said of files of which the original makes none."""
    for case in _cases(folder).values():
        if case.parquet is not None:
            yield Quantity(f"convert: {case.key}", partial(_converted_difference, case), LIMIT)
        elif any("does not contain the required branches" in line for _, line in case.log):
            yield Quantity(f"convert: {case.key}: refused, as a branch is missing", partial(_not_refused, case), 0)
        else:
            yield Quantity(f"convert: {case.key}: rows and clusters of good jets", partial(_other_rows, case), 0)


def _converted_difference(case: Case) -> float:
    return _difference(case.table("unscaled"), read_table(case.folder / str(case.parquet)))


def _not_refused(case: Case) -> float:
    try:
        case.table()
    except NtuplemlError as error:
        return float("no branch" not in str(error) and "no lists" not in str(error))
    return 1.0


def _other_rows(case: Case) -> float:
    """Where the original makes no file: rows are the good jets of multijets, with their clusters, and no others."""
    import awkward as ak
    import uproot

    found = case.table("unscaled")
    rows, clusters = 0, 0
    if case.data_type == "qcd":
        with uproot.open(case.path) as file:
            if file["trees_DV_"].num_entries:
                events = file["trees_DV_"].arrays(["jet_pT", "jet_eta", "cluster_jetIndex"])
                good = (events.jet_pT >= case.min_jet_pt) & (events.jet_pT < case.max_jet_pt)
                good = good & (abs(events.jet_eta) <= 2.5)
                owners = ak.local_index(events.jet_pT)
                own = ak.sum(events.cluster_jetIndex[:, np.newaxis] == owners[:, :, np.newaxis], axis=2)
                rows, clusters = ak.sum(good), ak.sum(np.minimum(own[good], LENGTHS["clus"]))
    if not found:
        return float(rows)
    filled = sum(np.count_nonzero(found[f"clus_pt_{slot}"]) for slot in range(LENGTHS["clus"]))
    return float(abs(len(found["label"]) - rows) + abs(filled - clusters))


def built(folder: Path) -> Iterator[Quantity]:
    """Scaled tables: as the original, and right; numbers of rows that are asked for."""
    cases, stored = _cases(folder), folder / "build" / "signs_and_counts.npz"
    signs = dict(np.load(stored)) if stored.is_file() else {}
    for one in _summary(folder, "build"):
        name, inputs = one["name"], [cases[key] for key in one["inputs"]]
        if one["error"] is not None:
            continue
        if one["num_events"] is not None:
            yield Quantity(f"build: {name}: number of rows", partial(_sampled_difference, inputs, one), 0)
            continue
        if "parquet" not in one:
            continue
        expected = partial(read_table, folder / one["parquet"])
        yield Quantity(
            f"build: {name}: as the original", partial(_built_difference, inputs, one, expected, original=True), LIMIT
        )
        if one["min_jet_pt"] == 0:
            yield Quantity(
                f"build: {name}: right numbers",
                partial(_built_difference, inputs, one, expected, original=False),
                LIMIT,
            )
        if f"{name}__track_sign_right" in signs:
            yield Quantity(
                f"build: {name}: right signs, empty slots are 0", partial(_sign_difference, inputs, one, signs), LIMIT
            )


def _built(inputs: list[Case], build: Mapping[str, Any], *, original: bool) -> Table:
    low, high = build["min_jet_pt"], build["max_jet_pt"]
    change: dict[str, Any] = {"define": {"min_pt": low, "max_pt": high}}
    if original:
        padding = {"clus": {"clus_pt": -low / ((high - low) * 1000)}, "track": {"track_pt": -low / (high - low)}}
        change["collections"] = {name: {"padding": one} for name, one in padding.items()}
    if build["event_filter"]:
        change["selection"] = parse_filter(build["event_filter"]).text
    tables = [case.table(*(["original"] if original else []), change=change) for case in inputs]
    return {name: np.concatenate([table[name] for table in tables]) for name in tables[0]}


def _built_difference(
    inputs: list[Case], build: Mapping[str, Any], expected: Callable[[], Table], *, original: bool
) -> float:
    answers = expected()
    if not original:  # of slots without an object it has 0 / 0
        answers = {name: np.nan_to_num(values) for name, values in answers.items()}
    return _difference(_built(inputs, build, original=original), answers)


def _sign_difference(inputs: list[Case], build: Mapping[str, Any], signs: Table) -> float:
    found = _built(inputs, build, original=False)
    raw = [case.table("unscaled") for case in inputs]
    worst = 0.0
    for name, sign, number in (("clus", "cluster_sign", "n_clusters"), ("track", "track_sign_right", "n_tracks")):
        counts = signs[f"{build['name']}__{number}"]
        for slot in range(LENGTHS[name]):
            eta = np.concatenate([one[f"{name}_eta_{slot}"] for one in raw])
            worst = max(worst, largest(found[f"{name}_eta_{slot}"], eta * signs[f"{build['name']}__{sign}"]))
            empty = [column[counts <= slot] for key, column in found.items() if _is_of(key, name, slot)]
            worst = max(worst, largest(np.stack(empty), np.zeros((len(empty), np.count_nonzero(counts <= slot)))))
    return worst


def _is_of(column: str, collection: str, slot: int) -> bool:
    return column.startswith(f"{collection}_") and column.endswith(f"_{slot}")


def _sampled_difference(inputs: list[Case], build: Mapping[str, Any]) -> float:
    """Number of rows of a dataset for which the config asks for one."""
    (case,) = inputs
    rows = yaml.safe_load((CONFIGS / "qcd.yaml").read_text())["rows"]
    with tempfile.TemporaryDirectory() as scratch:
        config = DatasetConfig.model_validate(
            {
                "output_path": scratch,
                "output_filename": "dataset.root",
                "tree_path": "trees_DV_",
                "rows": {**rows, "selection": case.cut},
                "processes": {"multijet": {"files": [str(case.path)], "num_events": build["num_events"]}},
                "branches": ["jet_*"],
            }
        )
        records = create_training_dataset(config).records
    return float(abs(sum(record.processes["multijet"].events_kept for record in records) - build["rows"]))
