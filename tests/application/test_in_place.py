"""Scores appended to the ntuple itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import uproot

from ntupleml.application import append_scores
from ntupleml.errors import NtuplemlError
from ntupleml.ntuples.root_process import stop_root

if TYPE_CHECKING:
    from collections.abc import Callable

TREE = "mt_nominal/ntuple"
BRANCHES = ["ml_score_signal", "ml_score_background", "ml_score_other", "ml_score_max_score", "ml_score_max_index"]


@pytest.mark.parametrize("num_folds", [2, 3])
@pytest.mark.parametrize("event_branch", ["event", None])
def test_each_event_is_scored_by_the_model_that_never_saw_it(
    make_analysis: Callable[..., Any], require_scores: Callable[..., None], num_folds: int, event_branch: str | None
) -> None:
    analysis = make_analysis(num_folds=num_folds, event_branch=event_branch)
    path = analysis.ntuple()
    expected = analysis.expected(path)
    assert append_scores(*analysis.configs, path, TREE) == 1000
    require_scores(path, expected)
    with uproot.open(path) as file:
        assert file[TREE].keys() == ["x", "y", "event", *BRANCHES]


def test_a_second_run_is_refused_or_replaces(analysis: Any, require_scores: Callable[..., None]) -> None:
    path = analysis.ntuple()
    expected = analysis.expected(path)
    append_scores(*analysis.configs, path, TREE)
    before = path.read_bytes()
    with pytest.raises(NtuplemlError, match=r"has branches 'ml_score_signal', .* already; give --overwrite"):
        append_scores(*analysis.configs, path, TREE)
    assert path.read_bytes() == before
    append_scores(*analysis.configs, path, TREE, overwrite=True)
    require_scores(path, expected)
    analysis.change("application", {"branch_prefix": "second_"})
    append_scores(*analysis.configs, path, TREE)
    with uproot.open(path) as file:
        assert len(file[TREE].keys()) == 3 + 2 * len(BRANCHES)


def test_an_empty_tree(analysis: Any) -> None:
    path = analysis.ntuple(entries=0)
    assert append_scores(*analysis.configs, path, TREE) == 0
    with uproot.open(path) as file:
        assert file[TREE].keys() == ["x", "y", "event", *BRANCHES]


def test_models_with_conditions(make_analysis: Callable[..., Any], require_scores: Callable[..., None]) -> None:
    analysis = make_analysis(conditions=["2016", "2017", "2018"])
    path = analysis.ntuple()
    expected = analysis.expected(path, condition="2017")
    with pytest.raises(NtuplemlError, match=r"application.yaml: condition: no condition is given"):
        append_scores(*analysis.configs, path, TREE)
    analysis.change("application", {"condition": "2019"})
    with pytest.raises(NtuplemlError, match=r"no condition '2019'; nearest"):
        append_scores(*analysis.configs, path, TREE)
    analysis.change("application", {"condition": "2017"})
    append_scores(*analysis.configs, path, TREE)
    require_scores(path, expected)


def test_an_input_that_would_be_replaced_is_refused(make_analysis: Callable[..., Any]) -> None:
    analysis = make_analysis(classes=["x", "z"])
    path = analysis.ntuple()
    analysis.change("application", {"branch_prefix": ""})
    before = path.read_bytes()
    with pytest.raises(NtuplemlError, match="new branch 'x' would replace what its scores are made from"):
        append_scores(*analysis.configs, path, TREE, overwrite=True)
    assert path.read_bytes() == before


def test_inputs_that_cannot_be_scored_leave_the_file_as_it_was(analysis: Any) -> None:
    cases = {
        "nan": ({"x": np.array([1.0, np.nan])}, "variable 'x' is NaN or infinite in 1 of 2 events"),
        "text": ({"event": np.array([1.5, 2.0])}, "branch 'event': event number 1.5 is not an integer"),
        "big": ({"event": np.array([2**25, 2.0], "f4")}, "loses its parity"),
    }
    for name, (columns, message) in cases.items():
        path = analysis.ntuple(name, entries=2, **columns)
        before = path.read_bytes()
        with pytest.raises(NtuplemlError, match=message) as caught:
            append_scores(*analysis.configs, path, TREE)
        assert str(caught.value).startswith(f"{path}: tree '{TREE}'")
        assert path.read_bytes() == before
        assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_missing_branches_are_named_with_the_nearest(analysis: Any) -> None:
    path = analysis.ntuple(event=np.arange(1000))
    analysis.change("training", {"variables": ["x", "y"]})
    bare = analysis.ntuple("bare", entries=3)
    with uproot.recreate(bare) as file:
        file.mktree(TREE, {"x": "f4", "y_1": "f4", "event": "i8"}).extend({"x": [1.0], "y_1": [1.0], "event": [1]})
    with pytest.raises(NtuplemlError, match=r"bare.root: tree .*no branch 'y'; nearest: 'y_1'"):
        append_scores(*analysis.configs, bare, TREE)
    with uproot.recreate(path) as file:
        file.mktree(TREE, {"x": "f4", "y": "f4", "evt": "i8"}).extend({"x": [1.0], "y": [1.0], "evt": [1]})
    with pytest.raises(NtuplemlError, match=r"event_branch or fold_by, or --event-branch\): no branch 'event'.*'evt'"):
        append_scores(*analysis.configs, path, TREE)


def test_an_rntuple_is_sent_to_the_friend_script(analysis: Any, tmp_path: Any) -> None:
    path = tmp_path / "rntuple.root"
    with uproot.recreate(path) as file:
        file["ntuple"] = {"x": np.zeros(3), "y": np.zeros(3), "event": np.arange(3)}
    with pytest.raises(NtuplemlError, match=r"is an RNTuple.*\(--friend, or keras_application_friend\.py\)"):
        append_scores(*analysis.configs, path, "ntuple")


def test_friends_of_the_input_are_read(analysis: Any, require_scores: Callable[..., None], tmp_path: Any) -> None:
    """htt-ml's layout of 2020, else a file of the same name."""
    path = analysis.ntuple()
    expected = analysis.expected(path)
    with uproot.open(path) as file:
        columns = file[TREE].arrays(library="np")
    bare = {name: columns[name] for name in ("x", "event")}
    friend = tmp_path / "extra" / "ggh_2018" / "ggh_2018.root"
    friend.parent.mkdir(parents=True)
    for target, content in ((path, bare), (friend, {"y": columns["y"]})):
        with uproot.recreate(target) as file:
            file.mktree(TREE, {key: values.dtype for key, values in content.items()}).extend(content)
    analysis.change("dataset", {"friend_paths": [str(tmp_path / "extra")]})
    append_scores(*analysis.configs, path, TREE)
    require_scores(path, expected)

    friend.rename(tmp_path / "extra" / "ggh_2018.root")
    append_scores(*analysis.configs, path, TREE, overwrite=True)
    require_scores(path, expected)

    (tmp_path / "extra" / "ggh_2018.root").unlink()
    with pytest.raises(NtuplemlError) as caught:
        append_scores(*analysis.configs, path, TREE, overwrite=True)
    assert str(friend) in str(caught.value)
    assert str(tmp_path / "extra" / "ggh_2018.root") in str(caught.value)


