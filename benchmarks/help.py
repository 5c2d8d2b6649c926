#!/usr/bin/env python3
"""Cost of `--help` of each script, against `python -c "import numpy"`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from support.measuring import median_costs, table

PROJECT = Path(__file__).resolve().parents[1]
STAGES = ("dataset", "training", "testing", "application")
#: What `--help` may cost at most, relative to importing numpy.
LIMIT = 3.0


def main(repetitions: int) -> int:
    """Print the table; 1 if the limit is exceeded."""
    scripts = [script for folder in STAGES for script in (PROJECT / folder).glob("*.py")]
    reference = 'python -c "import numpy"'
    commands: dict[str, list[object]] = {reference: [sys.executable, "-c", "import numpy"]}
    commands |= {script.name: [sys.executable, script, "--help"] for script in sorted(scripts)}
    costs = median_costs(commands, repetitions)
    print(f"--help, medians of {repetitions}")
    print(table(costs, reference))
    worst = max(cost.cpu for name, cost in costs.items() if name != reference) / costs[reference].cpu
    print(f"slowest --help / import numpy: {worst:.2f} (limit {LIMIT})")
    return int(worst > LIMIT)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repetitions", type=int, default=9)
    sys.exit(main(parser.parse_args().repetitions))
