"""Which workers are asked for, with which resources, and what is said where they cannot be had."""

from __future__ import annotations

import argparse
import itertools
import os
import signal
import subprocess
import sys
import time
import types
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Self

import pytest

from ntupleml.cluster import ClusterOptions, add_cluster_options, cluster_options
from ntupleml.cluster.workers import started_workers
from ntupleml.config import ClusterConfig
from ntupleml.errors import NtuplemlError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def parsed(*arguments: str) -> ClusterOptions:
    parser = argparse.ArgumentParser()
    add_cluster_options(parser)
    return cluster_options(parser.parse_args(arguments))


def test_options() -> None:
    assert parsed().is_this_process
    assert parsed("--workers", "2") == ClusterOptions(workers=2)
    assert parsed("--htcondor") == ClusterOptions(htcondor=True)
    assert not parsed("--scheduler", "tcp://host:1").is_this_process
    for wrong in (["--workers", "0"], ["--workers", "two"], ["--scheduler", "a", "--htcondor"]):
        with pytest.raises(SystemExit):
            parsed(*wrong)


def test_a_scheduler_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ntupleml.cluster.dask_workers._PATIENCE", 0.5)
    with (
        pytest.raises(NtuplemlError, match=r"--scheduler: no Dask scheduler answers at 'tcp://127.0.0.1:9'"),
        started_workers(ClusterOptions(scheduler="tcp://127.0.0.1:9"), ClusterConfig()),
    ):
        pass


def test_workers_of_a_running_cluster_are_not_counted() -> None:
    options = ClusterOptions(workers=2, scheduler="tcp://127.0.0.1:9")
    with (
        pytest.raises(NtuplemlError, match="--workers: the cluster of --scheduler"),
        started_workers(options, ClusterConfig()),
    ):
        pass


def test_htcondor_without_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "dask_lxplus", None)
    monkeypatch.setitem(sys.modules, "dask_jobqueue", None)
    with (
        pytest.raises(NtuplemlError, match=r"--htcondor needs dask-jobqueue .*pip install 'ntupleml\[batch\]'"),
        started_workers(ClusterOptions(htcondor=True), ClusterConfig()),
    ):
        pass


