"""Methods beside networks in the training config: of TMVA, of libraries of boosted trees, of scikit-learn."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from ntupleml.config.schema import MethodName, Name, NameOrBlock, Schema, TextKeys


class TmvaMethodConfig(Schema):
    """A method of TMVA."""

    #: Part of the names of its files; `{fold}` in it is replaced by the fold.
    name: MethodName
    #: TMVA's type, e.g. `kBDT`; `kPyKeras` is trained as a Keras network.
    type: Name = "kBDT"
    #: TMVA's option string, e.g. `"NTrees=1500:BoostType=Grad"`.
    options: str = ""


class TmvaConfig(Schema):
    """What `TMVA_training.py` trains; by default what htt-ml's does."""

    #: Methods of TMVA that are trained; by default those of htt-ml.
    methods: Annotated[list[TmvaMethodConfig], Field(min_length=1)] = [
        TmvaMethodConfig(name="PyKeras_fold{fold}", type="kPyKeras"),
        TmvaMethodConfig(
            name="BDT",
            type="kBDT",
            options="!H:!V:NTrees=1500:BoostType=Grad:Shrinkage=0.10:UseBaggedBoost:BaggedSampleFraction=0.5:nCuts=50:"
            "MaxDepth=3:SeparationType=GiniIndex",
        ),
    ]


class BoostedTreesConfig(Schema):
    """Boosted trees that `bdt_training.py` trains, by the options of their own library."""

    #: Part of the names of its files.
    name: MethodName
    #: XGBoost, scikit-learn's histogram-based gradient boosting, or LightGBM.
    type: Literal["xgboost", "hist_gradient_boosting", "lightgbm"] = "xgboost"
    #: Largest number of boosting rounds; each makes one tree per class, or one for two classes.
    rounds: int = Field(default=500, ge=1)
    #: Rounds without a better loss on the validation part after which training stops; the model has the best ones.
    early_stopping: int | None = Field(default=None, ge=1)
    #: Parameters of the library, by its own names, e.g. `max_depth`, `learning_rate`, `subsample`; checked by the
    #: library before anything is trained.
    options: Annotated[dict[Name, bool | int | float | str | None], TextKeys] = {}
    #: What is done about events with negative weights, by TMVA's names.
    negative_weights: Name = "Pray"


class ScikitLearnConfig(Schema):
    """An estimator of scikit-learn that `sklearn_training.py` trains."""

    #: Part of the names of its files.
    name: MethodName
    #: Class of scikit-learn, one of those that `ntupleml.training.estimators.ESTIMATORS` lists.
    type: Name
    #: Parameters of the class, by its own names; checked by scikit-learn before anything is trained.
    options: Annotated[dict[Name, bool | int | float | str | list[int | float] | None], TextKeys] = {}
    #: What is done to the inputs, one after the other, by names of `ntupleml.preprocessing.steps`; by default the
    #: `preprocessing` of the config.
    preprocessing: list[NameOrBlock] | None = None
    #: Draw the events that train anew, by their weights and with each class equally often; all weigh the same then.
    balance: bool = False
    #: What is done about events with negative weights, by TMVA's names.
    negative_weights: Name = "Pray"
