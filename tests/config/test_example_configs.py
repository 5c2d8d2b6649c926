"""The configs of the example analyses: valid, and in agreement with one another and with the data."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import uproot
import yaml

from ntupleml.config import ApplicationConfig, DatasetConfig, ModelConfig, TestingConfig, TrainingConfig, load_config
from ntupleml.datasets.example import write_example_dataset
from ntupleml.models import network_of

if TYPE_CHECKING:
    from pathlib import Path

ANALYSES = ["toy", "multiclass", "higgs", "htautau", "tth", "anomaly", "etmiss"]


def test_each_analysis_has_four_configs(project: Path) -> None:
    found = sorted(
        str(path.relative_to(project / "configs"))
        for path in (project / "configs").glob("*/*.yaml")
        if path.stem != "networks"
    )
    stages = ("application", "dataset", "testing", "training")
    assert [path for path in found if path.split("/")[0] in ANALYSES] == sorted(
        f"{analysis}/{stage}.yaml" for analysis in ANALYSES for stage in stages
    )


@pytest.mark.parametrize("analysis", ["calratio", "tth"])
def test_networks_that_are_compared_take_the_inputs(project: Path, analysis: str) -> None:
    groups = load_config(project / "configs" / analysis / "training.yaml", TrainingConfig).groups
    networks = yaml.safe_load((project / "configs" / analysis / "networks.yaml").read_text())
    for block in networks.values():
        if "trees" not in block:
            network = network_of(ModelConfig.model_validate(block), groups=groups)
            assert set(network.encoders) <= set(groups)


@pytest.mark.parametrize("analysis", ANALYSES)
def test_the_configs_of_an_analysis_agree(project: Path, analysis: str) -> None:
    folder = project / "configs" / analysis
    dataset = load_config(folder / "dataset.yaml", DatasetConfig)
    training = load_config(folder / "training.yaml", TrainingConfig)
    testing = load_config(folder / "testing.yaml", TestingConfig)
    application = load_config(folder / "application.yaml", ApplicationConfig)
    made = [f"{dataset.output_path}/fold{fold}_{dataset.output_filename}" for fold in range(dataset.num_folds)]
    assert training.datasets == made
    assert training.output_path == dataset.output_path
    tested = testing.classes or training.classes
    assert set(training.classes) <= set(tested) == {dataset.class_of(process) for process in dataset.processes}
    assert training.event_weights in (None, dataset.training_weight_branch)
    assert (testing.weight_branch or training.event_weights) == dataset.training_weight_branch
    assert set(testing.plot.class_labels) <= set(tested)
    # Everything is written below one folder, which git ignores.
    assert dataset.base_path.split("/")[0] == "example"
    assert training.output_path.split("/")[0] == "example"
    assert (application.output_directory or "").startswith(training.output_path)


SCHEMAS = {
    "dataset": DatasetConfig,
    "training": TrainingConfig,
    "testing": TestingConfig,
    "application": ApplicationConfig,
}


@pytest.mark.parametrize("part", ["l1", "hdf5"])
def test_parts_of_the_trigger_have_configs_of_their_own(project: Path, part: str) -> None:
    loaded = {
        path.stem: load_config(path, SCHEMAS[path.stem]) for path in (project / "configs/anomaly" / part).glob("*.yaml")
    }
    dataset, training = loaded["dataset"], loaded["training"]
    made = [f"{dataset.output_path}/fold{fold}_{dataset.output_filename}" for fold in range(dataset.num_folds)]
    assert training.datasets == made
    assert loaded["application"].output_directory.startswith(training.output_path)


def test_schemes_of_the_trigger_differ_in_the_events_alone(project: Path) -> None:
    folder = project / "configs/anomaly"
    usual = load_config(folder / "training.yaml", TrainingConfig)
    schemes = {path.stem: load_config(path, TrainingConfig) for path in (folder / "schemes").glob("*.yaml")}
    assert set(schemes) == {"topo2A_train", "L1noalg_HLTall", "B_C_loose"}
    for name, scheme in schemes.items():
        assert scheme.selections
        assert scheme.output_path == f"{usual.output_path}/{name}"
        changed = {"selections": usual.selections, "output_path": usual.output_path}
        assert scheme.model_copy(update=changed) == usual


@pytest.mark.parametrize(("analysis", "file"), [("multiclass", "tmva_multiclass_example"), ("higgs", "Higgs_data")])
def test_roots_example_files_have_what_the_configs_name(
    project: Path, root_data: Path, analysis: str, file: str
) -> None:
    dataset = load_config(project / "configs" / analysis / "dataset.yaml", DatasetConfig)
    training = load_config(project / "configs" / analysis / "training.yaml", TrainingConfig)
    for name, process in dataset.processes.items():
        assert process.files == [f"{file}.root"]
        with uproot.open(root_data / f"{file}.root") as opened:
            branches = set(opened[dataset.tree_of(name)].keys())
        assert set(training.variables) <= branches
        assert branches - set(training.variables) <= {"Type"}  # the class itself


def test_the_toys_class_weights_balance_its_classes(project: Path, tmp_path: Path) -> None:
    training = load_config(project / "configs" / "toy" / "training.yaml", TrainingConfig)
    weights = training.class_weights_of(None)
    write_example_dataset(tmp_path, num_events=1000)
    totals = []
    for name in training.classes:
        with uproot.open(tmp_path / f"example_{name}.root") as file:
            tree = file["ntuple"]
            assert set(training.variables) <= set(tree.keys())
            totals.append(weights[name] * tree["weights"].array(library="np").astype("f8").sum())
    assert totals == pytest.approx([0.6] * 3)


def test_the_tau_pair_classes_weigh_the_same(project: Path) -> None:
    """Sums of lumi_weight·gen_weight of the 12,279 events, taken from the files."""
    sums = {"ggh": 17221.27, "qqh": 1776.032, "ztt": 1.867010e6, "tt": 4.720167e6, "w": 18.11047e6}
    training = load_config(project / "configs" / "htautau" / "training.yaml", TrainingConfig)
    weights = training.class_weights_of(None)
    totals = {name: weights[name] * sums[name] for name in sums}
    assert totals == pytest.approx(dict.fromkeys(sums, 12279 / 5), rel=0.001)
