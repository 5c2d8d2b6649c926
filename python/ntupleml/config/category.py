"""Integers that are categories: an input of 0 or 1 for each of their values."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import AfterValidator, Field, TypeAdapter, ValidationError

from ntupleml.config.define import Defined, DefinedConfig, expanded, expanded_training, formulas_of
from ntupleml.config.schema import Name, TextKeys
from ntupleml.errors import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Mapping

_PLAIN = re.compile(r"[A-Za-z_][\w.]*(\[\w+\])?")


def _distinct(values: list[int]) -> list[int]:
    repeated = next((value for value in values if values.count(value) > 1), None)
    if repeated is not None:
        raise ValueError(f"{repeated} stands here twice")
    return values


#: Values that a formula of integers may have, by the formula.
Categories = Annotated[
    dict[Name, Annotated[list[int], Field(min_length=1), AfterValidator(_distinct)]],
    TextKeys,
]


def columns_of(formula: str, values: list[int]) -> list[str]:
    """Formulas of the inputs of a category, one per value.

    Examples
    --------
    >>> columns_of("nJet", [2, -1])
    ['nJet == 2', 'nJet == -1']
    >>> columns_of("n + m", [2])
    ['(n + m) == 2']
    """
    of = formula if _PLAIN.fullmatch(formula) else f"({formula})"
    return [f"{of} == {value}" for value in values]


def with_categories(content: Mapping[str, Any], categories: Mapping[str, list[int]]) -> dict[str, Any]:
    """What stands in a training config, with the inputs of each category in place of its formula.

    Raises
    ------
    ValueError
        For a category that is none of the inputs.
    """
    columns = {formula: columns_of(formula, values) for formula, values in categories.items()}
    seen: list[str] = []

    def of(numbers: Any) -> Any:
        texts = [numbers] if isinstance(numbers, str) else numbers
        if not isinstance(texts, list):
            return numbers
        seen.extend(one for one in texts if isinstance(one, str))
        return [made for one in texts for made in (columns.get(one, [one]) if isinstance(one, str) else [one])]

    made = dict(content)
    if isinstance(made.get("variables"), list):
        made["variables"] = of(made["variables"])
    if isinstance(made.get("inputs"), dict):
        made["inputs"] = {
            name: of(group)
            if isinstance(group, str | list)
            else {**group, "numbers": of(group["numbers"])}
            if isinstance(group, dict) and "numbers" in group
            else group
            for name, group in made["inputs"].items()
        }
    for formula, wanted in columns.items():
        if formula not in seen and not all(one in seen for one in wanted):
            hint = did_you_mean(formula, seen)
            raise ValueError(f"category: '{formula}' is none of the inputs that are numbers{hint}")
    return made


_CATEGORIES: TypeAdapter[dict[str, list[int]]] = TypeAdapter(Categories)
_DEFINED: TypeAdapter[dict[str, DefinedConfig]] = TypeAdapter(Defined)


def spelt_out(content: dict[Any, Any]) -> dict[Any, Any]:
    """What stands in a training config, with formulas in place of names and categories, and texts to show for them.

    Raises
    ------
    ValueError
        For names and categories that contradict the rest; blocks that are none stay as they are.
    """
    try:
        defined = _DEFINED.validate_python(content.get("define") or {})
        categories = _CATEGORIES.validate_python(content.get("category") or {})
    except ValidationError:  # said of the key itself
        return content
    formulas = formulas_of(defined)
    shown = {formula: defined[name].shown(name) for name, formula in formulas.items()}
    made = expanded_training(content, formulas) if defined else content
    if categories:
        categories = {expanded(name, formulas): values for name, values in categories.items()}
        made = {**with_categories(made, categories), "category": categories}
        for formula, values in categories.items():
            if formula in shown:
                columns = zip(values, columns_of(formula, values), strict=True)
                shown |= {column: f"{shown[formula]} = {value}" for value, column in columns}
    return _with_labels(made, shown)


def _with_labels(content: dict[Any, Any], labels: Mapping[str, str]) -> dict[Any, Any]:
    """Keys of a training config, with texts for variables in its block `plot`; those that stand there win."""
    plot = {} if content.get("plot") is None else content["plot"]
    if not labels or not isinstance(plot, dict):
        return content
    given = plot.get("variable_labels")
    return {**content, "plot": {**plot, "variable_labels": {**labels, **given} if isinstance(given, dict) else labels}}
