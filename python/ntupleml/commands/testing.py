"""Verbs of the testing stage."""

from __future__ import annotations

import argparse
import logging
import shlex
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ntupleml.command_line import show
from ntupleml.commands.command import (
    Command,
    add_configs,
    add_reading_options,
    finite_number,
    open_page,
    positive_number,
    testing_of,
)
from ntupleml.errors import NtuplemlError
from ntupleml.testing.registry import STEPS

if TYPE_CHECKING:
    from ntupleml.testing.preparation import Preparation
    from ntupleml.testing.steps import Option, Step

log = logging.getLogger("ntupleml.testing")


def _add_testing(parser: argparse.ArgumentParser) -> None:
    """Add both configs, FOLD, and the options that go with them."""
    add_configs(parser, "training", "testing")
    parser.add_argument("fold", metavar="FOLD", help="index of the model to test, or 'all'")
    add_reading_options(parser)


def _add_sample(parser: argparse.ArgumentParser) -> None:
    """Add the options of a sample of events in memory."""
    parser.add_argument("--class-weights", action="store_true", help="multiply with the training's class weights")
    parser.add_argument(
        "--max-events",
        type=positive_number,
        metavar="N",
        help="events held in memory, of more a random sample is taken (default: the testing config's, 2000000)",
    )


def _add_step(parser: argparse.ArgumentParser, *, step: Step) -> None:
    """Add what all steps have, and the options of this one."""
    _add_testing(parser)
    parser.set_defaults(several_methods=step.several_methods, class_weights=False, max_events=None)
    parser.add_argument(
        "--method",
        type=_method_names if step.several_methods else lambda text: [text],
        dest="methods",
        metavar="A[,B]" if step.several_methods else "NAME",
        help="method of the training config, or external model of the testing config; by default the testing config's "
        "method, or keras" + ("; 'all' takes all that are trained" if step.several_methods else ""),
    )
    if step.sampled:
        _add_sample(parser)
    for option in step.options:
        _add_option(parser, option)


def _method_names(text: str) -> list[str]:
    """Names of methods in an option, with commas between."""
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names:
        raise argparse.ArgumentTypeError("no names; give some, e.g. keras,BDT")
    return names


def _prepared(arguments: argparse.Namespace) -> Preparation:
    """What `prepare` makes of the arguments of a step."""
    from ntupleml.testing.preparation import prepare

    every = arguments.several_methods and arguments.methods == ["all"]
    return prepare(
        arguments.config_training,
        arguments.config_testing,
        arguments.fold,
        methods=None if every else arguments.methods,
        all_methods=every,
        condition=arguments.condition,
        class_weights=arguments.class_weights,
        max_events=arguments.max_events,
        entries_per_chunk=arguments.num_events,
    )


def _at_least_two(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) >= 2):
        raise argparse.ArgumentTypeError(f"'{text}' is not a number of at least 2, which the uncertainty needs")
    return int(text)


#: Arguments of argparse for what an option of a step is.
_KINDS: dict[str, dict[str, Any]] = {
    "text": {},
    "flag": {"action": "store_true"},
    "list": {"action": "append"},
    "number": {"type": finite_number},
    "not negative": {"type": partial(finite_number, at_least=0)},
    "positive": {"type": positive_number},
    "at least 2": {"type": _at_least_two},
    "choice": {"type": int},
}


def _add_option(parser: argparse.ArgumentParser, option: Option) -> None:
    keys: dict[str, Any] = {"help": option.help, **_KINDS[option.kind]}
    if option.choices:
        keys["choices"] = option.choices
    if option.metavar:
        keys["metavar"] = option.metavar
    if not option.name.startswith("-"):
        parser.add_argument(option.keyword, **{**keys, "metavar": option.name})
        return
    default = [] if option.kind == "list" else False if option.kind == "flag" else option.default
    parser.add_argument(option.name, dest=option.keyword, default=default, **keys)


