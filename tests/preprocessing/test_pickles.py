"""Pickles of scalers: plain scikit-learn reads what we write; what would run code is refused."""

from __future__ import annotations

import builtins
import os
import pickle
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.decomposition import PCA
from sklearn.preprocessing import MaxAbsScaler, StandardScaler

from ntupleml.errors import NtuplemlError
from ntupleml.preprocessing import SCALERS, fit_scaler, load_preprocessing, write_preprocessing

if TYPE_CHECKING:
    from pathlib import Path

ROWS = np.random.default_rng(0).normal(3, 5, size=(300, 4))


@pytest.mark.parametrize("method", SCALERS)
def test_what_is_written_is_read_by_us_and_by_scikit_learn(method: str, tmp_path: Path) -> None:
    scaler = fit_scaler(method, ROWS, seed=3)
    path = tmp_path / "scaler.pickle"
    write_preprocessing(path, scaler)
    with path.open("rb") as file:
        plain = pickle.load(file)
    loaded = load_preprocessing(path, num_variables=4)
    assert type(loaded) is type(plain) is type(scaler)
    assert vars(loaded).keys() == vars(scaler).keys()
    for copy in (plain, loaded):
        np.testing.assert_array_equal(copy.transform(ROWS), scaler.transform(ROWS))


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("method", SCALERS)
def test_all_protocols_are_read(method: str, protocol: int, tmp_path: Path) -> None:
    scaler = fit_scaler(method, ROWS, seed=3)
    path = tmp_path / "scaler.pickle"
    path.write_bytes(pickle.dumps(scaler, protocol=protocol))
    np.testing.assert_array_equal(load_preprocessing(path).transform(ROWS), scaler.transform(ROWS))


def test_old_module_names_and_big_endian_arrays_are_read(tmp_path: Path) -> None:
    """Python 2 and scikit-learn below 0.22 called the modules otherwise."""
    scaler = StandardScaler().fit(ROWS)
    scaler.mean_ = scaler.mean_.astype(">f8")
    data = pickle.dumps(scaler, protocol=0)
    data = data.replace(b"sklearn.preprocessing._data", b"sklearn.preprocessing.data")
    data = data.replace(b"numpy._core.multiarray", b"numpy.core.multiarray")
    path = tmp_path / "scaler.pickle"
    path.write_bytes(data)
    np.testing.assert_array_equal(load_preprocessing(path).transform(ROWS), StandardScaler().fit_transform(ROWS))


class Command:
    """Runs a command when unpickled."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> Any:
        return self.call


def hidden(value: Any) -> StandardScaler:
    scaler = StandardScaler().fit(ROWS)
    scaler.mean_ = value
    return scaler


ATTACKS = {
    "os.system": Command(os.system, "touch marker"),
    "builtins.exec": Command(builtins.exec, "open('marker', 'w')"),
    "builtins.eval": Command(builtins.eval, "open('marker', 'w')"),
    "builtins.getattr": Command(builtins.getattr, int, "real"),
    "builtins.open": Command(builtins.open, "marker", "w"),
    "hidden in an attribute": hidden(Command(os.system, "touch marker")),
    "numpy.load": Command(np.load, "marker"),
    "numpy.save": Command(np.save, "marker", 1),
    "numpy.frombuffer": Command(np.frombuffer, b"12345678"),
    "a pickle in the pickle": Command(pickle.loads, pickle.dumps(1)),
}


@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize("name", ATTACKS)
def test_a_pickle_that_would_run_code_is_refused(
    name: str, protocol: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "scaler.pickle"
    path.write_bytes(pickle.dumps(ATTACKS[name], protocol=protocol))
    with pytest.raises(NtuplemlError, match=r"refused: its pickle names '[\w.]+', which no scaler needs"):
        load_preprocessing(path)
    assert list(tmp_path.iterdir()) == [path]


def test_the_attacks_are_real(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same pickle, given to Python's own unpickler, does run the command."""
    monkeypatch.chdir(tmp_path)
    pickle.loads(pickle.dumps(ATTACKS["os.system"]))
    assert [path.name for path in tmp_path.iterdir()] == ["marker"]


