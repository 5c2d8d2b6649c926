"""Encoders: what a network does to a group of inputs before the groups are joined. One file and one line each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ntupleml.errors import NtuplemlError
from ntupleml.models.encoders.convolution import Convolution
from ntupleml.models.encoders.deep_set import DeepSet
from ntupleml.models.encoders.dense import Dense
from ntupleml.models.encoders.dense_convolution import DenseConvolution
from ntupleml.models.encoders.edge_convolution import EdgeConvolution
from ntupleml.models.encoders.graph_attention import GraphAttention
from ntupleml.models.encoders.graph_convolution import GraphConvolution
from ntupleml.models.encoders.hourglass import Hourglass
from ntupleml.models.encoders.lorentz_interaction import LorentzInteraction
from ntupleml.models.encoders.particle_transformer import ParticleTransformer
from ntupleml.models.encoders.periodic_convolution import PeriodicConvolution
from ntupleml.models.encoders.recurrent import Recurrent
from ntupleml.models.encoders.residual import Residual
from ntupleml.models.encoders.residual_convolution import ResidualConvolution
from ntupleml.models.encoders.set_transformer import SetTransformer
from ntupleml.models.encoders.transformer import Transformer
from ntupleml.models.encoders.weighted_sum import WeightedSum
from ntupleml.models.registries import ACTIVATIONS, chosen_block, require_name

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ntupleml.models.encoders.encoder import Encoder

#: Encoders by the names that a config has.
ENCODERS: dict[str, type[Encoder]] = {
    "convolution": Convolution,
    "deep_set": DeepSet,
    "dense": Dense,
    "dense_convolution": DenseConvolution,
    "edge_convolution": EdgeConvolution,
    "graph_attention": GraphAttention,
    "graph_convolution": GraphConvolution,
    "hourglass": Hourglass,
    "lorentz_interaction": LorentzInteraction,
    "particle_transformer": ParticleTransformer,
    "periodic_convolution": PeriodicConvolution,
    "recurrent": Recurrent,
    "residual": Residual,
    "residual_convolution": ResidualConvolution,
    "set_transformer": SetTransformer,
    "transformer": Transformer,
    "weighted_sum": WeightedSum,
}
#: What is done to a group of a kind that nothing is said about; numbers are left as they are.
DEFAULT_ENCODERS = {"objects": "deep_set", "image": "convolution"}
#: The same for an image, where an image is learnt.
IMAGE_TO_IMAGE = "periodic_convolution"


def encoder_of(settings: Mapping[str, Any], kind: str, where: str) -> Encoder:
    """Encoder that the block of a config means.

    Parameters
    ----------
    settings : mapping
        Its ``type``, a key of `ENCODERS`, and its settings; without a type the one that goes with the kind.
    kind : str
        Of the group: ``numbers``, ``objects`` or ``image``.
    """
    name = settings.get("type", DEFAULT_ENCODERS.get(kind, "dense"))
    require_name(str(name), ENCODERS, "encoder", f"{where}.type")
    encoder = ENCODERS[name]
    if kind not in encoder.kinds:
        fitting = [one for one, other in ENCODERS.items() if kind in other.kinds]
        raise NtuplemlError(
            f"{where}.type: '{name}' is for {' and '.join(encoder.kinds)}, but the group is of the kind {kind}; take "
            f"{' or '.join(fitting)}"
        )
    found = chosen_block({**settings, "type": name}, ENCODERS, "encoder", where)
    if found.activation is not None:
        require_name(found.activation, ACTIVATIONS, "activation", f"{where}.activation")
    return found
