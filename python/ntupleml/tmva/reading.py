"""A weights file of TMVA as typed data: what all methods have in common here, their bodies in modules of their own."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from ntupleml.errors import did_you_mean, one_line
from ntupleml.tmva.bdt import read_bdt
from ntupleml.tmva.discriminants import read_boost, read_fisher, read_ld, read_likelihood
from ntupleml.tmva.method import Analysis, MethodSetup, TmvaMethod, Variable
from ntupleml.tmva.networks import read_mlp, read_pykeras
from ntupleml.tmva.transformations import read_target_transformation, read_transformations
from ntupleml.tmva.xml_file import read_xml

if TYPE_CHECKING:
    from collections.abc import Callable

    from ntupleml.tmva.xml_file import Node

log = logging.getLogger(__name__)

_ANALYSES: tuple[Analysis, ...] = get_args(Analysis)
#: What TMVA calls the classes where a file names none.
_DEFAULT_CLASSES = ("Signal", "Background")
#: Readers of the bodies, and the analyses that TMVA offers by each method.
_READERS: dict[str, tuple[Callable[[MethodSetup], object], tuple[Analysis, ...]]] = {
    "BDT": (read_bdt, _ANALYSES),
    "MLP": (read_mlp, _ANALYSES),
    "Fisher": (read_fisher, ("Classification",)),
    "LD": (read_ld, ("Classification", "Regression")),
    "Likelihood": (read_likelihood, ("Classification",)),
    "Boost": (read_boost, ("Classification",)),
    "PyKeras": (read_pykeras, _ANALYSES),
}


def read_weights(path: str | Path) -> TmvaMethod:
    """Read a weights file (``*.weights.xml`` of TMVA 4 or later) of any method that can be evaluated here.

    Raises
    ------
    NtuplemlError
        If it is not such a file, is damaged or contradicts itself, or is of a method that is not read.
    """
    root = read_xml(path)
    kind, name = _kind_and_name(root)
    listed = root.child("Options").children("Option")
    options = {option.text("name"): (option.element.text or "").strip() for option in listed}
    info = {item.text("name"): item.text("value") for item in root.child("GeneralInfo").children("Info")}
    analysis = _analysis(info, root)
    variables = _variables(root, "Variables", "NVar", "VarIndex")
    if not variables:
        raise root.error("the method has no variables")
    targets = _variables(root, "Targets", "NTrgt", "TargetIndex") if analysis == "Regression" else ()
    if analysis == "Regression" and not targets:
        raise root.error("a regression without Targets")
    classes = _classes(root, analysis)
    num_outputs = {"Classification": 1, "Multiclass": len(classes), "Regression": len(targets)}[analysis]
    transformations = () if kind == "Likelihood" else read_transformations(root, len(variables))  # it has its own
    read_body, analyses = _READERS[kind]
    if analysis not in analyses:
        raise root.error(f"TMVA has no {analysis} by this method; the file is damaged")
    body = read_body(MethodSetup(root, analysis, len(variables), num_outputs))
    undone = read_target_transformation(root, len(variables), len(targets)) if analysis == "Regression" else None
    log.debug("%s: %s %s, %s of %d variables", path, kind, name, analysis.lower(), len(variables))
    return TmvaMethod(
        path=Path(path),
        kind=kind,
        name=name,
        analysis=analysis,
        options=options,
        info=info,
        variables=variables,
        spectators=_variables(root, "Spectators", "NSpec", "SpecIndex"),
        targets=targets,
        classes=classes,
        transformations=transformations,
        body=body,
        target_transformation=undone,
    )


def _kind_and_name(root: Node) -> tuple[str, str]:
    if root.tag != "MethodSetup":
        raise root.error(f"not a weights file of TMVA: its root element is {one_line(root.tag, 40)}, not MethodSetup")
    kind, _, name = root.text("Method").partition("::")
    if kind not in _READERS:
        supported = ", ".join(_READERS)
        raise root.error(f"method '{one_line(kind, 40)}' of TMVA is not supported; there are: {supported}")
    return kind, name or kind


def _analysis(info: dict[str, str], root: Node) -> Analysis:
    text = info.get("AnalysisType", "Classification")
    for known in _ANALYSES:
        if text.lower() == known.lower():
            return known
    raise root.error(f"unknown AnalysisType '{one_line(text, 40)}'{did_you_mean(text, _ANALYSES)}")


def _items(parent: Node, tag: str, count: str, index: str) -> list[Node]:
    """Numbered children, as many as the parent says, whose numbers, where they have any, run from 0."""
    items = parent.children(tag, parent.integer(count))
    for position, item in enumerate(items):
        if item.integer(index, default=position) != position:
            raise parent.error(f"{tag} {position} has the {index} {item.get(index)}; the file is damaged")
    return items


def _variables(root: Node, group: str, count: str, index: str) -> tuple[Variable, ...]:
    """Variables, spectators or targets; none where a file of an old TMVA has no such group."""
    if group != "Variables" and not root.has(group):
        return ()
    tag = group.removesuffix("s")
    items = _items(root.child(group), tag, count, index)
    return tuple(_variable(item.at(f"{tag} {position}")) for position, item in enumerate(items))


def _variable(node: Node) -> Variable:
    expression = node.text("Expression")
    if not expression.strip():
        raise node.error("its Expression is empty")
    label = node.get("Label") or expression
    return Variable(expression, label, node.get("Type", "F"), _limit(node, "Min"), _limit(node, "Max"))


def _limit(node: Node, name: str) -> float:
    """Minimum or maximum of a variable, which TMVA itself writes as NaN or inf for odd training events."""
    text = node.get(name, "0")
    try:
        return float(text)
    except ValueError:
        raise node.error(f"{name} is '{one_line(text, 40)}', not a number") from None


def _classes(root: Node, analysis: Analysis) -> tuple[str, ...]:
    if not root.has("Classes"):
        if analysis == "Multiclass":
            raise root.error("a Multiclass method without Classes")
        return _DEFAULT_CLASSES if analysis == "Classification" else ()
    names = tuple(node.text("Name") for node in _items(root.child("Classes"), "Class", "NClass", "Index"))
    if analysis == "Multiclass" and len(names) < 2:
        raise root.error(f"a Multiclass method with {len(names)} classes")
    if len(set(names)) < len(names):
        raise root.error(f"a class is listed twice: {', '.join(one_line(name, 40) for name in names)}")
    return names
