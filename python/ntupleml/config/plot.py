"""How figures look: the `plot` block of the training and testing configs."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

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
