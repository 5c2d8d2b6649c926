"""A toy of collisions as a trigger sees them: particles of four processes, a detector, two levels of a trigger.

The background is of enhanced bias: hard collisions are more frequent than in the beam, and weights undo it. The weights
of all events stand for the rate of collisions. Energies and momenta are in GeV.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from toy_particles import decayed, directions, particle

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Numbers = NDArray[np.float64]

#: What a particle is to the detector.
JET, BOTTOM, ELECTRON, MUON, PHOTON, TAU, INVISIBLE = range(7)
HIGGS, BOTTOM_MASS, TAU_MASS, LIGHT = 125.0, 4.8, 1.78, 40.0
#: Powers of the spectrum of hard collisions, in the beam and of enhanced bias; the softest and the hardest.
SPECTRUM, BIASED, SOFTEST, HARDEST = 5.4, 2.0, 10.0, 1500.0
#: Share of W bosons: in the beam, and of enhanced bias.
BOSONS, BIASED_BOSONS = 2.0e-5, 0.03
#: Runs; in the last one no algorithm of the first level selects.
RUNS = (473255, 474991, 475321, 475341)


class Particles(NamedTuple):
    """Particles of all events, in places: kind, pT, η and φ, each of shape (n_events, n_places); pT 0 is none."""

    kind: NDArray[np.int8]
    pt: Numbers
    eta: Numbers
    phi: Numbers


class Events(NamedTuple):
    """What a trigger has of events: objects (n_events, slots, 3) of pT, η, φ, zero padded; numbers of the events."""

    #: Of the high-level trigger: jets, electrons, muons, photons.
    objects: dict[str, Numbers]
    #: Of the first level: jets, taus, muons.
    l1_objects: dict[str, Numbers]
    #: (n_events, 3), η is 0.
    met: Numbers
    l1_met: Numbers
    pileup: Numbers
    weights: Numbers
    l1: NDArray[np.bool_]
    hlt: NDArray[np.bool_]


def events(process: str, number: int, random: np.random.Generator) -> Events:
    """Events of a process of `PROCESSES`, before any selection."""
    pileup = np.clip(random.normal(45, 9, number), 10, 75).round(1)
    hard, weights = PROCESSES[process](number, random)
    particles = _joined([hard, _pileup_jets(pileup, random)])
    noise = random.normal(0, 1, (number, 2)) * 1.8 * np.sqrt(pileup)[:, np.newaxis]
    objects, met = _reconstructed(particles, noise, random)
    l1_objects, l1_met = _first_level(particles, met, random)
    l1 = _passes_first_level(l1_objects, l1_met)
    return Events(objects, l1_objects, met, l1_met, pileup, weights, l1, l1 & _passes_high_level(objects, met))


# What collides ------------------------------------------------------------------------------------------------------


def _enhanced_bias(number: int, random: np.random.Generator) -> tuple[Particles, Numbers]:
    """Two jets and radiation, with a W boson in a few of the events; weights."""
    boson = random.random(number) < BIASED_BOSONS
    hardness = SOFTEST * random.random(number) ** (-1 / (BIASED - 1))
    hardness = np.where(boson, 8.0 + random.gamma(1.2, 14.0, number), np.minimum(hardness, HARDEST))
    weights = (SPECTRUM - 1) / (BIASED - 1) * (hardness / SOFTEST) ** (BIASED - SPECTRUM) / (1 - BIASED_BOSONS)
    weights[boson] = BOSONS / BIASED_BOSONS
    first = particle(0.0, hardness, random)
    second = particle(0.0, hardness * random.uniform(0.7, 1.3, number), random)
    turned = random.normal(np.pi, 0.25, number) + np.arctan2(first[:, 1], first[:, 0])
    second[:, :2] = np.hypot(second[:, 0], second[:, 1])[:, np.newaxis] * np.stack([np.cos(turned), np.sin(turned)], 1)
    flavour = np.where(random.random(number) < 0.06, BOTTOM, JET)
    hard = [_placed(first, flavour), _placed(np.where(boson[:, np.newaxis], 0.0, second), flavour)]
    hard += [_radiated(hardness, random), *_leptons_of_bosons(boson, first, random)]
    return _joined(hard), weights


def _radiated(hardness: Numbers, random: np.random.Generator, mean: float = 0.9) -> Particles:
    """Up to five jets, softer than the hard ones."""
    pt = hardness[:, np.newaxis] * random.beta(0.9, 2.6, (len(hardness), 5))
    there = np.arange(5) < random.poisson(mean, len(hardness))[:, np.newaxis]
    eta, phi = random.normal(0, 1.5, pt.shape), random.uniform(-np.pi, np.pi, pt.shape)
    return Particles(np.full(pt.shape, JET, np.int8), np.where(there, pt, 0.0), eta, phi)


def _leptons_of_bosons(boson: NDArray[np.bool_], recoil: Numbers, random: np.random.Generator) -> list[Particles]:
    """Lepton and neutrino of W bosons, which balance a jet."""
    whole = particle(80.4, np.hypot(recoil[:, 0], recoil[:, 1]), random)
    whole[:, :2] = -recoil[:, :2]
    lepton, neutrino = (np.where(boson[:, np.newaxis], one, 0.0) for one in decayed(whole, 0.0, 0.0, random))
    kind = random.choice([ELECTRON, MUON, TAU], len(boson))
    return [*_visible(lepton, kind, random), _placed(neutrino, INVISIBLE)]


def _higgs_pair(number: int, random: np.random.Generator) -> tuple[Particles, Numbers]:
    """Two Higgs bosons back to back: bottom quarks and tau leptons."""
    first = particle(HIGGS, random.gamma(2.2, 60.0, number), random)
    second = particle(HIGGS, np.ones(number), random)
    second[:, :2] = -first[:, :2]
    second[:, 3] = np.sqrt(HIGGS**2 + np.sum(second[:, :3] ** 2, axis=1))
    parts = [_placed(one, BOTTOM) for one in decayed(first, BOTTOM_MASS, BOTTOM_MASS, random)]
    for tau in decayed(second, TAU_MASS, TAU_MASS, random):
        kind = random.choice([TAU, ELECTRON, MUON], number, p=[0.65, 0.175, 0.175])
        parts += _decayed_tau(tau, kind, random)
    return _joined([*parts, _radiated(np.full(number, 60.0), random)]), np.ones(number)


def _four_bottoms(number: int, random: np.random.Generator) -> tuple[Particles, Numbers]:
    """A Higgs boson that becomes two light particles, each of them two bottom quarks: four soft jets."""
    higgs = particle(HIGGS, random.gamma(2.0, 22.0, number), random)
    quarks = [
        quark
        for light in decayed(higgs, LIGHT, LIGHT, random)
        for quark in decayed(light, BOTTOM_MASS, BOTTOM_MASS, random)
    ]
    radiated = _radiated(np.hypot(higgs[:, 0], higgs[:, 1]), random, 1.5)
    return _joined([*(_placed(quark, BOTTOM) for quark in quarks), radiated]), np.ones(number)


def _dark_showers(number: int, random: np.random.Generator) -> tuple[Particles, Numbers]:
    """Two showers of a dark sector: many soft particles near to one another, some invisible, with muons and photons."""
    heavy = particle(450.0, random.gamma(2.0, 40.0, number), random)
    parts = []
    for quark in decayed(heavy, 0.0, 0.0, random):
        pt, eta, phi = (one[:, np.newaxis] for one in directions(quark))
        shares = random.dirichlet(np.full(7, 1.2), number)
        kinds = [JET, BOTTOM, ELECTRON, MUON, PHOTON, INVISIBLE]
        kind = random.choice(kinds, shares.shape, p=[0.4, 0.12, 0.04, 0.1, 0.09, 0.25])
        near = random.normal(0, 0.45, (2, *shares.shape))
        parts.append(Particles(kind.astype(np.int8), pt * shares, eta + near[0], phi + near[1]))
    return _joined([*parts, _radiated(np.full(number, 80.0), random)]), np.ones(number)


#: Processes by name.
PROCESSES: dict[str, Callable[[int, np.random.Generator], tuple[Particles, Numbers]]] = {
    "EB": _enhanced_bias,
    "HHbbtautau": _higgs_pair,
    "HtoAAto4b": _four_bottoms,
    "dark_showers": _dark_showers,
}


def _pileup_jets(pileup: Numbers, random: np.random.Generator) -> Particles:
    """Jets of other collisions."""
    number = random.poisson(0.015 * pileup)
    there = np.arange(4) < number[:, np.newaxis]
    pt = np.where(there, 15 + random.exponential(6.0, there.shape), 0.0)
    eta, phi = random.normal(0, 2.0, pt.shape), random.uniform(-np.pi, np.pi, pt.shape)
    return Particles(np.full(pt.shape, JET, np.int8), pt, eta, phi)


def _decayed_tau(tau: Numbers, kind: NDArray[np.int64], random: np.random.Generator) -> list[Particles]:
    """What is seen of a tau lepton, and its neutrinos."""
    seen = np.where(kind == TAU, random.beta(4.0, 2.6, len(tau)), random.beta(2.0, 3.0, len(tau)))[:, np.newaxis]
    return [_placed(tau * seen, kind), _placed(tau * (1 - seen), INVISIBLE)]


def _visible(lepton: Numbers, kind: NDArray[np.int64], random: np.random.Generator) -> list[Particles]:
    """Leptons as they are; of taus what is seen, and their neutrinos."""
    seen = np.where(kind == TAU, random.beta(4.0, 2.6, len(lepton)), 1.0)[:, np.newaxis]
    return [_placed(lepton * seen, kind), _placed(lepton * (1 - seen), INVISIBLE)]


def _placed(momenta: Numbers, kind: int | NDArray[np.int64]) -> Particles:
    """One particle per event."""
    pt, eta, phi = directions(momenta)
    kinds = np.broadcast_to(np.asarray(kind, np.int8), pt.shape)
    return Particles(*(one[:, np.newaxis] for one in (kinds, pt, eta, phi)))


def _joined(parts: list[Particles]) -> Particles:
    return Particles(*(np.concatenate(values, axis=1) for values in zip(*parts, strict=True)))


# What is seen of it --------------------------------------------------------------------------------------------------


def _reconstructed(
    particles: Particles, noise: Numbers, random: np.random.Generator
) -> tuple[dict[str, Numbers], Numbers]:
    """Objects of the high-level trigger, not yet told apart: an electron is a jet, too; missing momentum."""
    kind, pt = particles.kind, particles.pt
    calorimeter = np.isin(kind, (JET, BOTTOM, ELECTRON, PHOTON, TAU))
    jets = _smeared(particles, calorimeter, 0.9 / np.sqrt(np.maximum(pt, 1.0)) + 0.04, random)
    inside = np.isin(kind, (BOTTOM,)) & (random.random(pt.shape) < 0.18)  # muons of bottom quarks
    soft = random.beta(1.3, 4.0, pt.shape)
    fakes = {what: (kind <= BOTTOM) & (random.random(pt.shape) < share) for what, share in FAKES.items()}
    electron = (kind == ELECTRON) & (random.random(pt.shape) < 0.85)
    photon = ((kind == PHOTON) & (random.random(pt.shape) < 0.9)) | (electron & (random.random(pt.shape) < 0.6))
    muon = (kind == MUON) & (random.random(pt.shape) < 0.9)
    scale = random.uniform(0.3, 0.8, pt.shape)
    changed = {
        "electrons": np.where(fakes["electrons"], scale, 1.0),
        "muons": np.where(inside, soft, 1.0),
        "photons": np.where(fakes["photons"], scale, 1.0),
    }
    chosen = {"electrons": electron | fakes["electrons"], "muons": muon | inside, "photons": photon | fakes["photons"]}
    found = {"jets": _leading(jets, 20.0, 3.2, 10)}
    for what, floor, width in (("electrons", 8.0, 0.03), ("muons", 4.0, 0.02), ("photons", 10.0, 0.03)):
        one = particles._replace(pt=pt * changed[what])
        found[what] = _leading(_smeared(one, chosen[what], width, random), floor, 2.5, 3)
    seen = _smeared(particles, kind == MUON, 0.02, random)
    transverse = -sum(np.stack([one[0] * np.cos(one[2]), one[0] * np.sin(one[2])]).sum(axis=2) for one in (jets, seen))
    return found, _as_met(np.asarray(transverse).T + noise)


#: Share of jets that look like something else.
FAKES = {"electrons": 0.008, "photons": 0.03}


def _first_level(particles: Particles, met: Numbers, random: np.random.Generator) -> tuple[dict[str, Numbers], Numbers]:
    """Objects of the first level: coarse, and fewer of them."""
    kind, pt = particles.kind, particles.pt
    calorimeter = np.isin(kind, (JET, BOTTOM, ELECTRON, PHOTON, TAU))
    narrow = np.isin(kind, (ELECTRON, PHOTON, TAU))
    core = np.where(narrow, random.uniform(0.85, 1.0, pt.shape), random.beta(2.0, 3.0, pt.shape))
    muon = ((kind == MUON) & (random.random(pt.shape) < 0.85)) | ((kind == BOTTOM) & (random.random(pt.shape) < 0.12))
    soft = np.where(kind == BOTTOM, random.beta(1.3, 4.0, pt.shape), 1.0)
    muons = _leading(_smeared(particles._replace(pt=pt * soft), muon, 0.15, random), 3.0, 2.4, 4)
    # a muon has the largest threshold that it passes
    step = MUON_STEPS[np.maximum(np.searchsorted(MUON_STEPS, muons[..., 0], side="right") - 1, 0)]
    muons[..., 0] = np.where(muons[..., 0] > 0, step, 0.0)
    found = {
        "jets": _leading(_smeared(particles, calorimeter, 0.22, random, 0.06), 15.0, 4.5, 6),
        "taus": _leading(_smeared(particles._replace(pt=pt * core), calorimeter, 0.12, random, 0.03), 8.0, 2.5, 4),
        "muons": muons,
    }
    components = met[:, :1] * np.stack([np.cos(met[:, 2]), np.sin(met[:, 2])], axis=1)
    l1_met = _as_met(0.8 * components + random.normal(0, 8.0, components.shape))
    for values in (*found.values(), l1_met):
        values[..., 0] = np.minimum(values[..., 0], SATURATED)
    return found, l1_met


#: Largest pT that the first level has, in GeV.
SATURATED = 1023.0
MUON_STEPS = np.array([3.0, 4, 5, 6, 8, 9, 10, 12, 14, 15, 18, 20])


def _smeared(
    particles: Particles,
    chosen: NDArray[np.bool_],
    width: float | Numbers,
    random: np.random.Generator,
    angle: float = 0.02,
) -> tuple[Numbers, Numbers, Numbers]:
    """pT, η and φ with a relative resolution of the pT, and that of the angles."""
    shape = particles.pt.shape
    pt = particles.pt * np.maximum(1 + width * random.normal(0, 1, shape), 0.0)
    eta, phi = (one + random.normal(0, angle, shape) for one in (particles.eta, particles.phi))
    return np.where(chosen, pt, 0.0), eta, np.asarray((phi + np.pi) % (2 * np.pi) - np.pi)


def _leading(found: tuple[Numbers, Numbers, Numbers], floor: float, largest_eta: float, slots: int) -> Numbers:
    """The first in order of pT, those below the floor or outside left out; zeros behind them."""
    pt, eta, _ = found
    kept = np.where((pt >= floor) & (np.abs(eta) < largest_eta), pt, 0.0)
    order = np.argsort(-kept, axis=1, kind="stable")[:, :slots]
    there = np.take_along_axis(kept, order, axis=1) > 0
    return np.stack([np.where(there, np.take_along_axis(one, order, axis=1), 0.0) for one in found], axis=2)


def _as_met(components: Numbers) -> Numbers:
    size, phi = np.hypot(*components.T), np.arctan2(components[:, 1], components[:, 0])
    return np.stack([size, np.zeros(len(size)), phi], axis=1)


# Which of it is kept -------------------------------------------------------------------------------------------------


def _passes_first_level(objects: dict[str, Numbers], met: Numbers) -> NDArray[np.bool_]:
    jets, taus, muons = (objects[name][..., 0] for name in ("jets", "taus", "muons"))
    return np.asarray(
        (jets[:, 0] > 100) | (jets[:, 3] > 25) | (taus[:, 0] > 45) | (taus[:, 1] > 20) | (muons[:, 0] >= 12)
        | (muons[:, 1] >= 3) | (met[:, 0] > 75)
    )  # fmt: skip


def _passes_high_level(objects: dict[str, Numbers], met: Numbers) -> NDArray[np.bool_]:
    jets, electrons, muons, photons = (objects[name][..., 0] for name in ("jets", "electrons", "muons", "photons"))
    return np.asarray(
        (jets[:, 0] > 360) | (jets[:, 3] > 70) | (electrons[:, 0] > 26) | (electrons[:, 1] > 15) | (muons[:, 0] > 22)
        | (muons[:, 1] > 10) | (photons[:, 0] > 100) | (photons[:, 1] > 30) | (met[:, 0] > 120)
    )  # fmt: skip
