"""Attention with masks, of which frugally-deep's own attention knows nothing: dot products and softmax, head by head.

A dense layer of zeros and ones takes columns out of a matrix. The keys get a further column, 0 for objects and far
below 0 for empty slots, and the queries a column of ones: so the products hold the mask.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ntupleml.frugally_deep.architecture import Value
    from ntupleml.frugally_deep.export_layers import Call

#: How well a query fits an empty slot, as in `models.layers`.
_NOTHING = 1e9


class _Seen(NamedTuple):
    """What vectors look at: where keys and values begin in a matrix, and which of its rows are objects."""

    joined: Value
    keys: int
    values: int
    mask: Value | None
    name: str


def self_attention(call: Call) -> Value:
    """What objects see of one another."""
    joined, mask = call.sources
    width = joined.shape[1] // 3
    return _attended(call, joined, width, [_Seen(joined, width, 2 * width, mask, "")])


def cross_attention(call: Call) -> Value:
    """What vectors see of objects, and of themselves where their keys and values come with the queries."""
    given, joined, *others = call.sources
    if len(others) > 1:
        call.refuse("numbers of pairs of objects weigh its attention; frugally-deep has no layer for pairs")
    width = joined.shape[1] // 2
    objects = _Seen(joined, 0, width, others[0] if others else None, "")
    if given.shape[1] == 3 * width:
        return _attended(call, given, width, [_Seen(given, width, 2 * width, None, "own_"), objects])
    seen = _attended(call, given, width, [objects])
    if objects.mask is None:
        return seen
    column = _column(call, objects.mask, "any_column")
    is_any = call.add("GlobalMaxPooling1D", [column], (1,), part="any")
    return call.add("Multiply", [seen, _column(call, is_any, "any_row")], seen.shape, part="or_nothing")


def learnt_vectors(call: Call) -> Value:
    """The same vectors for each event: the sum of nothing and the vectors."""
    source, (vectors,) = call.sources[0], call.weights
    width, size = source.shape[-1], vectors.size
    pooled = call.add("GlobalAveragePooling1D", [source], (width,), part="of_events")
    weights = [np.zeros((width, size)), vectors.ravel()]
    flat = call.add("Dense", [pooled], (size,), {"units": size}, weights, part="flat")
    return call.add("Reshape", [flat], call.shape, {"target_shape": list(call.shape)})


def _attended(call: Call, queries: Value, width: int, seen: Sequence[_Seen]) -> Value:
    heads = call.layer.settings["heads"]
    found = [_of_head(call, queries, width // heads, head, seen) for head in range(heads)]
    shape = (queries.shape[0], width)
    return found[0] if heads == 1 else call.add("Concatenate", found, shape, part="heads")


def _of_head(call: Call, queries: Value, size: int, head: int, seen: Sequence[_Seen]) -> Value:
    """Mean of values by the fits of keys, for each query."""
    part, start, number = f"head_{head}_", head * size, queries.shape[0]
    asked = _columns(call, queries, start, size, f"{part}queries", scale=1 / math.sqrt(size), with_one=True)
    fits = [_fit(call, asked, one, start, size, part) for one in seen]
    total = sum(fit.shape[1] for fit in fits)
    joined = fits[0] if len(fits) == 1 else call.add("Concatenate", fits, (number, total), part=f"{part}fits")
    shares = call.add("Softmax", [joined], joined.shape, part=f"{part}shares")
    sums, begin = [], 0
    for one, fit in zip(seen, fits, strict=True):
        given = shares
        if len(fits) > 1:
            given = _columns(call, shares, begin, fit.shape[1], f"{part}{one.name}share")
            begin += fit.shape[1]
        values = _columns(call, one.joined, one.values + start, size, f"{part}{one.name}values")
        sums.append(call.add("Dot", [given, values], (number, size), {"axes": [2, 1]}, part=f"{part}{one.name}seen"))
    return sums[0] if len(sums) == 1 else call.add("Add", sums, (number, size), part=f"{part}seen_of_all")


def _fit(call: Call, queries: Value, seen: _Seen, start: int, size: int, part: str) -> Value:
    """Fit of each query and key."""
    part += seen.name
    keys = _columns(call, seen.joined, seen.keys + start, size, f"{part}keys")
    number = keys.shape[0]
    settings = {"scale": 0.0, "offset": 0.0}
    source = _columns(call, keys, 0, 1, f"{part}first")
    if seen.mask is not None:
        settings = {"scale": _NOTHING, "offset": -_NOTHING}
        source = _column(call, seen.mask, f"{part}mask")
    empty = call.add("Rescaling", [source], (number, 1), settings, part=f"{part}empty")
    extended = call.add("Concatenate", [keys, empty], (number, size + 1), part=f"{part}keys_and_mask")
    shape = (queries.shape[0], number)
    return call.add("Dot", [queries, extended], shape, {"axes": [2, 2]}, part=f"{part}fit")


def _columns(
    call: Call, value: Value, start: int, number: int, part: str, *, scale: float = 1.0, with_one: bool = False
) -> Value:
    """Some columns of a matrix, times a number, and behind them a column of ones if asked."""
    width = number + int(with_one)
    kernel, bias = np.zeros((value.shape[-1], width)), np.zeros(width)
    kernel[start : start + number, :number] = scale * np.eye(number)
    bias[number:] = 1
    shape = (*value.shape[:-1], width)
    return call.add("Dense", [value], shape, {"units": width}, [kernel, bias], part=part)


def _column(call: Call, value: Value, part: str) -> Value:
    """A row as a column."""
    shape = (value.shape[0], 1)
    return call.add("Reshape", [value], shape, {"target_shape": list(shape)}, part=part)
