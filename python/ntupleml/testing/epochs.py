"""The best epochs of trainings by several criteria: their losses, and how well they separate events they never saw."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ntupleml.artifacts import KERAS
from ntupleml.config import SearchConfig, TestingConfig, TrainingConfig, load_config
from ntupleml.errors import NtuplemlError
from ntupleml.metrics import Undefined
from ntupleml.metrics.class_rocs import ClassRocs, class_rocs
from ntupleml.testing.kept_epochs import epoch_of_model, scorers_of_epochs
from ntupleml.testing.material import Material
from ntupleml.testing.point_efficiency import PointEfficiency, point_efficiency
from ntupleml.testing.preparation import prepare, tested_events
from ntupleml.testing.search import search_of
from ntupleml.testing.sources import trained_source
from ntupleml.training.kept_epochs import KEPT, best_epochs

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ntupleml.artifacts import TrainingRecord
    from ntupleml.scoring import Scorer
    from ntupleml.testing.preparation import Preparation
    from ntupleml.testing.search import Search
    from ntupleml.testing.tested_events import TestedEvents


class Epoch(NamedTuple):
    """One of the best epochs of a run."""

    number: int
    #: Criteria by which it is among the best; none for the epoch that the model has, where it is not.
    reasons: tuple[str, ...]
    rocs: ClassRocs | Undefined
    efficiency: PointEfficiency | Undefined


@dataclass(frozen=True, eq=False)
class Run:
    """The training of one model, and its best epochs."""

    #: Training and fold.
    training: str
    name: str
    record: TrainingRecord
    epochs: dict[int, Epoch]
    #: Events that the model never saw, scored by the epochs that can be; None where none can.
    events: TestedEvents | None

    @property
    def own_epoch(self) -> int:
        """The epoch whose weights the model has."""
        return epoch_of_model(self.record)

    def value(self, metric: str, epoch: int) -> float | Undefined:
        """Value of a metric after an epoch."""
        values = self.record.history.get(metric, ())
        return values[epoch - 1] if 0 < epoch <= len(values) else Undefined("not in its history")


@dataclass(frozen=True, eq=False)
class ComparedEpochs:
    """Runs side by side."""

    runs: list[Run]
    #: The class whose efficiencies are given, and the formulas of its points.
    signal: str
    points: list[str]

    @property
    def metrics(self) -> list[str]:
        """Of the histories of all runs."""
        return list(dict.fromkeys(name for run in self.runs for name in run.record.history))


def names_of_trainings(texts: Sequence[str]) -> dict[str, Path]:
    """Training configs by name, from `[NAME=]CONFIG`: by default the name of the folder that the training writes to.

    Raises
    ------
    NtuplemlError
        If two have the same name.
    """
    found: dict[str, Path] = {}
    for text in texts:
        name, mark, path = text.partition("=")
        if not mark or Path(text).exists():
            path = text
            name = Path(load_config(path, TrainingConfig).output_path).name or Path(path).stem
        if name in found:
            raise NtuplemlError(f"'{text}': {found[name]} is called '{name}', too; give names, NAME=CONFIG")
        found[name] = Path(path)
    return found


def compared_epochs(
    trainings: Mapping[str, Path],
    testing_path: Path,
    fold: str = "all",
    *,
    number: int = KEPT,
    points: Sequence[str] = (),
    signal: str | None = None,
    **options: Any,
) -> ComparedEpochs:
    """Find the best epochs of trainings and test those whose weights were kept.

    Parameters
    ----------
    trainings : mapping of str to path
        Training configs, by how they are called.
    fold : str
        Index of the model, or `all` of each training.
    number : int
        Epochs by each criterion.
    points : sequence of str, optional
        Formulas, such as two masses; the efficiency of the signal is given for each point. By default those of
        the testing config's `search`.
    signal : str, optional
        Class; by default that of the testing config's `search`, else `signal`, else the first.
    **options
        Of `prepare`: `condition`, `max_events`, `entries_per_chunk`.

    Raises
    ------
    NtuplemlError
        For everything wrong with configs, models, files and formulas.
    """
    testing = _with_search(load_config(testing_path, TestingConfig), points, signal)
    prepared = {name: _prepared(path, testing, fold, options) for name, path in trainings.items()}
    runs = [_run(name, one, number) for name, some in prepared.items() for one in some]
    search = search_of(Material(next(iter(prepared.values()))[0]))
    return ComparedEpochs(runs, search.signal, list(search.config.points))


def _with_search(testing: TestingConfig, points: Sequence[str], signal: str | None) -> TestingConfig:
    """The config with what the command line says of the search."""
    given = {"points": list(points), "signal": signal}
    search = (testing.search or SearchConfig()).model_copy(update={key: one for key, one in given.items() if one})
    return testing.model_copy(update={"search": search})


def _prepared(training: Path, testing: TestingConfig, fold: str, options: Mapping[str, Any]) -> list[Preparation]:
    """A preparation for each model."""
    whole = prepare(training, testing, fold, methods=[KERAS.name], **options)
    if whole.training.target is not None:
        raise NtuplemlError(
            f"{whole.training_path}: the target is {whole.training.target_kind}, but epochs are compared by classes"
        )
    return [
        replace(
            whole,
            fold=str(model),
            models=[model],
            samples=[sample],
            trained={KERAS.name: [trained]},
            sources={model: whole.sources[model]},
        )
        for model, sample, trained in zip(whole.models, whole.samples, whole.trained[KERAS.name], strict=True)
    ]


def _run(name: str, preparation: Preparation, number: int) -> Run:
    (model,), (sample,) = preparation.trained[KERAS.name], preparation.samples
    search = search_of(Material(preparation))
    wanted = _reasons(model.record, number)
    scorers = scorers_of_epochs(model, sorted(wanted))
    sources = [
        trained_source(_method(epoch), sample, model, scorer)
        for epoch, scorer in scorers.items()
        if not isinstance(scorer, Undefined)
    ]
    events = tested_events(replace(preparation, sources={sample.model: sources})) if sources else None
    epochs = {epoch: _epoch(epoch, wanted[epoch], events, scorer, search) for epoch, scorer in scorers.items()}
    return Run(name, f"{name}/fold{sample.model}", model.record, epochs, events)


def _reasons(record: TrainingRecord, number: int) -> dict[int, tuple[str, ...]]:
    """Criteria by which epochs are the best; none for the epoch that the model has, where it is not among them."""
    found: dict[int, tuple[str, ...]] = {epoch_of_model(record): ()}
    for name, epochs in best_epochs(record.history, number).items():
        for epoch in epochs:
            found[epoch] = (*found.get(epoch, ()), name)
    return found


def _method(epoch: int) -> str:
    return f"epoch {epoch}"


def _epoch(
    number: int, reasons: tuple[str, ...], events: TestedEvents | None, scorer: Scorer | Undefined, search: Search
) -> Epoch:
    if isinstance(scorer, Undefined) or events is None:
        missing = scorer if isinstance(scorer, Undefined) else Undefined("no events")
        return Epoch(number, reasons, missing, missing)
    rocs = class_rocs(events.scores[_method(number)], events.truth, events.weights, events.classes, pairs=False)
    return Epoch(number, reasons, rocs, point_efficiency(search, events, _method(number)))
