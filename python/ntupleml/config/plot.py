"""How figures look: the `plot` block of the training and testing configs."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from ntupleml.config.schema import Schema


class PlotConfig(Schema):
    """Style and labels of figures.

    Attributes
    ----------
    style : {'plain', 'CMS', 'ATLAS', 'LHCb', 'ALICE', 'DUNE'}
        Look of an experiment, from mplhep; `plain` is htt-ml's.
    label : str
        Text after the experiment's name, e.g. "Simulation Preliminary".
    lumi : float, optional
        Integrated luminosity in fb⁻¹.
    com : float, optional
        Centre-of-mass energy in TeV.
    class_labels : dict
        Text to show for a class instead of its name; matplotlib's mathtext works.
    """

    style: Literal["plain", "CMS", "ATLAS", "LHCb", "ALICE", "DUNE"] = "plain"
    label: str = ""
    lumi: float | None = Field(default=None, gt=0)
    com: float | None = Field(default=None, gt=0)
    class_labels: dict[str, str] = {}

    @field_validator("label")
    @classmethod
    def _can_be_drawn(cls, text: str) -> str:
        check_formulas(text)
        return text

    @field_validator("class_labels")
    @classmethod
    def _all_can_be_drawn(cls, labels: dict[str, str]) -> dict[str, str]:
        for name, text in labels.items():
            check_formulas(text, f"{name}: ")
        return labels


def check_formulas(text: str, name: str = "") -> None:
    """Check the formulas between dollar signs of a text, before hours of work end in a picture that cannot be drawn.

    Parameters
    ----------
    text : str
    name : str
        Put in front of the message.

    Raises
    ------
    ValueError
        Saying where matplotlib's mathtext cannot read it.
    """
    if text.count("$") < 2:  # matplotlib, which takes half a second to import, would draw it as it is
        return
    from matplotlib.cbook import is_math_text
    from matplotlib.mathtext import MathTextParser

    if not is_math_text(text):
        return
    try:
        MathTextParser("path").parse(text)
    except ValueError as error:
        reason = str(error).strip().splitlines()[-1].partition(": ")[2]
        raise ValueError(f"{name}'{text}' is no formula that matplotlib can draw: {reason}") from None
