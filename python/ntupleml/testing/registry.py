"""All steps of the testing stage: what the report shows, what the command line offers, what the battery of tests tries.

Nothing is imported here but descriptions, so that `--help` is fast.
"""

from __future__ import annotations

from ntupleml.testing.steps import Option, Step

#: What all models may have learnt.
_ALL_TARGETS = ("classes", "values", "reconstruction")
_NO_ABS = Option("--no-abs", "average the derivatives themselves, not their modulus", "flag")

#: By name, which is the link on the page; in the order of the page.
STEPS: dict[str, Step] = {
    "inputs": Step("Inputs", "inputs:inputs_of_events", targets=_ALL_TARGETS),
    "training": Step("Training", "training_curves:training_curves", targets=_ALL_TARGETS),
    "roc": Step(
        "ROC curves",
        "roc:roc_curves",
        "roc-curves",
        "Draw the ROC curves of one or several methods: each class against the others, on folds that they never saw.",
        several_methods=True,
    ),
    "scores": Step(
        "Scores",
        "score_distributions:score_distributions",
        "score-distributions",
        "Draw the scores of a method: training part against unseen events (overtraining), and stacked with recorded "
        "data.",
    ),
    "regression": Step(
        "Residuals",
        "regression:residuals_of_values",
        "regression",
        "Say how well values are predicted: residuals, bias and resolution, overall and against the truth.",
        targets=("values",),
    ),
    "reconstruction": Step(
        "Reconstruction",
        "regression:reconstruction_errors",
        "reconstruction",
        "Draw the reconstruction errors of a method: of each class, on folds that it never saw.",
        targets=("reconstruction",),
    ),
    "confusion": Step(
        "Confusion",
        "confusion:confusion_matrices",
        "confusion-matrix",
        "Write the confusion matrices of a method: each event by the model that never saw it.",
        sampled=False,
    ),
    "significance": Step(
        "Significance",
        "significance:significances",
        "significance-scan",
        "Scan cuts on the score of each class: efficiencies, expected significances by four formulas, and the best "
        "cuts.",
    ),
    "efficiency": Step(
        "Efficiency and shape",
        "sculpting:sculpting_of_variables",
        "sculpting",
        "Say whether scores sculpt variables: efficiency, purity and the shape of the background against each.",
        (
            Option(
                "--variable",
                "branch of the fold files or formula; may be repeated (default: the spectators of the testing config, "
                "else the inputs)",
                "list",
                metavar="NAME",
                parameter="variables",
            ),
        ),
    ),
    "calibration": Step(
        "Calibration",
        "calibration:calibration_curves",
        "calibration",
        "Say whether scores are probabilities: reliability curves, Brier scores and calibration errors.",
    ),
    "ranking": Step("Ranking", "ranking:rankings_of_inputs"),
    "engines": Step("Engines", "engine_comparison:agreement_of_engines", targets=_ALL_TARGETS),
    "record": Step("Record", "record:record_of_models", targets=_ALL_TARGETS),
    "ams": Step(
        "AMS",
        "significance_numbers:ams_of_classes",
        "ams-score",
        "Compute the approximate median significance (AMS) of each class: in the events predicted to be of this class.",
        (
            Option(
                "--b-reg",
                "regularisation, added to the background (default: the testing config's, 10)",
                "not negative",
                metavar="B",
            ),
        ),
        on_page=False,
    ),
    "performance": Step(
        "Performance of a cut",
        "significance_numbers:performance_of_cut",
        "check-performance",
        "Say what a cut on the score of one class does: yields, efficiencies, purity and significances.",
        (
            Option("TARGET_CLASS", "the signal, whose score is cut on"),
            Option("CUT", "events with a larger score are selected", "number"),
        ),
        on_page=False,
    ),
    "working-points": Step(
        "Working points",
        "working_points:working_points_of_classes",
        "working-points",
        "Find the cuts on each score that keep 10 %, 1 % and 0.1 % of all other classes, and what they keep of each.",
        (Option("--background", "share of all other classes that may pass; may be repeated", "list", metavar="SHARE"),),
        on_page=False,
    ),
    "taylor-1d": Step(
        "First derivatives",
        "taylor:taylor_matrix_of_classes",
        "taylor-1d",
        "Draw the mean first derivatives of a Keras network: a matrix of classes and inputs (arXiv:1803.08782).",
        (_NO_ABS, Option("--normalize", "divide each row by its sum", "flag")),
        on_page=False,
    ),
    "taylor": Step(
        "Taylor coefficients",
        "taylor:taylor_rankings",
        "taylor-ranking",
        "Rank inputs and pairs by Taylor coefficients of a Keras network: their mean moduli (arXiv:1803.08782).",
        (_NO_ABS, Option("--order", "highest order of the derivatives", "choice", 2, choices=(1, 2, 3))),
        on_page=False,
    ),
    "permutation": Step(
        "Permutation importance",
        "permutation:permutation_importances",
        "permutation-importance",
        "Rank inputs by what is lost when their values are shuffled: by default in at most 100,000 events.",
        (
            Option("--repeats", "times each is shuffled (default: 5)", "at least 2", 5, metavar="N"),
            Option("--group", "variables shuffled together, too; repeatable", "list", metavar="NAME=A,B"),
        ),
        on_page=False,
    ),
    "shapley": Step(
        "SHAP values",
        "shapley:shapley_importances",
        "shap-importance",
        "Rank inputs by SHAP values: on a sample of events; needs pip install 'ntupleml[shap]'.",
        (
            Option("--events", "events that are explained (default: 200)", "positive", 200, metavar="N"),
            Option("--background", "events to compare with (default: 100)", "positive", 100, metavar="N"),
        ),
        on_page=False,
    ),
}
