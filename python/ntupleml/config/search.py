"""What is searched for: a signal with its points, and how the weights of classes count in its curves."""

from __future__ import annotations

from typing import Annotated

from pydantic import Discriminator, Field, Tag, model_validator

from ntupleml.config.schema import ClassName, Formula, Schema, TextKeys, number_or_class

#: By class: a factor; `rows` for a sum of weights that is the number of rows; or a class whose sum of weights is taken.
Scales = Annotated[
    dict[
        ClassName,
        Annotated[
            Annotated[float, Field(ge=0), Tag("[number]")] | Annotated[ClassName, Tag("[class]")],
            Discriminator(number_or_class),
        ],
    ],
    TextKeys,
]


class VetoConfig(Schema):
    """Rows that look like a class are left out before the signal is selected."""

    #: The class by whose score rows are left out.
    of: ClassName = Field(validation_alias="class")
    #: Share of this class, by weights, that the veto catches: the tightest cut on its score that does.
    share: float | None = Field(default=None, gt=0, le=1)
    #: In place of `share`: rows with at least this score are left out.
    threshold: float | None = None

    @model_validator(mode="after")
    def _one(self) -> VetoConfig:
        if (self.share is None) == (self.threshold is None):
            raise ValueError("give one of share and threshold")
        return self


class RejectionConfig(Schema):
    """Rejection against signal efficiency."""

    #: Factor of each class in the sums: a number; `rows`, by which the sum of weights is the number of rows; or a class
    #: whose sum of weights is taken.
    scale: Scales = {}
    #: Rows that are left out before the signal is selected.
    veto: VetoConfig | None = None


class CutScanConfig(Schema):
    """S/√B against the cut on the score of the signal."""

    #: Factor of each class in the sums, as in `rejection`.
    scale: Scales = {}
    #: The scan ends at the first cut with no more than this sum of background weights.
    fewest_background: float = Field(default=10.0, ge=0)


class SearchConfig(Schema):
    """A signal against all other classes."""

    #: The class that is searched for; by default `signal`, else the first.
    signal: ClassName | None = None
    #: Formulas whose values are the points of the signal, such as two masses: efficiencies are given for each point,
    #: curves for each value of the first.
    points: list[Formula] = []
    #: Settings of the step `rejection`.
    rejection: RejectionConfig = RejectionConfig()
    #: Settings of the step `cut-scan`.
    cut_scan: CutScanConfig = CutScanConfig()
