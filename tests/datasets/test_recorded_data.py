"""Processes that are recorded data: in the fold files and their records, and in no training."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import uproot
from pydantic import ValidationError

from ntupleml.config import TrainingConfig
from ntupleml.datasets import create_training_dataset
from ntupleml.datasets.loading import class_trees, fold_files
from ntupleml.errors import NtuplemlError
from ntupleml.training.record_parts import refuse_recorded_data

if TYPE_CHECKING:
    from conftest import MakeConfig, WriteNtuple


def built(write_ntuple: WriteNtuple, make_config: MakeConfig, **process: Any) -> list[str]:
    for name in ("sig", "bkg", "run_a"):
        write_ntuple(f"{name}.root", event=np.arange(20), x=np.arange(20.0))
    processes: dict[str, Any] = {name: {"files": f"{name}.root"} for name in ("sig", "bkg")}
    processes["run_a"] = {"files": "run_a.root", "data": True, **process}
    return [str(path) for path in create_training_dataset(make_config(processes=processes)).files]


@pytest.mark.parametrize(("process", "name"), [({}, "data"), ({"class": "data_2018"}, "data_2018")])
def test_they_are_written_and_not_trained_on(
    write_ntuple: WriteNtuple, make_config: MakeConfig, process: dict[str, Any], name: str
) -> None:
    files = built(write_ntuple, make_config, **process)
    with uproot.open(files[1]) as file:
        assert file[name]["event"].array(library="np").tolist() == list(range(1, 20, 2))
    training = {"datasets": files, "output_path": "out", "classes": ["sig", "bkg"], "variables": ["x"]}
    config = TrainingConfig.model_validate(training)
    refuse_recorded_data(class_trees(config, fold_files(config, 0, conditional=False)))
    config = TrainingConfig.model_validate(training | {"classes": ["sig", name]})
    with pytest.raises(
        NtuplemlError, match=rf"classes: '{name}' is recorded data \(process 'run_a' of .*never trained"
    ):
        refuse_recorded_data(class_trees(config, fold_files(config, 0, conditional=False)))


@pytest.mark.parametrize(
    ("process", "message"),
    [
        ({"class": "sig"}, "'sig' of the same class 'sig' is not; give it another class"),
        ({"scale": {"luminosity": 1.0, "cross_section": 1.0, "sum_of_weights": 5.0}}, "recorded data have no cross"),
    ],
)
def test_what_contradicts_itself(
    write_ntuple: WriteNtuple, make_config: MakeConfig, process: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValidationError, match=message):
        built(write_ntuple, make_config, **process)
