"""A forest as a weights file of TMVA's boosted decision trees, which `TMVA::Reader` loads."""

from __future__ import annotations

import datetime
import logging
from typing import TYPE_CHECKING, Any, NamedTuple
from xml.sax.saxutils import escape

import numpy as np

from ntupleml import __version__
from ntupleml.atomic import replace_file
from ntupleml.errors import NtuplemlError
from ntupleml.forests.forest import LEAF, trees_of_nodes
from ntupleml.tmva.options import bdt_option_values

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from ntupleml.forests import Forest

log = logging.getLogger(__name__)

#: Release of TMVA whose layout is written, and the release of ROOT that has it; the codes are what Reader looks at.
_TMVA_RELEASE, _ROOT_RELEASE = "4.2.1 [262657]", "6.40/00 [403456]"
#: TMVA's `AnalysisType` of the trees: those of gradient boosting answer by their response, the others by their type.
_RESPONSE_TREES, _TYPE_TREES = 1, 0
_GRAD_LEAF, _NO_RESPONSE = -99, -99.0
#: Options that promise parts of the file which are not written; Reader would take them for there.
_NOT_WRITTEN = ("VarTransform", "CreateMVAPdfs", "DoPreselection")
#: How TMVA writes what cannot be part of an internal name, in its order (`Tools::ReplaceRegularExpressions`).
_INTERNAL_NAMES = {
    **dict.fromkeys("$!%^&()'<>?= |[]", "_"),
    "::": "_",
    "*": "_T_",
    "/": "_D_",
    "+": "_P_",
    "-": "_M_",
}


class _Trees(NamedTuple):
    """Trees in TMVA's order: the root of each (−1 for a tree of one leaf that adds nothing), and its weight."""

    roots: list[int]
    weights: list[float]
    values: NDArray[np.float64]
    analysis: str


def write_weights(
    path: str | Path,
    forest: Forest,
    *,
    method_name: str,
    classes: Sequence[str],
    variables: Sequence[str],
    minima: Sequence[float] | NDArray[np.floating[Any]],
    maxima: Sequence[float] | NDArray[np.floating[Any]],
    options: Mapping[str, str] | None = None,
    num_training_events: int = 0,
    training_time: float = 0.0,
    missing: float | None = None,
    overwrite: bool = False,
    where: str | None = None,
) -> None:
    """Write a forest as ``{job}_{method}.weights.xml`` of TMVA's method BDT.

    A forest with link ``softmax`` becomes a multiclass gradient boosting (`Reader::EvaluateMulticlass` gives one
    probability per class); with ``sigmoid`` (two classes, the score is the probability of the second) the same for
    two classes; with ``tanh`` a binary gradient boosting (`Reader::EvaluateMVA`); with ``identity`` and leaves of
    ± the weight of their tree an AdaBoost or bagging. Reader gives what the forest gives, up to the rounding of its
    float32 leaves and answers.

    Parameters
    ----------
    method_name : str
        Name of the method, the second part of the file's name.
    classes : sequence of str
        In the order of the outputs; of a binary forest the signal first.
    variables : sequence of str, length n_inputs
        Formulas as TMVA takes them, ``label := formula`` where they have labels.
    minima, maxima : sequence of float, length n_inputs
        Of the training events.
    options : mapping of str to str, optional
        Options that were set, by TMVA's names; the others are written with their defaults, and so are those of
        transformations, preselection and PDFs, which the file does not have.
    training_time : float
        In seconds.
    missing : float, optional
        What the training put in the place of NaN and infinite inputs; the file cannot say so, which is logged.
    where : str, optional
        What messages call the file; by default its path.

    Raises
    ------
    NtuplemlError
        If TMVA's format cannot hold the forest, or the file exists.

    Notes
    -----
    NaN goes to the left at every cut there, whatever the forest says; a line of the log says so where it does.

    The layout is what TMVA 4.2.1 and later read: `MethodBase::ReadStateFromXML`, `MethodBDT::ReadWeightsFromXML` and
    `DecisionTreeNode::ReadAttributes` of ROOT.
    """
    where = where or str(path)
    _refuse(forest, where)
    if forest.missing_right.any():
        log.info(
            "%s: does not say where NaN goes, as no file of TMVA does: its Reader takes it to the left at every cut, "
            "or answers -999 (EvaluateMVA); replace NaN before, or use the ONNX file",
            where,
        )
    trees = _trees_in_order(forest, where)
    boost = {"BoostType": "Grad"} if forest.link != "identity" else {}
    given = {name: value for name, value in (options or {}).items() if name not in _NOT_WRITTEN}
    settings = bdt_option_values({**boost, **given})
    events, time = str(num_training_events), f"{training_time:.8e}"
    info = {
        "TMVA Release": _TMVA_RELEASE,
        "ROOT Release": _ROOT_RELEASE,
        "Creator": f"ntupleml {__version__}",
        "Date": datetime.datetime.now(datetime.UTC).strftime("%a %b %d %H:%M:%S %Y"),
        "Host": "ntupleml",
        "Dir": "ntupleml",
        "Training events": events,
        "TrainingTime": time,
        "AnalysisType": trees.analysis,
    }
    with replace_file(path, overwrite=overwrite) as temporary, temporary.open("w", encoding="utf-8") as file:
        file.write(f'<?xml version="1.0"?>\n<MethodSetup Method="BDT::{_text(method_name)}">\n  <GeneralInfo>\n')
        file.writelines(f'    <Info name="{name}" value="{_text(value)}"/>\n' for name, value in info.items())
        file.write("  </GeneralInfo>\n  <Options>\n")
        file.writelines(
            f'    <Option name="{name}" modified="{"Yes" if modified else "No"}">{_text(value)}</Option>\n'
            for name, value, modified in settings
        )
        file.write("  </Options>\n")
        file.write(_variables(variables, minima, maxima))
        file.write(_classes(classes))
        file.write('  <Transformations NTransformations="0"/>\n  <MVAPdfs/>\n')
        file.writelines(_weights(forest, trees))
        file.write("</MethodSetup>\n")
    log.debug("written: %s with %d trees", where, len(trees.roots))
    if missing is not None:
        log.info(
            "the weights file of TMVA does not replace missing inputs, as `missing` does everywhere else: in programs "
            "with TMVA's Reader, put %g in the place of NaN and infinite values yourself",
            missing,
        )


