"""What is said of TMVA weights without a record."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from ntupleml.artifacts.foreign_weights import foreign_record
from ntupleml.tmva.reading import read_weights

WEIGHTS = Path(__file__).resolve().parents[1] / "data" / "tmva" / "bin_bdtg" / "weights.xml.gz"
IN_ORDER = ["Signal", "Background"]


@pytest.mark.parametrize(
    ("in_file", "in_config", "expected"),
    [
        (IN_ORDER, None, IN_ORDER),
        (["Background", "Signal"], None, IN_ORDER),
        (["Background", "Signal"], ["Background", "Signal"], IN_ORDER),
        (["Background", "Signal"], ["ggh", "ztt"], ["ggh", "ztt"]),
        (["b", "a"], None, ["b", "a"]),
    ],
)
def test_the_signal_is_the_first_of_two_classes(
    in_file: list[str], in_config: list[str] | None, expected: list[str], tmp_path: Path
) -> None:
    """Whichever class was given to TMVA first, a large response means what is called Signal."""
    text = gzip.decompress(WEIGHTS.read_bytes()).decode()
    for index, (name, other) in enumerate(zip(IN_ORDER, in_file, strict=True)):
        old, new = f'<Class Name="{name}" Index="{index}"/>', f'<Class Name="{other}" Index="{index}"/>'
        assert old in text
        text = text.replace(old, new)
    path = tmp_path / "x.weights.xml"
    path.write_text(text)
    record = foreign_record(read_weights(path), 0, 2, None, in_config, "x.yaml")
    assert record.classes == expected
