"""Objects, images, values and rows that are jets, from records and graphs to branches, without any training.

The graphs compute sums of their inputs and add 1000 times the number of the model, so that all scores are known.
"""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import awkward as ak
import numpy as np
import pytest
import uproot
import yaml

import ntupleml
from ntupleml.application import make_plan, write_friends
from ntupleml.application.in_place import append_scores
from ntupleml.artifacts import TrainingRecord, model_files, record_hash, sha256_of_file, write_record
from ntupleml.cli import main
from ntupleml.errors import NtuplemlError
from ntupleml.events.groups import described, groups_of
from ntupleml.onnx_models.contract import GraphInput, contract_model
from ntupleml.onnx_models.graph import GraphBuilder

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

EVENTS = 400
INPUTS = {
    "event": {"numbers": ["met", "Sum$(Jet_pt)"]},
    "jets": {"objects": ["Jet_pt", "Jet_eta"], "selection": "Jet_pt > 25", "sort": "Jet_pt", "length": 3},
}
ROWS = {
    "objects": "Jet",
    "selection": "Jet_pt > 25",
    "sort": "Jet_pt",
    "members": {"Track": {"index": "Track_jetIdx", "sort": "Track_pt", "length": 2}},
}
OF_ROWS = {"jet": {"numbers": ["Jet_pt", "met"]}, "tracks": {"objects": ["Track_pt"]}}
IMAGES = {
    "towers": {"image": ["Jet_pt"], "eta": ["Jet_eta"], "phi": ["Jet_phi"], "bins": [4, 3], "eta_range": [-2.0, 2.0]},
    "calo": {"image": ["calo"]},
}
CALO = (2, 3)


@pytest.fixture
def events(tmp_path: Path) -> ak.Array:
    """Events, and `data/ntuple.root` with them."""
    random = np.random.default_rng(1)
    jets = random.poisson(2, EVENTS)
    jets[:3] = 0, 1, 7
    tracks = np.where(jets > 0, random.poisson(4, EVENTS), 0)
    owners = [random.integers(-1, max(n, 1), t) for n, t in zip(jets, tracks, strict=True)]

    def lists(counts: NDArray[Any], values: NDArray[Any]) -> ak.Array:
        return ak.unflatten(values, counts)

    found = ak.Array(
        {
            "event": np.arange(EVENTS) * 7,
            "met": random.exponential(50, EVENTS).astype("f4"),
            "calo": random.normal(size=(EVENTS, *CALO)).astype("f4"),
            "Jet_pt": lists(jets, random.exponential(40, jets.sum()).astype("f4")),
            "Jet_eta": lists(jets, random.uniform(-2.5, 2.5, jets.sum()).astype("f4")),
            "Jet_phi": lists(jets, random.uniform(-3, 3, jets.sum()).astype("f4")),
            "Jet_mass": lists(jets, np.where(random.random(jets.sum()) < 0.1, np.nan, 5).astype("f4")),
            "Track_pt": lists(tracks, random.exponential(5, tracks.sum()).astype("f4")),
            "Track_jetIdx": lists(tracks, np.concatenate(owners).astype("i4")),
        }
    )
    (tmp_path / "data").mkdir()
    with uproot.recreate(tmp_path / "data" / "ntuple.root") as file:
        jet, track = (
            ak.zip({name.split("_")[1]: found[name] for name in found.fields if name.startswith(f"{key}_")})
            for key in ("Jet", "Track")
        )
        tree = {name: found[name] for name in ("event", "met")} | {"Jet": jet, "Track": track}
        image = {"calo": np.dtype(("f4", CALO))}
        file.mktree(
            "Events", {"event": "i8", "met": "f4", "Jet": jet.type.content, "Track": track.type.content} | image
        )
        file["Events"].extend(tree | {"calo": np.asarray(found["calo"])})
    return found


