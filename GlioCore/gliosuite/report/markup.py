"""Pieces of HTML that the report is made of."""

import html
import math
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from ..resources import display


def escape(text: object) -> str:
    """Text as HTML shows it."""
    return html.escape(str(text))


def number(value: object, digits: int = 3) -> str:
    """A value to a few significant digits, never with an exponent; a dash where there is none.

    Examples
    --------
    >>> number(110.4), number(25.034998799999997), number(0.00289), number(2e-7), number(None)
    ('110', '25.0', '0.00289', '0', '–')
    """
    if value is None or value == "" or (isinstance(value, float) and not math.isfinite(value)):
        return "–"
    if not isinstance(value, float):
        return escape(value)
    if abs(value) < 1e-5:
        return "0"
    decimals = max(0, digits - 1 - math.floor(math.log10(abs(value))))
    return f"{value:.{decimals}f}"


def spread(low: float, high: float) -> str:
    """A range on one line."""
    return f'<span class="nowrap">{number(low, 2)} to {number(high, 2)}</span>'


def table(header: Sequence[str], rows: Iterable[Sequence[str]], text: Collection[int] = (0,)) -> str:
    """A table of cells of HTML; the columns `text` are set to the left, numbers in all others to the right."""
    kind = lambda i: "" if i in text else ' class="n"'
    head = "".join(f"<th{kind(i)}>{h}</th>" for i, h in enumerate(header))
    body = "".join("<tr>" + "".join(f"<td{kind(i)}>{c}</td>" for i, c in enumerate(row)) + "</tr>" for row in rows)
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def listed(items: Iterable[str]) -> str:
    """A list of texts, each a sentence; empty where there are none."""
    body = "".join(f"<li>{escape(_sentence(i))}</li>" for i in items)
    return f"<ul>{body}</ul>" if body else ""


def _sentence(text: str) -> str:
    """With a capital letter, unless a name of a map or a file comes first, and a full stop."""
    first = text.split(maxsplit=1)[0].rstrip(":,") if text.strip() else ""
    name = first in display()["maps"] or re.search(r"[_.]", first.rstrip(".")) is not None
    text = text if name else text[:1].upper() + text[1:]
    return text if text.endswith((".", "!", "?")) else text + "."


def swatch(color: str) -> str:
    """A square in the colour of a structure."""
    return f'<span class="swatch" style="background:{color}"></span>'


def figure(png: bytes, caption: str) -> str:
    """A picture with its caption; a click enlarges it, and another makes it small again (a checkbox: no script is needed)."""
    from .pictures import data_uri

    words = escape(caption)
    picture = f'<input type="checkbox" aria-label="enlarge"><span><img alt="{words}" src="{data_uri(png)}"></span>'
    return f"<figure><label>{picture}</label><figcaption>{words}</figcaption></figure>"


def settings(content: Mapping[str, Any]) -> str:
    """A step's settings, folded away; empty where there are none."""
    rows = [(f"<code>{escape(k)}</code>", _setting(v)) for k, v in content.items()]
    return f"<details><summary>Settings</summary>{table(('setting', 'value'), rows, (0, 1))}</details>" if rows else ""


def _setting(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(_setting, value))
    if isinstance(value, dict):
        return ", ".join(f"{escape(k)} {_setting(v)}" for k, v in value.items())
    if value is None:
        return "automatic"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.6g}" if isinstance(value, float) and abs(value) >= 1e-4 else escape(value)
