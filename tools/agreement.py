#!/usr/bin/env python3
"""Compare the product with the stored answers of the programs that it agrees with: `agreement.py SET FOLDER`.

A line per quantity: its name, the largest difference, the limit. A difference is absolute for answers up to 1, relative
above; that of components of four-vectors is relative to the energy. The exit status is 1 if a quantity is beyond its
limit or cannot be computed.
"""

from __future__ import annotations

import argparse
import gzip
import json
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from agreement_calratio import calratio
from agreement_etmiss import etmiss
from agreement_hlt import hlt
from agreement_nntrainer import nntrainer
from quantities import Quantity, largest

from ntupleml.errors import NtuplemlError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    import onnx
    from numpy.typing import NDArray

    from ntupleml.tmva.method import TmvaMethod

DTYPES = ("float32", "float64")


def lwtnn(folder: Path) -> Iterator[Quantity]:
    """Networks of lwtnn as ONNX against liblwtnn; Keras networks, written for lwtnn, against Keras.

    Layout: a folder per network with `data.npz`, JSON of lwtnn, and mostly `model.keras`.
    """
    replaced = {"y_lwtnn_raw": "nothing", "y_lwtnn_nan": "nan", "y_lwtnn_all": "nan_and_infinities"}
    for case in sorted(path.parent for path in folder.glob("*/data.npz")):
        data = dict(np.load(case / "data.npz"))
        kept = "nan_and_infinities" if "y_lwtnn_all" in data else "nan"
        for file in sorted(case.glob("lwtnn*.json")):
            for key in sorted(key for key in data if key.startswith("y_lwtnn") and not key.endswith("_fastf")):
                if key.startswith(("y_lwtnnfastf", "y_lwtnn_graph")):  # in single precision, or the same again
                    continue
                for dtype in DTYPES:
                    yield Quantity(
                        f"{case.name}/{file.name}: {key} in {dtype}",
                        partial(_lwtnn_difference, file, data, key, dtype, replaced.get(key, kept)),
                        1e-6 if dtype == "float32" else 1e-12,
                    )
        if (case / "model.keras").is_file() and "hard_sigmoid" not in case.name:  # lwtnn's is another function
            for key in sorted(key for key in data if key.startswith("y_keras")):
                difference = partial(_export_difference, case, data, key, kept)
                yield Quantity(f"{case.name}/model.keras: {key} through lwtnn's JSON", difference, 1e-5)


def _lwtnn_difference(file: Path, data: Mapping[str, NDArray[Any]], key: str, dtype: str, replaced: Any) -> float:
    from ntupleml.onnx_models.lwtnn import lwtnn_to_onnx

    graph = lwtnn_to_onnx(file, np.dtype(dtype).type, replaced=replaced)
    return largest(_lwtnn_scores(graph, data, key), data[key])


def _export_difference(case: Path, data: Mapping[str, NDArray[Any]], key: str, replaced: Any) -> float:
    from ntupleml.imports import import_tensorflow
    from ntupleml.lwtnn.export import keras_to_lwtnn
    from ntupleml.lwtnn.network import Variable

    import_tensorflow()
    import keras

    model = keras.saving.load_model(case / "model.keras", compile=False)
    given = json.loads((case / "lwtnn.json").read_text())
    defaults = given.get("defaults", {})

    def variables(listed: list[dict[str, Any]]) -> list[Variable]:
        return [Variable(one["name"], one["offset"], one["scale"], defaults.get(one["name"])) for one in listed]

    inputs: Any = variables(given["inputs"]) if "nodes" not in given else None
    labels: Any = given["outputs"]
    if inputs is None:
        inputs = {group["name"]: variables(group["variables"]) for group in given["inputs"] + given["input_sequences"]}
        labels = {name: one["labels"] for name, one in labels.items()}
    with tempfile.TemporaryDirectory() as scratch:
        written = Path(scratch) / "exported.json"
        written.write_text(json.dumps(keras_to_lwtnn(model, inputs, labels)))
        return _lwtnn_difference(written, data, key, "float64", replaced)


def _lwtnn_scores(graph: onnx.ModelProto, data: Mapping[str, NDArray[Any]], key: str) -> NDArray[Any]:
    """Scores of the output that a stored answer, `…_NAME`, is of."""
    from ntupleml.onnx_models.sessions import new_session

    session = new_session(graph.SerializeToString())
    feeds = {}
    for value in session.get_inputs():
        if value.name.endswith("_length"):
            feeds[value.name] = data["len"]
        else:
            stored = f"X_{value.name}" if f"X_{value.name}" in data else next(name for name in data if name[0] == "X")
            feeds[value.name] = data[stored].astype(np.float32 if value.type == "tensor(float)" else np.float64)
    outputs = [output.name for output in session.get_outputs()]
    name = key.split("_")[-1]
    scores: NDArray[Any] = session.run([name if name in outputs else "scores"], feeds)[0]
    return scores


