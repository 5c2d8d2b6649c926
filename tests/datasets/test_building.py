"""Fold files hold the events that the config asks for, each once, with their weights."""

from __future__ import annotations

import json
import logging
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import awkward as ak
import numpy as np
import pytest
import uproot

from ntupleml.cluster import ClusterOptions
from ntupleml.datasets import create_training_dataset, read_fold_record
from ntupleml.errors import NtuplemlError
from ntupleml.ntuples import new_tree_file, open_ntuple, reading

if TYPE_CHECKING:
    from conftest import MakeConfig, WriteNtuple

NUMBER = np.arange(1000)
WEIGHT = np.where(NUMBER % 10 == 0, -0.5, 1.5)


def content(path: Path, tree: str) -> dict[str, Any]:
    with uproot.open(path) as file:
        return {name: branch.array() for name, branch in file[tree].items()}


def test_two_folds(signal: Path, make_config: MakeConfig) -> None:
    config = make_config(processes={"sig": {"files": ["signal.root"], "cut_string": "x > 0.5", "weight_string": "2*w"}})
    summary = create_training_dataset(config)
    assert [path.name for path in summary.files] == ["fold0_dataset.root", "fold1_dataset.root"]
    for fold, path in enumerate(summary.files):
        kept = (fold == (10**12 + 1 + NUMBER) % 2) & ((NUMBER / 1000).astype("f4") > 0.5)
        columns = content(path, "sig")
        assert list(columns) == ["event", "x", "n", "w", "training_weight"]
        np.testing.assert_array_equal(columns["event"], 10**12 + 1 + NUMBER[kept])
        np.testing.assert_array_equal(columns["n"], NUMBER[kept] % 7)
        np.testing.assert_array_equal(columns["training_weight"], 2 * WEIGHT[kept])
        types = {name: column.to_numpy().dtype.name for name, column in columns.items()}
        assert types == {"event": "int64", "x": "float32", "n": "int32", "w": "float64", "training_weight": "float32"}


@pytest.mark.parametrize("entries_per_chunk", [7, 64, 100_000])
def test_any_number_of_folds_in_any_chunks(
    signal: Path, make_config: MakeConfig, monkeypatch: pytest.MonkeyPatch, entries_per_chunk: int
) -> None:
    monkeypatch.setattr(reading, "ENTRIES_PER_CHUNK", entries_per_chunk)
    summary = create_training_dataset(make_config(num_folds=5, processes={"sig": {"files": ["signal.root"]}}))
    events = [content(path, "sig")["event"].to_numpy() for path in summary.files]
    for fold, numbers in enumerate(events):
        np.testing.assert_array_equal(numbers, (10**12 + 1 + NUMBER)[fold == (10**12 + 1 + NUMBER) % 5])
    assert sorted(np.concatenate(events)) == list(10**12 + 1 + NUMBER)


def test_without_event_branch_the_entry_number_of_each_file_decides(
    write_ntuple: WriteNtuple, make_config: MakeConfig
) -> None:
    for name, offset in (("a.root", 0), ("b.root", 100)):
        write_ntuple(name, x=np.arange(7.0) + offset)
    config = make_config(event_branch=None, processes={"sig": {"files": ["a.root", "b.root"]}})
    summary = create_training_dataset(config)
    assert content(summary.files[0], "sig")["x"].to_list() == [0, 2, 4, 6, 100, 102, 104, 106]
    assert content(summary.files[1], "sig")["x"].to_list() == [1, 3, 5, 101, 103, 105]
    assert summary.records[0].event_branch is None
    assert summary.records[0].decided_by == "entry number in each input file"


def test_several_processes_in_one_class(write_ntuple: WriteNtuple, make_config: MakeConfig) -> None:
    """Also where the processes of a class do not stand next to each other."""
    for name, value in (("a.root", 1.0), ("b.root", 2.0), ("c.root", 3.0)):
        write_ntuple(name, event=np.arange(4), x=np.full(4, value))
    processes = {
        "zl": {"files": ["a.root"], "class": "misc"},
        "tt": {"files": ["b.root"], "weight_string": "0.25"},
        "vv": {"files": ["c.root"], "class": "misc", "cut_string": "event < 2"},
    }
    summary = create_training_dataset(make_config(processes=processes))
    with uproot.open(summary.files[1]) as file:
        assert sorted(file.keys(cycle=False)) == ["misc", "tt"]
        assert file["misc"]["x"].array().to_list() == [1.0, 1.0, 3.0]
        assert file["tt"]["training_weight"].array().to_list() == [0.25, 0.25]
    record = summary.records[0]
    assert {name: (process.class_name, process.events_kept) for name, process in record.processes.items()} == {
        "zl": ("misc", 2),
        "vv": ("misc", 1),
        "tt": ("tt", 2),
    }


