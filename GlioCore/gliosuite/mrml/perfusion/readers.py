"""One series with the arterial input functions of two readers: the map that results from either, and what differs."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import SimpleITK as sitk

from ... import resources
from ...errors import InputError
from ...images import array, boolean, read_image
from ..display import show_difference, show_over
from ..process import Job, abandon
from ..sequences import filed, title_of
from ..volumes import node_from_image, place_beside, unique_name

_QUANTITY = {"DCE": "ktrans", "DSC": "cbv"}  # of the kinds, that which is read first


@dataclass(frozen=True)
class Reading:
    """A reader's map, and where it was computed (z, y, x)."""

    reader: str
    quantity: str
    image: sitk.Image
    fitted: np.ndarray


@dataclass(frozen=True)
class Compared:
    """The map of the differences as a node, a table, and both in a sentence."""

    difference: Any
    columns: tuple[str, ...]
    rows: list[tuple[Any, ...]]
    text: str


def reading(job: Job) -> Reading:
    """The map of a step that is done with a reader's points; the step's files are removed."""
    try:
        quantity, folder = _QUANTITY[job.request.kind], job.folder / "out"
        image = read_image(folder / f"{quantity}.nii.gz")
        return Reading(job.request.points.GetName(), quantity, image, boolean(read_image(folder / "mask.nii.gz")))
    finally:
        abandon(job)


def compare(series: Any, first: Reading, second: Reading) -> Compared:
    """The difference of two readers' maps, second minus first, where both are defined.

    Raises
    ------
    InputError
        If they are nowhere.
    """
    look = resources.look(first.quantity)
    one, other = (array(r.image).astype(np.float64) for r in (first, second))
    known = first.fitted & second.fitted & np.isfinite(one) & np.isfinite(other)
    if not known.any():
        raise InputError(f"{look.title} has no voxel that is defined with both readers' AIFs")
    change = np.where(known, other - one, 0.0)
    a, b, d = one[known], other[known], change[known]
    name = unique_name(f"{title_of(series)} {look.title}, {second.reader} minus {first.reader}")
    like = first.image
    image = sitk.GetImageFromArray(change.astype(np.float32))
    image.CopyInformation(like)
    node = node_from_image(image, name)
    show_difference(node, first.quantity)
    place_beside(node, filed(series), f"{title_of(series)} maps")
    show_over(node)
    medians = float(np.median(a)), float(np.median(b))
    relative = 100.0 * (medians[1] / medians[0] - 1.0) if medians[0] else float("nan")
    numbers = lambda v: np.percentile(v, [50, 5, 95])
    rows = [
        (name, *(f"{n:.2g}" if name == "difference" else f"{n:.3g}" for n in numbers(values)))
        for name, values in ((first.reader, a), (second.reader, b), ("difference", d))
    ]
    text = (
        f"{look.title} [{look.unit}] in {int(known.sum())} voxels: median {medians[0]:.3g} with {first.reader}, {medians[1]:.3g} with "
        f"{second.reader} ({relative:+.1f} %); voxel by voxel the median difference is {float(np.median(d)):+.3g}"
    )
    columns = (f"{look.title} [{look.unit}]", "median", "5 %", "95 %")
    return Compared(node, columns, rows, text)
