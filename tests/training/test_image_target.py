"""An image that is learnt, from images in an ntuple to branches of missing energy; expected numbers by NumPy."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any, NamedTuple

import awkward as ak
import numpy as np
import onnxruntime
import pytest
import uproot
import yaml

from ntupleml.application.frugally_deep_export import export_to_frugally_deep
from ntupleml.application.onnx_export import export_to_onnx
from ntupleml.artifacts import KERAS, model_files, read_record
from ntupleml.cli import main
from ntupleml.config import TrainingConfig
from ntupleml.datasets.loading import class_trees, fold_files
from ntupleml.errors import NtuplemlError
from ntupleml.ntuples import new_tree_file, open_ntuple
from ntupleml.ntuples.table_files import new_table_file
from ntupleml.testing.engine_comparison import compare_engines
from ntupleml.training.data import MemoryData
from ntupleml.training.jobs import TrainingOptions
from ntupleml.training.keras_training import train_keras
from ntupleml.training.streaming import StreamedData

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from ntupleml.artifacts import TrainingRecord

ETA, PHI, EVENTS = 4, 6, 300
RANGES = {"bins": [ETA, PHI], "eta_range": [-2, 2]}
INPUTS = {"image": {"image": ["calo", "tracks"]}, "event": ["pileup"]}
TARGET = {"image": "truth"}


def missing(images: NDArray[Any]) -> NDArray[np.float64]:
    phi = -np.pi + (np.arange(PHI) + 0.5) * 2 * np.pi / PHI
    return -np.stack([np.einsum("nep,p->n", images.astype(float), one(phi)) for one in (np.cos, np.sin)], axis=1)


def columns(seed: int) -> dict[str, Any]:
    random = np.random.default_rng(seed)
    truth = random.exponential(20, (EVENTS, ETA, PHI)) * (random.random((EVENTS, ETA, PHI)) < 0.3)
    noise = random.normal(0, 1, (2, EVENTS, ETA, PHI))
    counts = random.poisson(3, EVENTS)
    clusters = {
        "E": random.exponential(20, counts.sum()),
        "eta": random.uniform(-2.5, 2.5, counts.sum()),
        "phi": random.uniform(-np.pi, np.pi, counts.sum()),
    }
    return {
        "event": np.arange(EVENTS) + EVENTS * seed,
        "truth": truth.astype("f4"),
        "calo": (truth + noise[0]).astype("f4"),
        "bad": np.where(np.arange(EVENTS)[:, np.newaxis, np.newaxis] == 8, np.nan, truth),
        "tracks": (truth / 2 + noise[1]).astype("f4"),
        "pileup": random.poisson(30, EVENTS).astype("f4"),
        "weight": random.uniform(0.5, 1.5, EVENTS),
        "cl": ak.zip({name: ak.unflatten(one.astype("f4"), counts) for name, one in clusters.items()}),
    }


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An ntuple, and the fold files that are built of it."""
    folder = tmp_path_factory.mktemp("images")
    with uproot.recreate(folder / "ntuple.root") as file:
        for seed in (0, 1):
            content = columns(seed)
            if seed == 0:
                kinds = {
                    key: np.dtype((one.dtype, one.shape[1:])) if isinstance(one, np.ndarray) else one.type.content
                    for key, one in content.items()
                }
                file.mktree("events", kinds)
            file["events"].extend(content)
    dataset = {
        "processes": {"all": {"files": ["ntuple.root"], "class": "all", "cut_string": "1", "weight_string": "weight"}},
        "base_path": str(folder),
        "tree_path": "events",
        "event_branch": "event",
        "output_path": str(folder),
        "output_filename": "images.root",
        "num_folds": 2,
        "branches": "all",
    }
    (folder / "dataset.yaml").write_text(yaml.safe_dump(dataset))
    assert main(["dataset", str(folder / "dataset.yaml")]) == 0
    return folder


