"""How the events of a training are changed anew in each epoch."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BeforeValidator, Field, model_validator

from ntupleml.config.four_vectors import CollectionsConfig
from ntupleml.config.inputs import GroupConfig, ImageConfig, ObjectsConfig, TargetConfig
from ntupleml.config.schema import Names, Schema
from ntupleml.config.slots import SlotsGroupConfig
from ntupleml.errors import did_you_mean
from ntupleml.targets import vectors_among

if TYPE_CHECKING:
    from collections.abc import Iterable

#: By how much angles may differ that are the same.
_SAME_ANGLE = 1e-3


def _true_as(strength: float) -> BeforeValidator:
    """A strength that `true` stands for."""
    return BeforeValidator(
        lambda value: (strength if value else 0.0) if isinstance(value, bool) else value,
        json_schema_input_type=bool | float,
    )


class TranslationConfig(Schema):
    """Widths of normal distributions of which each event gets one shift."""

    #: Width of the shift in η.
    eta: float = Field(default=0.0, ge=0, le=5)
    #: Width of the shift in φ.
    phi: float = Field(default=0.0, ge=0, le=math.pi)


class AugmentationConfig(Schema):
    """Changes of an event's objects and images, each with its strength; 0 leaves them as they are.

    They are drawn anew for each event and epoch, and only for events that train. `true` is the usual strength. Images
    are turned by whole bins and mirrored, with the image that is learnt.
    """

    #: Largest angle by which an event is turned around the beam, either way; `true`: any angle.
    phi_rotation: Annotated[float, _true_as(math.pi), Field(ge=0, le=math.pi)] = 0.0
    #: Probability that an event is mirrored, η to -η.
    eta_reflection: Annotated[float, _true_as(0.5), Field(ge=0, le=1)] = 0.0
    #: Shift of all objects of an event; pt and mass stay, the energy follows.
    translation: TranslationConfig = TranslationConfig()
    #: Width of the logarithm of the factor by which each object's four-vector is multiplied.
    energy_smearing: float = Field(default=0.0, ge=0, le=1)
    #: Probability with which an object is left out; one of each event stays.
    drop_objects: float = Field(default=0.0, ge=0, lt=1)
    #: Pairs of values that are learnt, x and y of a vector, which turns with the event. By default those whose names
    #: differ in a last x and y.
    vectors: list[Annotated[Names, Field(min_length=2, max_length=2)]] | None = None

    @property
    def of_vectors(self) -> list[str]:
        """Keys that are not 0 and that take four-vectors."""
        given: dict[str, Any] = {
            "phi_rotation": self.phi_rotation,
            "eta_reflection": self.eta_reflection,
            "translation": self.translation.eta or self.translation.phi,
            "energy_smearing": self.energy_smearing,
        }
        return [key for key, strength in given.items() if strength]

    def turned_among(self, values: Iterable[str]) -> list[tuple[str, str]]:
        """Those of the values that turn with the event, x and y of each vector."""
        if self.vectors is None:
            return [*vectors_among(values).values()]
        return [(x, y) for x, y in self.vectors]

    @model_validator(mode="after")
    def _any(self) -> AugmentationConfig:
        if not self.of_vectors and not self.drop_objects:
            raise ValueError("all strengths are 0; give one of its keys a strength, e.g. phi_rotation: true")
        return self

    def check(self, groups: dict[str, GroupConfig], target: TargetConfig | None) -> None:
        """Refuse groups and values that cannot be changed."""
        images = {f"inputs.{name}": group for name, group in groups.items() if isinstance(group, ImageConfig)}
        if target is not None and target.image is not None:
            images["target.image"] = target.image
        for where, image in images.items():
            self._check_image(image, where)
        values = (target and target.values) or {}
        for name in (name for pair in self.vectors or () for name in pair):
            if name not in values:
                raise ValueError(f"augmentation.vectors: no value '{name}' is learnt{did_you_mean(name, values)}")
        for name, group in groups.items():
            if self.of_vectors and isinstance(group, ObjectsConfig | SlotsGroupConfig):
                raise ValueError(
                    f"augmentation.{self.of_vectors[0]}: inputs.{name} has no four-vectors to change; describe it by "
                    "collections with pt, eta, phi and energy or mass"
                )
        if not any(isinstance(group, CollectionsConfig | ObjectsConfig | ImageConfig) for group in groups.values()):
            raise ValueError(
                "augmentation: no group of objects or images is among the inputs, so there is nothing to change"
            )

    def _check_image(self, image: ImageConfig, where: str) -> None:
        """Refuse an image that cannot be changed in this way."""
        for key in ("translation", "energy_smearing"):
            if key in self.of_vectors:
                raise ValueError(f"augmentation.{key}: {where} is an image, which can be turned and mirrored only")
        low, high = image.phi_range
        if self.phi_rotation and abs(high - low - 2 * math.pi) > _SAME_ANGLE:
            raise ValueError(f"augmentation.phi_rotation: {where}: phi_range is no whole turn, so it cannot be turned")
        if self.eta_reflection and image.eta_range and abs(sum(image.eta_range)) > _SAME_ANGLE:
            raise ValueError(f"augmentation.eta_reflection: {where}: eta_range is not symmetric, so it has no mirror")
