"""Accept bits: where a score is at least a threshold, in every place that scores go to, of every kind of ntuple."""

from __future__ import annotations

import json
import os
import signal
from functools import partial
from typing import TYPE_CHECKING, Any

import awkward as ak
import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import uproot
import yaml
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from ntupleml.application import append_scores, friend_trees, make_plan, require_aligned, write_friends
from ntupleml.application.accepting import Accept
from ntupleml.application.inputs import friends_of
from ntupleml.application.many_files import scored_files
from ntupleml.application.resuming import plan_key
from ntupleml.application.score_table import write_score_table
from ntupleml.application_arguments import ApplicationOptions
from ntupleml.artifacts import model_files, read_record, record_hash, write_record
from ntupleml.artifacts.record import TargetRecord
from ntupleml.config import ImageConfig
from ntupleml.errors import NtuplemlError
from ntupleml.ntuples import open_ntuple

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

TREE = "mt_nominal/ntuple"
ENDINGS = {"root": ".root", "hdf5": ".h5", "parquet": ".parquet"}


def columns_of(path: Path, tree: str, names: list[str]) -> dict[str, Any]:
    with open_ntuple(path, tree) as ntuple:
        chunks = [chunk.columns for chunk in ntuple.chunks(names)]
    return {name: np.concatenate([chunk[name] for chunk in chunks]) for name in names}


def as_format(path: Path, kind: str) -> tuple[Path, str]:
    """The ntuple as another kind of file, and its tree there."""
    if kind == "TTree":
        return path, TREE
    with uproot.open(path) as file:
        columns = file[TREE].arrays(library="np")
    if kind == "RNTuple":
        with uproot.recreate(path) as file:
            file["ntuple"] = columns
        return path, "ntuple"
    path.unlink()
    if kind == "Parquet":
        pq.write_table(pa.table(columns), path.with_suffix(".parquet"))
        return path.with_suffix(".parquet"), ""
    with h5py.File(path.with_suffix(".h5"), "w") as file:
        for name, column in columns.items():
            file[f"events/{name}"] = column
    return path.with_suffix(".h5"), "events"


@given(
    scores=st.lists(st.floats(width=32), min_size=1, max_size=20),
    threshold=st.floats(-1e6, 1e6) | st.none(),
)
def test_bits_compare_doubles(scores: list[float], threshold: float | None) -> None:
    """As Python does, whose floats are doubles; −999 is TMVA's answer to NaN."""
    expected = [int(threshold is not None and score >= threshold and score != -999) for score in scores]
    bits = Accept(1, threshold).bits(np.array([[0, score] for score in scores], np.float32))
    assert bits.dtype == np.uint8
    assert bits.tolist() == expected


