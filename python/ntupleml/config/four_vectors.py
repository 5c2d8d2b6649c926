"""Groups of objects with four-vectors: collections that are joined, and numbers made from them."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, ConfigDict, Discriminator, Field, Tag, model_validator

from ntupleml.config.schema import Formula, Name, Names, Preprocessing, Schema, TextKeys
from ntupleml.errors import did_you_mean, nearest
from ntupleml.features.combinations import COMBINATIONS
from ntupleml.features.event_numbers import CombinationMaker
from ntupleml.features.making import FeatureMaker
from ntupleml.features.vectors import FEATURES, PREFIXES

#: Features where a config names none, before the columns of the user.
DEFAULT_FEATURES = ("px", "py", "pz", "energy")
#: Raw column with the position of the collection, where there are several.
TYPE = "type"
_SLOT = "{i}"


class CollectionConfig(Schema):
    """Objects of one kind: formulas per object, per event (one object), or per slot of a flat table.

    Every other key is a column of the user's: a name and its formula.
    """

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, Formula] = Field(init=False)

    #: Formula of the transverse momentum, per object.
    pt: Formula
    #: Formula of the pseudorapidity η; left out, it is 0.
    eta: Formula | None = None
    #: Formula of the azimuthal angle φ.
    phi: Formula
    #: Formula of the energy. All collections of a group give the energy, or all the mass.
    energy: Formula | None = None
    #: Formula of the mass, in place of `energy`; without both it is 0.
    mass: Formula | None = None
    #: Formula per object; objects that fail it are left out.
    selection: Formula | None = None
    #: Formula per object by which they are sorted, the largest first; by default they keep their order.
    sort: Formula | None = None
    #: Sort the smallest first.
    ascending: bool = False
    #: Largest number of objects per event: more are cut away.
    length: int | None = Field(default=None, ge=1, le=100_000)
    #: First and last number that `{i}` in the formulas stands for, where each object has columns of its own.
    slots: Annotated[list[Annotated[int, Field(ge=0, le=100_000)]], Field(min_length=2, max_length=2)] | None = None

    @property
    def extras(self) -> dict[str, str]:
        """Columns of the user's, and their formulas."""
        return dict(self.model_extra or {})

    @property
    def formulas(self) -> list[str]:
        """All formulas that are evaluated, in order."""
        given = (self.pt, self.eta, self.phi, self.energy, self.mass, *self.extras.values(), self.selection, self.sort)
        return list(dict.fromkeys(text for one in given if one is not None for text in slot_formulas(one, self.slots)))

    @model_validator(mode="after")
    def _consistent(self) -> CollectionConfig:
        known = [*type(self).model_fields]
        for name in self.extras:
            if not name.isidentifier():
                raise ValueError(f"'{name}' cannot name a column: a letter, then letters, digits and underscores")
            near = [one for one in nearest(name, known) if len(one) > 3 and _alike(name, one)]
            if near:
                raise ValueError(f"'{name}' is no key; nearest: '{near[0]}'. A column of your own needs another name")
            if name in FEATURES or name == TYPE or name.startswith(("is_", *PREFIXES)):
                raise ValueError(f"'{name}' is a feature that is computed; give the column another name")
        if self.energy is not None and self.mass is not None:
            raise ValueError("energy and mass stand side by side; give one of them")
        if self.slots is not None and not self.slots[0] <= self.slots[1]:
            raise ValueError(f"slots: {self.slots[0]} is not below {self.slots[1]}")
        return self._check_slots()

    def _check_slots(self) -> CollectionConfig:
        for key, formula in (*self._columns(), ("selection", self.selection), ("sort", self.sort)):
            if formula is not None and _SLOT in formula and self.slots is None:
                raise ValueError(f"{key}: '{formula}' has {_SLOT}, but slots is not given; e.g. slots: [1, 12]")
        if self.slots is not None and _SLOT not in self.pt:
            raise ValueError(f"slots: {_SLOT} is missing in pt: '{self.pt}'; e.g. jet_pt_{_SLOT}")
        return self

    def _columns(self) -> list[tuple[str, str | None]]:
        own = [(key, getattr(self, key)) for key in ("pt", "eta", "phi", "energy", "mass")]
        return [*own, *self.extras.items()]


def slot_formulas(formula: str, slots: list[int] | None) -> list[str]:
    """A formula for each slot, in order.

    Examples
    --------
    >>> slot_formulas("jet_pt_{i}", [1, 3])
    ['jet_pt_1', 'jet_pt_2', 'jet_pt_3']
    """
    return [formula] if slots is None else [formula.replace(_SLOT, str(i)) for i in range(slots[0], slots[1] + 1)]


def _alike(name: str, other: str) -> bool:
    """Whether a name is another one misspelt: the same letters but for one or two."""
    import difflib

    return difflib.SequenceMatcher(a=name.lower(), b=other).ratio() > 0.8


#: One collection, or several of which an event takes the first that has an object. The brackets keep the tags out of
#: messages.
_Alternatives = Annotated[
    Annotated[CollectionConfig, Tag("[one]")]
    | Annotated[list[CollectionConfig], Field(min_length=1), Tag("[several]")],
    Discriminator(lambda value: "[several]" if isinstance(value, list) else "[one]"),
    AfterValidator(lambda found: found if isinstance(found, list) else [found]),
]


