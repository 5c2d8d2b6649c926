"""The folder of a model card: what it says is true, and its examples give the scores of the models."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import pytest
import uproot
import yaml
from onnx import TensorProto, helper

from ntupleml.application.card_inputs import card_inputs
from ntupleml.application.model_card import _rendered, deciding, write_model_card
from ntupleml.cli import main
from ntupleml.errors import NtuplemlError
from ntupleml.folds import FoldRule, FoldTable, hashed_numbers
from ntupleml.interface import load_model
from ntupleml.metrics import roc_curve

if TYPE_CHECKING:
    from numpy.typing import NDArray

STAND_IN = Path(__file__).resolve().parents[1] / "data" / "onnxruntime_stand_in"


def columns(name: str) -> dict[str, NDArray[Any]]:
    random = np.random.default_rng(len(name))
    return {
        "event": random.permutation(10_000)[:800].astype("i8"),
        "x": random.normal(name == "signal", 1, 800).astype("f4"),
        "y": random.exponential(5, 800).astype("f4"),
        "weight": np.where(random.random(800) < 0.05, -1.0, 1.5),
    }


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trained analysis with the folder of its models."""
    path = tmp_path_factory.mktemp("card")
    for name in ("signal", "background"):
        with uproot.recreate(path / f"{name}.root") as file:
            file.mktree("ntuple", {key: one.dtype for key, one in columns(name).items()}).extend(columns(name))
    dataset = {
        "output_path": str(path),
        "output_filename": "dataset.root",
        "base_path": str(path),
        "tree_path": "ntuple",
        "event_branch": "event",
        "training_weight_branch": "w",
        "processes": {
            name: {"files": [f"{name}.root"], "weight_string": "weight"} for name in ("signal", "background")
        },
    }
    training = {
        "datasets": [str(path / f"fold{fold}_dataset.root") for fold in range(2)],
        "output_path": str(path / "out"),
        "classes": ["signal", "background"],
        "event_weights": "w",
        "class_weights": "balanced",
        "define": {"activity": {"formula": "log(1 + y)", "label": "log of y", "unit": "GeV"}},
        "variables": ["x", "activity"],
        "boosted_trees": [
            {
                "name": "trees",
                "type": "hist_gradient_boosting",
                "rounds": 8,
                "negative_weights": "IgnoreNegWeightsInTraining",
            }
        ],
    }
    for name, content in (("dataset", dataset), ("training", training), ("testing", {})):
        (path / f"{name}.yaml").write_text(yaml.safe_dump(content))
    assert main(["dataset", str(path / "dataset.yaml"), "-q"]) == 0
    assert main(["train-bdt", str(path / "training.yaml"), "all", "-q"]) == 0
    arguments = [str(path / "training.yaml"), str(path / "testing.yaml"), "--method", "trees", "-q"]
    assert main(["model-card", *arguments]) == 0
    return path


@pytest.fixture(scope="module")
def card(folder: Path) -> Path:
    return folder / "out" / "trees_models"


