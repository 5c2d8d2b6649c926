"""Networks in lwtnn's JSON formats, applied to ntuples; liblwtnn's own answers say what the scores are."""

from __future__ import annotations

import json
import shutil
from functools import partial
from typing import TYPE_CHECKING, Any

import awkward as ak
import numpy as np
import pytest
import uproot
import yaml

from ntupleml.application import append_planned_scores, make_plan, write_planned_friends
from ntupleml.artifacts import TrainingRecord, model_files, record_hash, write_record
from ntupleml.errors import NtuplemlError
from ntupleml.lwtnn import read_network
from ntupleml.onnx_models.convert import convert_file

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from ntupleml.application import Plan

plan_of_lwtnn = partial(make_plan, kind="lwtnn")


class Lwtnn:
    """A case of lwtnn as an ntuple: its inputs as branches, its file listed in an application config."""

    def __init__(self, folder: Path, data: Path) -> None:
        self.folder, self.data = folder, data
        self.input = folder / "data" / "data.root"
        self.input.parent.mkdir()

    def use(self, case: str, file: str = "lwtnn.json", **application: Any) -> Path:
        shutil.copy(self.data / case / file, self.folder / "network.json")
        network = read_network(self.folder / "network.json")
        with np.load(self.data / case / "data.npz") as content:
            events = {name: content[name] for name in content}
        columns: dict[str, Any] = {}
        for group in network.groups:
            key = f"X_{group.name}" if f"X_{group.name}" in events else next(key for key in events if key[0] == "X")
            values = events[key]
            for index, variable in enumerate(group.variables):
                columns[variable.name] = values[..., index]
                if group.sequence:
                    columns[variable.name] = self.jagged(values[..., index], events.get("len"))
        self.answers = events
        self.labels = list(network.outputs[0].labels)
        self.columns = {**columns, "event": np.arange(len(values), dtype="i8")}
        self.write_ntuple()
        return self.config(["network.json"], **application)

    @staticmethod
    def jagged(values: NDArray[Any], lengths: NDArray[Any] | None) -> Any:
        if lengths is None:
            lengths = np.full(len(values), values.shape[1])
        return ak.unflatten(values[np.arange(values.shape[1]) < lengths[:, None]], lengths)

    def write_ntuple(self) -> None:
        with uproot.recreate(self.input) as file:
            types = {
                name: "var * float64" if isinstance(values, ak.Array) else values.dtype
                for name, values in self.columns.items()
            }
            tree = file.mktree("ntuple", types, counter_name=lambda name: f"n_{name}")
            tree.extend(self.columns)

    def config(self, names: list[str], **application: Any) -> Path:
        path = self.folder / "application.yaml"
        content = {"output_directory": str(self.folder / "friends"), **application}
        content["classifiers"] = [str(self.folder / name) for name in names]
        path.write_text(yaml.safe_dump(content))
        return path

    def dataset(self, num_folds: int) -> Path:
        path = self.folder / "dataset.yaml"
        content = {
            "output_path": "unused",
            "output_filename": "unused.root",
            "tree_path": "ntuple",
            "event_branch": "event",
            "num_folds": num_folds,
            "processes": {"a": {"files": ["unused.root"]}},
        }
        path.write_text(yaml.safe_dump(content))
        return path

    def require(self, plan: Plan, expected: NDArray[Any], tolerance: float = 1e-6) -> None:
        (friend,) = write_planned_friends(plan, [self.input], "ntuple", overwrite=True)
        with uproot.open(friend) as file:
            for index, label in enumerate(self.labels):
                found = file["ntuple"][f"ml_score_{label}"].array(library="np")
                np.testing.assert_allclose(found, expected[:, index], rtol=0, atol=tolerance)


@pytest.fixture
def lwtnn(tmp_path: Path, project: Path) -> Lwtnn:
    return Lwtnn(tmp_path, project / "tests" / "data" / "lwtnn")


@pytest.mark.parametrize("file", ["lwtnn.json", "lwtnn_graph.json"])
@pytest.mark.parametrize("case", ["scaler_robust", "hand_highway", "batchnorm"])
def test_dense_networks(lwtnn: Lwtnn, case: str, file: str) -> None:
    config = lwtnn.use(case, file)
    lwtnn.require(plan_of_lwtnn(None, None, config), lwtnn.answers["y_lwtnn"])


