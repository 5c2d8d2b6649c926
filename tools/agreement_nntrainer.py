"""The set `nntrainer` of `agreement.py`: features of objects, pairs, augmentation and schedules of a trainer for ttH.

Layout: `features.npz` and `features.json`, flat tables `frame_{1,2}lep.parquet` (energies in MeV), and `convert`. Of
the answers those count that follow from the four-vectors. Where the original takes an η or φ of 0 for that of another
lepton, these are `four_vectors_right`; in place of its edges, `pairs_right`; of the missing energy, to which it gives
no pT, the components. An object whose energy is below its momentum counts as massless here, so the masses of its
pairs are left out.
"""

from __future__ import annotations

import json
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from agreement_converted import converted
from quantities import Quantity, largest

from ntupleml.errors import NtuplemlError
from ntupleml.features.arrays import NUMPY
from ntupleml.features.making import FeatureMaker
from ntupleml.features.pairs import PairTable, pair_features, pair_table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from ntupleml.features.arrays import Array, Arrays

DTYPES = ("float32", "float64")
LIMITS = {"float32": 1e-6, "float64": 1e-12}
#: Columns of an object in the order of the original.
REPRESENTATIONS = ("px", "py", "pz", "energy", "pt", "eta", "phi", "theta", "mass")
#: Largest ΔR of a pair that is an edge.
RADIUS = 3.5


class Objects(NamedTuple):
    """Objects of events as they are read: rows × length × columns, and which of them are there."""

    raw: NDArray[Any]
    filled: NDArray[np.bool_]
    maker: FeatureMaker


