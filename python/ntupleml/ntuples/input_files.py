"""Input files as a user lists them: paths, wildcards, files with a list, addresses."""

from __future__ import annotations

import glob
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING

from ntupleml.config.loading import elsewhere
from ntupleml.errors import NtuplemlError, did_you_mean
from ntupleml.ntuples.remote import is_remote, joined, matching_addresses

if TYPE_CHECKING:
    from collections.abc import Sequence


def expand_inputs(inputs: Sequence[str], folder: str = "", where: str = "") -> list[str]:
    """Files that some texts stand for.

    Parameters
    ----------
    inputs : sequence of str
        Each a path, a path with the wildcards `*`, `?`, `[...]` and `**` for folders in between, `@` and a file with
        one of these per line (empty lines and those that begin with `#` are left out), or an address such as
        root://host//path, with wildcards too.
    folder : str, optional
        Folder that the paths are relative to; the result is relative to it as well.

    Returns
    -------
    list of str
        In the order of the texts, the matches of each in alphabetical order. Whether a path without wildcards exists
        is not looked at.

    Raises
    ------
    NtuplemlError
        If wildcards match no file, or a list cannot be read or is empty.

    Examples
    --------
    >>> expand_inputs(["b.root", "root://host//a.root"])
    ['b.root', 'root://host//a.root']
    """
    return [path for text in inputs for path in _expand(text, folder, where, from_list=False)]


def require_no_input(output: Path, inputs: Sequence[str]) -> None:
    """Refuse an output that would replace a file that is read, by whatever path."""
    for path in inputs:
        if output.exists() and not is_remote(path) and Path(path).exists() and output.samefile(path):
            raise NtuplemlError(f"{output}: is read, so it cannot be written; give another name")


def _expand(text: str, folder: str, where: str, *, from_list: bool) -> list[str]:
    start = f"{where}: " if where else ""
    if text.startswith("@") and not Path(folder, text).exists():
        if from_list:
            raise NtuplemlError(f"{start}'{text}': a list within a list; write its files here")
        return [path for line in _lines(text[1:], start) for path in _expand(line, folder, text[1:], from_list=True)]
    if not glob.has_magic(text):
        return [str(Path(text).expanduser()) if text.startswith("~") else text]
    if is_remote(text) or is_remote(folder):
        found = matching_addresses(str(joined(folder, text)))
    else:
        text = str(Path(text).expanduser()) if text.startswith("~") else text
        if Path(folder, text).exists():  # brackets may be part of a name
            return [text]
        found = sorted(glob.glob(text, root_dir=folder or None, recursive=True))  # noqa: PTH207 - relative matches
    if not found:
        raise NtuplemlError(f"{start}'{text}' matches no file{_in_folder(folder)}{_elsewhere(text, folder)}")
    return found


def _in_folder(folder: str) -> str:
    return f" in '{folder}'" if folder and folder != "." else ""


def _elsewhere(text: str, folder: str) -> str:
    """From where wildcards would match, if the folder that they begin with is not there."""
    fixed = Path(*takewhile(lambda part: not glob.has_magic(part), Path(folder, text).parts))
    return "" if is_remote(text) or is_remote(folder) or fixed.is_dir() else elsewhere(fixed)


def _lines(path: str, start: str) -> list[str]:
    try:
        text = Path(path).read_text(encoding="utf-8")
    except FileNotFoundError:
        names = [item.name for item in Path(path).parent.iterdir()] if Path(path).parent.is_dir() else []
        nearest = did_you_mean(Path(path).name, names) if names else ""
        raise NtuplemlError(f"{start}@{path}: no such list of files{nearest}") from None
    except (OSError, UnicodeDecodeError) as error:
        reason = "is not text" if isinstance(error, UnicodeDecodeError) else (error.strerror or str(error)).lower()
        raise NtuplemlError(f"{start}@{path}: {reason}") from error
    lines = [line.strip() for line in text.splitlines()]
    listed = [line for line in lines if line and not line.startswith("#")]
    if not listed:
        raise NtuplemlError(f"{start}@{path}: lists no file")
    return listed
