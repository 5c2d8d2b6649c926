"""Trees of an input that are scored in one go, such as those of systematic variations."""

from __future__ import annotations

import fnmatch
from typing import TYPE_CHECKING

from ntupleml.errors import NtuplemlError, did_you_mean
from ntupleml.ntuples.inspection import list_trees

if TYPE_CHECKING:
    from pathlib import Path

_WILDCARDS = frozenset("*?[")


def has_several_trees(text: str) -> bool:
    """Whether TREE stands for several trees: a list with commas, or a pattern.

    Examples
    --------
    >>> [has_several_trees(text) for text in ("mt_nominal/ntuple", "nominal,JES_up", "mt_*/ntuple")]
    [False, True, True]
    """
    return "," in text or bool(_WILDCARDS & set(text))


def chosen_trees(path: str | Path, text: str) -> list[str]:
    """Trees of a file that TREE stands for, each once, in the order of the list and of the file.

    Parameters
    ----------
    text : str
        A tree; or names and patterns with commas between. `*` stands for any characters, folders as well.

    Raises
    ------
    NtuplemlError
        If a pattern matches no tree of the file.
    """
    if not has_several_trees(text):
        return [text]
    chosen: dict[str, None] = {}
    there: list[str] | None = None
    for pattern in filter(None, (part.strip() for part in text.split(","))):
        if not _WILDCARDS & set(pattern):
            chosen[pattern] = None
            continue
        if there is None:
            there = list(dict.fromkeys(tree.tree_path for tree in list_trees(path)))
        found = [tree for tree in there if fnmatch.fnmatchcase(tree.strip("/"), pattern.strip("/"))]
        if not found:
            raise NtuplemlError(f"{path}: TREE: no tree matches '{pattern}'{did_you_mean(pattern, there)}")
        chosen |= dict.fromkeys(found)
    if not chosen:
        raise NtuplemlError(f"TREE: '{text}' names no tree")
    return list(chosen)
