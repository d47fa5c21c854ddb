"""The parts of the report, one per step: what is drawn, and what is said beside it."""

import csv
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import cycle
from typing import Any

import numpy as np

from ..resources import display, look
from .markup import escape, figure, number, table
from .results import BACKGROUNDS, DCE_MAPS, DSC_MAPS, VE_SD_DRAWN, Results

_DRAFT = ' <span class="tag draft">draft</span>'
_OUTLINED = ("t2l", "cel", "necrosis", "cavity")


@dataclass(frozen=True)
class Section:
    """A step's part of the report.

    Attributes
    ----------
    place
        Where it stands on the page: what is looked at first stands first, whatever order the steps run in.
    title
        Its heading, and what the step is called where it was skipped.
    content
        What stands below the heading as HTML, of the results and whether pictures are drawn.
    recorded
        Whether ``run.json`` says what came of the step; if not, the section stands where it has content.
    """

    place: int
    title: str
    content: Callable[[Results, bool], str]
    recorded: bool = True


def _outlines(results: Results, names: Sequence[str]) -> dict[str, tuple[np.ndarray, str]]:
    looks = display()["regions"]
    entries = results.step("lesions").get("summary", {})
    drafted = lambda n: " (draft)" if entries.get(n, {}).get("source") == "draft" else ""
    return {
        looks[n]["title"] + drafted(n): (results.masks[n], looks[n]["color"])
        for n in names
        if n in results.masks and results.masks[n].any()
    }


def _backgrounds(results: Results) -> dict[str, np.ndarray]:
    """What outlines are drawn on, by title: T1c and FLAIR, else whatever image there is."""
    wanted = {BACKGROUNDS[r]: results.images[r] for r in ("t1c", "flair") if r in results.images}
    return wanted or {"": next(iter(results.images.values()))}


def _focus(results: Results) -> np.ndarray:
    """What slices are chosen by: the enhancing lesion, else the T2 lesion, else the brain."""
    for name in ("cel", "t2l", "brain"):
        if name in results.masks and results.masks[name].any():
            return results.masks[name]
    return results.masks["brain"]


def _lesions(results: Results, draw: bool) -> str:
    from .pictures import contours_figure

    step = results.step("lesions")
    looks = display()["regions"]
    rows = []
    for name, entry in step.get("summary", {}).items():
        look = looks.get(name, {"title": name.replace("_", " "), "color": "#888"})
        draft = entry.get("source") in ("draft", "suggestion")
        tag = f'<span class="tag{" draft" if draft else ""}">{escape(entry.get("source"))}</span>'
        swatch = f'<span class="swatch" style="background:{look["color"]}"></span>'
        rows.append(
            (f"{swatch}{escape(look['title'])}", tag, number(entry.get("volume_cc")), escape(entry.get("how", "")))
        )
    drafts = [n for n, e in step.get("summary", {}).items() if e.get("source") == "draft"]
    text = table(
        ("region", "from", "volume (cc)", "how"),
        [(a, b, f'<span style="float:right">{c}</span>', d) for a, b, c, d in rows],
        9,
    )
    if drafts:
        text = (
            f'<p class="notice">Drafts, to be checked and corrected by a reader: {escape(", ".join(drafts))}.</p>'
            + text
        )
    if draw and results.images:
        picture = contours_figure(
            _backgrounds(results),
            _outlines(results, _OUTLINED),
            results.masks["brain"],
            _focus(results),
            results.spacing,
        )
        what = "Outlines of drafts: " if drafts else "Outlines: "
        what += (
            "axial slices through the lesion (largest area in the middle), coronal and sagittal through its centre; "
        )
        text = figure(picture, what + "patient's right on the left.") + text
    return text


