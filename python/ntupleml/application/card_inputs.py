"""What a model card says of inputs: shapes in the ONNX file, and the range of each number in the training."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from onnx import TensorProto

from ntupleml.datasets.loading import class_trees, fold_files, read_rows
from ntupleml.errors import NtuplemlError
from ntupleml.events.values import ObjectRows, Rows

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import onnx
    from numpy.typing import NDArray

    from ntupleml.config import TrainingConfig

#: Of the types of inputs, those of C++ and of NumPy.
_TYPES = {TensorProto.FLOAT: ("float", "float32"), TensorProto.DOUBLE: ("double", "float64")}
#: Values of an input, about, that its quantiles are of.
_SAMPLE = 200_000
#: Share of the values that is in the range.
_INSIDE = 0.98


class CardInput(NamedTuple):
    """An input of the ONNX files, as examples need it."""

    name: str
    #: As part of names in C++.
    word: str
    #: In C++ and in NumPy.
    type: str
    python_type: str
    #: Names of the last axis.
    names: list[str]
    #: Whether each event has any number of such rows.
    sequence: bool
    #: Numbers of an event, or of a row of it.
    size: int
    #: Of the array, in words, as C++, and as Python for two events.
    shape_text: str
    dimensions: list[str]
    python_shape: str


class InputRange(NamedTuple):
    """Values of a number among all events of the fold files."""

    low: float
    high: float
    #: Between which 98 % are, by a sample.
    range: tuple[float, float]
    #: Share that is NaN or infinite.
    missing: float


def card_inputs(graph: onnx.ModelProto, names: Mapping[str, Sequence[str]]) -> list[CardInput]:
    """Inputs of an ONNX file of ours, in its order.

    Parameters
    ----------
    names : mapping of str to sequence of str
        Names of the last axis, by input.
    """
    declared = {value.name: value.type.tensor_type for value in graph.graph.input}
    found = []
    for name, tensor in declared.items():
        if name.endswith("_length") and name.removesuffix("_length") in declared:
            continue
        sequence = f"{name}_length" in declared
        fixed = [dimension.dim_value for dimension in tensor.shape.dim][1 + sequence :]
        if tensor.elem_type not in _TYPES or not all(fixed):
            raise NtuplemlError(f"model card: input '{name}' of the ONNX file has no shape that an example can fill")
        in_cpp, in_python = _TYPES[tensor.elem_type]
        word = re.sub(r"\W", "_", name)
        steps = [f"batch.{word}_steps"] if sequence else []
        objects = ["objects"] if sequence else []
        found.append(
            CardInput(
                name,
                word,
                in_cpp,
                in_python,
                list(names.get(name, [])) or [str(index) for index in range(fixed[-1])],
                sequence,
                math.prod(fixed),
                " × ".join(["events", *objects, *map(str, fixed)]),
                ["batch.events", *steps, *map(str, fixed)],
                str((2, *([3] if sequence else []), *fixed)),
            )
        )
    return found


def input_ranges(config: TrainingConfig, *, conditional: bool) -> dict[str, dict[str, InputRange]]:
    """Ranges of the numbers and of the columns of objects, by group, in all fold files of the training."""
    gathered: dict[str, dict[str, _Gathered]] = {}
    files = {file.path: file for model in (0, 1) for file in fold_files(config, model, conditional)}
    trees = class_trees(config, list(files.values()))
    share = min(1.0, _SAMPLE / max(sum(tree.num_entries for tree in trees), 1))
    random = np.random.default_rng(config.seed)
    for tree in trees:
        if not tree.num_entries:
            continue
        for rows in read_rows(tree, config, filled=False):
            for group, values in rows.inputs.groups.items():
                if isinstance(values, Rows | ObjectRows) and values.values.ndim == 2:
                    of_group = gathered.setdefault(group, {name: _Gathered() for name in values.names})
                    taken = random.random(len(values.values)) < share
                    for name, column in zip(values.names, values.values.T, strict=True):
                        of_group[name].add(np.asarray(column, np.float64), taken)
    return {group: {name: one.range() for name, one in columns.items()} for group, columns in gathered.items()}


class _Gathered:
    """Values of a column, chunk by chunk."""

    def __init__(self) -> None:
        self._low, self._high, self._missing, self._number = np.inf, -np.inf, 0, 0
        self._sample: list[NDArray[Any]] = []

    def add(self, values: NDArray[np.float64], taken: NDArray[np.bool_]) -> None:
        finite = np.isfinite(values)
        self._number += len(values)
        self._missing += int((~finite).sum())
        if finite.any():
            self._low = min(self._low, float(values[finite].min()))
            self._high = max(self._high, float(values[finite].max()))
            self._sample.append(values[finite & taken])

    def range(self) -> InputRange:
        if not self._number > self._missing:
            return InputRange(np.nan, np.nan, (np.nan, np.nan), 1.0 if self._number else 0.0)
        sample = np.concatenate(self._sample)
        outside = (1 - _INSIDE) / 2
        low, high = np.quantile(sample, [outside, 1 - outside]) if len(sample) else (self._low, self._high)
        return InputRange(self._low, self._high, (float(low), float(high)), self._missing / self._number)
