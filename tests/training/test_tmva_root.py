"""Training by ROOT's TMVA, with a stand-in for it: the calls to TMVA, its files, and its refusals.

ROOT's wheel has no TMVA, so what is tested here is what we ask of it, not what it does.
"""

from __future__ import annotations

import json
import os
from array import array
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import pytest
import yaml

from ntupleml.artifacts import Method, model_files, read_record, record_hash, sha256_of_file
from ntupleml.errors import NtuplemlError
from ntupleml.forests import Forest
from ntupleml.tmva.factory import (
    FACTORY_OPTIONS,
    FactoryJob,
    FactoryMethod,
    FactoryResult,
    FactoryTree,
    _rename_branches,
    run_factory,
)
from ntupleml.tmva.reading import read_weights
from ntupleml.tmva.writing import write_weights
from ntupleml.training.tmva_root import has_tmva
from ntupleml.training.tmva_training import train_tmva

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable

    from ntupleml.config import TrainingConfig

BDT = {"name": "BDT", "type": "kBDT", "options": "!H:NTrees=10:BoostType=Grad"}
ANSWER = 1 / (1 + np.exp(-1.0))  # of the stand-in's forest, above its cut


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Folder of the stand-in: what it leaves as TMVA's files, and the calls that it had."""
    folder = tmp_path / "stand_in"
    folder.mkdir()
    forest = Forest(
        num_inputs=3,
        num_outputs=2,
        roots=np.array([0, 3]),
        tree_outputs=np.array([0, 1]),
        features=np.array([0, -1, -1, -1], dtype=np.int32),
        cuts=np.array([0.5, 0, 0, 0], dtype=np.float32),
        left=np.array([1, -1, -1, -1], dtype=np.int32),
        right=np.array([2, -1, -1, -1], dtype=np.int32),
        values=np.array([0.0, -1.0, 1.0, 0.0]),
        link="softmax",
    )
    write_weights(
        folder / "weights.xml",
        forest,
        method_name="BDT",
        classes=["sig", "bkg"],
        variables=["x", "y", "n"],
        minima=[0] * 3,
        maxima=[1] * 3,
    )
    write_output(folder / "output.root", {"BDT": 0.0})
    monkeypatch.setenv("STAND_IN", str(folder))
    stand_in = Path(__file__).parent / "stand_in"
    monkeypatch.setenv("PYTHONPATH", str(stand_in), prepend=os.pathsep)
    monkeypatch.syspath_prepend(stand_in)
    return folder


def write_output(path: Path, wrong_by: dict[str, float]) -> None:
    """TMVA's output file: the test tree of model 0 with the answers of methods, one leaf per class."""
    from ntupleml.imports import import_root

    root = import_root()
    file = root.TFile.Open(str(path), "RECREATE")
    file.mkdir("fold0_training").cd()
    tree = root.TTree("TestTree", "TestTree")
    inputs = {name: array("f", [0.0]) for name in ("x", "y", "n")}
    answers = {name: array("f", [0.0, 0.0]) for name in wrong_by}
    for name, value in inputs.items():
        tree.Branch(name, value, f"{name}/F")
    for name, values in answers.items():
        tree.Branch(name, values, "sig/F:bkg/F")
    for x in (0.0, 0.5, 1.0):
        inputs["x"][0] = x
        for name, values in answers.items():
            values[0] = (ANSWER if x >= 0.5 else 1 - ANSWER) + wrong_by[name]
            values[1] = 1 - values[0]
        tree.Fill()
    tree.Write()
    file.Close()


def calls(home: Path) -> list[list[Any]]:
    found: list[list[Any]] = json.loads((home / "calls.json").read_text())
    return found


def test_the_wheel_of_root_has_no_tmva() -> None:
    assert not has_tmva()