def _text(text: str) -> str:
    return escape(text, {'"': "&quot;", "\n": " "})


def _refuse(forest: Forest, where: str) -> None:
    """Refuse what TMVA's boosted decision trees do not know, or what its file cannot hold."""
    inner = forest.features != LEAF
    reason = None
    if (forest.features < LEAF).any():
        reason = "it has oblique cuts"
    elif forest.preselection:
        reason = "it has preselection cuts"
    elif forest.link == "weighted_median":
        reason = "it is a regression by AdaBoost.R2"
    elif not (np.isfinite(forest.cuts[inner]).all() and np.isfinite(forest.values[~inner]).all()):
        reason = "a cut or a leaf of it is not finite"
    elif forest.link == "softmax" and forest.num_outputs < 2:
        reason = "it has one output only"
    elif forest.link != "softmax" and forest.num_outputs != 1:
        reason = f"it has {forest.num_outputs} outputs with the link '{forest.link}'"
    if reason is not None:
        raise _unwritable(where, reason)


def _unwritable(where: str, reason: str) -> NtuplemlError:
    return NtuplemlError(f"{where}: this forest cannot be written as a weights file of TMVA: {reason}")


def _trees_in_order(forest: Forest, where: str) -> _Trees:
    if forest.link == "identity":
        return _voting_trees(forest, where)
    # TMVA has neither offsets nor a divisor here: both go into the leaves.
    offsets = forest.offsets / forest.divisor if len(forest.offsets) else np.zeros(forest.num_outputs)
    values = forest.values / forest.divisor
    if forest.link == "softmax":
        # A softmax does not change when all its sums do.
        offsets = offsets - offsets.mean()
    values = _with_offsets(forest, values, offsets)
    by_output = [forest.roots[forest.tree_outputs == output].tolist() for output in range(forest.num_outputs)]
    if any(offsets[output] and not by_output[output] for output in range(forest.num_outputs)):
        raise _unwritable(where, "an output has no trees")
    if forest.link == "tanh":
        return _Trees(by_output[0], [1.0] * len(by_output[0]), values, "Classification")
    if forest.link == "sigmoid":
        by_output = [[], by_output[0]]
    length = max(map(len, by_output))
    padded = [[*roots, *[-1] * (length - len(roots))] for roots in by_output]
    order = [root for rounds in zip(*padded, strict=True) for root in rounds]
    return _Trees(order, [1.0] * len(order), values, "Multiclass")


def _with_offsets(forest: Forest, values: NDArray[np.float64], offsets: NDArray[np.float64]) -> NDArray[np.float64]:
    """Leaves with the offset of each output added to those of its first tree."""
    trees, is_leaf = trees_of_nodes(forest), forest.features == LEAF
    for output in np.flatnonzero(offsets):
        for first in np.flatnonzero(forest.tree_outputs == output)[:1]:
            values = np.where(is_leaf & (trees == first), values + offsets[output], values)
    return values


