"""One file in place of four: a block for each stage, and what a training config takes from the dataset config."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ntupleml.errors import NtuplemlError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ntupleml.config.dataset import DatasetConfig


#: Blocks of a file that stands for all stages, and what stands in them.
BLOCKS = {
    "dataset": "What stands in a dataset config.",
    "training": "What stands in a training config; its `dataset` is the block above.",
    "testing": "What stands in a testing config.",
    "application": "What stands in an application config.",
}
#: Class of recorded data, on which nothing is trained unasked.
DATA = "data"
#: Blocks that may be left out, for their defaults.
_WITH_DEFAULTS = ("testing", "application")


def has_blocks(content: Any) -> bool:
    """Whether the content of a file is blocks of stages, not one config."""
    if not isinstance(content, Mapping):
        return False
    return bool(content.keys() & {"training", "testing", "application"}) or (
        list(content) == ["dataset"] and isinstance(content["dataset"], Mapping)
    )


def block_of(content: Mapping[Any, Any], stage: str, where: str) -> dict[Any, Any]:
    """Block of a stage.

    Raises
    ------
    NtuplemlError
        For blocks of other names, what is no block, and a block that is needed but not there.
    """
    for name, block in content.items():
        if name not in BLOCKS:
            raise NtuplemlError(f"{where}: unknown key '{name}'{did_you_mean(str(name), BLOCKS)}")
        if not isinstance(block, Mapping | None):
            raise NtuplemlError(f"{where}: {name}: found {block!r}, but a block of keys is needed")
    if stage not in content and stage not in _WITH_DEFAULTS:
        raise NtuplemlError(f"{where}: no block '{stage}'; there are: {', '.join(map(str, content))}")
    return dict(content.get(stage) or {})


def followed(content: Mapping[str, Any], dataset: DatasetConfig) -> dict[str, Any]:
    """Keys of a training config, completed by what follows from the config of its dataset.

    Raises
    ------
    ValueError
        Where both contradict each other.
    """
    made = {key: value for key, value in content.items() if key != "dataset"}
    classes = list(dict.fromkeys(map(dataset.class_of, dataset.processes)))
    if not made.get("conditions") and not any(str(key).startswith("datasets") for key in made):
        made["datasets"] = dataset.fold_files
    made.setdefault("classes", [name for name in classes if name != DATA])
    made.setdefault("event_weights", dataset.training_weight_branch)
    if dataset.variables is not None and "variables" not in made and made.get("inputs") is None:
        made["variables"] = dataset.variables
    _define(made, dataset)
    _check_classes(made["classes"], classes, dataset.where)
    if isinstance(made.get("datasets"), list) and len(made["datasets"]) != dataset.num_folds:
        raise ValueError(
            f"datasets: {len(made['datasets'])} fold files, but {dataset.where} makes {dataset.num_folds}; leave "
            "datasets out to take them"
        )
    return made


def _define(made: dict[str, Any], dataset: DatasetConfig) -> None:
    """Add the names of the dataset before those of the training."""
    own = made.get("define") or {}
    known = {name: one.model_dump(exclude_unset=True) for name, one in dataset.define.items()}
    for name in known.keys() & (own.keys() if isinstance(own, dict) else set()):
        if own[name] not in (known[name], known[name]["formula"]):
            raise ValueError(f"define.{name}: {dataset.where} defines '{name}', too; choose another name")
    if known and isinstance(own, dict):
        made["define"] = {**known, **own, **known}


def _check_classes(given: Any, classes: Sequence[str], where: str) -> None:
    for index, name in enumerate(given if isinstance(given, list) else []):
        if name not in classes:
            raise ValueError(f"classes[{index}]: {where} makes no class '{name}'{did_you_mean(str(name), classes)}")
