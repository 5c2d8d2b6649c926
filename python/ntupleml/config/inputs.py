"""What a model takes and what it learns: groups of inputs, rows, targets."""

from __future__ import annotations

import math
import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Discriminator, Field, Tag, field_validator, model_validator

from ntupleml.config.schema import BranchName, Formula, Name, Names, Schema, TextKeys, distinct
from ntupleml.errors import did_you_mean

PREPROCESSING_METHODS = (
    "standard_scaler",
    "identity",
    "robust_scaler",
    "min_max_scaler",
    "quantile_transformer",
)


def _preprocessing_method(text: str) -> str:
    """As in htt-ml, the first method that the text contains."""
    for method in PREPROCESSING_METHODS:
        if method in text:
            return method
    raise ValueError(f"no preprocessing '{text}'{did_you_mean(text, PREPROCESSING_METHODS)}")


def _group_name(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z]\w*", name, re.ASCII):
        raise ValueError(f"'{name}' cannot name a group: a letter, then letters, digits and underscores")
    return name


#: One of `PREPROCESSING_METHODS`.
Preprocessing = Annotated[Name, AfterValidator(_preprocessing_method)]
#: A name of a group: that of an input of the ONNX file and of a layer of Keras.
GroupName = Annotated[Name, AfterValidator(_group_name)]


