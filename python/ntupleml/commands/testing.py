"""Verbs of the testing stage."""

from __future__ import annotations

import argparse
import logging
import shlex
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ntupleml.commands.command import Command, add_configs, add_reading_options, finite_number, positive_number
from ntupleml.errors import NtuplemlError

if TYPE_CHECKING:
    from ntupleml.testing.preparation import Preparation

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


def _add_step(parser: argparse.ArgumentParser, *, several_methods: bool = False) -> None:
    """Add what all steps have; `several_methods` where one picture can show several."""
    _add_testing(parser)
    parser.set_defaults(several_methods=several_methods)
    parser.add_argument(
        "--method",
        type=_method_names if several_methods else lambda text: [text],
        dest="methods",
        metavar="A[,B]" if several_methods else "NAME",
        help="method of the training config, or external model of the testing config; by default the testing config's "
        "method, or keras" + ("; 'all' takes all that are trained" if several_methods else ""),
    )
    _add_sample(parser)


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


def _roc_curves(arguments: argparse.Namespace) -> int:
    from ntupleml.testing.roc import roc_files

    roc_files(_prepared(arguments), overwrite=arguments.overwrite)
    return 0


def _score_distributions(arguments: argparse.Namespace) -> int:
    from ntupleml.testing.score_distributions import score_distribution_files

    score_distribution_files(_prepared(arguments), overwrite=arguments.overwrite)
    return 0


def _significance_scan(arguments: argparse.Namespace) -> int:
    from ntupleml.testing.significance import significance_files

    significance_files(_prepared(arguments), overwrite=arguments.overwrite)
    return 0


def _calibration(arguments: argparse.Namespace) -> int:
    """Write the picture, and say how calibrated the scores are."""
    from ntupleml.metrics.measurement import Undefined
    from ntupleml.testing.calibration import calibration_files

    _, summary = calibration_files(_prepared(arguments), overwrite=arguments.overwrite)
    for mixture, brier in summary.brier.items():
        text = str(brier) if isinstance(brier, Undefined) else f"{brier.value:.5f} ± {brier.uncertainty:.5f}"
        log.info("Brier score of all classes (%s): %s", mixture, text)
    log.info("is it calibrated: %s: %s", summary.verdict.level, summary.verdict.text)
    return 0


def _sculpting_arguments(parser: argparse.ArgumentParser) -> None:
    _add_step(parser)
    parser.add_argument(
        "--variable",
        action="append",
        default=[],
        dest="variables",
        metavar="NAME",
        help="branch of the fold files or formula; may be repeated (default: the spectators of the testing config, "
        "else the inputs)",
    )


def _sculpting(arguments: argparse.Namespace) -> int:
    """Write the pictures, and say what is sculpted."""
    from ntupleml.testing.sculpting import sculpting_files, sculpts, worst_rows

    preparation = _prepared(arguments)
    _, rows = sculpting_files(preparation, arguments.variables, overwrite=arguments.overwrite)
    for row in worst_rows(rows, 5):
        log.info("%s: %s", row.verdict.level, row.verdict.text)
    verdict = sculpts(rows, arguments.variables or preparation.testing.spectators)
    log.info("does it sculpt: %s: %s", verdict.level, verdict.text)
    return 0


def _ams_arguments(parser: argparse.ArgumentParser) -> None:
    _add_step(parser)
    parser.add_argument(
        "--b-reg",
        type=partial(finite_number, at_least=0),
        metavar="B",
        help="regularisation, added to the background (default: the testing config's, 10)",
    )


def _ams_score(arguments: argparse.Namespace) -> int:
    from ntupleml.testing.significance_numbers import ams_score_file

    path = ams_score_file(_prepared(arguments), b_reg=arguments.b_reg, overwrite=arguments.overwrite)
    log.info("written: %s", path)
    return 0


def _performance_arguments(parser: argparse.ArgumentParser) -> None:
    _add_step(parser)
    parser.add_argument("target_class", metavar="TARGET_CLASS", help="the signal, whose score is cut on")
    parser.add_argument("cut", type=finite_number, metavar="CUT", help="events with a larger score are selected")


def _check_performance(arguments: argparse.Namespace) -> int:
    from ntupleml.testing.significance_numbers import performance_file

    path = performance_file(_prepared(arguments), arguments.target_class, arguments.cut, overwrite=arguments.overwrite)
    log.info("written: %s", path)
    return 0


def _taylor_1d_arguments(parser: argparse.ArgumentParser) -> None:
    _add_step(parser)
    parser.add_argument("--no-abs", action="store_true", help="average the derivatives themselves, not their modulus")
    parser.add_argument("--normalize", action="store_true", help="divide each row by its sum")


def _taylor_1d(arguments: argparse.Namespace) -> int:
    from ntupleml.testing.taylor import MOST_EVENTS
    from ntupleml.testing.taylor_files import taylor_matrix_files

    arguments.max_events = arguments.max_events or MOST_EVENTS[1]
    taylor_matrix_files(
        _prepared(arguments),
        absolute=not arguments.no_abs,
        normalised=arguments.normalize,
        most_events=arguments.max_events,
        overwrite=arguments.overwrite,
    )
    return 0


