"""Variable transformations of a TMVA weights file: normalization, decorrelation, principal components, Gauss, Uniform.

Each holds numbers for every class and, last, for all classes together. TMVA's Reader uses the last ones whatever
classes the option VarTransform named; only Likelihood asks for those of one class.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ntupleml.errors import NtuplemlError, did_you_mean, one_line
from ntupleml.tmva.method import Cumulative, Linear, Normalize, Rearrange
from ntupleml.tmva.pdf import read_pdf
from ntupleml.tmva.xml_file import attribute, child, children, integer, number, numbers

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

    from numpy.typing import NDArray

    from ntupleml.tmva.method import TargetTransformation, Transformation

_TYPES = {"Variable": "Variables", "Target": "Targets", "Spectator": "Spectators"}
_NAMES = ("Decorrelation", "Gauss", "Normalize", "PCA", "Rearrange", "Uniform")


class _Place(NamedTuple):
    """A variable, target or spectator."""

    kind: str
    number: int


class _Selection(NamedTuple):
    """What a transformation reads, and where its results go; of the same length."""

    inputs: list[_Place]
    outputs: list[_Place]

    def positions(self, kind: str) -> list[int]:
        """Where in the selection the variables, targets or spectators are."""
        return [position for position, place in enumerate(self.inputs) if place.kind == kind]

    def places(self, kind: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Indices of the inputs and outputs of a kind."""
        positions = self.positions(kind)
        inputs = tuple(self.inputs[position].number for position in positions)
        return inputs, tuple(self.outputs[position].number for position in positions)


def read_transformations(
    root: Element, num_variables: int, where: str, reference_class: int | None = None
) -> tuple[Transformation, ...]:
    """Transformations of the variables, in the order of their use.

    Parameters
    ----------
    root : Element
        The file's `MethodSetup`.
    reference_class : int, optional
        Class whose numbers to take; without it, those of all classes together.

    Raises
    ------
    NtuplemlError
        If something is missing, impossible, contradictory or unknown.
    """
    result = []
    for element, place in _transformations(root, where):
        selection = _read_selection(element, root, num_variables, place)
        transformation = _read(element, selection, "Variable", reference_class, place)
        if transformation is not None:
            result.append(transformation)
    return tuple(result)


def read_target_transformation(
    root: Element, num_variables: int, num_targets: int, where: str
) -> TargetTransformation | None:
    """The transformation that regression undoes in its answers.

    If several transform the targets, Reader undoes only the first: each of its inverses starts anew from the
    method's answers (`TransformationHandler::InverseTransform`).

    Raises
    ------
    NtuplemlError
        As `read_transformations`, and for one that cannot be undone.
    """
    for element, place in _transformations(root, where):
        selection = _read_selection(element, root, num_variables, place)
        if not selection.positions("Target"):
            continue
        transformation = _read(element, selection, "Target", None, place)
        if not isinstance(transformation, Normalize | Cumulative):
            raise NtuplemlError(f"{place}: it transforms targets, which TMVA cannot undo; only N, G and U are read")
        if max(*transformation.inputs, *transformation.outputs) >= num_targets:
            raise NtuplemlError(f"{place}: it selects more than the file's {num_targets} targets; the file is damaged")
        return transformation
    return None


def _transformations(root: Element, where: str) -> list[tuple[Element, str]]:
    """Elements, and where each is."""
    block = child(root, "Transformations", where)
    elements = children(block, "Transform", where, integer(block, "NTransformations", where))
    result = []
    for index, element in enumerate(elements):
        name = attribute(element, "Name", where)
        if name not in _NAMES:
            raise NtuplemlError(f"{where}: unknown transformation '{one_line(name, 40)}'{did_you_mean(name, _NAMES)}")
        result.append((element, f"{where}: transformation {index} ({name})"))
    return result


