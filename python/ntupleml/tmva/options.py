"""TMVA's options: the strings they are given in, read as TMVA reads them, and those of its boosted decision trees."""

from __future__ import annotations

import logging
import math
import re
from typing import TYPE_CHECKING, Literal, NamedTuple

from ntupleml.errors import NtuplemlError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

log = logging.getLogger(__name__)

_TRUE, _FALSE = ("1", "true", "ktrue", "t"), ("0", "false", "kfalse", "f")
_INTEGER, _LARGEST_INTEGER = re.compile(r"[+-]?\d+"), 2**31 - 1


class Option(NamedTuple):
    """An option: its name, the kind of its value, its default, and the values it may have where they are given."""

    name: str
    kind: Literal["flag", "integer", "number", "text"] = "text"
    default: str = ""
    choices: tuple[str, ...] = ()
    #: Whether it is written to weights files: those of later releases would be unknown to earlier ones.
    in_file: bool = True


def _flag(name: str, default: bool = False) -> Option:
    return Option(name, "flag", str(default))


def _integer(name: str, default: int) -> Option:
    return Option(name, "integer", str(default))


def _number(name: str, default: float) -> Option:
    return Option(name, "number", f"{default:.6e}")


def _choice(name: str, default: str, choices: str) -> Option:
    return Option(name, "text", default, tuple(choices.split()))


#: In the order in which TMVA declares them and writes them to its files: those of all methods, then those of the
#: trees (`MethodBase::DeclareOptions`, `MethodBDT::DeclareOptions`).
BDT_OPTIONS = (
    _flag("V"),
    _choice("VerbosityLevel", "Default", "Default Debug Verbose Info Warning Error Fatal"),
    Option("VarTransform", default="None"),
    _flag("H"),
    _flag("CreateMVAPdfs"),
    _flag("IgnoreNegWeightsInTraining"),
    _integer("NTrees", 800),
    _integer("MaxDepth", 3),
    Option("MinNodeSize", default="5%"),
    _integer("nCuts", 20),
    _choice("BoostType", "AdaBoost", "AdaBoost RealAdaBoost AdaCost Bagging AdaBoostR2 Grad"),
    _choice("AdaBoostR2Loss", "Quadratic", "Linear Quadratic Exponential"),
    _flag("UseBaggedBoost"),
    _number("Shrinkage", 1.0),
    _number("AdaBoostBeta", 0.5),
    _flag("UseRandomisedTrees"),
    _integer("UseNvars", 2),
    _flag("UsePoissonNvars", True),
    _number("BaggedSampleFraction", 0.6),
    _flag("UseYesNoLeaf", True),
    _choice(
        "NegWeightTreatment",
        "InverseBoostNegWeights",
        "InverseBoostNegWeights IgnoreNegWeightsInTraining NoNegWeightsInTraining PairNegWeightsGlobal Pray",
    ),
    _number("Css", 1.0),
    _number("Cts_sb", 1.0),
    _number("Ctb_ss", 1.0),
    _number("Cbb", 1.0),
    _number("NodePurityLimit", 0.5),
    _choice(
        "SeparationType",
        "GiniIndex",
        "CrossEntropy GiniIndex GiniIndexWithLaplace MisClassificationError SDivSqrtSPlusB RegressionVariance",
    ),
    _choice("RegressionLossFunctionBDTG", "Huber", "Huber AbsoluteDeviation LeastSquares")._replace(in_file=False),
    _number("HuberQuantile", 0.7)._replace(in_file=False),
    _flag("DoBoostMonitor"),
    _flag("UseFisherCuts"),
    _number("MinLinCorrForFisher", 0.8),
    _flag("UseExclusiveVars"),
    _flag("DoPreselection"),
    _number("SigToBkgFraction", 1.0),
    _choice("PruneMethod", "NoPruning", "NoPruning ExpectedError CostComplexity"),
    _number("PruneStrength", 0.0),
    _number("PruningValFraction", 0.5),
    _flag("SkipNormalization")._replace(in_file=False),
    _integer("nEventsMin", 0),
    _flag("UseBaggedGrad"),
    _number("GradBaggingFraction", 0.6),
    _integer("UseNTrainEvents", 0),
    _integer("NNodesMax", 0),
)
#: Options whose values TMVA writes in lower case, as it keeps them.
_LOWER_CASE = {"AdaBoostR2Loss", "NegWeightTreatment", "SeparationType", "PruneMethod"}


