"""Draw formulas at random, damage many of them, and see what parsing and evaluating them does.

    python tools/fuzz_formulas.py --number 100000 --seed 1

Formulas are drawn from the grammar; two of three are then changed: characters and words swapped, doubled, cut, put in
from elsewhere. Each is parsed and, where that goes, evaluated as values and as a cut, in forked processes. Counted are
those that were read and those that were refused in one line; a traceback, a crash, more than five seconds, more than a
gigabyte, or anything that Python's own auditing sees (an import, an opened file, compiled code, a started process) is
printed, and the exit status is 1. Numbers are compared with those of ROOT by `tools/compare_formulas.py`.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import random
import re
import resource
import signal
import sys
import time
import traceback
from collections import Counter
from typing import TYPE_CHECKING, Any

import awkward as ak
import numpy as np

from ntupleml.errors import NtuplemlError
from ntupleml.expressions import parse
from ntupleml.expressions.functions import FUNCTIONS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Answer = dict[str, Any]

ENTRIES, BATCH, SECONDS, MEMORY = 12, 5_000, 5, 2**30
TREE = "tree"
SCALARS = ("f", "d", "g", "i", "j", "u", "b", "c", "s", "us")
LONG = ("l", "ul")
LISTS = ("v", "w", "fx", "ix")
NUMBERS = ("0", "1", "2", "3", "7", "0.5", "1.25e1", ".1", "1e-3", "0x1f", "100", "1e308", "9007199254740993")
INFIX = ("+", "-", "*", "/", "%", "&&", "||", "&", "|", "<<", ">>", "^", "**", "<", ">", "<=", ">=", "==", "!=")
AGGREGATES = ("Sum$", "Length$", "Max$", "Min$")
#: What is put into formulas, beside parts of others.
WORDS = (
    *INFIX, "!", "(", ")", "[", "]", "?", ":", ",", "$", ".", "::", "'", '"', "\\", "\0", "\n", "é", "²", "_", "1e999",
    "9" * 400, "0x" + "f" * 40, "Entry$", "Iteration$", "__import__", "os.system", "f.__class__", "lambda", "rndm",
    "TMath::Pi()", "v[v[0]]", "@v.size()", "(int)", "gROOT->Exit()", "std::system", "f;g", "()" * 40, "-" * 60,
    "[" * 60,
)  # fmt: skip


def columns() -> dict[str, Any]:
    """Branches of all kinds, with numbers that hurt among them."""
    draw = np.random.default_rng(7)
    counts = np.array([0, 1, 2, 3, 4, 0, 1, 2, 3, 4, 2, 1])
    special = [0, 1, -1, 0.5, -0.5, 2, np.nan, np.inf, -np.inf, 3, 1e10, -0.0]
    return {
        "f": draw.normal(0, 3, ENTRIES).astype("f4"),
        "d": draw.normal(0, 3, ENTRIES),
        "g": np.array(special),
        "i": draw.integers(-5, 6, ENTRIES).astype("i4"),
        "j": draw.integers(1, 5, ENTRIES).astype("i4"),
        "u": draw.integers(0, 9, ENTRIES).astype("u4"),
        "l": (2**53 + np.arange(ENTRIES)).astype("i8"),
        "ul": (2**63 + 3 * np.arange(ENTRIES).astype("u8")).astype("u8"),
        "b": draw.integers(0, 2, ENTRIES).astype(np.bool_),
        "c": draw.integers(-100, 100, ENTRIES).astype("i1"),
        "s": draw.integers(-100, 100, ENTRIES).astype("i2"),
        "us": draw.integers(0, 100, ENTRIES).astype("u2"),
        "v": ak.unflatten(draw.normal(0, 3, counts.sum()).astype("f4"), counts),
        "w": ak.unflatten(draw.normal(0, 3, counts.sum()), counts[::-1]),
        "fx": draw.normal(0, 3, (ENTRIES, 3)).astype("f4"),
        "ix": draw.integers(0, 4, (ENTRIES, 4)).astype("i4"),
    }


def formula(draw: random.Random, depth: int) -> str:
    """A formula of the grammar."""
    kind = draw.random()
    if depth == 0 or kind < 0.15:
        return draw.choice([draw.choice(SCALARS), draw.choice(SCALARS), draw.choice(NUMBERS), _list(draw, depth)])
    parts = [formula(draw, depth - 1) for _ in range(3)]
    if kind < 0.5:
        return f"{parts[0]}{draw.choice(INFIX)}{parts[1]}"
    if kind < 0.65:
        return f"({parts[0]}){draw.choice(INFIX)}({parts[1]})"
    if kind < 0.7:
        return f"({parts[0]}) ? {parts[1]} : {parts[2]}"
    if kind < 0.8:
        return f"{draw.choice('!-+')}({parts[0]})"
    if kind < 0.9:
        name = draw.choice(tuple(FUNCTIONS))
        return f"{name}({','.join(parts[: draw.choice(FUNCTIONS[name].argument_counts)])})"
    if kind < 0.97:
        return f"{draw.choice(AGGREGATES)}({parts[0]})"
    return f"{draw.choice(('MaxIf$', 'MinIf$', 'Alt$'))}({parts[0]},{parts[1]})"


def _list(draw: random.Random, depth: int) -> str:
    name = draw.choice((*LISTS, *LONG))
    if name in LONG or draw.random() < 0.6:
        return name
    return f"{name}[{formula(draw, depth - 1) if depth > 0 and draw.random() < 0.3 else draw.randrange(4)}]"


def changed(text: str, draw: random.Random, others: list[str]) -> str:
    """A formula with one to three parts of it changed."""
    for _ in range(draw.randint(1, 3)):
        start = draw.randint(0, len(text))
        stop = min(len(text), start + draw.choice((0, 0, 1, 1, 2, 5, 20)))
        other = draw.choice(others) if others else text
        piece = draw.randint(0, len(other))
        new = draw.choice(
            ("", draw.choice(WORDS), chr(draw.randrange(32, 127)), text[start:stop] * 2, other[piece : piece + 8])
        )
        text = text[:start] + new + text[stop:]
    return text


def formulas(number: int, seed: int) -> list[str]:
    """Formulas, two of three of them changed."""
    draw, found = random.Random(seed), []
    for index in range(number):
        text = formula(draw, draw.randint(0, 5))
        found.append(changed(text, draw, found[-50:]) if index % 3 else text)
    return found


# --- each in a forked process --------------------------------------------------------------------------------------

#: What nothing in a formula may do; names of Python's audit events.
_FORBIDDEN = re.compile(r"import|open|compile|exec|os\.|subprocess|socket|ctypes|shutil|pickle|code\.|marshal|tempfile")


class _Watch:
    """Notes what Python's auditing sees while it is on."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.is_on = False
        sys.addaudithook(self._hook)

    def _hook(self, event: str, _arguments: object) -> None:
        if self.is_on and _FORBIDDEN.match(event):
            self.seen.append(event)


