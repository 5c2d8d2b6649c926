"""From ROOT ntuples to trained classifiers and back: k-fold datasets, training, testing, application.

`load_model` opens trained models for use from Python, and each stage is a function; the rest is the command `ntupleml`
and its scripts.
"""

from __future__ import annotations

from ntupleml.errors import NtuplemlError

TYPE_CHECKING = False  # `typing` takes time, in which a command would not wait for signals
if TYPE_CHECKING:
    from typing import Any

    from ntupleml.datasets.joining import join
    from ntupleml.interface import Model, load_model
    from ntupleml.stages import apply, create_datasets, read_events, test, train
    from ntupleml.version import __version__

#: Where not in `ntupleml.stages`.
_MODULES = {"Model": "interface", "load_model": "interface", "join": "datasets.joining", "__version__": "version"}

__all__ = [
    "Model",
    "NtuplemlError",
    "__version__",
    "apply",
    "create_datasets",
    "join",
    "load_model",
    "read_events",
    "test",
    "train",
]


def __getattr__(name: str) -> Any:
    """Import what needs time when it is asked for."""
    from importlib import import_module

    if name in __all__:
        return getattr(import_module(f"ntupleml.{_MODULES.get(name, 'stages')}"), name)
    raise AttributeError(f"module 'ntupleml' has no attribute '{name}'")
