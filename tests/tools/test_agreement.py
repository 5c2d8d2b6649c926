"""The comparison with stored answers says what agrees and what does not."""

from __future__ import annotations

import json
import math
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

if TYPE_CHECKING:
    from numpy.typing import NDArray

TOP = Path(__file__).resolve().parents[2]
LWTNN = TOP / "tests" / "data" / "lwtnn"
TMVA = TOP / "tests" / "data" / "tmva"
HLT = TOP / "tests" / "data" / "hlt"


def agreement(kind: str, folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, TOP / "tools" / "agreement.py", kind, folder]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture
def networks(tmp_path: Path) -> Path:
    shutil.copytree(LWTNN / "scaler_robust", tmp_path / "networks" / "scaler_robust")
    return tmp_path / "networks"


@pytest.fixture
def methods(tmp_path: Path) -> Path:
    """The stored events are the first of those that the layout has."""
    folder = tmp_path / "methods"
    shutil.copytree(TMVA / "bin_bdtg_expr", folder / "bin_bdtg_expr")
    (folder / "data").mkdir()
    with np.load(TMVA / "toy2_eval.npz") as events:
        np.savez(folder / "data" / "toy2.npz", **{f"eval/{name}": events[name] for name in events})
    return folder


def components(pt: float, eta: float, phi: float, mass: float) -> list[float]:
    """px, py, pz, E."""
    px, py, pz = pt * math.cos(phi), pt * math.sin(phi), pt * math.sinh(eta)
    return [px, py, pz, math.sqrt(px**2 + py**2 + pz**2 + mass**2)]


def of_pair(one: NDArray[Any], two: NDArray[Any]) -> list[float]:
    """m12, Δη, Δφ, ΔR, pT, φ and η of two objects of pt, η, φ, mass."""
    px, py, pz, energy = np.add(components(*one), components(*two))
    deta, dphi = one[1] - two[1], math.remainder(one[2] - two[2], 2 * math.pi)
    mass = math.sqrt(energy**2 - px**2 - py**2 - pz**2)
    pt = math.hypot(px, py)
    return [mass, deta, dphi, math.hypot(deta, dphi), pt, math.atan2(py, px), math.asinh(pz / pt)]


def of_object(pt: float, eta: float, phi: float, mass: float, btag: float) -> list[float]:
    """All columns of an object; φ is not wrapped."""
    four = components(pt, eta, phi, mass)
    return [*four, pt, eta, phi, math.atan2(pt, four[2]), mass, btag, 0]


def of_met(met: float, phi: float) -> list[float]:
    """Missing energy has no pT, η, θ and mass."""
    return [*components(met, 0, phi, 0), 0, 0, phi, 0, 0, 0, 1]


