"""The comparison of methods against scikit-learn's areas of scores that are computed here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import uproot
import yaml
from sklearn.metrics import roc_auc_score, roc_curve
from sklearn.model_selection import train_test_split

from ntupleml.config import TestingConfig, TrainingConfig, load_config
from ntupleml.errors import NtuplemlError
from ntupleml.testing.comparison import compare_methods

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable
    from pathlib import Path

    from conftest import Analysis

CLASSES = ["signal", "background_1", "background_2"]
#: The network of the config, as conftest has it, by model.
KERAS = [
    np.array([[0.0, 1.0, -1.0], [0.5, 0.2, -0.4]], dtype=np.float32),
    np.array([[1.0, -0.3, 0.1], [0.0, 0.6, 0.9]], dtype=np.float32),
    np.array([[-1.0, 0.4, 0.3], [0.3, -0.5, 0.2]], dtype=np.float32),
]
#: In the events, x is the largest for the last class: a method that knows.
GOOD = np.array([[-1.0, 0.0, 1.0], [0.0, 0.0, 0.0]], dtype=np.float32)


@pytest.fixture
def no_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawing is tested elsewhere."""
    monkeypatch.setattr("ntupleml.testing.comparison.save_roc_curves", lambda *_, **__: [])


@pytest.fixture
def two_methods(analysis: Analysis) -> Analysis:
    analysis.training["tmva"] = {"methods": [{"name": "Py_fold{fold}", "type": "kPyKeras"}, {"name": "BDT"}]}
    analysis.training["event_weights"] = "weights_f4"
    for model in (0, 1):
        analysis.add_method(model, f"Py_fold{model}", GOOD)
    return analysis


def run(analysis: Analysis, fold: str = "0", **options: Any) -> dict[str, Any]:
    analysis.write_configs()
    training = load_config(analysis.folder / "training.yaml", TrainingConfig)
    testing = load_config(analysis.folder / "testing.yaml", TestingConfig)
    paths = compare_methods(
        training, testing, fold, training_path="training.yaml", testing_path="testing.yaml", **options
    )
    return dict(yaml.safe_load(paths[1].read_text()))


