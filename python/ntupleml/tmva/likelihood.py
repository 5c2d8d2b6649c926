"""One-dimensional likelihoods of TMVA: the `Weights` of a MethodLikelihood."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ntupleml.errors import NtuplemlError
from ntupleml.tmva.method import Likelihood
from ntupleml.tmva.pdf import read_pdf
from ntupleml.tmva.transformations import read_transformations
from ntupleml.tmva.xml_file import boolean_option, child, children, integer

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

    from ntupleml.tmva.method import Density


def read_likelihood(root: Element, num_inputs: int, where: str) -> Likelihood:
    """Densities of signal and background of each variable, and the transformations for each of the two.

    Parameters
    ----------
    root : Element
        The file's `MethodSetup`.

    Raises
    ------
    NtuplemlError
        If something is missing, impossible or contradictory.
    """
    weights = child(root, "Weights", where)
    if integer(weights, "NVariables", where) != num_inputs:
        raise NtuplemlError(
            f"{where}: it has densities of {weights.get('NVariables')} variables, where {num_inputs} are needed"
        )
    # TMVA goes by the order: signal and background of the first variable, of the second, …
    densities: list[Density] = []
    for index, element in enumerate(children(weights, "PDFDescriptor", where, 2 * num_inputs)):
        place = f"{where}: density {index % 2} of variable {index // 2}"
        if (integer(element, "VarIndex", place), integer(element, "ClassIndex", place)) != divmod(index, 2):
            raise NtuplemlError(f"{where}: its PDFDescriptors are not in order; the file is damaged")
        densities.append(read_pdf(child(element, "PDF", place), place, normalize=True))
    discrete = [element.get("Type") == "N" for element in root.iterfind("Variables/Variable")]
    signal = tuple(
        density._replace(interpolated=density.interpolated and not is_discrete)
        for density, is_discrete in zip(densities[::2], discrete, strict=True)
    )
    background = tuple(  # TMVA asks the signal's density, and the variable, how to read both
        density._replace(interpolated=reference.interpolated)
        for density, reference in zip(densities[1::2], signal, strict=True)
    )
    transformations = tuple(
        read_transformations(root, num_inputs, where, _class_index(root, name, default))
        for name, default in (("Signal", 0), ("Background", 1))
    )
    options = {element.get("name", ""): element.text or "" for element in root.iterfind("Options/Option")}
    transform_output = boolean_option(options, "TransformOutput", False, where)
    return Likelihood(signal, background, (transformations[0], transformations[1]), transform_output)


def _class_index(root: Element, name: str, default: int) -> int:
    names = [element.get("Name") for element in root.iterfind("Classes/Class")]
    return names.index(name) if name in names else default
