"""The block `ensemble:` of a training config: how many trainings one model is made of."""

from __future__ import annotations

from pydantic import Field

from ntupleml.config.schema import Schema


class EnsembleConfig(Schema):
    """Schema of the block `ensemble:`."""

    #: Number of members: seeds seed, seed + 1, …; one is a plain training.
    seeds: int = Field(ge=1, le=1000)
    #: Whether each member draws its own events that train and validate; else they are those of the first.
    vary_split: bool = False
