"""From ROOT ntuples to trained classifiers and back: k-fold datasets, training, testing, application.

`load_model` opens trained models for use from Python, and each stage is a function; the rest is the command `ntupleml`
and its scripts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ntupleml.errors import NtuplemlError

if TYPE_CHECKING:
    from ntupleml.interface import Model, load_model
    from ntupleml.stages import apply, create_datasets, read_events, test, train

__version__ = "0.1.0"

__all__ = [
    "Model",
    "NtuplemlError",
    "__version__",
    "apply",
    "create_datasets",
    "load_model",
    "read_events",
    "test",
    "train",
]


def __getattr__(name: str) -> Any:
    """Import what needs time when it is asked for."""
    from importlib import import_module

    if name in __all__:
        module = import_module("ntupleml.interface" if name in ("Model", "load_model") else "ntupleml.stages")
        return getattr(module, name)
    raise AttributeError(f"module 'ntupleml' has no attribute '{name}'")
