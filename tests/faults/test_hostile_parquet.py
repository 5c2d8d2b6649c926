"""Parquet files whose pages, lists and numbers of rows are others than they say, made byte by byte."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ntupleml.errors import NtuplemlError
from ntupleml.ntuples import open_ntuple
from ntupleml.ntuples.parquet_pages import largest_page

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

#: Types of Thrift's compact protocol, and Parquet's numbers of packings.
I32, I64, BINARY, LIST, STRUCT = 5, 6, 8, 9, 12
NOT_PACKED, ZSTD = 0, 6


def varint(number: int) -> bytes:
    head = bytes([number & 127 | (128 if number > 127 else 0)])
    return head + varint(number >> 7) if number > 127 else head


def structure(*fields: tuple[int, int, bytes]) -> bytes:
    """Fields by number, type and content."""
    content, last = b"", 0
    for number, kind, value in fields:
        content, last = content + bytes([number - last << 4 | kind]) + value, number
    return content + b"\0"


def number(field: int, value: int, kind: int = I32) -> tuple[int, int, bytes]:
    return field, kind, varint(value << 1)


def listed(field: int, kind: int, items: Sequence[bytes]) -> tuple[int, int, bytes]:
    return field, LIST, bytes([0xF0 | kind]) + varint(len(items)) + b"".join(items)


def element(name: bytes, *fields: tuple[int, int, bytes]) -> bytes:
    return structure(*fields, (4, BINARY, varint(len(name)) + name))


def group(children: int) -> bytes:
    return structure((4, BINARY, b"\1a"), number(5, children))


def write(path: Path, body: bytes, schema: Sequence[bytes], rows: int, groups: Sequence[bytes] = ()) -> Path:
    footer = structure(number(1, 1), listed(2, STRUCT, schema), number(3, rows, I64), listed(4, STRUCT, groups))
    path.write_bytes(b"PAR1" + body + footer + struct.pack("<I", len(footer)) + b"PAR1")
    return path


def of_one_page(path: Path, content: bytes, *, unpacked: int, codec: int, rows: int, name: bytes = b"x") -> Path:
    """A column of floats in one page."""
    encodings = structure(number(1, rows), number(2, 0), number(3, 3), number(4, 3))
    head = structure(number(1, 0), number(2, unpacked), number(3, len(content)), (5, STRUCT, encodings))
    size = len(head) + len(content)
    column = structure(
        number(1, 4),
        listed(2, I32, [b"\0"]),
        listed(3, BINARY, [varint(len(name)) + name]),
        number(4, codec),
        number(5, rows, I64),
        number(6, len(head) + unpacked, I64),
        number(7, size, I64),
        number(9, 4, I64),
    )
    parts = structure(listed(1, STRUCT, [structure(number(2, 4, I64), (3, STRUCT, column))]), number(2, size, I64),
                      number(3, rows, I64))  # fmt: skip
    schema = [group(1), element(name, number(1, 4), number(3, 0))]
    return write(path, head + content, schema, rows, [parts])


def refusal(path: Path) -> str:
    with pytest.raises(NtuplemlError) as error, open_ntuple(path, "") as ntuple:
        list(ntuple.chunks(["x"]))
    assert "\n" not in str(error.value)
    return str(error.value)


def test_a_whole_file_is_read(tmp_path: Path) -> None:
    """So that the others fail for what is wrong with them."""
    values = np.arange(10, dtype="f4")
    path = of_one_page(tmp_path / "a.parquet", values.tobytes(), unpacked=40, codec=NOT_PACKED, rows=10)
    with open_ntuple(path, "") as ntuple:
        assert next(ntuple.chunks(["x"])).columns["x"].tolist() == values.tolist()


def test_a_page_that_fills_the_memory_is_not_unpacked(tmp_path: Path) -> None:
    """46 kB of Zstandard are 1.5 GB of zeros; pyarrow unpacks them for the ten values of the page."""
    size = 1_500_000_000
    path = of_one_page(tmp_path / "a.parquet", bytes(46_000), unpacked=size, codec=ZSTD, rows=10)
    assert f"unpacks to {size:,} bytes in a file of {path.stat().st_size:,}" in refusal(path)


def test_pages_elsewhere_are_refused(tmp_path: Path) -> None:
    path = of_one_page(tmp_path / "a.parquet", bytes(40), unpacked=40, codec=ZSTD, rows=10)
    content = path.read_bytes()
    path.write_bytes(content[:4] + b"\xff" * 8 + content[12:])
    assert "cannot be read" in refusal(path)


def test_more_rows_than_there_are(tmp_path: Path) -> None:
    path = of_one_page(tmp_path / "a.parquet", bytes(40), unpacked=40, codec=NOT_PACKED, rows=2**62)
    assert "damaged" in refusal(path)


def test_a_name_that_is_no_text(tmp_path: Path) -> None:
    path = of_one_page(tmp_path / "a.parquet", bytes(40), unpacked=40, codec=NOT_PACKED, rows=10, name=b"\xc1")
    assert "can't decode byte" in refusal(path)


@pytest.mark.parametrize("depth", [500, 100_000])
def test_deep_nesting(depth: int, tmp_path: Path) -> None:
    schema = [group(1)] * depth + [element(b"x", number(1, 4), number(3, 0))]
    assert "too deeply nested" in refusal(write(tmp_path / "a.parquet", b"", schema, 0))


def test_a_dictionary_with_fewer_values_than_are_used(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"x": np.array([1.5, 2.5] * 50)}), path, compression="none")
    content = path.read_bytes()
    of_two = b"\x4c" + structure(number(1, 2))[:-1]
    assert content.count(of_two) == 1
    path.write_bytes(content.replace(of_two, b"\x4c" + structure(number(1, 1))[:-1]))
    assert "branch 'x' cannot be read" in refusal(path)


@pytest.mark.parametrize("version", ["1.0", "2.0"])
@pytest.mark.parametrize("packing", ["gzip", "zstd", "brotli", "lz4"])
@pytest.mark.parametrize("dictionary", [True, False])
def test_sizes_of_pages_are_those_that_were_written(
    packing: str, version: str, dictionary: bool, tmp_path: Path
) -> None:
    """A page ends behind 20,000 bytes of values; places in a dictionary of 100 numbers take seven bits each."""
    values = np.random.default_rng(1).integers(0, 100, 30_000).astype("f8")
    table, options = pa.table({"x": values}), {"data_page_version": version, "use_dictionary": dictionary}
    pq.write_table(table, tmp_path / "a.parquet", compression=packing, data_page_size=20_000, **options)
    column = pq.ParquetFile(tmp_path / "a.parquet").metadata.row_group(0).column(0)
    with (tmp_path / "a.parquet").open("rb") as file:
        largest = largest_page(file, column)
    assert (10_000 if dictionary else 20_000) <= largest <= 30_000
    assert largest < column.total_uncompressed_size
