#!/usr/bin/env python3
"""Images of the transverse energy in the calorimeter, with their truth: `etmiss_images.py FOLDER [SAMPLE.npz ...]`.

A sample holds images of a simulation, events × η × φ in GeV: `truth_nm_barcode` (without pile-up), `cluster`, `SK`,
`VorSK`, `CSSK`, and `process`, the number of each event's process.

Without a sample the events are of a toy: jets that recoil against invisible particles, pile-up, noise of the cells.
Pile-up is then removed as the usual methods do, on the grid: SoftKiller alone (arXiv:1407.0408), after the median
energy of the area is subtracted (`VorSK`), and after it is subtracted from the smallest cells first (`CSSK`).

Either way the files are `{process}.h5`, with the images in 50 × 64 bins of |η| < 2.5 and φ, the components of their
missing transverse energy (`SK_ex`, `SK_ey` …), event numbers and pile-up.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "python"))

import h5py
import numpy as np

from ntupleml.atomic import replace_file
from ntupleml.errors import NtuplemlError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    Numbers = NDArray[np.float64]
    Images = dict[str, NDArray[np.float32]]

ETA_BINS, PHI_BINS, LARGEST_ETA = 50, 64, 2.5
TRUTH = "truth_nm_barcode"
CHANNELS = ("cluster", "SK", "VorSK", "CSSK", "tracks_nm", "tracks_prime_nm")
#: Cells of a patch in η and φ, 0.5 × 0.8, in which pile-up is measured.
PATCH = (5, 8)
#: Constituents of a jet, particles of a pile-up vertex within the grid, mean energy of these (GeV), noise of a cell.
CONSTITUENTS, PER_VERTEX, PILE_UP_PT, NOISE = 14, 12, 0.6, 0.12
#: Shares of charged particles and of photons among a jet's constituents.
CHARGED, PHOTONS = 0.6, 0.25
#: Resolution of the energy (GeV): stochastic term of photons and of hadrons, and the constant term of both.
OF_PHOTONS, OF_HADRONS, CONSTANT = 0.1, 0.5, 0.03
EVENTS_AT_A_TIME = 500


class Process(NamedTuple):
    """How hard the invisible particles and the jets of a process are, in GeV."""

    #: Mean transverse momentum of what is invisible; 0 for none.
    invisible: float
    #: Mean number of jets beside the two that balance the event, and their mean transverse momentum.
    more_jets: float
    jet_pt: float
    number: int


PROCESSES = {
    "znunu": Process(45, 0.8, 20, 0),
    "ttbar": Process(35, 3.0, 35, 1),
    "dijet": Process(0, 0.6, 20, 2),
}


def toy_images(
    process: Process, number: int, random: np.random.Generator
) -> tuple[Images, dict[str, NDArray[np.generic]]]:
    """Images of some events, and numbers of the events."""
    owners, pt, eta, phi, invisible = _hard_particles(process, number, random)
    truth = _filled(number, owners, pt, eta, phi)
    kind = random.random(len(pt))
    charged, photon = kind < CHARGED, kind > 1 - PHOTONS
    response = _responses(pt * np.cosh(eta), photon, random)
    pile_up = random.integers(15, 56, number)
    vertices = np.repeat(np.arange(number), random.poisson(PER_VERTEX * pile_up))
    soft_pt = random.exponential(PILE_UP_PT, len(vertices))
    soft_eta = random.uniform(-LARGEST_ETA, LARGEST_ETA, len(vertices))
    soft_phi = random.uniform(-np.pi, np.pi, len(vertices))
    soft = _filled(number, vertices, soft_pt, soft_eta, soft_phi)
    noise = random.normal(0, NOISE, truth.shape).astype(np.float32)
    hard = _filled(number, owners, pt * response, eta, phi)
    cells = (hard + soft + np.where(noise > 2 * NOISE, noise, 0)).clip(0)
    stray = random.random(len(vertices)) < 0.02
    tracks = _filled(number, owners[charged], pt[charged], eta[charged], phi[charged])
    strays = _filled(number, vertices[stray], soft_pt[stray], soft_eta[stray], soft_phi[stray])
    images = {
        TRUTH: truth,
        "cluster": cells,
        "SK": softkiller(cells),
        "VorSK": softkiller(without_median(cells)),
        "CSSK": softkiller(without_smallest(cells)),
        "tracks_nm": tracks,
        "tracks_prime_nm": (tracks + strays),
    }
    return images, {"mu": pile_up.astype(np.float32), "invisible_px": invisible[0], "invisible_py": invisible[1]}


def _responses(energy: Numbers, photon: NDArray[np.bool_], random: np.random.Generator) -> Numbers:
    """What the calorimeter measures of 1 GeV of each particle."""
    stochastic = np.where(photon, OF_PHOTONS, OF_HADRONS) / np.sqrt(np.maximum(energy, 0.3))
    return random.normal(1, np.hypot(stochastic, CONSTANT)).clip(0)


def _hard_particles(
    process: Process, number: int, random: np.random.Generator
) -> tuple[NDArray[np.int64], Numbers, Numbers, Numbers, Numbers]:
    """Visible particles: event, pT, η, φ; and the momentum of the invisible ones, shape (2, n_events)."""
    size = random.gamma(1.5, process.invisible / 1.5, number) if process.invisible else np.zeros(number)
    direction = random.uniform(-np.pi, np.pi, number)
    invisible = size * np.array([np.cos(direction), np.sin(direction)])
    more = np.repeat(np.arange(number), random.poisson(process.more_jets, number))
    jet_pt, jet_phi = 15 + random.exponential(process.jet_pt, len(more)), random.uniform(-np.pi, np.pi, len(more))
    sums = np.array([np.bincount(more, jet_pt * turn(jet_phi), number) for turn in (np.cos, np.sin)])
    # two jets that balance all others and what is invisible
    first_pt, first_phi = 15 + random.exponential(process.jet_pt, number), random.uniform(-np.pi, np.pi, number)
    first = first_pt * np.array([np.cos(first_phi), np.sin(first_phi)])
    last = -(invisible + sums + first)
    jets_of = np.concatenate([more, np.arange(number), np.arange(number)])
    jet_pt = np.concatenate([jet_pt, first_pt, np.hypot(*last)])
    jet_phi = np.concatenate([jet_phi, first_phi, np.arctan2(last[1], last[0])])
    jet_eta = random.uniform(-2.1, 2.1, len(jet_pt))
    shares = random.dirichlet(np.full(CONSTITUENTS, 0.6), len(jet_pt))
    width = np.minimum(0.35, 4 / np.maximum(jet_pt[:, np.newaxis] * shares, 4))
    eta = np.clip(jet_eta[:, np.newaxis] + random.normal(0, 0.12, shares.shape) * width / 0.35, -2.49, 2.49)
    phi = jet_phi[:, np.newaxis] + random.normal(0, 0.12, shares.shape) * width / 0.35
    pt = jet_pt[:, np.newaxis] * shares
    return np.repeat(jets_of, CONSTITUENTS), pt.ravel(), eta.ravel(), phi.ravel(), invisible


def _filled(number: int, owners: NDArray[np.int64], pt: Numbers, eta: Numbers, phi: Numbers) -> NDArray[np.float32]:
    """Sums of pT per cell, shape (n_events, η, φ)."""
    row = np.floor((eta + LARGEST_ETA) * (ETA_BINS / (2 * LARGEST_ETA))).astype(np.int64).clip(0, ETA_BINS - 1)
    column = np.floor((phi + np.pi) * (PHI_BINS / (2 * np.pi))).astype(np.int64) % PHI_BINS
    cells = number * ETA_BINS * PHI_BINS
    found = np.bincount((owners * ETA_BINS + row) * PHI_BINS + column, pt, cells)
    return found.reshape(number, ETA_BINS, PHI_BINS).astype(np.float32)


def _in_patches(images: NDArray[np.float32]) -> NDArray[np.float32]:
    """Cells by patch, shape (n_events, patches, cells of a patch)."""
    rows, columns = ETA_BINS // PATCH[0], PHI_BINS // PATCH[1]
    split = images.reshape(-1, rows, PATCH[0], columns, PATCH[1]).transpose(0, 1, 3, 2, 4)
    return split.reshape(len(images), rows * columns, -1)


def _from_patches(patches: NDArray[np.float32]) -> NDArray[np.float32]:
    rows, columns = ETA_BINS // PATCH[0], PHI_BINS // PATCH[1]
    split = patches.reshape(-1, rows, columns, *PATCH).transpose(0, 1, 3, 2, 4)
    return split.reshape(len(patches), ETA_BINS, PHI_BINS)


def softkiller(images: NDArray[np.float32]) -> NDArray[np.float32]:
    """Cells above the median over the patches of their largest cell; the others are 0."""
    cut = np.median(_in_patches(images).max(axis=2), axis=1)
    return np.where(images > cut[:, np.newaxis, np.newaxis], images, np.float32(0))


def _median_per_cell(images: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.median(_in_patches(images).mean(axis=2), axis=1)


def without_median(images: NDArray[np.float32]) -> NDArray[np.float32]:
    """Cells less the median energy of a cell, not below 0."""
    return (images - _median_per_cell(images)[:, np.newaxis, np.newaxis]).clip(0)


def without_smallest(images: NDArray[np.float32]) -> NDArray[np.float32]:
    """Cells of which each patch loses the median energy of its area, the smallest cells first."""
    patches = _in_patches(images)
    order = np.argsort(patches, axis=2)
    ascending = np.take_along_axis(patches, order, axis=2)
    budget = (_median_per_cell(images) * patches.shape[2])[:, np.newaxis, np.newaxis]
    left = (np.cumsum(ascending, axis=2) - budget).clip(0, ascending)
    result = np.empty_like(patches)
    np.put_along_axis(result, order, left, axis=2)
    return _from_patches(result)


def parts_of_toy(name: str, number: int, seed: int) -> Iterator[tuple[Images, dict[str, NDArray[np.generic]]]]:
    """Events of a process, some at a time."""
    process = PROCESSES[name]
    for start in range(0, number, EVENTS_AT_A_TIME):
        random = np.random.default_rng([seed, process.number, start])
        yield toy_images(process, min(EVENTS_AT_A_TIME, number - start), random)


def parts_of_samples(paths: Sequence[Path], name: str) -> Iterator[tuple[Images, dict[str, NDArray[np.generic]]]]:
    """Events of a process in some samples."""
    for path in paths:
        with np.load(path) as sample:
            chosen = sample["process"] == PROCESSES[name].number
            images = {key: sample[key][chosen].astype(np.float32) for key in (TRUTH, *CHANNELS) if key in sample}
        yield images, {"mu": np.full(chosen.sum(), np.nan, np.float32)}


def _missing_energies(images: Images) -> dict[str, NDArray[np.float32]]:
    """Components of the missing transverse energy of each image, as `{image}_ex` and `{image}_ey`."""
    centres = (np.arange(PHI_BINS) + 0.5) * (2 * np.pi / PHI_BINS) - np.pi
    sums = {name: image.sum(axis=1, dtype=np.float64) for name, image in images.items()}
    turns = {"ex": -np.cos(centres), "ey": -np.sin(centres)}
    return {
        f"{name}_{key}": (energies @ turn).astype(np.float32)
        for name, energies in sums.items()
        for key, turn in turns.items()
    }


def write(path: Path, parts: Iterator[tuple[Images, dict[str, NDArray[np.generic]]]], first_event: int) -> int:
    """Write the events of a process; their number."""
    number = 0
    with replace_file(path, overwrite=True) as temporary, h5py.File(temporary, "w") as file:
        for images, numbers in parts:
            columns = {**images, **numbers, **_missing_energies(images)}
            some = len(images[TRUTH])
            columns["event"] = np.arange(first_event + number, first_event + number + some)
            for name, values in columns.items():
                if name not in file:
                    file.create_dataset(
                        name,
                        (0, *values.shape[1:]),
                        values.dtype,
                        maxshape=(None, *values.shape[1:]),
                        chunks=(16 if values.ndim > 1 else 4096, *values.shape[1:]),
                        compression="gzip",
                        compression_opts=1,
                        shuffle=True,
                    )
                file[name].resize(number + some, axis=0)
                file[name][number:] = values
            number += some
        file["entries"] = np.array([number])
    return number


def main() -> int:
    """Write the files of all processes."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("samples", type=Path, nargs="*", metavar="SAMPLE.npz")
    parser.add_argument("--events", type=int, default=2000, help="of each process of the toy (default: 2000)")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    first_event = 0
    for name in PROCESSES:
        parts = (
            parts_of_samples(arguments.samples, name)
            if arguments.samples
            else parts_of_toy(name, arguments.events, arguments.seed)
        )
        try:
            number = write(arguments.folder / f"{name}.h5", parts, first_event)
        except (NtuplemlError, OSError) as error:
            print(f"etmiss_images.py: {error}", file=sys.stderr)
            return 2
        print(f"{arguments.folder / name}.h5: {number} events")
        first_event += number
    return 0


if __name__ == "__main__":
    sys.exit(main())
