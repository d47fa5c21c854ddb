"""The report's sections on lesions, maps, medians per region and registration."""

import csv
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ..files import read_json
from ..resources import display, look
from .markup import escape, figure, number, spread, swatch, table
from .parts import LESION, TAG, Section, backgrounds, focus, outlines
from .results import BACKGROUNDS, DCE_MAPS, DSC_MAPS, DTI_MAPS, IMAGES, VE_SD_DRAWN, Results

_MANY = 5  # regions; chosen: more do not fit beside each other on the page, and stand below each other


def _lesions(results: Results, draw: bool) -> str:
    from .pictures import contours_figure

    step = results.step("lesions")
    looks = display()["regions"]
    rows = []
    for name, entry in step.get("summary", {}).items():
        look = looks.get(name, {"title": name.replace("_", " "), "color": "#888888"})
        draft = entry.get("source") in ("draft", "suggestion")
        tag = f'<span class="tag{" draft" if draft else ""}">{escape(entry.get("source"))}</span>'
        title = swatch(look["color"]) + escape(look["title"])
        rows.append((title, number(entry.get("volume_cc")), tag, escape(entry.get("how", ""))))
    title_of = lambda n: looks.get(n, {"title": n})["title"]
    drafts = [title_of(n) for n, e in step.get("summary", {}).items() if e.get("source") == "draft"]
    text = table(("region", "volume (cc)", "from", "how it was found"), rows, (0, 2, 3))
    if drafts:
        text = (
            f'<p class="notice">Drafts, to be checked and corrected by a reader: {escape(", ".join(drafts))}.</p>'
            + text
        )
    if draw and results.images:
        drawn = outlines(results, ("brain", *LESION))
        brain = results.masks["brain"]
        picture = contours_figure(backgrounds(results), drawn, brain, focus(results), results.spacing)
        what = "Outlines of drafts: " if drafts else "Outlines: "
        what += "axial slices through the lesion from below upwards, coronal and sagittal ones through its centre; "
        text = figure(picture, what + "patient's right on the left.") + text
    return text


def _maps(kind: str, names: Sequence[str], results: Results, draw: bool) -> str:
    from .pictures import maps_figure

    shown = [n for n in names if n in results.maps]
    if "ncbv" in shown:
        shown = [n for n in shown if n not in ("cbv", "cbf")]
    text = ""
    if draw and shown and results.images:
        background = results.images.get("t1c", next(iter(results.images.values())))
        picture = maps_figure(
            background,
            {n: results.maps[n] for n in shown},
            outlines(results, ("t2l", "cel")),
            results.masks["brain"],
            focus(results),
            results.spacing,
        )
        text += figure(
            picture,
            "Maps over T1c inside the brain mask, from below upwards; fitted on the grid of the series, then carried to T1c."
            + (f" ve is drawn only where its standard deviation is below {VE_SD_DRAWN}." if kind == "dce" else ""),
        )
    text += _curves(kind, results, draw)
    if draw and kind in results.arteries and results.images:
        text += _arteries(kind, results)
    return text + (_motion(results.folder / kind / "motion.csv", kind, results) if draw else "")


def _curves(kind: str, results: Results, draw: bool) -> str:
    """The arterial input function, and what the model makes of the lesion's curve."""
    path = results.folder / kind / "aif.csv"
    if not path.exists():
        return ""
    how = results.step(kind).get("summary", {}).get("aif", "")
    if not draw:
        return f"<p>Arterial input function: {escape(how)}</p>"
    from .plots import SHADES, Curve, Panel, curves_figure

    times, values = np.array([[float(v) for v in row] for row in _rows(path)[1:]]).T
    fit = results.folder / kind / "fit.json"
    known: dict[str, Any] = read_json(fit) if fit.exists() else {}
    unit = "plasma concentration (mM)" if kind == "dce" else "ΔR2* (1/s)"
    curves = [Curve(times, values, "as used", SHADES[0])]
    aif = known.get("aif", {})
    if aif.get("measured"):
        at = np.asarray(aif["measured_times_s"], float)
        curves.append(Curve(at, np.asarray(aif["measured"], float), "measured", SHADES[2], "."))
    panels = [Panel("Arterial input function", "time (s)", unit, curves, known.get("arrival_s"), "agent arrives")]
    if mean := known.get("mean_curve"):
        own = np.asarray(known["times_s"], float)
        number_of = lambda key: np.array([np.nan if v is None else v for v in mean[key]], float)
        curves = [Curve(own, number_of("data"), "data", SHADES[1], ".")]
        if np.isfinite(number_of("model")).any():
            curves.append(Curve(own, number_of("model"), mean["label"], SHADES[0]))
        panels.append(Panel(mean["title"].capitalize(), "time (s)", mean["unit"], curves))
    said = f"Arterial input function: {how}"
    return figure(curves_figure(panels), said + ("" if said.endswith(".") else "."))


