"""Triggers in a chain: models that score what others accept, in one pass, each event by models that never saw it."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import awkward as ak
import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import uproot

import ntupleml
from ntupleml.application import append_scores, make_plan, write_friends
from ntupleml.application.inputs import friends_of, open_input
from ntupleml.application.many_files import scored_files
from ntupleml.application.resuming import plan_key
from ntupleml.application.score_table import write_score_table
from ntupleml.application.scores import scored_chunks
from ntupleml.application_arguments import ApplicationOptions
from ntupleml.config import TrainingConfig, load_config
from ntupleml.config.application import ApplicationConfig
from ntupleml.errors import NtuplemlError
from ntupleml.ntuples import Ntuple, open_ntuple

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

TREE = "mt_nominal/ntuple"
#: Where the first level accepts.
THRESHOLD = 0.4


class Chain:
    """A first level of three folds and a second one of two, on one ntuple."""

    def __init__(self, second: Any) -> None:
        self.second = second
        self.first = type(second)(second.folder / "first", num_folds=3, variables=["y", "x"])
        self.first.write()
        dataset, training, _ = self.first.configs
        accept = {"output": "signal", "threshold": THRESHOLD}
        self.l1 = {"training": str(training), "dataset": str(dataset), "accept": accept}
        self.change(before={"l1": self.l1}, selection="l1_accept", default_score=-1)

    def change(self, **keys: Any) -> None:
        self.second.change("application", keys)

    def ntuple(self, **more: Any) -> Path:
        trigger = np.random.default_rng(3).random(1000) < 0.2
        path: Path = self.second.ntuple(passL1=trigger, **more)
        return path

    @property
    def configs(self) -> list[Path]:
        paths: list[Path] = self.second.configs
        return paths

    def expected(self, path: Path, *, l1_all: bool = False) -> tuple[dict[str, NDArray[Any]], NDArray[np.bool_]]:
        """Branches of both levels, and which events are sure to be accepted, or not, by the first."""
        first, second = self.first.expected(path), self.second.expected(path)
        accepted = first["ml_score_signal"] >= THRESHOLD
        with uproot.open(path) as file:
            seeded = accepted | file[TREE]["passL1"].array(library="np") if l1_all else accepted
        found = {name.replace("ml_score", "l1"): values for name, values in first.items()}
        found["l1_accept"] = accepted
        found |= {name: np.where(seeded, values, -1) for name, values in second.items()}
        return found, np.abs(first["ml_score_signal"] - THRESHOLD) > 2e-6


@pytest.fixture
def chain(analysis: Any) -> Chain:
    return Chain(analysis)


def require(found: dict[str, Any], expected: dict[str, NDArray[Any]], clear: NDArray[np.bool_]) -> None:
    assert clear.sum() > 990
    for name, values in expected.items():
        np.testing.assert_allclose(found[name][clear], values[clear], atol=2e-6, err_msg=name)


def as_format(path: Path, kind: str) -> tuple[Path, str]:
    """The ntuple as another kind of file, and its tree there."""
    with uproot.open(path) as file:
        columns = file[TREE].arrays(library="np")
    if kind == "RNTuple":
        with uproot.recreate(path) as file:
            file["ntuple"] = columns
        return path, "ntuple"
    if kind == "TTree":
        return path, TREE
    path.unlink()
    if kind == "Parquet":
        pq.write_table(pa.table(columns), path.with_suffix(".parquet"))
        return path.with_suffix(".parquet"), ""
    with h5py.File(path.with_suffix(".h5"), "w") as file:
        for name, column in columns.items():
            file[f"events/{name}"] = column
    return path.with_suffix(".h5"), "events"


@pytest.mark.parametrize("scheme", ["l1_accept", "l1_accept || passL1"])
@pytest.mark.parametrize(
    ("kind", "friend_format"), [("TTree", "root"), ("RNTuple", "parquet"), ("HDF5", "hdf5"), ("Parquet", "root")]
)
def test_both_schemes(chain: Chain, scheme: str, kind: str, friend_format: str) -> None:
    """l1Seeded and l1All: the second level scores the rows that its selection takes; both are written for all rows."""
    path = chain.ntuple()
    expected, clear = chain.expected(path, l1_all="passL1" in scheme)
    assert 100 < np.count_nonzero(expected["ml_score_signal"] == -1) < 900
    path, tree = as_format(path, kind)
    chain.change(selection=scheme, accept={"output": "other", "threshold": 0.3}, friend_format=friend_format)
    (friend,) = write_friends(*chain.configs, [path], tree)
    expected["ml_score_accept"] = expected["ml_score_other"] >= 0.3
    with open_ntuple(path, tree, friends_of(path, tree, [str(friend.parents[1])])) as ntuple:
        (chunk,) = ntuple.chunks(list(expected))
    require(chunk.columns, expected, clear & (np.abs(expected["ml_score_other"] - 0.3) > 2e-6))


def test_in_place_and_again(chain: Chain) -> None:
    """The branches of an earlier run are not what the selection means."""
    path = chain.ntuple()
    expected, clear = chain.expected(path)
    append_scores(*chain.configs, path, TREE)
    with pytest.raises(NtuplemlError, match=r"has branches 'l1_signal', .* already; give --overwrite"):
        append_scores(*chain.configs, path, TREE)
    chain.l1["accept"] = {"output": "signal", "threshold": 2}
    chain.change(before={"l1": chain.l1})
    append_scores(*chain.configs, path, TREE, overwrite=True)
    with uproot.open(path) as file:
        found = file[TREE].arrays(library="np")
    assert not found["l1_accept"].any()
    assert set(found["ml_score_signal"]) == {-1}
    np.testing.assert_allclose(found["l1_signal"], expected["l1_signal"], atol=2e-6)
    assert clear.any()


def test_one_pass(chain: Chain, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each file is read once, and each branch once."""
    path, asked = chain.ntuple(), list[list[str]]()
    read = Ntuple.chunks_of_anything

    def noted(self: Ntuple, wanted: list[str], *arguments: Any) -> Any:
        asked.append(sorted(wanted))
        return read(self, wanted, *arguments)

    plan = make_plan(*chain.configs)
    with open_input(plan, path, TREE) as ntuple:
        monkeypatch.setattr(Ntuple, "chunks_of_anything", noted)
        assert sum(chunk.counts.events for chunk in scored_chunks(plan, ntuple)) == 1000
    assert asked == [["event", "x", "y"]]


