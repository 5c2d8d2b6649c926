"""The page itself, with made-up pictures and nasty names, in a real browser."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from importlib import resources
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from ntupleml.config import PlotConfig
from ntupleml.metrics import Measurement, Undefined, Verdict
from ntupleml.plots.pictures import Picture, Table, write_picture_and_svg
from ntupleml.plots.style import add_experiment_label, new_figure
from ntupleml.reports.page import Drawn, Page, Section, pictures_of, render
from ntupleml.testing.steps import Group

from .checks import require_no_overflow, require_self_contained, require_sound

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

NASTY = "<script>alert(1)</script> & \"q\" 'a' $x$ ü \\frac"
HEADER = (NASTY, "AUC", "events")
SHORT = Table(
    HEADER, ((NASTY, Measurement(0.81234, 0.00123), 3), ("b", Undefined("no <events>"), 4), ("c", 0.5, 10)), NASTY
)
LONG = Table(("a",) * 30, tuple((f"{index}",) * 30 for index in range(40)), "long")


def _curves(plot: PlotConfig) -> Any:
    figure, axes = new_figure(6.0, 4.5)
    axes.plot([0, 0.5, 1], [0, 0.9, 1], label=NASTY.replace("$", r"\$").replace("\\frac", ""))
    axes.errorbar([0.2, 0.8], [0.3, 0.7], [0.1, 0.1], fmt="o", color="black", label=r"$Z\to\tau\tau$")
    axes.legend()
    add_experiment_label(axes, plot)
    return figure


def _matrix(plot: PlotConfig) -> Any:
    figure, axes = new_figure(13.0, 4.5)
    axes.pcolormesh(np.arange(4.0).reshape(2, 2))
    axes.text(1.5, 1.5, "on a bright cell", color="black")
    axes.text(0.5, 0.5, "on a dark cell", color="white")
    return figure


PICTURES = tuple(
    Picture(f"picture_{index}", f"Picture of {NASTY}", draw, {"a": 1.0}, (SHORT, LONG))
    for index, draw in enumerate((_curves, _curves, _matrix))
)
SECTIONS = (
    Section(
        "summary",
        "Summary",
        f"Introduction {NASTY}",
        (Group("Numbers", ("A note.",), (SHORT, LONG)), Group("Files", texts=(("config.yaml", f"a: {NASTY}\n" * 30),))),
        (
            ("overtrained", Verdict("good", "no")),
            (NASTY, Verdict("attention", NASTY)),
            ("calibrated", Verdict("unknown", "x" * 300)),
        ),
    ),
    Section("roc", "ROC", "", (Group("", pictures=PICTURES), Group("other", pictures=PICTURES[:2], is_open=False))),
)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, int, int], Drawn]:
    folder = tmp_path_factory.mktemp("figures")
    plot = PlotConfig(style="CMS", label="Simulation", lumi=59.7, com=13)
    return {
        (section.anchor, index, number): Drawn(
            write_picture_and_svg(picture, folder / f"{index}{number}", plot, f"{section.anchor}{index}-{number}")[1]
        )
        for section in SECTIONS
        for index, number, _, picture in pictures_of(section)
    }


@pytest.fixture(scope="module")
def path(drawn: dict[tuple[str, int, int], Drawn], tmp_path_factory: pytest.TempPathFactory) -> Path:
    written = tmp_path_factory.mktemp("page") / "page.html"
    written.write_text(render(Page(f"Report {NASTY}", NASTY, SECTIONS, "end"), drawn), encoding="utf-8")
    return written


def test_names_are_text_everywhere(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert "<script>alert" not in text
    assert text.count("<script") == 1
    assert not re.search(r'(?:src|href)="(?!#|data:)', text)


def test_elements_are_well_formed(drawn: dict[tuple[str, int, int], Drawn]) -> None:
    for (anchor, index, number), one in drawn.items():
        element = ET.fromstring(one.svg)
        assert element.tag == "{http://www.w3.org/2000/svg}svg"
        ids = [node.get("id") for node in element.iter() if node.get("id")]
        assert all(name.startswith(f"{anchor}{index}-{number}-") for name in ids)
        assert len(ids) == len(set(ids))
        assert not list(element.iter("{http://www.w3.org/2000/svg}style"))  # would hold for the whole page


def test_page_is_self_contained_and_sound(path: Path, open_page: Callable[..., Any]) -> None:
    opened = open_page(path)
    require_self_contained(opened, path)
    require_sound(opened)
    assert opened.page.title() == f"Report {NASTY}"
    assert opened.page.locator("html").get_attribute("lang") == "en"
    assert opened.page.locator("figure svg").count() == 5


def test_fonts_of_figures_are_in_the_page(path: Path, open_page: Callable[..., Any]) -> None:
    """A style's font need not be installed where the page is read, nor is any asked for."""
    page = open_page(path).page
    page.evaluate("document.fonts.ready")
    loaded = page.evaluate("[...document.fonts].filter(one => one.status === 'loaded').map(one => one.family)")
    used = page.eval_on_selector("figure svg text", "one => getComputedStyle(one).fontFamily")
    assert "TeX Gyre Heros" in used
    assert "TeX Gyre Heros" in {name.strip('"') for name in loaded}


