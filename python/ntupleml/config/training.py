"""The training config: datasets of the folds, classes, variables, preprocessing and the network."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import (
    BeforeValidator,
    Discriminator,
    Field,
    Tag,
    field_validator,
    model_validator,
)

from ntupleml.config.adversary import AdversaryConfig, ControlConfig
from ntupleml.config.augmentation import AugmentationConfig  # noqa: TC001  # pydantic evaluates it
from ntupleml.config.blocks import ClusterConfig, PlotConfig
from ntupleml.config.category import Categories, spelt_out
from ntupleml.config.decorrelation import DecorrelationConfig  # noqa: TC001  # pydantic evaluates it
from ntupleml.config.define import Defined  # noqa: TC001
from ntupleml.config.ensemble import EnsembleConfig  # noqa: TC001  # pydantic evaluates it
from ntupleml.config.inputs import GroupConfig, InputsConfig, NumbersConfig, TargetConfig, matrix_of
from ntupleml.config.methods import BoostedTreesConfig, ScikitLearnConfig, TmvaConfig  # pydantic evaluates it
from ntupleml.config.model import ModelConfig
from ntupleml.config.parameters import ParametersConfig  # noqa: TC001  # pydantic evaluates it
from ntupleml.config.reweight import ReweightConfig  # noqa: TC001  # pydantic evaluates it
from ntupleml.config.schema import (
    LARGEST_FLOAT32,
    ClassNames,
    ConfigOrPath,
    FilePath,
    FilePaths,
    Formula,
    Name,
    Names,
    OneOrMoreFiles,
    Preprocessing,
    Schema,
    TextKeys,
    number_or_class,
)
from ntupleml.config.tuning import TuneConfig  # noqa: TC001  # pydantic evaluates it
from ntupleml.errors import NtuplemlError, did_you_mean
from ntupleml.targets import COMPONENTS, TargetKind

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_OLD_CONDITION_KEY = re.compile(r"(datasets|class_weights)_(\w+)")
#: Class weights of which the sums of weights of the events that train make all classes weigh the same.
BALANCED = "balanced"


def _known_word(value: Any) -> Any:
    if isinstance(value, str) and value != BALANCED:
        raise ValueError(f"found '{value}', but a weight for each class is needed, or '{BALANCED}'")
    return value


_ClassWeight = Annotated[
    Annotated[float, Tag("[number]")] | Annotated[Name, Tag("[class]")], Discriminator(number_or_class)
]
#: By class: a number, or the class that it is to weigh the same as.
ClassWeights = dict[Name, _ClassWeight]
_ClassWeights = Annotated[ClassWeights | Literal["balanced"], TextKeys, BeforeValidator(_known_word)]


class ConditionConfig(Schema):
    """Fold files and class weights of one condition, e.g. a data-taking era."""

    #: Fold files of the condition; the index is the fold.
    datasets: FilePaths
    #: Class weights of the condition; by default those of the whole config.
    class_weights: _ClassWeights | None = None


class MissingConfig(Schema):
    """What replaces missing inputs (NaN and ±infinity)."""

    #: Number that stands for NaN and ±infinity.
    value: float

    @field_validator("value")
    @classmethod
    def _fits(cls, value: float) -> float:
        if abs(value) > LARGEST_FLOAT32:
            raise ValueError(f"{value} does not fit into the 32-bit floats that networks take")
        return value


def _blocks_by_name(value: Any) -> Any:
    """Let a name, or a list of names, stand for blocks without settings."""
    names = [value] if isinstance(value, str) else value
    if isinstance(names, list) and all(isinstance(name, str) for name in names):
        return {name: {} for name in names}
    return {key: {} if block is None else block for key, block in value.items()} if isinstance(value, dict) else value


class TrainingConfig(Schema):
    """Schema of the training config."""

    #: Dataset config of the fold files, from which `datasets`, `classes`, `event_weights` and `variables` follow where
    #: they are left out. It is read with this config, which then has these keys.
    dataset: ConfigOrPath = Field(default=None, exclude=True)
    #: Fold files; the index is the fold. By default those of `dataset`.
    datasets: FilePaths | None = None
    #: Fold files per condition, for training with one-hot inputs (htt-ml's eras; its keys `datasets_2016`,
    #: `class_weights_2016`, … are read as conditions of these names).
    conditions: Annotated[dict[Name, ConditionConfig], TextKeys] = {}
    #: Folder of all that is written.
    output_path: FilePath
    #: Trees in the fold files; the order is that of the network's outputs where it learns the classes. By default those
    #: of `dataset`, as they first appear in its processes, but for `data`.
    classes: ClassNames
    #: Factor of the event weights of each class; or the class that it is to weigh the same as; or `balanced`: all
    #: classes weigh the same.
    class_weights: _ClassWeights | None = None
    #: Factor of all weights.
    global_weight_scale: float = Field(default=1.0, gt=0)
    #: Branch of event weights, by default that of `dataset`; without it each event counts 1.
    event_weights: Name | None = None
    #: Inputs, in order: the short form of one group of numbers. By default those of `dataset`.
    variables: Names = []
    #: Short names of formulas, with labels and units, which stand for them in all formulas of this config; those of
    #: `dataset` are known, too. A name wins over a branch that is called so.
    define: Defined = {}
    #: Integers among the inputs that are categories, and their values: an input of 0 or 1 for each value stands in
    #: place of the formula. Of any other value all are 0.
    category: Categories = {}
    #: Groups of inputs by their names, in place of `variables`: numbers, objects and images.
    inputs: InputsConfig | None = None
    #: What is learnt, where it is not the classes: values, or the inputs themselves. One class is enough then.
    target: TargetConfig | None = None
    #: Share of the events used for training; the rest validates.
    train_test_split: float = Field(default=0.75, gt=0, lt=1)
    #: Scaler of the inputs; as in htt-ml, the first known name that the text contains.
    preprocessing: Preprocessing = "standard_scaler"
    #: Whether scalers are fitted with event weights.
    weighted_preprocessing: bool = False
    #: What replaces inputs that are NaN or infinite; without it they are refused.
    missing: MissingConfig | None = None
    #: Seed of everything random of a model, and of its events where `data_seed` is left out.
    seed: int = Field(default=1234, ge=0, lt=2**32)
    #: Seed of the events: which are used, which of them train, and values of hypotheses that are drawn.
    data_seed: int | None = Field(default=None, ge=0, lt=2**32)
    #: Train with several seeds, whose mean is the score; left out, with one.
    ensemble: EnsembleConfig | None = None
    #: By class: formula of the rows that train and validate; others are left out of the training.
    selections: Annotated[dict[Name, Formula], TextKeys] = {}
    #: Use as many rows of each class as the smallest has, chosen at random.
    equal_numbers: bool = False
    #: Distribution that formulas of the rows are to have in the training.
    reweight: ReweightConfig | None = None
    #: Columns of the fold files that tell a row, such as run and event number: those of the rows that train and
    #: validate are kept beside the model.
    keys: Names | None = None
    #: Records of models, or `output_path` of trainings, that kept keys: rows that they saw are left out.
    exclude_trained_by: OneOrMoreFiles = []
    #: Inputs that are hypotheses of the signal.
    parameters: ParametersConfig | None = None
    #: What the scores must not tell.
    adversary: AdversaryConfig | None = None
    #: Formulas of which the scores must not depend, by a part of the loss.
    decorrelation: DecorrelationConfig | None = None
    #: How events that train are changed anew in each epoch; left out, they are used as they are.
    augmentation: AugmentationConfig | None = None
    #: Read batches from disk instead of holding the training events in memory.
    stream: bool = False
    #: Beginnings of the names of classes whose condition is drawn at random where that is asked for.
    randomize_classes: list[Name] = ["ggh", "qqh", "vbftopo"]
    #: The network and how it is trained.
    model: ModelConfig = ModelConfig(name="example")
    #: What `bdt_training.py` trains.
    boosted_trees: list[BoostedTreesConfig] = []
    #: What `sklearn_training.py` trains.
    scikit_learn: list[ScikitLearnConfig] = []
    #: What `TMVA_training.py` trains.
    tmva: TmvaConfig = TmvaConfig()
    #: What `tune.py` searches.
    tune: TuneConfig | None = None
    #: What jobs of a batch system ask for.
    cluster: ClusterConfig = ClusterConfig()
    #: Settings of the programs in which trainings are followed, by the names of `ntupleml.training.trackers.TRACKERS`.
    tracking: Annotated[
        dict[Name, dict[Name, Any]],
        BeforeValidator(_blocks_by_name, json_schema_input_type=str | list[str] | dict[str, dict[str, Any] | None]),
    ] = {}
    #: How figures of the training look.
    plot: PlotConfig = PlotConfig()
    #: Read by other tools of htt-ml's users; not used here.
    processes: Any = None

    @model_validator(mode="before")
    @classmethod
    def _names_are_formulas(cls, data: Any) -> Any:
        return spelt_out(data) if isinstance(data, dict) else data

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

    @field_validator("dataset")
    @classmethod
    def _is_followed(cls, dataset: Any) -> Any:
        if dataset is not None:
            raise ValueError("needs ntupleml.config.load_config, which completes the keys that follow from it")
        return dataset

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
        if self.augmentation is not None:
            self.augmentation.check(self.groups, self.target)
        return self

    @model_validator(mode="after")
    def _consistent(self) -> TrainingConfig:
        if self.datasets is None and not self.conditions:
            raise ValueError("no datasets; list the fold files, e.g. datasets: [fold0_a.root, fold1_a.root]")
        numbers = {"datasets": len(self.datasets)} if self.datasets else {}
        numbers |= {
            f"conditions.{name}.datasets": len(condition.datasets) for name, condition in self.conditions.items()
        }
        if self.control is not None and self.control.datasets is not None:
            numbers["adversary.against.datasets"] = len(self.control.datasets)
        for key, number in numbers.items():
            if number < 2:
                raise ValueError(f"{key}: one fold file; at least two are needed, so that no model scores what it saw")
            if number != self.num_folds:
                raise ValueError(f"{key}: {number} fold files, but {next(iter(numbers))} has {self.num_folds}")
        self._check_method_names()
        for name in self.selections:
            if name not in self.classes:
                raise ValueError(f"selections: no class '{name}'{did_you_mean(name, self.classes)}")
        self._check_parameters()
        self._check_reweight()
        self._check_class_weights("class_weights", self.class_weights)
        for name, condition in self.conditions.items():
            self._check_class_weights(f"conditions.{name}.class_weights", condition.class_weights)
        return self

    def _check_parameters(self) -> None:
        if self.parameters is None:
            return
        for name in self.parameters.of:
            if name not in self.classes:
                raise ValueError(f"parameters.of: no class '{name}'{did_you_mean(name, self.classes)}")
        for name in self.parameters.drawn if isinstance(self.parameters.drawn, dict) else ():
            if name not in self.classes:
                raise ValueError(f"parameters.drawn: no class '{name}'{did_you_mean(name, self.classes)}")
            if name in self.parameters.of:
                raise ValueError(
                    f"parameters.drawn: '{name}' has values of its own, as parameters.of says; leave it out"
                )
        for name in self.parameters.names:
            if not any(re.search(rf"\b{re.escape(name)}\b", formula) for formula in self.numbers):
                hint = did_you_mean(name, self.numbers)
                raise ValueError(f"parameters.names: '{name}' is not among the inputs{hint}; add it to them")

    def _check_reweight(self) -> None:
        if self.reweight is None:
            return
        given = {"of": self.reweight.of or [], "to.class": [self.reweight.to.class_ or self.classes[0]]}
        for key, names in given.items():
            for name in names:
                if name not in self.classes:
                    raise ValueError(f"reweight.{key}: no class '{name}'{did_you_mean(name, self.classes)}")

    @model_validator(mode="after")
    def _adversary_fits(self) -> TrainingConfig:
        adversary = self.adversary
        if adversary is None:
            return self
        for name in adversary.of or ():
            if name not in self.classes:
                raise ValueError(f"adversary.of: no class '{name}'{did_you_mean(name, self.classes)}")
        if self.target_kind in ("reconstruction", "image"):
            raise ValueError(f"adversary: reads scores, but the target is {self.target_kind}; leave one of them out")
        return self

    @model_validator(mode="after")
    def _ensemble_fits(self) -> TrainingConfig:
        if self.ensemble is None:
            return self
        if self.seed + self.ensemble.seeds > 2**32:
            raise ValueError(
                f"ensemble.seeds: {self.ensemble.seeds} from {self.seed} on, but the last must be below 2^32"
            )
        if self.ensemble.vary_split:
            resamples = self.reweight is not None and self.reweight.resample
            chooses = {"data_seed": self.data_seed is not None, "equal_numbers": self.equal_numbers}
            for key, given in (chooses | {"reweight.resample": resamples}).items():
                if given:
                    raise ValueError(f"ensemble.vary_split: draws the events anew, which {key} chooses; leave one out")
        return self

    @model_validator(mode="after")
    def _decorrelation_fits(self) -> TrainingConfig:
        block = self.decorrelation
        if block is None:
            return self
        if self.adversary is not None:
            raise ValueError("adversary and decorrelation stand side by side; one of them keeps scores from telling")
        for key, kind, names, known in (
            ("scores", "score", block.scores, self.outputs),
            ("classes", "class", block.classes, self.classes),
        ):
            for name in names or ():
                if name not in known:
                    raise ValueError(f"decorrelation.{key}: no {kind} '{name}'{did_you_mean(name, known)}")
        return self

    def _check_method_names(self) -> None:
        names = ["keras"]
        for key, methods in (*self.listed_methods.items(), ("tmva.methods", self.tmva.methods)):
            for method in methods:
                if method.name in names:
                    raise ValueError(f"{key}: '{method.name}' is the name of another method already")
                names.append(method.name)

    def _check_class_weights(self, key: str, weights: ClassWeights | str | None) -> None:
        if weights is None or isinstance(weights, str):
            return
        missing = [name for name in self.classes if name not in weights]
        if missing:
            raise ValueError(f"{key}: no weight of class '{missing[0]}'{did_you_mean(missing[0], weights)}")
        for name, weight in weights.items():
            if not isinstance(weight, str):
                if weight < 0:
                    raise ValueError(f"{key}.{name}: {weight} is negative")
            elif weight not in self.classes:
                raise ValueError(f"{key}.{name}: no class '{weight}'{did_you_mean(weight, self.classes)}")
            elif isinstance(weights[weight], str):
                raise ValueError(f"{key}.{name}: class '{weight}' has no number itself; give it one, e.g. {weight}: 1")

    @property
    def listed_methods(self) -> dict[str, Sequence[BoostedTreesConfig | ScikitLearnConfig]]:
        """Methods beside the network and those of TMVA, by the key that lists them."""
        return {"boosted_trees": self.boosted_trees, "scikit_learn": self.scikit_learn}

    @property
    def groups(self) -> dict[str, GroupConfig]:
        """Groups of inputs by their names; the variables are one group of numbers."""
        if self.inputs and self.variables:  # no config of a user has both: what trees take of it
            return {"variables": matrix_of(self.inputs)}
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
    def control(self) -> ControlConfig | None:
        """Control sample that the adversary is against, if so."""
        against = None if self.adversary is None else self.adversary.against
        return against if isinstance(against, ControlConfig) else None

    @property
    def nuisances(self) -> list[str]:
        """Formulas of which the scores must not depend."""
        if self.decorrelation is not None:
            return list(self.decorrelation.of)
        against = None if self.adversary is None else self.adversary.against
        return list(against) if isinstance(against, list) else []

    def is_decorrelated(self, name: str) -> bool:
        """Whether the scores of a class must not depend on the nuisances."""
        if self.decorrelation is not None:
            return name in (self.decorrelation.classes or self.classes)
        return self.adversary is not None and name in (self.adversary.of or self.classes)

    @property
    def target_kind(self) -> TargetKind:
        """What is learnt."""
        return "classes" if self.target is None else self.target.kind

    @property
    def outputs(self) -> list[str]:
        """Names of the scores."""
        if self.target is None:
            return list(self.classes)
        if self.target.reconstruction is not None:
            return list(self.target.scores)
        return [*(COMPONENTS if self.target.image is not None else ()), *(self.target.values or ())]

    @property
    def seed_of_data(self) -> int:
        """Seed of what is random about the events."""
        return self.seed if self.data_seed is None else self.data_seed

    @property
    def num_members(self) -> int:
        """How many trainings a model is made of."""
        return 1 if self.ensemble is None else self.ensemble.seeds

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

    def has_balanced_classes(self, condition: str | None) -> bool:
        """Whether class weights come from the events that train."""
        weights = self.given_class_weights(condition)
        return isinstance(weights, str) or any(isinstance(weight, str) for weight in (weights or {}).values())

    def class_weights_of(self, condition: str | None) -> dict[str, float]:
        """Weight of each class; 1 where the config gives none.

        Raises
        ------
        NtuplemlError
            Where one comes from the events that train, and so is known after a training only.
        """
        weights = self.given_class_weights(condition)
        of_classes = {} if weights is None or isinstance(weights, str) else weights
        words = [weights] if isinstance(weights, str) else [one for one in of_classes.values() if isinstance(one, str)]
        if words:
            raise NtuplemlError(
                f"{self.where}: class_weights: '{words[0]}' has its numbers from a training; give one for each class"
            )
        return {name: float(of_classes.get(name, 1.0)) for name in self.classes}

    def given_class_weights(self, condition: str | None) -> ClassWeights | str | None:
        """What the config says of the class weights."""
        own = None if condition is None else self.conditions[condition].class_weights
        return self.class_weights if own is None else own

    def with_class_weights(self, weights: Mapping[str | None, dict[str, float]]) -> TrainingConfig:
        """The config with these class weights by condition, None for trainings without."""
        conditions = {
            name: block.model_copy(update={"class_weights": weights[name]}) if name in weights else block
            for name, block in self.conditions.items()
        }
        own = weights.get(None, self.class_weights)
        return self.model_copy(update={"class_weights": own, "conditions": conditions})
