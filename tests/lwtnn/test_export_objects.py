"""Networks on objects as lwtnn's JSON: raw objects of any number give what Keras gives for scaled, padded ones."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from ntupleml.errors import NtuplemlError
from ntupleml.lwtnn import keras_to_lwtnn, read_network
from ntupleml.lwtnn.network import ObjectList, Variable
from ntupleml.models import GroupShape, Network, build_model
from ntupleml.scoring.lwtnn_library import steps_of

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

LENGTH, OFFSET, SCALE = 5, -3.0, 0.25
LENGTHS = np.array([0, 1, 3, LENGTH, 8, 2])
#: Settings of the encoder, and what the file says of the number of objects.
CASES: dict[str, tuple[dict[str, Any], ObjectList | None]] = {
    "lstm": ({"type": "recurrent", "filters": [4, 3]}, None),
    "lstms of convolutions, cut": (
        {"type": "recurrent", "filters": [4, 3], "kernel": 3, "layers": 2, "last_dropout": True},
        ObjectList(LENGTH, filled=False),
    ),
    "sum": ({"type": "deep_set", "hidden": [6, 4], "pool": ["sum"]}, None),
    "all slots": ({"type": "recurrent", "filters": [4, 3], "masked": False}, ObjectList(LENGTH, filled=True)),
    "all slots of convolutions": (
        {"type": "recurrent", "filters": [4], "kernel": 3, "masked": False},
        ObjectList(LENGTH, filled=True),
    ),
}


def network_of(settings: dict[str, Any], length: int | None, **options: Any) -> Any:
    network = Network((6,), "tanh", {"jets": settings}, dropout=0.3, **options)
    shapes = {"event": GroupShape("numbers", (2,)), "jets": GroupShape("objects", (length, 3))}
    return build_model(network, shapes, 2, seed=1)


def exported(model: Any, objects: ObjectList | None) -> dict[str, Any]:
    inputs = {
        "event": ["met", "ht"],
        "jets": [Variable(name, OFFSET, SCALE) for name in ("pt", "eta", "phi")],
    }
    return keras_to_lwtnn(
        model, inputs, {"scores": ["a", "b"]}, masks=["jets_mask"], objects={} if objects is None else {"jets": objects}
    )


def raw_events(steps: int) -> dict[str, NDArray[Any]]:
    random = np.random.default_rng(2)
    jets = random.normal(3, 6, (len(LENGTHS), steps, 3))
    return {"event": random.normal(size=(len(LENGTHS), 2)), "jets": jets, "jets_length": np.minimum(LENGTHS, steps)}


@pytest.mark.parametrize("steps", [1, LENGTH, 9])
@pytest.mark.parametrize("case", CASES)
def test_scores_are_those_of_keras(keras_module: Any, shaken: Any, lwtnn_scores: Any, case: str, steps: int) -> None:
    settings, objects = CASES[case]
    model = shaken(network_of(settings, None if objects is None else objects.length))
    events = raw_events(steps)
    length = LENGTH if objects is not None else steps
    jets = np.zeros((len(LENGTHS), max(length, steps), 3), np.float32)
    jets[:, :steps] = (events["jets"] + OFFSET) * SCALE
    mask = (np.arange(length) < events["jets_length"][:, np.newaxis]).astype(np.float32)
    inputs = {
        "event": events["event"].astype("f4"),
        "jets": jets[:, :length] * mask[..., np.newaxis],
        "jets_mask": mask,
    }
    expected = np.asarray(model(inputs, training=False))
    assert expected.std() > 1e-2, "the test tells nothing"
    found = lwtnn_scores(exported(model, objects), events)["scores"]
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize(
    ("settings", "options", "message"),
    [
        ({"type": "deep_set"}, {}, r"layer 'jets.pool' \(MaskedPooling\) has no lwtnn form: .* but not 'mean'"),
        ({"type": "transformer", "layers": 1, "width": 4, "heads": 1}, {}, r"\(LayerNormalization\) has no lwtnn form"),
        (
            {"type": "dense", "hidden": [3]},
            {},
            r"layer 'jets.flat' \(Flatten\) has no lwtnn form: it would make one row",
        ),
        ({"type": "recurrent", "cell": "gru"}, {}, "reset_after=True"),
        ({"type": "deep_set", "pool": ["sum"]}, {"activation": "gelu"}, "lwtnn has no GELU"),
    ],
)
def test_what_lwtnn_has_not(settings: dict[str, Any], options: dict[str, Any], message: str) -> None:
    with pytest.raises(NtuplemlError, match=message):
        exported(network_of({**settings, **options}, LENGTH), None)


def test_slots_are_read_back_and_filled_for_the_library(tmp_path: Path) -> None:
    """With the raw number that becomes 0; a file that says something impossible is refused."""
    path = tmp_path / "network.json"
    content = exported(network_of(CASES["all slots"][0], LENGTH), ObjectList(LENGTH, filled=True))
    path.write_text(json.dumps(content))
    _, group = read_network(path).groups
    assert group.objects == ObjectList(LENGTH, filled=True)
    steps = np.arange(12.0).reshape(2, 2, 3)
    filled, lengths = steps_of(steps, np.array([1, 2]), group)
    assert lengths.tolist() == [LENGTH, LENGTH]
    np.testing.assert_array_equal(filled[0], [[0, 1, 2]] + [[3.0] * 3] * 4)
    np.testing.assert_array_equal(filled[1], [[6, 7, 8], [9, 10, 11]] + [[3.0] * 3] * 3)
    cut, lengths = steps_of(steps, np.array([1, 2]), group._replace(objects=ObjectList(1, filled=False)))
    assert (cut.shape, lengths.tolist()) == ((2, 1, 3), [1, 1])
    content["input_sequences"][0]["objects"]["length"] = 10**9
    path.write_text(json.dumps(content))
    with pytest.raises(
        NtuplemlError, match=r"input_sequences\[0\].objects.length: 1000000000 objects; from 1 to 100000 "
    ):
        read_network(path)
