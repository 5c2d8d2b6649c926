"""Whatever is wrong with the input is one line that says where, and leaves nothing behind."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import awkward as ak
import numpy as np
import pytest
import uproot

from ntupleml.datasets import create_training_dataset, read_fold_record
from ntupleml.errors import NtuplemlError

if TYPE_CHECKING:
    from conftest import MakeConfig, WriteNtuple

    from ntupleml.config import DatasetConfig


def failure(config: DatasetConfig, overwrite: bool = False) -> str:
    output = Path(config.output_path)
    before = sorted(output.iterdir()) if output.exists() else []
    with pytest.raises(NtuplemlError) as caught:
        create_training_dataset(config, overwrite)
    message = str(caught.value)
    assert "\n" not in message
    assert (sorted(output.iterdir()) if output.exists() else []) == before
    return message


def sig(**keys: Any) -> dict[str, Any]:
    return {"sig": {"files": ["signal.root"], **keys}}


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        (
            {"processes": sig(files=["sinal.root"])},
            "processes.sig: {path}/sinal.root: no such file; nearest: 'signal.",
        ),
        ({"tree_path": "ntupel"}, "processes.sig: {path}/signal.root: no tree 'ntupel'; nearest: 'ntuple'"),
        (
            {"event_branch": "evnt"},
            "event_branch: no branch 'evnt' in tree 'ntuple' of {path}/signal.root; nearest: ",
        ),
        ({"processes": sig(cut_string="x > ")}, "processes.sig.cut_string: "),
        ({"processes": sig(weight_string="ww")}, "{path}/signal.root: tree 'ntuple': processes.sig.weight_string: "),
        ({"training_weight_branch": "w"}, "processes.sig: {path}/signal.root has a branch 'w' already; choose another"),
        ({"branches": ["x", "pt_*"]}, "branches[1]: 'pt_*' matches no branch in tree 'ntuple' of {path}/signal.root"),
        (
            {"branches": "needed", "variables": ["x", "y"]},
            "{path}/signal.root: tree 'ntuple': variables[1]: column 1: no branch 'y' in \"y\"; there are: ",
        ),
        ({"friend_paths": ["nowhere"]}, "processes.sig: nowhere/signal.root: no such file"),
        ({"processes": sig(cut_string="x < 0")}, "processes.sig: no event is left in fold 0: 500 read from 1 file"),
        ({"processes": sig(cut_string="event%2==1")}, "processes.sig: no event is left in fold 0: 500 read"),
        ({"processes": sig(cut_string="event%2==0")}, "processes.sig: no event is left in fold 1: 500 read"),
    ],
)
def test_one_line(signal: Path, make_config: MakeConfig, keys: dict[str, Any], expected: str) -> None:
    message = failure(make_config(**{"processes": sig(), **keys}))
    assert expected.format(path=signal.parent) in message


@pytest.mark.parametrize(
    ("event", "keys", "expected"),
    [
        (
            np.full(400, 7),
            {},
            "no event is left in fold 0: branch 'event' is 7 in all 400 events; choose another event_branch, or",
        ),
        (
            2 * np.arange(400),
            {"processes": sig(cut_string="event>=0")},
            "no event is left in fold 1: none of the numbers 0 to 798 of branch 'event' in all 400 events belongs",
        ),
        (np.arange(3), {"event_branch": None, "num_folds": 4}, "fold 3: all 3 events of 1 file(s) are too few for 4"),
    ],
)
def test_an_empty_fold_is_told_by_its_cause(
    write_ntuple: WriteNtuple, make_config: MakeConfig, event: Any, keys: dict[str, Any], expected: str
) -> None:
    """Not the cut, which all events pass."""
    write_ntuple("signal.root", event=event)
    assert expected in failure(make_config(**{"processes": sig(), **keys}))


def test_the_config_is_named_where_it_is_known(signal: Path, make_config: MakeConfig) -> None:
    with pytest.raises(NtuplemlError, match=r"^dataset\.yaml: processes\.sig: .*: no tree 'ntupel'"):
        create_training_dataset(make_config(processes=sig(), tree_path="ntupel"), where="dataset.yaml")


def test_several_event_numbers_per_event(write_ntuple: WriteNtuple, make_config: MakeConfig) -> None:
    path = write_ntuple("signal.root", event=ak.Array([[1, 2], [3]] * 10))
    assert f"event_branch: branch 'event' in tree 'ntuple' of {path} has several values" in failure(
        make_config(processes=sig())
    )


def test_a_file_under_two_names(signal: Path, make_config: MakeConfig) -> None:
    (signal.parent / "link.root").symlink_to(signal)
    message = failure(make_config(processes=sig(files=["signal.root", "link.root"])))
    assert message.startswith(f"processes.sig.files: {signal.parent}/link.root is the same file as {signal}; list it")


def test_a_file_may_be_in_several_processes(signal: Path, make_config: MakeConfig) -> None:
    """Their cuts tell the events apart."""
    rest = {"files": ["signal.root"], "cut_string": "x >= 0.5"}
    summary = create_training_dataset(make_config(processes={**sig(cut_string="x < 0.5"), "rest": rest}))
    assert sum(process.events_kept for record in summary.records for process in record.processes.values()) == 1000


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_weights_that_are_not_finite(write_ntuple: WriteNtuple, make_config: MakeConfig, bad: float) -> None:
    """Counted over the whole file, where they are selected."""
    weights = np.where(np.arange(1000) % 100 == 30, bad, 1.0)
    path = write_ntuple("signal.root", event=np.arange(1000), w=weights)
    message = failure(make_config(processes=sig(weight_string="2*w", cut_string="event > 100")))
    assert "processes.sig.weight_string: '2*w' is NaN or infinite for 9 of the selected events of " in message
    assert f"{path}, first at entry 130" in message
    create_training_dataset(make_config(processes=sig(weight_string="2*w", cut_string="event % 100 != 30")))


def test_an_element_that_is_not_there_is_no_weight(make_config: MakeConfig, tmp_path: Path) -> None:
    (tmp_path / "ntuples").mkdir()
    with uproot.recreate(tmp_path / "ntuples/signal.root") as file:
        tree = file.mktree("ntuple", {"event": "i8", "v": "var * float32"})
        tree.extend({"event": np.arange(4), "v": ak.Array([[1.0], [2.0, 3.0], [], [1.0]])})
    assert "'v[0]' is NaN or infinite for 1 of" in failure(make_config(processes=sig(weight_string="v[0]")))
    create_training_dataset(make_config(num_folds=2, processes=sig(weight_string="v[0]", cut_string="Length$(v) > 0")))


def test_a_weight_beyond_float32(signal: Path, make_config: MakeConfig) -> None:
    assert "is NaN or infinite for 1000 of" in failure(make_config(processes=sig(weight_string="1e39")))


def test_a_weight_with_several_values_per_event(make_config: MakeConfig, tmp_path: Path) -> None:
    (tmp_path / "ntuples").mkdir()
    with uproot.recreate(tmp_path / "ntuples/signal.root") as file:
        tree = file.mktree("ntuple", {"event": "i8", "v": "var * float32"})
        tree.extend({"event": np.arange(2), "v": ak.Array([[1.0], [2.0, 3.0]])})
    assert "processes.sig.weight_string: " in failure(make_config(processes=sig(weight_string="v")))


@pytest.mark.parametrize(("largest", "dtype"), [(2**24 + 2, "f4"), (2**53 + 2, "f8")])
def test_float_event_numbers_that_lost_their_parity(
    write_ntuple: WriteNtuple, make_config: MakeConfig, largest: int, dtype: str
) -> None:
    path = write_ntuple("signal.root", event=np.array([0, 1, largest], dtype=dtype))
    message = failure(make_config(processes=sig()))
    assert f"{path}: branch 'event': event number {largest} is stored as float" in message


def test_float_event_numbers_that_did_not(write_ntuple: WriteNtuple, make_config: MakeConfig) -> None:
    """The toy of htt-ml stores event numbers as float32."""
    write_ntuple("signal.root", event=np.array([0, 1, 2, 2**24 - 1], dtype="f4"))
    summary = create_training_dataset(make_config(processes=sig()))
    assert [record.processes["sig"].events_kept for record in summary.records] == [2, 2]


def test_no_events_at_all(write_ntuple: WriteNtuple, make_config: MakeConfig) -> None:
    write_ntuple("signal.root", event=np.arange(0))
    assert "processes.sig: its files hold no events: " in failure(make_config(processes=sig()))


def test_duplicate_branches(make_config: MakeConfig, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A file whose second branch is renamed in place to the name of the first: the others are copied."""
    (tmp_path / "ntuples").mkdir()
    path = tmp_path / "ntuples/signal.root"
    with uproot.recreate(path, compression=None) as file:
        columns = {"event": np.arange(4), "score_a": np.zeros(4), "score_b": np.ones(4)}
        file.mktree("ntuple", {name: column.dtype for name, column in columns.items()}).extend(columns)
    path.write_bytes(path.read_bytes().replace(b"score_b", b"score_a"))
    for keys in ({"processes": sig(cut_string="score_a > 0")}, {"processes": sig(), "branches": ["score_a"]}):
        assert f"tree 'ntuple' of {path} has several branches 'score_a'" in failure(make_config(**keys))
    caplog.clear()
    summary = create_training_dataset(make_config(processes=sig()))
    assert list(summary.records[0].branches["sig"]) == ["event", "training_weight"]
    assert caplog.messages == [
        "not copied, since they cannot be read: 'score_a' (the tree has several branches of this name)"
    ]


