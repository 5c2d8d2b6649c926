"""Filters and saliency of a small network that takes images and numbers, from fold files to the files written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import uproot
import yaml

from ntupleml.cli import main
from ntupleml.config import PlotConfig
from ntupleml.errors import NtuplemlError
from ntupleml.metrics.residual_maps import residual_map
from ntupleml.plots.images import draw_residual_map
from ntupleml.plots.pictures import PARAMETERS
from ntupleml.plots.style import plot_style
from ntupleml.testing.insides import has_images
from ntupleml.testing.material import Material
from ntupleml.testing.preparation import prepare
from ntupleml.testing.registry import STEPS
from ntupleml.testing.steps import write_step


@pytest.fixture(scope="module")
def configs(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Configs of a network that learns the missing energy of images, trained for model 0."""
    folder = tmp_path_factory.mktemp("insides")
    phi = -np.pi + (np.arange(8) + 0.5) * np.pi / 4
    for fold in (0, 1):
        random = np.random.default_rng(fold)
        image = random.exponential(1, (200, 6, 8)).astype("f4")
        columns = {
            "calo": image,
            "pileup": random.uniform(0, 50, 200).astype("f4"),
            "ex": -(image.sum(axis=1) @ np.cos(phi)).astype("f4"),
            "ey": -(image.sum(axis=1) @ np.sin(phi)).astype("f4"),
        }
        with uproot.recreate(folder / f"fold{fold}_d.root") as file:
            kinds = {name: np.dtype((one.dtype, one.shape[1:])) for name, one in columns.items()}
            file.mktree("all", kinds).extend(columns)
    training = {
        "datasets": [str(folder / f"fold{fold}_d.root") for fold in (0, 1)],
        "output_path": str(folder / "out"),
        "classes": ["all"],
        "inputs": {"image": {"image": ["calo"]}, "event": ["pileup"]},
        "target": {"values": {"ex": "ex", "ey": "ey"}},
        "seed": 3,
        "model": {
            "encoders": {"image": {"type": "convolution", "filters": [4, 2], "pool": 1, "hidden": [8]}},
            "hidden": [4],
            "epochs": 3,
            "batch_size": 50,
        },
    }
    for name, content in (("training", training), ("testing", {"regression": {"vectors": {"etmiss": ["ex", "ey"]}}})):
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(content))
    assert main(["train-keras", str(folder / "training.yaml"), "0"]) == 0
    return [str(folder / f"{name}.yaml") for name in ("training", "testing")]


def test_filters_and_saliency_of_a_trained_network(configs: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ntupleml.plots.pictures.save_figure", lambda *_, **__: [])
    monkeypatch.setattr("ntupleml.plots.pictures._figure", lambda *_: None)
    preparation = prepare(*configs, "0")
    assert has_images(Material(preparation))
    answers: dict[str, Any] = {}
    for name, options in (("filters", {}), ("saliency", {"output": "ey"})):
        paths, answers[name] = write_step(STEPS[name], preparation, **options)
        assert len(paths) == len(answers[name].pictures)
    kernels = np.array(answers["filters"].pictures["kernels"].numbers["kernels"])
    assert kernels.shape == (3, 3, 1, 4)
    assert np.array(answers["filters"].pictures["activations"].numbers["activations"]).shape == (6, 8, 4)
    assert answers["filters"].numbers["ascent"].image.shape == (6, 8, 1)
    assert answers["saliency"].numbers["incompleteness"] < 0.05  # relu has kinks
    pictures = answers["saliency"].pictures
    assert list(pictures) == ["saliency_inputs", "saliency_image"]
    assert list(pictures["saliency_inputs"].numbers["inputs"]) == ["image: calo", "event: pileup"]
    means = pictures["saliency_image"].numbers["means"]
    assert np.array(means["calo, saliency"]).min() >= 0
    with plot_style(PlotConfig(), PARAMETERS):
        for name in ("saliency_image", "saliency_inputs"):
            assert pictures[name].draw(PlotConfig()).get_tightbbox().width > 1
    with pytest.raises(NtuplemlError, match=r"^--output: no output 'ez'; nearest: 'ex', 'ey'"):
        STEPS["saliency"](preparation, output="ez")


def test_saliency_of_the_missing_energy_of_an_image(
    configs: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Integrated gradients of a component add up to what ONNX Runtime says of the events, less that of no energy."""
    training = yaml.safe_load(Path(configs[0]).read_text())
    training |= {
        "output_path": str(tmp_path),
        "inputs": {"image": {"image": ["calo"]}},
        "target": {"image": "calo", "values": {"n": "pileup"}},
        "preprocessing": "identity",
        "model": {"name": "BB_model", "settings": {"filters": [3, 2], "kernel": [3, 1]}, "epochs": 1},
    }
    (tmp_path / "training.yaml").write_text(yaml.safe_dump(training))
    assert main(["train-keras", str(tmp_path / "training.yaml"), "0"]) == 0
    preparation = prepare(tmp_path / "training.yaml", configs[1], "0")
    session = onnxruntime.InferenceSession(tmp_path / "fold0_keras_model.onnx")
    with uproot.open(training["datasets"][1]) as file:
        images = file["all/calo"].array(library="np")[..., np.newaxis]
    scores = [session.run(["scores"], {"image": one})[0] for one in (images, np.zeros_like(images[:1]))]
    units = np.array([1, 1, *preparation.trained["keras"][0].record.target.scale])  # values are learnt in these
    changes = (scores[0].astype(float) - scores[1]) / units
    for index, name in enumerate(("ex", "ey", "n")):
        means = STEPS["saliency"](preparation, output=name).pictures["saliency_image"].numbers["means"]
        found = np.sum(means["calo, integrated gradients"])
        assert found == pytest.approx(changes[:, index].mean(), abs=0.01 * abs(changes[:, index]).max())
    monkeypatch.setattr("ntupleml.testing.insides._MOST_PRODUCTS", 1.0)
    fewer = STEPS["saliency"](preparation).pictures["saliency_image"].caption
    assert 0 < int(fewer.split("mean over ")[1].split()[0]) < 30  # about ten


def test_a_map_of_residuals_is_drawn() -> None:
    random = np.random.default_rng(1)
    found = residual_map([(random.normal(size=(20, 5, 6)), np.zeros((20, 5, 6)), np.ones(20))])
    with plot_style(PlotConfig(), PARAMETERS):
        for one in (found, residual_map([])):
            assert draw_residual_map(one, PlotConfig()).get_tightbbox().width > 1
