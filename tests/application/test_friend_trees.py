"""Scores in friend trees, and whether these belong to their trees."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import uproot

from ntupleml.application import append_scores, require_aligned, write_friends
from ntupleml.application.inputs import friends_of, ntuple_name
from ntupleml.application.many_files import scored_files
from ntupleml.application.plan import make_plan
from ntupleml.application_arguments import ApplicationOptions
from ntupleml.errors import NtuplemlError
from ntupleml.imports import import_root
from ntupleml.ntuples import open_ntuple

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

TREE = "mt_nominal/ntuple"


def rewrite(path: Path, columns: dict[str, Any], tree: str = TREE) -> None:
    with uproot.recreate(path) as file:
        file.mktree(tree, {key: values.dtype for key, values in columns.items()}).extend(columns)


@pytest.mark.parametrize("num_folds", [2, 5])
def test_several_inputs(make_analysis: Callable[..., Any], require_scores: Callable[..., None], num_folds: int) -> None:
    analysis = make_analysis(num_folds=num_folds)
    paths = [analysis.ntuple("ggh_2018"), analysis.ntuple("ztt", entries=2500), analysis.ntuple("empty", entries=0)]
    before = [path.read_bytes() for path in paths]
    friends = write_friends(*analysis.configs, paths, TREE)
    assert friends == [analysis.folder / "friends" / name / f"{name}.root" for name in ("ggh_2018", "ztt", "empty")]
    for path, friend in zip(paths, friends, strict=True):
        require_scores(friend, analysis.expected(path))
        require_aligned(path, friend, TREE, "event")
        with uproot.open(friend) as file:
            assert file[TREE].classname == "TTree"
            assert file[TREE].keys()[-1] == "event"
            assert file[TREE]["event"].typename == "uint64_t"
    assert [path.read_bytes() for path in paths] == before


def test_root_uses_the_friend_as_one(analysis: Any) -> None:
    path = analysis.ntuple()
    (friend,) = write_friends(*analysis.configs, [path], TREE)
    root = import_root()
    file = root.TFile(str(path))
    tree = file.Get(TREE)
    tree.AddFriend(TREE, str(friend))
    assert tree.GetEntries("ml_score_max_score >= ml_score_signal") == 1000
    indices = analysis.expected(path)["ml_score_max_index"]
    assert tree.GetEntries("ml_score_max_index == 1") == np.count_nonzero(indices == 1)
    file.Close()


def test_trees_of_other_directories_are_added_to_the_friend(analysis: Any, require_scores: Callable[..., None]) -> None:
    path = analysis.ntuple()
    with uproot.open(path) as file:
        columns = file[TREE].arrays(library="np")
    shifted = {**columns, "x": columns["x"] + np.float32(0.1)}
    with uproot.update(path) as file:
        file.mktree("mt_tauEsUp/ntuple", {key: values.dtype for key, values in shifted.items()}).extend(shifted)
    write_friends(*analysis.configs, [path], TREE)
    (friend,) = write_friends(*analysis.configs, [path], "mt_tauEsUp/ntuple")
    require_scores(friend, analysis.expected(path))
    require_scores(friend, analysis.expected(path, "mt_tauEsUp/ntuple"), "mt_tauEsUp/ntuple")
    with pytest.raises(NtuplemlError, match=r"ggh_2018.root: has a tree 'mt_nominal/ntuple' already; give --overwrite"):
        write_friends(*analysis.configs, [path], TREE)
    rewrite(path, shifted)
    write_friends(*analysis.configs, [path], TREE, overwrite=True)
    require_scores(friend, analysis.expected(path))
    with uproot.open(friend) as file:
        assert sorted(file.keys(filter_classname="TTree")) == ["mt_nominal/ntuple;1", "mt_tauEsUp/ntuple;1"]


def test_a_friend_of_one_tree_is_replaced_as_a_whole(analysis: Any, require_scores: Callable[..., None]) -> None:
    path = analysis.ntuple()
    (friend,) = write_friends(*analysis.configs, [path], TREE)
    size = friend.stat().st_size
    for _ in range(3):
        write_friends(*analysis.configs, [path], TREE, overwrite=True)
    assert friend.stat().st_size == size
    require_scores(friend, analysis.expected(path))


def test_without_event_branch_the_friend_counts_entries(make_analysis: Callable[..., Any]) -> None:
    analysis = make_analysis(event_branch=None)
    path = analysis.ntuple()
    (friend,) = write_friends(*analysis.configs, [path], TREE)
    with uproot.open(friend) as file:
        np.testing.assert_array_equal(file[TREE]["entry"].array(library="np"), np.arange(1000))
    require_aligned(path, friend, TREE)


def test_an_rntuple_gets_a_friend_tree(analysis: Any, require_scores: Callable[..., None]) -> None:
    path = analysis.ntuple()
    expected = analysis.expected(path)
    with uproot.open(path) as file:
        columns = file[TREE].arrays(library="np")
    with uproot.recreate(path) as file:
        file["ntuple"] = columns
        assert file["ntuple"].__class__.__name__ == "WritableNTuple"
    (friend,) = write_friends(*analysis.configs, [path], "ntuple")
    require_scores(friend, expected, "ntuple")
    require_aligned(path, friend, "ntuple", "event")


def write_hdf5(path: Path, columns: dict[str, Any]) -> Path:
    with h5py.File(path.with_suffix(".h5"), "w") as file:
        for name, column in columns.items():
            file[f"mt_nominal/ntuple/{name}"] = column
    return path.with_suffix(".h5")


def write_parquet(path: Path, columns: dict[str, Any]) -> Path:
    pq.write_table(pa.table(columns), path.with_suffix(".parquet"))
    return path.with_suffix(".parquet")


@pytest.mark.parametrize(
    ("write", "tree_path", "friend_tree"),
    [(write_hdf5, f"/{TREE}", "ntuple"), (write_parquet, "", "ggh_2018"), (write_parquet, TREE, "ntuple")],
)
def test_other_files_get_friend_trees(
    write: Any,
    tree_path: str,
    friend_tree: str,
    analysis: Any,
    require_scores: Callable[..., None],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A second run finds what is done, and the ntuple its friends; in place is refused."""
    roots = [analysis.ntuple(name) for name in ("ggh_2018", "ztt")]
    expected = analysis.expected(roots[0])
    paths = []
    for root in roots:
        with uproot.open(root) as file:
            paths.append(write(root, file[TREE].arrays(library="np")))
        root.unlink()
    (friend,) = write_friends(*analysis.configs, paths[:1], tree_path)
    require_scores(friend, expected, friend_tree)
    require_aligned(paths[0], friend, tree_path, "event")
    caplog.set_level("INFO")
    done = scored_files(
        partial(make_plan, *analysis.configs), [*map(str, paths)], tree_path, ApplicationOptions(friend=True)
    )
    assert done.failures == []
    assert sum("done already" in line for line in caplog.messages) == 1
    friends = friends_of(paths[0], tree_path, [str(analysis.folder / "friends")])
    with open_ntuple(paths[0], tree_path, friends) as ntuple:
        (chunk,) = ntuple.chunks(["friends.ml_score_signal", "event"])
    np.testing.assert_allclose(chunk.columns["friends.ml_score_signal"], expected["ml_score_signal"], rtol=1e-5)
    before = paths[0].read_bytes()
    with pytest.raises(NtuplemlError, match=r"branches are added to ROOT files, and no .* file is one; .*--friend"):
        append_scores(*analysis.configs, paths[0], tree_path)
    assert paths[0].read_bytes() == before