def test_vectors_and_leaf_lists_are_copied(
    write_ntuple: WriteNtuple, make_config: MakeConfig, caplog: pytest.LogCaptureFixture
) -> None:
    jets = ak.Array([[1.5, 2.5], [], [3.5], [4.5, 5.5, 6.5]])
    fixed = np.arange(8, dtype="i4").reshape(4, 2)
    path = write_ntuple("a.root", event=np.arange(4))
    with uproot.recreate(path) as file:
        types = {"event": "i8", "jets": "var * float32", "fixed": np.dtype(("i4", (2,))), "name": "string"}
        tree = file.mktree("ntuple", types)
        tree.extend({"event": np.arange(4), "jets": jets, "fixed": fixed, "name": ak.Array(["a", "b", "c", "d"])})
    config = make_config(processes={"sig": {"files": ["a.root"], "cut_string": "Length$(jets) > 0"}})
    with caplog.at_level(logging.WARNING):
        summary = create_training_dataset(config)
    even = content(summary.files[0], "sig")
    assert even["jets"].to_list() == [[1.5, 2.5], [3.5]]
    assert even["fixed"].to_list() == [[0, 1], [4, 5]]
    assert content(summary.files[1], "sig")["jets"].to_list() == [[4.5, 5.5, 6.5]]
    assert [message for message in caplog.messages if "name" in message] == [
        "not copied, since they hold neither numbers nor lists of numbers: 'name' (char*)"
    ]


