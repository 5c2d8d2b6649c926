"""Rows that other trainings saw are not scored: they are found by their keys, and have the default."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
import pytest
import uproot

from ntupleml.application import make_plan, write_friends
from ntupleml.application.resuming import plan_key
from ntupleml.application.score_table import write_score_table
from ntupleml.datasets.loading import ClassTree, FoldFile
from ntupleml.datasets.trained_keys import keys_file
from ntupleml.errors import NtuplemlError
from ntupleml.ntuples import new_tree_file

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

TREE = "mt_nominal/ntuple"


def trained_on(folder: Path, events: NDArray[Any], column: str = "event") -> Path:
    """What a training leaves whose rows have these event numbers."""
    path = folder / "trained.root"
    with new_tree_file(path, overwrite=True) as file:
        file.tree("EB", {column: "u8"}).extend({column: events})
    keys = keys_file([ClassTree(FoldFile(str(path), 0, None), "EB", 0, 0, len(events), len(events), "", 0)], [column])
    out = folder / "l1"
    out.mkdir(exist_ok=True)
    (out / "fold0_keras_keys.h5").write_bytes(keys.content)
    record = {"held_out_fold": 1, "keys": keys.record("fold0_keras_keys.h5").model_dump()}
    (out / "fold0_keras_training.json").write_text(json.dumps(record))
    return out


def test_rows_that_others_saw_get_the_default(analysis: Any, caplog: pytest.LogCaptureFixture) -> None:
    path = analysis.ntuple()
    with uproot.open(path) as file:
        columns = file[TREE].arrays(["event", "x"], library="np")
    seen = columns["event"][100:400]
    out = trained_on(analysis.folder, np.concatenate([seen, seen[:5], np.array([1, 2], "u8")]))
    key = plan_key(make_plan(*analysis.configs))
    changes = {"exclude_trained_by": str(out), "selection": "x > 0", "default_score": -7}
    analysis.change("application", {**changes, "accept": {"output": "signal", "threshold": -10}})
    caplog.set_level("INFO", "ntupleml")
    (friend,) = write_friends(*analysis.configs, [path], TREE)
    passes, is_seen = columns["x"] > 0, np.isin(columns["event"], seen)
    scored = passes & ~is_seen
    with uproot.open(friend) as file:
        found = file[TREE].arrays(library="np")
    np.testing.assert_array_equal(found["ml_score_accept"], scored)
    np.testing.assert_allclose(
        found["ml_score_signal"], np.where(scored, analysis.expected(path)["ml_score_signal"], -7), atol=2e-6
    )
    assert set(found["ml_score_max_index"][~scored]) == {-1}
    text = (
        f"{(~passes).sum()} fail the selection and {(passes & is_seen).sum()} are of the trainings in exclude_trained"
    )
    assert text in caplog.messages[-1]
    assert plan_key(make_plan(*analysis.configs)) != key
    table = analysis.folder / "table.h5"
    write_score_table(make_plan(*analysis.configs), [str(path)], TREE, table)
    with h5py.File(table) as file:
        np.testing.assert_array_equal(file["scores/event"], columns["event"][scored])


def test_mistakes(analysis: Any) -> None:
    path = analysis.ntuple()
    out = trained_on(analysis.folder, np.array([1], "u8"))
    analysis.change("application", {"exclude_trained_by": [str(out)]})
    with pytest.raises(NtuplemlError, match=r"exclude_trained_by: needs a score for the events that are left out"):
        make_plan(*analysis.configs)
    analysis.change("application", {"default_score": -1, "exclude_trained_by": [str(out), f"{out}/"]})
    with pytest.raises(NtuplemlError, match=r"exclude_trained_by: named twice"):
        make_plan(*analysis.configs)
    analysis.change("application", {"exclude_trained_by": [str(out / "none")]})
    with pytest.raises(NtuplemlError, match=r"application.yaml: exclude_trained_by: no file or folder .*none"):
        make_plan(*analysis.configs)
    analysis.change("application", {"exclude_trained_by": [str(out)]})
    trained_on(analysis.folder, np.array([1], "u8"), "evnt")
    with pytest.raises(
        NtuplemlError, match=r"exclude_trained_by: no branch 'evnt' .*nearest: 'event'; exclude_trained_by finds"
    ):
        write_friends(*analysis.configs, [path], TREE)
