"""Weights times luminosity × cross section / sum of the generated weights."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import uproot

from ntupleml.cluster import ClusterOptions
from ntupleml.datasets import create_training_dataset, read_fold_record
from ntupleml.errors import NtuplemlError

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import MakeConfig, WriteNtuple

GENERATED = np.array([1.0, -0.5, 2.0, 1.5, 3.0])


@pytest.fixture
def files(write_ntuple: WriteNtuple) -> list[str]:
    """Two files of one process, each with a tree that tells what was generated."""
    for number, name in enumerate(("a.root", "b.root")):
        path = write_ntuple(name, event=10 * number + np.arange(5), w=GENERATED, x=np.arange(5.0))
        with uproot.update(path) as file:
            file.mktree("Runs", {"sumw": "f8"}).extend({"sumw": np.array([40.0, 10.0])})
    return ["a.root", "b.root"]


def scaled(make_config: MakeConfig, files: list[str], sum_of_weights: Any, **process: Any) -> Any:
    scale = {"luminosity": 59.7, "cross_section": 2.0, "sum_of_weights": sum_of_weights}
    one = {"files": files, "weight_string": "w", "cut_string": "x > 1.5", "scale": scale, **process}
    return make_config(processes={"sig": one})


@pytest.mark.parametrize(
    ("sum_of_weights", "total"),
    [
        (1000.0, 1000.0),
        ("w", 14.0),
        ("abs(w)", 16.0),
        ("1 + 0 * w", 10.0),
        ({"tree": "Runs", "formula": "sumw"}, 100.0),
    ],
)
def test_weights_are_scaled(
    files: list[str], make_config: MakeConfig, sum_of_weights: Any, total: float, tmp_path: Path
) -> None:
    """Of all events, before the cut: 3 of 5 pass it in each file."""
    summary = create_training_dataset(scaled(make_config, files, sum_of_weights))
    weights = []
    for path in summary.files:
        with uproot.open(path) as file:
            weights.append(file["sig"]["training_weight"].array(library="np"))
    expected = np.tile(GENERATED[2:], 2) * (59.7 * 2.0 / total)
    np.testing.assert_allclose(np.sort(np.concatenate(weights)), np.sort(expected), rtol=1e-6)
    record = read_fold_record(summary.files[0])
    assert record.processes["sig"].scale == pytest.approx(59.7 * 2.0 / total)
    assert record.processes["sig"].weight_string == "w"


def test_workers_scale_as_well(files: list[str], make_config: MakeConfig) -> None:
    summary = create_training_dataset(scaled(make_config, files, "w"), cluster=ClusterOptions(workers=1))
    total = sum(record.processes["sig"].sum_of_weights for record in summary.records)
    assert total == pytest.approx(2 * GENERATED[2:].sum() * 59.7 * 2 / 14)


@pytest.mark.parametrize(
    ("sum_of_weights", "message"),
    [
        ("w - 10", r"^processes.sig.scale.sum_of_weights: 'w - 10' of all events sums up to -86, but a positive"),
        ("v", r"^processes.sig.scale.sum_of_weights: .*no branch 'v'.*nearest|no branch 'v'"),
        ({"tree": "Run", "formula": "sumw"}, r"no tree 'Run'; nearest: 'Runs'"),
    ],
)
def test_what_is_no_sum(files: list[str], make_config: MakeConfig, sum_of_weights: Any, message: str) -> None:
    with pytest.raises(NtuplemlError, match=message):
        create_training_dataset(scaled(make_config, files, sum_of_weights))


def test_without_it_nothing_is_scaled(files: list[str], make_config: MakeConfig) -> None:
    summary = create_training_dataset(make_config(processes={"sig": {"files": files, "weight_string": "w"}}))
    assert summary.records[0].processes["sig"].scale == 1
