"""What a model takes and what it learns: groups of inputs, rows, targets."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping  # noqa: TC003  # pydantic evaluates it
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Discriminator, Field, Tag, field_validator, model_validator

from ntupleml.config.four_vectors import CollectionsConfig, CombinationsConfig, check_combinations
from ntupleml.config.schema import (
    BranchName,
    Formula,
    Name,
    Names,
    OrText,
    Preprocessing,
    Schema,
    TextKeys,
    as_list,
    distinct,
)
from ntupleml.config.slots import SlotsGroupConfig
from ntupleml.errors import did_you_mean
from ntupleml.targets import COMPONENTS, TargetKind


def _group_name(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z]\w*", name, re.ASCII):
        raise ValueError(f"'{name}' cannot name a group: a letter, then letters, digits and underscores")
    return name


#: A name of a group: that of an input of the ONNX file and of a layer of Keras.
GroupName = Annotated[Name, AfterValidator(_group_name)]


#: One name or several.
OneOrMore = Annotated[Names, OrText]


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


class MatrixConfig(NumbersConfig):
    """Columns of the matrix for trees: numbers first, then combinations of objects."""

    #: Groups of objects, and of what is made of them.
    made: dict[str, CollectionsConfig | CombinationsConfig]

    @property
    def formulas(self) -> list[str]:
        """Names of the columns: of what is made `{group}.{combination}`."""
        combined = {name: one for name, one in self.made.items() if isinstance(one, CombinationsConfig)}
        return [*self.numbers, *(f"{name}.{what}" for name, one in combined.items() for what in one.combinations)]


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
    #: Formula of the η of the objects that fill the image: one for all channels, or one for each.
    eta: OneOrMore | None = None
    #: Formula of their φ: one for all channels, or one for each.
    phi: OneOrMore | None = None
    #: Numbers of bins in η and φ.
    bins: Annotated[list[Annotated[int, Field(ge=1, le=10_000)]], Field(min_length=2, max_length=2)] | None = None
    #: Range in η; objects outside are left out.
    eta_range: Annotated[list[float], Field(min_length=2, max_length=2)] | None = None
    #: Range in φ, over which the image is periodic.
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


#: Of a group: the key that says it, and what it is made by.
_KINDS: dict[str, type[Schema]] = {
    "numbers": NumbersConfig,
    "objects": ObjectsConfig,
    "collections": CollectionsConfig,
    "combinations": CombinationsConfig,
    "slots": SlotsGroupConfig,
    "image": ImageConfig,
}


def _kinds_in(value: Any) -> list[str]:
    """Keys of a block that say its kind; combinations may be of chosen collections."""
    if not isinstance(value, dict):
        return [kind for kind, config in _KINDS.items() if isinstance(value, config)]
    found = [kind for kind in _KINDS if kind in value]
    return [kind for kind in found if kind != "collections"] if "combinations" in found else found


def _as_group(value: Any) -> Any:
    """A formula or a list of formulas in place of the block means numbers; a block is of one kind."""
    if isinstance(value, str | list):
        return {"numbers": value}
    if isinstance(value, dict) and len(found := _kinds_in(value)) != 1:
        what = " and ".join(found) + " stand side by side" if found else f"none of {', '.join(_KINDS)} is there"
        wrong = next(iter(value), "") if not found else ""
        raise ValueError(f"{what}; a group has one of them{did_you_mean(str(wrong), _KINDS) if wrong else ''}")
    return value


def _kind_of_group(value: Any) -> str:
    return f"[{next(iter(_kinds_in(value)), '')}]"


GroupConfig = NumbersConfig | ObjectsConfig | CollectionsConfig | CombinationsConfig | SlotsGroupConfig | ImageConfig
#: The brackets keep the tags out of messages.
_ReadGroup = Annotated[
    Annotated[
        Annotated[NumbersConfig, Tag("[numbers]")]
        | Annotated[ObjectsConfig, Tag("[objects]")]
        | Annotated[CollectionsConfig, Tag("[collections]")]
        | Annotated[CombinationsConfig, Tag("[combinations]")]
        | Annotated[SlotsGroupConfig, Tag("[slots]")]
        | Annotated[ImageConfig, Tag("[image]")],
        Discriminator(_kind_of_group),
    ],
    BeforeValidator(_as_group, json_schema_input_type=str | list[str] | GroupConfig),
]


def _consistent_groups(groups: dict[str, GroupConfig]) -> dict[str, GroupConfig]:
    for name, group in groups.items():
        for ending in ("length", "vectors") if isinstance(group, ObjectsConfig | CollectionsConfig) else ():
            if f"{name}_{ending}" in groups:
                what = "the number of objects" if ending == "length" else "the four-vectors"
                raise ValueError(f"'{name}_{ending}' is what {what} of '{name}' is called; rename one of them")
    check_combinations(groups)
    return groups


InputsConfig = Annotated[dict[GroupName, _ReadGroup], Field(min_length=1), AfterValidator(_consistent_groups)]


def matrix_of(groups: Mapping[str, GroupConfig]) -> MatrixConfig:
    """All numbers of some groups, given or made of objects, as one group."""
    numbers = [name for group in groups.values() if isinstance(group, NumbersConfig) for name in group.numbers]
    combined = {name: group for name, group in groups.items() if isinstance(group, CombinationsConfig)}
    needed = {group.of for group in combined.values()}
    made: dict[str, Any] = {name: group for name, group in groups.items() if name in needed or name in combined}
    return MatrixConfig.model_construct(numbers=list(dict.fromkeys(numbers)), preprocessing=None, made=made)


#: What a network that gives its inputs back tells of an event.
ReconstructionScore = Literal["reconstruction_error", "latent_norm", "kl"]
#: Of a variational layer: log variance above which it counts as if it were there, so that a rare event that is far from
#: all others does not decide on the whole training.
LARGEST_LOG_VARIANCE = 10.0


def _as_image(value: Any) -> Any:
    """A column in place of the block."""
    return {"image": value} if isinstance(value, str) else value


class TargetConfig(Schema):
    """What is learnt, where it is not the classes."""

    #: Formulas of the values by their names, which the branches of the scores get; a list where the formulas can be
    #: names.
    values: Annotated[dict[BranchName, Formula], Field(min_length=1), TextKeys] | None = None
    #: Groups of inputs that the network gives back; ``all`` for all.
    reconstruction: OneOrMore | None = None
    #: Scores of a reconstruction: `reconstruction_error` (by default), and of a latent layer `latent_norm` (the mean
    #: of the squares of its numbers) and `kl`.
    scores: Annotated[
        list[ReconstructionScore],
        Field(min_length=1),
        BeforeValidator(as_list, json_schema_input_type=ReconstructionScore | list[ReconstructionScore]),
        AfterValidator(distinct),
    ] = ["reconstruction_error"]
    #: Image of one channel, in (η, φ): a column, or a block as of inputs. The scores are its missing transverse energy.
    #: Values may stand beside it.
    image: Annotated[ImageConfig, BeforeValidator(_as_image, json_schema_input_type=str | ImageConfig)] | None = None

    @field_validator("values", mode="before", json_schema_input_type=list[str] | dict[str, str | int | float] | None)
    @classmethod
    def _named_by_themselves(cls, value: Any) -> Any:
        if isinstance(value, list) and all(isinstance(one, str) for one in value):
            distinct(value)
            return {one: one for one in value}
        return value

    @model_validator(mode="after")
    def _one(self) -> TargetConfig:
        if (self.values is None and self.image is None) == (self.reconstruction is None):
            raise ValueError("give one of values, image and reconstruction; leave the block out to learn the classes")
        if self.reconstruction is None and "scores" in self.model_fields_set:
            raise ValueError(f"scores: are of a reconstruction; those of {self.kind} are known; leave them out")
        if self.image is None:
            return self
        if len(self.image.image) > 1:
            raise ValueError(f"image: {len(self.image.image)} columns; an image that is learnt has one")
        if self.image.preprocessing is not None:
            raise ValueError("image.preprocessing: an image that is learnt is not scaled; leave it out")
        for name in self.values or ():
            if name in COMPONENTS:
                raise ValueError(f"values.{name}: is what a score of the image is called; choose another name")
        return self

    @property
    def kind(self) -> TargetKind:
        """What is learnt."""
        if self.image is not None:
            return "image"
        return "values" if self.values is not None else "reconstruction"
