"""TMVA's XML files read strictly: no document types, so no entities; whatever is wrong is one line saying where."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree
from xml.parsers import expat

import numpy as np

from ntupleml.errors import NtuplemlError, did_you_mean, one_line

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from xml.etree.ElementTree import Element

    from numpy.typing import NDArray

_CHUNK = 1 << 20
_INVALID_TOKEN = expat.errors.codes[expat.errors.XML_ERROR_INVALID_TOKEN]
_GZIP = b"\x1f\x8b"
_FLOAT = re.compile(r"\s*[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?\s*", re.ASCII)
_INTEGER = re.compile(r"\s*[-+]?\d{1,18}\s*", re.ASCII)
_NOT_FINITE = re.compile(r"\s*[-+]?(nan|inf|infinity)\s*", re.IGNORECASE)


class _DocumentType(Exception):  # noqa: N818
    """The file declares a document type."""


class _Builder(ElementTree.TreeBuilder):
    """Builds elements, and stops at what could define entities before the parser has read it."""

    def doctype(self, *_declaration: str | None) -> None:
        raise _DocumentType


def read_xml(path: str | Path) -> Element:
    """Root element of an XML file.

    Neither entities nor anything outside the file is ever read, and nesting costs no stack.

    Raises
    ------
    NtuplemlError
        If there is no such file, it is no XML, is cut off, or declares a document type.
    """
    try:
        return _parse(path)
    except ElementTree.ParseError as error:
        if error.code != _INVALID_TOKEN or _is_utf_8(path):
            raise _damaged(path, error) from None
    # TMVA writes texts as it gets them and names no encoding: "µm" of a unit may be a single byte.
    try:
        return _parse(path, "iso-8859-1")
    except ElementTree.ParseError as error:
        raise _damaged(path, error) from None


def _parse(path: str | Path, encoding: str | None = None) -> Element:
    """Root element, by the encoding that the file declares, or by another."""
    # The document type, the only place where entities can be declared, is refused by the builder.
    parser = ElementTree.XMLParser(target=_Builder(), encoding=encoding)  # noqa: S314
    try:
        with Path(path).open("rb") as file:
            start = file.read(2)
            if start == _GZIP:
                raise NtuplemlError(f"{path}: compressed by gzip; gunzip it first")
            parser.feed(start)
            while chunk := file.read(_CHUNK):
                parser.feed(chunk)
        root: Element = parser.close()
    except _DocumentType:
        raise NtuplemlError(
            f"{path}: refused: it declares a document type, which TMVA's files never have and which can hide attacks"
        ) from None
    except FileNotFoundError:
        raise NtuplemlError(f"{path}: no such file") from None
    except OSError as error:
        raise NtuplemlError(f"{path}: cannot be read: {(error.strerror or str(error)).lower()}") from None
    except (LookupError, ValueError) as error:  # an encoding that the parser does not know
        raise _damaged(path, error) from None
    return root


def _is_utf_8(path: str | Path) -> bool:
    try:
        with Path(path).open(encoding="utf-8") as file:
            while file.read(_CHUNK):
                pass
    except UnicodeDecodeError:
        return False
    return True


def _damaged(path: str | Path, error: Exception) -> NtuplemlError:
    return NtuplemlError(f"{path}: not an XML file, or cut off or damaged: {one_line(error)}")


def child(element: Element, tag: str, where: str) -> Element:
    """The one child of a name.

    Raises
    ------
    NtuplemlError
        If there is none, or more than one.
    """
    found = element.findall(tag)
    if len(found) != 1:
        number = "no" if not found else str(len(found))
        raise NtuplemlError(
            f"{where}: {number} {tag} in {element.tag}, where one is needed"
            + ("" if found else did_you_mean(tag, dict.fromkeys(one_line(other.tag, 40) for other in element)))
        )
    return found[0]


def children(element: Element, tag: str, where: str, count: int | None = None) -> list[Element]:
    """All children of a name, of which there must be as many as the file says elsewhere.

    Raises
    ------
    NtuplemlError
        If `count` is given and there are more or fewer.
    """
    found = element.findall(tag)
    if count is not None and len(found) != count:
        raise NtuplemlError(
            f"{where}: {element.tag} has {len(found)} {tag}, but the file says that there are {count}; it is damaged"
        )
    return found


def attribute(element: Element, name: str, where: str) -> str:
    """Text of an attribute.

    Raises
    ------
    NtuplemlError
        If the element has none of that name.
    """
    text = element.get(name)
    if text is None:
        raise NtuplemlError(f"{where}: {element.tag} has no attribute {name}{did_you_mean(name, element.attrib)}")
    return text


def number(element: Element, name: str, where: str, *, default: float | None = None) -> float:
    """A finite number in an attribute.

    Parameters
    ----------
    name : str
        Of the attribute.
    default : float, optional
        Value where the attribute is not there; without it, that is an error.

    Raises
    ------
    NtuplemlError
        If it is not a number, or NaN or infinite.
    """
    text = element.get(name)
    if text is None and default is not None:
        return default
    return parse_number(attribute(element, name, where), f"{element.tag} {name}", where)


def integer(
    element: Element, name: str, where: str, *, minimum: int = 0, maximum: int | None = None, default: int | None = None
) -> int:
    """An integer in an attribute, within bounds.

    Raises
    ------
    NtuplemlError
        If it is not an integer, or outside the bounds.
    """
    text = element.get(name)
    if text is None and default is not None:
        return default
    text = attribute(element, name, where)
    bounds = f"at least {minimum}" if maximum is None else f"from {minimum} to {maximum}"
    if not _INTEGER.fullmatch(text) or int(text) < minimum or (maximum is not None and int(text) > maximum):
        raise NtuplemlError(f"{where}: {element.tag} {name} is '{one_line(text, 40)}'; an integer {bounds} is needed")
    return int(text)


def parse_number(text: str, what: str, where: str) -> float:
    """A finite number of a text, which TMVA's own reading would take as it is.

    Parameters
    ----------
    what : str
        What the number is, for messages.

    Raises
    ------
    NtuplemlError
        If it is not a number, or NaN or infinite.
    """
    if _FLOAT.fullmatch(text) and math.isfinite(value := float(text)):
        return value
    reason = "not finite" if _NOT_FINITE.fullmatch(text) or _FLOAT.fullmatch(text) else "not a number"
    raise NtuplemlError(f"{where}: {what} is '{one_line(text, 40)}', {reason}")


def numbers(text: str | None, count: int, what: str, where: str) -> NDArray[np.float64]:
    """Finite numbers of a text, separated by white space.

    Parameters
    ----------
    text : str or None
        Of an element; None where it is empty.
    count : int
        How many there must be.
    what : str
        What the numbers are, for messages.

    Returns
    -------
    array of float64, shape (count,)

    Raises
    ------
    NtuplemlError
        If there are more or fewer, or one is not a finite number.
    """
    words = (text or "").split()
    if len(words) != count:
        raise NtuplemlError(f"{where}: {what} has {len(words)} numbers, where {count} are needed; the file is damaged")
    return np.array([parse_number(word, what, where) for word in words], dtype=np.float64)


def chosen_option(root: Element, name: str, known: Sequence[str], where: str) -> str:
    """Value of one of the method's options, from those that it can have.

    Parameters
    ----------
    root : Element
        The file's `MethodSetup`.
    known : sequence of str
        Its values, of which the first is TMVA's default, where the file does not have the option.

    Raises
    ------
    NtuplemlError
        If it has another value.
    """
    for option in root.iterfind("Options/Option"):
        if option.get("name") == name:
            value = (option.text or "").strip()
            if value not in known:
                raise NtuplemlError(f"{where}: unknown {name} '{one_line(value, 40)}'{did_you_mean(value, known)}")
            return value
    return known[0]


def boolean_option(options: Mapping[str, str], name: str, default: bool, where: str) -> bool:
    """Value of an option that is on or off.

    Raises
    ------
    NtuplemlError
        If it is neither.
    """
    text = options.get(name, str(default)).strip()
    values = {"true": True, "t": True, "1": True, "false": False, "f": False, "0": False}
    if text.lower() not in values:
        raise NtuplemlError(f"{where}: option {name} is '{one_line(text, 40)}'; True or False is needed")
    return values[text.lower()]