@pytest.mark.parametrize("kind", ["TTree", "RNTuple", "HDF5", "Parquet"])
@pytest.mark.parametrize("friend_format", ENDINGS)
def test_bits_in_friends_of_every_format(
    kind: str, friend_format: str, analysis: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """Aligned row by row with the ntuple, found again as its friend, and known to be done."""
    path = analysis.ntuple()
    expected = analysis.expected(path)["ml_score_signal"]
    path, tree = as_format(path, kind)
    threshold = float(np.median(expected))
    accept = {"output": "signal", "threshold": threshold}
    analysis.change("application", {"accept": accept, "friend_format": friend_format})
    (friend,) = write_friends(*analysis.configs, [path], tree)
    assert friend == analysis.folder / "friends" / "ggh_2018" / f"ggh_2018{ENDINGS[friend_format]}"
    require_aligned(path, friend, tree, "event")
    friends = friends_of(path, tree, [str(friend.parents[1])])
    with open_ntuple(path, tree, friends) as ntuple:
        assert ntuple.branches["ml_score_accept"].dtype == np.uint8
        (chunk,) = ntuple.chunks(["ml_score_accept", "ml_score_signal", "event"])
    np.testing.assert_allclose(chunk.columns["ml_score_signal"], expected, atol=2e-6)
    clear = np.abs(expected - threshold) > 1e-6
    np.testing.assert_array_equal(chunk.columns["ml_score_accept"][clear], (expected >= threshold)[clear])
    caplog.set_level("INFO", "ntupleml")
    make = partial(make_plan, *analysis.configs)
    options = ApplicationOptions(friend=True)
    assert not scored_files(make, [str(path.parent / "*")], tree, options).failures
    assert "done already" in caplog.text
    analysis.change("application", {"accept": {**accept, "threshold": threshold + 0.1}})
    (failure,) = scored_files(make, [str(path.parent / "*")], tree, options).failures
    assert "already; give --overwrite to replace it" in failure


def test_bits_in_place_and_in_a_table(analysis: Any) -> None:
    path = analysis.ntuple()
    expected = analysis.expected(path)["ml_score_other"] >= 0.4
    assert 0 < expected.sum() < len(expected)
    changes = {"accept": {"output": "other", "threshold": 0.4}, "selection": "x > 0", "default_score": 7}
    analysis.change("application", changes)
    append_scores(*analysis.configs, path, TREE)
    with uproot.open(path) as file:
        assert file[TREE]["ml_score_accept"].typename == "uint8_t"
        found = file[TREE].arrays(["ml_score_accept", "ml_score_max_index", "ml_score_other", "x"], library="np")
    passes = found["x"] > 0
    np.testing.assert_array_equal(found["ml_score_accept"], expected & passes)
    assert set(found["ml_score_other"][~passes]) == {7}, "a default above the threshold is not accepted"
    assert set(found["ml_score_max_index"][~passes]) == {-1}
    table = analysis.folder / "table.h5"
    write_score_table(make_plan(*analysis.configs), [str(path)], TREE, table)
    with h5py.File(table) as file:
        np.testing.assert_array_equal(file["scores/ml_score_accept"], expected[passes])
        assert file["scores/ml_score_accept"].dtype == np.uint8


def test_the_log_says_how_many_are_accepted(analysis: Any, caplog: pytest.LogCaptureFixture) -> None:
    path = analysis.ntuple()
    number = np.count_nonzero(analysis.expected(path)["ml_score_signal"] >= 0.25)
    analysis.change("application", {"accept": {"output": "signal", "threshold": 0.25}})
    caplog.set_level("INFO", "ntupleml")
    write_friends(*analysis.configs, [path], TREE)
    assert f"; {number:,} are accepted)" in caplog.messages[-1]


@pytest.mark.parametrize("friend_format", ENDINGS)
def test_bits_of_objects_are_lists(make_analysis: Callable[..., Any], friend_format: str) -> None:
    """One bit for each jet; jets that are no rows are not accepted."""
    analysis = make_analysis(variables=["jet_x", "y"])
    counts = np.random.default_rng(1).integers(0, 4, 200)
    jet_x = ak.unflatten(np.random.default_rng(2).normal(size=counts.sum()).astype("f4"), counts)
    path = analysis.ntuple(entries=200)
    with uproot.open(path) as file:
        columns = file[TREE].arrays(["y", "event"], library="np")
    with uproot.recreate(path) as file:
        file.mktree(TREE, {"y": "f8", "event": "u8", "jet_x": "var * float32"}).extend({**columns, "jet_x": jet_x})
    analysis.change("dataset", {"rows": {"objects": "jet", "selection": "jet_x > -0.5"}})
    changes = {"accept": {"output": "signal", "threshold": 0.3}, "default_score": 5, "friend_format": friend_format}
    analysis.change("application", changes)
    scored_files(partial(make_plan, *analysis.configs, kind="onnx"), [str(path)], TREE, ApplicationOptions(friend=True))
    friends = friends_of(path, TREE, [str(analysis.folder / "friends")])
    with open_ntuple(path, TREE, friends) as ntuple:
        (chunk,) = ntuple.chunks(["ml_score_accept", "ml_score_signal"])
    bits, scores = chunk.columns["ml_score_accept"], chunk.columns["ml_score_signal"]
    assert ak.num(bits).to_list() == counts.tolist()
    assert 0 < ak.sum(bits) < ak.sum(jet_x > -0.5)
    np.testing.assert_array_equal(ak.flatten(bits), ak.flatten((scores >= 0.3) & (jet_x > -0.5)))


def write_anomaly_models(analysis: Any) -> None:
    """Models of two folds whose score is (1 + fold) times the mean of the squares of an array of 16 × 3 numbers."""
    for fold in range(2):
        files = model_files(analysis.folder / "models", fold)
        record = read_record(files.record).model_copy(
            update={
                "classes": ["EB"],
                "variables": ["HLT_data"],
                "inputs": {"hlt": ImageConfig(image=["HLT_data"])},
                "target": TargetRecord(kind="reconstruction", groups=["hlt"]),
            }
        )
        write_record(files.record, record, overwrite=True)
        factor = numpy_helper.from_array(np.array(1 + fold, "f4"), "factor")
        shape = numpy_helper.from_array(np.array([-1, 48]), "shape")
        nodes = [
            helper.make_node("Reshape", ["hlt", "shape"], ["flat"]),
            helper.make_node("Mul", ["flat", "flat"], ["squares"]),
            helper.make_node("ReduceMean", ["squares"], ["mean"], axes=[1], keepdims=1),
            helper.make_node("Mul", ["mean", "factor"], ["scores"]),
        ]
        taken = [helper.make_tensor_value_info("hlt", TensorProto.FLOAT, ["events", 16, 3, 1])]
        given = [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["events", 1])]
        graph = helper.make_graph(nodes, "error", taken, given, [factor, shape])
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        description = {
            "variables": {"hlt": ["HLT_data"]},
            "classes": record.outputs,
            "missing": None,
            "record_hash": record_hash(record),
        }
        helper.set_model_props(model, {"ntupleml": json.dumps(description)})
        files.onnx.write_bytes(model.SerializeToString())
    training = {"classes": ["EB"], "inputs": {"hlt": {"image": ["HLT_data"]}}, "target": {"reconstruction": "all"}}
    (analysis.folder / "training.yaml").write_text(
        yaml.safe_dump({"output_path": str(files.onnx.parent), "datasets": ["fold0.root", "fold1.root"], **training})
    )


