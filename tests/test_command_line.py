"""What all scripts share: one line for a mistake, the exit status, and nothing left behind."""

from __future__ import annotations

import argparse
import contextlib
import errno
import logging
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ntupleml.cli import main
from ntupleml.command_line import add_common_options, run, show
from ntupleml.errors import NtuplemlError

if TYPE_CHECKING:
    from collections.abc import Callable

STAGES = ["dataset", "training", "testing", "application"]
PROJECT = Path(__file__).parents[1]
SCRIPTS = [path.relative_to(PROJECT).as_posix() for stage in STAGES for path in sorted((PROJECT / stage).glob("*.py"))]


def status_and_errors(main: Callable[[], int], capfd: pytest.CaptureFixture[str]) -> tuple[int, str]:
    status = run(lambda _: main(), argparse.ArgumentParser(prog="script.py"), [])
    return status, capfd.readouterr().err


def raising(error: BaseException) -> Callable[[], int]:
    def main() -> int:
        raise error

    return main


def test_a_mistake_is_one_line_whatever_the_names_in_it_hold(capfd: pytest.CaptureFixture[str]) -> None:
    error = NtuplemlError("no tree 'a\nb\x1b[31m' in it")
    assert status_and_errors(raising(error), capfd) == (2, "script.py: no tree 'a b?[31m' in it\n")


def test_a_missing_library_says_how_to_get_it(capfd: pytest.CaptureFixture[str]) -> None:
    error = ModuleNotFoundError("No module named 'uproot'", name="uproot")
    expected = "script.py: uproot is not installed; pip install ntupleml, or source setup.sh in a clone\n"
    assert status_and_errors(raising(error), capfd) == (2, expected)


