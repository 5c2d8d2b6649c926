"""Encoders: what a network does to a group of inputs before the groups are joined. One file and one line each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from ntupleml.config.loading import first_problem
from ntupleml.errors import NtuplemlError
from ntupleml.models.encoders.convolution import Convolution
from ntupleml.models.encoders.deep_set import DeepSet
from ntupleml.models.encoders.dense import Dense
from ntupleml.models.encoders.recurrent import Recurrent
from ntupleml.models.encoders.transformer import Transformer
from ntupleml.models.registries import ACTIVATIONS, require_name

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ntupleml.models.encoders.encoder import Encoder

#: Encoders by the names that a config has.
ENCODERS: dict[str, type[Encoder]] = {
    "convolution": Convolution,
    "deep_set": DeepSet,
    "dense": Dense,
    "recurrent": Recurrent,
    "transformer": Transformer,
}
#: What is done to a group of a kind that nothing is said about; numbers are left as they are.
DEFAULT_ENCODERS = {"objects": "deep_set", "image": "convolution"}


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
    try:
        found = encoder.model_validate({key: value for key, value in settings.items() if key != "type"})
    except ValidationError as error:
        raise NtuplemlError(first_problem(error, encoder, where)) from error
    if found.activation is not None:
        require_name(found.activation, ACTIVATIONS, "activation", f"{where}.activation")
    return found
