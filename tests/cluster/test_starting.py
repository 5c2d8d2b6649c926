"""Which workers are asked for, with which resources, and what is said where they cannot be had."""

from __future__ import annotations

import argparse
import subprocess
import sys
import types
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Self

import pytest

from ntupleml.cluster import ClusterOptions, add_cluster_options, cluster_options
from ntupleml.cluster.starting import started_client
from ntupleml.config import ClusterConfig
from ntupleml.errors import NtuplemlError

if TYPE_CHECKING:
    from collections.abc import Iterator


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
    monkeypatch.setattr("ntupleml.cluster.starting._PATIENCE", 0.5)
    with (
        pytest.raises(NtuplemlError, match=r"--scheduler: no Dask scheduler answers at 'tcp://127.0.0.1:9'"),
        started_client(ClusterOptions(scheduler="tcp://127.0.0.1:9"), ClusterConfig()),
    ):
        pass


def test_workers_of_a_running_cluster_are_not_counted() -> None:
    options = ClusterOptions(workers=2, scheduler="tcp://127.0.0.1:9")
    with (
        pytest.raises(NtuplemlError, match="--workers: the cluster of --scheduler"),
        started_client(options, ClusterConfig()),
    ):
        pass


def test_htcondor_without_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "dask_lxplus", None)
    monkeypatch.setitem(sys.modules, "dask_jobqueue", None)
    with (
        pytest.raises(NtuplemlError, match=r"--htcondor needs dask-jobqueue .*pip install 'ntupleml\[batch\]'"),
        started_client(ClusterOptions(htcondor=True), ClusterConfig()),
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
        yield types.SimpleNamespace(scheduler=scheduler, dashboard_link="", cluster=cluster)

    for other in ("dask_jobqueue", "dask_lxplus"):
        monkeypatch.setitem(sys.modules, other, None)
    module = types.ModuleType(package)
    module.__dict__[name] = Cluster
    monkeypatch.setitem(sys.modules, package, module)
    monkeypatch.setattr("distributed.Client", client)
    config = ClusterConfig(memory="3 GB", disk="5 GB", cores=2, log_directory="logs", job_extra={"+JobFlavour": '"x"'})
    with started_client(ClusterOptions(workers=7, htcondor=True), config) as started:
        assert isinstance(started.cluster, Cluster)
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


RUNNING = """
import logging, os, sys
from distributed import LocalCluster
from ntupleml.cluster import ClusterOptions
from ntupleml.cluster.running import finished_tasks
from ntupleml.cluster.starting import started_client
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
        os.abort()
    if number % 2 == 0:
        return number
    logging.getLogger("ntupleml.work").warning("number %d is odd", number)
    return os.getcwd()

if __name__ == "__main__":
    import dask
    scheduler = "distributed.scheduler."
    dask.config.set({scheduler + "allowed-failures": 1, scheduler + "worker-saturation": 1.0})
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0") as cluster:
        os.chdir(sys.argv[1])
        logging.basicConfig(format="%(message)s")
        tasks = [(number, "folder") for number in range(9)]
        with started_client(ClusterOptions(scheduler=cluster.scheduler_address), ClusterConfig()) as client:
            for finished in sorted(finished_tasks(client, work, tasks, retries=1)):
                print(*finished, sep="|")
"""


@pytest.mark.slow
def test_results_errors_retries_and_lost_workers(tmp_path: Any) -> None:
    script = tmp_path / "running.py"
    script.write_text(RUNNING)
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    finished = subprocess.run(
        [sys.executable, script, folder], capture_output=True, text=True, check=False, timeout=120
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
    ], finished.stderr
    # Twice, and again each time that its result was still on a worker that task 4 killed.
    assert len((folder / "tries2").read_text()) >= 2
    assert "number 5 is odd" in finished.stderr
