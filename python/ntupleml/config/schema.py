"""What all schemas share: strict types, no unknown keys, names without repetition."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from functools import cached_property
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from ntupleml.errors import did_you_mean, one_line

#: Line breaks, other control characters, and halves of characters, which no path or name has.
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
#: What ROOT's leaf lists and paths of branches use themselves.
_NOT_IN_BRANCHES = re.compile(r"[\s/:;.,\[\]{}()\"'\\]")
_METHOD_NAME = re.compile(r"([A-Za-z0-9_+-]|\{fold\})+")
#: What 32-bit floats hold, in which networks compute.
LARGEST_FLOAT32 = 3.4028234663852886e38
#: Scalers of inputs.
PREPROCESSING_METHODS = (
    "standard_scaler",
    "identity",
    "robust_scaler",
    "min_max_scaler",
    "quantile_transformer",
)
#: Branches beside those of the classes.
_OTHER_SCORES = ("max_score", "max_index")


class Schema(BaseModel):
    """A block of a config: unknown keys and wrong types are errors."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        allow_inf_nan=False,
        populate_by_name=True,
        frozen=True,
        protected_namespaces=(),
    )

    @cached_property
    def where(self) -> str:
        """What messages call it: the path of the file that it was read from, if there is one."""
        return f"{type(self).__name__.removesuffix('Config').lower()} config"

    @model_validator(mode="before")
    @classmethod
    def _nothing_is_no_key(cls, value: Any) -> Any:
        """A file or a block that is empty, or holds comments only, is one without keys."""
        return {} if value is None else value


def since(version: str) -> dict[str, Any]:
    """What a key of a later release than the first has as `json_schema_extra`, for the schemas and the reference.

    Examples
    --------
    >>> Field(default=1, json_schema_extra=since("0.2.0")).json_schema_extra
    {'since': '0.2.0'}
    """
    return {"since": version}


def distinct(names: list[str]) -> list[str]:
    """Names of which none comes twice."""
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise ValueError("named twice: " + ", ".join(f"'{name}'" for name in repeated))
    return names


def named_formulas(value: Any) -> Any:
    """A list of names, and of blocks `name: formula`, as one mapping."""
    if not isinstance(value, list):
        return value
    named: dict[Any, Any] = {}
    pairs = [pair for one in value for pair in (one.items() if isinstance(one, dict) else [(one, one)])]
    distinct([str(name) for name, _ in pairs])
    for name, formula in pairs:
        named[name] = formula
    return named


def _printable(text: str) -> str:
    if _UNPRINTABLE.search(text):
        raise ValueError(f"'{one_line(text)}' holds a line break or another unprintable character")
    return text


def _branch_name(name: str) -> str:
    if _NOT_IN_BRANCHES.search(name):
        raise ValueError(
            f"'{name}' cannot be part of a branch's name: spaces, slashes, dots, commas, colons, quotes and brackets "
            "are not for names"
        )
    return name


def number_or_class(value: Any) -> str:
    """Which of both a value is meant to be, as a tag in a union."""
    return "[class]" if isinstance(value, str) else "[number]"


def class_name(name: str) -> str:
    """A class names a tree of the fold files and the branch of its scores."""
    if name in _OTHER_SCORES:
        raise ValueError(f"'{name}' cannot be a class: a branch of the scores is called so already")
    return _branch_name(name)


def _method_name(name: str) -> str:
    """A method names files; `{fold}` stands for the fold."""
    if not _METHOD_NAME.fullmatch(name):
        raise ValueError(f"'{name}' cannot be part of a file's name: letters, digits, '_', '-', '+' and {{fold}} are")
    return name


def _distinct_paths(paths: list[str]) -> list[str]:
    """Paths of which none comes twice, in whatever spelling."""
    plain = [os.path.normpath(path) for path in paths]
    distinct(plain)
    return paths


def as_list(value: Any) -> Any:
    """Let a text stand for a list of one."""
    return [value] if isinstance(value, str) else value


def _number_as_text(value: Any) -> Any:
    """Let `weight_string: 1.0` stand without quotation marks."""
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


def _text_keys(value: Any) -> Any:
    """Let `2016:` be a name: YAML reads it as a number."""
    return {_number_as_text(key): item for key, item in value.items()} if isinstance(value, dict) else value


def _preprocessing_method(text: str) -> str:
    """As in htt-ml, the first method that the text contains."""
    for method in PREPROCESSING_METHODS:
        if method in text:
            return method
    raise ValueError(f"no preprocessing '{text}'{did_you_mean(text, PREPROCESSING_METHODS)}")


def _name_or_block(value: Any) -> Any:
    if isinstance(value, str) or (isinstance(value, dict) and all(isinstance(key, str) for key in value)):
        return value
    raise ValueError(f"found {value!r}, but a name is needed, or a block with its `type` and settings")


def path_or_config(value: Any) -> Any:
    """A path, with the home folder for `~`, or what would stand in the file."""
    if isinstance(value, str):
        return os.path.expanduser(value)  # noqa: PTH111 - a text, as that of other paths
    if value is None or isinstance(value, Mapping | Schema):  # what would stand in the file, from Python
        return value
    raise ValueError(f"found {value!r}, but the path of a config is needed")


Name = Annotated[str, Field(min_length=1), AfterValidator(_printable)]
#: A tree with its folders, or a group of an HDF5 file; empty for its root, and for Parquet files.
TreePath = Annotated[str, AfterValidator(_printable)]
#: A way to train, part of the names of its files.
MethodName = Annotated[Name, AfterValidator(_method_name)]
#: Names in an order that matters, each once.
Names = Annotated[list[Name], Field(min_length=1), AfterValidator(distinct)]
#: A file or folder; `~` is the home folder, as in a shell.
FilePath = Annotated[Name, AfterValidator(os.path.expanduser)]
#: A folder, which may be empty text for the current one.
FolderPath = Annotated[str, AfterValidator(_printable), AfterValidator(os.path.expanduser)]
#: Marks a list of texts for which a single text may stand.
OrText = BeforeValidator(as_list, json_schema_input_type=str | list[str])
#: A path or several.
FilePaths = Annotated[list[FilePath], Field(min_length=1), AfterValidator(_distinct_paths), OrText]
#: The same; none by default.
OneOrMoreFiles = Annotated[list[FilePath], AfterValidator(_distinct_paths), OrText]
#: A config: its path or, from Python, what would stand in it.
ConfigOrPath = Annotated[Any, BeforeValidator(path_or_config, json_schema_input_type=str | dict[str, Any] | None)]
#: A branch that is written.
BranchName = Annotated[Name, AfterValidator(_branch_name)]
ClassName = Annotated[Name, AfterValidator(class_name)]
ClassNames = Annotated[list[ClassName], Field(min_length=1), AfterValidator(distinct)]
#: One of `PREPROCESSING_METHODS`.
Preprocessing = Annotated[Name, AfterValidator(_preprocessing_method)]
#: A cut, weight or variable in ROOT's formula syntax; a plain number counts as its text.
Formula = Annotated[str, BeforeValidator(_number_as_text, json_schema_input_type=str | int | float)]
#: A name, or a block with a `type` and settings.
NameOrBlock = Annotated[str | dict[str, Any], BeforeValidator(_name_or_block)]
#: Marks a mapping whose keys are names, also where they look like numbers.
TextKeys = BeforeValidator(_text_keys)
#: Marks a mapping of formulas by names, in place of which a list of names, and of blocks `name: formula`, may stand.
NamedFormulas = BeforeValidator(
    named_formulas,
    json_schema_input_type=list[str | dict[str, str | int | float]] | dict[str, str | int | float],
)
