"""The images of the example with missing energy: samples are kept as they are, and the toy has the physics it names."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import h5py
import numpy as np

if TYPE_CHECKING:
    from pathlib import Path

CHANNELS = ("cluster", "SK", "VorSK", "CSSK")


def run(project: Path, *arguments: object) -> None:
    subprocess.run([sys.executable, project / "tools/etmiss_images.py", *map(str, arguments)], check=True)


def columns(path: Path) -> dict[str, np.ndarray]:
    with h5py.File(path) as file:
        return {name: file[name][:] for name in file}


def test_images_of_a_sample_are_kept(project: Path, tmp_path: Path) -> None:
    image = np.zeros((3, 50, 64), np.float32)
    image[:, 10, 31:33] = 5  # on both sides of φ = 0
    sample = dict.fromkeys(("truth_nm_barcode", *CHANNELS), image)
    np.savez(tmp_path / "sample.npz", process=np.array([0, 2, 0]), **sample)
    run(project, tmp_path / "out", tmp_path / "sample.npz", tmp_path / "sample.npz")
    found = columns(tmp_path / "out" / "znunu.h5")
    np.testing.assert_array_equal(found["SK"], image[[0, 1, 0, 1]])
    np.testing.assert_allclose(found["SK_ex"], -10 * np.cos(np.pi / 64), rtol=1e-6)
    np.testing.assert_allclose(found["SK_ey"], 0, atol=1e-5)
    assert found["entries"].tolist() == [4]
    assert columns(tmp_path / "out" / "dijet.h5")["event"].tolist() == [4, 5]


def test_the_toy_is_seeded_and_has_pile_up_and_a_detector(project: Path, tmp_path: Path) -> None:
    for folder in ("one", "same"):
        run(project, tmp_path / folder, "--events", 120, "--seed", 3)
    found, same = (columns(tmp_path / folder / "ttbar.h5") for folder in ("one", "same"))
    for name, values in found.items():
        np.testing.assert_array_equal(values, same[name])
    truth, cells = found["truth_nm_barcode"], found["cluster"]
    # what is missing in the truth are the invisible particles
    np.testing.assert_allclose(found["truth_nm_barcode_ex"], found["invisible_px"], atol=20)
    assert np.corrcoef(found["truth_nm_barcode_ex"], found["invisible_px"])[0, 1] > 0.98
    # pile-up particles of 0.6 GeV, twelve of each collision
    extra = (cells - truth).sum(axis=(1, 2))
    np.testing.assert_allclose(np.polyfit(found["mu"], extra, 1)[0], 12 * 0.6, rtol=0.15)
    assert set(np.unique(found["mu"])) <= set(range(15, 56))
    # SoftKiller leaves out the smallest cells, and nothing else
    for image, killed in zip(cells, found["SK"], strict=True):
        assert set(np.unique(killed[killed > 0])) <= set(np.unique(image))
        assert image[killed == 0].max() < killed[killed > 0].min()
    differences = {name: np.std(found[f"{name}_ex"] - found["truth_nm_barcode_ex"]) for name in CHANNELS}
    assert differences["CSSK"] < differences["cluster"]