@pytest.fixture
def trainer(tmp_path: Path) -> Path:
    """Two events of a lepton, jets and missing energy as a flat table, and the answers by plain formulas."""
    folder = tmp_path / "trainer"
    folder.mkdir()
    lepton, met = [60.0, -0.4, 2.0, 10.0], [40.0, 0.0, -1.0, 0.0]
    jets = [[90.0, 1.5, -3.0, 12.0], [50.0, -1.0, 3.1, 8.0], [30.0, 0.2, 0.5, 5.0]]
    events = [[lepton, *jets], [lepton, *jets[:2]]]
    frame = {f"{kind}_{name}_0": [0.0, 0.0] for kind in ("el", "mu") for name in ("pt", "eta", "phi", "e")}
    for name, values in (("pt", lepton[0]), ("eta", lepton[1]), ("phi", lepton[2]), ("e", components(*lepton)[3])):
        frame[f"el_{name}_0"][0] = frame[f"mu_{name}_0"][1] = values
    for slot in range(12):
        of_slot = [event[slot + 1] if slot + 1 < len(event) else None for event in events]
        for index, name in enumerate(("pt", "eta", "phi")):
            frame[f"jet_{name}_{slot + 1}"] = [jet[index] if jet else 0.0 for jet in of_slot]
        frame[f"jet_e_{slot + 1}"] = [components(*jet)[3] if jet else 0.0 for jet in of_slot]
        frame[f"jet_tagWeightBin_DL1r_Continuous_{slot + 1}"] = [slot + 1.0 if jet else 0.0 for jet in of_slot]
    pq.write_table(pa.table(frame | {"met_met": [met[0]] * 2, "met_phi": [met[2]] * 2}), folder / "frame_1lep.parquet")
    features = np.zeros((2, 6, 11))
    moved = {name: np.zeros((2, 6, 11)) for name in ("rotated", "reflected", "translated", "scaled")}
    angle, deta, dphi, scale = np.array([[2.0, -1.0], [0.2, -0.1], [0.1, 0.3], [1.1, 0.8]])
    pairs = []
    for event, objects in enumerate(events):
        for place, one in enumerate(objects):
            pt, eta, phi, mass = one
            features[event, place] = of_object(*one, place)
            moved["rotated"][event, place] = of_object(pt, eta, phi + angle[event], mass, place)
            moved["reflected"][event, place] = of_object(pt, -eta if event else eta, phi, mass, place)
            moved["translated"][event, place] = of_object(pt, eta + deta[event], phi + dphi[event], mass, place)
            moved["scaled"][event, place] = of_object(scale[event] * pt, eta, phi, scale[event] * mass, place)
            for other in range(place + 1, len(objects)):
                mass, *distances = of_pair(np.array(one), np.array(objects[other]))[:4]
                pairs.append([event, place, other, *distances, mass, mass**2])
        features[event, 5] = moved["reflected"][event, 5] = of_met(met[0], met[2])
        moved["rotated"][event, 5] = of_met(met[0], met[2] + angle[event])
        moved["translated"][event, 5] = of_met(met[0], met[2] + dphi[event])
        moved["scaled"][event, 5] = of_met(scale[event] * met[0], met[2])
    vectors = np.array([lepton, *jets])
    given = np.concatenate([vectors[[0, 1, 2]], vectors[[1, 2, 3]]], axis=1)
    options = {"extra_feats": "btag", "further_representation": "True", "include_met": "True"}
    case = {"options": options, "n_leptons": 1, "max_particles": 5}
    ramp = {"lr_init": 1e-5, "lr_max": 1e-3, "lr_final": 1e-4, "burn_in": 1, "ramp_up": 2, "plateau": 1, "ramp_down": 2}
    rates = [1e-5, 1e-5 + 0.99e-3 / 2, 1e-3, 1e-3, 1e-4 + 0.9e-3 / 2, 1e-4, 1e-4]
    (folder / "features.json").write_text(json.dumps({"all": case, "lr_schedule": {**ramp, "epochs": len(rates)}}))
    np.savez(
        folder / "features.npz",
        features_all=features,
        four_vectors_right=features[:, :5, :4],
        pairs_right=np.array(pairs),
        lr_schedule=np.array(rates),
        aug_in=features,
        aug_angle=angle,
        aug_flip=np.array([False, True]),
        aug_deta=deta,
        aug_dphi=dphi,
        aug_scale=scale,
        **{f"aug_{name}_right": values for name, values in moved.items()},
        pair_in=given,
        pair_out=np.array([of_pair(one[:4], one[4:]) for one in given]),
        kin_pxpypzE=np.array([components(*one) for one in vectors]),
        **{f"kin_{name}": vectors[:, index] for index, name in enumerate(("pt", "eta", "phi", "m"))},
    )
    return folder


def test_features_of_objects_agree(trainer: Path) -> None:
    done = agreement("nntrainer", trainer)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "features_all in float64" in done.stdout