def test_a_float_event_branch_becomes_integers(analysis: Any) -> None:
    path = analysis.ntuple(entries=3, event=np.array([3.0, 1.0, 2.0], "f4"))
    (friend,) = write_friends(*analysis.configs, [path], TREE)
    with uproot.open(friend) as file:
        assert file[TREE]["event"].array(library="np").tolist() == [3, 1, 2]
        assert file[TREE]["event"].typename == "int64_t"
    require_aligned(path, friend, TREE, "event")


def test_a_misaligned_friend_is_noticed(analysis: Any) -> None:
    path = analysis.ntuple()
    (friend,) = write_friends(*analysis.configs, [path], TREE)
    with uproot.open(path) as file:
        columns = file[TREE].arrays(library="np")
    events = columns["event"].copy()
    columns["event"][[500, 600]] = columns["event"][[600, 500]]
    rewrite(path, columns)
    with pytest.raises(
        NtuplemlError, match=f"entry 500 of tree '{TREE}' is event {events[500]}.* it is event {events[600]}"
    ):
        require_aligned(path, friend, TREE, "event")
    rewrite(path, {name: values[:-1] for name, values in columns.items()})
    with pytest.raises(NtuplemlError, match=r"has 1000 entries, that of .* has 999"):
        require_aligned(path, friend, TREE, "event")


