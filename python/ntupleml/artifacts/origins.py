"""Model files listed in a config: the training each one comes from, and whether its position in the list is right."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from ntupleml.artifacts.listed_files import find_by_record_hash
from ntupleml.errors import NtuplemlError, did_you_mean
from ntupleml.folds import FoldFileRecord, FoldRule, FoldTable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ntupleml.artifacts.record import TrainingRecord

log = logging.getLogger(__name__)

#: What speaks against a file in its place, see `doubt_about`.
Doubt = Literal["unknown", "one for all", "all folds among others", "other number of folds", "wrong order"]


class Origin(NamedTuple):
    """The training that a file comes from."""

    #: Fold that its model never saw; None for a file with the models of all folds.
    held_out_fold: int | None
    num_folds: int
    trained_on: list[int]
    #: What decided the folds.
    fold_rule: FoldRule
    #: Whether that is known for sure.
    folds_recorded: bool
    #: What says so, for messages.
    where: str
    #: Inputs that stand for conditions (eras), after the variables.
    conditions: tuple[str, ...] = ()
    #: Whether the training replaced NaN and infinite inputs.
    missing: bool = False
    #: The record itself, where that says all this.
    record: TrainingRecord | None = None


def origin_of_record(record: TrainingRecord, where: object) -> Origin:
    """What a record says."""
    return Origin(
        record.held_out_fold,
        record.num_folds,
        list(record.trained_on),
        record.fold_rule,
        record.folds_recorded,
        str(where),
        tuple(record.conditions),
        record.missing is not None,
        record,
    )


def find_origin(path: Path, description: dict[str, Any], output_path: str | None) -> Origin | None:
    """Training that a file comes from: by its own description, or by a record that has the hash in it.

    Parameters
    ----------
    description : dict
        What ntupleml wrote into the file; `training` and `record_hash` are looked at.
    output_path : str or None
        Folder of the training, where its records are, besides that of the file.

    Raises
    ------
    NtuplemlError
        If a record is damaged.
    """
    training = description.get("training")
    if isinstance(training, dict):
        try:
            return Origin(
                training["held_out_fold"],
                int(training["num_folds"]),
                list(training["trained_on"]),
                _rule(training),
                bool(training["folds_recorded"]),
                f"the metadata of {path}",
            )
        except (KeyError, TypeError, ValueError):
            raise NtuplemlError(f"{path}: its description of the training is damaged; export it again") from None
    hash_of_record = description.get("record_hash")
    if not isinstance(hash_of_record, str) or not hash_of_record:
        return None
    folders = [path.parent] + ([Path(output_path)] if output_path is not None else [])
    found = find_by_record_hash(hash_of_record, folders)
    if found is None:
        raise NtuplemlError(
            f"{path}: was made from a training whose record is neither beside it nor in the output_path of a training "
            "config, so nobody knows which events it saw; put the file beside the record (fold*_training.json)"
        )
    return origin_of_record(found.record, found.files.record)


def _rule(training: dict[str, Any]) -> FoldRule:
    """What decided the folds, by the metadata of a file."""
    table = training.get("fold_file")
    return FoldRule(
        training["event_branch"],
        tuple(map(str, training.get("fold_by", ()))),
        None if table is None else FoldTable(**FoldFileRecord.model_validate(table).model_dump()),
    )


def find_files(listed: Sequence[str], output_path: str | None, key: str) -> list[Path]:
    """Paths of listed files: relative to the current folder, else to the `output_path` of the training.

    Parameters
    ----------
    key : str
        Config and key that list them, for messages.

    Raises
    ------
    NtuplemlError
        If one is not there.
    """
    paths = []
    for index, text in enumerate(listed):
        places = [Path(text)] + ([Path(output_path) / text] if output_path is not None else [])
        found = [place for place in places if place.is_file()]
        if not found:
            last = places[-1]
            existing = sorted(path.name for path in last.parent.glob(f"*{last.suffix}"))
            raise NtuplemlError(f"{key}[{index}]: no file '{last}'{did_you_mean(last.name, existing)}")
        paths.append(found[0])
    return paths


def require_number_of_files(paths: Sequence[Path], num_folds: int | None, key: str) -> None:
    """One file is for all events, or there is one per fold.

    Raises
    ------
    NtuplemlError
        If there is another number of them.
    """
    if num_folds is not None and len(paths) not in (1, num_folds):
        raise NtuplemlError(
            f"{key}: {len(paths)} files, but there are {num_folds} folds; list one per fold, or one for all events"
        )


def doubt_about(origin: Origin | None, fold: int, num_files: int) -> Doubt | None:
    """What speaks against using a file for the events of a fold, by its place in a list.

    Parameters
    ----------
    origin : Origin or None
        None where nothing is known.
    fold : int
        Fold whose events the file is for.
    num_files : int
        Length of the list; a single file is for the events of all folds.

    Returns
    -------
    str or None
        ``"unknown"`` and ``"one for all"`` (the model of one fold, alone in the list) are worth a warning; the others
        are mistakes.
    """
    if origin is None:
        return "unknown"
    if origin.held_out_fold is None:
        return "all folds among others" if num_files > 1 else None
    if num_files == 1:
        return "one for all"
    if origin.num_folds != num_files:
        return "other number of folds"
    return "wrong order" if origin.held_out_fold != fold else None


def require_safe(path: Path, origin: Origin | None, fold: int, num_files: int, fold_rule: FoldRule, where: str) -> None:
    """Refuse a file that would score events which its model was trained on.

    Parameters
    ----------
    origin : Origin or None
        None where nothing is known, which is worth a warning.
    fold : int
        Fold whose events it is to score: its place in the list.
    num_files : int
        1 where it scores all events.
    fold_rule : FoldRule
        What decides the folds here.
    where : str
        Config and key, or option, that lists the files.

    Raises
    ------
    NtuplemlError
        For files in the wrong order, of other folds, or of folds that were divided otherwise.
    """
    doubt = doubt_about(origin, fold, num_files)
    if origin is None:
        which = "all events" if num_files == 1 else f"the events of fold {fold}, by its place in the list"
        log.warning(
            "%s: no record of a training goes with it, so it cannot be checked which events it was trained on; it "
            "scores %s",
            path,
            which,
        )
        return
    if doubt == "all folds among others":
        raise NtuplemlError(f"{where}: {path} has the models of all folds; list it alone")
    if doubt == "one for all":
        log.warning(
            "%s: was trained on folds %s of %d (%s), and now scores all events; list one file per fold where events of "
            "the training may be among them",
            path,
            ", ".join(map(str, origin.trained_on)),
            origin.num_folds,
            origin.where,
        )
        return
    if doubt == "other number of folds":
        raise NtuplemlError(
            f"{where}: {num_files} files, but {path} is of a training with {origin.num_folds} folds "
            f"({origin.where}); list one file per fold"
        )
    if doubt == "wrong order":
        raise NtuplemlError(
            f"{where}: wrong order: element {fold} scores the events of fold {fold}, which "
            f"{path} was trained on ({origin.where}); it is to score those of fold {origin.held_out_fold}"
        )
    if not origin.folds_recorded:
        log.warning("%s: its training had no record of how events were divided; the dataset config is trusted", path)
    elif not origin.fold_rule.decides_as(fold_rule):
        raise NtuplemlError(
            f"{where}: {fold_rule}, but {path} was trained on folds where "
            f"{origin.fold_rule} ({origin.where}); give the dataset config of that training"
        )
