"""What is wrong with a formula, and where, on one line."""

from __future__ import annotations

import re

from ntupleml.errors import NtuplemlError

#: Characters of a formula shown on either side of a mistake.
EXCERPT_MARGIN = 60
#: Characters that may describe a mistake; a name or a row of operators can be very long.
LARGEST_PROBLEM = 200

OPERATOR_CHARACTERS = frozenset("&|<>=!*/%^+-?:")

WORDS = {"and": "write '&&'", "or": "write '||'", "not": "write '!'", "if": "write 'condition ? yes : no'"}

CHARACTERS = {
    "=": "a comparison is one of ==, !=, <, <=, >, >=",
    '"': "text cannot be compared in a formula, only numbers",
    "'": "text cannot be compared in a formula, only numbers",
    ":": "a formula is one value; ':' belongs to '?'",
    ".": "an element of a vector branch is written name.member[index], and methods cannot be called",
    "[": "an index follows the name of a branch",
    "@": "methods cannot be called; the number of elements is Length$(branch)",
    "$": "special names are Entry$, Iteration$, Length$, and functions such as Sum$(...)",
    "-": "a branch name with '-' in it cannot be written in a formula",
    ";": "a formula is one value, without ';'",
    ",": "',' stands between the arguments of a function only",
}


def hint_for_elements(formula: str) -> str:
    """Ending of a message about values that are missing: what a formula with an element may say in its place.

    Examples
    --------
    >>> hint_for_elements("Jet_pt[0] / 1000")
    "; where there is no such element, 'Alt$(Jet_pt[0] / 1000, -10)' is -10"
    >>> hint_for_elements("met")
    ''
    """
    if "Alt$" in formula or not re.search(r"\w\[[^\]]+\]", formula):
        return ""
    return f"; where there is no such element, 'Alt$({formula}, -10)' is -10"


class FormulaError(Exception):
    """A mistake at a column (from 1) of a formula; becomes an NtuplemlError once the formula's place is known."""

    def __init__(self, column: int, problem: str, hint: str = "") -> None:
        super().__init__(problem)
        self.column = column
        self.problem = problem
        self.hint = hint


def no_element(name: str, index: int, length: int) -> str:
    """What to say about an element beyond the end of an array of fixed length."""
    return f"there is no {name}[{index}]: each event has {length} of '{name}', counted from 0"


def one_line(text: str) -> str:
    """The text with line ends, tabs and other unprintable characters as blanks, so that columns stay what they are."""
    return "".join(character if character.isprintable() else " " for character in text)


def excerpt(text: str, column: int) -> str:
    """The formula in quotes, or what surrounds a column of a long one."""
    start = max(0, column - 1 - EXCERPT_MARGIN)
    stop = min(len(text), column + EXCERPT_MARGIN)
    shown = one_line(text[start:stop])
    return f'"{"..." if start else ""}{shown}{"..." if stop < len(text) else ""}"'


def located(error: FormulaError, text: str, where: str) -> NtuplemlError:
    """The error that a user sees: file and key, column, problem, formula, what to do."""
    prefix = f"{where}: " if where else ""
    problem = error.problem if len(error.problem) < LARGEST_PROBLEM else error.problem[:LARGEST_PROBLEM] + "..."
    hint = f"; {error.hint}" if error.hint else ""
    return NtuplemlError(f"{prefix}column {error.column}: {problem} in {excerpt(text, error.column)}{hint}")


def unexpected(text: str, position: int) -> FormulaError:
    """What to say about a character (position from 0) at which a formula stops being one."""
    character = text[position]
    start, stop = position, position + 1
    if character in OPERATOR_CHARACTERS:
        # 'a &&& b' fails at the third '&'; what its writer sees as wrong is '&&&'.
        while start > 0 and text[start - 1] == character:
            start -= 1
        while stop < len(text) and text[stop] in OPERATOR_CHARACTERS:
            stop += 1
    elif character.isalnum() or character == "_":
        while stop < len(text) and (text[stop].isalnum() or text[stop] in "_.$"):
            stop += 1
    found = one_line(text[start:stop])
    if character == ")":
        return FormulaError(position + 1, "unexpected ')'", _before_closing(text, position))
    hint = WORDS.get(found, CHARACTERS.get(character, ""))
    if found in {"=<", "=>"}:
        hint = f"write '{found[1]}='"
    elif not hint and start > 0 and text[start - 1] in "0123456789.":
        hint = "numbers have no suffix, and names do not begin with a digit"
    elif not hint and found[0] not in OPERATOR_CHARACTERS:
        hint = "an operator is missing before it" if start > 0 else ""
    elif not hint:
        hint = "there is no such operator, or a value is missing before it"
    return FormulaError(start + 1, f"unexpected '{found}'", hint)


def ended_early(text: str) -> FormulaError:
    """What to say about a formula that is not complete."""
    opened = unclosed(text)
    if opened is not None:
        return FormulaError(opened + 1, f"'{text[opened]}' is never closed")
    if "?" in text:
        hint = "a value is missing; each 'condition ? yes' needs its ': no'"
    else:
        hint = "a value is missing after the last operator"
    return FormulaError(len(text.rstrip()) + 1, "unexpected end", hint)


def unclosed(text: str) -> int | None:
    """Position of the last parenthesis or bracket that is not closed."""
    opened: list[int] = []
    for position, character in enumerate(text):
        if character in "([":
            opened.append(position)
        elif character in ")]" and opened:
            opened.pop()
    return opened[-1] if opened else None


def _before_closing(text: str, position: int) -> str:
    if unclosed(text[:position]) is None:
        return "there is no '(' for it"
    return "a value is missing before it"
