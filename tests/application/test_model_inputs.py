"""The arrays that a model sees, against plain loops."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import awkward as ak
import numpy as np
import pytest
import uproot
import yaml

from ntupleml.cli import main

if TYPE_CHECKING:
    from pathlib import Path

EVENTS, LENGTH = 50, 3
JETS = [[float(10 * event + jet) for jet in range(event % 5)] for event in range(EVENTS)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    with uproot.recreate(tmp_path / "events.root") as file:
        jets = ak.values_astype(ak.Array(JETS), np.float32)
        columns = {"event": np.arange(EVENTS) * 7, "x": np.arange(EVENTS, dtype="f4"), "Jet": ak.zip({"pt": jets})}
        file.mktree("tree", {name: ak.type(ak.Array(values)).content for name, values in columns.items()})
        file["tree"].extend(columns)
    return tmp_path


def run(folder: Path, *options: str, **keys: Any) -> int:
    config = {"datasets": ["a.root", "b.root"], "output_path": str(folder), "classes": ["a", "b"], **keys}
    (folder / "training.yaml").write_text(yaml.safe_dump(config))
    return main(["inputs", f"{folder}/training.yaml", f"{folder}/events.root", "tree", f"{folder}/out.npz", *options])


def test_arrays_of_groups(folder: Path) -> None:
    """Padded, sorted, cut, with the number of objects and the fold of each row."""
    groups = {
        "event": ["x", "x*x"],
        "jets": {"objects": ["Jet_pt", "log(Jet_pt+1)"], "sort": "Jet_pt", "length": LENGTH},
    }
    assert run(folder, "--num-events", "20", inputs=groups) == 0
    with np.load(folder / "out.npz") as found:
        assert sorted(found) == ["event", "fold", "jets", "jets_length"]
        np.testing.assert_array_equal(found["event"], [[x, x * x] for x in range(20)])
        assert found["jets_length"].tolist() == [min(event % 5, LENGTH) for event in range(20)]
        assert found["fold"].tolist() == [event % 2 for event in range(20)]
        assert found["jets"].shape == (20, LENGTH, 2)
        for event in range(20):
            kept = sorted(JETS[event], reverse=True)[:LENGTH]
            expected = np.zeros((LENGTH, 2))
            for row, pt in enumerate(kept):
                expected[row] = pt, np.log(pt + 1)
            np.testing.assert_allclose(found["jets"][event], expected, rtol=1e-6)


def test_variables(folder: Path) -> None:
    assert run(folder, variables=["x", "Sum$(Jet_pt)"]) == 0
    with np.load(folder / "out.npz") as found:
        np.testing.assert_array_equal(found["variables"], [[event, sum(JETS[event])] for event in range(EVENTS)])


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"variables": ["y"]}, "no branch 'y'"),
        ({"inputs": {"jets": {"objects": ["Jet_pt", "Jet_eta"]}}}, "no branch 'Jet_eta'"),
        ({"inputs": {"jets": {"objects": ["x"]}}}, "one value per event"),
        ({"inputs": {"jets": {"objects": ["Jet_pt*1e40"]}}}, "inputs.jets: NaN or infinite"),
        ({"inputs": {"fold": ["x"]}}, "rename the group"),
    ],
)
def test_what_is_wrong_is_one_line(
    folder: Path, keys: dict[str, Any], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(folder, **keys) == 2
    assert message in capsys.readouterr().err.splitlines()[-1]
    assert not (folder / "out.npz").exists()
