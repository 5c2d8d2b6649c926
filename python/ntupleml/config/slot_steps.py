"""Steps of preprocessing of slots, by name: a block, or the name alone where nothing is to be set."""

from __future__ import annotations

from collections.abc import Iterator  # noqa: TC003  # pydantic evaluates it
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Discriminator, Field, Tag, model_validator

from ntupleml.config.schema import Name, Schema, TextKeys
from ntupleml.errors import did_you_mean

_Radius = Annotated[float, Field(ge=0, le=10)]
_Factor = Annotated[float, Field(gt=0, le=1e9)]


class SlotStep(Schema):
    """What all steps have in common."""

    def named_types(self) -> Iterator[tuple[str, str]]:
        """Keys and the types of objects that they name."""
        yield from ()


class DeltaPhiStep(SlotStep):
    """φ relative to the first object of a type, in [-π, π); 0 where pT is 0."""

    #: Name of the step.
    step: Literal["delta_phi"] = "delta_phi"
    #: The type; by default the first one.
    to: Name | None = None

    def named_types(self) -> Iterator[tuple[str, str]]:
        """The type."""
        if self.to is not None:
            yield "to", self.to


class OverlapRemovalStep(SlotStep):
    """Objects that are near one of another type are removed, rule by rule; a radius of 0 leaves a rule out."""

    #: Name of the step.
    step: Literal["overlap_removal"] = "overlap_removal"
    #: Largest ΔR at which muons near electrons are removed.
    muons_near_electrons: _Radius = 0.2
    #: Largest ΔR at which photons near electrons are removed.
    photons_near_electrons: _Radius = 0.4
    #: Largest ΔR at which photons near muons are removed.
    photons_near_muons: _Radius = 0.4
    #: Largest ΔR at which jets near electrons are removed.
    jets_near_electrons: _Radius = 0.2
    #: Largest ΔR at which electrons near jets are removed.
    electrons_near_jets: _Radius = 0.4
    #: Largest ΔR at which jets near muons are removed.
    jets_near_muons: _Radius = 0.2
    #: Largest ΔR at which muons near jets are removed.
    muons_near_jets: _Radius = 0.4
    #: Largest ΔR at which photons near jets are removed.
    photons_near_jets: _Radius = 0.4


class DuplicateRemovalStep(SlotStep):
    """Of two objects of one type that are near each other, the later one is removed."""

    #: Name of the step.
    step: Literal["duplicate_removal"] = "duplicate_removal"
    #: Largest ΔR of two duplicates.
    radius: _Radius = 0.05


class MetStep(SlotStep):
    """Missing energy of 0 becomes (0.001, 0, 0); one that is unknown (-999, NaN) becomes 0."""

    #: Name of the step.
    step: Literal["met"] = "met"
    #: The type that is the missing energy.
    type: Name = "met"

    def named_types(self) -> Iterator[tuple[str, str]]:
        """The type."""
        yield "type", self.type


class ThresholdsStep(SlotStep):
    """Objects below the pT of their type are removed; types that are not named keep all."""

    #: Name of the step.
    step: Literal["thresholds"] = "thresholds"
    #: Smallest pT of each type.
    pt: Annotated[dict[Name, Annotated[float, Field(ge=0)]], Field(min_length=1), TextKeys]

    @model_validator(mode="before")
    @classmethod
    def _types_alone(cls, value: Any) -> Any:
        if isinstance(value, dict) and set(value) != {"step", "pt"}:
            rest = {name: one for name, one in value.items() if name != "step"}
            return {"step": "thresholds", "pt": rest}
        return value

    def named_types(self) -> Iterator[tuple[str, str]]:
        """All that have a threshold."""
        yield from (("thresholds", name) for name in self.pt)


class ScalePtStep(SlotStep):
    """How pT is brought near 1."""

    #: Name of the step.
    step: Literal["scale_pt"] = "scale_pt"
    #: By a factor; by 10 over the sum of the event; or by mean and standard deviation of each slot, `standard_nonzero`
    #: those of its objects, with 0 where none is.
    type: Literal["global_division", "per_event", "standard", "standard_nonzero"]
    #: Factor of `global_division`.
    factor: _Factor = 0.05

    @property
    def is_fitted(self) -> bool:
        """Whether events tell its numbers."""
        return self.type.startswith("standard")

    @model_validator(mode="after")
    def _only_division_has_a_factor(self) -> ScalePtStep:
        if self.type != "global_division" and self.factor != 0.05:
            raise ValueError(f"factor: {self.type} has none; leave it out, or take global_division")
        return self