def test_several_in_order_and_as_inputs(chain: Chain) -> None:
    """The second model scores what the first accepts; the third takes the scores of both."""
    path = chain.ntuple()
    third = type(chain.second)(chain.second.folder / "third", variables=["l1_signal", "l2_signal"])
    third.write()
    first, second = chain.first.expected(path), chain.second.expected(path)
    l2 = {"training": str(chain.configs[1]), "selection": "l1_accept", "default_score": 3}
    third.change("application", {"before": {"l1": chain.l1, "l2": l2}, "branch_prefix": "hlt_"})
    (friend,) = write_friends(*third.configs, [path], TREE)
    with uproot.open(friend) as file:
        found = file[TREE].arrays(library="np")
    accepted = first["ml_score_signal"] >= THRESHOLD
    clear = np.abs(first["ml_score_signal"] - THRESHOLD) > 2e-6
    inputs = np.stack([first["ml_score_signal"], np.where(accepted, second["ml_score_signal"], 3)], axis=1)
    logits = [inputs @ weights.astype("f8") for weights in third.weights]
    events = found["event"].astype("i8")
    expected = np.where(events % 2, *(np.exp(one[:, 0]) / np.exp(one).sum(axis=1) for one in logits))
    np.testing.assert_allclose(found["hlt_signal"][clear], expected[clear], atol=5e-6)
    np.testing.assert_array_equal(found["l2_max_index"][clear] == -1, ~accepted[clear])
    third.change("application", {"before": {"a": l2, "l1": chain.l1}})  # the file has them in order of the alphabet
    with pytest.raises(NtuplemlError, match=r"no branch 'l1_accept'"):
        write_friends(*third.configs, [path], TREE, overwrite=True)


