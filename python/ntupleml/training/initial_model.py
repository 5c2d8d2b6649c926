"""A network from a Keras file, to begin a training with."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from ntupleml.artifacts import load_keras_model, sha256_of_file
from ntupleml.errors import NtuplemlError
from ntupleml.models import LOSSES, OPTIMIZERS

if TYPE_CHECKING:
    from pathlib import Path

    from ntupleml.models import Network

log = logging.getLogger(__name__)


def load_initial_model(
    path: str | Path, network: Network, num_inputs: int, num_outputs: int
) -> tuple[Any, dict[str, Any]]:
    """Load a network with its weights, compiled anew with the metrics that our training follows.

    Loss and optimiser are those of the file, in their first state; those of the config where the file has none, or
    a loss for other targets than ours (one-hot).

    Parameters
    ----------
    path : path
        A `.keras` file.
    network : Network
        Network of the config, for its loss and optimiser.
    num_inputs, num_outputs : int
        What the training needs.

    Returns
    -------
    model : keras.Model
    description : dict
        For the record.

    Raises
    ------
    NtuplemlError
        If the file is not safe to load (`ntupleml.artifacts.check_keras_file`), or its network has other numbers of
        inputs or outputs.
    """
    model = load_keras_model(path)
    found = (model.input_shape[1], model.output_shape[-1])
    if found != (num_inputs, num_outputs):
        raise NtuplemlError(
            f"{path}: a network of {found[0]} inputs and {found[1]} outputs, but the training has {num_inputs} "
            f"variables and {num_outputs} classes; make it with these"
        )
    description = {
        "initial_model": str(path),
        "initial_sha256": sha256_of_file(path),
        "layers": [{"class": type(layer).__name__, "outputs": layer.output.shape[-1]} for layer in model.layers],
        **_compile(model, network, path),
    }
    log.info("%s: the training begins with this network: loss %s", path, description["loss"])
    return model, description


def _compile(model: Any, network: Network, path: str | Path) -> dict[str, Any]:
    """Compile and say with which loss and optimiser."""
    import keras

    loss, optimizer = network.loss, None
    if model.compiled:
        found = str(getattr(model.loss, "name", model.loss))
        optimizer = type(model.optimizer).from_config(model.optimizer.get_config())
        if found in LOSSES:
            loss = found
        else:
            log.warning(
                "%s: its loss '%s' is not for one-hot targets; that of the config is taken, %s", path, found, loss
            )
    if optimizer is None:
        options = {} if network.learning_rate is None else {"learning_rate": network.learning_rate}
        optimizer = OPTIMIZERS[network.optimizer](**options)
    model.compile(
        optimizer=optimizer,
        loss=LOSSES[loss](),
        weighted_metrics=[keras.metrics.CategoricalAccuracy(name="accuracy")],
        jit_compile=False,
    )
    return {"loss": loss, "optimizer": optimizer.name, "learning_rate": float(optimizer.learning_rate)}
