"""`ntupleml init`: what branches are taken for, and configs that run as they are."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import awkward as ak
import numpy as np
import pytest
import uproot
import yaml

from ntupleml.cli import main
from ntupleml.config import ApplicationConfig, DatasetConfig, TestingConfig, TrainingConfig, load_config
from ntupleml.config.schemas import editor_line
from ntupleml.errors import NtuplemlError
from ntupleml.first_configs.roles import roles_of_branches
from ntupleml.first_configs.writing import write_first_configs

if TYPE_CHECKING:
    from collections.abc import Mapping

EVENTS = 400


def branches(seed: int, shift: float = 0.0) -> dict[str, Any]:
    """An ntuple with all that has to be told apart."""
    random = np.random.default_rng(seed)
    counts = random.integers(0, 4, EVENTS)
    jets = ak.unflatten(random.exponential(30, counts.sum()).astype(np.float32), counts)
    return {
        "eventNumber": np.arange(EVENTS, dtype=np.uint64) + 2**40,
        "runNumber": np.full(EVENTS, 7, np.uint32),
        "mcEventWeight": random.normal(1, 0.5, EVENTS).astype(np.float32),
        "met": random.exponential(50, EVENTS).astype(np.float32),
        "m_vis": random.normal(90 + shift, 10, EVENTS).astype(np.float32),
        "truth_pt": random.normal(size=EVENTS).astype(np.float32),
        "HLT_mu": random.integers(0, 2, EVENTS).astype(bool),
        "xsec": np.full(EVENTS, 1.5, np.float32),
        "broken": np.where(np.arange(EVENTS) % 9 == 0, np.nan, 1.0).astype(np.float32),
        "Jet_pt": jets,
        "Jet_phi": jets * 0,
    }


def write(path: Path, columns: Mapping[str, Any], tree: str = "events") -> Path:
    with uproot.recreate(path) as file:
        file.mktree(tree, dict(columns))
    return path


@pytest.fixture
def ntuples(tmp_path: Path) -> Path:
    folder = tmp_path / "ntuples"
    folder.mkdir()
    write(folder / "signal.root", branches(1, 30))
    write(folder / "w+jets.root", branches(2))
    write(folder / "data.root", branches(3))
    return folder


def test_what_branches_are_for(ntuples: Path) -> None:
    roles = roles_of_branches([(str(ntuples / "signal.root"), "events"), (str(ntuples / "w+jets.root"), "events")])
    assert (roles.event, roles.weight) == ("eventNumber", "mcEventWeight")
    assert {"met", "m_vis", "Alt$(Jet_pt[0], -10)", "Alt$(Jet_pt[1], -10)"} <= set(roles.variables)
    assert not {"eventNumber", "runNumber", "mcEventWeight"} & set(roles.variables)
    reasons = {name: reason for reason, names in roles.left_out.items() for name in names}
    assert set(reasons) == {"runNumber", "truth_pt", "HLT_mu", "xsec", "broken"}
    assert "truth" in reasons["truth_pt"]
    assert "NaN" in reasons["broken"]


def test_a_constant_is_no_event_number(tmp_path: Path) -> None:
    columns = branches(1) | {"eventNumber": np.ones(EVENTS, np.int64)}
    assert roles_of_branches([(str(write(tmp_path / "a.root", columns)), "events")]).event is None


def test_only_what_all_processes_have(tmp_path: Path) -> None:
    one, other = branches(1), branches(2)
    del other["met"]
    trees = [(str(write(tmp_path / f"{name}.root", columns)), "events") for name, columns in (("a", one), ("b", other))]
    assert "met" not in roles_of_branches(trees).variables


def test_one_file_holds_what_the_four_hold(ntuples: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    four = write_first_configs([ntuples / "signal.root"], "events", "new")
    (one,) = write_first_configs([ntuples / "signal.root"], "events", "new", one_file=True)
    assert one.name == "analysis.yaml"
    assert one.read_text().startswith(editor_line("analysis"))
    for path, schema in zip(four, (DatasetConfig, TrainingConfig, TestingConfig, ApplicationConfig), strict=True):
        assert load_config(one, schema) == load_config(path, schema)
    training = load_config(four[1], TrainingConfig)
    assert training.datasets == ["new/output/fold0_dataset.root", "new/output/fold1_dataset.root"]
    assert "variables" not in yaml.safe_load(four[1].read_text())
    assert training.variables == yaml.safe_load(four[0].read_text())["variables"]


@pytest.mark.slow
def test_the_configs_run_as_they_are(ntuples: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ntuples.parent)
    assert main(["init", "ntuples/signal.root", "events", "--output-directory", "new"]) == 0
    training = yaml.safe_load(Path("new/training.yaml").read_text())
    assert training["classes"] == ["signal", "w_jets"]
    first, _ = Path("new/training.yaml").read_text().split("\n", 1)
    assert f"{first}\n" == editor_line("training")
    assert yaml.safe_load(Path("new/testing.yaml").read_text())["spectators"] == ["m_vis"]
    assert main(["dataset", "new/dataset.yaml"]) == 0
    assert main(["train-bdt", "new/training.yaml", "all", "--method", "histogram"]) == 0
    assert main(["confusion-matrix", "new/training.yaml", "new/testing.yaml", "all", "--method", "histogram"]) == 0
    configs = [f"new/{stage}.yaml" for stage in ("dataset", "training", "application")]
    assert main(["apply-bdt", "--friend", *configs, "ntuples/data.root", "events"]) == 0
    (friend,) = Path("new/output/friends").glob("**/*.root")
    with uproot.open(friend) as file:
        scores = file["events"].arrays(["ml_score_signal", "ml_score_w_jets"], library="np")
    assert len(scores["ml_score_signal"]) == EVENTS
    np.testing.assert_allclose(sum(scores.values()), 1, atol=1e-6)


def test_trees_of_one_file_are_processes(tmp_path: Path) -> None:
    with uproot.recreate(tmp_path / "all.root") as file:
        for tree, shift in (("sig", 30), ("bkg", 0)):
            file.mktree(tree, branches(1, shift))
        file.mktree("other", {"x": np.arange(3)})
    paths = write_first_configs([tmp_path / "all.root"], "sig", tmp_path / "new")
    processes = yaml.safe_load(paths[0].read_text())["processes"]
    assert {name: process["tree_path"] for name, process in processes.items()} == {"sig": "sig", "bkg": "bkg"}


def test_a_tree_that_cannot_be_read_is_no_process(tmp_path: Path) -> None:
    """An RNTuple of a ROOT before 6.34 lies beside the trees."""
    shutil.copy(Path(__file__).parents[1] / "data" / "rntuple_before_1_0.root", tmp_path / "all.root")
    with uproot.update(tmp_path / "all.root") as file:
        for tree, shift in (("sig", 30), ("bkg", 0)):
            file.mktree(tree, branches(1, shift))
    paths = write_first_configs([tmp_path / "all.root"], "sig", tmp_path / "new")
    assert set(yaml.safe_load(paths[0].read_text())["processes"]) == {"sig", "bkg"}


def test_files_called_alike_are_processes_by_their_folders(tmp_path: Path) -> None:
    files = []
    for name in ("sig", "bkg"):
        (tmp_path / name).mkdir()
        files.append(write(tmp_path / name / "ntuple.root", branches(1)))
    paths = write_first_configs(files, "events", tmp_path / "new")
    assert list(yaml.safe_load(paths[0].read_text())["processes"]) == ["sig_ntuple", "bkg_ntuple"]


@pytest.mark.parametrize("names", [("a.root", "a.root"), ("x-1.root", "x_1.root")])
def test_no_process_hides_another(tmp_path: Path, names: tuple[str, str]) -> None:
    files = [write(tmp_path / name, branches(1)) for name in names]
    with pytest.raises(NtuplemlError, match=rf"{names[1]}: process '\w+' is .*{names[0]} already; name each file once"):
        write_first_configs(files, "events", tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_files_beside_that_are_no_processes_are_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for name in ("signal", "w"):
        write(tmp_path / f"{name}.root", branches(1))
    (tmp_path / "broken.root").write_bytes(b"nothing of ROOT")
    write(tmp_path / "empty.root", {name: column[:0] for name, column in branches(1).items()})
    write_first_configs([tmp_path / "signal.root"], "events", tmp_path / "new")
    shown = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert len(shown) == 2
    assert "broken.root: is not a ROOT file" in shown[0]
    assert "empty.root: tree 'events' has no entries" in shown[1]


@pytest.mark.parametrize(
    ("name", "other", "reason"),
    [
        ("met", np.full(EVENTS, np.nan, np.float32), "NaN"),
        ("met", np.full(EVENTS, -1, np.float32), "the same in all events of a process"),
        ("eventNumber", np.arange(EVENTS, dtype=np.uint64) + 2**63, "bookkeeping"),
        ("eventNumber", np.arange(EVENTS, dtype=np.float64), "bookkeeping"),
    ],
)
def test_every_process_is_looked_at(tmp_path: Path, name: str, other: Any, reason: str) -> None:
    """What the first process has may be unusable in the second."""
    trees = [(str(write(tmp_path / "a.root", branches(1))), "events")]
    trees.append((str(write(tmp_path / "b.root", branches(2) | {name: other})), "events"))
    roles = roles_of_branches(trees)
    assert name not in (roles.event, *roles.variables)
    assert [name in names for text, names in roles.left_out.items() if text.startswith(reason)] == [True]


def test_sums_of_weights_that_are_no_numbers_are_shown(tmp_path: Path) -> None:
    for name, last in (("a", 1.0), ("b", np.nan)):
        weights = np.append(np.ones(EVENTS - 1), last).astype(np.float32)
        write(tmp_path / f"{name}.root", branches(1) | {"mcEventWeight": weights})
    paths = write_first_configs([tmp_path / "a.root"], "events", tmp_path / "new")
    assert "# class_weights: the sums of weights are a 400, b nan\n" in paths[1].read_text()


def test_class_weights_make_classes_weigh_the_same(tmp_path: Path) -> None:
    for name, weight in (("a", 1.0), ("b", 4.0)):
        write(tmp_path / f"{name}.root", branches(1) | {"mcEventWeight": np.full(EVENTS, weight, np.float32)})
    paths = write_first_configs([tmp_path / "a.root"], "events", tmp_path / "new")
    training = yaml.safe_load(paths[1].read_text())
    assert training["class_weights"] == {"a": 4.0, "b": 1.0}
    assert training["global_weight_scale"] == 0.25


def test_existing_configs_stay(ntuples: Path, tmp_path: Path) -> None:
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "testing.yaml").write_text("mine")
    with pytest.raises(NtuplemlError, match=r"testing\.yaml"):
        write_first_configs([ntuples / "signal.root"], "events", tmp_path / "new")
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["testing.yaml"]
    assert (tmp_path / "new" / "testing.yaml").read_text() == "mine"


@pytest.mark.parametrize(
    ("columns", "message"),
    [(branches(1), "is the only process; name a file for each process"), ({"x": np.zeros(3)}, "is the only process")],
)
def test_what_cannot_be_described(tmp_path: Path, columns: dict[str, Any], message: str) -> None:
    write(tmp_path / "alone.root", columns)
    with pytest.raises(NtuplemlError, match=message):
        write_first_configs([tmp_path / "alone.root"], "events", tmp_path / "new")


def test_nothing_that_can_be_an_input(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write(tmp_path / f"{name}.root", {"event": np.arange(9), "x": np.zeros(9)})
    with pytest.raises(NtuplemlError, match="no branch can be an input"):
        write_first_configs([tmp_path / "a.root"], "events", tmp_path / "new")
