"""Whole methods of TMVA as ONNX graphs against the answers of a real Reader."""

from __future__ import annotations

import gzip
import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import numpy as np
import onnxruntime
import pytest

from ntupleml.onnx_models.tmva_method import LOST, tmva_to_onnx
from ntupleml.tmva.method import Mlp
from ntupleml.tmva.reading import read_weights

if TYPE_CHECKING:
    from collections.abc import Callable
    from xml.etree.ElementTree import Element

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


@pytest.mark.parametrize("case", ["bin_bdtg", "bin_ada_default", "bin_mlp_tanh_N", "bin_fisher_D", "bin_likelihood"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_classification_has_no_answer_to_nan(case: str, dtype: type, method_of: Callable[[str], TmvaMethod]) -> None:
    """`Reader::EvaluateMVA` gives −999."""
    method = method_of(case)
    rows = inputs(case, method)[:10]
    without = run(method, rows, dtype)
    rows[3, -1] = np.nan
    rows[7, 0] = np.nan
    found = run(method, rows, dtype)
    assert (found[[3, 7]] == LOST).all()
    others = [0, 1, 2, 4, 5, 6, 8, 9]
    np.testing.assert_array_equal(found[others], without[others])


def leaf(node: Element, row: np.ndarray) -> float:
    """Response of a tree as `DecisionTreeNode::GoesRight` walks it: NaN is not above any cut."""
    while node.get("nType") == "0":
        right = bool(row[int(node.attrib["IVar"])] >= np.float32(node.attrib["Cut"])) == (node.get("cType") == "1")
        (node,) = [child for child in node if child.get("pos") == ("r" if right else "l")]
    return float(np.float32(node.attrib["res"]))


@pytest.mark.parametrize("case", ["mc_bdtg_50", "mc_bdtg_toy5_w", "reg_bdtg"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_several_classes_and_targets_let_nan_go_to_the_left(
    case: str, dtype: type, method_of: Callable[[str], TmvaMethod]
) -> None:
    """`EvaluateMulticlass` and `EvaluateRegression` go on with NaN."""
    method = method_of(case)
    rows = inputs(case, method)[:4]
    rows[0, -1] = rows[1, 0] = rows[2, :] = np.nan
    found = run(method, rows, dtype)
    trees = ElementTree.parse(method.path).findall("Weights/BinaryTree")
    answers = np.array([[leaf(tree[0], row) for tree in trees] for row in rows])
    if method.analysis == "Regression":
        expected = answers.sum(axis=1, keepdims=True) + float(trees[0].attrib["boostWeight"])
    else:
        sums = answers.reshape(len(rows), -1, len(method.classes)).sum(axis=1)
        expected = np.exp(sums) / np.exp(sums).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_nan_goes_through_a_network_but_not_through_relu(method_of: Callable[[str], TmvaMethod]) -> None:
    method = method_of("mc_mlp_tanh_N")
    rows = inputs("mc_mlp_tanh_N", method)[:3]
    rows[1, 0] = np.nan
    assert np.isnan(run(method, rows)).tolist() == [[False] * 3, [True] * 3, [False] * 3]
    # `TActivationReLU` gives 0 for all that is not above 0: the neurons of the first hidden layer.
    body = method.body
    assert isinstance(body, Mlp)
    found = run(replace(method, body=body._replace(neuron="ReLU")), rows)[1]
    values = np.zeros(body.weights[0].shape[1])
    for weights in body.weights[1:]:
        values = np.maximum(values, 0) @ weights[:-1].astype(np.float64) + weights[-1]
    powers = np.exp(values)
    np.testing.assert_allclose(found, powers / powers.sum(), rtol=1e-6)


def test_a_gaussian_transformation_makes_a_number_of_nan(method_of: Callable[[str], TmvaMethod]) -> None:
    """The smallest; Reader looks for NaN behind the transformations and finds none."""
    method = method_of("bin_fisher_G")
    rows = inputs("bin_fisher_G", method)[:2]
    rows[0, 0] = np.nan
    found = run(method, rows)
    rows[0, 0] = -np.inf
    np.testing.assert_array_equal(found, run(method, rows))


def test_missing_values_are_replaced_before_all_else(method_of: Callable[[str], TmvaMethod]) -> None:
    method = method_of("bin_ada_default")
    rows = inputs("bin_ada_default", method)[:3]
    expected = run(method, np.where([[False, True], [True, True], [False, False]], np.float32(-0.5), rows))
    rows[0, 1], rows[1] = np.inf, np.nan
    graph = tmva_to_onnx(method, missing=-0.5)
    session = onnxruntime.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
    np.testing.assert_array_equal(session.run(None, {"variables": rows})[0], expected)


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
        "one_value": "response",
        "conditions": [],
        "missing": None,
        "record_hash": "abc",
    }
