"""What all schemas share: strict types, no unknown keys, names without repetition."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field


class Schema(BaseModel):
    """A block of a config: unknown keys and wrong types are errors."""

    model_config = ConfigDict(extra="forbid", strict=True, populate_by_name=True, frozen=True, protected_namespaces=())


def _distinct(names: list[str]) -> list[str]:
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise ValueError("named twice: " + ", ".join(f"'{name}'" for name in repeated))
    return names


def _number_as_text(value: Any) -> Any:
    """Let `weight_string: 1.0` stand without quotation marks."""
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


def _text_keys(value: Any) -> Any:
    """Let `2016:` be a name: YAML reads it as a number."""
    return {_number_as_text(key): item for key, item in value.items()} if isinstance(value, dict) else value


Name = Annotated[str, Field(min_length=1)]
#: Names in an order that matters, each once.
Names = Annotated[list[Name], Field(min_length=1), AfterValidator(_distinct)]
#: A cut, weight or variable in ROOT's formula syntax; a plain number counts as its text.
Formula = Annotated[str, BeforeValidator(_number_as_text)]
#: Marks a mapping whose keys are names, also where they look like numbers.
TextKeys = BeforeValidator(_text_keys)