def test_tmva_is_asked_for_what_htt_ml_asks_for(home: Path, make_config: Callable[..., TrainingConfig]) -> None:
    config = make_config(
        tmva={"methods": [BDT]},
        class_weights={"sig": 2.0, "bkg": 0.5},
        global_weight_scale=10.0,
        train_test_split=0.75,
    )
    assert has_tmva()
    train_tmva(config, [0], where="t.yaml")
    folder = "fold0_training"
    split = "TrainTestSplit_sig=0.75:TrainTestSplit_bkg=0.75:SplitMode=Random:SplitSeed=7:NormMode=None:!V"
    assert calls(home) == [
        ["Instance"],
        ["Open", "fold0_training.root", "RECREATE"],
        ["Factory", "TMVAMulticlass", "fold0_training.root", FACTORY_OPTIONS],
        ["DataLoader", folder],
        ["Open", "fold0.root", "READ"],
        ["Open", "fold0.root", "READ"],
        ["AddVariable", "x"],
        ["AddVariable", "y"],
        ["AddVariable", "n"],
        ["AddTree", "fold0.root:sig", "sig", 20.0],
        ["AddTree", "fold0.root:bkg", "bkg", 5.0],
        ["SetWeightExpression", "weight", "sig"],
        ["SetWeightExpression", "weight", "bkg"],
        ["PrepareTrainingAndTestTree", "", split],
        ["BookMethod", folder, "BDT", "BDT", BDT["options"]],
        ["TrainAllMethods"],
        ["TestAllMethods"],
        ["EvaluateAllMethods"],
        ["GetROCIntegral", folder, "BDT", 0],
        ["GetROCIntegral", folder, "BDT", 1],
        ["Close", "fold0_training.root"],
    ]
    assert "AnalysisType=Multiclass" in FACTORY_OPTIONS
    assert "Transformations=None" in FACTORY_OPTIONS


def test_branches_that_root_takes_for_formulas_get_plain_names(
    home: Path,
    tmp_path: Path,
    make_config: Callable[..., TrainingConfig],
    fold_file: Callable[..., None],
    columns: Callable[..., dict[str, Any]],
) -> None:
    """`TTreeFormula` reads `b-tag` as a difference; the weights file has the variable's own name again."""
    config = make_config(tmva={"methods": [BDT]}, variables=["x", "b-tag", "n * 2"])
    for fold in (0, 1):
        content = {name: columns(fold, index, 300) for index, name in enumerate(["sig", "bkg"])}
        for values in content.values():
            values["b-tag"] = values.pop("y")
        fold_file(tmp_path / f"fold{fold}.root", content)
    weights = home / "weights.xml"
    text = weights.read_text()
    for old, new in (("y", "b_M_tag"), ("n", "n*2")):
        text = text.replace(f'Expression="{old}" Label="{old}"', f'Expression="{new}" Label="{new}"')
    weights.write_text(text)
    (record,) = train_tmva(config, [0], where="t.yaml").records
    made = calls(home)
    assert [call[1] for call in made if call[0] == "AddVariable"] == ["x", "b_M_tag", "n * 2"]
    assert [call[1:] for call in made if call[0] == "SetName"] == [["b-tag", "b_M_tag"], ["b_M_tag", "b_M_tag"]] * 2
    files = model_files(config.output_path, 0, Method("tmva", "BDT", "kBDT"))
    assert [variable.expression for variable in read_weights(files.model).variables] == ["x", "b-tag", "n*2"]
    properties = {entry.key: entry.value for entry in onnx.load(files.onnx).metadata_props}
    assert json.loads(properties["ntupleml"])["variables"] == {"variables": record.variables}
    assert record.variables == ["x", "b-tag", "n * 2"]