def test_features_of_objects_that_do_not_agree(trainer: Path) -> None:
    """Each change is found where it was made."""
    arrays = dict(np.load(trainer / "features.npz"))
    expected = set()
    for key, place, quantity in (
        ("features_all", (1, 0, 7), "features_all in float32"),
        ("four_vectors_right", (0, 2, 1), "four_vectors_right in float32"),
        ("kin_pxpypzE", (2, 3), "kin_pxpypzE in float32"),
        ("pair_out", (1, 2), "pair_out: delta_phi in float32"),
        ("aug_translated_right", (0, 1, 3), "aug_translated_right in float32"),
        ("lr_schedule", (4,), "lr_schedule"),
        ("pairs_right", (-1, 2), "pairs_right: events and objects"),
        ("pairs_right", (2, 6), "pairs_right with ΔR < 3.5: mass, relative"),
    ):
        is_index = quantity.endswith("events and objects")
        arrays[key][place] += 1 if is_index else max(1e-4 * abs(arrays[key][place]), 1e-4)
        expected |= {quantity, quantity.replace("float32", "float64"), quantity.replace(" with ΔR < 3.5", "")}
    np.savez(trainer / "features.npz", **arrays)
    done = agreement("nntrainer", trainer)
    assert done.returncode == 1
    wrong = {line.split(": largest")[0] for line in done.stdout.splitlines() if line.endswith("BEYOND THE LIMIT")}
    assert wrong == expected | {"pairs_right with ΔR < 3.5: events and objects"}


def test_what_agrees(networks: Path, methods: Path) -> None:
    for kind, folder, lines in (("lwtnn", networks, 4), ("tmva", methods, 3)):
        done = agreement(kind, folder)
        assert done.returncode == 0, done.stdout + done.stderr
        assert done.stdout.count(": agrees\n") == lines
        assert done.stdout.endswith(f"{lines} quantities, 0 beyond their limit\n")


@pytest.mark.parametrize("change", [1e-3, np.nan])
def test_what_does_not_agree(networks: Path, change: float) -> None:
    file = networks / "scaler_robust" / "data.npz"
    data = dict(np.load(file))
    data["y_lwtnn"][7] += change
    np.savez(file, **data)
    done = agreement("lwtnn", networks)
    assert done.returncode == 1
    assert done.stdout.count("BEYOND THE LIMIT") == 4


def test_what_is_refused_does_not_agree(networks: Path) -> None:
    (networks / "scaler_robust" / "lwtnn.json").write_text("{")
    done = agreement("lwtnn", networks)
    assert done.returncode == 1
    assert "refused: " in done.stdout
    assert "Traceback" not in done.stderr


def test_a_folder_of_another_layout(tmp_path: Path) -> None:
    assert agreement("tmva", tmp_path).returncode == 2


#: Numbers of each object, filters and units of the LSTMs of a small network of the original.
CALRATIO = {"constit": (4, [3, 2], 2), "track": (3, [2], 3), "MSeg": (2, [3, 3, 2], 2)}


def sigmoid(values: NDArray[Any]) -> NDArray[Any]:
    return 1 / (1 + np.exp(-values))


def lstm(steps: NDArray[Any], kernel: NDArray[Any], recurrent: NDArray[Any], bias: NDArray[Any]) -> NDArray[Any]:
    """All outputs of an LSTM (Hochreiter and Schmidhuber): gates i, f, c, o side by side."""
    output = cell = np.zeros((len(steps), len(recurrent)))
    outputs = []
    for step in np.moveaxis(steps, 1, 0):
        entry, forget, candidate, exit_ = np.split(step @ kernel + output @ recurrent + bias, 4, axis=1)
        cell = sigmoid(forget) * cell + sigmoid(entry) * np.tanh(candidate)
        output = sigmoid(exit_) * np.tanh(cell)
        outputs.append(output)
    return np.stack(outputs, axis=1)


