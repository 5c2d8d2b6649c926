"""Whether a training is done already, and of which config and fold files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ntupleml.artifacts import KERAS, read_record
from ntupleml.errors import NtuplemlError
from ntupleml.training.checkpoint import require_same
from ntupleml.training.record_parts import NOT_OF_THE_MODEL

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ntupleml.artifacts import Method, TrainingRecord
    from ntupleml.datasets.loading import ClassTree
    from ntupleml.training.jobs import Job


def finished_record(job: Job) -> TrainingRecord | None:
    """Record of a job's model, which is written last; None where it is not there.

    Parameters
    ----------
    job : Job
        As `ntupleml.training.driver.checked` gives it.

    Raises
    ------
    NtuplemlError
        For a model that is there but of another config.
    """
    path = job.files.record
    if not path.exists():
        return None
    record = read_record(path)
    wanted, found = (
        _of_method(content, job.method)
        for content in (job.config.model_dump(mode="json", by_alias=True), record.config)
    )
    _leave_balanced_out(wanted, found)
    for content, holder in ((wanted, job.options), (found, record)):
        content |= {"--balance-batches": holder.balance_batches, "--randomization": holder.randomization}
    require_same(f"{path}: is of another config", found, wanted, "output_path and plot may change", "train anew")
    return record


def require_same_files(job: Job, record: TrainingRecord, trees: Sequence[ClassTree]) -> None:
    """Refuse a model of fold files that were made anew since.

    Raises
    ------
    NtuplemlError
    """
    now = list(dict.fromkeys(tree.uuid for tree in trees))
    if [dataset.uuid for dataset in record.datasets] != now:
        raise NtuplemlError(
            f"{job.files.record}: is of other fold files than those in datasets now; train anew with --overwrite"
        )


def _of_method(content: dict[str, Any], method: Method) -> dict[str, Any]:
    """What a model of a method depends on, of a config's keys."""
    other = {"output_path", "plot", "processes", "boosted_trees", "scikit_learn", "tmva", *NOT_OF_THE_MODEL}
    kept = {key: value for key, value in content.items() if key not in other}
    if method == KERAS:
        return kept
    kept.pop("model")
    return kept | {f"{method.kind}.{one['name']}": one for one in content[method.kind] if one["name"] == method.name}


def _leave_balanced_out(wanted: dict[str, Any], found: dict[str, Any]) -> None:
    """Records have numbers where a config says that class weights are to come from the events."""
    pairs = [(wanted, found)]
    pairs += [(block, found["conditions"].get(name, {})) for name, block in wanted.get("conditions", {}).items()]
    for asked, made in pairs:
        weights = asked.get("class_weights")
        if isinstance(weights, str) or any(isinstance(one, str) for one in (weights or {}).values()):
            asked.pop("class_weights")
            made.pop("class_weights", None)
