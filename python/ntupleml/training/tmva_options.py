"""TMVA's option strings, read as TMVA reads them, and what those of its boosted decision trees ask for."""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass
from typing import NamedTuple

from ntupleml.errors import NtuplemlError, did_you_mean
from ntupleml.tmva.bdt_options import BDT_OPTIONS, BdtOption

log = logging.getLogger(__name__)

_BY_NAME = {option.name.lower(): option for option in BDT_OPTIONS}
_TRUE, _FALSE = {"1", "true", "ktrue", "t"}, {"0", "false", "kfalse", "f"}
_INTEGER, _LARGEST_INTEGER = re.compile(r"[+-]?\d+"), 2**31 - 1
#: Options that do not change what is trained.
_SILENT = {"V", "VerbosityLevel", "H"}


class OptionText(NamedTuple):
    """An option of an option string: its name (or value, where that stands alone) and its value as text."""

    name: str
    value: str | None
    negated: bool = False


def split_options(text: str) -> list[OptionText]:
    """Parts of an option string: ``Name=value``, ``Flag``, ``!Flag``.

    Examples
    --------
    >>> split_options("!H:NTrees=5")
    [OptionText(name='H', value=None, negated=True), OptionText(name='NTrees', value='5', negated=False)]
    """
    parts = []
    for part in text.split(":"):
        stripped = part.strip().removeprefix("~").strip()
        if not stripped:
            continue
        name, assigned, value = stripped.partition("=")
        negated = not assigned and name.startswith("!")
        parts.append(OptionText(name.removeprefix("!").strip(), value.strip() if assigned else None, negated))
    return parts


def read_bdt_options(text: str, where: str) -> dict[str, str]:
    """Options of TMVA's boosted decision trees that an option string sets, by TMVA's names.

    Names and given values may be written in any case, a flag as ``Flag``, ``!Flag`` or ``Flag=True``, and a value
    out of a list may stand alone (``Grad``), all as in TMVA (`Configurable::ParseOptions`). The last of several
    values counts.

    Parameters
    ----------
    text : str
        ``"!H:!V:NTrees=1500:BoostType=Grad"``

    Returns
    -------
    dict of str to str
        Flags as ``"True"`` or ``"False"``, given values in TMVA's spelling.

    Raises
    ------
    NtuplemlError
        For an unknown option, with the nearest names; for a value that TMVA does not know; and for a number that is
        none, which TMVA reads as zero.
    """
    given: dict[str, str] = {}
    for part in split_options(text):
        name, value = _read_option(part, where)
        if name in given and given[name] != value:
            log.warning("%s: %s is set twice; %s counts", where, name, value)
        given.pop(name, None)
        given[name] = value
    return given


def _read_option(part: OptionText, where: str) -> tuple[str, str]:
    option = _BY_NAME.get(part.name.lower())
    if option is None and part.value is None and not part.negated:
        chosen = [
            (other.name, choice)
            for other in BDT_OPTIONS
            for choice in other.choices
            if choice.lower() == part.name.lower()
        ]
        if chosen:
            return chosen[0]
    if option is None:
        names = [known.name for known in BDT_OPTIONS]
        raise NtuplemlError(f"{where}: TMVA's trees have no option '{part.name}'{did_you_mean(part.name, names)}")
    if part.value is not None:
        return option.name, _checked_value(option, part.value, where)
    if option.kind != "flag":
        what = "cannot be negated" if part.negated else f"needs a value, e.g. {option.name}={option.default}"
        raise NtuplemlError(f"{where}: option '{option.name}' is not a flag and {what}")
    return option.name, "False" if part.negated else "True"


def _checked_value(option: BdtOption, value: str, where: str) -> str:
    key = f"{where}: {option.name}={value}"
    if option.choices:
        for choice in option.choices:
            if choice.lower() == value.lower():
                return choice
        raise NtuplemlError(f"{key}: TMVA has no such value{did_you_mean(value, option.choices)}")
    if option.kind == "flag":
        if value.lower() in _TRUE | _FALSE:
            return str(value.lower() in _TRUE)
        raise NtuplemlError(f"{key}: neither True nor False")
    if option.kind == "integer" and not _INTEGER.fullmatch(value):
        raise NtuplemlError(f"{key}: not an integer")
    if option.kind == "integer" and abs(int(value[:20])) > _LARGEST_INTEGER:
        raise NtuplemlError(f"{key}: too large, also for TMVA")
    if option.kind == "number":
        _number(value, key)
    return value


def _number(value: str, where: str) -> float:
    try:
        number = float(value)
    except ValueError:
        number = float("nan")
    if number != number or abs(number) == float("inf"):
        raise NtuplemlError(f"{where}: not a number")
    return number


