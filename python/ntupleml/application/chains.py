"""Models that score before others in one pass: a view of an open ntuple that has their branches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ntupleml.application.needed import branches_to_read
from ntupleml.application.scores import RowScorer, columns_of_rows
from ntupleml.ntuples.branches import Branch
from ntupleml.ntuples.defined import with_branches
from ntupleml.ntuples.reading import Chunk, Ntuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ntupleml.application.plan import Plan


@dataclass(frozen=True)
class _WithScores(Ntuple):
    """An ntuple with the new branches of a plan; the attributes are those of `Ntuple`."""

    source: Ntuple
    plan: Plan

    def chunks(self, branches: Sequence[str], entries_per_chunk: int | None = None) -> Iterator[Chunk]:
        """As `Ntuple.chunks`; columns that the models need are in the chunk as well."""
        wanted = list(dict.fromkeys(branches))
        self.require(wanted)
        read = [name for name in wanted if name not in self.plan.number_types]
        if len(read) == len(wanted):
            yield from self.source.chunks(read, entries_per_chunk)
            return
        scorer = RowScorer(self.plan, self.source)
        read = list(dict.fromkeys([*read, *scorer.needed]))
        for chunk in self.source.chunks(read, entries_per_chunk or self.source.chunk_size(read)):
            chunk.columns.update(columns_of_rows(self.plan, scorer.scored(chunk)))
            yield chunk
        scorer.finish()


def with_scores(ntuple: Ntuple, plan: Plan) -> Ntuple:
    """The ntuple with the new branches of a plan, one number per row, in place of branches of the same names.

    Rows that the plan's selection leaves out have its default, and are not accepted. Nothing is scored before somebody
    reads one of the branches.
    """
    branches = {name: Branch(name, np.dtype(kind).name, np.dtype(kind)) for name, kind in plan.number_types.items()}
    return _WithScores(**with_branches(ntuple, branches), source=ntuple, plan=plan)


def read_from_files(ntuple: Ntuple, names: Sequence[str]) -> set[str]:
    """Branches of files that some branches are, or are made from."""
    if not isinstance(ntuple, _WithScores):
        return set(names)
    made = set(names) & ntuple.plan.number_types.keys()
    needed = branches_to_read(ntuple.plan, ntuple.source) if made else []
    return read_from_files(ntuple.source, [*set(names) - made, *needed])
