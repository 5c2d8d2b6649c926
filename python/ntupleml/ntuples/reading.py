"""An open ntuple: its branches, those of its friends, and their values in chunks."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ntupleml.errors import NtuplemlError, did_you_mean
from ntupleml.expressions.syntax import ENTRY
from ntupleml.ntuples.formats import open_tables
from ntupleml.ntuples.identity import OpenedFile
from ntupleml.ntuples.sources import Column, Source, TableKind, UnreadableBranchError

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from ntupleml.ntuples.branches import Branch
    from ntupleml.ntuples.friends import FriendFile
    from ntupleml.ntuples.row_values import ObjectsOfEvents

#: Entries of a chunk unless told otherwise; wide trees get fewer.
ENTRIES_PER_CHUNK = 100_000
#: Uncompressed size that a chunk may have, which bounds the memory.
BYTES_PER_CHUNK = 48_000_000
#: Fewer entries than this are never worth a chunk.
FEWEST_ENTRIES_PER_CHUNK = 1_000
#: The same where there are images, which are put side by side: what the caches of the processor hold is far faster.
_BYTES_OF_IMAGES, _FEWEST_IMAGES = 16_000_000, 16


class Chunk(NamedTuple):
    """Values of some branches for consecutive entries."""

    #: First entry, and one past the last.
    start: int
    stop: int
    #: By the names that were asked for: a numpy array of shape (n_rows,), or (n_rows, a, b, …) for a branch of arrays
    #: of two dimensions or more, or an awkward array for a vector branch, of regular type where all its lists are of
    #: one length (`x[3]`).
    columns: dict[str, Column]

    @property
    def objects(self) -> ObjectsOfEvents | None:
        """Which objects of which events the rows are; None where each entry is a row."""
        return None

    @property
    def num_rows(self) -> int:
        """Number of values in each column."""
        return self.stop - self.start if self.objects is None else len(self.objects.kept)

    @property
    def entries(self) -> NDArray[np.int64]:
        """Entry that each row is from, shape (n_rows,)."""
        return np.arange(self.start, self.stop) if self.objects is None else self.start + self.objects.events


@dataclass(frozen=True)
class Ntuple:
    """A table (TTree, RNTuple, group of HDF5, Parquet file), together with its friends. Made by `open_ntuple`."""

    path: str
    tree_path: str
    num_entries: int
    #: Of the file, as ROOT made it; of an HDF5 or Parquet file, a number of this form made from its bytes.
    uuid: str
    #: Of the file, in bytes.
    size: int
    kind: TableKind
    #: Branches of the tree, then those of its friends: by their own name where no other tree has it, else as
    #: `friend_branch`, which is what fold files call them; and always as `friend.branch`. Names stand in the order of
    #: the files.
    branches: dict[str, Branch]
    #: Those of the tree itself.
    main_branches: tuple[str, ...]
    #: For each friend branch, by `friend.branch`: name of the friend, name of the branch in it.
    friend_branches: dict[str, tuple[str, str]]
    #: Branches that the tree itself holds more than once, which cannot be read.
    duplicates: frozenset[str]
    #: For each of `branches`, where it is read from, and its name there.
    addresses: dict[str, tuple[Source, str]]
    #: Table and file, for messages.
    where: str
    #: Its file and those of its friends, as they were when they were opened.
    files: tuple[OpenedFile, ...]

    @property
    def holds_nothing(self) -> bool:
        """Whether it has neither entries nor branches, as what a job without events writes."""
        return not self.num_entries and not self.branches

    def require(self, names: Iterable[str], where: str = "", *, nested: bool = False) -> None:
        """Check that branches are there, once each, and hold numbers (`nested`: lists of lists of them, too).

        Raises
        ------
        NtuplemlError
            Naming the first branch that is missing (with the nearest names), ambiguous, or of another kind.
        """
        start = f"{where}: " if where else ""
        for name in names:
            if name == ENTRY:
                continue
            if name not in self.branches:
                raise NtuplemlError(f"{start}no branch '{name}' in {self.where}{did_you_mean(name, self.branches)}")
            source, own_name = self.addresses[name]
            if own_name in source.duplicates:
                tree = source.where.removeprefix(start)
                raise NtuplemlError(
                    f"{start}{tree} has several branches '{own_name}'; make the file anew with one of them"
                )
            branch = self.branches[name]
            if branch.problem is not None:
                raise NtuplemlError(f"{start}branch '{name}' of {self.where} cannot be read: {branch.problem}")
            if branch.kind == "other" and not (nested and branch.is_nested):
                raise NtuplemlError(
                    f"{start}branch '{name}' of {self.where} is of type {branch.type_name}, which holds neither "
                    "numbers nor lists of numbers"
                )

    def listed_name(self, name: str) -> str:
        """Name of a branch in `main_branches`, or in `friend_branches` where it is a friend's."""
        source, own_name = self.addresses[name]
        listed = (full for full, (_, own) in self.friend_branches.items() if own == own_name)
        return next((full for full in listed if self.addresses[full][0] is source), own_name)

    def copies_in_friends(self, name: str) -> list[str]:
        """Branches of friends that are called like one of the tree's own, one number per event, as `friend.branch`."""
        return [
            full
            for full, (_, own) in self.friend_branches.items()
            if own == self.listed_name(name) and own in self.main_branches and self.branches[full].kind == "scalar"
        ]

    def chunks(self, branches: Sequence[str], entries_per_chunk: int | None = None) -> Iterator[Chunk]:
        """Read branches from the first entry to the last, a bounded number of entries at a time.

        Parameters
        ----------
        branches : sequence of str
            Names, of friends too; ``Entry$`` stands for the entry numbers.
        entries_per_chunk : int, optional
            By default 100,000, or fewer where the branches are so many that a chunk would exceed 48 MB; 16 MB where
            there are images.

        Raises
        ------
        NtuplemlError
            If a branch is missing, or a file was deleted, replaced or cut while it was read.
        UnreadableBranchError
            If a branch cannot be read to its end; outside `open_ntuple` the message says whether ROOT can read it.
        """
        wanted = list(dict.fromkeys(branches))
        self.require(wanted)
        yield from self.chunks_of_anything(wanted, entries_per_chunk)

    def chunks_of_anything(self, wanted: Sequence[str], entries_per_chunk: int | None = None) -> Iterator[Chunk]:
        """As `chunks`, for branches that are there, once each: lists of lists, too."""
        names = [name for name in wanted if name != ENTRY]
        step = entries_per_chunk or self.chunk_size(names)
        by_source: dict[int, list[str]] = {}
        for name in names:
            by_source.setdefault(id(self.addresses[name][0]), []).append(name)
        readers = [self._renamed(some, step) for some in by_source.values()]
        bounds = ((start, min(start + step, self.num_entries)) for start in range(0, self.num_entries, step))
        rows = zip(bounds, *readers, strict=True) if readers else ((bound,) for bound in bounds)
        while True:
            try:
                (start, stop), *parts = next(rows)
            except StopIteration:
                break
            except NtuplemlError:
                self.require_same_files()  # what is wrong may be no fault of the file
                raise
            columns = {name: column for part in parts for name, column in part.items()}
            columns[ENTRY] = np.arange(start, stop)
            yield Chunk(start, stop, {name: columns[name] for name in wanted})
        self.require_same_files()

    def require_same_files(self) -> None:
        """Refuse what was read if a file is not the one that was opened any more.

        Raises
        ------
        NtuplemlError
            Naming the file and what has become of it.
        """
        for file in self.files:
            file.require_same()

    def _renamed(self, names: Sequence[str], step: int) -> Iterator[dict[str, Any]]:
        source = self.addresses[names[0]][0]
        own_names = {name: self.addresses[name][1] for name in names}
        for columns in source.chunks(list(dict.fromkeys(own_names.values())), step):
            yield {name: columns[own_name] for name, own_name in own_names.items()}

    def chunk_size(self, names: Sequence[str]) -> int:
        """Entries of a chunk unless told otherwise."""
        branches = [self.branches[name] for name in names if name != ENTRY]
        row = max(sum(branch.bytes_per_entry for branch in branches), 1.0)
        most, fewest = BYTES_PER_CHUNK, FEWEST_ENTRIES_PER_CHUNK
        if any(branch.kind == "array" for branch in branches):
            most, fewest = _BYTES_OF_IMAGES, _FEWEST_IMAGES
        return int(min(ENTRIES_PER_CHUNK, max(fewest, most // row)))


@contextmanager
def open_ntuple(
    path: str | Path, tree_path: str, friends: Sequence[FriendFile] = (), where: str = ""
) -> Iterator[Ntuple]:
    """Open a table of a file and its friends.

    Parameters
    ----------
    path : str or Path
        ROOT, HDF5 or Parquet file: its content tells which.
    tree_path : str
        Tree in it (TTree or RNTuple), with its folders, e.g. `mt_nominal/ntuple`; of an HDF5 file the group that holds
        the datasets (empty for the root); of a Parquet file, which is one table, anything.
    friends : sequence of FriendFile, optional
        Trees with more branches for the same entries.

    Raises
    ------
    NtuplemlError
        If a file is missing, truncated, damaged or of no kind that is known, has no such tree (the message names the
        nearest), or a friend has another number of entries.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from ntupleml.ntuples import new_tree_file
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with new_tree_file(f"{folder}/a.root") as file:
    ...         file.tree("ntuple", {"x": "f4"}).extend({"x": np.arange(3, dtype="f4")})
    ...     with open_ntuple(f"{folder}/a.root", "ntuple") as ntuple:
    ...         for chunk in ntuple.chunks(["x"], 2):
    ...             print(chunk.start, chunk.stop, chunk.columns["x"])
    0 2 [0. 1.]
    2 3 [2.]
    """
    files = tuple(map(OpenedFile.of, (path, *(friend.path for friend in friends))))
    with ExitStack() as stack:
        file = stack.enter_context(open_tables(path, where))
        main = file.source(tree_path, where)
        branches = dict(main.branches)
        addresses = {name: (main, name) for name in branches}
        friend_branches: dict[str, tuple[str, str]] = {}
        shared: set[str] = set()
        for friend in friends:
            source = _open_friend(stack, friend, main, where)
            for name, branch in source.branches.items():
                full = f"{friend.name}.{name}"
                branches[full] = branch
                addresses[full] = (source, name)
                friend_branches[full] = (friend.name, name)
                if name in branches and name not in main.branches:
                    shared.add(name)
                elif name not in main.branches:
                    branches[name] = branch
                    addresses[name] = (source, name)
        for name in shared:  # of several friends: only friend.branch says which
            del branches[name], addresses[name]
        for full, (friend_name, name) in friend_branches.items():
            flat = f"{friend_name}_{name}"
            if addresses.get(name) != addresses[full] and flat not in branches:
                branches[flat], addresses[flat] = branches[full], addresses[full]
        for short, name in _short_names([name for name in branches if name not in friend_branches], branches).items():
            branches[short], addresses[short] = branches[name], addresses[name]
        ntuple = Ntuple(
            path=str(path),
            tree_path=tree_path,
            num_entries=main.num_entries,
            uuid=file.uuid,
            size=file.size,
            kind=main.kind,
            branches=branches,
            main_branches=tuple(main.branches),
            friend_branches=friend_branches,
            duplicates=frozenset(main.duplicates),
            addresses=addresses,
            where=main.label,
            files=files,
        )
        try:
            yield ntuple
        except UnreadableBranchError as error:  # not in `chunks`: who can do without a branch does not wait for ROOT
            raise error.judged() from error


def _short_names(names: Sequence[str], taken: Container[str]) -> dict[str, str]:
    """Other names of branches such as `Jet.pt`: `Jet_pt` and `pt`, where no other branch is or could be called so."""
    short: dict[str, list[str]] = {}
    for name in names:
        if "." in name:
            for other in {name.replace(".", "_"), name.rpartition(".")[2]}:
                short.setdefault(other, []).append(name)
    return {other: found[0] for other, found in short.items() if len(found) == 1 and other and other not in taken}


def _open_friend(stack: ExitStack, friend: FriendFile, main: Source, where: str) -> Source:
    label = f"friend '{friend.name}'"
    file = stack.enter_context(open_tables(friend.path, f"{where}: {label}" if where else label))
    source = file.source(friend.tree_path, where)
    if source.num_entries != main.num_entries:
        raise NtuplemlError(
            f"{main.where}: has {main.num_entries} entries, but its friend {friend.path} has {source.num_entries}; "
            "a friend needs one entry for each of the tree's, in the same order"
        )
    return source
