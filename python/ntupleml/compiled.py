"""How loops over events are compiled by numba: without the interpreter's lock, in IEEE arithmetic, kept on disk."""

from __future__ import annotations

import logging
import pickle
from typing import TYPE_CHECKING, Any, TypeVar

import numba
from numba.core.caching import FunctionCache

from ntupleml.errors import one_line

if TYPE_CHECKING:
    from collections.abc import Callable

log = logging.getLogger(__name__)

Function = TypeVar("Function", bound="Callable[..., Any]")

#: Without the interpreter's lock, so that threads work side by side; IEEE arithmetic as it is written.
_OPTIONS = {"nogil": True, "error_model": "numpy", "fastmath": False}

#: What is raised where a cache cannot be read or written: by the disk, and by pickles that are cut.
_UNREADABLE = (OSError, EOFError, pickle.UnpicklingError)


def compiled(function: Function) -> Function:
    """Compile a function at its first call, into those that call it."""
    return numba.njit(**_OPTIONS)(function)  # type: ignore[no-any-return]


class _Cache(FunctionCache):  # type: ignore[misc]
    """Machine code on disk, where a disk that is full or a file that is damaged costs some seconds and no more."""

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """What is kept for a signature; None where it cannot be read."""
        try:
            return super().load_overload(sig, target_context)
        except _UNREADABLE as error:
            log.info("%s: compiled loops cannot be read, and are compiled again: %s", self.cache_path, one_line(error))
            return None

    def save_overload(self, sig: Any, data: Any) -> None:
        """Keep what was compiled for a signature, if that can be."""
        try:
            super().save_overload(sig, data)
        except _UNREADABLE as error:
            log.info("%s: compiled loops are not kept: %s", self.cache_path, one_line(error))


def kept(function: Function) -> Function:
    """Compile a function at its first call, and keep the machine code on disk where there is a place for it."""
    dispatcher = compiled(function)
    try:
        dispatcher._cache = _Cache(function)  # type: ignore[attr-defined]  # as its own `cache=True` does
    except RuntimeError as error:  # neither the package's folder nor the user's can be written to
        log.info("the compiled loops are not kept, which costs some seconds per process: %s", error)
    return dispatcher