class HardwareUnitsStep(SlotStep):
    """Numbers as the trigger's hardware has them: pT, η times a factor, φ in whole steps."""

    #: Name of the step.
    step: Literal["hardware_units"] = "hardware_units"
    #: Factor of pT.
    pt: _Factor = 10.0
    #: Factors of pT of single types; muons are stored in other units.
    pt_of: Annotated[dict[Name, _Factor], TextKeys] = {"muons": 10_000.0}
    #: Factor of η.
    eta: _Factor = 40.0
    #: Steps of φ around the beam.
    phi: Annotated[int, Field(ge=1, le=100_000)] = 128
    #: From the hardware's units back.
    back: bool = False

    def named_types(self) -> Iterator[tuple[str, str]]:
        """Those with a factor of their own; that of muons goes without saying."""
        if "pt_of" in self.model_fields_set:
            yield from (("pt_of", name) for name in self.pt_of if name != "muons")


class PowersOfTwoStep(SlotStep):
    """Each number divided by a power of two: shifts of bits in hardware."""

    #: Name of the step.
    step: Literal["powers_of_two"] = "powers_of_two"
    #: One for each number; by default the events tell them: the logarithm of the standard deviation, rounded.
    exponents: list[Annotated[int, Field(ge=-30, le=30)]] | None = None


#: By the name in a config.
SLOT_STEPS: dict[str, type[SlotStep]] = {
    "delta_phi": DeltaPhiStep,
    "overlap_removal": OverlapRemovalStep,
    "duplicate_removal": DuplicateRemovalStep,
    "met": MetStep,
    "thresholds": ThresholdsStep,
    "scale_pt": ScalePtStep,
    "hardware_units": HardwareUnitsStep,
    "powers_of_two": PowersOfTwoStep,
}


def _named(value: Any) -> Any:
    """The block of a step with its name as `step`, from a name or a block with one key."""
    name: Any = value
    settings: Any = {}
    if isinstance(value, dict) and "step" in value:
        name, settings = value["step"], value
    elif isinstance(value, dict) and len(value) == 1:
        ((name, settings),) = value.items()
    if not isinstance(name, str):
        raise ValueError(f"found {value!r}, but the name of a step is needed, or a block of its name and settings")
    if name not in SLOT_STEPS:
        raise ValueError(f"no step '{name}'{did_you_mean(name, SLOT_STEPS)}")
    if name == "scale_pt" and isinstance(settings, str):
        settings = {"type": settings}
    if settings is not None and not isinstance(settings, dict):
        raise ValueError(f"{name}: found {settings!r}, but a block of settings is needed")
    return {**(settings or {}), "step": name}


def _tag(value: Any) -> str:
    return f"[{value['step'] if isinstance(value, dict) else value.step}]"


_StepName = Literal[
    "delta_phi",
    "overlap_removal",
    "duplicate_removal",
    "met",
    "thresholds",
    "scale_pt",
    "hardware_units",
    "powers_of_two",
]
_AnyStep = (
    DeltaPhiStep
    | OverlapRemovalStep
    | DuplicateRemovalStep
    | MetStep
    | ThresholdsStep
    | ScalePtStep
    | HardwareUnitsStep
    | PowersOfTwoStep
)
#: One step.
Step = Annotated[
    Annotated[
        Annotated[DeltaPhiStep, Tag("[delta_phi]")]
        | Annotated[OverlapRemovalStep, Tag("[overlap_removal]")]
        | Annotated[DuplicateRemovalStep, Tag("[duplicate_removal]")]
        | Annotated[MetStep, Tag("[met]")]
        | Annotated[ThresholdsStep, Tag("[thresholds]")]
        | Annotated[ScalePtStep, Tag("[scale_pt]")]
        | Annotated[HardwareUnitsStep, Tag("[hardware_units]")]
        | Annotated[PowersOfTwoStep, Tag("[powers_of_two]")],
        Discriminator(_tag),
    ],
    BeforeValidator(_named, json_schema_input_type=_StepName | dict[_StepName, Any] | _AnyStep),
]
#: Steps in their order.
Steps = Annotated[list[Step], Field(max_length=20)]
