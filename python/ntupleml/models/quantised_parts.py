"""Layers of a quantised network: those of HGQ2 in place of Keras' own. Importing HGQ2 is left to who builds one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ntupleml.imports import import_hgq
from ntupleml.models.parts import Parts
from ntupleml.models.quantisation import FixedBits, FixedPoint, quantisation_of

if TYPE_CHECKING:
    from ntupleml.models.networks import Network


class QuantisedParts(Parts):
    """Makes the layers of a quantised network; each rounds its inputs, weights and biases."""

    def __init__(self, network: Network, seed: int) -> None:
        super().__init__(network, seed)
        assert network.quantised is not None
        import_hgq()
        self._settings = quantisation_of(network.quantised)
        #: Of what the next layer gets; None at the beginning.
        self._before: str | None = None

    def activated(self, kind: str, name: str, ending: str, *arguments: Any, **options: Any) -> list[Any]:
        """A layer and its activation; a relu with a slope is made of its parts, each of which hardware has."""
        slope = self._settings.slope if isinstance(self._settings, FixedBits) else 0.0
        if kind != "Dense" or self.activation != "relu" or not slope:
            return super().activated(kind, name, ending, *arguments, **options)
        self.activation = "linear"
        dense, *others = super().activated(kind, name, ending, *arguments, **options)
        self.activation, self._before = "relu", "linear"
        return [dense, *self._relu(slope, ending), *others]

    def output(self, width: int, name: str = "scores") -> list[Any]:
        """The last layer: quantised, and behind it what makes probabilities of its numbers."""
        import keras

        if self.network.output == "linear":
            return super().output(width, name)
        dense = self._made(keras.layers.Dense, "logits", width, **self._of_output())
        return [dense, keras.layers.Activation(self.network.output, name=name)]

    def _relu(self, slope: float, ending: str) -> list[Any]:
        """Values are clipped to where the relu does not saturate, then those below 0 get the slope."""
        import keras
        from hgq.quantizer import Quantizer

        settings = self._settings
        fractions = [one.fixed_point(signed=True).fraction for one in (settings.inputs, settings.activations)]
        # as fine as the sums, so that nothing is rounded here
        finest = settings.weights.fixed_point(signed=True).fraction + max(fractions)
        range_ = FixedPoint(1, settings.activations.integer, finest)
        return [
            Quantizer(_of_values(range_, "RND", trainable=False), name=f"{self.prefix}range_{ending}"),
            keras.layers.LeakyReLU(negative_slope=slope, name=f"{self.prefix}activation_{ending}"),
        ]

    def _made(self, layer: Any, name: str, *arguments: Any, **options: Any) -> Any:
        """A layer with weights; a dense one is quantised."""
        import keras
        from hgq.layers import QDense

        if layer is not keras.layers.Dense:
            return super()._made(layer, name, *arguments, **options)
        settings, learned = self._settings, not isinstance(self._settings, FixedBits)
        to_even = isinstance(settings, FixedBits) and settings.ties == "even"
        rounding = "RND_CONV" if to_even else "RND"
        weights = settings.weights.fixed_point(signed=True)
        if self._before is None:
            inputs = settings.inputs.fixed_point(signed=True)
        else:
            inputs = settings.activations.fixed_point(signed=self._before != "relu")
        self._before = options.get("activation") or "linear"
        return QDense(
            *arguments,
            kq_conf=_of_weights(weights, trainable=learned),
            bq_conf=_of_weights(weights, trainable=learned),
            iq_conf=_of_values(inputs, rounding, trainable=learned),
            beta0=float(getattr(settings, "beta", 0.0)),
            **options,
            name=name,
        )


def _of_weights(start: FixedPoint, *, trainable: bool) -> Any:
    """Quantiser of weights: one width for each where it is learnt, else one for all; the range saturates."""
    from hgq.constraints import MinMax
    from hgq.quantizer import QuantizerConfig
    from hgq.regularizers import MonoL1

    return QuantizerConfig(
        "kbi",
        "weight",
        k0=start.sign,
        i0=start.integer,
        b0=start.integer + start.fraction,
        round_mode="RND" if trainable else "RND_CONV",
        overflow_mode="SAT",
        bc=MinMax(0, 23) if trainable else None,
        br=MonoL1(1e-8) if trainable else None,
        trainable=trainable,
        **_axes((), trainable),
    )


def _of_values(start: FixedPoint, rounding: str, *, trainable: bool) -> Any:
    """Quantiser of values of events: one width for each column where it is learnt, else one for all.

    Values out of range saturate: those that wrap round, HGQ2's default, would give a rare event any score.
    """
    from hgq.constraints import MinMax
    from hgq.quantizer import QuantizerConfig
    from hgq.regularizers import MonoL1

    return QuantizerConfig(
        "kif",
        "datalane",
        k0=start.sign,
        i0=start.integer,
        f0=start.fraction,
        round_mode=rounding,
        overflow_mode="SAT",
        ic=MinMax(-12, 12) if trainable else None,
        fc=MinMax(-12, 12) if trainable else None,
        ir=MonoL1(1e-8) if trainable else None,
        fr=MonoL1(1e-8) if trainable else None,
        trainable=trainable,
        **_axes((0,), trainable),
    )


def _axes(shared: tuple[int, ...], trainable: bool) -> dict[str, Any]:
    """Along which axes widths are shared."""
    if trainable:
        return {"homogeneous_axis": shared, "heterogeneous_axis": None}
    return {"homogeneous_axis": None, "heterogeneous_axis": ()}
