"""Arrays whose heads say something else than what follows."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest

from ntupleml.npy import read_npy


def saved(array: Any) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


@pytest.mark.parametrize(
    "array",
    [np.arange(6.0).reshape(2, 3), np.asfortranarray(np.arange(6.0).reshape(2, 3)), np.array("text"), np.zeros((0, 2))],
)
def test_numpys_own_arrays(array: Any) -> None:
    content = saved(array)
    found = read_npy(io.BytesIO(content), len(content))
    assert found.dtype == array.dtype
    assert np.array_equal(found, array)


def changed(old: bytes, new: bytes) -> bytes:
    content = saved(np.arange(6.0).reshape(2, 3))
    assert content.count(old) == 1
    return content.replace(old, new.ljust(len(old)))


@pytest.mark.parametrize(
    "content",
    [
        changed(b"(2, 3), }      ", b"(2, 9999999), }"),
        changed(b"(2, 3), }    ", b"(-2, -3), }"),
        changed(b"(2, 3), }", b"(((((((("),
        changed(b"(2, 3), }", b"2 3)}"),
        changed(b"'<f8'", b"'|O'"),
        changed(b"'<f8'", b"'<U0'"),
        changed(b"'<f8'", b"'xx'"),
        changed(b"'<f8'", b"[]"),
        changed(b"{'descr'", b"{descr"),
        saved(np.arange(6.0))[:-1],
        saved(np.arange(6.0)) + b"1",
        b"\x93NUMPY\x02\x00",
        b"",
    ],
)
def test_refused(content: bytes) -> None:
    with pytest.raises(ValueError, match=r".") as error:
        read_npy(io.BytesIO(content), len(content))
    assert "\n" not in str(error.value)
