"""Keras files: ours load as they were; every known way round Keras' safe mode is refused before Keras sees it."""

from __future__ import annotations

import base64
import io
import marshal
import pickle
import zipfile
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
import pytest

from ntupleml.artifacts import load_keras_model, read_keras_file
from ntupleml.errors import NtuplemlError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

Craft = "Callable[..., Path]"
Config = dict[str, Any]


@pytest.mark.parametrize("name", ["sequential.keras", "functional.keras"])
def test_ordinary_networks_load_as_they_were(name: str, keras_folder: Path) -> None:
    import keras

    rows = np.random.default_rng(0).normal(size=(20, 3)).astype(np.float32)
    expected = keras.saving.load_model(keras_folder / name, compile=False)
    found = load_keras_model(keras_folder / name)
    np.testing.assert_array_equal(found(rows), expected(rows))
    assert type(found) is type(expected)
    assert found.compiled is False
    assert [layer.name for layer in found.layers] == [layer.name for layer in expected.layers]


def test_sequential_networks_of_keras_2_13(craft: Callable[..., Path]) -> None:
    """They name their input's shape and the place of their weights in another way, which Keras 3 reads, too."""
    import keras

    def rename(config: Config) -> None:
        settings = config["config"]["layers"][0]["config"]
        settings["batch_input_shape"] = settings.pop("batch_shape")

    def move(members: dict[str, bytes]) -> None:
        stream = io.BytesIO(members["model.weights.h5"])
        with h5py.File(stream, "r+") as file:
            file.move("layers", "_layer_checkpoint_dependencies")
        members["model.weights.h5"] = stream.getvalue()

    path = craft(config=rename, members=move)
    rows = np.random.default_rng(0).normal(size=(20, 3)).astype(np.float32)
    expected = keras.saving.load_model(path, compile=False)(rows)
    np.testing.assert_array_equal(load_keras_model(path)(rows), expected)


def test_loss_and_optimizer_are_told_but_not_built(keras_folder: Path) -> None:
    found = read_keras_file(keras_folder / "sequential.keras").compile_config
    assert found["loss"] == "categorical_crossentropy"
    assert found["optimizer"]["class_name"] == "Adam"


def test_the_check_alone_does_not_import_keras(keras_folder: Path) -> None:
    import subprocess
    import sys

    code = (
        "import sys; from ntupleml.artifacts import read_keras_file; read_keras_file(sys.argv[1]);"
        "print({'keras', 'tensorflow'} & sys.modules.keys())"
    )
    path = str(keras_folder / "sequential.keras")
    done = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def function(module: str, name: str) -> Config:
    return {"module": module, "class_name": "function", "config": name, "registered_name": "function"}


def layer(module: str, name: str, /, **config: Any) -> Config:
    return {"module": module, "class_name": name, "config": {"name": "layer", **config}, "registered_name": None}


def _write_marker(x: Any) -> Any:
    open("marker", "w").close()  # noqa: PTH123  # bytecode of a lambda knows no imports
    return x


CODE = base64.b64encode(marshal.dumps(_write_marker.__code__)).decode()
PYTHON_LAMBDA = {"class_name": "__lambda__", "config": {"code": CODE, "defaults": None, "closure": None}}

