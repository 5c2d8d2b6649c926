"""The toy analysis: three processes of correlated Gaussians in two variables, and a data-like mixture of them."""

from __future__ import annotations

import logging
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ntupleml.errors import NtuplemlError
from ntupleml.ntuples import new_tree_file

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.random import Generator
    from numpy.typing import NDArray

log = logging.getLogger(__name__)

#: Events drawn at a time, which bounds the memory.
_EVENTS_PER_CHUNK = 100_000
_BRANCHES: dict[str, np.dtype[Any]] = {
    "x": np.dtype("f4"),
    "y": np.dtype("f4"),
    "weights": np.dtype("f4"),
    "event": np.dtype("i8"),
}


class ToyProcess(NamedTuple):
    """A two-dimensional Gaussian with unit variances."""

    name: str
    #: Mean of x and of y.
    mean: float
    correlation: float
    #: Share of the data; the weights of the simulated events add up to it.
    share: float


TOY_PROCESSES = (
    ToyProcess("signal", mean=0.0, correlation=0.0, share=0.1),
    ToyProcess("background_1", mean=0.5, correlation=-0.7, share=0.6),
    ToyProcess("background_2", mean=-0.5, correlation=0.7, share=0.3),
)


def write_example_dataset(
    output_path: str | Path, num_events: int = 10_000, seed: int = 1234, *, overwrite: bool = False
) -> list[Path]:
    """Write the ntuples of the toy analysis.

    Four files `example_{signal,background_1,background_2,data}.root` with a tree `ntuple` of the branches x, y,
    weights (float) and event (64-bit integer). Simulated events of a process are numbered from 0 and have equal
    weights that add up to its share; data events have weight 1, come in the order of the processes and are numbered
    through. Each file has random numbers of its own, so the same seed gives the same events, and more of them
    continue the same sequence in the simulated files.

    Parameters
    ----------
    output_path : path
        Folder to write to; it is made if need be.
    num_events : int, default: 10000
        Simulated events per process, and (up to rounding of the shares) data events in all.
    seed : int, default: 1234
        At least 0.

    Returns
    -------
    list of Path
        The files, the data last.

    Raises
    ------
    NtuplemlError
        If a number is out of range, a file exists and must not be overwritten, or cannot be written.
    """
    if num_events < 1:
        raise NtuplemlError(f"{num_events} events per process: at least 1 is needed")
    if seed < 0:
        raise NtuplemlError(f"seed {seed}: a number of at least 0 is needed")
    names = [process.name for process in TOY_PROCESSES]
    paths = [Path(output_path) / f"example_{name}.root" for name in [*names, "data"]]
    for path in paths:
        if path.exists() and not overwrite:
            raise NtuplemlError(f"{path}: exists already; give --overwrite to replace it")
    sequences = np.random.SeedSequence(seed).spawn(len(paths))
    generators = [np.random.default_rng(sequence) for sequence in sequences]
    for process, path, generator in zip(TOY_PROCESSES, paths, generators, strict=False):
        _write(path, _events([process], [num_events], process.share / num_events, generator), overwrite)
    counts = [math.floor(process.share * num_events + 0.5) for process in TOY_PROCESSES]
    _write(paths[-1], _events(TOY_PROCESSES, counts, 1.0, generators[-1]), overwrite)
    return paths


def _events(
    processes: Sequence[ToyProcess], counts: Sequence[int], weight: float, generator: Generator
) -> Iterator[dict[str, NDArray[Any]]]:
    """Events of several processes after one another, numbered through, in chunks."""
    first = 0
    for process, count in zip(processes, counts, strict=True):
        for start in range(0, count, _EVENTS_PER_CHUNK):
            number = min(_EVENTS_PER_CHUNK, count - start)
            a, b = generator.standard_normal((number, 2)).T
            columns = {
                "x": process.mean + a,
                "y": process.mean + process.correlation * a + math.sqrt(1 - process.correlation**2) * b,
                "weights": np.full(number, weight),
                "event": np.arange(first, first + number),
            }
            yield {name: column.astype(_BRANCHES[name]) for name, column in columns.items()}
            first += number


def _write(path: Path, chunks: Iterator[dict[str, NDArray[Any]]], overwrite: bool) -> None:
    with new_tree_file(path, overwrite=overwrite) as file:
        tree = file.tree("ntuple", _BRANCHES)
        for chunk in chunks:
            tree.extend(chunk)
    log.info("%s: %d events", path, tree.num_entries)
