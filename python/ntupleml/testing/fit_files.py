"""What fits take beside histograms: a workspace of pyhf (HistFactory as JSON), and a datacard of Combine."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ntupleml.metrics.histograms import Histogram
    from ntupleml.testing.histogram_variations import Variations

#: Names of recorded data and of the sum of all processes; Combine's and ours.
DATA, ASIMOV = "data_obs", "asimov"


def workspace_text(
    contents: Mapping[str, Mapping[str, Histogram]],
    signals: Sequence[str],
    variations: Mapping[str, Mapping[str, Variations]] | None = None,
) -> str:
    """Workspace of pyhf: a channel for each region, whose bins have the uncertainty of the simulation.

    Observed are recorded data where the region has them, else the sum of all processes (Asimov data). The parameter
    of interest `mu` is the strength of the signals. Each source of `variations`, by region and process, is one
    parameter, which moves shape and yield together (`histosys`).
    """
    channels, observations = [], []
    for region, histograms in contents.items():
        samples = []
        for process, one in histograms.items():
            if process in (DATA, ASIMOV):
                continue
            modifiers: list[dict[str, Any]] = [
                {"name": f"staterror_{region}", "type": "staterror", "data": one.uncertainties.tolist()}
            ]
            for source, (up, down) in (variations or {}).get(region, {}).get(process, {}).items():
                shifts = {"hi_data": up.sums.tolist(), "lo_data": down.sums.tolist()}
                modifiers.append({"name": source, "type": "histosys", "data": shifts})
            if process in signals:
                modifiers.append({"name": "mu", "type": "normfactor", "data": None})
            samples.append({"name": process, "data": one.sums.tolist(), "modifiers": modifiers})
        channels.append({"name": region, "samples": samples})
        observed = histograms.get(DATA, histograms[ASIMOV])
        observations.append({"name": region, "data": observed.sums.tolist()})
    measurement = {"name": "strength", "config": {"poi": "mu", "parameters": [{"name": "mu", "bounds": [[0, 10]]}]}}
    workspace = {
        "channels": channels,
        "observations": observations,
        "measurements": [measurement],
        "version": "1.0.0",
    }
    return json.dumps(workspace, indent=1) + "\n"


def datacard_text(
    contents: Mapping[str, Mapping[str, Histogram]],
    signals: Sequence[str],
    root_file: str,
    sources: Sequence[str] = (),
) -> str:
    """Datacard of Combine for the same histograms, with the uncertainty of the simulation in each bin.

    Each of `sources` has histograms that end in `_{source}Up` and `_{source}Down`, of all processes.
    """
    regions = list(contents)
    observed = {region: DATA if DATA in histograms else ASIMOV for region, histograms in contents.items()}
    processes = [name for name in next(iter(contents.values())) if name not in (DATA, ASIMOV)]
    # signals have numbers up to 0, from the last to the first
    ordered = [name for name in processes if name in signals] + [name for name in processes if name not in signals]
    numbers = {name: index + 1 - sum(one in signals for one in processes) for index, name in enumerate(ordered)}
    pairs = [(region, name) for region in regions for name in ordered]
    rates = [float(np.sum(contents[region][name].sums)) for region, name in pairs]
    lines = [
        f"imax {len(regions)}",
        f"jmax {len(processes) - 1}",
        "kmax *",
        f"shapes * * {root_file} $CHANNEL/$PROCESS $CHANNEL/$PROCESS_$SYSTEMATIC",
        *(f"shapes {DATA} {region} {root_file} $CHANNEL/{name}" for region, name in observed.items()),
        "bin " + " ".join(regions),
        "observation " + " ".join(f"{np.sum(contents[region][observed[region]].sums):.10g}" for region in regions),
        "bin " + " ".join(region for region, _ in pairs),
        "process " + " ".join(name for _, name in pairs),
        "process " + " ".join(str(numbers[name]) for _, name in pairs),
        "rate " + " ".join(f"{rate:.10g}" for rate in rates),
        *(f"{source} shape " + " ".join("1" for _ in pairs) for source in sources),
        "* autoMCStats 0",
    ]
    return "\n".join(lines) + "\n"
