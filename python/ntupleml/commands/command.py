"""What a verb of the command line is, and the arguments that several verbs share."""

from __future__ import annotations

import argparse
import logging
import math
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ntupleml.errors import NtuplemlError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


log = logging.getLogger("ntupleml.commands")


class Command(NamedTuple):
    """A verb of the command line."""

    #: What it does, in one sentence.
    summary: str
    #: Takes the parsed arguments, returns the exit status. What it imports itself does not slow down `--help`.
    run: Callable[[argparse.Namespace], int]
    #: Adds its arguments to a parser.
    add_arguments: Callable[[argparse.ArgumentParser], None]
    #: As `argparse` takes them.
    usage: str | None = None
    epilog: str | None = None
    #: Rewrites the arguments before they are parsed.
    spell: Callable[[list[str]], list[str]] | None = None


def add_configs(parser: argparse.ArgumentParser, *stages: str) -> None:
    """Add an argument CONFIG_STAGE for each of some stages, in this order."""
    for stage in stages:
        name = f"config_{stage}"
        parser.add_argument(name, type=Path, metavar=name.upper(), help=f"{stage} config (YAML)")


def with_one_file(parser: argparse.ArgumentParser, texts: list[str]) -> list[str]:
    """Arguments in which a file with blocks of stages, given once, stands for all configs that a verb takes."""
    number = sum(action.dest.startswith("config_") or action.dest == "trainings" for action in parser._actions)
    place = _first_config(parser, texts)
    if number < 2 or place is None or any(map(is_yaml, texts[place + 1 : place + 2])):
        return texts
    from ntupleml.config.loading import stages_in

    return [*texts[:place], *[texts[place]] * number, *texts[place + 1 :]] if stages_in(texts[place]) else texts


def testing_of(path: Path) -> Path | None:
    """The file of a training config where it has a block `testing`, too."""
    from ntupleml.config.loading import stages_in

    return path if "testing" in stages_in(path) else None


def is_yaml(text: str) -> bool:
    """Whether an argument is called as configs are."""
    return text.endswith((".yaml", ".yml"))


def _first_config(parser: argparse.ArgumentParser, texts: Sequence[str]) -> int | None:
    """Place of the first argument that is called as a config, and no value of an option."""
    for place, text in enumerate(texts):
        option = parser._option_string_actions.get(texts[place - 1]) if place else None
        if is_yaml(text) and not text.startswith("-") and (option is None or option.nargs == 0):
            return place
    return None


def add_overwrite(parser: argparse.ArgumentParser, what: str = "existing results") -> None:
    """Add `--overwrite`."""
    parser.add_argument("--overwrite", action="store_true", help=f"replace {what}")


def add_reading_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of all verbs that read fold files: era, events read at a time, overwriting."""
    parser.add_argument("--era", "--condition", dest="condition", metavar="NAME", help="era (condition) of the events")
    parser.add_argument(
        "--Num_Events",
        "--events-per-chunk",
        dest="num_events",
        type=positive_number,
        metavar="N",
        help="events read at a time",
    )
    add_overwrite(parser)


def open_page(page: Path) -> None:
    """Show an HTML page in a browser, if there is one."""
    import webbrowser

    if not webbrowser.open(page.resolve().as_uri()):
        log.warning("no browser was found; open %s in one", page.resolve())


def named_formulas(texts: Sequence[str], option: str) -> dict[str, str]:
    """Formulas of an option that may be repeated, `[NAME=]FORMULA`, by their names; without one a branch.

    Examples
    --------
    >>> named_formulas(["run", "good=pt == 3", "pt<=3"], "--branch")
    {'run': 'run', 'good': 'pt == 3', 'pt<=3': 'pt<=3'}
    """
    found: dict[str, str] = {}
    for text in texts:
        name, mark, formula = text.partition("=")
        if not (mark and name.strip().isidentifier() and not formula.startswith("=")):
            name = formula = text
        name, formula = name.strip(), formula.strip()
        if not formula:
            raise NtuplemlError(f"{option} '{text}': nothing is named; give a branch, or NAME=FORMULA")
        if name in found:
            raise NtuplemlError(f"{option} '{text}': '{name}' is given twice; give another name, NAME=FORMULA")
        found[name] = formula
    return found


def positive_number(text: str) -> int:
    """Whole number of an option, at least 1."""
    if not (text.isascii() and text.isdigit() and int(text) > 0):
        raise argparse.ArgumentTypeError(f"'{text}' is not a whole number of at least 1")
    return int(text)


def finite_number(text: str, *, at_least: float = -math.inf) -> float:
    """Finite number of an option."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value >= at_least):
        limit = "" if at_least == -math.inf else f" of at least {at_least:g}"
        raise argparse.ArgumentTypeError(f"'{text}' is not a number{limit}")
    return value


def true_or_false(text: str) -> bool:
    """Value of an option that htt-ml's scripts write as True or False."""
    values = {"true": True, "false": False}
    if text.lower() not in values:
        raise argparse.ArgumentTypeError(f"'{text}' is neither True nor False")
    return values[text.lower()]