def _run_step(arguments: argparse.Namespace, *, step: Step) -> int:
    """Answer the question of a step, and write its files."""
    from ntupleml.testing.steps import write_step

    options = {option.keyword: getattr(arguments, option.keyword) for option in step.options}
    write_step(step, _prepared(arguments), overwrite=arguments.overwrite, **options)
    return 0


def _methods_arguments(parser: argparse.ArgumentParser) -> None:
    _add_testing(parser)
    parser.add_argument(
        "--methods", type=_method_names, metavar="A,B", help="methods to compare; by default all trained ones"
    )
    _add_sample(parser)


def _compare_methods(arguments: argparse.Namespace) -> int:
    """Write table and picture, and show the table."""
    from ntupleml.config import TestingConfig, TrainingConfig, load_config
    from ntupleml.testing.comparison import compare_methods

    training = load_config(arguments.config_training, TrainingConfig)
    testing = load_config(arguments.config_testing, TestingConfig)
    paths = compare_methods(
        training,
        testing,
        arguments.fold,
        methods=arguments.methods,
        condition=arguments.condition,
        class_weights=arguments.class_weights,
        training_path=training.where,
        testing_path=testing.where,
        entries_per_chunk=arguments.num_events,
        max_events=arguments.max_events,
        overwrite=arguments.overwrite,
    )
    show(paths[0].read_text(encoding="utf-8").rstrip())
    return 0


