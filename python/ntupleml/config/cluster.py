"""The block `cluster:` of the dataset and application configs: what the jobs of a batch system ask for."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, Field

from ntupleml.config.schema import FilePath, Name, Schema

_SIZE = re.compile(r"\d+(\.\d+)? ?[kMGT]i?B")


def _size(text: str) -> str:
    if not _SIZE.fullmatch(text):
        raise ValueError(f"'{text}' is not a size: give a number and a unit, e.g. '2 GB'")
    return text


#: An amount of memory or disk, e.g. `2 GB`.
Size = Annotated[Name, AfterValidator(_size)]


class ClusterConfig(Schema):
    """Schema of the block `cluster:`.

    Attributes
    ----------
    jobs : int
        Jobs that `--htcondor` asks for, each one worker; `--workers` on the command line goes first.
    cores : int
        Cores per job. A worker computes one file at a time on one core.
    memory, disk : str
        Per job, e.g. `2 GB`.
    log_directory : str, optional
        Folder for the logs of the jobs; on a file system that the batch system can write to.
    job_extra : dict of str to str
        More lines for the submit file, e.g. `+JobFlavour: '"longlunch"'`.
    retries : int
        How often a file is tried again after an error that is not one of the input, e.g. of the network.
    """

    jobs: int = Field(default=10, ge=1)
    cores: int = Field(default=1, ge=1)
    memory: Size = "2 GB"
    disk: Size = "4 GB"
    log_directory: FilePath | None = None
    job_extra: dict[Name, str] = {}
    retries: int = Field(default=1, ge=0)