def write_calratio(folder: Path) -> None:
    """A network of two LSTMs for each list with random weights, inputs with NaN, and its scores by NumPy."""
    random = np.random.default_rng(3)
    weights: dict[str, NDArray[Any]] = {}
    layers: list[dict[str, Any]] = []

    def layer(name: str, **parts: tuple[int, ...]) -> list[NDArray[Any]]:
        made = {f"{name}__{part}": random.normal(size=shape).astype(np.float32) for part, shape in parts.items()}
        layers.append({"name": name, "weights": [[key, list(value.shape)] for key, value in made.items()]})
        weights.update(made)
        return [np.asarray(value, np.float64) for value in made.values()]

    arrays = {"clusters": (5, 4), "tracks": (4, 3), "msegs": (6, 2), "jet": (3,)}
    inputs = {name: random.normal(size=(7, *shape)) for name, shape in arrays.items()}
    inputs["clusters"][0, 2, 1] = np.nan
    joined = []
    numbers = {"conv1d": 0, "lstm": 0}

    def next_name(kind: str) -> str:
        numbers[kind] += 1
        return kind if numbers[kind] == 1 else f"{kind}_{numbers[kind] - 1}"

    for (list_, (width, filters, units)), array in zip(CALRATIO.items(), arrays, strict=False):
        values = np.nan_to_num(inputs[array])
        for place, number in enumerate(filters, start=1):
            name = f"{list_}_final_conv1d" if place == len(filters) else next_name("conv1d")
            kernel, bias = layer(name, kernel=(1, width, number), bias=(number,))
            values, width = np.maximum(values @ kernel[0] + bias, 0), number
        for _ in range(2):
            shapes = {"kernel": (width, 4 * units), "recurrent": (units, 4 * units), "bias": (4 * units,)}
            values, width = lstm(values, *layer(next_name("lstm"), **shapes)), units
        joined.append(values[:, -1])
    values = np.concatenate([*joined, inputs["jet"]], axis=1)
    for name, width in (("dense_1", 16), ("dense_2", 2), ("main_output", 3)):
        kernel, bias = layer(name, kernel=(values.shape[1], width), bias=(width,))
        values = np.maximum(values @ kernel + bias, 0) if name != "main_output" else values @ kernel + bias
    scores = np.exp(values) / np.exp(values).sum(axis=1, keepdims=True)
    folder.mkdir(parents=True)
    np.savez(folder / "weights.npz", **weights)
    (folder / "layers.json").write_text(json.dumps(layers[::-1]))
    np.savez(folder / "right.npz", **inputs, prediction=scores.astype(np.float32))


def test_a_network_of_calratio_has_the_scores_of_its_weights(tmp_path: Path) -> None:
    """In Keras, ONNX, and the JSON of lwtnn and frugally-deep; other scores are noticed."""
    write_calratio(tmp_path / "network")
    with np.load(tmp_path / "network" / "right.npz") as file:
        arrays = dict(file)
    arrays["prediction"][3, 1] += 1e-3
    np.savez(tmp_path / "network" / "wrong.npz", **arrays)
    found = agreement("calratio", tmp_path)
    lines = found.stdout.splitlines()
    assert lines[0] == "network: number of weights: largest difference 0.0e+00, limit 0e+00: agrees"
    assert [line.endswith("agrees") for line in lines if "/right: " in line] == [True] * 5
    assert [line.endswith("BEYOND THE LIMIT") for line in lines if "/wrong: " in line] == [True] * 5
    assert (found.returncode, lines[-1]) == (1, "11 quantities, 5 beyond their limit")


def changed(path: Path, name: str, place: tuple[int, ...], by: float) -> None:
    """Change one number of a file of arrays."""
    with np.load(path) as file:
        arrays = dict(file)
    arrays[name][place] += by
    np.savez(path, **arrays)


def test_answers_of_an_anomaly_trigger_are_compared(tmp_path: Path) -> None:
    """All that the stored events tell agrees; an answer that is changed does not."""
    folder = shutil.copytree(HLT, tmp_path / "hlt")
    answers = json.loads((folder / "rates_regions.json").read_text())
    answers["l1All"]["right_values"]["HHbbtt"]["E_and_B_over_B"] *= 1 + 1e-7
    changed(folder / "layers.npz", "duplicates_right", (12, 3, 0), 1e-4)
    changed(folder / "scores.npz", "folded_MSE_AE_1_score", (5,), 1.0)
    (folder / "rates_regions.json").write_text(json.dumps(answers))
    result = agreement("hlt", folder)
    beyond = [line for line in result.stdout.splitlines() if "BEYOND" in line]
    assert [line.partition(": largest")[0] for line in beyond] == [
        *(f"layers: duplicates_right in {form}" for form in ("NumPy", "Keras", "ONNX")),
        *(f"scores: folded_MSE_AE_1: score in {form}" for form in ("numpy", "keras", "onnx")),
        "rates: l1All: HHbbtt: right values",
    ], result.stdout
    assert result.stdout.count(": agrees") > 50
    assert result.returncode == 1


