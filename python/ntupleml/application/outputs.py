"""Which file the scores of each input go to."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ntupleml.application.inputs import ntuple_name
from ntupleml.errors import NtuplemlError
from ntupleml.ntuples.remote import is_remote

if TYPE_CHECKING:
    from collections.abc import Sequence


class Job(NamedTuple):
    """One input and its output."""

    #: Path or address.
    input_path: str
    #: A friend, a copy with the scores, or the input itself.
    output_path: Path


def in_place_jobs(input_paths: Sequence[str], output_directory: str | None, *, keep_names: bool = False) -> list[Job]:
    """Output of each input whose tree gets the scores.

    Parameters
    ----------
    output_directory : str, optional
        Folder for copies, `{output_directory}/{file}`; without it the inputs themselves are extended.
    keep_names : bool, default: False
        Whether the folder is part of a copy's name, `{output_directory}/{folder}/{file}`.
    """
    jobs = []
    for path in input_paths:
        if output_directory is None:
            if is_remote(path):
                raise NtuplemlError(
                    f"{path}: scores cannot be appended to a file behind an address; give --output-directory, where a "
                    "copy with the scores is written"
                )
            jobs.append(Job(path, Path(path)))
        else:
            folder = Path(output_directory) / ntuple_name(path) if keep_names else Path(output_directory)
            jobs.append(Job(path, folder / Path(path).name))
    require_own_outputs(jobs, "its copy" if output_directory is not None else None)
    return jobs


def require_own_outputs(jobs: Sequence[Job], what: str | None) -> None:
    """Check that no two inputs have one output, and that no output is an input.

    Parameters
    ----------
    what : str or None
        What an output is, for messages; None where the inputs themselves are extended.
    """
    inputs = {} if what is None else {Path(job.input_path).resolve(): job for job in jobs}
    taken: dict[Path, Job] = {}
    for job in jobs:
        output = job.output_path.resolve()
        other = taken.setdefault(output, job)
        if other is not job and (what is None or _is_same_file(job, other)):
            same = f"'{other.input_path}'" if other.input_path != job.input_path else "an input already"
            raise NtuplemlError(f"{job.input_path}: is {same}; list it once")
        if other is not job:
            raise NtuplemlError(
                f"{job.input_path}: {what} would be {job.output_path}, and so would that of {other.input_path}"
                f"{_advice(job, other)}"
            )
        if output in inputs:
            owner = inputs[output]
            which = "the file itself" if owner.input_path == job.input_path else f"{owner.input_path}, also an input"
            raise NtuplemlError(f"{job.input_path}: {what} would be {which}; choose another output_directory")


def _is_same_file(job: Job, other: Job) -> bool:
    if is_remote(job.input_path) or is_remote(other.input_path):
        return job.input_path == other.input_path
    return Path(job.input_path).resolve() == Path(other.input_path).resolve()


def _advice(job: Job, other: Job) -> str:
    name, file = ntuple_name(job.input_path), Path(job.input_path).name
    if (name, file) == (ntuple_name(other.input_path), Path(other.input_path).name):
        return ", since their folders and names are the same; score them in two calls with folders of their own"
    same = f"both lie in folders called '{name}'" if job.output_path.stem == name else "their names are the same"
    return f", since {same}; give --keep-names, and it is called {name}/{file}"
