"""A few damaged files and kills of the campaigns in tools/, whose full results stand in docs/reliability.md."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pathlib import Path

#: Outcomes that must not be.
BAD = {"traceback", "crash", "time", "memory"}


def tool(project: Path, name: str) -> Any:
    specification = importlib.util.spec_from_file_location(name, project / "tools" / f"{name}.py")
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


@pytest.mark.parametrize("kind", ["ttree.root", "forest.npz", "tmva.xml", "checkpoint.npz", "config.yaml"])
def test_damaged_files(kind: str, project: Path) -> None:
    counts = tool(project, "damage_campaign").campaign(kind, 4, seed=2)
    assert sum(counts.values()) == 4
    assert not BAD & counts.keys()


def test_kills(project: Path) -> None:
    line = tool(project, "kill_campaign").campaign("onnx", 2, seed=2, entries=100)
    name, _killed, faults, _most_hidden, left, *_ = line.split()
    assert (name, faults, left) == ("onnx", "0", "0")
