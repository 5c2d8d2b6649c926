"""Boosted Fisher and linear discriminants: the `Weights` of TMVA's MethodBoost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, cast

import numpy as np

from ntupleml.errors import NtuplemlError, one_line
from ntupleml.tmva.discriminants import read_fisher, read_ld
from ntupleml.tmva.method import Boosted
from ntupleml.tmva.xml_file import attribute, child, children, chosen_option, integer, number

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

    from ntupleml.tmva.method import LinearDiscriminant

#: The default first.
TRANSFORMS = ("step", "linear", "log", "gauss")
MEMBERS = ("Fisher", "LD")


def read_boost(root: Element, num_inputs: int, where: str) -> Boosted:
    """Boosted discriminants of a weights file.

    The transformations of variables are those of the file: TMVA's Reader gives them to every member
    (`MethodCompositeBase::ReadWeightsFromXML`).

    Parameters
    ----------
    root : Element
        The file's `MethodSetup`.

    Raises
    ------
    NtuplemlError
        If something is missing or not a number, or the boosted method is of another kind.
    """
    weights = child(root, "Weights", where)
    elements = children(weights, "Method", where, integer(weights, "NMethods", where, minimum=1))
    members, numbers = [], []
    for index, element in enumerate(elements):
        place = f"{where}: boosted method {index}"
        members.append(_read_member(element, num_inputs, place))
        names = ("Weight", "MethodSigCut", "MethodSigCutOrientation")
        numbers.append([number(element, name, place) for name in names])
    if len({element.get("MethodTypeName") for element in elements}) > 1:
        raise NtuplemlError(f"{where}: its boosted methods are of different kinds; the file is damaged")
    method_weights, cuts, orientations = np.array(numbers).T
    if method_weights.sum() == 0:
        raise NtuplemlError(f"{where}: the weights of its boosted methods add up to 0; there is no mean")
    transform = chosen_option(root, "Boost_Transform", TRANSFORMS, where)
    return Boosted(
        tuple(members), method_weights, cuts, orientations, cast("Literal['step', 'linear', 'log', 'gauss']", transform)
    )


def _read_member(element: Element, num_inputs: int, where: str) -> LinearDiscriminant:
    kind = attribute(element, "MethodTypeName", where)
    if kind == "Fisher":
        return read_fisher(element, num_inputs, where)
    if kind == "LD":
        return read_ld(element, num_inputs, 1, where)
    raise NtuplemlError(f"{where}: it is a '{one_line(kind, 40)}'; only boosted {' and '.join(MEMBERS)} are read")