def _voting_trees(forest: Forest, where: str) -> _Trees:
    """AdaBoost and bagging: each tree says ±1, and its weight is the size of its leaves."""
    trees = trees_of_nodes(forest)
    leaves = np.flatnonzero((trees >= 0) & (forest.features == LEAF))
    sizes = np.abs(forest.values[leaves])
    weights = np.zeros(forest.num_trees)
    weights[trees[leaves]] = sizes
    if (weights[trees[leaves]] != sizes).any():
        raise _unwritable(where, "the leaves of a tree differ in size")
    if np.any(forest.offsets) or not np.isclose(weights.sum(), forest.divisor, rtol=1e-6):
        raise _unwritable(where, "it is not a weighted mean of votes")
    return _Trees(forest.roots.tolist(), weights.tolist(), np.sign(forest.values), "Classification")


def _variables(
    variables: Sequence[str],
    minima: Sequence[float] | NDArray[np.floating[Any]],
    maxima: Sequence[float] | NDArray[np.floating[Any]],
) -> str:
    lines = [f'  <Variables NVar="{len(variables)}">']
    for index, (variable, low, high) in enumerate(zip(variables, minima, maxima, strict=True)):
        # TMVA takes all blanks out of expressions before it compares them.
        label, assigned, expression = "".join(variable.split()).partition(":=")
        expression = expression if assigned else label
        lines.append(
            f'    <Variable VarIndex="{index}" Expression="{_text(expression)}" Label="{_text(label)}" '
            f'Title="{_text(label)}" Unit="" Internal="{_text(internal_name(label))}" Type="F" '
            f'Min="{low:.8e}" Max="{high:.8e}"/>'
        )
    return "\n".join([*lines, '  </Variables>\n  <Spectators NSpec="0"/>\n'])


def internal_name(label: str) -> str:
    """TMVA's name of a variable in histograms and trees: operators are written out.

    Examples
    --------
    >>> internal_name("TMath::Abs(x+y)")
    'TMath_Abs_x_P_y_'
    """
    for text, name in _INTERNAL_NAMES.items():
        label = label.replace(text, name)
    return label


def _classes(classes: Sequence[str]) -> str:
    lines = [f'    <Class Name="{_text(name)}" Index="{index}"/>' for index, name in enumerate(classes)]
    return "\n".join([f'  <Classes NClass="{len(classes)}">', *lines, "  </Classes>\n"])


def _weights(forest: Forest, trees: _Trees) -> Iterator[str]:
    votes = forest.link == "identity"
    yield f'  <Weights NTrees="{len(trees.roots)}" AnalysisType="{_TYPE_TREES if votes else _RESPONSE_TREES}">\n'
    for index, (root, weight) in enumerate(zip(trees.roots, trees.weights, strict=True)):
        yield f'    <BinaryTree type="DecisionTree" boostWeight="{weight:.16e}" itree="{index}">\n'
        yield _node("s", 0, _leaf(0.0, votes=False)) if root < 0 else _tree(forest, trees.values, root, votes)
        yield "    </BinaryTree>\n"
    yield "  </Weights>\n"


def _tree(forest: Forest, values: NDArray[np.float64], root: int, votes: bool) -> str:
    """Nested nodes of a tree, the left one first; with a stack, since trees may be deep."""
    lines: list[str] = []
    waiting: list[tuple[int, str, int]] = [(root, "s", 0)]
    while waiting:
        node, position, depth = waiting.pop()
        if node < 0:
            lines.append("  " * (depth + 3) + "</Node>\n")
        elif forest.features[node] == LEAF:
            lines.append(_node(position, depth, _leaf(float(values[node]), votes)))
        else:
            content = (
                f'IVar="{forest.features[node]}" Cut="{float(forest.cuts[node]):.16e}" cType="1" '
                f'{_answers(_NO_RESPONSE if votes else 0.0, 0.0)} nType="0"'
            )
            lines.append(_node(position, depth, content, closed=False))
            waiting += [
                (-1, "", depth),
                (int(forest.right[node]), "r", depth + 1),
                (int(forest.left[node]), "l", depth + 1),
            ]
    return "".join(lines)


def _node(position: str, depth: int, content: str, closed: bool = True) -> str:
    end = "/>" if closed else ">"
    return f'{"  " * (depth + 3)}<Node pos="{position}" depth="{depth}" NCoef="0" {content}{end}\n'


def _leaf(value: float, votes: bool) -> str:
    answers = _answers(_NO_RESPONSE, 1.0 if value > 0 else 0.0) if votes else _answers(value, 0.0)
    return f'IVar="-1" Cut="{0:.16e}" cType="1" {answers} nType="{int(value) if votes else _GRAD_LEAF}"'


def _answers(response: float, purity: float) -> str:
    return f'res="{response:.16e}" rms="{0:.16e}" purity="{purity:.16e}"'