def tmva(folder: Path) -> Iterator[Quantity]:
    """Weights files of TMVA as ONNX, and in the forest kernel, against TMVA's Reader.

    Layout: a folder per method with `meta.json`, `responses.npz` and `weights.xml` or `weights.xml.gz`; in `data` the
    events of the tree `eval`, in the file that `meta.json` names.
    """
    from ntupleml.forests import Forest
    from ntupleml.tmva.transformations import Cumulative

    for case in sorted(path.parent for path in folder.glob("*/responses.npz")):
        answers = np.load(case / "responses.npz")["response"]
        method = _tmva_method(case)
        interpolated = method.kind == "Likelihood" or any(isinstance(one, Cumulative) for one in method.transformations)
        for dtype in DTYPES:
            double = dtype == "float64" and answers.dtype == np.float64
            limit = 1e-5 if interpolated else 1e-12 if double else 1e-6
            yield Quantity(
                f"{case.name}: ONNX in {dtype}", partial(_tmva_difference, case, method, answers, dtype), limit
            )
        if isinstance(method.body, Forest) and not method.transformations and method.target_transformation is None:
            yield Quantity(f"{case.name}: forest kernel", partial(_kernel_difference, case, method, answers), 1e-6)


def _tmva_difference(case: Path, method: TmvaMethod, answers: NDArray[Any], dtype: str) -> float:
    from ntupleml.onnx_models.sessions import new_session
    from ntupleml.onnx_models.tmva_method import tmva_to_onnx

    session = new_session(tmva_to_onnx(method, np.dtype(dtype).type).SerializeToString())
    return largest(session.run(None, {"variables": _tmva_events(case, method).astype(dtype)})[0], answers)


def _kernel_difference(case: Path, method: TmvaMethod, answers: NDArray[Any]) -> float:
    from ntupleml.forests.kernel import evaluate

    return largest(evaluate(method.body, _tmva_events(case, method).astype(np.float32)), answers)


def _tmva_method(case: Path) -> TmvaMethod:
    from ntupleml.tmva.reading import read_weights

    packed = case / "weights.xml.gz"
    if not packed.exists():
        return read_weights(case / "weights.xml")
    with tempfile.TemporaryDirectory() as scratch:
        unpacked = Path(scratch) / "weights.xml"
        unpacked.write_bytes(gzip.decompress(packed.read_bytes()))
        return read_weights(unpacked)


def _tmva_events(case: Path, method: TmvaMethod) -> NDArray[Any]:
    from ntupleml.expressions import parse

    name = json.loads((case / "meta.json").read_text())["data"]
    with np.load(case.parent / "data" / f"{name}.npz") as data:
        columns = {key.removeprefix("eval/"): data[key] for key in data if key.startswith("eval/")}
    events = len(next(iter(columns.values())))
    values = [parse(variable.expression).evaluate(columns, events) for variable in method.variables]
    return np.stack([np.asarray(value, dtype=np.float64) for value in values], axis=1)


#: What can be compared; each makes its quantities from a folder.
SETS: dict[str, Callable[[Path], Iterator[Quantity]]] = {
    "calratio": calratio,
    "etmiss": etmiss,
    "hlt": hlt,
    "lwtnn": lwtnn,
    "nntrainer": nntrainer,
    "tmva": tmva,
}


def main() -> int:
    """Print a line per quantity."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("set", choices=sorted(SETS), metavar="SET", help=f"kind of folder: {', '.join(sorted(SETS))}")
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="inputs with the answers of the originals")
    arguments = parser.parse_args()
    compared = beyond = 0
    for quantity in SETS[arguments.set](arguments.folder):
        compared += 1
        try:
            difference = quantity.difference()
        except NtuplemlError as error:
            beyond += 1
            print(f"{quantity.name}: refused: {error}")
            continue
        beyond += difference > quantity.limit
        verdict = "BEYOND THE LIMIT" if difference > quantity.limit else "agrees"
        print(f"{quantity.name}: largest difference {difference:.1e}, limit {quantity.limit:.0e}: {verdict}")
    if not compared:
        print(f"{arguments.folder}: holds nothing of the layout of '{arguments.set}'; name the folder above the cases")
        return 2
    print(f"{compared} quantities, {beyond} beyond their limit")
    return 1 if beyond else 0


if __name__ == "__main__":
    sys.exit(main())
