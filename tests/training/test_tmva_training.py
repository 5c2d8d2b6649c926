"""TMVA's methods without TMVA: XGBoost's and scikit-learn's trees with TMVA's options, names and files."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnxruntime
import pytest
from sklearn.ensemble import AdaBoostClassifier
from sklearn.metrics import roc_auc_score
from sklearn.tree import DecisionTreeClassifier

from ntupleml.application import make_plan
from ntupleml.artifacts import Method, model_files, models_by_fold, read_record, sha256_of_file
from ntupleml.datasets.loading import class_trees, fold_files
from ntupleml.errors import NtuplemlError
from ntupleml.forests.kernel import evaluate
from ntupleml.onnx_models.convert import convert_file
from ntupleml.scoring import model_evaluator, scores_of_matrix
from ntupleml.tmva.reading import read_weights
from ntupleml.training.tabular_data import TabularData, TabularPart, load_tabular_data
from ntupleml.training.tmva_adaboost import fit_voting_trees, forest_of_votes
from ntupleml.training.tmva_options import bdt_settings
from ntupleml.training.tmva_training import train_tmva
from ntupleml.training.tmva_xgboost import fit_gradient_boosting, xgboost_parameters, xgboost_scores

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable

    from numpy.typing import NDArray

    from ntupleml.config import TrainingConfig

BDT = Method("tmva", "BDT", "kBDT")
GRAD = "!H:!V:NTrees=40:BoostType=Grad:Shrinkage=0.2:UseBaggedBoost:BaggedSampleFraction=0.5:nCuts=50:MaxDepth=3"


def tabular_data(config: TrainingConfig, fold: int, conditional: bool = False) -> TabularData:
    return load_tabular_data(config, class_trees(config, fold_files(config, fold, conditional)))


def method(options: str = GRAD, name: str = "BDT", type_: str = "kBDT") -> dict[str, Any]:
    return {"methods": [{"name": name, "type": type_, "options": options}]}


def files_of(config: TrainingConfig, fold: int = 0, name: str = "BDT") -> Any:
    return model_files(config.output_path, fold, Method("tmva", name, "kBDT"))


def onnx_scores(path: Path, rows: NDArray[np.float32]) -> NDArray[np.float32]:
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    scores: NDArray[np.float32] = session.run(None, {"variables": rows})[0]
    return scores


def test_gradient_boosting_leaves_weights_onnx_and_record(make_config: Callable[..., TrainingConfig]) -> None:
    config = make_config(tmva=method())
    records = train_tmva(config, [0, 1], engine="xgboost", where="t.yaml").records
    assert [(record.engine, record.fold, record.method) for record in records] == [
        ("xgboost", 0, "BDT"),
        ("xgboost", 1, "BDT"),
    ]
    files = files_of(config)
    record = read_record(files.record)
    assert record == records[0]
    assert record.sha256 == {path.name: sha256_of_file(path) for path in (files.model, files.onnx)}
    assert (record.trained_on, record.held_out_fold, record.preprocessing) == ([0], 1, "none")
    assert len(record.history["loss"]) == record.epochs == 40
    assert sum(record.importance.values()) == pytest.approx(1)
    assert record.onnx_check is not None
    assert record.onnx_check.largest_difference < 1e-6
    weights = read_weights(files.model)
    assert (weights.analysis, weights.classes, weights.options["NTrees"]) == ("Multiclass", ("sig", "bkg"), "40")
    assert weights.options["BoostType"] == "Grad"
    held_out = tabular_data(config, 1)
    part = held_out.training
    assert (weights.variables[0].minimum, weights.variables[0].maximum) != (0, 0)
    scores = evaluate(weights.body, part.inputs)  # type: ignore[arg-type]
    np.testing.assert_allclose(scores, onnx_scores(files.onnx, part.inputs), atol=1e-6)
    positive = part.weights > 0
    # The means of x lie one standard deviation apart: no classifier of x alone can do better than 0.76.
    auc = roc_auc_score(part.classes[positive] == 0, scores[positive, 0], sample_weight=part.weights[positive])
    assert 0.7 < auc < 0.9


def test_the_weights_file_answers_as_xgboost_does(make_config: Callable[..., TrainingConfig]) -> None:
    config = make_config(classes=("sig", "bkg", "third"), tmva=method())
    train_tmva(config, [0], engine="xgboost", where="t.yaml")
    data = tabular_data(config, 0)
    fit, _ = fit_gradient_boosting(bdt_settings(GRAD, "t"), data.training, 3, config.seed)
    expected = xgboost_scores(fit.model, data.validation.inputs)
    weights = read_weights(files_of(config).model)
    assert weights.classes == ("sig", "bkg", "third")
    np.testing.assert_allclose(evaluate(weights.body, data.validation.inputs), expected, atol=1e-6)  # type: ignore[arg-type]


def test_the_same_seed_gives_the_same_weights(make_config: Callable[..., TrainingConfig]) -> None:
    config = make_config(tmva=method())
    contents = []
    for _ in range(2):
        train_tmva(config, [0], engine="xgboost", overwrite=True, where="t.yaml")
        text = files_of(config).model.read_text()
        contents.append(text[text.index("<Options>") :])
    assert contents[0] == contents[1]


@pytest.mark.parametrize(
    ("classes", "eta", "bound"),
    [
        # p (1 − p) = 1/4 at the start, half of it for all rounds, for 2 % of the 500 events of a bagged sample
        (2, 0.2, 0.02 * 500 * 0.25 / 2),
        # 2 p (1 − p) = 4/9 for three classes; a leaf of TMVA has (K − 1)/K = 2/3 where XGBoost's has 1/2
        (3, 0.2 * 4 / 3, 0.02 * 500 * 4 / 9 / 2),
    ],
)
def test_parameters_of_xgboost(classes: int, eta: float, bound: float) -> None:
    parameters = xgboost_parameters(bdt_settings(GRAD + ":MinNodeSize=2%", "t"), classes, 1000)
    assert parameters["eta"] == pytest.approx(eta)
    assert parameters["min_child_weight"] == pytest.approx(bound)
    assert (parameters["max_depth"], parameters["subsample"], parameters["max_bin"]) == (3, 0.5, 51)
    assert parameters["lambda"] == 0


def test_one_step_of_boosting_is_tmvas_leaf() -> None:
    """Σ w r / Σ w |r| (1 − |r|) times shrinkage (K − 1)/K, for each of three classes, from p = 1/3."""
    inputs = np.repeat([[0.0], [1.0]], 60, axis=0).astype(np.float32)
    classes = np.array([0] * 30 + [1] * 20 + [2] * 10 + [0] * 10 + [1] * 20 + [2] * 30)
    settings = bdt_settings("NTrees=1:BoostType=Grad:Shrinkage=0.3:MaxDepth=1:nCuts=20", "t")
    fit, _ = fit_gradient_boosting(settings, TabularPart(inputs, classes, np.full(120, 7.0)), 3, 1)
    sums = np.array([[0.3 * 2 / 3 * (n - 60 / 3) / (60 * 2 / 9) for n in row] for row in ([30, 20, 10], [10, 20, 30])])
    exponentials = np.exp(sums)
    expected = exponentials / exponentials.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(
        xgboost_scores(fit.model, np.array([[0.0], [1.0]], dtype=np.float32)), expected, atol=1e-6
    )


@pytest.mark.parametrize("treatment", ["Pray", "IgnoreNegWeightsInTraining", "PairNegWeightsGlobal"])
def test_negative_weights(make_config: Callable[..., TrainingConfig], treatment: str,
                          caplog: pytest.LogCaptureFixture) -> None:  # fmt: skip
    config = make_config(tmva=method(f"{GRAD}:NegWeightTreatment={treatment}"))
    with caplog.at_level(logging.INFO, logger="ntupleml"):
        (record,) = train_tmva(config, [0], engine="xgboost", where="t.yaml").records
    assert sum(treatment in line and "have negative weights" in line for line in caplog.messages) == 2
    assert all(0 < content.negative_share < 0.2 for content in record.datasets[0].classes.values())
    assert np.isfinite(record.history["loss"]).all()


def test_adaboost_is_that_of_scikit_learn() -> None:
    """SAMME for two classes is TMVA's AdaBoost: same trees, same weights."""
    generator = np.random.default_rng(3)
    inputs = generator.normal(size=(600, 2)).astype(np.float32)
    signal = inputs[:, 0] + generator.normal(size=600) > 0
    weights = generator.uniform(0.5, 1.5, 600)
    settings = bdt_settings("NTrees=15:MaxDepth=2:AdaBoostBeta=0.5:MinNodeSize=5%:SkipNormalization", "t")
    votes = fit_voting_trees(settings, TabularPart(inputs, np.where(signal, 0, 1), weights), 1, "t")
    tree = DecisionTreeClassifier(max_depth=2, min_samples_leaf=30, min_weight_fraction_leaf=0.05)
    reference = AdaBoostClassifier(tree, n_estimators=15, learning_rate=0.5, random_state=0)
    reference.fit(inputs, signal, sample_weight=weights)
    np.testing.assert_allclose(votes.weights, reference.estimator_weights_, rtol=1e-9)
    np.testing.assert_allclose(votes.errors, reference.estimator_errors_, rtol=1e-9)
    ballots = np.stack([np.where(each.predict(inputs), 1, -1) for each in reference.estimators_])
    response = reference.estimator_weights_ @ ballots / reference.estimator_weights_.sum()
    found = evaluate(forest_of_votes(votes, 2), inputs)
    np.testing.assert_allclose(found[:, 0], response, atol=1e-12)


