"""The autoencoder of the HLT anomaly detection study, its preprocessing and its training, in plain Keras and NumPy.

Written anew from what that program does. Its event weights go to Keras as `sample_weight`, where they multiply the one
number that its loss gives for a batch, and so weigh batches, not events.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]

HIDDEN = (100, 100, 64, 32)
LATENT = 4
DROPOUT, L2 = 0.1, 0.01
#: pT below which objects are removed: jets, electrons, muons, photons; factor of pT.
THRESHOLDS = np.repeat([50.0, 30.0, 30.0, 30.0], [6, 3, 3, 3])
PT_FACTOR = 0.05
VALIDATION = 0.15


class Fitted(NamedTuple):
    """A trained network, and how many epochs it took."""

    network: Any
    epochs: int

    def scores(self, objects: Floats) -> Floats:
        """Anomaly scores of events (n_events, 16, 3)."""
        prepared = preprocessed(objects)
        return masked_error(prepared, self.network.predict(prepared, batch_size=8192, verbose=0))


def preprocessed(objects: Floats) -> Floats:
    """Events as the network gets them, (n_events, 48)."""
    done = np.array(objects, np.float64)
    pt, phi = done[..., 0], done[..., 2]
    phi[...] = np.where(pt == 0, 0.0, (phi - phi[:, :1] + np.pi) % (2 * np.pi) - np.pi)
    unknown = (pt[:, 15] == -999) | np.isnan(phi[:, 15])
    done[pt[:, 15] == 0, 15] = (0.001, 0.0, 0.0)
    done[unknown, 15] = 0.0
    done[:, :15][pt[:, :15] < THRESHOLDS] = 0.0
    pt *= PT_FACTOR
    return done.reshape(len(done), -1).astype(np.float32)


def masked_error(wanted: Floats, given: Floats) -> Floats:
    """Mean of the squared differences of an event over what is neither 0 nor −999."""
    there = (wanted != 0) & (wanted != -999)
    squares = np.where(there, np.square(given - wanted), 0.0)
    error: Floats = squares.sum(axis=1) / np.maximum(there.sum(axis=1), 1)
    return error


def new_network() -> Any:
    """The network, compiled."""
    import keras
    from keras import layers, ops

    def block(taken: Any, width: int, dropout: float = DROPOUT) -> Any:
        hidden = layers.Dense(width, kernel_regularizer=keras.regularizers.L2(L2))(taken)
        hidden = layers.Activation("relu")(layers.BatchNormalization()(hidden))
        return layers.Dropout(dropout)(hidden) if dropout else hidden

    def loss(wanted: Any, given: Any) -> Any:
        there = ops.cast(ops.logical_and(wanted != 0, wanted != -999), "float32")
        squares = ops.sum(there * ops.square(given - wanted), axis=-1)
        return ops.mean(squares / ops.maximum(ops.sum(there, axis=-1), 1.0))

    taken = hidden = keras.Input((48,))
    for width in HIDDEN:
        hidden = block(hidden, width)
    hidden = block(hidden, LATENT, dropout=0.0)
    for width in reversed(HIDDEN):
        hidden = block(hidden, width)
    given = layers.Dense(48, kernel_regularizer=keras.regularizers.L2(L2))(hidden)
    network = keras.Model(taken, given)
    network.compile(optimizer=keras.optimizers.Adam(1e-3), loss=loss)
    return network


def fit(objects: Floats, weights: NDArray[np.float64] | None, seed: int, epochs: int) -> Fitted:
    """Train on events; with weights, or without."""
    import keras

    keras.utils.set_random_seed(seed)
    order = np.random.default_rng(0).permutation(len(objects))  # the same events validate for each seed
    trains, validates = np.split(order, [round((1 - VALIDATION) * len(order))])
    prepared = preprocessed(objects)
    given: dict[str, Any] = {"validation_data": (prepared[validates], prepared[validates])}
    if weights is not None:
        factors = [1000 * weights[rows] / weights[rows].sum() for rows in (trains, validates)]
        given["sample_weight"] = factors[0]
        given["validation_data"] = (*given["validation_data"], factors[1])
    network = new_network()
    callbacks = [
        keras.callbacks.EarlyStopping(monitor="val_loss", patience=9, restore_best_weights=True),
        keras.callbacks.ReduceLROnPlateau(monitor="val_loss", factor=0.1, patience=6),
    ]
    done = network.fit(
        prepared[trains], prepared[trains], batch_size=512, epochs=epochs, callbacks=callbacks, verbose=0, **given
    )
    return Fitted(network, len(done.history["loss"]))
