"""How objects show themselves in notebooks: a caption and tables, as HTML without scripts or styles of its own."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence


def shown(caption: str, *parts: str) -> str:
    """HTML of a caption, and parts that are HTML already.

    Examples
    --------
    >>> shown("<a>", "<b>x</b>")
    '<div><p><strong>&lt;a&gt;</strong></p><b>x</b></div>'
    """
    return f"<div><p><strong>{escape(caption)}</strong></p>{''.join(parts)}</div>"


def table(header: Sequence[str], rows: Iterable[Sequence[object]], title: str = "") -> str:
    """HTML table; all texts are escaped.

    Examples
    --------
    >>> table(["class", "AUC"], [["signal", 0.9]])
    '<table><thead><tr><th>class</th><th>AUC</th></tr></thead><tbody><tr><td>signal</td><td>0.9</td></tr></tbody></table>'
    """
    above = f"<caption>{escape(title)}</caption>" if title else ""
    head = "".join(f"<th>{escape(name)}</th>" for name in header)
    body = "".join(f"<tr>{''.join(f'<td>{escape(str(cell))}</td>' for cell in row)}</tr>" for row in rows)
    return f"<table>{above}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def properties(values: Mapping[str, object]) -> str:
    """HTML table of names and values, without those that are empty.

    Examples
    --------
    >>> properties({"fold": 0, "conditions": [], "classes": ["a", "b"]})
    '<table><tbody><tr><th>fold</th><td>0</td></tr><tr><th>classes</th><td>a, b</td></tr></tbody></table>'
    """
    texts = {name: ", ".join(map(str, value)) if isinstance(value, list) else value for name, value in values.items()}
    rows = [
        f"<tr><th>{escape(name)}</th><td>{escape(str(text))}</td></tr>"
        for name, text in texts.items()
        if text not in (None, "")
    ]
    return f"<table><tbody>{''.join(rows)}</tbody></table>"


def image(png: bytes, caption: str) -> str:
    """HTML of a picture that is inside."""
    import base64

    data = base64.b64encode(png).decode()
    return f'<figure><img alt="{escape(caption)}" src="data:image/png;base64,{data}"></figure>'