def test_slots_of_hdf5(analysis: Any) -> None:
    """Columns (events, slots, 3) of HDF5 in chunks, to an HDF5 file that is aligned with them; a number will do."""
    write_anomaly_models(analysis)
    random = np.random.default_rng(5)
    slots, events = random.exponential(30, (120_000, 16, 3)).astype("f4"), random.permutation(120_000)
    path = analysis.folder / "EB" / "EB.h5"
    path.parent.mkdir()
    with h5py.File(path, "w") as file:
        file["HLT_data"], file["event"] = slots, events
    expected = np.square(slots, dtype="f8").mean(axis=(1, 2)) * (2 - events % 2)  # model 0 scores odd events
    threshold = float(np.median(expected))
    analysis.change("application", {"accept": threshold, "friend_format": "hdf5"})
    for tree in ("", "/"):
        (friend,) = write_friends(*analysis.configs, [path], tree, overwrite=True)
    with h5py.File(friend) as file:
        assert list(file) == ["ml_score_reconstruction_error", "ml_score_accept", "event"]
        np.testing.assert_array_equal(file["event"], events)
        np.testing.assert_allclose(file["ml_score_reconstruction_error"], expected, rtol=1e-5)
        clear = np.abs(expected / threshold - 1) > 1e-5
        np.testing.assert_array_equal(file["ml_score_accept"][clear], expected[clear] >= threshold)
        assert file["ml_score_accept"].chunks is not None


def test_a_threshold_of_a_file(analysis: Any) -> None:
    """A number, or null: no threshold reaches the rate, so nothing is accepted."""
    path, rates = analysis.ntuple(), analysis.folder / "rates.yaml"
    rates.write_text("thresholds: {l1: 0.25, l1Seeded: null, l1All: 3}\nrates: {l1: [1, 2]}\n")
    expected = analysis.expected(path)["ml_score_signal"]
    keys = set()
    for scheme, number in (("l1", np.count_nonzero(expected >= 0.25)), ("l1Seeded", 0), ("l1All", 0)):
        accept = {"file": str(rates), "scheme": scheme, "output": "signal"}
        analysis.change("application", {"accept": accept})
        (friend,) = write_friends(*analysis.configs, [path], TREE, overwrite=True)
        assert columns_of(friend, TREE, ["ml_score_accept"])["ml_score_accept"].sum() == number
        keys.add(plan_key(make_plan(*analysis.configs)))
    assert len(keys) == 3