def _maps(kind: str, names: Sequence[str], results: Results, draw: bool) -> str:
    from .pictures import curve_figure, maps_figure

    step = results.step(kind)
    summary = step.get("summary", {})
    shown = [n for n in names if n in results.maps]
    if "ncbv" in shown:
        shown = [n for n in shown if n not in ("cbv", "cbf")]
    text = ""
    if draw and shown and results.images:
        background = results.images.get("t1c", next(iter(results.images.values())))
        picture = maps_figure(
            background,
            {n: results.maps[n] for n in shown},
            _outlines(results, ("t2l", "cel")),
            results.masks["brain"],
            _focus(results),
            results.spacing,
        )
        text += figure(
            picture,
            "Maps over T1c inside the brain mask, on the slices that matter; fitted on the native grid, then resampled."
            + (f" ve is drawn only where its standard deviation is below {VE_SD_DRAWN}." if kind == "dce" else ""),
        )
    curve = results.folder / kind / "aif.csv"
    if curve.exists():
        with curve.open(newline="") as stream:
            times, values = np.transpose([[float(v) for v in row] for row in list(csv.reader(stream))[1:]])
        unit = "plasma concentration (mM)" if kind == "dce" else "ΔR2* (1/s)"
        how = summary.get("aif", "")
        if draw:
            text += figure(
                curve_figure(times, values, "Arterial input function", unit), f"Arterial input function: {how}"
            )
        else:
            text += f"<p>Arterial input function: {escape(how)}</p>"
    motion = results.folder / kind / "motion.png"
    if draw and motion.exists():
        text += figure(motion.read_bytes(), "Movement of the head that was corrected, against the first frames.")
    return text


def _regions(results: Results, draw: bool) -> str:
    path = results.folder / "regions.csv"
    if not path.exists():
        return ""
    with path.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    looks = display()
    regions = [r for r in looks["regions"] if any(row["region"] == r for row in rows)]
    body = []
    for name in (n for n in (*DCE_MAPS, *DSC_MAPS) if any(row["map"] == n for row in rows)):
        head = next(row["unit"] for row in rows if row["map"] == name)
        cells = [f"{escape(look(name).title)} <span class='soft'>{escape(head)}</span>"]
        for region in regions:
            row = next((r for r in rows if r["map"] == name and r["region"] == region), None)
            cells.append(
                "–"
                if row is None or not int(row["n"])
                else f"{float(row['median']):.3g} <span class='soft'>({float(row['p25']):.2g}–{float(row['p75']):.2g})</span>"
            )
        body.append(cells)
    header = ["map", *(looks["regions"][r]["title"] for r in regions)]
    return (
        table(header, body) + '<p class="soft">Median (25th–75th percentile) over voxels with a defined value; '
        "these and the other maps are in <code>regions.csv</code>.</p>"
    )


def _targets(results: Results, draw: bool) -> str:
    from .pictures import contours_figure

    summary = results.step("rt").get("summary", {})
    rois = summary.get("rois", [])
    colors = dict(zip(results.ctvs, cycle(display()["ctvs"])))
    drafts = {r["name"] for r in rois if r.get("draft")}
    text = ""
    if draw and results.ctvs and results.images:
        outlines = {f"{n} (draft)" if n in drafts else n: (m, colors[n]) for n, m in results.ctvs.items()}
        outlines |= _outlines(results, ("cel",))
        progression = [results.masks[n] for n in ("progression_cel", "progression_t2l") if n in results.masks]
        if progression:
            outlines["lesion at progression"] = (
                np.any(progression, axis=0),
                display()["regions"]["progression"]["color"],
            )
        picture = contours_figure(
            _backgrounds(results),
            outlines,
            results.masks["brain"],
            _focus(results),
            results.spacing,
        )
        ways = "; margins go round the barriers" if results.barriers else ""
        predicted = ", and what is predicted to recur" if "probability" in summary else ""
        text += figure(picture, f"Target volumes by margin rule{predicted}, clipped to the brain mask{ways}.")
        if results.barriers:
            looks = dict(zip(results.barriers, cycle(display()["ctvs"])))
            picture = contours_figure(
                _backgrounds(results),
                {n: (m, looks[n]) for n, m in results.barriers.items()},
                results.masks["brain"],
                _focus(results),
                results.spacing,
            )
            text += figure(picture, f"Barriers: {summary['barriers']['source']}.")
    if "probability" in summary:
        text += f"<p>Recurrence probability: {escape(summary['probability']['source'])}.</p>"
    swatch = lambda n: f'<span class="swatch" style="background:{colors.get(n, "#ff4d4d")}"></span>'
    text += table(
        ("structure", "volume (cc)", "dose level", "rule"),
        [
            (
                swatch(r["name"]) + escape(r["name"]) + (_DRAFT if r["name"] in drafts else ""),
                f'<span style="float:right">{number(r["volume_cc"])}</span>',
                escape(r.get("dose", "")),
                escape(r.get("rule", "")),
            )
            for r in rois
        ],
        9,
    )
    comparison = summary.get("comparison", [])
    if comparison:
        keys = [k for k in comparison[0] if k != "name"]
        titles = summary.get("comparison_titles", {})
        text += (
            "<h3>Against the lesion at progression</h3>" + f"<p>{escape(summary.get('comparison_reference', ''))}</p>"
        )
        text += table(
            ["CTV", *(titles.get(k, k) for k in keys)],
            [[escape(r["name"]), *(number(r[k]) for k in keys)] for r in comparison],
        )
    agreement = summary.get("agreement", [])
    if agreement:
        titles = summary.get("agreement_titles", {})
        text += "<h3>Target volumes among each other</h3><p>No progression is known; what lies outside the brain does not count.</p>"
        text += table(
            ["first", "second", *titles.values()],
            [[escape(r["first"]), escape(r["second"]), *(number(r[k]) for k in titles)] for r in agreement],
            2,
        )
    return text + _structure_set(summary)


