"""Text of a formula to its tree, grouped as by TTreeFormula, with an error that gives the position of any mistake.

Where that is not what C++ does, configs that worked with TTree::CopyTree keep their meaning; a line in the log tells
where the same text means something else in C++ (and so in RDataFrame).
"""

from __future__ import annotations

import functools
import logging
from importlib import resources
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from lark import Lark, Token, Transformer
from lark.exceptions import UnexpectedCharacters, UnexpectedToken

from ntupleml.errors import did_you_mean
from ntupleml.expressions.functions import CONSTANTS, FUNCTIONS
from ntupleml.expressions.messages import FormulaError, ended_early, located, unexpected
from ntupleml.expressions.syntax import AGGREGATES, ENTRY, Element, Name, Node, Number, Operation, walk

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence


log = logging.getLogger(__name__)

#: No formula written by hand comes near; parsing time and memory grow with the length.
LARGEST_LENGTH = 50_000
#: Levels of parentheses, functions and operators; the evaluation recurses through them.
LARGEST_HEIGHT = 150

SPECIAL_NAMES = (ENTRY, "Iteration$", "Length$")
LARGEST_INTEGER = 2**64 - 1
LARGEST_INDEX = 2**31 - 1


def parse_tree(text: str, where: str) -> Node:
    """Parse a formula; messages begin with its file and key."""
    try:
        tree = _parse(text)
    except FormulaError as error:
        raise located(error, text, where) from None
    except UnexpectedCharacters as error:
        raise located(unexpected(text, error.pos_in_stream or 0), text, where) from None
    except UnexpectedToken as error:
        at_end = error.token.type == "$END"
        problem = ended_early(text) if at_end else unexpected(text, cast("int", error.token.start_pos))
        raise located(problem, text, where) from None
    for column, rule in unlike_cpp(tree):
        log.warning("%s", located(FormulaError(column, rule, "parentheses make it clear"), text, where))
    return tree


def _parse(text: str) -> Node:
    if not text.strip():
        raise FormulaError(1, "empty formula", 'write "1" to select everything')
    if len(text) > LARGEST_LENGTH:
        raise FormulaError(LARGEST_LENGTH, f"more than {LARGEST_LENGTH} characters", "split the formula")
    return cast("Node", cast("object", _parser().parse(text)))


@functools.cache
def _parser() -> Lark:
    grammar = resources.files("ntupleml.expressions").joinpath("grammar.lark").read_text(encoding="utf-8")
    # The basic lexer, since the contextual one would find two good operators in the mistake '&&&'. The transformer
    # works while parsing: lark builds no tree of its own, and nothing recurses.
    return Lark(grammar, parser="lalr", lexer="basic", transformer=_TreeBuilder())


