"""The members of an ensemble: trained models with records of their own, in a folder for each seed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ntupleml.artifacts.files import TrainedModel, model_files
from ntupleml.artifacts.model_checks import check_checksums
from ntupleml.artifacts.record import read_record, record_hash
from ntupleml.errors import NtuplemlError

if TYPE_CHECKING:
    from collections.abc import Iterable


def members_path(output_path: str | Path, seed: int) -> Path:
    """Where the files of a member are, as of a training of its own.

    Parameters
    ----------
    output_path : path
        Of the ensemble.

    Examples
    --------
    >>> members_path("example", 1234).as_posix()
    'example/members/seed1234'
    """
    return Path(output_path) / "members" / f"seed{seed}"


def require_single(models: Iterable[TrainedModel], what: str) -> None:
    """Refuse ensembles where one training is needed.

    Parameters
    ----------
    what : str
        What an ensemble has not, e.g. "no lwtnn form".

    Raises
    ------
    NtuplemlError
        Saying how one of the members is named.
    """
    for model in models:
        if model.record.ensemble is not None:
            folder = members_path(model.files.record.parent, model.record.seed)
            raise NtuplemlError(
                f"{model.files.record}: an ensemble of {model.record.num_members} trainings, which has {what}; take "
                f"one of them: a training config with output_path: {folder}"
            )


def member_models(model: TrainedModel) -> list[TrainedModel]:
    """Trained models that an ensemble is the mean of, in order.

    Raises
    ------
    NtuplemlError
        If one is not there any more, or is another one than the ensemble was made of.
    """
    record, found = model.record, []
    assert record.ensemble is not None
    for member in record.ensemble.members:
        files = model_files(members_path(model.files.record.parent, member.seed), record.fold, model.method)
        if not files.record.exists():
            raise NtuplemlError(f"{files.record}: no such file, nor the member of '{model.files.record}' beside it")
        member_record = read_record(files.record)
        own = TrainedModel(files.of_record(member_record), member_record, model.method)
        if record_hash(own.record) != member.record_hash:
            raise NtuplemlError(
                f"{files.record}: is not of the training that '{model.files.record}' is made of; train the ensemble "
                "again"
            )
        check_checksums(own)
        found.append(own)
    return found
