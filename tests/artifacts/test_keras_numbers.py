"""Numbers in Keras files that would make memory or time: each is refused by its layer, before Keras is imported."""

from __future__ import annotations

import zipfile
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
import pytest

from ntupleml.artifacts import load_keras_model, read_keras_file
from ntupleml.errors import NtuplemlError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

Config = dict[str, Any]
MANY = 10**9


def layer(kind: str, name: str, /, **config: Any) -> Config:
    return {"module": "keras.layers", "class_name": kind, "config": {"name": name, **config}, "registered_name": None}


def keras_object(module: str, kind: str, /, **config: Any) -> Config:
    return {"module": module, "class_name": kind, "config": config, "registered_name": None}


#: Settings of the network's layers: 0 is the input, 1 and 4 are dense, 2 normalises batches, 3 is dropout.
SETTINGS: dict[str, tuple[int, Config]] = {
    "rank of an adapter": (1, {"lora_rank": MANY}),
    "scale of an adapter": (1, {"lora_alpha": MANY}),
    "quantization": (1, {"quantization_config": {"bits": 4}}),
    "quantization object": (1, {"quantization_config": keras_object("keras.quantizers", "Int4QuantizationConfig")}),
    "quantized type": (1, {"dtype": "int8_from_float32"}),
    "quantized policy": (1, {"dtype": keras_object("keras", "DTypePolicy", name="float8_from_float32")}),
    "blocks of a policy": (1, {"dtype": keras_object("keras", "DTypePolicy", name="float32", block_size=MANY)}),
    "layer as activation": (1, {"activation": layer("Dense", "x", units=MANY)}),
    "activation with another layer in it": (
        1,
        {"activation": layer("Activation", "x", activation=layer("Dense", "y", units=MANY))},
    ),
    "axes of an activation": (1, {"activation": layer("Softmax", "x", axis=[-1] * 1000)}),
    "many units": (1, {"units": MANY}),
    "units as text": (1, {"units": "8"}),
    "units as a fraction": (1, {"units": 8.0}),
    "units as a flag": (1, {"units": True}),
    "units as an infinite number": (1, {"units": float("inf")}),
    "no units": (1, {"units": 0}),
    "units in a list": (1, {"units": [8]}),
    "initial values": (1, {"kernel_initializer": keras_object("keras.initializers", "Constant", value=[0.0] * 100)}),
    "initial values of a matrix": (1, {"kernel_initializer": keras_object("keras.initializers", "Identity")}),
    "axes of a constraint": (1, {"kernel_constraint": keras_object("keras.constraints", "MaxNorm", axis=[0] * 1000)}),
    "strength of a regulariser": (1, {"kernel_regularizer": keras_object("keras.regularizers", "L2", l2="1" * 5000)}),
    "other regulariser": (1, {"kernel_regularizer": keras_object("keras.regularizers", "OrthogonalRegularizer")}),
    "long name": (1, {"name": "x" * 2000}),
    "name of no text": (1, {"name": 7}),
    "axis of the events": (2, {"axis": 0}),
    "list of axes": (2, {"axis": [1] * 1000}),
    "epsilon as text": (2, {"epsilon": "0.1"}),
    "epsilon that is no number": (2, {"epsilon": float("nan")}),
    "another kind of averages": (2, {"renorm": True, "renorm_clipping": {"rmax": 1}}),
    "averages of many machines": (2, {"synchronized": True}),
    "rate": (3, {"rate": MANY}),
    "rate of many digits": (3, {"rate": 10**400}),
    "shape of the noise": (3, {"noise_shape": [MANY, MANY]}),
    "long seed": (3, {"seed": 10**400}),
    "object as seed": (3, {"seed": keras_object("keras.random", "SeedGenerator", seed=1)}),
    "wide input": (0, {"batch_shape": [None, MANY]}),
    "input of more axes": (0, {"batch_shape": [None, 3, MANY]}),
    "input without an end": (0, {"batch_shape": [None, None]}),
    "input of another type": (0, {"dtype": "complex128"}),
    "sparse input": (0, {"sparse": True}),
}


