"""Images that are filled from the objects of ntuples and written, whatever the formats."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import awkward as ak
import h5py
import numpy as np
import pytest
import yaml
from pydantic import ValidationError

from ntupleml.cli import main
from ntupleml.config import ImagesConfig
from ntupleml.datasets.image_making import make_images
from ntupleml.errors import NtuplemlError
from ntupleml.ntuples import open_ntuple

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable
    from pathlib import Path

    from conftest import WriteNtuple

GRID = {"eta": "cl_eta", "phi": "cl_phi", "bins": [10, 8], "eta_range": [-2.5, 2.5]}
CONFIG = {
    "images": {"cluster": {"image": "cl_et", **GRID}, "both": {"image": ["cl_et", "cl_et * cl_et"], **GRID}},
    "columns": ["event", {"pile_up": "mu / 2"}],
    "selection": "mu < 60",
}


def config(**keys: Any) -> ImagesConfig:
    return ImagesConfig.model_validate({**CONFIG, **keys})


@pytest.fixture
def clusters(write_ntuple: WriteNtuple) -> Path:
    random = np.random.default_rng(4)
    counts = random.poisson(12, 400)
    counts[5] = 0

    def lists(values: Any) -> ak.Array:
        return ak.unflatten(values.astype("f4"), counts)

    number = counts.sum()
    return write_ntuple(
        "clusters.root",
        event=2**60 + np.arange(400),
        mu=random.uniform(10, 70, 400).astype("f4"),
        cl_et=lists(random.normal(5, 3, number)),
        cl_eta=lists(random.normal(0, 2, number)),
        cl_phi=lists(random.uniform(-7, 7, number)),
    )


def expected(path: Path, power: int = 1) -> Any:
    """Images by NumPy's histogram; φ is brought into its range with the complex numbers."""
    with open_ntuple(path, "ntuple") as ntuple:
        columns = next(ntuple.chunks(["mu", "cl_et", "cl_eta", "cl_phi"], 10_000)).columns
    images = []
    for entry in np.flatnonzero(columns["mu"] < 60):
        et, eta, phi = (np.asarray(columns[name][entry], "f8") for name in ("cl_et", "cl_eta", "cl_phi"))
        angle = np.angle(np.exp(1j * phi))
        ranges = [(-2.5, 2.5), (-np.pi, np.pi)]
        images.append(np.histogram2d(eta, angle, [10, 8], ranges, weights=et**power)[0])
    return np.array(images)


@pytest.mark.parametrize("ending", ["h5", "root", "parquet"])
def test_images_of_clusters(clusters: Path, tmp_path: Path, ending: str) -> None:
    output = tmp_path / f"images.{ending}"
    done = make_images(clusters, output, config())
    with open_ntuple(output, "images" if ending != "parquet" else "") as ntuple:
        columns = next(ntuple.chunks(["event", "pile_up", "cluster", "both"], 10_000)).columns
    wanted = expected(clusters)
    assert done == (len(wanted), 400 - len(wanted))
    np.testing.assert_allclose(columns["cluster"], wanted, atol=2e-5)
    np.testing.assert_allclose(columns["both"], np.stack([wanted, expected(clusters, 2)], axis=-1), atol=2e-4)
    assert columns["cluster"].dtype == np.float32
    assert (columns["event"] >= 2**60).all()
    assert len(set(columns["event"].tolist())) == len(wanted)
    assert columns["pile_up"].max() < 30


def test_hdf5_is_compressed_in_chunks_and_files_follow_one_another(clusters: Path, tmp_path: Path) -> None:
    output = tmp_path / "images.h5"
    same = shutil.copy(clusters, tmp_path / "same.root")
    done = make_images([str(clusters), str(same)], output, config(columns=[], selection=None))
    assert done.events == 800
    with h5py.File(output) as file:
        dataset = file["images/cluster"]
        assert (dataset.shape, dataset.compression) == ((800, 10, 8), "gzip")
        assert dataset.chunks[0] < 800
        np.testing.assert_array_equal(dataset[:400], dataset[400:])
        assert not dataset[5].any()


