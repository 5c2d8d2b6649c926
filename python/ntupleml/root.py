"""ROOT without its side effects on scripts: no windows, no command line, no alpha warning; and files by any name."""

from __future__ import annotations

import os
import re
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ntupleml.errors import NtuplemlError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

#: What ROOT takes as it stands in the name of a file.
_PLAIN_NAME = re.compile(r"[\w/.,:=+@% -]+")


def import_root() -> Any:
    """ROOT's Python module, in batch mode, with its hands off the command line and the user's logon macros.

    The wheel on PyPI warns at each import that it is an alpha release. Exactly that warning is left out, since the
    user of a script can do nothing about it.

    Raises
    ------
    NtuplemlError
        If ROOT is not installed.
    """
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings(
                "ignore", message=r"\s*This distribution of ROOT is in alpha stage", category=UserWarning
            )
            import ROOT
    except ImportError as error:
        raise NtuplemlError(
            f"ROOT cannot be imported: {str(error).splitlines()[0]}; take it from an LCG view, or run "
            "pip install 'ntupleml[root]'"
        ) from error
    ROOT.PyConfig.IgnoreCommandLineOptions = True
    ROOT.PyConfig.DisableRootLogon = True
    ROOT.gROOT.SetBatch(True)
    return ROOT


@contextmanager
def name_for_root(path: str | Path) -> Iterator[str]:
    """Name by which ROOT opens exactly this file.

    ROOT takes a `#` or `?` in a name for parts of an address, and hands `$` and quotes to a shell. Files of such names
    are opened through a descriptor of this process.

    Parameters
    ----------
    path : path
        A file that exists.

    Yields
    ------
    str
        Valid until the end of the block.
    """
    if _PLAIN_NAME.fullmatch(str(path)):
        yield str(path)
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)