@pytest.mark.parametrize("name", SETTINGS)
def test_settings_out_of_bounds(name: str, craft: Callable[..., Path]) -> None:
    number, settings = SETTINGS[name]
    path = craft(config=lambda config: config["config"]["layers"][number]["config"].update(settings))
    with pytest.raises(NtuplemlError, match=r"crafted\.keras: ") as error:
        read_keras_file(path)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 600


def tensor(name: str, number: int = 0) -> Config:
    return {
        "class_name": "__keras_tensor__",
        "config": {"shape": [None, 3], "dtype": "float32", "keras_history": [name, number, 0]},
    }


def node(*inputs: Config, **kwargs: Any) -> Config:
    return {"args": [list(inputs) if len(inputs) > 1 else inputs[0]], "kwargs": kwargs}


def functional(*layers: Config, name: str = "network", output: str | None = None) -> Config:
    """A functional network of an input `in` and layers, each with its `inbound_nodes`."""
    items = [{**layer("InputLayer", "in", batch_shape=[None, 3], dtype="float32"), "inbound_nodes": []}, *layers]
    return {
        "module": "keras.src.models.functional",
        "class_name": "Functional",
        "registered_name": "Functional",
        "config": {
            "name": name,
            "layers": [{**item, "name": item["config"]["name"]} for item in items],
            "input_layers": ["in", 0, 0],
            "output_layers": [output or layers[-1]["config"]["name"], 0, 0],
        },
    }


def write(path: Path, config: Config, arrays: dict[str, np.ndarray] | None = None) -> Path:
    """A Keras file of a description and weights by their place."""
    import io
    import json

    stream = io.BytesIO()
    with h5py.File(stream, "w") as file:
        for place, array in (arrays or {}).items():
            file[place] = array
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", json.dumps(config))
        archive.writestr("model.weights.h5", stream.getvalue())
    return path


def linear(name: str, source: str, **kwargs: Any) -> Config:
    return {**layer("Activation", name, activation="linear"), "inbound_nodes": [node(tensor(source), **kwargs)]}


def operation(kind: str, **config: Any) -> Config:
    return {**layer(kind, "x", **config), "module": "keras.src.ops.numpy", "registered_name": kind}


def doubling(depth: int) -> Config:
    """Each layer sets its input beside itself: 3 · 2^depth numbers, without a weight."""
    names = ["in", *(f"twice_{number}" for number in range(depth))]
    return functional(
        *(
            {**layer("Concatenate", name), "inbound_nodes": [node(tensor(before), tensor(before))]}
            for before, name in pairwise(names)
        )
    )


def calls_of_calls(depth: int) -> Config:
    """Each network calls the one in it twice: 2^depth calls of a layer."""
    inner = functional(linear("x", "in"))
    for number in range(depth):
        name = f"inner_{number}"
        inner["config"]["name"] = name
        inner = functional({**inner, "inbound_nodes": [node(tensor("in")), node(tensor(name, 0))]}, output=name)
        inner["config"]["output_layers"] = [name, 2, 0]
    return inner


def nested(depth: int) -> Config:
    network: Config = layer("Dropout", "last", rate=0.5)
    for number in range(depth):
        config = {"name": f"n{number}", "layers": [network], "build_input_shape": [None, 3]}
        network = {"module": "keras", "class_name": "Sequential", "registered_name": None, "config": config}
    return network