def test_friends_that_keep_the_names_of_their_inputs_are_read(
    analysis: Any, require_scores: Callable[..., None], tmp_path: Any
) -> None:
    """Two inputs in one folder: the friend of each is the one called as it, not the one called as the folder."""
    first = analysis.ntuple()
    second = first.rename(first.with_name("second.root"))
    expected = analysis.expected(second)
    with uproot.open(second) as file:
        columns = file[TREE].arrays(library="np")
    bare = {name: columns[name] for name in ("x", "event")}
    folder = tmp_path / "extra" / "ggh_2018"
    folder.mkdir(parents=True)
    of_first, of_second = {"y": columns["y"] + 1}, {"y": columns["y"]}
    contents = ((second, bare), (folder / first.name, of_first), (folder / second.name, of_second))
    for target, content in contents:
        with uproot.recreate(target) as file:
            file.mktree(TREE, {key: values.dtype for key, values in content.items()}).extend(content)
    analysis.change("dataset", {"friend_paths": [str(tmp_path / "extra")]})
    append_scores(*analysis.configs, second, TREE)
    require_scores(second, expected)


def test_root_is_asked_for_after_the_inputs_are_checked(
    analysis: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    (tmp_path / "modules").mkdir()
    (tmp_path / "modules" / "ROOT.py").write_text("raise ImportError('No module named ROOT')")
    monkeypatch.syspath_prepend(tmp_path / "modules")
    path = analysis.ntuple()
    before = path.read_bytes()
    stop_root()
    try:
        with pytest.raises(NtuplemlError, match="no tree 'mt_nominal/none'"):
            append_scores(*analysis.configs, path, "mt_nominal/none")
        with pytest.raises(NtuplemlError, match="ROOT cannot be imported"):
            append_scores(*analysis.configs, path, TREE)
    finally:
        stop_root()
    assert path.read_bytes() == before
