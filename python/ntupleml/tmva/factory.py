"""TMVA's training through ROOT, in a process of its own: ``python -m ntupleml.tmva.factory JOB RESULT``.

TMVA ends its process where a job is wrong, so the process that has the job made is another one: it finds the reason in
the output and the results, if there are any, in the file RESULT. ``python -m ntupleml.tmva.factory`` alone says
whether ROOT has TMVA.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pydantic

from ntupleml.errors import NtuplemlError
from ntupleml.root import import_root

#: What TMVA is told on its way, as htt-ml does; colours and progress bars are for terminals.
FACTORY_OPTIONS = "!V:!Silent:!Color:!DrawProgressBar:Transformations=None:AnalysisType=Multiclass"


class FactoryTree(pydantic.BaseModel):
    """A tree to train on: file, name, class, factor of its event weights, and its friends in the same file."""

    path: str
    tree: str
    class_name: str
    weight: float
    friends: list[str] = []


class FactoryMethod(pydantic.BaseModel):
    """A method to book: TMVA's name of the type, the user's name, and the option string."""

    type: str
    name: str
    options: str


class FactoryJob(pydantic.BaseModel):
    """A training by TMVA.

    Attributes
    ----------
    job_name : str
        Beginning of the names of the weights files.
    folder : str
        Name of the folder that TMVA makes for them, in the current one.
    output : str
        The ROOT file with TMVA's histograms and trees.
    variables, classes : list of str
    weight_expression : str or None
    split : str
        Options of the division into training and test events.
    trees : list of FactoryTree
    methods : list of FactoryMethod
    """

    job_name: str
    folder: str
    output: str
    variables: list[str]
    classes: list[str]
    weight_expression: str | None
    split: str
    trees: list[FactoryTree]
    methods: list[FactoryMethod]


class FactoryResult(pydantic.BaseModel):
    """ROOT's version, and the area under the ROC curve of each method and class, by TMVA's test events."""

    root_version: str
    roc_integrals: dict[str, dict[str, float]] = {}


def run_factory(job: FactoryJob) -> FactoryResult:
    """Train, test and evaluate the methods of a job with `ROOT.TMVA` in the current folder."""
    root = import_root()
    tmva = root.TMVA
    tmva.Tools.Instance()
    output = root.TFile.Open(job.output, "RECREATE")
    factory = tmva.Factory(job.job_name, output, FACTORY_OPTIONS)
    loader = tmva.DataLoader(job.folder)
    for variable in job.variables:
        loader.AddVariable(variable)
    opened = [_add_tree(root, loader, tree) for tree in job.trees]
    if job.weight_expression is not None:
        for name in job.classes:
            # Without the class, TMVA would make classes "Signal" and "Background" of it.
            loader.SetWeightExpression(job.weight_expression, name)
    loader.PrepareTrainingAndTestTree(root.TCut(""), job.split)
    for method in job.methods:
        factory.BookMethod(loader, _type(tmva, method), method.name, method.options)
    factory.TrainAllMethods()
    factory.TestAllMethods()
    factory.EvaluateAllMethods()
    integrals = {method.name: _roc_integrals(factory, loader, method.name, job.classes) for method in job.methods}
    output.Close()
    del opened  # TMVA reads the trees until here
    return FactoryResult(root_version=str(root.gROOT.GetVersion()), roc_integrals=integrals)


def _add_tree(root: Any, loader: Any, tree: FactoryTree) -> Any:
    """Hand a tree to TMVA; the file has to stay open."""
    file = root.TFile.Open(tree.path, "READ")
    found = file.Get(tree.tree)
    for friend in tree.friends:
        found.AddFriend(file.Get(friend))
    loader.AddTree(found, tree.class_name, tree.weight)
    return file, found


def _type(tmva: Any, method: FactoryMethod) -> Any:
    try:
        return getattr(tmva.Types, method.type)
    except AttributeError:
        raise NtuplemlError(f"method '{method.name}': TMVA has no type '{method.type}'; e.g. kBDT, kMLP") from None


def _roc_integrals(factory: Any, loader: Any, name: str, classes: list[str]) -> dict[str, float]:
    """Area under the ROC curve per class; empty where this TMVA cannot tell it for several classes."""
    try:
        values = [float(factory.GetROCIntegral(loader, name, index)) for index in range(len(classes))]
    except TypeError:
        return {}
    return {label: value for label, value in zip(classes, values, strict=True) if value > 0}


def main(arguments: list[str]) -> int:
    """Run a job, or say whether ROOT has TMVA."""
    if not arguments:
        sys.stdout.write("yes\n" if hasattr(import_root(), "TMVA") else "no\n")
        return 0
    job, result = map(Path, arguments)
    try:
        found = run_factory(FactoryJob.model_validate_json(job.read_text(encoding="utf-8")))
    except NtuplemlError as error:
        sys.stdout.write(f"--- <FATAL> ntupleml : {error}\n")
        return 1
    result.write_text(json.dumps(found.model_dump()), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
