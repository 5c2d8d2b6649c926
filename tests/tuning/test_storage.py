"""Trials whose process was killed are told from those that end while somebody looks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from optuna.trial import TrialState

from ntupleml.tuning import storage

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_a_trial_that_ends_while_it_is_looked_at_was_not_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage.create_study(tmp_path, maximise=True, identity={})
    study = storage.open_study(tmp_path)
    ended, killed = study.ask(), study.ask()

    def is_alive(place: Path) -> bool:
        if place == storage.trial_folder(tmp_path, ended.number) and not study.get_trials()[0].state.is_finished():
            study.tell(ended, 0.5)  # another process is done at this moment
        return False

    monkeypatch.setattr(storage, "_is_alive", is_alive)
    storage.retry_killed(study, tmp_path)
    assert [trial.state for trial in study.get_trials()][:2] == [TrialState.COMPLETE, TrialState.FAIL]
    assert storage.killed(study) == {str(killed.number): True}
