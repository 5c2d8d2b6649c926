"""The toy's ntuples against the numbers that define them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import uproot

from ntupleml.datasets.example import write_example_dataset
from ntupleml.errors import NtuplemlError

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

# Mean of x and of y, correlation, and share of the data, as in htt-ml.
PROCESSES = {"signal": (0.0, 0.0, 0.1), "background_1": (0.5, -0.7, 0.6), "background_2": (-0.5, 0.7, 0.3)}


def read(folder: Path, name: str) -> dict[str, NDArray[np.generic]]:
    with uproot.open(folder / f"example_{name}.root") as file:
        return file["ntuple"].arrays(library="np")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("toy") / "made"
    write_example_dataset(path)
    return path


def test_there_are_four_files(folder: Path) -> None:
    names = [f"example_{name}.root" for name in ("background_1", "background_2", "data", "signal")]
    assert sorted(path.name for path in folder.iterdir()) == names


@pytest.mark.parametrize("name", [*PROCESSES, "data"])
def test_trees_and_types_are_those_of_htt_ml_but_for_the_integer_event_number(folder: Path, name: str) -> None:
    with uproot.open(folder / f"example_{name}.root") as file:
        assert file.classnames() == {"ntuple;1": "TTree"}
        assert file["ntuple"].typenames() == {"x": "float", "y": "float", "weights": "float", "event": "int64_t"}


@pytest.mark.parametrize("name", PROCESSES)
def test_simulated_events(folder: Path, name: str) -> None:
    mean, correlation, share = PROCESSES[name]
    events = read(folder, name)
    assert events["event"].tolist() == list(range(10_000))
    np.testing.assert_array_equal(events["weights"], np.float32(share / 10_000))
    for variable in ("x", "y"):  # within 4 standard deviations
        assert events[variable].mean() == pytest.approx(mean, abs=0.04)
        assert events[variable].var() == pytest.approx(1, abs=4 * np.sqrt(2 / 10_000))
    assert np.corrcoef(events["x"], events["y"])[0, 1] == pytest.approx(correlation, abs=0.04)


def test_data_is_a_mixture_with_unique_event_numbers(folder: Path) -> None:
    events = read(folder, "data")
    assert events["event"].tolist() == list(range(10_000))
    assert (events["weights"] == 1).all()
    start = 0
    for (mean, correlation, _), number in zip(PROCESSES.values(), (1000, 6000, 3000), strict=True):
        part = slice(start, start + number)
        assert events["x"][part].mean() == pytest.approx(mean, abs=4 / np.sqrt(number))
        found = np.corrcoef(events["x"][part], events["y"][part])[0, 1]
        assert found == pytest.approx(correlation, abs=4 / np.sqrt(number))
        start += number


def test_data_is_not_a_copy_of_the_simulation(folder: Path) -> None:
    simulated = np.concatenate([read(folder, name)["x"] for name in PROCESSES])
    assert len(np.intersect1d(read(folder, "data")["x"], simulated)) < 100  # by chance, with 24 bits


def test_the_seed_fixes_the_events(folder: Path, tmp_path: Path) -> None:
    write_example_dataset(tmp_path / "same", seed=1234)
    write_example_dataset(tmp_path / "other", seed=1235)
    for name in [*PROCESSES, "data"]:
        first, same, other = (read(path, name) for path in (folder, tmp_path / "same", tmp_path / "other"))
        assert all((first[branch] == same[branch]).all() for branch in first)
        assert (first["x"] != other["x"]).mean() > 0.99


def test_many_events_continue_few(folder: Path, tmp_path: Path) -> None:
    """Events are drawn in chunks, which must not show."""
    write_example_dataset(tmp_path, num_events=250_001)
    events = read(tmp_path, "background_1")
    assert len(events["x"]) == 250_001
    assert events["event"][-1] == 250_000
    np.testing.assert_array_equal(events["y"][:10_000], read(folder, "background_1")["y"])
    assert len(np.unique(events["y"])) > 240_000


@pytest.mark.parametrize(("num_events", "rows"), [(1, 1), (10, 10), (25, 26)])
def test_few_events(tmp_path: Path, num_events: int, rows: int) -> None:
    """Shares of 2.5, 15 and 7.5 events are rounded up."""
    write_example_dataset(tmp_path, num_events=num_events)
    assert len(read(tmp_path, "signal")["x"]) == num_events
    assert read(tmp_path, "data")["event"].tolist() == list(range(rows))


@pytest.mark.parametrize(("num_events", "seed", "words"), [(0, 1, "at least 1"), (5, -1, "seed -1")])
def test_numbers_out_of_range(tmp_path: Path, num_events: int, seed: int, words: str) -> None:
    with pytest.raises(NtuplemlError, match=words):
        write_example_dataset(tmp_path / "new", num_events, seed)
    assert not (tmp_path / "new").exists()


def test_nothing_is_written_if_one_file_exists(
    tmp_path: Path, run_script: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    (tmp_path / "example_data.root").write_text("precious")
    result = run_script("dataset/write_example_dataset.py", tmp_path, "--events", 10)
    assert result.returncode == 2
    assert "example_data.root: exists already; give --overwrite" in result.stderr
    assert result.stderr.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["example_data.root"]
    assert (tmp_path / "example_data.root").read_text() == "precious"
    assert run_script("dataset/write_example_dataset.py", tmp_path, "--events", 10, "--overwrite").returncode == 0
    assert len(read(tmp_path, "data")["x"]) == 10


def test_the_script_writes_where_it_is_asked_to(
    tmp_path: Path, run_script: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    """htt-ml's wrote to the current folder whatever it was asked."""
    (tmp_path / "here").mkdir()
    result = run_script("dataset/write_example_dataset.py", "../there", "--events", 20, cwd=tmp_path / "here")
    assert result.returncode == 0, result.stderr
    assert list((tmp_path / "here").iterdir()) == []
    assert len(list((tmp_path / "there").iterdir())) == 4
