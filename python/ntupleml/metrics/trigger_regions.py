"""Regions A to G of events of two trigger levels, by what anomaly triggers and all others accept."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from ntupleml.metrics.measurement import Measurement

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

Scheme = Literal["l1Seeded", "l1All"]
#: What the anomaly trigger of the HLT runs on: events of that of L1 alone, or all that L1 accepts.
SCHEMES: tuple[Scheme, ...] = ("l1Seeded", "l1All")


class TriggerBits(NamedTuple):
    """What triggers say of events; arrays of bool, shape (n_events,)."""

    #: Whether the other triggers of L1 and of the HLT accept the event.
    l1: NDArray[np.bool_]
    hlt: NDArray[np.bool_]
    #: Whether the anomaly scores of L1 and of the HLT are above their thresholds.
    l1_anomalous: NDArray[np.bool_]
    hlt_anomalous: NDArray[np.bool_]

    def seeds(self, scheme: Scheme) -> NDArray[np.bool_]:
        """Events that the anomaly trigger of the HLT runs on."""
        return self.l1_anomalous if scheme == "l1Seeded" else self.l1_anomalous | self.l1

    def chosen(self, events: NDArray[Any]) -> TriggerBits:
        """Those of some events, by a mask or their positions."""
        return TriggerBits(*(bits[events] for bits in self))


class Regions(NamedTuple):
    """Events in each region; arrays of bool, shape (n_events,). Regions overlap."""

    #: All.
    A: NDArray[np.bool_]
    #: Accepted by L1: by the anomaly trigger alone, by both, by the others alone.
    B: NDArray[np.bool_]
    C: NDArray[np.bool_]
    D: NDArray[np.bool_]
    #: Accepted by the HLT: by the anomaly trigger alone, by both, by the others alone.
    E: NDArray[np.bool_]
    F: NDArray[np.bool_]
    G: NDArray[np.bool_]

    def counted(self, scheme: Scheme) -> NDArray[np.bool_]:
        """Events that the raw efficiency is of: B and C, for l1All D, too."""
        return self.B | self.C if scheme == "l1Seeded" else self.B | self.C | self.D

    @property
    def accepted(self) -> NDArray[np.bool_]:
        """Events that the anomaly trigger of the HLT accepts."""
        return self.E | self.F


def trigger_regions(bits: TriggerBits, scheme: Scheme) -> Regions:
    """Regions of events: E, F and G are all that the HLT accepts of what L1 accepts.

    Notes
    -----
    With s the seeds of the scheme, l and h the other triggers, a and b the anomaly triggers of L1 and HLT: B = a ¬l,
    C = a l, D = l ¬a; E = s b ¬h, F = s b h, G = (l or a) h ¬F.

    Examples
    --------
    >>> bits = TriggerBits(*(np.array([one]) for one in (True, True, False, True)))
    >>> [name for name, inside in trigger_regions(bits, "l1Seeded")._asdict().items() if inside[0]]
    ['A', 'D', 'G']
    """
    seeds = bits.seeds(scheme) & bits.hlt_anomalous
    both = seeds & bits.hlt
    return Regions(
        np.ones(len(bits.l1), np.bool_),
        bits.l1_anomalous & ~bits.l1,
        bits.l1_anomalous & bits.l1,
        bits.l1 & ~bits.l1_anomalous,
        seeds & ~bits.hlt,
        both,
        (bits.l1 | bits.l1_anomalous) & bits.hlt & ~both,
    )


def regions_of_original(bits: TriggerBits, scheme: Scheme) -> Regions:
    """Regions as the HLT anomaly detection's own code has them: G = (l or a) h ¬b.

    For l1Seeded, events of `l h b ¬a` are then in none of E, F and G, though the HLT accepts them.
    """
    regions = trigger_regions(bits, scheme)
    return regions._replace(G=(bits.l1 | bits.l1_anomalous) & bits.hlt & ~bits.hlt_anomalous)


def region_sums(regions: Mapping[str, NDArray[np.bool_]], weights: NDArray[Any]) -> dict[str, Measurement]:
    """Sum of weights Σw of each region, with its uncertainty √Σw².

    Parameters
    ----------
    regions : mapping of str to array of bool, shape (n_events,)
    weights : array, shape (n_events,)
        Event weights; negative ones count as they are.
    """
    weights = np.asarray(weights, dtype=np.float64)
    squares = np.square(weights)
    return {
        name: Measurement(float(weights[inside].sum()), float(np.sqrt(squares[inside].sum())))
        for name, inside in regions.items()
    }
