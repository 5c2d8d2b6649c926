"""A weights file of TMVA as typed data: what all methods have in common here, their bodies in modules of their own."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ntupleml.errors import NtuplemlError, did_you_mean, one_line
from ntupleml.tmva.method import TmvaMethod, Variable
from ntupleml.tmva.xml_file import attribute, child, children, integer, read_xml

if TYPE_CHECKING:
    from collections.abc import Callable
    from xml.etree.ElementTree import Element

    from ntupleml.tmva.method import Analysis, TargetTransformation, Transformation

log = logging.getLogger(__name__)

_ANALYSES: dict[str, Analysis] = {
    "classification": "Classification",
    "multiclass": "Multiclass",
    "regression": "Regression",
}
#: What TMVA calls the classes where a file names none.
_DEFAULT_CLASSES = ("Signal", "Background")


class _Contents(NamedTuple):
    """What the body of a method needs of the rest of its file."""

    root: Element
    options: dict[str, str]
    analysis: Analysis
    num_variables: int
    num_outputs: int
    where: str


def read_weights(path: str | Path) -> TmvaMethod:
    """Read a weights file of any method that can be evaluated here.

    Parameters
    ----------
    path : path
        ``*.weights.xml`` of TMVA 4 or later.

    Raises
    ------
    NtuplemlError
        If it is not such a file, is damaged or contradicts itself, or is of a method that is not read.
    """
    path = Path(path)
    where = str(path)
    root = read_xml(path)
    kind, name = _kind_and_name(root, where)
    options = _options(root, where)
    info = {
        attribute(item, "name", where): attribute(item, "value", where)
        for item in children(child(root, "GeneralInfo", where), "Info", where)
    }
    analysis = _analysis(info, where)
    variables = _variables(root, "Variables", "Variable", "NVar", "VarIndex", where)
    if not variables:
        raise NtuplemlError(f"{where}: the method has no variables")
    targets = _targets(root, analysis, where)
    classes = _classes(root, analysis, where)
    num_outputs = {"Classification": 1, "Multiclass": len(classes), "Regression": len(targets)}[analysis]
    contents = _Contents(root, options, analysis, len(variables), num_outputs, where)
    method = TmvaMethod(
        path=path,
        kind=kind,
        name=name,
        analysis=analysis,
        options=options,
        info=info,
        variables=variables,
        spectators=_variables(root, "Spectators", "Spectator", "NSpec", "SpecIndex", where),
        targets=targets,
        classes=classes,
        transformations=_transformations(contents, kind),
        body=_READERS[kind](contents),
        target_transformation=_target_transformation(contents),
    )
    log.debug("%s: %s %s, %s of %d variables", path, kind, name, analysis.lower(), len(variables))
    return method


def _kind_and_name(root: Element, where: str) -> tuple[str, str]:
    if root.tag != "MethodSetup":
        raise NtuplemlError(
            f"{where}: not a weights file of TMVA: its root element is {one_line(root.tag, 40)}, not MethodSetup"
        )
    text = attribute(root, "Method", where)
    kind, _, name = text.partition("::")
    if kind not in _READERS:
        supported = ", ".join(_READERS)
        raise NtuplemlError(f"{where}: method '{one_line(kind, 40)}' of TMVA is not supported; there are: {supported}")
    return kind, name or kind


def _options(root: Element, where: str) -> dict[str, str]:
    options = children(child(root, "Options", where), "Option", where)
    return {attribute(option, "name", where): (option.text or "").strip() for option in options}


def _analysis(info: dict[str, str], where: str) -> Analysis:
    text = info.get("AnalysisType", "Classification")
    if text.lower() not in _ANALYSES:
        names = _ANALYSES.values()
        raise NtuplemlError(f"{where}: unknown AnalysisType '{one_line(text, 40)}'{did_you_mean(text, names)}")
    return _ANALYSES[text.lower()]


def _variables(root: Element, group: str, item: str, count: str, index: str, where: str) -> tuple[Variable, ...]:
    """Variables, spectators or targets; none where a file of an old TMVA has no such group."""
    if group != "Variables" and root.find(group) is None:
        return ()
    parent = child(root, group, where)
    elements = children(parent, item, where, integer(parent, count, where))
    for position, element in enumerate(elements):
        if integer(element, index, where, default=position) != position:
            raise NtuplemlError(f"{where}: {item} {position} has the {index} {element.get(index)}; the file is damaged")
    return tuple(_variable(element, f"{where}: {item} {position}") for position, element in enumerate(elements))


def _variable(element: Element, where: str) -> Variable:
    expression = attribute(element, "Expression", where)
    if not expression.strip():
        raise NtuplemlError(f"{where}: its Expression is empty")
    return Variable(
        expression=expression,
        label=element.get("Label") or expression,
        kind=element.get("Type", "F"),
        minimum=_limit(element, "Min", where),
        maximum=_limit(element, "Max", where),
    )


def _limit(element: Element, name: str, where: str) -> float:
    """Minimum or maximum of a variable, which TMVA itself writes as NaN or inf for odd training events."""
    text = element.get(name, "0")
    try:
        return float(text)
    except ValueError:
        raise NtuplemlError(f"{where}: {name} is '{one_line(text, 40)}', not a number") from None


def _targets(root: Element, analysis: Analysis, where: str) -> tuple[Variable, ...]:
    if analysis != "Regression":
        return ()
    targets = _variables(root, "Targets", "Target", "NTrgt", "TargetIndex", where)
    if not targets:
        raise NtuplemlError(f"{where}: a regression without Targets")
    return targets


def _classes(root: Element, analysis: Analysis, where: str) -> tuple[str, ...]:
    if root.find("Classes") is None:
        if analysis == "Multiclass":
            raise NtuplemlError(f"{where}: a Multiclass method without Classes")
        return _DEFAULT_CLASSES if analysis == "Classification" else ()
    parent = child(root, "Classes", where)
    elements = children(parent, "Class", where, integer(parent, "NClass", where))
    for position, element in enumerate(elements):
        if integer(element, "Index", where, default=position) != position:
            raise NtuplemlError(f"{where}: Class {position} has the Index {element.get('Index')}; the file is damaged")
    names = tuple(attribute(element, "Name", where) for element in elements)
    if analysis == "Multiclass" and len(names) < 2:
        raise NtuplemlError(f"{where}: a Multiclass method with {len(names)} classes")
    if len(set(names)) < len(names):
        raise NtuplemlError(f"{where}: a class is listed twice: {', '.join(one_line(name, 40) for name in names)}")
    return names


def _transformations(contents: _Contents, kind: str) -> tuple[Transformation, ...]:
    if kind == "Likelihood":  # its body has those of each class
        return ()
    from ntupleml.tmva.transformations import read_transformations

    return read_transformations(contents.root, contents.num_variables, contents.where)


def _target_transformation(contents: _Contents) -> TargetTransformation | None:
    if contents.analysis != "Regression":
        return None
    from ntupleml.tmva.transformations import read_target_transformation

    return read_target_transformation(contents.root, contents.num_variables, contents.num_outputs, contents.where)


def _read_bdt(contents: _Contents) -> object:
    from ntupleml.tmva.bdt import read_bdt

    root, options, analysis, num_variables, num_outputs, where = contents
    if analysis == "Regression" and num_outputs > 1:
        raise NtuplemlError(f"{where}: a BDT answers for one target, but the file has {num_outputs}")
    return read_bdt(child(root, "Weights", where), options, analysis, num_variables, num_outputs, where)


def _read_mlp(contents: _Contents) -> object:
    from ntupleml.tmva.mlp import read_mlp

    root, _, analysis, num_variables, num_outputs, where = contents
    return read_mlp(root, analysis, num_variables, num_outputs, where)


def _read_fisher(contents: _Contents) -> object:
    from ntupleml.tmva.discriminants import read_fisher

    _one_value(contents)
    return read_fisher(contents.root, contents.num_variables, contents.where)


def _read_ld(contents: _Contents) -> object:
    from ntupleml.tmva.discriminants import read_ld

    if contents.analysis == "Multiclass":
        _one_value(contents)
    return read_ld(contents.root, contents.num_variables, contents.num_outputs, contents.where)


def _read_likelihood(contents: _Contents) -> object:
    from ntupleml.tmva.likelihood import read_likelihood

    _one_value(contents)
    return read_likelihood(contents.root, contents.num_variables, contents.where)


def _read_boost(contents: _Contents) -> object:
    from ntupleml.tmva.boost import read_boost

    _one_value(contents)
    return read_boost(contents.root, contents.num_variables, contents.where)


def _read_pykeras(contents: _Contents) -> object:
    """The network is a file of its own, which the options name."""
    from ntupleml.tmva.pykeras import read_pykeras

    return read_pykeras(contents.root, contents.options, contents.num_outputs, contents.where)


def _one_value(contents: _Contents) -> None:
    """Refuse what TMVA does not offer for a method that tells signal from background."""
    if contents.analysis != "Classification":
        raise NtuplemlError(f"{contents.where}: TMVA has no {contents.analysis} by this method; the file is damaged")


_READERS: dict[str, Callable[[_Contents], object]] = {
    "BDT": _read_bdt,
    "MLP": _read_mlp,
    "Fisher": _read_fisher,
    "LD": _read_ld,
    "Likelihood": _read_likelihood,
    "Boost": _read_boost,
    "PyKeras": _read_pykeras,
}
