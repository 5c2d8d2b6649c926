"""A study on disk: Optuna's SQLite file, on which several processes work, and who of them is still alive."""

from __future__ import annotations

import fcntl
import shutil
import traceback
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from ntupleml.errors import NtuplemlError, one_line

if TYPE_CHECKING:
    from collections.abc import Iterator
    from io import TextIOWrapper
    from pathlib import Path

#: Of the one study of a file.
_NAME = "ntupleml"
#: Attributes of studies and trials.
IDENTITY, KILLED, REASON, FOLDS, ATTEMPT = "identity", "killed", "reason", "folds", "attempt"
#: How long to wait for another process that writes, in seconds.
PATIENCE = 60.0
#: How often settings are tried whose process was killed: memory may be too small for them.
_MOST_ATTEMPTS = 3


def storage_path(folder: Path) -> Path:
    """The SQLite file of the study in a folder."""
    return folder / "study.sqlite"


def open_study(folder: Path, **parts: Any) -> Any:
    """The study of a folder; `parts` are its sampler and pruner."""
    import optuna

    try:
        return optuna.load_study(study_name=_NAME, storage=_storage(folder), **parts)
    except (KeyError, RuntimeError) as error:  # of another program, or of another version of Optuna
        raise NtuplemlError(
            f"{storage_path(folder)}: holds no study that can be read ({one_line(error)}); search anew with --overwrite"
        ) from error


def create_study(folder: Path, *, maximise: bool, identity: dict[str, Any]) -> None:
    """Make a study without trials."""
    import optuna

    direction = "maximize" if maximise else "minimize"
    study = optuna.create_study(study_name=_NAME, storage=_storage(folder), direction=direction)
    study.set_user_attr(IDENTITY, identity)


def _storage(folder: Path) -> Any:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    url = f"sqlite:///{storage_path(folder)}"
    return optuna.storages.RDBStorage(url, engine_kwargs={"connect_args": {"timeout": PATIENCE}})


@contextmanager
def storage_errors(folder: Path) -> Iterator[None]:
    """Say in one line what is wrong with the storage."""
    import optuna
    import sqlalchemy

    try:
        yield
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        if not _is_of_storage(error):
            raise
        reason = one_line(error, 100)
        raise NtuplemlError(
            f"{storage_path(folder)}: damaged: {reason}; put it aside, or search anew with --overwrite"
        ) from error
    except (optuna.exceptions.StorageInternalError, sqlalchemy.exc.SQLAlchemyError) as error:
        cause = error.__cause__ if isinstance(error, optuna.exceptions.StorageInternalError) else error
        reason = one_line(getattr(cause, "orig", None) or cause or error)
        what = (
            f"another process holds it for more than {PATIENCE:g} s; see who does, and give --continue"
            if "locked" in reason
            else "not a study, or damaged; put it aside, or search anew with --overwrite"
        )
        raise NtuplemlError(f"{storage_path(folder)}: {reason}: {what}") from error


def _is_of_storage(error: Exception) -> bool:
    """Whether Optuna raised it while it read what the file holds, JSON among it."""
    modules = [str(frame.f_globals.get("__name__")) for frame, _ in traceback.walk_tb(error.__traceback__)]
    return any(name.startswith("optuna.storages") for name in modules)


@contextmanager
def one_at_a_time(folder: Path) -> Iterator[None]:
    """Keep other processes from beginning a trial."""
    with (folder / ".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def trial_folder(folder: Path, number: int) -> Path:
    """Where a trial works, and says that it is alive."""
    return folder / f".trial{number}"


def claim(folder: Path, number: int) -> TextIOWrapper:
    """Say that this process works on a trial, until the file is closed or the process ends."""
    place = trial_folder(folder, number)
    place.mkdir(exist_ok=True)
    file = (place / "lock").open("w")
    fcntl.flock(file, fcntl.LOCK_EX)
    return file


def retry_killed(study: Any, folder: Path) -> None:
    """Mark trials whose process has ended without a result, and let their settings be tried once more."""
    from optuna.trial import TrialState

    def running() -> list[Any]:
        return list(study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)))

    left = {trial.number for trial in running() if not _is_alive(trial_folder(folder, trial.number))}
    # A process tells its result before it lets go: what it had let go of has one by now, unless it was killed.
    for trial in running() if left else []:
        if trial.number not in left:
            continue
        place = trial_folder(folder, trial.number)
        attempt = trial.user_attrs.get(ATTEMPT, 1)
        again = attempt < _MOST_ATTEMPTS
        study.set_user_attr(KILLED, killed(study) | {str(trial.number): again})
        study.tell(trial.number, state=TrialState.FAIL)
        if again:
            study.enqueue_trial(trial.params, user_attrs={ATTEMPT: attempt + 1})
        shutil.rmtree(place, ignore_errors=True)


def at_work(folder: Path) -> bool:
    """Whether a process works on a trial of the study."""
    return any(_is_alive(place) for place in folder.glob(".trial*"))


def _is_alive(place: Path) -> bool:
    with suppress(FileNotFoundError), (place / "lock").open("r+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def killed(study: Any) -> dict[str, bool]:
    """Numbers of the trials whose process was killed, and whether their settings are tried once more."""
    found: dict[str, bool] = study.user_attrs.get(KILLED, {})
    return found


def num_tried(study: Any) -> int:
    """Number of trials that count: killed ones that are tried again do not, nor those that wait."""
    from optuna.trial import TrialState

    again = killed(study)
    return sum(
        trial.state != TrialState.WAITING and not again.get(str(trial.number), False)
        for trial in study.get_trials(deepcopy=False)
    )
