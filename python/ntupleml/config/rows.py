"""Config of rows that are objects: their selection, their members, their match to another collection."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from ntupleml.config.inputs import OneOrMore  # noqa: TC001  # pydantic evaluates it
from ntupleml.config.schema import BranchName, Formula, Name, Schema, TextKeys


class RelativeConfig(Schema):
    """Angles of members that are given relative to their row, or to its first member."""

    #: ``row``, or ``leading``: the first member after sorting.
    to: Literal["row", "leading"] = "row"
    #: Branches from which η is subtracted; by default `{collection}_eta`.
    eta: OneOrMore | None = None
    #: Branches from which φ is subtracted, folded to (−π, π]; by default `{collection}_phi`.
    phi: OneOrMore | None = None


def _relative(value: Any) -> Any:
    """`relative: row` is short for the block."""
    return {"to": value} if isinstance(value, str) else value


class MembersConfig(Schema):
    """Which objects of another collection belong to a row, and in which order."""

    #: Branch with the position of an object's row, negative for none; or a list of positions for each object, which may
    #: then belong to several rows.
    index: Name | None = None
    #: Largest ΔR = √(Δη² + Δφ²) from the row; an object may belong to several.
    radius: float | None = Field(default=None, gt=0)
    #: Formula of an object, its row and the event; objects that fail it do not belong to the row.
    selection: Formula | None = None
    #: The same by which the members of a row are sorted, the largest first; by default they keep their order.
    sort: Name | None = None
    #: Sort the smallest first.
    ascending: bool = False
    #: Largest number of members per row: more are cut away.
    length: int | None = Field(default=None, ge=1, le=100_000)
    #: Angles relative to the row, or to its leading member.
    relative: (
        Annotated[
            RelativeConfig,
            BeforeValidator(_relative, json_schema_input_type=Literal["row", "leading"] | RelativeConfig),
        ]
        | None
    ) = None

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
    #: Formula per object by which the rows of an event are sorted, the largest first; by default they keep their order.
    sort: Name | None = None
    #: Sort the smallest first.
    ascending: bool = False
    #: Objects of other collections that belong to a row, as lists: by the beginning of their branches' names.
    members: Annotated[dict[BranchName, MembersConfig], TextKeys] = {}


class MatchConfig(Schema):
    """Rows that are kept for an object of another collection that is near; its branches are numbers of the row."""

    #: The other collection, by the beginning of its branches' names.
    objects: BranchName
    #: Formula of the other objects; those that fail it are not there.
    selection: Formula | None = None
    #: Largest ΔR = √(Δη² + Δφ²); by default the nearest counts, however far.
    radius: float | None = Field(default=None, gt=0)
    #: Who looks for the nearest: each row for one of the other objects, or each of these for a row.
    nearest_to: Literal["row", "match"] = "row"
    #: With `nearest_to: match`: a row for each of the other objects, so that one object may be several rows. By
    #: default it is one, with the nearest that found it.
    repeated: bool = False

    @model_validator(mode="after")
    def _repeated_from_the_match(self) -> MatchConfig:
        if self.repeated and self.nearest_to == "row":
            raise ValueError("repeated: each row is there once where rows look for a match; add nearest_to: match")
        return self
