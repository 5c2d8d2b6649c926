"""Variable transformations of a TMVA weights file: normalization, decorrelation, principal components, Gauss, Uniform.

Each holds numbers for every class and, last, for all classes together. TMVA's Reader uses the last ones whatever
classes the option VarTransform named; only Likelihood asks for those of one class.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ntupleml.errors import did_you_mean, one_line
from ntupleml.tmva.method import Cumulative, Linear, Normalize, Rearrange
from ntupleml.tmva.pdf import read_pdf

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from ntupleml.tmva.method import Histogram, TargetTransformation, Transformation
    from ntupleml.tmva.xml_file import Node

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
    root: Node, num_variables: int, reference_class: int | None = None
) -> tuple[Transformation, ...]:
    """Transformations of the variables, in the order of their use.

    Parameters
    ----------
    reference_class : int, optional
        Class whose numbers to take; without it, those of all classes together.
    """
    result = []
    for node in _transformations(root):
        selection = _read_selection(node, root, num_variables)
        transformation = _read(node, selection, "Variable", reference_class)
        if transformation is not None:
            result.append(transformation)
    return tuple(result)


def read_target_transformation(root: Node, num_variables: int, num_targets: int) -> TargetTransformation | None:
    """The transformation that regression undoes in its answers.

    If several transform the targets, Reader undoes only the first: each of its inverses starts anew from the
    method's answers (`TransformationHandler::InverseTransform`).
    """
    for node in _transformations(root):
        selection = _read_selection(node, root, num_variables)
        if not selection.positions("Target"):
            continue
        transformation = _read(node, selection, "Target", None)
        if not isinstance(transformation, Normalize | Cumulative):
            raise node.error("it transforms targets, which TMVA cannot undo; only N, G and U are read")
        if max(*transformation.inputs, *transformation.outputs) >= num_targets:
            raise node.error(f"it selects more than the file's {num_targets} targets; the file is damaged")
        return transformation
    return None


def _transformations(root: Node) -> list[Node]:
    block = root.child("Transformations")
    result = []
    for index, node in enumerate(block.children("Transform", block.integer("NTransformations"))):
        name = node.text("Name")
        if name not in _NAMES:
            raise root.error(f"unknown transformation '{one_line(name, 40)}'{did_you_mean(name, _NAMES)}")
        result.append(node.at(f"transformation {index} ({name})"))
    return result


def _read_selection(node: Node, root: Node, num_variables: int) -> _Selection:
    if not node.has("Selection"):
        # before TMVA 4.1.0: all variables and, for normalization, all targets
        num_targets = 0
        if node.get("Name") == "Normalize":
            num_targets = node.integer("NTargets")
            if node.integer("NVariables") != num_variables:
                raise node.error(f"its NVariables is not the file's {num_variables}; the file is damaged")
        places = [_Place("Variable", index) for index in range(num_variables)]
        places += [_Place("Target", index) for index in range(num_targets)]
        return _Selection(places, places)
    selection = node.child("Selection")
    inputs = _read_places(selection.child("Input"), root)
    outputs = _read_places(selection.child("Output"), root)
    if [place.kind for place in inputs] != [place.kind for place in outputs]:
        raise node.error("it moves values between variables, targets and spectators, which is not read")
    for places in (inputs, outputs):
        if len(set(places)) != len(places) or any(
            place.kind == "Variable" and place.number >= num_variables for place in places
        ):
            raise node.error("its Selection repeats a variable, or names one too many")
    return _Selection(inputs, outputs)


def _read_places(block: Node, root: Node) -> list[_Place]:
    """TMVA identifies a variable by its label or its expression, and takes the first that fits."""
    places = []
    for node in block.children(block.tag, block.integer(f"N{block.tag}s")):
        kind = node.text("Type")
        if kind not in _TYPES:
            raise block.error(f"unknown type '{one_line(kind, 40)}'{did_you_mean(kind, _TYPES)}")
        label, expression = node.text("Label"), node.text("Expression")
        candidates = list(root.element.iterfind(f"{_TYPES[kind]}/*"))
        found = (
            index
            for index, candidate in enumerate(candidates)
            if candidate.get("Label") == label or candidate.get("Expression") == expression
        )
        number = next(found, None)
        if number is None:
            hint = did_you_mean(label, [candidate.get("Label", "") for candidate in candidates])
            raise block.error(f"it selects {kind.lower()} '{one_line(label, 40)}', which the file does not have{hint}")
        places.append(_Place(kind, number))
    return places


def _read(node: Node, selection: _Selection, kind: str, reference_class: int | None) -> Transformation | None:
    """What a transformation does to the variables, or to the targets; None where it does nothing to them."""
    positions = selection.positions(kind)
    if not positions:
        return None
    inputs, outputs = selection.places(kind)
    name = node.get("Name")
    if name == "Normalize":
        minimum, maximum = _read_ranges(node, len(selection.inputs), reference_class)
        return Normalize(inputs, minimum[positions], maximum[positions], outputs)
    if name in ("Gauss", "Uniform"):
        gaussian = node.text("FlatOrGauss") != "Flat"
        histograms = _read_cumulatives(node, len(selection.inputs), positions, reference_class)
        return Cumulative(inputs, histograms, gaussian, outputs)
    if len(positions) != len(selection.inputs):
        raise node.error("it mixes variables with targets or spectators, which TMVA cannot apply")
    if name == "Rearrange":
        return Rearrange(inputs, outputs)
    mean, matrix = _read_linear(node, len(inputs), reference_class)
    return Linear(inputs, mean, matrix, outputs)


def _of_class(entries: Sequence[Node], reference_class: int | None, what: str, node: Node) -> Node:
    """The entry of a class; of all classes together, the last one, where that class has none."""
    if not entries:
        raise node.error(f"it has no {what}; the file is damaged")
    return entries[-1 if reference_class is None or reference_class >= len(entries) else reference_class]


def _by_class_index(node: Node, tag: str) -> list[Node]:
    """Children in the order of their `ClassIndex`, which must run from 0."""
    found = {entry.integer("ClassIndex"): entry for entry in node.children(tag)}
    if sorted(found) != list(range(len(node.children(tag)))):
        raise node.error(f"the ClassIndex of its {tag} do not run from 0; the file is damaged")
    return [found[index] for index in range(len(found))]


def _read_ranges(node: Node, size: int, reference_class: int | None) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Minimum and maximum of each selected value."""
    entry = _of_class(_by_class_index(node, "Class"), reference_class, "Class", node)
    if node.has("Selection"):
        ranges = [(item.integer("Index"), item) for item in entry.child("Ranges").children("Range")]
    else:
        variables = entry.child("Variables").children("Variable")
        targets = entry.child("Targets").children("Target") if entry.has("Targets") else []
        ranges = [(item.integer("VarIndex"), item) for item in variables]
        ranges += [(len(variables) + item.integer("TargetIndex"), item) for item in targets]
    if sorted(index for index, _ in ranges) != list(range(size)):
        raise node.error(f"it has {len(ranges)} ranges for {size} selected values; the file is damaged")
    limits = np.zeros((2, size))
    for index, item in ranges:
        limits[:, index] = item.number("Min"), item.number("Max")
    return limits[0], limits[1]


