"""The tree of a formula to the array of its values.

Every value comes with the instances that have none (``absent``): an element beyond the end of its vector, taken with
an index that is a formula, or the remainder of a division by zero. TTreeFormula gives up there and returns NaN for the
whole formula (0 in older versions; a zero divisor of ``%`` kills its process). It does so only where it comes by: what
``&&``, ``||`` and ``?:`` make it skip does no harm, and so it is here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np

from ntupleml.errors import NtuplemlError
from ntupleml.expressions import arithmetic
from ntupleml.expressions.functions import FUNCTIONS
from ntupleml.expressions.instances import Columns, Instances, Use, Vector, aggregate, instances
from ntupleml.expressions.messages import no_element
from ntupleml.expressions.syntax import (
    AGGREGATES,
    GROUPED_FROM_THE_RIGHT,
    Element,
    Name,
    Node,
    Number,
    Operation,
    own_variables,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    Array: TypeAlias = NDArray[Any]
    Mask: TypeAlias = NDArray[np.bool_]


class Values(NamedTuple):
    """Values per instance (or one for all) and where there is none (None: nowhere)."""

    values: Array
    absent: Mask | None = None


class Scope(NamedTuple):
    """What a formula is evaluated on."""

    columns: Columns
    instances: Instances


_INFIX: dict[str, Callable[[Array, Array], Array]] = {
    "+": arithmetic.add,
    "-": arithmetic.subtract,
    "*": arithmetic.multiply,
    "/": arithmetic.divide,
    "%": arithmetic.modulo,
    "^": arithmetic.power,
    "&": arithmetic.bit_and,
    "|": arithmetic.bit_or,
    "<<": arithmetic.left_shift,
    ">>": arithmetic.right_shift,
}


def evaluate_formula(tree: Node, columns: Columns) -> tuple[Values, Instances]:
    """Values of a whole formula and the instances that they belong to."""
    found = formula_instances((tree,), columns)
    values, absent = evaluate(tree, Scope(columns, found))
    size = columns.num_events if found.event is None else found.event.size
    if values.ndim == 0:
        values = np.full(size, values)
    if absent is not None:
        absent = np.broadcast_to(absent, (size,))
    return Values(values, absent), found


def formula_instances(trees: tuple[Node, ...], columns: Columns) -> Instances:
    """The instances of formulas that run together."""
    return instances(columns.num_events, [list(_uses(tree, columns)) for tree in trees])


def _uses(tree: Node, columns: Columns) -> Iterator[Use]:
    """The vector branches in a formula."""
    for variable in own_variables(tree):
        if variable.name.endswith("$"):
            continue
        column = columns[variable.name]
        if isinstance(variable, Name):
            if isinstance(column, Vector):
                yield Use(variable.name, column)
        elif isinstance(variable.index, int):
            yield Use(variable.name, _require_element(variable.name, column, variable.index), variable.index)
        else:
            index = formula_instances((variable.index,), columns)
            yield Use(variable.name, _require_vector(variable.name, column), index)


def _require_element(name: str, column: Array | Vector, index: int) -> Vector:
    vector = _require_vector(name, column)
    if vector.length is not None and index >= vector.length:
        raise NtuplemlError(no_element(name, index, vector.length))
    return vector


def _require_vector(name: str, column: Array | Vector) -> Vector:
    if isinstance(column, Vector):
        return column
    raise NtuplemlError(f"branch '{name}' has one value per event; write it without an index")


def evaluate(node: Node, scope: Scope) -> Values:
    """Values of a node in the instances of the formula it belongs to."""
    if isinstance(node, Number):
        return Values(_literal(node.value))
    if isinstance(node, Name):
        return _name(node.name, scope)
    if isinstance(node, Element):
        return _element(node, scope)
    if node.kind == "()":
        return evaluate(node.operands[0], scope)
    if node.kind == "?:":
        return _conditional(node, scope)
    if node.kind == "prefix":
        return _prefix(node, scope)
    if node.kind == "call":
        return _call(node, scope)
    return _infix(node, scope)


def _literal(value: float) -> Array:
    if isinstance(value, int):
        return np.asarray(value, np.uint64 if value >= 2**63 else np.int64)
    return np.asarray(value, np.float64)


def _name(name: str, scope: Scope) -> Values:
    found = scope.instances
    if name == "Iteration$":
        return Values(np.asarray(0) if found.place is None else found.place)
    if name == "Length$":
        return Values(found.spread(found.number_in_event()))
    column = scope.columns[name]
    if not isinstance(column, Vector):
        return Values(found.spread(column))
    if found.counts is not None and np.array_equal(found.counts, column.counts):
        return Values(column.content)
    return _gather(column, found.spread(column.starts), found.spread(column.counts), found.places())


def _gather(vector: Vector, starts: Array, counts: Array, places: Array) -> Values:
    """Elements at given places, absent where the event has none there."""
    absent = (places < 0) | (places >= counts)
    if not vector.content.size:
        return Values(np.zeros(absent.shape, vector.content.dtype), absent)
    values = vector.content[np.where(absent, 0, starts + places)]
    return Values(values, absent if absent.any() else None)


def _element(node: Element, scope: Scope) -> Values:
    found = scope.instances
    vector = _require_vector(node.name, scope.columns[node.name])
    starts, counts = found.spread(vector.starts), found.spread(vector.counts)
    if isinstance(node.index, int):
        # Events without the element have no instance, or are left out by `exists`.
        return Values(_gather(vector, starts, counts, np.asarray(node.index)).values)
    index, absent = evaluate(node.index, scope)
    gathered = _gather(vector, starts, counts, arithmetic.as_long(index).astype(np.int64))
    return Values(gathered.values, _either(gathered.absent, absent))


def _at_instances(values: Array, absent: Mask | None, inner: Instances, outer: Instances) -> tuple[Array, Mask]:
    """Values of another formula at the event and place of each instance; absent where it has fewer instances."""
    place = outer.places()
    missing = place >= outer.spread(inner.number_in_event())
    if inner.event is None:
        positions = np.arange(outer.num_events) if outer.event is None else outer.event
        size = inner.num_events
    else:
        positions = outer.spread(inner.starts()) + place
        size = inner.event.size
    if values.ndim == 0:
        values = np.full(size, values)
    if size == 0:
        return np.zeros(missing.shape, values.dtype), missing
    positions = np.where(missing, 0, positions)
    return values[positions], missing if absent is None else missing | np.broadcast_to(absent, (size,))[positions]


def _either(a: Mask | None, b: Mask | None) -> Mask | None:
    if a is None or b is None:
        return b if a is None else a
    return a | b


def _masked(mask: Mask | None, where: Mask) -> Mask | None:
    """A mask, but only where it matters."""
    return None if mask is None else mask & where


def _conditional(node: Operation, scope: Scope) -> Values:
    condition, yes, no = (evaluate(operand, scope) for operand in node.operands)
    chosen = arithmetic.truth(condition.values)
    absent = _either(condition.absent, _either(_masked(yes.absent, chosen), _masked(no.absent, ~chosen)))
    return Values(arithmetic.select(chosen, yes.values, no.values), absent)


def _prefix(node: Operation, scope: Scope) -> Values:
    values, absent = evaluate(node.operands[0], scope)
    if node.symbol == "!":
        return Values(~arithmetic.truth(values), absent)
    return Values(arithmetic.negative(values) if node.symbol == "-" else values, absent)


def _infix(node: Operation, scope: Scope) -> Values:
    if node.symbol in {"&&", "||"}:
        return _logical(node, scope)
    from_the_right = node.symbol in GROUPED_FROM_THE_RIGHT
    first, *others = reversed(node.operands) if from_the_right else node.operands
    result = evaluate(first, scope)
    for operand in others:
        # One at a time, so that a long sum holds two arrays and not all of them.
        value = evaluate(operand, scope)
        result = _apply(node.symbol, value, result) if from_the_right else _apply(node.symbol, result, value)
    return result


def _apply(symbol: str, a: Values, b: Values) -> Values:
    absent = _either(a.absent, b.absent)
    if symbol == "%":
        zero = arithmetic.as_long(b.values) == 0
        absent = _either(absent, zero) if np.any(zero) else absent
    operation = _INFIX.get(symbol)
    if operation is None:
        return Values(arithmetic.compare(symbol, a.values, b.values), absent)
    return Values(operation(a.values, b.values), absent)


def _logical(node: Operation, scope: Scope) -> Values:
    combine = np.logical_and if node.symbol == "&&" else np.logical_or
    values, absent = evaluate(node.operands[0], scope)
    result = arithmetic.truth(values)
    for operand in node.operands[1:]:
        values, operand_absent = evaluate(operand, scope)
        # The right side is reached where the left one does not decide.
        reached = result if node.symbol == "&&" else ~result
        absent = _either(absent, _masked(operand_absent, reached))
        result = combine(result, arithmetic.truth(values))
    return Values(np.asarray(result), absent)


def _call(node: Operation, scope: Scope) -> Values:
    if node.symbol in AGGREGATES:
        return Values(scope.instances.spread(_aggregate(node, scope)))
    if node.symbol == "Alt$":
        return _alternative(node, scope)
    function = FUNCTIONS[node.symbol]
    arguments = [evaluate(operand, scope) for operand in node.operands]
    absent: Mask | None = None
    for argument in arguments:
        absent = _either(absent, argument.absent)
    values = [argument.values if function.exact else arithmetic.as_double(argument.values) for argument in arguments]
    return Values(np.asarray(function.apply(*values)), absent)


def _aggregate(node: Operation, scope: Scope) -> Array:
    found = formula_instances(node.operands, scope.columns)
    inner = Scope(scope.columns, found)
    values, absent = evaluate(node.operands[0], inner)
    if len(node.operands) == 1:
        return aggregate(node.symbol, found, values, absent, None)
    condition, unknown = evaluate(node.operands[1], inner)
    # NaN, the value of what is absent, is true.
    chosen = arithmetic.truth(condition) if unknown is None else arithmetic.truth(condition) | unknown
    return aggregate(node.symbol, found, values, absent, chosen)


def _alternative(node: Operation, scope: Scope) -> Values:
    """``Alt$(a, b)``: a where the instance exists in a, else b."""
    first_instances = formula_instances(node.operands[:1], scope.columns)
    values, absent = evaluate(node.operands[0], Scope(scope.columns, first_instances))
    missing = scope.instances.spread(first_instances.number_in_event()) <= scope.instances.places()
    first, unusable = _at_instances(values, absent, first_instances, scope.instances)
    second_instances = formula_instances(node.operands[1:], scope.columns)
    if second_instances.counts is not None or second_instances.exists is not None:
        raise NtuplemlError("the second argument of Alt$ depends on the length of a vector; wrap it in Alt$(..., 0)")
    other = evaluate(node.operands[1], scope)
    absent = _either(unusable & ~missing, _masked(other.absent, missing))
    return Values(arithmetic.select(missing, other.values, first), absent)