LAYERS = {
    "lambda with code, CVE-2024-3660": layer("keras.layers", "Lambda", function=PYTHON_LAMBDA),
    "any module, CVE-2025-1550": layer("keras.layers", "Lambda", function=function("subprocess", "check_output")),
    "module of the layer itself, CVE-2025-1550": layer("subprocess", "Popen", args=["touch", "marker"]),
    "download, CVE-2025-8747": layer("keras.layers", "Lambda", function=function("keras.utils", "get_file")),
    "switch of safe mode, CVE-2025-9906": layer(
        "keras.layers", "Lambda", function=function("keras.config", "enable_unsafe_deserialization")
    ),
    "torch, CVE-2025-49655": layer(
        "keras.layers", "TorchModuleWrapper", module=base64.b64encode(pickle.dumps(print)).decode()
    ),
    "file as vocabulary, CVE-2025-12058": layer("keras.layers", "StringLookup", vocabulary="/etc/passwd"),
    "other file as vocabulary": layer("keras.layers", "TextVectorization", vocabulary="/etc/passwd"),
    "saved model": layer("keras.layers", "TFSMLayer", filepath="/tmp"),
    "custom object": {**layer("keras.layers", "Dense", units=2), "registered_name": "custom>Dense"},
    "layer outside keras": layer("keras_hub.layers", "Dense", units=2),
    "inner module of keras": layer("keras.src.layers.core.lambda_layer", "Lambda", function=PYTHON_LAMBDA),
    "no module": {"class_name": "Lambda", "config": {"function": PYTHON_LAMBDA}},
    "module of no text": {"module": ["keras.layers"], "class_name": "Dense", "config": {}},
    "wrapped": layer("keras.layers", "TimeDistributed", layer=layer("keras.layers", "Lambda")),
    "no config": {"module": "keras.layers", "class_name": "Dense", "registered_name": None},
    "ten million units": layer("keras.layers", "Dense", units=10_000_000),
    "units of no number": layer("keras.layers", "Dense", units="10"),
    "units below zero": layer("keras.layers", "Dense", units=-1),
}


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_that_could_do_harm_is_refused(
    name: str, craft: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = craft(config=lambda config: config["config"]["layers"].insert(1, LAYERS[name]))
    for read in (read_keras_file, load_keras_model):
        with pytest.raises(NtuplemlError, match=r"crafted\.keras: (refused|damaged): ") as error:
            read(path)
        assert "\n" not in str(error.value)
    assert [entry.name for entry in tmp_path.iterdir()] == ["crafted.keras"]


def test_the_lambda_is_a_real_attack(
    craft: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Given to Keras without safe mode, the same file runs its code."""
    import keras

    monkeypatch.chdir(tmp_path)
    name = "lambda with code, CVE-2024-3660"
    crafted = {**LAYERS[name], "build_config": {"input_shape": [None, 3]}}
    path = craft(config=lambda config: config["config"]["layers"].insert(1, crafted))
    keras.saving.load_model(path, safe_mode=False)(np.zeros((1, 3)))
    assert (tmp_path / "marker").exists()


GADGET = function("os", "system")


def in_dense(key: str) -> Callable[[Config], None]:
    return lambda config: config["config"]["layers"][1]["config"].update({key: GADGET})


PLACES: dict[str, Callable[[Config], Any]] = {
    **{key: in_dense(key) for key in ("kernel_initializer", "kernel_regularizer", "kernel_constraint", "activation")},
    "dtype": in_dense("dtype"),
    "quantization_config": in_dense("quantization_config"),
    "inbound_nodes": lambda config: config["config"]["layers"][1].update(inbound_nodes=[{"kwargs": {"x": GADGET}}]),
    "key nobody knows": lambda config: config.update(other={"deep": [[[GADGET]]]}),
    "typespec": in_dense("bias_initializer"),
    "model itself": lambda config: config.update(module="os", class_name="Functional"),
    "custom model": lambda config: config.update(registered_name="custom>Sequential"),
}


@pytest.mark.parametrize("place", PLACES)
def test_what_is_hidden_anywhere_is_found(place: str, craft: Callable[..., Path]) -> None:
    path = craft(config=PLACES[place])
    with pytest.raises(NtuplemlError, match=r"crafted\.keras: (refused: |does not describe)"):
        read_keras_file(path)


MARKER = {"module": "builtins", "class_name": "function", "config": "open", "registered_name": "open"}
BUILT_BY_NOBODY: dict[str, Callable[[Config], Any]] = {
    "loss": lambda config: config["compile_config"].update(loss=MARKER),
    "metric": lambda config: config["compile_config"].update(metrics=[{"a": [MARKER]}]),
    "thresholds of a metric": lambda config: config["compile_config"].update(
        metrics=[layer("keras.metrics", "AUC", num_thresholds=3_000_000_000)]
    ),
    "optimizer": lambda config: config["compile_config"].update(optimizer=MARKER),
    "learning rate": lambda config: config["compile_config"]["optimizer"]["config"].update(learning_rate=MARKER),
    "loss of a layer": lambda config: config["config"]["layers"][1].update(
        compile_config={"metrics": [layer("keras.metrics", "AUC", num_thresholds=3_000_000_000)]}
    ),
    "build_config": lambda config: config["config"]["layers"][1].update(build_config={"input_shape": [None, 10**9]}),
    "another object of the same number": lambda config: config["config"]["layers"][4].update(shared_object_id=1),
}


@pytest.mark.parametrize("place", BUILT_BY_NOBODY)
def test_what_a_network_does_not_need_is_left_out(place: str, keras_folder: Path, craft: Callable[..., Path]) -> None:
    rows = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    expected = load_keras_model(keras_folder / "sequential.keras")
    np.testing.assert_array_equal(load_keras_model(craft(config=BUILT_BY_NOBODY[place]))(rows), expected(rows))


@pytest.mark.parametrize(
    "special",
    [
        {"class_name": "__lambda__", "config": {"value": ["", None, None]}},
        {"class_name": "__typespec__", "spec_name": "x", "module": "os", "registered_name": None, "config": []},
        {"class_name": "__numpy__", "config": {"value": [0], "dtype": "O"}},
        {"class_name": "__keras_tensor__", "module": "os", "config": {}},
        {"class_name": None, "module": "os", "config": {}},
        {"class_name": ["Dense"], "module": "keras.layers", "config": {}},
        {"module": "os"},
    ],
)
def test_special_objects_are_refused(special: Config, craft: Callable[..., Path]) -> None:
    path = craft(config=lambda config: config["config"]["layers"][1]["config"].update(kernel_initializer=special))
    with pytest.raises(NtuplemlError, match="refused: "):
        read_keras_file(path)


@pytest.mark.parametrize(
    "text", ["[" * 200_000, '{"a":' * 200_000, "", "[]", "{}", "null", '{"class_name": "Dense"}', "\x00\xff"]
)
def test_a_description_of_no_network_is_refused(text: str, craft: Callable[..., Path]) -> None:
    def change(members: dict[str, bytes]) -> None:
        members["config.json"] = text.encode("latin1")

    with pytest.raises(NtuplemlError, match=r"crafted\.keras: (not a Keras 3 model|does not describe)") as error:
        read_keras_file(craft(members=change))
    assert "\n" not in str(error.value)


def test_compressed_members_are_refused(keras_folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "bomb.keras"
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive,
        zipfile.ZipFile(keras_folder / "sequential.keras") as original,
    ):
        for name in original.namelist():
            archive.writestr(name, original.read(name))
    with pytest.raises(NtuplemlError, match=r"refused: its member '[a-z.]+' is compressed"):
        read_keras_file(path)


MEMBERS: dict[str, Callable[[dict[str, bytes]], Any]] = {
    "way out of the folder": lambda members: members.update({"../evil.py": b""}),
    "absolute path": lambda members: members.update({"/tmp/evil.py": b""}),
    "assets": lambda members: members.update({"assets/layers/x/vocabulary.txt": b""}),
    "other weights": lambda members: members.update({"model.weights.npz": b""}),
    "control characters": lambda members: members.update({"\x1b[31m\n.json": b""}),
    "large metadata": lambda members: members.update({"metadata.json": np.random.default_rng(0).bytes(200_000)}),
}


@pytest.mark.parametrize("name", MEMBERS)
def test_members_that_do_not_belong_there_are_refused(name: str, craft: Callable[..., Path]) -> None:
    with pytest.raises(NtuplemlError, match=r"crafted\.keras: refused: its member '") as error:
        read_keras_file(craft(members=MEMBERS[name]))
    assert str(error.value).isprintable()


@pytest.mark.parametrize("name", ["config.json", "model.weights.h5"])
def test_a_missing_member_is_named(name: str, craft: Callable[..., Path]) -> None:
    with pytest.raises(NtuplemlError, match=f"not a Keras 3 model: it has no {name}"):
        read_keras_file(craft(members=lambda members: members.pop(name)))


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_member_that_is_there_twice_is_refused(craft: Callable[..., Path]) -> None:
    path = craft()
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("config.json", "{}")
    with pytest.raises(NtuplemlError, match=r"its member 'config\.json' does not belong .* each once"):
        read_keras_file(path)


#: What the directory at the end of the zip says of its last member: place of the number, and what is put there.
LIES: dict[str, tuple[int, bytes, str]] = {
    "sizes": (20, b"\xf0\xff\xff\xff" * 2, "cut off$"),
    "place of another member": (42, b"\0" * 4, "File name in directory .* differ"),
    "place behind the end": (42, b"\0\xff\xff\xff", "Truncated file header"),
    "encrypted": (8, b"\1\0", "is encrypted"),
    "packed by a method that nobody has": (10, b"\x63\0", "refused: its member 'model.weights.h5' is compressed"),
}


@pytest.mark.parametrize("name", LIES)
def test_a_directory_that_lies_is_one_line(name: str, craft: Callable[..., Path]) -> None:
    place, number, message = LIES[name]
    path = craft()
    content = bytearray(path.read_bytes())
    start = content.rfind(b"PK\x01\x02") + place
    content[start : start + len(number)] = number
    path.write_bytes(content)
    with pytest.raises(NtuplemlError, match=rf"crafted\.keras: .*{message}") as error:
        read_keras_file(path)
    assert "\n" not in str(error.value)


def replace(file: h5py.File, data: Any, **options: Any) -> None:
    """Put another dataset in the place of a weight."""
    del file["layers/dense/vars/0"]
    file["layers/dense/vars"].create_dataset("0", data=data, **options)


def external_storage(file: h5py.File) -> None:
    del file["layers/dense/vars/0"]
    file["layers/dense/vars"].create_dataset("0", (3, 8), "f4", external=[("/etc/passwd", 0, 96)])


def virtual(file: h5py.File) -> None:
    layout = h5py.VirtualLayout((3, 8), "f4")
    layout[:] = h5py.VirtualSource("/tmp/other.h5", "x", (3, 8))
    del file["layers/dense/vars/0"]
    file["layers/dense/vars"].create_virtual_dataset("0", layout)


def declared_only(file: h5py.File) -> None:
    del file["layers/dense/vars/0"]
    file["layers/dense/vars"].create_dataset("0", (1 << 40,), "f4")


def many_small(file: h5py.File) -> None:
    for index in range(100):
        file.create_dataset(f"bomb{index}", (1 << 12,), "f4")


WEIGHTS: dict[str, tuple[Callable[[h5py.File], Any], str]] = {
    "external link": (
        lambda file: file.__setitem__("x", h5py.ExternalLink("/tmp/other.h5", "/x")),
        "hold a link, /x, to elsewhere",
    ),
    "soft link": (lambda file: file.__setitem__("x", h5py.SoftLink("/layers")), "hold a link, /x, to elsewhere"),
    "external storage": (external_storage, "takes its numbers from another file"),
    "virtual dataset": (virtual, "takes its numbers from another file"),
    "size only declared": (declared_only, r"declare 4,398,046,[\d,]+ bytes or more, but hold"),
    "many small ones only declared": (many_small, "bytes or more, but hold"),
    "compressed": (lambda file: replace(file, np.zeros((3, 8), "f4"), compression="gzip"), "is compressed"),
    "text": (lambda file: replace(file, ["text"], dtype=h5py.string_dtype()), "is not an array of numbers"),
    "references": (lambda file: replace(file, [file.ref], dtype=h5py.ref_dtype), "is not an array of numbers"),
    "vectors": (
        lambda file: replace(file, None, shape=(1,), dtype=h5py.vlen_dtype(np.float32)),
        "is not an array of numbers",
    ),
    "empty": (lambda file: replace(file, h5py.Empty("f4")), "is not an array of numbers"),
    "named type": (lambda file: file.__setitem__("x", np.dtype("f4")), "is not an array of numbers"),
    "loop": (lambda file: file.__setitem__("layers/loop", file["layers"]), "twice, or too much"),
    "control characters": (lambda file: file.__setitem__("\x1b[31m", h5py.SoftLink("/layers")), "hold a link, /"),
}


@pytest.mark.parametrize("name", WEIGHTS)
def test_weights_that_are_not_plain_are_refused(name: str, craft_weights: Callable[..., Path]) -> None:
    change, message = WEIGHTS[name]
    with pytest.raises(NtuplemlError, match=rf"crafted\.keras: refused: .*{message}") as error:
        read_keras_file(craft_weights(change))
    assert str(error.value).isprintable()


@pytest.mark.parametrize("length", [0, 8, 100, 1000, 5000])
def test_truncated_weights_are_one_line(length: int, craft: Callable[..., Path]) -> None:
    def cut(members: dict[str, bytes]) -> None:
        members["model.weights.h5"] = members["model.weights.h5"][:length]

    with pytest.raises(NtuplemlError, match=r"its weights are damaged: .") as error:
        read_keras_file(craft(members=cut))
    assert "\n" not in str(error.value)


def test_weights_of_another_network_are_one_line(craft_weights: Callable[..., Path]) -> None:
    path = craft_weights(lambda file: replace(file, np.zeros((5, 8), "f4")))
    message = (
        r"weights of layer 'dense[_0-9]*' \(Dense\) have the shapes \[\(5, 8\), \(8,\)\], "
        r"but .* needs \[\(3, 8\), \(8,\)\]"
    )
    with pytest.raises(NtuplemlError, match=message) as error:
        load_keras_model(path)
    assert "\n" not in str(error.value)


def test_an_unknown_argument_of_a_layer_is_one_line(craft: Callable[..., Path]) -> None:
    path = craft(config=lambda config: config["config"]["layers"][1]["config"].update(colour="red"))
    with pytest.raises(
        NtuplemlError, match=r"layer 'dense[_0-9]*': its setting colour=red is not read \(Dense\)"
    ) as error:
        load_keras_model(path)
    assert "\n" not in str(error.value)


def test_an_input_that_is_no_matrix_is_refused(tmp_path: Path) -> None:
    import keras

    path = tmp_path / "image.keras"
    keras.Sequential([keras.Input((3, 4)), keras.layers.Flatten(), keras.layers.Dense(2)]).save(path)
    network = read_keras_file(path).network
    assert list(network.inputs.values()) == [(3, 4)]
    with pytest.raises(NtuplemlError, match=r"image\.keras: it takes .* one matrix, events × variables, is needed"):
        _ = network.num_inputs


@pytest.mark.parametrize("name", ["model.h5", "model.keras", "model.hdf5"])
def test_hdf5_is_refused_with_the_way_out_whatever_its_name(name: str, tmp_path: Path) -> None:
    with h5py.File(tmp_path / name, "w") as file:
        file.attrs["model_config"] = "{}"
    with pytest.raises(NtuplemlError, match=r"HDF5, which is not read: loading one can run code.*save"):
        load_keras_model(tmp_path / name)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("model.keras", b"", "not a Keras 3 model, or damaged"),
        ("model.keras", b"PK\x03\x04 and no more", "not a Keras 3 model, or damaged"),
        ("model.keras", pickle.dumps([1]), "not a Keras 3 model, or damaged"),
        ("model.zip", b"PK\x03\x04", "whose name ends in .keras"),
    ],
)
def test_other_files_are_refused(name: str, content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(NtuplemlError, match=message):
        load_keras_model(tmp_path / name)
    with pytest.raises(NtuplemlError, match="no such file; a training makes it"):
        load_keras_model(tmp_path / "nothing.keras")


def test_a_truncated_file_is_one_line(craft: Callable[..., Path]) -> None:
    path = craft()
    data = path.read_bytes()
    for length in (len(data) // 4, len(data) // 2, len(data) - 1):
        path.write_bytes(data[:length])
        with pytest.raises(NtuplemlError, match="not a Keras 3 model, or damaged"):
            read_keras_file(path)


def test_a_wrong_checksum_in_the_zip_is_one_line(craft: Callable[..., Path]) -> None:
    path = craft()
    data = bytearray(path.read_bytes())
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        start = archive.getinfo("model.weights.h5").header_offset
    data[start + 200] ^= 0xFF
    path.write_bytes(data)
    with pytest.raises(NtuplemlError, match="damaged"):
        read_keras_file(path)