@pytest.mark.parametrize("swap", [False, True])
def test_files_of_a_class_with_other_branches(write_ntuple: WriteNtuple, make_config: MakeConfig, swap: bool) -> None:
    paths = [
        write_ntuple("a.root", event=np.arange(4), x=np.arange(4.0)),
        write_ntuple("b.root", event=np.arange(4), x=np.arange(4.0), y=np.arange(4.0)),
    ]
    names = ["b.root", "a.root"] if swap else ["a.root", "b.root"]
    processes = {"p": {"files": names[:1], "class": "c"}, "q": {"files": names[1:], "class": "c"}}
    message = failure(make_config(processes=processes))
    assert f"processes.q: {paths[1]} has a branch 'y', which {paths[0]} has not, and both belong to class" in message
    create_training_dataset(make_config(processes=processes, branches=["x"]))


def test_a_branch_with_a_damaged_basket(write_ntuple: WriteNtuple, make_config: MakeConfig) -> None:
    """The message names the way round it, unless the cut needs the branch."""
    columns = {name: np.arange(2000, dtype="i4") for name in ("event", "x", "y")}
    path = write_ntuple("signal.root", **columns)
    with uproot.open(path) as file:
        key = file["ntuple"]["y"].basket_key(0)
    damaged = bytearray(path.read_bytes())
    damaged[key.fSeekKey + key.fKeylen : key.fSeekKey + key.fNbytes] = bytes(key.fNbytes - key.fKeylen)
    path.write_bytes(damaged)
    message = failure(make_config(processes=sig()))
    assert "branch 'y' cannot be read at entries 0 and following: " in message
    assert message.endswith("copy or make it anew, or leave it out: list the branches to copy under 'branches'")
    assert failure(make_config(processes=sig(cut_string="y < 5"))).endswith("copy or make it anew")
    summary = create_training_dataset(make_config(processes=sig(cut_string="x > 5"), branches=["x"]))
    assert [record.processes["sig"].events_kept for record in summary.records] == [997, 997]


