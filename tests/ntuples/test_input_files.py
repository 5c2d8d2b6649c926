"""What a list of inputs stands for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ntupleml.errors import NtuplemlError
from ntupleml.ntuples.input_files import expand_inputs
from ntupleml.ntuples.remote import joined, matching_addresses, remote_call

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("b/2.root", "b/1.root", "a/deep/3.root", "odd[1].root"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_paths_and_wildcards(folder: Path) -> None:
    assert expand_inputs(["z.root", "b/*.root"]) == ["z.root", "b/1.root", "b/2.root"]
    assert expand_inputs(["**/[13].root"]) == ["a/deep/3.root", "b/1.root"]
    assert expand_inputs(["odd[1].root"]) == ["odd[1].root"]
    assert expand_inputs(["*.root"], folder="b") == ["1.root", "2.root"]
    assert expand_inputs([f"local://{folder}/b/*.root"]) == [f"file://{folder}/b/{n}.root" for n in (1, 2)]


def test_home(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(folder))
    assert expand_inputs(["~/b/1.root", "~/b/2*"]) == [f"{folder}/b/1.root", f"{folder}/b/2.root"]


def test_lists(folder: Path) -> None:
    (folder / "list.txt").write_text("# comment\n\n b/*.root \nroot://host//c.root\n")
    assert expand_inputs(["@list.txt"]) == ["b/1.root", "b/2.root", "root://host//c.root"]
    (folder / "@odd.root").touch()
    assert expand_inputs(["@odd.root"]) == ["@odd.root"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("c/*.root", "where: 'c/*.root' matches no file"),
        ("@bynary.txt", "where: @bynary.txt: no such list of files; nearest: 'binary.txt'"),
        ("@empty.txt", "where: @empty.txt: lists no file"),
        ("@nested.txt", "nested.txt: '@list.txt': a list within a list; write its files here"),
        ("@b", "where: @b: is a directory"),
        ("@binary.txt", "where: @binary.txt: is not text"),
    ],
)
def test_mistakes(folder: Path, text: str, message: str) -> None:
    (folder / "list.txt").write_text("b/1.root\n")
    (folder / "empty.txt").write_text("# nothing\n")
    (folder / "nested.txt").write_text("@list.txt\n")
    (folder / "binary.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(NtuplemlError) as caught:
        expand_inputs([text], where="where")
    assert str(caught.value).startswith(message)


def test_addresses_in_folders() -> None:
    assert joined("root://host//store/", "a/b.root") == "root://host//store/a/b.root"
    assert joined("local", "root://host//b.root") == "root://host//b.root"
    assert str(joined("data", "b.root")) == "data/b.root"


def test_what_fails_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(NtuplemlError, match=r"root://host//\*.root: root:// needs fsspec-xrootd"):
        matching_addresses("root://host//*.root")
    with pytest.raises(NtuplemlError, match=r"nonsense://a: cannot be opened: .*nonsense"):
        matching_addresses("nonsense://a")

    def refuse() -> None:
        raise PermissionError(13, "no ticket")

    with pytest.raises(NtuplemlError, match=r"processes.a: root://h//a: cannot be read: .*no ticket"):
        remote_call("root://h//a", "processes.a", refuse)
