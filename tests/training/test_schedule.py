"""Schedules of the learning rate: their formulas, that each batch gets its rate, and that trainings go on with them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import pytest

from ntupleml.config import ModelConfig
from ntupleml.errors import NtuplemlError
from ntupleml.models import Network, build_model, matrix
from ntupleml.training import TrainingOptions, train_keras
from ntupleml.training.compiled_epoch import Block, EpochRunner
from ntupleml.training.schedule import SCHEDULES, schedule_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ntupleml.config import TrainingConfig

Make = "Callable[..., TrainingConfig]"

SETTINGS: dict[str, dict[str, Any]] = {
    "constant": {},
    "cosine": {"warm_up": 1.5, "initial": 1e-4, "final": 1e-5},
    "one_cycle": {"cycle": 0.8},
    "plateau": {"patience": 1, "factor": 0.5},
    "ramp": {"initial": 1e-4, "final": 1e-5, "burn_in": 1, "ramp_up": 2, "plateau": 1, "ramp_down": 2},
    "steps": {"after": {2: 1e-3, 4: 1e-4}},
}


def config_of(schedule: Any, **more: Any) -> ModelConfig:
    return ModelConfig.model_validate({"hidden": [3], "schedule": schedule, **more})


def rates_of(schedule: dict[str, Any], peak: float, epochs: int, steps: int) -> NDArray[np.float64]:
    found = schedule_of(config_of(schedule, epochs=epochs))
    return np.concatenate([found.rates(peak, epoch, epochs, steps) for epoch in range(epochs)])


def test_every_schedule_is_tested() -> None:
    assert SETTINGS.keys() == SCHEDULES.keys()


def test_ramp() -> None:
    """Burn-in, cosine up, plateau, cosine down, each value written down part by part."""
    initial, peak, final = 1e-6, 3e-4, 2e-7
    up = [initial + (peak - initial) * 0.5 * (1 - np.cos(np.pi * (epoch + 1) / 5)) for epoch in range(5)]
    down = [final + (peak - final) * 0.5 * (1 + np.cos(np.pi * (epoch + 1) / 10)) for epoch in range(10)]
    expected = [initial] * 3 + up + [peak] * 4 + down + [final] * 6
    settings = {"initial": initial, "final": final, "burn_in": 3, "ramp_up": 5, "plateau": 4, "ramp_down": 10}
    found = rates_of({"type": "ramp", **settings}, peak, 28, 7)
    np.testing.assert_allclose(found, expected, rtol=1e-12)


@pytest.mark.parametrize(("warm_up", "steps"), [(0.0, 7), (2.0, 7), (1.5, 10), (0.05, 10)])
def test_cosine_is_that_of_keras(warm_up: float, steps: int) -> None:
    peak, final, epochs = 0.02, 0.001, 6
    theirs = keras.optimizers.schedules.CosineDecay(
        0.005 if warm_up else peak,
        epochs * steps - warm_up * steps,
        alpha=final / peak,
        warmup_target=peak if warm_up else None,
        warmup_steps=warm_up * steps,
    )
    expected = [float(theirs(step)) for step in range(epochs * steps)]
    found = rates_of({"type": "cosine", "warm_up": warm_up, "initial": 0.005, "final": final}, peak, epochs, steps)
    np.testing.assert_allclose(found, expected, rtol=2e-6)


def test_one_cycle() -> None:
    """Straight lines: a tenth of the rate, the rate at 40 % of the steps, a tenth at 80 %, towards a thousandth."""
    found = rates_of({"type": "one_cycle", "cycle": 0.8}, 1.0, 10, 10)
    assert found[[0, 20, 40, 60, 80]] == pytest.approx([0.1, 0.55, 1.0, 0.55, 0.1])
    assert found[99] == pytest.approx(0.001 + 0.099 / 20)
    np.testing.assert_allclose(np.diff(found[:41]), 0.9 / 40)
    np.testing.assert_allclose(np.diff(found[40:81]), -0.9 / 40)
    given = rates_of({"type": "one_cycle", "initial": 0.5, "final": 0.25}, 1.0, 10, 10)
    assert given[[0, 45, 90, 95]] == pytest.approx([0.5, 1.0, 0.5, 0.375])


def test_steps() -> None:
    assert list(rates_of({"type": "steps", "after": {2: 0.5, 4: 0.25}}, 1.0, 6, 3)) == [1, 1, 0.5, 0.5, 0.25, 0.25]


@pytest.mark.parametrize(
    ("schedule", "more", "message"),
    [
        ("cosin", {}, "model.schedule: no schedule 'cosin'; nearest: 'cosine'"),
        ({"type": "ramps"}, {}, "model.schedule.type: no schedule 'ramps'; nearest: 'ramp'"),
        ({"type": "cosine", "warmup": 2}, {}, r"model.schedule: unknown key 'warmup'; nearest: 'warm_up'"),
        ("ramp", {}, "model.schedule: key 'initial' is missing"),
        ({"type": "plateau", "factor": 1.5}, {}, "model.schedule.factor: found 1.5, but less than 1 is needed"),
        ({"type": "cosine", "warm_up": 9.0}, {"epochs": 9}, "model.schedule.warm_up: 9 epochs, but the training has 9"),
    ],
)
def test_what_is_refused(schedule: Any, more: dict[str, Any], message: str) -> None:
    with pytest.raises(NtuplemlError, match=message):
        schedule_of(config_of(schedule, **more))


@pytest.mark.parametrize(
    ("schedule", "more", "message"),
    [
        (3, {}, "found 3, but a name is needed, or a block"),
        ("plateau", {"reduce_lr_on_plateau": 3}, "is short for the schedule plateau, but schedule is given too"),
    ],
)
def test_what_the_config_refuses(schedule: Any, more: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        config_of(schedule, **more)


def network() -> Any:
    return build_model(Network(hidden=(6,), activation="tanh", optimizer="sgd"), matrix(3), 2, seed=2)


@pytest.mark.parametrize("how", ["xla", "graph", ""])
def test_each_batch_gets_its_rate(how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As `fit` with the same rates as a schedule of Keras, batch by batch; the last batch is smaller."""
    monkeypatch.setattr("ntupleml.training.compiled_epoch.is_slow_in_xla", lambda model: how == "graph")
    random = np.random.default_rng(3)
    inputs, batch = random.normal(size=(110, 3)).astype(np.float32), 20
    targets = np.eye(2, dtype=np.float32)[(inputs[:, 0] > 0).astype(int)]
    order, weights = np.arange(110, dtype=np.int32), np.ones(110, np.float32)
    rates = np.array([0.5, 0.01, 2.0, 0.3, 0.0, 1.0], np.float32)
    ours, theirs = network(), network()
    runner = EpochRunner(ours, batch)
    if not how:
        runner.compiled = ""
    runner.train([Block(inputs, targets, order, weights, rates)])
    theirs.optimizer = keras.optimizers.SGD(
        keras.optimizers.schedules.PiecewiseConstantDecay([0, 1, 2, 3, 4], [float(rate) for rate in rates])
    )
    theirs.compile(optimizer=theirs.optimizer, loss="categorical_crossentropy", jit_compile=False)
    theirs.fit(inputs, targets, batch_size=batch, shuffle=False, verbose=0)
    for found, wanted in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-6)
    assert float(ours.optimizer.learning_rate) == 1.0


