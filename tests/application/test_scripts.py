"""The two scripts as a user runs them."""

from __future__ import annotations

import ctypes
import os
import resource
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
import uproot

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

TREE = "mt_nominal/ntuple"
IN_PLACE = "application/keras_application.py"
FRIEND = "application/keras_application_friend.py"


def test_in_place(
    analysis: Any, require_scores: Callable[..., None], run_script: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    path = analysis.ntuple()
    expected = analysis.expected(path)
    finished = run_script(IN_PLACE, *analysis.configs, path, TREE)
    assert (finished.returncode, finished.stdout) == (0, "")
    *models, reading, last, written = finished.stderr.splitlines()
    assert [line.split(":")[0] for line in models] == ["model 0", "model 1"]
    assert reading == f"reading {path}"
    assert last.startswith(
        f"{path}: tree '{TREE}': scores appended as ml_score_signal … ml_score_max_index (1,000 events, "
    )
    assert last.endswith(" events per second)")
    assert written.startswith(f"wrote 1 file: {path} (")
    require_scores(path, expected)


def test_friend(
    analysis: Any, require_scores: Callable[..., None], run_script: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    paths = [analysis.ntuple("ggh"), analysis.ntuple("ztt", entries=10)]
    finished = run_script(FRIEND, *analysis.configs, *paths, TREE)
    assert (finished.returncode, finished.stdout) == (0, "")
    *_, second, last, written = finished.stderr.splitlines()
    friend = analysis.folder / "friends" / "ztt" / "ztt.root"
    assert second.startswith(f"2 of 2: {friend}: 10 events, ")
    assert last.startswith("2 of 2 files done: 1,010 events, ")
    assert written.startswith("wrote 2 files: ")
    assert str(friend) in written
    require_scores(friend, analysis.expected(paths[1]))


@pytest.mark.parametrize("script", [IN_PLACE, FRIEND])
def test_mistakes_are_one_line(
    analysis: Any, run_script: Callable[..., subprocess.CompletedProcess[str]], script: str
) -> None:
    path = analysis.ntuple()
    finished = run_script(script, *analysis.configs, path, "mt_nominal/ntupel")
    assert finished.returncode == 2
    assert finished.stderr.splitlines()[-1].endswith("no tree 'mt_nominal/ntupel'; nearest: 'mt_nominal/ntuple'")
    assert "Traceback" not in finished.stderr
    analysis.change("application", {"branch_prefx": "a_"})
    finished = run_script(script, *analysis.configs, path, TREE)
    assert finished.returncode == 2
    assert "unknown key 'branch_prefx'; nearest: 'branch_prefix'" in finished.stderr
    assert len(finished.stderr.splitlines()) == 1


def test_an_interrupt_leaves_the_file_as_it_was(analysis: Any, project: Path) -> None:
    """Control-C while ROOT fills: no traceback, no copy left."""
    path = analysis.ntuple()
    before = path.read_bytes()
    code = (
        "import os, runpy, signal, sys, ntupleml.application.in_place as room\n"
        "chunks = room.scored_chunks\n"
        "def interrupted(*arguments):\n"
        "    for chunk in chunks(*arguments):\n"
        "        os.kill(os.getpid(), signal.SIGINT)\n"
        "        yield chunk\n"
        "room.scored_chunks = interrupted\n"
        "sys.argv = sys.argv[1:]\n"
        "runpy.run_path(sys.argv[0], run_name='__main__')\n"
    )
    command = [sys.executable, "-c", code, str(project / IN_PLACE), *map(str, analysis.configs), str(path), TREE]
    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    assert finished.returncode == 130
    assert finished.stderr.splitlines()[-1] == "keras_application.py: interrupted"
    assert path.read_bytes() == before
    assert [file.name for file in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize(("script", "needs_root"), [(IN_PLACE, True), (FRIEND, False)])
def test_neither_tensorflow_nor_root_is_imported_and_a_process_of_root_started_only_if_needed(
    analysis: Any, project: Path, script: str, needs_root: bool
) -> None:
    path = analysis.ntuple()
    code = (
        "import atexit, runpy, sys\n"
        "started = []\n"
        "def note(event, arguments):\n"  # git says the version
        "    if event == 'subprocess.Popen' and arguments[0] != 'git':\n"
        "        started.append('process')\n"
        "sys.addaudithook(note)\n"
        "atexit.register(lambda: print(*(name for name in ('tensorflow', 'keras', 'matplotlib', 'ROOT') "
        "if name in sys.modules), *started))\n"
        "sys.argv = sys.argv[1:]\n"
        "runpy.run_path(sys.argv[0], run_name='__main__')\n"
    )
    command = [sys.executable, "-c", code, str(project / script), *map(str, analysis.configs), str(path), TREE]
    finished = subprocess.run(command, capture_output=True, text=True, check=True)
    assert finished.stdout.split() == (["process"] if needs_root else [])


def give_up_privileges() -> None:
    """Let the permissions of files count for the superuser too (CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH)."""
    if os.geteuid() == 0:
        drop_from_bounding_set = 24
        for capability in (1, 2):
            assert ctypes.CDLL(None).prctl(drop_from_bounding_set, capability, 0, 0, 0) == 0


@pytest.mark.parametrize("script", [IN_PLACE, FRIEND])
def test_a_folder_without_write_permission(analysis: Any, project: Path, script: str) -> None:
    path = analysis.ntuple()
    before = path.read_bytes()
    friends = analysis.folder / "friends"
    friends.mkdir()
    for folder in (path.parent, friends):
        folder.chmod(0o555)
    try:
        finished = subprocess.run(
            [sys.executable, str(project / script), *map(str, analysis.configs), str(path), TREE],
            capture_output=True,
            text=True,
            check=False,
            preexec_fn=give_up_privileges,
        )
        assert finished.returncode == 2, finished.stderr
        assert "permission" in finished.stderr.splitlines()[-1].lower()
        assert "Traceback" not in finished.stderr
        assert path.read_bytes() == before
        assert [file.name for file in path.parent.iterdir()] == [path.name]
    finally:
        for folder in (path.parent, friends):
            folder.chmod(0o755)


def test_a_full_disk_leaves_no_friend_or_the_old_one(analysis: Any, project: Path) -> None:
    path = analysis.ntuple(entries=50_000)
    command = [sys.executable, str(project / FRIEND), *map(str, analysis.configs), str(path), TREE]

    def run(limit: int) -> subprocess.CompletedProcess[str]:
        def full_disk() -> None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

        return subprocess.run(command, capture_output=True, text=True, check=False, preexec_fn=full_disk)

    friend = analysis.folder / "friends" / "ggh_2018" / "ggh_2018.root"
    for limit in (3_000, 200_000):
        finished = run(limit)
        assert finished.returncode == 2, finished.stderr
        assert "Traceback" not in finished.stderr
        assert str(friend) in finished.stderr.splitlines()[-1]
        assert not friend.parent.exists()
    friend.parent.mkdir(parents=True)
    with uproot.recreate(friend) as file:
        file.mktree("mt_up/ntuple", {"a": "f4"}).extend({"a": [1.0, 2.0]})
    before = friend.read_bytes()
    for limit in (len(before) + 100, 200_000):
        finished = run(limit)
        assert finished.returncode == 2, finished.stderr
        assert "Traceback" not in finished.stderr
        assert "the file was left as it was" in finished.stderr.splitlines()[-1]
        assert friend.read_bytes() == before
        assert list(friend.parent.iterdir()) == [friend]


def test_a_log_without_terminal_has_no_progress_bar_and_no_colours(
    analysis: Any, run_script: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    finished = run_script(FRIEND, *analysis.configs, analysis.ntuple(), TREE)
    assert "\x1b" not in finished.stderr
    assert "\r" not in finished.stderr


def test_htt_mls_own_application_config_works(
    analysis: Any, project: Path, require_scores: Callable[..., None], run_script: Callable[..., Any]
) -> None:
    """The lists of 2019 name .h5 files and pickles, crosswise."""
    path = analysis.ntuple()
    expected = analysis.expected(path)
    config = project / "tests" / "data" / "htt_ml" / "example_keras_application_config.yaml"
    finished = run_script(IN_PLACE, *analysis.configs[:2], config, path, TREE)
    assert finished.returncode == 0, finished.stderr
    require_scores(path, expected)
    with uproot.open(path) as file:
        assert "ml_score_signal" in file[TREE]
