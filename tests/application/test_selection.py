"""Whole ntuples are scored: events that the training never selects, or that lack an input, get a default."""

from __future__ import annotations

import json
import logging
from functools import partial
from typing import TYPE_CHECKING, Any

import awkward as ak
import numpy as np
import pytest
import uproot
import yaml

from ntupleml.application import Plan, append_planned_scores, make_plan, score_files, write_friends
from ntupleml.application.resuming import plan_key
from ntupleml.application_arguments import ApplicationOptions
from ntupleml.errors import NtuplemlError

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray


def make_weights_plan(
    weights: list[Any], *, dataset_path: Any = None, application_path: Any = None, **options: Any
) -> Plan:
    """Plan of weights files alone."""
    return make_plan(dataset_path, None, application_path, kind="weights", weights=weights, **options)


TREE = "mt_nominal/ntuple"
TWO_JETS = "Sum$(jet_pt > 30) >= 2"
BRANCHES = [f"ml_score_{name}" for name in ("signal", "background", "other", "max_score", "max_index")]


class Jets:
    """An analysis on the second jet's momentum, and ntuples in which not every event has one."""

    def __init__(self, make_analysis: Callable[..., Any], num_folds: int = 2) -> None:
        self.analysis = make_analysis(variables=["x", "jet_pt[1]/50"], num_folds=num_folds)
        self.paths: list[Path] = []
        self.columns: list[dict[str, Any]] = []

    def ntuple(self, name: str = "ggh", entries: int = 1000, **changes: Any) -> Path:
        random = np.random.default_rng(entries)
        counts = random.integers(0, 5, entries)
        columns = {
            "x": random.normal(size=entries).astype("f4"),
            "event": random.permutation(entries).astype("u8"),
            "jet_pt": ak.unflatten(random.exponential(40, counts.sum()).astype("f4"), counts),
            **changes,
        }
        path = self.analysis.folder / "ntuples" / name / f"{name}.root"
        path.parent.mkdir(parents=True)
        with uproot.recreate(path) as file:
            tree = file.mktree(TREE, {"x": "f4", "event": "u8", "jet_pt": "var * float32"})
            tree.extend(columns)
        self.paths.append(path)
        self.columns.append(columns)
        return path

    def passing(self, index: int = 0) -> NDArray[np.bool_]:
        return np.asarray(ak.sum(self.columns[index]["jet_pt"] > 30, axis=1) >= 2)

    def existing(self, index: int = 0) -> NDArray[np.bool_]:
        return np.asarray(ak.num(self.columns[index]["jet_pt"]) >= 2) & np.isfinite(self.columns[index]["x"])

    def expected(self, scored: NDArray[np.bool_], default: float, index: int = 0) -> dict[str, NDArray[Any]]:
        """Softmax of the events that are scored, by the model that did not see them; the default for the others."""
        columns, num_folds = self.columns[index], self.analysis.num_folds
        second = ak.to_numpy(ak.fill_none(ak.pad_none(columns["jet_pt"], 2, clip=True), np.nan))[:, 1]
        matrix = np.where(scored[:, None], np.stack([columns["x"], second / 50], axis=1), 0).astype("f8")
        scores = np.empty((len(matrix), 3))
        for fold in range(num_folds):
            chosen = columns["event"] % np.uint64(num_folds) == fold
            exponentials = np.exp(matrix[chosen] @ self.analysis.weights[(fold - 1) % num_folds].astype("f8"))
            scores[chosen] = exponentials / exponentials.sum(axis=1, keepdims=True)
        everything = [*scores.T, scores.max(axis=1), scores.argmax(axis=1)]
        defaults = [default] * 4 + [-1]
        return {
            name: np.where(scored, values, other)
            for name, values, other in zip(BRANCHES, everything, defaults, strict=True)
        }


@pytest.fixture
def jets(make_analysis: Callable[..., Any]) -> Jets:
    return Jets(make_analysis)


def plan_of(jets: Jets) -> Any:
    return make_plan(*jets.analysis.configs)


def test_without_the_keys_it_is_refused_and_they_are_named(jets: Jets) -> None:
    path = jets.ntuple()
    before = path.read_bytes()
    message = (
        r"variable 'jet_pt\[1\]/50' is NaN or infinite in .*; or give such events a default_score \(e\.g\. -1\) in "
        r".*application\.yaml: by selection: FORMULA, or by missing_inputs: default"
    )
    with pytest.raises(NtuplemlError, match=message):
        append_planned_scores(plan_of(jets), path, TREE)
    assert path.read_bytes() == before