@pytest.mark.parametrize("case", ["lstm_var", "gru_var", "deepset_sum", "seq_lstm", "timedist_lstm"])
def test_sequences_are_vector_branches(lwtnn: Lwtnn, case: str) -> None:
    """Sequences of several lengths, padded to the longest of a batch; alone or beside other inputs."""
    config = lwtnn.use(case)
    lwtnn.require(plan_of_lwtnn(None, None, config), lwtnn.answers["y_lwtnn_out"])


@pytest.mark.parametrize(("replaced", "answers"), [(None, "y_lwtnn_nan"), ("nan_and_infinities", "y_lwtnn_all")])
def test_defaults_replace_what_is_lost(lwtnn: Lwtnn, replaced: Any, answers: str) -> None:
    config = lwtnn.use("nan_defaults")
    values = np.stack([lwtnn.columns[name] for name in lwtnn.columns if name != "event"])
    assert np.isnan(values).any()
    expected = lwtnn.answers[answers]
    usable = np.isfinite(expected).all(axis=1)
    assert usable.sum() > 50
    lwtnn.columns = {name: column[usable] for name, column in lwtnn.columns.items()}
    lwtnn.write_ntuple()
    lwtnn.require(plan_of_lwtnn(None, None, config, replaced=replaced), expected[usable])
    with pytest.raises(NtuplemlError, match="is NaN or infinite in"):
        lwtnn.require(plan_of_lwtnn(None, None, config, replaced="nothing"), expected[usable])


def test_files_of_folds(lwtnn: Lwtnn, caplog: pytest.LogCaptureFixture) -> None:
    """Element j scores the events of fold j; the second network has its labels' weights exchanged by hand."""
    lwtnn.use("hand_act_abs")
    other = json.loads((lwtnn.folder / "network.json").read_text())
    other["layers"][-1]["bias"] = [value + 1.0 for value in other["layers"][-1]["bias"]]
    (lwtnn.folder / "other.json").write_text(json.dumps(other))
    alone = lwtnn.config(["other.json"])
    (friend,) = write_planned_friends(plan_of_lwtnn(None, None, alone), [lwtnn.input], "ntuple")
    with uproot.open(friend) as file:
        shifted = np.stack([file["ntuple"][f"ml_score_{label}"].array(library="np") for label in lwtnn.labels], axis=1)
    assert np.abs(shifted - lwtnn.answers["y_lwtnn"]).max() > 1e-3
    caplog.clear()
    config = lwtnn.config(["network.json", "other.json"])
    odd = (lwtnn.columns["event"] % 2 == 1)[:, None]
    lwtnn.require(plan_of_lwtnn(lwtnn.dataset(2), None, config), np.where(odd, shifted, lwtnn.answers["y_lwtnn"]))
    assert sum("cannot be checked which events it was trained on" in text for text in caplog.messages) == 2


def test_exports_are_known_by_the_hash_of_their_record(lwtnn: Lwtnn) -> None:
    lwtnn.use("hand_act_abs")
    content = json.loads((lwtnn.folder / "network.json").read_text())
    for fold in range(2):
        record = TrainingRecord(
            fold=fold,
            num_folds=2,
            trained_on=[fold],
            held_out_fold=1 - fold,
            event_branch="event",
            classes=["a", "b"],
            variables=["x"],
            preprocessing="identity",
            seed=1,
            config={},
        )
        write_record(model_files(lwtnn.folder, fold).record, record)
        content["miscellaneous"] = {"record_hash": record_hash(record)}
        (lwtnn.folder / f"fold{fold}.json").write_text(json.dumps(content))
    crossed = lwtnn.config(["fold1.json", "fold0.json"])
    lwtnn.require(plan_of_lwtnn(lwtnn.dataset(2), None, crossed), lwtnn.answers["y_lwtnn"])
    straight = lwtnn.config(["fold0.json", "fold1.json"])
    with pytest.raises(NtuplemlError, match="wrong order: element 0 scores the events of fold 0"):
        plan_of_lwtnn(lwtnn.dataset(2), None, straight)


