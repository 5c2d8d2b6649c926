"""Weights files of a real TMVA, unpacked, and small ones made up."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

DATA = Path(__file__).resolve().parents[1] / "data" / "tmva"

_HEAD = """<?xml version="1.0"?>
<MethodSetup Method="BDT::made_up">
  <GeneralInfo>
    <Info name="TMVA Release" value="4.2.1 [262657]"/>
    <Info name="AnalysisType" value="{analysis}"/>
  </GeneralInfo>
  <Options>
{options}
  </Options>
  <Variables NVar="{num_variables}">
{variables}
  </Variables>
  <Classes NClass="{num_classes}">
{classes}
  </Classes>
  {targets}
  <Transformations NTransformations="0"/>
  <MVAPdfs/>
"""


@pytest.fixture(scope="session")
def weights_file(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Path of the weights file of a case, as TMVA wrote it."""
    folder = tmp_path_factory.mktemp("weights")

    def unpacked(case: str) -> Path:
        path = folder / f"{case}.weights.xml"
        if not path.exists():
            path.write_bytes(gzip.decompress((DATA / case / "weights.xml.gz").read_bytes()))
        return path

    return unpacked


@pytest.fixture(scope="session")
def case_description() -> Callable[[str], dict[str, Any]]:
    """What is known of a case from its training."""

    def description(case: str) -> dict[str, Any]:
        content: dict[str, Any] = json.loads((DATA / case / "meta.json").read_text())
        return content

    return description


@pytest.fixture
def made_up_bdt(tmp_path: Path) -> Callable[..., Path]:
    """Write the weights file of a BDT with the given text of its `Weights`."""

    def write(
        weights: str,
        *,
        boost: str = "Grad",
        analysis: str = "Classification",
        num_variables: int = 2,
        num_classes: int = 2,
        **options: str,
    ) -> Path:
        head = _HEAD.format(
            analysis=analysis,
            options="\n".join(
                f'<Option name="{name}" modified="Yes">{value}</Option>'
                for name, value in {"BoostType": boost, **options}.items()
            ),
            num_variables=num_variables,
            variables="\n".join(
                f'<Variable VarIndex="{index}" Expression="v{index}" Label="v{index}" Type="F" Min="-1" Max="1"/>'
                for index in range(num_variables)
            ),
            num_classes=num_classes,
            classes="\n".join(f'<Class Name="c{index}" Index="{index}"/>' for index in range(num_classes)),
            targets='<Targets NTrgt="1"><Target TargetIndex="0" Expression="t" Label="t"/></Targets>'
            if analysis == "Regression"
            else "",
        )
        path = tmp_path / "made_up.weights.xml"
        path.write_text(head + weights + "\n</MethodSetup>\n")
        return path

    return write
