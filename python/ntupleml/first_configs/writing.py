"""The four configs of a new analysis as commented YAML."""

from __future__ import annotations

import logging
import math
import re
import textwrap
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import numpy as np
import yaml

from ntupleml.atomic import all_or_none, replace_file
from ntupleml.config import ApplicationConfig, DatasetConfig, TestingConfig, TrainingConfig, load_config
from ntupleml.config.loading import parse_yaml
from ntupleml.config.schemas import editor_line
from ntupleml.errors import NtuplemlError
from ntupleml.first_configs.roles import roles_of_branches
from ntupleml.ntuples import open_ntuple
from ntupleml.ntuples.inspection import list_trees

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ntupleml.config.schema import Schema
    from ntupleml.first_configs.roles import Roles

log = logging.getLogger(__name__)

_Place = TypeVar("_Place", Path, str)

#: Files of a folder that are taken for processes, at most.
_MOST_PROCESSES = 20
#: Recorded data, and fold files of ours, are no processes to train on.
_NO_PROCESS = re.compile(r"(?i)(^|[_\W])data([_\W]|\d|$)|^fold\d+_")
_SCHEMAS: dict[str, type[Schema]] = {
    "dataset": DatasetConfig,
    "training": TrainingConfig,
    "testing": TestingConfig,
    "application": ApplicationConfig,
}


class Process(NamedTuple):
    """What becomes a class: its name, file and tree, number of events, sum of weights, whether some are negative."""

    name: str
    file: Path
    tree: str
    events: int
    sum_of_weights: float
    has_negative: bool = False


def write_first_configs(
    files: Sequence[str | Path],
    tree: str,
    output_directory: str | Path,
    *,
    one_file: bool = False,
    overwrite: bool = False,
) -> list[Path]:
    """Look at ntuples and write configs that run as they are.

    Parameters
    ----------
    files : sequence of path
        One file per process. A single file stands for all files of its folder that have the tree, but for those
        called data; where it is alone, each of its trees with the same branches is a process.
    tree : str
        Tree in the files, with its folders.
    output_directory : path
        Folder of the configs; what they make goes to `output` in it.
    one_file : bool, default: False
        Write one file with a block for each stage.

    Returns
    -------
    list of Path
        `dataset.yaml`, `training.yaml`, `testing.yaml`, `application.yaml`; or `analysis.yaml`.

    Raises
    ------
    NtuplemlError
        If a file or a tree cannot be read, there is only one process, nothing can be an input, or a config exists.
    """
    folder = Path(output_directory)
    trees = _trees_of_processes([Path(file) for file in files], tree)
    roles = roles_of_branches([(str(path), one) for path, one in trees.values()])
    if not roles.variables:
        raise NtuplemlError(f"{files[0]}: tree '{tree}': no branch can be an input; see ntupleml inspect {files[0]}")
    processes = [_process(name, path, one, roles.weight) for name, (path, one) in trees.items()]
    bodies = {
        "dataset": _dataset(processes, roles, folder),
        "training": _training(processes, folder, None if one_file else folder / "dataset.yaml"),
        "testing": _testing(roles),
        "application": _application(folder),
    }
    for stage, body in bodies.items():
        content = parse_yaml(body.encode(), stage)
        if stage == "training":  # the file of the dataset config is not there yet
            content["dataset"] = parse_yaml(bodies["dataset"].encode(), "dataset")
        load_config(content, _SCHEMAS[stage], f"{stage} config of {folder}")
    if one_file:
        blocks = [f"{stage}:\n{textwrap.indent(body, '  ')}" for stage, body in bodies.items()]
        bodies = {"analysis": "\n".join(blocks)}
    paths = []
    with all_or_none():
        for stage, body in bodies.items():
            path = folder / f"{stage}.yaml"
            path.parent.mkdir(parents=True, exist_ok=True)
            with replace_file(path, overwrite=overwrite) as temporary:
                temporary.write_text(editor_line(stage) + body, encoding="utf-8")
            paths.append(path)
    return paths


