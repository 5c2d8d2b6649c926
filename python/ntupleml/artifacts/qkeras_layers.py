"""Quantised layers of QKeras: what they may be told, which weights they have."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ntupleml.artifacts.keras_options import among, is_axis, is_flag, is_unset, is_whole, number
from ntupleml.artifacts.keras_shapes import Shape, Shapes, one_input, wide
from ntupleml.artifacts.qkeras_quantisers import read_quantiser

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Check = Callable[[Any], bool]
    Settings = Mapping[str, Any]


def _require_quantisers(settings: Settings, *keys: str) -> None:
    """Refuse a layer without quantisers, with the reason of the first that is not read."""
    for key in keys:
        if key not in settings:
            raise ValueError(f"it has no {key}, so its numbers are not fixed")
        read_quantiser(settings[key], of_kernel=key == "kernel_quantizer")
    if settings.get("activation") not in (None, "linear", "relu"):
        read_quantiser(settings["activation"])


def dense(settings: Settings, inputs: list[Shape]) -> Shapes:
    """Kernel and bias."""
    shape, units = one_input(inputs, rank=1), settings["units"]
    biased = settings.get("use_bias", True)
    _require_quantisers(settings, "kernel_quantizer", *(["bias_quantizer"] if biased else []))
    return Shapes((units,), ((wide(shape), units), *([(units,)] if biased else [])))


def dense_batchnorm(settings: Settings, inputs: list[Shape]) -> Shapes:
    """Kernel and bias, then scale, centre, averages and variances."""
    _require_quantisers(settings, "bias_quantizer")  # the normalisation gives it a bias
    own, units = dense(settings, inputs), settings["units"]
    number = 2 + sum(bool(settings.get(key, True)) for key in ("scale", "center"))
    return Shapes(own.output, (*own.weights, *((units,),) * number))


def activation(settings: Settings, inputs: list[Shape]) -> Shapes:
    """Nothing."""
    _require_quantisers(settings, "activation")
    return Shapes(one_input(inputs))


def batch_normalization(settings: Settings, inputs: list[Shape]) -> Shapes:
    """Scale, centre, averages and variances of a normalisation that rounds nothing."""
    shape = one_input(inputs, rank=1)
    number = 2 + sum(bool(settings.get(key, True)) for key in ("scale", "center"))
    return Shapes(shape, ((wide(shape),),) * number)


def _is_described(value: Any) -> bool:
    return isinstance(value, str | dict)  # what it says is read with the shapes, which can give the reason


_NORMALISED: dict[str, Check] = {
    "axis": is_axis,
    "momentum": number(0, 1),
    "epsilon": number(0, 1),
    "center": is_flag,
    "scale": is_flag,
}
DENSE: dict[str, Check] = {
    "units": is_whole,
    "activation": _is_described,
    "use_bias": is_flag,
    "kernel_quantizer": _is_described,
    "bias_quantizer": _is_described,
}
DENSE_BATCHNORM: dict[str, Check] = {
    **DENSE,
    **_NORMALISED,
    "folding_mode": among("ema_stats_folding", "batch_stats_folding"),
}
ACTIVATION: dict[str, Check] = {"activation": _is_described}
BATCH_NORMALIZATION: dict[str, Check] = {
    **_NORMALISED,
    **dict.fromkeys(("gamma_quantizer", "beta_quantizer", "mean_quantizer", "variance_quantizer"), is_unset),
}
