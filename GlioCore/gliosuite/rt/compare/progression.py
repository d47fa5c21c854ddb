"""How target volumes meet the lesion at progression: the measures of Tran 2025, and coverage at equal volume (PREDICT-GBM)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import SimpleITK as sitk

from ...errors import InputError
from ...images import Grid, array, boolean, resample_mask, signed_distance
from ...statistics import coverage_coefficient
from .distances import edge_distances

# Column -> what it is, for tables.
TITLES = {
    "sensitivity": "sensitivity",
    "specificity": "specificity",
    "dice": "Dice",
    "hd95_mm": "HD95 (mm)",
    "tversky": "Tversky (.02, .98)",
    "pcc": "PCC",
    "equal_volume_coverage": "coverage at equal volume",
    "ctv_cc": "CTV (cc)",
    "normal_brain_cc": "normal brain in CTV (cc)",
    "missed_cc": "progression missed (cc)",
    "normal_brain_spared_cc": "normal brain spared against the first (cc)",
    "surface_mean_mm": "mean surface distance (mm)",
}


@dataclass(frozen=True)
class CtvMetrics:
    """A CTV against the lesion at progression, both inside the brain; NaN where a measure is undefined.

    Attributes
    ----------
    sensitivity, specificity, dice
        0-1.
    surface_mean_mm, hd95_mm
        Mean of the surface distances both ways, and the larger of the two directed 95th percentiles.
    tversky
        TP / (TP + .02 FP + .98 FN).
    pcc
        Prediction coverage coefficient (`statistics.coverage_coefficient`).
    f
        Target voxels / brain voxels.
    ctv_cc, progression_cc, brain_cc
        Volumes inside the brain.
    normal_brain_cc
        What the CTV takes of brain that did not progress.
    missed_cc
        Progression outside the CTV.
    """

    sensitivity: float
    specificity: float
    dice: float
    surface_mean_mm: float
    hd95_mm: float
    tversky: float
    pcc: float
    f: float
    ctv_cc: float
    progression_cc: float
    brain_cc: float
    normal_brain_cc: float
    missed_cc: float


def compare_ctv(ctv: sitk.Image, progression: sitk.Image, brain: sitk.Image) -> CtvMetrics:
    """Compare a CTV with the lesion at progression inside the brain (Tran 2025).

    Parameters
    ----------
    ctv, progression, brain
        0/1 images on one grid.

    Raises
    ------
    InputError
        If the grids differ or the brain mask is empty.

    Examples
    --------
    >>> import numpy as np
    >>> import SimpleITK as sitk
    >>> z = np.arange(20)[:, None, None] + np.zeros((20, 20, 20))
    >>> ctv, progression, brain = (sitk.GetImageFromArray((z < n).astype(np.uint8)) for n in (10, 8, 20))
    >>> found = compare_ctv(ctv, progression, brain)
    >>> found.sensitivity, round(found.specificity, 3), round(found.dice, 3)
    (1.0, 0.833, 0.889)
    """
    grid, inside = _brain(brain, {"CTV": ctv, "progression": progression})
    planned, target = boolean(ctv) & inside, boolean(progression) & inside
    tp, fp = int((planned & target).sum()), int((planned & ~target).sum())
    fn, n = int((target & ~planned).sum()), int(inside.sum())
    tn = n - tp - fp - fn
    f = (tp + fn) / n
    ratio = lambda a, b: a / b if b else float("nan")
    weighted = lambda a, b: ratio(tp, tp + a * fp + b * fn) if tp + fn else float("nan")
    surface_mean, hd95 = edge_distances(planned, target, grid)
    return CtvMetrics(
        sensitivity=ratio(tp, tp + fn),
        specificity=ratio(tn, tn + fp),
        dice=ratio(2 * tp, 2 * tp + fp + fn),
        surface_mean_mm=surface_mean,
        hd95_mm=hd95,
        tversky=weighted(0.02, 0.98),
        pcc=coverage_coefficient(tp, fp, fn, n),
        f=f,
        ctv_cc=(tp + fp) * grid.voxel_cc,
        progression_cc=(tp + fn) * grid.voxel_cc,
        brain_cc=n * grid.voxel_cc,
        normal_brain_cc=fp * grid.voxel_cc,
        missed_cc=fn * grid.voxel_cc,
    )


def progression_coverage(score: sitk.Image, progression: sitk.Image, brain: sitk.Image, volume_cc: float) -> float:
    """Which share of the progression the best-scored `volume_cc` of the brain covers (rule of PREDICT-GBM).

    The plan is the round(volume / voxel) brain voxels with the highest score; equal scores are taken in voxel order, undefined ones last.

    Returns
    -------
    float
        0-1; 1 where there is no progression inside the brain.

    Raises
    ------
    InputError
        If the grids differ, the brain mask is empty, or the volume is not within 0 and the brain's.

    Examples
    --------
    >>> import numpy as np
    >>> import SimpleITK as sitk
    >>> z = np.arange(20)[:, None, None] + np.zeros((20, 20, 20))
    >>> score, progression, brain = (sitk.GetImageFromArray(v.astype(np.float32)) for v in (-z, z < 8, z < 20))
    >>> progression_coverage(score, progression, brain, volume_cc=1.6)  # 4 of the 8 slices
    0.5
    """
    grid, inside = _brain(brain, {"score": score, "progression": progression})
    target = boolean(progression)[inside]
    count = round(volume_cc / grid.voxel_cc)
    if not 0 <= count <= target.size:
        raise InputError(
            f"a volume of {volume_cc:g} cc is not within 0 and the brain's {target.size * grid.voxel_cc:.1f} cc"
        )
    if not target.any():
        return 1.0
    values = np.nan_to_num(array(score, np.float64)[inside], nan=-np.inf)
    plan = np.argsort(-values, kind="stable")[:count]
    return float(target[plan].sum() / target.sum())


def comparison_table(
    ctvs: Mapping[str, sitk.Image],
    progression: sitk.Image,
    brain: sitk.Image,
    volume_cc: float | None = None,
) -> list[dict[str, float | str]]:
    """Every CTV against the progression, one row each.

    Coverage at equal volume asks what each CTV would cover if all had the volume of the first one (or `volume_cc`): each is grown or shrunk
    along the distance from its own surface until it has that volume, and covers what it then covers. Normal brain spared is what the first
    CTV takes of brain that did not progress, less what this one takes: below 0 where it takes more.

    Parameters
    ----------
    ctvs
        Name to mask, on any grid; carried to that of the brain mask, as is the progression.

    Returns
    -------
    list of dict
        ``name`` and the keys of `TITLES`.
    """
    grid = Grid.of(brain)
    progression = resample_mask(progression, grid)
    on_grid = {name: resample_mask(mask, grid) for name, mask in ctvs.items()}
    rows: list[dict[str, Any]] = []
    for name, ctv in on_grid.items():
        metrics = compare_ctv(ctv, progression, brain)
        if volume_cc is None:
            volume_cc = metrics.ctv_cc
        score = -array(signed_distance(ctv))
        coverage = progression_coverage(grid.image(score), progression, brain, volume_cc)
        values = {"equal_volume_coverage": coverage} | {k: getattr(metrics, k) for k in TITLES if hasattr(metrics, k)}
        first = rows[0]["normal_brain_cc"] if rows else metrics.normal_brain_cc
        values["normal_brain_spared_cc"] = first - metrics.normal_brain_cc
        rows.append({"name": name} | {k: values[k] for k in TITLES})
    return rows


def _brain(brain: sitk.Image, others: dict[str, sitk.Image]) -> tuple[Grid, np.ndarray]:
    grid = Grid.of(brain)
    for name, image in others.items():
        if not Grid.of(image).matches(grid):
            raise InputError(
                f"{name} and brain mask lie on different grids ({image.GetSize()} and {grid.size} voxels); one grid is needed"
            )
    inside = boolean(brain)
    if not inside.any():
        raise InputError("the brain mask is empty; a brain mask with at least one voxel is needed")
    return grid, inside
