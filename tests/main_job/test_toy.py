"""The toy, from its ntuples to scores and confusion matrices, as `make example` runs it."""

from __future__ import annotations

import pickle
import shutil
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import uproot

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

CLASSES = ["signal", "background_1", "background_2"]
CLASS_WEIGHTS = [6.0, 1.0, 2.0]


def matrix_of(columns: dict[str, Any]) -> NDArray[Any]:
    return np.stack([columns["x"], columns["y"]], axis=1)


@pytest.mark.parametrize("fold", [0, 1])
def test_fold_files_hold_the_selected_events_of_their_parity(toy: Any, fold: int) -> None:
    record = toy.record(f"example/fold{fold}_example_dataset.json")
    for name in CLASSES:
        before = toy.columns(f"example/example_{name}.root", "ntuple")
        of_fold = before["event"] % 2 == fold
        x, y = (before[variable].astype("f8") for variable in "xy")
        kept = of_fold & (x * x + y * y < 16)
        after = toy.columns(f"example/fold{fold}_example_dataset.root", name)
        assert set(after) == {*before, "training_weight"}
        for branch, values in before.items():
            assert after[branch].dtype == values.dtype
            np.testing.assert_array_equal(after[branch], values[kept])
        np.testing.assert_array_equal(after["training_weight"], before["weights"][kept])
        weights = before["weights"][kept].astype("f8")
        process = record["processes"][name]
        assert (process["events_read"], process["events_kept"]) == (of_fold.sum(), kept.sum())
        assert process["sum_of_weights"] == pytest.approx(weights.sum(), rel=1e-12)
        assert process["uncertainty"] == pytest.approx(np.sqrt((weights**2).sum()), rel=1e-12)


def training_events(toy: Any, model: int) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Inputs, true classes and weights of the fold that a model is trained on, in the order of the config."""
    trees = [toy.columns(f"example/fold{model}_example_dataset.root", name) for name in CLASSES]
    weights = [
        tree["training_weight"].astype("f8") * class_weight * 10_000
        for tree, class_weight in zip(trees, CLASS_WEIGHTS, strict=True)
    ]
    classes = np.repeat(np.arange(3), [len(tree["x"]) for tree in trees])
    return np.concatenate([matrix_of(tree) for tree in trees]), classes, np.concatenate(weights)


@pytest.mark.parametrize("model", [0, 1])
def test_the_training_is_what_its_record_says(toy: Any, model: int) -> None:
    """The split is scikit-learn's, the scaler knows the training rows only, the best epoch has the loss it claims."""
    from sklearn.model_selection import train_test_split

    record = toy.record(f"example/fold{model}_keras_training.json")
    inputs, classes, weights = training_events(toy, model)
    training, validation = train_test_split(np.arange(len(inputs)), test_size=0.25, random_state=1234)
    assert record["split"] == {"training": len(training), "validation": len(validation)}
    with (toy.folder / "example" / f"fold{model}_keras_preprocessing.pickle").open("rb") as file:
        scaler = pickle.load(file)
    np.testing.assert_allclose(scaler.mean_, inputs[training].astype("f8").mean(axis=0), rtol=0, atol=1e-7)
    np.testing.assert_allclose(scaler.scale_, inputs[training].astype("f8").std(axis=0), rtol=1e-6)

    scores = toy.scores(model, inputs[validation])
    of_true_class = scores[np.arange(len(validation)), classes[validation]]
    loss = -(weights[validation] * np.log(of_true_class)).mean()  # Keras divides by the number of events
    assert record["best_epoch"] == 1 + int(np.argmin(record["history"]["val_loss"]))
    assert min(record["history"]["val_loss"]) == pytest.approx(loss, rel=1e-5)
    assert all(len(values) == record["epochs"] for values in record["history"].values())
    (dataset,) = record["datasets"]
    with uproot.open(toy.folder / dataset["path"]) as file:
        assert dataset["uuid"] == str(file.file.uuid)


def test_each_event_has_the_scores_of_the_model_that_did_not_see_it(toy: Any, require_scores: Any) -> None:
    columns = toy.columns("example/example_data.root", "ntuple")
    expected = toy.held_out_scores(matrix_of(columns), columns["event"], 2)
    require_scores(columns, CLASSES, expected)
    # The models differ, so the scores can only be those of the right one.
    other = toy.held_out_scores(matrix_of(columns), columns["event"] + 1, 2)
    assert np.mean(np.abs(other - expected).max(axis=1) > 1e-3) > 0.9


def test_the_scored_file_has_nothing_else_changed(toy: Any) -> None:
    with uproot.open(toy.folder / "before.root") as file:
        keys, old = file.keys(), file["ntuple"].keys()
    with uproot.open(toy.folder / "example" / "example_data.root") as file:
        assert file.keys() == keys
        assert file["ntuple"].keys() == [
            *old,
            *(f"ml_score_{name}" for name in CLASSES),
            "ml_score_max_score",
            "ml_score_max_index",
        ]
    before = toy.columns("before.root", "ntuple")
    after = toy.columns("example/example_data.root", "ntuple", *old)
    for name, values in before.items():
        assert after[name].dtype == values.dtype
        np.testing.assert_array_equal(after[name], values)


