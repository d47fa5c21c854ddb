"""The report's section on a simulated patient: what was found beside what is true."""

from typing import Any

from .markup import escape, number, table
from .parts import Section
from .results import IMAGES, Results


def _scored(results: Results, draw: bool) -> str:
    """One table per kind of result; all of it is the summary of the step."""
    summary = results.step("scored").get("summary", {})
    if not summary:
        return ""
    parts = [
        "<p>The patient is simulated, so the truth is known. These figures show what the program makes of simulated images; "
        "they prove no clinical benefit.</p>"
    ]
    for key, (title, header) in _TABLES.items():
        if rows := summary.get(key):
            parts.append(f"<h3>{title}</h3>" + table(header, [_cells(row) for row in rows]))
    return "".join(parts)


def _cells(row: list[Any]) -> list[str]:
    return [escape(IMAGES.get(value, value)) if isinstance(value, str) else number(value) for value in row]


# By the key of the step's summary: a heading and the heads of the columns.
_TABLES = {
    "masks": ("Outlines", ("region", "Dice", "found (cc)", "true (cc)")),
    "maps": (
        "Maps",
        ("median of", "voxels", "found", "true", "difference (%)", "truth within 95 % interval (% of voxels)"),
    ),
    "aif": ("Arterial input function", ("quantity", "found", "true", "difference (%)")),
    "registration": (
        "Registration",
        ("image", "mean error in the brain (mm)", "largest (mm)", "before registration (mm)"),
    ),
}
SCORED = Section(11, "Against the truth of the simulation", _scored, recorded=False)
