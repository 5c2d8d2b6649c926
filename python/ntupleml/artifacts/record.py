"""The record of a training: what a model was made from and how, kept as JSON beside it."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pydantic

from ntupleml import __version__
from ntupleml.atomic import replace_file
from ntupleml.config.inputs import (
    GroupConfig,
    ImageConfig,
    InputsConfig,
    NumbersConfig,
    ReconstructionScore,
    matrix_of,
)
from ntupleml.config.rows import RowsConfig  # noqa: TC001  # pydantic evaluates it
from ntupleml.datasets.trained_keys import KeysRecord  # noqa: TC001  # pydantic evaluates it
from ntupleml.errors import NtuplemlError, one_line
from ntupleml.folds import FoldFileRecord, FoldRule, rule_of
from ntupleml.notebook_html import properties, shown, table
from ntupleml.targets import COMPONENTS, TargetKind

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Version of the record's layout; a program reads the layouts up to its own.
FORMAT_VERSION = 1
#: What a training learns only after the ONNX file, which carries the record's hash, has been written, and what says
#: nothing of the model.
_NOT_HASHED = {"sha256", "onnx_check", "format_version", "ntupleml_version"}


class _Part(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid", ser_json_inf_nan="strings", protected_namespaces=())


class ClassContent(_Part):
    """What a dataset holds of one class."""

    #: Number of events.
    entries: int = pydantic.Field(ge=0)
    #: Number of further events, which the training leaves out.
    left_out: int = pydantic.Field(default=0, ge=0)
    #: Sum of the event weights and its statistical uncertainty √Σw².
    sum_of_weights: float
    uncertainty: float
    #: Share of the events with a negative weight, from 0 to 1.
    negative_share: float = pydantic.Field(ge=0, le=1)


class DatasetRecord(_Part):
    """A fold file that a model was trained on."""

    #: The file, as the training config names it.
    path: str
    #: UUID that ROOT gave the file.
    uuid: str
    #: Its size in bytes.
    size: int = pydantic.Field(ge=0)
    #: Fold of its events.
    fold: int = pydantic.Field(ge=0)
    #: The condition (era) it belongs to, where the training has conditions.
    condition: str | None = None
    #: Content per class.
    classes: dict[str, ClassContent] = {}


class SplitSizes(_Part):
    """Number of events the network was fitted on and validated with."""

    training: int = pydantic.Field(ge=0)
    validation: int = pydantic.Field(ge=0)


class OnnxCheck(_Part):
    """Comparison of the ONNX file with the model it was made from, on real events."""

    #: Number of events compared.
    events: int = pydantic.Field(ge=0)
    #: Largest difference of any score; relative where the score is above one.
    largest_difference: float = pydantic.Field(ge=0)


class ImageRecord(_Part):
    """An image that a model learnt."""

    #: What it is read or filled from.
    source: ImageConfig
    #: In η and φ.
    bins: tuple[int, int]
    #: Standard deviation in the training of the components of missing transverse energy, and of all pixels.
    component_scale: float = 1.0
    pixel_scale: float = 1.0


class TargetRecord(_Part):
    """What a model learnt."""

    kind: TargetKind = "classes"
    #: Formulas of the values by their names.
    values: dict[str, str] = {}
    #: Of the values, by which they were standardised for the training; the scores are in the values' own units.
    mean: list[float] = []
    scale: list[float] = []
    #: Groups of inputs that are given back.
    groups: list[str] = []
    #: Those of slots, of which a number counts where it is neither 0 nor -999.
    slots: list[str] = []
    #: What is told of how they are given back.
    scores: list[ReconstructionScore] = ["reconstruction_error"]
    #: Numbers of the latent layer, which the network gives behind the groups, and whether their log variances follow.
    latent: int = pydantic.Field(default=0, ge=0)
    variational: bool = False
    #: The image, which the values stand behind.
    image: ImageRecord | None = None

    @property
    def latent_sizes(self) -> list[int]:
        """Numbers that the network gives behind the groups: latent ones, then their log variances."""
        return [self.latent] * (1 + self.variational) if self.latent else []

    @property
    def units(self) -> NDArray[np.float64]:
        """What differences of scores are counted in: standard deviations of what is measured, else 1."""
        of_image = [] if self.image is None else [self.image.component_scale] * len(COMPONENTS)
        return np.asarray([*of_image, *self.scale] or 1.0)


class MemberRecord(_Part):
    """One training of an ensemble, which has a record of its own in the folder of its seed."""

    seed: int = pydantic.Field(ge=0)
    #: Seed of its events: which train, which validate.
    data_seed: int = pydantic.Field(ge=0)
    #: Hash of its record.
    record_hash: str
    #: Checksums of its model files, by file name.
    sha256: dict[str, str]
    #: Number of epochs or rounds trained, and the one that the model is of.
    epochs: int = pydantic.Field(default=0, ge=0)
    best_epoch: int | None = None
    #: Losses and other metrics of the model: those of its best epoch, else of its last.
    metrics: dict[str, float] = {}
    #: Each metric, epoch by epoch.
    history: dict[str, list[float]] = {}


class EnsembleRecord(_Part):
    """What a model is made of whose score is the mean of several trainings."""

    members: list[MemberRecord] = pydantic.Field(min_length=2)

    @property
    def seeds(self) -> list[int]:
        """Of the members, in order."""
        return [member.seed for member in self.members]


class TrainingRecord(_Part):
    """How a trained model came to be: the content of ``fold{f}_keras_training.json`` and its like."""

    #: Version of this layout.
    format_version: int = pydantic.Field(default=FORMAT_VERSION, ge=1)
    #: Version of the package that trained the model.
    ntupleml_version: str = __version__
    #: When the training ended, in UTC.
    created: str = ""
    #: What trained it: ``"keras"``, ``"xgboost"``, ``"hist_gradient_boosting"``, ``"sklearn"``, ``"tmva"``, or
    #: ``"scikit_learn"`` (an estimator of the config's block of that name).
    engine: str = "keras"
    #: Name of the method in the training config; ``"keras"`` for its Keras network.
    method: str = "keras"
    #: Index of the model and number of folds.
    fold: int = pydantic.Field(ge=0)
    num_folds: int = pydantic.Field(ge=2)
    #: Folds whose events the model saw.
    trained_on: list[int]
    #: Fold that it never saw, on which it is tested and which it scores.
    held_out_fold: int = pydantic.Field(ge=0)
    #: Branch whose value modulo ``num_folds`` is the fold; None where the entry number decides.
    event_branch: str | None = None
    #: Branches whose hash decides in its place (`ntupleml.folds.hashed_numbers`).
    fold_by: list[str] = []
    #: File that has the fold of each event.
    fold_file: FoldFileRecord | None = None
    #: Whether the fold files had records that told this; False for those of other programs (htt-ml), where the dataset
    #: config of the application is trusted.
    folds_recorded: bool = True
    #: Classes, in order; where these are learnt, the scores.
    classes: list[str] = pydantic.Field(min_length=1)
    #: Formulas of all groups of inputs, in order.
    variables: list[str] = pydantic.Field(min_length=1)
    #: Groups of inputs as the training config describes them; None for variables alone.
    inputs: InputsConfig | None = None
    #: Whether their numbers, and those that are made of objects, are the columns of one matrix.
    matrix: bool = False
    #: What was learnt.
    target: TargetRecord = TargetRecord()
    #: The dataset config's `rows`; None where a row is an event.
    rows: RowsConfig | None = None
    #: Names of the one-hot inputs that follow the variables, unscaled; normally empty.
    conditions: list[str] = []
    #: Name of the scaler; ``"none"`` for boosted trees.
    preprocessing: str
    #: Number of events that it was fitted to: a random sample of them where events are streamed.
    preprocessing_events: int | None = None
    #: Value that replaces NaN and infinite inputs; None where they are an error.
    missing: float | None = None
    #: Seed of everything random.
    seed: int
    #: The training config.
    config: dict[str, Any]
    #: Options of the command line, of networks: whether all classes weighed the same in each batch, and whether
    #: conditions were drawn at random. (With `conditions` batches are always balanced.)
    balance_batches: bool = False
    randomization: bool = False
    #: Layers, loss, optimiser and the rest of the network's description; for boosted trees what their library was
    #: given.
    network: dict[str, Any] = {}
    #: Versions of the libraries.
    versions: dict[str, str] = {}
    #: The files trained on.
    datasets: list[DatasetRecord] = []
    #: By classes whose rows were weighted, or left out, so that formulas have another distribution: number of rows and
    #: effective number of rows before and after, smallest and largest factor, distances before and after.
    reweighted: list[dict[str, Any]] = []
    #: Keys of the rows that train and validate; None where they were not asked for.
    keys: KeysRecord | None = None
    #: Events fitted on and validated with.
    split: SplitSizes | None = None
    #: Trainings whose mean the model is; their records have the rest. Only of an ensemble.
    ensemble: EnsembleRecord | None = None
    #: Each metric, epoch by epoch; of an ensemble the mean of the members as far as all were trained.
    history: dict[str, list[float]] = {}
    #: How whole epochs were compiled: ``"xla"``, ``"graph"`` (without XLA, for convolutions), or
    #: nothing.
    epochs_compiled: str = ""
    #: Of a training against an adversary: the rule of the best epoch, the control sample or the bins of the nuisances.
    adversary: dict[str, Any] = {}
    #: Of a training with decorrelation: formulas, factor, scores, classes, and what is left in the best epoch.
    decorrelation: dict[str, Any] = {}
    #: Of a quantised network: bit widths and effective bit operations (EBOPs) of its layers, and how it compares with
    #: the same network in whole numbers.
    quantised: dict[str, Any] = {}
    #: Number of epochs trained, or of boosting rounds.
    epochs: int = pydantic.Field(default=0, ge=0)
    #: Epoch (from 1) whose weights the model has; None where nobody looked for the best.
    best_epoch: int | None = None
    #: Share of each variable in what the trees gained, for boosted trees; for estimators of scikit-learn what
    #: `network.importance` says.
    importance: dict[str, float] = {}
    #: Standard deviation of these shares over the trees of a forest.
    importance_spread: dict[str, float] = {}
    #: Checksum per model file, by file name.
    sha256: dict[str, str] = {}
    #: Comparison of the ONNX file with the Keras model.
    onnx_check: OnnxCheck | None = None

    @pydantic.model_validator(mode="after")
    def _held_out_is_not_trained_on(self) -> TrainingRecord:
        if self.held_out_fold in self.trained_on:
            raise ValueError(f"fold {self.held_out_fold} is both trained on and held out")
        if any(not 0 <= fold < self.num_folds for fold in [*self.trained_on, self.held_out_fold, self.fold]):
            raise ValueError(f"a fold is outside 0 to {self.num_folds - 1}")
        if self.target.kind == "classes" and len(self.classes) < 2:
            raise ValueError(f"classes: '{self.classes[0]}' alone cannot be learnt")
        return self

    def _repr_html_(self) -> str:
        """What notebooks show: what was trained on what, and what was reached."""
        best = (self.best_epoch or self.epochs) - 1
        facts = {
            "trained on folds": self.trained_on,
            "held out": f"fold {self.held_out_fold}",
            "scores": self.outputs,
            "inputs": self.variables,
            "seeds": self.ensemble.seeds if self.ensemble else [self.seed],
            f"{self.step}s": f"{self.epochs}, best {self.best_epoch}" if self.best_epoch else self.epochs,
            "created": self.created,
        }
        metrics = [(name, f"{values[best]:.6g}") for name, values in self.history.items() if 0 <= best < len(values)]
        classes = [
            (dataset.path, name, content.entries, f"{content.sum_of_weights:.6g} ± {content.uncertainty:.2g}")
            for dataset in self.datasets
            for name, content in dataset.classes.items()
        ]
        return shown(
            f"Training of '{self.method}' ({self.engine}), model {self.fold} of {self.num_folds}",
            properties(facts),
            table(["file", "class", "events", "sum of weights"], classes),
            table(["metric", f"of the best {self.step}"], metrics),
        )

    @property
    def fold_rule(self) -> FoldRule:
        """What decides the fold."""
        return rule_of(self)

    @property
    def groups(self) -> dict[str, GroupConfig]:
        """Groups of inputs by their names."""
        if self.inputs and self.matrix:
            return {"variables": matrix_of(self.inputs)}
        return self.inputs or {"variables": NumbersConfig(numbers=self.variables)}

    @property
    def seed_of_data(self) -> int:
        """Seed of what was random about the events."""
        own = self.config.get("data_seed")
        return self.seed if own is None else int(own)

    @property
    def split_seeds(self) -> list[int]:
        """Seeds of the split into training and validation events; ensembles may have several."""
        members = [] if self.ensemble is None else [member.data_seed for member in self.ensemble.members]
        return list(dict.fromkeys(members)) or [self.seed_of_data]

    @property
    def num_members(self) -> int:
        """How many trainings the model is made of."""
        return 1 if self.ensemble is None else len(self.ensemble.members)

    @property
    def histories_of_members(self) -> list[dict[str, list[float]]]:
        """Of an ensemble what its members have; else none."""
        return [] if self.ensemble is None else [member.history for member in self.ensemble.members]

    @property
    def step(self) -> str:
        """What a history counts."""
        return "epoch" if self.engine == "keras" else "round"

    @property
    def keys_of_inputs(self) -> dict[str, Any]:
        """Values of the keys `inputs` and `variables` in the config of such a training."""
        return {"inputs": self.inputs, "variables": [] if self.inputs and not self.matrix else list(self.variables)}

    @property
    def description_of_matrix(self) -> dict[str, Any]:
        """What the metadata of an ONNX file say of columns that are made of objects."""
        if not self.matrix or self.inputs is None:
            return {}
        return {"matrix": {name: one.model_dump(mode="json", exclude_none=True) for name, one in self.inputs.items()}}

    @property
    def outputs(self) -> list[str]:
        """Names of the scores."""
        names: dict[str, list[str]] = {
            "classes": self.classes,
            "values": list(self.target.values),
            "reconstruction": list(self.target.scores),
            "image": [*COMPONENTS, *self.target.values],
        }
        return list(names[self.target.kind])


def record_hash(record: TrainingRecord) -> str:
    """SHA-256 of a record's content, which the ONNX file carries in its metadata.

    The checksums of the files and the check of the ONNX file are left out: they are known only after the ONNX file
    has been written with this hash inside. Fields at their default are left out too, so that a later version, whose
    records have more fields, finds the same hash; so the default of a field must never change.
    """
    content = json.loads(record.model_dump_json(exclude=_NOT_HASHED, exclude_defaults=True))
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def write_record(path: str | Path, record: TrainingRecord, *, overwrite: bool = False) -> None:
    """Write a record as JSON, complete or not at all.

    Raises
    ------
    NtuplemlError
        If the file exists and is not to be overwritten, or the folder cannot be written to.
    """
    with replace_file(path, overwrite=overwrite) as temporary:
        temporary.write_text(record.model_dump_json(indent=2) + "\n", encoding="utf-8")


def read_record(path: str | Path) -> TrainingRecord:
    """Read a record.

    Raises
    ------
    NtuplemlError
        If there is no such file, or it is not the record of a training, or it was written by a later version.
    """
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise NtuplemlError(f"{path}: no such file; it is written by the training, beside the model") from None
    except OSError as error:
        raise NtuplemlError(f"{path}: cannot be read: {(error.strerror or str(error)).lower()}") from None
    except (ValueError, RecursionError) as error:
        raise NtuplemlError(f"{path}: not the record of a training: {one_line(error)}") from None
    if not isinstance(content, dict) or "format_version" not in content:
        raise NtuplemlError(f"{path}: not the record of a training: it has no format_version")
    version = content["format_version"]
    if isinstance(version, int) and version > FORMAT_VERSION:
        writer = content.get("ntupleml_version")
        raise NtuplemlError(
            f"{path}: written in record format {version} by ntupleml {writer}; this is ntupleml {__version__}, which "
            f"reads formats up to {FORMAT_VERSION}; update it"
        )
    try:
        return TrainingRecord.model_validate(content)
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise NtuplemlError(
            f"{path}: not the record of a training: {one_line(key or 'content')}: {one_line(first['msg'])}"
        ) from None
