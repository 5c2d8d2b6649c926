"""Short names of formulas, with labels and units, and the formulas in which they stand."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

from pydantic import AfterValidator, BeforeValidator, field_validator

from ntupleml.config.blocks import check_formulas
from ntupleml.config.schema import BranchName, Formula, Name, Schema, TextKeys
from ntupleml.errors import NtuplemlError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ntupleml.config.training import TrainingConfig

SchemaType = TypeVar("SchemaType", bound=Schema)
_NAME = re.compile(r"[A-Za-z_]\w*")
#: A number, or a name with its dots, as the grammar of formulas has them.
_WORD = re.compile(
    r"0[xX][0-9a-fA-F]+|(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?|(?P<name>[A-Za-z_]\w*(?:(?:\.|::)[A-Za-z_]\w*)*\$?)"
)


class DefinedConfig(Schema):
    """A formula, and how its values are shown. In place of the block, a formula."""

    #: What the name stands for; it may use names that stand above it.
    formula: Formula
    #: Text of axes and rankings; matplotlib's mathtext works. By default the name.
    label: Name | None = None
    #: Unit, written behind the label.
    unit: Name | None = None

    @field_validator("label", "unit")
    @classmethod
    def _can_be_drawn(cls, text: str | None) -> str | None:
        check_formulas(text or "")
        return text

    def shown(self, name: str) -> str:
        """Text of an axis."""
        return (self.label or name) + (f" [{self.unit}]" if self.unit else "")


def _as_block(value: Any) -> Any:
    is_formula = isinstance(value, str | int | float) and not isinstance(value, bool)
    return {"formula": value} if is_formula else value


def _names_of_formulas(defined: dict[str, DefinedConfig]) -> dict[str, DefinedConfig]:
    for name in defined:
        if not _NAME.fullmatch(name):
            raise ValueError(f"'{name}' cannot stand in a formula: a letter, then letters, digits and underscores can")
    return defined


#: Formulas by their names.
Defined = Annotated[
    dict[
        BranchName,
        Annotated[
            DefinedConfig,
            BeforeValidator(_as_block, json_schema_input_type=str | int | float | DefinedConfig),
        ],
    ],
    TextKeys,
    AfterValidator(_names_of_formulas),
]


def texts_of(defined: Mapping[str, DefinedConfig]) -> dict[str, str]:
    """Formulas as they are written, by their names."""
    return {name: one.formula for name, one in defined.items()}


def formulas_of(defined: Mapping[str, DefinedConfig]) -> dict[str, str]:
    """Formulas of branches alone, by their names.

    Raises
    ------
    ValueError
        For a formula with its own name, or one that is defined below it.
    """
    formulas: dict[str, str] = {}
    for name, one in defined.items():
        for other in _names_in(one.formula):
            if other == name:
                raise ValueError(f"define.{name}: '{one.formula}' has the name itself; give it another name")
            if other in defined and other not in formulas:
                raise ValueError(f"define.{name}: '{other}' is defined below it; put it above")
        formulas[name] = expanded(one.formula, formulas)
    return formulas


def _names_in(formula: str) -> list[str]:
    return [found["name"] for found in _WORD.finditer(formula) if found["name"] and not _is_called(formula, found)]


def _is_called(formula: str, found: re.Match[str]) -> bool:
    return formula[found.end() :].lstrip().startswith("(")


def expanded(formula: str, formulas: Mapping[str, str]) -> str:
    """A formula with others in place of their names.

    Raises
    ------
    ValueError
        Where an element of a name is asked for.

    Examples
    --------
    >>> expanded("met / ht + ht.x", {"ht": "Sum$(Jet_pt) + 1"})
    'met / (Sum$(Jet_pt) + 1) + ht.x'
    >>> expanded("ht", {"ht": "Sum$(Jet_pt)"})
    'Sum$(Jet_pt)'
    """
    if formula.strip() in formulas:
        return formulas[formula.strip()]

    def of(found: re.Match[str]) -> str:
        name = found["name"]
        if name not in formulas or _is_called(formula, found):
            return found[0]
        if formula[found.end() :].lstrip().startswith("["):
            raise ValueError(f"'{formula}': '{name}' is a formula, of which no element can be taken")
        around = formula[: found.start()].rstrip()[-1:], formula[found.end() :].lstrip()[:1]
        return formulas[name] if around == ("(", ")") else f"({formulas[name]})"

    return _WORD.sub(of, formula)


#: Keys whose texts are formulas, in blocks of groups of inputs; further keys of a collection are, too.
_IN_GROUPS = {"numbers", "objects", "selection", "sort", "image", "eta", "phi", "pt", "energy", "mass"}
_NO_FORMULAS = {"preprocessing", "slots", "length", "ascending"}


def _of_group(value: Any, formulas: Mapping[str, str]) -> Any:
    if not isinstance(value, dict):
        return everywhere(value, formulas)
    is_collection = {"pt", "phi"} <= value.keys()

    def of(key: str, item: Any) -> Any:
        if key in _IN_GROUPS or (is_collection and key not in _NO_FORMULAS):
            return everywhere(item, formulas)
        if isinstance(item, list):  # alternatives of a collection
            return [_of_group(one, formulas) if isinstance(one, dict) else one for one in item]
        return _of_group(item, formulas) if isinstance(item, dict) else item

    return {key: of(key, item) for key, item in value.items()}


def everywhere(value: Any, formulas: Mapping[str, str]) -> Any:
    """Expand all texts of a value, a list, or the values of a mapping."""
    if isinstance(value, str):
        return expanded(value, formulas)
    if isinstance(value, list):
        return [everywhere(one, formulas) for one in value]
    if isinstance(value, dict):
        return {key: everywhere(one, formulas) for key, one in value.items()}
    return value


def at_keys(content: Mapping[str, Any], keys: tuple[str, ...], formulas: Mapping[str, str]) -> dict[str, Any]:
    """A block with the formulas at some dotted keys expanded."""
    made = dict(content)
    for key in keys:
        first, _, rest = key.partition(".")
        value = made.get(first)
        if rest and isinstance(value, dict):
            made[first] = at_keys(value, (rest,), formulas)
        elif not rest and value is not None:
            made[first] = everywhere(value, formulas)
    return made


#: Keys of a training config that hold formulas, beside `inputs`.
_OF_TRAINING = (
    "variables",
    "target.values",
    "target.image",
    "selections",
    "reweight.formula",
    "decorrelation.of",
    "adversary.against",
)


#: Keys of the other configs that hold formulas and know the names of the training.
OF_TESTING = ("spectators", "slices.variable", "control.slices.variable", "abcd.other")
OF_APPLICATION = ("selection",)


def expanded_training(content: Mapping[str, Any], formulas: Mapping[str, str]) -> dict[str, Any]:
    """What stands in a training config, with formulas in place of their names.

    Raises
    ------
    ValueError
        Where an element of a name is asked for.
    """
    control = content.get("adversary")
    keys = list(_OF_TRAINING)
    if isinstance(control, dict) and isinstance(control.get("against"), dict):  # a control sample
        keys[-1] = "adversary.against.slices.variable"
    made = at_keys(content, tuple(keys), formulas)
    if isinstance(made.get("inputs"), dict):
        made["inputs"] = {name: _of_group(group, formulas) for name, group in made["inputs"].items()}
    return made


def completed_by(config: SchemaType, training: TrainingConfig, keys: tuple[str, ...]) -> SchemaType:
    """A config with the formulas of a training's names, and with its texts for variables.

    Parameters
    ----------
    config : TestingConfig or ApplicationConfig
    keys : tuple of str
        Dotted keys that hold formulas.

    Raises
    ------
    NtuplemlError
        Where an element of a name is asked for.
    """
    formulas, labels = formulas_of(training.define), training.plot.variable_labels
    content = config.model_dump(exclude_unset=True, by_alias=True)
    try:
        made = at_keys(content, keys, formulas)
    except ValueError as error:
        raise NtuplemlError(f"{config.where}: {error}") from error
    if labels and "plot" in type(config).model_fields:
        plot = made.get("plot") or {}
        made["plot"] = {**plot, "variable_labels": {**labels, **plot.get("variable_labels", {})}}
    if made == content:
        return config
    found = type(config).model_validate(made)
    vars(found)["where"] = config.where
    return found
