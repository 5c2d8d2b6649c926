"""What is installed, and what is wrong with it."""

from __future__ import annotations

import importlib.metadata
import re
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

from packaging.requirements import Requirement

from ntupleml.cli import main
from ntupleml.doctor import Diagnosis, Package, diagnose, package_of, requirements

if TYPE_CHECKING:
    import pytest

TOP = Path(__file__).resolve().parents[1]


def test_everything_that_is_needed_is_looked_at() -> None:
    project = tomllib.loads((TOP / "pyproject.toml").read_text())["project"]
    found = diagnose()
    assert len(found.packages[""]) == len(project["dependencies"])
    users = set(project["optional-dependencies"]) - {"all", "dev", "docs", "gpu"}
    assert set(found.packages) == {"", *users}
    assert {one.name for one in found.packages["tune"]} == {"optuna"}
    numpy = next(one for one in found.packages[""] if one.name == "numpy")
    assert numpy == Package("numpy", ">=2.0", importlib.metadata.version("numpy"), "")


def test_an_installed_package_says_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """As from a wheel: the metadata name the extras in markers."""
    lines = ["numpy>=2.0", 'keras!=3.14.0,>=3.13.2; extra == "keras"', 'xgboost-cpu>=3.0; extra == "trees"']
    monkeypatch.setattr("ntupleml.doctor.__file__", "/nowhere/site-packages/ntupleml/doctor.py")
    monkeypatch.setattr(importlib.metadata, "requires", lambda _name: lines)
    found = requirements()
    assert {extra: [one.name for one in listed] for extra, listed in found.items()} == {
        "": ["numpy"],
        "keras": ["keras"],
        "trees": ["xgboost-cpu"],
    }
    assert found["keras"][0].marker.evaluate({"extra": "keras"})


def test_missing_bad_and_replaced_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    there = {"keras": "3.14.0", "tensorflow": "2.21.0", "numpy": "1.26.4"}

    def version(name: str) -> str:
        if name not in there:
            raise importlib.metadata.PackageNotFoundError
        return there[name]

    monkeypatch.setattr(importlib.metadata, "version", version)
    assert package_of(Requirement("keras>=3.13.2,!=3.14.0")).problem.startswith("known to be bad; pip install keras")
    assert package_of(Requirement("tensorflow-cpu>=2.21")) == Package("tensorflow-cpu", ">=2.21", "2.21.0", "")
    assert package_of(Requirement("numpy>=2.0")).problem == "too old or too new: >=2.0 is needed"
    assert package_of(Requirement("shap>=0.48")) == Package("shap", ">=0.48", None, "missing")


def test_what_is_missing_of_an_extra_is_no_fault() -> None:
    numpy, keras = Package("numpy", ">=2", "2.3", ""), Package("keras", "!=3.14.0", None, "missing")
    assert Diagnosis({"a": "b"}, {"": [numpy], "keras": [keras]}).is_usable
    bad = keras._replace(version="3.14.0", problem="known to be bad")
    assert not Diagnosis({"a": "b"}, {"": [numpy], "keras": [bad]}).is_usable
    assert not Diagnosis({"a": "b"}, {"": [numpy._replace(version=None, problem="missing")]}).is_usable


def test_the_verb(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor"]) in (0, 1)
    text = capsys.readouterr().out
    assert text.startswith("ntupleml:")
    for line in (r"^Python: +3\.", r"^ROOT: +\S", r"^LCG view: +\S", r"^  numpy +2\.\S+ +ok$", r"^keras: training net"):
        assert re.search(line, text, re.MULTILINE), line
