"""The fine histograms that TMVA builds of stored ones."""

from __future__ import annotations

import math
from xml.etree import ElementTree

import numpy as np
import pytest

from ntupleml.errors import NtuplemlError
from ntupleml.tmva.pdf import NUM_BINS, read_pdf
from ntupleml.tmva.smoothing import smooth
from ntupleml.tmva.xml_file import Node

CONTENTS = [4.0, 9, 16, 30, 41, 38, 22, 12, 7, 2]


def pdf_element(
    contents: list[float],
    *,
    method: int = 1,
    smoothing: tuple[int, int] = (0, 0),
    edges: list[float] | None = None,
    limits: tuple[float, float] = (0.0, 1.0),
    kde: tuple[int, int, int, float] = (1, 1, 1, 1.0),
) -> ElementTree.Element:
    """A PDF as TMVA writes it."""
    element = ElementTree.Element(
        "PDF",
        MinNSmooth=str(smoothing[0]),
        MaxNSmooth=str(smoothing[1]),
        InterpolMethod=str(method),
        KDE_type=str(kde[0]),
        KDE_iter=str(kde[1]),
        KDE_border=str(kde[2]),
        KDE_finefactor=str(kde[3]),
    )
    histogram = ElementTree.SubElement(
        element,
        "Histogram",
        NBins=str(len(contents)),
        XMin=str(limits[0]),
        XMax=str(limits[1]),
        HasEquidistantBins=str(int(edges is None)),
    )
    histogram.text = " ".join(map(str, contents))
    if edges is not None:
        binning = ElementTree.SubElement(element, "HistogramBinning", NBins=str(len(edges) - 1))
        binning.text = " ".join(map(str, edges))
    return element


def centres(num_bins: int = NUM_BINS) -> np.ndarray:
    return (np.arange(num_bins) + 0.5) / num_bins


def test_straight_lines_between_bin_centres() -> None:
    fine = read_pdf(Node(pdf_element(CONTENTS), "x.xml"), normalize=False)
    inside = (centres() > 0.05) & (centres() < 0.95)
    expected = np.interp(centres(), centres(10), CONTENTS)
    np.testing.assert_allclose(fine.histogram.contents[inside], expected[inside], rtol=1e-6)
    assert fine.interpolated
    # the line of the first two centres goes on to the end, 4 − (9 − 4)/2
    assert fine.histogram.contents[0] == pytest.approx(1.5, abs=1e-2)


def test_bins_of_different_widths() -> None:
    edges = [0.0, 0.1, 0.4, 1.0]
    fine = read_pdf(Node(pdf_element([0.2, 0.5, 1.0], edges=edges), "x.xml"), normalize=False).histogram
    inside = (centres() > 0.05) & (centres() < 0.7)
    expected = np.interp(centres(), [0.05, 0.25, 0.7], [0.2, 0.5, 1.0])
    np.testing.assert_allclose(fine.contents[inside], expected[inside], rtol=1e-6)
    assert (fine.low, fine.high) == (0.0, 1.0)


def test_a_spline_below_zero_is_replaced_by_the_histogram() -> None:
    fine = read_pdf(Node(pdf_element([0.0, 0, 0, 10, 0, 0, 0]), "x.xml"), normalize=False).histogram
    assert fine.contents.min() == np.float32(1e-12)


@pytest.mark.parametrize("method", [0, 1, 2, 3, 4, 5])
def test_densities_have_the_integral_one(method: int) -> None:
    density = read_pdf(Node(pdf_element(CONTENTS, method=method, limits=(-2.0, 3.0)), "x.xml"), normalize=True)
    width = 5.0 / density.histogram.contents.size
    assert density.histogram.contents.sum() * width == pytest.approx(1, rel=1e-6)
    assert density.interpolated == (method != 0)
    assert density.histogram.contents.size == (10 if method == 0 else NUM_BINS)


def test_spline0_is_the_smoothed_histogram() -> None:
    density = read_pdf(Node(pdf_element(CONTENTS, method=0, smoothing=(2, 2)), "x.xml"), normalize=False)
    np.testing.assert_array_equal(density.histogram.contents, smooth(np.float32(CONTENTS), 2))


def test_two_numbers_of_smoothings_follow_the_relative_errors() -> None:
    """Worked out by hand from `PDF::SmoothHistogram` for errors √n."""
    contents = [100.0, 100, 0, 0, 100, 100, 100, 100]
    # Relative errors 0.1 where filled: mean 0.1 and no spread, so those want the least, 1, and the empty bins the
    # most, 3. For n = 3 and n = 2 the region of the two empty bins is smoothed, which ROOT does to all bins; then
    # come n = 1 and n = 0: four in all.
    density = read_pdf(Node(pdf_element(contents, method=0, smoothing=(1, 3)), "x.xml"), normalize=False)
    expected = np.float32(contents)
    for _ in range(4):
        expected = smooth(expected, 1)
    np.testing.assert_array_equal(density.histogram.contents, expected)


