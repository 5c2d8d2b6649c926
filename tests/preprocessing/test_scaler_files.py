"""Scalers as JSON: the same numbers, and nothing else is read."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from scipy.special import ndtri
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler

from ntupleml.errors import NtuplemlError
from ntupleml.preprocessing import SCALERS, fit_scaler, load_preprocessing, load_scalers, write_preprocessing

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

ROWS = np.random.default_rng(0).normal(3, 5, size=(300, 4))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A scaler of four variables."""
    path = tmp_path / "scaler.json"
    write_preprocessing(path, fit_scaler("standard_scaler", ROWS))
    return path


@pytest.mark.parametrize("method", SCALERS)
def test_the_same_bit_for_bit(method: str, tmp_path: Path) -> None:
    scaler, path = fit_scaler(method, ROWS, seed=3), tmp_path / "scaler.json"
    write_preprocessing(path, scaler)
    loaded = load_preprocessing(path, num_variables=4)
    assert type(loaded) is type(scaler)
    assert vars(loaded).keys() == vars(scaler).keys()
    np.testing.assert_array_equal(loaded.transform(ROWS), scaler.transform(ROWS))


FORMULAS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "standard_scaler": lambda of: (ROWS - of["mean_"]) / of["scale_"],
    "robust_scaler": lambda of: (ROWS - of["center_"]) / of["scale_"],
    "min_max_scaler": lambda of: ROWS * of["scale_"] + of["min_"],
}


@pytest.mark.parametrize("method", FORMULAS)
def test_what_the_docs_say_of_the_numbers(method: str, tmp_path: Path) -> None:
    scaler, path = fit_scaler(method, ROWS), tmp_path / "scaler.json"
    write_preprocessing(path, scaler)
    content = json.loads(path.read_text())
    assert (content["format"], content["format_version"]) == ("ntupleml scaler", 1)
    np.testing.assert_allclose(FORMULAS[method](content["scaler"]), scaler.transform(ROWS), rtol=1e-12, atol=1e-12)


def test_quantiles_as_the_docs_say(tmp_path: Path) -> None:
    path = tmp_path / "scaler.json"
    scaler = fit_scaler("quantile_transformer", ROWS)
    write_preprocessing(path, scaler)
    content = json.loads(path.read_text())["scaler"]
    quantiles = np.array(content["quantiles_"])
    middle = ROWS[(quantiles[0] < ROWS).all(axis=1) & (quantiles[-1] > ROWS).all(axis=1)]
    for column in range(4):
        below = np.interp(middle[:, column], quantiles[:, column], content["references_"])
        np.testing.assert_allclose(ndtri(below), scaler.transform(middle)[:, column], rtol=1e-9, atol=1e-12)


def test_groups(tmp_path: Path) -> None:
    path = tmp_path / "scalers.json"
    write_preprocessing(path, {"event": fit_scaler("identity", ROWS), "jets": fit_scaler("robust_scaler", ROWS[:, :2])})
    assert [type(one).__name__ for one in load_scalers(path, {"event": 4, "jets": 2}).values()] == [
        "StandardScaler",
        "RobustScaler",
    ]
    with pytest.raises(NtuplemlError, match="holds scalers of the groups event, jets, but the model has event"):
        load_scalers(path, {"event": 4})
    with pytest.raises(NtuplemlError, match="'jets': the scaler is fitted to 2 variables, but the model has 3"):
        load_scalers(path, {"event": 4, "jets": 3})
    with pytest.raises(NtuplemlError, match="holds scalers of the groups event, jets, but this is for models of"):
        load_preprocessing(path)


DEEP = "[" * 100_000


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("class", '"PCA"', "holds a 'PCA', which is no scaler; there are: 'StandardScaler'"),
        ("class", '["StandardScaler"]', "which is no scaler"),
        ("mean_", "[1, NaN, 2, 3]", "without a valid 'mean_'"),
        ("mean_", "[1, 1e999, 2, 3]", "without a valid 'mean_'"),
        ("mean_", '["1", "2", "3", "4"]', "'mean_' is not a list of numbers"),
        ("mean_", "[true, true, true, true]", "'mean_' is not a list of numbers"),
        ("mean_", "[1, [2], 3, 4]", "'mean_' is not a list of numbers"),
        ("mean_", f"[1, {'9' * 5000}, 3, 4]", "not the file of a scaler, or damaged"),
        ("mean_", "[1, 2, 3]", "arrays are of different lengths"),
        ("mean_", "[]", "without a valid 'mean_'"),
        ("mean_", "null", "without a valid 'mean_'"),
        ("mean_", f"{'[' * 60}1{']' * 60}", "without a valid 'mean_'|is not a list of numbers"),
        ("scale_", "[1, 0, 1, 1]", "divides by zero"),
        ("with_mean", '{"a": 1}', "an attribute is a dict"),
        ("with_mean", "[1, 2, 3]", "an attribute is a tuple"),
        ("with_mean", DEEP, "not the file of a scaler, or damaged"),
    ],
)
def test_what_is_no_scaler_is_one_line(key: str, value: str, message: str, path: Path) -> None:
    content = json.loads(path.read_text())
    content["scaler"][key] = "HERE"
    path.write_text(json.dumps(content).replace('"HERE"', value))
    with pytest.raises(NtuplemlError, match=message) as error:
        load_preprocessing(path)
    assert "\n" not in str(error.value)
    assert str(error.value).startswith(str(path))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "not the file of a scaler, or damaged"),
        ("\x80\x04", "not the file of a scaler, or damaged"),
        (DEEP, "not the file of a scaler, or damaged"),
        ("[]", "it has no format 'ntupleml scaler'"),
        ('{"format": "ntupleml scaler"}', "written in format None"),
        ('{"format": "ntupleml scaler", "format_version": true}', "written in format True"),
        ('{"format": "ntupleml scaler", "format_version": 2}', "written in format 2, but this .*; update it"),
        ('{"format": "ntupleml scaler", "format_version": 1}', "it holds no scaler"),
        ('{"format": "ntupleml scaler", "format_version": 1, "scalers": {"a": 1}}', "it holds no scaler"),
        ('{"format": 1, "format": "ntupleml scaler", "format_version": 1}', "two members of one name"),
    ],
)
def test_other_files_are_one_line(content: str, message: str, path: Path) -> None:
    path.write_bytes(content.encode("latin1"))
    with pytest.raises(NtuplemlError, match=message) as error:
        load_preprocessing(path)
    assert "\n" not in str(error.value)


def test_no_file_and_a_folder(tmp_path: Path) -> None:
    with pytest.raises(NtuplemlError, match="no such file; it is written by the training"):
        load_preprocessing(tmp_path / "scaler.json")
    (tmp_path / "folder.json").mkdir()
    with pytest.raises(NtuplemlError, match="cannot be read: is a directory"):
        load_preprocessing(tmp_path / "folder.json")


def test_what_has_no_such_form_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(KeyError):
        write_preprocessing(tmp_path / "scaler.json", PCA().fit(ROWS))
    scaler = StandardScaler().fit(ROWS)
    scaler.mean_[0] = np.nan
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_preprocessing(tmp_path / "scaler.json", scaler)
    assert not list(tmp_path.iterdir())
