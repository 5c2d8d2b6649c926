"""Ensembles of seeds: members are ordinary trainings; the model of a fold is their mean, with spread and members."""

from __future__ import annotations

import os
import re
import signal
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import onnxruntime
import pytest
import yaml

from ntupleml.application.lwtnn_export import require_lwtnn_form
from ntupleml.artifacts import KERAS, Method, members_path, model_files, models_by_fold, read_record
from ntupleml.cluster import ClusterOptions
from ntupleml.config import TrainingConfig, load_config
from ntupleml.config.ensemble import EnsembleConfig
from ntupleml.datasets.splitting import split_events
from ntupleml.errors import NtuplemlError
from ntupleml.scoring import model_evaluator
from ntupleml.scoring.training_rows import _chosen_entries, training_numbers, training_trees
from ntupleml.training import TrainingOptions, histogram_boosting, train_keras
from ntupleml.training.ensembles import member_jobs, shares_of_members, train_models
from ntupleml.training.jobs import Job
from ntupleml.training.listed_methods import train_listed
from ntupleml.training.submitting import train_all as train_all_submitted
from ntupleml.training.submitting import trainings
from ntupleml.training.tmva_training import train_tmva
from ntupleml.training.trainers import TRAINERS
from ntupleml.training.xgboost_fit import xgboost_trees

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

SEEDS = [7, 8, 9]
LISTED: dict[str, dict[str, Any]] = {
    "xgboost": {"type": "xgboost", "rounds": 5, "options": {"subsample": 0.5, "max_depth": 3}},
    "hist_gradient_boosting": {"type": "hist_gradient_boosting", "rounds": 5, "options": {"max_features": 0.4}},
    "lightgbm": {"type": "lightgbm", "rounds": 5, "options": {"bagging_fraction": 0.5, "bagging_freq": 1}},
}
ESTIMATORS: dict[str, dict[str, Any]] = {
    "forest": {"type": "RandomForestClassifier", "options": {"n_estimators": 5, "max_depth": 3}},
}
METHODS = {
    "keras": KERAS,
    **{name: Method("boosted_trees", name, block["type"]) for name, block in LISTED.items()},
    **{name: Method("scikit_learn", name, block["type"]) for name, block in ESTIMATORS.items()},
}


def seeds_of(method: Method) -> list[int]:
    """Networks take the longest, so there are two of them."""
    return SEEDS[:2] if method == KERAS else SEEDS


#: float32, which the mean of three scores is rounded to.
ROUNDING = 1e-6