def _engines_arguments(parser: argparse.ArgumentParser) -> None:
    add_configs(parser, "training")
    parser.add_argument(
        "arguments",
        nargs="+",
        metavar="[CONFIG_TESTING] FOLD",
        help="testing config (YAML), for its method and models; index of the model, or 'all'",
    )
    parser.add_argument("--method", metavar="NAME", help="method of the training config; by default its network")
    parser.add_argument(
        "--events", type=positive_number, default=10_000, metavar="N", help="events per model (default: 10000)"
    )
    parser.add_argument(
        "--tolerance",
        type=partial(finite_number, at_least=0),
        default=1e-5,
        metavar="T",
        help="largest difference of a score (default: 1e-5)",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace existing results")


def _compare_engines(arguments: argparse.Namespace) -> int:
    """Write the table and show it."""
    from ntupleml.testing.engine_comparison import compare_engines

    *testing, fold = arguments.arguments
    if len(testing) > 1:
        raise NtuplemlError(f"'{testing[1]}': CONFIG_TRAINING, CONFIG_TESTING and FOLD are all that is taken")
    comparisons, paths = compare_engines(
        arguments.config_training,
        fold,
        testing_path=testing[0] if testing else testing_of(arguments.config_training),
        method=arguments.method,
        num_events=arguments.events,
        tolerance=arguments.tolerance,
        overwrite=arguments.overwrite,
    )
    show(paths[0].read_text(encoding="utf-8").rstrip())
    return int(any(not one.largest <= arguments.tolerance for one in comparisons))


def _report_arguments(parser: argparse.ArgumentParser) -> None:
    add_configs(parser, "training", "testing")
    parser.add_argument("fold", nargs="?", default="all", metavar="FOLD", help="index of the model, or 'all' (default)")
    parser.add_argument("--output", type=Path, metavar="FILE.html", help="the page (default: in the output_path)")
    parser.add_argument(
        "--compare",
        type=Path,
        action="append",
        default=[],
        metavar="CONFIG_TRAINING",
        help="show another training beside this one; may be repeated",
    )
    parser.add_argument(
        "--compare-testing",
        type=Path,
        action="append",
        default=[],
        metavar="CONFIG_TESTING",
        help="testing config of the others, once for all or once for each (default: the same)",
    )
    parser.add_argument(
        "--methods", type=_method_names, metavar="A,B", help="methods to show; by default all trained ones"
    )
    parser.add_argument("--taylor", action="store_true", help="compute the Taylor ranking of the network")
    parser.add_argument("--permutation", action="store_true", help="compute the permutation importance")
    _add_sample(parser)
    parser.add_argument("--open", action="store_true", help="show the page in a browser")
    parser.add_argument(
        "--page-only", action="store_true", help="write the page and the numbers, without files of the figures"
    )
    add_reading_options(parser)


def _report(arguments: argparse.Namespace) -> int:
    """Write the page and say what it says."""
    from ntupleml.reports.writing import ReportOptions, write_report
    from ntupleml.testing.preparation import prepare

    def prepared(training: Path, testing: Path, methods: list[str] | None) -> Preparation:
        return prepare(
            training,
            testing,
            arguments.fold,
            methods=methods,
            all_methods=True,
            condition=arguments.condition,
            class_weights=arguments.class_weights,
            max_events=arguments.max_events,
            entries_per_chunk=arguments.num_events,
            tolerant=True,
        )

    first = prepared(arguments.config_training, arguments.config_testing, arguments.methods)
    testing = arguments.compare_testing or [arguments.config_testing]
    if len(testing) not in (1, len(arguments.compare)):
        raise NtuplemlError(
            f"--compare-testing: {len(testing)} configs for {len(arguments.compare)} trainings of --compare; give one "
            "for all, or one for each"
        )
    testing = testing * len(arguments.compare) if len(testing) == 1 else testing
    others = [prepared(one, two, None) for one, two in zip(arguments.compare, testing, strict=True)]
    paths, verdicts = write_report(
        first,
        ReportOptions(
            output=arguments.output,
            compare=others,
            taylor=arguments.taylor,
            permutation=arguments.permutation,
            command=shlex.join(sys.argv),
            overwrite=arguments.overwrite,
            page_only=arguments.page_only,
        ),
    )
    for name, verdict in verdicts:
        log.info("%s: %s: %s", verdict.level, name, verdict.text)
    log.info("the page: %s", paths[0])
    if arguments.open:
        open_page(paths[0])
    return 0


def _histograms_arguments(parser: argparse.ArgumentParser) -> None:
    add_configs(parser, "training", "testing")
    parser.add_argument("fold", nargs="?", default="all", metavar="FOLD", help="index of the model, or 'all' (default)")
    parser.add_argument("--method", metavar="NAME", help="method; by default the testing config's, or keras")
    parser.add_argument("--class-weights", action="store_true", help="multiply with the training's class weights")
    parser.add_argument(
        "--output", type=Path, metavar="FILE.root", help="the ROOT file (default: in the training's output_path)"
    )
    add_reading_options(parser)


def _histograms(arguments: argparse.Namespace) -> int:
    from ntupleml.testing.histograms import write_fit_histograms
    from ntupleml.testing.preparation import prepare

    found = prepare(
        arguments.config_training,
        arguments.config_testing,
        arguments.fold,
        methods=None if arguments.method is None else [arguments.method],
        condition=arguments.condition,
        class_weights=arguments.class_weights,
        entries_per_chunk=arguments.num_events,
    )
    write_fit_histograms(found, arguments.output, overwrite=arguments.overwrite)
    return 0


def _reports_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="folder of trainings, also in folders below it")
    parser.add_argument("--output", type=Path, metavar="FILE.html", help="the page (default: FOLDER/index.html)")
    parser.add_argument("--open", action="store_true", help="show the page in a browser")
    parser.add_argument("--overwrite", action="store_true", help="replace an existing page")


def _reports(arguments: argparse.Namespace) -> int:
    """Write the page of all trainings in a folder."""
    from ntupleml.reports.landing import write_landing_page

    page, number = write_landing_page(arguments.folder, arguments.output, overwrite=arguments.overwrite)
    log.info("written: %s, of %d training%s", page, number, "s" * (number != 1))
    if arguments.open:
        open_page(page)
    return 0


