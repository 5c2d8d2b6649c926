"""What the training of boosted trees leaves behind: model, ONNX file, record, importance of the variables, figures."""

from __future__ import annotations

import logging
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import yaml

from ntupleml.artifacts import OnnxCheck, model_files, record_hash, sha256_of_file, write_record
from ntupleml.atomic import replace_file
from ntupleml.errors import NtuplemlError
from ntupleml.onnx_models.forest import forest_to_onnx
from ntupleml.plots.style import FORMATS, figure_paths

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import onnx
    from numpy.typing import NDArray

    from ntupleml.artifacts import Method, ModelFiles, TrainingRecord
    from ntupleml.config import PlotConfig
    from ntupleml.forests import Forest
    from ntupleml.training.tabular_data import TabularData

log = logging.getLogger(__name__)

#: Events on which the ONNX file is compared with the library, and how many at a time.
CHECKED_EVENTS = 10_000
#: Largest difference of a probability between ONNX file and library before the file counts as wrong.
TOLERANCE = 1e-5
_TEXT_ENDINGS = ("txt", "yaml")


class TrainedTrees(NamedTuple):
    """A trained forest with what is written of it.

    Attributes
    ----------
    forest : Forest
    write : callable
        Writes the model in its own format to a path.
    predict : callable
        Scores by the library that trained it: float32 (n_events, n_inputs) to (n_events, n_classes).
    """

    forest: Forest
    write: Callable[[Path], None]
    predict: Callable[[NDArray[np.float32]], NDArray[np.floating[Any]]]


class ExtraFiles(NamedTuple):
    """Files beside those that all trainings have: the importance without ending, and TMVA's weights file."""

    importance: Path
    weights: Path

    @property
    def paths(self) -> list[Path]:
        """All of them."""
        return [*figure_paths(self.importance, [*_TEXT_ENDINGS, *FORMATS]), self.weights]


def extra_files(files: ModelFiles, fold: int, method: Method) -> ExtraFiles:
    """Paths of the importance and of TMVA's weights file, beside the model.

    Examples
    --------
    >>> from ntupleml.artifacts import Method
    >>> method = Method("boosted_trees", "bdt", "xgboost")
    >>> [path.name for path in extra_files(model_files("out", 0, method), 0, method).paths][:2]
    ['fold0_bdt_importance.txt', 'fold0_bdt_importance.yaml']
    """
    stem = files.model.with_name(f"fold{fold}_{method.name}")
    return ExtraFiles(
        stem.with_name(f"{stem.name}_importance"),
        stem.with_name(f"{stem.name}_model.weights.xml"),
    )


def write_boosted_trees(
    trees: TrainedTrees,
    record: TrainingRecord,
    data: TabularData,
    output_path: str,
    method: Method,
    plot: PlotConfig,
) -> TrainingRecord:
    """Write all files of a trained forest: beside their places first, and put there when all are complete.

    Parameters
    ----------
    trees : TrainedTrees
    record : TrainingRecord
        Without checksums and ONNX check.
    data : TabularData
        On whose validation events the ONNX file is compared with the library.
    output_path : str
    method : Method
    plot : PlotConfig

    Returns
    -------
    TrainingRecord
        The record as written.

    Raises
    ------
    NtuplemlError
        If a file cannot be written, or the ONNX file does not give the scores of the library.
    """
    files = model_files(output_path, record.fold, method)
    graph = forest_to_onnx(
        trees.forest,
        record.variables,
        record.classes,
        kind=record.engine,
        classes=record.classes,
        dtype=np.float32,
        missing=record.missing,
        conditions=record.conditions,
        record_hash=record_hash(record),
    )
    final = extra_files(files, record.fold, method)
    rows = data.validation.inputs[:CHECKED_EVENTS]
    difference = check_against_library(graph, trees.predict, rows)
    folder = files.model.parent
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=f".fold{record.fold}-") as temporary:
        written = files.inside(temporary)
        extra = extra_files(written, record.fold, method)
        trees.write(written.model)
        with replace_file(written.onnx) as path:
            path.write_bytes(graph.SerializeToString())
        models = [written.model, written.onnx]
        if _write_weights(extra.weights, trees.forest, record, data, method, where=str(final.weights)):
            models.append(extra.weights)
        complete = record.model_copy(
            update={
                "onnx_check": OnnxCheck(events=len(rows), largest_difference=difference),
                "sha256": {path.name: sha256_of_file(path) for path in models},
            }
        )
        write_record(written.record, complete)
        write_importance(extra.importance, complete.importance)
        _draw(written, extra, complete, plot)
        _put_in_place(Path(temporary), final.weights)
    log.info("written: %s, with ONNX file, record, importance of the variables and figures", files.model)
    return complete


