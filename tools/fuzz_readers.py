"""Feed damaged texts to a reader for some time, guided by the coverage where atheris is installed.

    python tools/fuzz_readers.py xml --seconds 600 [--seeds FOLDER]

Readers: xml (TMVA's weights), lwtnn, yaml (a training config), formula, ubjson (XGBoost), lightgbm, keras (the
description of a network), scaler. Each input is read; all but an answer or an error of one line ends the run with the
input, which is kept as a file. Without atheris, inputs are files of the tests, damaged at random. What was found once
is among the tests in tests/faults.
"""

from __future__ import annotations

import argparse
import gzip
import importlib
import importlib.util
import json
import logging
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from damage import damaged

from ntupleml.errors import NtuplemlError

if TYPE_CHECKING:
    from collections.abc import Callable

PROJECT = Path(__file__).resolve().parents[1]
#: Bytes of an input.
LARGEST = 20_000
FORMULAS = (
    "pt_1 > 20 && abs(eta[1]) < 2.1",
    "Sum$(v*w)>0 ? -x^2 : Alt$(v[3],1)",
    "TMath::Max(a%7,b<<2)|!c",
    "0x1f**-2",
)


class Reader(NamedTuple):
    """A reader of files."""

    #: Ending of the name of the file.
    ending: str
    #: Modules whose coverage guides.
    modules: tuple[str, ...]
    read: Callable[[Path], object]
    seeds: Callable[[], list[bytes]]


def _read_xml(path: Path) -> object:
    from ntupleml.tmva.reading import read_weights

    return read_weights(path)


def _read_lwtnn(path: Path) -> object:
    from ntupleml.lwtnn.reading import read_network

    return read_network(path)


def _read_yaml(path: Path) -> object:
    from ntupleml.config import TrainingConfig, load_config

    return load_config(path, TrainingConfig)


def _read_formula(path: Path) -> object:
    from ntupleml.expressions import parse

    expression = parse(path.read_bytes().decode("utf-8", "replace"))
    columns = {name: np.array([0.5, -1.0, 3.0]) for name in expression.columns}
    return expression.evaluate(columns, 3)


def _read_ubjson(path: Path) -> object:
    from ntupleml.forests.xgboost import forest_of_xgboost
    from ntupleml.forests.xgboost_file import read_xgboost

    return forest_of_xgboost(read_xgboost(path), str(path))


def _read_lightgbm(path: Path) -> object:
    from ntupleml.forests.lightgbm import forest_of_lightgbm, read_lightgbm

    return forest_of_lightgbm(read_lightgbm(path), str(path))


def _read_keras(path: Path) -> object:
    from ntupleml.artifacts.keras_config import read_network_config

    try:
        return read_network_config(json.loads(path.read_bytes()), "file")
    except (ValueError, RecursionError) as error:  # as where a Keras file is read
        raise NtuplemlError("damaged") from error


def _read_scaler(path: Path) -> object:
    from ntupleml.preprocessing import load_preprocessing

    return load_preprocessing(path)


def _files(pattern: str) -> list[bytes]:
    found = sorted(PROJECT.glob(pattern))
    contents = [gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes() for path in found]
    return [content for content in contents if len(content) <= LARGEST]


def _ubjson() -> list[bytes]:
    import xgboost

    rows = np.random.default_rng(1).normal(size=(50, 2))
    booster = xgboost.train({"max_depth": 2}, xgboost.DMatrix(rows, rows[:, 0] > 0), 2)
    return [bytes(booster.save_raw("ubj")), bytes(booster.save_raw("json"))]


def _lightgbm() -> list[bytes]:
    import lightgbm

    rows = np.random.default_rng(1).normal(size=(200, 2))
    data = lightgbm.Dataset(rows, rows[:, 0] > 0)
    settings = {"objective": "binary", "num_leaves": 4, "verbose": -1}
    return [lightgbm.train(settings, data, 2).model_to_string().split("\nparameters:")[0].encode()]


def _networks() -> list[bytes]:
    """Descriptions of networks of dense layers and of those on images, with a network in a network."""
    layer = {"module": "keras.layers", "registered_name": None}
    start = {**layer, "class_name": "InputLayer", "config": {"name": "in", "batch_shape": [None, 6, 8, 2]}}
    layers = {
        "Conv2D": {"filters": 3, "kernel_size": [3, 3], "padding": "same", "activation": "relu"},
        "MaxPooling2D": {"pool_size": 2},
        "Flatten": {},
        "BatchNormalization": {"axis": -1, "momentum": 0.9, "epsilon": 0.01},
        "Dense": {
            "units": 2,
            "kernel_initializer": {"module": "keras.initializers", "class_name": "Zeros", "config": {}},
        },
    }
    items = [start] + [
        {**layer, "class_name": kind, "config": {"name": kind, **settings}} for kind, settings in layers.items()
    ]
    network = {"module": "keras", "class_name": "Sequential", "config": {"name": "n", "layers": items}}
    return [json.dumps(network).encode(), json.dumps(_functional(network)).encode()]


