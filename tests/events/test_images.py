"""Images are filled as numpy.histogram2d fills them, and read from columns of fixed shape."""

from __future__ import annotations

import math
from typing import Any

import awkward as ak
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ntupleml.errors import NtuplemlError
from ntupleml.events.evaluation import missing_events, read_group, read_inputs
from ntupleml.events.groups import Image, InputGroup
from ntupleml.events.values import joined

_RANGE = (-2.5, 2.5)
_PHI = (-math.pi, math.pi)


def filled(bins: tuple[int, int], weights: tuple[str, ...] = ("w",), **changes: Any) -> InputGroup:
    return InputGroup("calo", weights, image=Image(("eta",), ("phi",), bins, _RANGE, _PHI)._replace(**changes))


@settings(deadline=None, max_examples=50)
@given(seed=st.integers(0, 2**32 - 1), bins=st.tuples(st.integers(1, 40), st.integers(1, 40)), border=st.integers(0, 5))
def test_images_are_two_dimensional_histograms(seed: int, bins: tuple[int, int], border: int) -> None:
    """Of the objects inside, whole and in joined chunks; φ one or more turns away is the same φ."""
    random = np.random.default_rng(seed)
    counts = random.poisson(30, 5) * (random.random(5) > 0.3)
    total = int(counts.sum())
    eta, phi, w = random.uniform(-3, 3, total), random.uniform(*_PHI, total), random.normal(1, 2, total)
    on_edges = random.random(total) < 0.2
    eta[on_edges] = random.choice(np.linspace(*_RANGE, bins[0] + 1), total)[on_edges]
    phi[on_edges] = random.choice(np.linspace(*_PHI, bins[1] + 1)[:-1], total)[on_edges]
    columns = {name: ak.unflatten(values, counts) for name, values in {"eta": eta, "phi": phi, "w": w}.items()}
    starts = np.cumsum(counts) - counts
    wanted = np.zeros((5, *bins, 2))
    for row, (start, count) in enumerate(zip(starts, counts, strict=True)):
        some = slice(start, start + count)
        for channel, weights in enumerate((w, w * w)):
            wanted[row, ..., channel] = np.histogram2d(
                eta[some], phi[some], bins, range=[_RANGE, _PHI], weights=weights[some]
            )[0]
    group = filled(bins, ("w", "w*w"))
    np.testing.assert_array_equal(read_group(group, columns, 5, "").take(slice(None)), wanted.astype(np.float32))
    parts = [
        read_inputs([group], {name: values[part] for name, values in columns.items()}, number, "")
        for part, number in ((slice(border), border), (slice(border, None), 5 - border))
    ]
    rows = np.array([4, 0, 4])
    np.testing.assert_array_equal(joined(parts).batch(rows)["calo"], wanted[rows].astype(np.float32))


@pytest.mark.parametrize(
    ("phi", "index"),
    [
        (math.pi, 0),  # the end of the range is its beginning
        (-math.pi, 0),
        (math.nextafter(math.pi, 0), 3),
        (math.nextafter(-math.pi, -4), 3),  # just below the beginning
        (math.pi / 4 + 2 * math.pi, 2),
        (math.pi / 4 - 20 * math.pi, 2),
        (3 * math.pi / 4 + 2 * math.pi, 3),
        (1e300, None),
    ],
)
def test_phi_is_periodic(phi: float, index: int | None) -> None:
    columns = {"eta": ak.Array([[0.0]]), "phi": ak.Array([[phi]]), "w": ak.Array([[7.0]])}
    image = read_group(filled((1, 4)), columns, 1, "").take(slice(None))[0, 0, :, 0]
    assert image.sum() == 7
    assert index is None or image[index] == 7


@pytest.mark.parametrize(("eta", "inside"), [(2.5, True), (-2.5, True), (2.500001, False), (-math.inf, False)])
def test_eta_outside_is_left_out(eta: float, inside: bool) -> None:
    columns = {"eta": ak.Array([[eta]]), "phi": ak.Array([[0.0]]), "w": ak.Array([[7.0]])}
    assert read_group(filled((5, 4)), columns, 1, "", finite=["w"]).take(slice(None)).sum() == 7 * inside