def test_page_forbids_requests_and_foreign_scripts(path: Path, open_page: Callable[..., Any], tmp_path: Path) -> None:
    """Whatever gets into the page, its policy stops it: proven with a page that was tampered with."""
    tampered = tmp_path / "tampered.html"
    intruder = "<script>document.title = 'taken'</script><img src='http://127.0.0.1:9/x.png'>"
    tampered.write_text(path.read_text(encoding="utf-8").replace("<main>", f"<main>{intruder}"), encoding="utf-8")
    opened = open_page(tampered)
    assert opened.page.title() == f"Report {NASTY}"
    assert sum("Content Security Policy" in text for text in opened.complaints) == 2


def test_phone(path: Path, open_page: Callable[..., Any]) -> None:
    require_no_overflow(open_page, path)


def test_dark_page_has_light_figures(path: Path, open_page: Callable[..., Any]) -> None:
    """Texts and lines follow the page; numbers on cells and the colours of the data stay."""
    script = """() => ({
        texts: [...document.querySelectorAll("figure svg text")].map(one => getComputedStyle(one).fill),
        lines: [...document.querySelectorAll("figure svg path")].map(one => getComputedStyle(one).stroke),
        paper: getComputedStyle(document.body).backgroundColor,
    })"""
    inks = {"light": "rgb(27, 32, 38)", "dark": "rgb(228, 232, 236)"}
    found = {scheme: open_page(path, color_scheme=scheme).page.evaluate(script) for scheme in inks}
    for scheme, other in (("light", "dark"), ("dark", "light")):
        assert found[scheme]["texts"][0] == inks[scheme]
        assert inks[scheme] in found[scheme]["lines"]
        assert not {inks[other], "rgb(0, 0, 0)"} & {*found[scheme]["texts"], *found[scheme]["lines"]}
        assert {"rgb(1, 1, 1)", "rgb(254, 254, 254)"} <= set(found[scheme]["texts"])
        assert "rgb(87, 144, 252)" in found[scheme]["lines"]
    assert [one["paper"] for one in found.values()] == ["rgb(255, 255, 255)", "rgb(20, 24, 29)"]


