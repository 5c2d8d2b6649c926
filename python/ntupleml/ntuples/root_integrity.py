"""What a ROOT file says twice, compared while uproot reads it, and the room that its packed parts may take.

uproot (5.7) trusts the head of a basket, and hands on what does not fit: numbers from unused memory, or lists of other
lengths. Where the format has a checksum that uproot leaves out (pages of RNTuples and the lists of them), it is looked
at here.
"""

from __future__ import annotations

import struct
import zlib
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

#: Head of a packed block: algorithm, method, size packed, size unpacked.
_BLOCK = struct.Struct("<2sB3s3s")
#: Bytes that a basket may unpack to, and how many times what it has on disk where that is more.
_MOST_UNPACKED, _MOST_PACKED = 500_000_000, 2_000
_CHECKSUM = struct.Struct("<Q")
#: Before the numbers of a std::vector: length in bytes (with a flag), version, number.
_VECTOR_HEADER, _BYTE_COUNT = 10, 0x4000_0000
_VECTOR_VERSIONS = 6


class DamagedError(ValueError):
    """Two numbers of a file that should be the same are not."""


@cache
def unpack_safely() -> None:
    """Let uproot, from now on, unpack no more bytes than a file says, and only where its parts are as many."""
    from uproot import compression

    compression.decompress.hook_before_block = _require_blocks
    compression._decompress_ZLIB.decompress = _unpacked_zlib
    for name, packing in (("ZSTD", "zstd"), ("LZMA", "xz")):
        _bound(getattr(compression, f"_decompress_{name}"), packing)


def _require_blocks(*, chunk: Any, cursor: Any, compressed_bytes: int, uncompressed_bytes: int, **given: Any) -> None:
    """Compare the sizes of the blocks with those of the whole, before room is made for it."""
    if given["num_blocks"]:
        return
    packed = cursor.bytes(chunk, compressed_bytes, {}, move=False)
    place = unpacked = 0
    while place < compressed_bytes and unpacked < uncompressed_bytes:
        if place + _BLOCK.size > compressed_bytes:
            raise DamagedError("the head of a packed block is cut off")
        *_, size, unpacked_size = _BLOCK.unpack(packed[place : place + _BLOCK.size])
        place += _BLOCK.size + int.from_bytes(size, "little")
        unpacked += int.from_bytes(unpacked_size, "little")
    if place > compressed_bytes or unpacked != uncompressed_bytes:
        raise DamagedError(
            f"its packed blocks have {place} and {unpacked} bytes, its head says {compressed_bytes} and "
            f"{uncompressed_bytes}"
        )
    if unpacked > max(_MOST_UNPACKED, _MOST_PACKED * compressed_bytes):
        raise DamagedError(f"{compressed_bytes:,} bytes unpack to {unpacked:,}; it is made to fill the memory")


def _unpacked_zlib(data: Any, uncompressed_bytes: int) -> bytes:
    unpacker = zlib.decompressobj()
    content = unpacker.decompress(data, uncompressed_bytes) if uncompressed_bytes else b""
    if unpacker.decompress(unpacker.unconsumed_tail, 1) or not unpacker.eof:
        raise DamagedError(f"a block does not end after {uncompressed_bytes} bytes")
    return content


def _bound(unpacker: Any, packing: str) -> None:
    """Let one of uproot's unpackers write into as much room as is asked for; cramjam alone would go on."""
    import cramjam

    unpack = getattr(getattr(cramjam, packing, None), "decompress_into", None)
    if unpack is None:
        return

    def unpacked(data: Any, uncompressed_bytes: int) -> NDArray[np.uint8]:
        content = np.empty(uncompressed_bytes, np.uint8)
        return content[: unpack(data, content)]

    unpacker.decompress = unpacked


def require_branches(tree: Any) -> None:
    """Refuse a TTree that has lost its branches.

    Raises
    ------
    DamagedError
    """
    if not tree.branches and tree.member("fTotBytes") > 0:
        raise DamagedError(f"it says that it holds {tree.member('fTotBytes'):,} bytes, but has no branches")