def listed(blocks: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    return [{"name": name, "negative_weights": "IgnoreNegWeightsInTraining", **block} for name, block in blocks.items()]


@pytest.fixture(scope="module")
def base(
    tmp_path_factory: pytest.TempPathFactory, fold_file: Callable[..., None], columns: Callable[..., dict[str, Any]]
) -> dict[str, Any]:
    """Content of a config with fold files."""
    folder = tmp_path_factory.mktemp("ensembles")
    paths = [folder / f"fold{fold}.root" for fold in (0, 1)]
    for fold, path in enumerate(paths):
        fold_file(path, {name: columns(fold, index, 200) for index, name in enumerate(("sig", "bkg"))})
    return {
        "datasets": list(map(str, paths)),
        "classes": ["sig", "bkg"],
        "event_weights": "weight",
        "variables": ["x", "y", "n"],
        "seed": SEEDS[0],
        "model": {"hidden": [6], "epochs": 2, "batch_size": 64, "dropout": 0.2},
        "boosted_trees": listed(LISTED),
        "scikit_learn": listed(ESTIMATORS),
    }


def config_of(base: dict[str, Any], folder: Path, **keys: Any) -> TrainingConfig:
    return TrainingConfig.model_validate({**base, "output_path": str(folder), **keys})


def train_all(config: TrainingConfig, *, networks: bool = True, **options: Any) -> None:
    """Fold 0 of all methods."""
    chosen = TrainingOptions(figures=False, **options)
    if networks:
        number = min(config.num_members, len(seeds_of(KERAS)))
        train_keras(config.model_copy(update={"ensemble": EnsembleConfig(seeds=number)}), [0], chosen)
    train_listed(config, "boosted_trees", [0], chosen)
    train_listed(config, "scikit_learn", [0], chosen)


@pytest.fixture(scope="module")
def trained(base: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> TrainingConfig:
    """All methods of fold 0, three seeds each, one after the other in this process."""
    config = config_of(base, tmp_path_factory.mktemp("trained"), ensemble={"seeds": len(SEEDS)})
    train_all(config, threads=1)
    return config


@pytest.fixture(scope="module")
def plain(base: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> dict[int, TrainingConfig]:
    """The same without an ensemble, with the first seed (but for the network) and the second; events of the first."""
    configs = {}
    for seed in SEEDS[:2]:
        configs[seed] = config_of(base, tmp_path_factory.mktemp("plain"), seed=seed, data_seed=SEEDS[0])
        train_all(configs[seed], networks=seed != SEEDS[0], threads=1)
    return configs


def rows(number: int = 500) -> NDArray[np.float32]:
    return np.random.default_rng(1).normal([0.5, 5, 2], [1, 10, 1], (number, 3)).astype(np.float32)


def run(path: Path, outputs: list[str] | None = None) -> list[NDArray[Any]]:
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    found: list[NDArray[Any]] = session.run(outputs, {"variables": rows()})
    return found


def member_files(config: TrainingConfig, method: Method) -> list[Any]:
    return [model_files(members_path(config.output_path, seed), 0, method) for seed in seeds_of(method)]


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_mean_spread_and_members_are_those_of_the_files_of_the_members(trained: TrainingConfig, method: Method) -> None:
    each = np.stack([run(files.onnx)[0] for files in member_files(trained, method)], axis=1).astype(np.float64)
    assert each.std(axis=1).max() > 1e-4, "seeds make no difference"
    scores, spread, members = run(model_files(trained.output_path, 0, method).onnx, ["scores", "spread", "members"])
    np.testing.assert_array_equal(members, each.astype(np.float32))
    number = len(seeds_of(method))
    np.testing.assert_allclose(scores, each.sum(axis=1) / number, atol=ROUNDING)
    distances = each - each.mean(axis=1, keepdims=True)
    np.testing.assert_allclose(spread, np.sqrt((distances**2).sum(axis=1) / (number - 1)), atol=ROUNDING)


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_a_member_is_the_training_with_its_seed(
    trained: TrainingConfig, plain: dict[int, TrainingConfig], method: Method
) -> None:
    """The same model, bit by bit, as that of a training without an ensemble."""
    for files, (seed, config) in zip(member_files(trained, method), plain.items(), strict=False):
        own = model_files(config.output_path, 0, method)
        if (method, seed) == (KERAS, SEEDS[0]):
            continue
        np.testing.assert_array_equal(run(files.onnx)[0], run(own.onnx)[0])
        record, alone = read_record(files.record), read_record(own.record)
        assert record.seed == alone.seed == seed
        assert record.ensemble is None
        numbers = {"loss", "val_loss"}
        assert {key: record.history.get(key) for key in numbers} == {key: alone.history.get(key) for key in numbers}


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_the_record_has_each_member(trained: TrainingConfig, method: Method) -> None:
    files = model_files(trained.output_path, 0, method)
    record = read_record(files.record)
    assert record.ensemble is not None
    seeds = seeds_of(method)
    assert record.ensemble.seeds == seeds
    assert record.config["ensemble"] == {"seeds": len(seeds), "vary_split": False}
    assert (record.seed, record.num_members, record.split_seeds) == (7, len(seeds), [7])
    for member, own in zip(record.ensemble.members, member_files(trained, method), strict=True):
        of_member = read_record(own.record)
        assert member.sha256 == of_member.sha256
        assert member.history == of_member.history
        last = (of_member.best_epoch or len(of_member.history["loss"])) - 1
        assert member.metrics["val_loss"] == of_member.history["val_loss"][last]
    steps = min(len(member.history["loss"]) for member in record.ensemble.members)
    mean = np.mean([member.history["loss"][:steps] for member in record.ensemble.members], axis=0)
    np.testing.assert_allclose(record.history["loss"], mean)
    written = {path.name for path in files.record.parent.glob(f"fold0_{method.name}_*")}
    assert files.onnx.name in written
    assert not {name for name in written if name.endswith((".keras", ".pickle", "checkpoint.npz"))}


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_every_engine_gives_the_mean_and_what_the_members_say(trained: TrainingConfig, method: Method) -> None:
    (model,) = models_by_fold(trained, where="test", only=[0], method=method)
    wanted = run(model.files.onnx, ["scores", "spread", "members"])
    batch = {"variables": rows()}
    for engine in (None, "onnx"):
        evaluator = model_evaluator(model, engine)
        assert evaluator.ensemble is not None
        found = evaluator.ensemble(batch)
        for one, other in zip(found, wanted, strict=True):
            np.testing.assert_allclose(one, other, atol=2e-6)
        np.testing.assert_array_equal(evaluator.evaluate(batch), found.scores)


def test_members_that_are_gone_or_changed_are_not_scored_by_their_files(base: dict[str, Any], tmp_path: Path) -> None:
    config = config_of(base, tmp_path, ensemble={"seeds": 2})
    train_listed(config, "boosted_trees", [0], TrainingOptions("xgboost", figures=False))
    (model,) = models_by_fold(config, where="test", only=[0], method=METHODS["xgboost"])
    wanted = model_evaluator(model).evaluate({"variables": rows()})
    record = members_path(tmp_path, 8) / "fold0_xgboost_training.json"
    record.rename(tmp_path / "elsewhere.json")
    np.testing.assert_allclose(model_evaluator(model).evaluate({"variables": rows()}), wanted, atol=2e-6)
    with pytest.raises(NtuplemlError, match=r"fold0_xgboost_training.json: no such file, nor the member"):
        model_evaluator(model, "forest")
    with pytest.raises(NtuplemlError, match=r"--engine tmva: .* is an ensemble of 'xgboost'"):
        model_evaluator(model, "tmva")


@pytest.mark.parametrize("name", ["lightgbm", pytest.param("keras", marks=pytest.mark.slow)])
def test_processes_give_the_same_bits(trained: TrainingConfig, base: dict[str, Any], tmp_path: Path, name: str) -> None:
    """Also with other numbers of threads of the trees."""
    config = config_of(base, tmp_path, ensemble={"seeds": len(seeds_of(METHODS[name]))})
    options: dict[str, Any] = {"figures": False, "workers": 2}
    if name == "keras":
        train_keras(config, [0], TrainingOptions(**options))
    else:
        train_listed(config, "boosted_trees", [0], TrainingOptions(name, threads=2, **options))
    paths = [model_files(folder, 0, METHODS[name]).onnx for folder in (config.output_path, trained.output_path)]
    for one, other in zip(*map(run, paths), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    ("workers", "shares"),
    [
        (2, [[(0, 7), (0, 8), (0, 9)], [(1, 7), (1, 8), (1, 9)]]),
        (3, [[(0, 7), (0, 9)], [(0, 8)], [(1, 7), (1, 9)], [(1, 8)]]),
        (9, [[(fold, seed)] for fold in (0, 1) for seed in SEEDS]),
    ],
)
def test_members_of_a_model_stay_together(
    base: dict[str, Any], tmp_path: Path, workers: int, shares: list[list[tuple[int, int]]]
) -> None:
    """They share events and compiled epochs; but every process has something to do."""
    config = config_of(base, tmp_path, ensemble={"seeds": 3})
    jobs = [
        member for fold in (0, 1) for member in member_jobs(Job(TRAINERS["xgboost"], config, fold, (KERAS,), "test"))
    ]
    found = shares_of_members(jobs, workers)
    assert [[(job.fold, job.config.seed) for job in share] for share in found] == shares


def test_one_seed_is_a_plain_training(plain: dict[int, TrainingConfig], base: dict[str, Any], tmp_path: Path) -> None:
    config, method = config_of(base, tmp_path, ensemble={"seeds": 1}), METHODS["xgboost"]
    train_listed(config, "boosted_trees", [0], TrainingOptions("xgboost", figures=False))
    files, alone = model_files(tmp_path, 0, method), model_files(plain[7].output_path, 0, method)
    np.testing.assert_array_equal(run(files.onnx)[0], run(alone.onnx)[0])
    assert files.model.exists()
    assert not (tmp_path / "members").exists()


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"ensemble": {"seeds": 0}}, "ensemble.seeds"),
        ({"ensemble": {"sedes": 2}}, "ensemble: unknown key 'sedes'"),
        ({"ensemble": {"seeds": 2, "vary_split": True}, "equal_numbers": True}, "vary_split: draws the events anew"),
        ({"ensemble": {"seeds": 2, "vary_split": True}, "data_seed": 1}, "which data_seed chooses; leave one out"),
        ({"ensemble": {"seeds": 9}, "seed": 2**32 - 2}, "the last must be below"),
    ],
)
def test_what_no_ensemble_can_be(base: dict[str, Any], tmp_path: Path, keys: dict[str, Any], message: str) -> None:
    path = tmp_path / "training.yaml"
    path.write_text(yaml.safe_dump({**base, "output_path": str(tmp_path), **keys}))
    with pytest.raises(NtuplemlError, match=re.escape(message)):
        load_config(path, TrainingConfig)


