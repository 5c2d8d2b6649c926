"""The parameters block of the training config: inputs that are hypotheses of the signal."""

from __future__ import annotations

from typing import Annotated, Literal

from ntupleml.config.schema import ClassNames, Name, Names, Schema, TextKeys

#: How often a point of the signal is drawn for an event of another class.
Drawn = Literal["weights", "points"]


class ParametersConfig(Schema):
    """Hypotheses, such as masses, that are inputs: true for the signal, drawn from the signal's for all others."""

    #: Branches of the fold files of the signal, which are among the inputs.
    names: Names
    #: Classes that have them.
    of: ClassNames
    #: How often all others get a point of the signal: as its sum of `weights` says, or all `points` alike; one word for
    #: all classes, or one for each class, `weights` where it is not named.
    drawn: Annotated[dict[Name, Drawn] | Drawn, TextKeys] = "weights"

    def drawn_for(self, name: str) -> Drawn:
        """How the points of a class are drawn."""
        return self.drawn.get(name, "weights") if isinstance(self.drawn, dict) else self.drawn