def test_a_table_has_the_rows_of_the_last(chain: Chain, tmp_path: Path) -> None:
    path = chain.ntuple()
    expected, clear = chain.expected(path)
    rows = write_score_table(
        make_plan(*chain.configs), [str(path)], TREE, tmp_path / "table.h5", {"both": "l1_signal+x"}
    )
    with h5py.File(tmp_path / "table.h5") as file:
        table = {name: column[:] for name, column in file["scores"].items()}
    assert table["l1_accept"].all()
    assert rows == len(table["both"])
    chosen = np.zeros(1000, np.bool_)
    chosen[table["file_entry"]] = True
    np.testing.assert_array_equal(chosen[clear], expected["l1_accept"][clear])
    np.testing.assert_allclose(table["l1_signal"], expected["l1_signal"][chosen], atol=2e-6)
    np.testing.assert_allclose(table["ml_score_other"], expected["ml_score_other"][chosen], atol=2e-6)


def test_objects_of_events(chain: Chain) -> None:
    """Jets that the first model accepts; all branches are lists."""
    counts = np.random.default_rng(1).integers(0, 4, 300)
    x, y = np.random.default_rng(2).normal(size=(2, counts.sum())).astype("f4")
    path = chain.second.folder / "jets" / "jets.root"
    path.parent.mkdir()
    jets = {"jet_x": ak.unflatten(x, counts), "jet_y": ak.unflatten(y, counts), "event": np.arange(300)}
    with uproot.recreate(path) as file:
        file.mktree(TREE, {"jet_x": "var * float32", "jet_y": "var * float32", "event": "i8"}).extend(jets)
    models = [str(chain.second.folder / "models" / f"fold{fold}_keras_model.onnx") for fold in (1, 0)]
    onnx = {"inputs": {"variables": ["jet_x", "jet_y"]}, "classes": ["signal", "background", "other"]}
    l1 = {"classifiers": models, "accept": chain.l1["accept"], "selection": "jet_x > 0", "default_score": -2}
    chain.second.change("dataset", {"rows": {"objects": "jet"}})
    chain.change(before={"l1": {**l1, "onnx": onnx}}, classifiers=models, onnx=onnx)
    make = partial(make_plan, chain.configs[0], None, chain.configs[2], kind="onnx")
    (friend,) = scored_files(make, [str(path)], TREE, ApplicationOptions(friend=True)).outputs
    with uproot.open(friend) as file:
        found = file[TREE].arrays()
    flat = {name: ak.to_numpy(ak.flatten(found[name])) for name in ("l1_accept", "l1_signal", "ml_score_signal")}
    events = np.repeat(np.arange(300), counts)
    logits = [np.stack([x, y], axis=1).astype("f8") @ weights.astype("f8") for weights in chain.second.weights]
    signal = np.where(events % 2, *(np.exp(one[:, 0]) / np.exp(one).sum(axis=1) for one in logits))
    np.testing.assert_allclose(flat["l1_signal"], np.where(x > 0, signal, -2), atol=2e-6)
    np.testing.assert_array_equal(flat["l1_accept"], (x > 0) & (signal >= THRESHOLD))
    np.testing.assert_allclose(flat["ml_score_signal"], np.where(flat["l1_accept"], signal, -1), atol=2e-6)


