"""Several trees of each input scored in one go: those of systematic variations."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import uproot

from ntupleml.application import make_plan
from ntupleml.application.many_files import scored_files
from ntupleml.application.trees import chosen_trees
from ntupleml.application_arguments import ApplicationOptions
from ntupleml.cluster import ClusterOptions
from ntupleml.errors import NtuplemlError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

TREES = ["mt_nominal/ntuple", "mt_JES_up/ntuple", "mt_JES_down/ntuple"]


def write(analysis: Any, name: str = "ggh", trees: list[str] = TREES) -> Path:
    """A file whose trees have other events, and other numbers of them."""
    path: Path = analysis.folder / "ntuples" / name / f"{name}.root"
    path.parent.mkdir(parents=True, exist_ok=True)
    with uproot.recreate(path) as file:
        for place, tree in enumerate([*trees, "cutflow"]):
            random, entries = np.random.default_rng(place), 50 + place
            columns = {"x": random.normal(size=entries), "y": random.normal(size=entries)}
            columns |= {"event": random.permutation(np.arange(entries))} if tree != "cutflow" else {}
            file.mktree(tree, {key: values.dtype for key, values in columns.items()}).extend(columns)
    return path


def score(analysis: Any, path: str | Path, trees: str, **options: Any) -> Any:
    return scored_files(partial(make_plan, *analysis.configs), [str(path)], trees, ApplicationOptions(**options))


@pytest.mark.parametrize("where", ["in place", "friend", "copy"])
@pytest.mark.parametrize("text", ["mt_*/ntuple", "mt_nominal/ntuple, mt_JES_*"])
def test_each_tree_gets_its_scores(
    analysis: Any, require_scores: Callable[..., None], tmp_path: Path, where: str, text: str
) -> None:
    path = write(analysis)
    expected = {tree: analysis.expected(path, tree) for tree in TREES}
    before = path.read_bytes()
    options = {"friend": where == "friend"} | (
        {"output_directory": str(tmp_path / "copies")} if where == "copy" else {}
    )
    result = score(analysis, path, text, **options)
    assert not result.failures
    (output,) = result.outputs
    for tree in TREES:
        require_scores(output, expected[tree], tree)
    with uproot.open(output) as file:
        trees = [name for name, kind in file.classnames(cycle=False).items() if kind == "TTree"]
        assert sorted(trees) == sorted(TREES if where == "friend" else [*TREES, "cutflow"])
    assert (path.read_bytes() == before) == (where != "in place")
    done = output.read_bytes()
    assert not score(analysis, path, text, **options).failures  # all is done already
    assert output.read_bytes() == done


@pytest.mark.parametrize("copies", [True, False])
def test_what_a_stop_left_out_is_made_up_for(
    analysis: Any, require_scores: Callable[..., None], tmp_path: Path, caplog: pytest.LogCaptureFixture, copies: bool
) -> None:
    path = write(analysis)
    expected = {tree: analysis.expected(path, tree) for tree in TREES}
    options = {"output_directory": str(tmp_path / "copies")} if copies else {"friend": True}
    score(analysis, path, f"{TREES[0]},{TREES[1]}", **options)
    caplog.set_level("INFO", "ntupleml")
    (output,) = score(analysis, path, "mt_*", **options).outputs
    assert "1 of 1 files done: 52 events" in caplog.messages[-1]
    for tree in TREES:
        require_scores(output, expected[tree], tree)
    (output,) = score(analysis, path, "mt_*", overwrite=True, **options).outputs
    assert "1 of 1 files done: 153 events" in caplog.messages[-1]
    for tree in TREES:
        require_scores(output, expected[tree], tree)


def test_a_tree_that_cannot_be_scored_does_not_stop_the_others(
    analysis: Any, require_scores: Callable[..., None]
) -> None:
    path = write(analysis)
    expected = analysis.expected(path, TREES[2])
    result = score(analysis, path, "cutflow,mt_JES_down/ntuple", friend=True)
    (failure,) = result.failures
    assert "no branch 'event' in tree 'cutflow'" in failure
    require_scores(analysis.folder / "friends" / "ggh" / "ggh.root", expected, TREES[2])


def test_nothing_is_written_by_a_dry_run(analysis: Any, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(analysis)
    assert not score(analysis, path, "mt_*", friend=True, dry_run=True).failures
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("(")[1] for line in lines] == [
        f"tree '{tree}', {50 + place} rows)" for place, tree in enumerate(TREES)
    ]
    assert not (analysis.folder / "friends").exists()


def test_mistakes_are_one_line(analysis: Any) -> None:
    path = write(analysis)
    (failure,) = score(analysis, path, "mt_JER_*", friend=True).failures
    assert failure.startswith(f"{path}: TREE: no tree matches 'mt_JER_*'; nearest: 'mt_JES_")
    with pytest.raises(NtuplemlError, match="TREE: ' , ' names no tree"):
        chosen_trees(path, " , ")
    analysis.change("application", {"friend_format": "hdf5"})
    with pytest.raises(NtuplemlError, match=r"friend_format: hdf5 holds a friend of one tree, but TREE is 'mt_\*'"):
        score(analysis, path, "mt_*", friend=True)


def test_trees_are_named_once(analysis: Any) -> None:
    path = write(analysis)
    assert chosen_trees(path, "mt_JES_up/ntuple,mt_*") == [TREES[1], TREES[0], TREES[2]]


@pytest.mark.slow
def test_workers_score_all_trees(analysis: Any, require_scores: Callable[..., None]) -> None:
    paths = [write(analysis, name) for name in ("ggh", "ztt")]
    expected = [analysis.expected(paths[0], tree) for tree in TREES]
    pattern = str(analysis.folder / "ntuples" / "*" / "*.root")
    assert not score(analysis, pattern, "mt_*", cluster=ClusterOptions(workers=2)).failures
    for path in paths:
        for tree, scores in zip(TREES, expected, strict=True):
            require_scores(path, scores, tree)
