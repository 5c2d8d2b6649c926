"""Groups of slots: a fixed number of objects of each type, of lists, numbers of the event or columns of fixed shape."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, ValidationError, model_validator

from ntupleml.config.schema import Formula, Name, Schema, TextKeys
from ntupleml.config.slot_steps import MetStep, OverlapRemovalStep, PowersOfTwoStep, ScalePtStep, Steps
from ntupleml.errors import did_you_mean
from ntupleml.features.slots import COLUMNS, SlotMaker, SlotTypes, overlap_rules

#: Where the three numbers of an object stand in a column; none for one that the objects lack.
Places = Annotated[list[Annotated[int, Field(ge=0, le=1000)] | None], Field(min_length=3, max_length=3)]
_FORMULAS = Annotated[list[Formula | None], Field(min_length=3, max_length=3)]


class SlotTypeConfig(Schema):
    """Objects of one type: formulas, or a column; neither where the group has one column for all types."""

    #: How many slots; further objects are cut away.
    number: int = Field(ge=1, le=1000)
    #: Formulas of pT, η and φ: of lists, or of numbers of the event, which are one object. `null` for η or φ: the
    #: objects have none, and the flat numbers neither.
    objects: _FORMULAS | None = None
    #: Column whose rows are arrays, objects × numbers, or the numbers of one object.
    column: Name | None = None
    #: Which of its numbers are pT, η and φ.
    columns: Places | None = None
    #: Formula per object; objects that fail it are left out.
    selection: Formula | None = None
    #: Formula per object by which they are sorted, the largest first; by default they keep their order.
    sort: Name | None = None
    #: Sort the smallest first.
    ascending: bool = False

    @property
    def has(self) -> tuple[bool, ...]:
        """Which of pT, η and φ the objects have."""
        given: list[Any] = list(self.objects or self.columns or COLUMNS)
        return tuple(one is not None for one in given)

    @property
    def formulas(self) -> list[str]:
        """All formulas that are evaluated, in order."""
        given = (*(self.objects or ()), self.column, self.selection, self.sort)
        return list(dict.fromkeys(one for one in given if one is not None))

    @model_validator(mode="after")
    def _consistent(self) -> SlotTypeConfig:
        if self.objects is not None and self.column is not None:
            raise ValueError("objects and column stand side by side; give one of them")
        if self.objects is None:
            wrong = next((key for key in ("selection", "sort") if getattr(self, key) is not None), None)
            if wrong:
                raise ValueError(f"{wrong}: objects of a column are taken as they are; give their formulas as objects")
        if self.objects is not None and self.columns is not None:
            raise ValueError("columns: the places of pT, η and φ in a column, but objects has formulas; leave it out")
        if not self.has[0]:
            raise ValueError("the first of three numbers is pT, which all objects have; it cannot be null")
        return self


def _as_type(value: Any) -> Any:
    """A number in place of the block: the number of slots."""
    return {"number": value} if isinstance(value, int) and not isinstance(value, bool) else value


class SlotsGroupConfig(Schema):
    """A fixed number of objects of each type, with pT, η and φ, and steps of preprocessing."""

    #: Types by their names, in order.
    slots: Annotated[
        dict[Name, Annotated[SlotTypeConfig, BeforeValidator(_as_type, json_schema_input_type=int | SlotTypeConfig)]],
        Field(min_length=1, max_length=100),
        TextKeys,
    ]
    #: One column that has all slots, one type after the other; each type is its number then.
    column: Name | None = None
    #: Which of its numbers are pT, η and φ.
    columns: Places | None = None
    #: What is done to the objects, in this order.
    steps: Steps = []
    #: Whether the network gets the numbers side by side; else objects with a mask, and which type they are.
    flat: bool = True
    #: Whether the numbers are given to the network as they are, also NaN and −999: its own layers do the steps.
    raw: bool = False

    @property
    def preprocessing(self) -> str:
        """Scaler of the group: the steps scale, and an empty slot stays 0."""
        return "identity"

    @property
    def formulas(self) -> list[str]:
        """All formulas that are evaluated, in order."""
        own = [] if self.column is None else [self.column]
        return list(dict.fromkeys([*own, *(formula for one in self.slots.values() for formula in one.formulas)]))

    @property
    def types(self) -> SlotTypes:
        """Names and numbers of the types."""
        return SlotTypes(tuple(self.slots), tuple(one.number for one in self.slots.values()))

    @property
    def maker(self) -> SlotMaker:
        """What makes the numbers that the network gets of the raw ones."""
        has = [
            one.has if self.columns is None else tuple(place is not None for place in self.columns)
            for one in self.slots.values()
        ]
        return SlotMaker(
            self.types, tuple(step.model_dump() for step in self.steps), tuple(has), flat=self.flat, raw=self.raw
        )

    @model_validator(mode="after")
    def _consistent(self) -> SlotsGroupConfig:
        if self.columns is not None and (self.column is None or self.columns[0] is None):
            what = "there is no column for all types" if self.column is None else "all objects have a pT"
            raise ValueError(f"columns: {what}; give the places where each type has its column")
        for name, one in self.slots.items():
            _check_source(f"slots.{name}", one, self.column)
        if self.raw and (self.steps or not self.flat):
            raise ValueError("raw: the network does the steps itself and gets flat numbers; leave steps and flat out")
        self._check_steps()
        return self

    def _check_steps(self) -> None:
        for number, step in enumerate(self.steps):
            for key, name in step.named_types():
                if name not in self.slots:
                    raise ValueError(f"steps[{number}].{key}: no type '{name}'{did_you_mean(name, self.slots)}")
            if isinstance(step, MetStep) and self.slots[step.type].number != 1:
                raise ValueError(f"steps[{number}]: '{step.type}' has several slots, but missing energy is one object")
            if isinstance(step, OverlapRemovalStep) and not overlap_rules(self.types, step.model_dump()):
                raise ValueError(
                    f"steps[{number}]: no two types are jets, electrons, muons or photons, which the rules are for"
                )
            if isinstance(step, PowersOfTwoStep) and step.exponents is not None:
                wanted = self.maker.number
                if len(step.exponents) != wanted:
                    raise ValueError(
                        f"steps[{number}].exponents: {len(step.exponents)} numbers, but the slots have {wanted}"
                    )
            is_fitted = isinstance(step, PowersOfTwoStep) or (isinstance(step, ScalePtStep) and step.is_fitted)
            if is_fitted and number != len(self.steps) - 1:
                raise ValueError(f"steps[{number}]: what is fitted has to be the last step; put the others before it")


def maker_of_layer(slots: Mapping[str, int] | Sequence[Sequence[Any]], steps: Sequence[Any]) -> SlotMaker:
    """What a layer of steps does: types with their numbers of slots, and steps as in a config.

    Raises
    ------
    ValueError
        For what a config refuses, and a step that is fitted to events.
    """
    types = slots if isinstance(slots, Mapping) else {name: number for name, number in slots}  # noqa: C416
    block = {"slots": dict(types), "column": "slots", "steps": list(steps)}
    try:
        config = SlotsGroupConfig.model_validate(block)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(one) for one in first["loc"] if not str(one).startswith("["))
        raise ValueError(f"{key}: {first['msg']}" if key else first["msg"]) from error
    maker = config.maker
    if maker.fitted is not None:
        raise ValueError(f"{maker.fitted} is fitted to events; a layer takes steps that need none, so put it elsewhere")
    return maker


def _check_source(key: str, one: SlotTypeConfig, column: str | None) -> None:
    has_own = one.objects is not None or one.column is not None
    if column is not None and (has_own or one.columns is not None):
        raise ValueError(f"{key}: the group's column has all types; give the number of slots alone")
    if column is None and not has_own:
        raise ValueError(f"{key}: neither objects nor column says where the objects are; give one of them")
