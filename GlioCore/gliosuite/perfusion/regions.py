"""Perfusion maps over regions: which maps count, which voxels, and the two tables that are written."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from ..files import write_csv
from ..images import array, boolean, is_draft, said_of
from ..resources import look
from ..statistics import histogram_table, statistics_table
from .result import PerfusionMaps

CATEGORIES = ("model", "leakage_model", "deconvolution_model")  # numbers that stand for names have no mean


def certain(values: np.ndarray, sd: np.ndarray, percent: float) -> np.ndarray:
    """Where an SD is known and at most so many percent of the value; booleans of the arrays' shape."""
    with np.errstate(invalid="ignore"):
        return np.isfinite(values) & (sd > 0) & (sd <= percent / 100.0 * np.abs(values))


def leave_out(maps: dict[str, np.ndarray], sd: Mapping[str, np.ndarray], percent: float) -> list[str]:
    """Make undefined what is known less well than `percent`, in each map that has an SD; the sentences that say how much that is."""
    notes = []
    for name in maps.keys() & sd.keys():
        defined = np.isfinite(maps[name])
        kept = defined & certain(maps[name], sd[name], percent)
        maps[name] = np.where(kept, maps[name], np.nan)
        share = 100 * (1 - kept.sum() / max(defined.sum(), 1))
        notes.append(
            f"{look(name).title}: {share:.0f} % of the voxels have an SD above {percent:g} % of the value and are left out of tables"
        )
    return sorted(notes)


def write_regions(
    result: PerfusionMaps, regions: Mapping[str, sitk.Image], folder: Path, max_uncertainty: float | None = None
) -> list[str]:
    """Write regions.csv and regions_histogram.csv of a DCE or DSC result.

    A voxel of a region that was not fitted counts as undefined. Where the result knows the normal white matter that it was
    normalised to, that is a region too.

    Parameters
    ----------
    regions
        Masks by name on the grid of the maps; those whose files say that they are drafts are called so in the table.
    max_uncertainty
        In %: voxels whose SD is above so much of the value are left out, map by map; None leaves none out.

    Returns
    -------
    list of str
        What a reader must know: regions without a single fitted voxel, and of how many voxels a region's numbers of ve are.
    """
    found = {n: m for n, m in result.masks.items() if n == "nawm"}
    fitted = boolean(result.mask)
    inside = {name: boolean(mask) for name, mask in {**found, **regions}.items()}
    images = {n: image for n, image in result.maps.items() if n not in CATEGORIES}
    maps = {n: np.where(fitted, array(image), np.nan) for n, image in images.items()}
    sd = result.sd.get("ve") if "ve" in maps else None
    told = only_known_ve(maps, None if sd is None else array(sd))
    drafts = {name for name, mask in regions.items() if is_draft(said_of(mask))}
    notes = write_tables(
        folder, maps, result.sd, result.heads, inside, drafts, result.mask.GetSpacing(), max_uncertainty
    )
    for name, mask in inside.items():
        some = mask & fitted
        if not some.any():
            notes.append(
                f"region {name}: none of its {int(mask.sum())} voxels was fitted, so regions.csv has no numbers for it"
            )
        elif told is not None:
            notes.append(share_of_ve(name, told[some]))
    return notes


def write_tables(
    folder: Path,
    maps: dict[str, np.ndarray],
    sd: Mapping[str, sitk.Image],
    heads: Mapping[str, str],
    masks: Mapping[str, np.ndarray],
    drafts: set[str],
    spacing_mm: Sequence[float],
    max_uncertainty: float | None,
) -> list[str]:
    """Write regions.csv and regions_histogram.csv of maps (z, y, x), without what is known too poorly; the sentences on that."""
    notes = []
    if max_uncertainty is not None:
        notes = leave_out(maps, {n: array(image) for n, image in sd.items()}, max_uncertainty)
    write_csv(folder / "regions.csv", *statistics_table(maps, heads, masks, spacing_mm, drafts))
    write_csv(folder / "regions_histogram.csv", *histogram_table(maps, heads, masks))
    return notes


def only_known_ve(maps: dict[str, np.ndarray], sd: np.ndarray | None) -> np.ndarray | None:
    """Leave ``maps["ve"]``, and kep, only where ve lies in 0-1 and is known, its SD `sd` being finite and above 0; where that is, None
    without ve.

    A few others would decide a mean: kep at its lower bound makes a ve of hundreds, and where nothing returns kep is noise.
    """
    if "ve" not in maps:
        return None
    told = (maps["ve"] >= 0) & (maps["ve"] <= 1)
    if sd is not None:
        told &= np.isfinite(sd) & (sd > 0)
    for name in ("ve", "kep"):
        if name in maps:
            maps[name] = np.where(told, maps[name], np.nan)
    return told


def share_of_ve(region: str, told: np.ndarray) -> str:
    """The sentence on a region's fitted voxels in which ve counts, booleans (n,)."""
    share = f"{100 * float(told.mean()):.0f} %"
    return f"region {region}: its numbers of ve and kep are of {share} of its fitted voxels, where ve lies in 0-1 and is known"
