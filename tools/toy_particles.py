"""Particles of toys: four-momenta drawn around the beam, isotropic decays, and the angles of what comes out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Numbers = NDArray[np.float64]


def particle(mass: float, pt: Numbers, random: np.random.Generator) -> Numbers:
    """Four-momenta (px, py, pz, E) in any direction around the beam, at central rapidities."""
    phi, rapidity = random.uniform(-np.pi, np.pi, len(pt)), random.normal(0, 1.0, len(pt))
    size = np.hypot(mass, pt)
    return np.stack([pt * np.cos(phi), pt * np.sin(phi), size * np.sinh(rapidity), size * np.cosh(rapidity)], axis=1)


def decayed(parent: Numbers, mass: float, other: float, random: np.random.Generator) -> tuple[Numbers, Numbers]:
    """The two particles of isotropic decays."""
    parent_mass = np.sqrt(parent[:, 3] ** 2 - np.sum(parent[:, :3] ** 2, axis=1))
    energy = (parent_mass**2 + mass**2 - other**2) / (2 * parent_mass)
    size = np.sqrt(np.maximum(energy**2 - mass**2, 0.0))
    cosine, phi = random.uniform(-1, 1, len(parent)), random.uniform(-np.pi, np.pi, len(parent))
    sine = np.sqrt(1 - cosine**2)
    at_rest = size[:, np.newaxis] * np.stack([sine * np.cos(phi), sine * np.sin(phi), cosine], axis=1)
    boost = parent[:, :3] / parent_mass[:, np.newaxis]
    along = np.sum(boost * at_rest, axis=1)
    gamma = parent[:, 3] / parent_mass
    momentum = at_rest + boost * (along / (gamma + 1) + energy)[:, np.newaxis]
    first = np.concatenate([momentum, (gamma * energy + along)[:, np.newaxis]], axis=1)
    return first, parent - first


def directions(momenta: Numbers) -> tuple[Numbers, Numbers, Numbers]:
    """pT, η and φ; η is 0 where there is nothing."""
    pt = np.hypot(momenta[..., 0], momenta[..., 1])
    eta = np.arcsinh(np.divide(momenta[..., 2], pt, out=np.zeros_like(pt), where=pt > 0))
    return pt, eta, np.arctan2(momenta[..., 1], momenta[..., 0])