def _collection_names(collections: dict[str, Any]) -> dict[str, Any]:
    for name in collections:
        if not name.isidentifier():
            raise ValueError(f"'{name}' cannot name a collection: a letter, then letters, digits and underscores")
    return collections


class CollectionsConfig(Schema):
    """Objects of several collections, one after the other, with features made from their four-vectors."""

    #: By name, in order.
    collections: Annotated[dict[Name, _Alternatives], Field(min_length=1), AfterValidator(_collection_names), TextKeys]
    #: Columns that the network gets; by default px, py, pz, energy and the columns of the user.
    features: Names | None = None
    #: Values of a column of which each becomes a column of ones and zeros.
    one_hot: Annotated[dict[Name, Annotated[list[float], Field(min_length=1)]], TextKeys] = {}
    #: Largest number of objects per event, of all collections. By default as many as the longest event has.
    length: int | None = Field(default=None, ge=1, le=100_000)
    #: Scaler of this group, fitted to features of objects that are there; by default that of the config.
    preprocessing: Preprocessing | None = None

    def alternatives(self, name: str) -> list[CollectionConfig]:
        """What a collection is taken from: the first that has an object."""
        found = self.collections[name]
        return list(found) if isinstance(found, list) else [found]

    @property
    def sources(self) -> list[CollectionConfig]:
        """All collections, those of which one is chosen one after the other."""
        return [one for name in self.collections for one in self.alternatives(name)]

    @property
    def formulas(self) -> list[str]:
        """All formulas that are evaluated, in order."""
        return list(dict.fromkeys(formula for one in self.sources for formula in one.formulas))

    @property
    def extras(self) -> list[str]:
        """Columns of the user's, in the order in which they first come."""
        return list(dict.fromkeys(name for one in self.sources for name in one.extras))

    @property
    def raw(self) -> list[str]:
        """Raw columns: what is read of an object, and what the ONNX file takes."""
        fourth = "energy" if any(one.energy is not None for one in self.sources) else "mass"
        return ["pt", "eta", "phi", fourth, *self.extras, *([TYPE] if len(self.collections) > 1 else [])]

    @property
    def maker(self) -> FeatureMaker:
        """What makes the features of the raw columns."""
        features = self.features or (*DEFAULT_FEATURES, *self.extras)
        one_hot = {name: tuple(values) for name, values in self.one_hot.items()}
        return FeatureMaker(tuple(self.raw), tuple(features), one_hot, tuple(self.collections))

    @model_validator(mode="after")
    def _consistent(self) -> CollectionsConfig:
        if any(one.energy is not None for one in self.sources) and any(one.mass is not None for one in self.sources):
            raise ValueError("collections: some give the energy and others the mass; give the same of all")
        known = self._known_features()
        for name in self.features or []:
            plain = name
            while plain not in known and (prefix := next((one for one in PREFIXES if plain.startswith(one)), "")):
                plain = plain.removeprefix(prefix)
            if plain not in known:
                likely = [*known, *(f"{prefix}{one}" for prefix in PREFIXES for one in known)]
                raise ValueError(f"features: no feature '{name}'{did_you_mean(name, likely)}")
        for name in self.one_hot:
            if name not in self.extras:
                raise ValueError(f"one_hot: no column '{name}' in the collections{did_you_mean(name, self.extras)}")
            if self.features is not None and name not in self.features:
                raise ValueError(f"one_hot: '{name}' is not among the features{did_you_mean(name, self.features)}")
        return self

    def _known_features(self) -> list[str]:
        several = [TYPE, *(f"is_{name}" for name in self.collections)] if len(self.collections) > 1 else []
        return [*FEATURES, *self.extras, *several]


class CombinationsConfig(Schema):
    """Numbers per event that are made from the four-vectors of a group of objects."""

    #: Group with `collections`.
    of: Name
    #: Those whose objects count; by default all.
    collections: Names | None = None
    #: By name, in order.
    combinations: Names
    #: Scaler of this group; by default that of the config.
    preprocessing: Preprocessing | None = None

    @property
    def formulas(self) -> list[str]:
        """None: what is read belongs to the other group."""
        return []

    @model_validator(mode="after")
    def _known(self) -> CombinationsConfig:
        for name in self.combinations:
            if name not in COMBINATIONS:
                raise ValueError(f"combinations: no combination '{name}'{did_you_mean(name, COMBINATIONS)}")
        return self

    def maker_of(self, group: CollectionsConfig) -> CombinationMaker:
        """What makes the numbers of the raw columns of the other group."""
        types = tuple(list(group.collections).index(name) for name in self.collections or [])
        return CombinationMaker(self.of, tuple(group.raw), tuple(self.combinations), types if TYPE in group.raw else ())


def check_combinations(groups: dict[str, Any]) -> None:
    """Refuse combinations of a group that is not there or has no collections, or of collections that it has not."""
    with_vectors = [name for name, group in groups.items() if isinstance(group, CollectionsConfig)]
    for name, group in groups.items():
        if not isinstance(group, CombinationsConfig):
            continue
        if group.of not in groups:
            raise ValueError(f"{name}.of: no group '{group.of}'{did_you_mean(group.of, with_vectors)}")
        other = groups[group.of]
        if not isinstance(other, CollectionsConfig):
            raise ValueError(f"{name}.of: '{group.of}' has no collections, whose four-vectors combinations are made of")
        for one in group.collections or []:
            if one not in other.collections:
                raise ValueError(
                    f"{name}.collections: no collection '{one}' in {group.of}{did_you_mean(one, other.collections)}"
                )
