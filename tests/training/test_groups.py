"""Objects, images, values and reconstruction in a training, in memory and streamed; expected numbers by numpy."""

from __future__ import annotations

import json
import pickle
from typing import TYPE_CHECKING, Any, ClassVar

import awkward as ak
import numpy as np
import onnxruntime
import pytest
import uproot
import yaml

from ntupleml.application.frugally_deep_export import export_to_frugally_deep
from ntupleml.application.lwtnn_export import export_to_lwtnn
from ntupleml.application.onnx_export import export_to_onnx
from ntupleml.artifacts import model_files
from ntupleml.cli import main
from ntupleml.config import TrainingConfig
from ntupleml.datasets.loading import class_trees, fold_files
from ntupleml.errors import NtuplemlError
from ntupleml.models import ENCODERS
from ntupleml.models.encoders.encoder import Encoder
from ntupleml.preprocessing import load_preprocessing, load_scalers
from ntupleml.testing.engine_comparison import compare_engines
from ntupleml.training.boosted_trees import train_boosted_trees
from ntupleml.training.data import MemoryData
from ntupleml.training.jobs import TrainingOptions
from ntupleml.training.keras_training import train_keras
from ntupleml.training.streaming import StreamedData

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

EVENTS, LENGTH = 400, 3
INPUTS = {
    "event": ["met"],
    "jets": {"objects": ["Jet_pt", "Jet_eta"], "sort": "Jet_pt", "length": LENGTH},
    "towers": {"image": "Jet_pt", "eta": "Jet_eta", "phi": "Jet_phi", "bins": [2, 3], "eta_range": [-2, 2]},
}
VALUES = {"values": {"double": "2*met+1000", "eta": "sum"}}