@pytest.mark.parametrize(
    ("found", "message"),
    [
        (PCA().fit(ROWS), r"names 'sklearn\.decomposition\._pca\.PCA'"),
        (MaxAbsScaler().fit(ROWS), r"names 'sklearn\.preprocessing\._data\.MaxAbsScaler'"),
        (StandardScaler(), "a StandardScaler without a valid 'mean_'; it is not fitted"),
        ([1, 2], "holds a list, not a fitted scaler"),
        (ROWS, "holds an array, not a fitted scaler"),
        ({"a": StandardScaler().fit(ROWS)}, "holds scalers of the groups a, but this is for models of numbers alone"),
        (hidden(np.array([1.0, np.nan, 1, 1])), "without a valid 'mean_'"),
        (hidden(np.array(["a", "b"])), "array of type U1"),
        (hidden(np.array([None, 1])), "array without numbers"),
        (hidden(np.ones(3)), "arrays are of different lengths"),
    ],
)
def test_what_is_not_one_fitted_scaler_is_refused(found: object, message: str, tmp_path: Path) -> None:
    path = tmp_path / "scaler.pickle"
    path.write_bytes(pickle.dumps(found, protocol=4))
    with pytest.raises(NtuplemlError, match=message) as error:
        load_preprocessing(path)
    assert "\n" not in str(error.value)


def test_another_number_of_variables_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "scaler.pickle"
    write_preprocessing(path, StandardScaler().fit(ROWS))
    with pytest.raises(NtuplemlError, match="fitted to 4 variables, but the model has 5"):
        load_preprocessing(path, num_variables=5)


def test_a_scaler_that_divides_by_zero_is_refused(tmp_path: Path) -> None:
    scaler = StandardScaler().fit(ROWS)
    scaler.scale_[1] = 0
    write_preprocessing(tmp_path / "scaler.pickle", scaler)
    with pytest.raises(NtuplemlError, match="divides by zero"):
        load_preprocessing(tmp_path / "scaler.pickle")


def test_quantiles_out_of_order_are_refused(tmp_path: Path) -> None:
    scaler = fit_scaler("quantile_transformer", ROWS)
    scaler.quantiles_ = scaler.quantiles_[::-1].copy()
    write_preprocessing(tmp_path / "scaler.pickle", scaler)
    with pytest.raises(NtuplemlError, match="quantiles are not in order"):
        load_preprocessing(tmp_path / "scaler.pickle")


def test_no_file_and_a_folder(tmp_path: Path) -> None:
    with pytest.raises(NtuplemlError, match="no such file; it is written by the training"):
        load_preprocessing(tmp_path / "scaler.pickle")


@settings(max_examples=200, deadline=None)
@given(data=st.binary(max_size=200))
def test_bytes_that_are_no_pickle_are_one_line(data: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.getbasetemp() / "garbage.pickle"
    path.write_bytes(data)
    with pytest.raises(NtuplemlError) as error:
        load_preprocessing(path)
    assert "\n" not in str(error.value)


@settings(max_examples=300, deadline=None)
@given(place=st.integers(0, 10_000), byte=st.integers(0, 255))
def test_a_damaged_pickle_is_one_line_or_harmless(
    place: int, byte: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    data = bytearray(pickle.dumps(StandardScaler().fit(ROWS), protocol=4))
    data[place % len(data)] = byte
    path = tmp_path_factory.getbasetemp() / "damaged.pickle"
    path.write_bytes(data)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            scaler = load_preprocessing(path)
        except NtuplemlError as error:
            line: object = str(error)
        else:
            line = type(scaler).__name__
    assert len(str(line).splitlines()) == 1


@pytest.mark.parametrize("length", [0, 1, 50, -1])
def test_a_truncated_pickle_is_one_line(length: int, tmp_path: Path) -> None:
    path = tmp_path / "scaler.pickle"
    write_preprocessing(path, StandardScaler().fit(ROWS))
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(NtuplemlError, match="not the pickle of a scaler, or damaged"):
        load_preprocessing(path)


def test_reading_leaves_the_stand_ins_unchanged(tmp_path: Path) -> None:
    """A pickle cannot give a function a state that the next pickle would meet."""
    path = tmp_path / "scaler.pickle"
    path.write_bytes(b"cnumpy\ndtype\n}(V__dict__\nVx\nub.")
    with pytest.raises(NtuplemlError, match="a function is given a state"):
        load_preprocessing(path)
