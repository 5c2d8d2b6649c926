"""The description of a network in a Keras file, checked before Keras builds anything from it.

Keras' own ``safe_mode`` has been got round again and again (CVE-2025-1550, 2025-8747, 2025-9906, 2025-49655): a
description may name functions to import and call, files to read, and code. Here every object in it, however deep,
must be one of a short list that plain dense networks are made of.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ntupleml.errors import NtuplemlError, one_line

if TYPE_CHECKING:
    from collections.abc import Iterator

_LAYERS = (
    "Activation ActivityRegularization Add AlphaDropout Average BatchNormalization Concatenate Dense Dropout ELU "
    "GaussianDropout GaussianNoise InputLayer LayerNormalization LeakyReLU Maximum Minimum Multiply ReLU Rescaling "
    "Softmax Subtract UnitNormalization"
)
_INITIALIZERS = (
    "Constant GlorotNormal GlorotUniform HeNormal HeUniform LecunNormal LecunUniform Ones Orthogonal RandomNormal "
    "RandomUniform TruncatedNormal VarianceScaling Zeros"
)
_OPTIMIZERS = "Adadelta Adafactor Adagrad Adam AdamW Adamax Ftrl Lion Nadam RMSprop SGD"
_LOSSES = (
    "BinaryCrossentropy BinaryFocalCrossentropy CategoricalCrossentropy CategoricalFocalCrossentropy "
    "CategoricalHinge Hinge Huber KLDivergence LogCosh MeanAbsoluteError MeanSquaredError Poisson "
    "SparseCategoricalCrossentropy SquaredHinge"
)
_METRICS = (
    "AUC Accuracy BinaryAccuracy BinaryCrossentropy CategoricalAccuracy CategoricalCrossentropy KLDivergence Mean "
    "MeanAbsoluteError MeanSquaredError Poisson Precision Recall RootMeanSquaredError SparseCategoricalAccuracy "
    "SparseCategoricalCrossentropy TopKCategoricalAccuracy"
)
_SCHEDULES = "CosineDecay CosineDecayRestarts ExponentialDecay InverseTimeDecay PiecewiseConstantDecay PolynomialDecay"
_FUNCTION_NAMES = (
    "binary_accuracy binary_crossentropy categorical_accuracy categorical_crossentropy categorical_hinge hinge huber "
    "kl_divergence log_cosh mean_absolute_error mean_squared_error poisson sparse_categorical_crossentropy "
    "squared_hinge"
)
#: What a description may name: the module, and the classes in it.
_ALLOWED = {
    "keras": frozenset({"Sequential", "Functional", "Model", "DTypePolicy"}),
    "keras.models": frozenset({"Sequential", "Functional", "Model"}),
    "keras.src.models.functional": frozenset({"Functional"}),
    "keras.src.models.sequential": frozenset({"Sequential"}),
    "keras.layers": frozenset(_LAYERS.split()),
    "keras.initializers": frozenset(_INITIALIZERS.split()),
    "keras.regularizers": frozenset({"L1", "L2", "L1L2"}),
    "keras.constraints": frozenset({"MaxNorm", "MinMaxNorm", "NonNeg", "UnitNorm"}),
    "keras.optimizers": frozenset(_OPTIMIZERS.split()),
    "keras.optimizers.schedules": frozenset(_SCHEDULES.split()),
    "keras.losses": frozenset(_LOSSES.split()),
    "keras.metrics": frozenset(_METRICS.split()),
}
_MODELS = frozenset({"Sequential", "Functional", "Model"})
#: Losses and metrics that were given to ``compile`` as functions.
_FUNCTIONS = frozenset(_FUNCTION_NAMES.split())
#: Number of weights that no network here has; more would be an attack on the memory.
MOST_WEIGHTS = 500_000_000
_MOST_OBJECTS = 100_000


def check_network_config(config: Any, where: str) -> None:
    """Refuse a network's description unless it is a plain network of known layers.

    Parameters
    ----------
    config : parsed JSON
        Content of ``config.json`` of a Keras file.
    where : str
        The file, for messages.

    Raises
    ------
    NtuplemlError
        Naming the first object that is not allowed and its place, or what is wrong with the sizes.
    """
    if not isinstance(config, dict) or config.get("class_name") not in _MODELS:
        raise NtuplemlError(f"{where}: does not describe a Keras network")
    for count, (place, item) in enumerate(_blocks(config)):
        if count > _MOST_OBJECTS:
            raise NtuplemlError(f"{where}: describes more than {_MOST_OBJECTS} objects; not a network of ours")
        _check_object(item, place, where)
    _check_size(config, where)


def _blocks(config: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every block of keys in a description, with its place in it."""
    waiting: list[tuple[str, Any]] = [("", config)]
    while waiting:
        place, item = waiting.pop()
        if isinstance(item, dict):
            yield place or "the network", item
            waiting += [(f"{place}.{key}".lstrip("."), value) for key, value in item.items()]
        elif isinstance(item, list):
            waiting += [(f"{place}[{index}]", value) for index, value in enumerate(item)]


