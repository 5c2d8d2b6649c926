"""Header of a tree as uproot reads it, to check that a rewritten one says the same."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Container, Iterator

#: Numbers of a branch that say how it was or will be written, not how it is read.
_NOT_FOR_READING = {"fBasketSize", "fCompress", "fFillColor", "fFillStyle", "fMaxBaskets", "fSplitLevel"}


def basket_list(tree: Any, but: Container[str]) -> list[tuple[Any, ...]]:
    """Class, name, type, entries and place of all baskets of each branch but some, in order.

    A basket that lies in the tree's header has no place on disk: its content is listed.
    """
    return [
        (
            branch.classname,
            branch.name,
            _type_name(branch),
            branch.member("fEntries"),
            *_embedded_baskets(branch),
            *_places(branch),
        )
        for top in tree.branches
        if top.name not in but
        for branch in [top, *top.itervalues(recursive=True)]
    ]


def _type_name(branch: Any) -> str:
    """Type of a branch; its leaves, where uproot knows no name for it."""
    try:
        return str(branch.typename)
    except Exception:  # uproot raises nearly anything at types that it cannot interpret
        return str([(leaf.classname, leaf.member("fTitle"), leaf.member("fLen")) for leaf in branch.member("fLeaves")])


def _places(branch: Any) -> list[tuple[int, ...]]:
    """First entry, size and position of each basket; a size where there is no position says nothing."""
    number = branch.member("fWriteBasket") + 1
    entries, sizes, seeks = (branch.member(f"fBasket{what}")[:number] for what in ("Entry", "Bytes", "Seek"))
    return [tuple(values.tolist()) for values in (entries, np.where(seeks == 0, 0, sizes), seeks)]


def _embedded_baskets(branch: Any) -> list[tuple[Any, ...]]:
    """Entries and checksums of the baskets that lie in the tree's header."""
    last = branch.member("fWriteBasket")
    if branch.member("fBasketEntry")[last] == branch.member("fEntries") and all(branch.member("fBasketSeek")[:last]):
        return []
    # uproot reads where the baskets lie for the TBranch in a TBranchObject, and forgets it for the whole.
    reader = branch.bases[0] if branch.classname == "TBranchObject" else branch
    return [
        (
            int(basket.num_entries),
            zlib.crc32(np.ascontiguousarray(basket.data).data),
            None if basket.byte_offsets is None else zlib.crc32(np.ascontiguousarray(basket.byte_offsets).data),
        )
        for basket in reader.embedded_baskets
    ]


def differing_branch(old: Any, new: Any, but: Container[str]) -> str | None:
    """First branch whose members, or those of its leaves, are not the same in two trees; None if all are.

    Parameters
    ----------
    old, new : uproot TTree
        They have the same branches, see `basket_list`. Members that a version of ROOT does not know are not compared.
    but : container of str
        Branches that are left out, and so are those under them.
    """
    for (name, before), (_, after) in zip(_members(old, but), _members(new, but), strict=True):
        # What is not the same as itself is NaN: extremes of a leaf can be.
        if any(before[key] != after[key] and before[key] == before[key] for key in before.keys() & after.keys()):
            return name
    return None


def _members(tree: Any, but: Container[str]) -> Iterator[tuple[str, dict[Any, Any]]]:
    """Numbers and texts of each branch, and of its leaves."""
    for top in tree.branches:
        if top.name in but:
            continue
        for branch in [top, *top.itervalues(recursive=True)]:
            found: dict[Any, Any] = _plain(branch)
            for number, leaf in enumerate(branch.member("fLeaves")):
                counter = leaf.member("fLeafCount", none_if_missing=True)
                found |= {(number, key): value for key, value in _plain(leaf).items()}
                found[number] = leaf.classname, None if counter is None else counter.member("fName")
            yield branch.name, found


def _plain(model: Any) -> dict[str, Any]:
    return {
        key: value
        for key, value in model.all_members.items()
        if isinstance(value, int | float | str | np.generic) and key[0] != "@" and key not in _NOT_FOR_READING
    }
