"""The tools of the documentation, and the pages that are run from beginning to end."""

from __future__ import annotations

import re
import runpy
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

TOP = Path(__file__).resolve().parents[2]
DOCS = TOP / "docs"
PAGE = """# A page

Save this as `made.py`:

```python
print("one")
print("two")
```

```bash
python made.py
```

```text
what stood here before
```

```bash
seq 5
```

```text
…
a
b
```

```yaml
key: value
```

```python
print(open("made.py").read().count("print"))
```

```text
```
"""


@pytest.fixture(scope="module")
def runner() -> dict[str, Any]:
    return runpy.run_path(str(TOP / "tools" / "run_page.py"))


@pytest.fixture(scope="module")
def gallery() -> dict[str, Any]:
    return runpy.run_path(str(TOP / "tools" / "gallery.py"))


def test_a_page_gets_its_output(runner: dict[str, Any], tmp_path: Path) -> None:
    page = runner["run_page"](PAGE, tmp_path)
    assert "```text\none\ntwo\n```" in page
    assert "```text\n…\n4\n5\n```" in page
    assert page.endswith("```text\n2\n```\n")
    assert page.split("```text")[0] == PAGE.split("```text")[0]
    assert "key: value" in page


def test_a_command_that_fails_ends_the_page(
    runner: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(subprocess.CalledProcessError):
        runner["run_page"]("```bash\necho before\nfalse\necho after\n```\n", tmp_path)
    assert capsys.readouterr().err.endswith("before\n\n")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["tutorial-ten-minutes", "tutorial-one-hour", "from-notebooks"])
def test_the_page_runs(runner: dict[str, Any], tmp_path: Path, name: str) -> None:
    page = (DOCS / f"{name}.md").read_text(encoding="utf-8")
    assert len(runner["blocks"](page)) >= 10
    done = runner["run_page"](page, tmp_path)
    assert re.sub(r"^```text\n.*?^```$", "", done, flags=re.M | re.S) == re.sub(
        r"^```text\n.*?^```$", "", page, flags=re.M | re.S
    )


def test_large_pictures_become_small(gallery: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(gallery["copy_picture"].__globals__, "LARGEST", 10_000)
    noise = np.random.default_rng(1).integers(0, 255, (6, 8, 3), dtype=np.uint8)
    Image.fromarray(noise).resize((400, 300), Image.Resampling.BICUBIC).save(tmp_path / "large.png")
    assert (tmp_path / "large.png").stat().st_size > 30_000
    written = gallery["copy_picture"](tmp_path / "large.png", tmp_path / "small")
    assert written.name == "small.png"
    assert written.stat().st_size <= 10_000
    with Image.open(written) as image:
        assert image.size == (400, 300)


def test_small_drawings_stay_as_they_are(gallery: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "foldall_roc.svg").write_text("<svg/>")
    written = gallery["copy_picture"](tmp_path / "foldall_roc.svg", tmp_path / "toy_roc")
    assert (written.name, written.read_text()) == ("toy_roc.svg", "<svg/>")


def test_what_cannot_become_small_is_refused(
    gallery: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(gallery["copy_picture"].__globals__, "LARGEST", 100)
    noise = np.random.default_rng(1).integers(0, 255, (30, 40, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "noise.png")
    with pytest.raises(ValueError, match=r"noise.png: \d+ bytes are more than 100, also at 40 pixels"):
        gallery["copy_picture"](tmp_path / "noise.png", tmp_path / "small")


def test_pictures_are_small_and_shown() -> None:
    text = "\n".join(path.read_text(encoding="utf-8") for path in DOCS.glob("*.md"))
    shown = set(re.findall(r"\]\((images/(?:gallery|tutorial)/[^)]+)\)", text))
    there = {
        path.relative_to(DOCS).as_posix()
        for kind in ("gallery", "tutorial")
        for path in (DOCS / "images" / kind).glob("*.*")
    }
    assert there == shown
    for path in there:
        assert (DOCS / path).stat().st_size <= 100_000, path
