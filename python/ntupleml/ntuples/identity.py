"""Whether a file is still the one that was opened: uproot opens it by its path again for each part that it reads."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from ntupleml.errors import NtuplemlError
from ntupleml.ntuples.remote import is_remote

#: Of a ROOT file, its beginning holds its UUID and size, and where its tables are.
_HEAD_BYTES = 128
_ROOT = b"root"


class OpenedFile(NamedTuple):
    """A file as it was when it was opened."""

    path: str
    #: None of an address, which only its server knows.
    state: _State | None

    @classmethod
    def of(cls, path: str | Path) -> OpenedFile:
        """The file as it is now."""
        if isinstance(path, str) and is_remote(path):
            return cls(path, None)
        try:
            return cls(str(path), _state_of(path))
        except OSError:  # who opens it says what is wrong
            return cls(str(path), None)

    def change(self) -> str | None:
        """What has become of it since; None where it is the same."""
        if self.state is None:
            return None
        try:
            now = _state_of(self.path)
        except OSError:
            return "was deleted"
        if now == self.state or (now.is_root and now[:2] == self.state[:2]):  # a touch changes no ROOT file
            return None
        if now.node == self.state.node and now.size < self.state.size:
            return f"was cut from {self.state.size:,} bytes to {now.size:,}"
        return "was replaced"

    def require_same(self) -> None:
        """Refuse what was read of the file if it is another one now.

        Raises
        ------
        NtuplemlError
            Saying what has become of it.
        """
        change = self.change()
        if change is not None:
            raise NtuplemlError(f"{self.path}: {change} while it was being read; try again when nothing writes to it")


class _State(NamedTuple):
    size: int
    head: bytes
    node: int
    changed: int

    @property
    def is_root(self) -> bool:
        return self.head.startswith(_ROOT)


def _state_of(path: str | Path) -> _State:
    with Path(path).open("rb") as file:
        head = file.read(_HEAD_BYTES)
    status = Path(path).stat()
    return _State(status.st_size, head, status.st_ino, status.st_mtime_ns)
