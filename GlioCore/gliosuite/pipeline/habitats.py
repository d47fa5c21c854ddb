"""The habitats of a case's lesion: curves kept by the DSC step, patterns by a model."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import SimpleITK as sitk
from scipy import ndimage

from ..errors import InputError
from ..files import write_text
from ..images import Series, array, boolean, non_enhancing, read_image, resample, write_image
from ..steps import Progress
from .context import Done, Run, SkippedStep

if TYPE_CHECKING:
    from ..curves import Bolus
    from ..perfusion.result import PerfusionMaps
    from ..recurrence.habitats.curves import LesionCurves

CURVES = "lesion_curves.npz"  # among the results of DSC
_WHY = "no_curves.txt"


def keep_curves(
    masks: dict[str, sitk.Image],
    series: Series,
    times_s: Sequence[float],
    maps: "PerfusionMaps",
    folder: Path,
    bolus: "Bolus | None" = None,
) -> None:
    """Write the lesion's curves of a steady series with those of reference tissues, or why there are none.

    Parameters
    ----------
    masks
        On the series' grid.
    bolus
        As a person said where it is; found in the mean of the brain where None.
    """
    from ..recurrence.habitats.gathering import gathered

    none = np.zeros(series.grid.shape, bool)
    on = {n: boolean(masks[n]) if n in masks else none for n in ("brain", "cel", "t2l", "necrosis", "cavity")}
    nel = non_enhancing(on)
    given = {}
    if maps.aif.voxels is not None:
        given["artery"] = maps.aif.voxels
    try:
        if not on["brain"].any() or not (on["cel"] | nel).any():
            raise InputError("there is no brain mask, or no lesion, on the grid of the DSC series")
        made = gathered(
            series.frames,
            np.asarray(times_s),
            series.grid,
            {"cel": on["cel"], "nel": nel, "brain": on["brain"]},
            given,
            bolus=bolus,
            name=series.name,
        )
    except InputError as error:
        write_text(folder / _WHY, str(error))
    else:
        made.write(folder / CURVES)


def _carried(values: np.ndarray, lesion: "LesionCurves", run: Run, transform: sitk.Transform) -> np.ndarray:
    """The patterns (z, y, x) on the common grid: in each voxel of CEL and of NEL there, the nearest one of that region.

    They share out a region, so that each must reach to the next: by signed distances, gaps would be left between them.
    """
    none = {"cel": np.zeros(run.grid.shape, bool)}
    on = none | {n: boolean(mask) for n, mask in run.masks("cel", "t2l", "necrosis", "cavity").items()}
    wanted = {"cel": on["cel"], "nel": non_enhancing(on)}
    result = np.zeros(run.grid.shape, np.uint8)
    for region, inside in wanted.items():
        where = np.zeros(lesion.grid.shape, bool)
        where.ravel()[lesion.voxels[lesion.of(region)]] = True
        if not where.any():
            continue
        away, nearest = ndimage.distance_transform_edt(~where, lesion.grid.spacing[::-1], return_indices=True)
        near = away <= max(lesion.grid.spacing)  # a voxel on; farther off nothing is known
        spread = lesion.grid.image(np.where(near, values[tuple(nearest)], 0).astype(np.uint8))
        there = sitk.Resample(spread, run.grid.blank(), transform, sitk.sitkNearestNeighbor, 0)
        result[inside] = sitk.GetArrayFromImage(there)[inside]
    return result


def habitats(run: Run, folder: Path, progress: Progress) -> Done:
    """The pattern of each DSC curve of the lesion, on the series' grid and on the common one."""
    from dataclasses import replace

    from ..recurrence.habitats.curves import LesionCurves
    from ..recurrence.habitats.gathering import known_adc
    from ..recurrence.habitats.model import apply, shipped
    from ..recurrence.habitats.output import MAP, record_of, write

    kept, why, transform = run.result("dsc", CURVES), run.result("dsc", _WHY), run.transform("dsc")
    if kept is None or transform is None:
        raise SkippedStep(why.read_text(encoding="utf-8") if why else "there are no DSC maps, whose curves are needed")
    lesion = LesionCurves.read(kept)
    notes: list[str] = []
    adc = run.result("dti", "on_t1c", "adc.nii.gz") or run.result("registered", "adc.nii.gz")
    if adc is not None:
        there = array(resample(read_image(adc), lesion.grid, transform.GetInverse(), outside=float("nan")))
        try:
            lesion = replace(lesion, adc=known_adc(there, "ADC").ravel()[lesion.voxels].astype(np.float32))
        except InputError as error:
            notes.append(f"ADC was left out of the habitats: {error}.")
    lesion.write(folder / "curves.npz")
    progress(0.3, "patterns")
    model = shipped()
    found = apply(model, LesionCurves.read(folder / "curves.npz"))
    record = record_of(found, model)
    write(found, record, folder)
    progress(0.7, "map on T1c")
    native = array(read_image(folder / MAP), np.uint8)
    on_t1c = run.grid.image(_carried(native, lesion, run, transform))
    write_image(on_t1c, folder / "on_t1c" / MAP, "habitats: patterns of DSC curves")
    drafts = run.record("lesions").get("summary", {})
    resting = [n for n in ("cel", "t2l", "necrosis", "cavity") if drafts.get(n, {}).get("source") == "draft"]
    notes += record["notes"]
    if resting and not run.settings.drafts_accepted_by:
        notes.append(f"The habitats rest on drafts ({', '.join(resting)}) that no person has checked.")
    said = {r["pattern"]: {k: r[k] for k in ("cc", "percent", "doubts")} for r in record["patterns"] if r["voxels"]}
    return Done({"patterns": said, "unlike_share": record["unlike_share"]}, {"model": record["model"]}, notes)
