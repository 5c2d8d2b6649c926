"""YAML that is no config: one line each, and no time or memory."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from ntupleml.config import TrainingConfig, load_config, loading
from ntupleml.errors import NtuplemlError

if TYPE_CHECKING:
    from pathlib import Path

DIGITS = "7" * 5000


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("!!map [1]", "expected a mapping"),
        ("!!map x", "expected a mapping"),
        ("!!seq {a: 1}", "expected a sequence"),
        ("!!set [1]", "expected a mapping"),
        ("!!omap {a: 1}", "expected a sequence"),
        ("!!pairs [1]", "expected a mapping of length 1"),
        ("!!bool perhaps", "a tag .* does not fit"),
        ("!!timestamp today", "a tag .* does not fit"),
        ("!!int many", "invalid literal"),
        ("!!python/object/apply:os.system [true]", "could not determine a constructor"),
        (DIGITS, "a number of 5,000 characters"),
        (f"0x{DIGITS}", "a number of 5,002 characters"),
        (f"0b{'1' * 5000}", "a number of 5,002 characters"),
        (f"{DIGITS}.0", "a number of 5,002 characters"),
        (":".join(["1"] * 5000), "a number of 9,999 characters"),
        (f"!!float {DIGITS}", "a number of 5,000 characters"),
    ],
)
def test_one_line(value: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "training.yaml"
    for text in (f"seed: {value}\n", value):
        path.write_text(text)
        with pytest.raises(NtuplemlError, match=message) as error:
            load_config(path, TrainingConfig)
        assert "\n" not in str(error.value)
        assert str(error.value).startswith(f"{path}: ")


def test_millions_of_parts_take_no_time(tmp_path: Path) -> None:
    """A number of base 60 with a million parts would take hours."""
    path = tmp_path / "training.yaml"
    path.write_text("seed: " + "1:" * 1_000_000 + "1")
    start = time.process_time()
    with pytest.raises(NtuplemlError, match="characters"):
        load_config(path, TrainingConfig)
    assert time.process_time() - start < 5


@pytest.mark.parametrize("line", ["- a\n", "- {}\n", "? b\n"])
def test_a_million_values_take_no_time(line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of 10 MB has 2.4 million values; it was not read in 100 s on a busy machine."""
    monkeypatch.setattr(loading, "_MOST_NODES", 1_000)
    path = tmp_path / "config.yaml"
    path.write_text(line * 1_000_000)
    start = time.process_time()
    with pytest.raises(NtuplemlError, match=r"config\.yaml: more than 1,000 values are too many"):
        load_config(path, TrainingConfig)
    assert time.process_time() - start < 10
