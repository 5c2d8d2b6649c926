"""Rows that train get the distribution that a config wants of a formula, by weights or by leaving rows out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import uproot
from pydantic import ValidationError

from ntupleml.config import TrainingConfig
from ntupleml.datasets.loading import class_trees, fold_files, load_events
from ntupleml.datasets.reweighting import reweighted
from ntupleml.datasets.reweighting_factors import values_of
from ntupleml.errors import NtuplemlError
from ntupleml.scoring.training_rows import training_trees
from ntupleml.training import TrainingOptions, train_keras
from ntupleml.training.boosted_trees import train_boosted_trees
from ntupleml.training.streaming import StreamedData
from ntupleml.training.tabular_data import load_tabular_data

if TYPE_CHECKING:
    from numpy.typing import NDArray

NUMBERS = {"soft": 12_000, "hard": 6_000}
MEANS = {"soft": 30.0, "hard": 60.0}
FLAT = {"formula": "met / 1000", "range": [0, 100], "bins": 10}


def columns(name: str, fold: int) -> dict[str, NDArray[Any]]:
    random = np.random.default_rng([fold, len(name), 3])
    number = NUMBERS[name]
    met = 1000 * random.exponential(MEANS[name], number)
    weight = np.where(random.random(number) < 0.1, -0.5, random.uniform(0.5, 1.5, number))
    return {"met": met, "weight": weight, "x": random.normal(met / 1e5, 1).astype("f4")}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("folds")
    for fold in range(2):
        with uproot.recreate(path / f"{fold}.root") as file:
            for name in NUMBERS:
                file.mktree(name, {key: one.dtype for key, one in columns(name, fold).items()}).extend(
                    columns(name, fold)
                )
    return path


@pytest.fixture
def make(folder: Path, tmp_path: Path) -> Any:
    def config(reweight: dict[str, Any] | None, **keys: Any) -> TrainingConfig:
        content = {
            "datasets": [str(folder / "0.root"), str(folder / "1.root")],
            "output_path": str(tmp_path / "out"),
            "classes": [*NUMBERS],
            "event_weights": "weight",
            "variables": ["x", "met"],
            "preprocessing": "identity",
            "model": {"hidden": [4], "epochs": 1, "batch_size": 500},
            "reweight": reweight,
        }
        return TrainingConfig.model_validate({**content, **keys})

    return config


def used(config: TrainingConfig) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any], list[Any]]:
    """ETmiss (GeV), weights and classes of the rows of fold 0, and the trees."""
    trees = reweighted(config, class_trees(config, fold_files(config, 0, False)))
    events = load_events(config, trees)
    return events.inputs.batch()["variables"][:, 1] / 1000, events.weights, events.trees, trees


def contents(met: NDArray[Any], weights: NDArray[Any], bins: int = 10) -> NDArray[Any]:
    return np.histogram(met, bins, (0, 100), weights=weights)[0]


@pytest.mark.parametrize("method", ["histogram", "spline"])
@pytest.mark.parametrize("resample", [False, True])
def test_each_class_becomes_flat(make: Any, method: str, resample: bool) -> None:
    met, weights, classes, _ = used(make({**FLAT, "method": method, "resample": resample, "largest": 30}))
    for index, name in enumerate(NUMBERS):
        given = columns(name, 0)
        found = contents(met[classes == index], weights[classes == index])
        uncertainty = np.sqrt(contents(met[classes == index], weights[classes == index] ** 2))
        # lines between the centres of bins are not exact where the distribution is curved
        assert (np.abs(found / found.mean() - 1) < 0.06 + 4 * uncertainty / found.mean()).all()
        # the sum of weights stays, and is not that of equal bins
        assert weights[classes == index].sum() == pytest.approx(given["weight"].sum(), rel=1e-9)
        before = contents(given["met"] / 1000, given["weight"])
        assert before.max() / before.min() > 4 if name == "soft" else 2
        assert (classes == index).sum() == len(given["met"]) or resample


def test_rows_beyond_the_range_get_the_factor_of_its_end(make: Any) -> None:
    met, weights, classes, trees = used(make({**FLAT, "largest": 5}))
    given = np.concatenate([columns(name, 0)["weight"] for name in NUMBERS])
    factors = weights / given
    for index in range(2):
        beyond = factors[(classes == index) & (met > 100)]
        assert len(beyond) > 100
        assert np.ptp(beyond) < 1e-9
        assert beyond[0] == pytest.approx(factors[classes == index].max())
    # cut at 5 before the sum of weights is brought back to what it was
    assert trees[0].factors.largest == pytest.approx(5 * trees[0].factors.scale)


def test_the_factors_follow_from_the_bins(make: Any) -> None:
    """At the centres of the bins: wanted over found share, by hand."""
    _, weights, classes, trees = used(make({**FLAT, "to": {"formula": "exp(-x / 50)"}, "largest": 1000}))
    given = columns("hard", 0)
    found = contents(given["met"] / 1000, given["weight"])
    centres = np.arange(5, 100, 10)
    ratios = np.exp(-centres / 50) / np.exp(-centres / 50).sum() * found.sum() / found
    expected = np.exp(np.interp(given["met"] / 1000, centres, np.log(ratios)))
    expected *= given["weight"].sum() / (expected * given["weight"]).sum() * given["weight"]
    np.testing.assert_allclose(weights[classes == 1], expected, rtol=1e-9)
    before, after = given["weight"], expected
    record = trees[1].reweighted.as_record()
    assert record["classes"] == ["hard"]
    effective = [one.sum() ** 2 / (one**2).sum() for one in (before, after)]
    np.testing.assert_allclose(record["effective_rows"], effective, rtol=1e-9)


def test_a_class_like_another(make: Any) -> None:
    met, weights, classes, _ = used(make({**FLAT, "to": {"class": "hard"}}))
    soft, hard = (contents(met[classes == index], weights[classes == index]) for index in range(2))
    np.testing.assert_allclose(soft / soft.sum(), hard / hard.sum(), rtol=0.12)
    np.testing.assert_array_equal(weights[classes == 1], columns("hard", 0)["weight"])


def joint(config: TrainingConfig) -> tuple[list[NDArray[Any]], list[Any]]:
    """Shares of the classes in bins of x and ETmiss, and the trees."""
    trees = reweighted(config, class_trees(config, fold_files(config, 0, False)))
    events = load_events(config, trees)
    values = events.inputs.batch()["variables"] / [1, 1000]
    found = []
    for index in range(2):
        of_class = events.trees == index
        weights = events.weights[of_class]
        binned = np.histogram2d(*values[of_class].T, [[-1.5, 0, 0.6, 1.2, 3], [0, 25, 50, 100]], weights=weights)[0]
        found.append(binned / weights.sum())
    return found, trees


@pytest.mark.parametrize("resample", [False, True])
@pytest.mark.parametrize(
    "block",
    [
        {"range": [[-4, 5], [0, 300]], "bins": [12, 30]},
        {"method": {"type": "boosted", "trees": 60, "least": 100}},
    ],
)
def test_several_formulas_at_once(make: Any, block: dict[str, Any], resample: bool, tmp_path: Path) -> None:
    """Their common distribution becomes that of another class; the record has the distances by formula."""
    whole = {**block, "formula": ["x", "met / 1000"], "to": {"class": "hard"}, "resample": resample}
    (soft, hard), _ = joint(make(None))
    before = np.abs(soft / hard - 1).mean()
    (soft, hard), trees = joint(make(whole))
    assert before > 0.3
    assert np.abs(soft / hard - 1).mean() < (0.15 if resample else 0.1)
    record = trees[0].reweighted.as_record()
    for index, (first, after) in enumerate(record["distances"].values()):
        assert first > (0.08, 0.2)[index]
        assert after < 0.06
    assert trees[1].reweighted is None
    # the sum of weights stays
    found = trees[0].reweighted
    assert found.after.weights == pytest.approx(columns("soft", 0)["weight"].sum(), rel=1e-9)
    # the same block of a record is read again, to the same rows
    again = make(make(whole).model_dump(mode="json", by_alias=True)["reweight"])
    assert joint(again)[1][0].num_entries == trees[0].num_entries


def test_distances_are_those_of_kolmogorov_and_smirnov(make: Any) -> None:
    """Over all rows of both classes, by hand."""
    _, _, _, trees = used(make({**FLAT, "to": {"class": "hard"}}))
    samples = [columns(name, 0) for name in NUMBERS]
    points = np.concatenate([one["met"] for one in samples])

    def cumulated(one: dict[str, NDArray[Any]]) -> NDArray[Any]:
        order = np.argsort(one["met"])
        sums = np.append(0, np.cumsum(one["weight"][order]))
        return sums[np.searchsorted(one["met"][order], points, side="right")] / sums[-1]

    expected = np.abs(cumulated(samples[0]) - cumulated(samples[1])).max()
    assert trees[0].reweighted.distances["met / 1000"][0] == pytest.approx(expected, rel=1e-9)


def test_a_distribution_of_several_formulas(make: Any) -> None:
    """Flat in both, within the ranges."""
    block = {
        "formula": ["x", "met / 1000"],
        "range": [[-1, 1], [0, 40]],
        "bins": [4, 8],
        "to": {"formula": "0 * x1 + 1"},
    }
    config = make({**block, "largest": 100})
    trees = reweighted(config, class_trees(config, fold_files(config, 0, False)))
    events = load_events(config, trees)
    values = (events.inputs.batch()["variables"] / [1, 1000])[events.trees == 0]
    weights = events.weights[events.trees == 0]
    found = np.histogram2d(*values.T, [np.linspace(-1, 1, 5), np.linspace(0, 40, 9)], weights=weights)[0]
    np.testing.assert_allclose(found / found.mean(), 1, atol=0.15)
    assert all(after < 0.03 for _, after in trees[0].reweighted.distances.values())


def test_values_are_learnt_of_one_sample(make: Any) -> None:
    config = make(FLAT, target={"values": ["met"]}, variables=["x", "met"])
    met, weights, classes, trees = used(config)
    both = contents(met, weights)
    np.testing.assert_allclose(both, both.mean(), rtol=0.1)
    assert {tree.reweighted.classes for tree in trees} == {("soft", "hard")}
    alone = contents(met[classes == 0], weights[classes == 0])
    assert alone.max() / alone.min() > 1.5


@pytest.mark.parametrize("resample", [False, True])
def test_streamed_and_as_a_matrix_it_is_the_same(make: Any, resample: bool) -> None:
    config = make({**FLAT, "resample": resample}, train_test_split=0.5)
    _, weights, _, trees = used(config)
    streamed = StreamedData(config, trees, 0, balanced=False, randomized=False, buffer_bytes=100_000)
    blocks = [*streamed.training_blocks(0), *streamed.validation_blocks()]
    sum_of_blocks = sum(float(np.sum(block.weights, dtype="f8")) for block in blocks)
    assert sum_of_blocks == pytest.approx(weights.sum(), rel=1e-5)
    np.testing.assert_allclose(np.sort(load_tabular_data(config, trees).weights), np.sort(weights), rtol=1e-12)


@pytest.mark.parametrize("resample", [False, True])
def test_the_record_says_it(make: Any, resample: bool, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    block = {**FLAT, "resample": resample}
    config = make(block, boosted_trees=[{"name": "trees", "type": "xgboost", "rounds": 2}])
    (network,) = train_keras(config, [0], TrainingOptions(figures=False))
    (trees,) = train_boosted_trees(config, [0], TrainingOptions(figures=resample))
    for ending in ("png", "pdf"):
        assert (Path(config.output_path) / f"fold0_trees_reweight.{ending}").exists() == resample
    assert network.reweighted == trees.reweighted
    assert [one["classes"] for one in network.reweighted] == [["soft"], ["hard"]]
    assert "reweight: met / 1000 of 'soft': effective number of rows" in caplog.text
    again = training_trees(make(None), network)
    assert isinstance(again, list)
    assert [tree.num_entries for tree in again] == [one["rows"][1] for one in network.reweighted]
    assert [tree.num_entries for tree in again] == [*NUMBERS.values()] or resample
    # such events are compared with those of the test, by their own weights
    assert {tree.factors for tree in again} == {None}


@pytest.mark.parametrize(
    ("block", "message"),
    [
        ({"formula": "mett", "range": [0, 1]}, "reweight.formula: column 1: no branch 'mett'"),
        ({"formula": "met", "range": [-5, -1]}, "reweight.range: no row of 'soft' with a positive sum of weights is"),
        ({**FLAT, "to": {"formula": "y"}}, "reweight.to.formula"),
        ({**FLAT, "to": {"formula": "50 - x"}}, "'50 - x' is no distribution between 0 and 100"),
        ({**FLAT, "bins": 4, "method": "spline"}, "a spline needs 5 bins with rows, but 'soft' fills 4"),
        (
            {"formula": ["x", "met"], "to": {"class": "hard"}, "method": {"type": "boosted", "least": 1e6}},
            "no cut leaves an effective number of 1e+06 rows of both 'soft' and 'hard'",
        ),
        ({"formula": ["x", "mett"], "to": {"class": "hard"}, "method": "boosted"}, "no branch 'mett'"),
    ],
)
def test_what_cannot_be_is_refused(make: Any, block: dict[str, Any], message: str) -> None:
    with pytest.raises(NtuplemlError) as raised:
        used(make(block))
    assert message in str(raised.value)


def test_values_that_are_not_finite_are_refused() -> None:
    with pytest.raises(NtuplemlError) as raised:
        values_of(["met"], {"met": np.array([1, np.nan, 2])}, 3, "fold0.root")
    assert str(raised.value).startswith("fold0.root: reweight.formula: 'met' is NaN or infinite in 1 of 3 rows; cut")


@pytest.mark.parametrize(
    ("block", "message"),
    [
        ({**FLAT, "to": "flatt"}, "found 'flatt', but flat is needed"),
        ({**FLAT, "range": [1, 0]}, "range: 1.0 is not below 0.0"),
        ({"formula": "met"}, "range: missing; give the values"),
        ({**FLAT, "formula": ["x", "met"]}, "range: 1 given, but there are 2 formulas"),
        ({**FLAT, "formula": ["x", "met"], "range": [[0, 1], [0, 1]], "bins": 2000}, "bins: 4,000,000 in all"),
        ({**FLAT, "formula": ["x", "met"], "range": [[0, 1]] * 2, "method": "spline"}, "a spline is for one formula"),
        ({"formula": "met", "method": "boosted"}, "give to: {class: NAME}"),
        ({**FLAT, "method": "boosted", "to": {"class": "hard"}}, "range: boosted reweighting has no bins"),
        ({**FLAT, "method": "boost"}, "found 'boost', but histogram, spline or boosted"),
        ({**FLAT, "of": ["sofd"]}, "reweight.of: no class 'sofd'; nearest: 'soft'"),
        ({**FLAT, "to": {"class": "x", "formula": "1"}}, "give either class"),
        ({**FLAT, "to": {"class": "har"}}, "reweight.to.class: no class 'har'; nearest: 'hard'"),
    ],
)
def test_a_config_that_says_nothing_clear(make: Any, block: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError) as raised:
        make(block)
    assert message in str(raised.value)
