"""Quantised layers of HGQ2 in Keras files: what they may be told, which weights they and their quantisers have."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from ntupleml.artifacts.keras_options import (
    among,
    initializer,
    is_flag,
    is_number,
    is_unset,
    number,
    optional,
)
from ntupleml.artifacts.keras_shapes import Part, Shape, Shapes, one_input, wide

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    Check = Callable[[Any], bool]
    Settings = Mapping[str, Any]

#: Widths that are read: a number of the network must fit into 64 bits.
_MOST_BITS = 64
ROUNDINGS = ("TRN", "RND", "RND_CONV", "TRN_ZERO", "RND_ZERO", "RND_MIN_INF", "RND_INF")
OVERFLOWS = ("WRAP", "SAT", "SAT_SYM")


def _object(module: str, kinds: Mapping[str, Sequence[str]]) -> Check:
    """An object of HGQ2 whose settings are numbers: names of settings by its class."""

    def check(value: Any) -> bool:
        if not isinstance(value, dict) or value.keys() - {"module", "class_name", "config", "registered_name"}:
            return False
        kind, settings = value.get("class_name"), value.get("config")
        return (
            isinstance(kind, str)
            and kind in kinds
            and value.get("module") == module
            and value.get("registered_name") == f"hgq>{kind}"
            and isinstance(settings, dict)
            and settings.keys() == set(kinds[kind])
            and all(map(is_number, settings.values()))
        )

    return check


def _is_axes(value: Any) -> bool:
    """Whether a value is a list of axes, of the three that there can be at most."""
    return isinstance(value, list) and len(value) <= 3 and all(isinstance(one, int) and -3 <= one <= 2 for one in value)


def _is_speed(value: Any) -> bool:
    return is_number(value) or (isinstance(value, float) and math.isinf(value))


_bound = optional(
    _object("hgq.constraints", {"MinMax": ("min_value", "max_value"), "Min": ("min_value",), "Max": ("max_value",),
                                "Constant": ("value",)})
)  # fmt: skip
_penalty = optional(_object("hgq.regularizers", {"MonoL1": ("l1",)}))
_width = number(-_MOST_BITS, _MOST_BITS)
_QUANTISER: dict[str, Check] = {
    "q_type": among("kbi", "kif"),
    "place": among("weight", "bias", "datalane", "table"),
    "scaler": is_unset,
    "affine": is_unset,
    "qnoise_factor": is_unset,
    "bw_mapper": is_unset,
    "k0": lambda value: is_flag(value) or (is_number(value) and value in (0, 1)),
    "round_mode": among(*ROUNDINGS),
    "overflow_mode": among(*OVERFLOWS),
    "i_decay_speed": _is_speed,
    "homogeneous_axis": optional(_is_axes),
    "heterogeneous_axis": optional(_is_axes),
    "trainable": is_flag,
    "is_weight": is_flag,
    **dict.fromkeys(("b0", "i0", "f0"), _width),
    **dict.fromkeys(("bc", "ic", "fc"), _bound),
    **dict.fromkeys(("br", "ir", "fr"), _penalty),
}


def is_quantiser(value: Any) -> bool:
    """Whether a value describes a fixed-point quantiser with plain settings."""
    if not isinstance(value, dict) or value.keys() - {"module", "class_name", "config", "registered_name"}:
        return False
    settings = value.get("config")
    return (
        (value.get("module"), value.get("class_name")) == ("hgq.quantizer.config", "QuantizerConfig")
        and value.get("registered_name") == "hgq>QuantizerConfig"
        and isinstance(settings, dict)
        and all(key in _QUANTISER and _QUANTISER[key](one) for key, one in settings.items())
        and {"q_type", "overflow_mode", "round_mode"} <= settings.keys()
    )


def _shape_of_widths(settings: Settings, shape: Shape) -> Shape:
    """Of the widths of a quantiser: 1 along the axes that share one."""
    shared, own = settings.get("homogeneous_axis"), settings.get("heterogeneous_axis")
    if (shared is None) == (own is None):
        raise ValueError("a quantiser has both or none of homogeneous_axis and heterogeneous_axis")
    axes = range(len(shape))
    own_axes = [axis for axis in axes if axis not in {one % len(shape) for one in shared or []}]
    kept = own_axes if own is None else [one % len(shape) for one in own]
    if any(shape[axis] is None for axis in kept):
        raise ValueError("a quantiser has a width for each event or object, of which the number is open")
    return tuple(shape[axis] if axis in kept else 1 for axis in axes)


def _part(name: str, description: Any, shape: Shape) -> Part:
    """Weights of a quantiser, in the order of the file: trainable ones first."""
    settings = description["config"]
    widths = _shape_of_widths(settings, shape)
    wraps = settings["overflow_mode"] == "WRAP"
    return Part(name, (widths,) * 3 + (((),) if wraps else ()))


def dense(settings: Settings, inputs: list[Shape]) -> Shapes:
    """Kernel, bias, the factor of the EBOPs and their number; then the quantisers of kernel, bias and inputs."""
    shape = one_input(inputs, rank=1)
    units, width = settings["units"], wide(shape)
    biased = settings.get("use_bias", True)
    own: list[Shape] = [(width, units), *([(units,)] if biased else [])]
    if settings["enable_ebops"]:
        own += [(), ()]
    if not is_unset(settings.get("enable_oq")) or settings["iq_conf"] is None:
        raise ValueError("it has a quantiser of outputs, or none of inputs; those of inputs alone are read")
    parts = [_part("kq/quantizer", settings["kq_conf"], (width, units))]
    if biased:
        parts.append(_part("bq/quantizer", settings["bq_conf"], (units,)))
    parts.append(_part("iq/quantizer", settings["iq_conf"], (None, width)))
    return Shapes((units,), tuple(own), further=tuple(parts))


def quantiser(settings: Settings, inputs: list[Shape]) -> Shapes:
    """The weights of the quantiser."""
    shape = one_input(inputs)
    return Shapes(shape, further=(_part("quantizer", settings["config"], (None, *shape)),))


#: Settings of a dense layer beside those of Keras' own.
DENSE: dict[str, Check] = {
    "activation": among("linear", "relu", None),
    "enable_ebops": is_flag,
    "enable_iq": is_flag,
    "ebops_factor": number(0),
    "beta0": lambda value: is_number(value) or initializer(value),
    "iq_conf": is_quantiser,
    "kq_conf": is_quantiser,
    "bq_conf": optional(is_quantiser),
    "parallelization_factor": is_number,
}
QUANTISER: dict[str, Check] = {"config": is_quantiser}