def _trees_of_processes(files: Sequence[Path], tree: str) -> dict[str, tuple[Path, str]]:
    """File and tree of each process by its name."""
    if len(files) > 1:
        return {name: (file, tree) for name, file in _names_of_files(files).items()}
    (file,) = files
    siblings = [one for one in sorted(file.parent.glob("*.root")) if one == file or _is_process(one, tree)]
    if len(siblings) > _MOST_PROCESSES:
        raise NtuplemlError(
            f"{file.parent}: {len(siblings)} files have the tree '{tree}', and at most {_MOST_PROCESSES} are taken for "
            "processes; name a file for each process"
        )
    if len(siblings) > 1:
        return {name: (one, tree) for name, one in _names_of_files(siblings).items()}
    with open_ntuple(file, tree) as ntuple:
        branches = set(ntuple.branches)
    same = []
    for other in list_trees(file):
        if other.num_entries:  # none in a tree that cannot be read, too
            with open_ntuple(file, other.tree_path) as ntuple:
                if set(ntuple.branches) == branches:
                    same.append(other.tree_path)
    if len(same) < 2:
        raise NtuplemlError(
            f"{file}: is the only process; name a file for each process, e.g. signal and background, or put their "
            "files into one folder"
        )
    return {name: (file, one) for name, one in _distinct([_class_name(one) for one in same], same).items()}


def _names_of_files(files: Sequence[Path]) -> dict[str, Path]:
    """Files by the names of their processes: with that of the folder where files are called alike."""
    stems = [_class_name(file.stem) for file in files]
    times = Counter(stems)
    names = [
        stem if times[stem] == 1 else _class_name(f"{file.absolute().parent.name}_{file.stem}")
        for stem, file in zip(stems, files, strict=True)
    ]
    return _distinct(names, files)


def _distinct(names: Sequence[str], places: Sequence[_Place]) -> dict[str, _Place]:
    """Files or trees by the names of their processes; refused where two have the same."""
    named: dict[str, _Place] = {}
    for name, place in zip(names, places, strict=True):
        if name in named:
            raise NtuplemlError(
                f"{place}: process '{name}' is {named[name]} already; name each file once, and rename what differs in "
                "signs only"
            )
        named[name] = place
    return named


def _is_process(path: Path, tree: str) -> bool:
    """Whether a file beside the one that was named is another process; what looks like one and is none is logged."""
    if _NO_PROCESS.search(path.stem):
        return False
    try:
        entries = [one.num_entries for one in list_trees(path) if one.tree_path == tree]
    except NtuplemlError as error:
        log.warning("left out: %s", error)
        return False
    if entries and not any(entries):
        log.warning("left out: %s: tree '%s' has no entries", path, tree)
    return any(entries)


def _class_name(text: str) -> str:
    name = re.sub(r"\W+", "_", text).strip("_")
    return name if name and not name[0].isdigit() else f"p_{name}"


def _process(name: str, path: Path, tree: str, weight: str | None) -> Process:
    with open_ntuple(path, tree) as ntuple:
        if weight is None:
            return Process(name, path, tree, ntuple.num_entries, float(ntuple.num_entries))
        with np.errstate(invalid="ignore"):  # ∞ − ∞
            parts = [
                (float(np.sum(chunk.columns[weight], dtype=float)), bool((chunk.columns[weight] < 0).any()))
                for chunk in ntuple.chunks([weight])
            ]
            total = float(np.sum([part for part, _ in parts]))
    return Process(name, path, tree, ntuple.num_entries, total, any(negative for _, negative in parts))


def _text(value: object) -> str:
    """A value in YAML, in quotation marks where it needs them."""
    return yaml.safe_dump(value, default_flow_style=True, allow_unicode=True, width=10_000).split("\n...")[0].strip()


def _comment(names: Sequence[str], most: int = 12) -> str:
    return ", ".join(names[:most]) + (f", and {len(names) - most} more" if len(names) > most else "")


