"""Which rows and branches a process gives: filters, an exact number of rows, branches by formulas, patterns."""

from __future__ import annotations

import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import awkward as ak
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import uproot
import yaml

from ntupleml.datasets import create_training_dataset
from ntupleml.errors import NtuplemlError
from ntupleml.ntuples import open_ntuple, reading

if TYPE_CHECKING:
    from conftest import MakeConfig, WriteNtuple

    from ntupleml.config import DatasetConfig

RunScript = Callable[..., subprocess.CompletedProcess[str]]


def rows(config: DatasetConfig, *names: str, tree: str = "sig") -> dict[str, list[Any]]:
    """Columns of all folds, one fold after the other."""
    found: dict[str, list[Any]] = {name: [] for name in names}
    for path in create_training_dataset(config, overwrite=True).files:
        with uproot.open(path) as file:
            for name in names:
                found[name] += file[tree][name].array().to_list()
    return found


def sig(*files: str, **keys: Any) -> dict[str, Any]:
    return {"sig": {"files": [*(files or ("signal.root",))], **keys}}


@pytest.mark.parametrize(
    "text", ["n in [2, 5] and 0.125 < x <= 0.875", "(n == 2 || n == 5) && x > 0.125 && x <= 0.875"]
)
def test_a_filter_is_a_query_or_a_formula(signal: Path, make_config: MakeConfig, text: str) -> None:
    found = rows(make_config(processes=sig(event_filter=text, cut_string="n != 5")), "n", "x")
    number = np.arange(1000)
    x = (number / 1000).astype("f4")
    expected = x[(number % 7 == 2) & (x > 0.125) & (x <= 0.875)]
    assert set(found["n"]) == {2}
    assert sorted(found["x"]) == expected.tolist()


