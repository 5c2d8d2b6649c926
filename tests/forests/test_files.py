from __future__ import annotations

import dataclasses
import io
import zipfile

import numpy as np
import pytest

from ntupleml.errors import NtuplemlError
from ntupleml.forests import PreselectionCut
from ntupleml.forests.files import load_forest, save_forest


@pytest.fixture
def forest(make_forest):
    return make_forest(
        np.random.default_rng(1),
        num_outputs=1,
        depth=4,
        unbalanced=0.2,
        num_oblique=2,
        offsets=np.array([0.1]),
        divisor=3.5,
        link="weighted_median",
        tree_weights=np.arange(1.0, 8.0),
        missing_right=0.5,
        preselection=(PreselectionCut(1, True, 0.1, 1.0), PreselectionCut(0, False, -np.inf, -1.0)),
    )


@pytest.fixture
def saved(forest, tmp_path):
    path = tmp_path / "folder" / "forest.npz"
    save_forest(path, forest)
    return path


def rewrite(path, **changes) -> None:
    """Write the arrays of a file again, some of them other ones, or gone where None."""
    with np.load(path) as file:
        arrays = {**file, **changes}
    np.savez(path, **{name: array for name, array in arrays.items() if array is not None})


def test_what_is_written_is_read(forest, saved):
    found = load_forest(saved)
    for field in dataclasses.fields(forest):
        expected, value = getattr(forest, field.name), getattr(found, field.name)
        if isinstance(expected, np.ndarray):
            np.testing.assert_array_equal(value, expected, strict=True)
        else:
            assert value == expected
            assert type(value) is type(expected)


def test_a_forest_without_extras(make_forest, tmp_path):
    forest = make_forest(np.random.default_rng(1), depth=0, num_trees=1)
    save_forest(tmp_path / "forest.npz", forest)
    with np.load(tmp_path / "forest.npz") as file:
        assert "missing_right" not in file
    found = load_forest(tmp_path / "forest.npz")
    assert found.link == "identity"
    assert found.preselection == ()
    assert found.values.tolist() == forest.values.tolist()


def test_same_forest_same_bytes(forest, saved, tmp_path):
    save_forest(tmp_path / "again.npz", forest)
    assert (tmp_path / "again.npz").read_bytes() == saved.read_bytes()


def test_existing_files_stay(forest, saved):
    before = saved.read_bytes()
    with pytest.raises(NtuplemlError, match="exists already"):
        save_forest(saved, dataclasses.replace(forest, divisor=2.0))
    assert saved.read_bytes() == before
    save_forest(saved, dataclasses.replace(forest, divisor=2.0), overwrite=True)
    assert load_forest(saved).divisor == 2


def test_faulty_forests_are_not_written(forest, tmp_path):
    with pytest.raises(ValueError, match="divisor"):
        save_forest(tmp_path / "forest.npz", dataclasses.replace(forest, divisor=0.0))
    assert list(tmp_path.iterdir()) == []


