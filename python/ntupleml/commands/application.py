"""Verbs of the application stage."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ntupleml.application_arguments import (
    INPUT_FORMS,
    add_application_options,
    add_configs_and_inputs,
    add_inputs,
    add_parameters,
    application_options,
    application_parameters,
    split_configs,
)
from ntupleml.commands.command import (
    Command,
    add_configs,
    add_overwrite,
    finite_number,
    is_yaml,
    named_formulas,
    positive_number,
)
from ntupleml.errors import NtuplemlError

if TYPE_CHECKING:
    import argparse
    from typing import Literal

_REPLACED = ("nan", "nan_and_infinities", "nothing")


def _add_scoring(parser: argparse.ArgumentParser, *, friend: Literal["always", "never", "option"] = "option") -> None:
    add_configs(parser, "dataset", "training", "application")
    add_inputs(parser)
    add_application_options(parser, friend=friend)


def _apply_keras(arguments: argparse.Namespace) -> int:
    from ntupleml.application import make_plan, score_files

    configs = (arguments.config_dataset, arguments.config_training, arguments.config_application)
    return score_files(
        partial(make_plan, *configs, parameters=application_parameters(arguments)),
        arguments.inputs,
        arguments.tree,
        application_options(arguments),
    )


def _bdt_arguments(parser: argparse.ArgumentParser) -> None:
    _add_scoring(parser)
    parser.add_argument(
        "--engine",
        choices=("onnx", "forest"),
        help="what scores: ONNX Runtime, or the kernel for forests, which is the default",
    )


def _apply_bdt(arguments: argparse.Namespace) -> int:
    from ntupleml.application import make_plan, score_files

    configs = (arguments.config_dataset, arguments.config_training, arguments.config_application)
    make = partial(
        make_plan, *configs, kind="boosted_trees", engine=arguments.engine, parameters=application_parameters(arguments)
    )
    return score_files(make, arguments.inputs, arguments.tree, application_options(arguments))


def _onnx_arguments(parser: argparse.ArgumentParser) -> None:
    add_configs_and_inputs(parser)
    add_application_options(parser)


def _apply_onnx(arguments: argparse.Namespace) -> int:
    from ntupleml.application import make_plan, score_files

    given = split_configs(arguments.arguments)
    make = partial(make_plan, *given.configs, kind="onnx", parameters=application_parameters(arguments))
    return score_files(make, given.inputs, arguments.tree, application_options(arguments))


def _lwtnn_arguments(parser: argparse.ArgumentParser) -> None:
    add_configs_and_inputs(parser)
    parser.add_argument(
        "--engine",
        choices=("onnx", "liblwtnn"),
        default="onnx",
        help="what scores: ONNX Runtime, which is the default, or liblwtnn itself, through ROOT",
    )
    parser.add_argument("--output", metavar="NAME", help="the output that scores, of networks with several")
    parser.add_argument(
        "--replaced",
        choices=_REPLACED,
        help="raw values that the defaults in the file stand for; by default NaN, for exports what the training had",
    )
    add_application_options(parser)


def _apply_lwtnn(arguments: argparse.Namespace) -> int:
    from ntupleml.application import make_plan, score_files

    given = split_configs(arguments.arguments)
    make = partial(
        make_plan,
        *given.configs,
        kind="lwtnn",
        engine=arguments.engine,
        output=arguments.output,
        replaced=arguments.replaced,
        parameters=application_parameters(arguments),
    )
    return score_files(make, given.inputs, arguments.tree, application_options(arguments))


_TMVA_CONFIGS: dict[int, tuple[str, ...]] = {
    3: ("dataset", "training", "application"),
    2: ("dataset", "application"),
    0: (),
}


def _tmva_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "arguments", nargs="*", metavar="CONFIG... INPUT... TREE", help=f"configs (.yaml); {INPUT_FORMS}; tree in them"
    )
    parser.add_argument(
        "--engine",
        choices=("onnx", "forest", "tmva"),
        help="what scores: ONNX Runtime, the kernel for BDTs, or ROOT's TMVA::Reader; by default the fastest",
    )
    weights = parser.add_argument_group("with weights files of any TMVA")
    weights.add_argument(
        "--weights",
        action="append",
        metavar="FILE.xml",
        help="weights files: one for all events, or one per fold, of which file j scores the events of fold j",
    )
    weights.add_argument(
        "--variables-from-xml",
        action="store_true",
        help="take the variables from the weights files, not from a training config",
    )
    weights.add_argument("--event-branch", metavar="BRANCH", help="branch that decides the fold, else the entry number")
    weights.add_argument("--branch-prefix", metavar="PREFIX", help="beginning of the new branches' names")
    add_application_options(parser)


def _one_weights_per_file(texts: list[str]) -> list[str]:
    """Put a `--weights` before each file in .xml that follows one, so that it takes nothing else."""
    spelt: list[str] = []
    goes_on = False
    for text in texts:
        if spelt[-1:] == ["--weights"]:
            spelt.append(text)
            goes_on = True
        elif goes_on and text.endswith(".xml"):
            spelt += ["--weights", text]
        else:
            spelt.append(text)
            goes_on = text.startswith("--weights=")
    return spelt


def _apply_tmva(arguments: argparse.Namespace) -> int:
    from ntupleml.application import make_plan, score_files
    from ntupleml.config.loading import stages_in

    texts = arguments.arguments
    if arguments.weights is None and texts and not any(map(is_yaml, texts[1:2])) and stages_in(texts[0]):
        arguments.arguments = [texts[0]] * 2 + texts
    number = _number_of_configs(arguments)
    configs, (*inputs, tree) = arguments.arguments[:number], arguments.arguments[number:]
    given = dict(zip(_TMVA_CONFIGS[number], configs, strict=True))
    from_xml = "training" not in given or arguments.variables_from_xml
    make = partial(
        make_plan,
        given.get("dataset"),
        None if from_xml else given.get("training"),
        given.get("application"),
        kind="weights" if from_xml else "tmva",
        weights=arguments.weights,
        event_branch=arguments.event_branch,
        engine=arguments.engine,
        branch_prefix=arguments.branch_prefix,
        parameters=application_parameters(arguments),
    )
    return score_files(make, inputs, tree, application_options(arguments))


def _number_of_configs(arguments: argparse.Namespace) -> int:
    """Number of configs before the first INPUT: all arguments up to there end in .yaml or .yml.

    Without --weights there are always three, whatever they are called.
    """
    texts = arguments.arguments
    if arguments.weights is None and len(texts) >= 5:
        number = 3
    else:
        are_configs = list(map(is_yaml, texts))
        number = are_configs.index(False) if False in are_configs else len(texts)
    if number not in _TMVA_CONFIGS or len(texts) < number + 2:
        raise NtuplemlError(f"{len(texts)} arguments are no known form, see --help: {' '.join(texts) or 'none given'}")
    if arguments.weights is None and (number != 3 or arguments.variables_from_xml):
        raise NtuplemlError(
            "without --weights three configs are needed, and the variables are those of the training config"
        )
    if arguments.event_branch is not None and number == 3 and not arguments.variables_from_xml:
        raise NtuplemlError(
            "--event-branch is for --weights --variables-from-xml; here the dataset config names the branch"
        )
    return number


def _inputs_arguments(parser: argparse.ArgumentParser) -> None:
    add_configs(parser, "training")
    parser.add_argument("file", metavar="FILE", help="ntuple: ROOT, HDF5 or Parquet")
    parser.add_argument("tree", metavar="TREE", help="tree in it, or group of an HDF5 file")
    parser.add_argument("output", type=Path, metavar="OUTPUT.npz", help="file of arrays, one per group of inputs")
    parser.add_argument(
        "--num-events", type=positive_number, dest="num_rows", metavar="N", help="first rows only (default: all)"
    )
    add_overwrite(parser, "OUTPUT.npz")


def _inputs(arguments: argparse.Namespace) -> int:
    from ntupleml.application.model_inputs import write_model_inputs

    write_model_inputs(
        arguments.config_training,
        arguments.file,
        arguments.tree,
        arguments.output,
        num_rows=arguments.num_rows,
        overwrite=arguments.overwrite,
    )
    return 0


def _score_table_arguments(parser: argparse.ArgumentParser) -> None:
    add_configs_and_inputs(parser)
    parser.add_argument(
        "-o", "--output", type=Path, required=True, metavar="TABLE", help="table to write: .parquet, .pq, .h5 or .hdf5"
    )
    parser.add_argument(
        "--branch",
        action="append",
        default=[],
        dest="columns",
        metavar="[NAME=]BRANCH",
        help="one more column: a branch, or a formula with a name; may be given several times",
    )
    add_parameters(parser)
    add_overwrite(parser, "a table that exists")


def _score_table(arguments: argparse.Namespace) -> int:
    from ntupleml.application import make_plan
    from ntupleml.application.score_table import write_score_table

    given = split_configs(arguments.arguments)
    plan = make_plan(
        *given.configs,
        kind="onnx" if given.configs[1] is None else "keras",
        parameters=application_parameters(arguments),
    )
    columns = named_formulas(arguments.columns, "--branch")
    write_score_table(plan, given.inputs, arguments.tree, arguments.output, columns, overwrite=arguments.overwrite)
    return 0


def _return_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("table", type=Path, metavar="TABLE", help="HDF5 or Parquet table that ntupleml convert wrote")
    parser.add_argument("friend", type=Path, metavar="SCORES", help="its friend with the scores")
    parser.add_argument(
        "-o", "--output-directory", type=Path, required=True, metavar="FOLDER", help="where the new friends go"
    )
    parser.add_argument(
        "--default-score",
        type=finite_number,
        default=-1.0,
        metavar="X",
        help="of events that are not in the table (default: -1)",
    )
    add_overwrite(parser, "friends that exist")


def _return(arguments: argparse.Namespace) -> int:
    from ntupleml.application.returning import return_scores

    return_scores(
        arguments.table,
        arguments.friend,
        arguments.output_directory,
        default_score=arguments.default_score,
        overwrite=arguments.overwrite,
    )
    return 0


COMMANDS = {
    "inputs": Command(
        "Write the raw arrays that a model gets for the rows of an ntuple: one per group of inputs, and the folds.",
        _inputs,
        _inputs_arguments,
    ),
    "apply-keras": Command(
        "Append the scores of the trained networks to trees: as new branches.",
        _apply_keras,
        partial(_add_scoring, friend="never"),
    ),
    "apply-keras-friend": Command(
        "Write the scores of the trained networks into friend trees. The friend of INPUT is "
        "output_directory/NAME/NAME.root, where NAME is the folder that holds INPUT.",
        _apply_keras,
        partial(_add_scoring, friend="always"),
    ),
    "apply-bdt": Command(
        "Score ntuples with the boosted trees of a training: scores as new branches of their trees, or as friends.",
        _apply_bdt,
        _bdt_arguments,
    ),
    "apply-tmva": Command(
        "Score ntuples with methods of TMVA: those of a training, or any weights files.",
        _apply_tmva,
        _tmva_arguments,
        usage="%(prog)s [options] CONFIG_DATASET CONFIG_TRAINING CONFIG_APPLICATION INPUT [INPUT ...] TREE\n"
        "       %(prog)s [options] --weights A.xml [B.xml ...] [CONFIG_DATASET CONFIG_APPLICATION] INPUT [INPUT ...] "
        "TREE",
        epilog="The variables of weights files are their expressions, computed from the branches of TREE; where TREE "
        "lacks a branch that an expression needs, but has one called as the variable's label, that one is taken. "
        "Events with NaN in a variable get what TMVA::Reader gives them: -999 from a classification, with -1 as "
        "max_index, so that no cut on it takes them; ordinary scores from several classes and from regressions.",
        spell=_one_weights_per_file,
    ),
    "apply-onnx": Command(
        "Score ntuples with ONNX classifiers: those of a training, exports, or files of other programs.",
        _apply_onnx,
        _onnx_arguments,
        epilog="The classifiers of the application config are ONNX files, element j for the events of fold j or one "
        "for all events; left out, those of the training are used. Its block onnx says how the inputs of a stranger's "
        "file are filled.",
    ),
    "apply-lwtnn": Command(
        "Score ntuples with networks in lwtnn's JSON formats: exports of a training, or files of other programs.",
        _apply_lwtnn,
        _lwtnn_arguments,
        epilog="The classifiers of the application config are JSON files, element j for the events of fold j or one "
        "for all events; left out, the exports of the training are used. The names of a network's inputs are branches "
        "(or formulas of branches); the variables of a sequence are vectors.",
    ),
    "return-scores": Command(
        "Write the scores of a converted table as friends of the ntuples that it was made from: "
        "FOLDER/NAME/FILE, where NAME is the folder that holds the ntuple FILE.",
        _return,
        _return_arguments,
    ),
    "score-table": Command(
        "Write the scores of ntuples as one Parquet or HDF5 table: a row per event or object, with its event number.",
        _score_table,
        _score_table_arguments,
        epilog="With three configs the models of the training score, or the method that the application config names; "
        "with fewer the ONNX files that it lists. Rows that the selection leaves out are not in the table.",
    ),
}
