"""Pictures of a registration and of a corrected motion."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import SimpleITK as sitk

from ..errors import require
from ..files import atomic
from ..images import Grid, array, boolean, resample, resample_mask
from .similarity import clean, foreground, unit

if TYPE_CHECKING:
    from .motion import Motion


def checkerboard(fixed: sitk.Image, moved: sitk.Image, tiles: int = 8, count: int = 3) -> np.ndarray:
    """A picture that shows whether edges continue: axial, coronal and sagittal slices in squares of either image.

    Parameters
    ----------
    fixed, moved
        Images on one grid.
    tiles
        Squares along the longer side.
    count
        Slices per direction.

    Returns
    -------
    numpy.ndarray
        RGB (height, width, 3) uint8; squares of the moved image are tinted so that both can be told apart.
    """
    grid = Grid.of(fixed).isotropic(1.0)
    canonical = [sitk.DICOMOrient(resample(clean(i), grid), "LPS") for i in (fixed, moved)]
    head = sitk.DICOMOrient(resample_mask(foreground(clean(fixed)), grid), "LPS")
    inside = boolean(head)
    a, b = (unit(array(i), inside) for i in canonical)
    rows = []
    for axis in range(3):
        where = np.flatnonzero(inside.any(axis=tuple(x for x in range(3) if x != axis)))
        row = []
        for part_of in np.linspace(0.3, 0.7, count):
            k = int(where[0] + part_of * (where[-1] - where[0]))
            f, m = np.take(a, k, axis), np.take(b, k, axis)
            if axis:
                f, m = f[::-1], m[::-1]  # head up
            side = max(1, max(f.shape) // tiles)
            square = (np.add.outer(np.arange(f.shape[0]) // side, np.arange(f.shape[1]) // side) % 2).astype(bool)
            rgb = np.where(square[..., None], m[..., None] * (1.0, 0.9, 0.7), f[..., None] * (1.0, 1.0, 1.0))
            row.append(rgb)
        height = max(r.shape[0] for r in row)
        rows.append(np.concatenate([np.pad(r, ((0, height - r.shape[0]), (0, 4), (0, 0))) for r in row], axis=1))
    width = max(r.shape[1] for r in rows)
    picture = np.concatenate([np.pad(r, ((0, 4), (0, width - r.shape[1]), (0, 0))) for r in rows])
    return (255 * picture + 0.5).astype(np.uint8)


def squares(fixed: sitk.Image, moved: sitk.Image, side_mm: float = 25.0) -> sitk.Image:
    """Cubes of either image, to be looked at in any direction: each image as a fraction (0-1) of the brightness of its head.

    Parameters
    ----------
    fixed, moved
        Images on one grid.
    side_mm
        Of the cubes.
    """
    grid = Grid.of(fixed)
    inside = boolean(resample_mask(foreground(clean(fixed)), grid))
    one, other = (unit(array(clean(image)), inside) for image in (fixed, moved))
    sides = [max(1, round(side_mm / s)) for s in grid.spacing[::-1]]
    k, j, i = (np.arange(n) // side for n, side in zip(grid.shape, sides, strict=True))
    odd = (k[:, None, None] + j[None, :, None] + i[None, None, :]) % 2 == 1
    return grid.image(np.where(odd, other, one).astype(np.float32))


def write_checkerboard(fixed: sitk.Image, moved: sitk.Image, path: str | Path) -> Path:
    """Write `checkerboard` as a PNG.

    Raises
    ------
    InputError
        If matplotlib is missing, or the folder cannot be written.
    """
    pyplot = require("matplotlib.image", "the checkerboard picture")
    with atomic(path) as partial:
        pyplot.imsave(partial, checkerboard(fixed, moved), metadata={"Software": None})
    return Path(path)


def write_motion(motion: "Motion", path: str | Path) -> Path:
    """Draw the movement of a 4-D series frame by frame, with the contrast agent's arrival and the frames that stand out, as a PNG.

    Raises
    ------
    InputError
        If matplotlib is missing, or the folder cannot be written.
    """
    figure = require("matplotlib.figure", "the motion picture").Figure(figsize=(8, 5))
    # A layout that matplotlib finds takes longer than the rest of the picture.
    figure.subplots_adjust(left=0.09, right=0.985, bottom=0.1, top=0.93, hspace=0.08)
    upper, lower = figure.subplots(2, 1, sharex=True)
    frames = np.arange(len(motion.corrected))
    for axes, values, what in (
        (upper, motion.translations_mm, "translation (mm)"),
        (lower, motion.rotations_deg, "rotation (degrees)"),
    ):
        for curve, name, color in zip(
            values.T, ("x (to the left)", "y (to the back)", "z (upwards)"), ("#b2182b", "#1b7837", "#2166ac")
        ):
            axes.plot(frames, curve, color=color, lw=1.3, label=name)
        # Never so narrow that noise of a motionless head looks like movement.
        reach = max(0.5, 1.1 * float(np.abs(values).max()))
        axes.set_ylim(-reach, reach)
        axes.set_ylabel(what)
        if motion.arrival is not None:
            axes.axvline(motion.arrival, color="0.4", lw=1, ls="--", label="contrast agent arrives")
        for i, frame in enumerate(np.flatnonzero(motion.outliers)):
            label = "does not fit the others" if i == 0 else None
            axes.axvspan(frame - 0.5, frame + 0.5, color="#fdb863", alpha=0.6, lw=0, label=label)
    lower.set_xlabel("frame (counted from 0)")
    lower.xaxis.get_major_locator().set_params(integer=True)
    upper.legend(fontsize=7, frameon=False, ncols=5, loc="lower center", bbox_to_anchor=(0.5, 1.0))
    with atomic(path) as partial:
        figure.savefig(partial, format="png", dpi=100, metadata={"Software": None})
    return Path(path)