def write_model(folder: Path, fold: int, inputs: dict[str, Any], rows: Any, **target: Any) -> None:
    """Record and graph: the first score is the sum of all inputs, the second the sum of the last group alone."""
    record = TrainingRecord(
        fold=fold,
        num_folds=2,
        trained_on=[fold],
        held_out_fold=1 - fold,
        event_branch="event",
        classes=["signal", "background"],
        variables=[name for group in inputs.values() for name in next(iter(group.values()))],
        inputs=inputs,
        rows=rows,
        preprocessing="standard_scaler",
        seed=1,
        config={},
        **target,
    )
    files = model_files(folder, fold)
    groups = groups_of(record.groups)
    graph = GraphBuilder()
    shapes, sums = {}, []
    for group in groups:
        image = [] if group.image is None else [*(group.image.bins or CALO), len(group.variables)]
        shapes[group.name] = GraphInput(group.variables, group.objects is not None, image)
        axes = list(range(1, 4 if image else 3 if group.objects else 2))
        sums.append(graph.add("ReduceSum", group.name, graph.constant(axes, np.int64), keepdims=0))
        if group.objects is not None:  # lengths that are not the number of rows that are filled would be seen
            number = graph.cast(f"{group.name}_length", np.float32)
            sums[-1] = graph.add("Add", sums[-1], number)
    total = graph.add("Add", graph.add("Sum", *sums), graph.constant(1000.0 * fold, np.float32))
    columns = [graph.add("Unsqueeze", one, graph.constant([1], np.int64)) for one in (total, sums[-1])]
    graph.add("Concat", *columns, output="scores", axis=1)
    description = {
        "missing": None,
        "record_hash": record_hash(record),
        "sequences": [group.name for group in groups if group.objects],
        "images": [group.name for group in groups if group.image],
        "inputs": described(groups),
        "target": record.target.kind,
    }
    model = contract_model(
        graph, shapes, {"scores": record.outputs}, classes=record.outputs, kind="keras", description=description
    )
    files.onnx.write_bytes(model.SerializeToString())
    write_record(files.record, record.model_copy(update={"sha256": {files.onnx.name: sha256_of_file(files.onnx)}}))


class Analysis:
    """Configs and models in a folder."""

    def __init__(self, folder: Path, inputs: dict[str, Any] = INPUTS, rows: Any = None, **target: Any) -> None:
        self.folder = folder
        for fold in (0, 1):
            write_model(folder, fold, inputs, rows, **target)
        self.write("dataset", **({"rows": rows} if rows else {}))
        self.write("training", inputs=inputs)
        self.write("application")

    def write(self, stage: str, **changes: Any) -> None:
        process = {"files": ["ntuple.root"], "class": "signal"}
        other = {**process, "class": "background"}
        content: dict[str, Any] = {
            "dataset": {
                "base_path": str(self.folder / "data"),
                "tree_path": "Events",
                "event_branch": "event",
                "output_path": str(self.folder),
                "output_filename": "data.root",
                "processes": {"a": process, "b": other},
            },
            "training": {
                "datasets": ["fold0.root", "fold1.root"],
                "output_path": str(self.folder),
                "classes": ["signal", "background"],
            },
            "application": {"output_directory": str(self.folder / "friends")},
        }[stage]
        (self.folder / f"{stage}.yaml").write_text(yaml.safe_dump(content | changes, sort_keys=False))

    @property
    def configs(self) -> list[str]:
        return [str(self.folder / f"{stage}.yaml") for stage in ("dataset", "training", "application")]

    @property
    def input(self) -> str:
        return str(self.folder / "data" / "ntuple.root")

    def friend(self) -> Any:
        (path,) = write_friends(*self.configs, [self.input], "Events", overwrite=True)
        return uproot.open(path)["Events"].arrays()


def of_jets(events: ak.Array) -> NDArray[Any]:
    """Sums over the three hardest jets above 25 GeV, and their number."""
    jets = ak.zip({"pt": events["Jet_pt"], "eta": events["Jet_eta"]})
    jets = jets[jets.pt > 25]
    jets = jets[ak.argsort(jets.pt, ascending=False)][:, :3]
    return np.asarray(ak.sum(jets.pt, axis=1) + ak.sum(jets.eta, axis=1) + ak.num(jets.pt))


def of_model(events: ak.Array) -> NDArray[Any]:
    """Constant of the model that never saw an event: model 0 scores fold 1."""
    return np.asarray(1000 * (1 - events["event"] % 2))


