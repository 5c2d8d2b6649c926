"""Print what pyproject.toml asks for and the running Python lacks, one requirement a line.

Runs before anything is installed, so it uses nothing but the standard library and pip.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import sys
import tomllib
from pathlib import Path

from pip._vendor.packaging.requirements import Requirement

#: Distributions that serve in place of the one we name, e.g. those of an experiment's software.
ALTERNATIVES = {
    "tensorflow-cpu": ("tensorflow", "tensorflow_cpu", "tf_nightly"),
    "xgboost-cpu": ("xgboost",),
}
#: Distributions that may be there without their metadata, by the module that tells.
MODULES = {"root": "ROOT"}


def is_there(requirement: Requirement) -> bool:
    """Whether the running Python has a distribution that meets a requirement, or needs none."""
    if requirement.marker is not None and not requirement.marker.evaluate():
        return True
    for name in (requirement.name, *ALTERNATIVES.get(requirement.name, ())):
        try:
            version = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
        if requirement.specifier.contains(version, prereleases=True):
            return True
    module = MODULES.get(requirement.name)
    return module is not None and importlib.util.find_spec(module) is not None


def main() -> None:
    """Print the requirements, and those of the extras named in the first argument."""
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
    texts = list(project["dependencies"])
    for extra in filter(None, sys.argv[1].split(",")):
        texts += project["optional-dependencies"][extra]
    for text in texts:
        if not is_there(Requirement(text)):
            print(text)


if __name__ == "__main__":
    main()