def test_an_exact_number_of_rows(
    write_ntuple: WriteNtuple,
    make_config: MakeConfig,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Of all files together, whatever the chunks; another seed chooses others, each row as likely as any other."""
    caplog.set_level("INFO")
    for index, entries in enumerate((700, 1, 299)):
        write_ntuple(f"part_{index}.root", event=np.arange(entries) + 1000 * index, x=np.arange(entries) % 5)
    keys = {"cut_string": "x > 0", "num_events": 240}
    found = []
    for step, seed in ((100_000, 1), (7, 1), (100_000, 2)):
        monkeypatch.setattr(reading, "ENTRIES_PER_CHUNK", step)
        found.append(rows(make_config(processes=sig("part_*.root", **keys), seed=seed), "event")["event"])
    assert [len(set(one)) for one in found] == [240, 240, 240]
    assert found[0] == found[1]
    passing = 560 + 239  # four of five, without the one entry of the second file
    # hypergeometric: the mean number that two choices have in common, and five standard deviations
    mean, share = 240 * 240 / passing, 240 / passing
    assert abs(len(set(found[0]) & set(found[2])) - mean) < 5 * np.sqrt(mean * (1 - share) ** 2)
    assert abs(sum(event < 1000 for event in found[0]) - 240 * 560 / passing) < 5 * np.sqrt(240 * 0.7 * 0.3)
    assert "processes.sig.num_events: 240 of 799 rows that pass are kept" in caplog.text


def test_rows_of_one_event_are_chosen_one_by_one(write_ntuple: WriteNtuple, make_config: MakeConfig) -> None:
    counts = np.arange(200) % 4
    pt = ak.unflatten(np.arange(counts.sum(), dtype="f8"), counts)
    write_ntuple("signal.root", event=np.arange(200), Jet_pt=pt)
    found = rows(make_config(processes=sig(num_events=90), rows={"objects": "Jet"}), "Jet_pt", "event")
    assert len(set(found["Jet_pt"])) == 90
    assert len(set(found["event"])) < 90


def test_too_many_are_asked_for(signal: Path, make_config: MakeConfig, caplog: pytest.LogCaptureFixture) -> None:
    found = rows(make_config(processes=sig(num_events=500, cut_string="n == 3")), "x")
    assert len(found["x"]) == 143
    assert "processes.sig.num_events: 500 asked for, but only 143 rows pass; all are kept" in caplog.text


def test_workers_choose_the_same_rows(signal: Path, tmp_path: Path, run_script: RunScript) -> None:
    content = {
        "output_filename": "d.root",
        "base_path": str(signal.parent),
        "tree_path": "ntuple",
        "event_branch": "event",
        "processes": sig(num_events=321, event_filter="n > 1 and x > 0.1", define={"mass": 600, "y": "x + mass"}),
    }
    found = []
    for name, options in (("here", []), ("workers", ["--workers", 2])):
        config = tmp_path / f"{name}.yaml"
        config.write_text(yaml.safe_dump({**content, "output_path": str(tmp_path / name)}))
        done = run_script("dataset/create_training_dataset.py", config, *options)
        assert done.returncode == 0, done.stderr
        with uproot.open(tmp_path / name / "fold0_d.root") as file:
            found.append(file["sig"].arrays(["x", "y"]).to_list())
    assert found[0] == found[1]
    assert found[0][0]["y"] == pytest.approx(600 + found[0][0]["x"], rel=1e-6)


def test_defined_branches(write_ntuple: WriteNtuple, make_config: MakeConfig) -> None:
    """They are doubles or lists of them, one may use another, and cuts, weights and filters may use all."""
    number = np.arange(40)
    clusters = ak.unflatten(np.arange(80, dtype="f4"), np.full(40, 2))
    write_ntuple("signal.root", event=number, Clus_e=clusters, x=number / 4)
    process = {
        "files": ["signal.root"],
        "define": {"llp_mH": 600, "share": "Clus_e / Sum$(Clus_e)", "heavy": "x + llp_mH"},
        "cut_string": "heavy > 601",
        "event_filter": "share[0] < 0.49 && llp_mH == 600",
        "weight_string": "llp_mH / 2",
    }
    config = make_config(processes={"sig": process}, branches=["x"])
    found = rows(config, "x", "llp_mH", "share", "heavy", "training_weight")
    kept = [index for fold in (0, 1) for index in number[fold::2] if index > 4 and 2 * index / (4 * index + 1) < 0.49]
    assert 0 < len(kept) < 35
    assert found["x"] == [index / 4 for index in kept]
    assert found["llp_mH"] == [600.0] * len(kept)
    assert found["heavy"] == [600 + index / 4 for index in kept]
    assert np.allclose(found["share"], [[2 * i / (4 * i + 1), (2 * i + 1) / (4 * i + 1)] for i in kept], rtol=1e-14)
    assert found["training_weight"] == [300.0] * len(kept)
    with open_ntuple(Path(config.output_path) / "fold0_dataset.root", "sig") as ntuple:
        assert {ntuple.branches[name].dtype for name in ("llp_mH", "share")} == {np.dtype("f8")}


@pytest.mark.parametrize(
    ("patterns", "expected"),
    [
        (["*", "!HLT_*"], {"x", "y_1", "y_2"}),
        (["!HLT_*"], {"x", "y_1", "y_2"}),
        (["y_*", "!y_2", "HLT_pt"], {"y_1", "HLT_pt"}),
        (["*", "!*_*", "HLT_eta"], {"x", "HLT_eta"}),
        (["!event", "!y*"], {"x", "HLT_pt", "HLT_eta"}),
    ],
)
def test_patterns_that_remove(
    write_ntuple: WriteNtuple, make_config: MakeConfig, patterns: list[str], expected: set[str]
) -> None:
    """The event number is always there; what is taken away need not be in all files."""
    columns = dict.fromkeys(["x", "y_1", "y_2", "HLT_pt", "HLT_eta"], np.zeros(4))
    write_ntuple("signal.root", event=np.arange(4), **columns)
    processes = sig()
    if not any(one.startswith("HLT") for one in patterns):
        write_ntuple("other.root", event=np.arange(4), **{name: columns[name] for name in ("x", "y_1", "y_2")})
        processes["other"] = {"files": ["other.root"]}
    record = create_training_dataset(make_config(processes=processes, branches=patterns)).records[0]
    assert set(record.branches["sig"]) == {*expected, "event", "training_weight"}


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({"event_filter": "x in y"}, "processes.sig.event_filter: 'x in y' is nothing that a filter can have"),
        ({"event_filter": "z > 0 and x > 0"}, "processes.sig.event_filter: column 2: no branch 'z'"),
        ({"event_filter": "n > 6 and x > 0"}, "none passes the cut '1' and the event_filter 'n > 6 and x > 0'"),
        ({"num_events": 1}, "none passes the cut '1' and is among the 1 rows of num_events"),
        ({"define": {"x": "1"}}, "processes.sig.define.x: tree 'ntuple' of {path} has a branch 'x' already"),
        ({"define": {"m": "2 * nn"}}, "processes.sig.define.m: column 5: no branch 'nn'"),
        ({"define": {"b": "a", "a": "1"}}, "processes.sig.define.b: column 1: no branch 'a'"),
        ({"define": {"m": "x +"}}, "processes.sig.define.m: column 4: "),
        ({"branches": ["*", "!HLT_*"]}, "branches[1]: '!HLT_*' takes no branch away in any file; correct or drop it"),
    ],
)
def test_mistakes_are_one_line(signal: Path, make_config: MakeConfig, keys: dict[str, Any], expected: str) -> None:
    common = {"branches": keys.pop("branches")} if "branches" in keys else {}
    with pytest.raises(NtuplemlError) as caught:
        create_training_dataset(make_config(processes=sig(**keys), **common))
    assert expected.format(path=signal) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_files_without_anything_are_left_out(
    signal: Path, make_config: MakeConfig, caplog: pytest.LogCaptureFixture
) -> None:
    pq.write_table(pa.table({}), signal.parent / "empty.parquet")
    assert len(rows(make_config(processes=sig("empty.parquet", "signal.root")), "x")["x"]) == 1000
    assert "empty.parquet: holds no events, and is left out" in caplog.text
    with pytest.raises(NtuplemlError, match=r"processes.sig: its files hold no events: they have no branches either"):
        create_training_dataset(make_config(processes=sig("empty.parquet")), overwrite=True)


def test_nothing_is_matched(write_ntuple: WriteNtuple, make_config: MakeConfig) -> None:
    near = {f"{name}_{angle}": ak.Array([[0.0], [1.0]]) for name in ("Jet", "LLP") for angle in ("eta", "phi")}
    write_ntuple("signal.root", event=np.arange(2), **near)
    match = {"objects": "LLP", "selection": "LLP_eta > 2"}
    with pytest.raises(NtuplemlError, match=r"in fold 0: no object of 2 events passes rows.selection, and has a m"):
        create_training_dataset(make_config(processes=sig(match=match), rows={"objects": "Jet"}))


@pytest.mark.parametrize("name", ["signal.pkl", "signal.pickle.gz"])
def test_pickles_are_not_read(tmp_path: Path, make_config: MakeConfig, name: str) -> None:
    """The command of the message makes of them what is read."""
    import pandas as pd

    (tmp_path / "ntuples").mkdir()
    pickled = tmp_path / "ntuples" / name
    pd.DataFrame({"event": np.arange(10), "x": np.arange(10) / 2}).to_pickle(pickled)
    with pytest.raises(NtuplemlError, match="is a pickle, which can run any program when it is read") as caught:
        create_training_dataset(make_config(processes=sig(name)))
    (*_, program) = shlex.split(str(caught.value).partition("from: ")[2])
    subprocess.run([sys.executable, "-c", program], check=True, cwd=pickled.parent)
    (made,) = pickled.parent.glob("*.parquet")
    assert rows(make_config(processes=sig(made.name)), "x")["x"] == [0, 1, 2, 3, 4, 0.5, 1.5, 2.5, 3.5, 4.5]
