"""What is said of TMVA weights without a record."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from ntupleml.artifacts.foreign_weights import foreign_record
from ntupleml.config import TrainingConfig
from ntupleml.tmva.reading import read_weights

WEIGHTS = Path(__file__).resolve().parents[1] / "data" / "tmva" / "bin_bdtg" / "weights.xml.gz"
IN_ORDER = ["Signal", "Background"]


@pytest.mark.parametrize(
    ("in_file", "in_config", "expected"),
    [
        (IN_ORDER, IN_ORDER, IN_ORDER),
        (["Background", "Signal"], ["Background", "Signal"], IN_ORDER),
        (["Background", "Signal"], ["ggh", "ztt"], ["ggh", "ztt"]),
        (["b", "a"], ["b", "a"], ["b", "a"]),
    ],
)
def test_the_signal_is_the_first_of_two_classes(
    in_file: list[str], in_config: list[str], expected: list[str], tmp_path: Path
) -> None:
    """Whichever class was given to TMVA first, a large response means what is called Signal."""
    text = gzip.decompress(WEIGHTS.read_bytes()).decode()
    for index, (name, other) in enumerate(zip(IN_ORDER, in_file, strict=True)):
        old, new = f'<Class Name="{name}" Index="{index}"/>', f'<Class Name="{other}" Index="{index}"/>'
        assert old in text
        text = text.replace(old, new)
    path = tmp_path / "x.weights.xml"
    path.write_text(text)
    weights = read_weights(path)
    training = TrainingConfig(
        datasets=["0.root", "1.root"],
        output_path="out",
        classes=in_config,
        variables=[variable.expression for variable in weights.variables],
    )
    record = foreign_record(weights, 0, training, "x.yaml")
    assert record.classes == expected
