"""The same graph in another version of ONNX's operator set, for programs with an older or newer ONNX Runtime."""

from __future__ import annotations

import onnx
from onnx import helper, version_converter

from ntupleml.errors import NtuplemlError, one_line

#: Operator sets that can be asked for: ONNX Runtime 1.8 (2021) reads the first.
OLDEST_OPSET, NEWEST_OPSET = 13, 23


def with_opset(model: onnx.ModelProto, opset: int, where: str = "model") -> onnx.ModelProto:
    """Convert a graph to another version of ONNX's default operator set.

    Where the operators of the graph are the same in both versions the number alone is changed, which ONNX's own
    converter refuses for some (e.g. from 17 to 13, where newer versions only allow more types of numbers).

    Parameters
    ----------
    opset : int
        From 13 to 23.
    where : str
        What the graph is made from, for messages.

    Returns
    -------
    onnx.ModelProto
        Checked by ONNX; metadata and names of inputs and outputs are the same.

    Raises
    ------
    NtuplemlError
        If there is no such version, or an operator of the graph has no form in it.
    """
    if not OLDEST_OPSET <= opset <= NEWEST_OPSET:
        raise NtuplemlError(f"--opset {opset}: operator sets from {OLDEST_OPSET} to {NEWEST_OPSET} are written")
    now = next(item.version for item in model.opset_import if item.domain in ("", "ai.onnx"))
    if now == opset:
        return model
    try:
        result = _relabelled(model, opset) if opset < now else version_converter.convert_version(model, opset)
        result.ir_version = min(max(helper.find_min_ir_version_for(result.opset_import), 7), model.ir_version)
        if opset > now:
            result.ir_version = helper.find_min_ir_version_for(result.opset_import)
        onnx.checker.check_model(result, full_check=True)
    except Exception as error:  # onnx raises RuntimeError, ValueError and classes of its own
        raise NtuplemlError(
            f"{where}: has no form in operator set {opset} ({one_line(error, 160)}); choose one nearer to {now}"
        ) from error
    _keep_description(model, result)
    return result


def _relabelled(model: onnx.ModelProto, opset: int) -> onnx.ModelProto:
    """The graph under a lower number; the check that follows refuses what the older version does not know."""
    result = onnx.ModelProto()
    result.CopyFrom(model)
    for item in result.opset_import:
        if item.domain in ("", "ai.onnx"):
            item.version = opset
    return result


def _keep_description(model: onnx.ModelProto, result: onnx.ModelProto) -> None:
    """What ONNX's converter may drop."""
    del result.metadata_props[:]
    result.metadata_props.extend(model.metadata_props)
    result.producer_name, result.producer_version = model.producer_name, model.producer_version
    result.doc_string = model.doc_string
