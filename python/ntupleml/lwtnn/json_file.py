"""JSON as liblwtnn reads it, by boost's property tree: which texts pass as numbers, and errors that say where.

Boost keeps every value as a text: a quoted number passes as a number, and an empty text as an empty list (its own
writer makes such files). NaN, infinities, comments and commas at the end of a list do not pass.
"""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ntupleml.errors import NtuplemlError, did_you_mean, one_line

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

#: Size of a file that no network here has; more would be an attack on the memory.
MOST_BYTES = 1_000_000_000
#: Longest name; expressions as names of variables are far shorter.
LONGEST_NAME = 300
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_WHOLE = re.compile(r"[+-]?\d{1,10}", re.ASCII)


class _NotStrictError(ValueError):
    """What Python's parser lets pass and boost's does not."""


def read_json(path: str | Path, library: str = "lwtnn") -> dict[str, Any]:
    """Content of a JSON file that holds one block of keys.

    Parameters
    ----------
    library : str
        Whose format it is, for messages.

    Raises
    ------
    NtuplemlError
        If the file cannot be read, is not strict JSON (a key twice, NaN, Infinity, …), or holds something else.
    """
    content = _content(Path(path), library)
    try:
        parsed = json.loads(content, object_pairs_hook=_unique, parse_constant=_no_constant)
    except RecursionError:
        raise NtuplemlError(f"{path}: not a network: its JSON is nested too deeply") from None
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise NtuplemlError(f"{path}: not valid JSON: {place}: {one_line(error.msg, 100)}") from None
    except ValueError as error:  # ours, or a whole number with thousands of digits
        raise NtuplemlError(f"{path}: not valid JSON: {one_line(error, 150)}") from None
    return Entry(parsed, str(path)).block()


def _content(path: Path, library: str) -> str:
    try:
        if not path.is_file():
            reason = "is a folder" if path.is_dir() else "no such file" if not path.exists() else "is not a plain file"
            raise NtuplemlError(f"{path}: {reason}; give a network in {library}'s JSON format")
        if path.stat().st_size > MOST_BYTES:
            raise NtuplemlError(f"{path}: refused: more than {MOST_BYTES:,} bytes; not a network of {library}")
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise NtuplemlError(f"{path}: cannot be read: {(error.strerror or str(error)).lower()}") from None
    except UnicodeDecodeError:
        raise NtuplemlError(
            f"{path}: is not text in UTF-8, so not JSON; give a network in {library}'s format"
        ) from None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A block whose keys are fit to stand in messages."""
    result = dict(pairs)
    for name in result:
        if len(name) > LONGEST_NAME or not name.isprintable():
            raise _NotStrictError(f"the key '{one_line(name, 60)}' is too long, or has unprintable characters")
    if len(result) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise _NotStrictError(f"the key '{one_line(twice, 60)}' is given twice in one block")
    return result


def _no_constant(text: str) -> Any:
    raise _NotStrictError(f"{text} is not a number of JSON; write a finite one")


class Entry(NamedTuple):
    """A value of a file and its place there, with which the errors of its methods begin."""

    value: Any
    path: str
    key: str = ""

    @property
    def where(self) -> str:
        """File and key."""
        return f"{self.path}: {self.key}" if self.key else self.path

    def error(self, problem: str) -> NtuplemlError:
        """The error that something is wrong with this value."""
        return NtuplemlError(f"{self.where}: {problem}")

    def __contains__(self, key: object) -> bool:
        return key in self.block()

    def at(self, key: str) -> Entry:
        """Value of a key that must be there; the error names the keys nearest to it."""
        content = self.block()
        if key not in content:
            raise self.error(f"no key '{key}'{did_you_mean(key, content)}")
        return Entry(content[key], self.path, f"{self.key}.{key}" if self.key else key)

    def block(self) -> dict[str, Any]:
        """A block of keys; an empty text counts as an empty one."""
        if self.value == "":
            return {}
        if not isinstance(self.value, dict):
            raise self._unlike("a block of keys belongs")
        return self.value

    def items(self) -> list[Entry]:
        """Values of a list; an empty text counts as an empty one."""
        return [Entry(value, self.path, f"{self.key}[{index}]") for index, value in enumerate(self._list())]

    def text(self) -> str:
        """A name; a whole number counts as its digits."""
        value = self.value
        if isinstance(value, int) and not isinstance(value, bool):
            return str(value)
        if not isinstance(value, str) or not value:
            raise self._unlike("a name belongs")
        if len(value) > LONGEST_NAME or not value.isprintable():  # half of a surrogate pair could not even be written
            raise self.error(f"the name '{one_line(value, 60)}' is too long, or has unprintable characters")
        return value

    def choice(self, known: Sequence[str], what: str) -> str:
        """One of the names that there are."""
        name = self.text()
        if name not in known:
            raise self.error(f"no {what} '{name}'{did_you_mean(name, known)}")
        return name

    def number(self) -> float:
        """A finite number, quoted or not."""
        if isinstance(self.value, str) and _NUMBER.fullmatch(self.value.strip()):
            result = float(self.value)
        elif isinstance(self.value, int | float) and not isinstance(self.value, bool):
            try:
                result = float(self.value)
            except OverflowError:
                result = math.inf
        else:
            raise self._unlike("a number belongs")
        if not math.isfinite(result):
            raise self.error(f"{_shown(self.value)} is too large for a number in double precision")
        return result

    def whole(self) -> int:
        """A whole number from 0 to 2³¹ − 1, quoted or not."""
        value = self.value
        if isinstance(value, str) and _WHOLE.fullmatch(value.strip()):
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**31:
            raise self.error(f"{_shown(value)} is given where a whole number from 0 up belongs")
        return value

    def numbers(self) -> NDArray[np.float64]:
        """A list of finite numbers, quoted or not."""
        values = self._list()
        if set(map(type, values)) <= {float}:
            array = np.asarray(values, dtype=np.float64)
            if np.isfinite(array).all():
                return array
        return np.array([entry.number() for entry in self.items()], dtype=np.float64)

    def _list(self) -> list[Any]:
        if self.value == "":
            return []
        if not isinstance(self.value, list):
            raise self._unlike("a list belongs")
        return self.value

    def _unlike(self, wanted: str) -> NtuplemlError:
        return self.error(f"{_shown(self.value)} is given where {wanted}")


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return "a block of keys"
    if isinstance(value, list):
        return "a list"
    return f"'{one_line(value, 40)}'" if isinstance(value, str) else one_line(json.dumps(value, default=str), 40)
