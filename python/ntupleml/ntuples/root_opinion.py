"""Whether ROOT can read what uproot cannot: asked before a file is called damaged, in a process that ROOT may end."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ntupleml.imports import crash_at_once, import_root, name_for_root
from ntupleml.ntuples.remote import is_remote

if TYPE_CHECKING:
    from collections.abc import Iterator

#: That ROOT gets for its answer; a damaged file may send it around in circles.
_SECONDS = 40
_ASK = "import sys; from ntupleml.ntuples.root_opinion import answer; sys.exit(answer(sys.argv[1]))"
#: What the process ends with where ROOT cannot read, and the least of what it ends with where ROOT is killed by it.
_UNREADABLE, _KILLED = 4, 128
#: ROOT's number for the newest cycle of an object.
_NEWEST = 9999


class Place(NamedTuple):
    """What could not be read: a file, a tree in it, or some entries of a branch."""

    #: A file or an address.
    path: str
    #: Tree in it; empty where the file cannot be opened.
    tree_path: str = ""
    #: Path of a branch in the tree, or field of the RNTuple; empty where the tree cannot be read.
    branch: str = ""
    #: The first of its entries, and one past the last.
    start: int = 0
    stop: int = 0


def verdict(place: Place) -> str:
    """End of the message about what uproot cannot read: whether the file is damaged, and what to do."""
    reads = _root_reads(place)
    if reads:
        return (
            f"uproot cannot read it, but ROOT can; write the file anew with ROOT, e.g. 'hadd -O new.root {place.path}'"
        )
    if reads is None:
        return "the file may be damaged (ROOT, which could tell, gives no answer here); copy or make it anew"
    return "the file is damaged or incomplete; copy or make it anew"


def _root_reads(place: Place) -> bool | None:
    """Whether ROOT can read it; None where it is not installed or gives no answer."""
    path = place.path if is_remote(place.path) else str(Path(place.path).absolute())
    command = [sys.executable, "-c", _ASK, json.dumps(place._replace(path=path))]
    try:
        done = subprocess.run(command, capture_output=True, check=False, timeout=_SECONDS)
    except (OSError, subprocess.TimeoutExpired):
        return None
    if done.returncode == 0:
        return b"Error in <" not in done.stderr
    return False if done.returncode == _UNREADABLE or not 0 < done.returncode < _KILLED else None


def answer(question: str) -> int:
    """Status of the process that asks ROOT: 0 where it can read a place, which is given as JSON.

    Raises
    ------
    NtuplemlError
        If ROOT is not installed.
    """
    place = Place(*json.loads(question))
    root = import_root()
    crash_at_once()
    try:
        with nullcontext(place.path) if is_remote(place.path) else name_for_root(place.path) as name:
            return 0 if _reads(root, place._replace(path=name)) else _UNREADABLE
    except Exception:  # PyROOT raises errors of many kinds for what ROOT cannot read
        return _UNREADABLE


def _reads(root: Any, place: Place) -> bool:
    file = root.TFile.Open(place.path)
    if file.TestBit(root.TFile.kRecovered):
        return False
    if not place.tree_path:
        return True
    folder, _, name = place.tree_path.strip("/").rpartition("/")
    name, _, cycle = name.partition(";")
    key = (file.GetDirectory(folder) if folder else file).GetKey(name, int(cycle or _NEWEST))
    if not key:
        return False
    if str(key.GetClassName()) == "ROOT::RNTuple":
        return _reads_field(root.RNTupleReader.Open(f"{folder}/{name}".strip("/"), place.path), place)
    tree = key.ReadObj()
    return bool(tree) and all(_reads_baskets(branch, place) for branch in _with_lengths(tree, place.branch))


def _with_lengths(tree: Any, path: str) -> Iterator[Any]:
    """A branch, after the one that holds the lengths of its lists; none where only the tree is asked about."""
    if not path:
        return
    branch = tree.GetBranch(path)
    while not branch and "/" in path:
        path = path.partition("/")[2]
        branch = tree.GetBranch(path)
    for leaf in branch.GetListOfLeaves():
        if leaf.GetLeafCount():
            yield leaf.GetLeafCount().GetBranch()
    yield branch


def _reads_baskets(branch: Any, place: Place) -> bool:
    first, last = branch.GetBasketEntry(), branch.GetWriteBasket()
    for basket in range(last + 1):
        is_there = branch.GetBasketSeek(basket) or branch.GetListOfBaskets().At(basket)
        is_before = basket < last and first[basket + 1] <= place.start
        if is_there and not is_before and first[basket] < place.stop and not branch.GetBasket(basket):
            return False
    return True


def _reads_field(reader: Any, place: Place) -> bool:
    if place.branch:
        view = reader.GetView["void"](place.branch.partition(".")[0])
        for entry in range(place.start, place.stop):
            view(entry)
        del view  # before the reader: ROOT's destructor needs it
    return True
