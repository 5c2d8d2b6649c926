"""From ROOT ntuples to trained classifiers and back: k-fold datasets, training, testing, application.

`load_model` opens trained models for use from Python; the rest is the command `ntupleml` and its scripts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ntupleml.errors import NtuplemlError

if TYPE_CHECKING:
    from ntupleml.interface import Model, load_model

__version__ = "0.1.0"

__all__ = ["Model", "NtuplemlError", "__version__", "load_model"]


def __getattr__(name: str) -> Any:
    """Import what needs time when it is asked for."""
    if name in ("Model", "load_model"):
        from ntupleml import interface

        return getattr(interface, name)
    raise AttributeError(f"module 'ntupleml' has no attribute '{name}'")