def test_each_call_reaches_the_overload_that_it_means(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    fold_file: Callable[..., None],
    columns: Callable[..., dict[str, Any]],
) -> None:
    """Of overloads that differ in an enum, PyROOT may take one that makes a text of the number of a type."""
    from ntupleml.imports import import_root

    root = import_root()
    assert root.gInterpreter.Declare((Path(__file__).parent / "tmva_overloads.C").read_text())
    stand_in = SimpleNamespace(TMVA=root.ntupleml_overloads, TFile=root.TFile, TCut=root.TCut, gROOT=root.gROOT)
    monkeypatch.setattr("ntupleml.tmva.factory.import_root", lambda: stand_in)
    monkeypatch.chdir(tmp_path)
    fold_file(tmp_path / "fold0.root", {"sig": columns(0, 0, 10), "bkg": columns(0, 1, 10)})
    trees = [
        FactoryTree(path="fold0.root", tree=name, class_name=name, weight=weight)
        for name, weight in (("sig", 20.0), ("bkg", 0.5))
    ]
    methods = [
        FactoryMethod(type="kBDT", name="Trees", options="!H:NTrees=10"),
        FactoryMethod(type="kTab", name="Empty", options=""),
    ]
    job = FactoryJob(
        job_name="Job", folder="folder", output="output.root", variables=["x", "2*y"], classes=["sig", "bkg"],
        weight_expression="weight", split="SplitMode=Random", trees=trees, methods=methods,
    )  # fmt: skip
    run_factory(job, tmp_path / "result.json")
    found = FactoryResult.model_validate_json((tmp_path / "result.json").read_text())
    assert found.roc_integrals["Trees"] == {"sig": 0.5, "bkg": 0.5}
    assert [str(call) for call in root.ntupleml_overloads.calls] == [
        f"Factory|Job|output.root|{FACTORY_OPTIONS}|",
        "DataLoader|folder|",
        "AddVariable|x|F|0|0|",
        "AddVariable|2*y|F|0|0|",
        "AddTree|sig|sig|20||2|",
        "AddTree|bkg|bkg|0.5||2|",
        "SetWeightExpression|weight|sig|",
        "SetWeightExpression|weight|bkg|",
        "Prepare||SplitMode=Random|",
        "BookMethod|BDT|Trees|!H:NTrees=10|",
        "BookMethod|Tab|Empty||",
        "GetROCIntegral|Trees|0|",
        "GetROCIntegral|Trees|1|",
        "GetROCIntegral|Empty|0|",
        "GetROCIntegral|Empty|1|",
    ]


def test_root_itself_finds_the_renamed_branch(tmp_path: Path, fold_file: Callable[..., None]) -> None:
    from ntupleml.imports import import_root

    root = import_root()
    values = np.array([3.0, 5.0], dtype=np.float32)
    fold_file(tmp_path / "f.root", {"sig": {"b-tag": values, "b_M_tag": values + 1, "a.b": values}})
    file = root.TFile.Open(str(tmp_path / "f.root"))
    tree = file.Get("sig")
    assert _rename_branches([tree], ["b-tag", "b_M_tag", "a.b", "a.b/2", "no-branch"]) == {"b-tag": "b_M_tag_"}
    formula = root.TTreeFormula("formula", "b_M_tag_ + b_M_tag", tree)
    tree.LoadTree(1)
    assert formula.EvalInstance() == 5 + 6


def test_all_folds_trained_on_are_added_class_by_class(home: Path, make_config: Callable[..., TrainingConfig]) -> None:
    train_tmva(make_config(num_folds=3, tmva={"methods": [BDT]}), [1], where="t.yaml")
    trees = [call[1:3] for call in calls(home) if call[0] == "AddTree"]
    assert trees == [["fold0.root:sig", "sig"], ["fold1.root:sig", "sig"], ["fold0.root:bkg", "bkg"],
                     ["fold1.root:bkg", "bkg"]]  # fmt: skip


def test_files_record_and_onnx(home: Path, make_config: Callable[..., TrainingConfig]) -> None:
    config = make_config(tmva={"methods": [BDT]})
    (record,) = train_tmva(config, [0], where="t.yaml").records
    output = Path(config.output_path)
    files = model_files(output, 0, Method("tmva", "BDT", "kBDT"))
    assert sorted(str(path.relative_to(output)) for path in output.rglob("*") if path.is_file()) == [
        "fold0_training.root",
        "fold0_training/TMVAMulticlass.log",
        "fold0_training/weights/TMVAMulticlass_BDT.class.C",
        "fold0_training/weights/TMVAMulticlass_BDT.json",
        "fold0_training/weights/TMVAMulticlass_BDT.onnx",
        "fold0_training/weights/TMVAMulticlass_BDT.weights.xml",
    ]
    assert read_record(files.record) == record
    assert (record.engine, record.method, record.trained_on, record.held_out_fold) == ("tmva", "BDT", [0], 1)
    assert record.network["roc_integrals"] == {"sig": 0.75, "bkg": 0.76}
    assert record.versions["ROOT"] == "6.36.99"
    assert record.sha256 == {path.name: sha256_of_file(path) for path in (files.model, files.onnx)}
    assert record.onnx_check is not None
    assert record.onnx_check.events == 3
    assert record.onnx_check.largest_difference < 1e-6
    # TMVA divides class by class: 300 and 500 events, three quarters of each.
    assert record.split is not None
    assert (record.split.training, record.split.validation) == (225 + 375, 75 + 125)
    properties = {entry.key: entry.value for entry in onnx.load(files.onnx).metadata_props}
    assert json.loads(properties["ntupleml"])["record_hash"] == record_hash(record)


