"""The record of a training: round trip, hash, and what is wrong with a file in one line."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

import pytest

from ntupleml.artifacts import (
    ClassContent,
    DatasetRecord,
    OnnxCheck,
    SplitSizes,
    TrainingRecord,
    model_files,
    read_record,
    record_hash,
    sha256_of_file,
    write_record,
)
from ntupleml.errors import NtuplemlError

if TYPE_CHECKING:
    from pathlib import Path


def record(**changes: Any) -> TrainingRecord:
    content: dict[str, Any] = {
        "fold": 0,
        "num_folds": 2,
        "trained_on": [0],
        "held_out_fold": 1,
        "event_branch": "event",
        "classes": ["signal", "background"],
        "variables": ["x", "y"],
        "preprocessing": "standard_scaler",
        "seed": 1234,
        "config": {"model": {"name": "example"}, "variables": ["x", "y"]},
        "datasets": [
            DatasetRecord(
                path="fold0_dataset.root",
                uuid="5d3aa3f4-0000-11ee-a2ba-000000000000",
                size=1000,
                fold=0,
                classes={
                    "signal": ClassContent(entries=10, sum_of_weights=9.5, uncertainty=3.1, negative_share=0.1),
                },
            )
        ],
        "split": SplitSizes(training=15, validation=5),
        "history": {"loss": [0.5, 0.4], "val_loss": [math.nan, math.inf]},
        "epochs": 2,
        "best_epoch": 1,
    }
    return TrainingRecord(**{**content, **changes})


def test_round_trip_keeps_everything_also_nan(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    written = record(onnx_check=OnnxCheck(events=100, largest_difference=1e-7), missing=-10.0)
    write_record(path, written)
    found = read_record(path)
    assert math.isnan(found.history["val_loss"][0])
    assert found.model_dump(exclude={"history"}) == written.model_dump(exclude={"history"})
    assert found.history["loss"] == [0.5, 0.4]
    assert found.history["val_loss"][1] == math.inf
    json.loads(path.read_text(), parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))


def test_the_hash_is_that_of_the_content_and_survives_the_disk(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    write_record(path, record())
    assert record_hash(read_record(path)) == record_hash(record())
    assert record_hash(record(seed=1)) != record_hash(record())
    later = record(sha256={"a": "b"}, onnx_check=OnnxCheck(events=1, largest_difference=0))
    assert record_hash(later) == record_hash(record())


def test_a_later_version_with_more_fields_finds_the_same_hash() -> None:
    class LaterRecord(TrainingRecord):
        temperature: float | None = None

    content = {**record().model_dump(), "ntupleml_version": "9.0", "format_version": 1}
    assert record_hash(LaterRecord(**content)) == record_hash(record())
    assert record_hash(LaterRecord(**content, temperature=2.0)) != record_hash(record())


def test_an_existing_record_is_not_overwritten_unasked(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    write_record(path, record())
    with pytest.raises(NtuplemlError, match="exists already"):
        write_record(path, record(seed=2))
    write_record(path, record(seed=2), overwrite=True)
    assert read_record(path).seed == 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not the record of a training"),
        ("[1, 2]", "it has no format_version"),
        ("{}", "it has no format_version"),
        ('{"format_version": 1}', "fold: Field required"),
        ('{"format_version": 99, "ntupleml_version": "9.1"}', r"format 99 by ntupleml 9\.1; this is .*; update it"),
        ("[" * 100_000, "not the record of a training"),
        ("\udcff", "not the record of a training"),
    ],
)
def test_another_file_is_refused_in_one_line(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    path.write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(NtuplemlError, match=message) as error:
        read_record(path)
    assert str(error.value).startswith(f"{path}: ")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("classes", ["signal"], "classes: "),
        ("variables", "x", "variables: "),
        ("trained_on", [0, 1], "fold 1 is both trained on and held out"),
        ("held_out_fold", 5, "a fold is outside 0 to 1"),
        ("colour", "red", "colour: Extra inputs"),
    ],
)
def test_a_wrong_value_is_named(key: str, value: object, message: str, tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    content = json.loads(record().model_dump_json())
    path.write_text(json.dumps({**content, key: value}))
    with pytest.raises(NtuplemlError, match=message):
        read_record(path)


def test_a_missing_record_says_who_writes_it(tmp_path: Path) -> None:
    with pytest.raises(NtuplemlError, match="no such file; it is written by the training"):
        read_record(tmp_path / "record.json")


def test_a_record_that_cannot_be_read_is_not_called_damaged(tmp_path: Path) -> None:
    with pytest.raises(NtuplemlError, match=r": cannot be read: is a directory$"):
        read_record(tmp_path)


def test_the_names_of_a_models_files_are_the_documented_ones(tmp_path: Path) -> None:
    assert [path.relative_to(tmp_path).as_posix() for path in model_files(tmp_path, 3)] == [
        "fold3_keras_model.keras",
        "fold3_keras_preprocessing.json",
        "fold3_keras_model.onnx",
        "fold3_keras_training.json",
        "fold3_loss.png",
        "fold3_loss.pdf",
        "training3.log",
    ]


def test_the_checksum_is_sha256(tmp_path: Path) -> None:
    """The value for "abc" is that of FIPS 180-2, appendix B.1."""
    (tmp_path / "abc").write_bytes(b"abc")
    assert sha256_of_file(tmp_path / "abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