@pytest.mark.parametrize(
    ("accept", "message"),
    [
        (0.5, "accept: output: is missing; name the score .*, one of signal, background, other"),
        ({"threshold": 0.5, "output": "signl"}, "accept: output: no score 'signl'; nearest: 'signal'"),
        ({"output": "signal"}, "accept: no threshold; give a number, or file and scheme"),
        ({"threshold": 1, "file": "a.yaml", "scheme": "l1"}, "accept: threshold and file stand side by side"),
        ({"file": "a.yaml"}, "accept: file and scheme go together"),
        ({"treshold": 1}, "accept: unknown key 'treshold'; nearest: 'threshold'"),
        ({"file": "none.yaml", "scheme": "l1", "output": "signal"}, "none.yaml: no such file"),
    ],
)
def test_mistakes_in_the_config(analysis: Any, accept: Any, message: str) -> None:
    analysis.change("application", {"accept": accept})
    with pytest.raises(NtuplemlError, match=message) as error:
        make_plan(*analysis.configs)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("threshold: 3\n", "accept: file: .* has no block 'thresholds'"),
        ("thresholds: {l1: 2, l1Seed: 3}\n", "accept: scheme: .* has no threshold 'l1Seeded'; nearest: 'l1Seed'"),
        ("thresholds: {l1Seeded: high}\n", "thresholds.l1Seeded: found 'high', but a number or null is needed"),
        ("thresholds: {l1Seeded: .nan}\n", "thresholds.l1Seeded: found 'nan', but a number or null is needed"),
    ],
)
def test_mistakes_in_a_file_of_thresholds(analysis: Any, content: str, message: str) -> None:
    rates = analysis.folder / "rates.yaml"
    rates.write_text(content)
    analysis.change("application", {"accept": {"file": str(rates), "scheme": "l1Seeded", "output": "signal"}})
    with pytest.raises(NtuplemlError, match=message):
        make_plan(*analysis.configs)


def test_a_friend_with_other_tables_is_not_replaced(analysis: Any) -> None:
    path = analysis.ntuple()
    analysis.change("application", {"friend_format": "hdf5"})
    (friend,) = write_friends(*analysis.configs, [path], TREE)
    with pytest.raises(NtuplemlError, match=r"ggh_2018.h5: exists already; give --overwrite to replace it"):
        write_friends(*analysis.configs, [path], TREE)
    with h5py.File(friend, "a") as file:
        file["other/x"] = np.zeros(3)
    before = friend.read_bytes()
    with pytest.raises(NtuplemlError, match=r"ggh_2018.h5: has a table 'other', which would be lost"):
        write_friends(*analysis.configs, [path], TREE, overwrite=True)
    assert friend.read_bytes() == before


def test_a_killed_run_leaves_nothing(analysis: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a friend nor, after the next run, a file that is half written."""
    path = analysis.ntuple()
    analysis.change("application", {"accept": {"output": "signal", "threshold": 0.5}, "friend_format": "hdf5"})
    plan, chunks = make_plan(*analysis.configs), friend_trees.scored_chunks

    def killed(*arguments: Any) -> Any:
        yield from chunks(*arguments)
        os.kill(os.getpid(), signal.SIGKILL)

    process = os.fork()
    if process == 0:
        monkeypatch.setattr(friend_trees, "scored_chunks", killed)
        friend_trees.write_planned_friends(plan, [path], TREE)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == -signal.SIGKILL
    folder = analysis.folder / "friends" / "ggh_2018"
    begun = {one.name for one in folder.iterdir()}
    assert {name for name in begun if not name.startswith(".ggh_2018.")} == set()
    assert ".ggh_2018.h5.lock" in begun
    assert len(begun) == 2
    friend_trees.write_planned_friends(plan, [path], TREE)
    assert [one.name for one in folder.iterdir()] == ["ggh_2018.h5"]
