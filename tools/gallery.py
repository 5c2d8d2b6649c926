"""Copy pictures of a report, or of the steps of the testing stage, into the documentation, each below 100 kB.

    python tools/gallery.py FOLDER docs/images/gallery toy keras_roc_classes keras_scores

takes `FOLDER/foldall_keras_roc_classes.svg` and so on, and writes `toy_keras_roc_classes.svg`. What is larger, or PNG,
becomes a PNG of few colours. Chromium draws the SVGs that are too large.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

#: Bytes of a picture at most.
LARGEST = 100_000
_COLOURS = 64
_DOTS = 96  # of CSS, per inch
_POINTS = 72


def copy_picture(source: Path, target: Path) -> Path:
    """Copy a picture, as it is where it is small, else as a PNG of few colours; the file that is written.

    Parameters
    ----------
    source : path
        An SVG or a PNG.
    target : path
        Without suffix.

    Raises
    ------
    ValueError
        If the picture stays too large.
    """
    if source.suffix == ".svg" and source.stat().st_size <= LARGEST:
        return Path(shutil.copyfile(source, target.with_suffix(".svg")))
    written = target.with_suffix(".png")
    with tempfile.TemporaryDirectory() as folder:
        drawn = _drawn(source, Path(folder)) if source.suffix == ".svg" else source
        with Image.open(drawn) as image:
            whole = image.convert("RGBA")
    page = Image.new("RGBA", whole.size, "white")
    page.alpha_composite(whole)
    for width in (whole.width, *(one for one in (1200, 900, 700) if one < whole.width)):
        size = (width, round(whole.height * width / whole.width))
        page.convert("RGB").resize(size, Image.Resampling.LANCZOS).quantize(_COLOURS).save(written, optimize=True)
        if written.stat().st_size <= LARGEST:
            return written
    raise ValueError(f"{source}: {written.stat().st_size} bytes are more than {LARGEST}, also at {width} pixels")


def _drawn(source: Path, folder: Path) -> Path:
    """An SVG as a PNG, drawn by Chromium."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        raise FileNotFoundError(f"{source}: is larger than {LARGEST} bytes, and there is no Chromium that draws it")
    match = re.search(r'<svg[^>]*\bwidth="([\d.]+)pt"[^>]*\bheight="([\d.]+)pt"', source.read_text(encoding="utf-8"))
    if match is None:
        raise ValueError(f"{source}: no width and height in points")
    width, height = (round(float(number) * _DOTS / _POINTS) for number in match.groups())
    drawn = folder / "drawn.png"
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--force-device-scale-factor=1.5"]
    subprocess.run(
        [chromium, *options, f"--window-size={width},{height}", f"--screenshot={drawn}", source.resolve().as_uri()],
        check=True,
        capture_output=True,
    )
    return drawn


def main() -> int:
    """Copy each picture and say what is written."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="a report's folder of figures, or the output of a training")
    parser.add_argument("target", type=Path, help="folder of the copies")
    parser.add_argument("analysis", help="how the copies' names begin")
    parser.add_argument("names", nargs="+", help="names without fold: keras_roc_classes")
    arguments = parser.parse_args()
    arguments.target.mkdir(parents=True, exist_ok=True)
    for name in arguments.names:
        stems = [arguments.folder / f"{fold}{name}" for fold in ("foldall_", "")]
        sources = [stem.with_name(f"{stem.name}{suffix}") for suffix in (".svg", ".png") for stem in stems]
        source = next((path for path in sources if path.exists()), None)
        if source is None:
            sys.stderr.write(f"{sources[0]}: no such picture\n")
            return 2
        written = copy_picture(source, arguments.target / f"{arguments.analysis}_{name}")
        print(f"{written}: {written.stat().st_size} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