@pytest.fixture(scope="module")
def example(card: Path) -> Any:
    spec = importlib.util.spec_from_file_location("score_events", card / "score_events.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def blocks(card: Path) -> list[str]:
    """Blocks of Python of the card."""
    return re.findall(r"```python\n(.*?)```", (card / "README.md").read_text(), re.DOTALL)


def test_the_folder_is_complete(card: Path) -> None:
    assert sorted(path.name for path in card.iterdir()) == [
        "README.md",
        *(f"fold{fold}_trees_{what}" for fold in range(2) for what in ("export.onnx", "training.json")),
        "score_events.cpp",
        "score_events.py",
    ]


def test_what_the_card_says_is_true(card: Path, folder: Path, example: Any) -> None:
    text = (card / "README.md").read_text().replace("\N{NARROW NO-BREAK SPACE}", " ")
    assert "an event is in fold *n* mod 2, *n* being branch 'event'" in text
    for name in ("signal", "background"):
        weights = columns(name)["weight"]
        row = re.search(rf"^\| {name} \| 800 \| (\S+) ± (\S+) \| (\S+) % \|$", text, re.MULTILINE)
        assert row is not None
        assert float(row[1].replace(" ", "")) == pytest.approx(weights.sum(), abs=1)
        assert float(row[2]) == pytest.approx(np.sqrt((weights**2).sum()), rel=0.05)
        assert float(row[3]) == pytest.approx(100 * (weights < 0).mean(), rel=0.01)
    x = np.concatenate([columns(name)["x"] for name in ("signal", "background")])
    row = re.search(
        r"^\| 0 \| `x` \| (\S+) to (\S+) \| (\S+) \| (\S+) \| 0 % \|$", text.replace("−", "-"), re.MULTILINE
    )
    assert row is not None
    expected = [*np.quantile(x, [0.01, 0.99]), x.min(), x.max()]
    np.testing.assert_allclose([float(number) for number in row.groups()], expected, rtol=2e-3)
    assert "| 1 | `log(1 + y)` log of y [GeV] | " in text
    # the area from the ONNX files alone, each event by the model that never saw it
    scores, truth, weights = [], [], []
    for index, name in enumerate(("signal", "background")):
        one = columns(name)
        inputs = np.stack([one["x"], np.log(1 + one["y"])], axis=1)
        scores.append(example.scores({"variables": inputs.astype("f4")}, one["event"])[:, 0])
        truth.append(np.full(800, index == 0))
        weights.append(one["weight"])
    area = roc_curve(np.concatenate(scores), np.concatenate(truth), np.concatenate(weights)).auc
    row = re.search(r"^\| signal \| (0\.\d+) ± (0\.\d+) \|$", text, re.MULTILINE)
    assert row is not None
    assert float(row[1]) == pytest.approx(area.value, abs=float(row[2]) / 10)
    assert area.value > 0.7


def test_the_example_in_python_gives_the_scores(card: Path, folder: Path, example: Any) -> None:
    """Also beside the model that the interface loads, for negative numbers of events, and for few."""
    random = np.random.default_rng(3)
    inputs = np.stack([random.normal(0, 1, 50), random.exponential(1, 50)], axis=1).astype("f4")
    numbers = random.integers(-100, 100, 50)
    found = example.scores({"variables": inputs}, numbers)
    for fold in range(2):
        of_model = load_model(folder / "out" / f"fold{1 - fold}_trees_model.npz")
        rows = numbers % 2 == fold
        expected = of_model.score({"x": inputs[rows, 0], "y": np.expm1(inputs[rows, 1].astype("f8"))})
        np.testing.assert_allclose(found[rows], expected, atol=1e-5)
    assert example.scores({"variables": inputs[:1]}, numbers[:1]).shape == (1, 2)
    run = subprocess.run(
        [sys.executable, "-c", blocks(card)[0]], cwd=card, capture_output=True, text=True, check=True
    ).stdout
    printed = np.array(re.findall(r"\d\.\d+", run), float).reshape(2, 2)
    np.testing.assert_allclose(printed.sum(axis=1), 1, rtol=1e-5)


def compiled(source: Path, program: Path) -> Path:
    """Compile with the stand-in; where there are real headers, these take the text, too."""
    options = ["-std=c++17", "-Wall", "-Wextra", "-Werror"]
    subprocess.run(["g++", *options, f"-I{STAND_IN}", str(source), "-o", str(program)], check=True)
    for place in (Path(os.environ.get("ONNXRUNTIME", "/usr")) / "include", Path("/usr/include/onnxruntime")):
        if (place / "onnxruntime_cxx_api.h").exists():
            subprocess.run(["g++", "-std=c++17", "-fsyntax-only", f"-I{place}", str(source)], check=True)
    return program


def test_the_example_in_cpp_asks_the_right_model(card: Path, tmp_path: Path) -> None:
    program = compiled(card / "score_events.cpp", tmp_path / "score_events")
    lines = "4 0.5 1.5\n7 1 2\n-3 2 3\n"
    run = subprocess.run([program, str(card)], input=lines, capture_output=True, text=True, check=True).stdout
    found = np.array([line.split() for line in run.splitlines()], float)
    # event n is in fold n mod 2, which model 1 - n mod 2 never saw; then the sum of the inputs
    np.testing.assert_allclose(found, [[1, 2, 0], [0, 3, 0], [0, 5, 0]])


@pytest.fixture
def objects() -> dict[str, Any]:
    """What the templates get of a model of jets and numbers, whose folds follow from a hash."""
    inputs = [
        helper.make_tensor_value_info("event", TensorProto.FLOAT, ["events", 2]),
        helper.make_tensor_value_info("jets", TensorProto.FLOAT, ["events", "jets_steps", 2]),
        helper.make_tensor_value_info("jets_length", TensorProto.INT64, ["events"]),
    ]
    graph = helper.make_graph(
        [], "g", inputs, [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["events", 2])]
    )
    return {
        "title": "objects",
        "inputs": card_inputs(helper.make_model(graph), {"jets": ["pt", "eta"]}),
        "classes": ["s", "b"],
        "num_folds": 3,
        "files": [f"fold{fold}_keras_export.onnx" for fold in range(3)],
        "fold_by": ["run", "event"],
        "number_words": "a hash of run, event",
        "line_format": "",
        "output": "scores",
        "score_type": "float",
    }


