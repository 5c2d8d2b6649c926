"""Tables of ROOT files, as ROOT itself reads them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from ntupleml.errors import NtuplemlError
from ntupleml.imports import import_root
from ntupleml.ntuples.layout import read_layout

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="session")
def root() -> Any:
    return import_root()


def test_layout_agrees_with_root(root: Any, tmp_path: Path) -> None:
    path = tmp_path / "file.root"
    file = root.TFile(str(path), "RECREATE")
    folder = file.mkdir("mt_nominal").mkdir("deep")
    for name in ("first", "with/slash", "é" * 300, "doomed"):
        for cycle in range(2):
            folder.WriteObject(root.TNamed(f"{name} {cycle}", "title"), name)
    file.mkdir("empty")
    folder.Delete("doomed;*")  # leaves gaps
    file.Close()
    layout = read_layout(path)
    file = root.TFile(str(path), "UPDATE")
    assert layout.end == file.GetEND()
    assert (
        sorted(layout.free)[:-1]
        == sorted(
            [
                *((s.GetFirst(), s.GetLast() + 1) for s in list(file.GetListOfFree())),
                (file.GetSeekFree(), file.GetSeekFree() + file.GetNbytesFree()),
            ]
        )[:-1]
    )
    assert layout.streamer_info.start == file.GetSeekInfo()
    folder = file.GetDirectory("mt_nominal/deep")
    assert [f.key_list.start for f in layout.folders if f.path == "mt_nominal/deep"] == [folder.GetSeekKeys()]
    expected = {
        (str(k.GetName()), k.GetCycle(), str(k.GetClassName()), k.GetSeekKey(), k.GetNbytes())
        for k in folder.GetListOfKeys()
    }
    assert {key[1:] for key in layout.keys if key.folder == "mt_nominal/deep"} == expected
    file.Close()


def test_layout_of_a_file_beyond_two_gigabytes(root: Any, tmp_path: Path) -> None:
    """Positions then have eight bytes. The file is sparse: its records lie beyond a hole."""
    path = tmp_path / "large.root"
    start = 2_200_000_000
    file = root.TFile(str(path), "RECREATE")
    file.SetEND(start)
    gap = file.GetListOfFree().First()
    gap.SetFirst(start)
    gap.SetLast(2 * start)
    file.mkdir("folder").WriteObject(root.TNamed("name", "title"), "name")
    file.WriteObject(root.TNamed("top", "title"), "top")
    file.Close()
    assert path.stat().st_size > start
    layout = read_layout(path)
    file = root.TFile(str(path))
    assert layout.end == file.GetEND() == path.stat().st_size
    assert layout.streamer_info.start == file.GetSeekInfo()
    folder = file.GetDirectory("folder")
    found = {(str(key.GetName()), key.GetSeekKey(), key.GetNbytes()) for key in folder.GetListOfKeys()}
    found |= {(str(key.GetName()), key.GetSeekKey(), key.GetNbytes()) for key in file.GetListOfKeys()}
    assert {(key.name, key.seek, key.size) for key in layout.keys} == found
    assert len(found) == 3
    file.Close()


def test_a_file_that_was_not_closed(root: Any, tmp_path: Path) -> None:
    """Its header says nothing yet of the list of gaps."""
    path = tmp_path / "open.root"
    file = root.TFile(str(path), "RECREATE")
    file.WriteObject(root.TNamed("name", "title"), "name")
    file.Flush()
    with pytest.raises(NtuplemlError, match=r"open.root: the tables of the file cannot be read .* not closed"):
        read_layout(path)
    file.Close()
    assert [key.name for key in read_layout(path).keys] == ["name"]
