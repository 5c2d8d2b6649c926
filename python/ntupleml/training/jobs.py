"""Parts of a training: jobs (method and fold), trainers, and their results."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, Self, TypeAlias

from ntupleml.artifacts import model_files
from ntupleml.artifacts.files import PREPROCESSING
from ntupleml.atomic import Renaming, hidden_folder, rename_all

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import onnx

    from ntupleml.artifacts import ClassContent, Method, ModelFiles, OnnxCheck, TrainingRecord
    from ntupleml.config import PlotConfig, TrainingConfig
    from ntupleml.datasets.loading import ClassTree

#: Takes the number of an epoch, from 1, and its metrics by name.
Follower: TypeAlias = "Callable[[Mapping[str, Sequence[float]]], object]"


@dataclass(frozen=True)
class TrainingOptions:
    """Options of the command line, and of methods of TMVA that are trained as Keras networks."""

    #: Name of the one method to train; by default all that the verb is for.
    method: str | None = None
    #: Train on all conditions (eras), each shown to the model as a one-hot input. Batches are balanced then.
    conditional: bool = False
    #: Draw the condition at random for the classes that `randomize_classes` of the config names.
    randomization: bool = False
    #: Let all classes (and conditions) weigh the same in each batch.
    balance_batches: bool = False
    #: Replace the files of an earlier training.
    overwrite: bool = False
    #: Go on from the checkpoint of a finished or interrupted training, or with the members of an ensemble that are
    #: there.
    continue_training: bool = False
    #: Processes that train the members of an ensemble; with one, this one does.
    workers: int = 1
    #: Seed, where the training is a member of an ensemble: part of what logs and trackers call it.
    member: int | None = None
    #: Number of threads of boosted trees; by default as many as the process may use cores.
    threads: int | None = None
    #: Keras file whose network, with its weights, the training begins with; by default one is built from the config.
    initial_model: str | None = None
    #: Keras file or Python file with the network that is trained in place of the config's.
    network: str | None = None
    #: Begin with the weights of that Keras file; by default they are drawn anew.
    keep_weights: bool = False
    #: What the user should know about options that are not followed.
    remarks: tuple[str, ...] = ()
    #: Each gets the history after each epoch of a network; what they raise ends the training.
    followers: tuple[Follower, ...] = ()
    #: Whether figures and tables of the training are written.
    figures: bool = True
    #: Whether the figures of the losses of a network are written after each epoch, too.
    epoch_figures: bool = False

    @property
    def balanced(self) -> bool:
        """Whether batches are balanced, as they always are with conditions."""
        return self.balance_batches or self.conditional


@dataclass(frozen=True)
class Job:
    """What is trained in one go."""

    trainer: Trainer
    config: TrainingConfig
    #: Index of the model, which is trained on all folds but (fold + 1) mod k.
    fold: int
    #: Whose files are written: one, or several of ROOT's TMVA.
    methods: tuple[Method, ...]
    where: str
    options: TrainingOptions = TrainingOptions()
    #: What the config says of the method, in the trainer's own form.
    settings: Any = None

    @property
    def method(self) -> Method:
        """The one method of most jobs."""
        return self.methods[0]

    @property
    def files(self) -> ModelFiles:
        """Where the files of the one method will be."""
        return model_files(self.config.output_path, self.fold, self.method)


class Data(Protocol):
    """What every training knows of its events."""

    @property
    def config(self) -> TrainingConfig:
        """The training config, with numbers for class weights that are balanced."""

    @property
    def contents(self) -> list[ClassContent]:
        """What the fold files hold of each class, tree by tree."""

    @property
    def num_training(self) -> int:
        """How many events train."""

    @property
    def num_validation(self) -> int:
        """How many events validate."""


class Fitted:
    """A method that has been trained, and how its files are made.

    Attributes
    ----------
    fields : dict
        Fields of the record that depend on the trainer: `network`, `history`, `importance`, ….
    leaves : str
        What is written beside the model, for the log.
    """

    leaves = "ONNX file and record"

    def __init__(self, method: Method, fields: dict[str, Any]) -> None:
        self.method = method
        self.fields = fields

    def write(self, files: ModelFiles, record: TrainingRecord) -> None:
        """Write the model in its own format, and its preprocessing."""
        raise NotImplementedError

    def graph(self, files: ModelFiles, record: TrainingRecord) -> onnx.ModelProto | None:
        """ONNX graph of the model that was written; None for one that has none."""
        raise NotImplementedError

    def check(self, graph: onnx.ModelProto) -> OnnxCheck | None:
        """Compare the graph with the trained model on real events.

        Raises
        ------
        NtuplemlError
            If they differ.
        """
        raise NotImplementedError

    def more_models(self, files: ModelFiles) -> list[Path]:  # noqa: ARG002
        """Further forms of the model, whose checksums the record keeps too."""
        return []

    def draw(self, files: ModelFiles, record: TrainingRecord, plot: PlotConfig) -> None:
        """Write the figures and tables of the training."""

    def settle(self) -> None:
        """Remove what an earlier training left and this one does not replace."""

    def rescue(self) -> None:
        """Keep the model where not all of its files could be written."""


class Staging:
    """Folder beside the outputs in which these are made, until all of them are complete."""

    def __init__(self, output_path: str, fold: int) -> None:
        self._output = Path(output_path)
        self._fold = fold
        self._stack = ExitStack()

    @cached_property
    def folder(self) -> Path:
        """The folder, made when it is first asked for: a training takes hours, and may be killed."""
        return self._stack.enter_context(hidden_folder(self._output, f".fold{self._fold}-"))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def put_in_place(self) -> None:
        """Move all files to where they belong, records last, or none of them."""
        produced = [path for path in self.folder.rglob("*") if path.is_file()]
        files = []
        for path in sorted(
            produced, key=lambda path: (path.suffix == ".json", not path.name.endswith(PREPROCESSING), path)
        ):
            target = self._output / path.relative_to(self.folder)
            target.parent.mkdir(parents=True, exist_ok=True)
            files.append(Renaming(path, target, path.with_name(f"{path.name}.before")))
        rename_all(files)


class Trainer:
    """One way to train, an entry of `ntupleml.training.trainers.TRAINERS`.

    Attributes
    ----------
    tabular : bool
        Whether it takes all events at once as a matrix, which the methods of a fold share.
    takes_made : bool
        Whether columns of the matrix may be made of objects.
    learns : tuple of str
        Targets that a method which takes a matrix can learn.
    """

    tabular = True
    takes_made = False
    learns: tuple[str, ...] = ("classes",)
    #: Whether a method fails alone, the others are kept: in the ``"fit"``, when its files are made (``"write"``).
    isolated: tuple[str, ...] = ()

    def title(self, job: Job) -> str:
        """What the log calls the model."""
        raise NotImplementedError

    def check(self, job: Job) -> None:
        """Refuse, before anything is trained, what the config asks for and the trainer cannot do.

        Raises
        ------
        NtuplemlError
        """

    def check_trees(self, job: Job, trees: Sequence[ClassTree]) -> None:
        """Refuse, before events are read, trees beside those of the classes that do not go with them.

        Raises
        ------
        NtuplemlError
        """

    def more_files(self, job: Job) -> list[Path]:  # noqa: ARG002
        """Outputs beside those that all trainings have."""
        return []

    def log_path(self, job: Job) -> Path | None:
        """Where the log of the training is kept."""
        return job.files.log

    def load(self, job: Job, trees: Sequence[ClassTree]) -> Data:
        """Events of a training, where they are no matrix."""
        raise NotImplementedError

    def shared(self, job: Job, data: Any) -> Data | None:  # noqa: ARG002
        """Events that another training loaded, for one that differs in its seed; None where they are loaded anew."""
        return None

    def fit(self, job: Job, data: Any, staging: Staging) -> list[Fitted]:
        """Train, and give back each method that is to be written."""
        raise NotImplementedError