class Answers:
    """What is in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @cached_property
    def arrays(self) -> dict[str, NDArray[Any]]:
        """Answers by their names."""
        with np.load(self.folder / "features.npz") as file:
            return dict(file)

    @cached_property
    def settings(self) -> dict[str, Any]:
        """How they were made."""
        settings: dict[str, Any] = json.loads((self.folder / "features.json").read_text())
        return settings

    def objects(self, leptons: int, jets: int, features: tuple[str, ...], dtype: str, *, met: bool) -> Objects:
        """Objects of a table: leptons, jets and missing energy, read by the product from a config."""
        return read_objects(
            self.folder / f"frame_{leptons}lep.parquet", collections(leptons, jets, met=met), features, dtype
        )


def collections(leptons: int, jets: int, *, met: bool) -> dict[str, Any]:
    """Collections of a config: each lepton is an electron, else a muon; then jets, then missing energy."""
    kinds = ("el", "mu")
    found: dict[str, Any] = {
        f"lepton_{i}": [{key: f"{kind}_{branch}_{i}" for key, branch in _BRANCHES.items()} for kind in kinds]
        for i in range(leptons)
    }
    jet = {key: f"jet_{branch}_{{i}}" for key, branch in _BRANCHES.items()}
    found["jet"] = {**jet, "btag": "jet_tagWeightBin_DL1r_Continuous_{i}", "slots": [1, 12], "length": jets}
    return found | ({"met": {"pt": "met_met", "phi": "met_phi"}} if met else {})


_BRANCHES = {"pt": "pt", "eta": "eta", "phi": "phi", "energy": "e"}


def read_objects(path: Path, described: Mapping[str, Any], features: tuple[str, ...], dtype: str) -> Objects:
    """Objects of all rows of a table that a config describes."""
    from ntupleml.config import CollectionsConfig
    from ntupleml.events.groups import groups_of
    from ntupleml.events.reading import read_events
    from ntupleml.events.values import joined
    from ntupleml.ntuples import open_ntuple

    config = CollectionsConfig.model_validate({"collections": described, "features": list(features)})
    groups = [group._replace(dtype=np.dtype(dtype)) for group in groups_of({"objects": config})]
    with open_ntuple(path, "") as table:
        batch = joined([chunk.inputs for chunk in read_events(table, groups)]).batch()
    filled = np.arange(batch["objects"].shape[1]) < batch["objects_length"][:, np.newaxis]
    return Objects(batch["objects"], filled, config.maker)


def features_of(objects: Objects) -> NDArray[Any]:
    """Features, rows × length × columns: in double precision by NumPy, in single precision by ONNX Runtime."""
    if objects.raw.dtype == np.float64:
        return np.asarray(np.where(objects.filled[..., np.newaxis], objects.maker.make(NUMPY, objects.raw), 0))
    found = in_onnx(objects.maker.make, objects.raw)
    return np.where(objects.filled[..., np.newaxis], found, np.float32(0))


def in_onnx(formula: Callable[[Arrays, Array], Array], values: NDArray[Any]) -> NDArray[Any]:
    """A formula as a graph computes it from numbers in single precision."""
    from onnx import helper

    from ntupleml.onnx_models.arrays import OnnxArrays
    from ntupleml.onnx_models.graph import IR_VERSION, OPSET, GraphBuilder
    from ntupleml.onnx_models.sessions import new_session

    graph = GraphBuilder(prefix="features/")
    arrays = OnnxArrays(graph)
    made = formula(arrays, arrays.value(graph.cast("raw", np.float64)))
    graph.add("Identity", graph.cast(made.name, np.float32), output="made")
    number = helper.np_dtype_to_tensor_dtype(np.dtype(np.float32))
    given, wanted = (helper.make_tensor_value_info(name, number, None) for name in ("raw", "made"))
    model = helper.make_model(
        helper.make_graph(graph.nodes, "features", [given], [wanted], graph.constants),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
    )
    result: NDArray[Any] = new_session(model.SerializeToString()).run(None, {"raw": values.astype(np.float32)})[0]
    return result


def features(answers: Answers) -> Iterator[Quantity]:
    """Tables of features, each from a config, over reader and feature maker."""
    for name, case in answers.settings.items():
        if f"features_{name}" in answers.arrays:
            for dtype in DTYPES:
                difference = partial(_features_difference, answers, name, case, dtype)
                yield Quantity(f"features_{name} in {dtype}", difference, LIMITS[dtype])
    for dtype in DTYPES:
        yield Quantity(
            f"four_vectors_right in {dtype}", partial(_four_vectors_difference, answers, dtype), LIMITS[dtype]
        )


def _features_difference(answers: Answers, name: str, case: Mapping[str, Any], dtype: str) -> float:
    expected = answers.arrays[f"features_{name}"]
    options, leptons = case["options"], case["n_leptons"]
    met = "include_met" in options
    more = ["btag"] * (options.get("extra_feats") == "btag") + ["is_met"] * met
    columns = (*REPRESENTATIONS[: expected.shape[2] - len(more)], *more)
    objects = answers.objects(leptons, case["max_particles"] - leptons, columns, dtype, met=met)
    found = features_of(objects)
    _require_empty(found, objects.filled)
    slots = expected[..., 3] > 0
    found, expected = _same_objects(found, objects.filled, expected, slots)
    kinds = objects.raw[..., -1][objects.filled]
    is_lepton, is_met = kinds < leptons, kinds > leptons
    right = ~(is_lepton & (objects.raw[objects.filled][:, 1:3] == 0).any(axis=1))
    return max(
        _difference(column, found[rows, index], expected[rows, index], expected[rows, 3])
        for index, column in enumerate(columns)
        for rows in [right & ~is_met if column in ("pt", "theta") else right]
    )


def _four_vectors_difference(answers: Answers, dtype: str) -> float:
    expected = answers.arrays["four_vectors_right"]
    objects = _right_objects(answers, dtype)
    found = features_of(objects)
    _require_empty(found, objects.filled)
    found, expected = _same_objects(found, objects.filled, expected, expected[..., 3] > 0)
    return largest(found, expected, expected[:, 3:])


def _right_objects(answers: Answers, dtype: str) -> Objects:
    events, length, _ = answers.arrays["four_vectors_right"].shape
    objects = answers.objects(1, length - 1, REPRESENTATIONS[:4], dtype, met=False)
    return Objects(objects.raw[:events], objects.filled[:events], objects.maker)


def _require_empty(found: NDArray[Any], filled: NDArray[np.bool_]) -> None:
    if found[~filled].any():
        raise NtuplemlError("a slot without an object is not zero")


def _same_objects(
    found: NDArray[Any], filled: NDArray[np.bool_], expected: NDArray[Any], there: NDArray[np.bool_]
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Objects, one after the other; the original leaves slots free between jets and missing energy."""
    different = np.flatnonzero(filled.sum(axis=1) != there.sum(axis=1))
    if len(different):
        raise NtuplemlError(f"event {different[0]} has another number of objects")
    return found[filled].astype(np.float64), expected[there]


