"""What the training part teaches of the target: means and spreads of values, and of an image that is learnt."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ntupleml.artifacts.record import ImageRecord, TargetRecord
from ntupleml.config import SlotsGroupConfig
from ntupleml.events.values import ObjectRows
from ntupleml.features.images import missing_energy_of
from ntupleml.models import network_of
from ntupleml.targets import TARGET_IMAGE
from ntupleml.training.streamed_scalers import ScalerFit

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ntupleml.config import TrainingConfig
    from ntupleml.config.inputs import TargetConfig
    from ntupleml.events.values import InputValues

#: Pixels that are taken at a time, as sums are in double precision.
_PIXELS = 2_000_000


class TargetFit:
    """Collects, chunk by chunk, what the record of a training says of its target."""

    def __init__(self, config: TrainingConfig) -> None:
        self._config = config
        self._values, self._components, self._pixels = (
            ScalerFit("standard_scaler", config.seed, weighted=True, where=f"target.{what}")
            for what in ("values", "image", "image")
        )
        self._bins = (0, 0)

    def add(
        self,
        inputs: InputValues,
        values: NDArray[np.float32],
        rows: NDArray[np.int64],
        weights: NDArray[np.float64],
    ) -> None:
        """Take some rows, which train.

        Parameters
        ----------
        inputs : InputValues
            Of all rows, the image that is learnt among them.
        values : array of float32, shape (n_rows, n_values)
            Values of all rows.
        weights : array of float, shape (len(rows),)
            Of the training.
        """
        number = len((self._config.target and self._config.target.values) or {})
        self.add_values(values[rows, :number], weights)
        images = inputs.groups.get(TARGET_IMAGE)
        if images is None:
            return
        assert not isinstance(images, ObjectRows), "it is an image"
        eta, phi, _ = images.row_shape
        self._bins = (eta, phi)
        step = max(1, _PIXELS // (eta * phi))
        for start in range(0, len(rows), step):
            some, of_some = images.take(rows[start : start + step])[..., 0], weights[start : start + step]
            self._components.add(missing_energy_of(some, self._source.phi_range).astype(np.float32), of_some)
            self._pixels.add(some.reshape(-1, 1), np.repeat(of_some, eta * phi))

    def add_values(self, values: NDArray[np.float32], weights: NDArray[np.float64]) -> None:
        """Take values of some rows that train, where nothing else is learnt."""
        self._values.add(values, weights)

    @property
    def _source(self) -> Any:
        assert self._config.target is not None
        return self._config.target.image

    def record(self) -> TargetRecord:
        """What is learnt, for the record."""
        target = self._config.target
        if target is None:
            return TargetRecord()
        if target.reconstruction is not None:
            return self._reconstruction(target)
        found: dict[str, Any] = {"kind": target.kind}
        if target.values is not None:
            scaler = self._values.result()
            found |= {"values": target.values, "mean": scaler.mean_.tolist(), "scale": scaler.scale_.tolist()}
        if target.image is not None:
            found["image"] = ImageRecord(
                source=target.image,
                bins=self._bins,
                component_scale=float(np.sqrt(np.mean(self._components.result().scale_ ** 2))),
                pixel_scale=float(self._pixels.result().scale_[0]),
            )
        return TargetRecord(**found)

    def _reconstruction(self, target: TargetConfig) -> TargetRecord:
        config = self._config
        latent = network_of(config.model, groups=config.groups, target="reconstruction").latent
        return TargetRecord(
            kind="reconstruction",
            groups=config.reconstructed,
            slots=[name for name in config.reconstructed if isinstance(config.groups[name], SlotsGroupConfig)],
            scores=target.scores,
            latent=0 if latent is None else latent.size,
            variational=latent is not None and latent.variational,
        )
