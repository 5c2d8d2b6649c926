"""Verbs of the dataset stage that make tables: ntuples with fixed slots, joined and merged files."""

from __future__ import annotations

import argparse
import logging
from contextlib import suppress
from pathlib import Path

from ntupleml.cluster.options import add_cluster_options, cluster_options
from ntupleml.command_line import SOME_FAILED
from ntupleml.commands.command import (
    Command,
    add_overwrite,
    finite_number,
    named_formulas,
    positive_number,
)

log = logging.getLogger("ntupleml.dataset")

_ENDINGS = (".yaml", ".yml")
#: Selection of the ttH trainer's option `--run-option signal`.
_SIGNAL = "nJets >= 6 && nBTags_DL1r_70 >= 4"


def _conversion_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "inputs", nargs="*", metavar="FILE", help="ROOT, HDF5 or Parquet files: paths, wildcards, @list, addresses"
    )
    parser.add_argument(
        "-d", "--directory", type=Path, metavar="DIR", help="all such files of a folder, sorted by name"
    )
    parser.add_argument(
        "-s",
        "--storeName",
        "--output",
        dest="output",
        type=Path,
        default=Path("store.h5"),
        metavar="FILE",
        help="table that is written: .h5, .hdf5, .parquet or .pq (default: store.h5)",
    )
    parser.add_argument(
        "-v",
        "--variables",
        type=Path,
        action="append",
        required=True,
        metavar="CONFIG",
        help="conversion config (YAML), or a list 'features'; further ones replace or complete its keys",
    )
    parser.add_argument(
        "--define",
        action="append",
        default=[],
        metavar="NAME=FORMULA",
        help="one more branch, or another formula of one of the block 'define'; may be given several times",
    )
    parser.add_argument("--tree", metavar="TREE", help="tree in all files (default: the only one, or nominal_Loose)")
    parser.add_argument("--selection", metavar="FORMULA", help="events that fail it are left out")
    parser.add_argument("-n", "--num-events", type=positive_number, metavar="N", help="first N events of each file")
    parser.add_argument("--max-jets", type=positive_number, metavar="N", help="slots of the collection 'jet'")
    parser.add_argument(
        "--order-jets",
        action="store_true",
        help="order all jets by b-tag bin, then pt, the largest first, before the cut",
    )
    parser.add_argument(
        "--run-option",
        choices=("baseline", "signal"),
        default="baseline",
        help="signal: events of nJets >= 6 and nBTags_DL1r_70 >= 4 (default: baseline, all events)",
    )
    parser.add_argument("-O", "--overwrite", action="store_true", help="make a table that exists anew")
    add_cluster_options(parser)


def _convert(arguments: argparse.Namespace) -> int:
    """Write the table; 1 if some files failed."""
    from ntupleml.config.conversion import load_conversion
    from ntupleml.datasets.converting import conversion_inputs, convert, with_options

    config = with_options(
        load_conversion(arguments.variables, arguments.define),
        tree_path=arguments.tree,
        selections=[arguments.selection, _SIGNAL if arguments.run_option == "signal" else None],
        num_events=arguments.num_events,
        max_jets=arguments.max_jets,
        order_jets=arguments.order_jets,
    )
    paths = conversion_inputs(arguments.inputs, arguments.directory, arguments.output)
    done = convert(paths, arguments.output, config, overwrite=arguments.overwrite, cluster=cluster_options(arguments))
    return SOME_FAILED if done.failures else 0


def _joining_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("left", metavar="LEFT", help="ROOT, HDF5 or Parquet file with the rows")
    parser.add_argument(
        "right", nargs="+", metavar="RIGHT", help="such files with the columns, together one table: paths, wildcards"
    )
    parser.add_argument(
        "-k",
        "--key",
        action="append",
        dest="keys",
        default=[],
        metavar="[LEFT=]RIGHT",
        help="column of integers that both tables have; may be given several times",
    )
    parser.add_argument(
        "-c",
        "--column",
        action="append",
        dest="columns",
        metavar="[NAME=]COLUMN",
        help="column of RIGHT, pattern ('hlt_*'), or pattern of what is left out ('!hlt_*'); may be repeated (default: "
        "all)",
    )
    parser.add_argument(
        "-o", "--output", type=Path, required=True, metavar="FILE", help="a friend (.root), or a table (.h5, .parquet)"
    )
    parser.add_argument("--tree", metavar="TREE", help="tree or group of LEFT (default: the only one)")
    parser.add_argument(
        "--right-tree",
        action="append",
        default=[],
        metavar="TREE",
        help="tree or group of each RIGHT; may be given several times (default: the only one)",
    )
    parser.add_argument(
        "--keep", action="append", default=[], metavar="COLUMN", help="column of LEFT, or pattern, that is written too"
    )
    parser.add_argument("--prefix", default="", metavar="TEXT", help="beginning of the names of columns of RIGHT")
    parser.add_argument("--found", metavar="NAME", help="write a column that says whether a row has a partner")
    parser.add_argument(
        "--unmatched",
        type=_unmatched,
        metavar="nan|drop|NUMBER",
        help="what a row without a partner gets, or that it is left out (default: refused)",
    )
    parser.add_argument(
        "--duplicates", choices=("first", "last"), help="row of RIGHT that is taken of one key (default: refused)"
    )
    add_overwrite(parser, "an output that exists")