def kernel_density(contents: list[float], num_bins: int, *, border: str, adaptive: bool, fine: float) -> np.ndarray:
    """TMVA's formula bin by bin, in double precision throughout, on [0, 1]."""
    size = len(contents)
    middles = centres(size)
    total = sum(contents)
    mean = float(np.dot(contents, middles)) / total
    rms = math.sqrt(float(np.dot(contents, middles**2)) / total - mean**2)
    sigma = math.sqrt(2) * (4 / 3) ** 0.2 * rms * total**-0.2

    def smeared(bins: int, widths: list[float]) -> np.ndarray:
        result = np.zeros(bins)
        for number in range(1, size):
            middle, width = middles[number - 1], widths[number - 1]
            means = [middle]
            if border == "mirror" and number < size // 5:
                means.append(-middle)
            if border == "mirror" and number > 4 * size // 5:
                means.append(2 - middle)
            for place in means:

                def part(low: float, high: float, place: float = place, width: float = width) -> float:
                    return 0.5 * (math.erf((high - place) / width) - math.erf((low - place) / width))

                norm = part(0.0, 1.0) if border == "renormalize" else 1.0
                for index in range(bins - 1):
                    result[index] += contents[number - 1] * part(index / bins, (index + 1) / bins) / norm
        return result

    widths = [sigma] * size
    if adaptive:
        first = smeared(size, widths)
        first /= first[:-1].sum() / size
        widths[: size - 1] = [fine * sigma / math.sqrt(value) for value in first[:-1]]
    return smeared(num_bins, widths)


@pytest.mark.parametrize(("number", "border"), [(1, "none"), (2, "renormalize"), (3, "mirror")])
@pytest.mark.parametrize("adaptive", [False, True])
def test_kernel_density(monkeypatch: pytest.MonkeyPatch, number: int, border: str, adaptive: bool) -> None:
    monkeypatch.setattr("ntupleml.tmva.pdf.NUM_BINS", 200)
    kde = (1, 2 if adaptive else 1, number, 0.8)
    density = read_pdf(Node(pdf_element(CONTENTS, method=5, kde=kde), "x.xml"), normalize=False)
    expected = kernel_density(CONTENTS, 200, border=border, adaptive=adaptive, fine=0.8)
    np.testing.assert_allclose(density.histogram.contents, expected, rtol=2e-4, atol=2e-5)
    assert density.histogram.contents[-1] == 0


def test_adaptive_kernels_far_from_all_events_add_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """TMVA makes such kernels infinitely wide: those of the bins with events are all that counts."""
    monkeypatch.setattr("ntupleml.tmva.pdf.NUM_BINS", 200)
    contents = [*CONTENTS, *[0.0] * 80]
    density = read_pdf(Node(pdf_element(contents, method=5, kde=(1, 2, 1, 0.8)), "x.xml"), normalize=False)
    filled = density.histogram.contents
    assert np.isfinite(filled).all()
    assert filled[:20].sum() == pytest.approx(sum(CONTENTS), rel=0.1)
    assert filled[100:].sum() == 0
    with pytest.raises(NtuplemlError, match="too empty for a KDE"):
        read_pdf(Node(pdf_element(contents, method=5, kde=(1, 2, 2, 0.8)), "x.xml"), normalize=False)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda pdf: pdf.remove(pdf.find("Histogram")), "no Histogram in PDF"),
        (lambda pdf: pdf.find("Histogram").set("NBins", "11"), "Histogram has 10 numbers, where 11 are needed"),
        (lambda pdf: pdf.find("Histogram").set("XMax", "-1"), "edges of its Histogram do not ascend"),
        (lambda pdf: pdf.find("Histogram").set("HasEquidistantBins", "0"), "no HistogramBinning in PDF"),
        (lambda pdf: pdf.set("InterpolMethod", "6"), "InterpolMethod is '6'; an integer from 0 to 5"),
        (lambda pdf: pdf.set("MaxNSmooth", "many"), "MaxNSmooth is 'many'; an integer"),
        (lambda pdf: setattr(pdf.find("Histogram"), "text", "1 2 x 4 5 6 7 8 9 0"), "Histogram is 'x', not a number"),
    ],
)
def test_damage_is_one_line(change: object, message: str) -> None:
    element = pdf_element(CONTENTS)
    change(element)  # type: ignore[operator]
    with pytest.raises(NtuplemlError, match=message) as caught:
        read_pdf(Node(element, "x.xml"), normalize=True)
    assert str(caught.value).startswith("x.xml: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("element", "message"),
    [
        (pdf_element([1.0], method=1), "1 bins are too few"),
        (pdf_element([0.0] * 10, method=5), "too empty for a KDE"),
        (pdf_element(CONTENTS, method=5, kde=(0, 1, 1, 1.0)), "KDE_type 0 is unknown"),
        (pdf_element([1.0, 2.0], method=0, edges=[0.0, 0.1, 1.0]), "Spline0 of bins of different width"),
        (pdf_element([1.0, 2.0], method=5, edges=[0.0, 0.1, 1.0]), "KDE of bins of different width"),
        (pdf_element([1.0, 2.0], edges=[0.0, 1.0]), "different NBins"),
        (pdf_element([-1.0] * 5, method=0), "integral of its PDF is -1"),
    ],
)
def test_what_is_no_density_is_refused(element: ElementTree.Element, message: str) -> None:
    with pytest.raises(NtuplemlError, match=message):
        read_pdf(Node(element, "x.xml"), normalize=True)