def test_signal_and_background_begin_with_the_same_sum_of_weights() -> None:
    """So that a tree without a use is wrong for one half: with all weights alike it would be for a third."""
    inputs = np.array([[0.0]] * 100 + [[1.0]] * 200, dtype=np.float32)
    classes = np.array([0] * 60 + [1] * 40 + [0] * 40 + [1] * 160)
    settings = bdt_settings("NTrees=1:MaxDepth=1", "t")
    votes = fit_voting_trees(settings, TabularPart(inputs, classes, np.ones(300)), 1, "t")
    assert votes.errors[0] == pytest.approx((40 / 100 + 40 / 200) / 2)
    assert votes.weights[0] == pytest.approx(0.5 * np.log(0.7 / 0.3))


@pytest.mark.parametrize("factor", [1, -1])
def test_wrong_events_with_negative_weights_are_boosted_by_the_inverse(factor: int) -> None:
    """Or like the others where that is not asked for; seen in the error of the second tree, which is the same tree."""
    inputs = np.array([[0.0]] * 100 + [[1.0]] * 100, dtype=np.float32)
    classes = np.array([0] * 70 + [1] * 30 + [0] * 20 + [1] * 80)
    weights = np.ones(200)
    weights[70:75] = -0.5  # wrong
    treatment = "InverseBoostNegWeights" if factor < 0 else "Pray"
    settings = bdt_settings(
        f"NTrees=2:MaxDepth=1:AdaBoostBeta=0.5:SkipNormalization:NegWeightTreatment={treatment}", "t"
    )
    votes = fit_voting_trees(settings, TabularPart(inputs, classes, weights), 1, "t")
    wrong_positive, wrong_negative, right = 25.0 + 20.0, -2.5, 150.0
    first = (wrong_positive + wrong_negative) / (wrong_positive + wrong_negative + right)
    boost = np.sqrt((1 - first) / first)
    wrong = wrong_positive * boost + wrong_negative * boost**factor
    np.testing.assert_allclose(votes.errors, [first, wrong / (wrong + right)])


