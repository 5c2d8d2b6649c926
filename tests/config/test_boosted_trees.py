"""The block `boosted_trees` of the training config."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ntupleml.config import TrainingConfig, load_config
from ntupleml.errors import NtuplemlError

if TYPE_CHECKING:
    from pathlib import Path

TRAINING = """
datasets: [fold0.root, fold1.root]
output_path: .
classes: [signal, background]
variables: [x, y]
boosted_trees:
"""


def load(folder: Path, block: str) -> TrainingConfig:
    path = folder / "training.yaml"
    path.write_text(TRAINING + block)
    return load_config(path, TrainingConfig)


def test_defaults_and_values(tmp_path: Path) -> None:
    options = "{max_depth: 3, eta: 1e-2, grow_policy: lossguide, max_leaf_nodes: null}"
    plain, full = load(
        tmp_path,
        "  - name: a\n  - {name: b, type: hist_gradient_boosting, rounds: 7, early_stopping: 2, "
        f"negative_weights: PairNegWeightsGlobal, options: {options}}}\n",
    ).boosted_trees
    assert (plain.type, plain.rounds, plain.early_stopping, plain.options) == ("xgboost", 500, None, {})
    assert plain.negative_weights == "Pray"
    assert full.options == {"max_depth": 3, "eta": 0.01, "grow_policy": "lossguide", "max_leaf_nodes": None}
    assert isinstance(full.options["max_depth"], int)


@pytest.mark.parametrize(
    ("block", "message"),
    [
        ("  - {name: a, round: 3}\n", "boosted_trees[0]: unknown key 'round'; nearest: 'rounds'"),
        ("  - {type: xgboost}\n", "boosted_trees[0]: key 'name' is missing"),
        ("  - {name: a, rounds: 0}\n", "boosted_trees[0].rounds: found 0, but greater than or equal to 1 is needed"),
        ("  - {name: a, early_stopping: 0}\n", "boosted_trees[0].early_stopping: found 0"),
        (
            "  - {name: a, type: catboost}\n",
            "boosted_trees[0].type: found 'catboost', but 'xgboost', 'hist_gradient_boosting' or",
        ),
        ("  - {name: a/b}\n", "boosted_trees[0].name: 'a/b' cannot be part of a file's name"),
        ("  - {name: a}\n  - {name: a}\n", "boosted_trees: 'a' is the name of another method already"),
        ("  - {name: BDT}\n", "tmva.methods: 'BDT' is the name of another method already"),
    ],
)
def test_mistakes(tmp_path: Path, block: str, message: str) -> None:
    with pytest.raises(NtuplemlError) as caught:
        load(tmp_path, block)
    assert message in str(caught.value)