def _epochs_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("trainings", nargs="+", metavar="[NAME=]CONFIG_TRAINING", help="training configs (YAML)")
    parser.add_argument("config_testing", type=Path, metavar="CONFIG_TESTING", help="testing config (YAML)")
    parser.add_argument("--fold", default="all", metavar="FOLD", help="index of the model (default: all)")
    parser.add_argument(
        "--epochs", type=positive_number, default=2, metavar="N", help="best epochs by each criterion (default: 2)"
    )
    parser.add_argument("--signal", metavar="CLASS", help="class whose efficiencies are given (default: signal)")
    parser.add_argument(
        "--point",
        action="append",
        default=[],
        dest="points",
        metavar="NAME",
        help="branch or formula, such as a mass, of which the efficiencies are given for each value; may be repeated",
    )
    parser.add_argument(
        "--output", type=Path, metavar="FILE.html", help="the page (default: epochs.html in the first output_path)"
    )
    parser.add_argument("--max-events", type=positive_number, metavar="N", help="events per model, at most")
    add_reading_options(parser)


def _compare_epochs(arguments: argparse.Namespace) -> int:
    """Write the page, and say which epochs are the best."""
    from ntupleml.config import TestingConfig, TrainingConfig, load_config
    from ntupleml.reports.epochs import log_best, write_epochs_page
    from ntupleml.reports.page_files import page_and_folder
    from ntupleml.testing.epochs import compared_epochs, names_of_trainings

    trainings = names_of_trainings(arguments.trainings)
    output_path = load_config(next(iter(trainings.values())), TrainingConfig).output_path
    page, folder = page_and_folder(arguments.output, Path(output_path) / "epochs.html", overwrite=arguments.overwrite)
    compared = compared_epochs(
        trainings,
        arguments.config_testing,
        arguments.fold,
        number=arguments.epochs,
        points=arguments.points,
        signal=arguments.signal,
        condition=arguments.condition,
        max_events=arguments.max_events,
        entries_per_chunk=arguments.num_events,
    )
    log_best(compared)
    testing = load_config(arguments.config_testing, TestingConfig)
    write_epochs_page(compared, testing, page, folder, command=shlex.join(sys.argv), overwrite=arguments.overwrite)
    log.info("the page: %s", page)
    return 0


COMMANDS = {
    **{
        step.verb: Command(step.summary, partial(_run_step, step=step), partial(_add_step, step=step))
        for step in STEPS.values()
        if step.verb
    },
    "compare-engines": Command(
        "Compare every form of a trained model on events that it never saw: its library, ONNX, lwtnn and others.",
        _compare_engines,
        _engines_arguments,
        usage="%(prog)s [options] CONFIG_TRAINING [CONFIG_TESTING] FOLD",
        epilog="Differences are those from the library that the model was made with. The exit status is 1 if any form "
        "differs by more than the tolerance. Forms that are not there are named: make them with export-to-onnx, "
        "export-to-lwtnn and export-to-frugally-deep.",
    ),
    "compare-epochs": Command(
        "Compare the best epochs of several trainings in one page: losses, K-S distances, areas, efficiencies.",
        _compare_epochs,
        _epochs_arguments,
        usage="%(prog)s [options] [NAME=]CONFIG_TRAINING [[NAME=]CONFIG_TRAINING ...] CONFIG_TESTING",
        epilog="The best epochs are those of the smallest validation loss, the largest and the smallest loss of the "
        "adversary and the smallest sum of the K-S distances, as far as the histories have them. Those of which "
        "model: keep_epochs: true kept the weights are tested on the fold that they never saw.",
    ),
    "compare-methods": Command(
        "Compare all trained methods in one table and one picture: on the folds that they never saw.",
        _compare_methods,
        _methods_arguments,
    ),
    "histograms": Command(
        "Write histograms of the scores for a fit: by region and class, each event by the model that never saw it; "
        "beside them a workspace of pyhf and a datacard of Combine.",
        _histograms,
        _histograms_arguments,
        usage="%(prog)s [options] CONFIG_TRAINING CONFIG_TESTING [FOLD]",
    ),
    "report": Command(
        "Write one HTML page of all that the testing stage says: figures, numbers and verdicts of a training.",
        _report,
        _report_arguments,
        usage="%(prog)s [options] CONFIG_TRAINING CONFIG_TESTING [FOLD]",
    ),
    "reports": Command(
        "Write one page of all trainings in a folder: methods, areas under the ROC curve, links to the reports.",
        _reports,
        _reports_arguments,
    ),
}