def written(folder: Path, place: Path, **keys: Any) -> TrainingConfig:
    """A training config of these fold files, and in a folder as `training.yaml`."""
    content = {
        "datasets": [str(folder / f"fold{fold}_images.root") for fold in (0, 1)],
        "output_path": str(place / "out"),
        "classes": ["all"],
        "event_weights": "training_weight",
        "inputs": INPUTS,
        "target": TARGET,
        "seed": 3,
        "model": {
            "encoders": {"image": {"type": "periodic_convolution", "filters": [4], "kernel": 3}},
            "epochs": 2,
            "batch_size": 32,
        },
        **keys,
    }
    (place / "training.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    return TrainingConfig.model_validate(content)


@pytest.fixture
def make(folder: Path, tmp_path: Path) -> Callable[..., TrainingConfig]:
    def make(**keys: Any) -> TrainingConfig:
        return written(folder, tmp_path, **keys)

    return make


class Trained(NamedTuple):
    """Two folds of an image and a value beside it."""

    folder: Path
    config: TrainingConfig
    records: list[TrainingRecord]


@pytest.fixture(scope="module")
def trained(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    place = tmp_path_factory.mktemp("trained")
    config = written(folder, place, target={**TARGET, "values": {"n": "pileup"}})
    return Trained(place, config, train_keras(config, [0, 1]))


def data_of(config: TrainingConfig, kind: type = MemoryData) -> Any:
    trees = class_trees(config, fold_files(config, 0, conditional=False))
    return kind(config, trees, 0, balanced=False, randomized=False)


def stored(folder: Path, fold: int = 0) -> dict[str, Any]:
    with uproot.open(folder / f"fold{fold}_images.root") as file:
        found: dict[str, Any] = file["all"].arrays(library="np")
    return found


def sorted_rows(rows: NDArray[Any]) -> NDArray[Any]:
    return rows[np.lexsort(rows.T[::-1])]


@pytest.mark.parametrize("kind", [MemoryData, StreamedData])
def test_targets_are_pixels_then_standardised_values(make: Any, folder: Path, kind: type) -> None:
    values = {"half": "pileup/2", "sum": "pileup+1"}
    data = data_of(make(target={**TARGET, "values": values}), kind)
    truth = stored(folder)
    target = data.preparation.target
    assert (target.kind, target.image.bins, list(target.values)) == ("image", (ETA, PHI), ["half", "sum"])
    blocks = [*data.training_blocks(1), *data.validation_blocks()]
    found = np.concatenate([np.asarray(block.targets)[block.order] for block in blocks])
    assert found.shape == (len(truth["event"]), ETA * PHI + 2)
    expected = np.stack([truth["pileup"] / 2, truth["pileup"] + 1], axis=1)
    expected = (expected - target.mean) / target.scale
    expected = np.hstack([truth["truth"].reshape(len(expected), -1), expected])
    np.testing.assert_allclose(sorted_rows(found), sorted_rows(expected), rtol=1e-5, atol=1e-5)
    assert set(data.check_batch) == {"image", "event"}


def test_units_are_standard_deviations_with_weights(make: Any, folder: Path) -> None:
    data = data_of(make(train_test_split=0.99))
    image, truth = data.preparation.target.image, stored(folder)
    weights = truth["training_weight"]

    def deviation(numbers: NDArray[Any], of: NDArray[Any]) -> float:
        mean = np.average(numbers, weights=of)
        return float(np.sqrt(np.average((numbers - mean) ** 2, weights=of)))

    components = [deviation(one, weights) for one in missing(truth["truth"]).T]
    assert image.component_scale == pytest.approx(np.sqrt(np.square(components).mean()), rel=0.03)
    of_pixels = np.repeat(weights, ETA * PHI)
    assert image.pixel_scale == pytest.approx(deviation(truth["truth"].ravel(), of_pixels), rel=0.03)


def test_a_target_is_filled_from_objects_as_inputs_are(make: Any, folder: Path) -> None:
    target = {"image": {"image": "cl_E", "eta": "cl_eta", "phi": "cl_phi", **RANGES}}
    data = data_of(make(target=target))
    truth = stored(folder)
    expected = np.zeros((len(truth["event"]), ETA, PHI))
    for row in range(len(expected)):
        for energy, eta, phi in zip(*(truth[f"cl_{name}"][row] for name in ("E", "eta", "phi")), strict=True):
            if -2 <= eta < 2:
                expected[row, int(eta + 2), int((phi + np.pi) / (2 * np.pi) * PHI) % PHI] += energy
    blocks = [*data.training_blocks(1), *data.validation_blocks()]
    found = np.concatenate([np.asarray(block.targets)[block.order] for block in blocks])
    np.testing.assert_allclose(sorted_rows(found), sorted_rows(expected.reshape(len(expected), -1)), rtol=1e-4)


def scored(config: TrainingConfig, fold: int, folder: Path) -> tuple[NDArray[Any], NDArray[Any], dict[str, Any]]:
    """Scores and images of the ONNX file for the events of a fold, and these."""
    path = model_files(config.output_path, 1 - fold, KERAS).onnx
    truth = stored(folder, fold)
    images = np.stack([truth["calo"], truth["tracks"]], axis=-1)
    feeds = {"image": images, "event": truth["pileup"][:, np.newaxis]}
    session = onnxruntime.InferenceSession(path)
    return (*session.run(["scores", "predicted_image"], feeds), truth)


def run(*arguments: str | Path) -> None:
    assert main([str(one) for one in arguments]) == 0


def test_scores_are_the_missing_energy_of_the_image(trained: Trained, folder: Path) -> None:
    assert trained.records[0].outputs == ["ex", "ey", "n"]
    assert trained.records[0].network["loss"] == "mixed"
    assert trained.records[0] == read_record(model_files(trained.config.output_path, 0, KERAS).record)
    scores, images, truth = scored(trained.config, 1, folder)
    assert images.shape == (len(truth["event"]), ETA, PHI)
    np.testing.assert_allclose(scores[:, :2], missing(images), atol=1e-4)


def numbers_of(trained: Trained, verb: str, content: dict[str, Any], picture: str) -> dict[str, Any]:
    """Numbers of a picture of a step, of the model that never saw fold 1."""
    path = trained.folder / "testing.yaml"
    path.write_text(yaml.safe_dump(content))
    run(verb, trained.folder / "training.yaml", path, "0", "--overwrite")
    found: dict[str, Any] = yaml.safe_load((trained.folder / "out" / f"fold0_keras_{picture}.yaml").read_text())
    return found


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures have their numbers alone."""
    monkeypatch.setattr("ntupleml.plots.pictures.save_figure", lambda *_, **__: [])
    monkeypatch.setattr("ntupleml.plots.pictures._figure", lambda *_: None)


@pytest.mark.usefixtures("undrawn")
def test_residuals_are_those_of_the_true_image(trained: Trained, folder: Path) -> None:
    numbers = numbers_of(trained, "regression", {}, "residuals_ey")
    scores, images, truth = scored(trained.config, 1, folder)
    residuals = scores[:, 1] - missing(truth["truth"])[:, 1]
    bias = np.average(residuals, weights=truth["training_weight"])
    assert numbers["residuals"]["bias"]["value"] == pytest.approx(bias, rel=1e-4, abs=1e-4)
    # and pixel by pixel, chunk by chunk
    numbers = numbers_of(trained, "residual-maps", {}, "residual_map")
    assert numbers["entries"] == len(truth["event"])
    expected = np.average(images - truth["truth"], weights=truth["training_weight"], axis=0)
    np.testing.assert_allclose(numbers["mean"], expected, atol=1e-4)
    squares = np.average((images - truth["truth"]) ** 2.0, weights=truth["training_weight"], axis=0)
    np.testing.assert_allclose(numbers["spread"], np.sqrt(squares), rtol=1e-4)


@pytest.mark.usefixtures("undrawn")
def test_images_are_references(trained: Trained, folder: Path) -> None:
    """As columns, and filled from objects; ex and ey are a vector without being named."""
    clusters = {"image": "cl_E", "eta": "cl_eta", "phi": "cl_phi", **RANGES}
    references = {"calo": {"image": "calo"}, "clusters": clusters, "pile-up": {"n": "pileup"}}
    numbers = numbers_of(trained, "resolution", {"regression": {"references": references}}, "shape_etmiss_parallel")
    found, truth = numbers["all"]["qualities"], stored(folder, 1)
    assert set(found) == {"keras", "calo", "clusters"}
    wanted, weights = missing(truth["truth"]), truth["training_weight"]
    size = np.hypot(*wanted.T)
    along = (missing(truth["calo"]) * wanted).sum(axis=1) / size
    response = np.average(along, weights=weights) / np.average(size, weights=weights)
    assert found["calo"]["numbers"]["response"]["value"] == pytest.approx(response, rel=1e-4)
    assert found["clusters"]["entries"] == len(wanted)


def test_other_forms_agree(trained: Trained) -> None:
    configs = trained.folder / "training.yaml"
    export_to_onnx(configs)
    (compared,), _ = compare_engines(configs, "0")
    assert set(compared.results) == {"Keras", "ONNX", "exported ONNX"}
    assert compared.largest < 1e-4
    with pytest.raises(NtuplemlError, match="has no frugally-deep form"):
        export_to_frugally_deep(configs, "0")


def applied(trained: Trained, folder: Path, place: Path, *, ntuple: Path | None = None, **keys: Any) -> Path:
    """Friend of an ntuple, by default that of the fold files."""
    config = place / "application.yaml"
    config.write_text(yaml.safe_dump({"branch_prefix": "nn_", "output_directory": str(place / "friends"), **keys}))
    path = ntuple or folder / "ntuple.root"
    configs = [folder / "dataset.yaml", trained.folder / "training.yaml", config]
    run("apply-keras-friend", *configs, path, "events")
    (friend,) = (place / "friends" / path.parent.name).iterdir()
    return friend


def read(path: Path) -> dict[str, Any]:
    """All columns of a table of any format."""
    with open_ntuple(path, "events") as ntuple:
        chunks = [chunk.columns for chunk in ntuple.chunks([*ntuple.main_branches])]
    return {name: np.concatenate([chunk[name] for chunk in chunks]) for name in chunks[0]}


@pytest.mark.parametrize("friend_format", ["root", "hdf5", "parquet"])
def test_friends_have_the_image(trained: Trained, folder: Path, tmp_path: Path, friend_format: str) -> None:
    """Events that are not selected have the default score in all pixels."""
    keys = {"image": True, "selection": "pileup > 28", "default_score": -7, "friend_format": friend_format}
    found = read(applied(trained, folder, tmp_path, **keys))
    assert list(found) == ["nn_ex", "nn_ey", "nn_n", "nn_image", "event"]
    assert found["nn_image"].shape == (2 * EVENTS, ETA, PHI)
    scores, images, truth = scored(trained.config, 1, folder)
    places, chosen = truth["event"], truth["pileup"] > 28
    assert (found["event"][places] == places).all()
    np.testing.assert_allclose(found["nn_image"][places][chosen], images[chosen], atol=1e-5)
    np.testing.assert_allclose(found["nn_ey"][places][chosen], scores[chosen, 1], atol=1e-5)
    assert (found["nn_image"][places][~chosen] == -7).all()
    assert (found["nn_ex"][places][~chosen] == -7).all()


def test_in_place_the_image_is_a_branch(trained: Trained, folder: Path, tmp_path: Path) -> None:
    path = shutil.copy(folder / "ntuple.root", tmp_path)
    config = tmp_path / "application.yaml"
    config.write_text(yaml.safe_dump({"branch_prefix": "nn_", "image": True}))
    run("apply-keras", folder / "dataset.yaml", trained.folder / "training.yaml", config, path, "events")
    _, images, truth = scored(trained.config, 1, folder)
    with uproot.open(path) as file:
        found = file["events/nn_image"].array(library="np")
    np.testing.assert_allclose(found[truth["event"]], images, atol=1e-5)


@pytest.mark.parametrize("ending", ["h5", "parquet"])
def test_ntuples_of_other_formats_have_friends(trained: Trained, folder: Path, tmp_path: Path, ending: str) -> None:
    """The same scores as of the TTree; no image unless it is asked for."""
    with open_ntuple(folder / "ntuple.root", "events") as ntuple:
        (chunk,) = ntuple.chunks(["event", "calo", "tracks", "pileup"], 2 * EVENTS)
    (tmp_path / "other").mkdir()
    other = tmp_path / "other" / f"ntuple.{ending}"
    types = {name: np.dtype((column.dtype, column.shape[1:])) for name, column in chunk.columns.items()}
    with new_table_file(other, "events", types, 2 * EVENTS) as table:
        table.extend(chunk.columns)
        table.finish("images")
    (tmp_path / "a").mkdir()
    found = read(applied(trained, folder, tmp_path, ntuple=other))
    wanted = read(applied(trained, folder, tmp_path / "a"))
    assert list(found) == list(wanted) == ["nn_ex", "nn_ey", "nn_n", "event"]
    for name, column in wanted.items():
        np.testing.assert_array_equal(found[name], column)


def other_ntuple(path: Path, change: Callable[[dict[str, Any]], Any]) -> Path:
    """Some events in an HDF5 file, with another image."""
    content = {name: columns(2)[name] for name in ("event", "calo", "tracks", "pileup")}
    changes = change(content)
    path.parent.mkdir()
    types = {name: np.dtype((one.dtype, one.shape[1:])) for name, one in (content | changes).items()}
    with new_table_file(path, "events", types, EVENTS) as table:
        table.extend(content | changes)
        table.finish("images")
    return path


def with_nan(images: NDArray[Any]) -> NDArray[Any]:
    found = images.copy()
    found[7, 1, 2] = np.nan
    return found


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda given: {"calo": given["calo"][:, :3]},
            "input 'image': 'tracks' is of shape (4, 6) per event; (3, 6) or",
        ),
        (
            lambda given: {"calo": given["calo"][:, :3], "tracks": given["tracks"][:, :3]},
            "input 'image': images of 3 × 6 × 2 pixels and channels, but the models take 4 × 6 × 2; make them as",
        ),
        (
            lambda given: {"calo": given["calo"][..., None] * [1, 2]},
            "input 'image': images of 4 × 6 × 3 pixels and channels, but the models take 4 × 6 × 2; make them as",
        ),
        (lambda given: {"calo": given["calo"][:, 0]}, "input 'image': 'calo' is of shape (6) per event; (eta, phi) or"),
        (lambda given: {"calo": with_nan(given["calo"])}, "input 'image': variable 'calo' is NaN or infinite in 1 of"),
    ],
)
def test_bad_images_in_an_ntuple_are_one_line(
    trained: Trained, folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], change: Any, message: str
) -> None:
    ntuple = other_ntuple(tmp_path / "other" / "ntuple.h5", change)
    config = tmp_path / "application.yaml"
    config.write_text(json.dumps({"output_directory": str(tmp_path / "friends"), "image": True}))
    configs = [folder / "dataset.yaml", trained.folder / "training.yaml", config]
    assert main(["apply-keras-friend", *map(str, configs), str(ntuple), "events"]) == 2
    (line,) = [line for line in capfd.readouterr().err.splitlines() if line.startswith("ntupleml apply")]
    assert message in line
    assert not list(tmp_path.glob("friends/**/*.root"))


def changed_fold(folder: Path, place: Path, **changes: Callable[[NDArray[Any]], NDArray[Any]]) -> Path:
    """Fold 1 with other columns."""
    content = {name: column for name, column in stored(folder, 1).items() if column.dtype.kind in "fi"}
    content |= {name: change(content[name]) for name, change in changes.items()}
    with new_tree_file(place / "fold1_changed.root") as file:
        types = {name: np.dtype((one.dtype, one.shape[1:])) for name, one in content.items()}
        file.tree("all", types).extend(content)
    return place / "fold1_changed.root"


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize("verb", ["resolution", "residual-maps", "saliency"])
@pytest.mark.parametrize(
    ("column", "message"),
    [
        ("calo", "input 'image': variable 'calo' is NaN or infinite in 1 of"),
        ("truth", "the values of the target 'ex' are NaN or infinite in 1 of the entries 0 to"),
    ],
)
def test_a_pixel_that_is_no_number_is_not_tested(
    trained: Trained,
    folder: Path,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    verb: str,
    column: str,
    message: str,
) -> None:
    path = changed_fold(folder, tmp_path, **{column: with_nan})
    content = yaml.safe_load((trained.folder / "training.yaml").read_text())
    content["datasets"][1] = str(path)
    (tmp_path / "training.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    (tmp_path / "testing.yaml").write_text("{}")
    assert main([verb, str(tmp_path / "training.yaml"), str(tmp_path / "testing.yaml"), "0", "--overwrite"]) == 2
    (line,) = [line for line in capfd.readouterr().err.splitlines() if line.startswith(f"ntupleml {verb}: ")]
    assert message in line


@pytest.mark.usefixtures("undrawn")
def test_empty_images_are_counted(trained: Trained, folder: Path, tmp_path: Path) -> None:
    """A truth of zero has no direction and no ratio; an estimator of zero has no angle."""

    def emptied(images: NDArray[Any]) -> NDArray[Any]:
        found = images.copy()
        found[:5] = 0
        return found

    path = changed_fold(folder, tmp_path, truth=emptied, calo=lambda images: 0 * images)
    content = yaml.safe_load((trained.folder / "training.yaml").read_text())
    content |= {"datasets": [content["datasets"][0], str(path)], "output_path": str(tmp_path)}
    for file in (trained.folder / "out").iterdir():
        shutil.copy(file, tmp_path)
    (tmp_path / "training.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    regression = {"references": {"calo": {"image": "calo"}}}
    (tmp_path / "testing.yaml").write_text(yaml.safe_dump({"regression": regression}))
    run("resolution", tmp_path / "training.yaml", tmp_path / "testing.yaml", "0", "--overwrite")
    left_out = {}
    for quantity in ("parallel", "magnitude", "angle"):
        numbers = yaml.safe_load((tmp_path / f"fold0_keras_shape_etmiss_{quantity}.yaml").read_text())
        found = numbers["all"]["qualities"]
        left_out[quantity] = (found["keras"]["left_out"], found["calo"]["left_out"])
        assert found["keras"]["without_ratio"] == 5 * (quantity == "magnitude")
    events = len(stored(folder, 1)["event"])
    assert left_out == {"parallel": (5, 5), "magnitude": (0, 0), "angle": (5, events)}


def test_ensembles_give_the_mean_image(make: Any, folder: Path, tmp_path: Path) -> None:
    model = {"name": "BB_model", "settings": {"kernel": [3], "filters": [2]}, "epochs": 1}
    config = make(ensemble={"seeds": 2}, model=model, inputs={"image": INPUTS["image"]})
    records = train_keras(config, [0, 1])
    found = read(applied(Trained(tmp_path, config, records), folder, tmp_path, image=True, spread=True))
    assert list(found) == ["nn_ex", "nn_ey", "nn_ex_spread", "nn_ey_spread", "nn_image", "event"]
    components = np.stack([found["nn_ex"], found["nn_ey"]], axis=1)
    np.testing.assert_allclose(missing(found["nn_image"]), components, atol=1e-3)


@pytest.mark.parametrize(
    "keys",
    [
        {"model": {"name": "BB_model", "settings": {"kernel": [3], "filters": [3]}, "loss": "image", "epochs": 1}},
        {"model": {"name": "densenet", "settings": {"kernel": 3, "layers": 2}, "epochs": 1}, "stream": True},
        {"model": {"name": "unet", "settings": {"kernel": 3, "pool": [[2, 2]], "reflected": True}, "epochs": 1}},
        {"model": {"name": "resnet", "settings": {"kernel": 3, "output": "relu"}, "epochs": 1}},
    ],
)
def test_networks_of_the_zoo(make: Any, keys: dict[str, Any]) -> None:
    """Each is trained and written, and its ONNX file agrees, which the training checks."""
    (record,) = train_keras(make(inputs={"image": INPUTS["image"]}, **keys), [0])
    assert record.onnx_check is not None
    assert record.onnx_check.largest_difference < 1e-4
    assert np.isfinite(record.history["val_loss"]).all()


def test_the_same_seed_gives_the_same_bits(make: Any) -> None:
    config = make(model={"name": "BB_model", "settings": {"kernel": [3, 3], "filters": [3, 2]}, "epochs": 2})
    first, again = (train_keras(config, [0], TrainingOptions(overwrite=True))[0] for _ in range(2))
    assert first.history["val_loss"] == again.history["val_loss"]
    assert first.epochs_compiled == "graph"


def test_training_lowers_the_loss(make: Any, folder: Path) -> None:
    """The calorimeter has all that is needed: ETmiss is found far better than its spread."""
    model = {"name": "BB_model", "settings": {"kernel": [3], "filters": [4], "initializer": "he_normal"}}
    config = make(model={**model, "settings": {**model["settings"], "learning_rate": 0.01}, "epochs": 60})
    train_keras(config, [0])
    scores, _, truth = scored(config, 1, folder)
    wanted = missing(truth["truth"])
    assert (scores - wanted).std() < 0.3 * wanted.std()


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"target": {**TARGET, "reconstruction": "all"}}, "give one of values, image and reconstruction"),
        ({"target": {"image": {"image": ["truth", "calo"]}}}, "an image that is learnt has one"),
        ({"target": {**TARGET, "values": {"ex": "pileup"}}}, "values.ex: is what a score of the image is called"),
        ({"target": {"image": {"image": "truth", "preprocessing": "identity"}}}, "is not scaled"),
        ({"adversary": {"against": ["pileup"]}}, "the target is image"),
    ],
)
def test_configs_that_are_refused(make: Any, keys: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make(**keys)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        (
            {"inputs": {"event": ["pileup"]}, "model": {"hidden": [4]}},
            "no encoder gives one; take dense_convolution or",
        ),
        ({"model": {"encoders": {"image": {"type": "convolution"}}}}, "no encoder gives one"),
        ({"model": {"name": "BB_model", "loss": "huber"}}, "'huber' is no loss where the target is image"),
        (
            {"target": {**TARGET, "values": {"n": "pileup"}}, "model": {"name": "BB_model", "loss": "etmiss"}},
            "'etmiss' is of the image alone, but there are values too; take mixed",
        ),
        ({"model": {"name": "BB_model"}, "inputs": {"event": ["pileup"]}}, "is for images, but no group of inputs"),
        ({"model": {"name": "unet"}}, "pool: 5 × 2 pixels do not divide an image of 2 × 3; choose divisors"),
        ({"model": {"name": "BB_model", "settings": {"kernel": [4], "filters": [1]}}}, "4 is even"),
        ({"model": {"name": "BB_model", "settings": {"kernel": [3], "filters": [1, 2]}}}, "1 numbers for 2 conv"),
        ({"model": {"name": "BB_model", "settings": {"kernel": [15], "filters": [1]}}}, "too large for an image of 6"),
        ({"target": {"image": "truht"}}, "target.image.*'truht'.*nearest: 'truth'"),
        ({"target": {"image": "pileup"}}, r"target.image.*'pileup' is of shape \(\)"),
        ({"target": {"image": {"image": "cl_E", "eta": "cl_eta", "phi": "cl_phi", **RANGES, "bins": [3, 6]}}}, "3 × 6"),
        ({"target": {"image": "bad"}, "missing": {"value": 0}}, "target.image.*NaN or infinite"),
    ],
)
def test_trainings_that_are_refused(make: Any, keys: dict[str, Any], message: str) -> None:
    with pytest.raises(NtuplemlError, match=message):
        train_keras(make(**keys), [0])


def test_an_image_is_asked_for_where_none_is_learnt(make: Any, folder: Path, tmp_path: Path, capsys: Any) -> None:
    config = make(target={"values": {"n": "pileup"}}, inputs={"event": ["pileup"]}, model={"hidden": [2], "epochs": 1})
    train_keras(config, [0, 1])
    (tmp_path / "application.yaml").write_text(json.dumps({"image": True, "output_directory": str(tmp_path)}))
    configs = [folder / "dataset.yaml", tmp_path / "training.yaml", tmp_path / "application.yaml"]
    arguments = ["apply-keras-friend", *configs, folder / "ntuple.root", "events"]
    assert main([str(one) for one in arguments]) == 2
    assert "image: the models learn values, not an image; leave it out" in capsys.readouterr().err