CHANGES = {
    "another array": ({"leaves": np.zeros(3)}, "unexpected array 'leaves'"),
    "array missing": ({"cuts": None}, "no array 'cuts'"),
    "another type": ({"features": np.zeros(3)}, "array 'features' is of the type float64 instead of <i4"),
    "another format": ({"format": np.array("ntupleml forest 2")}, "format 'ntupleml forest 2' instead of"),
    "another link": ({"link": np.array("logit")}, "the link 'logit' is none of"),
    "an empty text": ({"link": np.array("")}, "the link '' is none of"),
    "number as a list": ({"divisor": np.ones(2)}, r"array 'divisor' has the shape \(2,\)"),
    "zero inputs": ({"num_inputs": np.array(0)}, "asks for input 1; there are 0"),
    "cut off": ({"roots": np.zeros(2, dtype=np.int64)}, "no valid forest: 'tree_outputs' has the shape"),
    "node outside": ({"roots": np.full(7, 10**12)}, "no valid forest: 'roots' goes from"),
    "two dimensions": ({"roots": np.zeros((7, 1), dtype=np.int64)}, "no valid forest: 'roots' has the shape"),
    "preselection": ({"preselection_values": np.zeros(3)}, "preselection are not of one length"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_other_contents_are_refused_in_one_line(saved, name):
    changes, message = CHANGES[name]
    rewrite(saved, **changes)
    with pytest.raises(NtuplemlError, match=message) as error:
        load_forest(saved)
    assert str(error.value).startswith(str(saved))
    assert "\n" not in str(error.value)


def test_pickles_are_not_opened(saved):
    rewrite(saved, link=np.array([{}], dtype=object))
    with pytest.raises(NtuplemlError, match=r"array 'link': shape .* and type object"):
        load_forest(saved)


def replace_member(path, name: str, content: bytes, compression: int = zipfile.ZIP_STORED) -> None:
    with zipfile.ZipFile(path) as archive:
        members = {member.filename: archive.read(member) for member in archive.infolist()}
    with zipfile.ZipFile(path, "w", compression) as archive:
        for member, old in members.items():
            archive.writestr(member, content if member == name else old)


def test_a_shape_that_is_only_claimed_is_not_allocated(saved):
    head = io.BytesIO()
    np.lib.format.write_array_header_1_0(head, {"descr": "<f8", "fortran_order": False, "shape": (10**14,)})
    replace_member(saved, "values.npy", head.getvalue())
    with pytest.raises(NtuplemlError, match=r"array 'values': shape .* is damaged"):
        load_forest(saved)


@pytest.mark.parametrize("content", [b"", b"no numpy", b"\x93NUMPY\x01\x00\x05\x00{[}]\n", b"\x93NUMPY\x09\x00"])
def test_damaged_members(saved, content):
    replace_member(saved, "values.npy", content)
    with pytest.raises(NtuplemlError, match="array 'values': "):
        load_forest(saved)


def test_too_large_contents_are_not_unpacked(saved, monkeypatch):
    monkeypatch.setattr("ntupleml.forests.files._MOST_BYTES", 1000)
    with pytest.raises(NtuplemlError, match="at most 1,000 are read"):
        load_forest(saved)


def test_a_small_file_that_unpacks_to_gigabytes_is_not_read(saved):
    """Its arrays are as its heads say, so only the sizes in the archive tell."""
    head = io.BytesIO()
    np.lib.format.write_array_header_1_0(head, {"descr": "|b1", "fortran_order": False, "shape": (100_000_000,)})
    replace_member(saved, "missing_right.npy", head.getvalue() + bytes(100_000_000), zipfile.ZIP_DEFLATED)
    assert saved.stat().st_size < 200_000
    with pytest.raises(NtuplemlError, match=r"unpacks to 100,.* bytes; at most 50,000,000 are read"):
        load_forest(saved)


@pytest.mark.parametrize("length", [0, 10, 1000, -1])
def test_cut_off_files(saved, length):
    saved.write_bytes(saved.read_bytes()[:length])
    with pytest.raises(NtuplemlError, match="cannot be read as a forest"):
        load_forest(saved)


def test_flipped_bytes_are_noticed_or_harmless(saved):
    """Any single byte: the same answer as before, or one line; never another exception."""
    content = saved.read_bytes()
    for place in range(0, len(content), 37):
        saved.write_bytes(content[:place] + bytes([content[place] ^ 0xFF]) + content[place + 1 :])
        try:
            found = load_forest(saved)
        except NtuplemlError:
            continue
        assert found.num_trees == 7


def test_no_file(tmp_path):
    with pytest.raises(NtuplemlError, match="no such file"):
        load_forest(tmp_path / "forest.npz")
    with pytest.raises(NtuplemlError, match="cannot be read"):
        load_forest(tmp_path)
