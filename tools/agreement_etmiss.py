"""The set `etmiss` of `agreement.py`: what a project on missing transverse energy from images gives for stored images.

Layout: `etmiss.npz` and `etmiss.json`. Shapes of images and weights of networks are those of the arrays.
"""

from __future__ import annotations

import json
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import numpy as np
from quantities import Quantity, largest

from ntupleml.errors import NtuplemlError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray

CHANNELS = ("cluster", "SK", "VorSK", "CSSK")
TRUTH = "truth_nm_barcode"
#: Networks of the original by the names of their weights, as the zoo calls them.
NETWORKS = {"BB": "BB_model", "unet": "encoder_decoder"}


class Images:
    """The arrays of a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @cached_property
    def arrays(self) -> dict[str, NDArray[Any]]:
        """All arrays by their names."""
        with np.load(self.folder / "etmiss.npz") as file:
            return {name: file[name] for name in file}

    @cached_property
    def means(self) -> dict[str, float]:
        """Losses of batches and numbers of weights."""
        found: dict[str, float] = json.loads((self.folder / "etmiss.json").read_text())
        return found

    def channels(self, number: int) -> NDArray[np.float32]:
        """The first images with all channels."""
        return np.stack([self.arrays[f"image_{name}"][:number] for name in CHANNELS], axis=-1)


def energy(images: Images) -> Iterator[Quantity]:
    """Missing transverse energy and its components."""
    for key in images.arrays:
        name = key.removeprefix("image_")
        if name != key:
            yield Quantity(f"components of {name}", partial(_components, images, name), 1e-9)
            yield Quantity(f"ETmiss of {name}", partial(_magnitude, images, name), 1e-9)


def _components(images: Images, name: str) -> float:
    from ntupleml.features.images import missing_energy_of

    return largest(missing_energy_of(images.arrays[f"image_{name}"]), images.arrays[f"components_{name}"])


def _magnitude(images: Images, name: str) -> float:
    from ntupleml.features.images import missing_energy_of

    x, y = missing_energy_of(images.arrays[f"image_{name}"]).T
    return largest(np.hypot(x, y), images.arrays[f"etmiss_{name}"])


def loss(images: Images) -> Iterator[Quantity]:
    """The loss as it was meant: squared differences of the components."""
    yield Quantity("loss of each event of SK", partial(_loss_of_events, images), 1e-6)
    for name in CHANNELS:
        key = "loss_intended" if name == "SK" else f"loss_intended_{name}"
        if key in images.means:
            yield Quantity(f"loss of all events of {name}", partial(_loss_of_batch, images, name, key), 1e-6)


def _losses(images: Images, name: str, reduction: str | None) -> NDArray[Any]:
    from ntupleml.imports import import_tensorflow

    import_tensorflow()
    from ntupleml.features.images import FULL_CIRCLE
    from ntupleml.models.image_losses import ImageLoss

    truth, found = images.arrays[f"image_{TRUTH}"], images.arrays[f"image_{name}"]
    etmiss = ImageLoss(truth.shape[1:], FULL_CIRCLE, {"etmiss": 1.0}, reduction=reduction)
    return np.asarray(etmiss(truth.reshape(len(truth), -1), found.reshape(len(found), -1)))


def _loss_of_events(images: Images) -> float:
    expected = images.arrays["loss_intended_per_event"]
    return float((np.abs(_losses(images, "SK", None) - expected) / expected).max())


def _loss_of_batch(images: Images, name: str, key: str) -> float:
    expected = images.means[key]
    return abs(float(_losses(images, name, "sum_over_batch_size")) - expected) / expected


def layers(images: Images) -> Iterator[Quantity]:
    """Padding, and convolutions with kernels reversed along η, in Keras and in ONNX."""
    for how in (_in_keras, _in_onnx):
        where = how.__name__.removeprefix("_in_").replace("keras", "Keras").replace("onnx", "ONNX")
        for key in images.arrays:
            if key.startswith("wrap_h"):
                size, constant = key.removeprefix("wrap_h").split("_c")
                layer = partial(_padding, int(size), float(constant))
                given = partial(images.arrays.__getitem__, "wrap_in")
                yield Quantity(f"{key} in {where}", partial(_layer, images, layer, given, key, how), 0)
        layer = partial(_padding, 4, 0.0)
        given = partial(images.channels, len(images.arrays["wrap_image_h4"]))
        yield Quantity(f"wrap_image_h4 in {where}", partial(_layer, images, layer, given, "wrap_image_h4", how), 0)
        yield Quantity(f"kernel forward and backward in {where}", partial(_reflected, images, how), 1e-4)


def _padding(size: int, constant: float) -> Any:
    from ntupleml.models.layers import PeriodicPadding

    return PeriodicPadding(size, constant)


def _layer(
    images: Images,
    layer: Callable[[], Any],
    given: Callable[[], NDArray[Any]],
    key: str,
    how: Callable[[Any, NDArray[Any]], NDArray[Any]],
) -> float:
    from ntupleml.imports import import_tensorflow

    import_tensorflow()
    import keras

    rows = given()
    inputs = keras.Input(rows.shape[1:], name="image")
    return largest(how(keras.Model(inputs, keras.layers.Flatten()(layer()(inputs))), rows), images.arrays[key])


def _reflected(images: Images, how: Callable[[Any, NDArray[Any]], NDArray[Any]]) -> float:
    from ntupleml.imports import import_tensorflow

    import_tensorflow()
    import keras

    from ntupleml.models.layers import PeriodicPadding, ReflectedConv2D

    kernel, bias = images.arrays["fb_kernel"], images.arrays["fb_bias"]
    expected = np.concatenate([images.arrays["fb_forward"], images.arrays["fb_backward"]], axis=-1)
    rows = images.channels(len(expected))
    inputs = keras.Input(rows.shape[1:], name="image")
    convolution = ReflectedConv2D(len(bias), kernel.shape[:2], activation="relu")
    padded = PeriodicPadding(kernel.shape[0] // 2)(inputs)
    model = keras.Model(inputs, keras.layers.Flatten()(convolution(padded)))
    convolution.set_weights([kernel, bias])
    return largest(how(model, rows), expected)


def _in_keras(model: Any, rows: NDArray[Any]) -> NDArray[Any]:
    return np.asarray(model(rows))


def _in_onnx(model: Any, rows: NDArray[Any]) -> NDArray[Any]:
    from ntupleml.artifacts import file_of_model
    from ntupleml.onnx_models.contract import GraphInput, contract_model
    from ntupleml.onnx_models.graph import GraphBuilder
    from ntupleml.onnx_models.keras_network import network_nodes
    from ntupleml.onnx_models.sessions import new_session

    file, graph = file_of_model(model), GraphBuilder()
    given = network_nodes(graph, ["image"], file)
    graph.add("Identity", given, output="scores")
    names = [str(number) for number in range(file.network.num_outputs)]
    taken = {"image": GraphInput(names[: rows.shape[-1]], image=rows.shape[1:])}
    content = contract_model(graph, taken, {"scores": names}, classes=names, kind="keras")
    found: NDArray[Any] = new_session(content.SerializeToString()).run(["scores"], {"image": rows})[0]
    return found


def networks(images: Images) -> Iterator[Quantity]:
    """Whole networks with the original's weights."""
    for prefix, name in NETWORKS.items():
        yield Quantity(f"{name}: number of weights", partial(_number_of_weights, images, prefix), 0)
        for how in ("Keras", "ONNX"):
            yield Quantity(f"{name} in {how}", partial(_image, images, prefix, how), 1e-3)
        yield Quantity(f"{name}: components in ONNX", partial(_image, images, prefix, "components"), 1e-3)


