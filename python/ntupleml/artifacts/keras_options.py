"""What the settings of a layer in a Keras file may be: checks of one value each, and the objects that layers name.

A check returns whether a value is read. Numbers are bounded, texts short, lists no longer than the file can pay for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    Check = Callable[[Any], bool]

_LARGEST_FLOAT32 = 3.4028234663852886e38
_LONGEST_NAME = 1000
#: Axes of a value beside that of the events, and pixels that a layer looks at together along one.
MOST_AXES, _LARGEST_WINDOW = 3, 10_000
_ACTIVATION_NAMES = (
    "celu elu exponential gelu hard_shrink hard_sigmoid hard_silu hard_swish hard_tanh leaky_relu linear log_sigmoid "
    "log_softmax mish relu relu6 selu sigmoid silu soft_shrink softmax softplus softsign sparse_plus sparse_sigmoid "
    "squareplus swish tanh tanh_shrink"
)
_INITIALIZERS = (
    "Constant GlorotNormal GlorotUniform HeNormal HeUniform LecunNormal LecunUniform Ones Orthogonal RandomNormal "
    "RandomUniform TruncatedNormal VarianceScaling Zeros"
)
_OPTIMIZERS = "Adadelta Adafactor Adagrad Adam AdamW Adamax Ftrl Lion Nadam RMSprop SGD"
_SCHEDULES = "CosineDecay CosineDecayRestarts ExponentialDecay InverseTimeDecay PiecewiseConstantDecay PolynomialDecay"
#: Activations by the names that files have, Keras' aliases included. Two are missing: the layers of Keras do not know
#: that `glu` halves the number of values, and its `sparsemax` is not that of its paper.
ACTIVATIONS = frozenset(_ACTIVATION_NAMES.split())
#: Those of recurrent layers.
GATE_ACTIVATIONS = ("tanh", "sigmoid", "relu")
#: What can be taken over the objects of an event.
POOLS = ("sum", "mean", "max", "last")


def number(low: float = -_LARGEST_FLOAT32, high: float = _LARGEST_FLOAT32) -> Check:
    """A finite number in a range."""
    return lambda value: is_number(value) and low <= value <= high


def is_number(value: Any) -> bool:
    """Whether a value is a number that fits into 32-bit floats."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= _LARGEST_FLOAT32


def is_whole(value: Any) -> bool:
    """Whether a value is a whole number of 1 or more that arrays can have as size."""
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value < 2**31


def is_flag(value: Any) -> bool:
    """Whether a value is True or False."""
    return isinstance(value, bool)


def is_name(value: Any) -> bool:
    """Whether a value is a name of a length that people give."""
    return isinstance(value, str) and 0 < len(value) <= _LONGEST_NAME


def is_unset(value: Any) -> bool:
    """Whether a value leaves a setting off."""
    return value is None or value is False


def is_axis(value: Any) -> bool:
    """Whether a value is an axis, or a list of one; which, a layer says by its input."""
    if isinstance(value, list) and len(value) == 1:
        (value,) = value
    return isinstance(value, int) and not isinstance(value, bool) and -1 <= value <= MOST_AXES and value != 0


def is_window(value: Any) -> bool:
    """Whether a value is a number of pixels that a layer looks at together."""
    return is_whole(value) and bool(value <= _LARGEST_WINDOW)


def is_sizes(value: Any) -> bool:
    """Whether a value is a size, or one along each of a few axes."""
    sizes = value if isinstance(value, list) else [value]
    return 1 <= len(sizes) <= MOST_AXES and all(map(is_window, sizes))


def sizes_of(value: Any, axes: int) -> tuple[int, ...]:
    """The sizes along a number of axes of a value for which `is_sizes` holds."""
    sizes = tuple(value) if isinstance(value, list) else (value,) * axes
    if len(sizes) != axes:
        raise ValueError(f"it has {len(sizes)} sizes for {axes} axes")
    return sizes


def is_target_shape(value: Any) -> bool:
    """Whether a value is a shape, in which one size may be open."""
    return isinstance(value, list) and 1 <= len(value) <= MOST_AXES and all(is_whole(one) or one == -1 for one in value)


def is_modes(value: Any) -> bool:
    """Whether a value says what is taken over objects."""
    return isinstance(value, list) and 1 <= len(value) <= len(POOLS) and all(one in POOLS for one in value)


def among(*values: Any) -> Check:
    """One of a few values."""
    return lambda value: not isinstance(value, bool | float) and value in values


def is_seed(value: Any) -> bool:
    """Whether a value is a seed."""
    return value is None or (isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**64)


def optional(check: Check) -> Check:
    """A value that may be left out."""
    return lambda value: value is None or check(value)


def is_float32(value: Any) -> bool:
    """Whether a type, by name or as a policy, is float32."""
    if isinstance(value, dict):
        return value.get("config") == {"name": "float32"} and _policy(value)
    return value is None or value == "float32"


def is_numbers(value: Any) -> bool:
    """Whether a value is a number, or a list of numbers, also in the form that Keras gives numpy's arrays."""
    if isinstance(value, dict) and value.get("class_name") == "__numpy__":
        content = value.get("config")
        if value.keys() > {"class_name", "config"} or not isinstance(content, dict) or content.keys() != _NUMPY_KEYS:
            return False
        if content["dtype"] not in ("float16", "float32", "float64", "int32", "int64"):
            return False
        value = content["value"]
    return is_number(value) or (isinstance(value, list) and bool(value) and all(map(is_number, value)))


_NUMPY_KEYS = {"value", "dtype"}


def numbers_of(value: Any) -> list[float]:
    """The numbers of a value for which `is_numbers` holds; a single one as a list of one."""
    if isinstance(value, dict):
        value = value["config"]["value"]
    return [float(one) for one in value] if isinstance(value, list) else [float(value)]


def one_of(module: str, names: Collection[str]) -> Check:
    """An object of Keras by its name alone or with plain settings, or nothing."""

    def check(value: Any) -> bool:
        if value is None or isinstance(value, str):
            return value is None or len(value) <= _LONGEST_NAME
        if not isinstance(value, dict) or value.get("module") != module or value.get("class_name") not in names:
            return False
        settings = value.get("config")
        registered = value.get("registered_name") in (None, value["class_name"])
        return registered and isinstance(settings, dict) and all(map(_is_plain, settings.values()))

    return check


def _is_plain(value: Any) -> bool:
    """Whether a setting is nothing, a flag, number, short text, or a few numbers."""
    if value is None:
        return True
    if isinstance(value, list):
        return len(value) <= 8 and all(map(is_number, value))
    return is_flag(value) or is_number(value) or (isinstance(value, str) and len(value) <= _LONGEST_NAME)


_policy = one_of("keras", ("DTypePolicy",))
initializer = one_of("keras.initializers", _INITIALIZERS.split())
regularizer = one_of("keras.regularizers", ("L1", "L2", "L1L2"))
constraint = one_of("keras.constraints", ("MaxNorm", "MinMaxNorm", "NonNeg", "UnitNorm"))
_optimizer = one_of("keras.optimizers", _OPTIMIZERS.split())
_schedule = one_of("keras.optimizers.schedules", _SCHEDULES.split())


def is_optimizer(value: Any) -> bool:
    """Whether a value is one of Keras' optimisers with plain settings; the learning rate may follow a schedule."""
    if not isinstance(value, dict) or not isinstance(value.get("config"), dict):
        return False
    settings = dict(value["config"])
    rate = settings.pop("learning_rate", 1e-3)
    return _optimizer({**value, "config": settings}) and (
        is_number(rate) or (isinstance(rate, dict) and _schedule(rate))
    )