@pytest.mark.parametrize("treatment", ["InverseBoostNegWeights", "Pray"])
def test_bagged_adaboost_sees_the_drawn_events_alone(treatment: str) -> None:
    """`MethodBDT::AdaBoost` event by event, on a list in which each event stands as often as it was drawn."""
    generator = np.random.default_rng(3)
    inputs = generator.normal(size=(300, 2)).astype(np.float32)
    signal = inputs[:, 0] + generator.normal(size=300) > 0
    weights = generator.uniform(0.5, 1.5, 300) * np.where(generator.random(300) < 0.1, -1, 1)
    options = (
        "NTrees=6:MaxDepth=2:AdaBoostBeta=0.5:MinNodeSize=5%:UseBaggedBoost:BaggedSampleFraction=0.7:"
        f"SkipNormalization:SigToBkgFraction=1.5:NegWeightTreatment={treatment}"
    )
    votes = fit_voting_trees(bdt_settings(options, "t"), TabularPart(inputs, np.where(signal, 0, 1), weights), 11, "t")
    current = list(weights / weights.mean())
    drawing = np.random.default_rng(11)
    for index, (tree, boost, error) in enumerate(zip(*votes, strict=True)):
        copies = drawing.poisson(0.7, 300)
        sample = [event for event in range(300) for _ in range(copies[event])]
        # a share of the sample's events, and a sum of weights as large: also that of the sample
        smallest = np.bincount(tree.apply(inputs[sample]))
        assert smallest[smallest > 0].min() >= 0.05 * len(sample), index
        wrong = dict(zip(sample, tree.predict(inputs[sample]) != signal[sample], strict=True))
        false = sum(current[event] for event in sample if wrong[event])
        assert error == pytest.approx(false / sum(current[event] for event in sample), rel=1e-9)
        assert boost == pytest.approx(0.5 * np.log((1 - error) / error))
        total = 0.0
        for event in sample:
            if wrong[event]:
                inverse = current[event] < 0 and treatment == "InverseBoostNegWeights"
                current[event] *= np.exp(-boost if inverse else boost)
            total += current[event]
        for event in sample:
            current[event] *= len(sample) / total * (1.5 if signal[event] else 1.0)
    assert len(votes.trees) == 6