def _structure_set(summary: Mapping[str, Any]) -> str:
    """The RT structure set: what was looked at before it was written, and volumes from its voxels and from its contours."""
    if "rtstruct" not in summary:
        return ""
    text = f"<h3>RT structure set</h3><p>{escape(summary['rtstruct'])}</p>"
    written = summary.get("rtstruct_volumes", [])
    if summary.get("rtstruct_label"):
        text += f"<p>Structure set label: {escape(summary['rtstruct_label'])}.</p>"
    if written:
        rows = [
            (
                escape(w["name"]),
                escape(w["interpreted_type"]),
                f"{w['volume_voxels_cc']:.3f}",
                f"{w['volume_contours_cc']:.3f}",
                escape(w["contours"]),
                escape(w["slices"]),
            )
            for w in written
        ]
        text += table(("ROI", "type", "voxels (cc)", "contours (cc)", "contours", "slices"), rows, 2)
    if summary.get("preflight"):
        tag = lambda level: f'<span class="tag{"" if level == "ok" else " draft"}">{escape(level)}</span>'
        seen = [(escape(f["check"]), tag(f["level"]), escape(f["sentence"])) for f in summary["preflight"]]
        text += table(("looked at", "", "found"), seen, 9)
    return text


def _progression(results: Results, draw: bool) -> str:
    rows = [(escape(k.replace("_", " ")), number(v)) for k, v in results.step("progression").get("summary", {}).items()]
    return table(("quantity", "value"), rows)


def _registration(results: Results, draw: bool) -> str:
    from .pictures import checkerboards_figure

    summary = results.step("registered").get("summary", {})
    rows = []
    for role, q in summary.items():
        if "verdict" in q:
            mi = f"{number(q.get('mutual_information_before'))} → {number(q.get('mutual_information_after'))}"
            rows.append(
                (
                    escape(role),
                    escape(q["verdict"]),
                    mi,
                    number(q.get("overlap")),
                    number(q.get("translation_mm")),
                    number(q.get("rotation_deg")),
                    escape(q.get("engine", "")),
                )
            )
    if not rows:
        return ""
    text = table(("image", "verdict", "mutual information", "overlap", "shift (mm)", "rotation (°)", "engine"), rows)
    moved = {BACKGROUNDS[r]: v for r, v in results.images.items() if r != results.run.get("reference")}
    if draw and moved:
        fixed = results.images[results.run["reference"]]
        text += figure(
            checkerboards_figure(fixed, moved, results.masks["brain"], results.spacing),
            "Checkerboards of T1c and each registered image: edges should continue from square to square.",
        )
    return text


LESIONS = Section(1, "Lesions and brain", _lesions)
REGIONS = Section(2, "Median values per region", _regions, recorded=False)
DCE = Section(3, "DCE perfusion", partial(_maps, "dce", DCE_MAPS))
DSC = Section(4, "DSC perfusion", partial(_maps, "dsc", DSC_MAPS))
TARGETS = Section(5, "Target volumes", _targets)
PROGRESSION = Section(6, "Follow-up and progression", _progression)
REGISTRATION = Section(7, "Registration", _registration)
