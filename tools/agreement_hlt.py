"""The set `hlt` of `agreement.py`: what the HLT anomaly detection's own code gives for stored inputs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agreement_hlt_encoder import encoder
from agreement_hlt_l1 import l1_inputs
from agreement_hlt_layers import layers, scores
from agreement_hlt_rates import rates

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from quantities import Quantity

#: Subjects of the set; each makes quantities of the answers of a folder.
PARTS: tuple[Callable[[Path], Iterator[Quantity]], ...] = (layers, scores, l1_inputs, encoder, rates)


def hlt(folder: Path) -> Iterator[Quantity]:
    """All quantities of a folder."""
    for part in PARTS:
        yield from part(folder)
