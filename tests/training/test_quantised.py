"""Trainings of quantised networks: files, record, scores, what the rounding does, firmware that computes the same."""

from __future__ import annotations

import json
import logging
import tarfile
from typing import TYPE_CHECKING, Any

import numpy as np
import onnxruntime
import pytest
import yaml

from ntupleml.artifacts import model_files, read_keras_file
from ntupleml.config import TrainingConfig
from ntupleml.errors import NtuplemlError
from ntupleml.models import network_of
from ntupleml.preprocessing import load_preprocessing
from ntupleml.quantised import evaluate
from ntupleml.testing.material import Material
from ntupleml.testing.preparation import prepare
from ntupleml.testing.registry import STEPS
from ntupleml.training.keras_training import train_keras

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from ntupleml.artifacts import TrainingRecord

CLASSES = ["signal", "background"]


def config_of(**keys: Any) -> TrainingConfig:
    content = {
        "datasets": ["fold0.root", "fold1.root"],
        "output_path": "out",
        "classes": CLASSES,
        "event_weights": "weight",
        "variables": ["x", "y"],
    }
    return TrainingConfig.model_validate({**content, **keys})


def refused(model: dict[str, Any], reason: str, target: str = "classes") -> None:
    with pytest.raises(NtuplemlError, match=reason):
        network_of(config_of(model=model).model, "training.yaml: model", target=target)


def test_settings_of_the_config() -> None:
    model = config_of(model={"hidden": [4], "quantised": {"type": "fixed", "weights": {"bits": 6, "integer": 1}}}).model
    found = network_of(model).quantised
    assert found is not None
    assert (found["type"], found["weights"], found["inputs"]) == (
        "fixed",
        {"bits": 6, "integer": 1},
        {"bits": 10, "integer": 5},
    )
    assert network_of(config_of(model={"hidden": [4]}).model).quantised is None


def test_what_has_no_quantised_form_is_refused() -> None:
    plain = {"hidden": [4], "quantised": "fixed"}
    refused({**plain, "quantised": "fixd"}, r"training.yaml: model.quantised: no quantisation 'fixd'; nearest: 'fixed'")
    refused({**plain, "activation": "tanh"}, "an activation is tanh; quantised networks have relu or linear")
    refused({**plain, "norm": "batch"}, r"are normalised \(batch\), which has no quantised form")
    refused({**plain, "quantised": {"type": "fixed", "slope": 0.3}}, "0.3 is no power of two")
    refused({**plain, "quantised": {"type": "learned", "slope": 0.5}}, "slope")
    refused({**plain, "quantised": {"type": "fixed", "weights": {"bits": 99, "integer": 1}}}, "bits")
    refused({**plain, "encoders": {"variables": {"type": "dense", "hidden": [3]}}}, "variables has no quantised form")


def test_without_hgq2_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    from ntupleml.models import build_model, matrix

    monkeypatch.setitem(__import__("sys").modules, "hgq", None)
    network = network_of(config_of(model={"hidden": [4], "quantised": "fixed"}).model)
    with pytest.raises(NtuplemlError, match=r'run pip install "ntupleml\[hgq\]"'):
        build_model(network, matrix(2), 2, 1)


