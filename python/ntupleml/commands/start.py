"""Verbs that do not belong to a stage: the toy from beginning to end, first configs, what is installed."""

from __future__ import annotations

import importlib.util
import logging
import shlex
import subprocess
import sys
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from ntupleml.atomic import replace_file
from ntupleml.command_line import SOME_FAILED, show
from ntupleml.commands.command import Command, add_overwrite
from ntupleml.errors import NtuplemlError

if TYPE_CHECKING:
    import argparse

log = logging.getLogger("ntupleml.start")

_CONFIGS = ("dataset", "training", "testing", "application")
_FOLDER = "example"


def _example_arguments(parser: argparse.ArgumentParser) -> None:
    add_overwrite(parser, "the files of an earlier run")


def _example(arguments: argparse.Namespace) -> int:
    """Write configs and ntuples of the toy into the current folder, and run the four stages on them."""
    from ntupleml.config.schemas import editor_line

    configs = [Path(f"{name}.yaml") for name in _CONFIGS]
    taken = [str(path) for path in (*configs, Path(_FOLDER)) if path.exists()]
    if taken and not arguments.overwrite:
        raise NtuplemlError(f"{taken[0]}: exists already; run this in an empty folder, or give --overwrite")
    method, commands = _example_commands()
    for path in configs:
        text = editor_line(path.stem) + (files("ntupleml") / "toy" / path.name).read_text(encoding="utf-8")
        if path.stem == "application":
            text += f"method: {method}\n"
        with replace_file(path, overwrite=arguments.overwrite) as temporary:
            temporary.write_text(text, encoding="utf-8")
    for command in commands:
        log.info("\n$ ntupleml %s", shlex.join(command))
        given = ["--overwrite"] if command[0] != "inspect" and arguments.overwrite else []
        done = subprocess.run([sys.executable, "-m", "ntupleml", *command, *given], check=False)
        if done.returncode:
            return done.returncode
    log.info(
        "\nreport: %s\nscores: the friends below %s\nnow change the configs, or name files of your own in dataset.yaml",
        Path(_FOLDER, "foldall_report.html").resolve(),
        Path(_FOLDER, "friends").resolve(),
    )
    return 0


def _example_commands() -> tuple[str, list[list[str]]]:
    """Method, and what a user types: a network where TensorFlow is there, else trees of scikit-learn."""
    method, train, apply = "keras", ["train-keras", "training.yaml", "all"], ["apply-keras-friend"]
    if importlib.util.find_spec("tensorflow") is None:
        method = "histogram"
        train, apply = ["train-bdt", "training.yaml", "all", "--method", method], ["apply-bdt", "--friend"]
    configs = ["dataset.yaml", "training.yaml", "application.yaml"]
    return method, [
        ["write-example", _FOLDER],
        ["inspect", f"{_FOLDER}/example_signal.root"],
        ["dataset", "dataset.yaml"],
        train,
        ["report", "training.yaml", "testing.yaml"],
        [*apply, *configs, f"{_FOLDER}/example_data.root", "ntuple"],
    ]


def _init_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "files",
        nargs="+",
        type=Path,
        metavar="FILE",
        help="one ROOT file per process; a single one stands for all files of its folder that have the tree",
    )
    parser.add_argument("tree", metavar="TREE", help="tree in them, with its folders, e.g. mt_nominal/ntuple")
    parser.add_argument(
        "--output-directory", type=Path, default=Path(), metavar="DIR", help="folder of the configs (default: this one)"
    )
    parser.add_argument(
        "--one-file",
        action="store_true",
        help="write analysis.yaml, with a block for each stage, in place of four files",
    )
    add_overwrite(parser, "configs that exist")


def _init(arguments: argparse.Namespace) -> int:
    """Write the configs, and say what to do with them."""
    from ntupleml.first_configs.writing import write_first_configs

    paths = write_first_configs(
        arguments.files,
        arguments.tree,
        arguments.output_directory,
        one_file=arguments.one_file,
        overwrite=arguments.overwrite,
    )
    dataset, training, testing, application = map(str, paths * 4 if arguments.one_file else paths)
    of_testing, of_application = [training, testing], [dataset, training, application]
    commands = [
        ["dataset", dataset],
        ["train-bdt", training, "all", "--method", "histogram"],
        ["report", *dict.fromkeys(of_testing)],
        ["apply-bdt", "--friend", *dict.fromkeys(of_application), str(arguments.files[0]), arguments.tree],
    ]
    log.info("look at %s, then:", ", ".join(map(str, paths)))
    for command in commands:
        log.info("  ntupleml %s", shlex.join(command))
    return 0


def _doctor_arguments(_parser: argparse.ArgumentParser) -> None:
    pass


def _doctor(_arguments: argparse.Namespace) -> int:
    """Show what is there; a problem is an exit status of 1."""
    from ntupleml.doctor import diagnose

    diagnosis = diagnose()
    show(diagnosis)
    return 0 if diagnosis.is_usable else SOME_FAILED


COMMANDS = {
    "example": Command(
        "Run the toy from beginning to end in the current folder: ntuples, fold files, training, report, scores.",
        _example,
        _example_arguments,
    ),
    "init": Command(
        "Look at ntuples and write commented configs for them: processes, event numbers, weights, variables.",
        _init,
        _init_arguments,
    ),
    "doctor": Command(
        "Show what is installed, what is missing for what, and the machine, as text for a bug report.",
        _doctor,
        _doctor_arguments,
    ),
}
