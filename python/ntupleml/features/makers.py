"""All that makes numbers of raw columns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

from ntupleml.features.event_numbers import CombinationMaker
from ntupleml.features.making import FeatureMaker
from ntupleml.features.slots import SlotMaker

Maker: TypeAlias = FeatureMaker | CombinationMaker | SlotMaker
#: By the names of the groups that a network gets.
Makers: TypeAlias = Mapping[str, Maker]
