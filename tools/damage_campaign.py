"""Damage files in many ways, read each with the toolkit, and count what becomes of it.

    python tools/damage_campaign.py --number 200 --seed 1 [KIND ...]

A kind is a format of events or models, or a command on a damaged ntuple; without names, all are done. Every reading
happens in a process of its own with a limit of time. Outcomes are counted: the same answer as of the whole file,
another one, an error of one line, a traceback, a crash of the process, more than a minute, more than a gigabyte of
memory beyond what the whole file takes. The exit status is 1 where there were tracebacks, crashes, or too much time or
memory.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import importlib
import io
import json
import os
import pickle
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
import zipfile
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ntupleml.errors import NtuplemlError

if TYPE_CHECKING:
    from collections.abc import Callable

    Read = Callable[[Path], bytes]

DATA = Path(__file__).resolve().parents[1] / "tests" / "data"
SECONDS, MEMORY = 60, 2**30
TREE = "events"
ENTRIES = 3_000
IMPORTED = (
    "ntupleml.application", "ntupleml.artifacts.keras2_files", "ntupleml.config", "ntupleml.datasets",
    "ntupleml.forests.lightgbm", "ntupleml.forests.xgboost", "ntupleml.frugally_deep.reading",
    "ntupleml.ntuples.appending", "ntupleml.onnx_models.convert", "ntupleml.onnx_models.forest",
    "ntupleml.onnx_models.lwtnn", "ntupleml.onnx_models.tmva_method", "ntupleml.preprocessing",
    "ntupleml.scoring.onnx_graphs", "ntupleml.training.kept_epochs", "awkward", "h5py", "onnxruntime",
    "pyarrow.parquet", "sklearn.preprocessing", "uproot", "uproot.models.RNTuple", "uproot.models.TTree",
)  # fmt: skip
OUTCOMES = ("same", "other", "refused", "traceback", "crash", "time", "memory")
#: A network whose file Keras writes, without the toolkit.
KERAS = """
import keras, sys
inputs = keras.Input((2,))
layer = keras.layers.Dense(8, activation="relu")(inputs)
layer = keras.layers.BatchNormalization()(layer)
keras.Model(inputs, keras.layers.Dense(3, activation="softmax")(layer)).save(sys.argv[1])
"""


class Outcome(NamedTuple):
    """What became of a reading."""

    kind: str
    #: Digest of the answer, or the message.
    text: str
    #: Most memory in bytes.
    memory: int


class Kind(NamedTuple):
    """A format, or a command."""

    make: Callable[[Path], Path]
    read: Read


# --- files ---------------------------------------------------------------------------------------------------------


def columns() -> dict[str, Any]:
    """Numbers, lists and event numbers."""
    random = np.random.default_rng(5)
    return {
        "x": random.normal(size=ENTRIES).astype("f4"),
        "y": random.normal(size=ENTRIES).astype("f4"),
        "event": np.arange(ENTRIES, dtype="i8"),
        "flag": random.random(ENTRIES) > 0.5,
        "jets": random.normal(size=2 * ENTRIES).astype("f4"),
    }


def _with_lists() -> dict[str, Any]:
    import awkward as ak

    return {**(found := columns()), "jets": ak.unflatten(found["jets"], np.arange(ENTRIES) % 5)}


def make_root(path: Path, compression: Any = "ZSTD") -> Path:
    """A TTree of ten baskets per branch."""
    import uproot

    level = None if compression is None else getattr(uproot, compression)(1)
    with uproot.recreate(path, compression=level) as file:
        everything = _with_lists()
        types = {**{name: values.dtype for name, values in columns().items()}, "jets": "var * float32"}
        tree = file.mktree(TREE, types)
        for start in range(0, ENTRIES, ENTRIES // 10):
            tree.extend({name: values[start : start + ENTRIES // 10] for name, values in everything.items()})
    return path


def make_rntuple(path: Path) -> Path:
    """An RNTuple."""
    import uproot

    with uproot.recreate(path) as file:
        file.mkrntuple(TREE, _with_lists())
    return path


def make_table(path: Path) -> Path:
    """HDF5 or Parquet, by the ending."""
    from ntupleml.ntuples.table_files import new_table_file

    types = {**{name: values.dtype for name, values in columns().items()}, "jets": "vector of f4"}
    with new_table_file(path, TREE, types, ENTRIES) as table:
        table.extend(_with_lists())
        table.finish("{}")
    return path


def make_tmva(path: Path) -> Path:
    """A forest of TMVA for x and y."""
    path.write_bytes(gzip.decompress((DATA / "tmva" / "mc_bdtg_50" / "weights.xml.gz").read_bytes()))
    return path


def make_npz(path: Path) -> Path:
    """The same forest in our own form."""
    from ntupleml.forests.files import save_forest
    from ntupleml.tmva.reading import read_weights

    save_forest(path, read_weights(make_tmva(path.with_suffix(".xml"))).body)
    return path


def _trained(kind: str) -> Any:
    random = np.random.default_rng(1)
    inputs, classes = random.normal(size=(500, 2)), random.integers(0, 3, 500)
    if kind == "xgboost":
        import xgboost

        return xgboost.XGBClassifier(n_estimators=5, max_depth=3, n_jobs=1).fit(inputs, classes).get_booster()
    import lightgbm

    return lightgbm.LGBMClassifier(n_estimators=5, n_jobs=1, verbose=-1).fit(inputs, classes).booster_


def make_booster(path: Path) -> Path:
    """A file of XGBoost (JSON or UBJSON) or LightGBM."""
    (_trained("lightgbm") if path.suffix == ".txt" else _trained("xgboost")).save_model(path)
    return path


def make_lwtnn(path: Path) -> Path:
    """A network of lwtnn."""
    folder = DATA / "lwtnn" / "toy_2_100_100_3"
    return Path(shutil.copy(next(folder.glob("*.json")), path))


def make_keras(path: Path) -> Path:
    """A Keras file."""
    subprocess.run([sys.executable, "-c", KERAS, path], check=True, capture_output=True)
    return path


def make_qkeras(path: Path) -> Path:
    """A file of QKeras."""
    return Path(shutil.copy(DATA / "qkeras" / "encoder.h5", path))


def make_frugally_deep(path: Path) -> Path:
    """The Keras network as JSON of frugally-deep."""
    from ntupleml.artifacts import read_keras_file
    from ntupleml.frugally_deep.export import keras_to_frugally_deep

    content = keras_to_frugally_deep(read_keras_file(make_keras(path.with_suffix(".keras"))), ["a", "b", "c"])
    path.write_text(json.dumps(content))
    return path


def make_onnx(path: Path) -> Path:
    """A forest as ONNX."""
    from ntupleml.onnx_models.convert import convert

    path.write_bytes(convert(make_tmva(path.with_suffix(".xml"))).SerializeToString())
    return path


def make_pickle(path: Path) -> Path:
    """A scaler of scikit-learn."""
    from sklearn.preprocessing import StandardScaler

    path.write_bytes(pickle.dumps(StandardScaler().fit(np.random.default_rng(1).normal(size=(50, 2)))))
    return path


def make_checkpoint(path: Path) -> Path:
    """Arrays as of a checkpoint."""
    arrays = {f"variable_{number}": np.full((10, number + 1), float(number)) for number in range(5)}
    np.savez(path, state=np.array(json.dumps({"epoch": 3, "history": {"loss": [1.0, 0.5, 0.2]}})), **arrays)
    return path


def make_config(path: Path) -> Path:
    """A dataset config."""
    return Path(shutil.copy(DATA / "htt_ml" / "example_dataset_config.yaml", path))


# --- readings ------------------------------------------------------------------------------------------------------


def digest(*parts: Any) -> bytes:
    """Checksum of arrays and texts."""
    found = hashlib.sha256()
    for part in parts:
        found.update(part.tobytes() if isinstance(part, np.ndarray) else repr(part).encode())
    return found.digest()


def read_table(path: Path) -> bytes:
    """All branches of the table."""
    import awkward as ak

    from ntupleml.ntuples import open_ntuple

    parts: list[Any] = []
    with open_ntuple(path, TREE) as ntuple:
        for chunk in ntuple.chunks([name for name in ntuple.main_branches if ntuple.branches[name].kind != "other"]):
            for name, column in sorted(chunk.columns.items()):
                whole = isinstance(column, np.ndarray)
                parts += [name, column] if whole else [name, ak.num(column).to_numpy(), ak.flatten(column).to_numpy()]
    return digest(*parts)


def read_config(path: Path) -> bytes:
    """A config, checked."""
    from ntupleml.config import DatasetConfig, load_config

    return load_config(path, DatasetConfig).model_dump_json().encode()


def read_scaler(path: Path) -> bytes:
    """A scaler's answer."""
    from ntupleml.preprocessing import load_preprocessing

    return digest(load_preprocessing(path, 2).transform(np.ones((1, 2))))