def _read_selection(element: Element, root: Element, num_variables: int, where: str) -> _Selection:
    if element.find("Selection") is None:
        # before TMVA 4.1.0: all variables and, for normalization, all targets
        num_targets = 0
        if element.get("Name") == "Normalize":
            num_targets = integer(element, "NTargets", where)
            if integer(element, "NVariables", where) != num_variables:
                raise NtuplemlError(f"{where}: its NVariables is not the file's {num_variables}; the file is damaged")
        places = [_Place("Variable", index) for index in range(num_variables)]
        places += [_Place("Target", index) for index in range(num_targets)]
        return _Selection(places, places)
    selection = child(element, "Selection", where)
    inputs = _read_places(child(selection, "Input", where), "Input", root, where)
    outputs = _read_places(child(selection, "Output", where), "Output", root, where)
    if [place.kind for place in inputs] != [place.kind for place in outputs]:
        raise NtuplemlError(f"{where}: it moves values between variables, targets and spectators, which is not read")
    for places in (inputs, outputs):
        if len(set(places)) != len(places) or any(
            place.kind == "Variable" and place.number >= num_variables for place in places
        ):
            raise NtuplemlError(f"{where}: its Selection repeats a variable, or names one too many")
    return _Selection(inputs, outputs)


def _read_places(block: Element, tag: str, root: Element, where: str) -> list[_Place]:
    """TMVA identifies a variable by its label or its expression, and takes the first that fits."""
    places = []
    for element in children(block, tag, where, integer(block, f"N{tag}s", where)):
        kind = attribute(element, "Type", where)
        if kind not in _TYPES:
            raise NtuplemlError(f"{where}: unknown type '{one_line(kind, 40)}'{did_you_mean(kind, _TYPES)}")
        label, expression = attribute(element, "Label", where), attribute(element, "Expression", where)
        group = root.find(_TYPES[kind])
        candidates = [] if group is None else list(group)
        for index, candidate in enumerate(candidates):
            if candidate.get("Label") == label or candidate.get("Expression") == expression:
                places.append(_Place(kind, index))
                break
        else:
            names = [candidate.get("Label", "") for candidate in candidates]
            message = f"{where}: it selects {kind.lower()} '{one_line(label, 40)}', which the file does not have"
            raise NtuplemlError(message + did_you_mean(label, names))
    return places


def _read(
    element: Element, selection: _Selection, kind: str, reference_class: int | None, where: str
) -> Transformation | None:
    """What a transformation does to the variables, or to the targets; None where it does nothing to them."""
    positions = selection.positions(kind)
    if not positions:
        return None
    inputs, outputs = selection.places(kind)
    name = element.get("Name")
    if name == "Normalize":
        minimum, maximum = _read_ranges(element, len(selection.inputs), reference_class, where)
        return Normalize(inputs, minimum[positions], maximum[positions], outputs)
    if name in ("Gauss", "Uniform"):
        gaussian = attribute(element, "FlatOrGauss", where) != "Flat"
        blocks = _read_variable_blocks(element, len(selection.inputs), where)
        chosen = [_cumulative_block(blocks[position], reference_class, where) for position in positions]
        distributions = [read_pdf(child(block, "PDF", where), where, normalize=False) for block in chosen]
        if not all(distribution.interpolated for distribution in distributions):
            raise NtuplemlError(
                f"{where}: its distributions are not interpolated (InterpolMethod 0), which is not read"
            )
        histograms = tuple(distribution.histogram for distribution in distributions)
        return Cumulative(inputs, histograms, gaussian, outputs)
    if len(positions) != len(selection.inputs):
        raise NtuplemlError(f"{where}: it mixes variables with targets or spectators, which TMVA cannot apply")
    if name == "Rearrange":
        return Rearrange(inputs, outputs)
    mean, matrix = _read_linear(element, len(inputs), reference_class, where)
    return Linear(inputs, mean, matrix, outputs)


