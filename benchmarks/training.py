#!/usr/bin/env python3
"""Time per epoch of the compiled training against a plain `Model.fit` of Keras.

Same network, loss, optimiser, weights, batch size and data. Epochs of both alternate, so that what else the machine
does falls on both; printed are medians. Compiling is not in them; it is printed beside.
"""

from __future__ import annotations

import argparse
import time
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ntupleml.features.images import FULL_CIRCLE
from ntupleml.models import ZOO
from ntupleml.models.image_networks import IMAGE_NETWORKS
from ntupleml.models.networks import EVERY_IMAGE, ImageOutput
from ntupleml.models.registries import MASKED

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray


class Case(NamedTuple):
    """A network, the events it is trained on, and the ratio of times that is to be reached.

    Attributes
    ----------
    name : str
    inputs : dict of shapes
        Groups of inputs, all shapes fixed as in the arrays of a training.
    network : dict
        Settings of `Network`.
    num_outputs, events, batch_size : int
        No outputs where an image is learnt.
    target : float, optional
        Largest ratio of CPU times; None where nothing is claimed.
    decorrelated : bool
        Whether the reconstruction error is decorrelated from a number.
    image : ImageOutput, optional
        Image that is learnt: the first channel of the images among the inputs, its smallest pixels left out.
    """

    name: str
    inputs: dict[str, tuple[int, ...]]
    network: dict[str, Any]
    num_outputs: int
    events: int
    batch_size: int
    target: float | None
    decorrelated: bool = False
    image: ImageOutput | None = None


def _image_network(name: str, eta: int, phi: int) -> Case:
    """A network of the zoo from four images to one."""
    network = vars(IMAGE_NETWORKS[name]().network())
    network = network | {"encoders": {"calo": network["encoders"][EVERY_IMAGE]}, "output": "linear"}
    image = ImageOutput((eta, phi), FULL_CIRCLE)
    return Case(name, {"calo": (eta, phi, 4)}, network, 0, 320, 16, 0.65, image=image)


def _autoencoder(name: str, numbers: int, target: float | None, **more: Any) -> Case:
    """A network of the zoo with its loss, in batches of its paper."""
    network = vars(ZOO[name]) | {"encoders": {}}
    latent = ZOO[name].latent
    assert latent is not None
    if latent.variational:
        network["loss_settings"] = {"beta": latent.beta}
    outputs = numbers + latent.size * (1 + latent.variational)
    title = name + (", decorrelated" if more else "")
    return Case(title, {"variables": (numbers,)}, network, outputs, 20_000, 512, target, **more)


def _dense(widths: tuple[int, ...], events: int, batch_size: int, target: float) -> Case:
    network = {"hidden": widths[1:-1], "activation": "tanh"}
    name = "-".join(map(str, widths))
    return Case(name, {"variables": widths[:1]}, network, widths[-1], events, batch_size, target)


def _lists(*lengths: int) -> dict[str, tuple[int, ...]]:
    return {f"list_{number}": (length, 8) for number, length in enumerate(lengths, start=1)}