def test_what_is_refused_before_anything_is_trained(
    base: dict[str, Any], trained: TrainingConfig, tmp_path: Path
) -> None:
    config = config_of(base, tmp_path, ensemble={"seeds": 2}, tmva={"methods": [{"name": "BDT", "type": "kBDT"}]})
    with pytest.raises(NtuplemlError, match="ensemble: a method of TMVA is one training; leave ensemble out"):
        train_tmva(config, [0])
    with pytest.raises(NtuplemlError, match=r"fold0_xgboost.* exists already; give --overwrite .*, or --continue"):
        train_listed(trained, "boosted_trees", [0], TrainingOptions("xgboost"))
    with pytest.raises(NtuplemlError, match="--overwrite and --continue exclude each other"):
        train_listed(config, "boosted_trees", [0], TrainingOptions(overwrite=True, continue_training=True))
    alone = config_of(base, tmp_path)
    with pytest.raises(NtuplemlError, match="--continue: goes on with networks and with ensembles"):
        train_listed(alone, "boosted_trees", [0], TrainingOptions(continue_training=True))
    assert not list(tmp_path.iterdir())


def test_more_seeds_keep_the_members_that_are_there(base: dict[str, Any], tmp_path: Path) -> None:
    """--continue with more seeds trains only those; other settings are refused, and --overwrite begins anew."""
    method, options = METHODS["xgboost"], TrainingOptions("xgboost", figures=False)
    train_listed(config_of(base, tmp_path, ensemble={"seeds": 2}), "boosted_trees", [0], options)
    first = model_files(members_path(tmp_path, 7), 0, method)
    before = first.model.stat().st_mtime_ns
    more = config_of(base, tmp_path, ensemble={"seeds": 3})
    train_listed(more, "boosted_trees", [0], replace(options, continue_training=True))
    record = read_record(model_files(tmp_path, 0, method).record)
    assert record.ensemble is not None
    assert record.ensemble.seeds == SEEDS
    assert first.model.stat().st_mtime_ns == before
    fewer = [{**base["boosted_trees"][0], "rounds": 4}]
    other = config_of(base, tmp_path, ensemble={"seeds": 3}, boosted_trees=fewer)
    with pytest.raises(NtuplemlError, match=r"seed7.*is of another config: boosted_trees.xgboost was"):
        train_listed(other, "boosted_trees", [0], replace(options, continue_training=True))
    train_listed(other, "boosted_trees", [0], replace(options, overwrite=True))
    assert first.model.stat().st_mtime_ns > before
    train_listed(config_of(base, tmp_path), "boosted_trees", [0], replace(options, overwrite=True))
    (model,) = models_by_fold(more, where="test", only=[0], method=method)
    assert model.record.ensemble is None
    assert model.files.model.suffix == ".json"


