"""The version: that of the tag `vX.Y.Z` of git, and how far a checkout is from it.

A package is built by this module alone, so that it imports nothing of the others.
"""

from __future__ import annotations

import re
import subprocess
from importlib import metadata
from pathlib import Path


def version_of(top: Path) -> str:
    """Version of a package below a folder.

    A checkout of git at a tag has the version of the tag, and one after it `X.Y.Z.postN+gHASH` with the number of
    commits since. A checkout without tags is on its way to the version of `CITATION.cff`: `X.Y.Z.dev0+gHASH`. A source
    distribution says it in `PKG-INFO`, an installed package in its metadata.

    Parameters
    ----------
    top : Path
        The folder of `pyproject.toml`; of an installed package any.
    """
    if (top / ".git").exists() and (described := _described(top)):
        tag, commits, commit = described
        if tag is None:
            return f"{_cited(top)}.dev0+{commit}"
        return tag if commits == "0" else f"{tag}.post{commits}+{commit}"
    if (top / "PKG-INFO").is_file():
        return _line(top / "PKG-INFO", "Version")
    if (top / "CITATION.cff").is_file():  # an archive of a forge
        return _cited(top)
    return metadata.version("ntupleml")


def _described(top: Path) -> tuple[str | None, str, str] | None:
    """Version of the last tag, number of commits since, and the commit; None where git does not say it."""
    command = ["git", "-C", str(top), "describe", "--tags", "--long", "--always", "--match", "v[0-9]*"]
    try:
        found = subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None
    match = re.fullmatch(r"(?:v(.+)-(\d+)-g)?([0-9a-f]+)", found)
    return (match[1], match[2], f"g{match[3]}") if match else None


def _cited(top: Path) -> str:
    return _line(top / "CITATION.cff", "version")


def _line(path: Path, key: str) -> str:
    match = re.search(rf"^{key}: *(\S+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    assert match is not None, f"{path} has no {key}"
    return match[1]


__version__ = version_of(Path(__file__).parents[2])
