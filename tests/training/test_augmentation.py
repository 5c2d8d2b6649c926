"""Augmented events: what changes follows from formulas, what must not change does not, validation stays as it is."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import awkward as ak
import numpy as np
import pytest
import uproot
import yaml

from ntupleml.cli import main
from ntupleml.config import AugmentationConfig, CollectionsConfig, ObjectsConfig, TrainingConfig
from ntupleml.datasets.loading import class_trees, fold_files
from ntupleml.training.augmentation import Augmentation, Change, changed
from ntupleml.training.data import MemoryData
from ntupleml.training.streaming import StreamedData

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

EVENTS, LENGTH = 4000, 5
JET = {"pt": "Jet_pt", "eta": "Jet_eta", "phi": "Jet_phi", "energy": "Jet_e", "btag": "Jet_btag"}
COLLECTIONS = {"jet": JET, "met": {"pt": "met", "phi": "met_phi"}}
ALL = {
    "phi_rotation": True,
    "eta_reflection": 0.5,
    "translation": {"eta": 0.3, "phi": 0.1},
    "energy_smearing": 0.2,
    "drop_objects": 0.3,
}


def group(fourth: str = "energy") -> CollectionsConfig:
    jet = {key if key != "energy" else fourth: value for key, value in JET.items()}
    return CollectionsConfig.model_validate({"collections": COLLECTIONS | {"jet": jet}, "length": LENGTH + 1})


def batch(fourth: str = "energy") -> dict[str, NDArray[Any]]:
    """Jets, of which the first events have none, then missing energy."""
    random = np.random.default_rng(5)
    counts = random.integers(1, LENGTH + 1, EVENTS)
    counts[:10] = 0
    objects = np.zeros((EVENTS, LENGTH + 1, 6))
    pt, eta = random.exponential(50, (EVENTS, LENGTH)) + 20, random.normal(0, 1.5, (EVENTS, LENGTH))
    mass = random.exponential(10, (EVENTS, LENGTH)) * (random.random((EVENTS, LENGTH)) < 0.8)
    last = mass if fourth == "mass" else np.sqrt((pt * np.cosh(eta)) ** 2 + mass**2)
    phi = random.uniform(-math.pi, math.pi, pt.shape)
    objects[:, :-1] = np.stack([pt, eta, phi, last, random.integers(1, 6, pt.shape), 0 * pt], axis=-1)
    met = np.arange(EVENTS), counts
    objects[met] = 0
    objects[(*met, 0)] = random.exponential(40, EVENTS) + 1
    objects[(*met, 2)] = random.uniform(-math.pi, math.pi, EVENTS)
    objects[(*met, 3)] = 0 if fourth == "mass" else objects[(*met, 0)]
    objects[(*met, 5)] = 1
    objects[np.arange(LENGTH + 1) > counts[:, np.newaxis]] = 0
    return {
        "objects": objects.astype(np.float32),
        "objects_length": counts + 1,
        "event": random.normal(size=(EVENTS, 2)),
    }


def augmented(given: dict[str, NDArray[Any]], fourth: str = "energy", epoch: int = 1, **keys: Any) -> Any:
    augmentation = Augmentation(AugmentationConfig.model_validate(keys), {"objects": group(fourth)}, (7, 0))
    return augmentation.batch(given, augmentation.generator(epoch))


def vectors(objects: NDArray[Any], fourth: str) -> NDArray[np.float64]:
    """px, py, pz, E of raw columns."""
    pt, eta, phi, last = objects[..., :4].astype(np.float64).transpose(-1, *range(objects.ndim - 1))
    energy = last if fourth == "energy" else np.sqrt((pt * np.cosh(eta)) ** 2 + last**2)
    return np.stack([pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta), energy], axis=-1)


def square(four: NDArray[np.float64]) -> NDArray[np.float64]:
    """E² − p²."""
    return np.asarray(four[..., 3] ** 2 - (four[..., :3] ** 2).sum(axis=-1))


def is_jet(given: dict[str, NDArray[Any]]) -> NDArray[np.bool_]:
    return np.arange(LENGTH + 1) < given["objects_length"][:, np.newaxis] - 1


@pytest.mark.parametrize("fourth", ["energy", "mass"])
@pytest.mark.parametrize(
    "keys", [{"phi_rotation": True}, {"eta_reflection": 0.5}, {"phi_rotation": 1, "eta_reflection": 1}]
)
def test_turned_and_mirrored_events_keep_all_masses(keys: dict[str, Any], fourth: str) -> None:
    """Those of the whole event and of pairs; φ stays in its range, other groups and columns stay as they are."""
    given = batch(fourth)
    found = augmented(given, fourth, **keys)
    old, new = (vectors(one["objects"], fourth) for one in (given, found))
    scale = np.maximum(old[..., 3].sum(axis=1) ** 2, 1)
    assert (new[..., :3] != old[..., :3]).mean() > 0.05
    np.testing.assert_allclose(square(new.sum(axis=1)) / scale, square(old.sum(axis=1)) / scale, atol=1e-6)
    pairs = [one[:, :, np.newaxis] + one[:, np.newaxis] for one in (old, new)]
    scale = np.maximum(pairs[0][..., 3] ** 2, 1)
    np.testing.assert_allclose(square(pairs[1]) / scale, square(pairs[0]) / scale, atol=1e-6)
    assert (np.abs(found["objects"][..., 2]) <= np.float32(math.pi)).all()
    assert found["event"] is given["event"]
    np.testing.assert_array_equal(found["objects"][..., 4:], given["objects"][..., 4:])
    np.testing.assert_array_equal(found["objects_length"], given["objects_length"])
    assert not found["objects"][np.arange(LENGTH + 1) >= given["objects_length"][:, np.newaxis]].any()


def test_angles_and_mirrors_are_drawn_as_asked() -> None:
    """Any angle is as likely, or those up to a limit; half of the events are mirrored."""
    given = batch()
    turned = augmented(given, phi_rotation=True)["objects"][:, 0, 2] - given["objects"][:, 0, 2]
    shares = np.histogram(turned % (2 * math.pi), np.linspace(0, 2 * math.pi, 9))[0] / EVENTS
    np.testing.assert_allclose(shares, 1 / 8, atol=5 * math.sqrt(1 / 8 / EVENTS))
    little = augmented(given, phi_rotation=0.25)["objects"][:, 0, 2] - given["objects"][:, 0, 2]
    assert 0.24 < np.abs(np.angle(np.exp(1j * little))).max() <= 0.2501
    jets = is_jet(given)
    signs = np.full(jets.shape, np.nan)
    signs[jets] = augmented(given, eta_reflection=0.5)["objects"][jets][:, 1] / given["objects"][jets][:, 1]
    assert set(np.unique(signs[jets])) == {-1, 1}
    assert (np.nanmin(signs[10:], axis=1) == np.nanmax(signs[10:], axis=1)).all()
    assert abs(np.nanmin(signs[10:], axis=1).mean()) < 5 / math.sqrt(EVENTS)


@pytest.mark.parametrize("fourth", ["energy", "mass"])
def test_shifted_objects_keep_mass_and_pt(fourth: str) -> None:
    """All of an event by the same; missing energy is not moved in η."""
    given = batch(fourth)
    found = augmented(given, fourth, translation={"eta": 0.3, "phi": 0.1})
    jets, old, new = is_jet(given), given["objects"].astype(np.float64), found["objects"].astype(np.float64)
    np.testing.assert_array_equal(new[..., 0], old[..., 0])
    shift = np.where(jets, new[..., 1] - old[..., 1], np.nan)[10:]
    np.testing.assert_allclose(np.nanmax(shift, axis=1), np.nanmin(shift, axis=1), atol=2e-6)
    assert np.nanmean(shift, axis=1).std() == pytest.approx(0.3, rel=0.1)
    met = np.arange(EVENTS), given["objects_length"] - 1
    assert not new[(*met, 1)].any()
    moved = np.angle(np.exp(1j * (new[(*met, 2)] - old[(*met, 2)])))
    assert moved.std() == pytest.approx(0.1, rel=0.1)
    first, second = (vectors(one, fourth)[jets] for one in (old, new))
    size = np.maximum(first[:, 3], second[:, 3]) ** 2
    np.testing.assert_allclose(square(second) / size, square(first) / size, atol=1e-6)


def test_a_vector_that_is_learnt_moves_with_the_objects() -> None:
    given = batch()
    keys = {"phi_rotation": True, "translation": {"phi": 0.4, "eta": 0.2}}
    one = Augmentation(AugmentationConfig.model_validate(keys), {"objects": group("energy")}, (7, 0), ("px", "py"))
    values = vectors(given["objects"], "energy")[..., :2].sum(axis=1).astype("f4")
    found, turned = one.events(given, values, one.generator(1))
    np.testing.assert_allclose(turned, vectors(found["objects"], "energy")[..., :2].sum(axis=1), atol=2e-3)
    assert np.abs(turned - values).max() > 10


def test_an_energy_below_the_momentum_counts_as_massless() -> None:
    moved = changed(np.array([[50.0, 1.0, 0.0, 1.0]]), ("pt", "eta", "phi", "energy"), Change(shift=0.5))
    assert moved[0, 3] == pytest.approx(50 * math.cosh(1.5), rel=1e-12)


@pytest.mark.parametrize("fourth", ["energy", "mass"])
def test_smeared_objects_keep_their_direction(fourth: str) -> None:
    """Energy, momentum and mass have the same factor, whose logarithm has the width asked for."""
    given = batch(fourth)
    found = augmented(given, fourth, energy_smearing=0.2)
    there = np.arange(LENGTH + 1) < given["objects_length"][:, np.newaxis]
    old, new = (vectors(one["objects"], fourth)[there] for one in (given, found))
    factor = (found["objects"][there][:, 0] / given["objects"][there][:, 0]).astype(np.float64)
    np.testing.assert_allclose(new, old * factor[:, np.newaxis], rtol=1e-6, atol=1e-4)
    assert np.log(factor).std() == pytest.approx(0.2, rel=0.03)
    assert np.log(factor).mean() == pytest.approx(0, abs=0.01)


def test_dropped_objects() -> None:
    """The others keep their order and move together; missing energy stays, and one of the jets."""
    given = batch()
    found = augmented(given, drop_objects=0.4)
    lost = 0
    for old, number, new, rest in zip(
        given["objects"], given["objects_length"], found["objects"], found["objects_length"], strict=True
    ):
        before, after = old[:number].tolist(), new[:rest].tolist()
        places = [before.index(one) for one in after]
        assert places == sorted(places)
        assert after[-1] == before[-1]
        assert rest >= min(number, 2)
        assert not new[rest:].any()
        lost += number - rest
    number = (given["objects_length"] - 1).astype(np.float64)
    expected = (0.4 * number - 0.4**number * (number > 0)).sum()  # where all would go, one stays
    assert lost == pytest.approx(expected, rel=0.05)


def test_objects_without_four_vectors_are_dropped_too() -> None:
    random = np.random.default_rng(4)
    given = {"jets": random.normal(size=(100, 4, 2)).astype(np.float32), "jets_length": np.full(100, 4)}
    config = ObjectsConfig.model_validate({"objects": ["Jet_pt", "Jet_eta"]})
    augmentation = Augmentation(AugmentationConfig(drop_objects=0.5), {"jets": config}, (1, 0))
    found = augmentation.batch(given, augmentation.generator(1))
    assert 0 < found["jets_length"].min() < found["jets_length"].max() == 4
    assert given["jets_length"].tolist() == [4] * 100


def test_the_same_seed_fold_and_epoch_give_the_same_events() -> None:
    given = batch()
    one, again, other = (augmented(given, epoch=epoch, **ALL)["objects"] for epoch in (1, 1, 2))
    np.testing.assert_array_equal(one, again)
    assert (one != other).mean() > 0.3


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Fold files of two classes."""
    folder = tmp_path_factory.mktemp("augmentation")
    for fold in (0, 1):
        with uproot.recreate(folder / f"fold{fold}.root") as file:
            for number, name in enumerate(("sig", "bkg")):
                random = np.random.default_rng([fold, number])
                counts = random.integers(1, 5, 300)
                total = counts.sum()
                jets = {"pt": random.exponential(30 + 20 * number, total) + 20, "eta": random.normal(0, 1.5, total)}
                jets["phi"] = random.uniform(-math.pi, math.pi, total)
                jets["e"] = np.sqrt((jets["pt"] * np.cosh(jets["eta"])) ** 2 + 25)
                jets["btag"] = random.integers(1, 6, total)
                content = {
                    "met": random.exponential(40, 300).astype("f4"),
                    "met_phi": random.uniform(-3, 3, 300).astype("f4"),
                    "Jet": ak.zip({key: ak.unflatten(values.astype("f4"), counts) for key, values in jets.items()}),
                }
                kinds = {key: getattr(values, "dtype", None) or values.type.content for key, values in content.items()}
                file.mktree(name, kinds)
                file[name].extend(content)
    return folder


