"""Early stopping and the learning rate's reduction against Keras' callbacks."""

from __future__ import annotations

from types import SimpleNamespace

import keras
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ntupleml.training.schedule import REDUCTION, Schedule


class Optimizer:
    learning_rate = 1.0


def keras_callbacks(losses: list[float], patience: int, plateau: int) -> tuple[int, int, list[float]]:
    """Epochs trained, best epoch (from 1) and the learning rate after each epoch, from Keras."""
    stopping = keras.callbacks.EarlyStopping(patience=patience, restore_best_weights=True, mode="min")
    reduction = keras.callbacks.ReduceLROnPlateau(patience=plateau, factor=REDUCTION, mode="min")
    model = SimpleNamespace(
        optimizer=Optimizer(), stop_training=False, get_weights=lambda: [np.zeros(1)], set_weights=lambda _: None
    )
    rates = []
    for callback in (stopping, reduction):
        callback.set_model(model)
        callback.on_train_begin()
    for epoch, loss in enumerate(losses):
        for callback in (stopping, reduction):
            callback.on_epoch_end(epoch, {"val_loss": loss})
        rates.append(float(model.optimizer.learning_rate))
        if model.stop_training:
            break
    return len(rates), stopping.best_epoch + 1, rates


@given(
    # Multiples of 1/1024, which are exact, so that no improvement lies at a threshold but for rounding.
    losses=st.lists(st.integers(0, 12).map(lambda number: number / 1024), min_size=1, max_size=40),
    patience=st.integers(1, 6),
    plateau=st.integers(1, 6),
)
def test_schedule_follows_the_rules_of_keras(losses: list[float], patience: int, plateau: int) -> None:
    schedule, rate, rates = Schedule(), 1.0, []
    for epoch, loss in enumerate(losses, start=1):
        decision = schedule.observe(epoch, loss, patience, plateau)
        rate *= REDUCTION if decision.reduce_learning_rate else 1.0
        rates.append(rate)
        assert decision.stop == schedule.is_over(patience)
        if decision.stop:
            break
    assert (len(rates), schedule.best_epoch, rates) == keras_callbacks(losses, patience, plateau)


def test_without_patience_nothing_stops() -> None:
    schedule = Schedule()
    decisions = [schedule.observe(epoch, 1.0, None, None) for epoch in range(1, 100)]
    assert decisions[0].best
    assert not any(decision.stop or decision.reduce_learning_rate for decision in decisions)


def test_nan_is_never_the_best() -> None:
    schedule = Schedule()
    schedule.observe(1, 0.5, 3, 3)
    assert not schedule.observe(2, float("nan"), 3, 3).best
    assert (schedule.best_loss, schedule.best_epoch, schedule.waited) == (0.5, 1, 1)
