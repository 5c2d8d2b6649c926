"""Histograms for fits with other weights and other events: `{class}_{source}Up` and `…Down`, as Combine has them."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from ntupleml.errors import NtuplemlError
from ntupleml.metrics.histograms import Histogram
from ntupleml.testing.systematics import shifted_reading, shifted_sample

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ntupleml.config import TestingConfig
    from ntupleml.config.systematics import SystematicConfig
    from ntupleml.testing.preparation import Preparation

#: Histograms of one process by the source of the variation: up, and down.
Variations = dict[str, tuple[Histogram, Histogram]]


def shifted_weights(testing: TestingConfig) -> dict[str, str]:
    """Formula of the factor of each variation by weights, by the name that its histograms end in."""
    return {
        f"{source}{direction.title()}": shift.weight
        for source, config in _named(testing)
        for direction, shift in config.shifts.items()
        if shift.weight is not None
    }


def shifted_preparations(found: Preparation) -> Iterator[tuple[str, Preparation]]:
    """The same with the events of each variation of events, by the name that its histograms end in."""
    for source, config in _named(found.testing):
        for direction, shift in config.shifts.items():
            if shift.weight is None:
                where = f"{found.testing_path}: systematics: {source}: {direction}"
                samples = [shifted_sample(sample, shift, where) for sample in found.samples]
                yield (
                    f"{source}{direction.title()}",
                    replace(found, samples=samples, reading=shifted_reading(found.reading, shift)),
                )


def _named(testing: TestingConfig) -> Iterator[tuple[str, SystematicConfig]]:
    for source, config in testing.systematics.items():
        if not re.fullmatch(r"\w+", source):
            raise NtuplemlError(
                f"{testing.where}: systematics: '{source}' cannot be a part of the name of a histogram; take letters, "
                "digits and _"
            )
        yield source, config


def pairs_of(nominal: Histogram, shifted: Mapping[str, Histogram], testing: TestingConfig) -> Variations:
    """Up and down of each source; where there is no downward variation, the upward one is mirrored.

    Parameters
    ----------
    shifted : mapping of str to Histogram
        By source and direction, e.g. ``pileupUp``.
    """
    found = {}
    for source in testing.systematics:
        up = shifted[f"{source}Up"]
        found[source] = up, shifted.get(f"{source}Down") or _mirrored(nominal, up)
    return found


def _mirrored(nominal: Histogram, up: Histogram) -> Histogram:
    def mirror(one: float, other: float) -> float:
        return 2 * one - other

    return Histogram(
        nominal.edges,
        2 * nominal.sums - up.sums,
        up.squares,
        (mirror(nominal.underflow[0], up.underflow[0]), up.underflow[1]),
        (mirror(nominal.overflow[0], up.overflow[0]), up.overflow[1]),
    )