@pytest.mark.parametrize(("option", "command"), [("htcondor", "condor_submit"), ("slurm", "sbatch")])
def test_no_batch_system_is_here(option: str, command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with (
        pytest.raises(NtuplemlError, match=rf"^--{option}: no command '{command}' here; .*, or use --workers$"),
        started_workers(ClusterOptions(**{option: True}), ClusterConfig()),
    ):
        pass


@pytest.mark.parametrize(
    ("package", "name", "extra"),
    [("dask_jobqueue", "HTCondorCluster", "job_extra_directives"), ("dask_lxplus", "CernCluster", "job_extra")],
)
def test_jobs_get_the_resources_of_the_config(
    monkeypatch: pytest.MonkeyPatch, package: str, name: str, extra: str
) -> None:
    asked: dict[str, Any] = {}

    class Cluster:
        def __init__(self, **arguments: Any) -> None:
            asked.update(arguments)

        def scale(self, jobs: int) -> None:
            asked["jobs"] = jobs

        def __enter__(self) -> Self:
            return self

        def __exit__(self, *_: object) -> None:
            asked["stopped"] = True

    @contextmanager
    def client(cluster: Cluster) -> Iterator[Any]:
        scheduler = types.SimpleNamespace(address="tcp://stand-in:1")
        assert isinstance(cluster, Cluster)
        yield types.SimpleNamespace(scheduler=scheduler, dashboard_link="")

    for other in ("dask_jobqueue", "dask_lxplus"):
        monkeypatch.setitem(sys.modules, other, None)
    module = types.ModuleType(package)
    module.__dict__[name] = Cluster
    monkeypatch.setitem(sys.modules, package, module)
    monkeypatch.setattr("distributed.Client", client)
    monkeypatch.setattr("shutil.which", lambda command: f"/usr/bin/{command}")
    config = ClusterConfig(memory="3 GB", disk="5 GB", cores=2, log_directory="logs", job_extra={"+JobFlavour": '"x"'})
    with started_workers(ClusterOptions(workers=7, htcondor=True), config):
        pass
    assert asked == {
        "cores": 2,
        "processes": 1,
        "memory": "3 GB",
        "disk": "5 GB",
        "log_directory": "logs",
        extra: {"+JobFlavour": '"x"'},
        "jobs": 7,
        "stopped": True,
    }


WORKING = """
import contextlib, logging, os, sys
from ntupleml.cluster import ClusterOptions
from ntupleml.cluster.workers import started_workers
from ntupleml.config import ClusterConfig
from ntupleml.errors import NtuplemlError

def work(number, folder):
    if number == 1:
        raise NtuplemlError("input 1 is bad")
    if number == 2:
        with open(f"tries{number}", "a") as file:
            file.write("x")
        if os.path.getsize(f"tries{number}") == 1:
            raise OSError("the network is tired")
    if number == 3:
        raise ValueError("a fault of the program")
    if number == 4:
        with open("losses", "a") as file:
            file.write("x")
        os.kill(os.getpid(), 9)
    if number % 2 == 0:
        return number
    logging.getLogger("ntupleml.work").warning("number %d is odd", number)
    return os.getcwd()

@contextlib.contextmanager
def options(kind):
    if kind == "processes":
        sys.modules.update(dask=None, distributed=None)  # not needed
        yield ClusterOptions(workers=2)
        return
    import dask
    from distributed import LocalCluster
    dask.config.set({"distributed.scheduler.worker-saturation": 1.0})
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0") as cluster:
        yield ClusterOptions(scheduler=cluster.scheduler_address)

if __name__ == "__main__":
    with options(sys.argv[1]) as given:
        os.chdir(sys.argv[2])
        logging.basicConfig(format="%(message)s")
        tasks = [(number, "folder") for number in range(9)]
        with started_workers(given, ClusterConfig(retries=1)) as finished_tasks:
            for finished in sorted(finished_tasks(work, tasks)):
                print(*finished, sep="|")
            print([finished.result for finished in finished_tasks(work, tasks[:1])])
            def only_here():
                pass
            only_here.__qualname__ = "only_here"
            print([finished.error for finished in finished_tasks(only_here, [()])][0])
"""


@pytest.mark.parametrize("kind", ["processes", pytest.param("dask", marks=pytest.mark.slow)])
def test_results_errors_retries_and_lost_workers(tmp_path: Path, kind: str) -> None:
    script = tmp_path / "working.py"
    script.write_text(WORKING)
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    finished = subprocess.run(
        [sys.executable, script, kind, folder], capture_output=True, text=True, check=False, timeout=120
    )
    assert finished.stdout.splitlines() == [
        "0|0|None",
        "1|None|input 1 is bad",
        "2|2|None",
        "3|None|ValueError: a fault of the program",
        "4|None|its worker died each time that it was tried; the memory may be too small for it",
        f"5|{folder}|None",
        "6|6|None",
        f"7|{folder}|None",
        "8|8|None",
        "[0]",
        "None"  # Dask sends the function itself
        if kind == "dask"
        else f"AttributeError: Can't get attribute 'only_here' on <module '__mp_main__' from '{script}'>",
    ], finished.stderr
    assert len((folder / "losses").read_text()) == 4
    # Dask tries again, too, what a worker has done that is killed before its result is fetched.
    at_least = [len((folder / "tries2").read_text()) - 1, finished.stderr.count("number 5 is odd")]
    assert min(at_least) == 1
    if kind == "processes":
        assert at_least == [1, 1]
        assert "Traceback" not in finished.stderr


STOPPED = """
import sys, time
from pathlib import Path
from ntupleml.atomic import replace_file
from ntupleml.cluster import ClusterOptions
from ntupleml.cluster.workers import started_workers
from ntupleml.command_line import run
from ntupleml.config import ClusterConfig

def write(path):
    with replace_file(path) as place:
        place.write_text("a part")
        print("begun", flush=True)
        time.sleep(100)

def main(arguments):
    with started_workers(ClusterOptions(workers=2), ClusterConfig()) as finished_tasks:
        return len(list(finished_tasks(write, [(Path(name),) for name in ("one", "two", "three")])))

if __name__ == "__main__":
    import argparse
    sys.exit(run(main, argparse.ArgumentParser(prog="stopped")))
"""


@pytest.mark.parametrize(
    ("number", "to_all"),
    [*itertools.product([signal.SIGINT, signal.SIGTERM, signal.SIGHUP], [True, False]), (signal.SIGKILL, False)],
)
def test_what_stops_the_first_process_leaves_neither_workers_nor_parts_of_files(
    tmp_path: Path, number: signal.Signals, to_all: bool
) -> None:
    """A terminal sends signals to all processes; a batch system may send them to the first one only."""
    (tmp_path / "stopped.py").write_text(STOPPED)
    command = [sys.executable, "stopped.py"]
    with subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert [process.stdout.readline() for _ in range(2)] == ["begun\n"] * 2
        assert len(list(tmp_path.iterdir())) == 5  # two files that are begun, and their locks
        (os.killpg if to_all else os.kill)(process.pid, number)
        lines = process.stderr.readlines()
    said = {signal.SIGINT: "interrupted", signal.SIGTERM: "stopped (SIGTERM)", signal.SIGHUP: "stopped (SIGHUP)"}
    last = [f"stopped: {said[number]}\n"] if number in said else []
    assert lines == ["workers of this machine: 2\n", *last]
    expected = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 129, signal.SIGKILL: -9}
    assert process.returncode == expected[number]
    for _ in range(100):
        try:
            os.killpg(process.pid, 0)
        except ProcessLookupError:
            break
        time.sleep(0.05)
    else:
        pytest.fail("a process is still there")
    assert [path.name for path in tmp_path.iterdir()] == ["stopped.py"]


def test_a_script_that_would_start_workers_in_its_workers(tmp_path: Path) -> None:
    script = WORKING.replace('if __name__ == "__main__":', "if True:")
    (tmp_path / "working.py").write_text(script)
    finished = subprocess.run(
        [sys.executable, "working.py", "processes", tmp_path],
        capture_output=True, text=True, check=False, timeout=60, cwd=tmp_path,
    )  # fmt: skip
    assert finished.returncode == 1
    last = finished.stderr.splitlines()[-1]
    assert last.startswith("ntupleml.errors.NtuplemlError: --workers: a process that was started has ended at once")
    assert "if __name__ == '__main__':" in last
