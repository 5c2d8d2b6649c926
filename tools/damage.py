"""Ways to damage the content of a file, drawn at random."""

from __future__ import annotations

import io
import zipfile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

_NUMBERS = (
    b"-1",
    b"0",
    b"999999999",
    b"1e308",
    b"NaN",
    b"Infinity",
    b"2147483648",
    b"7" * 5000,
    b"null",
    b'"x"',
    b"[]",
)


def damaged(content: bytes, random: np.random.Generator) -> bytes:
    """Content with one kind of damage; archives also inside, with checksums that fit."""
    if content[:2] == b"PK" and random.random() < 0.7:
        return _inside(content, random)
    is_text = b"\0" not in content[:4096]
    return _damaged(content, random, is_text=is_text)


def _damaged(content: bytes, random: np.random.Generator, *, is_text: bool) -> bytes:
    data, size = bytearray(content), len(content)
    where = int(random.integers(0, size))
    way = random.integers(0, 10 if is_text else 6)
    if way == 0:
        data[where] ^= 1 << int(random.integers(0, 8))
    elif way == 1:
        for place in random.integers(0, size, 8):
            data[place] = int(random.integers(0, 256))
    elif way == 2:
        data[where : where + 64] = bytes(min(64, size - where))
    elif way == 3:
        return bytes(data[:where])
    elif way == 4:
        del data[where : where + int(random.integers(1, 64))]
    elif way == 5:
        data[where : where + 4] = (b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\0\0\0\0")[random.integers(0, 3)]
    elif way < 9:
        return _other_number(content, where, random)
    else:
        data[where:where] = b"[" * int(random.integers(1, 200_000))
    return bytes(data)


def _other_number(content: bytes, where: int, random: np.random.Generator) -> bytes:
    """A number of a text, the first behind a place, changed to one that hurts."""
    digits = b"0123456789.eE+-"
    start = next(
        (
            place
            for place in range(where, len(content))
            if content[place : place + 1] in [bytes([d]) for d in b"0123456789"]
        ),
        where,
    )
    stop = start
    while stop < len(content) and content[stop] in digits:
        stop += 1
    return content[:start] + _NUMBERS[random.integers(0, len(_NUMBERS))] + content[stop:]


def _inside(content: bytes, random: np.random.Generator) -> bytes:
    """An archive with one member damaged, put together again."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = {member: archive.read(member) for member in archive.infolist()}
    chosen = list(members)[random.integers(0, len(members))]
    inner = members[chosen]
    members[chosen] = _damaged(inner, random, is_text=b"\0" not in inner[:4096]) if inner else inner
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w") as archive:
        for member, data in members.items():
            archive.writestr(member.filename, data, member.compress_type)
    return written.getvalue()