def check_baskets(interpretation: Any) -> None:
    """Let an interpretation of uproot look at each basket before it takes its numbers; at places of lists, too."""
    from uproot.interpretation.jagged import AsJagged
    from uproot.interpretation.numerical import Numerical

    if interpretation is None:
        return
    is_list = isinstance(interpretation, AsJagged) and isinstance(interpretation.content, Numerical)
    interpretation.hook_before_basket_array = _lists_of(interpretation) if is_list else _require_basket


def _require_basket(*, basket: Any, branch: Any, **_: Any) -> None:
    if basket.is_embedded:  # of which uproot itself counts the entries
        return
    number, size, entries = basket.basket_num, basket.compressed_bytes, basket.num_entries
    first, last = branch.basket_entry_start_stop(number)
    if entries != last - first or size != branch.basket_compressed_bytes(number):
        raise DamagedError(
            f"basket {number} has {entries} entries and {size} bytes, its branch says {last - first} and "
            f"{branch.basket_compressed_bytes(number)}"
        )


def _lists_of(interpretation: Any) -> Callable[..., None]:
    """As `_require_basket`, with the lists that an interpretation finds in a basket."""
    item, header = interpretation.content.from_dtype.itemsize, interpretation.header_bytes

    def require(*, data: Any, byte_offsets: Any, basket: Any, branch: Any, **_: Any) -> None:
        _require_basket(basket=basket, branch=branch)
        starts = byte_offsets
        if starts is None:
            starts = np.concatenate([[0], np.cumsum(basket.counts, dtype=np.int64) * item])
        sizes = np.diff(starts) - header
        if len(sizes) and (starts[0] != 0 or starts[-1] != len(data) or (sizes < 0).any() or (sizes % item).any()):
            raise DamagedError(f"the lists of basket {basket.basket_num} do not lie one behind the other")
        if header == _VECTOR_HEADER and len(sizes):
            _require_vectors(data, starts[:-1], sizes, item, basket.basket_num)

    return require


def _require_vectors(data: Any, starts: Any, sizes: Any, item: int, number: int) -> None:
    """Compare what stands before each vector with the bytes that it has."""
    heads = np.asarray(data)[starts[:, None] + np.arange(_VECTOR_HEADER)]
    counts = np.ascontiguousarray(heads[:, _VECTOR_VERSIONS:]).view(">i4").ravel()
    lengths = np.ascontiguousarray(heads[:, :4]).view(">u4").ravel()
    wrong = (counts != sizes // item) | (lengths != (sizes + _VECTOR_VERSIONS | _BYTE_COUNT))
    if wrong.any():
        raise DamagedError(f"a list of basket {number} says another length than it has")


def check_pages(ntuple: Any) -> None:
    """Let uproot look at the checksums of an RNTuple's pages when it reads them; look at those of their lists at once.

    Raises
    ------
    DamagedError
        If a list of pages is another than was written.
    """
    import xxhash

    def require(content: Any, what: str) -> None:
        if xxhash.xxh3_64_intdigest(content[: -_CHECKSUM.size]) != _CHECKSUM.unpack(content[-_CHECKSUM.size :])[0]:
            raise DamagedError(f"the checksum of {what} is another")

    for record in ntuple.footer.cluster_group_records:
        link = record.page_list_link
        chunk, cursor = ntuple.read_locator(link.locator, link.env_uncomp_size)
        require(cursor.bytes(chunk, link.env_uncomp_size, {}, move=False), "a list of pages")
    read_page = ntuple.read_page

    def read_checked_page(destination: Any, cluster: int, column: int, page: int, field: Any) -> None:
        found = ntuple.page_link_list[cluster][column].pages[page]
        if found.has_checksum:
            start, size = found.locator.offset, found.locator.num_bytes + _CHECKSUM.size
            require(ntuple.file.source.chunk(start, start + size).raw_data, f"page {page} of cluster {cluster}")
        read_page(destination, cluster, column, page, field)

    ntuple.read_page = read_checked_page