def read_checkpoint(path: Path) -> bytes:
    """All arrays."""
    from ntupleml.training.kept_epochs import UNREADABLE, load_arrays

    try:
        return digest(*(part for item in sorted(load_arrays(path).items()) for part in item))
    except UNREADABLE as error:  # what its callers make a line of
        raise NtuplemlError(str(error)) from error


def read_network(path: Path) -> bytes:
    """A network of Keras, of an old Keras or QKeras, or of frugally-deep."""
    from ntupleml.artifacts import read_keras_file
    from ntupleml.artifacts.keras2_files import read_keras2_file
    from ntupleml.frugally_deep.reading import read_frugally_deep

    read = {".keras": read_keras_file, ".h5": read_keras2_file, ".json": read_frugally_deep}[path.suffix]
    file = read(path)
    return digest(*(array for arrays in file.weights.values() for array in arrays), file.network.shapes)


def score(path: Path) -> bytes:
    """Answers of a model file to some events, through its ONNX form."""
    from ntupleml.onnx_models.convert import convert
    from ntupleml.scoring.onnx_graphs import open_onnx

    content = None if path.suffix == ".onnx" else convert(path).SerializeToString()
    graph = open_onnx(path, content=content)
    rows = np.random.default_rng(3).normal(size=(200, 2)).astype("f4")
    (name,) = graph.inputs
    return digest(*graph.session.run(None, {name: rows}))