def _read_cumulatives(
    node: Node, size: int, positions: Sequence[int], reference_class: int | None
) -> tuple[Histogram, ...]:
    blocks = node.children("Variable")
    if [block.integer("VarIndex") for block in blocks] != list(range(size)):
        raise node.error(f"its VarIndex do not run from 0 to {size - 1}; the file is damaged")
    densities = []
    for position in positions:
        entries = [block for block in blocks[position].children("*") if block.tag.startswith("CumulativePDF_cls")]
        chosen = _of_class(entries, reference_class, "CumulativePDF", node)
        densities.append(read_pdf(chosen.child("PDF"), normalize=False))
    if not all(density.interpolated for density in densities):
        raise node.error("its distributions are not interpolated (InterpolMethod 0), which is not read")
    return tuple(density.histogram for density in densities)


def _read_linear(node: Node, size: int, reference_class: int | None) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and matrix: principal components subtract the mean, and their eigenvectors are the matrix' rows."""
    if node.get("Name") == "Decorrelation":
        entry = _of_class(node.children("Matrix"), reference_class, "Matrix", node)
        return np.zeros(size), _read_matrix(entry, "Rows", "Columns", size)
    statistics, eigenvectors = _by_class_index(node, "Statistics"), _by_class_index(node, "Eigenvectors")
    if len(statistics) != len(eigenvectors):
        raise node.error(f"it has {len(statistics)} Statistics but {len(eigenvectors)} Eigenvectors")
    entry = _of_class(statistics, reference_class, "Statistics", node)
    if entry.integer("NRows") != size:
        raise node.error(f"Statistics are of {entry.get('NRows')} values, but {size} are selected")
    mean = entry.numbers(size)
    entry = _of_class(eigenvectors, reference_class, "Eigenvectors", node)
    return mean, _read_matrix(entry, "NRows", "NCols", size).T


def _read_matrix(entry: Node, rows: str, columns: str, size: int) -> NDArray[np.float64]:
    shape = entry.integer(rows), entry.integer(columns)
    if shape != (size, size):
        raise entry.error(f"{entry.tag} is {shape[0]} × {shape[1]}, where {size} × {size} is needed")
    return entry.numbers(size * size).reshape(size, size)
