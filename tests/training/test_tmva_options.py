"""TMVA's option strings: what `Configurable::ParseOptions` of ROOT takes, and what it refuses."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis.strategies import integers, sampled_from, text

from ntupleml.errors import NtuplemlError
from ntupleml.tmva.options import BDT_OPTIONS, read_options
from ntupleml.training.tmva_options import bdt_settings

HTT_ML = (
    "!H:!V:NTrees=1500:BoostType=Grad:Shrinkage=0.10:UseBaggedBoost:BaggedSampleFraction=0.5:nCuts=50:MaxDepth=3:"
    "SeparationType=GiniIndex"
)


def read_bdt_options(text: str, where: str) -> dict[str, str]:
    return read_options(text, BDT_OPTIONS, "TMVA's trees have no option '{}'", where)


def test_the_options_of_htt_ml() -> None:
    settings = bdt_settings(HTT_ML, "here")
    assert (settings.boost_type, settings.trees, settings.max_depth, settings.cuts) == ("Grad", 1500, 3, 50)
    assert (settings.shrinkage, settings.bagged_share, settings.min_node_size) == (0.1, 0.5, 5.0)
    assert settings.given["H"] == "False"
    assert settings.negative_weights == "Pray"  # current releases; there is no inverse boost of gradients


def test_the_defaults_are_those_of_tmva() -> None:
    settings = bdt_settings("", "here")
    assert (settings.boost_type, settings.trees, settings.max_depth, settings.cuts) == ("AdaBoost", 800, 3, 20)
    assert (settings.shrinkage, settings.beta, settings.bagged_share) == (1.0, 0.5, None)
    assert (settings.negative_weights, settings.yes_no_leaf) == ("InverseBoostNegWeights", True)


@pytest.mark.parametrize(
    ("written", "name", "value"),
    [
        ("ntrees=5", "NTrees", "5"),
        ("BOOSTTYPE=grad", "BoostType", "Grad"),
        ("Grad", "BoostType", "Grad"),
        ("UseBaggedBoost", "UseBaggedBoost", "True"),
        ("!usebaggedboost", "UseBaggedBoost", "False"),
        ("UseBaggedBoost=kTRUE", "UseBaggedBoost", "True"),
        ("UseBaggedBoost=0", "UseBaggedBoost", "False"),
        (":~NTrees=7::", "NTrees", "7"),
        ("NTrees=3:NTrees=4", "NTrees", "4"),
    ],
)
def test_ways_to_write_an_option(written: str, name: str, value: str) -> None:
    assert read_bdt_options(written, "here") == {name: value}


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("NTree=5", "here: TMVA's trees have no option 'NTree'; nearest: 'NTrees'"),
        ("!NoSuchFlag", "no option 'NoSuchFlag'"),
        ("NTrees", "option 'NTrees' is not a flag and needs a value, e.g. NTrees=800"),
        ("!NTrees", "option 'NTrees' is not a flag and cannot be negated"),
        ("BoostType=Foo", "BoostType=Foo: TMVA has no such value"),
        ("BoostType=Grat", "nearest: 'Grad'"),
        ("NTrees=many", "NTrees=many: not an integer"),
        ("NTrees=" + 30 * "9", "too large, also for TMVA"),
        ("Shrinkage=big", "Shrinkage=big: not a number"),
        ("Shrinkage=nan", "Shrinkage=nan: not a number"),
        ("H=perhaps", "H=perhaps: neither True nor False"),
    ],
)
def test_what_tmva_does_not_know(written: str, message: str) -> None:
    with pytest.raises(NtuplemlError) as error:
        read_bdt_options(written, "here")
    assert message in str(error.value)


@pytest.mark.parametrize(
    "written",
    ["NTrees=0", "MaxDepth=0", "MinNodeSize=50%", "MinNodeSize=0", "MinNodeSize=x%", "nCuts=0", "Shrinkage=0",
     "AdaBoostBeta=-1", "UseBaggedBoost:BaggedSampleFraction=1.5", "SigToBkgFraction=0"],
)  # fmt: skip
def test_values_out_of_range(written: str) -> None:
    with pytest.raises(NtuplemlError, match=r"^here: "):
        bdt_settings(written, "here")


def test_deprecated_options_are_translated_as_tmva_does() -> None:
    assert bdt_settings("UseBaggedGrad:GradBaggingFraction=0.3", "here").bagged_share == 0.3
    assert bdt_settings("UseBaggedBoost:UseNTrainEvents=50", "here").sampled_share(200) == 0.25
    assert bdt_settings("nEventsMin=30", "here").min_node_share(1000) == pytest.approx(0.03)
    # TMVA multiplies by three from level to level: 1, 3, 9 nodes.
    assert bdt_settings("NNodesMax=5", "here").max_depth == 2
    assert bdt_settings("BoostType=Bagging", "here").bagged_share == 0.6


def test_the_flag_of_all_methods_wins_over_the_treatment() -> None:
    settings = bdt_settings("IgnoreNegWeightsInTraining:NegWeightTreatment=Pray", "here")
    assert settings.negative_weights == "IgnoreNegWeightsInTraining"


def test_options_that_an_engine_does_not_use_are_listed() -> None:
    settings = bdt_settings(HTT_ML + ":PruneMethod=NoPruning", "here")
    used = {"NTrees", "BoostType", "Shrinkage", "UseBaggedBoost", "BaggedSampleFraction", "nCuts", "MaxDepth"}
    assert settings.unused(used) == ["SeparationType=GiniIndex", "PruneMethod=NoPruning"]


@given(text(alphabet="NTrees=:!~Grad5 %.", max_size=40))
def test_any_text_is_read_or_refused_in_one_line(written: str) -> None:
    known = {option.name for option in BDT_OPTIONS}
    names, message = known, "here: "
    try:
        names = set(read_bdt_options(written, "here"))
    except NtuplemlError as error:
        message = str(error)
    assert names <= known
    assert message.startswith("here: ")
    assert "\n" not in message


@given(sampled_from([option for option in BDT_OPTIONS if option.kind == "integer"]), integers(-5, 10**6))
def test_numbers_come_back_as_written(option: object, value: int) -> None:
    name = option.name  # type: ignore[attr-defined]
    assert read_bdt_options(f"{name.upper()}={value}", "here") == {name: str(value)}
