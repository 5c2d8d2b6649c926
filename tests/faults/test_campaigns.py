"""A few damaged files and kills of the campaigns in tools/, whose full results stand in docs/reliability.md."""

from __future__ import annotations

import importlib.util
import signal
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

#: Outcomes that must not be.
BAD = {"traceback", "crash", "time", "memory"}


@pytest.fixture
def tool(project: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Any]:
    """A tool as a module, which finds those beside it."""
    monkeypatch.syspath_prepend(project / "tools")
    return lambda name: _module(project, name)


def _module(project: Path, name: str) -> Any:
    specification = importlib.util.spec_from_file_location(name, project / "tools" / f"{name}.py")
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    "kind", ["ttree.root", "forest.npz", "tmva.xml", "checkpoint.npz", "config.yaml", "folds.json"]
)
def test_damaged_files(kind: str, tool: Callable[[str], Any]) -> None:
    counts = tool("damage_campaign").campaign(kind, 4, seed=2)
    assert sum(counts.values()) == 4
    assert not BAD & counts.keys()


@pytest.mark.parametrize("kind", ["zlib.root", "table.parquet"])
def test_no_other_numbers_where_there_are_checksums(kind: str, tool: Callable[[str], Any]) -> None:
    counts = tool("damage_campaign").campaign(kind, 12, seed=3)
    assert set(counts) <= {"same", "refused"}
    assert counts["refused"] > 3


def test_formulas(tool: Callable[[str], Any]) -> None:
    """Formulas drawn at random are read or refused, and do nothing that Python's auditing sees."""
    counts = tool("fuzz_formulas").campaign(300, seed=5)
    assert set(counts) == {"read", "refused"}
    assert min(counts.values()) > 50


@pytest.mark.parametrize("reader", ["xml", "lwtnn", "yaml", "formula", "keras", "lightgbm", "scaler"])
def test_readers(reader: str, tool: Callable[[str], Any], tmp_path: Path) -> None:
    number, accepted = tool("fuzz_readers").by_damage(reader, 0.3, 3, tmp_path / "found")
    assert 0 <= accepted < number
    assert not list(tmp_path.iterdir())


def test_many_files(tool: Callable[[str], Any]) -> None:
    """Files that are shared out among workers, when the command is killed in the middle and called again."""
    outcome = tool("load_campaign").campaign("stopped", 20, seed=1)
    assert (outcome.kills, outcome.faults) == (1, [])


def test_stops(tool: Callable[[str], Any]) -> None:
    kills = tool("kill_campaign")
    with closing(kills.ScriptServer("numba", "onnx", "uproot")) as server:
        for how in (signal.SIGKILL, signal.SIGINT):
            counts = kills.campaign("onnx", 1, seed=2, entries=100, how=how, server=server)
            assert (counts.command, counts.faults) == ("onnx", 0)


def test_shapes(tool: Callable[[str], Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files without entries, in all formats, and chains that begin and end with one."""
    shapes = tool("shape_campaign")
    monkeypatch.chdir(tmp_path)
    shapes.prepare(tmp_path)
    faults = [fault for form in shapes.FORMATS for fault in shapes.campaign("none", form)]
    for shape, form in (
        ("one", "rntuple"),
        ("empty-ends", "hdf5"),
        ("empty-ends", "parquet"),
        ("empty-lists", "ttree"),
    ):
        faults += shapes.campaign(shape, form)
    assert faults == []
