"""The report's section on target volumes: pictures, volumes and rules, comparison, RT structure set."""

from collections.abc import Mapping
from typing import Any

from ..resources import colors
from .markup import escape, figure, number, swatch, table
from .parts import DRAFT, TAG, Section, backgrounds, focus, later_lesion, outlines, roi_colors
from .results import Results


def _targets(results: Results, draw: bool) -> str:
    summary = results.step("rt").get("summary", {})
    shades = roi_colors(results)
    drafts = {r["name"] for r in summary.get("rois", []) if r.get("draft")}
    text = _pictures(results, summary, shades, drafts) if draw and results.ctvs and results.images else ""
    if "probability" in summary:
        source = summary["probability"]["source"].removeprefix("recurrence probability: ")
        text += f"<p>Recurrence probability: {escape(source)}.</p>"
    rows = [
        (
            swatch(shades[r["name"]]) + escape(r["name"]) + (TAG if r["name"] in drafts else ""),
            number(r["volume_cc"]),
            escape(r.get("dose") or "–"),
            escape(r.get("rule", "")),
        )
        for r in summary.get("rois", [])
    ]
    text += table(("structure", "volume (cc)", "dose level", "made of"), rows, (0, 2, 3))
    return text + _comparison(summary, shades) + _structure_set(summary)


def _pictures(results: Results, summary: Mapping[str, Any], shades: Mapping[str, str], drafts: set[str]) -> str:
    from .pictures import contours_figure

    # What is the rest of another volume shares its outline, and lies beneath it.
    rest = lambda name: any(name.startswith(f"{other}_") for other in results.ctvs)
    names = sorted(results.ctvs, key=lambda name: not rest(name))
    drawn = outlines(results, ("brain",)) | {n + DRAFT * (n in drafts): (results.ctvs[n], shades[n]) for n in names}
    drawn |= outlines(results, ("cel",))
    later = later_lesion(results)
    if later is not None:
        drawn["lesion at progression"] = (later, colors(["progression"])["progression"])
    inside, where = results.masks["brain"], focus(results)
    picture = contours_figure(backgrounds(results), drawn, inside, where, results.spacing)
    ways = "; margins go round the barriers" if results.barriers else ""
    predicted = ", and what is predicted to recur" if "probability" in summary else ""
    text = figure(picture, f"Target volumes by margin rule{predicted}, clipped to the brain mask{ways}.")
    if results.barriers:
        looks = colors(list(results.barriers))
        walls = {n: (m, looks[n]) for n, m in results.barriers.items()}
        picture = contours_figure(backgrounds(results), walls, inside, where, results.spacing)
        text += figure(picture, f"Barriers: {summary['barriers']['source']}.")
    return text


def _comparison(summary: Mapping[str, Any], shades: Mapping[str, str]) -> str:
    """The tables against the lesion at progression or, where none is known, of the target volumes with each other."""
    own = lambda n: n.removesuffix(DRAFT)
    named = lambda n: swatch(shades[own(n)]) + escape(n) if own(n) in shades else escape(n)
    if comparison := summary.get("comparison", []):
        titles = summary.get("comparison_titles", {})
        keys = [k for k in comparison[0] if k != "name"]
        # The measures are many and the target volumes few: a line for each measure.
        rows = [(escape(titles.get(k, k)), *(number(r[k]) for r in comparison)) for k in keys]
        header = ("", *(named(r["name"]) for r in comparison))
        said = f"<p>{escape(summary.get('comparison_reference', ''))}</p>"
        return "<h3>Against the lesion at progression</h3>" + said + table(header, rows)
    if agreement := summary.get("agreement", []):
        titles = summary.get("agreement_titles", {})
        rows = [(named(r["first"]), named(r["second"]), *(number(r[k]) for k in titles)) for r in agreement]
        said = "<p>No progression is known; what lies outside the brain does not count.</p>"
        header = ("first", "second", *map(escape, titles.values()))
        return "<h3>Target volumes compared with each other</h3>" + said + table(header, rows, (0, 1))
    return ""


def _structure_set(summary: Mapping[str, Any]) -> str:
    """The RT structure set: what was looked at before it was written, and volumes from its voxels and from its contours."""
    if "rtstruct" not in summary:
        return ""
    text = f"<h3>RT structure set</h3><p>{escape(summary['rtstruct'])}</p>"
    if label := summary.get("rtstruct_label"):
        text += f"<p>Structure set label: {escape(label)}.</p>"
    if written := summary.get("rtstruct_volumes", []):
        shown = lambda w: swatch("#" + "".join(f"{c:02x}" for c in w["color_rgb"])) + escape(w["name"])
        rows = [
            (
                shown(w),
                escape(w["interpreted_type"]),
                number(w["volume_voxels_cc"], 4),
                number(w["volume_contours_cc"], 4),
                escape(w["contours"]),
                escape(w["slices"]),
            )
            for w in written
        ]
        text += table(
            ("structure", "type", "volume of voxels (cc)", "volume of contours (cc)", "contours", "slices"),
            rows,
            (0, 1),
        )
    if summary.get("preflight"):
        tag = lambda level: f'<span class="tag{"" if level == "ok" else " draft"}">{escape(level)}</span>'
        seen = [(escape(f["check"]), tag(f["level"]), escape(f["sentence"])) for f in summary["preflight"]]
        text += table(("checked before writing", "", "found"), seen, (0, 1, 2))
    return text


TARGETS = Section(9, "Target volumes", _targets)