def evaluated(text: str, of: dict[str, Any]) -> list[Any] | None:
    """Values of each event; None where the formula is refused."""
    try:
        expression = parse(text)
        expression.check_branches([*of, "Entry$"])
        values = expression.evaluate({**of, "Entry$": np.arange(ENTRIES)}, ENTRIES)
        expression.passes({**of, "Entry$": np.arange(ENTRIES)}, ENTRIES)
    except NtuplemlError as error:
        if "\n" in str(error) or len(str(error)) > 2_000:
            raise ValueError(f"not one line, or too long: {error}") from error
        return None
    return ak.to_list(values) if isinstance(values, ak.Array) else list(np.asarray(values).tolist())


def _ours(texts: list[str]) -> Iterator[Answer]:
    of, watch = columns(), _Watch()
    for text in ("erf(tgamma(d))+TMath::Gaus(f)+Sum$(v*w)", "Max$(v)", "x x", "nothing", "f%0", "fx[ix]", "1?2:3"):
        evaluated(text, of)  # what is imported the first time
    for text in texts:
        start = time.process_time()
        watch.is_on = True
        try:
            answer: Answer = {"values": evaluated(text, of)}
        except Exception:
            answer = {"fault": traceback.format_exc()[-1500:]}
        watch.is_on = False
        if watch.seen:
            answer["fault"] = f"does what no formula may: {watch.seen}"
            watch.seen = []
        if (seconds := time.process_time() - start) > SECONDS:
            answer["fault"] = f"{seconds:.1f} s"
        yield answer


def in_fork(
    work: Callable[[list[str]], Iterator[Answer]], texts: list[str], memory: int | None = None
) -> Iterator[Answer]:
    """Answers to formulas, one for each: a fault where it ends the process or takes a minute."""
    done = 0
    while done < len(texts):
        receiver, sender = os.pipe()
        child = os.fork()
        if child == 0:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
            if memory is not None:
                limit = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 + memory
                resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
            signal.alarm(120)
            try:
                with os.fdopen(sender, "w") as lines:
                    for answer in work(texts[done:]):
                        signal.alarm(60)
                        lines.write(json.dumps(answer) + "\n")
                        lines.flush()
            finally:
                os._exit(0)
        os.close(sender)
        with os.fdopen(receiver) as lines:
            for line in lines:
                yield json.loads(line)
                done += 1
        _, status = os.waitpid(child, 0)
        if done < len(texts):
            yield {"fault": f"the process ended with status {status}"}
            done += 1


def campaign(number: int, seed: int) -> Counter[str]:
    """Draw and evaluate formulas; how often each outcome came."""
    counts: Counter[str] = Counter()
    texts = formulas(number, seed)
    for start in range(0, number, BATCH):
        batch = texts[start : start + BATCH]
        for text, answer in zip(batch, in_fork(_ours, batch, MEMORY), strict=True):
            if "fault" in answer:
                print(f"{text!r}: {answer['fault']}", flush=True)
            what = "fault" if "fault" in answer else "refused" if answer["values"] is None else "read"
            counts[what] += 1
    return counts


def main() -> int:
    """Run it and print the counts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--number", type=int, default=10_000, help="of formulas")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    logging.getLogger("ntupleml").setLevel(logging.ERROR)
    counts = campaign(arguments.number, arguments.seed)
    print(", ".join(f"{name} {count}" for name, count in counts.items()))
    return 1 if counts["fault"] else 0


if __name__ == "__main__":
    sys.exit(main())
