"""A trained quantised network beside the same in whole numbers: what it costs, and that both give the same."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import numpy as np

from ntupleml.artifacts import file_of_model
from ntupleml.errors import NtuplemlError
from ntupleml.preprocessing.groups import as_argument
from ntupleml.quantised import evaluate, resources_of, without_softmax
from ntupleml.quantised.fixed_point import FLOAT_BITS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

log = logging.getLogger(__name__)


def quantised_record(model: Any, inputs: Mapping[str, NDArray[np.float32]]) -> dict[str, Any]:
    """What the record of a training has of a quantised network.

    Parameters
    ----------
    model : keras.Model
        Trained, with layers of HGQ2.
    inputs : mapping of str to array
        Scaled inputs of real events, on which HGQ2's numbers and whole numbers are compared.

    Returns
    -------
    dict
        ``layers`` (`LayerResources` by their names), ``ebops`` of all, ``exact_in_float32`` (whether single precision
        holds all sums) and ``check``: the number of events, and the largest difference before a softmax.

    Raises
    ------
    NtuplemlError
        If single precision holds all sums, and yet a number differs.
    """
    file = file_of_model(model)
    layers = resources_of(file)
    widest = max(one.sum_bits or 0 for one in layers)
    is_exact = widest - 1 <= FLOAT_BITS
    given = as_argument(inputs)
    found = evaluate(without_softmax(file), inputs if len(inputs) > 1 else given)
    expected = np.asarray(_before_softmax(model)(given, training=False), np.float64)
    difference = float(np.abs(found - expected).max(initial=0.0))
    if is_exact and difference > 0:
        raise NtuplemlError(
            f"the quantised network gives other numbers in whole numbers than in HGQ2, by up to {difference:.2g} on "
            f"{len(found)} events; please report it"
        )
    if not is_exact:
        log.warning(
            "sums of the quantised network need up to %d bits, more than single precision has: HGQ2 rounds them, "
            "hardware and the ONNX file do not; the largest difference is %.2g",
            widest,
            difference,
        )
    ebops = sum(one.ebops or 0 for one in layers)
    log.info("quantised network: %d EBOPs; equal to HGQ2 in whole numbers within %.2g", ebops, difference)
    return {
        "layers": [one._asdict() for one in layers],
        "ebops": ebops,
        "exact_in_float32": is_exact,
        "check": {"events": len(found), "largest_difference": difference},
    }


def _before_softmax(model: Any) -> Any:
    """The model up to the numbers of which its last layer makes probabilities."""
    import keras

    last = model.layers[-1]
    is_softmax = getattr(last, "activation", None) is keras.activations.softmax
    return keras.Model(model.inputs[0] if len(model.inputs) == 1 else model.inputs, last.input) if is_softmax else model
