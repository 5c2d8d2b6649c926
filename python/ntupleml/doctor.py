"""The text of `ntupleml doctor`: installed packages, missing ones and what needs them, the machine."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
import re
import shutil
import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from packaging.requirements import Requirement

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

#: What the extras of the package are for; those that are not here belong to its developers.
_PURPOSES = {
    "": "always needed",
    "keras": "training networks",
    "trees": "training XGBoost and LightGBM",
    "sklearn": "training other estimators of scikit-learn",
    "root": "scores in place, and TMVA where ROOT has it",
    "parquet": "Parquet files",
    "xrootd": "files behind root:// addresses",
    "batch": "workers of Dask, HTCondor and Slurm",
    "tune": "search for settings",
    "shap": "SHAP importance",
    "hgq": "quantised networks",
    "hls": "firmware of quantised networks",
    "tracking": "TensorBoard and MLflow",
}
#: Distributions that serve in place of the one that is named.
_ALTERNATIVES = {
    "tensorflow-cpu": ("tensorflow", "tensorflow_cpu", "tf_nightly"),
    "xgboost-cpu": ("xgboost",),
    "mlflow-skinny": ("mlflow",),
}
#: Distributions that may be there without their metadata, by the module that tells.
_MODULES = {"root": "ROOT"}
#: Of processors: what the kernels for forests and ONNX Runtime are fast with.
_FEATURES = ("avx", "avx2", "fma", "avx512f", "neon", "asimd")
#: Settings of the surroundings that change what runs, or how fast.
_VARIABLES = ("PYTHONPATH", "OMP_NUM_THREADS", "CUDA_VISIBLE_DEVICES", "NUMBA_DISABLE_JIT", "KERAS_BACKEND")


class Package(NamedTuple):
    """A distribution that something needs."""

    name: str
    #: Versions that are admitted, such as `>=3.13.2,!=3.14.0`.
    wanted: str
    #: None where it is not installed.
    version: str | None
    #: Empty where nothing is wrong.
    problem: str


class Diagnosis(NamedTuple):
    """What was found."""

    #: Facts on the program and the machine by their names.
    facts: dict[str, str]
    #: Packages by the extra that they belong to; under an empty name those that are always needed.
    packages: dict[str, list[Package]]

    @property
    def is_usable(self) -> bool:
        """Whether all that is always needed is there, and no version is known to be bad."""
        return not any(
            one.problem for extra, packages in self.packages.items() for one in packages if one.version or not extra
        )

    def __str__(self) -> str:
        width = max(map(len, self.facts))
        lines = [f"{name + ':':{width + 1}} {value}" for name, value in self.facts.items()]
        for extra, packages in self.packages.items():
            title = f"{extra}: {_PURPOSES[extra]}" if extra else _PURPOSES[extra]
            missing = [one for one in packages if one.problem]
            if extra and missing:
                title += f"; pip install 'ntupleml[{extra}]'"
            lines += [
                "",
                title,
                *(f"  {one.name:16} {one.version or '-':12} {one.problem or 'ok'}" for one in packages),
            ]
        lines += ["", "all that is always needed is there" if self.is_usable else "something is wrong; see above"]
        return "\n".join(lines)


def diagnose() -> Diagnosis:
    """Look at the program, the machine and the packages; nothing large is imported."""
    return Diagnosis(
        _facts(),
        {
            extra: [package_of(one) for one in wanted if one.marker is None or one.marker.evaluate({"extra": extra})]
            for extra, wanted in requirements().items()
            if extra in _PURPOSES
        },
    )


def requirements() -> dict[str, list[Requirement]]:
    """What the package needs, by extra: as its clone says, else as it was installed."""
    file = Path(__file__).parents[2] / "pyproject.toml"
    if file.is_file() and (project := tomllib.loads(file.read_text(encoding="utf-8"))["project"])["name"] == "ntupleml":
        texts: Mapping[str, list[str]] = {"": project["dependencies"], **project["optional-dependencies"]}
        return {extra: [Requirement(text) for text in listed] for extra, listed in texts.items()}
    found: dict[str, list[Requirement]] = {"": []}
    for text in importlib.metadata.requires("ntupleml") or []:
        match = re.search(r"extra == ['\"]([\w-]+)['\"]", text)
        found.setdefault(match[1] if match else "", []).append(Requirement(text))
    return found


def package_of(wanted: Requirement) -> Package:
    """What is installed of something that is needed."""
    version = _version([wanted.name, *_ALTERNATIVES.get(wanted.name, ())])
    module = _MODULES.get(wanted.name)
    if version is None and module is not None and importlib.util.find_spec(module) is not None:
        return Package(wanted.name, str(wanted.specifier), "unknown", "")
    return Package(wanted.name, str(wanted.specifier), version, problem_of(wanted, version))


def problem_of(wanted: Requirement, version: str | None) -> str:
    """What is wrong with a version, or with its absence.

    Examples
    --------
    >>> problem_of(Requirement("keras>=3.13.2,!=3.14.0"), "3.14.0")
    'known to be bad; pip install keras!=3.14.0,>=3.13.2'
    >>> problem_of(Requirement("numpy>=2.0"), "1.26.4")
    'too old or too new: >=2.0 is needed'
    """
    if version is None:
        return "missing"
    if wanted.specifier.contains(version, prereleases=True):
        return ""
    refused = [one for one in wanted.specifier if one.operator == "!=" and not one.contains(version, prereleases=True)]
    if refused:
        return f"known to be bad; pip install {wanted.name}{wanted.specifier}"
    return f"too old or too new: {wanted.specifier} is needed"


def _version(names: Iterable[str]) -> str | None:
    for name in names:
        try:
            return importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return None


def _facts() -> dict[str, str]:
    from ntupleml import __version__

    view = os.environ.get("NTUPLEML_VIEW") or os.environ.get("LCG_VERSION")
    set_ones = [f"{name}={os.environ[name]}" for name in _VARIABLES if name in os.environ]
    return {
        "ntupleml": f"{__version__} in {Path(__file__).parent}",
        "Python": f"{platform.python_version()} ({sys.executable})",
        "system": f"{platform.platform()}",
        "processor": _processor(),
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 1e9:.1f} GB",
        "graphics": "NVIDIA driver" if Path("/proc/driver/nvidia/version").exists() else "none",
        "ROOT": _root(),
        "LCG view": view or ("none is sourced, but CVMFS is there" if Path("/cvmfs/sft.cern.ch").is_dir() else "none"),
        "free disk here": f"{shutil.disk_usage('.').free / 1e9:.1f} GB",
        "environment": ", ".join(set_ones) or "nothing that matters is set",
    }


def _processor() -> str:
    """Model, cores that this process may use, and what the processor can do that matters here."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        text = ""
    model = re.search(r"^model name\s*: (.*)$", text, re.MULTILINE)
    flags = re.search(r"^(?:flags|Features)\s*: (.*)$", text, re.MULTILINE)
    known = set(flags[1].split()) if flags else set()
    features = [name for name in _FEATURES if name in known]
    name = model[1].strip() if model else platform.machine()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{name}, {cores} of {os.cpu_count()} cores, {' '.join(features) or 'no vector instructions known'}"


def _root() -> str:
    spec = importlib.util.find_spec("ROOT")
    if spec is None:
        program = shutil.which("root-config")
        return f"not in this Python, but {program} is there; source its thisroot.sh" if program else "none"
    return f"{_version(['root']) or 'of unknown version'} in {Path(spec.origin or '').parent}"
