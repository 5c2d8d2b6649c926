"""The conversion config: which columns a table with fixed slots gets."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AllowInfNan, Field, model_validator

from ntupleml.config.blocks import ClusterConfig
from ntupleml.config.inputs import OneOrMore  # noqa: TC001  # pydantic evaluates it
from ntupleml.config.loading import load_config, read_yaml
from ntupleml.config.rows import MatchConfig, RowsConfig  # noqa: TC001  # pydantic evaluates it
from ntupleml.config.schema import (
    LARGEST_FLOAT32,
    BranchName,
    Formula,
    NamedFormulas,
    Schema,
    TextKeys,
    TreePath,
    named_formulas,
)
from ntupleml.errors import NtuplemlError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


class SlotsConfig(Schema):
    """How the objects of a collection are laid out in numbered columns."""

    #: Slots per variable: more objects are cut away. By default as many as the event with most has, in all files.
    length: int | None = Field(default=None, ge=1, le=10_000)
    #: Formula per object; objects that fail it are left out.
    selection: Formula | None = None
    #: Formulas per object by which they are sorted before the cut, the largest first; a further one decides between
    #: equal ones. By default they keep their order.
    sort: OneOrMore | None = None
    #: Sort the smallest first.
    ascending: bool = False
    #: Number of the first slot.
    first: int = Field(default=1, ge=0)
    #: What stands in slots without an object, by the names of the variables; 0 where none is given.
    padding: Annotated[dict[BranchName, Annotated[float, AllowInfNan(True)]], TextKeys] = {}


class ConversionConfig(Schema):
    """Schema of the conversion config."""

    #: Tree in the input files, with its folders. By default their only one, or `nominal_Loose`.
    tree_path: TreePath | None = None
    #: Branches, and formulas with their names; also called `features`.
    variables: Annotated[dict[BranchName, Formula], Field(min_length=1), TextKeys, NamedFormulas]
    #: Formula; events that fail it are left out.
    selection: Formula | None = None
    #: By the beginning of the variables' names: `jet` for `jet_pt`. Lists of no collection are numbered from 0 and get
    #: as many slots as the longest of them has, in all files.
    collections: Annotated[dict[BranchName, SlotsConfig], TextKeys] = {"jet": SlotsConfig(length=12)}
    #: Rows that are objects of a collection, not events.
    rows: RowsConfig | None = None
    #: Where rows are objects: keep those that have an object of another collection near.
    match: MatchConfig | None = None
    #: More branches, by formulas of the rows or numbers, for the formulas here; `--define` adds to them.
    define: Annotated[dict[BranchName, Formula], TextKeys] = {}
    #: Type of the slots.
    dtype: Literal["float32", "float64"] = "float32"
    #: Events that are read of each file, from its beginning; by default all.
    num_events: int | None = Field(default=None, ge=1)
    #: What the jobs of a batch system ask for, with `--htcondor`.
    cluster: ClusterConfig = ClusterConfig()

    @model_validator(mode="after")
    def _rows_are_matched(self) -> ConversionConfig:
        if self.match is not None and self.rows is None:
            raise ValueError("match: rows are events; say with rows which objects they are")
        return self

    @model_validator(mode="after")
    def _padding_fits(self) -> ConversionConfig:
        for collection, slots in self.collections.items():
            for name, value in slots.padding.items():
                if self.dtype == "float32" and LARGEST_FLOAT32 < abs(value) < math.inf:
                    raise ValueError(
                        f"collections.{collection}.padding.{name}: {value} does not fit into float32; give a smaller "
                        "number, .inf, or dtype: float64"
                    )
        return self

    @model_validator(mode="before")
    @classmethod
    def _features_are_variables(cls, value: Any) -> Any:
        if not isinstance(value, dict) or "features" not in value:
            return value
        if "variables" in value:
            raise ValueError("'features' and 'variables' mean the same; leave one of them out")
        return {"variables" if key == "features" else key: item for key, item in value.items()}


def load_conversion(paths: Sequence[str | Path], defined: Sequence[str] = ()) -> ConversionConfig:
    """One config of several files: a key of a later one replaces that of those before it, or completes its block.

    Parameters
    ----------
    defined : sequence of str
        For the block `define`, as `name=formula`.

    Raises
    ------
    NtuplemlError
        If the whole is no conversion config, or a definition has no name.
    """
    whole: dict[Any, Any] = {}
    for path in paths:
        content = read_yaml(path)
        if not isinstance(content, dict | None):
            return load_config(path, ConversionConfig)  # which says what is wrong
        whole = _completed(whole, _with_named_variables(content or {}, path))
    if defined:
        whole = _completed(whole, {"define": dict(map(_definition, defined))})
    return load_config(whole, ConversionConfig, " + ".join(map(str, paths)))


def _with_named_variables(content: dict[Any, Any], path: str | Path) -> dict[Any, Any]:
    if "features" in content and "variables" not in content:
        content = {"variables" if key == "features" else key: value for key, value in content.items()}
    try:
        return {key: named_formulas(value) if key == "variables" else value for key, value in content.items()}
    except ValueError as error:
        raise NtuplemlError(f"{path}: variables: {error}") from None


def _completed(block: dict[Any, Any], later: dict[Any, Any]) -> dict[Any, Any]:
    """A block with what a later one says; blocks in both are completed in the same way."""
    both = {key: value for key, value in later.items() if isinstance(value, dict) and isinstance(block.get(key), dict)}
    return {**block, **later, **{key: _completed(block[key], value) for key, value in both.items()}}


def _definition(text: str) -> tuple[str, str]:
    name, sign, formula = text.partition("=")
    if not (name and sign):
        raise NtuplemlError(f"--define: '{text}' is not NAME=FORMULA, e.g. llp_mH=600")
    return name, formula