def columns(analysis: Analysis, fold: int, weight: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Variables, classes and weights of a fold file, tree after tree."""
    events = [analysis.events[fold][name] for name in CLASSES]
    matrix = np.concatenate([np.stack([one["x"], one["y"]], axis=1) for one in events])
    truth = np.repeat(np.arange(3), [len(one["x"]) for one in events])
    return matrix, truth, np.concatenate([one[weight].astype("f8") for one in events])


def softmax(logits: np.ndarray) -> np.ndarray:
    exponentials = np.exp(logits.astype("f8"))
    return exponentials / exponentials.sum(axis=1, keepdims=True)


def check(found: dict[str, Any], scores: np.ndarray, truth: np.ndarray, weights: np.ndarray) -> None:
    for index, name in enumerate(CLASSES):
        signal = truth == index
        area = roc_auc_score(signal, scores[:, index], sample_weight=weights)
        one = found["classes"][name]
        assert one["entries"] == signal.sum()
        assert one["auc"]["value"] == pytest.approx(area, abs=1e-5)  # the scores are float32
        assert 0.001 < one["auc"]["uncertainty"] < 0.1
        background, efficiency, _ = roc_curve(signal, scores[:, index], sample_weight=weights, drop_intermediate=False)
        for level in (0.01, 0.1, 0.3):
            below, above = efficiency[background <= level].max(), efficiency[background > level].min()
            assert below - 1e-9 <= one["efficiency"][level]["value"] <= above + 1e-9
    shares = np.bincount(truth, weights) / weights.sum()
    areas = [found["classes"][name]["auc"]["value"] for name in CLASSES]
    assert found["average_auc"]["value"] == pytest.approx(shares @ areas)


def test_the_held_out_fold_and_the_training_part(two_methods: Analysis, no_pictures: None) -> None:
    """The training part is what scikit-learn draws for the seed of the record, of all trees one after the other."""
    content = run(two_methods, "1")
    assert list(content["methods"]) == ["Py_fold1", "keras"]  # the best first
    assert content["left_out"] == {"BDT": "not trained for fold 1"}
    for name, slopes in (("keras", KERAS[1]), ("Py_fold1", GOOD)):
        matrix, truth, weights = columns(two_methods, 0, "weights_f4")
        check(content["methods"][name]["test"], softmax(matrix @ slopes), truth, weights)
        matrix, truth, weights = columns(two_methods, 1, "weights_f4")
        trained, _ = train_test_split(np.arange(len(truth)), test_size=0.25, random_state=1)
        scores = softmax(matrix @ slopes)[trained]
        check(content["methods"][name]["training"], scores, truth[trained], weights[trained])


def test_all_folds_are_pooled(two_methods: Analysis, no_pictures: None) -> None:
    content = run(two_methods, "all", entries_per_chunk=37)
    assert content["models"] == [0, 1]
    assert content["held_out_folds"] == [1, 0]
    parts = [columns(two_methods, fold, "weights_f4") for fold in (1, 0)]
    scores = np.concatenate([softmax(parts[model][0] @ KERAS[model]) for model in (0, 1)])
    truth, weights = (np.concatenate([part[index] for part in parts]) for index in (1, 2))
    check(content["methods"]["keras"]["test"], scores, truth, weights)
    assert "Py_fold{fold}" in content["methods"]


def test_three_folds_train_on_two(make_analysis: Callable[..., Analysis], no_pictures: None) -> None:
    analysis = make_analysis(num_folds=3)
    analysis.testing["weight_branch"] = "counts"
    found = run(analysis, "2")["methods"]["keras"]["training"]
    parts = [columns(analysis, fold, "counts") for fold in (1, 2)]  # model 2 is held out from fold 0
    matrix, truth, weights = (np.concatenate([part[index] for part in parts]) for index in (0, 1, 2))
    trained, _ = train_test_split(np.arange(len(truth)), test_size=0.25, random_state=1)
    check(found, softmax(matrix @ KERAS[2])[trained], truth[trained], weights[trained])


def test_class_weights_change_the_rest(two_methods: Analysis, no_pictures: None) -> None:
    content = run(two_methods, class_weights=True)
    matrix, truth, weights = columns(two_methods, 1, "weights_f4")
    weights = weights * np.array([10.0, 1.0, 2.5])[truth]
    check(content["methods"]["keras"]["test"], softmax(matrix @ KERAS[0]), truth, weights)


def test_the_script_writes_table_and_pictures(
    two_methods: Analysis, run_script: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    two_methods.write_configs()
    script = ("testing/compare_methods.py", "training.yaml", "testing.yaml", "0")
    result = run_script(*script, "--methods", "keras,Py_fold{fold}", cwd=two_methods.folder)
    assert result.returncode == 0, result.stderr
    stem = two_methods.folder / "out" / "fold0_methods_comparison"
    assert stem.with_suffix(".pdf").read_bytes().startswith(b"%PDF")
    assert stem.with_suffix(".png").read_bytes().startswith(b"\x89PNG")
    content = yaml.safe_load(stem.with_suffix(".yaml").read_text())
    area = content["methods"]["Py_fold0"]["test"]["classes"]["signal"]["auc"]
    fitted = content["methods"]["Py_fold0"]["training"]["classes"]["signal"]["auc"]
    table = stem.with_suffix(".txt").read_text()
    row = next(line for line in table.splitlines() if line.startswith("Py_fold0  signal"))
    assert f"{area['value']:.4f} ± {area['uncertainty']:.4f} ({fitted['value']:.4f})" in row
    for heading in ("Sig eff @B=0.01", "Sig eff @B=0.10", "Sig eff @B=0.30", "Separation", "average"):
        assert heading in table
    assert row in result.stdout
    again = run_script(*script, cwd=two_methods.folder)
    assert again.returncode == 2
    assert again.stderr.count("\n") == 1
    assert "fold0_methods_comparison.txt: exists already; give --overwrite" in again.stderr


def test_factory_numbers_and_another_stem(two_methods: Analysis, no_pictures: None) -> None:
    stem = two_methods.folder / "out" / "fold0_training" / "TMVAMulticlass_comparison"
    areas = {"Py_fold0": {"signal": 0.8765, "background_1": 0.5}}
    content = run(two_methods, factory=areas, stem=stem, methods=["Py_fold0"])
    assert content["tmva_test_part_auc"] == areas
    assert list(content["methods"]) == ["Py_fold0"]
    assert "Py_fold0  signal, TMVA's own test part" in (table := stem.with_suffix(".txt").read_text())
    assert "0.8765" in table


def test_negative_weights_are_said(two_methods: Analysis, no_pictures: None) -> None:
    two_methods.training["event_weights"] = "weights"
    content = run(two_methods)
    steps = [one["step_back"] for one in content["methods"]["keras"]["test"]["classes"].values()]
    assert max(steps) > 0.001
    table = (two_methods.folder / "out" / "fold0_methods_comparison.txt").read_text()
    assert f"negative weights make an efficiency step back by up to {max(steps):.3f}" in table


def rewrite(analysis: Analysis, fold: int, class_name: str) -> None:
    """Leave one class of a fold file without events."""
    with uproot.recreate(analysis.folder / f"fold{fold}.root") as file:
        for name, content in analysis.events[fold].items():
            tree = file.mktree(name, {key: column.dtype for key, column in content.items()})
            if name != class_name:
                tree.extend(content)


def test_a_class_without_events_is_undefined_and_the_rest_is_made(two_methods: Analysis, no_pictures: None) -> None:
    rewrite(two_methods, 1, "signal")
    found = run(two_methods, "0")["methods"]["keras"]
    assert found["test"]["classes"]["signal"]["auc"] == "undefined: no signal events"
    assert found["test"]["average_auc"] == "undefined: class 'signal': no signal events"
    assert found["test"]["classes"]["background_1"]["auc"]["value"] > 0
    assert found["training"]["average_auc"]["value"] > 0
    table = (two_methods.folder / "out" / "fold0_methods_comparison.txt").read_text()
    assert "keras: class 'signal', held-out events: undefined: no signal events" in table


def test_fold_files_that_were_made_anew_have_no_training_part(two_methods: Analysis, no_pictures: None) -> None:
    rewrite(two_methods, 0, "none")
    found = run(two_methods, "0")["methods"]["keras"]
    assert found["training"] == "undefined: the fold files are not those of the training"
    assert found["test"]["average_auc"]["value"] > 0


def test_only_the_events_of_a_condition(make_analysis: Callable[..., Analysis], no_pictures: None) -> None:
    """The split is of all conditions' events, one condition after the other."""
    analysis = make_analysis(conditions=("a", "b"))
    analysis.training["event_weights"] = "weights_f4"
    content = run(analysis, "1", condition="b")["methods"]["keras"]
    shift = np.array([4.0, 0, 0])  # of the condition's own input, as conftest has it
    matrix, truth, weights = columns(analysis, 0, "weights_f4")
    check(content["test"], softmax(matrix @ KERAS[1] + shift), truth, weights)
    matrix, truth, weights = columns(analysis, 1, "weights_f4")
    trained, _ = train_test_split(np.arange(2 * len(truth)), test_size=0.25, random_state=1)
    kept = trained[trained >= len(truth)] - len(truth)
    check(content["training"], softmax(matrix @ KERAS[1] + shift)[kept], truth[kept], weights[kept])
    assert (analysis.folder / "out" / "fold1_methods_comparison_b.txt").exists()


def test_streamed_trainings_draw_their_events_otherwise(two_methods: Analysis, no_pictures: None) -> None:
    """As many events of each class as the streaming itself trains on."""
    from ntupleml.datasets.loading import class_trees, fold_files
    from ntupleml.training.streaming import StreamedData

    two_methods.training |= {"stream": True, "seed": 1}
    two_methods.add_method(0, "Py_fold0", GOOD, config={"train_test_split": 0.75, "stream": True})
    found = run(two_methods, methods=["Py_fold0"])["methods"]["Py_fold0"]["training"]
    config = load_config(two_methods.folder / "training.yaml", TrainingConfig)
    trees = class_trees(config, fold_files(config, 0, conditional=False))
    data = StreamedData(config, trees, 0, balanced=False, randomized=False)
    targets = np.concatenate([np.asarray(block.targets) for block in data.training_blocks(0)])
    assert [found["classes"][name]["entries"] for name in CLASSES] == targets.sum(axis=0).tolist()


def test_a_training_by_tmva_itself_has_all_events_of_its_fold(two_methods: Analysis, no_pictures: None) -> None:
    two_methods.add_method(0, "Py_fold0", GOOD, engine="tmva")
    content = run(two_methods)["methods"]["Py_fold0"]
    entries = [content["training"]["classes"][name]["entries"] for name in CLASSES]
    assert entries == [len(two_methods.events[0][name]["x"]) for name in CLASSES]
    table = (two_methods.folder / "out" / "fold0_methods_comparison.txt").read_text()
    assert "Py_fold0: in parentheses all events of the models' folds, some of which TMVA kept to test" in table


def test_methods_that_the_config_does_not_name_are_not_missed(analysis: Analysis, no_pictures: None) -> None:
    """Without a tmva block there are htt-ml's methods."""
    assert run(analysis)["left_out"] == {}
    with pytest.raises(NtuplemlError, match=r"'BDT': not trained for fold 0"):
        run(analysis, methods=["BDT"], overwrite=True)


def test_of_many_events_a_sample_is_taken_and_this_is_said(two_methods: Analysis, no_pictures: None) -> None:
    whole = run(two_methods)["methods"]["Py_fold0"]["test"]["classes"]
    content = run(two_methods, max_events=300, overwrite=True)
    sampled = content["methods"]["Py_fold0"]["test"]["classes"]
    assert content["sampled"] == pytest.approx({"signal": 0.5, "background_1": 100 / 201, "background_2": 100 / 202})
    for name in CLASSES:
        assert 60 < sampled[name]["entries"] < 140
        assert sampled[name]["auc"]["uncertainty"] > whole[name]["auc"]["uncertainty"]
    table = (two_methods.folder / "out" / "fold0_methods_comparison.txt").read_text()
    assert "a random sample of the events, weighted up: 0.5 of 'signal'" in table


def test_external_models_have_no_training_part(two_methods: Analysis, no_pictures: None) -> None:
    files = [f"fold{model}_keras_model.onnx" for model in (0, 1)]
    two_methods.testing["external"] = {"theirs": {"files": files}}
    content = run(two_methods)["methods"]
    assert content["theirs"]["engine"] == "external"
    assert content["theirs"]["test"] == content["keras"]["test"]
    assert content["theirs"]["training"].startswith("undefined: 'theirs' is a model of another program")
    assert list(run(two_methods, methods=["theirs"], overwrite=True)["methods"]) == ["theirs"]
    assert set(run(two_methods, methods=["theirs", "keras"], overwrite=True)["methods"]) == {"keras", "theirs"}


class TestRefused:
    def test_nothing_trained(self, analysis: Analysis) -> None:
        for path in (analysis.folder / "out").iterdir():
            path.unlink()
        with pytest.raises(NtuplemlError, match=r"none of its methods is trained: keras, .*; train one"):
            run(analysis)

    def test_an_unknown_method(self, two_methods: Analysis) -> None:
        with pytest.raises(NtuplemlError, match=r"training\.yaml has no method 'keraas'; nearest: 'keras'"):
            run(two_methods, methods=["keraas"])

    def test_a_method_that_is_asked_for_but_not_trained(self, two_methods: Analysis) -> None:
        with pytest.raises(NtuplemlError, match=r"'BDT': not trained for fold 0; train it, or leave it out"):
            run(two_methods, methods=["keras", "BDT"])

    def test_an_unknown_fold(self, two_methods: Analysis) -> None:
        with pytest.raises(NtuplemlError, match=r"fold '7': .*training\.yaml has the folds 0, 1"):
            run(two_methods, "7")


def test_nothing_is_written_if_a_model_cannot_be_used(two_methods: Analysis, no_pictures: None) -> None:
    path: Path = two_methods.folder / "out" / "fold0_training" / "weights" / "TMVAMulticlass_Py_fold0.onnx"
    path.write_bytes(b"damaged")
    with pytest.raises(NtuplemlError, match=r"TMVAMulticlass_Py_fold0\.onnx: not an ONNX graph"):
        run(two_methods)
    assert not list(two_methods.folder.rglob("*comparison*"))


@pytest.mark.parametrize(
    ("target", "verb"), [({"values": ["x"]}, "regression"), ({"reconstruction": "all"}, "reconstruction")]
)
def test_other_targets_than_classes_are_refused(analysis: Analysis, target: dict[str, Any], verb: str) -> None:
    training = TrainingConfig.model_validate({**analysis.training, "target": target})
    with pytest.raises(NtuplemlError, match=rf"training\.yaml: the target is .*; the verb for it is {verb}"):
        compare_methods(training, TestingConfig(), "0", training_path="training.yaml")