def _as_list(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


#: One name or several.
OneOrMore = Annotated[Names, BeforeValidator(_as_list)]


class NumbersConfig(Schema):
    """One value per row and formula."""

    #: Branches or formulas, in order.
    numbers: OneOrMore
    #: Scaler of this group; by default that of the config.
    preprocessing: Preprocessing | None = None

    @property
    def formulas(self) -> list[str]:
        """All formulas that are evaluated, in order."""
        return list(self.numbers)


class ObjectsConfig(Schema):
    """Objects of a collection: each formula has as many values per row as there are objects."""

    #: Features of an object: branches or formulas, in order.
    objects: OneOrMore
    #: Formula per object; objects that fail it are left out.
    selection: Formula | None = None
    #: Formula per object by which they are sorted, the largest first; by default they keep their order.
    sort: Name | None = None
    #: Sort the smallest first.
    ascending: bool = False
    #: Largest number of objects per row: more are cut away. By default as many as the longest row has.
    length: int | None = Field(default=None, ge=1, le=100_000)
    #: Scaler of this group, fitted to objects that are there; by default that of the config.
    preprocessing: Preprocessing | None = None

    @property
    def formulas(self) -> list[str]:
        """All formulas that are evaluated, in order."""
        return list(self.objects)


class ImageConfig(Schema):
    """An image: columns of fixed shape, or a grid that is filled from objects."""

    #: Columns of shape (η, φ) or (η, φ, channels), one after the other along the channels; where `eta` and `phi` are
    #: given, the weight of an object in each channel.
    image: OneOrMore
    #: Where the objects lie: one formula for all channels, or one for each.
    eta: OneOrMore | None = None
    phi: OneOrMore | None = None
    #: Of the grid in η and φ.
    bins: Annotated[list[Annotated[int, Field(ge=1, le=10_000)]], Field(min_length=2, max_length=2)] | None = None
    #: Objects outside are left out. φ is periodic over its range.
    eta_range: Annotated[list[float], Field(min_length=2, max_length=2)] | None = None
    phi_range: Annotated[list[float], Field(min_length=2, max_length=2)] = [-math.pi, math.pi]
    #: Scaler of this group, fitted to each channel over all pixels; by default that of the config.
    preprocessing: Preprocessing | None = None

    @model_validator(mode="after")
    def _filled_or_read(self) -> ImageConfig:
        given = {key for key in ("eta", "phi", "bins", "eta_range") if getattr(self, key) is not None}
        missing = sorted({"eta", "phi", "bins", "eta_range"} - given)
        if given and missing:
            raise ValueError(f"{missing[0]} is missing: an image that is filled needs eta, phi, bins and eta_range")
        if not given and self.phi_range != [-math.pi, math.pi]:
            raise ValueError("phi_range: the image is read from a column; eta and phi fill one from objects")
        for key in ("eta", "phi"):
            formulas = getattr(self, key)
            if formulas is not None and len(formulas) not in (1, len(self.image)):
                raise ValueError(
                    f"{key}: {len(formulas)} formulas for {len(self.image)} channels; give one, or one each"
                )
        for key in ("eta_range", "phi_range"):
            edges = getattr(self, key)
            if edges is not None and not edges[0] < edges[1]:
                raise ValueError(f"{key}: {edges[0]} is not below {edges[1]}")
        return self

    @property
    def formulas(self) -> list[str]:
        """All formulas that are evaluated, in order."""
        return list(dict.fromkeys([*self.image, *(self.eta or []), *(self.phi or [])]))


_KINDS = ("numbers", "objects", "image")


def _as_group(value: Any) -> Any:
    """A formula or a list of formulas in place of the block means numbers; a block is of one kind."""
    if isinstance(value, str | list):
        return {"numbers": value}
    if isinstance(value, dict) and len(found := [kind for kind in _KINDS if kind in value]) != 1:
        what = " and ".join(found) + " stand side by side" if found else "neither numbers, objects nor image is there"
        wrong = next(iter(value), "") if not found else ""
        raise ValueError(f"{what}; a group has one of them{did_you_mean(str(wrong), _KINDS) if wrong else ''}")
    return value


def _kind_of_group(value: Any) -> str:
    kind = next((kind for kind in _KINDS if (kind in value if isinstance(value, dict) else hasattr(value, kind))), "")
    return f"[{kind}]"


GroupConfig = NumbersConfig | ObjectsConfig | ImageConfig
#: The brackets keep the tags out of messages.
_ReadGroup = Annotated[
    Annotated[
        Annotated[NumbersConfig, Tag("[numbers]")]
        | Annotated[ObjectsConfig, Tag("[objects]")]
        | Annotated[ImageConfig, Tag("[image]")],
        Discriminator(_kind_of_group),
    ],
    BeforeValidator(_as_group),
]


def _distinct_arrays(groups: dict[str, GroupConfig]) -> dict[str, GroupConfig]:
    for name, group in groups.items():
        if isinstance(group, ObjectsConfig) and f"{name}_length" in groups:
            raise ValueError(f"'{name}_length' is what the number of objects of '{name}' is called; rename one of them")
    return groups


InputsConfig = Annotated[dict[GroupName, _ReadGroup], Field(min_length=1), AfterValidator(_distinct_arrays)]


class TargetConfig(Schema):
    """What is learnt, where it is not the classes."""

    #: Formulas of the values by their names, which the branches of the scores get; a list where the formulas can be
    #: names.
    values: Annotated[dict[BranchName, Formula], Field(min_length=1), TextKeys] | None = None
    #: Groups of inputs that the network gives back; ``all`` for all. The score is the mean squared error.
    reconstruction: OneOrMore | None = None

    @field_validator("values", mode="before")
    @classmethod
    def _named_by_themselves(cls, value: Any) -> Any:
        if isinstance(value, list) and all(isinstance(one, str) for one in value):
            distinct(value)
            return {one: one for one in value}
        return value

    @model_validator(mode="after")
    def _one(self) -> TargetConfig:
        if (self.values is None) == (self.reconstruction is None):
            raise ValueError("give either values or reconstruction; leave the block out to learn the classes")
        return self

    @property
    def kind(self) -> Literal["values", "reconstruction"]:
        """What is learnt."""
        return "values" if self.values is not None else "reconstruction"


class MembersConfig(Schema):
    """Which objects of another collection belong to a row."""

    #: Branch of the other collection that holds the position of its row; negative for none.
    index: Name | None = None
    #: Largest ΔR = √(Δη² + Δφ²) from the row; an object may belong to several.
    radius: float | None = Field(default=None, gt=0)

    @model_validator(mode="after")
    def _one(self) -> MembersConfig:
        if (self.index is None) == (self.radius is None):
            raise ValueError("give either index (a branch) or radius (the largest ΔR)")
        return self


class RowsConfig(Schema):
    """Rows that are objects of a collection, such as jets, in place of events."""

    #: The collection, by the beginning of its branches' names: `Jet` for `Jet_pt`.
    objects: BranchName
    #: Formula of the rows; objects that fail it are no rows.
    selection: Formula | None = None
    #: Objects of other collections that belong to a row, as lists: by the beginning of their branches' names.
    members: Annotated[dict[BranchName, MembersConfig], TextKeys] = {}