def test_a_misaligned_friend_of_the_input_is_refused(analysis: Any) -> None:
    """Variables come from a friend with event numbers of its own: they must be those of the tree."""
    path = analysis.ntuple()
    with uproot.open(path) as file:
        columns = file[TREE].arrays(library="np")
    extra = analysis.folder / "extra" / path.name
    extra.parent.mkdir()
    with uproot.recreate(extra) as file:
        file.mktree(TREE, {"event": "u8", "z": "f4"}).extend({"event": columns["event"], "z": columns["x"]})
    analysis.change("dataset", {"friend_paths": [str(extra.parent)]})
    write_friends(*analysis.configs, [path], TREE)
    events = columns["event"].copy()
    events[[500, 600]] = events[[600, 500]]
    with uproot.recreate(extra) as file:
        file.mktree(TREE, {"event": "u8", "z": "f4"}).extend({"event": events, "z": columns["x"]})
    with pytest.raises(
        NtuplemlError, match=f"entry 500 is event {events[600]}, but {events[500]} in the friend 'extra'"
    ):
        write_friends(*analysis.configs, [path], TREE, overwrite=True)


def test_two_inputs_of_one_name_are_refused_before_anything_is_written(analysis: Any, tmp_path: Path) -> None:
    first = analysis.ntuple("ggh")
    second = tmp_path / "more" / "ggh" / first.name
    second.parent.mkdir(parents=True)
    second.write_bytes(first.read_bytes())
    third = analysis.ntuple("ztt")
    with pytest.raises(NtuplemlError, match=r"more/ggh/ggh.root: its friend would be .*ggh.root, and so would that of"):
        write_friends(*analysis.configs, [third, first, second], TREE)
    with pytest.raises(NtuplemlError, match="no such file"):
        write_friends(*analysis.configs, [third, tmp_path / "none" / "none.root"], TREE)
    assert not (tmp_path / "friends").exists()


def test_output_directory_is_needed_and_must_not_be_that_of_the_input(analysis: Any) -> None:
    path = analysis.ntuple()
    analysis.change("application", {"output_directory": str(path.parents[1])})
    with pytest.raises(NtuplemlError, match="its friend would be the file itself"):
        write_friends(*analysis.configs, [path], TREE, overwrite=True)
    (analysis.folder / "application.yaml").write_text("branch_prefix: ml_score_\n")
    with pytest.raises(NtuplemlError, match=r"application.yaml: key 'output_directory' is missing"):
        write_friends(*analysis.configs, [path], TREE)


def test_a_failure_leaves_no_friend_and_no_other_file(analysis: Any) -> None:
    path = analysis.ntuple(entries=2, x=np.array([1.0, np.inf]))
    with pytest.raises(NtuplemlError, match="'x' is NaN or infinite"):
        write_friends(*analysis.configs, [path], TREE)
    assert [file for file in (analysis.folder / "friends").rglob("*") if file.is_file()] == []


def test_the_name_is_that_of_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "wjets").mkdir()
    monkeypatch.chdir(tmp_path / "wjets")
    assert ntuple_name("file.root") == "wjets"
    assert ntuple_name("../file.root") == tmp_path.name
    with pytest.raises(NtuplemlError, match="lies in no folder"):
        ntuple_name("/file.root")


def test_a_tree_of_an_older_cycle_is_refused_before_anything_is_written(analysis: Any) -> None:
    path = analysis.ntuple()
    with pytest.raises(NtuplemlError, match=f"no tree can be written as '{TREE};1'; give its name"):
        write_friends(*analysis.configs, [path], f"{TREE};1")
    assert not (analysis.folder / "friends").exists()


def test_a_failure_leaves_no_empty_folders(analysis: Any) -> None:
    path = analysis.ntuple()
    with uproot.open(path) as file:
        columns = file[TREE].arrays(library="np")
    rewrite(path, {**columns, "event": np.full(len(columns["event"]), 0.5)})
    with pytest.raises(NtuplemlError, match="is not an integer"):
        write_friends(*analysis.configs, [path], TREE)
    assert not (analysis.folder / "friends").exists()