def test_files_of_a_class_with_other_types(write_ntuple: WriteNtuple, make_config: MakeConfig) -> None:
    write_ntuple("a.root", event=np.arange(4), x=np.arange(4.0))
    write_ntuple("b.root", event=np.arange(4), x=np.arange(4, dtype="f4"))
    message = failure(make_config(processes={"p": {"files": ["a.root", "b.root"]}}))
    assert "processes.p: branch 'x' is of type float32 in" in message
    assert "but float64 in" in message


def test_a_misaligned_friend(signal: Path, write_ntuple: WriteNtuple, make_config: MakeConfig) -> None:
    """Scores of other events, which the event number that they carry gives away."""
    events = 10**12 + 1 + np.arange(1000)
    events[617] = 5
    write_ntuple("../scores/signal.root", event=events, score=np.arange(1000.0))
    message = failure(make_config(friend_paths=[str(signal.parents[1] / "scores")], processes=sig()))
    assert message.startswith(f"{signal}: entry 617 is event 1000000000618, but 5 in the friend 'scores'")


def test_an_absolute_path_is_no_friend_of_itself(signal: Path, make_config: MakeConfig) -> None:
    message = failure(make_config(friend_paths=["scores"], processes=sig(files=[str(signal)])))
    reason = "has no place in the folders of friend_paths; give the beginning of it as base_path"
    assert message == f"processes.sig.files: {signal} {reason}"