def columns(fold: int, number: int) -> dict[str, Any]:
    random = np.random.default_rng([fold, number])
    counts = random.poisson(2, EVENTS)
    counts[:4] = 0, 1, LENGTH, 9
    total = counts.sum()
    jets = {"pt": random.exponential(30 + 30 * number, total) + 20, "eta": random.uniform(-3, 3, total)}
    jets["dxy"] = np.where(np.arange(total) == 7, np.nan, 1)
    jets["phi"] = random.uniform(-np.pi, np.pi, total)
    return {
        "met": random.exponential(50 + 10 * number, EVENTS).astype("f4"),
        "sum": random.normal(3, 2, EVENTS).astype("f4"),
        "nan": np.where(np.arange(EVENTS) == 5, np.nan, 1),
        "weight": random.uniform(0.5, 1.5, EVENTS),
        "Jet": ak.zip({name: ak.unflatten(values.astype("f4"), counts) for name, values in jets.items()}),
    }


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Fold files of two classes."""
    folder = tmp_path_factory.mktemp("groups")
    for fold in (0, 1):
        with uproot.recreate(folder / f"fold{fold}.root") as file:
            for number, name in enumerate(("sig", "bkg")):
                content = columns(fold, number)
                kinds = {key: getattr(values, "dtype", None) or values.type.content for key, values in content.items()}
                file.mktree(name, kinds)
                file[name].extend(content)
    return folder


@pytest.fixture
def make(folder: Path, tmp_path: Path) -> Callable[..., TrainingConfig]:
    def config(**keys: Any) -> TrainingConfig:
        content = {
            "datasets": [str(folder / f"fold{fold}.root") for fold in (0, 1)],
            "output_path": str(tmp_path / "out"),
            "classes": ["sig", "bkg"],
            "event_weights": "weight",
            "inputs": INPUTS,
            "seed": 3,
        }
        small = {"jets": {"type": "deep_set", "hidden": [4]}, "towers": {"type": "convolution", "filters": [2]}}
        encoders = {name: block for name, block in small.items() if name in (keys.get("inputs", INPUTS) or {})}
        model = {"encoders": encoders, "hidden": [4], "epochs": 2, "batch_size": 50, **keys.pop("model", {})}
        return TrainingConfig.model_validate({**content, "model": model, **keys})

    return config


def load(config: TrainingConfig, **options: Any) -> Any:
    trees = class_trees(config, fold_files(config, 0, False))
    reader = StreamedData if config.stream else MemoryData
    return reader(config, trees, 0, balanced=False, randomized=False, **options)


def used(blocks: Any) -> tuple[dict[str, NDArray[Any]], NDArray[Any], NDArray[Any]]:
    """Inputs, targets and weights in the order of use."""
    parts = list(blocks)
    inputs = {
        name: np.concatenate([np.asarray(part.inputs[name])[part.order] for part in parts]) for name in parts[0].inputs
    }
    targets = np.concatenate([np.asarray(part.targets)[part.order] for part in parts])
    return inputs, targets, np.concatenate([part.weights for part in parts])


def raw() -> dict[str, Any]:
    """Arrays of the events of fold 0 that the network is to get, object by object."""
    both = [columns(0, number) for number in (0, 1)]
    jets = np.zeros((2 * EVENTS, LENGTH, 2))
    images = np.zeros((2 * EVENTS, 2, 3, 1))
    counts = np.zeros(2 * EVENTS, int)
    for row, event in enumerate(event for part in both for event in part["Jet"]):
        ordered = sorted(zip(event["pt"], event["eta"], strict=True), reverse=True)[:LENGTH]
        counts[row] = len(ordered)
        jets[row, : len(ordered)] = np.reshape(ordered, (-1, 2))
        images[row, ..., 0] = np.histogram2d(
            np.asarray(event["eta"], "f8"),
            np.asarray(event["phi"], "f8"),
            bins=(2, 3),
            range=[(-2, 2), (-np.pi, np.pi)],
            weights=np.asarray(event["pt"], "f8"),
        )[0]
    flat = {name: np.concatenate([part[name] for part in both]).astype("f8") for name in ("met", "sum", "weight")}
    return {**flat, "jets": jets, "images": images, "counts": counts}


def standardised(values: NDArray[Any], chosen: NDArray[Any]) -> NDArray[Any]:
    found: NDArray[Any] = (values - values[chosen].mean(axis=0)) / values[chosen].std(axis=0)
    return found


@pytest.mark.parametrize("stream", [False, True])
def test_scalers_of_real_objects_and_pixels(make: Callable[..., TrainingConfig], stream: bool) -> None:
    """Met identifies the events; each group is scaled by what the training part really has."""
    data = load(make(stream=stream), **({"buffer_bytes": 20_000} if stream else {}))
    truth = raw()
    training, targets, weights = used(data.training_blocks(1))
    validating, _, _ = used(data.validation_blocks())
    scaler = data.preparation.scalers["event"]
    met = training["event"][:, 0] * scaler.scale_[0] + scaler.mean_[0]
    rows = np.abs(truth["met"][:, None] - met).argmin(axis=0)
    assert len(set(rows)) == len(rows) == data.num_training
    assert len(validating["event"]) == data.num_validation == 2 * EVENTS - len(rows)
    filled = np.arange(LENGTH) < truth["counts"][:, None]
    jets = np.zeros_like(truth["jets"])
    trained = np.isin(np.arange(2 * EVENTS), rows)
    jets[filled] = standardised(truth["jets"][filled], np.repeat(trained, truth["counts"]))
    np.testing.assert_allclose(training["jets"], jets[rows], atol=1e-4)
    np.testing.assert_array_equal(training["jets_mask"], filled[rows])
    pixels = standardised(truth["images"].reshape(-1, 1), np.repeat(trained, 6)).reshape(truth["images"].shape)
    np.testing.assert_allclose(training["towers"], pixels[rows], atol=1e-4)
    np.testing.assert_array_equal(targets[:, 1], rows >= EVENTS)
    np.testing.assert_allclose(weights, truth["weight"][rows], rtol=1e-6)
    assert data.check_batch["jets_length"][-3:].tolist() == [LENGTH, 1, 0]
    assert (data.check_batch["jets"][-3, :, 0] > 20).all()


@pytest.mark.parametrize("stream", [False, True])
def test_values_are_standardised_with_the_weights_of_the_training(
    make: Callable[..., TrainingConfig], stream: bool
) -> None:
    config = make(
        target=VALUES, stream=stream, class_weights={"sig": 3.0, "bkg": 0.5}, inputs={"event": ["met", "sum"]}
    )
    data = load(config)
    blocks = list(data.training_blocks(1))
    inputs = np.concatenate([np.asarray(block.inputs)[block.order] for block in blocks])
    targets = np.concatenate([np.asarray(block.targets)[block.order] for block in blocks])
    scaler = data.preparation.scalers["event"]
    met, other = (inputs * scaler.scale_ + scaler.mean_).T
    truth = raw()
    rows = np.abs(truth["met"][:, None] - met).argmin(axis=0)
    weights = truth["weight"][rows] * np.where(rows < EVENTS, 3.0, 0.5)
    wanted = np.stack([2 * met + 1000, other], axis=1)
    mean = np.average(wanted, weights=weights, axis=0)
    scale = np.sqrt(np.average((wanted - mean) ** 2, weights=weights, axis=0))
    np.testing.assert_allclose(targets, (wanted - mean) / scale, atol=2e-4)
    np.testing.assert_allclose(data.preparation.target.mean, mean, rtol=1e-5)
    np.testing.assert_allclose(data.preparation.target.scale, scale, rtol=1e-4)


@pytest.mark.parametrize("stream", [False, True])
def test_what_is_given_back(make: Callable[..., TrainingConfig], stream: bool) -> None:
    """The scaled inputs of the groups, then where they are."""
    data = load(make(target={"reconstruction": ["jets", "event"]}, stream=stream))
    inputs, targets, _ = used(data.training_blocks(1))
    jets = inputs["jets"].reshape(-1, 2 * LENGTH)
    np.testing.assert_array_equal(targets[:, : 2 * LENGTH], jets)
    np.testing.assert_array_equal(targets[:, 2 * LENGTH : 2 * LENGTH + 1], inputs["event"])
    np.testing.assert_array_equal(targets[:, 2 * LENGTH + 1 : -1], np.repeat(inputs["jets_mask"], 2, axis=1))
    assert (targets[:, -1] == 1).all()


@pytest.mark.parametrize("stream", [False, True])
def test_files_of_a_network_of_any_number_of_jets(make: Callable[..., TrainingConfig], stream: bool) -> None:
    """Record, scalers and ONNX file; the scores of the file are means of values in their own units."""
    jets = {"objects": ["Jet_pt", "Jet_eta"], "preprocessing": "robust_scaler"}
    keys: dict[str, Any] = {"inputs": {"event": ["met"], "jets": jets}, "target": VALUES, "stream": stream}
    config = make(**keys, model={"epochs": 1, "loss": "huber"})
    (record,) = train_keras(config, [0])
    files = model_files(config.output_path, 0)
    assert files.preprocessing is not None
    found = json.loads(files.record.read_text())
    assert found["variables"] == ["met", "Jet_pt", "Jet_eta"]
    assert list(found["inputs"]) == ["event", "jets"]
    assert found["target"]["values"] == VALUES["values"]
    assert (found["epochs_compiled"], found["network"]["loss"], found["network"]["output"]) == (
        "xla",
        "huber",
        "linear",
    )
    assert set(record.history) >= {"mean_absolute_error", "val_mean_absolute_error"}
    assert "accuracy" not in record.history
    assert record.onnx_check is not None
    scalers = pickle.loads(files.pickle.read_bytes())
    safe = load_scalers(files.preprocessing, {"event": 1, "jets": 2})
    assert {name: type(scaler).__name__ for name, scaler in scalers.items()} == {
        "event": "StandardScaler",
        "jets": "RobustScaler",
    }
    np.testing.assert_array_equal(safe["jets"].center_, scalers["jets"].center_)
    with pytest.raises(NtuplemlError, match="holds scalers of the groups event, jets, but the model has event, taus"):
        load_scalers(files.preprocessing, {"event": 1, "taus": 2})
    with pytest.raises(NtuplemlError, match=r"holds scalers of the groups event, jets, but this is for .* variables"):
        load_preprocessing(files.preprocessing)
    session = onnxruntime.InferenceSession(str(files.onnx))
    for length in (1, 2, 20):
        inputs = {
            "event": np.full((2, 1), 50, "f4"),
            "jets": np.full((2, length, 2), 30, "f4"),
            "jets_length": np.array([0, length]),
        }
        (scores,) = session.run(["scores"], inputs)
        assert scores.shape == (2, 2)
        assert (np.abs(scores[:, 0] - 1100) < 300).all()


@pytest.mark.parametrize(
    "keys",
    [
        {},
        {"target": {"values": {"huge": "(2*met+1000)*1e12", "tiny": "sum*1e-12"}}, "inputs": {"event": ["met", "sum"]}},
        {"target": {"reconstruction": "all"}, "variables": ["met", "sum"], "inputs": None},
    ],
    ids=["groups", "values", "reconstruction"],
)
def test_other_forms_of_the_network(make: Callable[..., TrainingConfig], tmp_path: Path, keys: dict[str, Any]) -> None:
    """The files agree with Keras, values in units of their widths; what has no such form is refused in one line."""
    config = make(**keys, model={"epochs": 1, **({"encoders": {}} if keys else {})})
    record, _ = train_keras(config, [0, 1])
    assert record.onnx_check is not None
    assert record.onnx_check.largest_difference < 1e-4
    path = tmp_path / "training.yaml"
    path.write_text(yaml.safe_dump(config.model_dump(exclude_unset=True)))
    (export,) = export_to_onnx(path, "0")
    names = {value.name for value in onnxruntime.InferenceSession(str(export)).get_inputs()}
    assert names == {"event", "jets", "jets_length", "towers"} if not keys else set(keys["inputs"] or ["variables"])
    has_form = record.target.kind != "reconstruction"
    if not has_form:
        with pytest.raises(
            NtuplemlError, match=r"fold0_keras_model\.keras: gives its inputs back; frugally-deep has no"
        ):
            export_to_frugally_deep(path, "0")
    else:
        export_to_frugally_deep(path, "0")
        with pytest.raises(NtuplemlError, match=r"fold0_frugally_deep\.json: exists already; give --overwrite"):
            export_to_frugally_deep(path, "0")
    (found,), _ = compare_engines(path, "0")
    assert set(found.results) == {"Keras", "ONNX", "exported ONNX", *(["frugally-deep JSON"] if has_form else [])}
    if has_form:
        export.with_name("fold0_frugally_deep.json").write_text('{"ntupleml": {"record_hash": "another"}}')
        (again,), _ = compare_engines(path, "0", num_events=10, overwrite=True)
        assert again.absent["frugally-deep JSON"].endswith("was made from another training; export it again")
    assert found.events == 2 * EVENTS
    assert found.largest < 1e-5
    with pytest.raises(NtuplemlError, match="lwtnn files are written of networks that take numbers and objects and le"):
        export_to_lwtnn(path, "0")
    if config.inputs is not None:
        with pytest.raises(NtuplemlError, match="--single: joins networks of variables, but this one takes the groups"):
            export_to_onnx(path, single=True)
    else:
        export_to_onnx(path, single=True)


def test_networks_on_objects_become_lwtnn_files(make: Callable[..., TrainingConfig], tmp_path: Path) -> None:
    """One file per fold, which knows its objects and gives Keras' scores; a network without that form is refused."""
    inputs = {
        "event": ["met", "2*sum"],
        "jets": {"objects": ["Jet_pt", "Jet_eta"], "selection": "Jet_pt > 30", "sort": "Jet_pt", "length": LENGTH},
    }
    jets = {"type": "recurrent", "filters": [4], "units": 3, "masked": False}
    config = make(inputs=inputs, model={"epochs": 1, "encoders": {"jets": jets}})
    train_keras(config, [0, 1])
    path = tmp_path / "training.yaml"
    path.write_text(yaml.safe_dump(config.model_dump(exclude_unset=True)))
    export, _ = export_to_lwtnn(path, "all")
    (group,) = json.loads(export.read_text())["input_sequences"]
    assert [variable["name"] for variable in group["variables"]] == inputs["jets"]["objects"]
    assert group["objects"] == {"length": LENGTH, "filled": True, "selection": "Jet_pt > 30", "sort": "Jet_pt"}
    (found,), _ = compare_engines(path, "0")
    assert set(found.results) == {"Keras", "ONNX", "lwtnn JSON"}
    assert (found.events, found.largest < 1e-5) == (2 * EVENTS, True)
    train_keras(make(inputs=inputs, model={"epochs": 1}), [0, 1], TrainingOptions(overwrite=True))
    path.write_text(yaml.safe_dump(make(inputs=inputs, model={"epochs": 1}).model_dump(exclude_unset=True)))
    with pytest.raises(NtuplemlError, match=r"fold0_keras_model.keras: layer 'jets.pool' .* has no lwtnn form"):
        export_to_lwtnn(path, "0", overwrite=True)


