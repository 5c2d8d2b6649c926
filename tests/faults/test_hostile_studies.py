"""Studies of a search whose SQLite file holds something else."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

import pytest

from ntupleml.errors import NtuplemlError
from ntupleml.tuning.storage import create_study, open_study, storage_errors

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("change", ["distribution_json = '{'", "distribution_json = 'null'"])
def test_damaged_trials_are_one_line(change: str, tmp_path: Path) -> None:
    pytest.importorskip("optuna")
    create_study(tmp_path, maximise=True, identity={})
    study = open_study(tmp_path)
    trial = study.ask()
    study.tell(trial, trial.suggest_float("rate", 0.1, 1.0))
    with sqlite3.connect(tmp_path / "study.sqlite") as file:
        file.execute(f"UPDATE trial_params SET {change}")
    file.close()
    message = r"study\.sqlite: .*put it aside, or search"
    with pytest.raises(NtuplemlError, match=message) as error, storage_errors(tmp_path):
        open_study(tmp_path).get_trials(deepcopy=False)
    assert "\n" not in str(error.value)


def test_other_mistakes_are_not_blamed_on_the_file(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="of a training"), storage_errors(tmp_path):
        raise ValueError("of a training")