@pytest.mark.parametrize("num_folds", [2, 3])
def test_events_that_fail_the_selection_get_the_default(
    make_analysis: Callable[..., Any],
    require_scores: Callable[..., None],
    caplog: pytest.LogCaptureFixture,
    num_folds: int,
) -> None:
    jets = Jets(make_analysis, num_folds)
    path = jets.ntuple()
    jets.analysis.change("application", {"selection": TWO_JETS, "default_score": -1})
    expected = jets.expected(jets.passing(), -1)
    failed = int((~jets.passing()).sum())
    assert 0 < failed < 1000
    with caplog.at_level(logging.INFO):
        assert append_planned_scores(plan_of(jets), path, TREE)[:3] == (1000, failed, 0)
    require_scores(path, expected)
    assert f"; {failed} fail the selection, with -1 for a score)" in caplog.messages[-1]
    (friend,) = write_friends(*jets.analysis.configs, [path], TREE)
    require_scores(friend, expected)
    with uproot.open(friend) as file:
        np.testing.assert_array_equal(file[TREE]["event"].array(library="np"), jets.columns[0]["event"])


def test_missing_inputs_get_the_default(jets: Jets, require_scores: Callable[..., None]) -> None:
    x = np.random.default_rng(1).normal(size=1000).astype("f4")
    x[[3, 500]] = np.nan, np.inf
    path = jets.ntuple(x=x)
    jets.analysis.change("application", {"missing_inputs": "default", "default_score": -0.5})
    missing = int((~jets.existing()).sum())
    assert append_planned_scores(plan_of(jets), path, TREE)[:3] == (1000, 0, missing)
    require_scores(path, jets.expected(jets.existing(), -0.5))


