"""A parsed formula: the branches it needs, and its values on columns."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from ntupleml.errors import NtuplemlError, did_you_mean
from ntupleml.expressions.evaluation import Values, evaluate_formula
from ntupleml.expressions.instances import Columns, Instances
from ntupleml.expressions.messages import FormulaError, excerpt, located, no_element
from ntupleml.expressions.parsing import parse_tree
from ntupleml.expressions.syntax import ENTRY, Element, Name, Node, walk

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import awkward as ak
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Expression:
    """A cut, weight or variable in TTreeFormula's syntax; made by :func:`parse`."""

    #: The formula as written.
    text: str
    #: File and key it comes from; its errors begin with it.
    where: str
    tree: Node = field(repr=False, compare=False)
    #: Names of the branches it needs, as written (``friend.branch`` with its friend).
    branches: frozenset[str] = field(compare=False)
    #: What it is evaluated on: its branches, and ``Entry$`` where it contains that, or else no branch.
    columns: frozenset[str] = field(compare=False)

    def evaluate(self, columns: Mapping[str, NDArray[Any] | ak.Array], n_events: int) -> NDArray[Any] | ak.Array:
        """Values of the formula, equal to those of TTreeFormula.

        Parameters
        ----------
        columns : mapping from branch names to arrays of length n_events
            NumPy arrays for scalar branches (two dimensions for arrays of fixed length), jagged awkward arrays of
            numbers for vector branches, entry numbers for ``Entry$``. Columns that the formula does not use are not
            looked at.

        Returns
        -------
        array, shape (n_events,), or jagged awkward array of length n_events
            One value per event: bool for comparisons, int64 or uint64 for whole numbers, else float; jagged where a
            vector branch is used without index or aggregate. Where there is no value (an element beyond the end of
            its vector, ``%`` by zero) it is NaN, and an integer result becomes float64.

        Raises
        ------
        NtuplemlError
            If a branch is missing or does not hold numbers, or an index does not suit it.
        """
        (values, absent), found = self._evaluate(columns, n_events)
        if found.exists is not None:
            absent = ~found.exists if absent is None else absent | ~found.exists
        if absent is not None and absent.any():
            values = np.where(absent, np.nan, values)
        if found.counts is None:
            return values
        import awkward as ak

        return ak.unflatten(values, found.counts)

    def per_event(self, columns: Mapping[str, NDArray[Any] | ak.Array], n_events: int) -> NDArray[Any]:
        """Values of a formula that must have one per event, such as a weight.

        Parameters and errors as for :meth:`evaluate`; also refuses a formula with one value per vector element.
        """
        values = self.evaluate(columns, n_events)
        if isinstance(values, np.ndarray):
            return values
        vectors = [name for name in sorted(self.branches) if not _is_scalar(columns[name])]
        example = vectors[0]
        names = ", ".join(f"'{name}'" for name in vectors)
        raise self._error(
            f"{excerpt(self.text, 1)} has one value for each element of {names}, but one per event is needed; "
            f"write for example {example}[0], Sum$({example}) or Max$({example})"
        )

    def passes(self, columns: Mapping[str, NDArray[Any] | ak.Array], n_events: int) -> NDArray[np.bool_]:
        """Whether each event passes the formula as a cut, as with TTree::CopyTree.

        An event passes if any of its instances is not zero. An instance without value does not pass. Parameters and
        errors as for :meth:`evaluate`.

        Returns
        -------
        array of bool, shape (n_events,)
        """
        (values, absent), found = self._evaluate(columns, n_events)
        passed = values != 0
        if absent is not None:
            passed &= ~absent
        if found.event is None:
            return np.asarray(passed if found.exists is None else passed & found.exists)
        any_passed = np.zeros(n_events, np.bool_)
        any_passed[found.event[passed]] = True
        return any_passed

    def check_branches(self, available: Iterable[str]) -> None:
        """Refuse the formula if it needs branches that there are not.

        Parameters
        ----------
        available : iterable of str
            Names of the branches that there are.

        Raises
        ------
        NtuplemlError
            With the column in the formula and the nearest names.
        """
        names = list(available)
        known = set(names)
        for node in walk(self.tree):
            if isinstance(node, (Name, Element)) and node.name in self.branches - known:
                unspeakable = _name_with_operators(self.text, node, names)
                if unspeakable:
                    hint = f"'{unspeakable}' has a character that is an operator here; rename the branch"
                else:
                    hint = did_you_mean(node.name, names).removeprefix("; ")
                raise located(FormulaError(node.column, f"no branch '{node.name}'", hint), self.text, self.where)

    def check_elements(self, lengths: Mapping[str, int]) -> None:
        """Refuse the formula if it asks for elements beyond the end of an array.

        Parameters
        ----------
        lengths : mapping of str to int
            Lengths of the branches that have as many elements in each event.

        Raises
        ------
        NtuplemlError
            With the column in the formula.
        """
        for node in walk(self.tree):
            if isinstance(node, Element) and isinstance(node.index, int):
                length = lengths.get(node.name)
                if length is not None and node.index >= length:
                    problem = no_element(node.name, node.index, length)
                    raise located(FormulaError(node.column, problem), self.text, self.where)

    def _evaluate(self, columns: Mapping[str, Any], n_events: int) -> tuple[Values, Instances]:
        try:
            # Division by zero and the like have values of their own, and what '?:' does not choose may be anything.
            with np.errstate(all="ignore"):
                return evaluate_formula(self.tree, Columns(columns, n_events))
        except NtuplemlError as error:
            raise self._error(f"{error} (in {excerpt(self.text, 1)})") from None

    def _error(self, message: str) -> NtuplemlError:
        return NtuplemlError(f"{self.where}: {message}" if self.where else message)


def parse(text: str, where: str = "") -> Expression:
    """Parse a cut, weight or variable.

    Parameters
    ----------
    text : str
        A formula in the syntax of TTree::Draw and TTree::CopyTree.

    Raises
    ------
    NtuplemlError
        If the text is outside the grammar: column, what was found, what to do. Also if it is empty; an empty cut
        that shall keep all events is the formula ``1``.

    Examples
    --------
    >>> expression = parse("pt > 20 && abs(eta) < 2.1")
    >>> sorted(expression.branches)
    ['eta', 'pt']
    >>> expression.passes({"pt": np.array([25.0, 30.0]), "eta": np.array([-1.0, 2.5])}, n_events=2)
    array([ True, False])
    """
    tree = parse_tree(text, where)
    names = {node.name for node in walk(tree) if isinstance(node, (Name, Element))}
    branches = frozenset(name for name in names if not name.endswith("$"))
    # A constant has as many values as there are events, which some column has to tell.
    columns = branches | {ENTRY} if ENTRY in names or not branches else branches
    return Expression(text, where, tree, branches, columns)


def _is_scalar(column: Any) -> bool:
    return bool(column.ndim == 1)


def _name_with_operators(text: str, node: Name | Element, names: Iterable[str]) -> str | None:
    """A branch that the text spells at this place, but whose name the grammar cuts into pieces, as 'b-tag'."""
    around = text[: node.column - 1 + len(node.name)]
    for name in names:
        if not name.replace("_", "").replace(".", "").isalnum() and node.name in name:
            start = text.find(name)
            while start >= 0:
                if start < len(around) <= start + len(name):
                    return name
                start = text.find(name, start + 1)
    return None