def test_a_training_goes_on_with_the_same_inputs_only(make: Callable[..., TrainingConfig]) -> None:
    keys: dict[str, Any] = {"inputs": {"event": ["met", "sum"]}}
    train_keras(make(**keys, model={"epochs": 1}), [0])
    (record,) = train_keras(make(**keys), [0], TrainingOptions(continue_training=True))
    assert record.epochs == 2
    for change in ({"inputs": {"event": ["sum", "met"]}}, {**keys, "target": VALUES}):
        with pytest.raises(NtuplemlError, match=r"--continue: (inputs|target) was .* and is .* now"):
            train_keras(make(**change), [0], TrainingOptions(continue_training=True))


@pytest.mark.parametrize(
    ("keys", "options", "message"),
    [
        (
            {"target": {"values": {"x": "met*nan"}}},
            {},
            r"class 'sig': target.values: 'met\*nan' is NaN or infinite in 1 of 400 events",
        ),
        ({"target": {"values": ["mett"]}}, {}, "target.values: no branch 'mett'.*nearest: 'met'"),
        (
            {"inputs": {"jets": {"objects": ["Jet_pt", "Jet_dxy"]}}},
            {},
            "class 'sig': inputs.jets: NaN or infinite input: branch 'Jet_dxy' in 1 of",
        ),
        ({"inputs": {"jets": {"objects": ["Jet_ptt"]}}}, {}, "inputs.jets: no branch 'Jet_ptt'"),
        *(
            (
                {"inputs": {"jets": {"collections": {"jet": {"pt": "Jet_pt", "phi": "Jet_phi", **wrong}}}}},
                {},
                rf"class 'sig': inputs\.jets: no four-vector in \d+ of \d+ objects, .*{found}; leave them out by",
            )
            for wrong, found in (({"pt": "-Jet_pt"}, r"pt -\d.*"), ({"eta": "Jet_eta*0 + 900"}, "eta 900"))
        ),
        (
            {"inputs": {"jets": {"objects": ["Jet_pt"]}}, "target": {"reconstruction": "all"}},
            {},
            "target.reconstruction: 'jets' has any number of objects; give the largest as inputs.jets.length",
        ),
        ({"target": VALUES}, {"balance_batches": True}, "balanced batches are of classes, but the target is values"),
        ({"inputs": {"jets": {"objects": ["Jet_pt"], "selection": "Jet_pt < 0"}}}, {}, "inputs.jets: .*nothing"),
        ({"target": VALUES, "model": {"loss": "hinge"}}, {}, "model.loss: no loss 'hinge'"),
    ],
)
def test_what_is_refused(
    make: Callable[..., TrainingConfig], keys: dict[str, Any], options: dict[str, Any], message: str
) -> None:
    for stream in (False, True):
        with pytest.raises(NtuplemlError, match=message) as raised:
            train_keras(make(**keys, stream=stream), [0], TrainingOptions(**options))
        assert "\n" not in str(raised.value)