_DEEP_SET = {"type": "deep_set", "hidden": [100, 100, 100]}
_LSTM = {"type": "recurrent", "filters": [32, 16], "kernel": 1, "units": 10}
_TRANSFORMER = {"type": "transformer", "layers": 3, "width": 64, "heads": 4}
_PARTICLES = {"type": "particle_transformer", "layers": 3, "width": 64, "heads": 4}
_PARTICLE_NET = {"type": "edge_convolution", "neighbours": 7, "hidden": [[32, 32], [64, 64]]}
_RESIDUAL = {"type": "residual", "hidden": [512, 512, 256, 128, 64, 32], "layers": 1}
_CODE = (100, 100, 64, 32, 4, 32, 64, 100, 100)
CASES = (
    _dense((2, 100, 100, 3), 30_000, 100, 1 / 6),
    _dense((28, 200, 200, 2), 20_000, 100, 1 / 3),
    _dense((30, 300, 300, 300, 5), 50_000, 1_000, 1 / 2),
    Case(
        "residual with dropout",  # nn4 of the zoo
        {"variables": (30,)},
        {
            "hidden": (),
            "activation": "leaky_relu",
            "encoders": {"variables": _RESIDUAL},
            "dropout": 0.5,
            "norm": "batch",
        },
        3,
        10_000,
        100,
        0.9,
    ),
    Case(
        "deep set",
        {"jets": (12, 4)},
        {"hidden": (100, 100), "encoders": {"jets": _DEEP_SET}},
        3,
        10_000,
        100,
        0.45,
    ),
    Case(
        "Conv1D and LSTM",
        {"jet": (10,), **_lists(20, 25, 30)},
        {"hidden": (100,), "encoders": dict.fromkeys(_lists(20, 25, 30), _LSTM)},
        3,
        2_000,
        100,
        0.7,
    ),
    Case(
        "Conv2D",
        {"calo": (50, 64, 4)},
        {"hidden": (64,), "encoders": {"calo": {"type": "convolution", "filters": [16, 16]}}},
        2,
        1_000,
        16,
        0.65,
    ),
    Case(
        "autoencoder",
        {"variables": (48,)},
        {"hidden": _CODE, "output": "linear", "loss": "mean_squared_error", "norm": "batch"},
        48,
        20_000,
        100,
        0.65,
    ),
    _image_network("BB_model", 50, 64),
    _autoencoder("hlt_autoencoder", 48, 0.65),
    _autoencoder("l1_variational", 44, None),
    _autoencoder("hlt_autoencoder", 48, None, decorrelated=True),
    Case(
        "transformer",
        {"jets": (12, 4)},
        {"hidden": (64,), "encoders": {"jets": _TRANSFORMER}},
        3,
        2_000,
        100,
        0.9,
    ),
    Case(
        "particle transformer",
        {"jets": (12, 4)},
        {"hidden": (64,), "encoders": {"jets": _PARTICLES}},
        3,
        2_000,
        100,
        0.9,
    ),
    Case(
        "ParticleNet",
        {"jets": (12, 4)},
        {"hidden": (64,), "encoders": {"jets": _PARTICLE_NET}},
        3,
        2_000,
        100,
        0.9,
    ),
)


class Sample(NamedTuple):
    """Inputs (with masks), targets and weights."""

    inputs: Any
    targets: NDArray[np.float32]
    weights: NDArray[np.float32]


def make_sample(case: Case, seed: int) -> Sample:
    """Overlapping Gaussians, one per class, with weights; for a linear output the inputs are the targets.

    Targets of a masked loss also say that all numbers are there, and those of decorrelation have a number and a 1.
    """
    generator = np.random.default_rng(seed)
    from ntupleml.models import ENCODERS

    fixed = np.random.default_rng(0)
    kinds = max(case.num_outputs, 1)
    classes = generator.integers(0, kinds, case.events)
    inputs: dict[str, NDArray[np.float32]] = {}
    for name, shape in case.inputs.items():
        means = fixed.normal(0, 0.5, (kinds, shape[-1]))[classes]
        means = means.reshape(case.events, *(1 for _ in shape[1:]), shape[-1])
        inputs[name] = generator.normal(means, 1, (case.events, *shape)).astype(np.float32)
        if len(shape) == 2:
            filled = np.arange(shape[0]) < generator.integers(0, shape[0] + 1, case.events)[:, np.newaxis]
            inputs[name][~filled] = 0
            inputs[f"{name}_mask"] = filled.astype(np.float32)
            if ENCODERS[case.network["encoders"][name]["type"]].needs_vectors:
                vectors = generator.normal(0, 1, (*filled.shape, 4)) * [1, 1.5, 1, 1]
                vectors[..., [0, 3]] = np.exp(vectors[..., [0, 3]]) * [50, 5]
                inputs[f"{name}_vectors"] = (vectors * filled[..., np.newaxis]).astype(np.float32)
    targets = np.eye(kinds, dtype=np.float32)[classes]
    taken: Any = inputs if len(inputs) > 1 else inputs[next(iter(inputs))]
    if case.image is not None:
        targets = taken[..., 0].reshape(case.events, -1) * (taken[..., 0] > 1).reshape(case.events, -1)
    elif case.network.get("output") == "linear":
        more = [np.ones_like(taken)] if case.network["loss"] == MASKED else []
        more += [generator.normal(size=(case.events, 1)), np.ones((case.events, 1))] if case.decorrelated else []
        targets = np.hstack([taken, *more]).astype(np.float32)
    return Sample(taken, targets, generator.uniform(0.5, 1.5, case.events).astype(np.float32))


