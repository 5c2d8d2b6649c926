"""Which classes are signals: those of the testing config, else what their names say."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ntupleml.errors import NtuplemlError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ntupleml.config import TestingConfig

#: Part of the names of signals, where none is given.
_USUAL = "signal"


def signals_of(testing: TestingConfig, classes: Sequence[str]) -> list[str]:
    """Names of the classes that are signals; none where nothing says so.

    They are the `signals` of the testing config, else the signal of its `search`, else the classes with "signal" in
    their names, else the first of two classes.

    Parameters
    ----------
    classes : sequence of str
        All classes.

    Raises
    ------
    NtuplemlError
        For a signal that is no class, naming the nearest.
    """
    for name in testing.signals:
        if name not in classes:
            raise NtuplemlError(f"{testing.where}: signals: no class '{name}'{did_you_mean(name, classes)}")
    if testing.signals:
        return list(testing.signals)
    if testing.search is not None and (signal := testing.search.signal) is not None and signal in classes:
        return [signal]
    named = [name for name in classes if _USUAL in name.lower()]
    return named or list(classes[:1] if len(classes) == 2 else [])