def _difference(column: str, found: NDArray[Any], expected: NDArray[Any], energy: NDArray[Any]) -> float:
    """Components relative to the energy; of the mass the square, which is a difference of squares."""
    if column == "mass":
        return largest(found**2 / energy**2, expected**2 / energy**2)
    return largest(found, expected, energy if column in ("px", "py", "pz", "energy", "pt") else 1.0)


def kinematics(answers: Answers) -> Iterator[Quantity]:
    """Four-vectors from pT, η, φ and mass."""
    for dtype in DTYPES:
        yield Quantity(f"kin_pxpypzE in {dtype}", partial(_kinematics_difference, answers, dtype), LIMITS[dtype])


def _kinematics_difference(answers: Answers, dtype: str) -> float:
    raw = np.stack([answers.arrays[f"kin_{name}"] for name in ("pt", "eta", "phi", "m")], axis=-1)
    make = FeatureMaker(("pt", "eta", "phi", "mass"), REPRESENTATIONS[:4]).make
    found = make(NUMPY, raw) if dtype == "float64" else in_onnx(make, raw)
    expected = answers.arrays["kin_pxpypzE"]
    return largest(found, expected, np.maximum(expected[:, 3:], np.finfo(np.float64).tiny))


def pairs(answers: Answers) -> Iterator[Quantity]:
    """Pairs of two objects, and all pairs of the objects of events."""
    for name in _PAIR_COLUMNS:
        yield Quantity(f"pair_out: {name} in float32", partial(_pair_difference, answers, name, "float32"), 1e-6)
        yield Quantity(f"pair_out: {name} in float64", partial(_pair_difference, answers, name, "float64"), 1e-12)
    yield Quantity("pair_out: m12 of general pairs, relative", partial(_mass_difference, answers), 1e-10)
    yield Quantity("pair_out: m12 of massless pairs, relative", partial(_massless_difference, answers), 1e-12)
    for radius in (None, RADIUS):
        nearer = "" if radius is None else f" with ΔR < {radius:g}"
        yield Quantity(f"pairs_right{nearer}: events and objects", partial(_edges_difference, answers, radius), 0.0)
        for name in ("delta_eta", "delta_phi", "delta_r"):
            difference = partial(_edge_feature_difference, answers, radius, name)
            yield Quantity(f"pairs_right{nearer}: {name}", difference, 1e-12)
        for name in ("mass", "mass2"):
            difference = partial(_edge_feature_difference, answers, radius, name)
            yield Quantity(f"pairs_right{nearer}: {name}, relative", difference, 1e-10)


#: Features of pairs, and their columns in the answers.
_PAIR_COLUMNS = {"mass": 0, "delta_eta": 1, "delta_phi": 2, "delta_r": 3, "pt": 4, "phi": 5, "eta": 6}
_EDGE_COLUMNS = {"delta_eta": 3, "delta_phi": 4, "delta_r": 5, "mass": 6, "mass2": 7}


def _pair_features(answers: Answers, names: list[str], dtype: str) -> NDArray[Any]:
    """Features of the first and the second object of each pair."""
    vectors = answers.arrays["pair_in"].reshape(-1, 2, 4)

    def formula(arrays: Arrays, values: Array) -> Array:
        return pair_features(arrays, values, names)

    found = formula(NUMPY, vectors) if dtype == "float64" else in_onnx(formula, vectors)
    return np.asarray(found[:, 0, 1])