def test_bagged_adaboost_goes_on_where_the_events_left_out_would_end_it() -> None:
    """Boosted until the drawn events alone are told apart better than by chance, on noise."""
    generator = np.random.default_rng(5)
    inputs = generator.normal(size=(2000, 4)).astype(np.float32)
    classes = np.where(inputs[:, 0] + 2 * generator.normal(size=2000) > 0, 0, 1)
    settings = bdt_settings("NTrees=150:MaxDepth=3:UseBaggedBoost:BaggedSampleFraction=0.5:MinNodeSize=2.5%", "t")
    assert len(fit_voting_trees(settings, TabularPart(inputs, classes, np.ones(2000)), 1, "t").trees) == 150


def test_a_sample_without_events_is_refused() -> None:
    settings = bdt_settings("UseBaggedBoost:BaggedSampleFraction=0.0001", "t")
    part = TabularPart(np.zeros((4, 1), np.float32), np.array([0, 1, 0, 1]), np.ones(4))
    with pytest.raises(
        NtuplemlError, match=r"^t: BaggedSampleFraction: none of 4 events is drawn at 0\.0001; raise it"
    ):
        fit_voting_trees(settings, part, 1, "t")


@pytest.mark.parametrize(
    "options",
    [
        "NTrees=20:AdaBoostBeta=0.3",
        "NTrees=20:UseBaggedBoost",
        "NTrees=20:BoostType=Bagging:SeparationType=CrossEntropy",
    ],
)
def test_adaboost_and_bagging_leave_weights_and_onnx(make_config: Callable[..., TrainingConfig], options: str) -> None:
    config = make_config(tmva=method(options))
    (record,) = train_tmva(config, [0], engine="xgboost", where="t.yaml").records
    assert record.engine == "sklearn"
    files = files_of(config)
    weights = read_weights(files.model)
    assert weights.analysis == "Classification"
    part = tabular_data(config, 0).validation
    response = evaluate(weights.body, part.inputs)  # type: ignore[arg-type]
    assert (np.abs(response) <= 1).all()
    assert response[part.classes == 0].mean() > response[part.classes == 1].mean() + 0.2
    np.testing.assert_allclose(onnx_scores(files.onnx, part.inputs), response, atol=1e-6)
    # Every engine and file gives −999 for NaN, as Reader::EvaluateMVA, and scores of the classes of the config.
    rows = part.inputs.copy()
    rows[::5, 1] = np.nan
    is_nan = np.isnan(rows[:, 1])
    first = np.where(is_nan, -999, (1 + response[:, 0]) / 2)
    expected = np.stack([first, np.where(is_nan, -999, 1 - first)], axis=1)
    model = models_by_fold(config, where="t.yaml", only=[0], method=BDT)[0]
    for engine in ("forest", "onnx"):
        np.testing.assert_allclose(scores_of_matrix(model_evaluator(model, engine), rows), expected, atol=1e-6)
    convert_file(files.model, files.model.parent / "converted.onnx")
    for path in (files.onnx, files.model.parent / "converted.onnx"):
        np.testing.assert_allclose(onnx_scores(path, rows)[:, 0], np.where(is_nan, -999, response[:, 0]), atol=1e-6)


