"""Branches that no file holds: a view of an open ntuple with values of formulas."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np

from ntupleml.errors import NtuplemlError
from ntupleml.expressions import parse
from ntupleml.ntuples.branches import Branch, type_with_shape
from ntupleml.ntuples.reading import Chunk, Ntuple
from ntupleml.ntuples.sources import Column, lists_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from ntupleml.expressions import Expression


@dataclass(frozen=True)
class _WithDefined(Ntuple):
    """An ntuple with more branches; the attributes are those of `Ntuple`."""

    source: Ntuple
    #: In an order in which each needs only branches of the source and earlier ones.
    formulas: dict[str, Expression]

    def chunks(self, branches: Sequence[str], entries_per_chunk: int | None = None) -> Iterator[Chunk]:
        """As `Ntuple.chunks`; columns that the formulas need are in the chunk as well."""
        wanted = list(dict.fromkeys(branches))
        self.require(wanted)
        made: list[str] = []
        needed = set(wanted)
        for name in reversed(self.formulas):
            if name in needed:
                made.insert(0, name)
                needed |= self.formulas[name].columns
        read = [name for name in [*wanted, *sorted(needed - {*wanted})] if name not in self.formulas]
        for chunk in self.source.chunks(read, entries_per_chunk or self.source.chunk_size(read)):
            for name in made:
                chunk.columns[name] = _as_doubles(self.formulas[name].evaluate(chunk.columns, chunk.num_rows))
            yield chunk


def with_defined(ntuple: Ntuple, formulas: Mapping[str, str], where: str = "define") -> Ntuple:
    """The ntuple with more branches of type double, or lists of it.

    Parameters
    ----------
    formulas : mapping of str to str
        By the names of the branches; a formula may use those before it.
    where : str
        Key of the config, for messages.

    Raises
    ------
    NtuplemlError
        If there is a branch of the name already, or a formula is none or needs a branch that is not there.
    """
    if not formulas:
        return ntuple
    branches, parsed = dict(ntuple.branches), {}
    for name, text in formulas.items():
        if name in branches:
            raise NtuplemlError(f"{where}.{name}: {ntuple.where} has a branch '{name}' already; choose another name")
        formula = parsed[name] = parse(text, f"{where}.{name}")
        formula.check_branches(branches)
        ntuple.require(sorted(formula.branches - parsed.keys()), f"{where}.{name}")
        values = formula.evaluate(empty_columns(branches, formula.columns), 0)
        shape = () if values.ndim == 1 else (None,)
        branches[name] = Branch(name, type_with_shape("double", shape), np.dtype(np.float64), shape)
    own = with_branches(ntuple, {name: branches[name] for name in parsed})
    return _WithDefined(**own, source=ntuple, formulas=parsed)


def with_branches(ntuple: Ntuple, branches: Mapping[str, Branch]) -> dict[str, Any]:
    """Attributes of a view of an ntuple with further branches of one tree, or others in place of its own."""
    own: dict[str, Any] = {one.name: getattr(ntuple, one.name) for one in fields(Ntuple)}
    source, _ = next(iter(ntuple.addresses.values()))
    return own | {
        "branches": {**ntuple.branches, **branches},
        "main_branches": tuple(dict.fromkeys([*ntuple.main_branches, *branches])),
        "addresses": {**ntuple.addresses, **{name: (source, name) for name in branches}},
    }


def empty_columns(branches: Mapping[str, Branch], names: Iterable[str]) -> dict[str, Column]:
    """Columns without rows, which tell what a formula of them is."""
    columns: dict[str, Column] = {}
    for name in names:
        branch = branches.get(name)
        if branch is None:  # Entry$
            columns[name] = np.empty(0, np.int64)
        elif branch.shape == (None,):
            columns[name] = lists_of(np.empty(0, branch.dtype), np.empty(0, np.int64))
        else:
            columns[name] = np.empty((0, *(length or 0 for length in branch.shape)), branch.dtype)
    return columns


def _as_doubles(values: Column) -> Column:
    if isinstance(values, np.ndarray):
        return values.astype(np.float64)
    import awkward as ak

    return ak.values_astype(values, np.float64)
