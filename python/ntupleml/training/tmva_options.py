"""What an option string of TMVA's boosted decision trees asks for, deprecated options translated."""

from __future__ import annotations

from dataclasses import dataclass

from ntupleml.errors import NtuplemlError
from ntupleml.tmva.options import BDT_OPTIONS, finite_number, read_options

#: Options that do not change what is trained.
_SILENT = {"V", "VerbosityLevel", "H"}


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
    """What an option string asks for; refused as by `read_options`, and for values outside their range."""
    given = read_options(text, BDT_OPTIONS, "TMVA's trees have no option '{}'", where)
    values = {option.name: given.get(option.name, option.default) for option in BDT_OPTIONS}
    boost_type = values["BoostType"]
    # both names stand for one number in TMVA; the one that comes last counts
    fractions = [value for name, value in given.items() if name in ("BaggedSampleFraction", "GradBaggingFraction")]
    bagged = boost_type == "Bagging" or "True" in (values["UseBaggedBoost"], values["UseBaggedGrad"])
    settings = BdtSettings(
        boost_type=boost_type,
        trees=int(values["NTrees"]),
        max_depth=_depth_of_nodes(int(values["NNodesMax"])) or int(values["MaxDepth"]),
        min_node_size=finite_number(values["MinNodeSize"].replace("%", "").replace(" ", ""), f"{where}: MinNodeSize"),
        min_node_events=int(values["nEventsMin"]),
        cuts=int(values["nCuts"]),
        shrinkage=float(values["Shrinkage"]),
        beta=float(values["AdaBoostBeta"]),
        bagged_share=float(fractions[-1] if fractions else 0.6) if bagged else None,
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
    share = settings.bagged_share
    wrong = [
        (settings.trees < 1, f"NTrees={settings.trees}: at least one tree is needed"),
        (settings.max_depth < 1, f"MaxDepth={settings.max_depth}: at least 1 is needed"),
        (
            not 0 < settings.min_node_size < 50,
            f"MinNodeSize={settings.min_node_size:g}%: above 0 and below 50 percent of the events is needed",
        ),
        (settings.cuts == 0, "nCuts=0: a positive number is needed, or -1 for all cuts"),
        (share is not None and not 0 < share <= 1, f"BaggedSampleFraction={share}: above 0 and up to 1 is needed"),
    ]
    positive = {
        "Shrinkage": settings.shrinkage,
        "AdaBoostBeta": settings.beta,
        "SigToBkgFraction": settings.signal_to_background,
    }
    wrong += [(not value > 0, f"{name}={value:g}: a positive number is needed") for name, value in positive.items()]
    for is_wrong, message in wrong:
        if is_wrong:
            raise NtuplemlError(f"{where}: {message}")
