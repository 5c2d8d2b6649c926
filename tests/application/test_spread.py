"""Spread of the members of ensembles as branches, wherever scores go: what NumPy makes of linear members."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import pytest
import uproot

from ntupleml.application import append_scores, make_plan, write_friends
from ntupleml.application.resuming import plan_key
from ntupleml.application.score_table import write_score_table
from ntupleml.artifacts import model_files, read_record, record_hash, write_record
from ntupleml.artifacts.record import EnsembleRecord, MemberRecord
from ntupleml.errors import NtuplemlError
from ntupleml.interface import load_model
from ntupleml.ntuples import open_ntuple
from ntupleml.onnx_models.ensemble import ensemble_model

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

TREE = "mt_nominal/ntuple"
NAMES = [f"ml_score_{name}_spread" for name in ("signal", "background", "other")]
_MEMBERS = 4


@pytest.fixture
def members(analysis: Any, linear_model: Callable[..., bytes]) -> list[list[NDArray[np.float32]]]:
    """Weights of the members by fold; the models of the analysis are ensembles of them."""
    random, weights = np.random.default_rng(11), []
    for fold in (0, 1):
        files = model_files(analysis.folder / "models", fold)
        one = MemberRecord(seed=0, data_seed=1, record_hash="", sha256={})
        ensemble = EnsembleRecord(members=[one.model_copy(update={"seed": seed}) for seed in range(_MEMBERS)])
        record = read_record(files.record).model_copy(update={"ensemble": ensemble})
        write_record(files.record, record, overwrite=True)
        own = [analysis.weights[fold] + random.normal(0, 0.3, (2, 3)).astype("f4") for _ in range(_MEMBERS)]
        graphs = [onnx.load_from_string(linear_model(record, some)) for some in own]
        model = ensemble_model(graphs, {"record_hash": record_hash(record)})
        files.onnx.write_bytes(model.SerializeToString())
        weights.append(own)
    return weights


def expected(path: Path, members: list[list[NDArray[np.float32]]]) -> dict[str, NDArray[np.float64]]:
    with uproot.open(path) as file:
        columns = file[TREE].arrays(library="np")
    matrix = np.stack([columns["x"], columns["y"]], axis=1).astype("f4").astype("f8")
    scores = np.empty((len(matrix), _MEMBERS, 3))
    for event_fold in (0, 1):
        chosen = columns["event"] % np.uint64(2) == event_fold
        for index, weights in enumerate(members[1 - event_fold]):
            exponentials = np.exp(matrix[chosen] @ weights.astype("f8"))
            scores[chosen, index] = exponentials / exponentials.sum(axis=1, keepdims=True)
    mean = scores.sum(axis=1) / _MEMBERS
    spread = np.sqrt(((scores - mean[:, None]) ** 2).sum(axis=1) / (_MEMBERS - 1))
    found = {f"ml_score_{name}": mean[:, index] for index, name in enumerate(("signal", "background", "other"))}
    return found | {name: spread[:, index] for index, name in enumerate(NAMES)}


def test_friends_tables_and_branches_in_place(analysis: Any, members: Any) -> None:
    path = analysis.ntuple()
    wanted = expected(path, members)
    analysis.change("application", {"spread": True})
    (friend,) = write_friends(*analysis.configs, [path], TREE)
    append_scores(*analysis.configs, path, TREE)
    for place in (friend, path):
        with uproot.open(place) as file:
            for name, values in wanted.items():
                found = file[TREE][name].array(library="np")
                assert found.dtype == np.float32
                np.testing.assert_allclose(found, values, rtol=0, atol=2e-6, err_msg=name)
            best = file[TREE]["ml_score_max_index"].array(library="np")
            np.testing.assert_array_equal(best, np.argmax([wanted[name] for name in list(wanted)[:3]], axis=0))
    table = analysis.folder / "scores.h5"
    write_score_table(make_plan(*analysis.configs), [str(path)], TREE, table)
    with open_ntuple(table, "scores") as ntuple:
        (chunk,) = ntuple.chunks(NAMES)
    for name in NAMES:
        np.testing.assert_allclose(chunk.columns[name], wanted[name], rtol=0, atol=2e-6)


def test_events_that_are_left_out_get_the_default_and_accept_is_last(analysis: Any, members: Any) -> None:
    path = analysis.ntuple()
    wanted = expected(path, members)
    keys = {"spread": True, "selection": "x > 0", "default_score": -1, "accept": {"output": "signal", "threshold": 0.5}}
    analysis.change("application", keys)
    plan = make_plan(*analysis.configs)
    assert plan.branch_names[-4:] == [*NAMES, "ml_score_accept"]
    (friend,) = write_friends(*analysis.configs, [path], TREE)
    with uproot.open(path) as file:
        passes = file[TREE]["x"].array(library="np") > 0
    with uproot.open(friend) as file:
        spread = file[TREE]["ml_score_signal_spread"].array(library="np")
        accepted = file[TREE]["ml_score_accept"].array(library="np")
    np.testing.assert_allclose(spread, np.where(passes, wanted["ml_score_signal_spread"], -1), atol=2e-6)
    np.testing.assert_array_equal(accepted == 1, passes & (wanted["ml_score_signal"] >= 0.5))


def test_a_run_with_spread_is_another_one(analysis: Any, members: Any) -> None:
    without = plan_key(make_plan(*analysis.configs))
    analysis.change("application", {"spread": True})
    assert plan_key(make_plan(*analysis.configs)) != without
    assert members


def test_single_models_have_no_spread(analysis: Any) -> None:
    analysis.change("application", {"spread": True})
    with pytest.raises(NtuplemlError, match=r"spread: the models are no ensembles.*train with ensemble: \{seeds: 5\}"):
        make_plan(*analysis.configs)


def test_spread_and_members_from_python(analysis: Any, members: Any) -> None:
    path = analysis.ntuple()
    wanted = expected(path, members)
    with uproot.open(path) as file:
        columns = file[TREE].arrays(library="np")
    model = load_model(analysis.folder / "training.yaml")
    found = model.ensemble(columns)
    np.testing.assert_array_equal(found.scores, model.score(columns))
    for index, name in enumerate(NAMES):
        np.testing.assert_allclose(found.spread[:, index], wanted[name], atol=2e-6)
    assert found.members.shape == (1000, _MEMBERS, 3)
    file = load_model(model_files(analysis.folder / "models", 0).onnx)
    np.testing.assert_allclose(file.score(columns)[:, 0].shape, (1000,))