def _pair_difference(answers: Answers, name: str, dtype: str) -> float:
    """Angles as they are, momenta and masses against the size of both objects.

    The direction of a pair is only as good as its pT is large against those of the objects.
    """
    found = _pair_features(answers, [name], dtype)[:, 0]
    expected = answers.arrays["pair_out"]
    first, second = answers.arrays["pair_in"].reshape(-1, 2, 4).transpose(1, 0, 2)
    values, sum_pt = expected[:, _PAIR_COLUMNS[name]], first[:, 0] + second[:, 0]
    if name == "mass":
        energies = [np.hypot(one[:, 0] * np.cosh(one[:, 1]), one[:, 3]) for one in (first, second)]
        return largest(found**2 / np.prod(energies, axis=0), values**2 / np.prod(energies, axis=0))
    if name == "pt":
        return largest(found, values, sum_pt)
    if name == "delta_phi":
        return _largest_angle(found - values)
    if name == "phi":
        return _largest_angle(found - values, expected[:, _PAIR_COLUMNS["pt"]] / sum_pt)
    if name == "eta":
        momenta = [one[:, 0] * np.cosh(one[:, 1]) for one in (first, second)]
        return largest(found, values, np.sum(momenta, axis=0) / (expected[:, 4] * np.cosh(values)))
    return largest(found, values)


def _largest_angle(differences: NDArray[Any], share: NDArray[Any] | float = 1.0) -> float:
    """Largest difference of angles, of which π is as good as -π."""
    return float(np.nan_to_num(np.abs(np.angle(np.exp(1j * differences)) * share), nan=np.inf).max(initial=0))


def _mass_difference(answers: Answers) -> float:
    """Of pairs that are not nearly collinear, whose masses the answers hold to fewer digits."""
    expected = answers.arrays["pair_out"]
    general = expected[:, _PAIR_COLUMNS["delta_r"]] > 0.1
    return largest(_pair_features(answers, ["mass"], "float64")[general, 0], expected[general, 0], 0.0)


def _massless_difference(answers: Answers) -> float:
    """From m² = 4 pT₁ pT₂ (sinh²(Δη/2) + sin²(Δφ/2))."""
    given = answers.arrays["pair_in"]
    massless = (given[:, 3] == 0) & (given[:, 7] == 0)
    one, two = given[massless, :4], given[massless, 4:]
    halves = np.sinh((one[:, 1] - two[:, 1]) / 2) ** 2 + np.sin((one[:, 2] - two[:, 2]) / 2) ** 2
    expected = np.sqrt(4 * one[:, 0] * two[:, 0] * halves)
    return largest(_pair_features(answers, ["mass"], "float64")[massless, 0], expected, 0.0)


def _edges(answers: Answers, radius: float | None) -> tuple[PairTable, NDArray[Any], NDArray[np.bool_]]:
    """Pairs of the objects of events that were read, those of the answers, and which are of two time-like objects."""
    objects = _right_objects(answers, "float64")
    table = pair_table(objects.maker.vectors(NUMPY, objects.raw), objects.filled, list(_EDGE_COLUMNS), radius)
    expected = answers.arrays["pairs_right"].copy()
    there = answers.arrays["four_vectors_right"][..., 3] > 0
    place = np.where(there, np.cumsum(there, axis=1) - 1, -1)  # among the objects that are there
    event = expected[:, 0].astype(np.int64)
    for column in (1, 2):
        expected[:, column] = place[event, expected[:, column].astype(np.int64)]
    expected = expected[np.lexsort(expected[:, 2::-1].T)]
    momenta = FeatureMaker(objects.maker.raw, ("p",)).make(NUMPY, objects.raw)[..., 0]
    time_like = objects.raw[..., 3] >= momenta
    both = time_like[table.event, table.first] & time_like[table.event, table.second]
    return table, expected if radius is None else expected[expected[:, 5] < radius], both


def _edges_difference(answers: Answers, radius: float | None) -> float:
    table, expected, _ = _edges(answers, radius)
    found = np.stack([table.event, table.first, table.second], axis=-1)
    return 0.0 if np.array_equal(found, expected[:, :3]) else np.inf


