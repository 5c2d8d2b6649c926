"""Networks for two eras at once, the era shown to the network as one-hot inputs, with the new keys and htt-ml's."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

pytestmark = pytest.mark.slow

CLASSES = ["ggh", "qqh", "ztt"]
VARIABLES = ["pt_1", "m_vis", "njets"]
TREE = "mt_nominal/ntuple"
ERAS = ["2017", "2018"]
CLASS_WEIGHTS = {"2017": {"ggh": 1.0, "qqh": 2.0, "ztt": 3.0}, "2018": {"ggh": 4.0, "qqh": 5.0, "ztt": 6.0}}


def matrix_of(columns: dict[str, Any]) -> NDArray[Any]:
    return np.stack([columns[name].astype("f8") for name in VARIABLES], axis=1)


def training_config(**keys: Any) -> dict[str, Any]:
    model = {"hidden": [10], "learning_rate": 0.02, "epochs": 4, "eventsPerClassAndBatch": 10, "steps_per_epoch": 15}
    return {
        "classes": CLASSES,
        "event_weights": "training_weight",
        "variables": VARIABLES,
        "preprocessing": "min_max_scaler",
        "model": model,
        **keys,
    }


@pytest.fixture(scope="module")
def analysis(new_analysis: Callable[..., Any], made_up_ntuples: Path) -> Any:
    analysis = new_analysis("conditions", "out")
    shutil.copytree(made_up_ntuples, analysis.folder, dirs_exist_ok=True)
    for era in ERAS:
        content = {
            "base_path": "ntuples",
            "tree_path": TREE,
            "event_branch": "event",
            "output_path": "out",
            "output_filename": f"{era}.root",
            "branches": "needed",
            "variables": VARIABLES,
            "processes": {
                name: {
                    "files": [f"{name}_{era}/{name}_{era}.root"],
                    "weight_string": "gen_weight*lumi_weight",
                    "class": name[:3],
                }
                for name in ("ggh", "qqh", "ztt_a", "ztt_b")
            },
        }
        analysis.write_config(f"dataset_{era}.yaml", content)
        analysis.run("dataset/create_training_dataset.py", f"dataset_{era}.yaml")
    files = {era: [f"out/fold{fold}_{era}.root" for fold in (0, 1)] for era in ERAS}
    conditions = {era: {"datasets": files[era], "class_weights": CLASS_WEIGHTS[era]} for era in ERAS}
    analysis.write_config("training.yaml", training_config(output_path="out", conditions=conditions))
    old_keys = {f"datasets_{era}": files[era] for era in ERAS}
    old_keys |= {f"class_weights_{era}": CLASS_WEIGHTS[era] for era in ERAS}
    analysis.write_config("training_old.yaml", training_config(output_path="old", **old_keys))
    analysis.write_config("testing.yaml", {})
    options = ["--conditional", "--randomization"]
    analysis.run("training/keras_training.py", "training.yaml", "all", *options)
    analysis.run("training/keras_training.py", "training_old.yaml", "1", *options)
    return analysis


def test_old_keys_give_the_same_network(analysis: Any) -> None:
    import keras

    new, old = (
        keras.saving.load_model(analysis.folder / folder / "fold1_keras_model.keras") for folder in ("out", "old")
    )
    assert new.input_shape == (None, len(VARIABLES) + len(ERAS))
    for left, right in zip(new.get_weights(), old.get_weights(), strict=True):
        np.testing.assert_array_equal(left, right)


def test_the_record_knows_eras_and_files(analysis: Any) -> None:
    record = analysis.record("out/fold0_keras_training.json")
    assert record["conditions"] == ERAS
    assert [(dataset["condition"], dataset["path"]) for dataset in record["datasets"]] == [
        (era, f"out/fold0_{era}.root") for era in ERAS
    ]


@pytest.mark.parametrize("era", ERAS)
def test_confusion_matrix_of_an_era(analysis: Any, era: str) -> None:
    """One-hot inputs stand behind the scaled variables; class weights are those of the era."""
    analysis.run("testing/keras_confusion_matrix.py", "training.yaml", "testing.yaml", "0", "--era", era, warns=True)
    one_hot = [int(era == name) for name in ERAS]
    expected = np.zeros((3, 3))
    for i, name in enumerate(CLASSES):
        columns = analysis.columns(f"out/fold1_{era}.root", name)
        predicted = analysis.scores(0, matrix_of(columns), one_hot).argmax(axis=1)
        for j in range(3):
            expected[i, j] = columns["training_weight"][predicted == j].astype("f8").sum()
    found = analysis.yaml_matrix(f"fold0_keras_confusion_standard_{era}", CLASSES)
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9)
    found = analysis.yaml_matrix(f"fold0_keras_confusion_standard_cw_{era}", CLASSES)
    weights = np.array(list(CLASS_WEIGHTS[era].values()))
    np.testing.assert_allclose(found, expected * weights[:, None], rtol=1e-9, atol=1e-9)


def test_scores_of_an_era(analysis: Any, require_scores: Any) -> None:
    path = "ntuples/qqh_2018/qqh_2018.root"
    scores = {}
    for era in ERAS:
        config = {"condition": era, "output_directory": f"friends_{era}"}
        analysis.write_config(f"application_{era}.yaml", config)
        configs = ["dataset_2018.yaml", "training.yaml", f"application_{era}.yaml"]
        analysis.run("application/keras_application_friend.py", *configs, path, TREE)
        columns = analysis.columns(path, TREE)
        friend = analysis.columns(f"friends_{era}/qqh_2018/qqh_2018.root", TREE)
        one_hot = [int(era == name) for name in ERAS]
        require_scores(friend, CLASSES, analysis.held_out_scores(matrix_of(columns), columns["event"], 2, one_hot))
        scores[era] = friend["ml_score_ggh"]
    assert np.abs(scores["2017"] - scores["2018"]).max() > 1e-3