def _put_in_place(temporary: Path, weights: Path) -> None:
    """Move all files beside the temporary folder; the weights file of an earlier training does not stay."""
    if not (temporary / weights.name).exists():
        weights.unlink(missing_ok=True)
    for path in temporary.iterdir():
        path.replace(temporary.parent / path.name)


def check_against_library(
    graph: onnx.ModelProto,
    predict: Callable[[NDArray[np.float32]], NDArray[np.floating[Any]]],
    rows: NDArray[np.float32],
) -> float:
    """Largest absolute difference of any score between an ONNX graph and the library that trained the forest.

    Parameters
    ----------
    graph : onnx.ModelProto
    predict : callable
        See `TrainedTrees`.
    rows : array of float32, shape (n_events, n_inputs)
        Real events.

    Raises
    ------
    NtuplemlError
        If the difference is above 1e-5.
    """
    from ntupleml.onnx_models.sessions import graph_scores

    difference = float(np.abs(graph_scores(graph, rows) - predict(rows)).max())
    if not difference <= TOLERANCE:
        raise NtuplemlError(
            f"the ONNX graph differs from the trained forest by up to {difference:.2g} on {len(rows)} events; more "
            f"than {TOLERANCE:g} means that this forest cannot be converted; please report it"
        )
    log.info("ONNX and the library agree within %.2g on %d events", difference, len(rows))
    return difference


def _write_weights(
    path: Path, forest: Forest, record: TrainingRecord, data: TabularData, method: Method, *, where: str
) -> bool:
    """Write TMVA's weights file, where its format holds the model; whether it did."""
    from ntupleml.tmva.writing import write_weights

    if record.conditions:
        log.info("no weights file of TMVA: the conditions are inputs that no branch holds")
        return False
    inputs = data.training.inputs
    try:
        write_weights(
            path,
            forest,
            method_name=method.name,
            classes=record.classes,
            variables=record.variables,
            minima=inputs.min(axis=0).astype(np.float64),
            maxima=inputs.max(axis=0).astype(np.float64),
            num_training_events=len(inputs),
            missing=record.missing,
            where=where,
        )
    except NtuplemlError as error:
        log.info("no weights file of TMVA: %s", error)
        return False
    return True


def importance_of(gain: Mapping[int, float], inputs: list[str]) -> dict[str, float]:
    """Share of each input in the gain of all cuts, the largest first.

    Examples
    --------
    >>> importance_of({1: 3.0, 0: 1.0}, ["x", "y", "z"])
    {'y': 0.75, 'x': 0.25, 'z': 0.0}
    """
    total = sum(gain.values())
    shares = {name: gain.get(index, 0.0) / total for index, name in enumerate(inputs)}
    return dict(sorted(shares.items(), key=lambda item: -item[1]))


def write_importance(stem: Path, importance: Mapping[str, float]) -> None:
    """Write a table as text (rank, variable, share) and as YAML (share by variable, in this order)."""
    width = max(map(len, importance))
    lines = [f"{rank:4} : {name:{width}} : {share:.6g}\n" for rank, (name, share) in enumerate(importance.items())]
    text, data = figure_paths(stem, _TEXT_ENDINGS)
    with replace_file(text) as path:
        path.write_text("".join(lines), encoding="utf-8")
    with replace_file(data) as path:
        path.write_text(yaml.safe_dump(dict(importance), sort_keys=False), encoding="utf-8")


def _draw(files: ModelFiles, extra: ExtraFiles, record: TrainingRecord, plot: PlotConfig) -> None:
    from ntupleml.plots.importance import draw_importance
    from ntupleml.plots.style import plot_style, save_figure
    from ntupleml.plots.training import draw_loss

    with plot_style(plot):
        figure = draw_loss(record.history, record.best_epoch, plot, step="round")
        save_figure(figure, files.loss_png.with_suffix(""))
        save_figure(draw_importance(record.importance, plot), extra.importance)
