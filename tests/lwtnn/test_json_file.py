"""Which texts pass, as in boost's property tree, and the messages about those that do not."""

from __future__ import annotations

import json
import math
import os
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ntupleml.errors import NtuplemlError
from ntupleml.lwtnn import json_file
from ntupleml.lwtnn.json_file import Entry

if TYPE_CHECKING:
    from pathlib import Path


def read(folder: Path, content: str | bytes) -> dict[str, Any]:
    path = folder / "network.json"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return json_file.read_json(path)


def test_a_block_is_read(tmp_path: Path) -> None:
    assert read(tmp_path, '{"a": [1, "2"], "b": {}}') == {"a": [1, "2"], "b": {}}
    assert read(tmp_path, b'\xef\xbb\xbf{"a": 1}') == {"a": 1}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"a": NaN}', "NaN is not a number of JSON"),
        ('{"a": -Infinity}', "-Infinity is not a number"),
        ('{"a": 1, "b": 2, "a": 3}', "the key 'a' is given twice"),
        ('{"a\\nb": 1}', "the key 'a b' is too long, or has unprintable characters"),
        ('{"' + "a" * 1000 + '": 1}', "is too long, or has unprintable characters"),
        ('{"a": [1,]}', "not valid JSON: line 1"),
        ('{"a": 1} // done', "line 1, column 10"),
        ('{\n"a": 1,\n', "line 3, column 1"),
        ("{'a': 1}", "line 1, column 2"),
        ("", "line 1, column 1"),
        ("[]", "a list is given where a block of keys belongs"),
        ("3", "3 is given where a block"),
        ("[" * 100_000, "nested too deeply"),
        ('{"a":' * 100_000, "nested too deeply"),
        ('{"a": ' + "1" * 5000 + "}", "not valid JSON"),
        (b"\xff\xfe{}", "is not text in UTF-8"),
        (b"PK\x03\x04\x00", "not valid JSON"),
    ],
)
def test_what_is_refused(tmp_path: Path, content: str | bytes, message: str) -> None:
    with pytest.raises(NtuplemlError) as caught:
        read(tmp_path, content)
    text = str(caught.value)
    assert text.startswith(f"{tmp_path / 'network.json'}: ")
    assert message in text
    assert "\n" not in text
    assert len(text) < 400


def test_files_that_are_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(NtuplemlError, match=r"absent\.json: no such file"):
        json_file.read_json(tmp_path / "absent.json")
    with pytest.raises(NtuplemlError, match="is a folder"):
        json_file.read_json(tmp_path)
    os.mkfifo(tmp_path / "pipe.json")
    with pytest.raises(NtuplemlError, match="not a plain file"):
        json_file.read_json(tmp_path / "pipe.json")
    monkeypatch.setattr(json_file, "MOST_BYTES", 10)
    with pytest.raises(NtuplemlError, match="more than 10 bytes"):
        read(tmp_path, '{"a": 123456789}')


@pytest.mark.parametrize(
    ("value", "expected"),
    [(1, 1.0), (-2.5, -2.5), ("1.5", 1.5), (" 1e3 ", 1000.0), ("+.5", 0.5), ("3.", 3.0), ("1e-400", 0.0)],
)
def test_numbers(value: Any, expected: float) -> None:
    assert Entry(value, "file", "here").number() == expected
    assert Entry([value, 7.0], "file", "here").numbers().tolist() == [expected, 7.0]


@pytest.mark.parametrize(
    "value", ["", "nan", "inf", "0x10", "1 2", "1_000", "1,5", None, True, [], {}, "1e400", 10**400, "١"]
)
def test_what_is_no_number(value: Any) -> None:
    with pytest.raises(NtuplemlError, match=r"^file: here: "):
        Entry(value, "file", "here").number()
    with pytest.raises(NtuplemlError, match=r"^file: here\[1\]: "):
        Entry([1.0, value], "file", "here").numbers()


def test_a_number_too_large_for_a_list_of_floats() -> None:
    with pytest.raises(NtuplemlError, match=r"^file: here\[1\]: Infinity is too large"):
        Entry(json.loads("[1.0, 1e999]"), "file", "here").numbers()


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_any_number_passes_as_it_is(value: float) -> None:
    assert Entry(repr(value), "file", "here").number() == value
    array = Entry(json.loads(json.dumps([value, value])), "file", "here").numbers()
    assert array.tolist() == [value, value]
    assert math.copysign(1, array[0]) == math.copysign(1, value)


@pytest.mark.parametrize(("value", "expected"), [(0, 0), (7, 7), ("12", 12), (2**31 - 1, 2**31 - 1)])
def test_whole_numbers(value: Any, expected: int) -> None:
    assert Entry(value, "file", "here").whole() == expected


@pytest.mark.parametrize("value", [-1, "-1", 1.0, "1.0", True, None, 2**31, "99999999999", [], ""])
def test_what_is_no_whole_number(value: Any) -> None:
    with pytest.raises(NtuplemlError, match=r"^file: here: .* where a whole number from 0 up belongs"):
        Entry(value, "file", "here").whole()


def test_names() -> None:
    assert Entry("pt_1", "file", "here").text() == "pt_1"
    assert Entry("sin(η) / ∑", "file", "here").text() == "sin(η) / ∑"
    assert Entry(3, "file", "here").text() == "3"


@pytest.mark.parametrize("value", ["", None, 1.5, True, [], "a\nb", "a\x00", "\ud800", "a" * 301])
def test_what_is_no_name(value: Any) -> None:
    with pytest.raises(NtuplemlError, match=r"^file: here: "):
        Entry(value, "file", "here").text()


def test_empty_texts_count_as_empty_lists_and_blocks() -> None:
    """Boost writes them so."""
    assert Entry("", "file", "here").items() == []
    assert Entry("", "file", "here").block() == {}
    for value in (None, 0, "a", False):
        with pytest.raises(NtuplemlError, match="where a list belongs"):
            Entry(value, "file", "here").items()
        with pytest.raises(NtuplemlError, match="where a block of keys belongs"):
            Entry(value, "file", "here").block()


def test_missing_keys_name_the_nearest() -> None:
    with pytest.raises(NtuplemlError, match=r"^file: here: no key 'weights'; nearest: 'weight'"):
        Entry({"weight": 1, "bias": 2}, "file", "here").at("weights")
