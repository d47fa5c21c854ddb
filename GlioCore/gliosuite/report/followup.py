"""The report's section on the later visit: both side by side, volumes then and now, and what changed."""

from typing import Any

import numpy as np

from ..resources import colors, display
from .markup import escape, figure, number, swatch, table
from .parts import Outlines, Section, focus, later_lesion, outlines, roi_colors, voxel_cc
from .results import BACKGROUNDS, Results

_PAIRS = {"cel": "progression_cel", "t2l": "progression_t2l"}
_QUALITY = {
    "compared": ("images that were compared", ""),
    "not_compared_cc": ("tumour and cavity, not compared", "cc"),
    "mutual_information_before": ("mutual information before registration", ""),
    "mutual_information_after": ("mutual information after registration", ""),
    "jacobian_min": ("smallest change of volume (Jacobian)", ""),
    "jacobian_max": ("largest change of volume (Jacobian)", ""),
    "jacobian_share_not_positive": ("share of voxels that fold (0 is needed)", ""),
    "inverse_error_mm": ("there and back again, error", "mm"),
    "landmark_error_before_mm": ("error at landmarks before", "mm"),
    "landmark_error_linear_mm": ("error at landmarks after the affine stage", "mm"),
    "landmark_error_after_mm": ("error at landmarks after", "mm"),
}


def _followup(results: Results, draw: bool) -> str:
    summary = results.step("progression").get("summary", {})
    days = summary.get("days")
    when = f" after {float(days):.0f} days" if days is not None else ""
    text = _picture(results, when) if draw and results.images else ""
    return text + _volumes(results) + _changes(results) + _quality(summary)


def _picture(results: Results, when: str) -> str:
    from .pictures import slices_figure

    now = {k: v for k, v in _PAIRS.items() if v in results.masks and results.masks[v].any()}
    looks = display()["regions"]
    then_drawn = outlines(results, tuple(_PAIRS)[::-1])
    now_drawn: Outlines = {looks[k]["title"]: (results.masks[v], looks[k]["color"]) for k, v in list(now.items())[::-1]}
    rows = []
    for role, title in BACKGROUNDS.items():
        if role in ("t1c", "flair") and role in results.later and role in results.images:
            rows += [(f"{title}, before", results.images[role], then_drawn)]
            rows += [(f"{title}, follow-up{when}", results.later[role], now_drawn)]
    if not rows:
        role = next(iter(results.images))
        rows = [
            (f"{BACKGROUNDS[role]}, lesion before", results.images[role], then_drawn),
            (f"{BACKGROUNDS[role]}, lesion at progression", results.images[role], now_drawn),
        ]
    later = later_lesion(results)
    where = focus(results) if later is None or not later.any() else focus(results) | later
    if where.all() or np.array_equal(where, results.masks["brain"]):
        where = results.masks["brain"]
    said = "Both visits on the same slices: the follow-up was brought onto the first visit, so that tissue lies where it lay then."
    return figure(slices_figure(rows, results.masks["brain"], where, results.spacing), said)


def _volumes(results: Results) -> str:
    """Volumes before and at the follow-up, both on the grid of the first visit."""
    looks, cc = display()["regions"], voxel_cc(results)
    rows = []
    for then, now in _PAIRS.items():
        if now not in results.masks:
            continue
        after = float(results.masks[now].sum()) * cc
        before = float(results.masks[then].sum()) * cc if then in results.masks else None
        change = None if before is None else after - before
        percent = f"{100 * change / before:+.0f} %" if change is not None and before else "–"
        signed = "–" if change is None else f"{'+' if change > 0 else ''}{number(change)}"
        name = swatch(looks[then]["color"]) + escape(looks[then]["title"])
        rows.append((name, number(before), number(after), signed, percent))
    if not rows:
        return ""
    header = ("lesion", "before (cc)", "follow-up (cc)", "change (cc)", "change")
    return table(header, rows) + (
        '<p class="soft">Both volumes are counted where the tissue lay at the first visit: what grew or shrank by pushing alone does not '
        "count.</p>"
    )


def _changes(results: Results) -> str:
    """Where the lesion at progression lies: in the lesion of before, and in each CTV."""
    later = later_lesion(results)
    if later is None or not later.any():
        return ""
    cc = voxel_cc(results)
    before = np.any([results.masks[n] for n in ("cel", "t2l", "cavity") if n in results.masks], axis=0)
    new = later & ~before
    share = lambda part: f"{number(float(part.sum()) * cc)} cc ({100 * part.sum() / later.sum():.0f} %)"
    whole = number(float(later.sum()) * cc)
    said = f"Of {whole} cc of lesion at progression, {share(new)} are new: outside the lesion and cavity of before."
    shades = colors(list(results.ctvs)) | roi_colors(results)
    rows = [
        (
            swatch(shades[n]) + escape(n),
            number(float((later & m).sum()) * cc),
            number(float((later & ~m).sum()) * cc),
            number(float((new & ~m).sum()) * cc),
        )
        for n, m in results.ctvs.items()
    ]
    header = ("target volume", "progression inside (cc)", "progression outside (cc)", "of it new lesion (cc)")
    return f"<h3>What changed</h3><p>{said}</p>" + (table(header, rows) if rows else "")


def _quality(summary: dict[str, Any]) -> str:
    rows = []
    for key, value in summary.items():
        if key not in _QUALITY:
            continue
        title, unit = _QUALITY[key]
        shown = ", ".join(str(BACKGROUNDS.get(r, r)) for r in value) if isinstance(value, list) else number(value)
        rows.append((escape(title) + (f" ({unit})" if unit else ""), shown))
    if not rows:
        return ""
    return f"<details><summary>How the visits were registered</summary>{table(('quantity', 'value'), rows, (0, 1))}</details>"


PROGRESSION = Section(10, "Follow-up and progression", _followup)
