"""The set `calratio` of `agreement.py`: what CalRatioTrainer's own code gives for stored inputs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agreement_calratio_functions import functions
from agreement_calratio_network import network
from agreement_calratio_tables import built, converted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from quantities import Quantity

#: Subjects of the set; each makes quantities of the answers of a folder.
PARTS: tuple[Callable[[Path], Iterator[Quantity]], ...] = (built, converted, functions, network)


def calratio(folder: Path) -> Iterator[Quantity]:
    """All quantities of a folder."""
    for part in PARTS:
        yield from part(folder)
