"""Quantisers of QKeras are parsed, never run."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis.strategies import booleans, integers, text

from ntupleml.artifacts.qkeras_quantisers import QkerasQuantiser, read_quantiser


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("quantized_bits(10,5,0,alpha=1)", QkerasQuantiser(1, 5, 4)),
        ("quantized_bits(10, 5, 1, alpha=1.0)", QkerasQuantiser(1, 5, 4, symmetric=True)),
        ("quantized_bits(bits=8,integer=0,keep_negative=False)", QkerasQuantiser(0, 0, 8)),
        ("quantized_bits", QkerasQuantiser(1, 0, 7)),
        ("quantized_relu(15,0,0,0.0009765625)", QkerasQuantiser(1, 0, 14, slope=10)),
        ("quantized_relu(6)", QkerasQuantiser(0, 0, 6)),
        (
            {"class_name": "quantized_bits", "config": {"bits": 6, "integer": 2, "symmetric": 0, "alpha": None}},
            QkerasQuantiser(1, 2, 3),
        ),
    ],
)
def test_quantisers_that_are_read(written: object, read: QkerasQuantiser) -> None:
    assert read_quantiser(written) == read


@pytest.mark.parametrize(
    ("written", "reason"),
    [
        ("quantized_bits(10,5,alpha='auto_po2')", "only alpha=1 is"),
        ("quantized_bits(10,5,use_stochastic_rounding=True)", "use_stochastic_rounding"),
        ("quantized_relu(6,2,1)", "use_sigmoid=1"),
        ("quantized_relu(6,2,0,0.3)", "no power of two"),
        ("quantized_relu(4,0,0,0.0009765625)", "no power of two that 4 bits can show"),
        ("quantized_relu_po2(4)", "is no quantiser that is read"),
        ("quantized_bits(1000,5)", "no whole number from 1 to 32"),
        ("quantized_bits(1)", "signs of numbers"),
        ("quantized_bits(10,5,5)", "neither true nor false"),
        ("quantized_bits(bits=4,4)", "one behind a named one"),
        ("quantized_bits(4,bits=4)", "twice"),
        ("quantized_bits(__import__('os').system('x'))", "neither number, flag nor word"),
        ("eval('1')", "is no quantiser that is read"),
        ("quantized_bits(" + "9" * 300 + ")", "is no quantiser that is read"),
        ({"class_name": "Lambda", "config": {}}, "'Lambda' is no quantiser"),
        ({"class_name": "quantized_bits", "config": {"bits": float("inf")}}, "no whole number"),
        ({"class_name": "quantized_bits", "config": {"bits": 4, "code": "x"}}, "'code'"),
        (7, "is no quantiser"),
    ],
)
def test_others_are_refused(written: object, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        read_quantiser(written)


@given(bits=integers(2, 32), integer=integers(-24, 24), keep_negative=booleans())
def test_bits_add_up(bits: int, integer: int, keep_negative: bool) -> None:
    read = read_quantiser(f"quantized_bits({bits},{integer},keep_negative={keep_negative},alpha=1)")
    assert read.sign + read.integer + read.fraction == bits
    assert (read.sign, read.integer) == (int(keep_negative), integer)


@given(text(max_size=60))
def test_any_text_gives_a_quantiser_or_a_reason(written: str) -> None:
    for whole in (written, f"quantized_bits({written})", f"quantized_relu({written})"):
        with contextlib.suppress(ValueError):
            assert read_quantiser(whole).sign in (0, 1)