@pytest.fixture
def arrays(make_config: MakeConfig) -> Path:
    """400 events: a C array m of 1, 2 and 3, and a vector v of 0 to 4 elements, all above 9."""
    path = Path(make_config(processes={"sig": {"files": ["a.root"]}}).base_path) / "a.root"
    number = np.arange(400)
    v = ak.unflatten(np.repeat(10 + number % 2, number // 2 % 5).astype("f4"), number // 2 % 5)
    with new_tree_file(path) as file:
        tree = file.tree("ntuple", {"event": "i8", "m": np.dtype(("f4", (3,))), "v": "vector of f4"})
        tree.extend({"event": number, "m": np.tile(np.array([1, 2, 3], "f4"), (400, 1)), "v": v})
    return path


@pytest.mark.parametrize(
    ("cut", "kept"), [("Sum$(v*m)>0", 320), ("Sum$(m*v)>0", 320), ("Length$(v*m)==1", 80), ("Length$(v*m)==3", 160)]
)
def test_arrays_of_one_length_beside_vectors(arrays: Path, make_config: MakeConfig, cut: str, kept: int) -> None:
    """Numbers of ROOT's TTree::GetEntries."""
    summary = create_training_dataset(make_config(processes={"sig": {"files": ["a.root"], "cut_string": cut}}))
    assert sum(record.processes["sig"].events_kept for record in summary.records) == kept


@pytest.mark.parametrize(
    ("keys", "where"),
    [
        ({"cut_string": "m[0]>0 || m[3]>0"}, "processes.sig.cut_string: column 11"),
        ({"weight_string": "m[3]"}, "processes.sig.weight_string: column 1"),
        ({}, "variables[0]: column 1"),
    ],
)
def test_elements_beyond_an_array_are_refused(
    arrays: Path, make_config: MakeConfig, keys: dict[str, str], where: str
) -> None:
    variables = {} if keys else {"branches": "needed", "variables": ["m[3]"]}
    config = make_config(**variables, processes={"sig": {"files": ["a.root"], **keys}})
    message = f"{arrays}: tree 'ntuple': {where}: there is no m[3]: each event has 3 of 'm'"
    with pytest.raises(NtuplemlError, match=f"^{re.escape(message)}"):
        create_training_dataset(config)


def test_formulas_that_need_no_branch(signal: Path, make_config: MakeConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    """The entry number counts through the chunks."""
    monkeypatch.setattr(reading, "ENTRIES_PER_CHUNK", 64)
    process = {"files": ["signal.root"], "cut_string": "Entry$%7", "weight_string": "Entry$ + 2**-1"}
    summary = create_training_dataset(make_config(num_folds=2, event_branch=None, processes={"sig": process}))
    weights = [content(path, "sig")["training_weight"].to_list() for path in summary.files]
    assert weights == [[n + 0.5 for n in range(fold, 1000, 2) if n % 7] for fold in (0, 1)]


def test_what_a_training_would_refuse_is_logged(
    write_ntuple: WriteNtuple, make_config: MakeConfig, caplog: pytest.LogCaptureFixture
) -> None:
    """Weights that cancel in fold 1, and all of zero; numbers that stand for 125 events each."""
    number = np.arange(1000)
    write_ntuple("a.root", event=number, w=np.where(number % 4 == 1, 1.0, np.where(number % 4 == 3, -1.0, 2.0)))
    write_ntuple("b.root", event=number % 8, w=np.ones(1000))
    names = {
        "good": ("a", "abs(w)"),
        "even": ("a", "w"),
        "zero": ("a", "0*w"),
        "less": ("a", "-w*w"),
        "few": ("b", "w"),
        "divided": ("a", "1 / (event % 8)"),
    }
    processes = {name: {"files": [f"{file}.root"], "weight_string": w} for name, (file, w) in names.items()}
    with caplog.at_level(logging.WARNING, "ntupleml.datasets"):
        create_training_dataset(make_config(processes=processes))
    cannot = "a class without a positive sum cannot be trained"
    assert caplog.messages == [
        f"processes.even: the weights 'w' sum to 0 in fold 1; {cannot}",
        f"processes.zero: the weights '0*w' sum to 0, 0 in fold 0, 1; {cannot}",
        f"processes.less: the weights '-w*w' sum to -2000, -500 in fold 0, 1; {cannot}",
        "processes.few: event_branch 'event' has not more than 8 different numbers in 1,000 events; those of one "
        "number all go to one fold, so check that it numbers the events",
        "processes.divided: the weight '1 / (event % 8)' is 0 in 125 of 1,000 kept events; divisions by zero give 0, "
        "as in ROOT; cut these events away if they are wrong",
    ]


def test_an_rntuple_as_input(make_config: MakeConfig, tmp_path: Path) -> None:
    (tmp_path / "ntuples").mkdir()
    vectors = ak.Array([[1], [], [2, 3], [], [], [4]])
    with uproot.recreate(tmp_path / "ntuples/a.root") as file:
        file.mkrntuple("ntuple", {"event": np.arange(6), "x": np.arange(6.0, dtype="f4"), "v": vectors})
    summary = create_training_dataset(make_config(processes={"sig": {"files": ["a.root"], "cut_string": "event > 0"}}))
    odd = content(summary.files[1], "sig")
    assert odd["x"].to_list() == [1, 3, 5]
    assert odd["v"].to_list() == [[], [], [4]]
    assert odd["event"].to_list() == [1, 3, 5]


@pytest.mark.parametrize(
    ("branches", "names"),
    [
        ("all", {"Jet.pt", "Jet.eta", "MET.pt", "event"}),
        ("needed", {"Jet.pt", "Jet.eta", "MET.pt", "event"}),
        (["Jet_*"], {"Jet.pt", "Jet.eta", "event"}),
        (["eta", "MET_pt"], {"Jet.eta", "MET.pt", "event"}),
    ],
)
def test_fields_of_collections(make_config: MakeConfig, tmp_path: Path, branches: Any, names: set[str]) -> None:
    """They are found under all their names, and copied under the one that the file gives them."""
    (tmp_path / "ntuples").mkdir()
    counts = [2, 0, 1, 3, 1, 1]
    jets = ak.zip({"pt": ak.unflatten(np.arange(8.0) + 20, counts), "eta": ak.unflatten(np.arange(8.0) - 4, counts)})
    with uproot.recreate(tmp_path / "ntuples/a.root") as file:
        file["ntuple"] = {"event": np.arange(6), "Jet": jets, "MET": ak.zip({"pt": np.arange(6.0)})}
    sig = {"files": ["a.root"], "cut_string": "Sum$(Jet_pt > 20) > 0 && Jet.eta[0] < 10", "weight_string": "1 + MET.pt"}
    summary = create_training_dataset(make_config(processes={"sig": sig}, branches=branches))
    odd = content(summary.files[1], "sig")
    assert {name for name in odd if not name.startswith("nJet_")} == names | {"training_weight"}
    assert odd["event"].to_list() == [3, 5]
    assert odd["training_weight"].to_list() == [4, 6]
    assert odd["Jet.eta"].to_list() == [[-1, 0, 1], [3]]
    with open_ntuple(summary.files[1], "sig") as ntuple:
        ntuple.require(["eta", "Jet_eta"])  # as a training config may call it, on the ntuple and here


def test_an_empty_file_among_others(write_ntuple: WriteNtuple, make_config: MakeConfig) -> None:
    write_ntuple("a.root", event=np.arange(4))
    write_ntuple("empty.root", event=np.arange(0))
    summary = create_training_dataset(make_config(processes={"sig": {"files": ["empty.root", "a.root"]}}))
    assert content(summary.files[0], "sig")["event"].to_list() == [0, 2]
    assert [file.entries for file in summary.records[0].processes["sig"].files] == [0, 4]


class TestBranches:
    """Which branches are kept."""

    @pytest.mark.parametrize(
        ("keys", "expected"),
        [
            ({}, ["event", "x", "n", "w", "training_weight"]),
            ({"branches": "needed"}, ["event", "x", "w", "training_weight"]),
            ({"branches": "needed", "variables": ["n"]}, ["event", "n", "training_weight"]),
            ({"branches": "needed", "variables": ["sqrt(x) + n"]}, ["event", "x", "n", "training_weight"]),
            ({"branches": ["[xn]"]}, ["event", "x", "n", "training_weight"]),
            ({"branches": ["n", "e*"]}, ["event", "n", "training_weight"]),
            ({"branches": ["n"], "event_branch": None}, ["n", "training_weight"]),
        ],
    )
    def test_choices(self, signal: Path, make_config: MakeConfig, keys: dict[str, Any], expected: list[str]) -> None:
        processes = {"sig": {"files": ["signal.root"], "cut_string": "x > 0.1", "weight_string": "w"}}
        summary = create_training_dataset(make_config(processes=processes, **keys))
        assert list(content(summary.files[0], "sig")) == expected
        assert list(summary.records[0].branches["sig"]) == expected

    def test_what_any_process_of_a_class_needs(self, write_ntuple: WriteNtuple, make_config: MakeConfig) -> None:
        columns = {name: np.arange(4.0) for name in ("x", "y", "z")}
        for name in ("a.root", "b.root"):
            write_ntuple(name, event=np.arange(4), **columns)
        processes = {
            "a": {"files": ["a.root"], "class": "c", "cut_string": "x >= 0"},
            "b": {"files": ["b.root"], "class": "c", "weight_string": "y + 1"},
        }
        summary = create_training_dataset(make_config(branches="needed", processes=processes))
        assert list(content(summary.files[0], "c")) == ["event", "x", "y", "training_weight"]


class TestFriends:
    """Branches of friends are used and copied."""

    def test_formulas_and_copies(self, signal: Path, write_ntuple: WriteNtuple, make_config: MakeConfig) -> None:
        write_ntuple("../SVFit/signal.root", m_sv=NUMBER + 0.5, x=NUMBER + 1000.0, event=10**12 + 1 + NUMBER)
        config = make_config(
            friend_paths=[str(signal.parents[1] / "SVFit")],
            processes={"s": {"files": ["signal.root"], "cut_string": "m_sv < 4", "weight_string": "SVFit.x - 1000"}},
        )
        summary = create_training_dataset(config)
        columns = content(summary.files[0], "s")
        assert list(columns) == ["event", "x", "n", "w", "m_sv", "SVFit_x", "training_weight"]
        assert columns["m_sv"].to_list() == [1.5, 3.5]
        assert columns["SVFit_x"].to_list() == [1001.0, 1003.0]
        assert columns["training_weight"].to_list() == [1, 3]
        (file,) = summary.records[0].processes["s"].files
        assert file.friends == [str(signal.parents[1] / "SVFit/signal.root")]

    def test_needed_of_a_friend(self, signal: Path, write_ntuple: WriteNtuple, make_config: MakeConfig) -> None:
        write_ntuple("../SVFit/signal.root", m_sv=NUMBER + 0.5, x=NUMBER + 1000.0)
        config = make_config(
            friend_paths=[str(signal.parents[1] / "SVFit")],
            branches="needed",
            variables=["SVFit.x", "m_sv", "n"],
            processes={"s": {"files": ["signal.root"]}},
        )
        summary = create_training_dataset(config)
        assert list(content(summary.files[0], "s")) == ["event", "n", "m_sv", "SVFit_x", "training_weight"]


def test_the_record(signal: Path, make_config: MakeConfig) -> None:
    config = make_config(processes={"sig": {"files": ["signal.root"], "cut_string": "n < 6", "weight_string": "w"}})
    summary = create_training_dataset(config)
    for fold, path in enumerate(summary.files):
        record = read_fold_record(path)
        assert record == summary.records[fold]
        assert json.loads(path.with_suffix(".json").read_text())["decided_by"] == "branch 'event'"
        assert (record.fold, record.num_folds, record.event_branch) == (fold, 2, "event")
        assert record.uuid == str(uproot.open(path).file.uuid)
        process = record.processes["sig"]
        in_fold = fold == (10**12 + 1 + NUMBER) % 2
        kept = WEIGHT[in_fold & (NUMBER % 7 < 6)]
        assert (process.events_read, process.events_kept) == (500, len(kept))
        assert process.sum_of_weights == pytest.approx(kept.sum(), rel=1e-12)
        assert process.uncertainty == pytest.approx(np.sqrt((kept**2).sum()), rel=1e-12)
        assert process.negative_events == (kept < 0).sum()
        assert process.negative_share == pytest.approx((kept < 0).mean(), rel=1e-12)
        (file,) = process.files
        assert file.uuid == str(uproot.open(signal).file.uuid)
        assert (file.size, file.entries, file.path) == (signal.stat().st_size, 1000, str(signal))
        assert record.config["processes"]["sig"]["cut_string"] == "n < 6"
        assert record.versions["uproot"] == uproot.__version__
    assert summary.records[0].dataset == summary.records[1].dataset


def test_the_table(signal: Path, make_config: MakeConfig) -> None:
    config = make_config(processes={"sig": {"files": ["signal.root"], "class": "s", "weight_string": "2"}})
    lines = str(create_training_dataset(config)).splitlines()
    titles = ["process", "class", "fold", "events read", "events kept", "sum of weights", "±", "negative"]
    assert re.split(r"  +", lines[0]) == titles
    assert lines[2].split() == ["sig", "s", "0", "500", "500", "1000", "44.7", "0.0%"]
    assert lines[3].split() == ["sig", "s", "1", "500", "500", "1000", "44.7", "0.0%"]


def test_the_higgs_sample_of_root(root_data: Path, make_config: MakeConfig) -> None:
    """Two trees of one file, without event numbers; counts from uproot's own reading of the branches."""
    processes = {
        "signal": {"files": ["Higgs_data.root"], "tree_path": "sig_tree", "cut_string": "m_bb > 0.8 && m_wwbb < 1.2"},
        "background": {"files": ["Higgs_data.root"], "tree_path": "bkg_tree"},
    }
    summary = create_training_dataset(
        make_config(base_path=str(root_data), tree_path=None, event_branch=None, processes=processes)
    )
    with uproot.open(root_data / "Higgs_data.root") as file:
        m_bb, m_wwbb = (file["sig_tree"][name].array(library="np") for name in ("m_bb", "m_wwbb"))
    passed = (m_bb > 0.8) & (m_wwbb < 1.2)
    for fold, path in enumerate(summary.files):
        np.testing.assert_array_equal(content(path, "signal")["m_bb"], m_bb[passed & (np.arange(10_000) % 2 == fold)])
        assert len(content(path, "background")["m_bb"]) == 5_000


@pytest.mark.parametrize("workers", [None, 2])
def test_variables_without_a_value_are_named_when_the_dataset_is_built(
    make_config: MakeConfig, tmp_path: Path, caplog: pytest.LogCaptureFixture, workers: int | None
) -> None:
    """Of the kept events alone, with what to write; the training would say so an hour later."""
    counts = np.array([0, 1, 2, 3, 0, 2])
    met = np.array([1, np.nan, 3, 4, 5, np.inf])
    jets = ak.unflatten(np.arange(counts.sum(), dtype=float), counts)
    with uproot.recreate(tmp_path / "a.root") as file:
        file.mktree("t", {"jet": jets, "met": met, "event": np.arange(6), "n": counts})
    config = make_config(
        tree_path="t",
        branches="all",
        variables=["met", "n", "jet[1]", "Alt$(jet[1], -10)", "Sum$(jet)", "jet"],
        processes={"s": {"files": [str(tmp_path / "a.root")], "cut_string": "event != 4"}},
    )
    with caplog.at_level(logging.WARNING):
        create_training_dataset(config, cluster=ClusterOptions(workers))
    found = [record.getMessage() for record in caplog.records]
    assert found == [
        "processes.s: variables: 'jet[1]' has no finite value in 2 of 5 kept events; where there is no such element, "
        "'Alt$(jet[1], -10)' is -10",
        "processes.s: variables: 'met' has no finite value in 2 of 5 kept events; missing: {value: -10} in the "
        "training config replaces it",
    ]