def build(path: Path) -> bytes:
    """Fold files of a damaged ntuple."""
    from ntupleml.config import DatasetConfig
    from ntupleml.datasets import create_training_dataset

    config = {
        "output_path": str(path.parent / "folds"),
        "output_filename": "d.root",
        "tree_path": TREE,
        "event_branch": "event",
        "processes": {"signal": {"files": [str(path)], "cut_string": "x > -1"}},
    }
    done = create_training_dataset(DatasetConfig.model_validate(config))
    return digest(*(process.sum_of_weights for record in done.records for process in record.processes.values()))


def _plan(path: Path) -> Any:
    from ntupleml.application import make_plan

    weights = [str(make_tmva(path.parent / "weights.xml"))]
    return make_plan(None, None, None, kind="weights", weights=weights, output_directory=str(path.parent / "out"))


def friend(path: Path) -> bytes:
    """Scores of a damaged ntuple in a friend."""
    from ntupleml.application import write_planned_friends

    (written,) = write_planned_friends(_plan(path), [path], TREE)
    return read_table(written)


def in_place(path: Path) -> bytes:
    """Scores of a damaged ntuple in it."""
    from ntupleml.application import append_planned_scores

    append_planned_scores(_plan(path), path, TREE)
    return _all_or_damage(path)


