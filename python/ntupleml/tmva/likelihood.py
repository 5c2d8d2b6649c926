"""One-dimensional likelihoods of TMVA: the `Weights` of a MethodLikelihood."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ntupleml.errors import NtuplemlError, one_line
from ntupleml.tmva.method import Likelihood
from ntupleml.tmva.pdf import read_pdf
from ntupleml.tmva.transformations import read_transformations
from ntupleml.tmva.xml_file import child, children, integer

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

    from ntupleml.tmva.method import Density


def read_likelihood(root: Element, num_inputs: int, where: str) -> Likelihood:
    """Densities of signal and background of each variable, and the transformations for each of the two.

    Parameters
    ----------
    root : Element
        The file's `MethodSetup`.
    num_inputs : int
    where : str
        Path of the file, for messages.

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
    signal, background = tuple(densities[::2]), tuple(densities[1::2])
    background = tuple(
        density._replace(interpolated=reference.interpolated)  # TMVA asks the signal's density how to read both
        for density, reference in zip(background, signal, strict=True)
    )
    transformations = tuple(
        read_transformations(root, num_inputs, where, _class_index(root, name, default))
        for name, default in (("Signal", 0), ("Background", 1))
    )
    return Likelihood(signal, background, (transformations[0], transformations[1]), _transform_output(root, where))


def _class_index(root: Element, name: str, default: int) -> int:
    names = [element.get("Name") for element in root.iterfind("Classes/Class")]
    return names.index(name) if name in names else default


def _transform_output(root: Element, where: str) -> bool:
    for option in root.iterfind("Options/Option"):
        if option.get("name") == "TransformOutput":
            text = (option.text or "").strip().lower()
            if text not in ("true", "t", "1", "false", "f", "0"):
                raise NtuplemlError(
                    f"{where}: option TransformOutput is '{one_line(text, 40)}'; True or False is needed"
                )
            return text in ("true", "t", "1")
    return False
