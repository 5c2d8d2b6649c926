"""What is true of every page of ours, as a browser sees it."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_SIZES = "all => all.map(one => [one.getBoundingClientRect().width, one.getBoundingClientRect().height])"
_IDS = "all => all.map(one => one.id)"
_TARGETS = "all => all.map(one => one.getAttribute('href').slice(1))"


def require_self_contained(opened: Any, path: Path) -> None:
    """No request but the file itself, and nothing on the console."""
    assert opened.requests == [path.as_uri()]
    assert opened.complaints == []


def require_sound(opened: Any) -> None:
    """Ids are unique, links have targets, pictures have sizes, headings do not skip a level."""
    page = opened.page
    page.eval_on_selector_all("details", "all => { for (const one of all) one.open = true; }")
    ids = page.eval_on_selector_all("[id]", _IDS)
    assert len(ids) == len(set(ids))
    targets = page.eval_on_selector_all("a[href^='#']", _TARGETS)
    assert targets
    assert set(targets) <= set(ids)
    references = page.eval_on_selector_all(
        "svg use, svg image", "all => all.map(one => one.getAttribute('href')).filter(one => one.startsWith('#'))"
    )
    assert {one[1:] for one in references} <= set(ids)
    for width, height in page.eval_on_selector_all("figure svg, img", _SIZES):
        assert width > 50
        assert height > 50
    levels = page.eval_on_selector_all("h1, h2, h3, h4", "all => all.map(one => Number(one.tagName[1]))")
    assert levels[0] == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))
    unnamed = page.eval_on_selector_all("figure svg", "all => all.filter(one => !one.querySelector('title')).length")
    assert unnamed == 0


def require_no_overflow(open_page: Callable[..., Any], path: Path, width: int = 360) -> None:
    """The page is not wider than a phone, with all that can be unfolded."""
    page = open_page(path, viewport={"width": width, "height": 740}).page
    page.eval_on_selector_all("details", "all => { for (const one of all) one.open = true; }")
    if page.evaluate("document.documentElement.scrollWidth") > width:
        assert page.evaluate(_BEYOND, width) == []


#: Elements that reach beyond a width, and are not inside something that scrolls.
_BEYOND = """width => [...document.querySelectorAll("body *")]
    .filter(one => one.getBoundingClientRect().right > width && !one.parentElement.closest(".scroll, pre, svg, nav"))
    .map(one => `${one.tagName}.${one.className}: ${one.textContent.trim().slice(0, 60)}`)"""


def require_texts_apart(page: Any) -> None:
    """No text of a figure stands on another one, and none reaches out of its figure; all that can be is unfolded."""
    page.eval_on_selector_all("details", "all => { for (const one of all) one.open = true; }")
    assert page.evaluate(_OVERLAPS) == []
    assert page.evaluate(CUT) == []


#: Texts that reach out of their figure by more than a pixel.
CUT = """() => [...document.querySelectorAll("svg text")].filter(text => {
  const box = text.getBoundingClientRect(), all = text.ownerSVGElement.getBoundingClientRect();
  return box.left < all.left - 1 || box.right > all.right + 1 || box.top < all.top - 1 || box.bottom > all.bottom + 1;
}).map(text => text.textContent.trim())"""
#: Pairs of texts whose letters overlap; a box is a fifth higher and lower than most letters are.
_OVERLAPS = """() => {
  const found = [];
  for (const svg of document.querySelectorAll("figure svg")) {
    const boxes = [...svg.querySelectorAll("text")].map(text => {
      const box = text.getBoundingClientRect(), across = box.width < box.height && text.textContent.trim().length > 1;
      const [dx, dy] = across ? [0.2 * box.width, 1] : [1, 0.2 * box.height];
      return [box.left + dx, box.right - dx, box.top + dy, box.bottom - dy, text.textContent.trim()];
    });
    boxes.forEach((one, index) => {
      for (const other of boxes.slice(index + 1)) {
        const wide = Math.min(one[1], other[1]) - Math.max(one[0], other[0]);
        const high = Math.min(one[3], other[3]) - Math.max(one[2], other[2]);
        const title = svg.querySelector("title").textContent.slice(0, 40);
        if (wide > 0.5 && high > 0.5) found.push(`${title}: ${one[4]} | ${other[4]}`);
      }
    });
  }
  return found;
}"""