def _of_class(entries: list[Element], reference_class: int | None, what: str, where: str) -> Element:
    """The entry of a class; of all classes together, the last one, where that class has none."""
    if not entries:
        raise NtuplemlError(f"{where}: it has no {what}; the file is damaged")
    if reference_class is None or reference_class >= len(entries):
        return entries[-1]
    return entries[reference_class]


def _by_class_index(element: Element, tag: str, where: str) -> list[Element]:
    """Children in the order of their `ClassIndex`, which must run from 0."""
    found = element.findall(tag)
    indices = [integer(entry, "ClassIndex", where) for entry in found]
    if sorted(indices) != list(range(len(found))):
        raise NtuplemlError(f"{where}: the ClassIndex of its {tag} do not run from 0; the file is damaged")
    return [found[indices.index(index)] for index in range(len(found))]


def _read_ranges(
    element: Element, size: int, reference_class: int | None, where: str
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Minimum and maximum of each selected value."""
    entry = _of_class(_by_class_index(element, "Class", where), reference_class, "Class", where)
    if element.find("Selection") is None:
        variables = child(entry, "Variables", where).findall("Variable")
        targets = entry.find("Targets")
        ranges = [(integer(item, "VarIndex", where), item) for item in variables]
        for item in [] if targets is None else targets.findall("Target"):
            ranges.append((len(variables) + integer(item, "TargetIndex", where), item))
    else:
        ranges = [(integer(item, "Index", where), item) for item in child(entry, "Ranges", where).findall("Range")]
    if sorted(index for index, _ in ranges) != list(range(size)):
        raise NtuplemlError(f"{where}: it has {len(ranges)} ranges for {size} selected values; the file is damaged")
    limits = np.zeros((2, size))
    for index, item in ranges:
        limits[:, index] = number(item, "Min", where), number(item, "Max", where)
    return limits[0], limits[1]


def _read_variable_blocks(element: Element, size: int, where: str) -> list[Element]:
    found = element.findall("Variable")
    if [integer(block, "VarIndex", where) for block in found] != list(range(size)):
        raise NtuplemlError(f"{where}: its VarIndex do not run from 0 to {size - 1}; the file is damaged")
    return found


def _cumulative_block(block: Element, reference_class: int | None, where: str) -> Element:
    entries = [entry for entry in block if entry.tag.startswith("CumulativePDF_cls")]
    return _of_class(entries, reference_class, "CumulativePDF", where)


def _read_linear(
    element: Element, size: int, reference_class: int | None, where: str
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and matrix: principal components subtract the mean, and their eigenvectors are the matrix' rows."""
    if element.get("Name") == "Decorrelation":
        entry = _of_class(element.findall("Matrix"), reference_class, "Matrix", where)
        return np.zeros(size), _read_matrix(entry, "Columns", size, where)
    statistics = _by_class_index(element, "Statistics", where)
    eigenvectors = _by_class_index(element, "Eigenvectors", where)
    if len(statistics) != len(eigenvectors):
        raise NtuplemlError(f"{where}: it has {len(statistics)} Statistics but {len(eigenvectors)} Eigenvectors")
    entry = _of_class(statistics, reference_class, "Statistics", where)
    if integer(entry, "NRows", where) != size:
        raise NtuplemlError(f"{where}: Statistics are of {entry.get('NRows')} values, but {size} are selected")
    mean = numbers(entry.text, size, "Statistics", where)
    entry = _of_class(eigenvectors, reference_class, "Eigenvectors", where)
    return mean, _read_matrix(entry, "NCols", size, where).T


def _read_matrix(entry: Element, columns: str, size: int, where: str) -> NDArray[np.float64]:
    rows = "Rows" if columns == "Columns" else "NRows"
    shape = integer(entry, rows, where), integer(entry, columns, where)
    if shape != (size, size):
        raise NtuplemlError(f"{where}: {entry.tag} is {shape[0]} × {shape[1]}, where {size} × {size} is needed")
    return numbers(entry.text, size * size, entry.tag, where).reshape(size, size)