def _arteries(kind: str, results: Results) -> str:
    """Where the arterial input function was taken."""
    from .pictures import slices_figure

    looks = display()["regions"]
    names = {kind: "artery", f"{kind}_sinus": "sinus"}
    drawn = {
        looks[as_]["title"]: (results.arteries[n], looks[as_]["color"])
        for n, as_ in names.items()
        if n in results.arteries and results.arteries[n].any()
    }
    if not drawn:
        return ""
    where = np.any([mask for mask, _ in drawn.values()], axis=0)
    background = results.images.get("t1c", next(iter(results.images.values())))
    picture = slices_figure([("T1c", background, drawn)], results.masks["brain"] | where, where, results.spacing)
    return figure(picture, "Where the arterial input function was taken, on the slices with most of its voxels.")


def _motion(path: Path, kind: str, results: Results) -> str:
    """Movement of the head, frame by frame."""
    if not path.exists():
        return ""
    from .plots import SHADES, Curve, Panel, curves_figure

    header, *rows = _rows(path)
    column = lambda name: np.array([float(row[header.index(name)]) for row in rows])
    frames = column("frame")
    spans = frames[column("outlier") > 0].tolist()
    panels = []
    for title, unit, axes in (("Translation", "mm", "mm"), ("Rotation", "degrees", "deg")):
        values = [column(f"{axis}_{axes}") for axis in "xyz"]
        names = ("x, to the left", "y, to the back", "z, upwards")
        curves = [Curve(frames, v, n, c) for v, n, c in zip(values, names, SHADES)]
        # Never so narrow that noise of a motionless head looks like movement.
        reach = max(0.5, 1.1 * float(np.abs(values).max()))
        panels.append(Panel(title, "frame", unit, curves, spans=spans, reach=reach))
    fit = path.parent / "fit.json"
    if fit.exists() and (arrival := read_json(fit).get("arrival_frame")) is not None:
        panels = [Panel(p.title, p.x, p.y, p.curves, arrival, "agent arrives", p.spans, p.reach) for p in panels]
    marked = " Frames that do not fit the others are marked." if spans else ""
    return figure(curves_figure(panels), f"Movement of the head that was corrected, against the first frames.{marked}")


def _rows(path: Path) -> list[list[str]]:
    with path.open(newline="") as stream:
        return list(csv.reader(stream))


def _regions(results: Results, draw: bool) -> str:
    path = results.folder / "regions.csv"
    if not path.exists():
        return ""
    with path.open(newline="") as stream:
        found = {(row["map"], row["region"]): row for row in csv.DictReader(stream)}
    looks = display()["regions"]
    regions = [r for r in looks if any(region == r for _, region in found)]
    maps = [n for n in (*DCE_MAPS, *DSC_MAPS, *DTI_MAPS) if any(name == n for name, _ in found)]

    def cell(name: str, region: str) -> str:
        row = found.get((name, region))
        if row is None or not int(row["n"]):
            return "–"
        median, low, high = (float(row[key]) for key in ("median", "p25", "p75"))
        return f'{number(median)}<br><span class="soft small">{spread(low, high)}</span>'

    unit = {n: next(row["unit"] for (name, _), row in found.items() if name == n) for n in maps}
    of_map = lambda n: f'{escape(look(n).title)}<br><span class="soft small">{escape(unit[n])}</span>'
    drafts = {region for (_, region), row in found.items() if row.get("draft")}
    of_region = lambda r: swatch(looks[r]["color"]) + escape(looks[r]["title"]) + (TAG if r in drafts else "")
    if len(regions) > _MANY:
        rows = [[of_region(r), *(cell(n, r) for n in maps)] for r in regions]
        text = table(["region", *map(of_map, maps)], rows)
    else:
        rows = [[of_map(n), *(cell(n, r) for r in regions)] for n in maps]
        text = table(["map", *map(of_region, regions)], rows)
    return text + (
        '<p class="soft">Median, and below it the 25th to 75th percentile, over voxels with a defined value; these and the other maps '
        "are in <code>regions.csv</code>.</p>"
    )


def _registration(results: Results, draw: bool) -> str:
    from .pictures import checkerboards_figure

    rows = []
    for role, q in results.step("registered").get("summary", {}).items():
        if "verdict" in q:
            before, after = (number(q.get(f"mutual_information_{when}")) for when in ("before", "after"))
            rows.append(
                (
                    escape(IMAGES.get(role, role)),
                    escape(q["verdict"]),
                    before,
                    after,
                    number(q.get("overlap")),
                    number(q.get("translation_mm")),
                    number(q.get("rotation_deg")),
                    *([number(results.cpu_seconds.get(role))] if results.cpu_seconds else []),
                    escape(q.get("engine", "")),
                )
            )
    if not rows:
        return ""
    header = (
        "image",
        "result",
        "mutual information before",
        "after",
        "overlap (0 to 1)",
        "shift (mm)",
        "rotation (degrees)",
        *(["processor time (s)"] if results.cpu_seconds else []),
        "program",
    )
    text = table(header, rows, (0, 1, len(header) - 1))
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
DCE = Section(3, "Dynamic contrast-enhanced (DCE) perfusion", partial(_maps, "dce", DCE_MAPS))
DSC = Section(5, "Dynamic susceptibility contrast (DSC) perfusion", partial(_maps, "dsc", DSC_MAPS))
REGISTRATION = Section(12, "Registration", _registration)