STRUCTURES: dict[str, tuple[Callable[[], Config], str]] = {
    "doubling widths": (lambda: doubling(40), "computes more than 5,000,000 numbers per event"),
    "calls of calls": (lambda: calls_of_calls(18), "has more than 3,000 layers and calls of them"),
    "networks in networks": (lambda: nested(100), "is a network in networks, deeper than 20"),
    "many layers": (
        lambda: functional(*(linear(f"x{number}", "in") for number in range(3_000))),
        "has more than 3,000 layers and calls of them",
    ),
    "many calls": (
        lambda: functional({**layer("Dropout", "x", rate=0.5), "inbound_nodes": [node(tensor("in"))] * 3_000}),
        "has more than 3,000 layers and calls of them",
    ),
    "long list of numbers": (
        lambda: functional(
            {**layer("Rescaling", "x", scale=[1.0] * 10_000, offset=0), "inbound_nodes": [node(tensor("in"))]}
        ),
        "layer 'x': its scale has 10000 numbers for 3 values",
    ),
    "numbers of a wider type": (
        lambda: functional(
            {
                **layer(
                    "Rescaling",
                    "x",
                    offset=0,
                    scale={"class_name": "__numpy__", "config": {"value": [1.0], "dtype": "O"}},
                ),
                "inbound_nodes": [node(tensor("in"))],
            }
        ),
        "layer 'x': its setting scale=.* is not read",
    ),
    "loop": (lambda: functional(linear("x", "y"), linear("y", "x")), "layer '[xy]': has inputs that nothing gives"),
    "itself": (lambda: functional(linear("x", "x")), "layer 'x': has inputs that nothing gives"),
    "call that is not there": (
        lambda: functional({**layer("Dropout", "x", rate=0.5), "inbound_nodes": [node(tensor("in", 10**30))]}),
        "layer 'x': has inputs that nothing gives",
    ),
    "training": (lambda: functional(linear("x", "in", training=True)), "layer 'x': is called with training=True"),
    "mask": (lambda: functional(linear("x", "in", mask=[[True] * 9])), "layer 'x': is called with mask="),
    "two outputs": (
        lambda: _changed(functional(linear("x", "in")), output_layers=[["x", 0, 0], ["in", 0, 0]]),
        "the network has 2 outputs; one is needed",
    ),
    "two inputs": (
        lambda: _changed(functional(linear("x", "in")), input_layers=[["in", 0, 0], ["in", 0, 0]]),
        "has the same input twice",
    ),
    "no such input": (
        lambda: _changed(functional(linear("x", "in")), input_layers=["x", 0, 0]),
        "begins with something that is no input",
    ),
    "widths that do not fit": (
        lambda: functional(
            {**layer("Concatenate", "wide"), "inbound_nodes": [node(tensor("in"), tensor("in"))]},
            {**layer("Add", "sum"), "inbound_nodes": [node(tensor("in"), tensor("wide"))]},
        ),
        "layer 'sum': its inputs have 3, 6 values",
    ),
    "no units": (
        lambda: functional({**layer("Dense", "x"), "inbound_nodes": [node(tensor("in"))]}),
        "'units' is missing",
    ),
    "operation with a size": (
        lambda: functional({**operation("Tile", repeats=MANY), "inbound_nodes": [node(tensor("in"))]}),
        "is 'keras.src.ops.numpy.Tile', which is not among the plain layers",
    ),
    "operation of other settings": (
        lambda: functional(
            {**operation("Add", repeats=MANY), "inbound_nodes": [{"args": [tensor("in"), 1.0], "kwargs": {}}]}
        ),
        "its setting repeats=1000000000 is not read",
    ),
    "operation on numbers alone": (
        lambda: functional({**operation("Add"), "inbound_nodes": [{"args": [1.0, 2.0], "kwargs": {}}]}),
        "is called with numbers alone",
    ),
    "operation on a long number": (
        lambda: functional({**operation("Add"), "inbound_nodes": [{"args": [tensor("in"), 10**400], "kwargs": {}}]}),
        "is called with something else than the output of a layer",
    ),
    "network that nothing calls": (
        lambda: functional(linear("x", "in"), {**nested(1), "inbound_nodes": []}),
        "layer 'n0': is not used",
    ),
    "input that nothing gives": (
        lambda: functional(
            linear("x", "in"), {**layer("InputLayer", "y", batch_shape=[None, MANY]), "inbound_nodes": []}
        ),
        "layer 'y': is not used",
    ),
    "deep lists": (
        lambda: _changed(functional(linear("x", "in")), input_layers=_deep_list(900)),
        "has inputs or outputs that are no list of layers|maximum recursion depth exceeded",
    ),
}


