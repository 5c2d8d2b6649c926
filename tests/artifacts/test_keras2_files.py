"""Networks of Keras 2 in HDF5: those of QKeras give QKeras' numbers, hostile ones are refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
import pytest

from ntupleml.artifacts.keras2_files import read_keras2_file
from ntupleml.errors import NtuplemlError
from ntupleml.onnx_models.convert import convert
from ntupleml.onnx_models.sessions import new_session
from ntupleml.quantised import evaluate, resources_of

if TYPE_CHECKING:
    from collections.abc import Callable

DATA = Path(__file__).resolve().parents[1] / "data" / "qkeras"
NAMES = ("encoder", "encoder_batchnorm")


@pytest.fixture(scope="module")
def answers() -> dict[str, Any]:
    """Inputs, and what QKeras 0.9.0 on TensorFlow 2.15 gives for them."""
    with np.load(DATA / "answers.npz") as file:
        return dict(file)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return Path(shutil.copy(DATA / "encoder.h5", tmp_path / "encoder.h5"))


def edit(path: Path, change: Callable[[dict[str, Any]], Any]) -> Path:
    """Change the description of the network in a file."""
    with h5py.File(path, "r+") as file:
        description = json.loads(file.attrs["model_config"])
        change(description)
        file.attrs["model_config"] = json.dumps(description)
    return path


def layer(description: dict[str, Any], number: int) -> dict[str, Any]:
    found: dict[str, Any] = description["config"]["layers"][number]
    return found


@pytest.mark.parametrize("name", NAMES)
def test_files_of_qkeras_give_its_numbers(name: str, answers: dict[str, Any]) -> None:
    file = read_keras2_file(DATA / f"{name}.h5")
    np.testing.assert_array_equal(evaluate(file, answers["inputs"]), answers[name])
    graph = convert(DATA / f"{name}.h5")
    (found,) = new_session(graph.SerializeToString()).run(None, {"variables": answers["inputs"]})
    np.testing.assert_array_equal(found, answers[name])


def test_the_score_of_an_encoder_is_the_mean_of_squares(answers: dict[str, Any]) -> None:
    graph = convert(DATA / "encoder.h5", score="latent_norm")
    (found,) = new_session(graph.SerializeToString()).run(None, {"variables": answers["inputs"]})
    expected = np.square(answers["encoder"].astype(np.float64)).mean(axis=1)
    np.testing.assert_allclose(found[:, 0], expected, rtol=3e-7)
    assert [one.dim_value for one in graph.graph.output[0].type.tensor_type.shape.dim][1:] == [1]


def test_widths_are_those_of_the_quantisers() -> None:
    first, *others = resources_of(read_keras2_file(DATA / "encoder.h5"))
    assert (first.inputs, first.units, first.weight_bits, first.ebops) == (44, 32, 10, None)
    assert [(one.input_bits, one.weight_bits, one.ebops) for one in others] == [
        (15, 10, 15 * 10 * 32 * 16 + 10 * 16),
        (15, 10, 15 * 10 * 16 * 3 + 10 * 3),
    ]


def test_a_sequential_network_of_keras_2(copy: Path, answers: dict[str, Any]) -> None:
    def sequential(description: dict[str, Any]) -> None:
        description["class_name"] = "Sequential"
        for key in ("input_layers", "output_layers"):
            del description["config"][key]
        for one in description["config"]["layers"]:
            del one["inbound_nodes"]

    found = evaluate(read_keras2_file(edit(copy, sequential)), answers["inputs"])
    np.testing.assert_array_equal(found, answers["encoder"])


def test_quantisers_as_texts(copy: Path, answers: dict[str, Any]) -> None:
    def texts(description: dict[str, Any]) -> None:
        for number in (1, 3, 5):
            for what in ("kernel", "bias"):
                layer(description, number)["config"][f"{what}_quantizer"] = "quantized_bits(10,5,0,alpha=1.0)"

    found = evaluate(read_keras2_file(edit(copy, texts)), answers["inputs"])
    np.testing.assert_array_equal(found, answers["encoder"])


def set_in(number: int, **settings: Any) -> Callable[[dict[str, Any]], Any]:
    return lambda description: layer(description, number)["config"].update(settings)


HOSTILE: dict[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
    "lambda": (lambda one: layer(one, 2).update(class_name="Lambda"), "not among the plain layers"),
    "custom": (lambda one: layer(one, 2).update(class_name="os>system"), "not among the plain layers"),
    "code": (set_in(2, activation="quantized_relu(__import__('os'))"), "neither number, flag nor word"),
    "callable": (set_in(2, activation={"class_name": "function", "config": "exec"}), "no quantiser"),
    "scale": (set_in(1, kernel_quantizer="quantized_bits(10,5)"), "of a kernel has no alpha; only alpha=1 is"),
    "not rounded": (set_in(1, bias_quantizer=None), "no bias_quantizer"),
    "wide": (set_in(1, kernel_quantizer="quantized_bits(10000,5,alpha=1)"), "no whole number from 1 to 32"),
    "memory": (set_in(1, units=2_000_000_000), "refused"),
    "setting": (set_in(1, lora_rank=3), "lora_rank"),
    "shape": (set_in(1, units=31), "of different shapes|the weights 'kernel'"),
    "no call": (lambda one: layer(one, 2).update(inbound_nodes=[[["nobody", 0, 0, {}]]]), "nothing gives"),
    "argument": (lambda one: layer(one, 2).update(inbound_nodes=[[["dense1", 0, 0, {"f": 1}]]]), "form that is not"),
    "call": (lambda one: layer(one, 2).update(inbound_nodes=[7]), "form that is not read"),
    "nodes": (lambda one: layer(one, 2).update(inbound_nodes="x"), "no list of calls"),
    "no settings": (lambda one: layer(one, 2).update(config=3), "no settings"),
    "layers": (lambda one: one["config"].update(layers=3), "list of layers"),
    "kind": (lambda one: one.update(class_name="MyModel"), "no kind of network"),
    "many": (lambda one: one["config"].update(layers=one["config"]["layers"] * 1000), "list of layers"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_descriptions_are_refused_in_one_line(name: str, copy: Path) -> None:
    change, reason = HOSTILE[name]
    with pytest.raises(NtuplemlError, match=reason) as caught:
        read_keras2_file(edit(copy, change))
    assert "\n" not in str(caught.value)
    assert str(copy) in str(caught.value)


def external(file: h5py.File) -> None:
    del file["model_weights/dense1/dense1/kernel:0"]
    file["model_weights/dense1/dense1/kernel:0"] = h5py.ExternalLink("/etc/passwd", "/x")


def compressed(file: h5py.File) -> None:
    del file["model_weights/dense1/dense1/kernel:0"]
    file.create_dataset("model_weights/dense1/dense1/kernel:0", (44, 32), "f4", compression="gzip")


def oversized(file: h5py.File) -> None:
    file.create_dataset("model_weights/more", (10**12,), "f4", chunks=(10**6,))


def virtual(file: h5py.File) -> None:
    layout = h5py.VirtualLayout((44, 32), "f4")
    layout[:] = h5py.VirtualSource("/tmp/other.h5", "x", (44, 32))
    del file["model_weights/dense1/dense1/kernel:0"]
    file.create_virtual_dataset("model_weights/dense1/dense1/kernel:0", layout)


def words(file: h5py.File) -> None:
    del file["model_weights/dense1/dense1/kernel:0"]
    file["model_weights/dense1/dense1/kernel:0"] = np.array([b"a", b"b"], "S1")


def twice(file: h5py.File) -> None:
    file["model_weights/dense1/other/kernel:0"] = np.zeros((44, 32), np.float32)


def integers(file: h5py.File) -> None:
    del file["model_weights/dense1/dense1/kernel:0"]
    file["model_weights/dense1/dense1/kernel:0"] = np.zeros((44, 32), np.int32)


def missing(file: h5py.File) -> None:
    del file["model_weights/dense1/dense1/kernel:0"]


def no_text(file: h5py.File) -> None:
    del file.attrs["model_config"]
    file.attrs["model_config"] = np.arange(5)


def no_network(file: h5py.File) -> None:
    del file.attrs["model_config"]


def nested(file: h5py.File) -> None:
    file.attrs["model_config"] = "[" * 50_000


def no_json(file: h5py.File) -> None:
    file.attrs["model_config"] = b"\xff\xfe{"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (external, "a link"),
        (compressed, "is compressed"),
        (oversized, "declare"),
        (virtual, "from another file"),
        (words, "not an array of numbers"),
        (twice, "twice"),
        (integers, "the weights 'kernel'"),
        (missing, "have the shape none"),
        (no_text, "is no text"),
        (no_network, "without a network"),
        (nested, "nested without end"),
        (no_json, "damaged"),
    ],
)
def test_hostile_files_are_refused_in_one_line(change: Callable[[h5py.File], None], reason: str, copy: Path) -> None:
    with h5py.File(copy, "r+") as file:
        change(file)
    with pytest.raises(NtuplemlError, match=reason) as caught:
        read_keras2_file(copy)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("length", [0, 7, 100, 2000, 20_000])
def test_files_that_were_cut_off_are_refused(length: int, copy: Path) -> None:
    copy.write_bytes(copy.read_bytes()[:length])
    with pytest.raises(NtuplemlError, match="not a model of Keras 2, or damaged"):
        read_keras2_file(copy)


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(NtuplemlError, match="no such file"):
        read_keras2_file(tmp_path / "x.h5")