def bdt_option_values(given: Mapping[str, str]) -> list[tuple[str, str, bool]]:
    """Name, value and whether it was set, of each option that TMVA writes to a weights file."""

    def written(option: Option, value: str) -> str:
        if option.kind == "number":
            return f"{float(value):.6e}"
        return value.lower() if option.name in _LOWER_CASE else value

    return [
        (option.name, written(option, given.get(option.name, option.default)), option.name in given)
        for option in BDT_OPTIONS
        if option.in_file
    ]


def read_options(text: str, known: Sequence[Option], unknown: str, where: str, *, once: bool = False) -> dict[str, str]:
    """Options that a string sets, by TMVA's names.

    Names and given values may be written in any case, a flag as ``Flag``, ``!Flag`` or ``Flag=True``, and a value
    out of a list may stand alone (``Grad``), all as in TMVA (`Configurable::ParseOptions`). The last of several
    values counts.

    Parameters
    ----------
    text : str
        ``"!H:!V:NTrees=1500:BoostType=Grad"``
    unknown : str
        What is said of an option that there is not, with `{}` for its name.
    once : bool, default: False
        Refuse an option that is given twice.

    Returns
    -------
    dict of str to str
        Flags as ``"True"`` or ``"False"``, given values in TMVA's spelling.

    Raises
    ------
    NtuplemlError
        For an unknown option, with the nearest names; for a value that TMVA does not know; and for a number that is
        none, which TMVA reads as zero.

    Examples
    --------
    >>> read_options("!h:NTrees=5", BDT_OPTIONS, "there is no option '{}'", "here")
    {'H': 'False', 'NTrees': '5'}
    """
    given: dict[str, str] = {}
    for part in text.split(":"):
        if not (stripped := part.strip().removeprefix("~").strip()):
            continue
        name, value = _read_option(stripped, known, unknown, where)
        if name in given and once:
            raise NtuplemlError(f"{where}: option {name} is given twice; leave one out")
        if name in given and given[name] != value:
            log.warning("%s: %s is set twice; %s counts", where, name, value)
        given.pop(name, None)
        given[name] = value
    return given


def _read_option(part: str, known: Sequence[Option], unknown: str, where: str) -> tuple[str, str]:
    written, assigned, value = part.partition("=")
    negated = not assigned and written.startswith("!")
    name = written.strip() if assigned else written.removeprefix("!").strip()
    option = next((option for option in known if option.name.lower() == name.lower()), None)
    if option is None and part == name:
        for other in known:
            for choice in other.choices:
                if choice.lower() == name.lower():
                    return other.name, choice
    if option is None:
        names = [other.name for other in known]
        raise NtuplemlError(f"{where}: {unknown.format(name)}{did_you_mean(name, names)}")
    if assigned:
        return option.name, _checked_value(option, value.strip(), f"{where}: {option.name}={value.strip()}")
    if option.kind != "flag":
        example = option.default or "…"
        what = "cannot be negated" if negated else f"needs a value, e.g. {option.name}={example}"
        raise NtuplemlError(f"{where}: option '{option.name}' is not a flag and {what}")
    return option.name, "False" if negated else "True"


def _checked_value(option: Option, value: str, where: str) -> str:
    if option.choices:
        for choice in option.choices:
            if choice.lower() == value.lower():
                return choice
        raise NtuplemlError(f"{where}: TMVA has no such value{did_you_mean(value, option.choices)}")
    if option.kind == "flag":
        if value.lower() not in _TRUE + _FALSE:
            raise NtuplemlError(f"{where}: neither True nor False")
        return str(value.lower() in _TRUE)
    if option.kind == "integer" and not _INTEGER.fullmatch(value):
        raise NtuplemlError(f"{where}: not an integer")
    if option.kind == "integer" and abs(int(value[:20])) > _LARGEST_INTEGER:
        raise NtuplemlError(f"{where}: too large, also for TMVA")
    if option.kind == "number":
        finite_number(value, where)
    return value


def finite_number(value: str, where: str) -> float:
    """The number of an option; refused where it is none, or not finite."""
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise NtuplemlError(f"{where}: not a number")
    return number
