"""The histograms block of the testing config: regions and bins of the scores that a fit takes."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from ntupleml.config.schema import BranchName, ClassName, Formula, Name, Schema, TextKeys

#: Number of bins where the config does not say.
_BINS = 20


class EqualContentConfig(Schema):
    """Bins of which each has the same sum of weights."""

    #: Number of bins.
    equal_content: int = Field(ge=1, le=10_000)
    #: Class whose sums of weights are the same in all bins; by default those of all classes together.
    of: ClassName | None = None


def _ascending(edges: list[float]) -> list[float]:
    if any(not low < high for low, high in pairwise(edges)):
        raise ValueError("edges have to ascend")
    return edges


_Edges = Annotated[list[float], Field(min_length=2), AfterValidator(_ascending)]
_Number = Annotated[int, Field(ge=1, le=10_000)]
#: A number of equal bins, the edges of bins, or a block.
Bins = _Number | _Edges | EqualContentConfig


class RegionConfig(Schema):
    """Events of which a score is histogrammed."""

    #: Formula of the fold files; events that fail it are not in the region. Without it, it is no cut.
    cut: Formula | None = None
    #: Class whose score is histogrammed; by default the first signal.
    score: Name | None = None
    #: Whether only events are in the region of which this score is the highest of all classes.
    highest: bool = False
    #: In place of those of all regions.
    bins: Bins | None = None


def _cuts(value: Any) -> Any:
    """A formula as a region with this cut."""
    if not isinstance(value, dict):
        return value
    return {name: {"cut": one} if isinstance(one, str) else {} if one is None else one for name, one in value.items()}


class HistogramsConfig(Schema):
    """Histograms of scores that a fit takes."""

    #: By name: a formula that its events pass, or a block. By default each class has a region of its name, with the
    #: events of which its score is the highest; of two classes there is one region `all`.
    regions: Annotated[
        dict[BranchName, RegionConfig],
        TextKeys,
        BeforeValidator(_cuts, json_schema_input_type=dict[str, str | RegionConfig | None]),
    ] = {}
    #: Number of equal bins of a probability, edges of bins, or `{equal_content: N}`.
    bins: Bins = _BINS

    @model_validator(mode="after")
    def _no_slashes(self) -> HistogramsConfig:
        for name in self.regions:
            if not name.isidentifier():
                raise ValueError(f"regions: '{name}' names a folder and a channel; take letters, digits and '_'")
        return self