def test_one_of_several_outputs(lwtnn: Lwtnn) -> None:
    config = lwtnn.use("two_inputs")
    with pytest.raises(NtuplemlError, match="has the outputs cls, reg; choose one with --output"):
        plan_of_lwtnn(None, None, config)
    lwtnn.require(plan_of_lwtnn(None, None, config, output="cls"), lwtnn.answers["y_lwtnn_cls"])
    with pytest.raises(NtuplemlError, match=r"--output: .* has no output 'nothing'"):
        plan_of_lwtnn(None, None, config, output="nothing")


class PerStep(Lwtnn):
    """The network `lstm_var`, its layers after the LSTM at every step; event 0 has no step, event 1 has one."""

    def prepare(self) -> Path:
        self.use("lstm_var")
        content = json.loads((self.folder / "network.json").read_text())
        for node in content["nodes"][2:]:
            node["type"] = "time_distributed"
        (self.folder / "network.json").write_text(json.dumps(content))
        self.tracks = [name for name in self.columns if name != "event"]
        self.shorten(np.where(np.arange(200) < 2, np.arange(200), self.answers["len"]))
        return self.config(["network.json"])

    def shorten(self, most: NDArray[np.int64]) -> None:
        """Leave so many steps of each event at most."""
        for name in self.tracks:
            column = self.columns[name]
            self.columns[name] = column[ak.local_index(column) < most]
        self.write_ntuple()

    def expected(self) -> Any:
        """The answers of the LSTM after each number of steps, by the network as liblwtnn's own answers are known of."""
        network = json.loads((self.folder / "network.json").read_text())
        for node in network["nodes"][2:]:
            node["type"] = "feed_forward"
        (self.folder / "last.json").write_text(json.dumps(network))
        lengths = np.asarray(ak.num(self.columns[self.tracks[0]]))
        plan = plan_of_lwtnn(None, None, self.config(["last.json"]))
        steps = []
        full = dict(self.columns)
        for number in range(1, lengths.max() + 1):
            self.columns = dict(full)
            self.shorten(np.full(200, number))
            (friend,) = write_planned_friends(plan, [self.input], "ntuple", overwrite=True)
            with uproot.open(friend) as file:
                found = file["ntuple"].arrays(["ml_score_a", "ml_score_b"], library="np")
            steps.append(np.stack([found["ml_score_a"], found["ml_score_b"]], axis=1))
        self.columns = full
        self.write_ntuple()
        final = steps[-1][2:]
        np.testing.assert_allclose(final, self.answers["y_lwtnn_out"][2:], rtol=0, atol=1e-6)
        return [np.array([steps[step][event] for step in range(length)]) for event, length in enumerate(lengths)]


@pytest.fixture
def per_step(tmp_path: Path, project: Path) -> PerStep:
    return PerStep(tmp_path, project / "tests" / "data" / "lwtnn")


def require_vectors(branches: Any, expected: list[NDArray[Any]]) -> None:
    assert str(branches.type).count("var * float32") == len(branches.fields)
    for event, rows in enumerate(expected):
        found = branches[event].tolist()
        for index, label in enumerate("ab"):
            np.testing.assert_allclose(found[f"ml_score_{label}"], rows[:, index] if len(rows) else [], atol=1e-6)
        np.testing.assert_allclose(found["ml_score_max_score"], rows.max(axis=1) if len(rows) else [], atol=1e-6)
        assert found["ml_score_max_index"] == (rows.argmax(axis=1).tolist() if len(rows) else [])


def test_scores_for_each_step_are_vectors(per_step: PerStep, tmp_path: Path) -> None:
    """In friends and in place, with 0, 1 and up to 12 steps."""
    config = per_step.prepare()
    expected = per_step.expected()
    assert sorted({len(rows) for rows in expected}) == list(range(13))
    config = per_step.config(["network.json"])
    plan = plan_of_lwtnn(None, None, config)
    (friend,) = write_planned_friends(plan, [per_step.input], "ntuple", overwrite=True)
    names = ["ml_score_a", "ml_score_b", "ml_score_max_score", "ml_score_max_index"]
    with uproot.open(friend) as file:
        require_vectors(file["ntuple"].arrays(names), expected)
    append_planned_scores(plan, per_step.input, "ntuple")
    with uproot.open(per_step.input) as file:
        require_vectors(file["ntuple"].arrays(names), expected)
        assert ak.array_equal(file["ntuple"]["tracks_0"].array(), per_step.columns["tracks_0"], dtype_exact=False)


