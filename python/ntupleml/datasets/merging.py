"""Folders merged by file name: the copies of a name in several folders become one file."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from ntupleml.cluster import ClusterOptions
from ntupleml.cluster.workers import prepare_workers, started_workers
from ntupleml.config import ClusterConfig
from ntupleml.errors import NtuplemlError, did_you_mean, one_line
from ntupleml.ntuples.merging import entries_of, merge_files
from ntupleml.progress import files_progress

if TYPE_CHECKING:
    from collections.abc import Sequence

log = logging.getLogger(__name__)


def merge_folders(
    base: Path,
    output: Path,
    folders: Sequence[str] = (),
    *,
    prefix: str = "",
    pattern: str = "*.root",
    overwrite: bool = False,
    cluster: ClusterOptions | None = None,
) -> list[str]:
    """Merge the files of one name in the folders of a folder into `{output}/{prefix}{name}`.

    A merged file that is newer than its inputs and has all their entries is left as it is.

    Parameters
    ----------
    folders : sequence of str, optional
        By default all of `base`, in alphabetical order, but for the output.
    pattern : str, optional
        Of the names of files, with wildcards.

    Returns
    -------
    list of str
        A line for each file that failed.

    Raises
    ------
    NtuplemlError
        If a folder or any file is missing.
    """
    copies = _copies(base, output, folders, pattern)
    cluster = cluster or ClusterOptions()
    prepare_workers(cluster, __name__, "uproot")
    tasks = [([str(path) for path in paths], output / f"{prefix}{name}", overwrite) for name, paths in copies.items()]
    errors: dict[int, str] = {}
    with files_progress(len(tasks)) as progress, started_workers(cluster, ClusterConfig()) as finished_tasks:
        for place, line, error in finished_tasks(merge_unless_done, tasks):
            errors |= {} if error is None else {place: error}
            progress.file_done(f"{tasks[place][1]}: {line if error is None else 'failed'}")
    failures = [one_line(errors[place], 2000) for place in sorted(errors)]
    for line in failures:
        log.error("%s", line)
    return failures


def _copies(base: Path, output: Path, folders: Sequence[str], pattern: str) -> dict[str, list[Path]]:
    """Files of each name, in the order of the folders."""
    if not base.is_dir():
        raise NtuplemlError(f"{base}: no such folder")
    names = sorted(path.name for path in base.iterdir() if path.is_dir() and path.absolute() != output.absolute())
    for name in folders:
        if not (base / name).is_dir():
            raise NtuplemlError(f"{base / name}: no such folder{did_you_mean(name, names)}")
    copies: dict[str, list[Path]] = {}
    for folder in folders or names:
        for path in sorted((base / folder).glob(pattern)):
            if path.is_file() and path.name[0] != ".":
                copies.setdefault(path.name, []).append(path)
    if not copies:
        raise NtuplemlError(f"{base}: no file '{pattern}' in {', '.join(folders or names) or 'a folder of it'}")
    return dict(sorted(copies.items()))


def merge_unless_done(sources: Sequence[str], output: Path, overwrite: bool) -> str:
    """Merge files, unless that is done; a line on what was done."""
    if output.exists() and not overwrite:
        newer = output.stat().st_mtime_ns >= max(Path(source).stat().st_mtime_ns for source in sources)
        if newer and sum(entries_of([output]).values()) == sum(entries_of(sources).values()):
            return "done already"
        raise NtuplemlError(
            f"{output}: exists already, and not with all that is merged; give --overwrite to replace it"
        )
    log.debug("%s: from %s", output, ", ".join(sources))
    return f"{merge_files(sources, output, overwrite=overwrite):,} entries of {len(sources)} files"
