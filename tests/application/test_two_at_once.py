"""Two commands on one output: one waits for the other, and nothing of either is lost."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import uproot

from ntupleml.application import append_planned_scores, friend_trees, in_place, make_plan, write_planned_friends
from ntupleml.application.scores import scored_chunks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import pytest


def _slowly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the first chunk take so long that the other command begins meanwhile."""

    def slow(*arguments: Any) -> Iterator[Any]:
        time.sleep(0.4)
        yield from scored_chunks(*arguments)

    for module in (friend_trees, in_place):
        monkeypatch.setattr(module, "scored_chunks", slow)


def test_friends_of_two_trees_of_one_file(
    analysis: Any, require_scores: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both decide, and write, as if they had come one after the other."""
    trees = ["nominal", "systematic/up"]
    path = analysis.ntuple(tree=trees[0])
    with uproot.open(path) as file:
        columns = file[trees[0]].arrays(library="np")
    with uproot.recreate(path) as file:
        for tree in trees:
            file.mktree(tree, {name: values.dtype for name, values in columns.items()}).extend(columns)
    plan = make_plan(*analysis.configs)
    _slowly(monkeypatch)
    with ThreadPoolExecutor(2) as pool:
        ended = [pool.submit(write_planned_friends, plan, [path], tree, overwrite=True) for tree in trees]
        (friend,) = {one.result()[0] for one in ended}
    for tree in trees:
        require_scores(friend, analysis.expected(path, tree), tree)
    assert list(friend.parent.iterdir()) == [friend]


def test_scores_in_place_of_one_tree_twice(analysis: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second finds the branches of the first, and is refused without --overwrite."""
    path = analysis.ntuple()
    plan = make_plan(*analysis.configs)
    _slowly(monkeypatch)
    with ThreadPoolExecutor(2) as pool:
        ended = [pool.submit(append_planned_scores, plan, path, "mt_nominal/ntuple") for _ in range(2)]
        errors = [one.exception() for one in ended]
    assert [error is None for error in errors].count(True) == 1
    assert any("already" in str(error) for error in errors)
    assert list(path.parent.iterdir()) == [path]
