"""Short names of formulas: what they stand for, and that an ntuple without such branches gives the same inputs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import uproot

from ntupleml import create_datasets
from ntupleml.application.model_inputs import write_model_inputs
from ntupleml.config import ApplicationConfig, DatasetConfig, PlotConfig, TestingConfig, TrainingConfig, load_config
from ntupleml.config.define import OF_APPLICATION, OF_TESTING, completed_by, expanded, formulas_of
from ntupleml.errors import NtuplemlError
from ntupleml.plots.importance import draw_importance
from ntupleml.plots.style import plot_style
from ntupleml.training.record_parts import NOT_OF_THE_MODEL

if TYPE_CHECKING:
    from pathlib import Path

HT = "Sum$(Jet_pt)"
DEFINE: dict[str, Any] = {"ht": {"formula": HT, "label": "$H_T$", "unit": "GeV"}, "share": "met / ht"}


def training(**keys: Any) -> TrainingConfig:
    content = {"datasets": ["a", "b"], "output_path": "o", "classes": ["s", "b"], "define": DEFINE}
    variables = {} if "inputs" in keys else {"variables": ["ht", "x"]}
    return load_config({**content, **variables, **keys}, TrainingConfig)


@pytest.mark.parametrize(
    ("formula", "wanted"),
    [
        ("ht", HT),
        (" ht ", HT),
        ("ht > 200", f"({HT}) > 200"),
        ("sqrt(ht)", f"sqrt({HT})"),
        ("met/ht^2", f"met/({HT})^2"),
        ("htt + my_ht + ht.x + x.ht", "htt + my_ht + ht.x + x.ht"),  # other names
        ("ht (3)", "ht (3)"),  # a function
        ("1e5*e5", "1e5*(q)"),  # the exponent of a number is no name
        ("0xe5 + e5", "0xe5 + (q)"),
    ],
)
def test_names_in_formulas(formula: str, wanted: str) -> None:
    assert expanded(formula, {"ht": HT, "e5": "q"}) == wanted


@pytest.mark.parametrize(
    ("define", "message"),
    [
        ({"ht": "ht * 2"}, r"define\.ht: 'ht \* 2' has the name itself; give it another name"),
        ({"a": "b + 1", "b": "x"}, r"define\.a: 'b' is defined below it; put it above"),
        ({"a": "x", "b": "a[0]"}, r"'a\[0\]': 'a' is a formula, of which no element can be taken"),
        ({"a-b": "x"}, r"define: 'a-b' cannot stand in a formula"),
        ({"a": {"label": "A"}}, r"define\.a: key 'formula' is missing"),
        ({"a": {"formula": "x", "unit": r"$\nix$"}}, r"define\.a\.unit: .* is no formula that matplotlib can draw"),
    ],
)
def test_refused(define: dict[str, Any], message: str) -> None:
    with pytest.raises(NtuplemlError, match=message):
        training(define=define)


def test_in_a_training_config() -> None:
    share = f"met / ({HT})"
    config = training(selections={"s": "ht > 3"}, decorrelation={"of": ["share"]})
    assert config.variables == [HT, "x"]
    assert config.selections == {"s": f"({HT}) > 3"}
    assert config.nuisances == [share]
    assert config.plot.variable_labels == {HT: "$H_T$ [GeV]", share: "share"}
    groups = {
        "event": ["ht", "x"],
        "jets": {"objects": ["Jet_pt / ht", "ht_of_jet"], "selection": "Jet_pt > ht", "sort": "Jet_pt"},
    }
    of_groups = training(inputs=groups).groups
    assert of_groups["event"].formulas == [HT, "x"]
    assert of_groups["jets"].formulas == [f"Jet_pt / ({HT})", "ht_of_jet"]
    jet = {"pt": "ht", "phi": "x", "share": "share"}
    for alternatives in (jet, [jet]):
        made = training(inputs={"all": {"collections": {"jet": alternatives}}}).groups["all"]
        assert set(made.formulas) == {HT, "x", share}
    values = training(target={"values": {"ht": "ht"}}, classes=["s"])
    assert values.target is not None
    assert values.target.values == {"ht": HT}  # the name of the output stays


def test_reading_it_again_changes_nothing_and_models_do_not_depend_on_it() -> None:
    """A dump of the config is what trials are made of; of the record it is left out."""
    config = training(selections={"s": "ht > 3"})
    assert TrainingConfig.model_validate(config.model_dump(exclude_unset=True)) == config
    plain = training(define={}, variables=[HT, "x"], selections={"s": f"({HT}) > 3"})
    without = NOT_OF_THE_MODEL | {"plot"}
    assert config.model_dump(exclude=without) == plain.model_dump(exclude=without)


def test_in_the_other_configs() -> None:
    config = training()
    testing = load_config(
        {"spectators": ["share", "m"], "slices": {"variable": "ht", "edges": [1.0]}, "plot": {"label": "L"}},
        TestingConfig,
    )
    found = completed_by(testing, config, OF_TESTING)
    assert found.spectators == [f"met / ({HT})", "m"]
    assert found.slices is not None
    assert found.slices.variable == HT
    assert (found.plot.label, found.plot.variable_labels[HT]) == ("L", "$H_T$ [GeV]")
    assert found.where == testing.where
    application = load_config({"selection": "ht > 3", "default_score": -1.0}, ApplicationConfig)
    assert completed_by(application, config, OF_APPLICATION).selection == f"({HT}) > 3"
    assert completed_by(application, training(define={}), OF_APPLICATION) is application


def test_labels_are_drawn() -> None:
    plot = PlotConfig(variable_labels={HT: "$H_T$ [GeV]"})
    with plot_style(plot):
        figure = draw_importance({HT: 0.7, "x$": 0.3}, plot)
    assert [text.get_text() for text in figure.axes[0].get_yticklabels()] == ["$H_T$ [GeV]", r"x\$"]


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Any]:
    random = np.random.default_rng(3)
    for name in ("s", "b"):
        columns = {key: random.uniform(1, 10, 60) for key in ("x", "y", "z")}
        with uproot.recreate(tmp_path / f"{name}.root") as file:
            file.mktree("t", columns)
    return {
        "output_path": str(tmp_path),
        "output_filename": "d.root",
        "base_path": str(tmp_path),
        "tree_path": "t",
        "branches": "needed",
        "define": {"r": {"formula": "x*x + y*y", "label": "$r^2$"}, "cut": "r > 60"},
        "variables": ["r"],
        "processes": {
            "s": {"files": "s.root", "cut_string": "cut"},
            "b": {"files": "b.root", "weight_string": "1 / r", "define": {"q": "r + 1"}},
        },
    }


def test_from_the_dataset_to_inputs_of_an_ntuple(tmp_path: Path, files: dict[str, Any]) -> None:
    create_datasets(files)
    names = {"s": {"x", "y", "r", "cut", "training_weight"}, "b": {"x", "y", "r", "cut", "q", "training_weight"}}
    with uproot.open(tmp_path / "fold0_d.root") as file:
        for name, wanted in names.items():
            assert set(file[name].keys()) == wanted
            columns = file[name].arrays(library="np")
            np.testing.assert_allclose(columns["r"], columns["x"] ** 2 + columns["y"] ** 2)
            assert name == "b" or (columns["r"] > 60).all()
            assert name == "s" or np.allclose(columns["training_weight"], 1 / columns["r"])
    config = load_config({"dataset": files, "output_path": str(tmp_path / "o")}, TrainingConfig)
    assert config.variables == ["x*x + y*y"]
    assert config.plot.variable_labels["x*x + y*y"] == "$r^2$"
    write_model_inputs(config, str(tmp_path / "b.root"), "t", tmp_path / "inputs.npz")
    with uproot.open(tmp_path / "b.root") as file:
        columns = file["t"].arrays(library="np")
    found = np.load(tmp_path / "inputs.npz")["variables"]
    np.testing.assert_allclose(found[:, 0], columns["x"] ** 2 + columns["y"] ** 2, rtol=1e-6)


def test_names_of_processes_and_trainings_are_others(files: dict[str, Any]) -> None:
    files["processes"]["s"]["define"] = {"r": "x"}
    with pytest.raises(NtuplemlError, match=r"processes\.s\.define\.r: is defined for all processes"):
        load_config(files, DatasetConfig)
    del files["processes"]["s"]["define"]
    same = {"dataset": files, "output_path": "o", "define": {"r": files["define"]["r"]}}
    assert list(formulas_of(load_config(same, TrainingConfig).define)) == ["r", "cut"]
    other = {"dataset": files, "output_path": "o", "define": {"r": "x"}}
    with pytest.raises(NtuplemlError, match=r"define\.r: dataset dictionary defines 'r', too"):
        load_config(other, TrainingConfig)
