"""What events tell of slots: means, deviations and powers of two, all at once or chunk by chunk."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from sklearn.preprocessing import StandardScaler

from ntupleml.config.slots import SlotsGroupConfig
from ntupleml.errors import NtuplemlError
from ntupleml.onnx_models.graph import GraphBuilder
from ntupleml.onnx_models.slots import slot_nodes
from ntupleml.preprocessing.slots import SlotFit, slot_inputs, slots_made

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ntupleml.features.slots import SlotMaker


def maker_of(*steps: Any, **changes: Any) -> SlotMaker:
    config = {"slots": {"jets": 3, "met": 1}, "column": "x", "steps": list(steps), **changes}
    return SlotsGroupConfig.model_validate(config).maker


@pytest.fixture(scope="module")
def raw() -> NDArray[np.float32]:
    """Jets of which later slots are ever more often empty; the third one never is there."""
    random = np.random.default_rng(2)
    values = random.normal(0, 1, (1000, 4, 3)).astype(np.float32)
    values[..., 0] = random.exponential([80, 40, 20, 30], (1000, 4))
    values[random.random(1000) < 0.6, 1] = 0
    values[:, 2] = 0
    return values


def fitted(maker: SlotMaker, raw: NDArray[np.float32], weights: NDArray[Any] | None = None, parts: int = 3) -> Any:
    fit = SlotFit(maker, weighted=weights is not None)
    weights = np.ones(len(raw)) if weights is None else weights
    for rows in np.array_split(np.arange(len(raw)), parts):
        fit.add(slots_made(maker, raw[rows])[0], weights[rows])
    assert fit.num_events == len(raw)
    return fit.result()


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("kind", ["standard", "standard_nonzero"])
def test_means_and_deviations_are_those_of_scikit_learn(kind: str, weighted: bool, raw: NDArray[np.float32]) -> None:
    """Of pT alone; with `nonzero` those of the slots that are filled, and an empty slot stays 0."""
    maker = maker_of({"scale_pt": kind})
    weights = np.random.default_rng(1).uniform(0, 2, len(raw)) if weighted else None
    found = slot_inputs("hlt", maker, raw, fitted(maker, raw, weights))["hlt"].reshape(raw.shape)
    expected = raw.astype(np.float64)
    for slot in range(4):
        pt = raw[:, slot, 0].astype(np.float64)
        rows = np.flatnonzero(pt) if kind == "standard_nonzero" else np.arange(len(pt))
        if len(rows):
            scaler = StandardScaler().fit(
                pt[rows, np.newaxis], sample_weight=None if weights is None else weights[rows]
            )
            expected[rows, slot, 0] = scaler.transform(pt[rows, np.newaxis])[:, 0]
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("step", "sizes", "message"),
    [
        ({"scale_pt": "standard"}, (1.0, -2.0), "steps: the weights give jets_0_pt a sum of -2,"),
        ("powers_of_two", (1.0, -2.0), "steps: the weights give jets_0_pt a sum of -2,"),
        ({"scale_pt": "standard"}, (6.0, -5.0), "steps: the weights give jets_0_pt a variance of -3000,"),
    ],
)
def test_negative_weights_that_leave_nothing_to_scale_by(step: Any, sizes: tuple[float, float], message: str) -> None:
    """Two events of +1 and two of −2, and so on; the last ones are the far ones."""
    raw = np.zeros((4, 4, 3), np.float32)
    raw[:, 0] = np.array([[10, 0, 0], [10, 0, 0], [20, 0, 0], [20, 0, 0]])
    with pytest.raises(NtuplemlError, match=re.escape(message)):
        fitted(maker_of(step), raw, np.repeat(sizes, 2))


def test_powers_of_two(raw: NDArray[np.float32]) -> None:
    """k = round(log2 σ) over all events, empty slots included; the quotient is exact."""
    maker = maker_of("powers_of_two")
    scaler = fitted(maker, raw)
    numbers = raw.reshape(len(raw), -1)
    deviations = numbers.astype(np.float64).std(axis=0)
    exponents = [round(np.log2(one)) if one else 0 for one in deviations]
    assert scaler.scale_.tolist() == [2.0**one for one in exponents]
    assert not scaler.mean_.any()
    found = slot_inputs("hlt", maker, raw, scaler)["hlt"]
    np.testing.assert_array_equal(found, numbers / np.exp2(np.float32(exponents)))
    given = maker_of({"powers_of_two": {"exponents": exponents}})
    np.testing.assert_array_equal(slot_inputs("hlt", given, raw, fitted(given, raw))["hlt"], found)


def test_chunks_do_not_matter(raw: NDArray[np.float32]) -> None:
    maker = maker_of({"scale_pt": "standard_nonzero"})
    one, several = fitted(maker, raw, parts=1), fitted(maker, raw, parts=7)
    np.testing.assert_allclose(several.mean_, one.mean_, rtol=1e-12)
    np.testing.assert_allclose(several.scale_, one.scale_, rtol=1e-12)


@pytest.mark.parametrize("flat", [True, False])
@pytest.mark.parametrize("kind", ["standard", "standard_nonzero"])
def test_the_graph_scales_alike(kind: str, flat: bool, raw: NDArray[np.float32]) -> None:
    """Numbers, or objects with their type and mask, as a graph makes them of raw slots."""
    import onnx
    from onnxruntime import InferenceSession

    maker = maker_of({"thresholds": {"jets": 20.0}}, {"scale_pt": kind}, flat=flat)
    scaler = fitted(maker, raw)
    expected = slot_inputs("hlt", maker, raw, scaler)
    graph = GraphBuilder(prefix="g/")
    nodes = slot_nodes(graph, "hlt", maker, scaler)
    assert nodes.keys() == expected.keys() == ({"hlt"} if flat else {"hlt", "hlt_mask"})
    outputs = [onnx.helper.make_tensor_value_info(value, 1, None) for value in nodes.values()]
    inputs = [onnx.helper.make_tensor_value_info("hlt", 1, ["events", 4, 3])]
    model = onnx.helper.make_model(
        onnx.helper.make_graph(graph.nodes, "slots", inputs, outputs, graph.constants),
        opset_imports=[onnx.helper.make_opsetid("", 17)],
        ir_version=8,
    )
    found = InferenceSession(model.SerializeToString()).run(None, {"hlt": raw})
    for array, wanted in zip(found, expected.values(), strict=True):
        np.testing.assert_allclose(array, wanted, rtol=1e-6, atol=1e-6)
    if not flat:
        filled = (raw[..., 0] >= np.array([20, 20, 20, 0])) & (raw[..., 0] != 0)
        np.testing.assert_array_equal(expected["hlt_mask"], filled)
        np.testing.assert_array_equal(expected["hlt"][..., 3:], filled[..., np.newaxis] * np.eye(2)[[0, 0, 0, 1]])