def files_below(folder: str) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in Path(folder).rglob("*") if path.is_file())


def test_answers_unlike_tmvas_are_refused_and_nothing_is_left(
    home: Path, make_config: Callable[..., TrainingConfig]
) -> None:
    write_output(home / "output.root", {"BDT": 0.01})
    config = make_config(tmva={"methods": [BDT]})
    with pytest.raises(NtuplemlError, match=r"differs from the trained method by up to 0\.01 on 3 events"):
        train_tmva(config, [0], where="t.yaml")
    assert not files_below(config.output_path)


def test_a_method_that_is_refused_leaves_the_others(home: Path, make_config: Callable[..., TrainingConfig]) -> None:
    write_output(home / "output.root", {"MLP": 0.01, "BDT": 0.0})
    mlp = {"name": "MLP", "type": "kBDT"}
    config = make_config(tmva={"methods": [mlp, BDT]})
    trained = train_tmva(config, [0], where="t.yaml")
    (failure,) = trained.failures
    assert failure.startswith("t.yaml: tmva method 'MLP': the ONNX graph differs from the trained method by up to 0.01")
    assert failure.endswith("(model 0)")
    assert [record.method for record in trained.records] == ["BDT"]
    assert files_below(config.output_path) == [
        "fold0_training.root",
        "fold0_training/TMVAMulticlass.log",
        *(f"fold0_training/weights/TMVAMulticlass_BDT.{end}" for end in ("class.C", "json", "onnx", "weights.xml")),
    ]


def test_a_method_without_weights_leaves_the_others(home: Path, make_config: Callable[..., TrainingConfig]) -> None:
    config = make_config(tmva={"methods": [BDT, {"name": "Weightless", "type": "kBDT"}]})
    trained = train_tmva(config, [0], where="t.yaml")
    assert [record.method for record in trained.records] == ["BDT"]
    (failure,) = trained.failures
    assert failure.startswith("t.yaml: tmva method 'Weightless': TMVA wrote no weights for it")


