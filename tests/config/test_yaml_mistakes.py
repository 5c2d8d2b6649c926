"""Formulas that YAML takes for something else, and indentation that is wrong, in the terms of who wrote them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ntupleml.config import DatasetConfig, TestingConfig, TrainingConfig, load_config
from ntupleml.config.loading import parse_yaml
from ntupleml.errors import MisplacedConfigError, NtuplemlError

if TYPE_CHECKING:
    from pathlib import Path


def said_of(text: str) -> str:
    with pytest.raises(NtuplemlError) as raised:
        parse_yaml(text.encode(), "c.yaml")
    return str(raised.value).removeprefix("c.yaml: ")


@pytest.mark.parametrize(
    ("text", "line", "column", "formula"),
    [
        ("a: b\ncut_string: x > 0 ? 1 : 2\n", 2, 13, "x > 0 ? 1 : 2"),
        ("selection: !isMC && x > 1  # data\n", 1, 12, "!isMC && x > 1"),
        ("weight_string: *w\n", 1, 16, "*w"),
        ("files:\n  - *.root\n", 2, 5, "*.root"),
        ("files: [*.root, a.root]\n", 1, 9, "*.root"),
        ("p: {weight: *w}\n", 1, 13, "*w"),
        ("cut: > 3\n", 1, 6, "> 3"),
        ("cut: %x\n", 1, 6, "%x"),
    ],
)
def test_a_formula_belongs_in_quotation_marks(text: str, line: int, column: int, formula: str) -> None:
    assert said_of(text) == (
        f"line {line}, column {column}: {formula} is no plain text in YAML; put the formula in quotation marks: "
        f'"{formula}"'
    )
    quoted = text.replace(formula, f'"{formula}"')
    assert formula in str(parse_yaml(quoted.encode(), "c.yaml"))


def test_quotation_marks_within_a_formula() -> None:
    assert said_of('cut: "a" == b\n').endswith("put the formula in quotation marks: '\"a\" == b'")


def test_formulas_within_brackets() -> None:
    said = said_of("p: {cut_string: a ? b : c}\n")
    assert said.startswith("line 1, column 19: ")
    assert said.endswith("; put formulas within brackets in quotation marks")


@pytest.mark.parametrize(("text", "line"), [("a: b\n  c: d\n", 2), ("p:\n  s:\n    f: 1\n   b: 2\n", 4)])
def test_wrong_indentation(text: str, line: int) -> None:
    said = said_of(text)
    assert said.startswith(f"line {line}, column 4: this line is indented ")
    assert said.endswith("indent the keys of a block alike")


TESTING = "weight_branch: w\nplot: {style: CMS}\n"
TRAINING = "datasets: [f0.root, f1.root]\noutput_path: .\nclasses: [s, b]\nvariables: [x]\n"
DATASET = "output_path: .\noutput_filename: d.root\ntree_path: t\nprocesses: {s: {files: s.root}}\n"


def test_a_config_of_another_stage_is_recognised(tmp_path: Path) -> None:
    path = tmp_path / "t.yaml"
    for text, schema, said in (
        (TESTING, TrainingConfig, "looks like a testing config, but a training config is needed"),
        (TRAINING, TestingConfig, "looks like a training config, but a testing config is needed"),
        (DATASET, TrainingConfig, "looks like a dataset config, but a training config is needed"),
    ):
        path.write_text(text)
        with pytest.raises(MisplacedConfigError) as raised:
            load_config(path, schema)
        assert str(raised.value) == f"{path}: {said}"


def test_a_mistake_is_no_config_of_another_stage(tmp_path: Path) -> None:
    path = tmp_path / "t.yaml"
    path.write_text(TRAINING.replace("variables", "varaibles"))
    with pytest.raises(NtuplemlError, match="unknown key 'varaibles'; nearest: 'variables'"):
        load_config(path, TrainingConfig)


def test_one_file_is_a_list_of_one(tmp_path: Path) -> None:
    path = tmp_path / "d.yaml"
    path.write_text(DATASET)
    assert load_config(path, DatasetConfig).processes["s"].files == ["s.root"]


def test_a_config_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "training.yaml").write_text(TRAINING)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(NtuplemlError, match=r"^trainng\.yaml: no such file; nearest: 'training.yaml'$"):
        load_config("trainng.yaml", TrainingConfig)
    (tmp_path / "deeper").mkdir()
    monkeypatch.chdir(tmp_path / "deeper")
    with pytest.raises(NtuplemlError) as raised:
        load_config("deeper/../training.yaml", TrainingConfig)
    assert str(raised.value) == (
        "deeper/../training.yaml: no such file; paths are relative to the current folder, "
        f"{tmp_path}/deeper; call from {tmp_path}, where it is"
    )