def test_trees_take_numbers_of_several_groups(
    make: Callable[..., TrainingConfig], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """They are trained, and their training part is tested, on all numbers as variables; other groups are left out."""
    trees = [{"name": "bdt", "type": "hist_gradient_boosting", "rounds": 3}]
    with caplog.at_level("INFO", "ntupleml"):
        (record,) = train_boosted_trees(make(boosted_trees=trees, output_path=str(tmp_path / "other")), [0])
    assert record.variables == ["met"]
    assert caplog.messages.count("bdt: takes the numbers alone, not inputs.jets, inputs.towers") == 1
    config = make(inputs={"a": ["met"], "b": ["sum", "met"]}, boosted_trees=trees)
    for record in train_boosted_trees(config, [0, 1]):
        assert record.variables == ["met", "sum"]
    configs = {"training": config.model_dump(mode="json", by_alias=True, exclude_unset=True), "testing": {"seed": 1}}
    for name, content in configs.items():
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump(content))
    given = [f"{tmp_path}/{name}.yaml" for name in configs]
    assert main(["score-distributions", *given, "all", "--method", "bdt"]) == 0
    with pytest.raises(NtuplemlError, match=r"boosted_trees\[0\]: takes numbers and learns classes, but inputs.jets"):
        train_boosted_trees(make(inputs={"jets": INPUTS["jets"]}, boosted_trees=trees), [0])
    with pytest.raises(NtuplemlError, match=r"but the target is values; the network of keras_training.py"):
        train_boosted_trees(make(inputs={"a": ["met"]}, target=VALUES, boosted_trees=trees), [0])