@pytest.fixture
def content(folder: Path, tmp_path: Path) -> Callable[..., dict[str, Any]]:
    def config(**keys: Any) -> dict[str, Any]:
        objects = {"collections": COLLECTIONS, "features": ["px", "py", "pz", "energy", "is_met"], "length": 5}
        return {
            "datasets": [str(folder / f"fold{fold}.root") for fold in (0, 1)],
            "output_path": str(tmp_path / "out"),
            "classes": ["sig", "bkg"],
            "inputs": {
                "event": ["met"],
                "objects": objects,
                "shapes": {"of": "objects", "collections": ["jet"], "combinations": ["ht", "mass", "number"]},
            },
            "preprocessing": "identity",
            "model": {"encoders": {"objects": {"type": "deep_set", "hidden": [4]}}, "epochs": 2, "batch_size": 50},
            **keys,
        }

    return config


def blocks(content: dict[str, Any]) -> Any:
    config = TrainingConfig.model_validate(content)
    reader = StreamedData if config.stream else MemoryData
    return reader(config, class_trees(config, fold_files(config, 0, False)), 0, balanced=False, randomized=False)


@pytest.mark.parametrize("stream", [False, True])
def test_all_that_the_network_gets_follows_and_validation_stays(
    stream: bool, content: Callable[..., dict[str, Any]]
) -> None:
    model = {"encoders": {"objects": {"type": "particle_transformer"}}, "batch_size": 50}
    plain, changing = (blocks(content(stream=stream, model=model, **more)) for more in ({}, {"augmentation": ALL}))
    for one, other in zip(plain.validation_blocks(), changing.validation_blocks(), strict=True):
        for name, values in one.inputs.items():
            np.testing.assert_array_equal(values, other.inputs[name])
    first, again, second = (next(iter(changing.training_blocks(epoch))) for epoch in (1, 1, 2))
    unchanged = next(iter(plain.training_blocks(1)))
    np.testing.assert_array_equal(first.order, unchanged.order)
    np.testing.assert_array_equal(first.weights, unchanged.weights)
    np.testing.assert_array_equal(first.inputs["event"], unchanged.inputs["event"])
    np.testing.assert_array_equal(first.inputs["objects"], again.inputs["objects"])
    assert (np.asarray(first.inputs["objects"]) != np.asarray(second.inputs["objects"])).mean() > 0.3
    objects = np.asarray(first.inputs["objects"], np.float64)
    assert not objects[np.asarray(first.inputs["objects_mask"]) == 0].any()
    pt, eta, phi, mass = np.asarray(first.inputs["objects_vectors"], np.float64).transpose(2, 0, 1)
    energies = np.sqrt((pt * np.cosh(eta)) ** 2 + mass**2)
    expected = np.stack([pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta), energies], axis=-1)
    np.testing.assert_allclose(objects[..., :4], expected, rtol=1e-5, atol=1e-3)
    jets = objects * (np.asarray(first.inputs["objects_mask"]) - objects[..., 4])[..., np.newaxis]
    px, py, pz, energy = jets[..., :4].sum(axis=1).T
    ht = np.hypot(jets[..., 0], jets[..., 1]).sum(axis=1)
    number = (jets[..., 3] > 0).sum(axis=1)
    shapes = np.asarray(first.inputs["shapes"])
    np.testing.assert_allclose(shapes[:, [0, 2]], np.stack([ht, number], axis=1), rtol=1e-5)
    np.testing.assert_allclose(
        shapes[:, 1] ** 2 / energy**2, (energy**2 - px**2 - py**2 - pz**2) / energy**2, atol=1e-5
    )


