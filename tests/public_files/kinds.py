"""The kinds of files that public collections hold: one line for each, and what its own content is asked by.

`kinds.C` writes a file of each kind by the function of its name, `uproot_files.py` those that uproot writes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


_RNTUPLE = "is an RNTuple, to which no branch can be added"


@dataclass(frozen=True)
class Kind:
    """A kind of file, with the branches `x` and `event` and content of its own.

    Attributes
    ----------
    name : str
    formulas : tuple of str
        Formulas of its own branches, which are to give what TTreeFormula gives.
    values : mapping of str to callable
        Formulas with what they give for entry k, where TTreeFormula has no answer.
    unusable : tuple of str
        Formulas of branches that are refused by name.
    refused : str
        Why the tree cannot be used at all, as part of the message; empty where it can.
    all_refused : str
        Why `branches: all` is refused, as part of the message; empty where it is not.
    tree : str
    entries : int
    root_reads : bool
        Whether ROOT reads all of it right without the dictionaries of its classes.
    not_in_place : str
        Why no branch can be added, as part of the message; empty where it can.
    slow : bool
    """

    name: str
    formulas: tuple[str, ...] = ()
    values: Mapping[str, Callable[[int], float]] = field(default_factory=dict)
    unusable: tuple[str, ...] = ()
    refused: str = ""
    all_refused: str = ""
    tree: str = "ntuple"
    entries: int = 60
    root_reads: bool = True
    not_in_place: str = ""
    slow: bool = False

    @property
    def is_tree(self) -> bool:
        """Whether it is a TTree, which has formulas."""
        return self.not_in_place != _RNTUPLE

    @property
    def all_formulas(self) -> list[str]:
        """Those of both sources."""
        return [*self.formulas, *self.values]


_BY_COMPRESSION = ("Sum$(v)", "w[0]", "n")
_OF_A_CLASS = ("pt", "eta", "charge", "tight", "hits", "id")
_OF_AN_EVENT = ("number", "Sum$(variable)", "Sum$(indices)", "variable[0]")

WRITTEN_BY_ROOT = [
    Kind("all_numbers", ("i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "l", "ul", "f8", "flag", "c1")),
    Kind(
        "fixed_arrays",
        ("three[1]", "Sum$(flags)", "bytes[4]", "one[0]", "Sum$(three)", "Length$(bytes)"),
        values={"letters[5]": lambda k: 97 + (k + 5) % 26},
    ),
    Kind(
        "variable_arrays", ("Sum$(v)", "w[0]", "Length$(flags)", "Sum$(v*w)", "Sum$(of_short)", "of_byte[1]", "m", "b")
    ),
    Kind(
        "without_offsets",  # which ROOT 6.40 itself reads right only once, and from the first entry to the last
        values={"Sum$(v)": lambda k: sum(k - j for j in range(k % 4)), "Length$(w)": lambda k: k % 4},
        root_reads=False,
    ),
    Kind("leaf_list", ("mixed.a", "mixed.b+mixed.c", "same.lumi", "small.f", "small.s")),
    Kind("leaf_list_with_arrays", ("track.pt[5]", "Sum$(track.res)", "track.n")),
    Kind("leaf_list_of_one_leaf", ("first", "second[2]")),
    Kind(
        "truncated_leaves",
        (
            *("d", "d_ranged", "d_bits", "f", "f_ranged", "da[1]", "da_ranged[1]", "fa[1]", "fa_ranged[1]"),
            *("Sum$(dv)", "Sum$(dv_ranged)", "Sum$(fv)", "Sum$(fv_ranged)"),
        ),
    ),
    Kind(
        "truncated_members_split",
        (
            *("plain", "ranged", "bits", "angle", "half", "half_ranged", "half_bits", "last"),
            *("fixed[2]", "fixed_ranged[2]", "half_fixed[2]", "half_fixed_ranged[1]"),
            *("Sum$(variable)", "Sum$(variable_ranged)", "Sum$(half_variable)", "Sum$(vector)"),
        ),
    ),
    Kind("truncated_members_unsplit"),
    Kind(
        "vectors",
        ("vf[0]", "vd[0]", "vi[0]", "vu[0]", "vs[0]", "vus[0]", "vl[0]", "vb[0]", "vuc[0]", "Sum$(vi)"),
    ),
    Kind("nested_vectors"),
    Kind("rvecs", ("Sum$(vf)", "vi[0]", "Sum$(vb)", "vd[0]", "Length$(vul)")),
    Kind(
        "other_collections",
        ("Sum$(map.second)", "pair.first", "pair.second"),
        unusable=("Sum$(list)", "deque[0]", "Length$(set)"),
    ),
    Kind("texts"),
    Kind("long_texts"),
    Kind("plain_class_split", (*_OF_A_CLASS, "colour", "quality")),
    Kind("plain_class_unsplit"),
    Kind("event_class_unsplit"),
    Kind("event_class_split_1", _OF_AN_EVENT),
    Kind(
        "event_class_split_99",
        (*_OF_AN_EVENT, "numbers.pt", "numbers.charge", "numbers.id", "Sum$(particles.pt)", "particles.eta[0]"),
    ),
    Kind("event_class_with_prefix", ("e.number", "Sum$(e.variable)", "e.numbers.pt", "Sum$(e.particles.pt)")),
    Kind("clones_array_unsplit"),
    Kind("clones_array_split", ("Sum$(particles.pt)", "particles.energy[0]", "Length$(particles.pt)")),
    Kind("old_style_object"),
    Kind("object_branch"),
    Kind("momenta", ("fCoordinates.fPt",), {"fCoordinates.fT": lambda k: 4 * k}, ("split", "three", "several")),
    Kind("histograms_in_branches"),
    Kind("write_ntuple", ("a",)),
    Kind("write_ntuple_d", ("a",)),
    Kind("in_folders", tree="nominal/deep/ntuple"),
    Kind("cycles"),
    Kind("auto_saved"),
    Kind("duplicate_names", unusable=("twice",)),
    Kind("embedded_baskets", ("Sum$(v)", "Sum$(w)", "n")),
    Kind("embedded_baskets_in_an_older_cycle"),
    Kind("never_filled", ("Sum$(v)", "Sum$(w)", "Length$(particles.pt)")),
    Kind("one_entry_baskets", ("Sum$(v)",)),
    Kind("empty_tree", ("Sum$(v)", "n", "Sum$(w)", "pt"), entries=0),
    Kind("uncompressed", _BY_COMPRESSION),
    Kind("zlib", _BY_COMPRESSION),
    Kind("lzma", _BY_COMPRESSION),
    Kind("old_compression", refused="unsupported compression algorithm"),
    Kind("lz4", _BY_COMPRESSION),
    Kind("zstd", _BY_COMPRESSION),
    Kind("mixed_compression", ("a", "b", "c"), unusable=("d",), all_refused="'d'"),
    Kind("index_friend_and_notes"),
    Kind("chain_merged", ("Sum$(v)",)),
    Kind("cloned_and_skimmed", ("Sum$(v)",)),
    Kind("branch_with_fewer_entries", unusable=("late",)),
    Kind("branch_in_another_file", ("elsewhere",)),
    Kind(
        "odd_names",
        ("jet.pt", "p.pt", "p.charge", "ntuple.y"),
    ),
    Kind("long_names", (f"b{'n' * 300}",)),
    Kind("odd_tree_name", tree="a folder/the µ tree.v1-2"),
    Kind("many_branches", ("b0", "b149", "b75")),
    Kind("beside_other_objects"),
    Kind("beyond_two_gigabytes", slow=True),
    Kind(
        "rntuple",
        values={
            "i1": lambda k: k - 30,
            "u4": lambda k: 4000000000 + k,
            "flag": lambda k: k % 3 == 1,
            "f8": lambda k: 0.1 * k,
            "Sum$(vf)": lambda k: k % 3 * k,
            "Sum$(rvec)": lambda k: -k * (k % 4),
            "array[2]": lambda k: k + 2,
            "d32": lambda k: k,
        },
        not_in_place=_RNTUPLE,
    ),
    Kind("rntuple_in_a_folder", tree="nominal/ntuple", not_in_place=_RNTUPLE),
    Kind(
        "rntuple_with_a_late_field",
        values={"late": lambda k: k * (k >= 25), "Sum$(list)": lambda k: k % 3 * k * (k >= 25)},
        not_in_place=_RNTUPLE,
    ),
    Kind(
        "rntuple_truncated",
        values={
            "half": lambda k: 0.5 * k,
            "truncated": lambda k: 0.25 * k,
            "quantized": lambda k: k,
            "d32": lambda k: 0.125 * k,
        },
        not_in_place=_RNTUPLE,
    ),
    Kind(
        "rntuple_with_collections",
        values={
            "Sum$(Hits.energy)": lambda k: k % 3 * 0.5 * k,
            "Length$(Hits_layer)": lambda k: k % 3,
            "numbers.pt": lambda k: 0.5 * k,
        },
        not_in_place=_RNTUPLE,
    ),
    Kind("rntuple_empty", values={"Sum$(v)": lambda k: 0}, entries=0, not_in_place=_RNTUPLE),
]

WRITTEN_BY_UPROOT = [
    Kind("uproot_tree", ("Sum$(v)", "n3[2]", "flag", "Sum$(Jet_pt)", "nJet")),
    Kind(
        "uproot_rntuple",
        values={"Sum$(v)": lambda k: k % 3 * k, "y": lambda k: 2 * k, "flag": lambda k: k % 3 == 1},
        not_in_place=_RNTUPLE,
    ),
    Kind(
        "uproot_rntuple_with_collections",
        values={"Sum$(Jet_pt)": lambda k: k % 3 * k, "Length$(Jet.eta)": lambda k: k % 3},
        not_in_place=_RNTUPLE,
    ),
]

#: Of `changed_class.C`, in either form of the class.
CHANGED_CLASS = [
    Kind("changed_class_old_form", ("c.first", "c.second")),
    Kind("changed_class_new_form", ("c.first", "c.second", "c.added")),
]

#: In tests/data, since ROOT writes these collections with compiled dictionaries only; see `compiled_classes.C`.
IN_TESTS_DATA = [
    Kind(
        "compiled_classes",
        values={
            "Sum$(tracks.pt)": lambda k: k % 3 * 0.5 * k,
            "Sum$(list.eta)": lambda k: sum([0.1 * k] * (k % 3)),
            "Sum$(map.second)": lambda k: 3 * k,
            "Sum$(hash.second)": lambda k: k,
            "Sum$(pairs.first)": lambda k: k % 3 * k,
            "pair.second": lambda k: k,
            "track_map.second.pt[0]": lambda k: 0.5 * k,
            "Sum$(pt_eta.fCoordinates.fPt)": lambda k: k % 3 * k,
            "muon.track.pt": lambda k: 0.5 * k,
            "Sum$(muon.track.chi2)": lambda k: k % 3 * k,
        },
        unusable=("vv", "momenta", "bits", "whole"),
        root_reads=False,
    ),
]

ALL_KINDS = [*WRITTEN_BY_ROOT, *WRITTEN_BY_UPROOT, *CHANGED_CLASS, *IN_TESTS_DATA]
