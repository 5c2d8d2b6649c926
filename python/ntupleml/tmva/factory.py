"""TMVA's training through ROOT, in a process of its own: ``python -m ntupleml.tmva.factory JOB RESULT``.

TMVA ends its process where a job is wrong, so the process that has the job made is another one: it finds the reason in
the output and the results, if there are any, in the file RESULT. ``python -m ntupleml.tmva.factory`` alone says
whether ROOT has TMVA.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import pydantic

from ntupleml.errors import NtuplemlError
from ntupleml.imports import import_root
from ntupleml.tmva.writing import internal_name

#: What TMVA is told on its way, as htt-ml does; colours and progress bars are for terminals.
FACTORY_OPTIONS = "!V:!Silent:!Color:!DrawProgressBar:Transformations=None:AnalysisType=Multiclass"
#: Names of branches, and formulas, that TTreeFormula reads as such; in `jet1_b-tag` it sees a difference.
_PLAIN_NAME = re.compile(r"[A-Za-z_][\w.]*")


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
    """A training by TMVA."""

    #: Beginning of the names of the weights files.
    job_name: str
    #: Name of the folder that TMVA makes for them, in the current one.
    folder: str
    #: The ROOT file with TMVA's histograms and trees.
    output: str
    variables: list[str]
    classes: list[str]
    weight_expression: str | None
    #: Options of the division into training and test events.
    split: str
    trees: list[FactoryTree]
    methods: list[FactoryMethod]


class FactoryResult(pydantic.BaseModel):
    """What a training tells beside its files."""

    root_version: str
    #: Area under the ROC curve by method and class, by TMVA's test events.
    roc_integrals: dict[str, dict[str, float]] = {}
    #: What branches are called in TMVA's files whose names it would take for formulas.
    plain_names: dict[str, str] = {}


def run_factory(job: FactoryJob, result: Path) -> None:
    """Train, test and evaluate the methods of a job with `ROOT.TMVA` in the current folder.

    Parameters
    ----------
    result : Path
        The `FactoryResult` is written here as JSON, before TMVA's objects are taken apart, which has been known to
        end a process.
    """
    root = import_root()
    tmva = root.TMVA
    tmva.Tools.Instance()
    output = root.TFile.Open(job.output, "RECREATE")
    factory = tmva.Factory(job.job_name, output, FACTORY_OPTIONS)
    loader = tmva.DataLoader(job.folder)
    opened = [_open_tree(root, tree) for tree in job.trees]  # the files stay open while TMVA reads
    trees = [tree for _, tree in opened]
    weight = [] if job.weight_expression is None else [job.weight_expression]
    plain = _rename_branches(trees, [*job.variables, *weight])
    for variable in job.variables:
        loader.AddVariable(plain.get(variable, variable))
    for tree, source in zip(trees, job.trees, strict=True):
        loader.AddTree(tree, source.class_name, source.weight)
    for expression in weight:
        for name in job.classes:
            # Without the class, TMVA would make classes "Signal" and "Background" of it.
            loader.SetWeightExpression(plain.get(expression, expression), name)
    loader.PrepareTrainingAndTestTree(root.TCut(""), job.split)
    for method in job.methods:
        # By the name of its type: of an enum and two texts, PyROOT takes the overload of three texts since ROOT 6.37.
        if not factory.BookMethod(loader, _type_name(tmva, method), method.name, method.options):
            raise NtuplemlError(
                f"method '{method.name}': {method.type} cannot tell {len(job.classes)} classes apart, as "
                "AnalysisType=Multiclass asks for; take it out"
            )
    factory.TrainAllMethods()
    factory.TestAllMethods()
    factory.EvaluateAllMethods()
    integrals = {method.name: _roc_integrals(factory, loader, method.name, job.classes) for method in job.methods}
    output.Close()
    found = FactoryResult(
        root_version=str(root.gROOT.GetVersion()),
        roc_integrals=integrals,
        plain_names={name: plain[name] for name in job.variables if name in plain},
    )
    result.write_text(json.dumps(found.model_dump()), encoding="utf-8")


def _open_tree(root: Any, tree: FactoryTree) -> tuple[Any, Any]:
    """File and tree, which is there as long as the file."""
    file = root.TFile.Open(tree.path, "READ")
    found = file.Get(tree.tree)
    for friend in tree.friends:
        found.AddFriend(file.Get(friend))
    return file, found


def _rename_branches(trees: list[Any], names: list[str]) -> dict[str, str]:
    """Give branches plain names, in memory, where TMVA would take theirs for formulas; the new names by the old."""
    plain: dict[str, str] = {}
    for name in names:
        if _PLAIN_NAME.fullmatch(name) or not all(tree.GetBranch(name) for tree in trees):
            continue
        plain[name] = internal_name(name)
        while plain[name] in names:
            plain[name] += "_"
        for tree in trees:
            branch = tree.GetBranch(name)
            branch.SetName(plain[name])
            for leaf in branch.GetListOfLeaves():
                leaf.SetName(plain[name])
    return plain


def _type_name(tmva: Any, method: FactoryMethod) -> str:
    """TMVA's name of a type: that of the enum without its k."""
    if not hasattr(tmva.Types, method.type):
        raise NtuplemlError(f"method '{method.name}': TMVA has no type '{method.type}'; e.g. kBDT, kMLP")
    return method.type.removeprefix("k")


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
        run_factory(FactoryJob.model_validate_json(job.read_text(encoding="utf-8")), result)
    except NtuplemlError as error:
        sys.stdout.write(f"--- <FATAL> ntupleml : {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
