"""Filters in the syntax of pandas' `DataFrame.query`, translated to formulas of ours."""

from __future__ import annotations

import ast
import re
from typing import NoReturn

from ntupleml.errors import NtuplemlError
from ntupleml.expressions.expression import Expression, parse

_COMPARISONS: dict[type[ast.cmpop], str] = {
    ast.Eq: "==",
    ast.NotEq: "!=",
    ast.Lt: "<",
    ast.LtE: "<=",
    ast.Gt: ">",
    ast.GtE: ">=",
    ast.In: "==",
    ast.NotIn: "!=",
}
_ARITHMETIC: dict[type[ast.operator], str] = {
    ast.Add: "+",
    ast.Sub: "-",
    ast.Mult: "*",
    ast.Div: "/",
    ast.Pow: "**",
}
#: Conditions, of which `~` is the negation.
_CONDITIONS = (ast.Compare, ast.BoolOp, ast.UnaryOp)


def parse_filter(text: str, where: str = "") -> Expression:
    """Parse a filter: a formula, or a query of pandas where it has its words or comparisons in a row.

    Queries have `and`, `or`, `not`, `&`, `|`, `~`, `in`, comparisons in a row, arithmetic and functions of formulas.

    Raises
    ------
    NtuplemlError
        If it is neither, or needs what only Python has: variables (`@x`), methods, text.

    Examples
    --------
    >>> parse_filter("eventNumber % 2 == 1 && pt > 40").text
    'eventNumber % 2 == 1 && pt > 40'
    >>> parse_filter("40 < pt <= 500 and n not in [1, 2]").text
    '((40 < pt) && (pt <= 500)) && ((n != 1) && (n != 2))'
    """
    start = f"{where}: " if where else ""
    if "@" in text:
        raise NtuplemlError(f"{start}'@' stands for a variable of Python, which is not known here; write its value")
    tree = _python(text)
    if tree is None or not any(map(_is_of_a_query, ast.walk(tree))):
        return parse(text, where)
    # As pandas does, which thus gives them the precedence of the words.
    tree = _python(re.sub("[&|]", lambda found: " and " if found[0] == "&" else " or ", text)) or tree
    try:
        formula = _Query(start).formula(tree)
    except RecursionError:
        raise NtuplemlError(f"{start}the filter is nested too deeply") from None
    except ValueError:  # Python writes no integer of more than 4300 digits
        raise NtuplemlError(f"{start}the filter has a number of too many digits") from None
    return parse(formula, where)


def _python(text: str) -> ast.expr | None:
    """An expression of Python; None where the text is none."""
    try:
        return ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _is_of_a_query(node: ast.AST) -> bool:
    if isinstance(node, ast.Compare):
        return len(node.ops) > 1 or any(isinstance(one, ast.In | ast.NotIn) for one in node.ops)
    return isinstance(node, ast.BoolOp | ast.Not)


class _Query:
    """A query on its way to a formula; each part comes in parentheses of its own."""

    def __init__(self, start: str) -> None:
        self._start = start

    def formula(self, node: ast.expr) -> str:
        if isinstance(node, ast.BoolOp):
            return (" && " if isinstance(node.op, ast.And) else " || ").join(map(self._condition, node.values))
        if isinstance(node, ast.UnaryOp):
            return self._prefixed(node)
        if isinstance(node, ast.Compare):
            return self._compared(node)
        if isinstance(node, ast.BinOp):
            return self._arithmetic(node)
        if isinstance(node, ast.Constant) and isinstance(node.value, int | float):
            return repr(node.value).lower()
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and not node.keywords:
            return f"{node.func.id}({', '.join(map(self.formula, node.args))})"
        name = _name(node)
        return name if name is not None else self._refuse(node)

    def _refuse(self, node: ast.expr) -> NoReturn:
        raise NtuplemlError(
            f"{self._start}'{ast.unparse(node)}' is nothing that a filter can have: branches, numbers, 'and', 'or', "
            "'not', 'in', comparisons, arithmetic and the functions of formulas"
        )

    def _operand(self, node: ast.expr) -> str:
        text = self.formula(node)
        return text if isinstance(node, ast.Constant | ast.Name | ast.Attribute | ast.Call) else f"({text})"

    def _condition(self, node: ast.expr) -> str:
        if isinstance(node, ast.Constant) and not isinstance(node.value, bool):
            raise NtuplemlError(
                f"{self._start}'{ast.unparse(node)}' is no condition; for the bits of a number write a formula, with "
                "&& instead of 'and'"
            )
        return self._operand(node)

    def _prefixed(self, node: ast.UnaryOp) -> str:
        if isinstance(node.op, ast.Not):
            return f"!{self._condition(node.operand)}"
        if isinstance(node.op, ast.Invert):
            return f"!{self._operand(node.operand)}" if isinstance(node.operand, _CONDITIONS) else self._refuse(node)
        return f"{'-' if isinstance(node.op, ast.USub) else '+'}{self._operand(node.operand)}"

    def _compared(self, node: ast.Compare) -> str:
        parts = []
        for left, operator, right in zip([node.left, *node.comparators], node.ops, node.comparators, strict=False):
            symbol = _COMPARISONS.get(type(operator)) or self._refuse(node)
            if isinstance(right, ast.List | ast.Tuple | ast.Set):
                parts.append(self._contained(node, left, symbol, right.elts))
            elif isinstance(operator, ast.In | ast.NotIn):
                self._refuse(node)
            else:
                parts.append(f"{self._operand(left)} {symbol} {self._operand(right)}")
        return parts[0] if len(parts) == 1 else " && ".join(f"({part})" for part in parts)

    def _contained(self, node: ast.Compare, left: ast.expr, symbol: str, values: list[ast.expr]) -> str:
        """Whether a value is in a list, or not; pandas takes `==` and `!=` with a list for that."""
        if symbol not in ("==", "!=") or not values:
            self._refuse(node)
        word = " || " if symbol == "==" else " && "
        return word.join(f"({self._operand(left)} {symbol} {self._operand(value)})" for value in values)

    def _arithmetic(self, node: ast.BinOp) -> str:
        left, right = self._operand(node.left), self._operand(node.right)
        if isinstance(node.op, ast.Mod):  # of the sign of the divisor, as in Python
            return f"(({left} % {right}) + {right}) % {right}"
        symbol = _ARITHMETIC.get(type(node.op))
        return self._refuse(node) if symbol is None else f"{left} {symbol} {right}"


def _name(node: ast.expr) -> str | None:
    """A branch, with its friend if there is a dot."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        friend = _name(node.value)
        return None if friend is None else f"{friend}.{node.attr}"
    return None
