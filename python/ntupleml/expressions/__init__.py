"""Cut, weight and variable strings in ROOT's formula syntax, to functions of arrays.

The syntax and the numbers are those of TTreeFormula, so that strings that worked with TTree::Draw and CopyTree mean
the same here; a grammar of our own, evaluated with NumPy, and no ``eval``. The library formulate parses a part of this
language, but it lacks the ternary and the bit operators, vector functions such as ``Sum$`` and positions in its errors,
and its tree is made for printing code; it builds on lark as well, which is used directly here.

What differs from TTreeFormula, on purpose:

* Whole numbers stay 64-bit integers where it rounds them to doubles: ``event == 9007199254740993``, ``event % 2``.
* An event without the element that ``jet_pt[index_branch]`` asks for does not pass a cut. (TTreeFormula's value is NaN,
  which its newest versions count as true; older ones had 0.) As a value it is NaN.
* ``jet_pt[3]`` in an event with fewer elements has no instance in TTreeFormula. The event does not pass; its value is
  NaN.
* An index without value has no element: ``fx[k[0]]`` without ``k[0]``, ``v[-1]``. TTreeFormula reads one that happens
  to be there.
* ``w[j]`` of a ``std::vector`` beside arrays or vectors used whole is the element, as of an array ``v[n]``; there,
  TTreeFormula leaves the event without instances.
* ``-n`` of a whole number 0 is 0, not -0, which ``copysign`` tells.
* An array of ``Char_t`` (``c[4]/B``) is numbers; TTreeFormula takes it for a text.
* ``%`` by zero has no value (NaN, does not pass), where TTreeFormula ends the process.
* Branches on the side that ``?:`` skips are read nevertheless; TTreeFormula (6.40) can take what an earlier event left
  in them where they occur again.
* Accepted in addition: ``true``, ``false``, ``+x``, ``!-x``, a ternary in the middle of a ternary, ``std::`` functions,
  ``Alt$(x, Iteration$)``. TTreeFormula does not notice these in an aggregate, which is then any number.
* ``sqrt`` of a negative number is that of its modulus, as in TTreeFormula of ROOT 6.40 (`ROOT_VERSION`), whichever ROOT
  is installed; 6.42 gives it another meaning. ``TMath::Sqrt`` and ``std::sqrt`` are NaN there.
* Refused: text, ``rndm``, casts, methods, ``Entries$``, several indices, rows of comparisons that TFormula takes for
  something else, and ``fx[k]`` of an array of fixed length and a vector, where TTreeFormula takes ``k[0]`` alone.
"""

from __future__ import annotations

from ntupleml.expressions.expression import Expression, parse
from ntupleml.expressions.queries import parse_filter

#: Release of ROOT whose numbers formulas have, where releases differ.
ROOT_VERSION = "6.40"

__all__ = ["ROOT_VERSION", "Expression", "parse", "parse_filter"]
