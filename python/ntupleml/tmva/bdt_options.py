"""The options of TMVA's boosted decision trees for classification: names, defaults and values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

Kind = Literal["flag", "integer", "number", "text"]


class BdtOption(NamedTuple):
    """An option: its name, the kind of its value, its default, and the values it may have where they are given.

    `in_file` says whether it is written to weights files: those of later releases would be unknown to earlier ones.
    """

    name: str
    kind: Kind
    default: str
    choices: tuple[str, ...] = ()
    in_file: bool = True


#: In the order in which TMVA declares them and writes them to its files: those of all methods, then those of the
#: trees (`MethodBase::DeclareOptions`, `MethodBDT::DeclareOptions`).
BDT_OPTIONS = (
    BdtOption("V", "flag", "False"),
    BdtOption(
        "VerbosityLevel", "text", "Default", ("Default", "Debug", "Verbose", "Info", "Warning", "Error", "Fatal")
    ),
    BdtOption("VarTransform", "text", "None"),
    BdtOption("H", "flag", "False"),
    BdtOption("CreateMVAPdfs", "flag", "False"),
    BdtOption("IgnoreNegWeightsInTraining", "flag", "False"),
    BdtOption("NTrees", "integer", "800"),
    BdtOption("MaxDepth", "integer", "3"),
    BdtOption("MinNodeSize", "text", "5%"),
    BdtOption("nCuts", "integer", "20"),
    BdtOption(
        "BoostType",
        "text",
        "AdaBoost",
        ("AdaBoost", "RealAdaBoost", "AdaCost", "Bagging", "AdaBoostR2", "Grad"),
    ),
    BdtOption("AdaBoostR2Loss", "text", "Quadratic", ("Linear", "Quadratic", "Exponential")),
    BdtOption("UseBaggedBoost", "flag", "False"),
    BdtOption("Shrinkage", "number", "1.000000e+00"),
    BdtOption("AdaBoostBeta", "number", "5.000000e-01"),
    BdtOption("UseRandomisedTrees", "flag", "False"),
    BdtOption("UseNvars", "integer", "2"),
    BdtOption("UsePoissonNvars", "flag", "True"),
    BdtOption("BaggedSampleFraction", "number", "6.000000e-01"),
    BdtOption("UseYesNoLeaf", "flag", "True"),
    BdtOption(
        "NegWeightTreatment",
        "text",
        "InverseBoostNegWeights",
        (
            "InverseBoostNegWeights",
            "IgnoreNegWeightsInTraining",
            "NoNegWeightsInTraining",
            "PairNegWeightsGlobal",
            "Pray",
        ),
    ),
    BdtOption("Css", "number", "1.000000e+00"),
    BdtOption("Cts_sb", "number", "1.000000e+00"),
    BdtOption("Ctb_ss", "number", "1.000000e+00"),
    BdtOption("Cbb", "number", "1.000000e+00"),
    BdtOption("NodePurityLimit", "number", "5.000000e-01"),
    BdtOption(
        "SeparationType",
        "text",
        "GiniIndex",
        (
            "CrossEntropy",
            "GiniIndex",
            "GiniIndexWithLaplace",
            "MisClassificationError",
            "SDivSqrtSPlusB",
            "RegressionVariance",
        ),
    ),
    BdtOption("RegressionLossFunctionBDTG", "text", "Huber", ("Huber", "AbsoluteDeviation", "LeastSquares"), False),
    BdtOption("HuberQuantile", "number", "7.000000e-01", (), False),
    BdtOption("DoBoostMonitor", "flag", "False"),
    BdtOption("UseFisherCuts", "flag", "False"),
    BdtOption("MinLinCorrForFisher", "number", "8.000000e-01"),
    BdtOption("UseExclusiveVars", "flag", "False"),
    BdtOption("DoPreselection", "flag", "False"),
    BdtOption("SigToBkgFraction", "number", "1.000000e+00"),
    BdtOption("PruneMethod", "text", "NoPruning", ("NoPruning", "ExpectedError", "CostComplexity")),
    BdtOption("PruneStrength", "number", "0.000000e+00"),
    BdtOption("PruningValFraction", "number", "5.000000e-01"),
    BdtOption("SkipNormalization", "flag", "False", (), False),
    BdtOption("nEventsMin", "integer", "0"),
    BdtOption("UseBaggedGrad", "flag", "False"),
    BdtOption("GradBaggingFraction", "number", "6.000000e-01"),
    BdtOption("UseNTrainEvents", "integer", "0"),
    BdtOption("NNodesMax", "integer", "0"),
)
#: Options whose values TMVA writes in lower case, as it keeps them.
_LOWER_CASE = {"AdaBoostR2Loss", "NegWeightTreatment", "SeparationType", "PruneMethod"}


def bdt_option_values(given: Mapping[str, str]) -> list[tuple[str, str, bool]]:
    """Name, value and whether it was set, of each option that TMVA writes to a weights file.

    Parameters
    ----------
    given : mapping of str to str
        Options that were set, by TMVA's names.
    """
    rows = []
    for option in BDT_OPTIONS:
        if option.in_file:
            value = _written(option, given.get(option.name, option.default))
            rows.append((option.name, value, option.name in given))
    return rows


def _written(option: BdtOption, value: str) -> str:
    if option.kind == "number":
        return f"{float(value):.6e}"
    return value.lower() if option.name in _LOWER_CASE else value