def timed(run: Callable[[], object]) -> tuple[float, float]:
    """Seconds of wall time and of CPU time."""
    wall, cpu = time.perf_counter(), time.process_time()
    run()
    return time.perf_counter() - wall, time.process_time() - cpu


_KINDS = {1: "numbers", 2: "objects", 3: "image"}


def _decorrelated(network: Any) -> Any:
    from ntupleml.models.reconstruction import MaskedSquaredError
    from ntupleml.training.decorrelated_model import DecorrelatedModel

    error = MaskedSquaredError(reduction=None)
    return DecorrelatedModel(network, lambda learnt, given: error(learnt, given)[:, None], 1, 10.0)


def measure(case: Case, epochs: int, seeds: int) -> None:
    """Print the ratios of a case, and the losses after training."""
    import tensorflow as tf

    from ntupleml.models import GroupShape, Network, build_model
    from ntupleml.training.batches import shuffled
    from ntupleml.training.compiled_epoch import Block, EpochRunner

    network = Network(**{"activation": "relu", **case.network})
    shapes = {name: GroupShape(_KINDS[len(shape)], shape) for name, shape in case.inputs.items()}
    ours: list[tuple[float, float]] = []
    theirs: list[tuple[float, float]] = []
    compiling: list[float] = []
    losses: dict[str, list[float]] = {"compiled": [], "fit": []}
    test = make_sample(case, 1)
    how = ""
    for seed in range(seeds):
        sample = make_sample(case, 2 + seed)
        compiled, plain = (build_model(network, shapes, case.num_outputs, seed, case.image) for _ in range(2))
        metrics = ["categorical_accuracy"] if network.output == "softmax" else []
        plain.compile(plain.optimizer, plain.loss, weighted_metrics=metrics)  # all as Keras has it
        if case.decorrelated:
            compiled, plain = map(_decorrelated, (compiled, plain))
        runner = EpochRunner(compiled, case.batch_size)
        how = runner.compiled
        tensors = tf.nest.map_structure(tf.constant, sample.inputs), tf.constant(sample.targets)
        generator = np.random.default_rng(seed)

        def epoch(
            runner: Any = runner, tensors: Any = tensors, generator: Any = generator, sample: Sample = sample
        ) -> None:
            runner.train([Block(*tensors, *shuffled(generator, sample.weights))])

        def fit(plain: Any = plain, sample: Sample = sample) -> None:
            plain.fit(
                sample.inputs,
                sample.targets,
                sample_weight=sample.weights,
                batch_size=case.batch_size,
                verbose=0,
            )

        compiling.append(timed(epoch)[0])
        fit()
        for _ in range(epochs):
            ours.append(timed(epoch))
            theirs.append(timed(fit))
        for name, model in (("compiled", compiled), ("fit", plain)):
            weights = test.weights if case.decorrelated else None
            found = model.evaluate(
                test.inputs, test.targets, sample_weight=weights, batch_size=1000, verbose=0, return_dict=True
            )
            losses[name].append(found["loss"])
    our_wall, our_cpu = np.median(ours, axis=0)
    fit_wall, fit_cpu = np.median(theirs, axis=0)
    claim = "no claim" if case.target is None else f"target {case.target:.2f}"
    print(
        f"training {case.name}, {case.events} events, batches of {case.batch_size}, {how}: "
        f"{our_wall / fit_wall:.3f} of the wall time of Model.fit (1/{fit_wall / our_wall:.1f}), "
        f"{our_cpu / fit_cpu:.3f} of its CPU time ({claim}); {our_wall * 1e3:.1f} and "
        f"{fit_wall * 1e3:.1f} ms per epoch; first epoch with compiling {np.median(compiling):.2f} s; test loss after "
        f"{epochs + 1} epochs "
        + ", ".join(f"{key} {np.mean(values):.4f} ± {np.std(values):.4f}" for key, values in losses.items()),
        flush=True,
    )


def main() -> None:
    """Run all cases."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=7, help="timed epochs of each seed")
    parser.add_argument("--cases", default="", help="only those whose name holds this")
    parser.add_argument("--seeds", type=int, default=2, help="trainings of each kind")
    arguments = parser.parse_args()
    from ntupleml.imports import import_tensorflow

    import_tensorflow()
    for case in CASES:
        if arguments.cases not in case.name:
            continue
        measure(case, arguments.epochs, arguments.seeds)


if __name__ == "__main__":
    main()