def _dataset(processes: Sequence[Process], roles: Roles, folder: Path) -> str:
    same_tree = {process.tree for process in processes}
    lines = [
        "# Which events become training data: cuts and weights are formulas as in ROOT's TTree::Draw.",
        "",
        f"output_path: {_text(str(folder / 'output'))}",
        "output_filename: dataset.root  # the fold files are fold0_dataset.root and fold1_dataset.root",
    ]
    if len(same_tree) == 1:
        lines.append(f"tree_path: {_text(processes[0].tree)}")
    if roles.event is not None:
        lines.append(f"event_branch: {_text(roles.event)}  # even numbers are fold 0, odd ones fold 1")
    else:
        lines.append("# event_branch: event  # no branch of event numbers was found, so the entry number decides")
    lines += ["branches: needed  # those of the variables below; `all` copies every branch"]
    lines.append("variables:  # what the models take")
    lines += [f"  - {_text(name)}" for name in roles.variables]
    if roles.more:
        lines.append(f"# could be variables, too: {_comment(roles.more)}")
    lines += [f"# left out, {reason}: {_comment(names)}" for reason, names in roles.left_out.items()]
    if roles.weights and roles.weight is None:
        lines.append(f"# weight_string: which of these is the weight? {_comment(roles.weights)}")
    lines += ["", "processes:"]
    for process in processes:
        lines += [f"  {process.name}:  # {process.events:,} events", f"    files: [{_text(str(process.file))}]"]
        if len(same_tree) > 1:
            lines.append(f"    tree_path: {_text(process.tree)}")
        lines.append('    cut_string: "1"  # all events')
        lines.append(f"    weight_string: {_text(roles.weight or '1')}")
    return "\n".join(lines) + "\n"


def _training(processes: Sequence[Process], folder: Path, dataset: Path | None) -> str:
    events = sum(process.events for process in processes)
    lines = [
        "# What is trained: one model per fold. Fold files, classes, weights and variables are those of the dataset.",
        "",
        *([] if dataset is None else [f"dataset: {_text(str(dataset))}"]),
        f"output_path: {_text(str(folder / 'output'))}",
        f"classes: [{', '.join(process.name for process in processes)}]  # the order of the scores",
        *_class_weights(processes),
        "",
        "preprocessing: standard_scaler",
        "train_test_split: 0.75  # the rest of the training events tells when to stop",
        "seed: 1234",
        "",
        "model:  # for keras_training.py (ntupleml train-keras)",
        "  hidden: [64, 64]",
        "  activation: relu",
        "  epochs: 50",
        f"  batch_size: {min(max(events // 200, 50), 1000)}",
        "  early_stopping: 5",
        "  save_best_only: true",
        "",
        "boosted_trees:  # for bdt_training.py (ntupleml train-bdt)",
        "  - name: histogram",
        "    type: hist_gradient_boosting  # or xgboost",
        "    rounds: 300",
        "    early_stopping: 20",
        "    options: {max_leaf_nodes: 8}",
    ]
    if any(process.has_negative for process in processes):
        lines.append("    negative_weights: PairNegWeightsGlobal  # this library takes none")
    return "\n".join(lines) + "\n"


def _class_weights(processes: Sequence[Process]) -> list[str]:
    """Weights by which all classes weigh the same, and by which a mean event weighs 1."""
    sums = {process.name: process.sum_of_weights for process in processes}
    if not all(0 < value < math.inf for value in sums.values()):
        shown = ", ".join(f"{name} {value:.4g}" for name, value in sums.items())
        return [f"# class_weights: the sums of weights are {shown}"]
    largest = max(sums.values())
    factors = {name: float(f"{largest / value:.4g}") for name, value in sums.items()}
    scale = sum(process.events for process in processes) / sum(factors[name] * sums[name] for name in sums)
    return [
        "class_weights:  # each class gets the same total weight",
        *(f"  {name}: {factor}" for name, factor in factors.items()),
        f"global_weight_scale: {float(f'{scale:.4g}')}  # a mean event weighs 1, which suits the optimiser",
    ]


def _testing(roles: Roles) -> str:
    masses = [
        name for name in (*roles.variables, *roles.more) if re.search(r"(?i)(^|_)m(ass|vis|tot|ll|jj|bb)?(_|$)", name)
    ]
    lines = [
        "# How the models are tested.",
        "",
        "weight_branch: training_weight",
        f"spectators: [{_text(masses[0])}]" if masses else "# spectators: [mass]",
        "# variables whose shape the score should not change in the background",
        "plot:",
        "  style: plain  # or CMS, ATLAS, LHCb, ALICE, DUNE",
    ]
    return "\n".join(lines) + "\n"


def _application(folder: Path) -> str:
    lines = [
        "# What the scores are called: ml_score_{class}, ml_score_max_score and ml_score_max_index.",
        "",
        "branch_prefix: ml_score_",
        f"output_directory: {_text(str(folder / 'output' / 'friends'))}  # of friend trees",
    ]
    return "\n".join(lines) + "\n"
