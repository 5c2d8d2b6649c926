"""Reading XML without its dangers, and numbers without surprises."""

from __future__ import annotations

import gzip
import math
import time
from typing import TYPE_CHECKING
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ntupleml.errors import NtuplemlError
from ntupleml.tmva import xml_file
from ntupleml.tmva.xml_file import Node, read_xml

if TYPE_CHECKING:
    from pathlib import Path

LAUGHS = (
    '<!DOCTYPE lolz [<!ENTITY a "ha">'
    + "".join(f'<!ENTITY {name} "{f"&{inner};" * 10}">' for inner, name in zip("abcdefgh", "bcdefghi", strict=True))
    + "]><MethodSetup>&i;</MethodSetup>"
)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("", "cut off or damaged"),
        ("#GEN -*-*- general info", "cut off or damaged"),
        ("<MethodSetup><Weights>", "cut off or damaged"),
        ("<MethodSetup></Weights>", "mismatched tag"),
        ("<a/><b/>", "junk after"),
        ("<a>&undefined;</a>", "undefined entity"),
        ('<?xml version="1.0" encoding="klingon"?><a/>', "encoding"),
        ('<?xml version="1.0" encoding="utf-7"?><a/>', "encoding"),
        (LAUGHS, "refused: it declares a document type"),
        ('<!DOCTYPE a SYSTEM "http://localhost/a.dtd"><a/>', "refused: it declares a document type"),
    ],
)
def test_what_is_no_plain_xml_is_refused_in_one_line(content: str, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "x.weights.xml"
    path.write_text(content)
    with pytest.raises(NtuplemlError, match=reason) as caught:
        read_xml(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def test_texts_in_latin_1_without_a_declaration_are_read(tmp_path: Path) -> None:
    """As TMVA writes the unit of a variable, byte by byte."""
    path = tmp_path / "x.weights.xml"
    path.write_bytes('<?xml version="1.0"?><a Unit="\u00b5m"/>'.encode("latin-1"))
    assert read_xml(path).get("Unit") == "\u00b5m"
    path.write_bytes(b'<a Unit="\xb5m"><b></a>')
    with pytest.raises(NtuplemlError, match="mismatched tag"):
        read_xml(path)
    path.write_bytes(b'<!DOCTYPE a [<!ENTITY b "c">]><a Unit="\xb5m">&b;</a>')
    with pytest.raises(NtuplemlError, match="declares a document type"):
        read_xml(path)


def test_a_file_that_is_not_in_its_encoding_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.weights.xml"
    path.write_bytes(b"<a>\x01\xff</a>")
    with pytest.raises(NtuplemlError, match="invalid token"):
        read_xml(path)
    path.write_bytes(b"\x00\x01\xb5")
    with pytest.raises(NtuplemlError, match="not an XML file"):
        read_xml(path)


def test_external_entities_are_never_read(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("do not read me")
    path = tmp_path / "x.weights.xml"
    path.write_text(f'<!DOCTYPE a [<!ENTITY x SYSTEM "{secret.as_uri()}">]><a>&x;</a>')
    with pytest.raises(NtuplemlError, match="document type") as caught:
        read_xml(path)
    assert "do not read me" not in str(caught.value)


def test_missing_and_compressed_files_and_folders_are_named(tmp_path: Path) -> None:
    with pytest.raises(NtuplemlError, match="no such file"):
        read_xml(tmp_path / "none.xml")
    with pytest.raises(NtuplemlError, match="is a directory"):
        read_xml(tmp_path)
    packed = tmp_path / "x.weights.xml.gz"
    packed.write_bytes(gzip.compress(b"<a/>"))
    with pytest.raises(NtuplemlError, match="gunzip it first"):
        read_xml(packed)


def test_nesting_costs_no_stack(tmp_path: Path) -> None:
    path = tmp_path / "deep.xml"
    path.write_text("<a>" * 100_000 + "</a>" * 100_000)
    root = read_xml(path).element
    assert sum(1 for _ in root.iter("a")) == 100_000


def test_entities_of_xml_itself_are_text(tmp_path: Path) -> None:
    path = tmp_path / "x.xml"
    path.write_text('<a Expression="x&lt;1 &amp;&amp; y&gt;2"/>')
    assert read_xml(path).get("Expression") == "x<1 && y>2"


def node_of(text: str) -> Node:
    return Node(ElementTree.fromstring(text), "f")


def number(text: str) -> float:
    return Node(ElementTree.Element("a", x=text), "f").number("x")


def test_children_are_counted() -> None:
    root = node_of("<a><b/><c/><c/></a>")
    assert root.child("b").tag == "b"
    assert len(root.children("c", 2)) == 2
    with pytest.raises(NtuplemlError, match="f: no Bs in a, where one is needed; nearest: 'b'"):
        root.child("Bs")
    with pytest.raises(NtuplemlError, match="f: 2 c in a"):
        root.child("c")
    with pytest.raises(NtuplemlError, match="a has 2 c, but the file says that there are 3"):
        root.children("c", 3)


def test_attributes_are_checked() -> None:
    node = node_of('<Node Cut="1.5" IVar="3" bad="1_0" inf="inf" nan="NaN" huge="1e999" comma="1,5" real="2.0"/>')
    assert node.text("Cut") == "1.5"
    assert node.number("Cut") == 1.5
    assert node.integer("IVar", maximum=3) == 3
    assert node.integer("none", default=-4) == -4
    with pytest.raises(NtuplemlError, match="f: Node has no attribute Cuts; nearest: 'Cut'"):
        node.number("Cuts")
    for name in ("bad", "comma"):
        with pytest.raises(NtuplemlError, match="not a number"):
            node.number(name)
    for name in ("inf", "nan", "huge"):
        with pytest.raises(NtuplemlError, match="not finite"):
            node.number(name)
    for name, maximum in (("IVar", 2), ("real", None), ("nan", None)):
        with pytest.raises(NtuplemlError, match="an integer"):
            node.integer(name, maximum=maximum)


def test_huge_counts_are_no_integers_to_allocate_for() -> None:
    node = node_of(f'<Weights NTrees="{"9" * 5000}"/>')
    with pytest.raises(NtuplemlError, match=r"NTrees is '9+…'; an integer at least 0 is needed"):
        node.integer("NTrees")


def test_lists_of_numbers_are_counted() -> None:
    np.testing.assert_array_equal(node_of("<Matrix> 1 2.5\n-3e-1 </Matrix>").numbers(3), [1, 2.5, -0.3])
    with pytest.raises(NtuplemlError, match="Matrix has 0 numbers, where 3 are needed"):
        node_of("<Matrix/>").numbers(3)
    with pytest.raises(NtuplemlError, match="Matrix is 'x', not a number"):
        node_of("<Matrix>1 x 3</Matrix>").numbers(3)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_what_tmva_writes_is_read_to_the_last_bit(value: float) -> None:
    assert number(f"{value:.16e}") == value


@given(st.text(max_size=12) | st.from_regex(r"[-+0-9.eE_ naif]{1,12}", fullmatch=True))
@settings(suppress_health_check=[HealthCheck.too_slow])
def test_a_text_is_a_finite_number_or_an_error(text: str) -> None:
    try:
        value = number(text)
    except NtuplemlError:
        return
    assert math.isfinite(value)
    assert value == float(text)


def test_a_file_without_end_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(xml_file, "_MOST_BYTES", 1_000)
    path = tmp_path / "weights.xml"
    path.write_text(f"<a>{'<b/>' * 200}</a>")
    assert len(read_xml(path).element) == 200
    path.write_text(f"<a>{'<b/>' * 300}</a>")
    with pytest.raises(NtuplemlError, match="refused: more than 1,000 bytes; not weights of TMVA"):
        read_xml(path)


def test_a_tag_without_end_is_refused_at_once(tmp_path: Path) -> None:
    """The parser looks at what is not complete again with each part of the file: the time grows with the square."""
    path = tmp_path / "weights.xml"
    path.write_text(f'<MethodSetup a="{"x" * 40_000_000}"/>')
    start = time.process_time()
    with pytest.raises(NtuplemlError, match="a tag of more than 16,777,216 bytes"):
        read_xml(path)
    assert time.process_time() - start < 5
