"""Forests of decision trees of any library: one form as flat arrays, and a fast way to their scores."""

from ntupleml.forests.forest import FIRST_OBLIQUE, LEAF, Forest, Link, PreselectionCut

__all__ = ["FIRST_OBLIQUE", "LEAF", "Forest", "Link", "PreselectionCut"]