#: Layers on objects or images: what is taken from settings that are read, what is put there, and what is said.
IMAGE, OBJECTS = [6, 8, 2], [None, 4]
CONVOLUTION: Config = {"filters": 3, "kernel_size": [3, 3]}
STRUCTURED: dict[str, tuple[str, list[int | None], Config, str]] = {
    **{
        f"{key} {value} of a convolution": ("Conv2D", IMAGE, {**CONVOLUTION, key: value}, message)
        for key, value, message in (
            ("filters", MANY, "computes more than 5,000,000 numbers per event"),
            ("filters", 0, "filters=0 is not read"),
            ("filters", 2.0, r"filters=2\.0 is not read"),
            ("kernel_size", [MANY, 3], "kernel_size=.* is not read"),
            ("kernel_size", [9, 9], "it looks at 9 of 6 values"),
            ("kernel_size", [3], "it has 1 sizes for 2 axes"),
            ("kernel_size", [3] * 9, "kernel_size=.* is not read"),
            ("kernel_size", "3", "kernel_size=3 is not read"),
            ("strides", [0, 1], "strides=.* is not read"),
            ("strides", MANY, "strides=1000000000 is not read"),
            ("dilation_rate", [10_000, 1], "it looks at 20001 of 6 values"),
            ("dilation_rate", -1, "dilation_rate=-1 is not read"),
            ("groups", 2, "groups=2 is not read"),
            ("padding", "causal", "padding=causal is not read"),
            ("data_format", "channels_first", "data_format=channels_first is not read"),
        )
    },
    "strides with a dilation": ("Conv2D", IMAGE, {**CONVOLUTION, "strides": 2, "dilation_rate": 2}, "one of them"),
    "convolution of objects as an image": ("Conv2D", [5, 4], CONVOLUTION, r"its input has the shape \(5, 4\)"),
    "strides over any number of objects": (
        "Conv1D",
        OBJECTS,
        {"filters": 2, "kernel_size": 1, "strides": 2},
        "changes the number of objects",
    ),
    "large pool": ("MaxPooling2D", IMAGE, {"pool_size": [7, 1]}, "it looks at 7 × 1 of 6 × 8 values"),
    "huge pool": ("MaxPooling2D", IMAGE, {"pool_size": MANY}, "pool_size=1000000000 is not read"),
    "pool of channels first": ("AveragePooling2D", IMAGE, {"data_format": "channels_first"}, "is not read"),
    "mean over padding": ("GlobalAveragePooling1D", OBJECTS, {}, "it takes padding for objects"),
    "product of one matrix": ("Dot", [5, 4], {"axes": 2}, r"it joins 5 × 4 values along \(2, 2\); matrices are read"),
    "product along three axes": ("Dot", [5, 4], {"axes": [1, 2, 1]}, "it has 3 sizes for 2 axes"),
    "product of directions": ("Dot", [5, 4], {"axes": 2, "normalize": True}, "normalize=True is not read"),
    "axes that stay": ("GlobalMaxPooling2D", IMAGE, {"keepdims": True}, "keepdims=True is not read"),
    **{
        f"{key} of an LSTM": ("LSTM", [5, 4], {"units": 3, key: True}, f"{key}=True is not read")
        for key in ("go_backwards", "stateful", "return_state", "unroll", "time_major", "zero_output_for_mask")
    },
    "units of an LSTM": ("LSTM", [5, 4], {"units": MANY}, "computes more than 50,000,000 numbers per event"),
    "activation of an LSTM": ("LSTM", [5, 4], {"units": 3, "activation": "softmax"}, "activation=softmax is not read"),
    "gates of a GRU": (
        "GRU",
        [5, 4],
        {"units": 3, "recurrent_activation": {"module": "os", "class_name": "system", "config": {}}},
        "recurrent_activation=.* is not read",
    ),
    "cell of an RNN": ("RNN", [5, 4], {"cell": {}}, "not among the plain layers"),
    "LSTM on any number of objects": ("LSTM", OBJECTS, {"units": 3}, "it takes padding for objects"),
    **{
        f"shape {shape}": ("Reshape", IMAGE, {"target_shape": shape}, message)
        for shape, message in (
            ([MANY, -1], r"it makes \[1000000000, -1\] of 6 × 8 × 2 values"),
            ([-1, -1], r"it makes \[-1, -1\] of"),
            ([95], r"it makes \[95\] of"),
            ([0, 96], "target_shape=.* is not read"),
            ([1] * 30, "target_shape=.* is not read"),
            ([], "target_shape=.* is not read"),
            (96, "target_shape=96 is not read"),
        )
    },
    "shape of any number of objects": ("Reshape", OBJECTS, {"target_shape": [4, -1]}, r"it makes \[4, -1\] of any × 4"),
    "flat objects of any number": ("Flatten", OBJECTS, {}, "it gets any number of objects; it needs a fixed one"),
    "layer for each object": ("TimeDistributed", OBJECTS, {"layer": {}}, "not among the plain layers"),
    "large image": ("Flatten", [10_000, 10_000, 3], {}, "computes more than 5,000,000 numbers per event"),
    "image without an end": ("Flatten", [6, None, 2], {}, "sizes are needed"),
}


