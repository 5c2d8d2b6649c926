"""Training with decorrelation: formulas of which scores must not depend, as targets, and the mode that penalises it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ntupleml.errors import NtuplemlError
from ntupleml.training.modes import Mode
from ntupleml.training.streamed_scalers import ScalerFit

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from ntupleml.config import TrainingConfig
    from ntupleml.datasets.loading import ClassTree
    from ntupleml.training.data import TrainingData
    from ntupleml.training.weight_checks import SplitSums

#: Rows of which all pairs are compared in a batch: each matrix of the pairs has 67 MB.
LARGEST_BATCH = 4096


class Formulas(NamedTuple):
    """Numbers of which the scores must not depend: centred and scaled, so that their squares fit into single floats."""

    mean: NDArray[np.float64]
    scale: NDArray[np.float64]
    #: Indices of the classes whose rows count.
    classes: tuple[int, ...]

    def targets(self, classes: NDArray[np.int64], values: NDArray[np.float32]) -> NDArray[np.float32]:
        """What `DecorrelatedModel` takes behind the targets of the network, shape (n_rows, formulas + 1)."""
        counts = np.isin(classes, self.classes)
        scaled = np.zeros(values.shape, np.float32)
        scaled[counts] = (values[counts] - self.mean) / self.scale
        return np.column_stack([scaled, counts.astype(np.float32)])


class FormulasFit:
    """Finds means and standard deviations of the rows that train, chunk by chunk."""

    def __init__(self, config: TrainingConfig) -> None:
        self._formulas = config.nuisances
        self._classes = tuple(index for index, name in enumerate(config.classes) if config.is_decorrelated(name))
        self._fit = ScalerFit("standard_scaler", config.seed, weighted=False, where="decorrelation.of")

    def add(self, classes: NDArray[np.int64], values: NDArray[np.float32], weights: NDArray[np.float64]) -> None:
        """Take rows that train, with event weights."""
        rows = np.flatnonzero(np.isin(classes, self._classes))
        if len(rows):
            self._fit.add(values[rows], weights[rows])

    def result(
        self,
        trees: Sequence[ClassTree],  # noqa: ARG002
        sums: Sequence[SplitSums],  # noqa: ARG002
        factors: NDArray[np.float64] | None,  # noqa: ARG002
    ) -> Formulas:
        """Means and widths; the other arguments are those of `NuisanceFit.result`."""
        scaler = self._fit.result()
        for formula, mean, variance in zip(self._formulas, scaler.mean_, scaler.var_, strict=True):
            if not variance > 0:
                raise NtuplemlError(
                    f"decorrelation.of: '{formula}' is {mean:g} in all rows, so no score depends on it; take another "
                    "formula"
                )
        return Formulas(scaler.mean_, scaler.scale_, self._classes)


class Decorrelating(Mode):
    """Trains a network whose scores must not depend on formulas."""

    def __init__(self, network: Any, data: TrainingData) -> None:
        from ntupleml.training.decorrelated_model import DecorrelatedModel

        config = data.config
        super().__init__(network, config.model)
        assert config.decorrelation is not None
        if data.batching.size > LARGEST_BATCH:
            raise NtuplemlError(
                f"decorrelation: all pairs of a batch are compared, and a batch has {data.batching.size} rows; give a "
                f"model.batch_size of at most {LARGEST_BATCH}"
            )
        self._settings, self._config = config.decorrelation, config
        self._names = config.decorrelation.scores or config.outputs
        scores = _scores(data, self._names)
        self.model = DecorrelatedModel(network, scores, len(config.nuisances), self._settings.strength)

    def record(self, best: int | None, history: Mapping[str, list[float]]) -> dict[str, Any]:
        """Scores and formulas, and the sum of their distance correlations in the validation of the best epoch."""
        name = "val_distance_correlation"
        found = {
            "of": self._config.nuisances,
            "strength": self._settings.strength,
            "scores": list(self._names),
            "classes": list(self._settings.classes or self._config.classes),
            name: history[name][(best or len(history[name])) - 1],
        }
        return {"decorrelation": found}


def _scores(data: TrainingData, names: Sequence[str]) -> Callable[[Any, Any], Any]:
    """From targets and outputs of a network to some of its scores, side by side."""
    import tensorflow as tf

    target = data.preparation.target
    if target.kind == "reconstruction":
        from ntupleml.models.reconstruction import score_values

        return lambda learnt, given: tf.stack(score_values(learnt, given, target, names), axis=1)
    places = [data.config.outputs.index(name) for name in names]
    return lambda _, given: tf.gather(given, places, axis=1)
