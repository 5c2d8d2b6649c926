"""Early stopping and the learning rate's reduction against Keras' callbacks."""

from __future__ import annotations

from types import SimpleNamespace

import keras
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ntupleml.training.stopping import Stopping


class Optimizer:
    learning_rate = 1.0


def keras_callbacks(losses: list[float], patience: int, plateau: int) -> tuple[int, int, list[float]]:
    """Epochs trained, best epoch (from 1) and the learning rate after each epoch, from Keras."""
    stopping = keras.callbacks.EarlyStopping(patience=patience, restore_best_weights=True, mode="min")
    reduction = keras.callbacks.ReduceLROnPlateau(patience=plateau, factor=0.1, mode="min")
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
def test_stopping_follows_the_rules_of_keras(losses: list[float], patience: int, plateau: int) -> None:
    stopping, rate, rates = Stopping(), 1.0, []
    for epoch, loss in enumerate(losses, start=1):
        decision = stopping.observe(epoch, loss, patience, plateau)
        rate *= 0.1 if decision.reduce_learning_rate else 1.0
        rates.append(rate)
        assert decision.stop == stopping.is_over(patience)
        if decision.stop:
            break
    assert (len(rates), stopping.best_epoch, rates) == keras_callbacks(losses, patience, plateau)


def test_without_patience_nothing_stops() -> None:
    stopping = Stopping()
    decisions = [stopping.observe(epoch, 1.0, None, None) for epoch in range(1, 100)]
    assert decisions[0].best
    assert not any(decision.stop or decision.reduce_learning_rate for decision in decisions)


def test_nan_is_never_the_best() -> None:
    stopping = Stopping()
    stopping.observe(1, 0.5, 3, 3)
    assert not stopping.observe(2, float("nan"), 3, 3).best
    assert (stopping.best_loss, stopping.best_epoch, stopping.waited) == (0.5, 1, 1)
