"""Checking that an edited copy of a ROOT file holds all that the file holds, and the new values as written."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ntupleml.errors import NtuplemlError
from ntupleml.ntuples.branch_types import add_to_checksum, no_checksum, number_type, plain_arrays, vector_item
from ntupleml.ntuples.layout import DIRECTORY_CLASSES, Key, Layout, Range, read_layout, require_objects
from ntupleml.ntuples.opening import one_line, open_root_file

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from numpy.typing import DTypeLike

    from ntupleml.ntuples.branch_types import Checksum

#: Bytes that are compared at once.
_BLOCK = 8_000_000
#: Entries of a branch that are read back at once.
_ENTRIES_READ_BACK = 1_000_000


def require_rest_unchanged(
    old: Path, new: Path, tree_path: str, where: str, *, replaced: Sequence[Key] = (), freed: Sequence[Range] = ()
) -> None:
    """Check the edited copy of a file in which one tree was written: all else must be as it was.

    Compared are all bytes of the old file outside gaps and ROOT's own tables, the list of all objects, and the
    descriptions of classes.

    Parameters
    ----------
    old, new : Path
        The file and its copy.
    tree_path : str
        The tree that was written.
    replaced : sequence of Key
        Old headers of the tree that are not needed any more.
    freed : sequence of Range
        Other parts of the old file that hold nothing any more.
    """
    layout, layout_of_copy = read_layout(old), _layout_of_copy(new, where)
    changed = [layout.header, layout.streamer_info, *layout.free, *freed]
    changed += [key.range for key in replaced]
    # ROOT dates all folders that it opened anew and writes their lists again; what they list is compared below.
    changed += [part for folder in layout.folders for part in (folder.header, folder.key_list)]
    _require_same_bytes(old, new, layout, changed, where)
    before, after = set(layout.keys) - set(replaced), set(layout_of_copy.keys)
    written = [key for key in after - before if key.path == tree_path and key.class_name not in DIRECTORY_CLASSES]
    folders = [key for key in after - before if key.class_name in DIRECTORY_CLASSES]
    strangers = after - before - set(written) - {key for key in folders if tree_path.startswith(f"{key.path}/")}
    if not before <= after or len(written) != 1 or strangers:
        raise NtuplemlError(
            f"{where}: its extended copy lists other objects than it should; the file was left as it was"
        )
    described = _descriptions(new, where)
    for name, description in _descriptions(old, where).items():
        if described.get(name) != description:
            raise NtuplemlError(
                f"{where}: its extended copy describes class '{name[0]}' otherwise, or not at all; the file was left "
                "as it was"
            )


def _layout_of_copy(new: Path, where: str) -> Layout:
    try:
        layout = read_layout(new)
    except NtuplemlError as error:
        raise NtuplemlError(
            f"{where}: the tables of its extended copy are damaged ({error.__cause__}); the file was left as it was"
        ) from error
    require_objects(new, layout, where)
    return layout


def _descriptions(path: Path, where: str) -> dict[tuple[str, int], list[tuple[Any, ...]]]:
    """Members of each version of each class that a file describes. Sizes in memory are those of one machine."""
    members = ("fName", "fType", "fTypeName", "fArrayLength", "fArrayDim", "fBaseVersion", "fCountName", "fTitle")
    with open_root_file(path) as file:
        try:
            return {
                (name, version): [
                    (element.classname, *(element.member(member, none_if_missing=True) for member in members))
                    for element in description.elements
                ]
                for name, versions in file.file.streamers.items()
                for version, description in versions.items()
            }
        except Exception as error:  # damage makes uproot raise nearly anything
            raise NtuplemlError(
                f"{where}: its descriptions of classes cannot be read: {one_line(error)}; the file was left as it was"
            ) from error


def _require_same_bytes(old: str | Path, new: str | Path, layout: Layout, changed: Iterable[Range], where: str) -> None:
    """Check that a file holds all bytes of an old one, outside some ranges."""
    with Path(old).open("rb") as old_file, Path(new).open("rb") as new_file:
        for start, stop in _outside(changed, layout.end):
            old_file.seek(start)
            new_file.seek(start)
            for position in range(start, stop, _BLOCK):
                size = min(_BLOCK, stop - position)
                if old_file.read(size) != new_file.read(size):
                    raise NtuplemlError(
                        f"{where}: bytes {position} to {position + size} of its extended copy are not those of the "
                        "file; the file was left as it was"
                    )


def _outside(ranges: Iterable[Range], end: int) -> Iterator[Range]:
    """What lies between some ranges, from the start of the file to its end."""
    position = 0
    for start, stop in sorted(ranges):
        if start > position:
            yield Range(position, min(start, end))
        position = max(position, stop)
    if position < end:
        yield Range(position, end)


def checksum_of_branch(branch: Any, branch_type: DTypeLike | str, entries: int, where: str) -> Checksum | None:
    """Checksum of a branch's values, None if it has another type or another number of entries.

    Parameters
    ----------
    branch_type : numpy type or str
        As `ntupleml.ntuples.branch_types` has them.
    """
    if branch.num_entries != entries:
        return None
    library = "np" if vector_item(branch_type) is None else "ak"
    checksum = no_checksum(branch_type)
    for start in range(0, entries, _ENTRIES_READ_BACK):
        try:
            values = branch.array(entry_start=start, entry_stop=start + _ENTRIES_READ_BACK, library=library)
            if _number_type_of(values) != number_type(branch_type):
                return None
            arrays = plain_arrays(values, branch_type)
        except Exception as error:  # damage makes uproot raise nearly anything
            raise NtuplemlError(
                f"{where}: branch '{branch.name}' of its extended copy cannot be read: {one_line(error)}; the file was "
                "left as it was"
            ) from error
        checksum = add_to_checksum(checksum, arrays)
    return checksum


def _number_type_of(values: Any) -> Any:
    """Type of the numbers of an array of numpy, or of a jagged one."""
    if isinstance(values, np.ndarray):
        return values.dtype
    import awkward as ak

    return ak.to_numpy(ak.flatten(values, axis=1)).dtype