def trigger_objects(folder: Path) -> dict[str, NDArray[Any]]:
    """Objects of the first trigger level in one file, and their numbers in hardware units, object by object."""
    random, slots = np.random.default_rng(5), {"L1_jFexSR_jets": 6, "L1_eFex_taus": 4, "L1_muons": 4, "L1_MET": 1}
    events = {name: random.normal(0, 1, (12, number, 3)).astype(np.float32) for name, number in slots.items()}
    for objects in events.values():
        objects[..., 0] = np.abs(objects[..., 0])
    events["L1_jFexSR_jets"][3, 2] = np.nan
    events["L1_MET"] = events["L1_MET"][:, 0]
    columns = {
        "mu": np.where(np.arange(12) == 7, 0, 30).astype(np.float32),
        "run_number": np.full(12, 475341, np.uint32),
        "event_number": np.arange(12, dtype=np.uint64) + np.uint64(2**33),
        "EB_weights": random.lognormal(0, 1, 12),
        "pass_L1_unprescaled": np.arange(12, dtype=np.int32) % 2,
    }
    with h5py.File(folder / "EB_toy_0.h5", "w") as file:
        for name, values in (events | columns).items():
            file[name] = values
    rows = []
    for row in np.flatnonzero(columns["mu"]):
        numbers: list[float] = []
        for name in slots:
            for pt, eta, phi in events[name][row].reshape(-1, 3):
                steps = np.round(np.mod(phi, 2 * np.pi) * 128 / (2 * np.pi)) % 128
                numbers += [pt * np.float32(10_000 if "muons" in name else 10)]
                numbers += ([] if name == "L1_MET" else [eta * np.float32(40)]) + [steps]
        rows.append(np.nan_to_num(np.array(numbers, np.float64)))
    kept = columns["mu"] > 0
    keys = {"run": "run_number", "event": "event_number", "weights": "EB_weights"}
    found = {f"{side}_{key}": columns[name][kept] for side in ("single", "all") for key, name in keys.items()}
    return found | {"all_pass_L1": columns["pass_L1_unprescaled"][kept], "single_topo2A": np.array(rows)}


def test_inputs_of_hardware_and_matching_are_compared(tmp_path: Path) -> None:
    """Events in another order, a key of two rows, one without a partner; a wrong score is noticed."""
    arrays = trigger_objects(tmp_path)
    shuffled = np.random.default_rng(1).permutation(len(arrays["all_run"]))
    for name in ("run", "event", "weights", "pass_L1"):
        arrays[f"all_{name}"] = arrays[f"all_{name}"][shuffled]
    arrays["all_topo2A_shuffled"] = arrays["single_topo2A"][shuffled]
    exponents = [7, 5, 5, 7, 5, 5, 5, 4, 4, 5, 4, 3, 4, 3, 3, 3, 3, 2, 6, 5, 5, 5, 4, 5, 4, 3, 4, 3, 2, 3]
    exponents += [4, 4, 4, 2, 3, 3, 1, 1, 2, -2, -1, -1, 6, 5]
    arrays["all_scaled"] = arrays["all_topo2A_shuffled"] / 2.0 ** np.array(exponents)
    arrays |= {"match_L1_run": np.array([1, 1, 2, 1]), "match_L1_event": np.array([5, 6, 5, 5])}
    arrays |= {"match_L1_score": np.array([0.1, 0.2, 0.3, 0.4]), "match_HLT_run": np.array([1, 2, 475341, 1])}
    arrays |= {"match_HLT_event": np.array([5, 5, 5, 6]), "match_HLT_score": np.array([0.4, 0.3, 0.0, 0.2])}
    arrays |= {"match_train_run": np.array([2]), "match_train_event": np.array([5])}
    arrays["match_dataset"] = np.array(["EB_1", "topo2A_train", "HLT_noalg_eb_L1All", "EB_1"])
    np.savez(tmp_path / "l1_input_and_matching.npz", **arrays)
    found = agreement("hlt", tmp_path)
    assert (found.returncode, found.stdout.count(": agrees")) == (0, 6), found.stdout
    changed(tmp_path / "l1_input_and_matching.npz", "match_HLT_score", (0,), -0.3)
    found = agreement("hlt", tmp_path)
    assert found.stdout.count("BEYOND THE LIMIT") == found.returncode == 1