def test_folds_by_a_hash_and_lists_of_objects_in_cpp(objects: dict[str, Any], tmp_path: Path) -> None:
    source = tmp_path / "score_events.cpp"
    source.write_text(_rendered("score_events.cpp", objects))
    program = compiled(source, tmp_path / "score_events")
    random = np.random.default_rng(1)
    branches = np.concatenate([random.integers(0, 2**62, (20, 2)), random.integers(-9, 9, (5, 2))])
    lengths = random.integers(0, 4, 25)
    lines = [
        f"{run} {event} 1 2 {length}{' 10 0.5' * length}"
        for (run, event), length in zip(branches, lengths, strict=True)
    ]
    run = subprocess.run([program, "."], input="\n".join(lines), capture_output=True, text=True, check=True).stdout
    found = np.array([line.split() for line in run.splitlines()], float)
    fold = hashed_numbers([branches[:, 0], branches[:, 1]]) % 3
    np.testing.assert_allclose(found[:, 0], (fold - 1) % 3)
    np.testing.assert_allclose(found[:, 1], 3 + 10.5 * lengths)
    np.testing.assert_array_equal(found[:, 2], lengths)


def test_folds_by_a_hash_in_python(objects: dict[str, Any], tmp_path: Path) -> None:
    scope: dict[str, Any] = {"__file__": str(tmp_path / "score_events.py")}
    exec(_rendered("score_events.py", objects), scope)
    random = np.random.default_rng(2)
    run, event = random.integers(-(2**62), 2**62, (2, 30))
    np.testing.assert_array_equal(scope["fold_numbers"](run, event), hashed_numbers([run, event]))


def test_a_table_of_folds_gives_the_number_itself() -> None:
    table = FoldTable("split.h5", sha256="ab" * 32)
    words, hashed = deciding(FoldRule(fold_by=("run", "event"), table=table))
    assert words.startswith("the fold of the event in split.h5 (run, event")
    assert hashed == []
    assert deciding(FoldRule("event")) == ("branch 'event'", [])
    assert deciding(FoldRule(fold_by=("run",)))[1] == ["run"]


def test_without_a_testing_config_the_card_says_so(folder: Path, tmp_path: Path) -> None:
    card = write_model_card(folder / "training.yaml", method="trees", output=tmp_path / "given")
    assert "Not tested for this card" in (card / "README.md").read_text()
    with pytest.raises(NtuplemlError, match=r"README\.md: exists already; give --overwrite"):
        write_model_card(folder / "training.yaml", method="trees", output=card)
    write_model_card(folder / "training.yaml", method="trees", output=card, overwrite=True)
    for fold in range(2):
        onnx.checker.check_model(str(card / f"fold{fold}_trees_export.onnx"))


@pytest.mark.slow
def test_rdataframe_reads_scores_of_friends(
    folder: Path, card: Path, example: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The snippet counts what the example in Python does; SOFIE is in no wheel of PyPI, as the card says."""
    one = columns("signal")
    (tmp_path / "ntuple.root").write_bytes((folder / "signal.root").read_bytes())
    (tmp_path / "application.yaml").write_text("{}")
    configs = [str(path) for path in (folder / "dataset.yaml", folder / "training.yaml", tmp_path / "application.yaml")]
    monkeypatch.chdir(tmp_path)
    friends = ["--friend", "--output-directory", "friends", "-q"]
    assert main(["apply-bdt", *configs, "ntuple.root", "ntuple", *friends]) == 0
    (friend,) = (tmp_path / "friends").rglob("*.root")
    friend.rename(tmp_path / "friend.root")
    rdataframe, sofie = blocks(card)[1:]
    code = f"{rdataframe}\nprint(hasattr(ROOT, 'TMVA') and hasattr(ROOT.TMVA.Experimental, 'SOFIE'))"
    run = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=True
    ).stdout
    count, has_sofie = run.split()
    inputs = np.stack([one["x"], np.log(1 + one["y"])], axis=1).astype("f4")
    assert int(count) == (example.scores({"variables": inputs}, one["event"])[:, 0] > 0.5).sum()
    if has_sofie == "True":
        subprocess.run([sys.executable, "-W", "ignore", "-c", sofie], cwd=card, check=True)
        assert (card / "model.hxx").exists()