def _unmatched(text: str) -> str | float:
    if text in ("nan", "drop"):
        return text
    for kind in (int, finite_number):  # all digits of integers
        with suppress(ValueError, argparse.ArgumentTypeError):
            return kind(text)
    raise argparse.ArgumentTypeError(f"'{text}' is neither nan, drop nor a number")


def _join(arguments: argparse.Namespace) -> int:
    from ntupleml.datasets.joining import join

    columns = arguments.columns
    join(
        arguments.left,
        arguments.right,
        arguments.output,
        named_formulas(arguments.keys, "--key"),
        None if columns is None else named_formulas(columns, "--column"),
        tree=arguments.tree,
        right_tree=arguments.right_tree,
        keep=arguments.keep,
        prefix=arguments.prefix,
        found=arguments.found,
        unmatched=arguments.unmatched,
        duplicates=arguments.duplicates,
        overwrite=arguments.overwrite,
    )
    return 0


def _merging_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folders", nargs="*", metavar="FOLDER", help="folders in BASE (default: all)")
    parser.add_argument("-b", "--base", type=Path, required=True, metavar="BASE", help="folder that holds the folders")
    parser.add_argument(
        "-o", "--output", type=Path, metavar="OUT", help="folder of merged files (default: BASE/merged)"
    )
    parser.add_argument("-p", "--prefix", default="", metavar="PREFIX", help="beginning of the merged files' names")
    parser.add_argument(
        "-w", "--pattern", default="*.root", metavar="PATTERN", help="names of files, with wildcards (default: *.root)"
    )
    add_overwrite(parser, "merged files that exist")
    add_cluster_options(parser)


def _merge(arguments: argparse.Namespace) -> int:
    """Merge files by name; 1 if some failed."""
    from ntupleml.datasets.merging import merge_folders

    failures = merge_folders(
        arguments.base,
        arguments.output or arguments.base / "merged",
        arguments.folders,
        prefix=arguments.prefix,
        pattern=arguments.pattern,
        overwrite=arguments.overwrite,
        cluster=cluster_options(arguments),
    )
    return SOME_FAILED if failures else 0


def _images_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("config", type=Path, metavar="CONFIG", help="images config (YAML): images, columns, selection")
    parser.add_argument(
        "inputs", nargs="+", metavar="FILE", help="ROOT, HDF5 or Parquet files: paths, wildcards, @list, addresses"
    )
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        required=True,
        metavar="FILE",
        help="file that is written: .h5, .hdf5 (compressed), .root, .parquet or .pq",
    )
    parser.add_argument("--tree", metavar="TREE", help="tree in all files (default: the config's, or the only one)")
    add_overwrite(parser)


def _images(arguments: argparse.Namespace) -> int:
    from ntupleml.config import ImagesConfig, load_config
    from ntupleml.datasets.image_making import make_images

    config = load_config(arguments.config, ImagesConfig)
    make_images(arguments.inputs, arguments.output, config, tree=arguments.tree, overwrite=arguments.overwrite)
    return 0


COMMANDS = {
    "convert": Command(
        "Write ntuples as one HDF5 or Parquet table: lists become numbered columns, cut or padded with zeros.",
        _convert,
        _conversion_arguments,
    ),
    "join": Command(
        "Write columns of other tables for each row of one, found by keys such as run and event.",
        _join,
        _joining_arguments,
        usage="%(prog)s [options] -k KEY [-k KEY ...] -o FILE LEFT RIGHT [RIGHT ...]",
    ),
    "make-images": Command(
        "Fill images on a grid in η and φ from the objects of events, and write them to an HDF5 or ROOT file.",
        _images,
        _images_arguments,
    ),
    "merge": Command(
        "Merge the files of one name in several folders: trees, groups and tables after one another.",
        _merge,
        _merging_arguments,
    ),
}