@pytest.mark.parametrize("stream", [False, True])
def test_a_training_with_a_figure(
    stream: bool, content: Callable[..., dict[str, Any]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "training.yaml"
    config.write_text(yaml.safe_dump(content(stream=stream, augmentation=ALL)))
    assert main(["train-keras", str(config), "0"]) == 0, capsys.readouterr().err
    assert {"fold0_augmentation.png", "fold0_augmentation.pdf"} <= {path.name for path in (tmp_path / "out").iterdir()}


@pytest.mark.parametrize(
    ("augmentation", "inputs", "message"),
    [
        ({"phi_rotatoin": True}, {}, "augmentation: unknown key 'phi_rotatoin'; nearest: 'phi_rotation'"),
        ({"drop_objects": 1}, {}, "augmentation.drop_objects: "),
        ({}, {}, "augmentation: all strengths are 0"),
        (
            {"eta_reflection": True, "drop_objects": 0.1},
            {"jets": {"objects": ["Jet_pt"]}},
            "augmentation.eta_reflection: inputs.jets has no four-vectors to change; describe it by collections",
        ),
        ({"drop_objects": 0.1}, {"event": ["met"]}, "augmentation: no group of objects or images is among the inputs"),
    ],
)
def test_what_cannot_be_augmented_is_one_line(
    augmentation: dict[str, Any],
    inputs: dict[str, Any],
    message: str,
    content: Callable[..., dict[str, Any]],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    keys = content(augmentation=augmentation)
    if inputs:
        keys |= {"inputs": inputs, "model": {"hidden": [4]}}
    config = tmp_path / "training.yaml"
    config.write_text(yaml.safe_dump(keys))
    assert main(["train-keras", str(config), "0"]) == 2
    error = capsys.readouterr().err.strip()
    assert message in error, error
    assert "\n" not in error
    assert not (tmp_path / "out").exists()
