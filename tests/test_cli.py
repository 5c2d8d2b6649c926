"""The command `ntupleml`: its verbs, the toy without anything that is an extra, completion, the wheel."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import uproot

from ntupleml import __version__
from ntupleml.cli import main
from ntupleml.commands.command import open_page
from ntupleml.verbs import verbs

PROJECT = Path(__file__).resolve().parents[1]
SCRIPTS = sorted(
    path for stage in ("dataset", "training", "testing", "application") for path in (PROJECT / stage).glob("*.py")
)
#: Modules that only extras bring.
OPTIONAL = ("ROOT", "dask", "distributed", "keras", "shap", "skl2onnx", "tensorflow", "xgboost")


def test_help_names_every_verb(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    shown = capsys.readouterr().out
    for verb in verbs():
        assert f"\n  {verb} " in shown


def test_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"ntupleml {__version__}\n"


def test_nothing_given(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert capsys.readouterr().err.startswith("usage: ntupleml VERB")


def test_a_misspelt_verb(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["roc_curve"]) == 2
    assert "no verb 'roc_curve'; nearest: 'roc-curves'" in capsys.readouterr().err


def test_every_script_is_a_verb() -> None:
    for script in SCRIPTS:
        (called,) = [line for line in script.read_text().splitlines() if "sys.exit(script(" in line]
        assert called.split('"')[1] in verbs(), script


def test_a_page_is_opened_where_there_is_a_browser(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    opened = []
    for there in (True, False):
        monkeypatch.setattr("webbrowser.open", lambda address, there=there: opened.append(address) or there)
        open_page(tmp_path / "page.html")
    assert opened == 2 * [f"file://{tmp_path}/page.html"]
    assert caplog.messages == [f"no browser was found; open {tmp_path}/page.html in one"]


def test_messages_name_the_verb(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", "nowhere.root"]) == 2
    (line,) = capfd.readouterr().err.splitlines()
    assert line.startswith("ntupleml inspect: nowhere.root: no such file; paths are relative to the current folder, /")


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Environment of a process in which nothing can be imported that only extras bring."""
    folder = tmp_path_factory.mktemp("bare")
    (folder / "sitecustomize.py").write_text(f"import sys\nsys.modules.update(dict.fromkeys({OPTIONAL}))\n")
    return os.environ | {"PYTHONPATH": os.pathsep.join([str(folder), str(PROJECT / "python")])}


@pytest.mark.slow
def test_the_toy_without_extras(tmp_path: Path, bare: dict[str, str]) -> None:
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "ntupleml", *arguments]
        return subprocess.run(command, cwd=tmp_path, env=bare, capture_output=True, text=True, check=False)

    done = run("example")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "example" / "foldall_report.html").stat().st_size > 100_000
    (friend,) = (tmp_path / "example" / "friends").glob("**/*.root")
    with uproot.open(friend) as file:
        scores = file["ntuple"].arrays(library="np")
    total = sum(scores[f"ml_score_{name}"] for name in ("signal", "background_1", "background_2"))
    assert len(total) == 10_000
    assert abs(total - 1).max() < 1e-6

    again = run("example")
    assert again.returncode == 2
    assert again.stderr.startswith("ntupleml example: dataset.yaml: exists already; run this in an empty folder")
    for verb, module, extra in (("train-keras", "tensorflow", "keras"), ("train-bdt", "xgboost", "trees")):
        done = run(verb, "training.yaml", "all", "--overwrite")
        assert done.returncode == 2, done.stderr
        last = done.stderr.splitlines()[-1]
        assert last.startswith(f"ntupleml {verb}: {module} is not installed; pip install 'ntupleml[{extra}]'")
        assert "Traceback" not in done.stderr


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("ntupleml roc", {"roc-curves"}),
        ("ntupleml train-bdt --meth", {"--method"}),
        ("ntupleml inspect --d", {"--debug", "--describe"}),
        ("ntupleml inspect a", {"a.root"}),
        ("ntupleml inspect t", {"two words.root"}),
    ],
)
def test_completion(tmp_path: Path, words: str, expected: set[str]) -> None:
    (tmp_path / "a.root").touch()
    (tmp_path / "two words.root").touch()
    script = subprocess.run(
        [sys.executable, "-m", "ntupleml", "completion", "bash"], capture_output=True, text=True, check=True
    )
    listed = words.split(" ")
    given = f"COMP_WORDS=({' '.join(listed)}); COMP_CWORD={len(listed) - 1}"
    ask = f"{given}; _ntupleml; printf '%s\\n' \"${{COMPREPLY[@]}}\""
    done = subprocess.run(
        ["bash", "-c", f"{script.stdout}\n{ask}"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert set(done.stdout.splitlines()) == expected


@pytest.mark.slow
def test_the_wheel_has_what_runs_need(tmp_path: Path) -> None:
    source = tmp_path / "source"
    shutil.copytree(
        PROJECT, source, symlinks=True, ignore=shutil.ignore_patterns(".venv*", ".git", "example", ".*_cache")
    )
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", tmp_path, source]
    subprocess.run(command, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("ntupleml-*.whl")
    with zipfile.ZipFile(wheel) as content:
        names = set(content.namelist())
    package = PROJECT / "python" / "ntupleml"
    expected = {
        path.relative_to(PROJECT / "python").as_posix()
        for pattern in ("**/*.py", "**/*.css", "**/*.js", "**/*.j2", "**/*.lark", "toy/*.yaml", "**/*.json")
        for path in package.glob(pattern)
    }
    assert len(expected) > 300
    assert expected <= names
