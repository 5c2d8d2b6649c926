"""Linear discriminants of TMVA: the `Weights` of Fisher and LD."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ntupleml.errors import NtuplemlError
from ntupleml.tmva.method import LinearDiscriminant
from ntupleml.tmva.xml_file import child, children, integer, number

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

    from numpy.typing import NDArray


def read_fisher(root: Element, num_inputs: int, where: str) -> LinearDiscriminant:
    """Fisher discriminant of a weights file; those of the option Method=Mahalanobis are the same.

    Parameters
    ----------
    root : Element
        The file's `MethodSetup`, or a `Method` of a boosted one: what has the `Weights`.

    Raises
    ------
    NtuplemlError
        If a coefficient is missing, twice there or not a number.
    """
    weights = child(root, "Weights", where)
    _check_count(weights, num_inputs, where)
    coefficients = np.full((1, num_inputs + 1), np.nan)
    for element in children(weights, "Coefficient", where, num_inputs + 1):
        index = integer(element, "Index", where, maximum=num_inputs)
        coefficients[0, index] = number(element, "Value", where)
    return _discriminant(coefficients, where, float32_sum=False)


def read_ld(root: Element, num_inputs: int, num_outputs: int, where: str) -> LinearDiscriminant:
    """Linear discriminant of a weights file: classification, or regression of `num_outputs` targets.

    Parameters
    ----------
    root : Element
        The file's `MethodSetup`, or a `Method` of a boosted one: what has the `Weights`.

    Raises
    ------
    NtuplemlError
        If a coefficient is missing, twice there or not a number, or the number of outputs is another.
    """
    weights = child(root, "Weights", where)
    _check_count(weights, num_inputs, where)
    if integer(weights, "NOut", where) != num_outputs:
        raise NtuplemlError(f"{where}: LD has {weights.get('NOut')} outputs, where {num_outputs} are needed")
    coefficients = np.full((num_outputs, num_inputs + 1), np.nan)
    for element in children(weights, "Coefficient", where, num_outputs * (num_inputs + 1)):
        output = integer(element, "IndexOut", where, maximum=num_outputs - 1)
        index = integer(element, "IndexCoeff", where, maximum=num_inputs)
        coefficients[output, index] = number(element, "Value", where)
    return _discriminant(coefficients, where, float32_sum=True)


def _check_count(weights: Element, num_inputs: int, where: str) -> None:
    if integer(weights, "NCoeff", where) != num_inputs + 1:
        raise NtuplemlError(
            f"{where}: it has {weights.get('NCoeff')} coefficients, where {num_inputs} of variables "
            "and an offset are needed"
        )


def _discriminant(coefficients: NDArray[np.float64], where: str, *, float32_sum: bool) -> LinearDiscriminant:
    if np.isnan(coefficients).any():
        raise NtuplemlError(f"{where}: a Coefficient is there twice, so that another is missing; the file is damaged")
    return LinearDiscriminant(coefficients[:, 0], coefficients[:, 1:], float32_sum)
