"""The comparison at the end of a training of TMVA's methods, as the user of TMVA's factory knows it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import yaml

from ntupleml.config import TestingConfig, TrainingConfig
from ntupleml.errors import NtuplemlError
from ntupleml.ntuples import new_tree_file
from ntupleml.testing import comparison
from ntupleml.testing.comparison import compare_trained_methods
from ntupleml.training.tmva_training import train_tmva

if TYPE_CHECKING:
    from ntupleml.artifacts import TrainingRecord


@pytest.fixture
def config(tmp_path: Path) -> TrainingConfig:
    """Two folds of a class each below and above zero, and two BDTs."""
    for fold in (0, 1):
        with new_tree_file(tmp_path / f"fold{fold}.root") as file:
            for number, name in enumerate(["low", "high"]):
                values = np.random.default_rng([fold, number]).normal(number, 1, 200)
                file.tree(name, {"x": values.dtype}).extend({"x": values})
    options = "NTrees=5:BoostType=Grad:MaxDepth="
    return TrainingConfig.model_validate(
        {
            "datasets": [str(tmp_path / f"fold{fold}.root") for fold in (0, 1)],
            "output_path": str(tmp_path / "out"),
            "classes": ["low", "high"],
            "class_weights": {"low": 3.0, "high": 1.0},
            "variables": ["x"],
            "plot": {"label": "Toy"},
            "tmva": {"methods": [{"name": f"Depth{n}", "type": "kBDT", "options": f"{options}{n}"} for n in (1, 2)]},
        }
    )


@pytest.fixture
def records(config: TrainingConfig) -> list[TrainingRecord]:
    return train_tmva(config, [0], engine="xgboost", where="t.yaml").records


def test_one_table_per_fold_with_the_look_of_the_config(
    config: TrainingConfig, records: list[TrainingRecord], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[TestingConfig] = []
    original = comparison.compare_methods

    def compare(training: TrainingConfig, testing: TestingConfig, *arguments: Any, **keys: Any) -> list[Path]:
        seen.append(testing)
        return original(training, testing, *arguments, **keys)

    monkeypatch.setattr(comparison, "compare_methods", compare)
    paths = compare_trained_methods(config, records, "t.yaml")
    assert [path.name for path in paths][:2] == ["TMVAMulticlass_comparison.txt", "TMVAMulticlass_comparison.yaml"]
    assert paths[0].parent == Path(config.output_path) / "fold0_training"
    assert [one.plot for one in seen] == [config.plot]
    content = yaml.safe_load(paths[1].read_text())
    assert set(content["methods"]) == {"Depth1", "Depth2"}
    assert content["class_weights"] is False


def test_beside_the_numbers_of_the_factory_class_weights_count_as_there(
    config: TrainingConfig, records: list[TrainingRecord]
) -> None:
    areas = {"low": 0.71, "high": 0.72}
    told = [one.model_copy(update={"network": {**one.network, "roc_integrals": areas}}) for one in records[:1]]
    text, data = compare_trained_methods(config, [*told, *records[1:]], "t.yaml")[:2]
    content = yaml.safe_load(data.read_text())
    assert content["class_weights"] is True
    assert content["tmva_test_part_auc"] == {records[0].method: areas}
    assert "TMVA's own test part" in text.read_text()


def test_a_single_method_is_compared_with_nothing(config: TrainingConfig, records: list[TrainingRecord]) -> None:
    assert compare_trained_methods(config, records[:1], "t.yaml") == []


def test_events_without_an_answer_are_not_tested(config: TrainingConfig, tmp_path: Path) -> None:
    """−999 of a classification for NaN would count as the first class, and stretch each histogram."""
    with new_tree_file(tmp_path / "fold1.root", overwrite=True) as file:
        for number, name in enumerate(["low", "high"]):
            values = np.random.default_rng([1, number]).normal(number, 1, 200)
            values[[7, 9]] = np.nan
            file.tree(name, {"x": values.dtype}).extend({"x": values})
    votes = [
        {"name": name, "type": "kBDT", "options": f"NTrees=5:BoostType={name}"} for name in ("AdaBoost", "Bagging")
    ]
    voting = TrainingConfig.model_validate({**config.model_dump(exclude_unset=True), "tmva": {"methods": votes}})
    records = train_tmva(voting, [0], engine="xgboost", where="t.yaml").records
    with pytest.raises(NtuplemlError) as error:
        compare_trained_methods(voting, records, "t.yaml")
    assert str(error.value) == (
        f"{tmp_path}/fold1.root: tree 'low': the scores of 'AdaBoost' are -999, no answer, in 2 of the entries 0 to "
        "199, the first in entry 7: a variable is NaN; cut these events away, or train with missing: {value: …} in the "
        "training config"
    )
