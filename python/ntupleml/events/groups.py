"""Groups of inputs: numbers per row, objects per row, images. The one description of what a model takes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ntupleml.config.four_vectors import TYPE, CollectionsConfig, CombinationsConfig, slot_formulas
from ntupleml.config.inputs import MatrixConfig, NumbersConfig, ObjectsConfig
from ntupleml.config.slots import SlotsGroupConfig
from ntupleml.events.slot_sources import described_slots, slot_sources
from ntupleml.features.event_numbers import CombinationMaker
from ntupleml.features.slots import COLUMNS
from ntupleml.ntuples.variables import required_branches
from ntupleml.targets import TARGET_IMAGE

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from ntupleml.config import TrainingConfig
    from ntupleml.config.four_vectors import CollectionConfig
    from ntupleml.config.inputs import GroupConfig, ImageConfig
    from ntupleml.events.slot_sources import SlotSource
    from ntupleml.features.makers import Maker


class Objects(NamedTuple):
    """How the objects of an event, such as its jets, become rows of an array."""

    #: Objects per event: fewer are padded, more are cut away. None: as many as the event of a batch that has most.
    length: int | None = None
    #: What the rows without an object hold.
    padding: float = 0.0
    #: Variable by which objects are sorted before the array is filled; None keeps the order of the ntuple.
    sort: str | None = None
    #: Whether the smallest comes first.
    ascending: bool = False
    #: Formula per object; those that fail it are left out before they are sorted.
    selection: str | None = None


class ObjectSource(NamedTuple):
    """Where objects of a collection come from."""

    #: Formula of each raw column; none for one that is 0, or that is computed.
    columns: tuple[str | None, ...]
    #: Which of them are taken, and in which order.
    objects: Objects = Objects()
    #: First and last number of the formulas' `{i}`, where each object has columns of its own.
    slots: tuple[int, int] | None = None

    def in_slots(self, formula: str) -> list[str]:
        """A formula, once for each slot."""
        return slot_formulas(formula, None if self.slots is None else list(self.slots))

    @property
    def needed(self) -> list[str]:
        """All formulas that are evaluated."""
        given = (*self.columns, self.objects.selection, self.objects.sort)
        return list(dict.fromkeys(text for one in given if one is not None for text in self.in_slots(one)))


class ObjectCollection(NamedTuple):
    """Objects of one kind."""

    name: str
    #: An event takes the first that has an object.
    sources: tuple[ObjectSource, ...]


class Image(NamedTuple):
    """How a row becomes an image of shape (η, φ, channels)."""

    #: Where objects lie that fill a grid, one formula or one per channel; none for columns that are images.
    eta: tuple[str, ...] = ()
    phi: tuple[str, ...] = ()
    #: Of the grid; for columns the shape (η, φ) that is wanted, where it is known.
    bins: tuple[int, ...] = ()
    #: Objects outside the first are left out; the second is one period.
    eta_range: tuple[float, ...] = ()
    phi_range: tuple[float, ...] = ()


class Made(NamedTuple):
    """Numbers of an event that the reader makes of objects."""

    objects: InputGroup
    maker: CombinationMaker


class InputGroup(NamedTuple):
    """Variables that a model takes together."""

    #: What the model calls them.
    name: str
    #: Branches or formulas, in order; those of objects are vectors. Of collections the names of the raw columns.
    variables: tuple[str, ...]
    #: Type of numbers that the model takes.
    dtype: np.dtype[Any] = np.dtype(np.float32)
    #: None for one number per event and variable, and for images.
    objects: Objects | None = None
    #: Values of further columns, the same for all events.
    constants: tuple[float, ...] = ()
    #: What replaces NaN and infinite values; of slots nothing, as their steps know what is unknown.
    missing: float | None = None
    #: None for numbers and objects.
    image: Image | None = None
    #: What the objects are made of, one after the other; none where the variables are formulas.
    collections: tuple[ObjectCollection, ...] = ()
    #: What makes the last of the variables; none where all are formulas.
    made: tuple[Made, ...] = ()
    #: What fills a fixed number of slots; none for other groups.
    slots: tuple[SlotSource, ...] = ()

    @property
    def num_slots(self) -> int:
        """How many slots."""
        return sum(source.number for source in self.slots)

    @property
    def formulas(self) -> tuple[str, ...]:
        """The variables that are formulas."""
        return self.variables[: len(self.variables) - sum(len(one.maker.columns) for one in self.made)]

    @property
    def needed(self) -> list[str]:
        """Formulas that are evaluated: the variables, and those of selection, order and places."""
        if self.slots:
            return list(dict.fromkeys(formula for source in self.slots for formula in source.needed))
        if self.collections:
            sources = [source for collection in self.collections for source in collection.sources]
            return list(dict.fromkeys(formula for source in sources for formula in source.needed))
        more = (self.objects.sort, self.objects.selection) if self.objects is not None else ()
        places = (*self.image.eta, *self.image.phi) if self.image is not None else ()
        made = [formula for one in self.made for formula in one.objects.needed]
        return list(dict.fromkeys([*self.formulas, *(name for name in more if name), *places, *made]))


def groups_of(groups: Mapping[str, GroupConfig], missing: float | None = None) -> tuple[InputGroup, ...]:
    """Groups of inputs as a training config, or the record of a training, describes them.

    Parameters
    ----------
    groups : mapping of str to group
        `TrainingConfig.groups` or `TrainingRecord.groups`.
    missing : float, optional
        What replaces NaN and infinite values.
    """
    return tuple(
        _group_of(name, group, missing) for name, group in groups.items() if not isinstance(group, CombinationsConfig)
    )


def groups_to_read(config: TrainingConfig, missing: float | None = None) -> tuple[InputGroup, ...]:
    """Groups of inputs of a training, and the image that it learns as `TARGET_IMAGE`; otherwise as `groups_of`."""
    image = None if config.target is None else config.target.image
    return (*groups_of(config.groups, missing), *(() if image is None else groups_of({TARGET_IMAGE: image})))


def image_groups(images: Mapping[str, ImageConfig]) -> dict[str, InputGroup]:
    """Images that are read beside what models take, by their names."""
    return {name: _group_of(name, image, None) for name, image in images.items()}


def makers_of(groups: Mapping[str, GroupConfig]) -> dict[str, Maker]:
    """What makes features of raw objects, by the names of the groups that have such; others are taken as they are."""
    makers: dict[str, Maker] = {}
    for name, group in groups.items():
        if isinstance(group, CollectionsConfig | SlotsGroupConfig):
            makers[name] = group.maker
        elif isinstance(group, CombinationsConfig):
            other = groups[group.of]
            assert isinstance(other, CollectionsConfig), "the config has been checked"
            makers[name] = group.maker_of(other)
    return makers


def _group_of(name: str, group: GroupConfig, missing: float | None) -> InputGroup:
    if isinstance(group, MatrixConfig):
        sources = {one.name: one for one in groups_of(group.made, missing)}
        combined = [one for one in makers_of(group.made).values() if isinstance(one, CombinationMaker)]
        made = tuple(Made(sources[one.of], one) for one in combined)
        return InputGroup(name, tuple(group.formulas), missing=missing, made=made)
    if isinstance(group, NumbersConfig):
        return InputGroup(name, tuple(group.numbers), missing=missing)
    if isinstance(group, ObjectsConfig):
        objects = Objects(group.length, 0.0, group.sort, group.ascending, group.selection)
        return InputGroup(name, tuple(group.objects), objects=objects, missing=missing)
    if isinstance(group, CollectionsConfig):
        collections = tuple(
            ObjectCollection(one, tuple(_source_of(source, group) for source in group.alternatives(one)))
            for one in group.collections
        )
        objects = Objects(group.length)
        return InputGroup(name, tuple(group.raw), objects=objects, missing=missing, collections=collections)
    if isinstance(group, SlotsGroupConfig):
        slots = slot_sources(group, lambda one: Objects(one.number, 0.0, one.sort, one.ascending, one.selection))
        return InputGroup(name, COLUMNS, missing=missing, slots=slots)
    assert not isinstance(group, CombinationsConfig)
    image = Image()
    if group.eta and group.phi and group.bins and group.eta_range:
        places = tuple(group.eta), tuple(group.phi)
        image = Image(*places, tuple(group.bins), tuple(group.eta_range), tuple(group.phi_range))
    return InputGroup(name, tuple(group.image), missing=missing, image=image)


def _source_of(source: CollectionConfig, group: CollectionsConfig) -> ObjectSource:
    formulas = {"pt": source.pt, "eta": source.eta, "phi": source.phi, "energy": source.energy, "mass": source.mass}
    formulas |= source.extras
    columns = tuple(formulas.get(name) for name in group.raw if name != TYPE)
    objects = Objects(source.length, 0.0, source.sort, source.ascending, source.selection)
    return ObjectSource(columns, objects, None if source.slots is None else (source.slots[0], source.slots[1]))


def described(groups: Sequence[InputGroup]) -> dict[str, dict[str, Any]]:
    """Groups as the `inputs` of a training config describe them, for files that are to be read alone.

    Examples
    --------
    >>> described([InputGroup("jets", ("Jet_pt",), objects=Objects(length=4, sort="Jet_pt"))])
    {'jets': {'objects': ['Jet_pt'], 'sort': 'Jet_pt', 'length': 4}}
    """
    return {group.name: _described(group) for group in groups}


def _described(group: InputGroup) -> dict[str, Any]:
    if group.collections:
        length = {} if group.objects is None or group.objects.length is None else {"length": group.objects.length}
        return {"collections": {one.name: _sources(one, group.variables) for one in group.collections}, **length}
    if group.slots:
        return described_slots(group.slots)
    formulas, given = list(group.variables), {}
    if group.image is not None:
        kind = "image"
        if group.image.eta:
            given = {key: list(value) for key, value in group.image._asdict().items()}
    elif group.objects is not None:
        kind = "objects"
        given = {key: getattr(group.objects, key) for key in ("selection", "sort", "ascending", "length")}
    else:
        kind = "numbers"
    return {kind: formulas, **{key: value for key, value in given.items() if value}}


def _sources(collection: ObjectCollection, raw: Sequence[str]) -> list[dict[str, Any]]:
    found = []
    for source in collection.sources:
        given = {key: getattr(source.objects, key) for key in ("selection", "sort", "ascending", "length")}
        given["slots"] = source.slots and list(source.slots)
        columns = dict(zip(raw, source.columns, strict=False))
        found.append({key: value for key, value in {**columns, **given}.items() if value})
    return found


def branches_of_groups(groups: Sequence[InputGroup], available: Collection[str], where: str) -> list[str]:
    """Branches to read for some groups, each once; otherwise as `ntupleml.ntuples.required_branches`."""
    needed = [required_branches(group.needed, available, f"{where}: {key_of(group.name)}") for group in groups]
    return list(dict.fromkeys(name for names in needed for name in names))


def numbers_of_columns(groups: Mapping[str, GroupConfig]) -> dict[str, int | None]:
    """Number of columns of each group as its scaler takes them; None where an image has those of its columns.

    Parameters
    ----------
    groups : mapping of str to group
        `TrainingConfig.groups` or `TrainingRecord.groups`.
    """
    made = {name: getattr(maker, "number", len(maker.columns)) for name, maker in makers_of(groups).items()}
    read = {
        group.name: len(group.variables) if group.image is None or group.image.eta else None
        for group in groups_of(groups)
    }
    return {name: made.get(name, read.get(name)) for name in groups}


def key_of(group: str) -> str:
    """Key of a training config that describes a group, for messages."""
    return group if group in ("variables", TARGET_IMAGE) else f"inputs.{group}"
