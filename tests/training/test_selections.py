"""Rows that a training uses: selections, as many rows of each class, classes that weigh the same as another."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from ntupleml.datasets.loading import checked_chunks, class_trees, fold_files
from ntupleml.errors import NtuplemlError
from ntupleml.scoring.training_rows import training_trees
from ntupleml.training import TrainingOptions, train_keras
from ntupleml.training.boosted_trees import train_boosted_trees
from ntupleml.training.data import MemoryData
from ntupleml.training.jobs import Job
from ntupleml.training.streaming import StreamedData
from ntupleml.training.tabular_data import load_tabular_data
from ntupleml.training.tmva_root import ROOT_TMVA

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from ntupleml.config import TrainingConfig

    Columns = Callable[[int, int, int], dict[str, NDArray[Any]]]
    MakeConfig = Callable[..., TrainingConfig]

#: x, weight and class of a row, which is told from others by them.
Rows = "NDArray[np.float64]"


def from_blocks(data: Any) -> tuple[Rows, Rows]:
    """Rows that train, and rows that validate."""
    parts = []
    for blocks in (data.training_blocks(1), data.validation_blocks()):
        found = [
            np.column_stack(
                [np.asarray(b.inputs)[b.order, 0], b.weights, np.asarray(b.targets)[b.order].argmax(axis=1)]
            )
            for b in blocks
        ]
        parts.append(np.concatenate(found))
    return parts[0], parts[1]


def in_memory(config: TrainingConfig, trees: Any) -> tuple[Rows, Rows]:
    return from_blocks(MemoryData(config, trees, 0, balanced=False, randomized=False))


def streamed(config: TrainingConfig, trees: Any) -> tuple[Rows, Rows]:
    return from_blocks(StreamedData(config, trees, 0, balanced=False, randomized=False, buffer_bytes=5_000))


def as_matrix(config: TrainingConfig, trees: Any) -> tuple[Rows, Rows]:
    data = load_tabular_data(config, trees)
    training, validation = (
        np.column_stack([part.inputs[:, 0], part.weights, part.classes]) for part in (data.training, data.validation)
    )
    return training, validation


LOADERS = [in_memory, streamed, as_matrix]


def all_rows(load: Callable[..., tuple[Rows, Rows]], config: TrainingConfig, *, conditional: bool = False) -> Rows:
    """Rows that train or validate, in an order of their own."""
    rows = np.concatenate(load(config, class_trees(config, fold_files(config, 0, conditional))))
    return rows[np.lexsort(rows.T[::-1])]


def of_columns(*classes: dict[str, NDArray[Any]]) -> Rows:
    rows = np.concatenate(
        [np.column_stack([one["x"], one["weight"], np.full(len(one["x"]), index)]) for index, one in enumerate(classes)]
    )
    return rows[np.lexsort(rows.T[::-1])]


def chosen(columns: dict[str, NDArray[Any]], rows: NDArray[np.bool_]) -> dict[str, NDArray[Any]]:
    return {name: values[rows] for name, values in columns.items()}


@pytest.fixture
def plain(make_config: MakeConfig) -> MakeConfig:
    """Inputs are not scaled, so that rows are known again: `plain(**keys)`."""
    return lambda **keys: make_config(preprocessing="identity", **keys)


@pytest.mark.parametrize("load", LOADERS)
def test_selected_rows_with_their_weights(load: Any, plain: MakeConfig, columns: Columns) -> None:
    config = plain(selections={"bkg": "n >= 2 && x < 1.5"})
    sig, bkg = columns(0, 0, 300), columns(0, 1, 500)
    expected = of_columns(sig, chosen(bkg, (bkg["n"] >= 2) & (bkg["x"] < 1.5)))
    np.testing.assert_allclose(all_rows(load, config), expected, rtol=1e-6)


@pytest.mark.parametrize("load", LOADERS)
def test_chunks_without_any_row(load: Any, plain: MakeConfig, columns: Columns) -> None:
    config = plain(selections={"sig": "Entry$ >= 250", "bkg": "Entry$ < 40 || Entry$ > 450"})
    sig, bkg, entries = columns(0, 0, 300), columns(0, 1, 500), np.arange(500)
    expected = of_columns(chosen(sig, entries[:300] >= 250), chosen(bkg, (entries < 40) | (entries > 450)))
    np.testing.assert_allclose(all_rows(load, config), expected, rtol=1e-6)


def test_balanced_batches_of_selected_rows(plain: MakeConfig, columns: Columns) -> None:
    config = plain(selections={"bkg": "n >= 2"}, equal_numbers=True, model={"eventsPerClassAndBatch": 20})
    trees = class_trees(config, fold_files(config, 0, False))
    bkg = columns(0, 1, 500)
    for kind, options in ((MemoryData, {}), (StreamedData, {"buffer_bytes": 5_000})):
        data = kind(config, trees, 0, balanced=True, randomized=False, **options)
        for rows in from_blocks(data):
            assert np.isin(rows[rows[:, 2] == 1, 0].astype(np.float32), bkg["x"][bkg["n"] >= 2]).all()
            assert set(rows[:, 2]) == {0, 1}


@pytest.mark.parametrize("load", LOADERS)
def test_as_many_rows_of_each_class(load: Any, plain: MakeConfig, columns: Columns) -> None:
    """Those of the smallest, after the selections; the others are chosen at random, with their own weights."""
    sig, bkg = columns(0, 0, 300), columns(0, 1, 500)
    wanted = sig["n"] != 3
    config = plain(selections={"sig": "n != 3"}, equal_numbers=True)
    found = all_rows(load, config)
    assert np.bincount(found[:, 2].astype(int)).tolist() == [wanted.sum()] * 2
    np.testing.assert_allclose(found[found[:, 2] == 0], of_columns(chosen(sig, wanted)), rtol=1e-6)
    x = found[found[:, 2] == 1, 0].astype(np.float32)
    kept = np.isin(bkg["x"], x)
    np.testing.assert_allclose(found[found[:, 2] == 1, :2], of_columns(chosen(bkg, kept))[:, :2], rtol=1e-6)
    other = all_rows(load, config.model_copy(update={"seed": 8}))
    both = np.isin(other[other[:, 2] == 1, 0].astype(np.float32), x).sum()
    number = int(wanted.sum())
    # the number that two random choices of n among N rows have in common is hypergeometric
    share = number / 500
    assert abs(both - number * share) < 5 * np.sqrt(number * share * (1 - share) ** 2)


@pytest.mark.parametrize("keys", [{"equal_numbers": True}, {"selections": {"sig": "x > 0"}, "equal_numbers": True}])
def test_all_engines_choose_the_same_rows(keys: dict[str, Any], plain: MakeConfig) -> None:
    first, *others = (all_rows(load, plain(num_folds=3, **keys)) for load in LOADERS)
    for other in others:
        np.testing.assert_allclose(other, first, rtol=1e-6)


def test_each_condition_by_itself(
    plain: MakeConfig, tmp_path: Path, fold_file: Callable[..., None], columns: Columns
) -> None:
    conditions = {}
    for era, numbers in (("2016", (50, 90)), ("2017", (120, 70))):
        paths = [str(tmp_path / f"{fold}_{era}.root") for fold in (0, 1)]
        for path in paths:
            trees = {name: columns(int(era), index, numbers[index]) for index, name in enumerate(("sig", "bkg"))}
            fold_file(path, trees)
        conditions[era] = {"datasets": paths}
    config = plain(conditions=conditions, equal_numbers=True)
    trees = class_trees(config, fold_files(config, 0, conditional=True))
    assert [tree.num_entries for tree in trees] == [50, 50, 70, 70]


def test_the_log_and_the_record_have_the_numbers(
    plain: MakeConfig, columns: Columns, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "ntupleml")
    passing = int((columns(0, 1, 500)["x"] > 0.5).sum())
    config = plain(
        selections={"bkg": "x > 0.5"}, equal_numbers=True, boosted_trees=[{"name": "bdt", "rounds": 2}], num_folds=2
    )
    (record,) = train_boosted_trees(config, [0])
    (dataset,) = record.datasets
    numbers = {name: (content.entries, content.left_out) for name, content in dataset.classes.items()}
    assert numbers == {"sig": (300, 0), "bkg": (300, 200)}
    assert record.split is not None
    assert record.split.training + record.split.validation == 600
    assert record.config["selections"] == {"bkg": "x > 0.5"}
    messages = "\n".join(caplog.messages)
    assert f"selections.bkg: {passing} of 500 rows" in messages
    assert "equal_numbers: 300 rows of each class, chosen at random" in messages
    assert "class 'bkg': 300 of 500 events" in Path(config.output_path, "fold0_bdt_training.log").read_text()


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"selections": {"sgi": "x > 0"}}, "selections: no class 'sgi'; nearest: 'sig'"),
        ({"class_weights": {"sig": "bgk", "bkg": 1.0}}, r"class_weights.sig: no class 'bgk'; nearest: 'bkg'"),
        ({"class_weights": {"sig": "bkg", "bkg": "sig"}}, "class_weights.sig: class 'bkg' has no number itself"),
    ],
)
def test_configs_that_are_refused(keys: dict[str, Any], message: str, make_config: MakeConfig) -> None:
    with pytest.raises(ValueError, match=message):
        make_config(**keys)


@pytest.mark.parametrize(
    ("selection", "message"),
    [
        ("x > 1000", r"fold0.root: class 'bkg': selections.bkg: none of its 500 rows pass 'x > 1000'; loosen it"),
        ("X > 0", r"fold0.root: tree 'bkg': selections.bkg: .*no branch 'X'.*nearest: 'x'"),
        ("x >", "selections.bkg: "),
    ],
)
def test_selections_that_are_refused(selection: str, message: str, make_config: MakeConfig) -> None:
    config = make_config(selections={"bkg": selection})
    with pytest.raises(NtuplemlError, match=message):
        train_keras(config, [0])
    assert not Path(config.output_path).exists()


@pytest.mark.parametrize("keys", [{"selections": {"bkg": "x > 0"}}, {"equal_numbers": True}])
def test_the_real_tmva_reads_all_rows(keys: dict[str, Any], make_config: MakeConfig) -> None:
    job = Job(ROOT_TMVA, make_config(**keys), 0, (), "t.yaml")
    with pytest.raises(NtuplemlError, match=f"t.yaml: {next(iter(keys))}: ROOT's TMVA reads the fold files itself"):
        ROOT_TMVA.check(job)


@pytest.mark.parametrize("load", LOADERS)
def test_a_class_weighs_the_same_as_another(load: Any, plain: MakeConfig, columns: Columns) -> None:
    """In the events that train: as sums of weights 2 W_sig, 0.5 W_bkg and 2 W_sig of three classes."""
    keys: dict[str, Any] = {"classes": ("sig", "bkg", "tt")}
    with_names = plain(class_weights={"sig": 2.0, "bkg": 0.5, "tt": "sig"}, **keys)
    sums, before = (
        np.bincount(rows[:, 2].astype(int), rows[:, 1])
        for rows, _ in (
            load(config, class_trees(config, fold_files(config, 0, False))) for config in (with_names, plain(**keys))
        )
    )
    np.testing.assert_allclose(sums, [2 * before[0], 0.5 * before[1], 2 * before[0]], rtol=1e-5)


TWO_STAGES: dict[str, Any] = {"selections": {"bkg": "x > -0.5"}, "equal_numbers": True}


@pytest.mark.parametrize("stream", [False, True])
def test_rows_held_out_stay_held_out_when_a_training_goes_on(stream: bool, make_config: MakeConfig) -> None:
    """A training of two stages has the bits of one of one stage: in its second, it saw the same rows in each epoch."""
    keys = {**TWO_STAGES, "stream": stream, "num_folds": 3}

    def weights(record: Any, config: TrainingConfig) -> list[NDArray[Any]]:
        with np.load(Path(config.output_path) / "fold0_keras_checkpoint.npz") as file:
            return [file[name] for name in file.files if name.startswith("variable_")]

    config = make_config(model={"epochs": 4}, **keys)
    whole = weights(train_keras(config, [0])[0], config)
    train_keras(make_config(model={"epochs": 2}, **keys), [0], TrainingOptions(overwrite=True))
    (record,) = train_keras(config, [0], TrainingOptions(continue_training=True))
    assert record.epochs == 4
    for one, two in zip(weights(record, config), whole, strict=True):
        np.testing.assert_array_equal(one, two)
    held_out = set(config.datasets_of(None)) - {dataset.path for dataset in record.datasets}
    assert held_out == {config.datasets_of(None)[1]}
    # what testing reads as the rows of the training: those that were chosen, whatever the config says by now
    trees = training_trees(config.model_copy(update={"selections": {}, "equal_numbers": False, "seed": 1}), record)
    numbers = [sum(len(rows.weights) for rows in checked_chunks(tree, config)) for tree in trees]
    assert numbers == [content.entries for dataset in record.datasets for content in dataset.classes.values()]
    assert sum(numbers) == record.split.training + record.split.validation == 4 * 300


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seed": 8}, "--continue: seed was 7 and is 8 now"),
        ({"train_test_split": 0.5}, "--continue: train_test_split was 0.75 and is 0.5 now"),
        ({"selections": {"bkg": "x > 0"}}, "--continue: selections was .*x > -0.5.* and is .*x > 0"),
        ({"selections": {}}, "--continue: selections was "),
        ({"equal_numbers": False}, "--continue: equal_numbers was true and is false now"),
        ({"class_weights": {"sig": 1.0, "bkg": "sig"}}, "--continue: class_weights was null and is "),
    ],
)
def test_another_selection_cannot_go_on(
    changes: dict[str, Any], message: str, make_config: MakeConfig, tmp_path: Path
) -> None:
    config = make_config(model={"epochs": 1}, **TWO_STAGES)
    train_keras(config, [0])
    with pytest.raises(NtuplemlError, match=message):
        train_keras(config.model_copy(update=changes), [0], TrainingOptions(continue_training=True))