def test_the_friend_is_aligned_and_has_the_same_kind_of_scores(toy: Any, require_scores: Any) -> None:
    ntuple = toy.columns("example/example_signal.root", "ntuple")
    friend = toy.columns("example/friends/example/example.root", "ntuple")
    assert friend["event"].dtype == np.int64
    np.testing.assert_array_equal(friend["event"], ntuple["event"])
    require_scores(friend, CLASSES, toy.held_out_scores(matrix_of(ntuple), ntuple["event"], 2))


@pytest.mark.parametrize("fold", ["0", "1", "all"])
def test_confusion_matrices(toy: Any, fold: str) -> None:
    models = (0, 1) if fold == "all" else (int(fold),)
    sums = [toy.confusion(one, f"example/fold{1 - one}_example_dataset.root", CLASSES, matrix_of) for one in models]
    c, v = (sum(one[index] for one in sums) for index in (0, 1))
    weighted = c * np.array(CLASS_WEIGHTS)[:, None]
    expected = {
        "standard": c,
        "standard_cw": weighted,
        "efficiency1": c / np.diag(c)[:, None],
        "efficiency2": c / c.sum(axis=1, keepdims=True),
        "efficiency_cw1": c / np.diag(c)[:, None],
        "efficiency_cw2": c / c.sum(axis=1, keepdims=True),
        "purity1": c / np.diag(c),
        "purity2": c / c.sum(axis=0),
        "purity_cw1": weighted / np.diag(weighted),
        "purity_cw2": weighted / weighted.sum(axis=0),
    }
    for name, values in expected.items():
        found = toy.yaml_matrix(f"fold{fold}_keras_confusion_{name}", CLASSES)
        np.testing.assert_allclose(found, values, rtol=1e-9, err_msg=name)
    uncertainty = toy.yaml_matrix(f"fold{fold}_keras_confusion_standard", CLASSES, "uncertainty")
    np.testing.assert_allclose(uncertainty, np.sqrt(v), rtol=1e-9)
    # All weights of a class are equal here, so the uncertainty of an efficiency is that of a binomial.
    events = v.sum(axis=1) / c.sum(axis=1)  # mean weight of each class
    efficiency = c / c.sum(axis=1, keepdims=True)
    binomial = np.sqrt(efficiency * (1 - efficiency) / (c.sum(axis=1) / events)[:, None])
    found = toy.yaml_matrix(f"fold{fold}_keras_confusion_efficiency2", CLASSES, "uncertainty")
    np.testing.assert_allclose(found, binomial, rtol=1e-6)


def test_the_network_has_learned_something(toy: Any) -> None:
    """Equal class weights: a network that knows nothing gives each class a third, so the diagonal sums to 1."""
    for model in (0, 1):
        efficiency = toy.yaml_matrix(f"fold{model}_keras_confusion_efficiency2", CLASSES)
        assert np.trace(efficiency) > 1.6


def test_a_second_run_overwrites_nothing(toy: Any) -> None:
    configs = [f"configs/toy/{stage}.yaml" for stage in ("dataset", "training", "application")]
    data = toy.folder / "example" / "example_data.root"
    before = data.read_bytes()
    for script, arguments in {
        "dataset/write_example_dataset.py": ["example"],
        "dataset/create_training_dataset.py": configs[:1],
        "training/keras_training.py": [configs[1], "all"],
        "testing/keras_confusion_matrix.py": [configs[1], "configs/toy/testing.yaml", "all"],
        "application/keras_application.py": [*configs, "example/example_data.root", "ntuple"],
        "application/keras_application_friend.py": [*configs, "example/example_signal.root", "ntuple"],
    }.items():
        line = toy.refused(script, *arguments)
        assert "--overwrite" in line
    assert data.read_bytes() == before


def test_an_onnx_file_that_is_missing_is_made_without_remarks_of_libraries(toy: Any, tmp_path: Path) -> None:
    for folder in ("configs", "example"):
        shutil.copytree(toy.folder / folder, tmp_path / folder)
    for path in (tmp_path / "example").glob("*.onnx"):
        path.unlink()
    configs = [f"configs/toy/{stage}.yaml" for stage in ("dataset", "training", "application")]
    script = "application/keras_application_friend.py"
    done = toy.run_script(script, *configs, "example/example_signal.root", "ntuple", "--overwrite", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    beginnings = ("model ", "example/fold", "ONNX and Keras agree", "reading ", "example/friends", "wrote ")
    assert [line for line in done.stderr.splitlines() if not line.startswith(beginnings)] == []
    assert len(list((tmp_path / "example").glob("*.onnx"))) == 2
