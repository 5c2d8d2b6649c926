"""A plan from networks in lwtnn's JSON formats: their inputs are branches, their labels the classes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from ntupleml.application.exported_files import require_safe
from ntupleml.application.onnx_plan import Configs, finished_plan, load_configs, plan_of_graphs
from ntupleml.artifacts.origins import find_files, find_origin, require_number_of_files
from ntupleml.config import OnnxConfig
from ntupleml.errors import NtuplemlError
from ntupleml.events.groups import InputGroup, Objects
from ntupleml.folds import scoring_model
from ntupleml.lwtnn import read_network
from ntupleml.scoring import Scorer
from ntupleml.scoring.lwtnn_library import library_evaluator
from ntupleml.scoring.model_files import (
    OpenFile,
    description_of_lwtnn,
    open_lwtnn,
    output_of_lwtnn,
    variables_with_default,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from ntupleml.application.plan import Plan
    from ntupleml.artifacts.origins import Origin
    from ntupleml.lwtnn.network import Network, Output
    from ntupleml.onnx_models.lwtnn import Replaced

#: ``onnx``: ONNX Runtime, in batches. ``liblwtnn``: the library itself, through ROOT.
LwtnnEngine = Literal["onnx", "liblwtnn"]


def make_lwtnn_plan(
    dataset_path: str | Path | None,
    training_path: str | Path | None,
    application_path: str | Path,
    *,
    engine: LwtnnEngine = "onnx",
    output: str | None = None,
    replaced: Replaced | None = None,
) -> Plan:
    """Read configs and networks, check them against each other, and say which branches they make.

    The names of a network's inputs are branches (or formulas of branches); the variables of a sequence are vectors.

    Parameters
    ----------
    dataset_path, training_path, application_path : path
        The configs. The `classifiers` of the last one are JSON files: element j scores the events of fold j, or a
        single one all events; left out: `fold{f}_lwtnn.json` of the training. Without a training config (None) the
        classes are the labels of the networks.
    engine : {"onnx", "liblwtnn"}, default: "onnx"
        What computes the scores.
    output : str, optional
        Which output scores, of networks with several.
    replaced : {"nan", "nan_and_infinities", "nothing"}, optional
        Raw values that the defaults of the variables stand for. By default NaN, and infinities as well for networks
        of a training that did so.

    Raises
    ------
    NtuplemlError
        For anything wrong in a config or a network, and for files that would score events that they were trained on.
    """
    configs = load_configs(dataset_path, training_path, application_path)
    if configs.application.onnx != OnnxConfig():
        raise NtuplemlError(f"{configs.where}: onnx: this block is for ONNX files; a lwtnn file says all that itself")
    paths = _paths(configs)
    origins = [_origin(path, fold, len(paths), configs) for fold, path in enumerate(paths)]
    networks = [read_network(path) for path in paths]
    outputs = [output_of_lwtnn(network, output, "--output") for network in networks]
    _require_alike(networks, outputs)
    _require_classes(configs, networks[0], outputs[0])
    as_trained: Replaced = "nan_and_infinities" if origins[0] is not None and origins[0].missing else "nan"
    chosen = as_trained if replaced is None else replaced
    with_default = variables_with_default(networks[0]) if chosen != "nothing" else set()
    if engine == "onnx":
        files = [
            OpenFile(open_lwtnn(path, output, chosen), origin) for path, origin in zip(paths, origins, strict=True)
        ]
        return plan_of_graphs(configs, files, with_default)
    classes = list(outputs[0].labels) if configs.training is None else list(configs.training.classes)
    groups = _groups(networks, origins[0], configs)
    scorer = Scorer(
        {
            fold: library_evaluator(network, one, chosen)
            for fold, (network, one) in enumerate(zip(networks, outputs, strict=True))
        },
        groups,
        num_folds=len(paths),
        outputs=classes,
        event_branch=configs.event_branch,
        non_finite="replaced" if with_default else "refused",
        finite={name for group in groups for name in group.needed} - with_default,
    )
    return finished_plan(configs, scorer, classes, paths)


def _paths(configs: Configs) -> list[Path]:
    """The listed files, or those of the training by the folds that they score."""
    if configs.application.classifiers is not None:
        key = f"{configs.where}: classifiers"
        paths = find_files(configs.application.classifiers, configs.output_path, key)
        require_number_of_files(paths, configs.num_folds, key)
        return paths
    if configs.training is None:
        raise NtuplemlError(f"{configs.where}: key 'classifiers' is missing; list the files, or give CONFIG_TRAINING")
    from ntupleml.artifacts.files import lwtnn_path

    num_folds = configs.training.num_folds
    paths = [lwtnn_path(configs.training.output_path, scoring_model(fold, num_folds)) for fold in range(num_folds)]
    missing = [path for path in paths if not path.is_file()]
    if missing:
        raise NtuplemlError(
            f"{configs.where}: no file '{missing[0]}'; 'python application/export_keras_to_lwtnn.py "
            f"{configs.training_path} all' makes it, or list other files in the key classifiers"
        )
    return paths


def _origin(path: Path, fold: int, num_files: int, configs: Configs) -> Origin | None:
    """Training of a network that ntupleml exported, by the hash of its record; None for others."""
    origin = find_origin(path, description_of_lwtnn(path), configs.output_path)
    require_safe(path, origin, fold, num_files, configs.event_branch, f"{configs.where}: classifiers")
    return origin


def _require_alike(networks: Sequence[Network], outputs: Sequence[Output]) -> None:
    for network, output in zip(networks, outputs, strict=True):
        if output.per_step != outputs[0].per_step:
            raise NtuplemlError(
                f"{network.path}: gives scores per event where {networks[0].path} gives them per step, or the other "
                "way round; list files of one training"
            )


def _require_classes(configs: Configs, network: Network, output: Output) -> None:
    """With a training config the labels of the network are its classes, in its order."""
    if configs.training is not None and list(output.labels) != list(configs.training.classes):
        raise NtuplemlError(
            f"{network.path}: its labels are {', '.join(output.labels)}, but {configs.training_path} has the classes "
            f"{', '.join(configs.training.classes)}; give a training config like that, or none at all"
        )


def _groups(networks: Sequence[Network], origin: Origin | None, configs: Configs) -> list[InputGroup]:
    """Inputs for the library, in double precision."""
    names = [[(group.name, [one.name for one in group.variables]) for group in one.groups] for one in networks]
    for network, other in zip(networks, names, strict=True):
        if other != names[0]:
            raise NtuplemlError(f"{network.path}: has other inputs than {networks[0].path}; list files of one training")
    conditions = [] if origin is None else list(origin.conditions)
    groups = []
    for group in networks[0].groups:
        variables = [one.name for one in group.variables]
        number = len(variables) - len(conditions)
        groups.append(
            InputGroup(
                group.name,
                tuple(variables[:number]),
                np.dtype(np.float64),
                Objects() if group.sequence else None,
                tuple(float(name == configs.application.condition) for name in variables[number:]),
            )
        )
    return groups
