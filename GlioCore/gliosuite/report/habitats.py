"""The report's section on habitats: the map of patterns over T1c, their mean curves as in S2's Figure 2, and their table."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..files import read_json
from .markup import escape, figure, number, table
from .parts import Section, backgrounds, focus
from .results import Results

_TITLES = {"artery": "artery", "gm": "grey matter", "wm": "white matter", "csf": "fluid"}


def draw_patterns(record: Mapping[str, Any]) -> bytes:
    """Mean curves of reference tissues, of CEL and of NEL side by side, as a PNG, of what habitats.json holds."""
    from ..resources import display
    from .plots import Curve, Panel, curves_figure

    times = np.asarray(record["times_s"], float)
    curves, looks = record["curves"], display()["habitats"]
    drawn = {
        "Reference tissues": [Curve(times, np.asarray(curves[n]), _TITLES[n], looks[n]) for n in _TITLES if n in curves]
    }
    for region in ("cel", "nel"):
        rows = [r for r in record["patterns"] if r["region"] == region and r["pattern"] in curves]
        drawn[f"Patterns in {region.upper()}"] = [
            Curve(times, np.asarray(curves[r["pattern"]]), r["title"].partition(": ")[2], r["color"]) for r in rows
        ]
    top = max((float(c.values.max()) for found in drawn.values() for c in found), default=1.0)
    # One more of the axis for the legend, and one scale for all, so that panels can be compared.
    return curves_figure(
        [
            Panel(title, "time from arrival (s)", "signal over white matter", found, floor=0.0, top=1.7 * top)
            for title, found in drawn.items()
        ]
    )


def _habitats(results: Results, draw: bool) -> str:
    path = results.folder / "habitats" / "habitats.json"
    if not path.exists():
        return ""
    record = read_json(path)
    text = ""
    there = {r["value"]: (r["title"], r["color"]) for r in record["patterns"] if r["voxels"]}
    if draw and results.images and "habitats" in results.labels:
        from .pictures import contours_figure

        first = dict([next(iter(backgrounds(results).items()))])
        picture = contours_figure(
            first, {}, results.masks["brain"], focus(results), results.spacing, (results.labels["habitats"], there)
        )
        text += figure(picture, "Patterns of DSC curves in the lesion, carried to T1c.")
    if draw:
        text += figure(
            draw_patterns(record), "Mean curves, aligned on the arrival and scaled by the mean of white matter's curve."
        )
    header = (
        "pattern",
        "cc",
        "% of region",
        "baseline",
        "drop",
        "speed (1/s)",
        "recovery",
        "ADC (10⁻³ mm²/s)",
        "doubt",
    )
    return text + table(header, [_row(r) for r in record["patterns"] if r["voxels"]], text=(0, 8))


def _row(r: Mapping[str, Any]) -> list[str]:
    adc = r.get("adc_mm2_s")
    values = [r["cc"], r["percent"], r.get("baseline"), r.get("drop"), r.get("drop_speed_per_s"), r.get("recovery")]
    cells = ["" if v is None else number(v) for v in (*values, None if adc is None else 1e3 * adc)]
    return [escape(r["title"]), *cells, escape("; ".join(r["doubts"]))]


HABITATS = Section(7, "Habitats of the lesion", _habitats)
