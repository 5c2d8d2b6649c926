"""What all scripts share: options, logging, and errors of users as one line with exit status 2."""

from __future__ import annotations

import logging
import os
import sys
from typing import TYPE_CHECKING

from ntupleml.errors import NtuplemlError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Sequence

#: Exit status of a mistake in arguments, configs or inputs.
USER_ERROR = 2
#: Exit status of a run that the user interrupted, as shells have it.
INTERRUPTED = 130


class _LevelFormatter(logging.Formatter):
    """Bare messages for what goes well, the level in front of what does not."""

    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        return text if record.levelno == logging.INFO else f"{record.levelname}: {text}"


def set_up_logging(debug: bool) -> None:
    """Send log lines to the standard error stream, our debug lines only if asked for."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_LevelFormatter("%(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.getLogger("ntupleml").setLevel(logging.DEBUG if debug else logging.INFO)


def run(
    main: Callable[[argparse.Namespace], int], parser: argparse.ArgumentParser, argv: Sequence[str] | None = None
) -> int:
    """Parse arguments and run a script's main function.

    Parameters
    ----------
    main : callable
        Takes the parsed arguments, returns the exit status. What it imports itself does not slow down `--help`.
    parser : argparse.ArgumentParser
        The script's own arguments; `--debug` is added here.
    argv : sequence of str, optional
        Arguments, by default those of the process.

    Returns
    -------
    int
        Exit status: that of `main`, 2 for a mistake of the user (one line on standard error), 130 if interrupted.
    """
    parser.add_argument("--debug", action="store_true", help="show every step, and the traceback of any error")
    arguments = parser.parse_args(argv)
    set_up_logging(arguments.debug)
    # TensorFlow's remarks on the processor and oneDNN say nothing to a user; its errors stay.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "0" if arguments.debug else "2")
    try:
        return main(arguments)
    except NtuplemlError as error:
        return _report(f"{parser.prog}: {error}", arguments.debug)
    except OSError as error:
        if error.filename is None:
            raise
        return _report(f"{parser.prog}: {error.filename}: {(error.strerror or str(error)).lower()}", arguments.debug)
    except KeyboardInterrupt:
        sys.stderr.write(f"{parser.prog}: interrupted\n")
        return INTERRUPTED


def _report(line: str, debug: bool) -> int:
    if debug:
        logging.getLogger(__name__).debug("the error below is one of the input", exc_info=True)
    sys.stderr.write(line + "\n")
    return USER_ERROR
