"""A network from a Keras file, to begin a training with."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from ntupleml.artifacts import load_keras_model, read_keras_file, sha256_of_file
from ntupleml.artifacts.keras_options import is_optimizer
from ntupleml.errors import NtuplemlError, one_line
from ntupleml.models import LOSSES
from ntupleml.models.registries import loss_of, optimizer_of

if TYPE_CHECKING:
    from pathlib import Path

    from ntupleml.models import Network

log = logging.getLogger(__name__)


def load_initial_model(
    path: str | Path, network: Network, num_inputs: int, num_outputs: int
) -> tuple[Any, dict[str, Any]]:
    """Load a network with its weights, compiled with the metrics that our training follows.

    Loss and optimiser are those of the file, in their first state; those of the config where the file has none, or
    others than ours: a loss for targets that are not one-hot, an optimiser that is not Keras' own.

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
    description : dict
        For the record.
    """
    file = read_keras_file(path)
    found = (file.network.num_inputs, file.network.num_outputs)
    if found != (num_inputs, num_outputs):
        raise NtuplemlError(
            f"{path}: a network of {found[0]} inputs and {found[1]} outputs, but the training has {num_inputs} "
            f"variables and {num_outputs} classes; make it with these"
        )
    model = load_keras_model(file)
    description = {
        "initial_model": str(path),
        "initial_sha256": sha256_of_file(path),
        "layers": layers_of(model),
        **_compile(model, file.compile_config, network, path),
    }
    log.info("%s: the training begins with this network: loss %s", path, description["loss"])
    return model, description


def layers_of(model: Any) -> list[dict[str, Any]]:
    """Classes and outputs of the layers of a model, for the record."""
    return [{"class": type(layer).__name__, "outputs": layer.output.shape[-1]} for layer in model.layers]


def _compile(model: Any, found: dict[str, Any], network: Network, path: str | Path) -> dict[str, Any]:
    """Compile as the file says, where it says something that is read, and tell with which loss and optimiser."""
    import keras

    loss = _loss_name(found.get("loss")) or network.loss
    if loss not in LOSSES:
        log.warning(
            "%s: its loss '%s' is not for one-hot targets; that of the config is taken, %s", path, loss, network.loss
        )
        loss = network.loss
    settings = found.get("optimizer")
    if is_optimizer(settings):
        optimizer = keras.optimizers.deserialize(settings)
    else:
        if settings is not None:
            log.warning("%s: its optimizer is none that is read; that of the config is taken", path)
        optimizer = optimizer_of(network)
    model.compile(
        optimizer=optimizer,
        loss=loss_of(network) if loss == network.loss else LOSSES[loss](),
        weighted_metrics=[keras.metrics.CategoricalAccuracy(name="accuracy")],
        jit_compile=False,
    )
    # Keras numbers the names of optimisers within a process.
    kind = type(optimizer).__name__.lower()
    return {"loss": loss, "optimizer": kind, "learning_rate": float(optimizer.learning_rate)}


def _loss_name(loss: Any) -> str | None:
    """Name of the loss in a file, which has it as name, function or object."""
    if isinstance(loss, dict):
        settings = loss.get("config")
        loss = settings.get("name") if isinstance(settings, dict) else settings
    return None if loss is None else one_line(loss, 100)
