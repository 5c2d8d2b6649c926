"""What all commands share: logging, errors of users as one line with exit status 2, a clean end when stopped."""

from __future__ import annotations

import errno
import logging
import os
import sys
from typing import TYPE_CHECKING

from ntupleml.atomic import noting_written
from ntupleml.errors import MisplacedConfigError, NtuplemlError, one_line
from ntupleml.stopping import stoppable

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

log = logging.getLogger(__name__)

#: Options of every script, which `run` adds.
DEBUG = "--debug"
QUIET = ("-q", "--quiet")
VERBOSE = ("-v", "--verbose")
#: Exit status where some files or methods failed and the others are done.
SOME_FAILED = 1
#: Exit status of a mistake in arguments, configs or inputs.
USER_ERROR = 2
#: What the system says where nothing is wrong with the program: no space, no quota, file too large, no reader, a disk
#: or a server of files that fails.
_NOT_OUR_FAULT = {
    errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EPIPE, errno.EIO, errno.EREMOTEIO, errno.EROFS, errno.ESTALE,
    errno.ETIMEDOUT,
}  # fmt: skip
_LONGEST_LINE = 2000
#: Files that are named at the end of a command; of more, their folder is.
_MOST_NAMED = 4
#: The first Python for which pip finds no TensorFlow.
_WITHOUT_TENSORFLOW = (3, 14)
#: Extra of the package that brings a module.
_EXTRAS = {
    "ROOT": "root",
    "dask": "batch",
    "dask_jobqueue": "batch",
    "distributed": "batch",
    "fsspec_xrootd": "xrootd",
    "keras": "keras",
    "optuna": "tune",
    "shap": "shap",
    "skl2onnx": "sklearn",
    "tensorflow": "keras",
    "xgboost": "trees",
    "lightgbm": "trees",
}


class _LevelFormatter(logging.Formatter):
    """Bare messages for what goes well, the level in front of what does not."""

    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        return text if record.levelno == logging.INFO else f"{record.levelname}: {text}"


def set_up_logging(level: int = logging.INFO) -> None:
    """Send log lines to the standard error stream, ours from a level on."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_LevelFormatter("%(message)s"))
    handler.setLevel(level)  # also while a training writes more into its own log
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.getLogger("ntupleml").setLevel(level)


def add_common_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of every script: how much is said."""
    volume = parser.add_mutually_exclusive_group()
    short = [] if VERBOSE[0] in parser._option_string_actions else [VERBOSE[0]]  # `-v` may have another meaning
    volume.add_argument(*QUIET, action="store_true", help="say nothing but warnings, errors and results")
    volume.add_argument(*short, VERBOSE[1], action="store_true", help="show every step")
    parser.add_argument(DEBUG, action="store_true", help="show every step, and the traceback of any error")


def show(result: object) -> None:
    """Write a result, such as a table, to the standard output stream; what happens on the way is logged."""
    sys.stdout.write(f"{result}\n")
    sys.stdout.flush()


def run(
    main: Callable[[argparse.Namespace], int], parser: argparse.ArgumentParser, argv: Sequence[str] | None = None
) -> int:
    """Parse arguments and run a script's main function.

    Parameters
    ----------
    main : callable
        Takes the parsed arguments, returns the exit status. What it imports itself does not slow down `--help`.
    parser : argparse.ArgumentParser
        The script's own arguments; those of `add_common_options` are added here.
    argv : sequence of str, optional
        Arguments, by default those of the process.

    Returns
    -------
    int
        Exit status: that of `main`, 2 for a mistake of the user (one line on standard error), 128 and
        its number after a signal that stops it, such as 130 if interrupted.
    """
    add_common_options(parser)
    _open_closed_streams()
    arguments = parser.parse_args(argv)
    said = logging.DEBUG if arguments.debug or arguments.verbose else logging.INFO
    set_up_logging(logging.WARNING if arguments.quiet else said)
    # TensorFlow's remarks on the processor and oneDNN say nothing to a user; its errors stay.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "0" if arguments.debug else "2")
    # NumPy's threads cost several times as much processor time as they save on the short products that occur here.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    # Threads of boosted trees that wait sleep: on busy cores, waiting awake takes several times as long.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

    def work() -> int:
        with noting_written() as written:
            status = main(arguments)
            if status == 0:  # else the last lines say what failed
                log_written(written)
            return status

    try:
        return stoppable(parser.prog, work)
    except NtuplemlError as error:
        order = _order_of_configs(parser) if isinstance(error, MisplacedConfigError) else ""
        return _report(f"{parser.prog}: {error}{order}", arguments.debug)
    except ModuleNotFoundError as error:
        if not error.name or error.name.split(".")[0] == "ntupleml":
            raise
        return _report(f"{parser.prog}: {_not_installed(error.name)}", arguments.debug)
    except OSError as error:
        if error.filename is None and error.errno not in _NOT_OUR_FAULT:
            raise
        place = f"{error.filename}: " if error.filename is not None else ""
        return _report(f"{parser.prog}: {place}{(error.strerror or str(error)).lower()}", arguments.debug)


def log_written(paths: Iterable[Path]) -> None:
    """Say in one line which files there are of those that were written, with their size."""
    sizes = {path: path.stat().st_size for path in paths if path.is_file()}
    if not sizes:
        return
    what = "file" if len(sizes) == 1 else "files"
    if len(sizes) <= _MOST_NAMED:
        where = ": " + ", ".join(map(str, sizes))
    else:
        folder = os.path.relpath(os.path.commonpath([path.absolute().parent for path in sizes]))
        where = f" in {folder if not folder.startswith('..') else os.path.abspath(folder)}"  # noqa: PTH100 - as a text
    log.info("wrote %d %s%s (%s)", len(sizes), what, where, _size(sum(sizes.values())))


def _size(number: int) -> str:
    """Bytes as people read them.

    Examples
    --------
    >>> _size(999), _size(1_234_567)
    ('999 B', '1.2 MB')
    """
    for unit, factor in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if number >= factor:
            return f"{number / factor:.1f} {unit}"
    return f"{number} B"


def _order_of_configs(parser: argparse.ArgumentParser) -> str:
    """Ending of a message: the configs that a script takes, in order."""
    names = [str(action.metavar) for action in parser._actions if action.dest.startswith("config_")]
    return f"; the order is {' '.join(names)}" if len(names) > 1 else ""


def _not_installed(module: str) -> str:
    """What to do where a module is missing."""
    if module.split(".")[0] == "tensorflow" and sys.version_info >= _WITHOUT_TENSORFLOW:
        return (
            "TensorFlow, which trains networks, has no wheels for this Python; use 3.11 to 3.13, e.g. source setup.sh"
        )
    extra = _EXTRAS.get(module.split(".")[0])
    package = "ntupleml" if extra is None else f"'ntupleml[{extra}]'"
    return f"{module} is not installed; pip install {package}, or source setup.sh in a clone"


def _open_closed_streams() -> None:
    """Give the process the standard streams that its caller closed, lest a file of ours takes their place.

    What a library writes to descriptor 2 would go into a ROOT file otherwise.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free: this one
            os.set_inheritable(descriptor, True)  # the processes that this one starts need it as well
    for name in ("stdin", "stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "r" if name == "stdin" else "w", encoding="utf-8"))  # noqa: PTH123, SIM115


def _report(line: str, debug: bool) -> int:
    if debug:
        logging.getLogger(__name__).debug("the error below is one of the input", exc_info=True)
    sys.stderr.write(one_line(line, _LONGEST_LINE) + "\n")
    return USER_ERROR
