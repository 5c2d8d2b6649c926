"""TMVA weights on ntuples, against the answers of TMVA's Reader to the same events."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import uproot

from ntupleml.application import Plan, append_planned_scores, make_plan, write_planned_friends
from ntupleml.errors import NtuplemlError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray


def make_weights_plan(
    weights: list[Any], *, dataset_path: Any = None, application_path: Any = None, **options: Any
) -> Plan:
    """Plan of weights files alone."""
    return make_plan(dataset_path, None, application_path, kind="weights", weights=weights, **options)


SCRIPT = "application/TMVA_application.py"
CLASSES = ["ml_score_A", "ml_score_B", "ml_score_C"]
#: Two forests for the same variables and classes.
ONE, OTHER = "mc_bdtg_50", "mc_bdtg_50_nobag"


def scores(path: Path, names: list[str] = CLASSES) -> NDArray[Any]:
    with uproot.open(path) as file:
        columns = [file["ntuple"][name].array(library="np") for name in names]
    assert {column.dtype for column in columns} == {np.dtype("f4")}
    return np.stack(columns, axis=1)


def require_close(found: NDArray[Any], expected: NDArray[Any]) -> None:
    np.testing.assert_allclose(found, expected, rtol=2e-6, atol=1e-7)


def crossed(even: NDArray[Any], odd: NDArray[Any]) -> NDArray[Any]:
    """Rows of one array where the event number is even, of the other where it is odd."""
    events = np.arange(len(even), 0, -1)
    return np.where(events[:, None] % 2 == 0, even, odd)


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.message for record in caplog.records if record.levelname == "WARNING"]


def test_any_weights_without_configs(tmva_analysis: Any, run_script: Callable[..., Any]) -> None:
    """Options in front of the arguments do not swallow them."""
    path = tmva_analysis.ntuple()
    finished = run_script(SCRIPT, "--variables-from-xml", "--weights", tmva_analysis.weights(ONE), path, "ntuple")
    assert (finished.returncode, finished.stdout) == (0, "")
    lines = finished.stderr.splitlines()
    assert lines[0].startswith("WARNING: ")
    assert "no record of a training goes with it, so it cannot be checked which events" in lines[0]
    assert "scores appended as ml_score_A … ml_score_max_index (1,000 events, " in lines[-2]
    expected = tmva_analysis.answers(ONE)
    require_close(scores(path), expected)
    largest = scores(path, ["ml_score_max_score", "ml_score_max_index"])
    require_close(largest[:, 0], expected.max(axis=1))
    np.testing.assert_array_equal(largest[:, 1], expected.argmax(axis=1))
    with uproot.open(path) as file:
        assert file["ntuple"].keys() == ["x", "y", "cls", "event", *CLASSES, "ml_score_max_score", "ml_score_max_index"]


def test_a_binary_method_has_one_branch_with_its_name(tmva_analysis: Any, run_script: Callable[..., Any]) -> None:
    path = tmva_analysis.ntuple()
    arguments = [
        "--friend",
        "--branch-prefix",
        "tmva_",
        "--output-directory",
        tmva_analysis.folder / "f",
        path,
        "ntuple",
    ]
    weights = tmva_analysis.weights("bin_ada_default")
    finished = run_script(SCRIPT, *arguments, "--weights", weights, "--variables-from-xml")
    assert finished.returncode == 0, finished.stderr
    friend = tmva_analysis.folder / "f" / "toy2" / "toy2.root"
    with uproot.open(friend) as file:
        assert file["ntuple"].keys() == ["tmva_M", "entry"]
    require_close(scores(friend, ["tmva_M"]), tmva_analysis.answers("bin_ada_default"))


@pytest.mark.parametrize("engine", ["forest", "onnx", None])
def test_a_regression_has_one_branch_per_target(tmva_analysis: Any, engine: Any) -> None:
    path = tmva_analysis.ntuple("toy5")
    plan = make_weights_plan([tmva_analysis.weights("reg_bdtg")], engine=engine)
    assert append_planned_scores(plan, path, "ntuple").events == 1000
    require_close(scores(path, ["ml_score_t"]), tmva_analysis.answers("reg_bdtg"))


@pytest.mark.parametrize("engine", ["forest", "onnx"])
def test_variables_are_expressions(tmva_analysis: Any, engine: Any) -> None:
    """x+y, diff := x-y and TMath::Abs(x), with spectators, which nobody needs."""
    path = tmva_analysis.ntuple(diff=np.full(1000, 99.0))
    append_planned_scores(make_weights_plan([tmva_analysis.weights("bin_bdtg_expr")], engine=engine), path, "ntuple")
    require_close(scores(path, ["ml_score_M"]), tmva_analysis.answers("bin_bdtg_expr"))


def test_a_label_stands_in_where_the_expression_cannot_be_computed(tmva_analysis: Any) -> None:
    """An ntuple that holds the variables ready made, under their labels or expressions."""
    whole = tmva_analysis.ntuple()
    with uproot.open(whole) as file:
        x, y = (file["ntuple"][name].array(library="np") for name in "xy")
    path = tmva_analysis.folder / "made.root"
    columns = {"x+y": x + y, "diff": x - y, "TMath::Abs(x)": np.abs(x)}
    with uproot.recreate(path) as file:
        file.mktree("ntuple", dict.fromkeys(columns, np.dtype("f4"))).extend(columns)
    plan = make_weights_plan(
        [tmva_analysis.weights("bin_bdtg_expr")], output_directory=str(tmva_analysis.folder / "friends")
    )
    (friend,) = write_planned_friends(plan, [path], "ntuple")
    require_close(scores(friend, ["ml_score_M"]), tmva_analysis.answers("bin_bdtg_expr"))


def test_file_j_scores_the_events_of_fold_j(tmva_analysis: Any) -> None:
    path = tmva_analysis.ntuple()
    weights = [tmva_analysis.weights(ONE), tmva_analysis.weights(OTHER)]
    one, other = tmva_analysis.answers(ONE), tmva_analysis.answers(OTHER)
    assert np.abs(one - other).max() > 0.01
    append_planned_scores(make_weights_plan(weights, event_branch="event"), path, "ntuple")
    require_close(scores(path), crossed(one, other))
    append_planned_scores(make_weights_plan(weights), path, "ntuple", overwrite=True)
    by_entry = np.where(np.arange(1000)[:, None] % 2 == 0, one, other)
    require_close(scores(path), by_entry)


def test_weights_with_two_configs(tmva_analysis: Any, run_script: Callable[..., Any]) -> None:
    """The dataset config has the event branch, the application config prefix and folder."""
    path = tmva_analysis.ntuple()
    dataset, _, application = tmva_analysis.configs(branch_prefix="a_")
    weights = [tmva_analysis.weights(ONE), tmva_analysis.weights(OTHER)]
    finished = run_script(SCRIPT, dataset, application, path, "ntuple", "--weights", *weights, "--friend")
    assert finished.returncode == 0, finished.stderr
    friend = tmva_analysis.folder / "friends" / "toy2" / "toy2.root"
    with uproot.open(friend) as file:
        assert file["ntuple"].keys()[-1] == "event"
    expected = crossed(tmva_analysis.answers(ONE), tmva_analysis.answers(OTHER))
    require_close(scores(friend, ["a_A", "a_B", "a_C"]), expected)
    with pytest.raises(NtuplemlError, match=r"--weights: 3 files, but .*dataset\.yaml has 2 folds"):
        make_weights_plan([*weights, weights[0]], dataset_path=dataset)


@pytest.mark.parametrize("flag", [[], ["--variables-from-xml"]])
def test_weights_with_three_configs(tmva_analysis: Any, run_script: Callable[..., Any], flag: list[str]) -> None:
    path = tmva_analysis.ntuple()
    weights = [tmva_analysis.weights(ONE), tmva_analysis.weights(OTHER)]
    finished = run_script(SCRIPT, "--weights", *weights, *tmva_analysis.configs(), path, "ntuple", *flag)
    assert finished.returncode == 0, finished.stderr
    assert finished.stderr.count("no record of a training") == 2
    require_close(scores(path), crossed(tmva_analysis.answers(ONE), tmva_analysis.answers(OTHER)))


def test_foreign_weights_that_the_config_lists(tmva_analysis: Any, caplog: pytest.LogCaptureFixture) -> None:
    path = tmva_analysis.ntuple()
    listed = [str(tmva_analysis.weights(ONE)), str(tmva_analysis.weights(OTHER))]
    plan = make_plan(*tmva_analysis.configs(classifiers=listed), kind="tmva")
    append_planned_scores(plan, path, "ntuple")
    require_close(scores(path), crossed(tmva_analysis.answers(ONE), tmva_analysis.answers(OTHER)))
    assert [text.split(": ")[0] for text in warnings(caplog)] == listed
    for fold, text in enumerate(warnings(caplog)):
        assert text.endswith(f"it scores the events of fold {fold}, by its place in the list")


@pytest.mark.parametrize("engine", ["forest", "onnx", None])
def test_the_models_of_a_training_score_what_they_never_saw(tmva_analysis: Any, engine: Any) -> None:
    """Even events are of fold 0, which model 1 never saw."""
    path = tmva_analysis.ntuple()
    tmva_analysis.train((ONE, OTHER))
    append_planned_scores(make_plan(*tmva_analysis.configs(), kind="tmva", engine=engine), path, "ntuple")
    require_close(scores(path), crossed(tmva_analysis.answers(OTHER), tmva_analysis.answers(ONE)))


def test_htt_mls_own_config_for_tmva(
    analysis: Any, project: Path, run_script: Callable[..., Any], require_scores: Callable[..., None]
) -> None:
    """It lists the weights files of PyKeras, crosswise; our Keras models of these names are there instead."""
    import json

    import onnx

    from ntupleml.artifacts import Method, model_files, read_record, record_hash, write_record

    for fold in (0, 1):
        old = model_files(analysis.folder / "models", fold)
        files = model_files(analysis.folder / "models", fold, Method("tmva", f"PyKeras_fold{fold}", "kPyKeras"))
        files.model.parent.mkdir(parents=True)
        record = read_record(old.record).model_copy(update={"method": f"PyKeras_fold{fold}"})
        graph = onnx.load(old.onnx)
        description = json.loads(graph.metadata_props[0].value)
        graph.metadata_props[0].value = json.dumps({**description, "record_hash": record_hash(record)})
        onnx.save(graph, files.onnx)
        write_record(files.record, record)
        old.record.unlink()
    path = analysis.ntuple()
    config = project / "tests" / "data" / "htt_ml" / "example_application_config.yaml"
    finished = run_script(SCRIPT, *analysis.configs[:2], config, path, "mt_nominal/ntuple")
    assert finished.returncode == 0, finished.stderr
    require_scores(path, analysis.expected(path))


@pytest.mark.parametrize("script", ["keras_application.py", "bdt_application.py", "TMVA_application.py"])
def test_every_script_takes_the_method_of_the_config(
    tmva_analysis: Any, run_script: Callable[..., Any], script: str
) -> None:
    path = tmva_analysis.ntuple()
    tmva_analysis.train((ONE, OTHER))
    finished = run_script(f"application/{script}", *tmva_analysis.configs(method="BDT"), path, "ntuple")
    assert finished.returncode == 0, finished.stderr
    assert "WARNING" not in finished.stderr
    require_close(scores(path), crossed(tmva_analysis.answers(OTHER), tmva_analysis.answers(ONE)))


def test_weights_that_a_config_lists_are_checked_by_their_records(tmva_analysis: Any) -> None:
    tmva_analysis.train((ONE, OTHER))
    listed = [f"fold{fold}_training/weights/TMVAMulticlass_BDT.weights.xml" for fold in (1, 0)]
    make_plan(*tmva_analysis.configs(classifiers=listed))
    with pytest.raises(NtuplemlError, match="classifiers is in the wrong order: element 0 scores the events of"):
        make_plan(*tmva_analysis.configs(classifiers=listed[::-1]))
    dataset, training, application = tmva_analysis.configs()
    dataset.write_text(dataset.read_text().replace("event_branch: event", "event_branch: run"))
    with pytest.raises(NtuplemlError, match="event_branch: branch 'run' decides the fold, but the models were trained"):
        make_plan(dataset, training, application, kind="tmva")


def test_records_count_for_weights_on_the_command_line_too(
    tmva_analysis: Any, caplog: pytest.LogCaptureFixture
) -> None:
    tmva_analysis.train((ONE, OTHER))
    zero, one = (
        tmva_analysis.folder / "out" / f"fold{fold}_training" / "weights" / "TMVAMulticlass_BDT.weights.xml"
        for fold in (0, 1)
    )
    make_weights_plan([one, zero], event_branch="event")
    assert warnings(caplog) == []
    with pytest.raises(NtuplemlError, match="--weights: wrong order: element 0 scores the events of fold 0, which"):
        make_weights_plan([zero, one], event_branch="event")
    with pytest.raises(NtuplemlError, match=r"--weights: the entry number decides the fold, but .* trained on folds"):
        make_weights_plan([one, zero])
    make_weights_plan([zero])
    assert "was trained on folds 0 of 2" in warnings(caplog)[0]


def with_nan(tmva_analysis: Any, value: float = np.nan) -> tuple[Path, list[int]]:
    """An ntuple of several chunks with NaN, or another value, in x of some events."""
    path = tmva_analysis.ntuple(copies=250)
    with uproot.open(path) as file:
        x = file["ntuple"]["x"].array(library="np")
    bad = [5, 100_001, 249_999]
    x[bad] = value
    path = tmva_analysis.ntuple(copies=250, x=x)
    return path.rename(path.parent / "with_nan.root"), bad


def test_a_classification_has_no_answer_to_nan(tmva_analysis: Any, caplog: pytest.LogCaptureFixture) -> None:
    """As from `EvaluateMVA`; one warning for all chunks of a file."""
    path, bad = with_nan(tmva_analysis)
    case = "bin_ada_default"
    plan = make_weights_plan([tmva_analysis.weights(case)], output_directory=str(tmva_analysis.folder))
    (friend,) = write_planned_friends(plan, [path], "ntuple", overwrite=True)
    found = scores(friend, ["ml_score_M"])
    np.testing.assert_array_equal(found[bad], -999)
    good = np.setdiff1d(np.arange(250_000), bad)
    require_close(found[good], np.tile(tmva_analysis.answers(case), (250, 1))[good])
    assert [text for text in warnings(caplog) if "NaN" in text] == [
        f"{path}: tree 'ntuple': 3 of 250,000 events have NaN in a variable ('x' in 3); their scores are -999, as from "
        "TMVA's Reader"
    ]


def test_several_classes_have_an_answer_to_nan(tmva_analysis: Any, caplog: pytest.LogCaptureFixture) -> None:
    """As from `EvaluateMulticlass`: NaN goes to the left at each cut, as −infinity does; the index is the class."""
    found = []
    names = [*CLASSES, "ml_score_max_score", "ml_score_max_index"]
    for value in (np.nan, -np.inf):
        path, bad = with_nan(tmva_analysis, value)
        plan = make_weights_plan([tmva_analysis.weights(ONE)], output_directory=str(tmva_analysis.folder))
        (friend,) = write_planned_friends(plan, [path], "ntuple", overwrite=True)
        found.append(scores(friend, names))
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_array_equal(found[0][bad, 4], found[0][bad, :3].argmax(axis=1))
    assert [text for text in warnings(caplog) if "NaN" in text] == [
        f"{path}: tree 'ntuple': 3 of 250,000 events have NaN in a variable ('x' in 3); their scores are what TMVA's "
        "Reader makes of NaN"
    ]


@pytest.mark.parametrize(
    ("cases", "message"),
    [
        ((ONE, "bin_ada_default"), "the files do not go together: analysis Classification in"),
        ((ONE, "mc_mlp_expr"), r"the files do not go together: variables log\(1\+c\), a\*a, k, d in .*, but x, y in"),
    ],
)
def test_files_that_do_not_go_together(tmva_analysis: Any, cases: tuple[str, str], message: str) -> None:
    with pytest.raises(NtuplemlError, match=message):
        make_weights_plan([tmva_analysis.weights(case) for case in cases])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["INPUT", "ntuple", "--weights", "none.xml"], "TMVA_application.py: --weights: no file 'none.xml'"),
        (["INPUT", "ntuple", "--weights", "XML", "--friend"], "TMVA_application.py: --friend: give --output-directory"),
        (["INPUT", "ntupel", "--weights", "XML"], "no tree 'ntupel'; nearest: 'ntuple'"),
        (["INPUT", "ntuple", "--weights", "MLP", "--engine", "forest"], "--engine forest: "),
        (["INPUT", "ntuple"], "TMVA_application.py: without --weights three configs are needed"),
        (["INPUT", "--weights", "XML"], "TMVA_application.py: 1 arguments are no known form"),
        (
            ["a", "b", "c", "INPUT", "ntuple", "--event-branch", "event"],
            "TMVA_application.py: --event-branch is for --weights",
        ),
    ],
)
def test_mistakes_are_one_line(
    tmva_analysis: Any, run_script: Callable[..., Any], arguments: list[str], message: str
) -> None:
    path = tmva_analysis.ntuple()
    before = path.read_bytes()
    names = {"INPUT": path, "XML": tmva_analysis.weights(ONE), "MLP": tmva_analysis.weights("mc_mlp_tanh_N")}
    finished = run_script(SCRIPT, *[names.get(text, text) for text in arguments])
    assert finished.returncode == 2
    assert message in finished.stderr.splitlines()[-1]
    assert "Traceback" not in finished.stderr
    assert path.read_bytes() == before


def test_missing_branches_are_named(tmva_analysis: Any) -> None:
    path = tmva_analysis.ntuple("toy5")
    plan = make_weights_plan([tmva_analysis.weights("bin_bdtg_expr")])
    with pytest.raises(NtuplemlError, match=r"no branch 'x', which variable 'x\+y' needs"):
        append_planned_scores(plan, path, "ntuple")


def test_neither_onnx_nor_tensorflow_is_imported_for_a_bdt(tmva_analysis: Any, project: Path) -> None:
    """Startup is half of the cost of a small file."""
    import subprocess
    import sys

    path = tmva_analysis.ntuple()
    code = (
        "import atexit, runpy, sys\n"
        "atexit.register(lambda: print(*(name for name in ('tensorflow', 'keras', 'matplotlib', 'ROOT', 'onnxruntime', "
        "'onnx', 'sklearn', 'xgboost') if name in sys.modules)))\n"
        "sys.argv = sys.argv[1:]\n"
        "runpy.run_path(sys.argv[0], run_name='__main__')\n"
    )
    command = [
        sys.executable, "-c", code, str(project / SCRIPT), "--weights", str(tmva_analysis.weights(ONE)), "--friend",
        "--output-directory", str(tmva_analysis.folder / "f"), str(path), "ntuple",
    ]  # fmt: skip
    finished = subprocess.run(command, capture_output=True, text=True, check=True)
    assert finished.stdout.split() == []
