"""JSON as liblwtnn reads it, by boost's property tree: which texts pass as numbers, and errors that say where.

Boost keeps every value as a text: a quoted number passes as a number, and an empty text as an empty list (its own
writer makes such files). NaN, infinities, comments and commas at the end of a list do not pass.
"""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ntupleml.errors import NtuplemlError, did_you_mean, one_line

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Size of a file that no network here has; more would be an attack on the memory.
MOST_BYTES = 1_000_000_000
#: Longest name; expressions as names of variables are far shorter.
LONGEST_NAME = 300
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_WHOLE = re.compile(r"[+-]?\d{1,10}", re.ASCII)


class _NotStrictError(ValueError):
    """What Python's parser lets pass and boost's does not."""


def read_json(path: str | Path) -> dict[str, Any]:
    """Content of a JSON file that holds one block of keys.

    Raises
    ------
    NtuplemlError
        If the file cannot be read, is not strict JSON (a key twice, NaN, Infinity, …), or holds something else.
    """
    content = _content(Path(path))
    try:
        parsed = json.loads(content, object_pairs_hook=_unique, parse_constant=_no_constant)
    except RecursionError:
        raise NtuplemlError(f"{path}: not a network: its JSON is nested too deeply") from None
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise NtuplemlError(f"{path}: not valid JSON: {place}: {one_line(error.msg, 100)}") from None
    except ValueError as error:  # ours, or a whole number with thousands of digits
        raise NtuplemlError(f"{path}: not valid JSON: {one_line(error, 150)}") from None
    return block(parsed, str(path))


def _content(path: Path) -> str:
    try:
        if not path.is_file():
            reason = "is a folder" if path.is_dir() else "no such file" if not path.exists() else "is not a plain file"
            raise NtuplemlError(f"{path}: {reason}; give a network in lwtnn's JSON format")
        if path.stat().st_size > MOST_BYTES:
            raise NtuplemlError(f"{path}: refused: more than {MOST_BYTES:,} bytes; not a network of lwtnn")
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise NtuplemlError(f"{path}: cannot be read: {(error.strerror or str(error)).lower()}") from None
    except UnicodeDecodeError:
        raise NtuplemlError(f"{path}: is not text in UTF-8, so not JSON; give a network in lwtnn's format") from None


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
    raise _NotStrictError(f"{text} is not a number that liblwtnn reads; write a finite one")


def block(value: Any, where: str) -> dict[str, Any]:
    """A block of keys; an empty text counts as an empty one.

    Raises
    ------
    NtuplemlError
        If the value is something else.
    """
    if value == "":
        return {}
    if not isinstance(value, dict):
        raise NtuplemlError(f"{where}: {_shown(value)} is given where a block of keys belongs")
    return value


def items(value: Any, where: str) -> list[Any]:
    """A list; an empty text counts as an empty one.

    Raises
    ------
    NtuplemlError
        If the value is something else.
    """
    if value == "":
        return []
    if not isinstance(value, list):
        raise NtuplemlError(f"{where}: {_shown(value)} is given where a list belongs")
    return value


def field(content: dict[str, Any], key: str, where: str) -> Any:
    """Value of a key that must be there.

    Raises
    ------
    NtuplemlError
        If it is not, naming the keys nearest to it.
    """
    if key not in content:
        raise NtuplemlError(f"{where}: no key '{key}'{did_you_mean(key, content)}")
    return content[key]


def text(value: Any, where: str) -> str:
    """A name; a whole number counts as its digits.

    Raises
    ------
    NtuplemlError
        If the value is something else, empty, or cannot be written.
    """
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str) or not value:
        raise NtuplemlError(f"{where}: {_shown(value)} is given where a name belongs")
    if len(value) > LONGEST_NAME or not value.isprintable():  # half of a surrogate pair could not even be written
        raise NtuplemlError(f"{where}: the name '{one_line(value, 60)}' is too long, or has unprintable characters")
    return value


def number(value: Any, where: str) -> float:
    """A finite number, quoted or not.

    Raises
    ------
    NtuplemlError
        If the value is something else.
    """
    if isinstance(value, str) and _NUMBER.fullmatch(value.strip()):
        result = float(value)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        result = _float(value)
    else:
        raise NtuplemlError(f"{where}: {_shown(value)} is given where a number belongs")
    if not math.isfinite(result):
        raise NtuplemlError(f"{where}: {_shown(value)} is too large for a number in double precision")
    return result


def _float(value: float) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.inf


def whole(value: Any, where: str) -> int:
    """A whole number that is not negative, quoted or not.

    Raises
    ------
    NtuplemlError
        If the value is something else, or above 2³¹ − 1.
    """
    if isinstance(value, str) and _WHOLE.fullmatch(value.strip()):
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**31:
        raise NtuplemlError(f"{where}: {_shown(value)} is given where a whole number from 0 up belongs")
    return value


def numbers(value: Any, where: str) -> NDArray[np.float64]:
    """A list of finite numbers, quoted or not.

    Returns
    -------
    array of float64, shape (n_numbers,)

    Raises
    ------
    NtuplemlError
        Naming the first entry that is something else.
    """
    entries = items(value, where)
    if set(map(type, entries)) <= {float}:
        array = np.asarray(entries, dtype=np.float64)
        if np.isfinite(array).all():
            return array
    return np.array([number(entry, f"{where}[{index}]") for index, entry in enumerate(entries)], dtype=np.float64)


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return "a block of keys"
    if isinstance(value, list):
        return "a list"
    return f"'{one_line(value, 40)}'" if isinstance(value, str) else one_line(json.dumps(value, default=str), 40)
