"""Epochs of two small trainings compared: their weights are known, so all scores follow from a formula."""

from __future__ import annotations

import csv
import json
import re
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from ntupleml.artifacts import model_files
from ntupleml.cli import main
from ntupleml.preprocessing import fit_scaler, write_preprocessing
from ntupleml.training.kept_epochs import epochs_path, write_epochs

from ..testing.conftest import CLASSES, SLOPES, analysis, make_analysis, write_model  # noqa: F401
from .checks import require_no_overflow, require_self_contained, require_sound

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

#: By fold; epoch 3 is the best of both, and the model has its weights.
HISTORY = {
    "loss": [1.25, 1.125, 1.0],
    "val_loss": [1.5, 1.25, 1.125],
    "val_adversary_loss": [0.5, 0.75, 0.625],
    "ks_signal": [0.5, 0.25, 0.125],
    "ks": [0.75, 0.5, 0.625],
}


def _slopes(fold: int, epoch: int) -> NDArray[np.float32]:
    return (SLOPES[fold] * epoch / 3).astype("f4")


def _keep(folder: Path, fold: int, epochs: tuple[int, ...]) -> None:
    """A network softmax(variables × slopes) of Keras, and the slopes of its epochs."""
    import keras

    files = model_files(folder, fold)
    network = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3, activation="softmax", use_bias=False)])
    network.set_weights([SLOPES[fold]])
    network.save(files.model)
    assert files.preprocessing is not None
    write_preprocessing(files.preprocessing, fit_scaler("identity", np.zeros((2, 2), "f4")))
    write_epochs(epochs_path(files.model), {epoch: [_slopes(fold, epoch)] for epoch in epochs})


@pytest.fixture
def two_trainings(analysis: Any) -> Any:  # noqa: F811
    """`training.yaml` with kept epochs, and `other.yaml`, another training on the same events, without."""
    folder = analysis.folder
    for name, kept in (("out", (1, 2, 3)), ("other", ())):
        for fold in (0, 1):
            config = {**analysis.training, "model": {"epochs": 3, "hidden": [5] if kept else [7]}}
            write_model(
                folder / name,
                fold,
                2,
                analysis.datasets[fold],
                [],
                history=HISTORY,
                epochs=3,
                best_epoch=3,
                config=config,
            )
            if kept:
                _keep(folder / name, fold, kept)
    analysis.testing |= {"weight_branch": "counts", "search": {"points": ["counts>2"]}}
    analysis.write_configs()
    text = (folder / "training.yaml").read_text().replace(str(folder / "out"), str(folder / "other"))
    (folder / "other.yaml").write_text(text)
    return analysis


def _command(chain: Any, *options: str) -> list[str]:
    paths = [str(chain.folder / f"{name}.yaml") for name in ("training", "other", "testing")]
    return ["compare-epochs", *paths, "--output", str(chain.folder / "page.html"), *options]


def _rows(chain: Any, name: str) -> list[dict[str, str]]:
    with (chain.folder / "page" / f"{name}.csv").open() as file:
        return list(csv.DictReader(file))


def _expected(chain: Any, fold: int, epoch: int) -> tuple[Any, Any, Any]:
    """Scores, truth and weights of the events that a model never saw."""
    events = chain.events[1 - fold]
    inputs = np.concatenate([np.stack([events[name]["x"], events[name]["y"]], axis=1) for name in CLASSES])
    logits = inputs.astype("f8") @ _slopes(fold, epoch)
    scores = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    truth = np.concatenate([np.full(len(events[name]["x"]), index) for index, name in enumerate(CLASSES)])
    return scores, truth, np.concatenate([events[name]["counts"] for name in CLASSES])


