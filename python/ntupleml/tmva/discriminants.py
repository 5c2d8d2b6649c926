"""TMVA's Fisher and linear discriminants, boosted ones, and one-dimensional likelihoods."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, cast

import numpy as np

from ntupleml.errors import one_line
from ntupleml.tmva.method import Boosted, Likelihood, LinearDiscriminant
from ntupleml.tmva.pdf import read_pdf
from ntupleml.tmva.transformations import read_transformations

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ntupleml.tmva.method import Density, MethodSetup
    from ntupleml.tmva.xml_file import Node

#: The default first.
TRANSFORMS = ("step", "linear", "log", "gauss")
MEMBERS = ("Fisher", "LD")


def read_fisher(setup: MethodSetup) -> LinearDiscriminant:
    """Fisher discriminant; those of the option Method=Mahalanobis are the same."""
    return _fisher(setup.root, setup.num_inputs)


def read_ld(setup: MethodSetup) -> LinearDiscriminant:
    """Linear discriminant: classification, or regression of several targets."""
    return _ld(setup.root, setup.num_inputs, setup.num_outputs)


def _fisher(node: Node, num_inputs: int) -> LinearDiscriminant:
    """Of a whole method, or of a member of a boosted one: what has the `Weights`."""
    weights = _weights(node, num_inputs)
    coefficients = np.full((1, num_inputs + 1), np.nan)
    for entry in weights.children("Coefficient", num_inputs + 1):
        coefficients[0, entry.integer("Index", maximum=num_inputs)] = entry.number("Value")
    return _discriminant(coefficients, node, float32_sum=False)


def _ld(node: Node, num_inputs: int, num_outputs: int) -> LinearDiscriminant:
    weights = _weights(node, num_inputs)
    if weights.integer("NOut") != num_outputs:
        raise node.error(f"LD has {weights.get('NOut')} outputs, where {num_outputs} are needed")
    coefficients = np.full((num_outputs, num_inputs + 1), np.nan)
    for entry in weights.children("Coefficient", num_outputs * (num_inputs + 1)):
        output = entry.integer("IndexOut", maximum=num_outputs - 1)
        coefficients[output, entry.integer("IndexCoeff", maximum=num_inputs)] = entry.number("Value")
    return _discriminant(coefficients, node, float32_sum=True)


def _weights(node: Node, num_inputs: int) -> Node:
    weights = node.child("Weights")
    if weights.integer("NCoeff") != num_inputs + 1:
        raise node.error(
            f"it has {weights.get('NCoeff')} coefficients, where {num_inputs} of variables and an offset are needed"
        )
    return weights


def _discriminant(coefficients: NDArray[np.float64], node: Node, *, float32_sum: bool) -> LinearDiscriminant:
    if np.isnan(coefficients).any():
        raise node.error("a Coefficient is there twice, so that another is missing; the file is damaged")
    return LinearDiscriminant(coefficients[:, 0], coefficients[:, 1:], float32_sum)


def read_boost(setup: MethodSetup) -> Boosted:
    """Boosted discriminants.

    The transformations of variables are those of the file: TMVA's Reader gives them to every member
    (`MethodCompositeBase::ReadWeightsFromXML`).
    """
    root, weights = setup.root, setup.weights
    elements = weights.children("Method", weights.integer("NMethods", minimum=1))
    members, numbers = [], []
    for index, element in enumerate(elements):
        member = element.at(f"boosted method {index}")
        members.append(_read_member(member, setup.num_inputs))
        numbers.append([member.number(name) for name in ("Weight", "MethodSigCut", "MethodSigCutOrientation")])
    if len({element.get("MethodTypeName") for element in elements}) > 1:
        raise root.error("its boosted methods are of different kinds; the file is damaged")
    method_weights, cuts, orientations = np.array(numbers).T
    if method_weights.sum() == 0:
        raise root.error("the weights of its boosted methods add up to 0; there is no mean")
    transform = cast("Literal['step', 'linear', 'log', 'gauss']", setup.choice("Boost_Transform", TRANSFORMS))
    return Boosted(tuple(members), method_weights, cuts, orientations, transform)


def _read_member(member: Node, num_inputs: int) -> LinearDiscriminant:
    kind = member.text("MethodTypeName")
    if kind == "Fisher":
        return _fisher(member, num_inputs)
    if kind == "LD":
        return _ld(member, num_inputs, 1)
    raise member.error(f"it is a '{one_line(kind, 40)}'; only boosted {' and '.join(MEMBERS)} are read")


def read_likelihood(setup: MethodSetup) -> Likelihood:
    """Densities of signal and background of each variable, and the transformations for each of the two."""
    root, weights, num_inputs = setup.root, setup.weights, setup.num_inputs
    if weights.integer("NVariables") != num_inputs:
        raise root.error(f"it has densities of {weights.get('NVariables')} variables, where {num_inputs} are needed")
    # TMVA goes by the order: signal and background of the first variable, of the second, …
    densities: list[Density] = []
    for index, element in enumerate(weights.children("PDFDescriptor", 2 * num_inputs)):
        entry = element.at(f"density {index % 2} of variable {index // 2}")
        if (entry.integer("VarIndex"), entry.integer("ClassIndex")) != divmod(index, 2):
            raise root.error("its PDFDescriptors are not in order; the file is damaged")
        densities.append(read_pdf(entry.child("PDF"), normalize=True))
    discrete = [element.get("Type") == "N" for element in root.element.iterfind("Variables/Variable")]
    signal = tuple(
        density._replace(interpolated=density.interpolated and not is_discrete)
        for density, is_discrete in zip(densities[::2], discrete, strict=True)
    )
    background = tuple(  # TMVA asks the signal's density, and the variable, how to read both
        density._replace(interpolated=reference.interpolated)
        for density, reference in zip(densities[1::2], signal, strict=True)
    )
    names = [element.get("Name") for element in root.element.iterfind("Classes/Class")]
    of_signal, of_background = (
        read_transformations(root, num_inputs, names.index(name) if name in names else default)
        for default, name in enumerate(("Signal", "Background"))
    )
    return Likelihood(signal, background, (of_signal, of_background), setup.flag("TransformOutput", False))
