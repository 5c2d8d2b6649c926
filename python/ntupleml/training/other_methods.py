"""Methods of a network's layers that are others for a while."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping


@contextmanager
def other_methods(model: Any, of_layer: Callable[[Any], Mapping[str, Callable[..., Any]]]) -> Iterator[None]:
    """Let layers of a model have other methods until the block ends.

    Parameters
    ----------
    of_layer : callable
        Gives the methods of a layer by their names; none where it stays as it is.
    """
    changed = [(layer, of_layer(layer)) for layer in model._flatten_layers()]
    for layer, methods in changed:
        for name, method in methods.items():
            setattr(layer, name, method)
    try:
        yield
    finally:
        for layer, methods in changed:
            for name in methods:
                vars(layer).pop(name, None)
