#!/usr/bin/env python3
"""Cost of the whole report of 1,000,000 events, 5 classes and 30 variables, against that of scoring these events."""

from __future__ import annotations

import sys
from pathlib import Path

from support.measuring import median_costs, run_in_folder, table
from support.report_setup import HIDDEN, TOP, TREE, write_analysis

#: What the report may cost at most, relative to scoring its events.
LIMIT = 3.0
#: The events read and scored by the testing stage, and nothing else.
SCORING = Path(__file__).parent / "support" / "score_events.py"


def main(events: int, repetitions: int, folder: Path) -> int:
    """Print the table; 1 if the limit is exceeded."""
    configs = write_analysis(folder, events)
    scoring, friends = "testing stage, scoring alone", "keras_application_friend.py"
    whole, page_only = "report.py", "report.py --page-only"
    report: list[str | Path] = [sys.executable, TOP / "testing" / "report.py", configs["training"], configs["testing"]]
    ntuple = folder / "ntuples" / "data" / "data.root"
    stages = [configs[stage] for stage in ("dataset", "training", "application")]
    costs = median_costs(
        {
            scoring: [sys.executable, SCORING, configs["training"], configs["testing"]],
            friends: [
                sys.executable, TOP / "application" / "keras_application_friend.py", *stages, ntuple, TREE,
                "--overwrite",
            ],
            page_only: [*report, "--page-only", "--overwrite"],
            whole: [*report, "--overwrite"],
        },
        repetitions,
    )  # fmt: skip
    page = folder / "output" / "foldall_report.html"
    pictures = len(list(page.with_suffix("").glob("*.yaml")))
    print(f"report, {events:,} events, network 30-{'-'.join(map(str, HIDDEN))}-5, medians of {repetitions}")
    print(table(costs, scoring))
    print(f"{pictures} pictures; the page has {page.stat().st_size / 1e6:.1f} MB")
    ratio = costs[whole].cpu / costs[scoring].cpu
    print(f"page only / scoring: {costs[page_only].cpu / costs[scoring].cpu:.2f}")
    print(f"report / scoring: {ratio:.2f} (limit {LIMIT})")
    return int(ratio > LIMIT)


if __name__ == "__main__":
    run_in_folder(main, __doc__, events=1_000_000, repetitions=3)
