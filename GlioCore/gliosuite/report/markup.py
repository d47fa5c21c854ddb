"""Pieces of HTML that the report is made of."""

import html
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np


def escape(text: object) -> str:
    """Text as HTML shows it."""
    return html.escape(str(text))


def number(value: object, digits: int = 3) -> str:
    """A value to a few digits; a dash where there is none."""
    if value is None or value == "" or (isinstance(value, float) and not np.isfinite(value)):
        return "–"
    if isinstance(value, float):
        return f"{value:.{digits}g}" if abs(value) < 1000 else f"{value:.0f}"
    return escape(value)


def table(header: Sequence[str], rows: Iterable[Sequence[str]], numeric_from: int = 1) -> str:
    """A table whose columns from `numeric_from` on are set to the right; cells are HTML."""
    kind = lambda i: ' class="n"' if i >= numeric_from else ""
    head = "".join(f"<th{kind(i)}>{escape(h)}</th>" for i, h in enumerate(header))
    body = "".join("<tr>" + "".join(f"<td{kind(i)}>{c}</td>" for i, c in enumerate(row)) + "</tr>" for row in rows)
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def listed(items: Iterable[str]) -> str:
    """A list of texts; empty where there are none."""
    body = "".join(f"<li>{escape(i)}</li>" for i in items)
    return f"<ul>{body}</ul>" if body else ""


def figure(png: bytes, caption: str) -> str:
    """A picture with its caption."""
    from .pictures import data_uri

    return f'<figure><img alt="{escape(caption)}" src="{data_uri(png)}"><figcaption>{escape(caption)}</figcaption></figure>'


def settings(content: Mapping[str, Any]) -> str:
    """A step's settings, folded away; empty where there are none."""
    rows = [
        (f"<code>{escape(k)}</code>", escape(", ".join(map(str, v)) if isinstance(v, list) else v))
        for k, v in content.items()
    ]
    return f"<details><summary>Settings</summary>{table(('setting', 'value'), rows, 9)}</details>" if rows else ""
