"""Importing libraries without their side effects; and files by names that ROOT does not take."""

from __future__ import annotations

import os
import re
import signal
import sys
import tempfile
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ntupleml.errors import NtuplemlError, one_line

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

#: What ROOT takes as it stands in the name of a file.
_PLAIN_NAME = re.compile(r"[\w/.,:=+@% -]+")
#: Lines that are dropped. Their level cannot be set: they are written before TensorFlow reads TF_CPP_MIN_LOG_LEVEL.
_REMARKS = (
    b"oneDNN custom operations are on",
    b"All log messages before absl::InitializeLog() is called",
    b"cpu_feature_guard.cc",
    b"To enable the following instructions:",
)


def crash_at_once() -> None:
    """Let a crash end this process: ROOT's own handlers take minutes to print what nobody reads."""
    for number in (signal.SIGSEGV, signal.SIGBUS, signal.SIGILL, signal.SIGFPE, signal.SIGABRT):
        signal.signal(number, signal.SIG_DFL)


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


def import_tensorflow() -> None:
    """Import TensorFlow and Keras; whatever else they write to the standard error stream appears after the import."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    if "tensorflow" in sys.modules:
        return
    with _without_remarks():
        import keras
        import tensorflow as tf

        tf.constant(keras.backend.epsilon())  # the first operation starts the run time, which has remarks too


@contextmanager
def _without_remarks() -> Iterator[None]:
    """Hold back what the block writes to file descriptor 2, and write it afterwards without the remarks."""
    sys.stderr.flush()
    original = os.dup(2)
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(original, 2)
            held.seek(0)
            lines = [line for line in held if not any(remark in line for remark in _REMARKS)]
            os.write(original, b"".join(lines))
            os.close(original)


def import_onnxruntime() -> Any:
    """ONNX Runtime, which from 1.32 on would tell Microsoft of each session, and write to the user's cache.

    Who sets `ORT_DISABLE_TELEMETRY=0` lets it.
    """
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    import onnxruntime

    return onnxruntime


def import_hgq() -> Any:
    """HGQ2, with Keras on TensorFlow.

    Raises
    ------
    NtuplemlError
        If it is not installed.
    """
    import_tensorflow()
    try:
        import hgq
    except ImportError as error:
        raise NtuplemlError(
            f'quantised networks need HGQ2, which is not there: {one_line(error)}; run pip install "ntupleml[hgq]"'
        ) from error
    return hgq


def import_xgboost_alone() -> None:
    """Import XGBoost, if it is there, as if scikit-learn were not: for scripts, whose process is theirs.

    XGBoost imports scikit-learn to offer its own estimators, such as `XGBClassifier`, in the form of that library. The
    process does without them from then on; scikit-learn itself can still be imported.
    """
    if "xgboost" in sys.modules or "sklearn" in sys.modules:
        return
    sys.modules["sklearn"] = None  # type: ignore[assignment]  # an import of it fails
    try:
        import xgboost  # noqa: F401
    except ImportError:
        return  # who needs it will say so
    finally:
        del sys.modules["sklearn"]
