"""Headers of trees with thousands of branches, written by uproot in a time that grows with their number.

For each branch uproot (5.7) adds up the sizes of all parts of the header so far, so that its time grows with the square
of the number of branches. Here it writes the part of each branch alone, and the parts are put together.
"""

from __future__ import annotations

import struct
from functools import cache, wraps
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

#: From so many branches on.
_MANY = 64
#: Of how many branches both ways are compared before the quick one is taken.
_COMPARED = 8
#: Where the parts of a branch lie: what uproot keeps of it.
_PLACES = ("metadata_start", "basket_metadata_start", "tleaf_reference_number")
#: The parts of a header that come after the branches: header of the list of their leaves, that list, and the rest.
_AFTER = 3
_LEAVES = struct.Struct(">I13sI4s")
_VERSION_OF_TREE, _VERSION_OF_LIST = 20, 3


@cache
def write_wide_headers_quickly() -> None:
    """Let uproot write the headers of wide trees in this way from now on; the bytes are the same.

    Nothing changes with versions of uproot whose code is another.
    """
    from uproot.writing._cascadetree import Tree

    build = getattr(Tree, "_build_out", None)
    if build is None:
        return

    @wraps(build)
    def build_out(tree: Any) -> list[bytes]:
        branches = tree._branch_data
        if len(branches) < _MANY or not _are_same(tree, branches[:_COMPARED], build):
            return build(tree)  # type: ignore[no-any-return]
        return _put_together(tree, branches, build)

    Tree._build_out = build_out


def _are_same(tree: Any, branches: list[dict[str, Any]], build: Callable[[Any], list[bytes]]) -> bool:
    """Whether both ways give the same header, and the same places, for some branches."""
    try:
        quick = b"".join(_put_together(tree, branches, build)), _places(branches)
    except (IndexError, KeyError, TypeError, ValueError, struct.error):
        return False
    return quick == (b"".join(_of(tree, branches, build)), _places(branches))


def _places(branches: list[dict[str, Any]]) -> list[Any]:
    return [branch.get(place) for branch in branches for place in _PLACES]


def _of(tree: Any, branches: list[dict[str, Any]], build: Callable[[Any], list[bytes]]) -> list[bytes]:
    """Header of a tree as if it had only these branches."""
    everything = tree._branch_data
    tree._branch_data = branches
    try:
        return build(tree)
    finally:
        tree._branch_data = everything


def _put_together(tree: Any, branches: list[dict[str, Any]], build: Callable[[Any], list[bytes]]) -> list[bytes]:
    """Header of a tree from those with one branch each.

    A branch refers to its counter, which comes before it, by the place of that in the whole header.
    """
    from uproot.serialization import numbytes_version

    out = _of(tree, [], build)
    before, after = out[:-_AFTER], out[-_AFTER:]
    parts: list[bytes] = []
    size, leaves = 0, []
    for branch in branches:
        if branch["kind"] == "record":  # a name for several branches
            continue
        part = _of(tree, [branch], build)[len(before) : -_AFTER]
        for place in _PLACES:
            branch[place] += size
        leaves.append(branch["tleaf_reference_number"])
        parts += part
        size += sum(map(len, part))
    # The list of branches: its size in bytes, its header, its length.
    before[-1] = struct.pack(">II", len(leaves), 0)
    before[-3] = numbytes_version(len(before[-2]) + len(before[-1]) + size, _VERSION_OF_LIST)
    count, header, _, lower_bound = _LEAVES.unpack(after[0])
    after[0] = _LEAVES.pack(count + 4 * len(leaves), header, len(leaves), lower_bound)
    after[1] = struct.pack(f">{len(leaves)}I", *leaves)
    out = [*before, *parts, *after]
    out[0] = numbytes_version(sum(map(len, out[1:])), _VERSION_OF_TREE)
    return out