def test_objects_beside_numbers(tmp_path: Path, events: ak.Array) -> None:
    """As a friend, in place, and the same from Python by `load_model`, config and file."""
    chain = Analysis(tmp_path)
    found = chain.friend()
    jets = of_jets(events)
    numbers = np.asarray(events["met"] + ak.sum(events["Jet_pt"], axis=1))
    np.testing.assert_allclose(found["ml_score_signal"], jets + numbers + of_model(events), rtol=1e-5)
    np.testing.assert_allclose(found["ml_score_background"], jets, rtol=1e-5)
    np.testing.assert_allclose(found["ml_score_max_score"], np.maximum(found["ml_score_signal"], jets), rtol=1e-6)
    append_scores(*chain.configs, chain.input, "Events")
    inside = uproot.open(chain.input)["Events"].arrays(["ml_score_signal"])
    np.testing.assert_array_equal(inside["ml_score_signal"], found["ml_score_signal"])
    model = ntupleml.load_model(chain.configs[1])
    assert model.inputs == {"event": ["met", "Sum$(Jet_pt)"], "jets": ["Jet_pt", "Jet_eta"]}
    for columns in (
        events,
        {name: events[name] for name in events.fields},
        ak.to_dataframe(events[[]]) if 0 else events,
    ):
        np.testing.assert_array_equal(model.score(columns)[:, 0], found["ml_score_signal"])
    alone = tmp_path / "elsewhere" / "model.onnx"
    alone.parent.mkdir()
    alone.write_bytes(model_files(tmp_path, 0).onnx.read_bytes())
    alone.with_name("fold0_keras_training.json").write_bytes(model_files(tmp_path, 0).record.read_bytes())
    np.testing.assert_allclose(ntupleml.load_model(alone).score(events)[:, 0], jets + numbers, rtol=1e-5)


def test_values_have_their_own_branches(tmp_path: Path, events: ak.Array) -> None:
    values = {"sum": "met", "jets": "2*met"}
    chain = Analysis(tmp_path, target={"kind": "values", "values": values, "mean": [0, 0], "scale": [1, 1]})
    chain.write("training", inputs=INPUTS, target={"values": values})
    found = chain.friend()
    assert sorted(found.fields) == ["event", "ml_score_jets", "ml_score_sum"]
    np.testing.assert_allclose(found["ml_score_jets"], of_jets(events), rtol=1e-5)
    chain.write("application", classifiers=[str(model_files(tmp_path, fold).onnx) for fold in (1, 0)])
    plan = make_plan(chain.configs[0], None, chain.configs[2], kind="onnx")
    assert plan.branch_names == ["ml_score_sum", "ml_score_jets"]


def test_images(tmp_path: Path, events: ak.Array) -> None:
    """What is filled from objects leaves out those beyond the range in η; a column is taken as it is."""
    found = Analysis(tmp_path, IMAGES).friend()
    inside = np.asarray(ak.sum(events["Jet_pt"][abs(events["Jet_eta"]) < 2], axis=1))
    calo = np.asarray(events["calo"]).sum(axis=(1, 2))
    np.testing.assert_allclose(found["ml_score_signal"], inside + calo + of_model(events), rtol=1e-4)
    np.testing.assert_allclose(found["ml_score_background"], calo, atol=1e-5)


def test_rows_are_jets(tmp_path: Path, events: ak.Array) -> None:
    """One list per event, as long as its jets; those that are no rows, or fail a selection, get the default."""
    chain = Analysis(tmp_path, OF_ROWS, ROWS)
    with pytest.raises(NtuplemlError, match=r"default_score: is missing; objects that fail .* rows\.selection"):
        make_plan(*chain.configs)
    for selection in ({}, {"selection": "Jet_pt < 60"}):
        chain.write("application", output_directory=str(tmp_path / "friends"), default_score=-1.0, **selection)
        found = chain.friend()
        assert found["event"].tolist() == events["event"].tolist()
        expected = []
        for event in events:
            scores = []
            for jet, pt in enumerate(event["Jet_pt"]):
                tracks = sorted(event["Track_pt"][event["Track_jetIdx"] == jet])[-2:]
                total = pt + event["met"] + sum(tracks) + len(tracks) + 1000 * (1 - event["event"] % 2)
                scores.append(total if pt > 25 and (not selection or pt < 60) else -1.0)
            expected.append(scores)
        assert ak.num(found["ml_score_signal"]).tolist() == list(map(len, expected))
        np.testing.assert_allclose(ak.flatten(found["ml_score_signal"]), np.concatenate(expected), rtol=1e-5)
        default = np.concatenate(expected) == -1
        np.testing.assert_array_equal(np.asarray(ak.flatten(found["ml_score_max_index"]))[default], -1)
    append_scores(*chain.configs, chain.input, "Events")
    inside = uproot.open(chain.input)["Events"].arrays(["ml_score_signal"])
    assert inside["ml_score_signal"].tolist() == found["ml_score_signal"].tolist()
    model = ntupleml.load_model(chain.configs[1])
    with pytest.raises(NtuplemlError, match="rows are objects of 'Jet', but column 'Jet_pt' has lists, as events do"):
        model.score(events)
    row = {"Jet_pt": [30.0], "met": [5.0], "Track_pt": ak.Array([[1.0, 2.0]]), "event": [1]}
    assert model.score(row).tolist() == [[40.0, 5.0]]


