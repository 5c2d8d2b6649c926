"""Groups of inputs: numbers per row, objects per row, images. The one description of what a model takes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ntupleml.config.inputs import NumbersConfig, ObjectsConfig
from ntupleml.ntuples.variables import required_branches

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from ntupleml.config.inputs import GroupConfig


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


class InputGroup(NamedTuple):
    """Variables that a model takes together."""

    #: What the model calls them.
    name: str
    #: Branches or formulas, in order; those of objects are vectors.
    variables: tuple[str, ...]
    #: Type of numbers that the model takes.
    dtype: np.dtype[Any] = np.dtype(np.float32)
    #: None for one number per event and variable, and for images.
    objects: Objects | None = None
    #: Values of further columns, the same for all events.
    constants: tuple[float, ...] = ()
    #: What replaces NaN and infinite values.
    missing: float | None = None
    #: None for numbers and objects.
    image: Image | None = None

    @property
    def needed(self) -> list[str]:
        """Formulas that are evaluated: the variables, and those of selection, order and places."""
        more = (self.objects.sort, self.objects.selection) if self.objects is not None else ()
        places = (*self.image.eta, *self.image.phi) if self.image is not None else ()
        return list(dict.fromkeys([*self.variables, *(name for name in more if name), *places]))


def groups_of(groups: Mapping[str, GroupConfig], missing: float | None = None) -> tuple[InputGroup, ...]:
    """Groups of inputs as a training config, or the record of a training, describes them.

    Parameters
    ----------
    groups : mapping of str to group
        `TrainingConfig.groups` or `TrainingRecord.groups`.
    missing : float, optional
        What replaces NaN and infinite values.
    """
    return tuple(_group_of(name, group, missing) for name, group in groups.items())


def _group_of(name: str, group: GroupConfig, missing: float | None) -> InputGroup:
    if isinstance(group, NumbersConfig):
        return InputGroup(name, tuple(group.numbers), missing=missing)
    if isinstance(group, ObjectsConfig):
        objects = Objects(group.length, 0.0, group.sort, group.ascending, group.selection)
        return InputGroup(name, tuple(group.objects), objects=objects, missing=missing)
    image = Image()
    if group.eta and group.phi and group.bins and group.eta_range:
        places = tuple(group.eta), tuple(group.phi)
        image = Image(*places, tuple(group.bins), tuple(group.eta_range), tuple(group.phi_range))
    return InputGroup(name, tuple(group.image), missing=missing, image=image)


def described(groups: Sequence[InputGroup]) -> dict[str, dict[str, Any]]:
    """Groups as the `inputs` of a training config describe them, for files that are to be read alone.

    Examples
    --------
    >>> described([InputGroup("jets", ("Jet_pt",), objects=Objects(length=4, sort="Jet_pt"))])
    {'jets': {'objects': ['Jet_pt'], 'sort': 'Jet_pt', 'length': 4}}
    """
    return {group.name: _described(group) for group in groups}


def _described(group: InputGroup) -> dict[str, Any]:
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


def branches_of_groups(groups: Sequence[InputGroup], available: Collection[str], where: str) -> list[str]:
    """Branches to read for some groups, each once; otherwise as `ntupleml.ntuples.required_branches`."""
    needed = [required_branches(group.needed, available, f"{where}: {key_of(group.name)}") for group in groups]
    return list(dict.fromkeys(name for names in needed for name in names))


def numbers_of_variables(groups: Sequence[InputGroup]) -> dict[str, int | None]:
    """Number of columns of each group; None where those of an image are known from its columns only."""
    return {group.name: len(group.variables) if group.image is None or group.image.eta else None for group in groups}


def key_of(group: str) -> str:
    """Key of a training config that describes a group, for messages."""
    return group if group == "variables" else f"inputs.{group}"