def _all_or_damage(path: Path) -> bytes:
    """All branches, those that cannot be read told apart."""
    from ntupleml.ntuples import open_ntuple

    parts: list[Any] = []
    with open_ntuple(path, TREE) as ntuple:
        for name in ntuple.main_branches:
            try:
                parts += [name, *(np.asarray(chunk.columns[name]) for chunk in ntuple.chunks([name]))]
            except (NtuplemlError, ValueError) as error:
                parts += [name, type(error)]
    return digest(*parts)


KINDS = {
    "ttree.root": Kind(make_root, read_table),
    "zlib.root": Kind(lambda path: make_root(path, "ZLIB"), read_table),
    "plain.root": Kind(lambda path: make_root(path, None), read_table),
    "rntuple.root": Kind(make_rntuple, read_table),
    "table.h5": Kind(make_table, read_table),
    "table.parquet": Kind(make_table, read_table),
    "build.root": Kind(make_root, build),
    "friend.root": Kind(make_root, friend),
    "in_place.root": Kind(make_root, in_place),
    "tmva.xml": Kind(make_tmva, score),
    "forest.npz": Kind(make_npz, score),
    "xgboost.json": Kind(make_booster, score),
    "xgboost.ubj": Kind(make_booster, score),
    "lightgbm.txt": Kind(make_booster, score),
    "lwtnn.json": Kind(make_lwtnn, score),
    "network.keras": Kind(make_keras, read_network),
    "qkeras.h5": Kind(make_qkeras, read_network),
    "frugally_deep.json": Kind(make_frugally_deep, read_network),
    "forest.onnx": Kind(make_onnx, score),
    "scaler.pickle": Kind(make_pickle, read_scaler),
    "checkpoint.npz": Kind(make_checkpoint, read_checkpoint),
    "config.yaml": Kind(make_config, read_config),
}


# --- damage --------------------------------------------------------------------------------------------------------

_NUMBERS = (
    b"-1",
    b"0",
    b"999999999",
    b"1e308",
    b"NaN",
    b"Infinity",
    b"2147483648",
    b"7" * 5000,
    b"null",
    b'"x"',
    b"[]",
)


def damaged(content: bytes, random: np.random.Generator) -> bytes:
    """Content with one kind of damage; archives also inside, with checksums that fit."""
    if content[:2] == b"PK" and random.random() < 0.7:
        return _inside(content, random)
    is_text = b"\0" not in content[:4096]
    return _damaged(content, random, is_text=is_text)