def test_for_a_python_without_tensorflow_others_are_named(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    error = ModuleNotFoundError("No module named 'tensorflow'", name="tensorflow")
    assert "pip install 'ntupleml[keras]'" in status_and_errors(raising(error), capfd)[1]
    monkeypatch.setattr("sys.version_info", (3, 14, 0))
    status, line = status_and_errors(raising(error), capfd)
    assert status == 2
    assert line.startswith("script.py: TensorFlow, which trains networks, has no wheels for this Python; use 3.11 to")


def test_a_missing_module_of_ours_is_a_fault_of_the_program(capfd: pytest.CaptureFixture[str]) -> None:
    error = ModuleNotFoundError("No module named 'ntupleml.nothing'", name="ntupleml.nothing")
    with pytest.raises(ModuleNotFoundError):
        status_and_errors(raising(error), capfd)


def test_a_full_disk_is_one_line_also_without_a_file_name(capfd: pytest.CaptureFixture[str]) -> None:
    error = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert status_and_errors(raising(error), capfd) == (2, "script.py: no space left on device\n")


def test_an_interruption_is_known_also_where_a_library_made_it_an_error_of_its_own(
    capfd: pytest.CaptureFixture[str],
) -> None:
    def main() -> int:
        with contextlib.suppress(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        raise ImportError("initialization failed")

    assert status_and_errors(main, capfd) == (130, "script.py: interrupted\n")
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


PROGRAM = """
    import argparse, os, pathlib, sys, time
    from ntupleml.atomic import replace_file
    from ntupleml.command_line import run

    def main(arguments):
        with replace_file("file.txt") as temporary:
            temporary.write_text("half")
            print("ready", flush=True)
            time.sleep(30)
        return 0

    sys.exit(run(main, argparse.ArgumentParser()))
"""


STOPS = pytest.mark.parametrize(
    ("number", "status", "said"),
    [
        (signal.SIGINT, 130, "interrupted"),
        (signal.SIGTERM, 143, "stopped (SIGTERM)"),
        (signal.SIGHUP, 129, "stopped (SIGHUP)"),
    ],
    ids=["SIGINT", "SIGTERM", "SIGHUP"],
)


@STOPS
def test_a_script_that_is_told_to_stop_leaves_nothing(
    tmp_path: Path, number: signal.Signals, status: int, said: str
) -> None:
    command = [sys.executable, "-c", textwrap.dedent(PROGRAM)]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(number)
        _, errors = process.communicate(timeout=20)
    assert process.returncode == status
    assert errors == f"-c: {said}\n"
    assert list(tmp_path.iterdir()) == []


EARLY = """
    class Import:
        def find_spec(self, name, *_):
            if name == "ntupleml.commands.training":
                {what}
    sys.meta_path.insert(0, Import())
"""
RAISED = "signal.raise_signal({number})"
#: What a function raises that a library in C calls goes nowhere.
LOST = "ctypes.CFUNCTYPE(None)(lambda: signal.raise_signal({number}))(); time.sleep(10)"
#: An object that is half made cannot be taken apart.
HALF = """type("Half", (), dict(
                    __init__=lambda self: signal.raise_signal({number}), __del__=lambda self: self.nothing))()"""
#: What would end with an exception, or be lost, in Python's own end.
LATE = "atexit.register(signal.raise_signal, {number})"


def stopped(beginning: str, folder: Path) -> tuple[int, str, str]:
    """Status and output of a command in a process that begins with some lines."""
    program = f"""
import atexit, ctypes, os, pathlib, signal, sys, threading, time
from ntupleml import atomic, stopping
from ntupleml.cli import main
{textwrap.dedent(beginning)}
sys.argv = ["ntupleml", "completion", "bash"]
sys.exit(main())
"""
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=60)
    return done.returncode, done.stdout, done.stderr


@STOPS
@pytest.mark.parametrize("moment", [*(EARLY.replace("{what}", what) for what in (RAISED, LOST, HALF)), LATE])
def test_a_signal_is_one_line_at_any_moment(
    moment: str, tmp_path: Path, number: signal.Signals, status: int, said: str
) -> None:
    returned, output, errors = stopped(moment.format(number=int(number)), tmp_path)
    assert (returned, errors) == (status, f"ntupleml: {said}\n")
    assert ("complete -o" in output) == (moment == LATE)


#: A function in C that Python cannot interrupt: it waits for a lock that nobody opens.
DEAF = """
    pathlib.Path("half").touch()
    atomic.note_unfinished(pathlib.Path("half"))
    stopping.PATIENCE = 0.2
    threading.Timer(0.5, signal.raise_signal, [{number}]).start()
    lock = ctypes.create_string_buffer(64)
    class Import:
        def find_spec(self, name, *_):
            if name == "ntupleml.commands.training":
                for _ in range(2):
                    ctypes.CDLL(None).pthread_mutex_lock(lock)
    sys.meta_path.insert(0, Import())
"""


@STOPS
def test_a_signal_ends_a_process_that_cannot_be_interrupted(
    tmp_path: Path, number: signal.Signals, status: int, said: str
) -> None:
    assert stopped(DEAF.format(number=int(number)), tmp_path) == (status, "", f"ntupleml: {said}\n")
    assert not list(tmp_path.iterdir())


FORK = """
    stopping.PATIENCE = 0.1
    class Import:
        def find_spec(self, name, *_):
            if name == "ntupleml.commands.training":
                child = os.fork()
                if child == 0:
                    signal.raise_signal(signal.SIGTERM)
                os.waitpid(child, 0)
                time.sleep(0.5)
    sys.meta_path.insert(0, Import())
"""


def test_a_signal_to_a_fork_is_none_to_the_command(tmp_path: Path) -> None:
    returned, output, errors = stopped(FORK, tmp_path)
    assert (returned, errors) == (0, "ntupleml: stopped (SIGTERM)\n")  # of the fork
    assert "complete -o" in output


def test_closed_streams_are_no_place_for_files(tmp_path: Path, project: Path) -> None:
    """With descriptor 2 closed, the first file opened would get what libraries write to the error stream."""
    command = f"{sys.executable} {project / 'dataset/write_example_dataset.py'} {tmp_path} --events 10 <&- >&- 2>&-"
    assert subprocess.run(command, shell=True, check=False).returncode == 0
    command = f"{sys.executable} {project / 'dataset/inspect_ntuple.py'} {tmp_path / 'example_data.root'} >&- 2>&-"
    assert subprocess.run(command, shell=True, check=False).returncode == 0


def test_processes_of_a_script_without_streams_have_streams() -> None:
    """Workers inherit the standard streams; without them, a file of theirs would be what libraries write errors to."""
    child = "import os; [os.fstat(descriptor) for descriptor in range(3)]"
    parent = f"""
        import argparse, subprocess, sys
        from ntupleml.command_line import run
        child = [sys.executable, "-c", {child!r}]
        sys.exit(run(lambda _: subprocess.run(child).returncode, argparse.ArgumentParser(), []))
    """
    command = [sys.executable, "-c", textwrap.dedent(parent)]
    assert subprocess.run(["sh", "-c", '"$@" <&- >&- 2>&-', "sh", *command], check=False).returncode == 0


@pytest.mark.parametrize("script", SCRIPTS)
def test_help_is_there_at_once(script: str, run_script: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    done = run_script(script, "--help")
    assert done.returncode == 0
    assert done.stdout.startswith("usage: ")


def test_no_script_is_forgotten() -> None:
    assert {"training/TMVA_training.py", "training/bdt_training.py", "testing/compare_methods.py"} <= set(SCRIPTS)


def test_outside_the_environment_the_way_into_it_is_named(project: Path) -> None:
    """`-S` leaves out the environment's packages, `-E` what the shell adds: the scripts find the package alone."""

    def run(*arguments: object) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-S", "-E", *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    assert run(project / "testing" / "report.py", "--help").returncode == 0
    done = run(project / "dataset" / "create_training_dataset.py", project / "configs" / "toy" / "dataset.yaml")
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert "source setup.sh" in done.stderr


def test_swapped_configs_are_told_the_order(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    training, testing = tmp_path / "training.yaml", tmp_path / "testing.yaml"
    training.write_text("datasets: [a, b]\noutput_path: .\nclasses: [s, b]\nvariables: [x]\n")
    testing.write_text("weight_branch: w\n")
    assert main(["report", str(testing), str(training)]) == 2
    assert capfd.readouterr().err == (
        f"ntupleml report: {testing}: looks like a testing config, but a training config is needed; the order is "
        "CONFIG_TRAINING CONFIG_TESTING\n"
    )


@pytest.mark.parametrize(
    ("options", "shown"),
    [
        ([], "INFO WARNING"),
        (["-q"], "WARNING"),
        (["--verbose"], "DEBUG INFO WARNING"),
        (["--debug"], "DEBUG INFO WARNING"),
    ],
)
def test_how_much_is_said(options: list[str], shown: str, capfd: pytest.CaptureFixture[str]) -> None:
    def talk(_: argparse.Namespace) -> int:
        for level in ("DEBUG", "INFO", "WARNING"):
            logging.getLogger("ntupleml.x").log(logging.getLevelName(level), "%s", level)
        show("result")
        return 0

    assert run(talk, argparse.ArgumentParser(prog="script.py"), options) == 0
    out, err = capfd.readouterr()
    assert [line.rpartition(": ")[2] for line in err.splitlines()] == shown.split()
    assert out == "result\n"


def test_a_short_option_of_a_verb_stays_its_own() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("-v", "--variables")
    add_common_options(parser)
    arguments = parser.parse_args(["-v", "x", "--verbose"])
    assert (arguments.variables, arguments.verbose, arguments.quiet) == ("x", True, False)