@pytest.mark.parametrize("options", ["NTrees=20", GRAD])
def test_missing_values_are_replaced_everywhere_but_in_the_weights_file(
    make_config: Callable[..., TrainingConfig], options: str, caplog: pytest.LogCaptureFixture
) -> None:
    config = make_config(tmva=method(options), missing={"value": -3.0})
    with caplog.at_level(logging.INFO, logger="ntupleml"):
        train_tmva(config, [0], engine="xgboost", where="t.yaml")
    assert any("weights file of TMVA does not replace missing inputs" in line for line in caplog.messages)
    files = files_of(config)
    rows = tabular_data(config, 0).validation.inputs.copy()
    rows[::5, 1] = np.nan
    replaced = np.where(np.isnan(rows), np.float32(-3.0), rows)
    expected = evaluate(read_weights(files.model).body, replaced)  # type: ignore[arg-type]
    convert_file(files.model, files.model.parent / "converted.onnx")
    for path in (files.onnx, files.model.parent / "converted.onnx"):
        np.testing.assert_allclose(onnx_scores(path, rows), expected, atol=1e-6)
    plan = make_plan(None, None, None, kind="weights", weights=[files.model])
    columns = dict(zip(plan.scorer.variables, rows.T, strict=True))
    np.testing.assert_allclose(plan.scorer.score(columns, np.zeros(len(rows), int)), expected, atol=1e-6)
    assert plan.scorer.non_finite == "replaced"


def test_a_method_that_fails_leaves_the_others(make_config: Callable[..., TrainingConfig]) -> None:
    useless = method("NTrees=20:nEventsMin=100000", "Useless")["methods"]
    trained = train_tmva(make_config(tmva={"methods": useless + method()["methods"]}), [0], engine="xgboost", where="t")
    assert [record.method for record in trained.records] == ["BDT"]
    (failure,) = trained.failures
    assert failure.startswith("t: tmva method 'Useless': options: no tree is better than chance")


@pytest.mark.parametrize(
    ("classes", "options", "type_", "message"),
    [
        (("a", "b", "c"), "BoostType=AdaBoost", "kBDT", "BoostType=AdaBoost takes two classes, not 3"),
        (("a", "b"), "BoostType=RealAdaBoost", "kBDT", "BoostType=RealAdaBoost cannot be trained"),
        (("a", "b"), "BoostType=AdaCost", "kBDT", "BoostType=AdaCost cannot be trained"),
        (("a", "b"), "!UseYesNoLeaf", "kBDT", "AdaBoost with !UseYesNoLeaf cannot be trained"),
        (("a", "b"), "HiddenLayers=5", "kMLP", "kMLP needs a ROOT with TMVA (an LCG view)"),
        (("a", "b"), "NTreees=5", "kBDT", "t.yaml: tmva method 'M': options: TMVA's trees have no option 'NTreees'"),
        (("a", "b"), "Grad:VarTransform=P", "kBDT", "VarTransform=P needs a ROOT with TMVA"),
    ],
)
def test_what_needs_tmva_itself_is_refused_before_the_work(
    make_config: Callable[..., TrainingConfig], classes: tuple[str, ...], options: str, type_: str, message: str
) -> None:
    config = make_config(classes=classes, tmva=method(options, "M", type_))
    with pytest.raises(NtuplemlError) as error:
        train_tmva(config, [0], engine="xgboost", where="t.yaml")
    assert message in str(error.value)
    assert not Path(config.output_path).exists()


def test_mistakes_of_networks_are_found_before_trees_are_trained(make_config: Callable[..., TrainingConfig]) -> None:
    network = {"name": "PyKeras_fold{fold}", "type": "kPyKeras", "options": "NumEpoch=5"}
    config = make_config(tmva={"methods": [*method(GRAD)["methods"], network]})
    with pytest.raises(NtuplemlError, match=r"'PyKeras_fold\{fold\}': no option 'NumEpoch' of kPyKeras; nearest"):
        train_tmva(config, [0], where="t.yaml")
    assert not Path(config.output_path, "fold0_training").exists()


def test_options_that_cannot_be_followed_do_not_reach_the_weights_file(
    make_config: Callable[..., TrainingConfig], caplog: pytest.LogCaptureFixture
) -> None:
    """Reader would look for the cuts of a preselection, and answer nonsense without them."""
    options = "NTrees=5:BoostType=AdaBoost:DoPreselection:CreateMVAPdfs:VarTransform=N:SeparationType=SDivSqrtSPlusB"
    config = make_config(tmva=method(options))
    with caplog.at_level("INFO", logger="ntupleml"):
        train_tmva(config, [0], where="t.yaml")
    assert any("without a meaning here: DoPreselection=True, CreateMVAPdfs=True" in line for line in caplog.messages)
    assert any("SeparationType=SDivSqrtSPlusB is not known here; GiniIndex is taken" in one for one in caplog.messages)
    (weights,) = Path(config.output_path, "fold0_training", "weights").glob("*.xml")
    text = weights.read_text()
    for written in ('"DoPreselection" modified="No">False<', '"CreateMVAPdfs" modified="No">False<',
                    '"VarTransform" modified="No">None<'):  # fmt: skip
        assert written in text


