"""Reading columns in bounded chunks, with friends, and writing trees: the only room that opens files of events."""

from ntupleml.ntuples.appending import append_branches
from ntupleml.ntuples.branches import Branch
from ntupleml.ntuples.defined import with_defined
from ntupleml.ntuples.friends import FriendFile, friend_files
from ntupleml.ntuples.reading import Chunk, Ntuple, open_ntuple
from ntupleml.ntuples.row_values import ObjectsOfEvents
from ntupleml.ntuples.rows import rows_of
from ntupleml.ntuples.sources import UnreadableBranchError
from ntupleml.ntuples.tree_files import Tree, TreeFile, new_tree_file
from ntupleml.ntuples.variables import columns_to_matrix, required_branches

__all__ = [
    "Branch",
    "Chunk",
    "FriendFile",
    "Ntuple",
    "ObjectsOfEvents",
    "Tree",
    "TreeFile",
    "UnreadableBranchError",
    "append_branches",
    "columns_to_matrix",
    "friend_files",
    "new_tree_file",
    "open_ntuple",
    "required_branches",
    "rows_of",
    "with_defined",
]
