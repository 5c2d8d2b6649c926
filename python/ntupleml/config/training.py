"""The training config: datasets of the folds, classes, variables, preprocessing and the network."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from ntupleml.config.blocks import PlotConfig
from ntupleml.config.inputs import GroupConfig, InputsConfig, NumbersConfig, Preprocessing, TargetConfig
from ntupleml.config.schema import ClassNames, FilePath, FilePaths, MethodName, Name, Names, Schema, TextKeys
from ntupleml.errors import did_you_mean

#: Score where the target is the reconstruction of inputs.
RECONSTRUCTION_ERROR = "reconstruction_error"
LARGEST_FLOAT32 = 3.4028234663852886e38
_OLD_CONDITION_KEY = re.compile(r"(datasets|class_weights)_(\w+)")
_ClassWeights = Annotated[dict[Name, float], TextKeys]


class ModelConfig(Schema):
    """The network and how it is trained.

    A network is either one of the zoo, by `name`, or written here by `hidden` and the keys that follow it.

    Attributes
    ----------
    activation, loss, optimizer : str
        By the names that the registries of `ntupleml.models` list.
    """

    #: Network of the zoo.
    name: Name | None = None
    #: Widths of the hidden layers, after the groups of inputs are joined.
    hidden: Annotated[list[Annotated[int, Field(ge=1)]], Field(min_length=1)] | None = None
    #: What is done to each group of inputs before they are joined: `type`, and the settings of that encoder.
    encoders: dict[Name, dict[Name, Any]] = {}
    activation: Name = "relu"
    dropout: float = Field(default=0.0, ge=0, lt=1)
    l2: float = Field(default=0.0, ge=0)
    #: Normalise each hidden layer before its activation.
    batch_norm: bool = False
    loss: Name = "categorical_crossentropy"
    optimizer: Name = "adam"
    learning_rate: float | None = Field(default=None, gt=0)
    #: A negative batch size means all training events at once.
    epochs: int = Field(default=100, ge=1)
    batch_size: int = 100
    #: Epochs without a better validation loss after which training stops and the best weights are restored.
    early_stopping: int | None = Field(default=None, ge=1)
    #: Keep the weights of the best epoch, not those of the last.
    save_best_only: bool = True
    #: Epochs without a better validation loss after which the learning rate is divided by ten.
    reduce_lr_on_plateau: int | None = Field(default=None, ge=1)
    #: Size and number of balanced batches (htt-ml's `eventsPerClassAndBatch`).
    events_per_class_and_batch: int | None = Field(default=None, alias="eventsPerClassAndBatch")
    steps_per_epoch: int | None = Field(default=None, ge=1)

    @field_validator("batch_size", "events_per_class_and_batch")
    @classmethod
    def _not_zero(cls, size: int | None) -> int | None:
        if size == 0:
            raise ValueError("0 events; give a positive number, or a negative one for all training events")
        return size

    @model_validator(mode="after")
    def _one_network(self) -> ModelConfig:
        written = {
            "hidden",
            "encoders",
            "activation",
            "dropout",
            "l2",
            "batch_norm",
            "loss",
            "optimizer",
            "learning_rate",
        }
        given = sorted(written & self.model_fields_set)
        if self.name is not None and given:
            raise ValueError(
                f"name: '{self.name}' is a network of the zoo, so {given[0]} cannot be set; use one of them"
            )
        if self.name is None and self.hidden is None and not self.encoders and given:
            raise ValueError(f"{given[0]} is set, but not hidden; give the widths of the hidden layers")
        return self


class ConditionConfig(Schema):
    """Fold files and class weights of one condition, e.g. a data-taking era."""

    datasets: FilePaths
    class_weights: _ClassWeights | None = None


class MissingConfig(Schema):
    """What replaces missing inputs (NaN and ±infinity)."""

    value: float

    @field_validator("value")
    @classmethod
    def _fits(cls, value: float) -> float:
        if abs(value) > LARGEST_FLOAT32:
            raise ValueError(f"{value} does not fit into the 32-bit floats that networks take")
        return value


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


class TrainingConfig(Schema):
    """Schema of the training config."""

    #: Fold files; the index is the fold.
    datasets: FilePaths | None = None
    #: Fold files per condition, for training with one-hot inputs (htt-ml's eras; its keys `datasets_2016`,
    #: `class_weights_2016`, … are read as conditions of these names).
    conditions: Annotated[dict[Name, ConditionConfig], TextKeys] = {}
    #: Folder of all that is written.
    output_path: FilePath
    #: Trees in the fold files; the order is that of the network's outputs where it learns the classes.
    classes: ClassNames
    class_weights: _ClassWeights | None = None
    global_weight_scale: float = Field(default=1.0, gt=0)
    #: Branch of event weights; without it each event counts 1.
    event_weights: Name | None = None
    #: Inputs, in order: the short form of one group of numbers.
    variables: Names = []
    #: Groups of inputs by their names, in place of `variables`: numbers, objects and images.
    inputs: InputsConfig | None = None
    #: What is learnt, where it is not the classes: values, or the inputs themselves. One class is enough then.
    target: TargetConfig | None = None
    #: Share of the events used for training; the rest validates.
    train_test_split: float = Field(default=0.75, gt=0, lt=1)
    #: One of `PREPROCESSING_METHODS`; as in htt-ml, the first that the text contains.
    preprocessing: Preprocessing = "standard_scaler"
    #: Whether scalers are fitted with event weights.
    weighted_preprocessing: bool = False
    missing: MissingConfig | None = None
    seed: int = Field(default=1234, ge=0, lt=2**32)
    #: Read batches from disk instead of holding the training events in memory.
    stream: bool = False
    #: Beginnings of the names of classes whose condition is drawn at random where that is asked for.
    randomize_classes: list[Name] = ["ggh", "qqh", "vbftopo"]
    model: ModelConfig = ModelConfig(name="example")
    #: What `bdt_training.py` trains.
    boosted_trees: list[BoostedTreesConfig] = []
    #: What `TMVA_training.py` trains.
    tmva: TmvaConfig = TmvaConfig()
    plot: PlotConfig = PlotConfig()
    #: Read by other tools of htt-ml's users; not used here.
    processes: Any = None

    @model_validator(mode="before")
    @classmethod
    def _old_keys_as_conditions(cls, data: Any) -> Any:
        """Read htt-ml's `datasets_2016`, `class_weights_2016`, … as `conditions`."""
        if not isinstance(data, dict):
            return data
        matches = {key: _OLD_CONDITION_KEY.fullmatch(key) for key in data if isinstance(key, str)}
        names = [match[2] for match in matches.values() if match and match[1] == "datasets"]
        old = [key for key, match in matches.items() if match and match[2] in names]
        if not old:
            return data
        if "conditions" in data:
            raise ValueError(f"{old[0]} and conditions stand side by side; use one of the two forms")
        kept = {key: value for key, value in data.items() if key not in old}
        kept["conditions"] = {
            name: {
                "datasets": data[f"datasets_{name}"],
                "class_weights": data.get(f"class_weights_{name}", data.get("class_weights")),
            }
            for name in names
        }
        return kept

    @model_validator(mode="after")
    def _inputs_and_target(self) -> TrainingConfig:
        if bool(self.variables) == (self.inputs is not None):
            both = "variables and inputs stand side by side; use one of the two forms"
            raise ValueError(both if self.variables else "no inputs; list the variables, or describe groups in inputs")
        if self.target is None and len(self.classes) < 2:
            raise ValueError("classes: holds 1, but at least 2 are needed")
        for key, names in (
            ("model.encoders", self.model.encoders),
            ("target.reconstruction", (self.target and self.target.reconstruction) or []),
        ):
            for name in names:
                if name not in self.groups and (key, name) != ("target.reconstruction", "all"):
                    raise ValueError(f"{key}: no group '{name}' of inputs{did_you_mean(name, self.groups)}")
        return self

    @model_validator(mode="after")
    def _consistent(self) -> TrainingConfig:
        if self.datasets is None and not self.conditions:
            raise ValueError("no datasets; list the fold files, e.g. datasets: [fold0_a.root, fold1_a.root]")
        numbers = {"datasets": len(self.datasets)} if self.datasets else {}
        numbers |= {
            f"conditions.{name}.datasets": len(condition.datasets) for name, condition in self.conditions.items()
        }
        for key, number in numbers.items():
            if number < 2:
                raise ValueError(f"{key}: one fold file; at least two are needed, so that no model scores what it saw")
            if number != self.num_folds:
                raise ValueError(f"{key}: {number} fold files, but {next(iter(numbers))} has {self.num_folds}")
        self._check_method_names()
        self._check_class_weights("class_weights", self.class_weights)
        for name, condition in self.conditions.items():
            self._check_class_weights(f"conditions.{name}.class_weights", condition.class_weights)
        return self

    def _check_method_names(self) -> None:
        names = ["keras"]
        for key, methods in (("boosted_trees", self.boosted_trees), ("tmva.methods", self.tmva.methods)):
            for method in methods:
                if method.name in names:
                    raise ValueError(f"{key}: '{method.name}' is the name of another method already")
                names.append(method.name)

    def _check_class_weights(self, key: str, weights: dict[str, float] | None) -> None:
        if weights is None:
            return
        missing = [name for name in self.classes if name not in weights]
        if missing:
            raise ValueError(f"{key}: no weight of class '{missing[0]}'{did_you_mean(missing[0], weights)}")
        bad = [name for name, weight in weights.items() if weight < 0]
        if bad:
            raise ValueError(f"{key}.{bad[0]}: {weights[bad[0]]} is negative")

    @property
    def groups(self) -> dict[str, GroupConfig]:
        """Groups of inputs by their names; the variables are one group of numbers."""
        return self.inputs or {"variables": NumbersConfig(numbers=self.variables)}

    @property
    def numbers(self) -> list[str]:
        """Formulas of one value per row among the inputs, each once, in order."""
        return list(
            dict.fromkeys(
                name for group in self.groups.values() if isinstance(group, NumbersConfig) for name in group.numbers
            )
        )

    @property
    def reconstructed(self) -> list[str]:
        """Groups that the network is to give back; none where it learns something else."""
        wanted = (self.target and self.target.reconstruction) or []
        return list(self.groups) if wanted == ["all"] else list(wanted)

    @property
    def target_kind(self) -> Literal["classes", "values", "reconstruction"]:
        """What is learnt."""
        return "classes" if self.target is None else self.target.kind

    @property
    def outputs(self) -> list[str]:
        """Names of the scores."""
        if self.target is None:
            return list(self.classes)
        return [RECONSTRUCTION_ERROR] if self.target.values is None else list(self.target.values)

    def preprocessing_of(self, group: str) -> str:
        """Scaler of a group of inputs."""
        own = self.groups[group].preprocessing
        return own or self.preprocessing

    @property
    def num_folds(self) -> int:
        """Number of folds, that is of fold files and of models."""
        if self.datasets is not None:
            return len(self.datasets)
        return len(next(iter(self.conditions.values())).datasets)

    def datasets_of(self, condition: str | None) -> list[str]:
        """Fold files of a condition, or of the training without conditions.

        Raises
        ------
        KeyError
            If there is no such condition, or None is asked for and all datasets belong to conditions.
        """
        if condition is not None:
            return list(self.conditions[condition].datasets)
        if self.datasets is None:
            raise KeyError("datasets")
        return list(self.datasets)

    def class_weights_of(self, condition: str | None) -> dict[str, float]:
        """Weight of each class; 1 where the config gives none."""
        weights = self.class_weights
        if condition is not None and self.conditions[condition].class_weights is not None:
            weights = self.conditions[condition].class_weights
        return {name: float((weights or {}).get(name, 1.0)) for name in self.classes}
