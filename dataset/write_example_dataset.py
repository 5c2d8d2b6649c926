#!/usr/bin/env python3
"""Write the ntuples of the toy analysis: three simulated processes and a data-like mixture of them."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

try:
    from ntupleml.command_line import run
except ModuleNotFoundError:
    sys.stderr.write(f"{sys.argv[0]}: ntupleml is not installed in this environment; source setup.sh first\n")
    sys.exit(2)


def main(arguments: argparse.Namespace) -> int:
    """Write the four files."""
    from ntupleml.datasets.example import write_example_dataset

    write_example_dataset(arguments.output_path, arguments.events, arguments.seed, overwrite=arguments.overwrite)
    return 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("output_path", type=Path, metavar="OUTPUT_PATH", help="folder to write to")
    parser.add_argument("--events", type=int, default=10_000, metavar="N", help="events per process (default: 10000)")
    parser.add_argument("--seed", type=int, default=1234, help="seed of the random numbers (default: 1234)")
    parser.add_argument("--overwrite", action="store_true", help="replace existing files")
    sys.exit(run(main, parser))
