"""Whole methods of TMVA as ONNX graphs against the answers of a real Reader."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnxruntime
import pytest

from ntupleml.onnx_models.tmva_method import LOST, tmva_to_onnx
from ntupleml.tmva.reading import read_weights

if TYPE_CHECKING:
    from collections.abc import Callable

    from ntupleml.tmva.method import TmvaMethod

DATA = Path(__file__).resolve().parents[1] / "data" / "tmva"
CASES = sorted(path.parent.name for path in DATA.glob("*/meta.json"))
#: Variables that are formulas, worked out here.
FORMULAS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "x+y": lambda event: event["x"] + event["y"],
    "x-y": lambda event: event["x"] - event["y"],
    "TMath::Abs(x)": lambda event: np.abs(event["x"]),
    "log(1+c)": lambda event: np.log(1 + event["c"]),
    "a*a": lambda event: event["a"] * event["a"],
}


@pytest.fixture(scope="session")
def method_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], TmvaMethod]:
    folder = tmp_path_factory.mktemp("weights")

    def read(case: str) -> TmvaMethod:
        path = folder / f"{case}.weights.xml"
        if not path.exists():
            path.write_bytes(gzip.decompress((DATA / case / "weights.xml.gz").read_bytes()))
        return read_weights(path)

    return read


def inputs(case: str, method: TmvaMethod) -> np.ndarray:
    """The variables as TMVA's formulas give them: in double, then rounded to float32."""
    name = json.loads((DATA / case / "meta.json").read_text())["data"]
    data = np.load(DATA / f"{name}_eval.npz")
    event = {name: data[name].astype(np.float64) for name in data}
    columns = [
        FORMULAS[variable.expression](event) if variable.expression in FORMULAS else event[variable.expression]
        for variable in method.variables
    ]
    return np.stack(columns, axis=1).astype(np.float32)


def run(method: TmvaMethod, rows: np.ndarray, dtype: type = np.float32) -> np.ndarray:
    model = tmva_to_onnx(method, dtype)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    result: np.ndarray = session.run(None, {"variables": rows.astype(dtype)})[0]
    assert result.dtype == dtype
    return result


def tolerances(method: TmvaMethod, answers: np.ndarray, dtype: type) -> dict[str, float]:
    if method.kind == "Likelihood" or any(type(item).__name__ == "Cumulative" for item in method.transformations):
        return {"rtol": 1e-5, "atol": 1e-5}
    if dtype == np.float64 and answers.dtype == np.float64:
        return {"rtol": 1e-12, "atol": 1e-15}
    return {"rtol": 2e-7, "atol": 1e-12}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("case", CASES)
def test_every_case_answers_as_reader_does(case: str, dtype: type, method_of: Callable[[str], TmvaMethod]) -> None:
    method = method_of(case)
    expected = np.load(DATA / case / "responses.npz")["response"]
    found = run(method, inputs(case, method), dtype)
    assert found.shape == (1000, len(method.output_names))
    np.testing.assert_allclose(found, expected.reshape(found.shape), **tolerances(method, expected, dtype))


@pytest.mark.parametrize(
    "case", ["bin_bdtg", "bin_mlp_tanh_N", "bin_fisher_D", "bin_likelihood", "mc_bdtg_50", "reg_mlp"]
)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_events_with_nan_are_lost_and_the_others_are_not(
    case: str, dtype: type, method_of: Callable[[str], TmvaMethod]
) -> None:
    method = method_of(case)
    rows = inputs(case, method)[:10]
    without = run(method, rows, dtype)
    rows[3, -1] = np.nan
    rows[7, 0] = np.nan
    found = run(method, rows, dtype)
    assert (found[[3, 7]] == LOST).all()
    others = [0, 1, 2, 4, 5, 6, 8, 9]
    np.testing.assert_array_equal(found[others], without[others])


def test_infinite_inputs_go_to_their_side_of_each_cut(method_of: Callable[[str], TmvaMethod]) -> None:
    method = method_of("bin_bdtg")
    found = run(method, np.array([[np.inf, -np.inf], [1e30, -1e30]]))
    np.testing.assert_array_equal(found[0], found[1])


@pytest.mark.parametrize("case", [case for case in CASES if "bdt" in case or "_ada_" in case or "bagging" in case])
def test_a_forest_is_smaller_as_onnx_than_as_xml(case: str, method_of: Callable[[str], TmvaMethod]) -> None:
    method = method_of(case)
    assert tmva_to_onnx(method).ByteSize() < method.path.stat().st_size / 5


def test_the_description_tells_what_the_method_is(method_of: Callable[[str], TmvaMethod]) -> None:
    model = tmva_to_onnx(method_of("bin_bdtg_expr"), record_hash="abc")
    (text,) = [item.value for item in model.metadata_props if item.key == "ntupleml"]
    assert json.loads(text) == {
        "variables": {"variables": ["x+y", "diff := x-y", "TMath::Abs(x)"]},
        "outputs": ["scores"],
        "classes": ["Signal", "Background"],
        "kind": "tmva",
        "scores": ["M"],
        "labels": ["x+y", "diff", "TMath::Abs(x)"],
        "expressions": ["x+y", "x-y", "TMath::Abs(x)"],
        "spectators": ["x", "y2 := y*2"],
        "targets": [],
        "analysis": "Classification",
        "method": "BDT::M",
        "conditions": [],
        "missing": None,
        "record_hash": "abc",
    }
