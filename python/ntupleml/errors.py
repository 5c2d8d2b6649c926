"""The error that a user of the scripts sees as one line, and help with misspelt names."""

from __future__ import annotations

import itertools

TYPE_CHECKING = False  # `typing` takes time, in which a command would not wait for signals
if TYPE_CHECKING:
    from collections.abc import Iterable


class NtuplemlError(Exception):
    """A mistake in the input that its user can fix.

    The message says where (file, key, branch), what was found and what to do, on one line. Scripts print it and
    exit with status 2; everything that is not of this kind is a fault of the program and keeps its traceback.
    """


#: Names that are compared with one that is not there, and how long they may be: files can have millions, and long ones.
_MOST_NAMES, _LONGEST_NAME = 100_000, 200


class MissingInputError(NtuplemlError):
    """Inputs of events are NaN or infinite, or do not exist, and the models cannot be given that."""


class MisplacedConfigError(NtuplemlError):
    """A config of another stage stands where one is needed; the command line adds in which order they go."""


def nearest(name: str, candidates: Iterable[str], count: int = 3) -> list[str]:
    """Names that look most like a given one, best first.

    Examples
    --------
    >>> nearest("pt_l", ["eta_1", "pt_1", "ptt", "pt_2"])
    ['pt_1', 'pt_2', 'ptt']
    """
    import difflib

    matcher = difflib.SequenceMatcher(b=name.lower())
    likeness = {}
    for candidate in itertools.islice(dict.fromkeys(candidates), _MOST_NAMES):
        if len(candidate) > _LONGEST_NAME:
            continue
        matcher.set_seq1(candidate.lower())
        likeness[candidate] = matcher.ratio()
    best = sorted(likeness, key=lambda candidate: -likeness[candidate])[:count]
    return [candidate for candidate in best if likeness[candidate] >= 0.5]


def did_you_mean(name: str, candidates: Iterable[str]) -> str:
    """Ending of an error message: the nearest valid names, or all of them where there are few and none is near.

    Examples
    --------
    >>> did_you_mean("epoch", ["epochs", "name"])
    "; nearest: 'epochs'"
    >>> did_you_mean("x", ["pt_1", "pt_2"])
    "; there are: 'pt_1', 'pt_2'"
    """
    names = list(candidates)
    near = nearest(name, names)
    if near:
        return "; nearest: " + ", ".join(f"'{one_line(match, _LONGEST_NAME)}'" for match in near)
    if not names:
        return "; there are none"
    shown = ", ".join(f"'{one_line(candidate, _LONGEST_NAME)}'" for candidate in names[:6])
    return f"; there are: {shown}" + (f" and {len(names) - 6} more" if len(names) > 6 else "")


def one_line(text: object, length: int = 300) -> str:
    r"""Text of unknown origin, such as another library's error, as part of a message: one line, nothing unprintable.

    Examples
    --------
    >>> one_line(ValueError("a long\n   story"), length=8)
    'a long …'
    """
    line = " ".join(str(text).split())
    line = "".join(character if character.isprintable() else "?" for character in line)
    return line if len(line) <= length else line[: length - 1] + "…"
