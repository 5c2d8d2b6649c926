"""Modes of training: what the one loop over epochs asks of a plain fit, and of anything else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ntupleml.training.stopping import Standing

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ntupleml.config import ModelConfig
    from ntupleml.datasets.loading import ClassTree
    from ntupleml.training.data import TrainingData


class Mode:
    """A plain fit.

    Attributes
    ----------
    network : keras.Model
        What is written in the end.
    model : keras.Model
        What the loop trains: the network, or what holds it.
    shares_programs : bool
        Whether trainings that differ in the seed alone may share compiled epochs: `state_of` the model is all of it.
    """

    shares_programs = True

    def __init__(self, network: Any, settings: ModelConfig) -> None:
        self.network = self.model = network
        self.judge = settings.best_by or "loss"

    def begin(self, epoch: int) -> None:
        """Prepare for an epoch, counted from 0."""

    def more_metrics(self) -> dict[str, float]:
        """What is measured after an epoch beside the metrics of the model: EBOPs of quantised networks."""
        ebops = [float(layer.ebops) for layer in self.network.layers if hasattr(layer, "ebops")]
        return {"ebops": sum(ebops)} if ebops else {}

    def standing(self, epoch: int, metrics: Mapping[str, float]) -> Standing:  # noqa: ARG002
        """How good an epoch, counted from 1, is by its metrics."""
        return Standing(0.0, metrics[f"val_{self.judge}"] * (-1 if self.judge == "accuracy" else 1))

    @property
    def more_trees(self) -> list[ClassTree]:
        """Trees that it reads beside those of the classes."""
        return []

    def data_of(self, data: TrainingData) -> TrainingData:
        """What the loop trains on: the events, and what the mode needs with them."""
        return data

    def record(self, best: int | None, history: Mapping[str, list[float]]) -> dict[str, Any]:  # noqa: ARG002
        """Fields that the record of the training has of it, beside the history."""
        return {}

    def reason(self, epoch: int, history: Mapping[str, list[float]]) -> str:  # noqa: ARG002
        """Why an epoch is the best, for the log and the record; nothing where the validation alone decides."""
        return ""