@dataclass(frozen=True)
class BdtSettings:
    """What an option string of boosted decision trees asks for, deprecated options translated."""

    #: ``"Grad"``, ``"AdaBoost"``, ….
    boost_type: str
    #: Number of boosting iterations.
    trees: int
    max_depth: int
    #: Smallest share of the training events in a node, in percent.
    min_node_size: float
    #: The same as a number of events (deprecated `nEventsMin`), which wins over the share; 0 where not set.
    min_node_events: int
    #: Number of cuts that are tried per variable; negative for all.
    cuts: int
    #: Learning rates of gradient boosting and of AdaBoost.
    shrinkage: float
    beta: float
    #: Share of the events that an iteration is trained on; None for all.
    bagged_share: float | None
    #: The same as a number of events (deprecated `UseNTrainEvents`); 0 where not set.
    bagged_events: int
    separation: str
    #: Ratio of the sums of weights that AdaBoost begins with.
    signal_to_background: float
    #: Whether AdaBoost begins with that ratio, or with the weights as they are.
    normalise: bool
    #: Treatment of negative weights.
    negative_weights: str
    yes_no_leaf: bool
    #: All options as set.
    given: dict[str, str]

    def min_node_share(self, num_events: int) -> float:
        """Smallest share of the events in a node, from 0 to 1."""
        if self.min_node_events > 0:
            return self.min_node_events / num_events
        return self.min_node_size / 100

    def sampled_share(self, num_events: int) -> float:
        """Share of the events that an iteration is trained on: 1 without bagging."""
        if self.bagged_share is None:
            return 1.0
        return self.bagged_events / num_events if self.bagged_events > 0 else self.bagged_share

    def unused(self, used: set[str]) -> list[str]:
        """Options that were set and are not among those that an engine uses, as `Name=value`."""
        return [f"{name}={value}" for name, value in self.given.items() if name not in used | _SILENT]


def bdt_settings(text: str, where: str) -> BdtSettings:
    """What an option string of TMVA's boosted decision trees asks for.

    Raises
    ------
    NtuplemlError
        As `read_bdt_options`, and for values outside their range.
    """
    given = read_bdt_options(text, where)
    values = {option.name: given.get(option.name, option.default) for option in BDT_OPTIONS}
    boost_type = values["BoostType"]
    fraction = _bagged_fraction(given)
    bagged = boost_type == "Bagging" or "True" in (values["UseBaggedBoost"], values["UseBaggedGrad"])
    settings = BdtSettings(
        boost_type=boost_type,
        trees=int(values["NTrees"]),
        max_depth=_depth_of_nodes(int(values["NNodesMax"])) or int(values["MaxDepth"]),
        min_node_size=_number(values["MinNodeSize"].replace("%", "").replace(" ", ""), f"{where}: MinNodeSize"),
        min_node_events=int(values["nEventsMin"]),
        cuts=int(values["nCuts"]),
        shrinkage=float(values["Shrinkage"]),
        beta=float(values["AdaBoostBeta"]),
        bagged_share=fraction if bagged else None,
        bagged_events=int(values["UseNTrainEvents"]),
        separation=values["SeparationType"],
        signal_to_background=float(values["SigToBkgFraction"]),
        normalise=values["SkipNormalization"] != "True",
        negative_weights=_negative_weights(values),
        yes_no_leaf=values["UseYesNoLeaf"] == "True",
        given=given,
    )
    _check_ranges(settings, where)
    return settings


def _bagged_fraction(given: dict[str, str]) -> float:
    """Both names stand for one number in TMVA; the one that comes last counts."""
    fractions = [
        float(value) for name, value in given.items() if name in ("BaggedSampleFraction", "GradBaggingFraction")
    ]
    return fractions[-1] if fractions else 0.6


def _negative_weights(values: dict[str, str]) -> str:
    if values["IgnoreNegWeightsInTraining"] == "True":
        return "IgnoreNegWeightsInTraining"
    treatment = values["NegWeightTreatment"]
    if values["BoostType"] == "Grad" and treatment == "InverseBoostNegWeights":
        return "Pray"  # as TMVA does
    return treatment


def _depth_of_nodes(nodes: int) -> int:
    """Depth that TMVA takes for its deprecated `NNodesMax`."""
    depth, reached = 0, 1
    while reached < nodes:
        reached *= 3
        depth += 1
    return depth


def _check_ranges(settings: BdtSettings, where: str) -> None:
    wrong = [
        (settings.trees < 1, f"NTrees={settings.trees}: at least one tree is needed"),
        (settings.max_depth < 1, f"MaxDepth={settings.max_depth}: at least 1 is needed"),
        (
            not 0 < settings.min_node_size < 50,
            f"MinNodeSize={settings.min_node_size:g}%: above 0 and below 50 percent of the events is needed",
        ),
        (settings.cuts == 0, "nCuts=0: a positive number is needed, or -1 for all cuts"),
        (not settings.shrinkage > 0, f"Shrinkage={settings.shrinkage:g}: a positive number is needed"),
        (not settings.beta > 0, f"AdaBoostBeta={settings.beta:g}: a positive number is needed"),
        (
            settings.bagged_share is not None and not 0 < settings.bagged_share <= 1,
            f"BaggedSampleFraction={settings.bagged_share}: above 0 and up to 1 is needed",
        ),
        (
            not settings.signal_to_background > 0,
            f"SigToBkgFraction={settings.signal_to_background:g}: a positive number is needed",
        ),
    ]
    for is_wrong, message in wrong:
        if is_wrong:
            raise NtuplemlError(f"{where}: {message}")
