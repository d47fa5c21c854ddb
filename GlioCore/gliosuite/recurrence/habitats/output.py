"""What is written of a patient's habitats: the map, its colour table for 3D Slicer, the table of patterns and the record."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...files import write_csv, write_json, write_text
from ...images import write_image
from ...resources import display, rgb
from .curves import BEFORE, POINTS, STEP_S, LesionCurves, parameters
from .labels import TITLES, counted
from .model import Habitats, Pattern, trained_on

if TYPE_CHECKING:
    from ...training import Model

MAP, TABLE, COLOURS, RECORD = "habitats.nii.gz", "patterns.csv", "habitats.ctbl", "habitats.json"
NOT_COMPARABLE = "Fitted on this patient alone: patterns are not comparable between patients."
_MOST_UNLIKE = 0.1  # share of curves; chosen: ten times what training has
_COLUMNS = (
    *("value", "region", "pattern", "title", "margin", "doubts", "voxels", "cc", "percent"),
    *("baseline", "drop", "drop_speed_per_s", "drop_speed_per_frame", "recovery", "adc_mm2_s"),
)


def names_of(patterns: tuple[Pattern, ...]) -> dict[int, str]:
    """Names of patterns by value, such as ``cel_angiogenic_1``."""
    named = {}
    for region in dict.fromkeys(p.region for p in patterns):
        own = [p for p in patterns if p.region == region]
        for pattern, name in zip(own, counted([p.label.name for p in own])):
            named[pattern.value] = f"{region}_{name.replace(' ', '_')}"
    return named


def look_of(name: str) -> tuple[str, str]:
    """Title and colour of a pattern by its name; each further one of a label is paler."""
    region, label, *number = name.split("_")
    own = display()["habitats"][f"{region}_{label}"]
    n = int(number[0]) if number else 0
    pale = 1 - 0.55 ** max(n - 1, 0)
    color = "#" + "".join(f"{round(v + (255 - v) * pale):02x}" for v in rgb(own))
    return f"{region.upper()}: {TITLES[label]}" + f" {n}" * bool(n), color


def record_of(found: Habitats, model: "Model", comparable: bool = True) -> dict[str, Any]:
    """What habitats.json says: patterns with volumes, parameters and ADC in this patient; reference tissues; mean curves; notes."""
    lesion = found.lesion
    cc = lesion.grid.voxel_cc
    rows, curves = [], {}
    for value, name in names_of(found.patterns).items():
        pattern = found.patterns[value - 1]
        inside, whole = found.value == value, int(lesion.of(pattern.region).sum())
        title, color = look_of(name)
        row = {
            "value": value,
            "region": pattern.region,
            "pattern": name,
            "title": title,
            "color": color,
            "margin": round(pattern.label.margin, 3),
            "doubts": list(pattern.label.doubts),
            "voxels": int(inside.sum()),
            "cc": round(float(inside.sum()) * cc, 4),
            "percent": round(100 * float(inside.sum()) / whole, 3) if whole else None,
        }
        if inside.any():
            curves[name] = lesion.curves[inside].mean(axis=0, dtype=np.float64)
            row |= _measured(curves[name], lesion.tr_s) | {"adc_mm2_s": _mean_adc(lesion, inside)}
        rows.append(row)
    return {
        "patterns": rows,
        "references": {n: _measured(c, lesion.tr_s) for n, c in lesion.references.items()},
        "comparable": comparable,
        "trained_on": comparable and trained_on(model, lesion),
        "unlike_share": round(found.unlike, 4),
        "times_s": [STEP_S * (i - BEFORE) for i in range(POINTS)],
        "curves": {n: np.round(c, 4).tolist() for n, c in (curves | dict(lesion.references)).items()},
        "model": {
            k: model.about.get(k) for k in ("kind", "trained_on", "patients", "simulated", "seed", "weights_sha256")
        },
        "notes": [*lesion.notes, *_notes(found, model, comparable)],
    }


def _measured(curve: np.ndarray, tr_s: float) -> dict[str, float | None]:
    """Parameters of one curve (60,) by column."""
    found = parameters(curve)
    speed = float(found.speed[0])
    values = {
        "baseline": float(found.baseline[0]),
        "drop": float(found.drop[0]),
        "drop_speed_per_s": speed,
        "drop_speed_per_frame": speed * tr_s,
        "recovery": float(found.psr[0]),
    }
    return {n: round(v, 4) if np.isfinite(v) else None for n, v in values.items()}


def _mean_adc(lesion: LesionCurves, inside: np.ndarray) -> float | None:
    known = lesion.adc[inside & np.isfinite(lesion.adc)]
    return float(f"{known.mean(dtype=np.float64):.4g}") if known.size else None


def _notes(found: Habitats, model: "Model", comparable: bool) -> list[str]:
    notes = []
    if not comparable:
        notes.append(NOT_COMPARABLE)
    elif model.about.get("simulated"):
        notes.append(
            "The habitats' model was trained on simulated patients alone: it shows the way from curves to patterns, and is no evidence of "
            "what this tissue is."
        )
    if comparable and trained_on(model, found.lesion):
        notes.append("This patient is one of those that the habitats' model was trained on.")
    if found.unlike > _MOST_UNLIKE:
        notes.append(
            f"{100 * found.unlike:.0f} % of the lesion's curves are unlike those that the model was trained on; their patterns tell little."
        )
    there = set(found.value.tolist())
    named = names_of(found.patterns)
    doubtful = [look_of(named[p.value])[0] for p in found.patterns if p.value in there and p.label.doubts]
    if doubtful:
        notes.append(f"Labels in doubt (patterns.csv says why): {', '.join(doubtful)}.")
    if not any(r in ("gm", "csf", "artery") for r in found.lesion.references):
        notes.append("No reference tissue but white matter was found.")
    return notes


def write(found: Habitats, record: Mapping[str, Any], folder: Path) -> None:
    """Write map, colour table, table of patterns and record into a folder."""
    values = np.zeros(found.lesion.grid.shape, np.uint8)
    values.ravel()[found.lesion.voxels] = found.value
    write_image(found.lesion.grid.image(values), folder / MAP, "habitats: patterns of DSC curves")
    lines = ["# Color table file for 3D Slicer", "0 background 0 0 0 0"]
    for row in record["patterns"]:
        lines.append(f"{row['value']} {row['pattern']} {' '.join(str(v) for v in rgb(row['color']))} 255")
    write_text(folder / COLOURS, "\n".join(lines) + "\n")
    cell = lambda v: "; ".join(v) if isinstance(v, list) else "" if v is None else v
    rows = [[cell(row.get(c)) for c in _COLUMNS] for row in record["patterns"]]
    rows += [
        [cell({"region": "reference", "pattern": n, **m}.get(c)) for c in _COLUMNS]
        for n, m in record["references"].items()
    ]
    write_csv(folder / TABLE, list(_COLUMNS), rows)
    write_json(folder / RECORD, record)