def test_options_without_a_meaning_are_listed(
    make_config: Callable[..., TrainingConfig], caplog: pytest.LogCaptureFixture
) -> None:
    config = make_config(tmva=method(f"{GRAD}:SeparationType=GiniIndex:PruneMethod=NoPruning"))
    with caplog.at_level(logging.INFO, logger="ntupleml"):
        train_tmva(config, [0], where="t.yaml")
    assert caplog.messages[0] == "engine: XGBoost, since there is no ROOT with TMVA here"
    assert any(
        line.endswith("without a meaning here: SeparationType=GiniIndex, PruneMethod=NoPruning")
        for line in caplog.messages
    )


def test_one_method_may_be_chosen_and_an_earlier_training_is_kept(make_config: Callable[..., TrainingConfig]) -> None:
    methods = [*method(GRAD)["methods"], *method(GRAD, "Other")["methods"]]
    config = make_config(tmva={"methods": methods})
    train_tmva(config, [0], engine="xgboost", method="Other", where="t.yaml")
    assert files_of(config, name="Other").record.exists()
    assert not files_of(config).record.exists()
    with pytest.raises(NtuplemlError, match=r"TMVAMulticlass_Other.weights.xml: exists already; give --overwrite"):
        train_tmva(config, [0], engine="xgboost", where="t.yaml")
    assert not files_of(config).record.exists()
    with pytest.raises(NtuplemlError, match=r"no method 'Othr'; nearest: 'Other'"):
        train_tmva(config, [0], engine="xgboost", method="Othr", where="t.yaml")
    with pytest.raises(NtuplemlError, match=r"--method keras: not a method of TMVA; there are: 'BDT', 'Other'"):
        train_tmva(config, [0], engine="xgboost", method="keras", where="t.yaml")


def test_without_tmva_it_cannot_be_forced(make_config: Callable[..., TrainingConfig]) -> None:
    with pytest.raises(NtuplemlError, match="--engine tmva: this ROOT has no TMVA"):
        train_tmva(make_config(tmva=method()), [0], engine="tmva", where="t.yaml")


def test_missing_inputs_are_replaced_as_for_networks(make_config: Callable[..., TrainingConfig]) -> None:
    config = make_config(tmva=method(), missing={"value": -99.0})
    train_tmva(config, [0], engine="xgboost", where="t.yaml")
    rows = np.array([[np.nan, 1, 2], [-99, 1, 2]], dtype=np.float32)
    scores = onnx_scores(files_of(config).onnx, rows)
    np.testing.assert_array_equal(scores[0], scores[1])


@pytest.mark.slow
def test_the_script(
    make_config: Callable[..., TrainingConfig],
    run_script: Callable[..., subprocess.CompletedProcess[str]],
    tmp_path: Path,
) -> None:
    """Two methods are compared at the end, one alone is not; a mistake is one line and status 2."""
    methods = [*method(GRAD)["methods"], *method("NTrees=10", "Ada")["methods"]]
    config = make_config(tmva={"methods": methods})
    path = tmp_path / "training.yaml"
    path.write_text(config.model_dump_json(by_alias=True, exclude_none=True), encoding="utf-8")
    done = run_script("training/TMVA_training.py", path, "0", "--engine", "xgboost")
    assert done.returncode == 0, done.stderr
    folder = Path(config.output_path) / "fold0_training"
    assert {each.name for each in folder.glob("*comparison*")} >= {
        "TMVAMulticlass_comparison.txt",
        "TMVAMulticlass_comparison.yaml",
        "TMVAMulticlass_comparison.pdf",
    }
    again = run_script("training/TMVA_training.py", path, "0", "--method", "Ada")
    assert again.returncode == 2
    assert again.stderr.count("\n") == 2  # which engine, and that the files exist
    assert "exists already; give --overwrite" in again.stderr