def train(make_config: Make, epochs: int, schedule: Any, **more: Any) -> tuple[TrainingConfig, Any]:
    model = {"epochs": epochs, "learning_rate": 0.01, "schedule": schedule}
    config = make_config(model=model, **more)
    return config, train_keras(config, [0], TrainingOptions(overwrite=True))[0]


@pytest.mark.parametrize(("name", "stream"), [("cosine", False), ("cosine", True), ("plateau", False), ("ramp", False)])
def test_a_killed_training_goes_on(name: str, stream: bool, make_config: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stopped after some epochs and continued: the same history, and so the same rates, as without a stop."""
    schedule = {"type": name, **SETTINGS[name]}
    config, at_once = train(make_config, 6, schedule, stream=stream)
    if name != "plateau":
        found = schedule_of(config.model)
        rates = [found.rates(0.01, epoch, 6, 6) for epoch in range(6)]  # 600 events train, in batches of 100
        firsts = [0.01 if rate is None else rate[0] for rate in rates]
        assert at_once.history["learning_rate"] == pytest.approx(firsts, rel=1e-6)

    class KilledError(Exception):
        pass

    def killed(runner: EpochRunner, blocks: Any) -> Any:
        if killed.epochs == 0:
            raise KilledError
        killed.epochs -= 1
        return original(runner, blocks)

    original, killed.epochs = EpochRunner.train, 4
    with monkeypatch.context() as patched:
        patched.setattr(EpochRunner, "train", killed)
        patched.setattr("ntupleml.training.epochs.CHECKPOINT_SECONDS", 0.0)
        patched.setattr("ntupleml.training.epochs.CHECKPOINT_SHARE", 0.0)
        with pytest.raises(KilledError):
            train_keras(config, [0], TrainingOptions(overwrite=True))
    (continued,) = train_keras(config, [0], TrainingOptions(continue_training=True))
    timeless = [{**record.history, "seconds": []} for record in (continued, at_once)]
    assert timeless[0] == timeless[1]


def test_more_epochs_do_not_stretch_a_schedule(make_config: Make) -> None:
    config, _ = train(make_config, 2, "cosine")
    longer = config.model_copy(update={"model": config.model.model_copy(update={"epochs": 3})})
    with pytest.raises(NtuplemlError, match=r"model.epochs was 2 and is 3 now; .* where model.schedule does not span"):
        train_keras(longer, [0], TrainingOptions(continue_training=True))
