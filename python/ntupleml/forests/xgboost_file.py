"""Files of XGBoost, JSON or UBJSON, as plain data that is safe to look at, and safe for XGBoost's own parser."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

from ntupleml.errors import NtuplemlError, one_line
from ntupleml.forests.ubjson import DEEPEST, read_ubjson

if TYPE_CHECKING:
    from pathlib import Path

#: Bytes of a file; a million trees of depth 4 have as many.
_MOST_BYTES = 2_000_000_000
#: With which a UBJSON document of XGBoost begins: an object, whose first name has a length of 8 bytes.
UBJSON_BEGINNING = b"{L"


def read_xgboost(path: Path) -> Any:
    """Content of a model file, whatever its name ends in.

    Raises
    ------
    NtuplemlError
        If it is too large, or see `parse_xgboost`.
    """
    if (size := path.stat().st_size) > _MOST_BYTES:
        raise NtuplemlError(f"{path}: {size:,} bytes; at most {_MOST_BYTES:,} are read")
    return parse_xgboost(path.read_bytes(), str(path))


def parse_xgboost(content: bytes | bytearray, where: str) -> Any:
    """Content of JSON or UBJSON, which its beginning tells apart.

    Raises
    ------
    NtuplemlError
        If it is neither, is cut off or damaged, has a name twice in an object, or is nested too deep.
    """
    kind = "UBJSON" if content.startswith(UBJSON_BEGINNING) else "JSON"
    try:
        if kind == "UBJSON":
            return read_ubjson(content)
        parsed = json.loads(content, object_pairs_hook=_object)
    except (ValueError, RecursionError) as error:
        raise NtuplemlError(f"{where}: not {kind}, or cut off or damaged: {one_line(error, 100)}") from None
    _require_shallow(parsed, where)
    return parsed


def json_for_xgboost(content: Any) -> bytes:
    """JSON of what `parse_xgboost` gave and `forest_of_xgboost` accepted, for XGBoost's own parser.

    That one is not given the file itself: what it makes of another one than ours sees can end the process.
    """
    return json.dumps(content, default=np.ndarray.tolist, ensure_ascii=False).encode()


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        raise ValueError("two members of one name in an object")
    return members


def _require_shallow(content: Any, where: str) -> None:
    level = [content]
    for _ in range(DEEPEST + 1):
        level = [
            inner
            for outer in level
            for inner in (outer.values() if isinstance(outer, dict) else outer if isinstance(outer, list) else ())
            if isinstance(inner, dict | list)
        ]
        if not level:
            return
    raise NtuplemlError(f"{where}: nested more than {DEEPEST} levels deep; not a model of XGBoost")