def _taylor_ranking_arguments(parser: argparse.ArgumentParser) -> None:
    _add_step(parser)
    parser.add_argument("--no-abs", action="store_true", help="average the derivatives themselves, not their modulus")
    parser.add_argument("--order", type=int, choices=(1, 2, 3), default=2, help="highest order of the derivatives")


def _taylor_ranking(arguments: argparse.Namespace) -> int:
    """Write the rankings, and say what leads that of all classes."""
    from ntupleml.testing.taylor import MOST_EVENTS
    from ntupleml.testing.taylor_files import leading_terms, read_taylor_ranking, summary_path, taylor_files

    arguments.max_events = arguments.max_events or MOST_EVENTS[arguments.order]
    preparation = _prepared(arguments)
    taylor_files(
        preparation,
        order=arguments.order,
        absolute=not arguments.no_abs,
        most_events=arguments.max_events,
        overwrite=arguments.overwrite,
    )
    summary = summary_path(preparation)
    log.info("%s: leading terms: %s", summary, leading_terms(read_taylor_ranking(summary)))
    return 0


def _permutation_arguments(parser: argparse.ArgumentParser) -> None:
    _add_step(parser)
    parser.add_argument("--repeats", type=_repeats, default=5, metavar="N", help="times each is shuffled (default: 5)")
    parser.add_argument(
        "--group",
        action="append",
        default=[],
        metavar="NAME=A,B",
        help="variables shuffled together, too; repeatable",
    )


def _repeats(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) >= 2):
        raise argparse.ArgumentTypeError(f"'{text}' is not a number of at least 2, which the uncertainty needs")
    return int(text)


def _permutation_importance(arguments: argparse.Namespace) -> int:
    """Write the picture, and say which inputs lead."""
    from ntupleml.testing.permutation import most_important, permutation_files

    paths, result = permutation_files(
        _prepared(arguments),
        repeats=arguments.repeats,
        groups=arguments.group,
        max_events=arguments.max_events,
        overwrite=arguments.overwrite,
    )
    log.info("decrease of the average AUC: %s", most_important(result))
    log.info("written: %s", ", ".join(map(str, paths)))
    return 0


def _shap_arguments(parser: argparse.ArgumentParser) -> None:
    _add_step(parser)
    parser.add_argument(
        "--events", type=positive_number, default=200, metavar="N", help="events that are explained (default: 200)"
    )
    parser.add_argument(
        "--background", type=positive_number, default=100, metavar="N", help="events to compare with (default: 100)"
    )


def _shap_importance(arguments: argparse.Namespace) -> int:
    """Write the picture, and say which inputs lead."""
    from ntupleml.testing.shapley import shapley_files

    paths, result = shapley_files(
        _prepared(arguments),
        explained=arguments.events,
        background=arguments.background,
        overwrite=arguments.overwrite,
    )
    log.info("largest mean |SHAP value|: %s", ", ".join(result.ranking()[:3]))
    log.info("written: %s", ", ".join(map(str, paths)))
    return 0


def _matrix_arguments(parser: argparse.ArgumentParser) -> None:
    _add_testing(parser)
    parser.add_argument("--method", metavar="NAME", help="method to test; by default the testing config's, or keras")


def _confusion_matrix(arguments: argparse.Namespace) -> int:
    """Write the matrices and say where they are."""
    from ntupleml.config import TestingConfig, TrainingConfig, load_config
    from ntupleml.testing.confusion_matrices import confusion_matrices

    training = load_config(arguments.config_training, TrainingConfig)
    paths = confusion_matrices(
        training,
        load_config(arguments.config_testing, TestingConfig),
        arguments.fold,
        arguments.condition,
        method=arguments.method,
        training_path=arguments.config_training,
        testing_path=arguments.config_testing,
        entries_per_chunk=arguments.num_events,
        overwrite=arguments.overwrite,
    )
    log.info("%d files written to %s", len(paths), training.output_path)
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
    paths = compare_methods(
        training,
        load_config(arguments.config_testing, TestingConfig),
        arguments.fold,
        methods=arguments.methods,
        condition=arguments.condition,
        class_weights=arguments.class_weights,
        training_path=arguments.config_training,
        testing_path=arguments.config_testing,
        entries_per_chunk=arguments.num_events,
        max_events=arguments.max_events,
        overwrite=arguments.overwrite,
    )
    log.info("%s", paths[0].read_text(encoding="utf-8").rstrip())
    log.info("written: %s", ", ".join(map(str, paths)))
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
        testing_path=testing[0] if testing else None,
        method=arguments.method,
        num_events=arguments.events,
        tolerance=arguments.tolerance,
        overwrite=arguments.overwrite,
    )
    log.info("%s", paths[0].read_text(encoding="utf-8").rstrip())
    log.info("written: %s", ", ".join(map(str, paths)))
    return int(any(not one.largest <= arguments.tolerance for one in comparisons))