@pytest.mark.parametrize("name", STRUCTURED)
def test_layers_on_objects_and_images_out_of_bounds(name: str, tmp_path: Path) -> None:
    kind, shape, settings, message = STRUCTURED[name]
    config = functional({**layer(kind, "x", **settings), "inbound_nodes": [node(tensor("in"))]})
    config["config"]["layers"][0]["config"]["batch_shape"] = [None, *shape]
    with pytest.raises(NtuplemlError, match=message) as error:
        read_keras_file(write(tmp_path / "crafted.keras", config))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"registered_name": "ntupleml>Other"}, "not among the plain layers"),
        ({"module": "os"}, "not among the plain layers"),
        ({"registered_name": "evil>MaskedPooling"}, "not among the plain layers"),
        ({"class_name": "MaskedSquaredError", "registered_name": "ntupleml>MaskedSquaredError"}, "not among the plain"),
        ({"config": {"name": "x", "modes": ["sum"] * 1000}}, "modes=.* is not read"),
        ({"config": {"name": "x", "modes": ["median"]}}, "modes=.* is not read"),
        ({"config": {"name": "x", "modes": ["sum"], "function": "os.system"}}, "function=os.system is not read"),
        ({"config": {"name": "x"}}, "'modes' is missing"),
        ({"inbound_nodes": [node(tensor("in"))]}, "it gets any × 4 values; objects and a mask are needed"),
        ({"inbound_nodes": [node(tensor("in"), tensor("in"))]}, "objects and a mask are needed"),
        (
            {
                "class_name": "SelfAttention",
                "registered_name": "ntupleml>SelfAttention",
                "config": {"name": "x", "heads": 3},
            },
            "its 3 heads do not divide 4 queries, keys and values",
        ),
    ],
)
def test_our_own_layers_are_no_way_in(changes: Config, message: str, tmp_path: Path) -> None:
    """They are known by package and name, and checked like all others."""
    ours = {
        **layer("MaskedPooling", "x", modes=["sum"]),
        "module": "ntupleml.models.layers",
        "registered_name": "ntupleml>MaskedPooling",
        "inbound_nodes": [node(tensor("in"), tensor("mask"))],
    }
    mask = {**layer("InputLayer", "mask", batch_shape=[None, None]), "name": "mask", "inbound_nodes": []}

    def network(pool: Config) -> Config:
        config = functional(pool)
        config["config"]["layers"][0]["config"]["batch_shape"] = [None, *OBJECTS]
        config["config"]["layers"].append(mask)
        config["config"]["input_layers"] = {"in": ["in", 0, 0], "mask": ["mask", 0, 0]}
        return config

    assert read_keras_file(write(tmp_path / "crafted.keras", network(ours))).network.num_outputs == 4
    with pytest.raises(NtuplemlError, match=message) as error:
        read_keras_file(write(tmp_path / "crafted.keras", network({**ours, **changes})))
    assert "\n" not in str(error.value)


def test_a_large_matrix_after_an_image_is_all_in_the_file(tmp_path: Path) -> None:
    """Flat, the largest image has a million numbers less one: a dense layer of a thousand on it would take 4 GB."""
    flat = {**layer("Flatten", "flat"), "inbound_nodes": [node(tensor("in"))]}
    dense = {**layer("Dense", "x", units=1_000), "inbound_nodes": [node(tensor("flat"))]}
    config = functional(flat, dense)
    config["config"]["layers"][0]["config"]["batch_shape"] = [None, 499, 1_000, 1]
    with pytest.raises(NtuplemlError, match=r"have the shapes \[\], but its description needs \[\(499000, 1000\)"):
        read_keras_file(write(tmp_path / "crafted.keras", config))


