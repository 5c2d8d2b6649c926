"""Files of XGBoost as plain data: UBJSON as XGBoost writes it, and what must not take memory or end a process."""

from __future__ import annotations

import contextlib
import json
import struct
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import xgboost

from ntupleml.errors import NtuplemlError
from ntupleml.forests.xgboost import forest_of_xgboost
from ntupleml.forests.xgboost_file import json_for_xgboost, parse_xgboost, read_ubjson, read_xgboost

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def booster() -> xgboost.Booster:
    random = np.random.default_rng(1)
    inputs = random.normal(size=(500, 3)).astype(np.float32)
    matrix = xgboost.DMatrix(inputs, label=inputs[:, 0] > 0, feature_names=["a", "β", "c d"])
    return xgboost.train({"objective": "binary:logistic", "nthread": 1, "max_depth": 3}, matrix, 3)


def plain(value: Any) -> Any:
    """Arrays as lists, and numbers as the float32 that XGBoost has, so that JSON and UBJSON can be compared."""
    if isinstance(value, dict):
        return {key: plain(member) for key, member in value.items()}
    if isinstance(value, list | np.ndarray):
        return [plain(member) for member in value]
    return value if isinstance(value, str) else float(np.float32(value))


def test_ubjson_holds_what_json_holds(booster: xgboost.Booster) -> None:
    binary = parse_xgboost(booster.save_raw("ubj"), "model")
    assert plain(binary) == plain(json.loads(bytes(booster.save_raw("json"))))


@pytest.mark.parametrize("form", ["json", "ubj"])
def test_xgboost_reads_what_was_read(booster: xgboost.Booster, form: str, tmp_path: Path) -> None:
    path = tmp_path / "model.of_any_name"
    path.write_bytes(booster.save_raw(form))
    again = xgboost.Booster(model_file=bytearray(json_for_xgboost(read_xgboost(path))))
    assert again.save_raw("ubj") == booster.save_raw("ubj")


def length(number: int) -> bytes:
    return b"L" + struct.pack(">q", number)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"Z", None),
        (b"T", True),
        (b"i\xff", -1),
        (b"U\xff", 255),
        (b"I\x01\x00", 256),
        (b"l\x00\x01\x00\x00", 65536),
        (b"L" + bytes(7) + b"\x07", 7),
        (b"d\x3f\x80\x00\x00", 1.0),
        (b"D\x3f\xf8" + bytes(6), 1.5),
        (b"Ca", "a"),
        (b"SU\x02\xc3\xa9", "é"),
        (b"[i\x01[]]", [1, []]),
        (b"[#U\x02i\x01T", [1, True]),
        (b"[$I#U\x02\x00\x01\xff\xff", [1, -1]),
        (b"{U\x01aF}", {"a": False}),
    ],
)
def test_values_of_ubjson(content: bytes, expected: Any) -> None:
    """By the specification, draft 12: big-endian, a marker before each value."""
    found = read_ubjson(content)
    assert (found.tolist() if isinstance(found, np.ndarray) else found) == expected


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "cut off or damaged: 1 bytes are needed at byte 0, 0 are left"),
        (b"L\x00", "8 bytes are needed"),
        (b"TT", "1 bytes after its end"),
        (b"[" * 200_000, "nested more than 32 levels deep"),
        ((b"{" + length(1) + b"a") * 33, "nested more than 32 levels deep"),
        (b"[$d#" + length(2**60), "a length of 1152921504606846976"),
        (b"[$d#" + length(8) + bytes(16), "32 bytes are needed at byte 13, 16 are left"),
        (b"[#" + length(2**60), "a length of 1152921504606846976"),
        (b"S" + length(-1), "a length of -1"),
        (b"[$Z#" + length(1), "an unexpected 'Z'"),
        (b"[$dL", "an unexpected 'L'"),
        (b"[$", "1 bytes are needed"),
        (b"{$d#", "an unexpected '[$]'"),
        (b"HU\x011", "an unexpected 'H'"),
        (b"{U\x01aTU\x01aT}", "two members 'a'"),
        (b"SU\x01\xff", "can't decode"),
        (b"{U\x01aT", "1 bytes are needed"),
    ],
)
def test_damaged_ubjson(content: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_ubjson(content)


def test_any_byte_of_ubjson_may_be_damaged(booster: xgboost.Booster) -> None:
    """Other content, or an error of ours."""
    content = bytes(booster.save_raw("ubj"))
    for place in range(0, len(content), 13):
        damaged = content[:place] + bytes([content[place] ^ 0xFF]) + content[place + 1 :]
        with contextlib.suppress(NtuplemlError):
            forest_of_xgboost(damaged, "model")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"[" * 100 + b"]" * 100, "nested more than 32 levels deep"),
        (b'{"a":' * 100 + b"1" + b"}" * 100, "nested more than 32 levels deep"),
        (b"[" * 100_000, "not JSON, or cut off or damaged"),
        (b'{"learner": 1, "learner": 2}', "two members of one name"),
        (b"\x80abc", "not JSON, or cut off or damaged"),
        (b"{L" + length(5)[1:] + b"learn", "not UBJSON, or cut off or damaged"),
    ],
)
def test_what_is_not_read(content: bytes, message: str) -> None:
    with pytest.raises(NtuplemlError, match=message) as error:
        parse_xgboost(content, "model.json")
    assert str(error.value).startswith("model.json: ")


def test_very_large_files_are_not_read(tmp_path: Path) -> None:
    path = tmp_path / "model.json"
    with path.open("wb") as file:
        file.truncate(2_000_000_001)
    with pytest.raises(NtuplemlError, match="2,000,000,001 bytes; at most 2,000,000,000 are read"):
        read_xgboost(path)
