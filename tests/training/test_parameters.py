"""Hypotheses of the signal as inputs: drawn for all other classes, in training, testing and application alike."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from ntupleml import stages
from ntupleml.application_arguments import add_application_options, application_parameters
from ntupleml.config import TrainingConfig
from ntupleml.datasets.loading import class_trees, fold_files, load_events, read_rows
from ntupleml.errors import NtuplemlError
from ntupleml.metrics import Undefined
from ntupleml.ntuples import open_ntuple
from ntupleml.testing.preparation import prepare, tested_events
from ntupleml.testing.registry import STEPS
from ntupleml.testing.training_part import training_part
from ntupleml.training import TrainingOptions, train_keras
from ntupleml.training.boosted_trees import train_boosted_trees

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    WriteFile = Callable[..., None]

#: Pairs of masses, and the sum of weights of the signal at each; the last has more negative than positive weights.
POINTS = {(125.0, 5.0): 150.0, (125.0, 55.0): 50.0, (600.0, 55.0): 200.0, (600.0, 150.0): -10.0}
EVENTS = {"sig": 410, "bkg": 4000, "data": 500}


def trees(seed: int) -> dict[str, dict[str, NDArray[Any]]]:
    """The signal has the masses, each point 100 rows or ten; the background has none, and `data` has zeros."""
    random = np.random.default_rng(seed)
    found = {name: {"x": random.normal(size=number), "w": np.ones(number)} for name, number in EVENTS.items()}
    counts = [10 if total < 0 else 400 // 3 for total in POINTS.values()]
    counts[0] += EVENTS["sig"] - sum(counts)
    masses = np.repeat(np.array(list(POINTS)), counts, axis=0)
    found["sig"] |= {"mH": masses[:, 0].astype(np.float32), "mS": masses[:, 1].astype(np.int32)}
    found["sig"]["w"] = np.repeat(
        [total / number for total, number in zip(POINTS.values(), counts, strict=True)], counts
    )
    found["data"] |= {"mH": np.zeros(EVENTS["data"]), "mS": np.zeros(EVENTS["data"])}
    return found


@pytest.fixture
def make(tmp_path: Path, fold_file: WriteFile) -> Callable[..., TrainingConfig]:
    """A training config with its fold files: `make(**keys)`."""

    def config(num_folds: int = 2, **keys: Any) -> TrainingConfig:
        paths = [tmp_path / f"fold{fold}.root" for fold in range(num_folds)]
        for fold, path in enumerate(paths):
            fold_file(path, trees(fold))
        content = {
            "datasets": [str(path) for path in paths],
            "output_path": str(tmp_path / "out"),
            "classes": ["sig", "bkg"],
            "event_weights": "w",
            "variables": ["x", "mH", "log(mS)"],
            "parameters": {"names": ["mH", "mS"], "of": ["sig"]},
            "model": {"hidden": [4], "epochs": 2, "batch_size": 500},
        }
        return TrainingConfig.model_validate({**content, **keys})

    return config


def masses_of(matrix: NDArray[np.float32]) -> list[tuple[float, float]]:
    return [(float(row[0]), float(row[1])) for row in np.round(np.column_stack([matrix[:, 1], np.exp(matrix[:, 2])]))]


@pytest.mark.parametrize("drawn", ["points", {"bkg": "points"}, {"data": "points"}])
def test_how_often_a_point_is_drawn_is_decided_by_class(make: Callable[..., TrainingConfig], drawn: Any) -> None:
    """All points alike: but for the one with a negative sum, which is none; classes that are not named by weight."""
    config = make(classes=["sig", "bkg", "data"], parameters={"names": ["mH", "mS"], "of": ["sig"], "drawn": drawn})
    events = load_events(config, class_trees(config, fold_files(config, 0, False)))
    matrix = events.inputs.batch()["variables"]
    by_class = {name: masses_of(matrix[events.trees == index]) for index, name in enumerate(["sig", "bkg", "data"])}
    positive = {point: weight for point, weight in POINTS.items() if weight > 0}
    for name in ("bkg", "data"):
        alike = drawn == "points" or drawn == {name: "points"}
        assert set(by_class[name]) == set(positive)
        for point, weight in positive.items():
            expected = EVENTS[name] * (1 / 3 if alike else weight / sum(positive.values()))
            assert abs(by_class[name].count(point) - expected) <= 5 * np.sqrt(expected)


def test_masses_are_drawn_together_by_the_weights_of_the_signal(make: Callable[..., TrainingConfig]) -> None:
    config = make()
    events = load_events(config, class_trees(config, fold_files(config, 0, False)))
    matrix = events.inputs.batch()["variables"]
    np.testing.assert_array_equal(matrix[:410, 1], trees(0)["sig"]["mH"])
    drawn = masses_of(matrix[410:])
    total = sum(max(weight, 0) for weight in POINTS.values())
    assert set(drawn) == {point for point, weight in POINTS.items() if weight > 0}
    for point, weight in POINTS.items():
        expected = EVENTS["bkg"] * max(weight, 0) / total
        assert abs(drawn.count(point) - expected) <= 5 * np.sqrt(expected)
    # no relation with the other inputs, nor of a row with the next
    numbers = np.array([mass for mass, _ in drawn])
    assert abs(np.corrcoef(numbers, matrix[410:, 0])[0, 1]) < 5 / np.sqrt(EVENTS["bkg"])
    assert abs(np.corrcoef(numbers[1:], numbers[:-1])[0, 1]) < 5 / np.sqrt(EVENTS["bkg"])


def test_a_sample_without_the_signal_gets_values_too(make: Callable[..., TrainingConfig]) -> None:
    """As a control sample: those of its own fold files, in place of what it has under these names."""
    config = make()
    first, second = (
        [rows for tree in class_trees(one, fold_files(one, 0, False)) for rows in read_rows(tree, one)]
        for one in (config, config.model_copy(update={"classes": ["bkg", "data"]}))
    )
    bkg, data = (rows.inputs.batch()["variables"] for rows in second)
    np.testing.assert_array_equal(bkg, first[1].inputs.batch()["variables"])
    assert set(masses_of(data)) == {point for point, weight in POINTS.items() if weight > 0}


def test_a_selection_of_the_signal_decides_the_points(make: Callable[..., TrainingConfig]) -> None:
    config = make(selections={"sig": "mH < 200"})
    events = load_events(config, class_trees(config, fold_files(config, 0, False)))
    assert {mass for mass, _ in masses_of(events.inputs.batch()["variables"])} == {125.0}


def test_a_row_has_the_same_values_in_chunks_of_any_size_and_for_any_model(make: Callable[..., TrainingConfig]) -> None:
    config = make(num_folds=3)
    of_models = {}
    for fold in (0, 1):
        for tree in class_trees(config, fold_files(config, fold, False)):
            for step in (None, 7):
                parts = [rows.inputs.batch()["variables"] for rows in read_rows(tree, config, step)]
                key = (tree.file.fold, tree.name)
                found = np.concatenate(parts)
                # points of other folds add up to the same shares, as all folds are alike
                np.testing.assert_array_equal(found, of_models.setdefault(key, found))
    assert (of_models[0, "bkg"][:, 1] != of_models[2, "bkg"][:, 1]).any()


@pytest.mark.parametrize("stream", [False, True])
def test_training_goes_on_and_is_tested_with_the_same_values(stream: bool, make: Callable[..., TrainingConfig]) -> None:
    config = make(stream=stream, boosted_trees=[{"name": "bdt", "rounds": 3}])
    train_keras(config, [0, 1])
    longer = config.model_copy(update={"model": config.model.model_copy(update={"epochs": 3})})
    records = train_keras(longer, [0, 1], TrainingOptions(continue_training=True))
    assert [record.epochs for record in records] == [3, 3]
    train_boosted_trees(config, [0, 1])
    preparation = prepare(longer, {}, "all", methods=["keras", "bdt"])
    events = tested_events(preparation)
    background = events.truth == 1
    assert set(events.values_of("mH")[background]) == {125.0, 600.0}
    pairs = set(zip(events.values_of("mH"), events.values_of("mS"), strict=True))
    assert pairs == set(POINTS)
    # a draw with the shares of the tested file's own signal
    share = (events.values_of("mH")[background] == 600).mean()
    assert abs(share - 0.5) < 5 * 0.5 / np.sqrt(background.sum())
    areas = STEPS["points"](preparation)
    for one in areas.numbers["sig"]:
        at_point = (events.values_of("mH") == one.point[0]) & (events.values_of("mS") == one.point[1])
        assert (one.entries, one.background_entries) == tuple(np.bincount(events.truth[at_point], minlength=2))
        if one.background_entries:
            area = roc_auc_score(~background[at_point], events.scores["bdt"][at_point, 0])
            assert one.auc["bdt"].value == pytest.approx(area, abs=1e-6)
        else:
            assert isinstance(one.auc["bdt"], Undefined)
    assert [one.point for one in areas.numbers["sig"]] == sorted(POINTS)
    areas.figure()
    part = training_part(prepare(longer, {}, "0"), "keras")
    assert len(part) == records[0].split.training


@pytest.mark.parametrize("method", ["keras", "boosted_trees"])
def test_application_takes_numbers_or_branches(
    method: str, make: Callable[..., TrainingConfig], tmp_path: Path, fold_file: WriteFile
) -> None:
    """Scores at the masses of the config or of the option are those of an ntuple that has these branches."""
    config = make(boosted_trees=[{"name": "bdt", "rounds": 3}])
    train_keras(config, [0, 1]) if method == "keras" else train_boosted_trees(config, [0, 1])
    random = np.random.default_rng(3)
    x = random.normal(size=50)
    masses = {"mH": np.full(50, 600.0), "mS": np.full(50, 55.0)}
    for name, more in (
        ("bare", {}),
        ("full", masses),
        ("other", {name: values + 1 for name, values in masses.items()}),
    ):
        (tmp_path / name).mkdir()
        fold_file(tmp_path / name / "a.root", {"t": {"x": x, **more}})
    dataset = {
        "output_path": tmp_path,
        "output_filename": "toy.root",
        "base_path": tmp_path,
        "tree_path": "t",
        "processes": {"sig": {"files": ["bare/a.root"]}},
    }

    def scores(name: str, folder: str, application: dict[str, Any], **options: Any) -> NDArray[np.float32]:
        paths = [tmp_path / name / "a.root"]
        application = {**application, "output_directory": str(tmp_path / folder)}
        (path,) = stages.apply(dataset, config, application, paths, "t", kind=method, friend=True, **options)
        with open_ntuple(path, "t") as ntuple:
            return next(iter(ntuple.chunks(["ml_score_sig"]))).columns["ml_score_sig"]

    expected = scores("full", "o1", {})
    np.testing.assert_array_equal(scores("bare", "o2", {"parameters": {"mH": 600.0, "mS": 55.0}}), expected)
    both = {"mH": 600.0, "mS": 55.0}
    np.testing.assert_array_equal(scores("other", "o3", {"parameters": {"mH": 1.0}}, parameters=both), expected)
    with pytest.raises(NtuplemlError, match=r"no branch 'mS', which is a parameter of the training; .*--parameter mS="):
        scores("bare", "o4", {"parameters": {"mH": 600.0}})
    with pytest.raises(NtuplemlError, match=r"parameters: the models take no 'mX'; nearest: '.*m"):
        scores("full", "o5", {"parameters": {"mX": 600.0}})


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"parameters": {"names": ["mH"], "of": ["sgi"]}}, "parameters.of: no class 'sgi'; nearest: 'sig'"),
        (
            {"parameters": {"names": ["mH"], "of": ["sig"], "drawn": {"bgk": "points"}}},
            "parameters.drawn: no class 'bgk'; nearest: 'bkg'",
        ),
        (
            {"parameters": {"names": ["mH"], "of": ["sig"], "drawn": {"sig": "points"}}},
            "parameters.drawn: 'sig' has values of its own",
        ),
        ({"parameters": {"names": ["mX"], "of": ["sig"]}}, "parameters.names: 'mX' is not among the inputs"),
    ],
)
def test_configs_that_are_refused(keys: dict[str, Any], message: str, make: Callable[..., TrainingConfig]) -> None:
    with pytest.raises(ValueError, match=message):
        make(**keys)


def test_numbers_of_the_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    parser = argparse.ArgumentParser()
    add_application_options(parser)
    found = application_parameters(parser.parse_args(["--parameter", "mH=600", "--parameter", "mS=1.5e2"]))
    assert found == {"mH": 600.0, "mS": 150.0}
    for text in ("mH", "mH=", "=3", "mH=x", "mH=nan"):
        with pytest.raises(SystemExit):
            parser.parse_args(["--parameter", text])
        assert f"'{text}' is not NAME=NUMBER" in capsys.readouterr().err


def negative(tables: dict[str, dict[str, NDArray[Any]]]) -> None:
    tables["sig"]["w"] = np.full(EVENTS["sig"], -1.0)


def not_a_number(tables: dict[str, dict[str, NDArray[Any]]]) -> None:
    tables["sig"]["mH"][3] = np.nan


def without(tables: dict[str, dict[str, NDArray[Any]]]) -> None:
    tables["sig"]["m_S"] = tables["sig"].pop("mS")


@pytest.mark.parametrize(
    ("change", "keys", "message"),
    [
        (negative, {}, "fold0.root: class 'sig': parameters: no values with positive weight to draw from"),
        (not_a_number, {}, "fold0.root: class 'sig': parameters: 'mH' is NaN or infinite"),
        (without, {}, r"no branch 'mS', which variable 'log\(mS\)' needs"),
        (None, {"selections": {"bkg": "mH < 200"}}, "selections.bkg: asks for 'mH', a parameter, but class 'bkg'"),
    ],
)
def test_files_that_are_refused(
    change: Any,
    keys: dict[str, Any],
    message: str,
    make: Callable[..., TrainingConfig],
    fold_file: WriteFile,
    tmp_path: Path,
) -> None:
    config = make(**keys)
    tables = trees(0)
    if change is not None:
        change(tables)
        fold_file(tmp_path / "fold0.root", tables)
    with pytest.raises(NtuplemlError, match=message):
        train_keras(config, [0])
