"""A network of the user's own, from a Keras file or a Python file that the command line names."""

from __future__ import annotations

import logging
import random
import runpy
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ntupleml.artifacts import file_of_model, load_keras_model, read_keras_file, sha256_of_file
from ntupleml.artifacts.keras_shapes import shown
from ntupleml.errors import NtuplemlError, one_line
from ntupleml.models import compile_model
from ntupleml.training.initial_model import layers_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ntupleml.artifacts.keras_network import KerasNetwork
    from ntupleml.artifacts.keras_shapes import Shape
    from ntupleml.models import Network
    from ntupleml.training.preparation import Preparation

log = logging.getLogger(__name__)

#: What a Python file has to define.
_BUILD = "build"


def check_own_network(path: str | None, *, keep_weights: bool) -> None:
    """Refuse, before events are read, a missing or unreadable file and meaningless options."""
    is_python = path is not None and Path(path).suffix == ".py"
    if keep_weights and (path is None or is_python):
        raise NtuplemlError(
            "--keep-weights is for the .keras file of --network; a Python file gives its network the weights itself"
        )
    if path is not None and not Path(path).is_file():
        raise NtuplemlError(f"{path}: no such file; give a .keras file or a .py file")
    if path is not None and not is_python:
        read_keras_file(path)


def load_own_network(
    path: str, network: Network, preparation: Preparation, seed: int, *, keep_weights: bool
) -> tuple[Any, dict[str, Any]]:
    """Load or build the network of a file, compiled with loss and optimiser of the config.

    Parameters
    ----------
    path : str
        A ``.keras`` file, of which nothing is run, or a ``.py`` file, which is run: its function
        ``build(shapes, num_outputs, seed)`` gets a dict of `GroupShape` and gives a Keras model of plain layers.
    network : Network
        Of the config, for loss and optimiser.
    seed : int
        Of weights that are drawn.

    Returns
    -------
    description : dict
        For the record.

    Raises
    ------
    NtuplemlError
        If the file cannot be run or read, or its network does not fit inputs and outputs of the training; naming the
        first layer that is not read.
    """
    with _seeded(seed):
        if Path(path).suffix == ".py":
            model = _built(path, preparation, seed)
            file = file_of_model(model, path)
        else:
            file = read_keras_file(path)
            model = load_keras_model(file, new_weights=not keep_weights)
    _check(file.network, preparation)
    model = _by_name(model, file.network)
    compile_model(model, network, preparation.image)
    description = {
        "file": path,
        "sha256": sha256_of_file(path),
        "weights": "kept" if keep_weights else "new",
        "layers": layers_of(model),
        "loss": network.loss,
        "optimizer": network.optimizer,
        "learning_rate": float(model.optimizer.learning_rate),
    }
    log.info("%s: the network of this file is trained: %d weights", path, model.count_params())
    return model, description


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Let the seed decide what Keras draws without one of its own; it asks Python's generator."""
    state = random.getstate()
    random.seed(seed)
    try:
        yield
    finally:
        random.setstate(state)


def _built(path: str, preparation: Preparation, seed: int) -> Any:
    """What the function of a Python file gives."""
    import keras

    try:
        build = runpy.run_path(path).get(_BUILD)
        model = None if build is None else build(dict(preparation.shapes), preparation.width, seed)
    except (Exception, SystemExit) as error:  # whatever the file raises
        raise NtuplemlError(f"{path}: {type(error).__name__}: {one_line(error)}; fix the file") from error
    if build is None:
        raise NtuplemlError(f"{path}: it has no function {_BUILD}(shapes, num_outputs, seed); write one")
    if not isinstance(model, keras.Model):
        raise NtuplemlError(f"{path}: its {_BUILD} gives a {type(model).__name__}; a keras.Model is needed")
    return model


def _check(network: KerasNetwork, preparation: Preparation) -> None:
    """Refuse a network of other inputs or outputs than the training has."""
    wanted = _expected(preparation)
    found = network.inputs
    if len(wanted) == len(found) == 1:  # a network of one input may call it as it likes
        wanted = dict(zip(found, wanted.values(), strict=True))
    if wanted.keys() != found.keys() or not all(_fits(found[name], shape) for name, shape in wanted.items()):
        raise NtuplemlError(
            f"{network.where}: takes {_listed(found)}, but the training gives {_listed(wanted)}; make it with these"
        )
    number = preparation.width
    if network.num_outputs != number:
        raise NtuplemlError(
            f"{network.where}: gives {network.num_outputs} numbers per row, but the training has {number} "
            f"({preparation.target.kind}); make it with these"
        )
    if preparation.target.kind == "classes" and not _is_softmax(network):
        log.warning("%s: its last layer has no softmax, so its scores are no probabilities", network.where)


def _expected(preparation: Preparation) -> dict[str, Shape]:
    """Shapes of what the network gets for one row, by its name."""
    expected: dict[str, Shape] = {}
    for name, group in preparation.shapes.items():
        expected[name] = group.shape
        if group.kind == "objects":
            expected[f"{name}_mask"] = group.shape[:1]
        if name in preparation.vectors:
            expected[f"{name}_vectors"] = (group.shape[0], 4)
    return expected


def _fits(found: Shape, wanted: Shape) -> bool:
    """Whether an input takes values of a shape; one of an open number of objects takes any."""
    return len(found) == len(wanted) and all(
        one is None or one == other for one, other in zip(found, wanted, strict=True)
    )


def _listed(inputs: dict[str, Shape]) -> str:
    return one_line(", ".join(f"'{name}' ({shown(shape)})" for name, shape in inputs.items()), 300)


def _is_softmax(network: KerasNetwork) -> bool:
    last = network.last.layer
    return last.kind == "Softmax" or last.settings.get("activation") == "softmax"


def _by_name(model: Any, network: KerasNetwork) -> Any:
    """The same model, which takes an array, or a dict where it has several inputs."""
    import keras

    if isinstance(model, keras.Sequential):
        return model
    inputs = {one.name: one for one in model.inputs} if len(network.input_names) > 1 else model.inputs[0]
    return keras.Model(inputs, model.outputs[0], name="network")
