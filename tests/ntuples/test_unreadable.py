"""One thing that cannot be read leaves the rest usable, and a file is called damaged only where ROOT says so too."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import uproot

from ntupleml.errors import NtuplemlError
from ntupleml.ntuples import UnreadableBranchError, inspection, open_ntuple
from ntupleml.ntuples.inspection import inspect_tree, list_trees
from ntupleml.ntuples.root_opinion import Place, verdict

RunScript = Callable[..., subprocess.CompletedProcess[str]]

DATA = Path(__file__).parents[1] / "data"
#: An RNTuple of ROOT 6.33, as roottest and scikit-hep-testdata have it.
OLD_RNTUPLE = DATA / "rntuple_before_1_0.root"
OLD_RNTUPLE_MESSAGE = f"{OLD_RNTUPLE}: 'ntuple' is an RNTuple of a ROOT before 6.34, whose format was not final"

#: Two branches that were never filled, and a file in the compression of ROOT before 3.0 ("CS"), unknown to uproot.
WRITE = r"""
import sys, warnings
warnings.simplefilter("ignore")
import ROOT
ROOT.gInterpreter.Declare('''
void write(std::string folder) {
  float x; std::vector<float> v; TClonesArray *clones = new TClonesArray("TLorentzVector");
  TFile file((folder + "/partial.root").c_str(), "RECREATE");
  TTree partial("partial", "");
  partial.Branch("x", &x); partial.Branch("v", &v); partial.Branch("clones", &clones);
  TBranch *never = partial.Branch("never", &x, "never/F");
  for (int k = 0; k < 100; k++) { x = k; v.assign(k % 3, k); partial.Fill(); }
  never->Reset();
  partial.GetBranch("clones.fE")->Reset();
  partial.Write();
  file.SetCompressionSettings(301);
  TTree baskets("baskets", "");
  baskets.Branch("x", &x); baskets.Branch("v", &v);
  for (int k = 0; k < 20000; k++) { x = k % 7; v.assign(k % 3, k); baskets.Fill(); }
  baskets.FlushBaskets();
  file.SetCompressionSettings(101);
  baskets.Write();
  file.Close();
  TFile old_file((folder + "/old.root").c_str(), "RECREATE", "", 301);
  TTree old("old", "");
  old.Branch("x", &x);
  for (int k = 0; k < 20000; k++) { x = k % 7; old.Fill(); }
  old.Write();
  old_file.Close();
}''')
ROOT.write(sys.argv[1])
"""


@pytest.fixture(scope="module")
def strange(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with the two files."""
    folder = tmp_path_factory.mktemp("strange")
    subprocess.run([sys.executable, "-c", WRITE, str(folder)], check=True, capture_output=True, timeout=120)
    return folder


def test_a_branch_without_entries_leaves_the_others(strange: Path) -> None:
    """Files of Delphes have such a branch (Particle.DeltaEta): a class that has lost a member."""
    contents = {content.branch.name: content for content in inspect_tree(strange / "partial.root", "partial")}
    for name in ("never", "clones.fE"):
        assert contents[name].problem == "it has 0 entries, but the tree has 100"
        assert not contents[name].is_readable
    assert (contents["x"].minimum, contents["x"].maximum, contents["x"].num_values) == (0, 99, 100)
    assert (contents["v"].maximum, contents["v"].num_values) == (98, sum(k % 3 for k in range(100)))
    with open_ntuple(strange / "partial.root", "partial") as ntuple:
        assert sum(chunk.columns["x"].sum() for chunk in ntuple.chunks(["x"])) == sum(range(100))
        with pytest.raises(
            NtuplemlError, match=r"^cut: branch 'never' of tree 'partial' of .* cannot be read: it has 0"
        ):
            ntuple.require(["x", "never"], "cut")


@pytest.mark.parametrize(("file", "tree"), [("old.root", "old"), ("partial.root", "baskets")])
def test_what_only_root_reads_is_not_called_damaged(strange: Path, file: str, tree: str) -> None:
    with pytest.raises(NtuplemlError) as caught, open_ntuple(strange / file, tree) as ntuple:
        list(ntuple.chunks(["x"]))
    message = str(caught.value)
    assert "unsupported compression algorithm: b'CS'" in message
    command = f"'hadd -O new.root {strange / file}'"
    assert message.endswith(f"uproot cannot read it, but ROOT can; write the file anew with ROOT, e.g. {command}")
    assert "damaged" not in message


