"""Weights files of a real TMVA, and what may be wrong with such files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ntupleml.errors import NtuplemlError
from ntupleml.forests import Forest
from ntupleml.tmva.method import Boosted, Likelihood, LinearDiscriminant, Mlp, Variable
from ntupleml.tmva.reading import read_weights

if TYPE_CHECKING:
    from collections.abc import Callable

DATA = Path(__file__).resolve().parents[1] / "data" / "tmva"
CASES = sorted(path.parent.name for path in DATA.glob("*/meta.json"))
BODIES = {
    "kBDT": Forest,
    "kMLP": Mlp,
    "kFisher": LinearDiscriminant,
    "kLD": LinearDiscriminant,
    "kLikelihood": Likelihood,
    "kBoost": Boosted,
}


@pytest.mark.parametrize("case", CASES)
def test_every_case_is_read_as_it_was_trained(
    case: str, weights_file: Callable[[str], Path], case_description: Callable[[str], dict[str, Any]]
) -> None:
    method = read_weights(weights_file(case))
    known = case_description(case)
    assert isinstance(method.body, BODIES[known["method"]])
    assert method.analysis.lower() == known["analysis"].lower()
    assert [[variable.full_name, variable.kind] for variable in method.variables] == known["reader_variables"]
    assert [spectator.full_name for spectator in method.spectators] == known["spectators"]
    assert len(method.targets) == len(known["targets"])
    if known["analysis"].lower() == "multiclass":
        assert list(method.classes) == known["classes"]
        assert method.output_names == known["classes"]
    elif known["analysis"].lower() == "classification":
        assert method.classes == ("Signal", "Background")
        assert method.output_names == ["M"]


def test_labels_expressions_and_spectators(weights_file: Callable[[str], Path]) -> None:
    method = read_weights(weights_file("bin_bdtg_expr"))
    assert method.variables[1]._replace(minimum=0, maximum=0) == Variable("x-y", "diff")
    assert method.variables[1].minimum == pytest.approx(-8.98893356)
    assert [spectator.expression for spectator in method.spectators] == ["x", "y*2"]
    assert method.options["NTrees"] == "30"
    assert method.info["TMVA Release"] == "4.2.1 [262657]"


@pytest.mark.parametrize("kind", ["KNN", "SVM", "PDERS", "Cuts", "FDA", "RuleFit", "DNN", "DL", "bdt", ""])
def test_other_methods_are_refused_by_name(kind: str, weights_file: Callable[[str], Path], tmp_path: Path) -> None:
    text = weights_file("bin_bdtg_expr").read_text().replace('Method="BDT::M"', f'Method="{kind}::M"')
    path = tmp_path / "x.weights.xml"
    path.write_text(text)
    with pytest.raises(NtuplemlError, match=f"method '{kind}' of TMVA is not supported; there are: BDT, MLP, Fisher"):
        read_weights(path)


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("MethodSetup", "Setup", "its root element is Setup, not MethodSetup"),
        (' Method="BDT::M"', "", "MethodSetup has no attribute Method"),
        ("<GeneralInfo>", "<GeneralInfo/><GeneralInfo>", "2 GeneralInfo in MethodSetup"),
        ("GeneralInfo>", "Info>", "no GeneralInfo in MethodSetup"),
        (
            'name="AnalysisType" value="Classification"',
            'name="AnalysisType" value="Klass"',
            "unknown AnalysisType 'Klass'",
        ),
        ("Options>", "Choices>", "no Options in MethodSetup"),
        ('NVar="3"', 'NVar="4"', "Variables has 3 Variable, but the file says that there are 4"),
        ('NVar="3"', 'NVar="three"', "NVar is 'three'; an integer"),
        ('NVar="3"', f'NVar="1{"0" * 30}"', "an integer"),
        ('NVar="3"', "", "Variables has no attribute NVar"),
        ('VarIndex="1"', 'VarIndex="2"', "Variable 1 has the VarIndex 2"),
        ('Expression="x-y"', 'Expression=" "', "Variable 1: its Expression is empty"),
        ('Expression="x-y"', "", "Variable 1: Variable has no attribute Expression"),
        ('Min="-8.98893356e+00"', 'Min="low"', "Variable 1: Min is 'low', not a number"),
        ('NSpec="2"', 'NSpec="1"', "Spectators has 2 Spectator, but the file says that there are 1"),
        ('NClass="2"', 'NClass="3"', "Classes has 2 Class, but the file says that there are 3"),
        ('Name="Background"', 'Name="Signal"', "a class is listed twice: Signal, Signal"),
        ('Name="Background" Index="1"', 'Name="Background" Index="0"', "Class 1 has the Index 0"),
        ("Weights", "Heights", "no Weights in MethodSetup"),
        ('NTrees="30"', 'NTrees="31"', "Weights has 30 BinaryTree, but the file says that there are 31"),
        ('name="BoostType" modified="Yes">Grad', 'name="BoostType" modified="Yes">grad', "unknown BoostType 'grad'"),
    ],
)
def test_damaged_files_are_refused_in_one_line(
    old: str, new: str, reason: str, weights_file: Callable[[str], Path], tmp_path: Path
) -> None:
    text = weights_file("bin_bdtg_expr").read_text()
    assert old in text
    path = tmp_path / "x.weights.xml"
    path.write_text(text.replace(old, new))
    with pytest.raises(NtuplemlError) as caught:
        read_weights(path)
    assert reason in str(caught.value)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


@settings(deadline=None, max_examples=60)
@given(data=st.data())
def test_whatever_happens_to_a_file_is_an_error_of_ours_or_harmless(
    data: st.DataObject, weights_file: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory
) -> None:
    case = data.draw(st.sampled_from(["reg_mlp", "bin_mlp_tanh_P", "bin_ld", "mc_mlp_expr", "bin_bdtg_expr"]))
    text = weights_file(case).read_text()[:12_000] if data.draw(st.booleans()) else weights_file(case).read_text()
    start = data.draw(st.integers(0, len(text) - 1))
    length = data.draw(st.integers(1, 200))
    replacement = data.draw(st.sampled_from(["", "nan", "-1", "1e30", '"', "<", "/>", "99999999999999999999", "é"]))
    path = tmp_path_factory.mktemp("damaged") / "x.weights.xml"
    path.write_text(text[:start] + replacement + text[start + length :], encoding="utf-8")
    try:
        read_weights(path)
    except NtuplemlError as error:
        assert str(path) in str(error), error  # noqa: PT017


def test_a_file_without_what_old_versions_lacked_is_read(weights_file: Callable[[str], Path], tmp_path: Path) -> None:
    """TMVA 4.0 wrote neither the analysis nor classes nor spectators."""
    text = weights_file("bin_bdtg").read_text()
    without = text.replace('<Info name="AnalysisType" value="Classification"/>', "")
    start, end = without.index("<Spectators"), without.index("<Transformations")
    path = tmp_path / "old.weights.xml"
    path.write_text(without[:start] + without[end:])
    method = read_weights(path)
    assert method.analysis == "Classification"
    assert method.classes == ("Signal", "Background")
    assert method.spectators == ()