def test_existing_files_stay_unless_asked(signal: Path, make_config: MakeConfig) -> None:
    config = make_config(processes=sig())
    first = create_training_dataset(config)
    before = [path.read_bytes() for path in first.files]
    message = failure(config)
    assert "exists already; give --overwrite to replace it" in message
    failure(make_config(processes=sig(cut_string="x < 0")), overwrite=True)
    assert [path.read_bytes() for path in first.files] == before
    second = create_training_dataset(make_config(processes=sig(cut_string="x < 0.5")), overwrite=True)
    assert second.records[0].processes["sig"].events_kept == 250
    assert read_fold_record(second.files[1]) == second.records[1]


def test_an_input_is_never_the_output(signal: Path, make_config: MakeConfig) -> None:
    path = signal.rename(signal.with_name("fold1_dataset.root"))
    before = path.read_bytes()
    config = make_config(output_path=str(path.parent), processes=sig(files=["fold1_dataset.root"]))
    message = failure(config, overwrite=True)
    assert f"processes.sig: {path} is an input and would be overwritten by a fold file" in message
    assert path.read_bytes() == before


def test_no_permission(signal: Path, make_config: MakeConfig) -> None:
    """Nobody, not even root, may make folders there."""
    assert "cannot write there" in failure(make_config(output_path="/proc/output", processes=sig()))


def test_the_place_of_the_output_is_a_file(signal: Path, make_config: MakeConfig, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(NtuplemlError, match="cannot write there"):
        create_training_dataset(make_config(output_path=str(tmp_path / "file/output"), processes=sig()))


def test_a_record_that_is_none(signal: Path, make_config: MakeConfig) -> None:
    summary = create_training_dataset(make_config(processes=sig()))
    place = summary.files[0].with_suffix(".json")
    place.write_text('{"fold": 0}')
    with pytest.raises(NtuplemlError, match=r"fold0_dataset\.json: not the record of a fold file"):
        read_fold_record(summary.files[0])
    place.unlink()
    assert read_fold_record(summary.files[0]) is None


def test_a_record_of_another_file_is_refused(signal: Path, make_config: MakeConfig) -> None:
    """As after a kill between the renaming of a fold file and that of its record."""
    summary = create_training_dataset(make_config(processes=sig()))
    uuid = summary.records[0].uuid
    assert read_fold_record(summary.files[0], uuid) == summary.records[0]
    with pytest.raises(
        NtuplemlError, match=r"fold0_dataset\.json: is the record of another file than .*/fold0_dataset"
    ):
        read_fold_record(summary.files[0], summary.records[1].uuid)