def _luminance(colour: str) -> float:
    channels = [int(part) / 255 for part in re.findall(r"\d+", colour)[:3]]
    linear = [one / 12.92 if one <= 0.04045 else ((one + 0.055) / 1.055) ** 2.4 for one in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_has_contrast(path: Path, open_page: Callable[..., Any], scheme: str) -> None:
    """The ratio of luminances that WCAG 2 asks for, level AA, on the page and on its panels."""
    page = open_page(path, color_scheme=scheme).page
    used = page.evaluate("""() => {
        const style = getComputedStyle(document.documentElement);
        return Object.fromEntries(["paper", "panel", "ink", "soft", "link", "good", "attention", "unknown"]
            .map(name => [name, style.getPropertyValue("--" + name).trim()]));
    }""")
    values = {name: _luminance(str([int(hexa[i : i + 2], 16) for i in (1, 3, 5)])) for name, hexa in used.items()}
    for background in ("paper", "panel"):
        for name in ("ink", "soft", "link", "good", "attention", "unknown"):
            bright, dim = sorted((values[name], values[background]), reverse=True)
            assert (bright + 0.05) / (dim + 0.05) >= 4.5, (name, background)


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page that begins with a picture, a table of areas and verdicts."""
    folder = tmp_path_factory.mktemp("first")
    areas = Table(
        ("AUC", "keras", "xgboost"), tuple((f"class_{n}", *[Measurement(0.9, 0.00123)] * 2) for n in range(5))
    )
    verdict = Verdict("attention", "the mean distance is 0.0123 ± 0.0011", "Scores are not probabilities.")
    judged = tuple((f"Question {number}? keras, xgboost", verdict) for number in range(6))
    groups = (
        Group("", pictures=PICTURES[:1]),
        Group("", (), (areas,)),
        Group("", verdicts=judged),
        Group("More", ("x",)),
    )
    section = Section("summary", "Summary", "xgboost is the best of 2 methods.", groups, first_screen=3)
    element = write_picture_and_svg(PICTURES[0], folder / "a", PlotConfig(), "summary0-0")[1]
    written = folder / "page.html"
    page = Page("signal against background: keras and xgboost", "training.yaml", (section,), "end")
    written.write_text(render(page, {("summary", 0, 0): Drawn(element)}), encoding="utf-8")
    return written


@pytest.mark.parametrize(("width", "height", "shown"), [(1440, 900, 4), (390, 844, 3)])
def test_the_first_screen_says_what_matters(
    first: Path, open_page: Callable[..., Any], width: int, height: int, shown: int
) -> None:
    """The sentence, the picture, the areas and, where there is room beside, all verdicts."""
    page = open_page(first, viewport={"width": width, "height": height}).page
    parts = [".introduction", "figure svg", "table tbody tr", ".verdicts li:last-child summary"]
    boxes = [page.locator(f"#summary {part}").first.bounding_box() for part in parts[:shown]]
    assert all(box["y"] >= 0 and box["y"] + box["height"] <= height for box in boxes)
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_verdicts_fold_their_numbers(first: Path, open_page: Callable[..., Any]) -> None:
    page = open_page(first).page
    one = page.locator(".verdicts li").first
    assert one.locator("summary").inner_text().endswith("Scores are not probabilities.")
    assert not one.locator("p").is_visible()
    one.locator("summary").click()
    assert one.locator("p").inner_text() == "The mean distance is 0.0123 ± 0.0011"


def test_wide_figures_say_that_they_scroll(path: Path, open_page: Callable[..., Any]) -> None:
    for width, is_shown in ((390, True), (1440, False)):
        page = open_page(path, viewport={"width": width, "height": 844}).page
        assert page.locator("figure.wide .hint").is_visible() == is_shown
        box = page.locator("figure.wide .scroll").first
        assert box.evaluate("one => one.scrollWidth > one.clientWidth") == is_shown


def _lines(plot: PlotConfig) -> Any:
    figure, axes = new_figure(6.0, 4.5)
    axes.plot([0, 0.5, 1], [0.1, 1, 10], color="#3f90da", label="first: 0.5")
    axes.stairs([1.0, 10.0], [0, 0.5, 1], color="#bd1f01", label="second (1)", baseline=None)
    axes.fill_between([0, 1], [0.1, 0.2], [0.5, 0.6], color="#3f90da", alpha=0.3, linewidth=0)
    axes.set(xlim=(0, 1), ylim=(0.01, 100), yscale="log", xlabel="Score")
    axes.legend()
    add_experiment_label(axes, plot)
    return figure


@pytest.fixture(scope="module")
def lively(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("lively")
    picture = Picture("lines", "Lines", _lines, {})
    element = write_picture_and_svg(picture, folder / "a", PlotConfig(), "roc0-0")[1]
    section = Section("roc", "ROC", "", (Group("", pictures=(picture,)),))
    written = folder / "page.html"
    written.write_text(render(Page("t", "s", (section,), "end"), {("roc", 0, 0): Drawn(element)}), encoding="utf-8")
    return written


def test_values_at_the_pointer(lively: Path, open_page: Callable[..., Any]) -> None:
    """At a quarter of the x axis the first line is at √0.1 and the second at 1, on a logarithmic scale."""
    opened = open_page(lively)
    page = opened.page
    left, right, top, bottom = page.eval_on_selector("svg", "one => JSON.parse(one.dataset.panels)[0].slice(0, 4)")
    scale = page.eval_on_selector("svg", "one => one.getBoundingClientRect().width / one.viewBox.baseVal.width")
    box = page.locator("svg").bounding_box()
    page.mouse.move(box["x"] + scale * (left + 0.25 * (right - left)), box["y"] + scale * (top + 0.5 * (bottom - top)))
    rows = page.locator(".tip div").all_inner_texts()
    name, value = rows[0].split(" = ")
    assert name == "Score"
    assert float(value) == pytest.approx(0.25, abs=0.005)
    found = {row.rsplit(" ", 1)[0].strip(): float(row.rsplit(" ", 1)[1]) for row in rows[1:]}
    assert found == {"first": pytest.approx(0.1**0.5, rel=0.03), "second": pytest.approx(1, rel=0.02)}
    page.mouse.move(box["x"] + 1, box["y"] + 1)
    assert page.locator(".tip").is_hidden()
    assert opened.complaints == []


def test_a_click_on_the_legend_hides_a_line_and_its_band(lively: Path, open_page: Callable[..., Any]) -> None:
    page = open_page(lively).page
    shown = '[data-s="0c"], [data-s="0b"]'
    assert page.locator(shown).count() == 2
    entry = page.locator('[data-s$="l"] text', has_text="first")
    entry.click()
    assert page.eval_on_selector_all(shown, "all => all.map(one => getComputedStyle(one).display)") == ["none", "none"]
    assert page.locator('[data-s="1c"]').is_visible()
    entry.click()
    assert "none" not in page.eval_on_selector_all(shown, "all => all.map(one => getComputedStyle(one).display)")


def test_the_script_is_small() -> None:
    assert len(resources.files("ntupleml.reports").joinpath("page.js").read_bytes()) < 30_000


def test_print_shows_everything(path: Path, open_page: Callable[..., Any], tmp_path: Path) -> None:
    page = open_page(path).page
    last = page.locator("details.numbers tbody tr").last
    assert not last.is_visible()
    page.evaluate(
        "addEventListener('beforeprint', () => { window.shown = "
        "[...document.querySelectorAll('details')].map(one => one.open); })"
    )
    content = page.pdf()
    assert content.startswith(b"%PDF")
    assert page.evaluate("window.shown.every(Boolean)")
    assert len(re.findall(rb"/Type\s*/Page\b", content)) >= 4
    assert page.locator("details[open]").count() == 0
    # Where scripts do not run, the style unfolds them.
    silent = open_page(path, java_script_enabled=False).page
    silent.emulate_media(media="print")
    assert silent.locator("nav").is_hidden()
    assert silent.locator("details.numbers tbody tr").last.is_visible()


def test_copied_table_is_tab_separated(path: Path, open_page: Callable[..., Any]) -> None:
    page = open_page(path, permissions=["clipboard-read", "clipboard-write"]).page
    page.locator("button.copy").first.click()
    page.wait_for_function("document.querySelector('button.copy').textContent === 'Copied'")
    assert page.evaluate("navigator.clipboard.readText()").split("\n") == [
        "\t".join((NASTY, "AUC", "AUC uncertainty", "events")),
        "\t".join((NASTY, "0.81234", "0.00123", "3")),
        "b\tundefined: no <events>\t\t4",
        "c\t0.5\t\t10",
    ]


def test_copying_without_permission_selects_the_table(path: Path, open_page: Callable[..., Any]) -> None:
    page = open_page(path).page
    page.evaluate("Object.defineProperty(navigator, 'clipboard', {value: undefined})")
    page.locator("button.copy").first.click()
    page.wait_for_function("['Copied', 'Selected'].includes(document.querySelector('button.copy').textContent)")
    assert "0.8123 ± 0.0012" in page.evaluate("getSelection().toString()")


def test_tables_are_sorted_by_number(path: Path, open_page: Callable[..., Any]) -> None:
    page = open_page(path).page
    table = page.locator("table").first
    table.locator("thead button").nth(2).click()
    table.locator("thead button").nth(2).click()
    assert table.locator("tbody td:last-child").all_inner_texts() == ["10", "4", "3"]
    assert table.locator("thead th").nth(2).get_attribute("aria-sort") == "descending"


def test_link_into_something_folded_unfolds_it(path: Path, open_page: Callable[..., Any]) -> None:
    page = open_page(path).page
    assert not page.locator("#roc-1-0").is_visible()
    page.evaluate("location.hash = '#roc-1-0'")
    page.wait_for_selector("#roc-1-0", state="visible")


def test_page_is_read_without_scripts(path: Path, open_page: Callable[..., Any]) -> None:
    page = open_page(path, java_script_enabled=False).page
    assert page.locator("button.copy").first.is_hidden()
    assert page.locator("table").first.is_visible()
    page.locator("details.numbers > summary").first.click()
    assert page.locator("details.numbers tbody tr").first.is_visible()
