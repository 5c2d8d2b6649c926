"""What a search has found, as a file: trials with their settings, the best of them, the importance of each setting."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pydantic

from ntupleml.atomic import replace_file
from ntupleml.errors import NtuplemlError, one_line
from ntupleml.tuning.storage import FOLDS, REASON, killed

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ntupleml.tuning.trials import Search

#: Name of the file of results beside the study.
_FILE = "study.json"
_FOLDER = "tuning_"
_WORDS: dict[str, Literal["complete", "pruned", "failed", "running", "waiting"]] = {
    "COMPLETE": "complete",
    "PRUNED": "pruned",
    "FAIL": "failed",
    "RUNNING": "running",
    "WAITING": "waiting",
}
#: Completed trials that an importance needs.
_FEWEST_TRIALS = 3


class TrialResult(pydantic.BaseModel):
    """A trial."""

    model_config = pydantic.ConfigDict(extra="forbid", ser_json_inf_nan="strings")

    number: int
    state: Literal["complete", "pruned", "failed", "running", "waiting"]
    #: By the key of the training config; choices as texts.
    settings: dict[str, bool | int | float | str]
    #: Mean over the folds, of complete trials.
    value: float | None = None
    #: By fold.
    of_folds: dict[int, float] = {}
    seconds: float | None = None
    #: Why it failed.
    reason: str = ""


class StudyResult(pydantic.BaseModel):
    """A study."""

    model_config = pydantic.ConfigDict(extra="forbid", ser_json_inf_nan="strings")

    method: str
    objective: str
    maximise: bool
    folds: list[int]
    trials: list[TrialResult]
    #: Number of the best trial.
    best: int | None
    #: Share of each key in the variance of the objective (fANOVA); nothing where it cannot be computed.
    importance: dict[str, float]
    #: Keys whose logarithm was drawn.
    logarithmic: list[str]

    @property
    def complete(self) -> list[TrialResult]:
        """Trials that have a value."""
        return [trial for trial in self.trials if trial.value is not None]


def study_folder(output_path: str, method: str) -> Path:
    """Where the search of a method's settings is kept.

    Examples
    --------
    >>> study_folder("example", "keras").as_posix()
    'example/tuning_keras'
    """
    return Path(output_path) / f"{_FOLDER}{method}"


def study_results(output_path: str) -> list[Path]:
    """Files of results of all searches in an output folder."""
    return sorted(Path(output_path).glob(f"{_FOLDER}*/{_FILE}"))


def result_of(study: Any, search: Search) -> StudyResult:
    """The results of a study.

    Raises
    ------
    NtuplemlError
        If no trial was completed, with the reason of the first failure.
    """
    tune = search.searched.tune
    trials = [_result(trial, killed(study)) for trial in study.get_trials(deepcopy=False)]
    complete = [trial for trial in trials if trial.value is not None]
    if not complete:
        reasons = [trial.reason for trial in trials if trial.reason]
        running = sum(trial.state == "running" for trial in trials)
        raise NtuplemlError(
            f"{search.searched.where}: tune: none of {len(trials)} trials was completed"
            + (f"; the first failed: {reasons[0]}" if reasons else "")
            + (f"; other processes are at work on {running}" if running else "")
        )
    return StudyResult(
        method=search.searched.method.name,
        objective=search.objective.name,
        maximise=search.objective.maximise,
        folds=list(search.folds),
        trials=trials,
        best=study.best_trial.number,
        importance=_importance(study, complete, search.searched.config.seed),
        logarithmic=[key for key, one in tune.space.items() if one.log],
    )


def _result(trial: Any, ended: dict[str, bool]) -> TrialResult:
    state = _WORDS[trial.state.name]
    reason = trial.user_attrs.get(REASON, "")
    if str(trial.number) in ended:
        reason = "its process was killed" + ("; tried again" if ended[str(trial.number)] else "")
    return TrialResult(
        number=trial.number,
        state=state,
        settings=dict(trial.params),
        value=trial.value if state == "complete" else None,
        of_folds={int(fold): value for fold, value in trial.user_attrs.get(FOLDS, {}).items()},
        seconds=None if trial.duration is None else trial.duration.total_seconds(),
        reason=reason,
    )


def _importance(study: Any, complete: list[TrialResult], seed: int) -> dict[str, float]:
    from optuna.importance import FanovaImportanceEvaluator, get_param_importances

    if len(complete) < _FEWEST_TRIALS or len({trial.value for trial in complete}) == 1:
        return {}
    return {
        name: float(share)
        for name, share in get_param_importances(study, evaluator=FanovaImportanceEvaluator(seed=seed)).items()
    }


def write_result(result: StudyResult, folder: Path) -> list[Path]:
    """Write ``study.json`` and the table ``trials.csv``, in place of those of an earlier run."""
    paths = [folder / _FILE, folder / "trials.csv"]
    for path, text in zip(paths, (result.model_dump_json(indent=2) + "\n", _table(result)), strict=True):
        with replace_file(path, overwrite=True) as temporary:
            temporary.write_text(text, encoding="utf-8")
    return paths


def _table(result: StudyResult) -> str:
    keys = list(dict.fromkeys(key for trial in result.trials for key in trial.settings))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["trial", "state", result.objective, *(f"model {fold}" for fold in result.folds), "seconds", *keys])
    for trial in result.trials:
        settings: Iterable[Any] = (trial.settings.get(key, "") for key in keys)
        folds = (trial.of_folds.get(fold, "") for fold in result.folds)
        writer.writerow(
            [trial.number, trial.state, "" if trial.value is None else trial.value, *folds, trial.seconds, *settings]
        )
    return text.getvalue()


def read_result(path: Path) -> StudyResult:
    """Read ``study.json``.

    Raises
    ------
    NtuplemlError
        If it is damaged.
    """
    try:
        return StudyResult.model_validate_json(path.read_bytes())
    except pydantic.ValidationError as error:
        raise NtuplemlError(
            f"{path}: not the results of a search: {one_line(error)}; write them anew with tune --continue"
        ) from error
