"""How TTreeFormula groups what has no parentheses, where that is not what C++ does.

Configs that worked with TTree::CopyTree keep their meaning; a line in the log tells where the same text means something
else in C++ (and so in RDataFrame).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from ntupleml.expressions.messages import FormulaError
from ntupleml.expressions.syntax import Node, Operation, walk

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

#: Comparisons in a row without parentheses.
LARGEST_COMPARISON = 20

COMPARISONS = ("<", ">", "<=", ">=", "==", "!=")

#: An operator and its column.
Operator: TypeAlias = tuple[str, int]


def group_comparisons(operands: Sequence[Node], operators: Sequence[Operator]) -> Node:
    """Comparisons in a row, grouped as TFormula does.

    It splits at the first '<', else at the first '>', '<=', '>=', '==', '!=', wherever they stand; as its search
    takes the '<' of '<=' for one, a '<' before the first '<=' loses its rank.

    Parameters
    ----------
    operands : sequence of nodes
        What is compared.
    operators : sequence of (str, int)
        The comparisons between them with their columns, one fewer than operands.

    Raises
    ------
    FormulaError
        Where TFormula takes part of the row for something else: '<' and '>' for the brackets of a template, the
        second '<=' for '<', or a '<' after '<<' for nothing.
    """
    if len(operators) > LARGEST_COMPARISON:
        raise FormulaError(operators[0][1], f"more than {LARGEST_COMPARISON} comparisons in a row")
    for place, (symbol, column) in enumerate(operators):
        shift = {"<": "<<", ">": ">>"}.get(symbol)
        hidden = shift and any(_contains_bare(operand, shift) for operand in operands[: place + 1])
        following = operators[place + 1][0] if place + 1 < len(operators) else ""
        if hidden or (symbol == "<" and following in {">", ">="}):
            raise FormulaError(column, f"'{symbol}' is ambiguous", "write parentheses around each comparison and shift")
    return _split(operands, operators)


def _split(operands: Sequence[Node], operators: Sequence[Operator]) -> Node:
    if not operators:
        return operands[0]
    place = _loosest([symbol for symbol, _ in operators])
    symbol, column = operators[place]
    if place > 0 and symbol in {"<=", ">="} and symbol in {earlier for earlier, _ in operators[:place]}:
        raise FormulaError(column, f"several '{symbol}' in a row are ambiguous", "write parentheses")
    left = _split(operands[: place + 1], operators[:place])
    right = _split(operands[place + 1 :], operators[place + 1 :])
    return Operation("infix", symbol, (left, right), column)


def _loosest(symbols: Sequence[str]) -> int:
    """Place of the comparison at which TFormula splits first; a search such as its own, so that it ends as its own."""
    found: dict[str, int] = {}
    for place, symbol in enumerate(symbols):
        if symbol[0] in "<>":
            found.setdefault(symbol[0], place)
        if symbol in {"<=", ">="} and symbol not in found:
            found[symbol] = place
            del found[symbol[0]]
        elif symbol in {"==", "!="}:
            found.setdefault(symbol, place)
    return next(found[symbol] for symbol in COMPARISONS if symbol in found)


def _contains_bare(node: Node, symbol: str) -> bool:
    """Whether an operator occurs outside parentheses."""
    stack = [node]
    while stack:
        current = stack.pop()
        if isinstance(current, Operation) and current.kind in {"infix", "prefix"}:
            if current.symbol == symbol:
                return True
            stack.extend(current.operands)
    return False


def unlike_cpp(tree: Node) -> Iterator[tuple[int, str]]:
    """Columns at which C++ would group otherwise, with the rule that TTreeFormula follows."""
    for node in walk(tree):
        if isinstance(node, Operation) and node.kind in {"infix", "prefix"}:
            rule = _rule_unlike_cpp(node)
            if rule:
                yield node.column, rule


def _rule_unlike_cpp(node: Operation) -> str:
    later = node.operands[1:]
    if node.symbol in COMPARISONS and _any_infix(node.operands, COMPARISONS):
        return "comparisons in a row are grouped as in TTreeFormula ('<', '>', '<=', '>=', '==', '!=', loosest first)"
    if node.symbol in {"+", "-"} and _any_infix(node.operands, ("<<", ">>")):
        return "shifts are grouped before '+' and '-' as in TTreeFormula"
    if node.symbol == "%" and (len(later) > 1 or _any_infix(later, ("*", "/"))):
        return "'%' is grouped after '*' and '/', and from the right, as in TTreeFormula"
    if node.symbol in {"<<", ">>"} and (len(later) > 1 or _any_infix(later, ("<<",))):
        return "shifts are grouped '<<' first, and from the right, as in TTreeFormula"
    return ""


def _any_infix(nodes: Sequence[Node], symbols: Sequence[str]) -> bool:
    return any(isinstance(node, Operation) and node.kind == "infix" and node.symbol in symbols for node in nodes)
