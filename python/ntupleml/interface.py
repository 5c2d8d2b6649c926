"""Trained models from Python: all folds of a training, or any model file, and scores for columns in memory."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ntupleml.artifacts import default_method_name, methods_by_fold, models_by_fold
from ntupleml.artifacts.origins import find_origin, require_safe
from ntupleml.config import OnnxConfig, TrainingConfig, load_config
from ntupleml.errors import NtuplemlError
from ntupleml.events.fold_numbers import fold_numbers
from ntupleml.expressions.syntax import ENTRY
from ntupleml.folds import BY_ENTRY, event_numbers
from ntupleml.notebook_html import properties, shown, table
from ntupleml.ntuples.variables import required_branches
from ntupleml.scoring import load_scorer
from ntupleml.scoring.model_files import Filling, OpenFile, names_of_scores, scorer_of_files
from ntupleml.scoring.onnx_graphs import choose_output, open_onnx

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from ntupleml.config import ConfigSource
    from ntupleml.scoring import Scorer
    from ntupleml.scoring.evaluators import EnsembleScores

log = logging.getLogger(__name__)

_CONFIGS = (".yaml", ".yml")


class Model:
    """Trained models, each event scored by the one that never saw it; made by `load_model`.

    Attributes
    ----------
    inputs : dict of str to list of str
        Variables (branches or formulas of branches) by the name of the input that takes them.
    outputs : list of str
        Names of the scores.
    num_folds : int
        1 where one model scores all events.
    fold_rule : FoldRule
        What decides the fold: a branch of event numbers, a hash of several branches, or the entry number.
    """

    def __init__(self, scorer: Scorer, where: str, rows: str | None = None) -> None:
        """Take a scorer; `where` is the file for messages, `rows` the collection whose objects are scored."""
        self.outputs = list(scorer.outputs)
        self.num_folds = scorer.num_folds
        self.fold_rule = scorer.fold_rule
        self.inputs = {group.name: list(group.variables) for group in scorer.groups}
        self._scorer = scorer
        self._where = where
        self._rows = rows

    def __repr__(self) -> str:
        taken = ", ".join(f"{name}: {len(variables)}" for name, variables in self.inputs.items())
        return f"<Model of {self._where}: inputs {taken}; outputs {', '.join(self.outputs)}; {self.num_folds} folds>"

    def _repr_html_(self) -> str:
        """What notebooks show: inputs with their variables, scores, and what decides the fold."""
        rows = [(name, ", ".join(variables)) for name, variables in self.inputs.items()]
        decides = self.fold_rule if self.num_folds > 1 else None
        facts = {"scores": self.outputs, "folds": self.num_folds, "each event's model": decides, "rows": self._rows}
        return shown(f"Model of {self._where}", properties(facts), table(["input", "variables"], rows))

    def score(self, columns: Any, event: ArrayLike | None = None) -> Any:
        """Scores of events.

        Parameters
        ----------
        columns : mapping of arrays, DataFrame of pandas or polars, awkward record array, or array
            The branches that the variables need: one number per event, or awkward arrays of lists. An array of shape
            (n_events, n_variables) holds the variables themselves, for models with one input. Where rows are objects,
            such as jets, all is per object: one number for each, and lists of its members.
        event : array of int, shape (n_events,), optional
            Event numbers (or `hashed_numbers` of `ntupleml.folds`), which decide the model where there are several. By
            default the columns that `fold_rule` names.

        Returns
        -------
        array of float32, shape (n_events, n_outputs)
            Of networks of lwtnn that score each step of a sequence an awkward array, events × steps × outputs.

        Raises
        ------
        NtuplemlError
            If a column is missing (with the nearest names), a value cannot be used, or event numbers are needed.
        """
        chosen, numbers = self._chosen(columns, event)
        if self._scorer.per_step:
            import awkward as ak

            return ak.unflatten(*self._scorer.step_scores(chosen, numbers, where=self._where))
        return self._scorer.score(chosen, numbers, where=self._where)

    def ensemble(self, columns: Any, event: ArrayLike | None = None) -> EnsembleScores:
        """Scores with the spread and the scores of all members, of ensembles (`ensemble` in the training config).

        Parameters
        ----------
        columns, event
            As for `score`.

        Returns
        -------
        EnsembleScores
            Arrays of float32: `scores` and `spread` (n_events, n_outputs), `members` (n_events, n_members, n_outputs).

        Raises
        ------
        NtuplemlError
            If the models are no ensembles; and as `score`.
        """
        chosen, numbers = self._chosen(columns, event)
        inputs = self._scorer.read(chosen, len(numbers), self._where)
        return self._scorer.ensemble_scores(inputs, numbers, where=self._where)

    def _chosen(self, columns: Any, event: ArrayLike | None) -> tuple[dict[str, Any], NDArray[np.int64]]:
        """Columns that the models need, and the numbers of the events."""
        table = _columns(columns, [name for names in self.inputs.values() for name in names], self._where)
        number = len(next(iter(table.values()))) if table else 0
        different = [name for name, values in table.items() if len(values) != number]
        if different:
            raise NtuplemlError(
                f"{self._where}: column '{different[0]}' has {len(table[different[0]])} events, but "
                f"'{next(iter(table))}' has {number}"
            )
        numbers = self._event_numbers(table, event, number)
        needed = required_branches(self._scorer.variables, table, self._where)
        for name in needed:
            if self._rows and name.startswith((f"{self._rows}_", f"{self._rows}.")) and not _is_flat(table[name]):
                raise NtuplemlError(
                    f"{self._where}: rows are objects of '{self._rows}', but column '{name}' has lists, as events do; "
                    "give one number per object, and lists of its members"
                )
        table.setdefault(ENTRY, np.arange(number))
        return {name: table[name] for name in needed}, numbers

    def _event_numbers(self, table: Mapping[str, Any], event: ArrayLike | None, number: int) -> NDArray[np.int64]:
        rule = self.fold_rule
        deciding = rule.fold_by or rule.branches
        if event is None and deciding and all(name in table for name in deciding):
            event = fold_numbers(
                rule, {name: _array(table[name], name) for name in deciding}, np.arange(number), self._where
            )
        if event is None and (self.num_folds > 1 or self._scorer.takes_event):
            raise NtuplemlError(
                f"{self._where}: {self.fold_rule}, and with it the model that never saw the event; "
                "give score(columns, event=…)"
            )
        numbers = event_numbers(
            np.zeros(number, np.int64) if event is None else np.asarray(_array(event, f"{self._where}: event")),
            f"{self._where}: event",
        )
        if numbers.shape != (number,):
            raise NtuplemlError(f"{self._where}: event: {numbers.shape} event numbers for {number} events")
        return numbers


def load_model(
    source: ConfigSource,
    method: str | None = None,
    *,
    condition: str | None = None,
    onnx: Mapping[str, Any] | None = None,
) -> Model:
    """Open trained models for scoring.

    Parameters
    ----------
    source : path, dictionary or TrainingConfig
        A training config, which stands for the models of all its folds, or the path of a model file: ONNX, Keras (with
        the record of its training beside it), XGBoost (`.json`, `.ubj`), TMVA's weights (XML) or lwtnn's JSON.
    method : str, optional
        Method of the training config; by default its network if that is trained, else the first that is.
    condition : str, optional
        Condition (era) of the events, for models trained with conditions.
    onnx : mapping, optional
        How an ONNX file of another program is used; keys of the block `onnx` of the configs, such as
        ``{"inputs": {"X": ["m", "pt"]}, "classes": ["signal", "background"]}``.

    Raises
    ------
    NtuplemlError
        If there is no such file or method, it is not trained, or the file cannot be used.

    Examples
    --------
    >>> import json, pathlib, tempfile
    >>> layer = {"architecture": "dense", "weights": [1.0, 1.0], "bias": [0.0], "activation": "sigmoid"}
    >>> inputs = [{"name": name, "offset": 0, "scale": 1} for name in ("x", "y")]
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> file = folder / "network.json"
    >>> _ = file.write_text(json.dumps({"inputs": inputs, "layers": [layer], "outputs": ["signal"]}))
    >>> model = load_model(file)
    >>> model.inputs, model.outputs
    ({'variables': ['x', 'y']}, ['signal'])
    >>> model.score({"x": [0.0, 2.0], "y": [0.0, -2.0]}).ravel().tolist()
    [0.5, 0.5]
    """
    if not isinstance(source, str | Path) or Path(source).suffix in _CONFIGS:
        if onnx is not None:
            raise NtuplemlError("onnx: is for one ONNX file; a training config says itself what its models take")
        return _trained(load_config(source, TrainingConfig), method, condition)
    path = Path(source)
    if method is not None:
        raise NtuplemlError(f"{path}: method '{method}': a model file has one; name methods of a training config")
    return _of_file(path, condition, None if onnx is None else load_config(dict(onnx), OnnxConfig, "onnx"))


def _trained(training: TrainingConfig, method: str | None, condition: str | None) -> Model:
    where = training.where
    name = method or _first_trained(training)
    methods = methods_by_fold(training, name, where)
    models = models_by_fold(training, where=where, training_path=where, method=methods)
    rows = models[0].record.rows
    scorer = load_scorer(models).of_condition(condition, f"{where}: condition")
    return Model(scorer, where, None if rows is None else rows.objects)


def _first_trained(training: TrainingConfig) -> str:
    """Network of a training config if its first fold is trained, else the first method that is."""
    from ntupleml.artifacts import model_files
    from ntupleml.artifacts.methods import methods_of

    for name, method in methods_of(training, 0).items():
        if model_files(Path(training.output_path), 0, method).record.exists():
            return name
    return default_method_name(training, "keras", training.where)


def _of_file(path: Path, condition: str | None, onnx: OnnxConfig | None) -> Model:
    content = None
    if path.suffix != ".onnx":
        from ntupleml.onnx_models.convert import convert

        content = convert(path).SerializeToString()
    graph = open_onnx(path, content=content)
    # Trees of others have a direction for what is missing; ours are asked for nothing that their training did not see.
    described = graph.description
    bare_trees = described.get("kind") in ("xgboost", "lightgbm", "forest") and not described.get("record_hash")
    onnx = onnx or (OnnxConfig(missing="passed") if bare_trees else OnnxConfig())
    names = names_of_scores(graph, onnx, str(path))
    if names is None:
        width = choose_output(graph, None, str(path)).shape[-1]
        names = [f"score_{index}" for index in range(width or 1)]
    filling = Filling(onnx, None, condition, str(path))
    origin = find_origin(path, graph.description, None)
    rule = BY_ENTRY if origin is None else origin.fold_rule
    require_safe(path, origin, 0, 1, rule, str(path))
    scorer = scorer_of_files([OpenFile(graph, origin)], names, filling, fold_rule=rule)
    return Model(scorer, str(path))


def _columns(columns: Any, variables: list[str], where: str) -> dict[str, Any]:
    """Columns by name, as numpy or awkward arrays."""
    if isinstance(columns, np.ndarray) and columns.dtype.names is None:  # the variables themselves
        if columns.ndim != 2 or columns.shape[1] != len(variables):
            needed = f"(events, {len(variables)}) is needed: {', '.join(variables)}"
            raise NtuplemlError(f"{where}: an array of shape {columns.shape}; {needed}")
        columns = dict(zip(variables, columns.T, strict=True))
    if isinstance(columns, Mapping):
        return {str(name): _array(values, f"{where}: column '{name}'") for name, values in columns.items()}
    fields = getattr(columns, "fields", None) or getattr(columns, "columns", None)
    if fields is None and getattr(getattr(columns, "dtype", None), "names", None):
        fields = columns.dtype.names
    if fields is None or hasattr(columns, "collect"):  # a table that is not computed yet
        raise NtuplemlError(
            f"{where}: columns are a {type(columns).__name__}; give a mapping of arrays, a DataFrame, an awkward record"
            " array, or an array of the variables"
        )
    table: dict[str, Any] = {}
    for name in fields:
        if str(name) in table:
            raise NtuplemlError(f"{where}: two columns are called '{name}'")
        values = _array(columns[name], f"{where}: column '{name}'")
        table[str(name)] = values
        for inner in getattr(values, "fields", ()):  # Jet.pt of records, by the names that NanoAOD's branches have
            table[f"{name}_{inner}"] = table[f"{name}.{inner}"] = values[inner]
    return table


def _is_flat(values: Any) -> bool:
    return isinstance(values, np.ndarray) or values.ndim == 1


def _array(values: Any, where: str) -> Any:
    """A column as a numpy array, or as it is where it is one of awkward; NaN where a value is missing."""
    if hasattr(values, "layout"):
        import awkward as ak

        return ak.fill_none(values, np.nan) if "?" in str(values.type) else values
    try:
        array = values if isinstance(values, np.ma.MaskedArray) else _plain_array(values)
    except ValueError:
        raise NtuplemlError(f"{where} has lists of several lengths; give an awkward array") from None
    if array.ndim == 0:
        raise NtuplemlError(f"{where} is a single {type(values).__name__}; give an array, one value per event")
    if not isinstance(array, np.ma.MaskedArray):
        return array
    return np.where(array.mask, np.nan, array.data) if np.ma.is_masked(array) else array.data


def _plain_array(values: Any) -> NDArray[Any]:
    array: NDArray[Any] = values.to_numpy() if hasattr(values, "to_numpy") else np.asarray(values)
    return array