def test_from_python(chain: Chain) -> None:
    """Configs are dictionaries, too, those of the models before as well."""
    path = chain.ntuple()
    expected, clear = chain.expected(path)
    application = load_config(chain.configs[2], ApplicationConfig).model_dump(exclude_unset=True)
    first = ntupleml.load_model(chain.l1["training"])
    assert first.num_folds == 3
    training = load_config(chain.l1["training"], TrainingConfig)
    application["before"]["l1"]["training"] = training.model_dump(exclude_unset=True)
    (friend,) = ntupleml.apply(*chain.configs[:2], application, [path], TREE, friend=True)
    with uproot.open(friend) as file:
        require(file[TREE].arrays(library="np"), expected, clear)


def test_another_threshold_of_the_first_level_is_another_plan(chain: Chain) -> None:
    keys = {plan_key(make_plan(*chain.configs))}
    for threshold in (0.5, None):
        chain.l1["accept"] = {"output": "signal", "threshold": threshold}
        chain.change(before={"l1": chain.l1})
        keys.add(plan_key(make_plan(*chain.configs)))
    assert len(keys) == 3


def test_each_model_is_protected_by_its_own_folds(chain: Chain) -> None:
    """The first level has three folds; the dataset config of the second has two."""
    chain.change(before={"l1": {**chain.l1, "dataset": str(chain.configs[0])}})
    with pytest.raises(NtuplemlError, match=r"num_folds is 2, but the models were trained on 3 folds"):
        make_plan(*chain.configs)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"branch_prefix": "ml_score_"}, r"before.l1: branch_prefix: 'ml_score_signal' is a branch of the models of"),
        ({"training": "none.yaml"}, r"before.l1.training: no file 'none.yaml'"),
        ({"dataset": "none.yaml"}, r"before.l1.dataset: no file 'none.yaml'"),
        ({"training": None}, r"before.l1: training: is missing; give a training config, or classifiers in"),
        ({"training": 3}, r"before.l1.training: found 3, but the path of a config is needed"),
        ({"method": "kears"}, r"before.l1: method: .* has no method 'kears'; nearest: 'keras'"),
        ({"selection": "x > 0"}, r"before.l1: selection: needs a score for the events that are left out"),
        ({"treshold": 3}, r"before.l1: unknown key 'treshold'"),
        ({"accept": 3}, r"before.l1: accept: output: is missing"),
        ({"classifiers": ["a.onnx", "b.onnx"]}, r"before.l1: classifiers lists 2 files, but the training has 3 folds"),
    ],
)
def test_mistakes(chain: Chain, changes: dict[str, Any], message: str) -> None:
    chain.change(before={"l1": {**chain.l1, **changes}})
    with pytest.raises(NtuplemlError, match=message) as error:
        make_plan(*chain.configs)
    assert "\n" not in str(error.value)


def test_names_that_are_not_there(chain: Chain) -> None:
    path = chain.ntuple()
    chain.change(selection="l1_acept")
    with pytest.raises(NtuplemlError, match=r"no branch 'l1_acept'.*nearest: 'l1_accept'"):
        write_friends(*chain.configs, [path], TREE)
    chain.change(selection="x > 0", before={"l1": chain.l1, "l2": {**chain.l1, "branch_prefix": "l1_"}})
    with pytest.raises(NtuplemlError, match=r"before.l2: branch_prefix: 'l1_signal' is a branch of before.l1, too"):
        make_plan(*chain.configs)
    assert not (chain.second.folder / "friends").exists()


def test_what_a_score_is_made_from_is_not_replaced(chain: Chain) -> None:
    """A first level whose branch would be called as one that it reads itself."""
    path = chain.ntuple(l1_signal=np.zeros(1000, "f4"))
    changed = type(chain.second)(chain.second.folder / "changed", variables=["l1_signal", "x"])
    changed.write()
    chain.change(before={"l1": {"training": str(changed.configs[1]), "accept": chain.l1["accept"]}})
    before = path.read_bytes()
    with pytest.raises(NtuplemlError, match=r"new branch 'l1_signal' would replace what its scores are made from"):
        append_scores(*chain.configs, path, TREE, overwrite=True)
    assert path.read_bytes() == before