def _model(images: Images, prefix: str) -> tuple[Any, NDArray[np.float32]]:
    """Network of the zoo with the weights of the folder, and the images that it takes."""
    from ntupleml.imports import import_tensorflow

    import_tensorflow()
    from ntupleml.config.inputs import ImageConfig
    from ntupleml.config.model import ModelConfig
    from ntupleml.features.images import FULL_CIRCLE
    from ntupleml.models import GroupShape, ImageOutput, build_model, network_of

    weights = [images.arrays[f"{prefix}_w{number}"] for number in range(_number_of_arrays(images, prefix))]
    rows = images.channels(len(images.arrays[f"{prefix}_output"]))
    config = ModelConfig(name=NETWORKS[prefix], settings={"output": "relu"})
    network = network_of(config, groups={"image": ImageConfig(image=list(CHANNELS))}, target="image")
    image = ImageOutput(rows.shape[1:3], FULL_CIRCLE)
    model = build_model(network, {"image": GroupShape("image", rows.shape[1:])}, 0, 1, image)
    found = [one.shape for one in model.get_weights()]
    if found != [one.shape for one in weights]:
        raise NtuplemlError(f"{prefix}_w0, …: weights of the shapes {found} are needed")
    model.set_weights(weights)
    return model, rows


def _number_of_arrays(images: Images, prefix: str) -> int:
    return sum(name.startswith(f"{prefix}_w") for name in images.arrays)


def _number_of_weights(images: Images, prefix: str) -> float:
    model, _ = _model(images, prefix)
    return abs(model.count_params() - images.means[f"{prefix}_parameters"])


def _image(images: Images, prefix: str, how: str) -> float:
    model, rows = _model(images, prefix)
    expected = images.arrays[f"{prefix}_output"]
    if how == "Keras":
        return largest(np.asarray(model(rows)), expected)
    components, found = _scores(model, rows)
    if how == "ONNX":
        return largest(found, expected)
    from ntupleml.features.images import missing_energy_of

    return largest(components, missing_energy_of(expected))


def _scores(model: Any, rows: NDArray[np.float32]) -> tuple[NDArray[Any], NDArray[Any]]:
    """What the ONNX file of a network gives."""
    from ntupleml.artifacts import file_of_model
    from ntupleml.artifacts.record import ImageRecord, TargetRecord
    from ntupleml.config.inputs import ImageConfig
    from ntupleml.events.groups import groups_of
    from ntupleml.onnx_models.contract import OUTPUT
    from ntupleml.onnx_models.keras_network import keras_to_onnx
    from ntupleml.onnx_models.sessions import new_session
    from ntupleml.preprocessing import fit_scaler
    from ntupleml.targets import COMPONENTS, IMAGE_OUTPUT

    target = ImageRecord(source=ImageConfig(image=[TRUTH]), bins=rows.shape[1:3])
    graph = keras_to_onnx(
        file_of_model(model),
        {"image": fit_scaler("identity", np.ones((2, len(CHANNELS))))},
        groups_of({"image": ImageConfig(image=list(CHANNELS))}),
        COMPONENTS,
        target=TargetRecord(kind="image", image=target),
    )
    components, found = new_session(graph.SerializeToString()).run([OUTPUT, IMAGE_OUTPUT], {"image": rows})
    return components, found


#: Subjects of the set; each makes quantities of the images of a folder.
PARTS: tuple[Callable[[Images], Iterator[Quantity]], ...] = (energy, loss, layers, networks)


def etmiss(folder: Path) -> Iterator[Quantity]:
    """All quantities of a folder."""
    if not (folder / "etmiss.npz").is_file():
        return
    images = Images(folder)
    for part in PARTS:
        yield from part(images)
