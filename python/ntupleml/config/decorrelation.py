"""Decorrelation: formulas of which the scores of a network must not depend, and what their dependence costs."""

from __future__ import annotations

from pydantic import Field

from ntupleml.config.inputs import OneOrMore  # noqa: TC001  # pydantic evaluates it
from ntupleml.config.schema import Names, Schema


class DecorrelationConfig(Schema):
    """Distance correlations, batch by batch, as a part of the loss."""

    #: Formulas of the fold files, such as the score of another trigger or a mass.
    of: OneOrMore
    #: Factor α of the distance correlations in the loss.
    strength: float = Field(default=10.0, ge=0)
    #: Scores that are not to depend on them; by default all.
    scores: Names | None = None
    #: Classes whose rows count; by default all.
    classes: Names | None = None