def _check_object(item: dict[str, Any], place: str, where: str) -> None:
    if not {"class_name", "registered_name", "module", "spec_name"} & item.keys():
        return
    name, module, registered = item.get("class_name"), item.get("module"), item.get("registered_name")
    if name == "__keras_tensor__" and module is None and registered is None:
        return
    if name == "function" and _is_known_function(item):
        return
    shown = one_line(f"{module}.{name}" if module else name, 100)
    place = one_line(place, 200)
    if not isinstance(name, str) or not isinstance(module, str) or name not in _ALLOWED.get(module, ()):
        raise NtuplemlError(
            f"{where}: refused: {place} is '{shown}', which is not among the plain layers, losses, metrics and "
            "optimizers that are read; a network with it could run code"
        )
    if registered not in (None, name):
        raise NtuplemlError(
            f"{where}: refused: {place}, '{shown}', is registered as '{one_line(registered, 100)}', a custom object"
        )
    if not isinstance(item.get("config"), dict):
        raise NtuplemlError(f"{where}: damaged: {place}, '{shown}', has no config")


def _is_known_function(item: dict[str, Any]) -> bool:
    name = item.get("config")
    registered = item.get("registered_name")
    return (
        isinstance(name, str)
        and name in _FUNCTIONS
        and item.get("module") in ("builtins", "keras.losses", "keras.metrics")
        and registered in (None, "function", name)
    )


def _check_size(config: dict[str, Any], where: str) -> None:
    """Bound the number of weights from above: widths of layers, and how often concatenation multiplies them."""
    units = 0
    width = 0
    factor = 1
    for _, item in _blocks(config):
        inner = item.get("config")
        if not isinstance(inner, dict) or item.get("class_name") in _MODELS:
            continue
        units += _whole(inner.get("units", 0), where)
        for shape in (inner.get("batch_shape"), inner.get("shape"), item.get("build_config")):
            width = max(width, _largest(shape, where))
        if item.get("class_name") == "Concatenate":
            factor *= max(1, sum(block.get("class_name") == "__keras_tensor__" for _, block in _blocks(item)))
        if max(units, 1) * (units + width) * factor > MOST_WEIGHTS:
            raise NtuplemlError(f"{where}: refused: the network would have more than {MOST_WEIGHTS:,} weights")


def _largest(shape: Any, where: str) -> int:
    """Largest dimension in a shape, or in whatever nest of shapes."""
    if isinstance(shape, dict):
        return max((_largest(part, where) for part in shape.values()), default=0)
    if isinstance(shape, list):
        return max((_largest(part, where) for part in shape), default=0)
    return _whole(shape, where) if isinstance(shape, int) else 0


def _whole(value: Any, where: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise NtuplemlError(f"{where}: damaged: a layer has the width {one_line(value, 50)}")
    return value