JETS = INPUTS["jets"]


@pytest.mark.parametrize(
    ("stage", "changes", "message"),
    [
        (
            "training",
            {"inputs": {**INPUTS, "jets": {**JETS, "length": 4}}},
            r"inputs\.jets\.length: 4 in the config, .*3",
        ),
        (
            "training",
            {"inputs": {**INPUTS, "jets": {**JETS, "sort": "Jet_eta"}}},
            r"inputs\.jets\.sort: Jet_eta in .*_pt",
        ),
        ("training", {"inputs": {"event": INPUTS["event"], "jet": JETS}}, r"no group of inputs 'jet'; nearest: 'jets'"),
        ("training", {"inputs": {**INPUTS, "jets": ["met"]}}, r"inputs\.jets\.numbers: \['met'\] in the config"),
        (
            "training",
            {"inputs": INPUTS, "target": {"values": {"m": "met"}}},
            r"target: values in the config, .*classes",
        ),
        (
            "application",
            {"default_score": -1.0},
            r"application\.yaml: default_score: no event would get it; add selection",
        ),
        ("dataset", {"rows": ROWS}, r"rows\.objects: Jet, but the models were trained with events as rows"),
    ],
)
def test_a_model_of_other_inputs_is_refused(
    tmp_path: Path, events: ak.Array, stage: str, changes: dict[str, Any], message: str
) -> None:
    chain = Analysis(tmp_path)
    chain.write(stage, **changes)
    with pytest.raises(NtuplemlError, match=message) as error:
        make_plan(*chain.configs)
    assert "\n" not in str(error.value)


def test_rows_of_the_training_cannot_be_left_out(tmp_path: Path, events: ak.Array) -> None:
    chain = Analysis(tmp_path, OF_ROWS, ROWS)
    chain.write("dataset")
    with pytest.raises(NtuplemlError, match=r"dataset\.yaml: rows\.objects is left out, but .* trained with Jet"):
        make_plan(*chain.configs)


def test_missing_values_of_objects(tmp_path: Path, events: ak.Array) -> None:
    """They are refused, naming the input, or such events get the default."""
    chain = Analysis(tmp_path, {"jets": {"objects": ["Jet_mass"]}})
    with pytest.raises(NtuplemlError, match=r"input 'jets': variable 'Jet_mass' is NaN or infinite in \d+ of"):
        chain.friend()
    chain.write("application", output_directory=str(tmp_path / "friends"), missing_inputs="default", default_score=-5.0)
    bad = np.asarray(ak.any(np.isnan(events["Jet_mass"]), axis=1))
    np.testing.assert_array_equal(np.asarray(chain.friend()["ml_score_signal"]) == -5, bad)


def table_of_jets(events: ak.Array) -> dict[str, list[Any]]:
    """Jets above 25 and below 60 GeV in the order of the rows, with their places in the event."""
    rows: dict[str, list[Any]] = {name: [] for name in ("file_entry", "event", "Jet_index", "Jet_pt", "twice", "score")}
    for entry, event in enumerate(events):
        for jet in np.argsort(-np.asarray(event["Jet_pt"]), kind="stable").tolist():
            if 25 < (pt := event["Jet_pt"][jet]) < 60:
                tracks = sorted(event["Track_pt"][event["Track_jetIdx"] == jet])[-2:]
                score = pt + event["met"] + sum(tracks) + len(tracks) + 1000 * (1 - event["event"] % 2)
                for name, value in zip(rows, (entry, event["event"], jet, pt, 2 * event["met"], score), strict=True):
                    rows[name].append(value)
    return rows