def test_a_killed_member_loses_nothing(base: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What ends the training in its second member leaves the first, which a new start takes."""
    config, options = config_of(base, tmp_path, ensemble={"seeds": 3}), TrainingOptions("hist_gradient_boosting")
    fit, seeds = histogram_boosting.hist_gradient_boosting_trees, []

    def killed(task: Any) -> Any:
        seeds.append(task.seed)
        if len(seeds) == 2:
            raise KeyboardInterrupt
        return fit(task)

    trainer = TRAINERS["hist_gradient_boosting"]
    monkeypatch.setitem(TRAINERS, "hist_gradient_boosting", replace(trainer, fit_trees=killed))
    with pytest.raises(KeyboardInterrupt):
        train_listed(config, "boosted_trees", [0], options)
    assert not model_files(tmp_path, 0, METHODS["hist_gradient_boosting"]).onnx.exists()
    train_listed(config, "boosted_trees", [0], options)
    assert seeds == [7, 8, 8, 9]
    folder = tmp_path / "members" / "seed7"
    assert (folder / "fold0_hist_gradient_boosting_loss.png").exists()
    assert (tmp_path / "fold0_hist_gradient_boosting_loss.png").exists()
    assert (tmp_path / "fold0_hist_gradient_boosting_importance.png").exists()


def test_a_worker_that_is_killed_is_replaced(base: dict[str, Any], tmp_path: Path) -> None:
    """Seed 8 kills its process the first time, as a batch system does; another one trains it."""
    folder = tmp_path / "killed"
    folder.mkdir()
    job = Job(
        TRAINERS["xgboost"],
        config_of(base, tmp_path / "out", ensemble={"seeds": 3}),
        0,
        (METHODS["xgboost"],),
        "test",
        TrainingOptions(workers=2, threads=1, figures=False),
    )
    trainer: Any = replace(TRAINERS["xgboost"], fit_trees=_Killed(folder))  # type: ignore[type-var]
    job = replace(job, settings=job.config.boosted_trees[0], trainer=trainer)
    (record,) = train_models([job]).records
    assert record.ensemble is not None
    assert record.ensemble.seeds == SEEDS
    assert [path.name for path in folder.iterdir()] == ["8"]


class _Killed:
    """Fits trees, but kills the process once at the seed 8."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, task: Any) -> Any:
        mark = self.folder / str(task.seed)
        if task.seed == 8 and not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return xgboost_trees(task)


def test_members_may_draw_events_of_their_own(base: dict[str, Any], tmp_path: Path) -> None:
    """With vary_split each is the plain training with its seed; what trains any of them counts as seen."""
    config = config_of(base, tmp_path / "vary", ensemble={"seeds": 2, "vary_split": True})
    options = TrainingOptions("xgboost", threads=1, figures=False)
    train_listed(config, "boosted_trees", [0], options)
    alone = config_of(base, tmp_path / "alone", seed=8)
    train_listed(alone, "boosted_trees", [0], options)
    own = model_files(members_path(config.output_path, 8), 0, METHODS["xgboost"])
    other = model_files(alone.output_path, 0, METHODS["xgboost"])
    np.testing.assert_array_equal(run(own.onnx)[0], run(other.onnx)[0])
    record = read_record(model_files(config.output_path, 0, METHODS["xgboost"]).record)
    assert record.split_seeds == [7, 8]
    trees = training_trees(config, record)
    chosen = np.concatenate([rule(0, 200) for _, rule in _chosen_entries(record, trees)])
    wanted = np.zeros(400, dtype=bool)
    for seed in (7, 8):
        wanted[split_events(400, config.train_test_split, seed).training] = True
    np.testing.assert_array_equal(chosen, wanted)
    assert sum(training_numbers(record, trees, 2)) == pytest.approx(wanted.sum(), rel=0.05)


def test_submit_shares_members_out(base: dict[str, Any], tmp_path: Path) -> None:
    config = config_of(base, tmp_path, ensemble={"seeds": 2})
    missing = trainings(config, [0, 1], [], ["xgboost"], TrainingOptions(figures=False), "test")
    assert train_all_submitted(missing, ClusterOptions()) == []
    for fold in (0, 1):
        assert read_record(model_files(tmp_path, fold, METHODS["xgboost"]).record).num_members == 2
    assert trainings(config, [0, 1], [], ["xgboost"], TrainingOptions(), "test") == []
    again = trainings(config, [0], [], ["xgboost"], TrainingOptions(overwrite=True, figures=False), "test")
    before = model_files(members_path(tmp_path, 8), 0, METHODS["xgboost"]).model.stat().st_mtime_ns
    assert train_all_submitted(again, ClusterOptions()) == []
    assert model_files(members_path(tmp_path, 8), 0, METHODS["xgboost"]).model.stat().st_mtime_ns > before


def test_exports_of_one_network_name_a_member(trained: TrainingConfig) -> None:
    (model,) = models_by_fold(trained, where="test", only=[0])
    with pytest.raises(NtuplemlError, match=r"an ensemble of 2 trainings, which has no lwtnn form; .*members/seed7"):
        require_lwtnn_form([model])
    member = trained.model_copy(update={"output_path": str(members_path(trained.output_path, 7)), "ensemble": None})
    (one,) = models_by_fold(member, where="test", only=[0])
    require_lwtnn_form([one])


@pytest.mark.slow
@pytest.mark.parametrize(
    "keys", [{"stream": True}, {"adversary": {"against": ["n"], "ramp": 0}}], ids=["stream", "adversary"]
)
def test_ways_to_train_networks(base: dict[str, Any], tmp_path: Path, keys: dict[str, Any]) -> None:
    config = config_of(base, tmp_path, ensemble={"seeds": 2}, **keys)
    (record,) = train_keras(config, [0])
    assert record.ensemble is not None
    assert ("adversary_loss" in record.history) == ("adversary" in keys)
    scores, spread, members = run(model_files(tmp_path, 0).onnx, ["scores", "spread", "members"])
    np.testing.assert_allclose(scores, members.mean(axis=1), atol=ROUNDING)
    assert spread.max() > 1e-4
    assert (tmp_path / "fold0_loss.png").exists()
    trees = training_trees(config, record)
    chosen = np.concatenate([rule(0, 200) for _, rule in _chosen_entries(record, trees)])
    assert record.split is not None
    assert int(chosen.sum()) == record.split.training
