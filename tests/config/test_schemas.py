"""JSON schemas of the configs: up to date, with a meaning for every key, and they take what we take."""

from __future__ import annotations

import json
import runpy
from pathlib import Path
from typing import Any

import pytest

from ntupleml.config.loading import parse_yaml
from ntupleml.config.schemas import editor_line, schema_file

TOP = Path(__file__).resolve().parents[2]
CONFIGS = ["dataset", "training", "testing", "application", "conversion", "images"]


@pytest.fixture(scope="module")
def tool() -> dict[str, Any]:
    return runpy.run_path(str(TOP / "tools" / "config_schemas.py"))


def schema_of(config: str) -> dict[str, Any]:
    return json.loads(schema_file(config).read_text())


def test_there_is_one_for_each_config(tool: dict[str, Any]) -> None:
    assert sorted(tool["CONFIGS"]) == sorted(CONFIGS)


@pytest.mark.parametrize("config", CONFIGS)
def test_the_files_are_up_to_date(tool: dict[str, Any], config: str) -> None:
    """Else: make schemas."""
    assert schema_file(config).read_text() == tool["text_of"](tool["CONFIGS"][config])


@pytest.mark.parametrize("config", CONFIGS)
def test_every_key_has_a_meaning(config: str) -> None:
    schema = schema_of(config)
    blocks = {"": schema, **schema.get("$defs", {})}
    without = [
        f"{name}.{key}"
        for name, block in blocks.items()
        for key, value in {**block.get("properties", {}), **block.get("patternProperties", {})}.items()
        if len(value.get("description", "")) < 8
    ]
    assert without == []


def test_meanings_come_from_comments_and_docstrings(tool: dict[str, Any]) -> None:
    meanings = tool["meanings"](tool["CONFIGS"]["testing"])
    assert meanings["seed"] == "Of everything random in the testing stage."
    assert meanings["preprocessing"].startswith("Files of each fold's model, in the order of the folds")
    assert tool["meanings"](tool["CONFIGS"]["dataset"])["tree_path"] == (
        "Tree in the input files, with its folders; a process may name its own."
    )


@pytest.fixture(scope="module")
def validators() -> dict[str, Any]:
    jsonschema = pytest.importorskip("jsonschema")
    return {config: jsonschema.Draft202012Validator(schema_of(config)) for config in CONFIGS}


def of_file(path: Path) -> str | None:
    if path.stem in CONFIGS:
        return path.stem
    return {"schemes": "training", "reference": "conversion"}.get(path.parent.name)


EXAMPLES = [path for path in sorted((TOP / "configs").rglob("*.yaml")) if of_file(path) is not None]


def test_the_example_configs_are_valid(validators: dict[str, Any]) -> None:
    assert len(EXAMPLES) > 40
    for path in EXAMPLES:
        content = json.loads(json.dumps(parse_yaml(path.read_bytes(), path)))
        assert [error.message for error in validators[of_file(path)].iter_errors(content)] == [], path


@pytest.mark.parametrize(
    ("config", "text"),
    [
        (
            "dataset",
            "{output_path: a, output_filename: b.root, processes: {s: {files: x.root}}, tree_path: t, cluster: }",
        ),
        ("training", "{output_path: a, classes: [s, b], datasets_2016: [a, b], class_weights_2016: {s: 1, b: s}}"),
        ("training", "{output_path: a, classes: [s], tune: {model.dropout: [0.0, 0.5]}, tracking: csv}"),
        ("training", "{output_path: a, classes: [s], inputs: {x: y, z: [a, b], j: {objects: Jet_pt, length: 3}}}"),
        ("training", "{output_path: a, classes: [s], model: {latent: 3, loss: {type: huber, delta: 2}, hidden: [8]}}"),
        ("training", "{output_path: a, classes: [s], reweight: {formula: pt, to: flat, range: [0, 1]}}"),
        ("application", "{accept: 0.5, exclude_trained_by: example, before: {l1: {training: l1.yaml}}}"),
        ("conversion", "{features: [x, y: pt / 1000]}"),
    ],
)
def test_short_forms_are_valid(validators: dict[str, Any], config: str, text: str) -> None:
    assert list(validators[config].iter_errors(parse_yaml(text.encode(), "text"))) == []


@pytest.mark.parametrize(
    ("config", "text"),
    [
        ("dataset", "{output_path: a}"),
        ("testing", "{wieght_branch: w}"),
        ("testing", "{plot: {style: CSM}}"),
        ("training", "{output_path: a, classes: [s, b], model: {epochs: 0}}"),
        ("training", "{output_path: a, classes: [s, b], inputs: {j: {objects: Jet_pt, lenght: 3}}}"),
    ],
)
def test_mistakes_are_not(validators: dict[str, Any], config: str, text: str) -> None:
    assert not validators[config].is_valid(parse_yaml(text.encode(), "text"))


def test_the_line_for_editors_names_the_file() -> None:
    line = editor_line("training")
    assert line.startswith("# yaml-language-server: $schema=/")
    assert Path(line.strip().partition("=")[2]).is_file()