def test_the_script(clusters: Path, tmp_path: Path, run_script: Callable[..., Any]) -> None:
    path, output = tmp_path / "images.yaml", tmp_path / "images.root"
    path.write_text(config().model_dump_json(exclude_defaults=True))
    finished: subprocess.CompletedProcess[str] = run_script("dataset/make_images.py", path, clusters, "-o", output)
    assert finished.returncode == 0, finished.stderr
    assert "cluster and both" in finished.stderr
    again = run_script("dataset/make_images.py", path, clusters, "-o", output)
    assert again.returncode == 2
    assert "exists already; give --overwrite" in again.stderr


def test_what_cannot_be_filled_is_refused_and_nothing_is_written(write_ntuple: WriteNtuple, tmp_path: Path) -> None:
    lists = ak.Array([[1.0, 2.0], [np.nan]])
    path = write_ntuple("bad.root", mu=np.ones(2), event=np.arange(2), cl_et=lists, cl_eta=lists * 0, cl_phi=lists * 0)
    for keys, message in (
        ({}, "images.cluster: 'cl_eta' is NaN or infinite in 1 of 3 objects; leave"),
        ({"selection": "mu > 5"}, "selection: none of 2 events is left; loosen it"),
        ({"columns": {"a": "mu + moo"}}, "columns.a: no branch 'moo', which variable 'mu + moo' needs"),
        ({"images": {"cluster": {**GRID, "image": "cl_e"}}}, "no branch 'cl_e'; nearest: 'cl_et'"),
        ({"tree_path": "tuple"}, "no tree 'tuple'"),
    ):
        with pytest.raises(NtuplemlError) as raised:
            make_images(path, tmp_path / "out.h5", config(**keys))
        assert message in str(raised.value)
    assert not (tmp_path / "out.h5").exists()


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"images": {"calo": {"image": "calo"}}}, "calo: a column is an image already"),
        ({"columns": ["cluster"]}, "'cluster' is the name of an image"),
        ({"images": {}}, "at least 1"),
    ],
)
def test_configs_that_make_no_sense(keys: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError) as raised:
        config(**keys)
    assert message in str(raised.value)


def test_the_number_of_entries_of_a_file_of_images(tmp_path: Path) -> None:
    """Files of images have a dataset with one number beside them; where it is wrong the file is refused."""
    path = tmp_path / "images.h5"
    with h5py.File(path, "w") as file:
        file["entries"], file["cluster"] = np.array([3]), np.zeros((3, 4, 2), "f4")
    with open_ntuple(path, "/") as ntuple:
        assert (ntuple.num_entries, [*ntuple.branches]) == (3, ["cluster"])
    with h5py.File(path, "r+") as file:
        file["entries"][0] = 30
    with pytest.raises(NtuplemlError) as raised, open_ntuple(path, "/"):
        pass
    assert str(raised.value).endswith("'entries' says 30 entries, but the datasets have 3; fix the file")
    with h5py.File(path, "r+") as file:
        file["entries"][0] = 3
        file["SK"] = np.zeros((2, 4, 2), "f4")
    with pytest.raises(NtuplemlError, match="dataset 'SK' has 2 entries, but"), open_ntuple(path, "/"):
        pass


@pytest.mark.parametrize(
    ("others", "entries", "message"),
    [
        ((3, 4, 2), 5, "processes.a: group '/' of {0}/b.h5: 'entries' says 5 entries, but the datasets have 3; fix"),
        ((3, 4, 3), 3, "processes.a: branch 'cluster' is of type ('<f4', (4, 3)) in {0}/b.h5, but ('<f4', (4, 2)) in"),
    ],
)
def test_a_class_has_images_of_one_shape_and_true_numbers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], others: tuple[int, ...], entries: int, message: str
) -> None:
    """What one of several files says decides before anything is written."""
    for name, shape, number in (("a.h5", (3, 4, 2), 3), ("b.h5", others, entries)):
        with h5py.File(tmp_path / name, "w") as file:
            file["entries"], file["cluster"], file["event"] = np.array([number]), np.zeros(shape, "f4"), np.arange(3)
    content = {
        "base_path": str(tmp_path), "tree_path": "/", "event_branch": "event", "output_path": str(tmp_path),
        "output_filename": "d.root", "branches": "all", "processes": {"a": {"files": ["a.h5", "b.h5"]}},
    }  # fmt: skip
    (tmp_path / "dataset.yaml").write_text(yaml.safe_dump(content))
    assert main(["dataset", str(tmp_path / "dataset.yaml")]) == 2
    assert message.format(tmp_path) in capsys.readouterr().err
    assert not list(tmp_path.glob("fold*"))
