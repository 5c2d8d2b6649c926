"""Verbs of the application stage that write models for other programs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ntupleml.commands.command import (
    Command,
    add_configs,
    add_overwrite,
    true_or_false,
)

if TYPE_CHECKING:
    import argparse

_REPLACED = ("nan", "nan_and_infinities", "nothing")


def _conversion_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", type=Path, metavar="MODEL", help="the model file")
    parser.add_argument("file", type=Path, metavar="OUTPUT", help="the ONNX file to write")
    _add_dtype(parser)
    parser.add_argument("--output", metavar="NAME", help="of lwtnn's networks with several outputs, the one wanted")
    parser.add_argument(
        "--replaced",
        choices=_REPLACED,
        help="raw values that the defaults in a file of lwtnn stand for (default: nan)",
    )
    parser.add_argument(
        "--score",
        choices=("outputs", "latent_norm"),
        help="of networks of Keras 2 (.h5): their outputs (default), or the mean of the outputs' squares",
    )
    add_overwrite(parser, "an existing OUTPUT")


def _add_dtype(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--dtype",
        choices=("float32", "float64"),
        default="float32",
        help="of inputs and scores (default: float32)",
    )


def _convert_to_onnx(arguments: argparse.Namespace) -> int:
    from ntupleml.onnx_models.convert import convert_file

    convert_file(
        arguments.model,
        arguments.file,
        dtype=arguments.dtype,
        overwrite=arguments.overwrite,
        network_output=arguments.output,
        replaced=arguments.replaced,
        score=arguments.score,
    )
    return 0


def _onnx_export_arguments(parser: argparse.ArgumentParser) -> None:
    _add_export(parser)
    parser.add_argument(
        "--single",
        action="store_true",
        help="write one file for all folds, which takes the event number too and asks the model that never saw it",
    )
    parser.add_argument("--opset", type=int, default=17, metavar="N", help="operator set, 13 to 23 (default: 17)")
    _add_dtype(parser)
    parser.add_argument("--method", metavar="NAME", help="method of the training config; by default its network")
    parser.add_argument("--output", metavar="FOLDER", help="folder of the files; by default the training's output_path")


def _add_export(parser: argparse.ArgumentParser) -> None:
    add_configs(parser, "training")
    parser.add_argument("fold", nargs="?", default="all", metavar="FOLD", help="index of the model, or 'all' (default)")
    add_overwrite(parser, "files that exist")


def _export_to_onnx(arguments: argparse.Namespace) -> int:
    from ntupleml.application.onnx_export import export_to_onnx

    export_to_onnx(
        arguments.config_training,
        arguments.fold,
        single=arguments.single,
        opset=arguments.opset,
        dtype=arguments.dtype,
        method=arguments.method,
        output=arguments.output,
        overwrite=arguments.overwrite,
    )
    return 0


def _card_arguments(parser: argparse.ArgumentParser) -> None:
    add_configs(parser, "training")
    parser.add_argument(
        "config_testing",
        nargs="?",
        type=Path,
        metavar="CONFIG_TESTING",
        help="testing config (YAML), by which the performance on the card is measured",
    )
    parser.add_argument("--method", metavar="NAME", help="method of the training config; by default its network")
    parser.add_argument(
        "--output",
        type=Path,
        metavar="FOLDER",
        help="the folder (default: {method}_models in the training's output_path)",
    )
    add_overwrite(parser, "files that exist")


def _model_card(arguments: argparse.Namespace) -> int:
    from ntupleml.application.model_card import write_model_card

    write_model_card(
        arguments.config_training,
        arguments.config_testing,
        method=arguments.method,
        output=arguments.output,
        overwrite=arguments.overwrite,
    )
    return 0


def _lwtnn_export_arguments(parser: argparse.ArgumentParser) -> None:
    _add_export(parser)
    parser.add_argument(
        "--form",
        choices=("auto", "sequential", "graph"),
        default="auto",
        help="form of the file (default: auto, which is sequential where the network allows it)",
    )


def _export_to_lwtnn(arguments: argparse.Namespace) -> int:
    from ntupleml.application.lwtnn_export import export_to_lwtnn

    export_to_lwtnn(arguments.config_training, arguments.fold, form=arguments.form, overwrite=arguments.overwrite)
    return 0


def _export_to_frugally_deep(arguments: argparse.Namespace) -> int:
    from ntupleml.application.frugally_deep_export import export_to_frugally_deep

    export_to_frugally_deep(arguments.config_training, arguments.fold, overwrite=arguments.overwrite)
    return 0


def _hls_export_arguments(parser: argparse.ArgumentParser) -> None:
    _add_export(parser)
    parser.add_argument(
        "--form",
        choices=("verilog", "vhdl", "vitis", "hls4ml"),
        default="verilog",
        help="logic by da4ml (verilog, which is the default, or vhdl), its C++ for Vitis HLS, or a project of hls4ml",
    )
    parser.add_argument(
        "--compile",
        action="store_true",
        help="compile the C++ of vitis or hls4ml here, which takes a minute, and compare what it gives",
    )


def _export_to_hls(arguments: argparse.Namespace) -> int:
    from ntupleml.application.hls_export import export_to_hls

    export_to_hls(
        arguments.config_training,
        arguments.fold,
        form=arguments.form,
        compiled=arguments.compile,
        overwrite=arguments.overwrite,
    )
    return 0


def _json_export_arguments(parser: argparse.ArgumentParser) -> None:
    add_configs(parser, "training", "application")
    parser.add_argument(
        "--conditional",
        type=true_or_false,
        nargs="?",
        const=True,
        metavar="True|False",
        help="whether the networks take conditions (eras); by default as they were trained",
    )
    add_overwrite(parser, "existing files")


def _export_to_json(arguments: argparse.Namespace) -> int:
    from ntupleml.application.htt_ml_export import export_to_json

    export_to_json(
        arguments.config_training,
        arguments.config_application,
        conditional=arguments.conditional,
        overwrite=arguments.overwrite,
    )
    return 0


COMMANDS = {
    "convert-to-onnx": Command(
        "Convert a model to ONNX: TMVA's weights.xml, JSON of lwtnn, XGBoost, forests (.npz), networks (.keras, .h5).",
        _convert_to_onnx,
        _conversion_arguments,
    ),
    "export-to-onnx": Command(
        "Write the trained models as ONNX files: for other programs, each checked on events that it never saw.",
        _export_to_onnx,
        _onnx_export_arguments,
    ),
    "model-card": Command(
        "Write the trained models as a folder to give away: ONNX files, records, a model card (README.md), and "
        "examples in Python and C++ that are made for them.",
        _model_card,
        _card_arguments,
    ),
    "export-to-lwtnn": Command(
        "Write trained networks as JSON files of lwtnn: with the preprocessing, checked against Keras. The file "
        "of model f is output_path/fold{f}_lwtnn.json.",
        _export_to_lwtnn,
        _lwtnn_export_arguments,
    ),
    "export-to-frugally-deep": Command(
        "Write trained networks as JSON files of frugally-deep: with the preprocessing, checked against Keras. The "
        "file of model f is output_path/fold{f}_frugally_deep.json.",
        _export_to_frugally_deep,
        _add_export,
    ),
    "export-to-hls": Command(
        "Write trained quantised networks as firmware: a project of da4ml or hls4ml, checked on events that the model "
        "never saw. The archive of model f is output_path/fold{f}_hls_{form}.tar.gz.",
        _export_to_hls,
        _hls_export_arguments,
    ),
    "export-to-json": Command(
        "Write trained networks for lwtnn's converter keras2json.py: architecture, weights and variables. "
        "Their names are in the keys weights, architecture_exports and variable_exports of "
        "CONFIG_APPLICATION. export-to-lwtnn writes the finished file without a converter.",
        _export_to_json,
        _json_export_arguments,
    ),
}
