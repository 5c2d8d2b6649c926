#!/usr/bin/env python3
"""CPU time of the features of all pairs of 12 objects, as a table."""

from __future__ import annotations

import argparse
import time

import numpy as np

from ntupleml.features.pairs import pair_table

NAMES = ("delta_eta", "delta_phi", "delta_r", "mass", "kt", "z", "log_delta_r", "log_mass", "log_kt", "log_z")


def main() -> None:
    """Print the time for events that are full and for all radii."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=100_000)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    random = np.random.default_rng(1)
    shape = (arguments.events, 12)
    vectors = np.stack(
        [
            random.exponential(50, shape),
            random.normal(0, 1.5, shape),
            random.uniform(-np.pi, np.pi, shape),
            random.exponential(5, shape),
        ],
        axis=-1,
    )
    mask = np.ones(shape, bool)
    for dtype in (np.float32, np.float64):
        for radius in (None, 3.5):
            times = []
            for _ in range(arguments.repeats):
                start = time.process_time()
                table = pair_table(vectors.astype(dtype), mask, NAMES, radius)
                times.append(time.process_time() - start)
            print(
                f"edges of 12 objects, {arguments.events} events, {np.dtype(dtype).name}, radius {radius}: "
                f"{len(table.event)} pairs × {len(NAMES)} features in {min(times):.2f} s of CPU time (target 1.00)",
                flush=True,
            )


if __name__ == "__main__":
    main()
