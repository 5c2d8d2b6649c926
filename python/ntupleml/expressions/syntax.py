"""The tree of a formula: what the parser builds and the evaluation walks."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Operators whose sequences TFormula groups from the right: ``a % b % c`` is ``a % (b % c)``.
GROUPED_FROM_THE_RIGHT = frozenset({"*", "%", "<<", ">>"})

#: The entry number: a column like a branch's, which whoever reads the tree fills.
ENTRY = "Entry$"

#: Functions that see all elements of vector branches at once and give one value per event.
AGGREGATES = {"Sum$": 1, "Length$": 1, "Max$": 1, "Min$": 1, "MaxIf$": 2, "MinIf$": 2}


@dataclass(frozen=True, slots=True)
class Number:
    """A literal: a Python integer for a whole number up to 64 bits, else a float."""

    value: int | float
    column: int
    height: int = 1


@dataclass(frozen=True, slots=True)
class Name:
    """A branch, used with all its elements where it is a vector, or a special name such as ``Entry$``."""

    name: str
    column: int
    height: int = 1


@dataclass(frozen=True, slots=True)
class Element:
    """One element of a vector branch: at a fixed place, or where another formula says."""

    name: str
    index: int | Node
    column: int
    height: int = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "height", 1 if isinstance(self.index, int) else self.index.height + 1)


@dataclass(frozen=True, slots=True)
class Operation:
    """A prefix or infix operator, or a function, or ``?:``, on one or more operands.

    ``kind`` is ``"prefix"``, ``"infix"`` (operands of one operator in a sequence), ``"call"``, ``"?:"`` or ``"()"``.
    """

    kind: str
    symbol: str
    operands: tuple[Node, ...]
    column: int
    height: int = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "height", 1 + max((operand.height for operand in self.operands), default=0))


Node: TypeAlias = Number | Name | Element | Operation


def children(node: Node) -> tuple[Node, ...]:
    """Nodes right below a node, in the order of the text."""
    if isinstance(node, Operation):
        return node.operands
    if isinstance(node, Element) and not isinstance(node.index, int):
        return (node.index,)
    return ()


def walk(node: Node) -> Iterator[Node]:
    """All nodes of a tree in the order of the text, without recursion."""
    stack = [node]
    while stack:
        current = stack.pop()
        yield current
        stack.extend(reversed(children(current)))


def own_variables(node: Node) -> Iterator[Name | Element]:
    """What decides over how many elements of an event a formula runs, in the order of the text.

    Names and elements, but not those inside an index, an aggregate such as ``Sum$`` or the first argument of
    ``Alt$``: these are formulas of their own.
    """
    stack = [node]
    while stack:
        current = stack.pop()
        if isinstance(current, (Name, Element)):
            yield current
        elif isinstance(current, Operation) and current.symbol == "Alt$":
            stack.append(current.operands[1])
        elif isinstance(current, Operation) and current.symbol not in AGGREGATES:
            stack.extend(reversed(current.operands))