def test_the_script_says_by_its_status_that_a_method_failed(
    home: Path,
    tmp_path: Path,
    make_config: Callable[..., TrainingConfig],
    run_script: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    write_output(home / "output.root", {"MLP": 0.01, "BDT": 0.0})
    config = make_config(tmva={"methods": [{"name": "MLP", "type": "kBDT"}, BDT]})
    path = tmp_path / "training.yaml"
    path.write_text(yaml.safe_dump(config.model_dump(exclude_unset=True)))
    finished = run_script("training/TMVA_training.py", path, "0")
    assert finished.returncode == 1
    last = finished.stderr.splitlines()[-1]
    assert last.startswith(f"ERROR: {path}: tmva method 'MLP': the ONNX graph differs")
    assert last.endswith("; the other methods are kept")
    assert model_files(config.output_path, 0, Method("tmva", "BDT", "kBDT")).record.exists()


def test_why_tmva_stops_is_told_in_its_own_words(home: Path, make_config: Callable[..., TrainingConfig]) -> None:
    config = make_config(tmva={"methods": [{**BDT, "options": "NoSuchOption"}]})
    with pytest.raises(NtuplemlError) as error:
        train_tmva(config, [0], where="t.yaml")
    log = Path(config.output_path) / "fold0_training" / "TMVAMulticlass_failed.log"
    assert str(error.value) == (
        f"t.yaml: TMVA: BDT: The following options could not be interpreted: 'NoSuchOption'; its log is {log}"
    )
    assert files_below(config.output_path) == ["fold0_training/TMVAMulticlass_failed.log"]
    train_tmva(config.model_copy(update={"tmva": make_config(tmva={"methods": [BDT]}).tmva}), [0], where="t.yaml")
    assert not log.exists()


@pytest.mark.parametrize("how", ["Crash", "RootExit"])
def test_a_signal_is_named_with_the_last_that_tmva_said(
    home: Path, make_config: Callable[..., TrainingConfig], how: str
) -> None:
    """The process ends by the signal itself, or by ROOT's handler with status 128 + 5; its stack trace says nothing."""
    config = make_config(tmva={"methods": [{**BDT, "options": how}]})
    with pytest.raises(NtuplemlError) as error:
        train_tmva(config, [0], where="t.yaml")
    log = Path(config.output_path) / "fold0_training" / "TMVAMulticlass_failed.log"
    assert str(error.value) == (
        f"t.yaml: TMVA: it was ended by SIGTRAP, after it said 'Factory: Booking method: BDT'; its log is {log}"
    )
    assert "stack trace" in log.read_text()


def test_a_root_that_cannot_be_asked_for_tmva_is_told(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "ROOT.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "broken"), prepend=os.pathsep)
    assert not has_tmva()
    assert caplog.messages[0].startswith("ROOT cannot be asked for TMVA: it was ended by SIGSEGV")


@pytest.mark.parametrize(
    ("type_", "message"),
    [
        ("kNone", "TMVA: ntupleml: method 'M': TMVA has no type 'kNone'; e.g. kBDT, kMLP"),
        (
            "kFisher",
            "TMVA: ntupleml: method 'M': kFisher cannot tell 2 classes apart, as AnalysisType=Multi",
        ),
    ],
)
def test_methods_that_tmva_does_not_train(
    home: Path, make_config: Callable[..., TrainingConfig], type_: str, message: str
) -> None:
    config = make_config(tmva={"methods": [{"name": "M", "type": type_}]})
    with pytest.raises(NtuplemlError) as error:
        train_tmva(config, [0], where="t.yaml")
    assert message in str(error.value)


def test_weights_that_only_tmva_can_evaluate_are_kept_without_onnx(
    home: Path, make_config: Callable[..., TrainingConfig], caplog: pytest.LogCaptureFixture
) -> None:
    weights = home / "weights.xml"
    weights.write_text(weights.read_text().replace("BDT::BDT", "KNN::BDT"))
    config = make_config(tmva={"methods": [BDT]})
    (record,) = train_tmva(config, [0], where="t.yaml").records
    files = model_files(config.output_path, 0, Method("tmva", "BDT", "kBDT"))
    assert files.model.exists()
    assert not files.onnx.exists()
    assert list(record.sha256) == [files.model.name]
    assert any("no ONNX file is made: method 'KNN' of TMVA is not supported" in line for line in caplog.messages)


def test_the_engine_and_its_reason_are_told(
    home: Path, make_config: Callable[..., TrainingConfig], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO", logger="ntupleml"):
        train_tmva(make_config(tmva={"methods": [BDT]}), [0], where="t.yaml")
    assert caplog.messages[0] == "engine: TMVA, which this ROOT has"


def test_an_earlier_training_is_kept(home: Path, make_config: Callable[..., TrainingConfig]) -> None:
    config = make_config(tmva={"methods": [BDT]})
    train_tmva(config, [0], where="t.yaml")
    before = {path: path.stat().st_mtime_ns for path in Path(config.output_path).rglob("*") if path.is_file()}
    with pytest.raises(NtuplemlError, match="exists already; give --overwrite"):
        train_tmva(config, [0], where="t.yaml")
    assert {path: path.stat().st_mtime_ns for path in Path(config.output_path).rglob("*") if path.is_file()} == before
    train_tmva(config, [0], overwrite=True, where="t.yaml")


def test_tmva_cannot_replace_missing_inputs(home: Path, make_config: Callable[..., TrainingConfig]) -> None:
    config = make_config(tmva={"methods": [BDT]}, missing={"value": -10.0})
    with pytest.raises(NtuplemlError, match="TMVA cannot replace missing inputs; use --engine xgboost"):
        train_tmva(config, [0], where="t.yaml")
