"""Draw formulas at random and compare their numbers with those of ROOT's TTreeFormula.

    python tools/compare_formulas.py --number 3000 --seed 8

The tree has branches of all types: numbers, arrays of one length, arrays with a counter, vectors. Formulas have all
operators, functions and special names. Left out are those in which something occurs that `ntupleml.expressions` says is
different, which is found by the formula and by the numbers in it, never by name. Each difference is printed, and the
exit status is 1 if there is one. ROOT runs in forked processes, since some formulas end it.
"""

from __future__ import annotations

import argparse
import logging
import random
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import awkward as ak
import numpy as np
from fuzz_formulas import in_fork

from ntupleml.errors import NtuplemlError
from ntupleml.expressions import Expression, parse
from ntupleml.expressions.arithmetic import as_long
from ntupleml.expressions.functions import FUNCTIONS
from ntupleml.expressions.syntax import (
    AGGREGATES,
    GROUPED_FROM_THE_RIGHT,
    Element,
    Node,
    Operation,
    children,
    walk,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Answer = dict[str, Any]

TREE = "tree"
ENTRIES = 12
#: Branches by ROOT's letter of their type; then arrays of one length, and lists.
SCALARS = {"f": "F", "d": "D", "g": "D", "i": "I", "j": "I", "u": "i", "l": "L", "ul": "l", "b": "O", "c": "B",
           "s": "S", "us": "s", "uc": "b"}  # fmt: skip
ARRAYS = {"fx": ("F", 3), "dx": ("D", 5), "ix": ("I", 4), "ux": ("i", 2), "lx": ("L", 3), "bx": ("O", 3),
          "one": ("F", 1)}  # fmt: skip
#: With the branch `n` as their counter.
COUNTED = {"v": "F", "vi": "I", "vb": "O"}
VECTORS = {"w": "double", "k": "int", "ku": "unsigned int", "wf": "float"}
_TYPES = {"F": "f4", "D": "f8", "I": "i4", "i": "u4", "L": "i8", "l": "u8", "O": "?", "B": "i1", "b": "u1", "S": "i2",
          "s": "u2"}  # fmt: skip
SIZES = {"n": [0, 1, 2, 3, 4, 0, 1, 2, 3, 4, 2, 1], "w": [1, 3, 2, 0, 4, 0, 2, 1, 1, 3, 3, 1],
         "k": [2, 2, 2, 1, 0, 0, 3, 1, 4, 1, 2, 5], "ku": [1, 0, 2, 2, 1, 3, 0, 1, 2, 4, 1, 1],
         "wf": [0, 2, 1, 1, 3, 1, 2, 0, 2, 1, 4, 2]}  # fmt: skip
NUMBERS = ("0", "1", "2", "3", "7", "64", "100", "0.5", "2.5", "1.25e1", ".1", "2.", "1e-3", "1e5", "1E+2", "0x1f",
           "0XA",            "1e308", "4294967296", "1e18", "007")  # fmt: skip
INFIX = ("+", "-", "*", "/", "%", "&&", "||", "&", "|", "<<", ">>", "^", "**", "<", ">", "<=", ">=", "==", "!=")


def columns() -> dict[str, Any]:
    """Branches of all kinds, with numbers that hurt among them."""
    draw = np.random.default_rng(7)
    special = [0, 1, -1, 0.5, -0.5, 2, np.nan, np.inf, -np.inf, 3, 1e10, -0.0]
    found: dict[str, Any] = {name: _numbers(draw, kind, ENTRIES) for name, kind in SCALARS.items()} | {
        "g": np.array(special),
        "j": draw.integers(1, 5, ENTRIES).astype("i4"),
        "n": np.array(SIZES["n"], "i4"),
    }
    found |= {name: _numbers(draw, kind, (ENTRIES, length)) for name, (kind, length) in ARRAYS.items()}
    for name, kind in COUNTED.items():
        found[name] = ak.unflatten(_numbers(draw, kind, sum(SIZES["n"])), SIZES["n"])
    for name, kind in VECTORS.items():
        letter = {"double": "D", "int": "I", "unsigned int": "i", "float": "F"}[kind]
        found[name] = ak.unflatten(_numbers(draw, letter, sum(SIZES[name])), SIZES[name])
    return {**found, "Entry$": np.arange(ENTRIES)}


def _numbers(draw: np.random.Generator, kind: str, shape: Any) -> Any:
    dtype = np.dtype(_TYPES[kind])
    if dtype.kind == "f":
        return draw.normal(0, 3, shape).astype(dtype)
    low, high = {"?": (0, 2), "u1": (0, 200), "i1": (-100, 100), "i2": (-100, 100)}.get(_TYPES[kind], (-5, 6))
    return draw.integers(0 if dtype.kind == "u" else low, high, shape).astype(dtype)


def formula(draw: random.Random, depth: int) -> str:
    """A formula of all that the grammar has."""
    kind = draw.random()
    if depth <= 0 or kind < 0.12:
        return _atom(draw, depth)
    parts = [formula(draw, depth - draw.randint(1, 2)) for _ in range(4)]
    if kind < 0.42:
        return f"{parts[0]}{draw.choice(INFIX)}{parts[1]}"
    if kind < 0.57:
        return f"({parts[0]}){draw.choice(INFIX)}({parts[1]})"
    if kind < 0.62:
        return f"({parts[0]}) ? {parts[1]} : {parts[2]}"
    if kind < 0.69:
        return f"{draw.choice('!-')}({parts[0]})"
    if kind < 0.72:
        return f"{draw.choice('!-')}{_atom(draw, 0)}{draw.choice(INFIX)}{parts[1]}"
    if kind < 0.84:
        name = draw.choice(tuple(FUNCTIONS))
        return f"{name}({','.join(parts[: draw.choice(FUNCTIONS[name].argument_counts)])})"
    if kind < 0.91:
        return f"{draw.choice(('Sum$', 'Length$', 'Max$', 'Min$'))}({parts[0]})"
    if kind < 0.94:
        return f"{draw.choice(('MaxIf$', 'MinIf$'))}({parts[0]},{parts[1]})"
    if kind < 0.97:
        return f"Alt$({_list(draw, 1)},{_atom(draw, 0)})"
    return " ".join([parts[0], draw.choice(INFIX), parts[1], draw.choice(INFIX), parts[2]])


def _atom(draw: random.Random, depth: int) -> str:
    return draw.choice(
        [draw.choice(tuple(SCALARS)), draw.choice(tuple(SCALARS)), draw.choice(NUMBERS), _list(draw, depth),
         draw.choice(("Entry$", "Iteration$", "Length$", "n"))]
    )  # fmt: skip


def _list(draw: random.Random, depth: int) -> str:
    name = draw.choice((*ARRAYS, *COUNTED, *VECTORS))
    if draw.random() < 0.5:
        return name
    if depth > 0 and draw.random() < 0.4:
        return f"{name}[{draw.choice(('j-1', 'j', 'ix', 'ix[1]', 'ux', 'k', 'k[0]', 'n-1', formula(draw, 1)))}]"
    return f"{name}[{draw.randrange(4)}]"


# --- what is documented to be different -----------------------------------------------------------------------------


def documented(expression: Expression, of: dict[str, Any]) -> str:
    """Which documented difference concerns a formula; empty where none does."""
    for node in walk(expression.tree):
        if isinstance(node, Operation | Element) and (reason := _of_form(node) or _of_node(node, of)):
            return reason
    return ""


def _of_form(node: Operation | Element) -> str:
    """What TTreeFormula computes otherwise, or leaves undefined, whatever the numbers are."""
    if isinstance(node, Element):
        return ""
    names = {getattr(one, "name", getattr(one, "symbol", "")) for one in [*walk(node)][1:]}
    if node.symbol in AGGREGATES and (any(name.startswith("std::") for name in names) or _has_numbered(node)):
        return "accepted in addition, in an aggregate"
    if node.symbol == "?:" and getattr(node.operands[1], "symbol", "") == "?:":
        return "a ternary in the middle of a ternary"
    if node.symbol.lower().endswith("sign") and any(getattr(one, "symbol", "") == "-" for one in walk(node)):
        return "the sign of zero"
    if node.symbol.endswith("fmod") and names & FUNCTIONS.keys():
        return "remainder of a number that is not exact"
    return ""


def _has_numbered(node: Operation) -> bool:
    """Whether the second argument of an `Alt$` has a special name."""
    second = [one.operands[1] for one in walk(node) if isinstance(one, Operation) and one.symbol == "Alt$"]
    return any(getattr(one, "name", "") in ("Iteration$", "Length$") for part in second for one in walk(part))


def _of_node(node: Operation | Element, of: dict[str, Any]) -> str:
    if isinstance(node, Element):
        return "" if isinstance(node.index, int) else _of_numbers([node.index], of)
    if node.symbol == "%" and any((as_long(one) == 0).any() for one in map(_values(of), node.operands[1:])):
        return "% by zero"
    if node.symbol in AGGREGATES and any(map(_is_absent(of), walk(node))):
        return "no element in an aggregate"
    needs_bits = node.symbol in ("%", "&", "|", "<<", ">>", "int")
    return _of_numbers(node.operands if needs_bits else (), of) or _of_whole(node, of)


def _is_absent(of: dict[str, Any]) -> Callable[[Node], bool]:
    """Whether a part of a formula is an element that is not there."""
    return lambda node: (
        isinstance(node, Element) and not isinstance(node.index, int) and bool(np.isnan(_values(of)(node)).any())
    )


def _of_numbers(operands: Any, of: dict[str, Any]) -> str:
    """Numbers without an integer of 64 bits, of which C++ says nothing."""
    for values in map(_values(of), operands):
        if values.dtype.kind == "f" and not (np.abs(values) < 2.0**63).all():
            return "no integer of 64 bits"
    return ""


def _of_whole(node: Operation, of: dict[str, Any]) -> str:
    between = [
        Operation(node.kind, node.symbol, node.operands[start:], 1)
        for start in range(1, len(node.operands) - 1)
        if node.symbol in GROUPED_FROM_THE_RIGHT
    ]
    for values in map(_values(of), (node, *children(node), *between)):
        if values.dtype.kind in "iu" and values.size and max(-int(values.min()), int(values.max())) > 2**53:
            return "whole numbers beyond 2^53"
    return ""


def _values(of: dict[str, Any]) -> Callable[[Node], Any]:
    """Numbers of a part of a formula, all in a row."""

    def values(node: Node) -> Any:
        part = Expression("", "", node, frozenset(), frozenset()).evaluate(of, ENTRIES)
        return ak.to_numpy(ak.flatten(part)) if isinstance(part, ak.Array) else np.ravel(part)

    return values


# --- ours and ROOT's numbers ----------------------------------------------------------------------------------------


def _ours(texts: list[str]) -> Iterator[Answer]:
    of = columns()
    for text in texts:
        try:
            expression = parse(text)
            expression.check_elements({name: length for name, (_, length) in ARRAYS.items()})
            values = expression.evaluate(of, ENTRIES)
            listed = ak.to_list(values) if isinstance(values, ak.Array) else np.asarray(values).tolist()
            yield {"values": listed, "documented": documented(expression, of)}
        except NtuplemlError:
            yield {"values": None}


def write(path: Path) -> None:
    """Write the tree with ROOT."""
    import ROOT

    of = columns()
    file = ROOT.TFile(str(path), "recreate")
    tree = ROOT.TTree(TREE, "")
    buffers = {name: np.zeros(1, _TYPES[kind]) for name, kind in {"n": "I", **SCALARS}.items()}
    for name, buffer in buffers.items():
        tree.Branch(name, buffer, f"{name}/{SCALARS.get(name, 'I')}")
    for name, (kind, length) in ARRAYS.items():
        buffers[name] = np.zeros(length, _TYPES[kind])
        tree.Branch(name, buffers[name], f"{name}[{length}]/{kind}")
    for name, kind in COUNTED.items():
        buffers[name] = np.zeros(max(SIZES["n"]), _TYPES[kind])
        tree.Branch(name, buffers[name], f"{name}[n]/{kind}")
    vectors = {name: ROOT.std.vector[kind]() for name, kind in VECTORS.items()}
    for name, vector in vectors.items():
        tree.Branch(name, vector)
    for entry in range(ENTRIES):
        for name, buffer in buffers.items():
            values = np.atleast_1d(np.asarray(of[name][entry]))
            buffer[: len(values)] = values
        for name, vector in vectors.items():
            vector.clear()
            for value in np.asarray(of[name][entry]).tolist():
                vector.push_back(value)
        tree.Fill()
    tree.Write()
    file.Close()


def _root(path: Path) -> Callable[[list[str]], Iterator[Answer]]:
    def work(texts: list[str]) -> Iterator[Answer]:
        import ROOT

        ROOT.gErrorIgnoreLevel = ROOT.kFatal
        ROOT.gSystem.ResetSignals()  # where it crashes it would look for a debugger for minutes
        if not path.exists():
            write(path)
        file = ROOT.TFile.Open(str(path))
        tree = file.Get(TREE)
        for text in texts:
            compiled = ROOT.TTreeFormula("formula", text, tree)
            if compiled.GetNdim() == 0:
                yield {"values": None}
                continue
            values = []
            for entry in range(ENTRIES):
                tree.GetEntry(entry)  # all branches: TTreeFormula leaves out some that '?:' skipped before
                values.append([compiled.EvalInstance(one) for one in range(compiled.GetNdata())])
            yield {"values": values}

    return work


def differs(ours: list[Any], theirs: list[Any], may_lack: bool) -> bool:
    """Whether numbers differ; an event without any is NaN with us.

    With `may_lack`, NaN of ours is not compared: where there is no element TTreeFormula reads one that happens to be
    there, or goes on with NaN.
    """
    for mine, other in zip(ours, theirs, strict=True):
        expected = np.array(other if isinstance(mine, list) else other or [np.nan])
        found = np.atleast_1d(np.array(mine, dtype=float))
        if found.shape != expected.shape:
            return True
        expected = np.where(np.isnan(found), np.nan, expected) if may_lack else expected
        if not np.allclose(found, expected, 1e-10, 1e-300, equal_nan=True):
            return True
    return False


def campaign(number: int, seed: int) -> Counter[str]:
    """Compare formulas, as many as said; how often each outcome came."""
    draw, counts, compared = random.Random(seed), Counter[str](), 0
    with tempfile.TemporaryDirectory() as folder:
        root = _root(Path(folder) / "columns.root")
        while compared < number:
            texts = [formula(draw, draw.randint(1, 5)) for _ in range(2_000)]
            left = {}
            for text, answer in zip(texts, in_fork(_ours, texts), strict=True):
                what = "refused" if answer.get("values") is None else answer["documented"]
                if what:
                    counts[f"left out: {what}"] += 1
                else:
                    left[text] = answer["values"]
            chosen = list(left)[: number - compared]
            for text, answer in zip(chosen, in_fork(root, chosen), strict=True):
                what = _outcome(text, left[text], answer)
                counts[what] += 1
                compared += what in ("same", "other")
    return counts


def _outcome(text: str, ours: list[Any], answer: Answer) -> str:
    if "fault" in answer:
        return "ROOT ends"
    theirs = answer["values"]
    if theirs is None:
        return "refused by ROOT"
    may_lack = any(
        getattr(node, "symbol", "") == "Alt$" or (isinstance(node, Element) and not isinstance(node.index, int))
        for node in walk(parse(text).tree)
    )
    if not differs(ours, theirs, may_lack):
        return "same"
    print(f"ROOT differs: {text!r}: {theirs} instead of {ours}", flush=True)
    return "other"


def main() -> int:
    """Run it and print the counts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--number", type=int, default=3_000, help="of formulas that both evaluate")
    parser.add_argument("--seed", type=int, default=8)
    arguments = parser.parse_args()
    logging.getLogger("ntupleml").setLevel(logging.ERROR)
    counts = campaign(arguments.number, arguments.seed)
    print(", ".join(f"{name} {count}" for name, count in sorted(counts.items())))
    return 1 if counts["other"] else 0


if __name__ == "__main__":
    sys.exit(main())