class _TreeBuilder(Transformer[Token, Node]):
    """One method for each rule of the grammar (in lark, methods of a class are how rules get their meaning)."""

    def number(self, parts: list[Token]) -> Number:
        token = parts[0]
        text = str(token)
        if text[:2] in {"0x", "0X"}:
            value: int | float = int(text, 16)
            if value > LARGEST_INTEGER:
                raise FormulaError(_column(token), f"{text} does not fit into 64 bits")
        elif text.isdigit():
            value = int(text) if len(text) <= 20 and int(text) <= LARGEST_INTEGER else float(text)
        else:
            value = float(text)
        return Number(value, _column(token))

    def name(self, parts: list[Token]) -> Node:
        name, column = str(parts[0]), _column(parts[0])
        if name in CONSTANTS:
            return Number(CONSTANTS[name], column)
        if name == "rndm":
            raise FormulaError(column, "'rndm' is refused", "a random number would differ from run to run")
        if name.endswith("$") and name not in SPECIAL_NAMES:
            if name in AGGREGATES or name == "Alt$":
                raise FormulaError(column, f"{name} needs its arguments", f"write {name}(...)")
            raise FormulaError(column, f"unknown special name '{name}'", _nearest(name, SPECIAL_NAMES))
        if "::" in name:
            raise FormulaError(column, f"'{name}' is not a branch", f"a function needs parentheses: {name}()")
        return Name(name, column)

    def index(self, parts: list[Node | None]) -> Node | None:
        return parts[0]

    def element(self, parts: list[Any]) -> Node:
        name, column = str(parts[0]), _column(parts[0])
        if len(parts) > 2:
            raise FormulaError(column, f"'{name}' has {len(parts) - 1} indices", "only one index can be used")
        if name.endswith("$") or "::" in name or name in CONSTANTS:
            raise FormulaError(column, f"'{name}' is not a vector branch and has no elements")
        index: Node | None = parts[1]
        if index is None:
            return Name(name, column)
        if isinstance(index, Operation) and index.kind == "prefix" and isinstance(index.operands[0], Number):
            raise FormulaError(index.column, "index with a sign", "elements are counted from 0")
        if not isinstance(index, Number):
            for node in walk(index):
                if isinstance(node, Name) and node.name in {"Iteration$", "Length$"}:
                    raise FormulaError(node.column, f"{node.name} in an index", f"write {name} without an index")
            return _bounded(Element(name, index, column))
        if not isinstance(index.value, int) or index.value > LARGEST_INDEX:
            raise FormulaError(index.column, f"the index {index.value} is not a whole number below 2^31")
        return Element(name, index.value, column)

    def call(self, parts: list[Any]) -> Node:
        name, column = str(parts[0]), _column(parts[0])
        arguments: tuple[Node, ...] = tuple(part for part in parts[1:] if part is not None)
        if name == "Alt$":
            expected: Iterable[int] = (2,)
        elif name in AGGREGATES:
            expected = (AGGREGATES[name],)
        elif name in FUNCTIONS:
            expected = FUNCTIONS[name].argument_counts
        else:
            raise FormulaError(column, f"unknown function '{name}'", _hint_for_function(name))
        if len(arguments) not in expected:
            counts = " or ".join(str(count) for count in expected)
            plural = "" if counts == "1" else "s"
            raise FormulaError(column, f"{name} takes {counts} argument{plural}, {len(arguments)} given")
        return _bounded(Operation("call", name, arguments, column))

    def group(self, parts: list[Node]) -> Node:
        return _bounded(Operation("()", "()", (parts[0],), parts[0].column))

    def prefix(self, parts: list[Any]) -> Node:
        return _bounded(Operation("prefix", str(parts[0]), (parts[1],), _column(parts[0])))

    def conditional(self, parts: list[Node]) -> Node:
        return _bounded(Operation("?:", "?:", tuple(parts), parts[0].column))

    def comparison(self, parts: list[Any]) -> Node:
        operators = [(str(token), _column(token)) for token in parts[1::2]]
        return _bounded(group_comparisons(parts[0::2], operators))

    def either(self, parts: list[Any]) -> Node:
        return _infix(parts)

    both = bit_or = bit_and = sum = difference = either
    modulo = right_shift = left_shift = product = quotient = power = either


def _infix(parts: list[Any]) -> Node:
    """One operator in a sequence; ``a + b + c`` is one node, so that long sums are not deep trees."""
    symbol = "^" if str(parts[1]) == "**" else str(parts[1])
    return _bounded(Operation("infix", symbol, tuple(parts[0::2]), _column(parts[1])))


def _bounded(node: Node) -> Node:
    """The node; checked at each, so that work on a tree is bounded while it grows."""
    if node.height > LARGEST_HEIGHT:
        raise FormulaError(node.column, f"nested more than {LARGEST_HEIGHT} levels deep", "split the formula")
    return node


def _hint_for_function(name: str) -> str:
    if "." in name:
        return "methods cannot be called; the number of elements is Length$(branch)"
    return _nearest(name, [*AGGREGATES, "Alt$"] if name.endswith("$") else FUNCTIONS)


def _nearest(name: str, known: Iterable[str]) -> str:
    return did_you_mean(name, known).removeprefix("; ")


def _column(token: Token) -> int:
    return cast("int", token.start_pos) + 1


#: Comparisons in a row without parentheses.
LARGEST_COMPARISON = 20

COMPARISONS = ("<", ">", "<=", ">=", "==", "!=")

#: An operator and its column.
Operator: TypeAlias = tuple[str, int]


def group_comparisons(operands: Sequence[Node], operators: Sequence[Operator]) -> Node:
    """Comparisons in a row, grouped as TFormula does.

    It splits at the first '<', else at the first '>', '<=', '>=', '==', '!=', wherever they stand; as its search takes
    the '<' of '<=' for one, a '<' before the first '<=' loses its rank. Refused where TFormula takes part of the row
    for something else: '<' and '>' for the brackets of a template, the second '<=' for '<', a '<' after '<<' for
    nothing.
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
    """Place of the comparison at which TFormula splits first, found by the same search."""
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