def _damaged(content: bytes, random: np.random.Generator, *, is_text: bool) -> bytes:
    data, size = bytearray(content), len(content)
    where = int(random.integers(0, size))
    way = random.integers(0, 10 if is_text else 6)
    if way == 0:
        data[where] ^= 1 << int(random.integers(0, 8))
    elif way == 1:
        for place in random.integers(0, size, 8):
            data[place] = int(random.integers(0, 256))
    elif way == 2:
        data[where : where + 64] = bytes(min(64, size - where))
    elif way == 3:
        return bytes(data[:where])
    elif way == 4:
        del data[where : where + int(random.integers(1, 64))]
    elif way == 5:
        data[where : where + 4] = (b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\0\0\0\0")[random.integers(0, 3)]
    elif way < 9:
        return _other_number(content, where, random)
    else:
        data[where:where] = b"[" * int(random.integers(1, 200_000))
    return bytes(data)


def _other_number(content: bytes, where: int, random: np.random.Generator) -> bytes:
    """A number of a text, the first behind a place, changed to one that hurts."""
    digits = b"0123456789.eE+-"
    start = next(
        (
            place
            for place in range(where, len(content))
            if content[place : place + 1] in [bytes([d]) for d in b"0123456789"]
        ),
        where,
    )
    stop = start
    while stop < len(content) and content[stop] in digits:
        stop += 1
    return content[:start] + _NUMBERS[random.integers(0, len(_NUMBERS))] + content[stop:]


def _inside(content: bytes, random: np.random.Generator) -> bytes:
    """An archive with one member damaged, put together again."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = {member: archive.read(member) for member in archive.infolist()}
    chosen = list(members)[random.integers(0, len(members))]
    inner = members[chosen]
    members[chosen] = _damaged(inner, random, is_text=b"\0" not in inner[:4096]) if inner else inner
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w") as archive:
        for member, data in members.items():
            archive.writestr(member.filename, data, member.compress_type)
    return written.getvalue()


def outcome(read: Read, path: Path) -> Outcome:
    """Read in a fork, within a limit of time."""
    receiver, sender = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(receiver)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        try:
            answer = ["answer", read(path).hex()]
        except NtuplemlError as error:
            answer = ["refused" if "\n" not in str(error) else "traceback", str(error)]
        except BaseException:
            answer = ["traceback", traceback.format_exc()]
        os.write(sender, json.dumps([answer[0], answer[1][-5_000:]]).encode())
        os._exit(0)
    os.close(sender)
    end = time.monotonic() + SECONDS
    while True:
        ended, status, usage = os.wait4(child, os.WNOHANG)
        if ended:
            break
        if time.monotonic() > end:
            os.kill(child, signal.SIGKILL)
            os.wait4(child, 0)
            os.close(receiver)
            return Outcome("time", "", 0)
        time.sleep(0.002)
    with os.fdopen(receiver, "rb") as file:
        content = file.read()
    if status != 0 or not content:
        return Outcome("crash", f"status {status}", usage.ru_maxrss * 1024)
    kind, text = json.loads(content)
    return Outcome(kind, text, usage.ru_maxrss * 1024)


def campaign(name: str, number: int, seed: int, only: int | None = None) -> Counter[str]:
    """Damage a file of a kind many times; how often each outcome came."""
    for module in IMPORTED:  # once, not in every fork
        importlib.import_module(module)
    counts: Counter[str] = Counter()
    kind = KINDS[name]
    with tempfile.TemporaryDirectory() as folder:
        whole = kind.make(Path(folder) / name)
        content = whole.read_bytes()
        for index in [-1, *([only] if only is not None else range(number))]:
            place = Path(folder) / "damaged" / name
            shutil.rmtree(place.parent, ignore_errors=True)
            place.parent.mkdir()
            random = np.random.default_rng([seed, *name.encode(), max(index, 0)])
            place.write_bytes(content if index < 0 else damaged(content, random))
            found = outcome(kind.read, place)
            if index < 0:
                if found.kind != "answer":
                    raise RuntimeError(f"{name}: the whole file: {found}")
                reference = found
                continue
            what = found.kind if found.kind != "answer" else "same" if found.text == reference.text else "other"
            if found.memory > reference.memory + MEMORY:
                what = "memory"
            counts[what] += 1
            if what not in OUTCOMES[:3] or only is not None:
                print(f"{name} {index}: {what}: {found.text[-1500:]} ({found.memory / 1e6:.0f} MB)", flush=True)
    return counts


def main() -> int:
    """Run campaigns and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kinds", nargs="*", metavar="KIND", help=", ".join(KINDS))
    parser.add_argument("--number", type=int, default=200, help="of damaged files of each kind")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", type=int, help="index of the one file to look at")
    arguments = parser.parse_args()
    failed = 0
    print(f"{'kind':20}", *(f"{one:>9}" for one in OUTCOMES))
    for name in arguments.kinds or KINDS:
        counts = campaign(name, arguments.number, arguments.seed, arguments.only)
        failed += sum(counts[one] for one in OUTCOMES[3:])
        print(f"{name:20}", *(f"{counts[one]:9}" for one in OUTCOMES), flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
