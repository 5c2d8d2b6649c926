"""TMVA's XML files read strictly: no document types, so no entities; whatever is wrong is one line saying where."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from xml.etree import ElementTree
from xml.parsers import expat

import numpy as np

from ntupleml.errors import NtuplemlError, did_you_mean, one_line

if TYPE_CHECKING:
    from collections.abc import Mapping
    from xml.etree.ElementTree import Element

    from numpy.typing import NDArray

_CHUNK = 1 << 20
#: Bytes of one tag with its attributes; those of TMVA hold some thousand characters.
_LONGEST_PART = 16 * _CHUNK
#: Bytes of a file; a million trees of 30 nodes have as many.
_MOST_BYTES = 2_000_000_000
_INVALID_TOKEN = expat.errors.codes[expat.errors.XML_ERROR_INVALID_TOKEN]
_GZIP = b"\x1f\x8b"
_FLOAT = re.compile(r"\s*[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?\s*", re.ASCII)
_INTEGER = re.compile(r"\s*[-+]?\d{1,18}\s*", re.ASCII)
_NOT_FINITE = re.compile(r"\s*[-+]?(nan|inf|infinity)\s*", re.IGNORECASE)


class _DocumentType(Exception):  # noqa: N818
    """The file declares a document type."""


def _refuse_document_type(*_declaration: object) -> None:
    """Stop at what could define entities, before the parser has read it."""
    raise _DocumentType


def read_xml(path: str | Path) -> Node:
    """Root element of an XML file.

    Neither entities nor anything outside the file is ever read, and nesting costs no stack.
    """
    try:
        return Node(_parse(path), str(path))
    except expat.ExpatError as error:
        if error.code != _INVALID_TOKEN or _is_utf_8(path):
            raise _damaged(path, error) from None
    # TMVA writes texts as it gets them and names no encoding: "µm" of a unit may be a single byte.
    try:
        return Node(_parse(path, "iso-8859-1"), str(path))
    except expat.ExpatError as error:
        raise _damaged(path, error) from None


def _parse(path: str | Path, encoding: str | None = None) -> Element:
    """Root element, by the encoding that the file declares, or by another."""
    builder = ElementTree.TreeBuilder()
    parser = expat.ParserCreate(encoding)
    parser.buffer_text = True
    # the document type is the only place where entities can be declared
    parser.StartDoctypeDeclHandler = _refuse_document_type
    parser.StartElementHandler = builder.start
    parser.EndElementHandler = builder.end
    parser.CharacterDataHandler = builder.data
    read = 0
    try:
        with Path(path).open("rb") as file:
            start = file.read(2)
            if start == _GZIP:
                raise NtuplemlError(f"{path}: compressed by gzip; gunzip it first")
            parser.Parse(start)
            while chunk := file.read(_CHUNK):
                read += len(chunk)
                if read > _MOST_BYTES:
                    raise NtuplemlError(f"{path}: refused: more than {_MOST_BYTES:,} bytes; not weights of TMVA")
                parser.Parse(chunk)
                # the parser reads what is not complete again with each chunk
                if read - parser.CurrentByteIndex > _LONGEST_PART:
                    raise NtuplemlError(f"{path}: refused: a tag of more than {_LONGEST_PART:,} bytes")
            parser.Parse(b"", True)
            root: Element = builder.close()
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


class Node(NamedTuple):
    """An element of a file and its place there, with which the errors of its methods begin."""

    element: Element
    where: str

    @property
    def tag(self) -> str:
        """Name of the element."""
        return self.element.tag

    def error(self, problem: str) -> NtuplemlError:
        """The error that something is wrong here."""
        return NtuplemlError(f"{self.where}: {problem}")

    def at(self, place: str) -> Node:
        """The same element, its place told more precisely."""
        return Node(self.element, f"{self.where}: {place}")

    def get(self, name: str, default: str = "") -> str:
        """Text of an attribute that need not be there."""
        return self.element.get(name, default)

    def has(self, tag: str) -> bool:
        """Whether there is a child of a name."""
        return self.element.find(tag) is not None

    def child(self, tag: str) -> Node:
        """The one child of a name; refused where there is none, or more than one."""
        found = self.element.findall(tag)
        if len(found) != 1:
            number = "no" if not found else str(len(found))
            others = dict.fromkeys(one_line(other.tag, 40) for other in self.element)
            hint = "" if found else did_you_mean(tag, others)
            raise self.error(f"{number} {tag} in {self.tag}, where one is needed{hint}")
        return Node(found[0], self.where)

    def children(self, tag: str, count: int | None = None) -> list[Node]:
        """All children of a name, of which there must be `count`, if the file says so elsewhere."""
        found = [Node(element, self.where) for element in self.element.iterfind(tag)]
        if count is not None and len(found) != count:
            raise self.error(
                f"{self.tag} has {len(found)} {tag}, but the file says that there are {count}; it is damaged"
            )
        return found

    def text(self, name: str) -> str:
        """Text of an attribute that must be there."""
        text = self.element.get(name)
        if text is None:
            raise self.error(f"{self.tag} has no attribute {name}{did_you_mean(name, self.element.attrib)}")
        return text

    def number(self, name: str) -> float:
        """A finite number in an attribute."""
        return self._finite(self.text(name), f"{self.tag} {name}")

    def integer(self, name: str, *, minimum: int = 0, maximum: int | None = None, default: int | None = None) -> int:
        """An integer in an attribute, within bounds; `default` where the attribute is not there."""
        if default is not None and name not in self.element.attrib:
            return default
        text = self.text(name)
        if not _INTEGER.fullmatch(text) or int(text) < minimum or (maximum is not None and int(text) > maximum):
            bounds = f"at least {minimum}" if maximum is None else f"from {minimum} to {maximum}"
            raise self.error(f"{self.tag} {name} is '{one_line(text, 40)}'; an integer {bounds} is needed")
        return int(text)

    def numbers(self, count: int) -> NDArray[np.float64]:
        """Finite numbers of the element's text, separated by white space, of which there must be `count`."""
        words = (self.element.text or "").split()
        if len(words) != count:
            raise self.error(f"{self.tag} has {len(words)} numbers, where {count} are needed; the file is damaged")
        return np.array([self._finite(word, self.tag) for word in words], dtype=np.float64)

    def _finite(self, text: str, what: str) -> float:
        """A number, of which TMVA's own reading would take any text."""
        if _FLOAT.fullmatch(text) and math.isfinite(value := float(text)):
            return value
        reason = "not finite" if _NOT_FINITE.fullmatch(text) or _FLOAT.fullmatch(text) else "not a number"
        raise self.error(f"{what} is '{one_line(text, 40)}', {reason}")


def boolean_option(options: Mapping[str, str], name: str, default: bool, where: str) -> bool:
    """Value of an option that is on or off."""
    text = options.get(name, str(default)).strip()
    values = {"true": True, "t": True, "1": True, "false": False, "f": False, "0": False}
    if text.lower() not in values:
        raise NtuplemlError(f"{where}: option {name} is '{one_line(text, 40)}'; True or False is needed")
    return values[text.lower()]
