"""How the numbers of a quantised network are rounded: fixed bit widths as QKeras has them, or learnt ones (HGQ)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from pydantic import Field, field_validator

from ntupleml.config.schema import Schema
from ntupleml.errors import NtuplemlError
from ntupleml.models.registries import chosen_block

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ntupleml.models.networks import Network

#: Activations that quantised networks have.
QUANTISED_ACTIVATIONS = ("relu", "linear")


class FixedPoint(NamedTuple):
    """Numbers of a fixed step: sign (0 or 1), bits before the point without it, bits behind it."""

    sign: int
    integer: int
    fraction: int


class Bits(Schema):
    """Width of a number as QKeras and hls4ml count it."""

    #: All bits, the sign included.
    bits: int = Field(ge=1, le=24)
    #: Bits before the point, the sign not included; negative where the first bits behind the point are left out.
    integer: int = Field(ge=-24, le=24)

    def fixed_point(self, *, signed: bool) -> FixedPoint:
        """What the width means for numbers with or without a sign."""
        return FixedPoint(int(signed), self.integer, self.bits - int(signed) - self.integer)


class FixedBits(Schema):
    """The same width for all numbers of a kind; out of range they saturate."""

    #: Of weights and biases.
    weights: Bits = Bits(bits=10, integer=5)
    #: Of what the network gets.
    inputs: Bits = Bits(bits=10, integer=5)
    #: Of the outputs of hidden layers; without a sign after a relu, unless it has a slope.
    activations: Bits = Bits(bits=10, integer=5)
    #: Where inputs and activations in the middle of two steps go: to the even one, as in QKeras, or up.
    ties: Literal["even", "up"] = "even"
    #: Of relu below 0, a power of two: there it saturates at −slope × 2^integer.
    slope: float = Field(default=0.0, ge=0, lt=1)

    @field_validator("slope")
    @classmethod
    def _is_power(cls, slope: float) -> float:
        if slope and not math.log2(slope).is_integer():
            raise ValueError(f"{slope} is no power of two; give one, such as 0.0009765625 (2^-10)")
        return slope


class LearnedBits(Schema):
    """Each weight and each number between layers has a width of its own that is learnt (arXiv:2405.00645)."""

    #: Factor in the loss of the effective bit operations (EBOPs), an estimate of the resources on an FPGA.
    beta: float = Field(default=1e-5, ge=0)
    #: Widths at the start.
    weights: Bits = Bits(bits=9, integer=2)
    inputs: Bits = Bits(bits=10, integer=3)
    activations: Bits = Bits(bits=9, integer=3)


#: Settings by the `type` of a config's block `quantised`.
QUANTISATIONS: dict[str, type[Schema]] = {"fixed": FixedBits, "learned": LearnedBits}


def quantisation_of(block: Mapping[str, Any]) -> FixedBits | LearnedBits:
    """Settings of a block with all its values, as `quantised_network` makes it."""
    settings = chosen_block(block, QUANTISATIONS, "quantisation", "model.quantised")
    assert isinstance(settings, FixedBits | LearnedBits)
    return settings


def quantised_network(block: str | Mapping[str, Any], network: Network, where: str) -> dict[str, Any]:
    """All settings of the block `quantised` of a network.

    Raises
    ------
    NtuplemlError
        For unknown settings, and for networks of which not all layers have a quantised form.
    """
    settings = chosen_block(block, QUANTISATIONS, "quantisation", where)
    latent = None if network.latent is None else network.latent.activation
    for activation in (network.activation, latent or network.activation):
        if activation not in QUANTISED_ACTIVATIONS:
            raise NtuplemlError(f"{where}: an activation is {activation}; quantised networks have relu or linear")
    if network.norm is not None:
        raise NtuplemlError(
            f"{where}: the hidden layers are normalised ({network.norm}), which has no quantised form here; leave norm "
            "out, and standardise the inputs"
        )
    if network.encoders:
        group = next(iter(network.encoders))
        raise NtuplemlError(
            f"{where}: model.encoders.{group} has no quantised form; quantised networks are dense layers of numbers"
        )
    name = block if isinstance(block, str) else str(block["type"])
    return {"type": name, **settings.model_dump()}