def _functional(network: dict[str, Any]) -> dict[str, Any]:
    """A network that calls another one twice."""

    def call(name: str, number: int = 0) -> dict[str, Any]:
        tensor = {"class_name": "__keras_tensor__", "config": {"keras_history": [name, number, 0]}}
        return {"args": [tensor], "kwargs": {}}

    start = {**network["config"]["layers"][0], "inbound_nodes": []}
    inner = {**network, "inbound_nodes": [call("in")]}
    add = {"module": "keras.layers", "class_name": "ReLU", "config": {"name": "out"}, "inbound_nodes": [call("n")]}
    places = {"input_layers": [["in", 0, 0]], "output_layers": [["out", 0, 0]]}
    return {
        "module": "keras",
        "class_name": "Functional",
        "config": {"name": "f", "layers": [start, inner, add], **places},
    }


def _scalers() -> list[bytes]:
    from ntupleml.preprocessing import SCALERS, fit_scaler, write_preprocessing

    contents = []
    with tempfile.TemporaryDirectory() as folder:
        for name in SCALERS:
            path = Path(folder) / f"{name}.json"
            write_preprocessing(path, fit_scaler(name, np.random.default_rng(1).normal(size=(5, 2))))
            contents.append(path.read_bytes())
    return contents


READERS = {
    "xml": Reader(".xml", ("ntupleml.tmva",), _read_xml, lambda: _files("tests/data/tmva/*/weights.xml*")),
    "lwtnn": Reader(".json", ("ntupleml.lwtnn",), _read_lwtnn, lambda: _files("tests/data/lwtnn/*/*.json*")),
    "yaml": Reader(".yaml", ("ntupleml.config", "yaml"), _read_yaml, lambda: _files("configs/*/training.yaml")),
    "formula": Reader(
        ".txt", ("ntupleml.expressions", "lark"), _read_formula, lambda: [text.encode() for text in FORMULAS]
    ),
    "ubjson": Reader(".json", ("ntupleml.forests",), _read_ubjson, _ubjson),
    "lightgbm": Reader(".txt", ("ntupleml.forests",), _read_lightgbm, _lightgbm),
    "keras": Reader(".json", ("ntupleml.artifacts",), _read_keras, _networks),
    "scaler": Reader(".json", ("ntupleml.preprocessing",), _read_scaler, _scalers),
}


def try_input(reader: Reader, content: bytes, path: Path) -> bool:
    """Read an input; True where it was accepted.

    Raises
    ------
    Exception
        Whatever the reader raises that is no error of one line.
    """
    path.write_bytes(content)
    try:
        reader.read(path)
    except NtuplemlError as error:
        if "\n" in str(error):
            raise ValueError(f"more than a line: {error}") from error
        return False
    return True


def by_damage(name: str, seconds: float, seed: int, keep: Path) -> tuple[int, int]:
    """Damage the seeds at random for some time; how many inputs were read, and how many of them accepted."""
    reader, random = READERS[name], np.random.default_rng([seed, *name.encode()])
    seeds = reader.seeds()
    end, number, accepted = time.monotonic() + seconds, 0, 0
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"input{reader.ending}"
        while time.monotonic() < end:
            content = seeds[random.integers(0, len(seeds))]
            for _ in range(random.integers(1, 4)):
                content = damaged(content, random) or b"0"
            try:
                accepted += try_input(reader, content, path)
            except BaseException:
                keep.write_bytes(content)
                raise
            number += 1
    return number, accepted


def by_coverage(name: str, seconds: int, folder: Path) -> None:
    """Let atheris look for inputs that reach new lines; it ends the process."""
    import atheris

    reader = READERS[name]
    seeds = reader.seeds()
    for module in list(sys.modules):
        if module.startswith(reader.modules):
            del sys.modules[module]
    with atheris.instrument_imports(include=list(reader.modules)):
        for module in reader.modules:
            importlib.import_module(module)
        path = folder / f"input{reader.ending}"
        for seed in seeds:  # also what is imported when it is needed
            try_input(reader, seed, path)
    corpus = folder / "corpus"
    corpus.mkdir()
    for number, content in enumerate(seeds):
        (corpus / str(number)).write_bytes(content)
    options = [f"-max_total_time={seconds}", f"-max_len={LARGEST}", "-timeout=60", "-rss_limit_mb=4096"]
    atheris.Setup(
        [sys.argv[0], *options, f"-artifact_prefix={name}-", str(corpus)], lambda data: _step(reader, data, path)
    )
    atheris.Fuzz()


def _step(reader: Reader, data: bytes, path: Path) -> None:
    try_input(reader, data, path)


def main() -> int:
    """Run it and print how many inputs were read."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("reader", choices=READERS)
    parser.add_argument("--seconds", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--without-coverage", action="store_true", help="damage at random, also where atheris is there")
    arguments = parser.parse_args()
    logging.getLogger("ntupleml").setLevel(logging.CRITICAL)
    if importlib.util.find_spec("atheris") and not arguments.without_coverage:
        by_coverage(arguments.reader, arguments.seconds, Path(tempfile.mkdtemp(dir=_memory())))
    keep = Path(f"{arguments.reader}-found")
    number, accepted = by_damage(arguments.reader, arguments.seconds, arguments.seed, keep)
    print(f"{arguments.reader}: {number} inputs, {accepted} accepted, all others refused in one line")
    return 0


def _memory() -> str | None:
    """A folder in memory, where there is one."""
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


if __name__ == "__main__":
    sys.exit(main())