@pytest.fixture(scope="module")
def trained(
    tmp_path_factory: pytest.TempPathFactory,
    fold_file: Callable[..., None],
    columns: Callable[[int, int, int], dict[str, Any]],
) -> tuple[Path, TrainingRecord]:
    """Folder of a training whose widths are learnt, under a large β."""
    pytest.importorskip("hgq")
    from ntupleml.training import compiled_epoch

    folder = tmp_path_factory.mktemp("quantised")
    for fold in (0, 1):
        fold_file(folder / f"fold{fold}.root", {name: columns(fold, n, 400) for n, name in enumerate(CLASSES)})
    content = {
        "datasets": [str(folder / f"fold{fold}.root") for fold in (0, 1)],
        "output_path": str(folder / "out"),
        "classes": CLASSES,
        "event_weights": "weight",
        "variables": ["x", "y"],
        "preprocessing": "standard_scaler",
        "seed": 7,
        "model": {
            "hidden": [4],
            "learning_rate": 0.05,
            "epochs": 3,
            "batch_size": 50,
            "save_best_only": False,
            "quantised": {"type": "learned", "beta": 1e-3},
        },
    }
    (folder / "training.yaml").write_text(yaml.safe_dump(content))
    (folder / "testing.yaml").write_text("weight_branch: weight\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compiled_epoch, "is_slow_in_xla", lambda model: True)  # to compile takes longer than to train
        (record,) = train_keras(TrainingConfig.model_validate(content), [0])
    return folder, record


def test_the_record_has_widths_and_ebops(trained: tuple[Path, TrainingRecord]) -> None:
    _, record = trained
    assert [layer["layer"] for layer in record.quantised["layers"]] == ["hidden_1", "logits"]
    assert record.quantised["ebops"] == sum(layer["ebops"] for layer in record.quantised["layers"])
    assert record.quantised["exact_in_float32"] is True
    assert record.quantised["check"]["largest_difference"] == 0
    assert record.network["quantised"]["beta"] == 1e-3
    ebops = record.history["ebops"]
    assert ebops[-1] < ebops[0], "a large β makes the network smaller"


def test_the_onnx_file_gives_what_the_network_gives_in_whole_numbers(trained: tuple[Path, TrainingRecord]) -> None:
    folder, _ = trained
    files = model_files(folder / "out", 0)
    rows = np.random.default_rng(3).normal(size=(10_000, 2)).astype(np.float32)
    (found,) = onnxruntime.InferenceSession(str(files.onnx)).run(["scores"], {"variables": rows})
    scaled = load_preprocessing(files.preprocessing, 2).transform(rows.astype(np.float64)).astype(np.float32)
    expected = evaluate(read_keras_file(files.model), scaled)
    np.testing.assert_allclose(found, expected, atol=2e-7)  # of the softmax


def test_the_step_shows_resources_and_both_scores(trained: tuple[Path, TrainingRecord]) -> None:
    folder, record = trained
    material = Material(prepare(folder / "training.yaml", folder / "testing.yaml", "0"), for_page=True)
    assert STEPS["rounding"].is_shown(material)
    answer = STEPS["rounding"](material)
    (group,) = answer.groups
    assert group.tables[0].rows[-1][-1] == record.quantised["ebops"]
    assert set(answer.pictures) == {"rounding_signal", "rounding_background"}
    areas = answer.numbers["areas"]["signal"]
    assert all(0.3 < area.value < 1 for area in areas)
    assert f"{record.quantised['ebops']:,} EBOPs" in answer.remarks[0]


@pytest.mark.parametrize("form", ["verilog", "vitis"])
def test_firmware_computes_the_same(
    form: str, trained: tuple[Path, TrainingRecord], caplog: pytest.LogCaptureFixture
) -> None:
    pytest.importorskip("da4ml")
    from ntupleml.application.hls_export import export_to_hls

    folder, record = trained
    with caplog.at_level(logging.INFO):
        (path,) = export_to_hls(folder / "training.yaml", "0", form=form)
    assert "equal to the network bit for bit" in caplog.text
    with tarfile.open(path) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
        archive.extractall(folder / form, filter="data")
    content = folder / form / f"fold0_hls_{form}"
    assert {"cases.npz", "description.json", "network.keras"} <= names
    assert any(name.endswith("network.v" if form == "verilog" else "network.hh") for name in names)
    description = json.loads((content / "description.json").read_text())
    assert (description["outputs"], description["variables"]) == (CLASSES, ["x", "y"])
    assert description["check"]["emulated"] > 100
    with np.load(content / "cases.npz") as cases:
        found = evaluate(read_keras_file(content / "network.keras"), cases["inputs"])
        np.testing.assert_array_equal(found, cases["outputs"])
    assert record.quantised["layers"][0]["layer"] == description["layers"][0]["layer"]
    with pytest.raises(NtuplemlError, match="exists already; give --overwrite"):
        export_to_hls(folder / "training.yaml", "0", form=form)


def test_what_is_not_compiled_says_so(trained: tuple[Path, TrainingRecord]) -> None:
    from ntupleml.application.hls_export import export_to_hls

    with pytest.raises(NtuplemlError, match="--compile is for vitis and hls4ml"):
        export_to_hls(trained[0] / "training.yaml", "0", form="vhdl", compiled=True)


def test_descriptions_of_quantised_layers_are_checked(trained: tuple[Path, TrainingRecord], tmp_path: Path) -> None:
    """Objects inside a layer's settings may name nothing but HGQ2's own, with numbers."""
    import shutil
    import zipfile

    source = model_files(trained[0] / "out", 0).model
    with zipfile.ZipFile(source) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    for old, new in (
        (b'"hgq.constraints"', b'"os"'),
        (b'"hgq>MonoL1"', b'"os>system"'),
        (b'"class_name": "MinMax"', b'"class_name": "Lambda"'),
        (b'"hgq.quantizer.config"', b'"subprocess"'),
        (b'"hgq.layers.core.dense"', b'"os.layers"'),
        (b'"round_mode": "RND"', b'"round_mode": "EVAL"'),
        (b'"b0": 8', b'"b0": 8e9'),
        (b'"homogeneous_axis": []', b'"homogeneous_axis": [1]'),
        (b'"units": 4', b'"units": 5'),
    ):
        assert old in members["config.json"], old
        path = tmp_path / "hostile.keras"
        with zipfile.ZipFile(path, "w") as archive:
            for name, content in members.items():
                archive.writestr(name, content.replace(old, new) if name == "config.json" else content)
        with pytest.raises(NtuplemlError, match=r"refused|damaged") as caught:
            read_keras_file(path)
        assert "\n" not in str(caught.value)
        shutil.rmtree(tmp_path, ignore_errors=True)
        tmp_path.mkdir()
