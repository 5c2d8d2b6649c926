"""Events that other trainings saw are not tested, and their number is told."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest
import yaml

import ntupleml
from ntupleml.config import TestingConfig, TrainingConfig, load_config
from ntupleml.datasets.loading import ClassTree, FoldFile
from ntupleml.datasets.trained_keys import keys_file
from ntupleml.errors import NtuplemlError
from ntupleml.ntuples import new_tree_file
from ntupleml.testing.comparison import compare_methods

if TYPE_CHECKING:
    from conftest import Analysis

CLASSES = ["signal", "background_1", "background_2"]


def exclude(analysis: Analysis, *counts: int) -> None:
    """Let the testing config leave out the events of which a training saw such a number of counts."""
    path, seen = analysis.folder / "seen.root", np.array(counts, "i8")
    with new_tree_file(path) as file:
        file.tree("EB", {"counts": "i8"}).extend({"counts": seen})
    keys = keys_file([ClassTree(FoldFile(str(path), 0, None), "EB", 0, 0, len(seen), len(seen), "", 0)], ["counts"])
    (analysis.folder / "fold0_keras_keys.h5").write_bytes(keys.content)
    record = {"held_out_fold": 1, "keys": keys.record("fold0_keras_keys.h5").model_dump()}
    (analysis.folder / "fold0_l1_training.json").write_text(json.dumps(record))
    analysis.testing["exclude_trained_by"] = str(analysis.folder / "fold0_l1_training.json")
    analysis.write_configs()


@pytest.mark.parametrize("max_events", [2_000_000, 300])
def test_tested_are_the_others(analysis: Analysis, max_events: int, caplog: pytest.LogCaptureFixture) -> None:
    """Of a sample too, whose share counts all events."""
    exclude(analysis, 1, 3)
    analysis.testing["max_events"] = max_events
    analysis.write_configs()
    caplog.set_level("INFO", "ntupleml")
    tested = ntupleml.test(analysis.folder / "training.yaml", analysis.folder / "testing.yaml").events
    expected = {name: [np.isin(events[name]["counts"], [1, 3]) for events in analysis.events] for name in CLASSES}
    share = dict.fromkeys(CLASSES, 1.0) | tested.sampled
    for index, name in enumerate(CLASSES):
        excluded, left = sum(int(one.sum()) for one in expected[name]), sum(int((~one).sum()) for one in expected[name])
        if share[name] == 1:
            assert (tested.excluded[name], np.count_nonzero(tested.truth == index)) == (excluded, left)
            assert f"exclude_trained_by: {excluded} of {excluded + left} events of {name} are left out" in caplog.text
            of_class = tested.truth == index
            sums = [
                events[name]["weights"][~one].sum() for events, one in zip(analysis.events, expected[name], strict=True)
            ]
            assert tested.weights[of_class].sum() == pytest.approx(sum(sums))
        else:  # binomial, and five standard deviations
            for found, number in ((tested.excluded[name], excluded), (np.count_nonzero(tested.truth == index), left)):
                assert abs(found - share[name] * number) < 5 * np.sqrt(number * share[name])


def test_the_numbers_of_a_comparison(analysis: Analysis) -> None:
    exclude(analysis, 2)
    training = load_config(analysis.folder / "training.yaml", TrainingConfig)
    testing = load_config(analysis.folder / "testing.yaml", TestingConfig)
    paths = compare_methods(training, testing, "0", training_path="training.yaml", testing_path="testing.yaml")
    numbers = yaml.safe_load(next(path for path in paths if path.suffix == ".yaml").read_text())
    held_out = analysis.events[1]
    assert numbers["excluded"] == {name: int((held_out[name]["counts"] == 2).sum()) for name in CLASSES}


def test_a_class_without_other_events_is_refused(analysis: Analysis) -> None:
    exclude(analysis, *range(5))
    message = r"exclude_trained_by: those trainings saw all 400 events of signal; test on other events, or leave it out"
    with pytest.raises(NtuplemlError, match=message):
        _ = ntupleml.test(analysis.folder / "training.yaml", analysis.folder / "testing.yaml").events
