"""The documentation site: every page is in the navigation, and the generated references are complete."""

from __future__ import annotations

import json
import re
import runpy
from pathlib import Path
from typing import Any

import pytest
from pydantic import Field

from ntupleml.config.schema import Schema, since
from ntupleml.config.schemas import schema_file
from ntupleml.verbs import verbs

TOP = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def tool() -> dict[str, Any]:
    return runpy.run_path(str(TOP / "tools" / "docs_site.py"))


@pytest.fixture(scope="module")
def keys(tool: dict[str, Any]) -> dict[str, str]:
    return tool["key_pages"]()


def test_every_page_stands_in_the_navigation_once(tool: dict[str, Any]) -> None:
    named = [name for names in tool["NAVIGATION"].values() for name in names]
    assert sorted(named) == sorted(path.stem for path in (TOP / "docs").glob("*.md"))


def test_every_key_has_its_type_and_meaning(keys: dict[str, str]) -> None:
    for config, page in keys.items():
        schema = json.loads(schema_file(config).read_text())
        for block in (schema, *schema["$defs"].values()):
            for key, value in block.get("properties", {}).items():
                entry = rf"^### `{re.escape(key)}`\n\n\*.+\*.*\n\n{re.escape(value['description'])}$"
                assert re.search(entry, page, re.MULTILINE), (config, key)


def test_keys_have_examples_of_the_example_configs(keys: dict[str, str]) -> None:
    assert "### `num_folds`\n\n*whole number at least 2 and at most 1,000*, default `2`\n" in keys["dataset"]
    assert "```yaml\noutput_filename: htautau.root\n```" in keys["dataset"]
    assert keys["training"].count("```yaml") > 190


def test_since_when_keys_are_there(tool: dict[str, Any], keys: dict[str, str]) -> None:
    """A key of a later release stands in the schema with it, and in a table of the reference."""

    class Inner(Schema):
        #: What came later.
        later: int = Field(default=1, json_schema_extra=since("0.3.0"))
        #: What was always there.
        first: int = 2

    class Outer(Schema):
        #: A block that came later.
        block: Inner = Field(default=Inner(), json_schema_extra=since("0.2.0"))

    schema = Outer.model_json_schema()
    blocks = [("", schema), ("block", schema["$defs"]["Inner"])]
    table = tool["_history"](blocks)
    assert table.endswith("| key | since |\n|---|---|\n| `block` | 0.2.0 |\n| `block.later` | 0.3.0 |")
    for value in schema["$defs"]["Inner"]["properties"].values():
        value["description"] = "What it is."
    described = {"description": "A block.", **schema["$defs"]["Inner"]}
    page = tool["_block"]("training", "Inner", "## Inner", described, schema, {})
    assert "*whole number*, default `1`, since 0.3.0\n" in page
    assert "*whole number*, default `2`\n" in page
    assert all("All keys are there since version 0.1.0." in text for text in keys.values())


def test_every_verb_has_its_help(tool: dict[str, Any]) -> None:
    text = "\n".join(tool["command_pages"]().values())
    for verb in verbs():
        assert f"\n## `{verb}`\n" in text
        assert re.search(rf"^usage: ntupleml {verb}\b", text, re.MULTILINE)
    assert "Also `testing/roc_curves.py` in a clone." in text


def test_links_lead_to_pages_of_the_site(tool: dict[str, Any]) -> None:
    text = "[a](../configs/tth/README.md) [b](../configs/anomaly) [c](keys.md)"
    assert tool["with_links"](text, "../") == "[a](configs/tth.md) [b](configs/anomaly.md) [c](keys.md)"
    assert tool["with_links"]("[a](docs/keys.md) [b](configs/tth)", "") == "[a](keys.md) [b](configs/tth.md)"


def test_the_interface_is_what_the_package_offers(tool: dict[str, Any]) -> None:
    import ntupleml

    named = {name.rsplit(".", 1)[1] for names in tool["INTERFACE"].values() for name in names}
    assert set(ntupleml.__all__) - {"__version__"} <= named