def test_channels_may_be_of_different_collections() -> None:
    columns = {"e": ak.Array([[0.0], []]), "p": ak.Array([[0.0], []]), "w": ak.Array([[1.0], []])}
    columns |= {"e2": ak.Array([[1.0, 1.0], [9.0]]), "p2": ak.Array([[1.0, 1.0], [1.0]]), "w2": ak.Array([[2, 3], [4]])}
    group = filled((5, 4), ("w", "w2"), eta=("e", "e2"), phi=("p", "p2"))
    images = read_group(group, columns, 2, "").take(slice(None))
    np.testing.assert_array_equal(images.sum(axis=(1, 2)), [[1, 5], [0, 0]])
    with pytest.raises(NtuplemlError, match=r"in: input 'calo': 'p2' has 2 values .* 'w' has 1 \(entry 0\)"):
        read_group(filled((5, 4), eta=("e",), phi=("p2",)), columns, 2, "in")


def test_weights_and_places_can_be_missing_inside_only() -> None:
    columns = {
        "eta": ak.Array([[0.0, 9.0], [np.nan]]),
        "phi": ak.Array([[0.0, 0.0], [0.0]]),
        "w": ak.Array([[np.nan, np.nan], [1.0]]),
    }
    group = filled((5, 4))
    with pytest.raises(NtuplemlError, match=r"inputs\.calo: .*branch 'w' in 1 of 3 values, 'eta' in 1 of 3"):
        read_inputs([group], columns, 2, "in").require_finite("in")
    assert missing_events(group, columns, 2, "", ["eta"]).tolist() == [False, True]
    images = read_group(group._replace(missing=5.0), columns, 2, "", finite=["w"]).take(slice(None))
    assert images.sum(axis=(1, 2, 3)).tolist() == [5, 0]


def test_columns_of_fixed_shape_stand_along_the_channels() -> None:
    one, two = np.arange(24.0).reshape(2, 3, 4), np.arange(48).reshape(2, 3, 4, 2)
    group = InputGroup("calo", ("one", "two"), image=Image(bins=(3, 4)))
    for columns in ({"one": one, "two": two}, {"one": ak.Array(one), "two": ak.to_regular(ak.Array(two), axis=None)}):
        images = read_group(group, columns, 2, "").take(slice(None))
        np.testing.assert_array_equal(images, np.concatenate([one[..., None], two], axis=3))
        assert images.dtype == np.float32


@pytest.mark.parametrize(
    ("shape", "bins", "message"),
    [
        ((2, 3, 4), (5, 4), r"in: input 'calo': 'one' is of shape \(3, 4\) per event; \(5, 4\) or \(5, 4, channels\)"),
        ((2, 3), (), r"'one' is of shape \(3\) per event; \(eta, phi\) or \(eta, phi, channels\) is needed"),
        ((2,), (), r"'one' is of shape \(\) per event"),
        ((2, 4, 4), (), r"'two' is of shape \(3, 4\) per event; \(4, 4\) or \(4, 4, channels\) is needed"),
    ],
)
def test_a_wrong_shape_is_one_line(shape: tuple[int, ...], bins: tuple[int, ...], message: str) -> None:
    group = InputGroup("calo", ("one", "two"), image=Image(bins=bins))
    with pytest.raises(NtuplemlError, match=message):
        read_group(group, {"one": np.ones(shape), "two": np.ones((2, 3, 4))}, 2, "in")


def test_lists_of_any_length_are_no_image() -> None:
    with pytest.raises(NtuplemlError, match="in: input 'calo': variable 'x' has lists of any length; arrays of one"):
        read_group(InputGroup("calo", ("x",), image=Image()), {"x": ak.Array([[[1], [2, 3]], [[1]]])}, 2, "in")


def test_missing_pixels_are_counted_by_column() -> None:
    one = np.ones((2, 3, 4))
    one[1, 0, :2] = np.nan
    group = InputGroup("calo", ("two", "one"), image=Image())
    columns = {"one": one, "two": np.ones((2, 3, 4))}
    with pytest.raises(NtuplemlError, match=r"inputs\.calo: NaN or infinite input: branch 'one' in 2 of 24 values"):
        read_inputs([group], columns, 2, "in").require_finite("in")
    assert missing_events(group, columns, 2, "in", ["one"]).tolist() == [False, True]