def test_events_that_fail_the_selection_have_no_steps(per_step: PerStep) -> None:
    per_step.prepare()
    expected = per_step.expected()
    config = per_step.config(["network.json"])
    config.write_text(config.read_text() + 'selection: "Length$(tracks_0) > 3"\ndefault_score: -1\n')
    (friend,) = write_planned_friends(plan_of_lwtnn(None, None, config), [per_step.input], "ntuple", overwrite=True)
    kept = [rows if len(rows) > 3 else rows[:0] for rows in expected]
    assert {len(rows) for rows in kept} == {0, *range(4, 13)}
    with uproot.open(friend) as file:
        names = ["ml_score_a", "ml_score_b", "ml_score_max_score", "ml_score_max_index"]
        require_vectors(file["ntuple"].arrays(names), kept)


def test_scores_for_each_step_by_the_models_of_folds(per_step: PerStep) -> None:
    """Two networks take turns event by event; a mixture with one that scores events is refused."""
    per_step.prepare()
    expected = per_step.expected()
    content = json.loads((per_step.folder / "network.json").read_text())
    content["layers"][-1]["weights"].reverse()
    content["layers"][-1]["bias"].reverse()
    (per_step.folder / "other.json").write_text(json.dumps(content))
    other = plan_of_lwtnn(None, None, per_step.config(["other.json"]))
    (friend,) = write_planned_friends(other, [per_step.input], "ntuple", overwrite=True)
    with uproot.open(friend) as file:
        changed = file["ntuple"].arrays(["ml_score_a", "ml_score_b"])
    both = per_step.config(["network.json", "other.json"])
    plan = plan_of_lwtnn(per_step.dataset(2), None, both)
    (friend,) = write_planned_friends(plan, [per_step.input], "ntuple", overwrite=True)
    with uproot.open(friend) as file:
        found = file["ntuple"].arrays(["ml_score_a", "ml_score_b"])
    assert found[1::2].tolist() == changed[1::2].tolist()
    for event in range(0, 200, 2):
        np.testing.assert_allclose(found["ml_score_a"][event], expected[event][:, 0] if len(expected[event]) else [],
                                   atol=1e-6)  # fmt: skip
    with pytest.raises(NtuplemlError, match=r"last\.json: gives scores per event where .*network\.json gives them per"):
        plan_of_lwtnn(per_step.dataset(2), None, per_step.config(["network.json", "last.json"]))


def test_a_converted_file_keeps_its_steps(per_step: PerStep) -> None:
    """As an ONNX file it is applied in the same way."""
    config = per_step.prepare()
    (friend,) = write_planned_friends(plan_of_lwtnn(None, None, config), [per_step.input], "ntuple")
    with uproot.open(friend) as file:
        expected = file["ntuple"].arrays()
    convert_file(per_step.folder / "network.json", per_step.folder / "network.onnx")
    plan = make_plan(None, None, per_step.config(["network.onnx"]), kind="onnx")
    write_planned_friends(plan, [per_step.input], "ntuple", overwrite=True)
    with uproot.open(friend) as file:
        assert file["ntuple"].arrays().tolist() == expected.tolist()


def test_script(lwtnn: Lwtnn, run_script: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    config = lwtnn.use("hand_act_abs")
    script = "application/lwtnn_application.py"
    result = run_script(script, config, lwtnn.input, "ntuple", "--friend")
    assert result.returncode == 0, result.stderr
    assert (lwtnn.folder / "friends" / "data" / "data.root").exists()
    result = run_script(script, config, lwtnn.input, "ntuple", "--friend", "--overwrite", "--engine", "liblwtnn")
    assert result.returncode == 2
    (line,) = [line for line in result.stderr.splitlines() if "lwtnn_application.py:" in line]
    assert "liblwtnn is not installed" in line