def _report_arguments(parser: argparse.ArgumentParser) -> None:
    add_configs(parser, "training", "testing")
    parser.add_argument("fold", nargs="?", default="all", metavar="FOLD", help="index of the model, or 'all' (default)")
    parser.add_argument("--output", type=Path, metavar="FILE.html", help="the page (default: in the output_path)")
    parser.add_argument(
        "--compare", type=Path, metavar="CONFIG_TRAINING", help="show a second training beside this one"
    )
    parser.add_argument(
        "--compare-testing",
        type=Path,
        metavar="CONFIG_TESTING",
        help="testing config of the second (default: the same)",
    )
    parser.add_argument(
        "--methods", type=_method_names, metavar="A,B", help="methods to show; by default all trained ones"
    )
    parser.add_argument("--taylor", action="store_true", help="compute the Taylor ranking of the network")
    parser.add_argument("--permutation", action="store_true", help="compute the permutation importance")
    _add_sample(parser)
    parser.add_argument(
        "--page-only", action="store_true", help="write the page and the numbers, without PNG and PDF files"
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
    other = None
    if arguments.compare is not None:
        other = prepared(arguments.compare, arguments.compare_testing or arguments.config_testing, None)
    paths, verdicts = write_report(
        first,
        ReportOptions(
            output=arguments.output,
            compare=other,
            taylor=arguments.taylor,
            permutation=arguments.permutation,
            command=shlex.join(sys.argv),
            overwrite=arguments.overwrite,
            page_only=arguments.page_only,
        ),
    )
    for name, verdict in verdicts:
        log.info("%s: %s: %s", verdict.level, name, verdict.text)
    log.info("written: %s", paths[0])
    return 0


COMMANDS = {
    "calibration": Command(
        "Say whether scores are probabilities: reliability curves, Brier scores and calibration errors.",
        _calibration,
        _add_step,
    ),
    "compare-engines": Command(
        "Compare every form of a trained model on events that it never saw: its library, ONNX, lwtnn and others.",
        _compare_engines,
        _engines_arguments,
        usage="%(prog)s [options] CONFIG_TRAINING [CONFIG_TESTING] FOLD",
        epilog="Differences are those from the library that the model was made with. The exit status is 1 if any form "
        "differs by more than the tolerance. Forms that are not there are named: make them with export-to-onnx and "
        "export-to-lwtnn.",
    ),
    "compare-methods": Command(
        "Compare all trained methods in one table and one picture: on the folds that they never saw.",
        _compare_methods,
        _methods_arguments,
    ),
    "confusion-matrix": Command(
        "Write the confusion matrices of a method: each event by the model that never saw it.",
        _confusion_matrix,
        _matrix_arguments,
    ),
    "ams-score": Command(
        "Compute the approximate median significance (AMS) of each class: in the events predicted to be of this class.",
        _ams_score,
        _ams_arguments,
    ),
    "check-performance": Command(
        "Say what a cut on the score of one class does: yields, efficiencies, purity and significances.",
        _check_performance,
        _performance_arguments,
    ),
    "taylor-1d": Command(
        "Draw the mean first derivatives of a Keras network: a matrix of classes and inputs (arXiv:1803.08782).",
        _taylor_1d,
        _taylor_1d_arguments,
    ),
    "taylor-ranking": Command(
        "Rank inputs and pairs by Taylor coefficients of a Keras network: their mean moduli (arXiv:1803.08782).",
        _taylor_ranking,
        _taylor_ranking_arguments,
    ),
    "permutation-importance": Command(
        "Rank inputs by what is lost when their values are shuffled: by default in at most 100,000 events.",
        _permutation_importance,
        _permutation_arguments,
    ),
    "report": Command(
        "Write one HTML page of all that the testing stage says: figures, numbers and verdicts of a training.",
        _report,
        _report_arguments,
        usage="%(prog)s [options] CONFIG_TRAINING CONFIG_TESTING [FOLD]",
    ),
    "roc-curves": Command(
        "Draw the ROC curves of one or several methods: each class against the others, on folds that they never saw.",
        _roc_curves,
        partial(_add_step, several_methods=True),
    ),
    "score-distributions": Command(
        "Draw the scores of a method: training part against unseen events (overtraining), and stacked with recorded "
        "data.",
        _score_distributions,
        _add_step,
    ),
    "sculpting": Command(
        "Say whether scores sculpt variables: efficiency, purity and the shape of the background against each.",
        _sculpting,
        _sculpting_arguments,
    ),
    "shap-importance": Command(
        "Rank inputs by SHAP values: on a sample of events; needs pip install 'ntupleml[shap]'.",
        _shap_importance,
        _shap_arguments,
    ),
    "significance-scan": Command(
        "Scan cuts on the score of each class: efficiencies, expected significances by four formulas, and the best "
        "cuts.",
        _significance_scan,
        _add_step,
    ),
}