class OfVectors(Encoder):
    """Sums of the four-vectors, without what else is known of the objects."""

    kinds: ClassVar = ("objects",)
    needs_vectors: ClassVar = True

    def encode(self, values: Any, mask: Any, parts: Any, vectors: Any = None) -> Any:
        from ntupleml.models.layers import MaskedPooling

        return MaskedPooling(["sum"], name=f"{parts.prefix}pool")([vectors, mask])


JETS = {"jet": {"pt": "Jet_pt", "eta": "Jet_eta", "phi": "Jet_phi", "energy": "2*Jet_pt*cosh(Jet_eta)"}}


@pytest.mark.parametrize("stream", [False, True])
def test_an_encoder_gets_the_four_vectors(
    make: Callable[..., TrainingConfig], monkeypatch: pytest.MonkeyPatch, stream: bool
) -> None:
    """Unscaled, zero where no object is, with the mass from the energy; also by the ONNX file."""
    monkeypatch.setitem(ENCODERS, "of_vectors", OfVectors)
    inputs = {"event": ["met"], "jets": {"collections": JETS, "length": LENGTH, "features": ["pt"]}}
    config = make(inputs=inputs, stream=stream, model={"encoders": {"jets": {"type": "of_vectors"}}})
    data = load(config)
    found = next(iter(data.training_blocks(0))).inputs
    assert set(found) == {"event", "jets", "jets_mask", "jets_vectors"}
    met = np.concatenate([columns(0, number)["met"] for number in (0, 1)])
    jets = ak.concatenate([columns(0, number)["Jet"] for number in (0, 1)])
    scaler = data.preparation.scalers["event"]
    rows = np.abs(scaler.transform(met[:, None].astype("f8")).astype("f4") - np.asarray(found["event"]).T).argmin(
        axis=0
    )
    mask = np.asarray(found["jets_mask"])
    for row, vectors, filled in zip(rows[:100], np.asarray(found["jets_vectors"]), mask, strict=False):
        event = jets[row][:LENGTH]
        assert filled.sum() == len(event)
        mass = np.sqrt(3) * np.asarray(event["pt"], "f8") * np.cosh(np.asarray(event["eta"], "f8"))
        expected = np.stack([event["pt"], event["eta"], event["phi"], mass], axis=1)
        np.testing.assert_allclose(vectors[: len(event)], expected, rtol=1e-5)
        assert not vectors[len(event) :].any()
    if not stream:
        (record,) = train_keras(config, [0])
        assert record.onnx_check is not None
        assert record.onnx_check.largest_difference < 1e-5
    plain = make(inputs=INPUTS, model={"encoders": {"jets": {"type": "of_vectors"}}})
    with pytest.raises(
        NtuplemlError, match=r"model\.encoders\.jets: 'of_vectors' takes pairs .* describe inputs\.jets by"
    ):
        train_keras(plain, [0])