def _edge_feature_difference(answers: Answers, radius: float | None, name: str) -> float:
    table, answered, time_like = _edges(answers, radius)
    if len(answered) != len(table.event):
        return np.inf
    found, expected = table.features[:, list(_EDGE_COLUMNS).index(name)], answered[:, _EDGE_COLUMNS[name]]
    if name == "delta_phi":
        return _largest_angle(found - expected)
    if name.startswith("mass"):
        return largest(found[time_like], expected[time_like], 0.0)
    return largest(found, expected)


def augmentation(answers: Answers) -> Iterator[Quantity]:
    """Objects that are turned, mirrored, shifted and scaled by given numbers, with the columns that follow."""
    for name in _CHANGES:
        for dtype in DTYPES:
            difference = partial(_augmentation_difference, answers, name, dtype)
            yield Quantity(f"aug_{name}_right in {dtype}", difference, LIMITS[dtype])


#: From an array of given numbers to the settings of a `Change`, by the names of the answers.
_CHANGES: dict[str, dict[str, tuple[str, Callable[[Any], Any]]]] = {
    "rotated": {"angle": ("angle", np.asarray)},
    "reflected": {"mirror": ("flip", lambda flip: np.where(flip, -1.0, 1.0))},
    "translated": {"angle": ("dphi", np.asarray), "shift": ("deta", np.asarray)},
    "scaled": {"factor": ("scale", np.asarray)},
}


def _augmentation_difference(answers: Answers, name: str, dtype: str) -> float:
    """Of all columns of the original; of missing energy, to which it gives no pT, the components and the angle."""
    from ntupleml.training.augmentation import Change, changed

    given, expected = answers.arrays["aug_in"], answers.arrays[f"aug_{name}_right"]
    filled = given[..., 3] > 0
    is_met = given[filled][:, -1] > 0
    pt, energy = np.hypot(given[..., 0], given[..., 1]), given[..., 3]
    raw = np.stack([pt, given[..., 5], given[..., 6], energy], axis=-1)[filled].astype(dtype)
    counts = filled.sum(axis=1)
    settings = {
        key: np.repeat(convert(answers.arrays[f"aug_{array}"]), counts)
        for key, (array, convert) in _CHANGES[name].items()
    }
    if "shift" in settings:
        settings["shift"] = np.where(is_met, 0.0, settings["shift"])
    maker = FeatureMaker(("pt", "eta", "phi", "energy"), REPRESENTATIONS)
    moved = changed(raw, maker.raw, Change(**settings))
    found = np.asarray(maker.make(NUMPY, moved) if dtype == "float64" else in_onnx(maker.make, moved))
    answered = expected[filled]
    return max(
        _largest_angle(found[:, index] - answered[:, index])
        if column == "phi"
        else _difference(column, found[rows, index], answered[rows, index], answered[rows, 3])
        for index, column in enumerate(REPRESENTATIONS)
        for rows in [~is_met if column in ("pt", "theta") else slice(None)]
    )


def schedules(answers: Answers) -> Iterator[Quantity]:
    """Learning rates, epoch by epoch."""
    yield Quantity("lr_schedule", partial(_schedule_difference, answers), 1e-12)


def _schedule_difference(answers: Answers) -> float:
    from ntupleml.training.schedule import Ramp

    given = answers.settings["lr_schedule"]
    parts = {name: given[name] for name in ("burn_in", "ramp_up", "plateau", "ramp_down")}
    ramp = Ramp(initial=given["lr_init"], final=given["lr_final"], **parts)
    rates = [ramp.rates(given["lr_max"], epoch, given["epochs"], 1) for epoch in range(given["epochs"])]
    return largest(np.concatenate(rates), answers.arrays["lr_schedule"], 0.0)


#: Subjects of the set; each makes quantities of the answers of a folder.
PARTS: tuple[Callable[[Answers], Iterator[Quantity]], ...] = (features, kinematics, pairs, augmentation, schedules)


def nntrainer(folder: Path) -> Iterator[Quantity]:
    """All quantities of a folder."""
    if (folder / "features.npz").is_file():
        for part in PARTS:
            yield from part(Answers(folder))
    yield from converted(folder)
