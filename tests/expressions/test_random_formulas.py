"""Formulas drawn at random from the grammar, on trees that uproot and ROOT wrote, against TTreeFormula."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

if TYPE_CHECKING:
    from conftest import Ntuple

# What TTreeFormula cannot do is left out: it refuses '- -x' and rows such as 'a<=b<=c', and dies of '% 0'. Numbers
# above 2⁵³ and conversions of results that no 64-bit integer holds are tested on their own.
NUMBERS = st.sampled_from(["0", "1", "2", "3", "7", "0.5", "1.25e1", "2.5", ".1", "1e-3", "0x1f", "100"])
SCALARS = st.sampled_from(["f", "d", "i", "j", "u", "b", "c", "s", "us", "entry"])
AGGREGATES = ["Sum$(v)", "Max$(w)", "Length$(v)", "Sum$(w>0)", "Alt$(v[1],3)"]
VECTORS = st.sampled_from(["v", "w", "v[0]", "v[2]", "w[j]", *AGGREGATES])
POSITIVE = st.sampled_from(["u", "us", "j", "5", "12"])
BIT_OPERATORS = st.sampled_from(["&", "|", "<<", ">>"])
COMPARISONS = st.sampled_from(["<", ">", "<=", ">=", "==", "!="])
COMPARED = st.builds("{}{}{}".format, SCALARS, COMPARISONS, st.one_of(NUMBERS, SCALARS))
LOGICAL = st.sampled_from(["&&", "||", "&", "|"])


def larger(smaller: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    grouped = st.builds("({})".format, smaller)
    return st.one_of(
        grouped,
        st.builds("{}{}{}".format, smaller, st.sampled_from(["+", "-", "*", "/", "&&", "||"]), smaller),
        st.builds("(({}){}({}))".format, smaller, COMPARISONS, smaller),
        st.builds("({}{}{}{}!{})".format, COMPARED, LOGICAL, COMPARED, LOGICAL, SCALARS),
        st.builds("(({}) ? {} : {})".format, smaller, smaller, smaller),
        st.builds("!({})".format, smaller),
        st.builds("-({})".format, smaller),
        st.builds("-{}*{}".format, SCALARS, smaller),
        st.builds("({})^2".format, smaller),
        st.builds("({})*-{}".format, smaller, NUMBERS),
        st.builds("({}%{})".format, SCALARS, st.sampled_from(["2", "3", "j", "7"])),
        st.builds("({}{}{})".format, POSITIVE, BIT_OPERATORS, st.sampled_from(["1", "2", "j"])),
        st.builds("{}({})".format, st.sampled_from(["abs", "sqrt", "TMath::Abs", "fabs", "sign", "floor"]), smaller),
        st.builds("{}({},{})".format, st.sampled_from(["min", "max", "TMath::Max", "TMath::Min"]), smaller, smaller),
    )


SCALAR_FORMULAS = st.recursive(st.one_of(NUMBERS, SCALARS), larger, max_leaves=10)
VECTOR_FORMULAS = st.recursive(st.one_of(NUMBERS, SCALARS, VECTORS, VECTORS), larger, max_leaves=8)

# Arrays of one length and vectors together; elements by number, or where another formula says.
FIXED = st.sampled_from(["fx", "dx", "ix", "ux", "one"])
WITHIN_FIXED = st.sampled_from(["0", "j-1", "ix", "ix[1]", "ux", "us", "nv", "Sum$(k)", "Alt$(v[1],1)"])
WITHIN_VECTOR = st.sampled_from(["0", "1", "2", "j-1", "j", "ix", "ix[1]", "ux", "k", "k[0]", "nv-1"])
ARRAYS = st.one_of(
    FIXED,
    st.sampled_from(["v", "w", "k", "w[1]", "k[0]", "w[k]", "k[ix]", "Iteration$", "Length$", "fx[2]", "ux[1]"]),
    st.builds("{}[{}]".format, FIXED, WITHIN_FIXED),
    st.builds("v[{}]".format, WITHIN_VECTOR),
)


def with_aggregates(smaller: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.one_of(
        larger(smaller),
        st.builds("{}({})".format, st.sampled_from(["Sum$", "Max$", "Min$", "Length$"]), smaller),
        st.builds("{}({},{})".format, st.sampled_from(["MinIf$", "MaxIf$"]), smaller, smaller),
        st.builds("Alt$({},{})".format, st.one_of(FIXED, VECTORS), st.one_of(NUMBERS, SCALARS)),
    )


ARRAY_FORMULAS = st.recursive(st.one_of(NUMBERS, SCALARS, ARRAYS, ARRAYS), with_aggregates, max_leaves=8)

# The same formulas at every run: a test of a build shall not fail by chance.
REPEATABLE = settings(
    max_examples=200, derandomize=True, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@REPEATABLE
@given(formula=SCALAR_FORMULAS)
def test_scalars(uproot_ntuple: Ntuple, formula: str) -> None:
    compare(uproot_ntuple, formula)


@REPEATABLE
@given(formula=VECTOR_FORMULAS)
def test_vectors(uproot_ntuple: Ntuple, formula: str) -> None:
    compare(uproot_ntuple, formula)


@REPEATABLE
@given(formula=ARRAY_FORMULAS)
def test_arrays(ntuple: Ntuple, formula: str) -> None:
    ntuple.assert_as_root(formula, has_index="[" in formula)


def compare(ntuple: Any, formula: str) -> None:
    ntuple.assert_as_root(formula)