def test_root_is_asked_once_about_all_branches(strange: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Place] = []
    monkeypatch.setattr(inspection, "verdict", lambda place: asked.append(place) or "ROOT can")
    x, v = inspect_tree(strange / "partial.root", "baskets")
    assert len(asked) == 1
    for problem in (x.problem, v.problem):
        assert problem is not None
        assert problem.endswith("; ROOT can")


def test_a_damaged_basket_leaves_the_other_branches(tmp_path: Path, run_script: RunScript) -> None:
    columns = {"x": np.arange(5000), "y": np.arange(5000), "z": np.arange(5000)}
    with uproot.recreate(tmp_path / "bad.root") as file:
        file.mktree("t", dict.fromkeys(columns, "i4")).extend(columns)
    with uproot.open(tmp_path / "bad.root") as file:
        key = file["t"]["y"].basket_key(0)
    content = bytearray((tmp_path / "bad.root").read_bytes())
    content[key.fSeekKey + key.fKeylen : key.fSeekKey + key.fNbytes] = bytes(key.fNbytes - key.fKeylen)
    (tmp_path / "bad.root").write_bytes(content)
    done = run_script("dataset/inspect_ntuple.py", tmp_path / "bad.root")
    assert done.returncode == 0, done.stderr
    lines = [line.replace("│", " ").split() for line in done.stdout.splitlines()]
    assert ["x", "int32_t", "5,000", "0", "4999", "0"] in lines
    assert ["y", "int32_t", "–", "–", "–", "–"] in lines
    assert ["z", "int32_t", "5,000", "0", "4999", "0"] in lines
    assert "cannot be read: y: " in done.stdout
    assert "; the file is damaged or incomplete; copy or make it anew" in done.stdout
    message = r"branch 'y' cannot be read at entries 0 .* damaged or incomplete;"
    with pytest.raises(UnreadableBranchError, match=message), open_ntuple(tmp_path / "bad.root", "t") as ntuple:
        list(ntuple.chunks(["x", "y"]))


def test_without_root_no_damage_is_claimed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "ROOT.py").write_text("raise ImportError('not here')")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), *sys.path]))
    assert verdict(Place("a.root", "t", "x", 0, 10)).startswith(
        "the file may be damaged (ROOT, which could tell, gives"
    )


@pytest.mark.parametrize(
    ("place", "is_read"),
    [
        (("",), True),
        (("partial",), True),
        (("partial;1", "x", 0, 50), True),
        (("partial", "clones/clones.fP", 0, 100), True),
        (("none",), False),
    ],
)
def test_what_root_says(strange: Path, place: tuple[str, ...], is_read: bool) -> None:
    assert ("but ROOT can" in verdict(Place(f"{strange}/partial.root", *place))) == is_read  # type: ignore[arg-type]


def test_root_is_asked_about_files_of_any_name(strange: Path, tmp_path: Path) -> None:
    path = tmp_path / "a#b$HOME?.root"
    shutil.copy(strange / "partial.root", path)
    assert "but ROOT can" in verdict(Place(str(path), "partial"))


def test_root_is_asked_about_rntuples(root_written: Path, tmp_path: Path) -> None:
    path = root_written / "rntuple.root"
    assert "but ROOT can" in verdict(Place(str(path), "mt_nominal/ntuple", "vf4", 0, 250))
    content = path.read_bytes()
    (tmp_path / "bad.root").write_bytes(content[:600] + bytes(len(content) // 2) + content[600 + len(content) // 2 :])
    assert "damaged or incomplete" in verdict(Place(str(tmp_path / "bad.root"), "mt_nominal/ntuple", "i8", 0, 250))


def test_an_rntuple_before_1_0(run_script: RunScript) -> None:
    """Newer versions of ROOT do not read it either."""
    with pytest.raises(NtuplemlError) as caught, open_ntuple(OLD_RNTUPLE, "ntuple"):
        pass
    assert str(caught.value).startswith(OLD_RNTUPLE_MESSAGE)
    (tree,) = list_trees(OLD_RNTUPLE)
    assert tree.problem is not None
    assert tree.problem.startswith(OLD_RNTUPLE_MESSAGE)
    done = run_script("dataset/inspect_ntuple.py", OLD_RNTUPLE)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"inspect_ntuple.py: {OLD_RNTUPLE_MESSAGE}")
    assert done.stderr.count("\n") == 1