def _changed(config: Config, **settings: Any) -> Config:
    config["config"].update(settings)
    return config


def _deep_list(depth: int) -> list[Any]:
    result: list[Any] = []
    for _ in range(depth):
        result = [result]
    return result


@pytest.mark.parametrize("name", STRUCTURES)
def test_structures_out_of_bounds(name: str, tmp_path: Path) -> None:
    build, message = STRUCTURES[name]
    with pytest.raises(NtuplemlError, match=message) as error:
        read_keras_file(write(tmp_path / "crafted.keras", build()))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("arrays", "found"),
    [
        ({}, r"\[\]"),
        ({"0": (3, 2)}, r"\[\(3, 2\)\]"),
        ({"0": (3, 2), "1": (3,)}, r"\[\(3, 2\), \(3,\)\]"),
        ({"0": (3, 2000), "1": (2000,)}, r"\[\(3, 2000\), \(2000,\)\]"),
        ({"0": (3, 2), "1": (2,), "2": (2,)}, r"\[\(3, 2\), \(2,\), \(2,\)\]"),
        ({"0": (3, 2), "x": (2,)}, r"\[\(3, 2\), None\]"),
    ],
)
def test_weights_are_all_in_the_file(arrays: dict[str, tuple[int, ...]], found: str, tmp_path: Path) -> None:
    """A network of which a file holds less, or other weights, than its description needs is never built."""
    config = functional({**layer("Dense", "x", units=2), "inbound_nodes": [node(tensor("in"))]})
    places = {f"layers/dense/vars/{number}": np.zeros(shape, np.float32) for number, shape in arrays.items()}
    with pytest.raises(NtuplemlError, match=rf"weights of layer 'x' \(Dense\) have the shapes {found}, but"):
        read_keras_file(write(tmp_path / "crafted.keras", config, places))


def test_what_is_read_takes_what_the_file_holds(tmp_path: Path) -> None:
    """The crafted files above are real ones but for their fault: the same without it loads, weight by weight."""
    random = np.random.default_rng(1)
    arrays = {
        "layers/dense/vars/0": random.normal(size=(3, 2)),
        "layers/dense/vars/1": random.normal(size=2),
        "layers/functional/layers/dense/vars/0": random.normal(size=(3, 3)),
        "layers/functional/layers/dense/vars/1": random.normal(size=3),
    }
    inner = functional(
        {**layer("Dense", "d", units=3, activation="tanh"), "inbound_nodes": [node(tensor("in"))]}, name="i"
    )
    config = functional(
        {**inner, "inbound_nodes": [node(tensor("in")), node(tensor("i"))]},
        {**layer("Dense", "x", units=2), "inbound_nodes": [node(tensor("i", 1))]},
    )
    model = load_keras_model(write(tmp_path / "crafted.keras", config, arrays))
    assert model.count_params() == sum(array.size for array in arrays.values())
    rows = random.normal(size=(10, 3)).astype(np.float32)
    kernel, bias, inner_kernel, inner_bias = arrays.values()
    hidden = np.tanh(np.tanh(rows @ inner_kernel + inner_bias) @ inner_kernel + inner_bias)
    np.testing.assert_allclose(model(rows), hidden @ kernel + bias, rtol=1e-5, atol=1e-6)


@pytest.mark.slow
def test_the_largest_description_is_read_and_built_in_bounded_time_and_memory(tmp_path: Path) -> None:
    """Nine hundred layers without a weight, in a process of its own: the dearest file that passes."""
    import subprocess
    import sys

    names = ["in", *(f"x{number}" for number in range(900))]
    chain = functional(*(linear(name, before) for before, name in pairwise(names)))
    code = (
        "import resource, sys\n"
        "from ntupleml.artifacts import load_keras_model, read_keras_file\n"
        "from ntupleml.imports import import_tensorflow\n"
        "import_tensorflow()\n"
        "file = read_keras_file(sys.argv[1])\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "load_keras_model(file)\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)\n"
    )
    path = str(write(tmp_path / "crafted.keras", chain))
    done = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True, check=True, timeout=120)
    assert int(done.stdout) < 100_000  # kilobytes
