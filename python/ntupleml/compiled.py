"""How loops over events are compiled by numba: without the interpreter's lock, in IEEE arithmetic, kept on disk."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, TypeVar

import numba

if TYPE_CHECKING:
    from collections.abc import Callable

log = logging.getLogger(__name__)

Function = TypeVar("Function", bound="Callable[..., Any]")

#: Without the interpreter's lock, so that threads work side by side; IEEE arithmetic as it is written.
_OPTIONS = {"nogil": True, "error_model": "numpy", "fastmath": False}


def compiled(function: Function) -> Function:
    """Compile a function at its first call, into those that call it."""
    return numba.njit(**_OPTIONS)(function)  # type: ignore[no-any-return]


def kept(function: Function) -> Function:
    """Compile a function at its first call, and keep the machine code on disk where there is a place for it."""
    try:
        return numba.njit(cache=True, **_OPTIONS)(function)  # type: ignore[no-any-return]
    except RuntimeError as error:  # neither the package's folder nor the user's can be written to
        log.info("the compiled loops are not kept, which costs some seconds per process: %s", error)
        return compiled(function)