def test_epochs_of_two_trainings(two_trainings: Any, open_page: Callable[..., Any]) -> None:
    """Reasons, areas (scikit-learn's), efficiencies and settings; the page is sound."""
    assert main(_command(two_trainings)) == 0
    summary = _rows(two_trainings, "summary")
    assert [float(row["Main loss"]) for row in summary] == sorted(float(row["Main loss"]) for row in summary)
    found = {(row["Run"], int(row["Epoch"])): row for row in summary}
    assert set(found) == {
        (f"{name}/fold{fold}", epoch) for name in ("out", "other") for fold in (0, 1) for epoch in (1, 2, 3)
    }
    reasons = {epoch: found["out/fold0", epoch]["Best by"] for epoch in (1, 2, 3)}
    assert reasons == {
        1: "discriminator loss",
        2: "main loss, adversary loss, K-S sum",
        3: "main loss, adversary loss, discriminator loss, K-S sum, the model",
    }
    for (run, epoch), row in found.items():
        if run.startswith("other") and epoch != 3:
            assert row["AUC of signal"] == ""  # its weights were not kept
            continue
        scores, truth, weights = _expected(two_trainings, int(run[-1]), epoch)
        area = roc_auc_score(truth == 0, scores[:, 0], sample_weight=weights)
        assert float(row["AUC of signal"]) == pytest.approx(area, abs=1e-6)
        assert float(row["K-S sum"]) == HISTORY["ks"][epoch - 1]
        for name, rows in (("Efficiency", truth == 0), ("False positives", truth != 0)):
            share = weights[rows & (scores.argmax(axis=1) == 0)].sum() / weights[rows].sum()
            assert float(row[name]) == pytest.approx(share, abs=1e-12)
    for row in _rows(two_trainings, "efficiencies"):
        scores, truth, weights = _expected(two_trainings, int(row["Run"][-1]), int(row["Epoch"]))
        own = (truth == 0) & ((weights > 2) == float(row["counts>2"]))
        selected = own & (scores.argmax(axis=1) == 0)
        assert int(row["Selected"]) == selected.sum()
        assert float(row["Efficiency"]) == pytest.approx(weights[selected].sum() / weights[own].sum(), abs=1e-12)
    assert [row["model.hidden"] for row in _rows(two_trainings, "settings_varying")] == ["5", "7"]
    epochs = _rows(two_trainings, "epochs")
    assert [float(row["ks_signal"]) for row in epochs] == 4 * HISTORY["ks_signal"]
    numbers = json.loads((two_trainings.folder / "page" / "numbers.json").read_text())
    assert numbers["runs"]["out/fold1"]["best_epochs"]["2"]["best_by"] == ["main loss", "adversary loss", "K-S sum"]
    path = two_trainings.folder / "page.html"
    text = path.read_text()
    assert re.search(r'class="number best"[^>]*>1\.125<', text)
    assert "weights not kept; model: keep_epochs: true" in text
    opened = open_page(path)
    require_self_contained(opened, path)
    require_sound(opened)
    require_no_overflow(open_page, path)


@pytest.mark.parametrize(
    ("options", "change", "message"),
    [
        (["--signal", "sginal"], None, "testing.yaml: search: signal: no class 'sginal'; nearest: 'signal'"),
        (["--point", "mass"], None, "no branch 'mass'"),
        (["--output", "page.txt"], None, "--output page.txt: a page is written"),
        (["--fold", "7"], None, "7"),
        ([], b"not an archive", "fold0_keras_epochs.npz: not the epochs of a training"),
        ([], {1: [np.zeros((3, 3), "f4")]}, "fold0_keras_epochs.npz: epoch 1: not of the network in"),
    ],
)
def test_what_is_wrong_is_one_line(
    two_trainings: Any, capfd: pytest.CaptureFixture[str], options: list[str], change: Any, message: str
) -> None:
    path = epochs_path(model_files(two_trainings.folder / "out", 0).model)
    if isinstance(change, bytes):
        path.write_bytes(change)
    elif change is not None:
        path.unlink()
        write_epochs(path, change)
    assert main(_command(two_trainings, *options)) == 2
    *_, line = capfd.readouterr().err.splitlines()
    assert line.startswith("ntupleml compare-epochs: ")
    assert message in line
    assert not (two_trainings.folder / "page.html").exists()
    assert not (two_trainings.folder / "page").exists()


def test_two_trainings_of_one_name(two_trainings: Any, capfd: pytest.CaptureFixture[str]) -> None:
    path = str(two_trainings.folder / "training.yaml")
    testing = str(two_trainings.folder / "testing.yaml")
    assert main(["compare-epochs", path, path, testing]) == 2
    assert "is called 'out', too; give names, NAME=CONFIG" in capfd.readouterr().err