def test_both_are_counted_apart_and_other_losses_are_refused(
    jets: Jets, require_scores: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    x = np.random.default_rng(1).normal(size=1000).astype("f4")
    x[::10] = np.nan
    path = jets.ntuple(x=x)
    keys = {"selection": TWO_JETS, "default_score": -1}
    jets.analysis.change("application", keys)
    lost = int((jets.passing() & np.isnan(x)).sum())
    with pytest.raises(NtuplemlError, match=rf"variable 'x' is NaN or infinite in {lost} of {jets.passing().sum()} ev"):
        append_planned_scores(plan_of(jets), path, TREE)
    jets.analysis.change("application", {**keys, "missing_inputs": "default"})
    failed = int((~jets.passing()).sum())
    with caplog.at_level(logging.INFO):
        assert append_planned_scores(plan_of(jets), path, TREE)[:3] == (1000, failed, lost)
    require_scores(path, jets.expected(jets.passing() & jets.existing(), -1))
    assert f"; {failed} fail the selection and {lost} have missing inputs, with -1 for a score)" in caplog.messages[-1]


def test_no_event_is_scored(jets: Jets, require_scores: Callable[..., None]) -> None:
    path = jets.ntuple()
    jets.analysis.change("application", {"selection": "x > 1000", "default_score": -9})
    assert append_planned_scores(plan_of(jets), path, TREE)[:3] == (1000, 1000, 0)
    require_scores(path, jets.expected(np.zeros(1000, bool), -9))


def test_the_selection_is_the_same_in_any_chunk(
    jets: Jets, require_scores: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """`Entry$` counts from the first entry of the file, and branches of the selection alone are read, too."""
    monkeypatch.setattr("ntupleml.ntuples.reading.ENTRIES_PER_CHUNK", 130)
    path = jets.ntuple()
    jets.analysis.change("application", {"selection": f"{TWO_JETS} && Entry$ % 3 == 0 && event >= 0"})
    jets.analysis.change("application", {"default_score": -1})
    append_planned_scores(plan_of(jets), path, TREE)
    require_scores(path, jets.expected(jets.passing() & (np.arange(1000) % 3 == 0), -1))


def test_many_files_and_their_sum(
    jets: Jets, require_scores: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    for name, entries in (("ggh", 300), ("qqh", 400)):
        jets.ntuple(name, entries)
    jets.analysis.change("application", {"selection": TWO_JETS, "default_score": -1})
    make = partial(make_plan, *jets.analysis.configs)
    with caplog.at_level(logging.INFO):
        assert score_files(make, [str(path) for path in jets.paths], TREE) == 0
    failed = [int((~jets.passing(index)).sum()) for index in range(2)]
    for index in range(2):
        require_scores(jets.paths[index], jets.expected(jets.passing(index), -1, index))
        assert any(f"; {failed[index]} fail the selection" in line for line in caplog.messages if " of 2: " in line)
    assert caplog.messages[-1].endswith(f"; {sum(failed)} fail the selection, with -1 for a score")


@pytest.mark.slow
def test_workers_do_the_same(
    jets: Jets,
    run_script: Callable[..., subprocess.CompletedProcess[str]],
    require_scores: Callable[..., None],
) -> None:
    for name, entries in (("ggh", 300), ("qqh", 400)):
        jets.ntuple(name, entries)
    jets.analysis.change("application", {"selection": TWO_JETS, "default_score": -1})
    script = "application/keras_application.py"
    finished = run_script(script, *jets.analysis.configs, *jets.paths, TREE, "--workers", 2)
    assert finished.returncode == 0, finished.stderr
    for index in range(2):
        require_scores(jets.paths[index], jets.expected(jets.passing(index), -1, index))
    failed = sum(int((~jets.passing(index)).sum()) for index in range(2))
    assert f"; {failed} fail the selection, with -1 for a score" in finished.stderr.splitlines()[-2]


@pytest.mark.parametrize("friend", [True, False])
def test_scores_of_another_selection_are_not_taken_for_finished(jets: Jets, friend: bool) -> None:
    paths = [str(jets.ntuple("ggh", 300)), str(jets.ntuple("qqh", 400))]
    options = ApplicationOptions(friend=friend)
    keys = {"selection": TWO_JETS, "default_score": -1}
    jets.analysis.change("application", keys)
    make = partial(make_plan, *jets.analysis.configs)
    assert score_files(make, paths, TREE, options) == 0
    assert score_files(make, paths, TREE, options) == 0  # done already
    for change in ({"selection": "Sum$(jet_pt > 35) >= 2"}, {"default_score": -2}, {"missing_inputs": "default"}):
        jets.analysis.change("application", {**keys, "missing_inputs": "refused", **change})
        assert score_files(make, paths, TREE, options) == 1


def test_a_plan_without_selection_has_the_key_of_earlier_releases(analysis: Any) -> None:
    """Scores that are there already stay finished."""
    plan = make_plan(*analysis.configs)
    assert plan.selection.as_key() == {}
    other = plan._replace(selection=plan.selection._replace(default_score=-1.0, missing_inputs=True))
    assert plan_key(other) != plan_key(plan)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        (
            {"selection": "jet_ptt > 3"},
            r"\.root: tree '\S+': .*application\.yaml: selection: .*no branch 'jet_ptt'.*nearest: 'jet_pt'",
        ),
        ({"selection": "jet_pt >"}, r"application\.yaml: selection: "),
        (
            {"selection": "ml_score_signal > 0"},
            r"\.root: tree '\S+': .*application\.yaml: selection: .*no branch 'ml_score_signal'",
        ),
    ],
)
def test_wrong_formulas_are_one_line_and_nothing_is_written(jets: Jets, keys: dict[str, Any], message: str) -> None:
    path = jets.ntuple(entries=20)
    before = path.read_bytes()
    jets.analysis.change("application", {**keys, "default_score": -1})
    with pytest.raises(NtuplemlError, match=message):
        append_planned_scores(plan_of(jets), path, TREE)
    assert path.read_bytes() == before


def test_a_model_that_replaces_missing_inputs_answers(jets: Jets, require_scores: Callable[..., None]) -> None:
    """What the training replaces is not missing: here the model is told that it was trained with `missing:`."""
    path = jets.ntuple()
    jets.analysis.change("application", {"missing_inputs": "default", "default_score": -1})
    plan = plan_of(jets)
    plan.scorer.non_finite = "replaced"
    assert append_planned_scores(plan, path, TREE).missing == 0


def test_weights_of_tmva(tmva_analysis: Any, caplog: pytest.LogCaptureFixture) -> None:
    """Events with NaN get the default in place of −999; with a selection they need not be looked at."""
    x = np.load(tmva_analysis.data / "toy2_eval.npz")["x"].copy()
    x[[1, 5, 9]] = np.nan
    path = tmva_analysis.ntuple(x=x)
    weights = [tmva_analysis.weights("mc_bdtg_50")]
    application = tmva_analysis.configs(missing_inputs="default", default_score=-1)[2]
    answers = tmva_analysis.answers("mc_bdtg_50")
    for keys, counts in (
        ({"missing_inputs": "default"}, (len(x), 0, 3)),
        ({"selection": "x == x && Entry$ != 0"}, (len(x), 4, 0)),
    ):
        application.write_text(yaml.safe_dump({**keys, "default_score": -1}))
        caplog.clear()
        plan = make_weights_plan(weights, application_path=application)
        assert append_planned_scores(plan, path, "ntuple", overwrite=True)[:3] == counts
        assert not any("-999" in line for line in caplog.messages)
        left_out = np.isnan(x)
        left_out[0] = "selection" in keys
        with uproot.open(path) as file:
            found = file["ntuple"].arrays(plan.branch_names, library="np")
        assert (found["ml_score_max_index"][left_out] == -1).all()
        assert all((found[name][left_out] == -1).all() for name in plan.branch_names)
        np.testing.assert_allclose(
            np.stack([found[name] for name in plan.branch_names[:3]], axis=1)[~left_out], answers[~left_out], atol=2e-6
        )


def write_graph_of_jets(path: Path) -> None:
    """ONNX file of a stranger: the sum over the first two jets, and x."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    graph = helper.make_graph(
        [
            helper.make_node("ReduceSum", ["jets", "axes"], ["sum"], keepdims=0),
            helper.make_node("Add", ["sum", "x"], ["y"]),
        ],
        "jets",
        [
            helper.make_tensor_value_info("jets", TensorProto.FLOAT, ["N", 2, 1]),
            helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 1]),
        ],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 1])],
        [numpy_helper.from_array(np.array([1]), "axes")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString())


@pytest.mark.parametrize("keys", [{"selection": TWO_JETS}, {"missing_inputs": "default"}])
def test_groups_of_objects(jets: Jets, keys: dict[str, Any]) -> None:
    """A momentum or `x` that is not finite makes an input missing; a jet that is not there is padding."""
    x = np.random.default_rng(1).normal(size=1000).astype("f4")
    x[[0, 7]] = np.nan
    momenta = np.random.default_rng(2).exponential(40, 2000).astype("f4")
    momenta[[40, 41, 100]] = np.inf
    path = jets.ntuple(x=x, jet_pt=ak.unflatten(momenta, np.arange(1000) % 5))
    finite = np.asarray(ak.all(np.isfinite(jets.columns[0]["jet_pt"]), axis=1)) & np.isfinite(x)
    momenta = ak.to_numpy(ak.fill_none(ak.pad_none(jets.columns[0]["jet_pt"], 2, clip=True), 0))
    folder = jets.analysis.folder
    write_graph_of_jets(folder / "model.onnx")
    onnx_block = {
        "inputs": {"jets": {"variables": ["jet_pt"], "length": 2}, "x": ["x"]},
        "classes": ["s"],
    }
    content = {"classifiers": [str(folder / "model.onnx")], "onnx": onnx_block, **keys, "default_score": -7}
    if "selection" in keys:
        content["selection"] = f"{TWO_JETS} && x == x && Max$(jet_pt) < 1e9"
    jets.analysis.configs[2].write_text(yaml.safe_dump(content))
    counts = append_planned_scores(make_plan(None, None, jets.analysis.configs[2], kind="onnx"), path, TREE)
    scored = finite & (jets.passing() if "selection" in keys else True)
    left_out = int((~scored).sum())
    assert counts[:3] == ((1000, left_out, 0) if "selection" in keys else (1000, 0, left_out))
    with uproot.open(path) as file:
        found = file[TREE]["ml_score_s"].array(library="np")
    with np.errstate(invalid="ignore"):
        sums = momenta.sum(axis=1) + x
    np.testing.assert_allclose(found, np.where(scored, sums, -7), rtol=1e-6, atol=1e-4)


def test_networks_of_lwtnn(jets: Jets) -> None:
    """One dense layer that adds its inputs."""
    path = jets.ntuple()
    network = {
        "inputs": [{"name": "x", "offset": 0, "scale": 1}, {"name": "jet_pt[1]", "offset": 0, "scale": 1}],
        "layers": [{"architecture": "dense", "activation": "linear", "bias": [0.0], "weights": [1.0, 1.0]}],
        "outputs": ["s"],
    }
    (jets.analysis.folder / "network.json").write_text(json.dumps(network))
    content = {"classifiers": [str(jets.analysis.folder / "network.json")], "default_score": -3}
    for keys, scored in (({"selection": TWO_JETS}, jets.passing()), ({"missing_inputs": "default"}, jets.existing())):
        jets.analysis.configs[2].write_text(yaml.safe_dump({**content, **keys}))
        plan = make_plan(None, None, jets.analysis.configs[2], kind="lwtnn")
        append_planned_scores(plan, path, TREE, overwrite=True)
        second = ak.to_numpy(ak.fill_none(ak.pad_none(jets.columns[0]["jet_pt"], 2, clip=True), 0))[:, 1]
        with uproot.open(path) as file:
            found = file[TREE]["ml_score_s"].array(library="np")
        np.testing.assert_allclose(found, np.where(scored, jets.columns[0]["x"] + second, -3), rtol=1e-6, atol=1e-5)