@pytest.mark.parametrize("models", ["training", "onnx"])
def test_a_table_of_scores(tmp_path: Path, events: ak.Array, models: str) -> None:
    """A row per jet of two files; from the models of a training, or from their ONNX files alone."""
    import pyarrow.parquet as pq

    chain = Analysis(tmp_path, OF_ROWS, ROWS)
    files = {"classifiers": [str(model_files(tmp_path, fold).onnx) for fold in (1, 0)]} if models == "onnx" else {}
    chain.write("application", default_score=-1.0, selection="Jet_pt < 60", **files)
    configs = chain.configs if models == "training" else [chain.configs[0], chain.configs[2]]
    (tmp_path / "second").mkdir()
    second = tmp_path / "second" / "other.root"
    second.write_bytes((tmp_path / "data" / "ntuple.root").read_bytes())
    output = str(tmp_path / "scores.parquet")
    command = ["score-table", *configs, chain.input, str(second), "Events", "-o", output]
    assert main([*command, "--branch", "Jet_pt", "--branch", "twice=2*met"]) == 0
    found, expected = pq.read_table(output).to_pydict(), table_of_jets(events)
    assert list(found)[:6] == ["file_index", *list(expected)[:5]]
    number = len(expected["event"])
    assert found["file_index"] == [0] * number + [1] * number
    for name in ("file_entry", "event", "Jet_index"):
        assert found[name] == 2 * expected[name]
    for name, of in (("Jet_pt", "Jet_pt"), ("twice", "twice"), ("ml_score_signal", "score")):
        np.testing.assert_allclose(found[name], 2 * expected[of], rtol=1e-6)
    record = json.loads(pq.read_metadata(output).metadata[b"ntupleml"])
    assert [one["path"] for one in record["files"]] == [chain.input, str(second)]
    assert record["columns"] == {"Jet_pt": "Jet_pt", "twice": "2*met"}
    assert main(command) == 2  # it exists


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--branch", "Jet_p"], "--branch: no branch 'Jet_p'; nearest: 'Jet_pt'"),
        (["--branch", "pt=Track_pt"], "variable 'Track_pt' has several values per event"),
        (["--branch", "ml_score_signal=met"], "the table would have two columns 'ml_score_signal'"),
        (["--branch", "2*met"], "--branch '2*met': a formula needs a name; give NAME=2*met"),
        (["--branch", "a=met", "--branch", "a=event"], "'a' is given twice"),
        (["-o", "scores.csv"], "scores.csv: the name of a table ends in"),
    ],
)
def test_bad_tables_of_scores(
    tmp_path: Path, events: ak.Array, options: list[str], message: str, capfd: pytest.CaptureFixture[str]
) -> None:
    chain = Analysis(tmp_path, OF_ROWS, ROWS)
    chain.write("application", default_score=-1.0)
    output = tmp_path / "scores.parquet"
    assert main(["score-table", *chain.configs, chain.input, "Events", "-o", str(output), *options]) == 2
    *_, line = capfd.readouterr().err.splitlines()
    assert line.startswith("ntupleml score-table: ")
    assert message in line
    assert not output.exists()


def test_a_table_of_scores_never_replaces_an_ntuple(
    tmp_path: Path, events: ak.Array, capfd: pytest.CaptureFixture[str]
) -> None:
    """The kind of a file is in its content, so a ROOT file may have the name of a table."""
    chain = Analysis(tmp_path, OF_ROWS, ROWS)
    chain.write("application", default_score=-1.0)
    ntuple, link = tmp_path / "ntuple.parquet", tmp_path / "link.parquet"
    shutil.copy(chain.input, ntuple)
    content = ntuple.read_bytes()
    link.symlink_to(ntuple)
    for output in (ntuple, link):
        command = ["score-table", *chain.configs, str(ntuple), "Events", "-o", str(output), "--overwrite"]
        assert main(command) == 2
        assert f"{output}: is read, so it cannot be written" in capfd.readouterr().err
        assert ntuple.read_bytes() == content
