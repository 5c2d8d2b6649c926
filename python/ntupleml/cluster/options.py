"""Where the work is done: in this process, in workers that are started for it, or on a cluster that exists."""

from __future__ import annotations

import argparse
from typing import NamedTuple


class ClusterOptions(NamedTuple):
    """What the command line says of workers."""

    #: Number of local processes, or of jobs.
    workers: int | None = None
    #: Address of a Dask scheduler.
    scheduler: str | None = None
    #: Whether jobs of HTCondor, or of Slurm, are started.
    htcondor: bool = False
    slurm: bool = False

    @property
    def is_this_process(self) -> bool:
        """Whether nothing but this process does the work."""
        return self == ClusterOptions()

    @property
    def are_local(self) -> bool:
        """Whether processes of this machine do the work."""
        return self == ClusterOptions(self.workers) and not self.is_this_process


def add_cluster_options(parser: argparse.ArgumentParser) -> None:
    """Add `--workers`, `--scheduler`, `--htcondor` and `--slurm`."""
    group = parser.add_argument_group("several processes; by default all is done in this one")
    group.add_argument("--workers", type=_number, metavar="N", help="N processes on this machine, or N jobs")
    where = group.add_mutually_exclusive_group()
    where.add_argument("--scheduler", metavar="ADDRESS", help="a Dask cluster that runs, e.g. tcp://host:8786")
    where.add_argument(
        "--htcondor", action="store_true", help="jobs of HTCondor, with what the block 'cluster:' of the config asks"
    )
    where.add_argument("--slurm", action="store_true", help="jobs of Slurm, with what the block 'cluster:' asks")


def cluster_options(arguments: argparse.Namespace) -> ClusterOptions:
    """The options that `add_cluster_options` added, as they were given."""
    return ClusterOptions(arguments.workers, arguments.scheduler, arguments.htcondor, arguments.slurm)


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) > 0):
        raise argparse.ArgumentTypeError(f"'{text}' is not a number of workers of at least 1")
    return int(text)
