"""The loop over the objects of a global heap of HDF5, compiled by numba."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ntupleml.compiled import kept

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Bytes before the objects of a collection, and before the content of each.
HEAD = 16


@kept
def heap_ends(content: NDArray[Any]) -> bool:
    """Whether the objects of a collection follow one another up to its end.

    HDF5 goes through them in the same way, and does not end where one says that it is empty space of no size.

    Parameters
    ----------
    content : array of uint8
        The whole collection. Object n has 16 bytes: index (2 bytes), number of references (2), 4 unused, size (8);
        its content follows, filled up to 8 bytes. That of index 0 is empty space, whose size counts its 16 bytes too.
    """
    place, end = HEAD, len(content)
    while end - place >= HEAD:
        size = 0
        for byte in range(8):
            if byte > 5 and content[place + 8 + byte] != 0:
                return False
            if byte <= 5:
                size += int(content[place + 8 + byte]) << (8 * byte)
        is_empty_space = content[place] == 0 and content[place + 1] == 0
        if is_empty_space and size < HEAD:
            return False
        place += size if is_empty_space else HEAD + (size + 7) // 8 * 8
        if place > end:
            return False
    return True
