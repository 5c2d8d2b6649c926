"""Model files of any origin as one scorer: how their inputs are filled, and what their scores are called."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ntupleml.errors import NtuplemlError, did_you_mean
from ntupleml.folds import BY_ENTRY, FoldRule
from ntupleml.scoring.conditions import one_hot
from ntupleml.scoring.onnx_graphs import OnnxGraph, choose_output, open_onnx
from ntupleml.scoring.onnx_inputs import EVENT, InputPlan, plan_inputs
from ntupleml.scoring.onnx_scores import gives_steps, graph_evaluator
from ntupleml.scoring.scorer import Scorer
from ntupleml.tmva.method import ONE_VALUES

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from ntupleml.artifacts.origins import Origin
    from ntupleml.config import OnnxConfig
    from ntupleml.lwtnn.network import Network, Output
    from ntupleml.onnx_models.lwtnn import Replaced
    from ntupleml.scoring.evaluators import Evaluator
    from ntupleml.scoring.outputs import Binary


class OpenFile(NamedTuple):
    """A model file that is open."""

    #: What it takes and gives.
    graph: OnnxGraph
    #: The training that it comes from, as far as that is known.
    origin: Origin | None
    #: What scores in place of the graph.
    evaluator: Evaluator | None = None
    #: Variables whose missing values it replaces.
    with_default: frozenset[str] = frozenset()


class Filling(NamedTuple):
    """What a config says of model files."""

    onnx: OnnxConfig
    #: Those of the training config, for the only input of a file that does not say what it takes.
    variables: list[str] | None
    #: Condition (era) of the events.
    condition: str | None
    #: The config, for messages.
    where: str


def scorer_of_files(
    files: Sequence[OpenFile],
    classes: Sequence[str],
    filling: Filling,
    *,
    fold_rule: FoldRule = BY_ENTRY,
) -> Scorer:
    """Scorer of files that may score the events of their place in the list.

    Parameters
    ----------
    files : sequence of OpenFile
        Element j scores the events of fold j, a single one all events.
    classes : sequence of str
        Names of the scores, in the order of the output's columns.
    fold_rule : FoldRule, optional
        What decides the fold; by default the entry number.

    Raises
    ------
    NtuplemlError
        For inputs that cannot be filled, an output that is not there, and files that do not take the same.
    """
    files = [file._replace(graph=_with_conditions(file.graph, file.origin)) for file in files]
    first = files[0].graph
    condition = _condition(filling, first)
    evaluators = {}
    plans: list[InputPlan] = []
    for fold, file in enumerate(files):
        inputs = plan_inputs(file.graph, filling.onnx, filling.variables, filling.where, condition)
        output = choose_output(file.graph, filling.onnx.output, filling.where)
        _require_alike(first, plans[0] if plans else inputs, file.graph, inputs)
        if gives_steps(file.graph, output) != gives_steps(
            first, choose_output(first, filling.onnx.output, filling.where)
        ):
            raise NtuplemlError(
                f"{file.graph.path}: gives scores per event where {first.path} gives them per step, or the other way "
                "round; list files of one training"
            )
        plans.append(inputs)
        evaluators[fold] = file.evaluator or graph_evaluator(
            file.graph, inputs, output, classes, apply=filling.onnx.apply, binary=_binary(file.graph)
        )
    deals_with_any = filling.onnx.missing == "passed" or _replaces_missing(first)
    variables = {name for group in plans[0].groups for name in group.needed}
    return Scorer(
        evaluators,
        plans[0].groups,
        num_folds=len(files),
        outputs=classes,
        fold_rule=fold_rule,
        event_input=EVENT if plans[0].takes_event else None,
        non_finite="replaced" if deals_with_any or files[0].with_default else "refused",
        finite=set() if deals_with_any else variables - files[0].with_default,
    )


def _with_conditions(graph: OnnxGraph, origin: Origin | None) -> OnnxGraph:
    """The graph, described with the conditions (eras) among its variables that the record of its training has."""
    if origin is None or not origin.conditions:
        return graph
    return graph._replace(description={**graph.description, "conditions": list(origin.conditions)})


def _condition(filling: Filling, graph: OnnxGraph) -> dict[str, float]:
    """Values of the inputs that stand for conditions (eras)."""
    conditions = [str(name) for name in graph.description.get("conditions") or []]
    values = one_hot(conditions, filling.condition, f"{filling.where}: condition")
    return dict(zip(conditions, values, strict=True))


def names_of_scores(graph: OnnxGraph, onnx: OnnxConfig, where: str) -> list[str] | None:
    """What a file itself calls its scores; None where it does not say.

    Raises
    ------
    NtuplemlError
        If the output with the scores is not there, or has to be named.
    """
    output = choose_output(graph, onnx.output, where)
    labels = graph.description.get("labels")
    for found in (
        graph.description.get("scores"),
        labels.get(output.name) if isinstance(labels, dict) else None,
        graph.description.get("classes"),
        graph.labels.get(output.name),
    ):
        if isinstance(found, list) and found:
            return [str(name) for name in found]
    return None


def gives_classes(graph: OnnxGraph) -> bool:
    """Whether the scores are of classes, as far as is known, and not values of another target."""
    return str(graph.description.get("target", "classes")) == "classes"


def _binary(graph: OnnxGraph) -> Binary:
    """What one value of a file says, where there are two classes."""
    stated: Any = graph.description.get("one_value")
    if stated is not None:
        chosen: Binary = stated
        return chosen
    if graph.description.get("kind") != "tmva":
        return "second"
    return ONE_VALUES.get(str(graph.description.get("method")).split("::")[0], "discriminant")


def _replaces_missing(graph: OnnxGraph) -> bool:
    """Whether NaN is nothing special to a file: it replaces such values, or answers −999 as TMVA."""
    return graph.description.get("missing") is not None or graph.description.get("kind") == "tmva"


def _require_alike(first: OnnxGraph, plan: InputPlan, other: OnnxGraph, other_plan: InputPlan) -> None:
    if plan.groups != other_plan.groups or plan.takes_event != other_plan.takes_event:
        raise NtuplemlError(
            f"{other.path}: takes other inputs than {first.path} ({_inputs(other)}, but {_inputs(first)}); list files "
            "of one training"
        )


def _inputs(graph: OnnxGraph) -> str:
    return ", ".join(map(str, graph.inputs.values()))


def description_of_lwtnn(path: Path) -> dict[str, Any]:
    """What ntupleml wrote into an lwtnn file; empty for files of others."""
    from ntupleml.lwtnn.json_file import read_json

    remarks = read_json(path).get("miscellaneous")
    return remarks if isinstance(remarks, dict) else {}


def open_lwtnn(
    path: Path, origin: Origin | None, output: str | None, replaced: Replaced, key: str, engine: str | None = None
) -> OpenFile:
    """Open a network in one of lwtnn's JSON formats.

    Parameters
    ----------
    output : str or None
        Which output scores, of networks with several.
    replaced : {"nan", "nan_and_infinities", "nothing"}
        Raw values that the defaults of the variables stand for.
    key : str
        Option or key that names the output, for messages.
    engine : {"onnx", "liblwtnn"}, optional
        What computes the scores: ONNX Runtime, or the library itself, in double precision.

    Raises
    ------
    NtuplemlError
        If it is no such file, or has no such output, or several and none is named.
    """
    from ntupleml.lwtnn import read_network
    from ntupleml.onnx_models.lwtnn import lwtnn_to_onnx
    from ntupleml.scoring.lwtnn_library import library_evaluator

    network = read_network(path)
    chosen = _output_of_lwtnn(network, output, key)
    in_library = engine == "liblwtnn"
    graph = lwtnn_to_onnx(path, np.float64 if in_library else np.float32, chosen.name, replaced=replaced)
    return OpenFile(
        open_onnx(path, content=graph.SerializeToString()),
        origin,
        library_evaluator(network, chosen, replaced) if in_library else None,
        frozenset() if replaced == "nothing" else frozenset(_variables_with_default(network)),
    )


def _output_of_lwtnn(network: Network, name: str | None, key: str) -> Output:
    """The output of a network that scores.

    Parameters
    ----------
    name : str or None
        None for the only one.
    key : str
        Option or key that names it, for messages.
    """
    names = [one.name for one in network.outputs]
    if name is None and len(names) > 1:
        raise NtuplemlError(f"{network.path}: has the outputs {', '.join(names)}; choose one with {key}")
    if name is not None and name not in names:
        raise NtuplemlError(f"{key}: {network.path} has no output '{name}'{did_you_mean(name, names)}")
    return next(one for one in network.outputs if name in (None, one.name))


def _variables_with_default(network: Network) -> set[str]:
    """Variables whose missing values a network replaces."""
    return {one.name for group in network.groups for one in group.variables if one.default is not None}
