"""What a user finds of encoders and networks: the page of the documentation, and the verb that lists them."""

from __future__ import annotations

import runpy
import shutil
from pathlib import Path
from typing import Any

import pytest

from ntupleml.cli import main
from ntupleml.models import ENCODERS, ZOO

TOP = Path(__file__).resolve().parents[2]
PAGE = TOP / "docs" / "networks.md"


@pytest.fixture(scope="module")
def tool() -> dict[str, Any]:
    return runpy.run_path(str(TOP / "tools" / "networks_page.py"))


def test_the_page_is_up_to_date(tool: dict[str, Any], tmp_path: Path) -> None:
    """Else: python tools/networks_page.py docs."""
    shutil.copy(PAGE, tmp_path)
    tool["write"](tmp_path)
    assert (tmp_path / PAGE.name).read_text() == PAGE.read_text()
    drawings = {path.name: path.read_text() for path in (tmp_path / "images" / "networks").iterdir()}
    assert drawings == {path.name: path.read_text() for path in (PAGE.parent / "images" / "networks").iterdir()}


def test_the_page_names_every_network_encoder_and_setting() -> None:
    text = PAGE.read_text()
    for name in ZOO:
        assert f"| `{name}` | " in text
    sections = dict(part.split("`", 1) for part in text.split("### `")[1:])
    assert set(sections) == set(ENCODERS)
    for name, encoder in ENCODERS.items():
        for setting in encoder.model_fields:
            assert f"| `{setting}` | `" in sections[name]
        assert f"](images/networks/{name}.svg)" in sections[name]


def test_weights_are_counted(tool: dict[str, Any]) -> None:
    """12 objects of 8 numbers through three layers of 100 each, an LSTM of 10 with its four gates."""
    network, number = tool["encoder_network"], tool["num_weights"]
    assert number(network("deep_set")) == (8 + 1) * 100 + 2 * (100 + 1) * 100
    assert number(network("recurrent")) == 4 * (8 + 10 + 1) * 10


def test_the_verb_lists_them(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["networks"]) == 0
    shown = capsys.readouterr().out
    for name in (*ENCODERS, *ZOO):
        assert f"\n  {name} " in shown
    assert main(["networks", "residual"]) == 0
    shown = capsys.readouterr().out
    assert "\n  hidden: [128, 128, 128]  Widths" in shown
    assert "\n  attention.heads: 1 " in shown
    assert main(["networks", "calratio"]) == 0
    assert "\n  nodes_MSeg_lstm: 5  " in capsys.readouterr().out
    assert main(["networks", "recnet"]) == 2
    error = "ntupleml networks: NAME: no encoder or network with settings 'recnet'; nearest: '"
    assert capsys.readouterr().err.startswith(error)
