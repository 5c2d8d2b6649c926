"""Columns that no file holds: numbers that are given for each entry of an open ntuple, as if it had the branches."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ntupleml.ntuples.branches import Branch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from ntupleml.ntuples.reading import Ntuple
    from ntupleml.ntuples.sources import Source, TableKind

    #: Takes entry numbers, gives as many numbers.
    Giver = Callable[[NDArray[np.int64]], NDArray[np.float64]]

_FLOAT64 = np.dtype(np.float64)


@dataclass
class _Given:
    """Source of such columns, see `ntupleml.ntuples.sources.Source`."""

    label: str
    where: str
    kind: TableKind
    num_entries: int
    givers: dict[str, Giver]
    branches: dict[str, Branch]
    duplicates: set[str] = field(default_factory=set)

    def chunks(self, names: Sequence[str], step: int) -> Iterator[dict[str, Any]]:
        for start in range(0, self.num_entries, step):
            entries = np.arange(start, min(start + step, self.num_entries))
            yield {name: self.givers[name](entries) for name in names}


def with_columns(ntuple: Ntuple, givers: Mapping[str, Giver]) -> Ntuple:
    """The ntuple with further columns of one number per entry, in place of branches of the same names.

    Parameters
    ----------
    givers : mapping of str to callable
        By name; each takes entry numbers.
    """
    if not givers:
        return ntuple
    branches = {name: Branch(name, "double", _FLOAT64) for name in givers}
    source: Source = _Given(ntuple.where, ntuple.where, ntuple.kind, ntuple.num_entries, dict(givers), branches)
    others = tuple(name for name in givers if name not in ntuple.main_branches)
    return replace(
        ntuple,
        branches={**ntuple.branches, **branches},
        main_branches=(*ntuple.main_branches, *others),
        addresses={**ntuple.addresses, **{name: (source, name) for name in givers}},
    )
