"""docs/lwtnn.md: its example prints what stands there, and it names the layers that are written and refused."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from ntupleml.lwtnn.export_layers import ACTIVATION_LAYERS, NOTHING

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def page(project: Path) -> str:
    return (project / "docs" / "lwtnn.md").read_text()


def test_the_example(page: str, keras_module: Any, capsys: pytest.CaptureFixture[str]) -> None:
    ((code, printed),) = re.findall(r"```python\n(.*?)```\n\n```text\n(.*?)```", page, re.DOTALL)
    assert "import keras" in code
    capsys.readouterr()
    exec(code, {})
    assert capsys.readouterr().out == printed


def test_layers_are_named(page: str) -> None:
    for name in (
        *NOTHING,
        *ACTIVATION_LAYERS,
        "LSTM",
        "GRU",
        "SimpleRNN",
        "Conv1D",
        "TimeDistributed",
        "Normalization",
    ):
        if name not in ("Activation", "Softmax"):
            assert name in page, name
