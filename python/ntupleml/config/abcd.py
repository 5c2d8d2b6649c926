"""The ABCD test: another score beside that of the tested model, and where both are cut."""

from __future__ import annotations

from pydantic import Field, model_validator

from ntupleml.config.schema import ClassName, Formula, Name, Schema


class CutsConfig(Schema):
    """Cuts that events pass with at least these scores."""

    #: Cut on the score of the tested model.
    score: float
    #: Cut on the other score.
    other: float


class AbcdConfig(Schema):
    """Two scores that are to be independent for a background."""

    #: Formula of the other score; larger ones are more like a signal.
    other: Formula
    #: Class whose number of events is predicted; the others are signals.
    background: ClassName
    #: Class or output of the tested model whose score counts; by default the first output, of classes the first that is
    #: not the background.
    score: Name | None = None
    #: Where both scores are cut; by default where `share` of the background passes each.
    cuts: CutsConfig | None = None
    #: Without cuts: share of the background that passes each of them.
    share: float = Field(default=0.1, gt=0, lt=1)

    @model_validator(mode="after")
    def _one(self) -> AbcdConfig:
        if self.cuts is not None and "share" in self.model_fields_set:
            raise ValueError("cuts and share stand side by side; give one of them")
        return self
