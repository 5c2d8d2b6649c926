"""Scores from Python: any model file, a training with its folds, and columns in every form."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pytest
import uproot
import xgboost

import ntupleml
from ntupleml.cli import main
from ntupleml.folds import FoldRule

DATA = Path(__file__).parent / "data"


def lwtnn(case: str, file: str = "lwtnn.json") -> tuple[ntupleml.Model, dict[str, np.ndarray]]:
    return ntupleml.load_model(DATA / "lwtnn" / case / file), dict(np.load(DATA / "lwtnn" / case / "data.npz"))


def test_importing_costs_nothing() -> None:
    code = "import sys, numpy; before = set(sys.modules); import ntupleml; print(len(set(sys.modules) - before))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 10


def test_an_lwtnn_network() -> None:
    model, data = lwtnn("scaler_robust")
    names = model.inputs["variables"]
    found = model.score(dict(zip(names, data["X"].T, strict=True)))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, data["y_lwtnn"], atol=1e-6)
    np.testing.assert_array_equal(model.score(data["X"]), found)


def test_sequences_are_lists_of_awkward() -> None:
    model, data = lwtnn("gru_var")
    (group,) = model.inputs
    kept = np.arange(data[f"X_{group}"].shape[1]) < data["len"][:, None]
    columns = {
        name: ak.drop_none(ak.mask(ak.Array(np.nan_to_num(data[f"X_{group}"][:, :, index])), ak.Array(kept)))
        for index, name in enumerate(model.inputs[group])
    }
    np.testing.assert_allclose(model.score(columns), data["y_lwtnn_out"], atol=1e-6)


def test_scores_for_each_step(tmp_path: Path) -> None:
    """The last one is what liblwtnn answers without steps."""
    content = json.loads((DATA / "lwtnn" / "lstm_var" / "lwtnn.json").read_text())
    for node in content["nodes"][2:]:
        node["type"] = "time_distributed"
    (tmp_path / "steps.json").write_text(json.dumps(content))
    model, data = ntupleml.load_model(tmp_path / "steps.json"), dict(np.load(DATA / "lwtnn" / "lstm_var" / "data.npz"))
    kept = ak.from_regular(np.arange(data["X_tracks"].shape[1]) < data["len"][:, None])
    names = model.inputs["tracks"]
    columns = {name: ak.from_regular(data["X_tracks"][:, :, index])[kept] for index, name in enumerate(names)}
    found = model.score(columns)
    assert str(found.type) == "200 * var * 2 * float32"
    assert ak.num(found).tolist() == data["len"].tolist()
    np.testing.assert_allclose(found[:, -1], data["y_lwtnn_out"], atol=1e-6)


def test_weights_of_tmva(tmp_path: Path) -> None:
    path = tmp_path / "X.weights.xml"
    path.write_bytes(gzip.decompress((DATA / "tmva" / "mc_bdtg_50" / "weights.xml.gz").read_bytes()))
    events = dict(np.load(DATA / "tmva" / "toy2_eval.npz"))
    model = ntupleml.load_model(path)
    assert model.outputs == ["A", "B", "C"]
    expected = np.load(DATA / "tmva" / "mc_bdtg_50" / "responses.npz")["response"]
    np.testing.assert_allclose(model.score(events), expected, atol=1e-6)


@pytest.fixture(scope="module")
def boosted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, np.ndarray, np.ndarray]:
    random = np.random.default_rng(2)
    rows = random.normal(size=(500, 3)).astype(np.float32)
    classifier = xgboost.XGBClassifier(n_estimators=5).fit(rows, rows[:, 0] > rows[:, 1])
    classifier.get_booster().feature_names = ["pt", "eta", "m"]
    path = tmp_path_factory.mktemp("xgboost") / "model.json"
    classifier.save_model(path)
    return path, rows, classifier.predict_proba(rows)


class Frame:
    """What is used of a DataFrame of pandas or polars."""

    def __init__(self, columns: dict[str, np.ndarray], names: list[str] | None = None) -> None:
        self._columns = columns
        self.columns = names or list(columns)

    def __getitem__(self, name: str) -> Any:
        values = self._columns.get(name, np.zeros(3))

        class Series:
            def to_numpy(self) -> np.ndarray:
                return values

        return Series()


class Lazy(Frame):
    """A table of polars that is not computed yet."""

    def __init__(self) -> None:
        super().__init__({"pt": np.zeros(3)})

    def collect(self) -> None:
        raise AssertionError("is not called")


def test_columns_in_every_form(boosted: tuple[Path, np.ndarray, np.ndarray]) -> None:
    path, rows, expected = boosted
    model = ntupleml.load_model(path)
    columns = {name: rows[:, index] for index, name in enumerate(("pt", "eta", "m"))} | {"more": np.zeros(500)}
    lists = {name: values.tolist() for name, values in columns.items()}
    structured = np.rec.fromarrays(list(columns.values()), names=list(columns))
    for given in (rows, columns, lists, Frame(columns), ak.zip(columns), structured):
        np.testing.assert_allclose(model.score(given), expected, atol=1e-6)
    assert model.score({name: values[:0] for name, values in columns.items()}).shape == (0, 2)


def test_missing_values_are_nan(boosted: tuple[Path, np.ndarray, np.ndarray]) -> None:
    """Masked by numpy, or None of awkward: what is stored there does not count. XGBoost says what it makes of NaN."""
    path, rows, _ = boosted
    classifier = xgboost.XGBClassifier()
    classifier.load_model(path)
    model = ntupleml.load_model(path)
    columns = {name: rows[:, index] for index, name in enumerate(("pt", "eta", "m"))}
    absent = rows[:, 0] > 0.5
    masked = columns | {"pt": np.ma.MaskedArray(rows[:, 0], mask=absent)}
    for given in (masked, ak.zip(columns | {"pt": ak.mask(rows[:, 0], ~absent)})):
        with_nan = rows.copy()
        with_nan[absent, 0] = np.nan
        np.testing.assert_allclose(model.score(given), classifier.predict_proba(with_nan), atol=1e-6)
    nothing_masked = columns | {"pt": np.ma.MaskedArray(rows[:, 0], mask=False)}
    np.testing.assert_array_equal(model.score(nothing_masked), model.score(columns))


def test_what_is_wrong_is_said(boosted: tuple[Path, np.ndarray, np.ndarray], tmp_path: Path) -> None:
    path, rows, _ = boosted
    model = ntupleml.load_model(path)
    for given, message in (
        ({"pt": rows[:, 0], "eta_1": rows[:, 1], "m": rows[:, 2]}, "no branch 'eta'; nearest: 'eta_1'"),
        ({"pt": rows[:, 0], "eta": rows[:9, 1], "m": rows[:, 2]}, "column 'eta' has 9 events, but 'pt' has 500"),
        (rows[:, :2], r"\(events, 3\) is needed: pt, eta, m"),
        (7, "columns are a int; give a mapping"),
        ({"pt": 1.0, "eta": 2.0, "m": 3.0}, "column 'pt' is a single float; give an array, one value per event"),
        ({"pt": [[1.0], [1.0, 2.0]]}, "column 'pt' has lists of several lengths; give an awkward array"),
        (Lazy(), "columns are a Lazy; give a mapping"),
        (Frame({}, ["pt", "pt"]), "two columns are called 'pt'"),
    ):
        with pytest.raises(ntupleml.NtuplemlError, match=message):
            model.score(given)
    with pytest.raises(ntupleml.NtuplemlError, match="no such file"):
        ntupleml.load_model(tmp_path / "nothing.json")
    with pytest.raises(ntupleml.NtuplemlError, match="method 'bdt': a model file has one"):
        ntupleml.load_model(path, "bdt")


@pytest.mark.slow
def test_a_training_scores_each_event_by_the_model_that_did_not_see_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, project: Path
) -> None:
    """The application writes the same scores into a friend."""
    monkeypatch.chdir(tmp_path)
    Path("toy").symlink_to(project / "configs" / "toy")
    assert main(["write-example", "example", "--events", "1000"]) == 0
    assert main(["dataset", "toy/dataset.yaml"]) == 0
    assert main(["train-bdt", "toy/training.yaml", "all", "--method", "histogram"]) == 0
    application = tmp_path / "application.yaml"
    application.write_text("method: histogram\noutput_directory: friends\n")
    configs = ["toy/dataset.yaml", "toy/training.yaml", str(application)]
    assert main(["apply-bdt", "--friend", *configs, "example/example_data.root", "ntuple"]) == 0
    with uproot.open("example/example_data.root") as file:
        columns = file["ntuple"].arrays(library="np")
    with uproot.open(next(Path("friends").glob("**/*.root"))) as file:
        friend = file["ntuple"].arrays(library="np")
    for method in (None, "histogram"):
        model = ntupleml.load_model("toy/training.yaml", method)
        assert (model.num_folds, model.fold_rule) == (2, FoldRule("event"))
        scores = model.score(columns)
        for index, name in enumerate(model.outputs):
            np.testing.assert_array_equal(scores[:, index], friend[f"ml_score_{name}"])
        del columns["event"]
        with pytest.raises(
            ntupleml.NtuplemlError, match=r"branch 'event' decides the fold.*give score\(columns, event="
        ):
            model.score(columns)
        np.testing.assert_array_equal(model.score(columns, event=friend["event"]), scores)
        swapped = model.score(columns, event=friend["event"] + 1)
        assert (swapped != scores).any()
        columns["event"] = friend["event"]
