"""Any number of inputs: wildcards and lists, outputs of their own, resuming, failures, and workers that are killed."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import uproot

from ntupleml.application import make_plan, score_files
from ntupleml.application.many_files import scored_files
from ntupleml.application.resuming import is_finished, scores_mark
from ntupleml.application_arguments import ApplicationOptions
from ntupleml.cluster import ClusterOptions
from ntupleml.errors import NtuplemlError
from ntupleml.ntuples import append_branches
from ntupleml.ntuples.marks import read_marks

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

TREE = "mt_nominal/ntuple"
IN_PLACE = "application/keras_application.py"
FRIEND = "application/keras_application_friend.py"
NAMES = ("ggh", "qqh_2018", "ztt_2018_")


def score(analysis: Any, *inputs: object, tree: str = TREE, **options: Any) -> int:
    make = partial(make_plan, *analysis.configs)
    return score_files(make, list(map(str, inputs)), tree, ApplicationOptions(**options))


def wildcards(analysis: Any) -> str:
    return str(analysis.folder / "ntuples" / "*" / "*.root")


def friends_of(analysis: Any) -> list[Path]:
    return sorted(path for path in (analysis.folder / "friends").rglob("*") if path.is_file())


@pytest.mark.parametrize("friend", [True, False])
def test_wildcards_and_lists(analysis: Any, require_scores: Callable[..., None], friend: bool) -> None:
    paths = [analysis.ntuple(name, entries=100 + len(name)) for name in NAMES]
    expected = [analysis.expected(path) for path in paths]
    listed = analysis.folder / "list.txt"
    listed.write_text(f"# the last one\n\n{paths[2].parent}/*.root\n")
    assert (
        score(analysis, *paths[:1], str(paths[1]).replace("2018.root", "20??.root"), f"@{listed}", friend=friend) == 0
    )
    outputs = friends_of(analysis) if friend else paths
    assert len(outputs) == 3
    for output, scores in zip(outputs, expected, strict=True):
        require_scores(output, scores)


def test_what_is_finished_is_skipped(
    analysis: Any, caplog: pytest.LogCaptureFixture, require_scores: Callable[..., None]
) -> None:
    paths = [analysis.ntuple(name) for name in NAMES]
    caplog.set_level("INFO", "ntupleml")
    assert score(analysis, *paths[:2], friend=True) == 0
    before = {path: path.stat().st_mtime_ns for path in friends_of(analysis)}
    caplog.clear()
    assert score(analysis, wildcards(analysis), friend=True) == 0
    done = [line for line in caplog.messages if "done already" in line]
    assert len(done) == 2
    assert "3 of 3 files done: 1,000 events" in caplog.messages[-1]
    assert {path: path.stat().st_mtime_ns for path in before} == before
    for path, friend in zip(paths, friends_of(analysis), strict=True):
        require_scores(friend, analysis.expected(path))


def test_what_is_finished_in_place_is_skipped_also_among_other_scores(
    analysis: Any, caplog: pytest.LogCaptureFixture
) -> None:
    paths = [analysis.ntuple(name) for name in NAMES[:2]]
    caplog.set_level("INFO", "ntupleml")
    assert score(analysis, *paths) == 0
    analysis.change("application", {"branch_prefix": "other_"})
    assert score(analysis, *paths) == 0
    before = [path.read_bytes() for path in paths]
    for prefix in ("ml_score_", "other_"):
        analysis.change("application", {"branch_prefix": prefix})
        caplog.clear()
        assert score(analysis, *paths) == 0
        assert sum("done already" in line for line in caplog.messages) == 2
    assert [path.read_bytes() for path in paths] == before


@pytest.mark.parametrize("friend", [True, False])
@pytest.mark.parametrize("change", ["models", "input", "config"])
def test_what_was_made_from_something_else_is_an_error(
    analysis: Any, caplog: pytest.LogCaptureFixture, change: str, friend: bool
) -> None:
    paths = [analysis.ntuple(name) for name in NAMES[:2]]
    assert score(analysis, *paths, friend=friend) == 0
    if change == "models":
        record = analysis.folder / "models" / "fold0_keras_training.json"
        for path in (analysis.folder / "models").glob("*"):
            path.unlink()
        assert not record.exists()
        analysis.weights.clear()
        analysis.folds_recorded = False
        analysis.write()
    elif change == "config":
        analysis.change("dataset", {"friend_paths": [str(friend_folder(analysis, paths))]})
    else:
        append_branches(paths[0], TREE, {"z": "f4"}, [{"z": np.zeros(1000, "f4")}])
    caplog.clear()
    assert score(analysis, *paths, friend=friend) == 1
    errors = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
    assert len(errors) == (1 if change == "input" else 2)
    assert all("already; give --overwrite" in error for error in errors)
    assert score(analysis, *paths, friend=friend, overwrite=True) == 0
    assert score(analysis, *paths, friend=friend) == 0


def friend_folder(analysis: Any, paths: list[Path]) -> Path:
    """A folder with a friend of each ntuple, of one more variable."""
    folder: Path = analysis.folder / "more"
    folder.mkdir()
    for path in paths:
        with uproot.recreate(folder / path.name) as file:
            file.mktree(TREE, {"mass": "f4"}).extend({"mass": np.zeros(1000, "f4")})
    return folder


def test_an_unfinished_or_foreign_output_is_not_taken_for_finished(analysis: Any) -> None:
    path = analysis.ntuple()
    plan = make_plan(*analysis.configs)
    mark = scores_mark(plan, path, TREE, in_place=False)
    assert mark is not None
    score(analysis, path, friend=True)
    (friend,) = friends_of(analysis)
    assert read_marks(friend, TREE) == [mark]
    assert is_finished(mark, friend, TREE)
    assert not is_finished(mark, friend, "mt_up/ntuple")
    assert not is_finished(mark._replace(key="0" * 64), friend, TREE)
    assert not is_finished(mark, path, TREE)
    assert scores_mark(plan._replace(models=()), path, TREE, in_place=False) is None


def test_failures_are_told_at_the_end_and_the_others_are_done(
    analysis: Any, run_script: Callable[..., subprocess.CompletedProcess[str]], require_scores: Callable[..., None]
) -> None:
    good = [analysis.ntuple("ggh"), analysis.ntuple("ztt_2018")]
    bad = analysis.ntuple("data", x=np.full(1000, np.nan, "f4"))
    broken = analysis.ntuple("qqh_18")
    broken.write_bytes(broken.read_bytes()[:3000])
    missing = analysis.folder / "none" / "none.root"
    finished = run_script(FRIEND, *analysis.configs, good[0], bad, broken, missing, good[1], TREE)
    assert finished.returncode == 1
    assert "Traceback" not in finished.stderr
    lines = finished.stderr.splitlines()
    assert [line.startswith("ERROR: ") for line in lines[-4:]] == [False, True, True, True]
    assert "2 of 5 files done: 2,000 events" in lines[-4]
    assert f"{bad}: tree '{TREE}': variable 'x' is NaN" in lines[-3]
    assert f"{broken}: is truncated" in lines[-2]
    assert f"{missing}: no such file" in lines[-1]
    assert len(friends_of(analysis)) == 2
    for path, friend in zip(good, friends_of(analysis), strict=True):
        require_scores(friend, analysis.expected(path))


def test_one_input_is_as_ever(analysis: Any, run_script: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    path = analysis.ntuple()
    assert run_script(FRIEND, *analysis.configs, path, TREE).returncode == 0
    again = run_script(FRIEND, *analysis.configs, path, TREE)
    assert again.returncode == 2
    assert "already; give --overwrite" in again.stderr.splitlines()[-1]


def test_copies_go_to_the_output_directory(analysis: Any, require_scores: Callable[..., None], tmp_path: Path) -> None:
    paths = [analysis.ntuple(name) for name in NAMES]
    before = [path.read_bytes() for path in paths]
    expected = [analysis.expected(path) for path in paths]
    for _ in range(2):  # the second time they are done already
        assert score(analysis, *paths, output_directory=str(tmp_path / "scored")) == 0
    assert [path.read_bytes() for path in paths] == before
    assert sorted(path.name for path in (tmp_path / "scored").iterdir()) == [path.name for path in paths]
    for path, scores in zip(paths, expected, strict=True):
        require_scores(tmp_path / "scored" / path.name, scores)
    (alone,) = paths[:1]
    with pytest.raises(NtuplemlError, match="exists already; give --overwrite"):
        score(analysis, alone, output_directory=str(tmp_path / "scored"))
    assert score(analysis, alone, output_directory=str(tmp_path / "scored"), overwrite=True) == 0


def test_two_inputs_with_one_output_are_refused_before_anything_is_written(analysis: Any, tmp_path: Path) -> None:
    first = analysis.ntuple("ggh")
    second = first.with_name("other.root")
    second.write_bytes(first.read_bytes())
    with pytest.raises(NtuplemlError, match="an input already; list it once"):
        score(analysis, first, first)
    link = tmp_path / "link.root"
    link.symlink_to(first)
    with pytest.raises(NtuplemlError, match=r"link.root: is '.*ggh.root'; list it once"):
        score(analysis, first, link)
    with pytest.raises(NtuplemlError, match=r"ggh/\.\./ggh/ggh\.root: is '.*ggh\.root'; list it once"):
        score(analysis, first, f"{first.parent}/../ggh/ggh.root", friend=True)
    with pytest.raises(NtuplemlError, match="its copy would be the file itself"):
        score(analysis, first, second, output_directory=str(first.parent))
    assert not (tmp_path / "friends").exists()


def test_friends_of_inputs_of_one_folder_keep_their_names(analysis: Any) -> None:
    first = analysis.ntuple("ggh")
    for name in ("other.root", "third.root"):
        first.with_name(name).write_bytes(first.read_bytes())
    assert score(analysis, first, first.with_name("other.root"), friend=True) == 0
    assert [path.name for path in friends_of(analysis)] == ["ggh.root", "other.root"]
    assert score(analysis, wildcards(analysis), friend=True, keep_names=True) == 0
    assert [path.name for path in friends_of(analysis)] == ["ggh.root", "other.root", "third.root"]


def test_the_name_of_a_file_is_no_tree(analysis: Any) -> None:
    with pytest.raises(
        NtuplemlError, match=r"^TREE: 'b\.root' is the name of a file; give the tree in the files as last"
    ):
        scored_files(partial(make_plan, *analysis.configs), ["a.root"], "b.root")


def test_a_dry_run_checks_inputs_and_writes_nothing(analysis: Any, capsys: pytest.CaptureFixture[str]) -> None:
    first, second = (analysis.ntuple(name) for name in NAMES[:2])
    second.write_bytes(b"root")
    options = ApplicationOptions(friend=True, dry_run=True)
    scored = scored_files(partial(make_plan, *analysis.configs), [str(first), str(second)], TREE, options)
    assert scored.outputs == []
    (failure,) = scored.failures
    assert failure.startswith(f"{second}: is truncated")
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith(f"{first} -> {analysis.folder}/")
    assert line.endswith(" rows)")
    assert friends_of(analysis) == []
    assert score(analysis, first, friend=True) == 0
    scored_files(partial(make_plan, *analysis.configs), [str(first)], TREE, options)
    assert capsys.readouterr().out.endswith(" rows, done already)\n")


def test_where_all_is_done_no_worker_starts(analysis: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = [analysis.ntuple(name) for name in NAMES]
    assert score(analysis, *paths, friend=True) == 0
    monkeypatch.setattr("ntupleml.application.many_files.started_workers", None)
    monkeypatch.setattr("ntupleml.application.many_files.prepare_workers", lambda *_: None)
    options = ApplicationOptions(friend=True, cluster=ClusterOptions(workers=2))
    scored = scored_files(partial(make_plan, *analysis.configs), list(map(str, paths)), TREE, options)
    assert (sorted(scored.outputs), scored.failures) == (friends_of(analysis), [])


def test_an_address_needs_an_output_directory_and_its_package(analysis: Any, tmp_path: Path) -> None:
    address = "root://host.example.org//store/ggh/ggh.root"
    with pytest.raises(NtuplemlError, match="give --output-directory, where a copy with the scores is written"):
        score(analysis, address)
    with pytest.raises(NtuplemlError, match=r"needs fsspec-xrootd, .*pip install 'ntupleml\[xrootd\]'"):
        score(analysis, address, output_directory=str(tmp_path / "scored"))
    with pytest.raises(NtuplemlError, match=r"needs fsspec-xrootd"):
        score(analysis, address, friend=True)


def test_files_behind_addresses(analysis: Any, require_scores: Callable[..., None], tmp_path: Path) -> None:
    """Addresses of the scheme `local`, which fsspec reads without a network."""
    path = analysis.ntuple()
    analysis.change("dataset", {"friend_paths": [str(friend_folder(analysis, [path]))]})
    expected = analysis.expected(path)
    address = f"local://{path}"
    assert score(analysis, address, output_directory=str(tmp_path / "scored")) == 0
    require_scores(tmp_path / "scored" / path.name, expected)
    assert score(analysis, address.replace("2018.root", "*.root"), friend=True) == 0
    require_scores(friends_of(analysis)[0], expected)
    for options in ({"friend": True}, {"output_directory": str(tmp_path / "scored")}):
        assert score(analysis, address, address.replace("ggh", "none"), **options) == 1
    assert [item.name for item in (tmp_path / "scored").iterdir()] == [path.name]


@pytest.mark.parametrize("workers", [None, 1])
def test_files_that_describe_a_class_in_two_ways(
    make_analysis: Callable[..., Any],
    project: Path,
    run_script: Callable[..., subprocess.CompletedProcess[str]],
    workers: int | None,
) -> None:
    """One process does them all, and what ROOT keeps of one file does not reach the next (root#14171)."""
    analysis = make_analysis(variables=["x", "mass"])
    paths = []
    for number, name in enumerate(("old", "new", "old")):
        path = analysis.folder / "ntuples" / f"{number}" / f"{number}.root"
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(project / "tests" / "data" / "root" / f"{name}_class.root", path)
        paths.append(path)
    options = [] if workers is None else ["--workers", workers]
    finished = run_script(IN_PLACE, *analysis.configs, wildcards(analysis), "t", *options)
    assert finished.returncode == 0, finished.stderr
    *_, done, written = finished.stderr.splitlines()
    assert "3 of 3 files done: 300 events" in done
    assert written.startswith("wrote 3 files: ")
    for path in paths:
        with uproot.open(path) as file:
            assert file["t"]["mass"].array().tolist() == [1000 + entry for entry in range(100)]
            assert np.isfinite(file["t"]["ml_score_signal"].array(library="np")).all()


@pytest.mark.parametrize("script", [IN_PLACE, FRIEND])
def test_workers_do_the_same(
    analysis: Any,
    run_script: Callable[..., subprocess.CompletedProcess[str]],
    require_scores: Callable[..., None],
    script: str,
) -> None:
    paths = [analysis.ntuple(name, entries=1000 + len(name)) for name in NAMES]
    expected = [analysis.expected(path) for path in paths]
    bad = analysis.ntuple("data", x=np.full(1000, np.nan, "f4"))
    finished = run_script(script, *analysis.configs, wildcards(analysis), TREE, "--workers", 2)
    assert finished.returncode == 1
    assert "Traceback" not in finished.stderr
    assert f"{bad}: tree '{TREE}': variable 'x' is NaN" in finished.stderr.splitlines()[-1]
    assert "distributed." not in finished.stderr
    outputs = paths if script == IN_PLACE else [path for path in friends_of(analysis) if path.name != bad.name]
    for output, scores in zip(outputs, expected, strict=True):
        require_scores(output, scores)
    again = run_script(script, *analysis.configs, wildcards(analysis), TREE)
    assert again.stderr.count("done already") == 3


KILLING = """
import os, signal, sys, time
from functools import partial
from pathlib import Path
import ntupleml.application.friend_trees as friends
import ntupleml.application.in_place as in_place
from ntupleml.application import make_plan, score_files
from ntupleml.application.many_files import scored_files
from ntupleml.application.plan import make_plan
from ntupleml.application_arguments import ApplicationOptions
from ntupleml.cluster import ClusterOptions
from ntupleml.cluster import ClusterOptions
from ntupleml.command_line import set_up_logging

def make_killing(marker, *configs):
    room = friends if marker.name == "friend" else in_place
    plain = room.scored_chunks

    def chunks(plan, ntuple):
        for number, chunk in enumerate(plain(plan, ntuple)):
            if number == 1 and "victim" in ntuple.path and not marker.exists():
                marker.touch()
                os.kill(os.getpid(), signal.SIGKILL)
            yield chunk

    if not hasattr(room, "changed"):
        room.changed, room.scored_chunks = True, chunks
    return make_plan(*configs)

if __name__ == "__main__":
    set_up_logging()
    marker, inputs, tree, *configs = sys.argv[1:]
    options = ApplicationOptions(friend=Path(marker).name == "friend", cluster=ClusterOptions(workers=2))
    sys.exit(score_files(partial(make_killing, Path(marker), *configs), [inputs], tree, options))
"""


@pytest.mark.parametrize("kind", ["friend", "in_place"])
def test_a_killed_worker_loses_nothing_and_doubles_nothing(
    analysis: Any, require_scores: Callable[..., None], tmp_path: Path, kind: str
) -> None:
    """A worker dies (SIGKILL) in the middle of a file, of which it has written a part."""
    names = ("a_victim", "bb", "ccc", "dddd")
    paths = [analysis.ntuple(name, entries=250_000 if "victim" in name else 1000) for name in names]
    expected = [analysis.expected(path) for path in paths]
    marker, script = tmp_path / kind, tmp_path / "killing.py"
    script.write_text(KILLING)
    command = [sys.executable, script, marker, wildcards(analysis), TREE, *analysis.configs]
    finished = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False, timeout=200)
    assert finished.returncode == 0, finished.stderr
    assert marker.exists()
    assert "4 of 4 files done: 253,000 events" in finished.stderr.splitlines()[-1]
    outputs = paths if kind == "in_place" else friends_of(analysis)
    assert [path.stem for path in outputs] == list(names)
    for path, output, scores in zip(paths, outputs, expected, strict=True):
        require_scores(output, scores)
        with uproot.open(output) as file:
            assert sum(key.startswith("ntuple") for key in file["mt_nominal"].keys(cycle=False)) == 1
            assert file[TREE].num_entries == len(scores["ml_score_signal"])
        assert list(path.parent.iterdir()) == [path]


def test_an_interrupt_leaves_no_workers(analysis: Any, project: Path) -> None:
    for name in NAMES:
        analysis.ntuple(name)
    command = [sys.executable, project / FRIEND, *analysis.configs, wildcards(analysis), TREE, "--workers", "1"]
    lines = []
    with subprocess.Popen(
        list(map(str, command)), stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        assert process.stderr is not None
        for line in process.stderr:
            lines.append(line)
            if line.startswith("workers of"):
                os.killpg(process.pid, signal.SIGINT)  # as control-C does: to all processes of the terminal
    assert process.returncode == 130, lines
    assert "keras_application_friend.py: interrupted\n" in lines
    assert "Traceback" not in "".join(lines)
    for _ in range(100):
        try:
            os.killpg(process.pid, 0)
        except ProcessLookupError:
            return
        time.sleep(0.1)
    pytest.fail("a worker is still there")
