"""Importing ROOT without its side effects on scripts: no windows, no command line, no alpha warning."""

from __future__ import annotations

import warnings
from typing import Any

from ntupleml.errors import NtuplemlError


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
