"""Write the JSON schema of each config, by which editors complete and check YAML.

    python tools/config_schemas.py python/ntupleml/config/schemas

What a key means is the comment `#:` above it, or its entry among the attributes in the docstring of its block.
"""

from __future__ import annotations

import ast
import inspect
import json
import re
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import AliasChoices
from pydantic.json_schema import GenerateJsonSchema

from ntupleml.config import (
    ApplicationConfig,
    ConversionConfig,
    DatasetConfig,
    ImagesConfig,
    TestingConfig,
    TrainingConfig,
    TuneConfig,
)
from ntupleml.config.analysis import BLOCKS
from ntupleml.config.schema import Schema
from ntupleml.config.slot_steps import ThresholdsStep

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

#: By the name of the file.
CONFIGS: dict[str, type[Schema]] = {
    "dataset": DatasetConfig,
    "training": TrainingConfig,
    "testing": TestingConfig,
    "application": ApplicationConfig,
    "conversion": ConversionConfig,
    "images": ImagesConfig,
}
_ATTRIBUTE = re.compile(r"(\w[\w, ]*?)(?: : .*)?$")


def meanings(config: type[Schema]) -> dict[str, str]:
    """What each key of a block means, by the name of its field."""
    found: dict[str, str] = {}
    for block in reversed(config.__mro__):
        if not issubclass(block, Schema) or block is Schema:
            continue
        source = textwrap.dedent(inspect.getsource(block))
        lines = source.splitlines()
        (tree,) = ast.parse(source).body
        found |= _attributes(inspect.getdoc(block) or "")
        for node in tree.body:
            if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                comment: list[str] = []
                while (line := lines[node.lineno - 2 - len(comment)].strip()).startswith("#:"):
                    comment.insert(0, line.removeprefix("#:").strip())
                if comment:
                    found[node.target.id] = " ".join(comment)
    return {name: text.replace("``", "`") for name, text in found.items()}


def _attributes(docstring: str) -> dict[str, str]:
    """Section `Attributes` of a docstring in NumPy's style."""
    _, _, section = docstring.partition("Attributes\n----------\n")
    found: dict[str, str] = {}
    names: list[str] = []
    for line in section.splitlines():
        if line.startswith(" "):
            for name in names:
                found[name] = f"{found.get(name, '')} {line.strip()}".strip()
        elif match := _ATTRIBUTE.match(line):
            names = [name.strip() for name in match[1].split(",")]
    return found


class _Generator(GenerateJsonSchema):
    """The schema of pydantic with the meaning of each key; a block may be empty, and keys may have second names."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        """Not: a title would be the key again."""
        del schema
        return False

    def tagged_union_schema(self, schema: Any) -> dict[str, Any]:
        """Say which blocks there can be; what decides is a function."""
        made = super().tagged_union_schema(schema)
        made.pop("discriminator", None)
        return {"anyOf": made.pop("oneOf"), **made} if "oneOf" in made else made

    def model_schema(self, schema: Any) -> dict[str, Any]:
        """Describe a block."""
        made = super().model_schema(schema)
        config: type[Schema] = schema["cls"]
        made["type"] = ["object", "null"]
        made["description"] = " ".join((inspect.getdoc(config) or "").split("\n\n")[0].split()).replace("``", "`")
        known = meanings(config)
        for name, field in config.model_fields.items():
            first, *others = _names(name, field)
            key = made["properties"][first]
            if name in known:
                key["description"] = known[name]
            if field.default is None or isinstance(field.default, Schema):
                key.pop("default", None)
            for other in others:
                made["properties"][other] = {**key, "description": f"The same as `{first}`."}
        _allow_short_forms(made, config)
        return made


def _names(name: str, field: FieldInfo) -> list[str]:
    """Key of a field, and other keys that mean the same."""
    if isinstance(field.validation_alias, AliasChoices):
        return [str(choice) for choice in field.validation_alias.choices]
    alias = str(field.validation_alias or name)
    return [alias] if alias == name or name.endswith("_") or field.alias is None else [alias, name]


def _allow_short_forms(made: dict[str, Any], config: type[Schema]) -> None:
    """Allow what a block rewrites as a whole before it is checked."""
    if config is TrainingConfig:
        made["required"].remove("classes")  # they may follow from `dataset`
        made["patternProperties"] = {
            r"^datasets_\w+$": {**made["properties"]["datasets"], "description": "htt-ml's key of a condition."},
            r"^class_weights_\w+$": {
                **made["properties"]["class_weights"],
                "description": "htt-ml's key of a condition.",
            },
        }
    elif config is TuneConfig:
        made["additionalProperties"] = made["properties"]["space"]["additionalProperties"]
        made["required"].remove("space")
    elif config is ThresholdsStep:
        made["additionalProperties"] = {"type": "number"}
        made["required"].remove("pt")
    elif config is ConversionConfig:
        made["properties"]["features"] = {
            **made["properties"]["variables"],
            "description": "The same as `variables`.",
        }
        made["required"].remove("variables")
    if not made.get("required", True):
        del made["required"]


def schema_of(config: type[Schema]) -> dict[str, Any]:
    """JSON schema of a config."""
    made = config.model_json_schema(by_alias=True, mode="validation", schema_generator=_Generator)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **made}


def text_of(config: type[Schema]) -> str:
    """The same as the text of a file."""
    return json.dumps(schema_of(config), indent=1, ensure_ascii=False) + "\n"


def analysis_text() -> str:
    """Schema of a file with a block for each stage, as the text of a file beside the others."""
    blocks = {name: {"$ref": f"{name}.json", "description": meaning} for name, meaning in BLOCKS.items()}
    made = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "description": "The configs of all stages in one file.",
        "type": "object",
        "properties": blocks,
        "additionalProperties": False,
    }
    return json.dumps(made, indent=1) + "\n"


def main() -> None:
    """Write the files."""
    folder = Path(sys.argv[1])
    folder.mkdir(exist_ok=True)
    for name, config in CONFIGS.items():
        (folder / f"{name}.json").write_text(text_of(config), encoding="utf-8")
    (folder / "analysis.json").write_text(analysis_text(), encoding="utf-8")


if __name__ == "__main__":
    main()
