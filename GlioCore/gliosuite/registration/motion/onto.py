"""Volumes of one head in several contrasts (the flip angles of a T1 series), each laid onto one image."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk

from ...errors import InputError
from ...images import Grid, Series, array, boolean, resample, resample_mask
from ...steps import Progress, part, silent
from ..quality import moved_points
from ..similarity import foreground, positions
from .correct import MotionSettings, correct_motion
from .head import FARTHEST_MM, no_head

_COVERED = 0.5  # of a voxel of the image that a volume must hold


@dataclass(frozen=True)
class Aligned:
    """Volumes as they lie on an image, on its grid.

    `transforms` map points of the image to points of each volume; `displacements_mm` (n_times,) is what that comes to, root mean square.
    """

    series: Series
    transforms: tuple[sitk.Transform, ...]
    displacements_mm: np.ndarray

    @property
    def largest_mm(self) -> float:
        """How far the volume that moved most lies from the image."""
        return float(self.displacements_mm.max())


def align_flip_angles(volumes: Series, progress: Progress = silent) -> Aligned:
    """Lay the volumes of a series rigidly onto the brightest of them, which has least noise.

    The head moves between the volumes of a series for T1 too: one that lies 2 mm off makes T1 wrong by a tenth or more at every edge. The
    fit is that of `correct_motion`, which solves for a map of intensities with each movement.

    Raises
    ------
    InputError
        If these are no volumes of a head, or one looks too different from the brightest or seems to lie farther off than a head moves.
    """
    if reason := no_head(volumes):
        raise InputError(reason)
    found = _within(volumes, progress)
    aligned = _laid(volumes, brightest(volumes), found.transforms, found.corrected)
    if aligned.largest_mm > FARTHEST_MM:
        raise InputError(
            f"volumes of {volumes.name} seemed to lie up to {aligned.largest_mm:.0f} mm off, which is farther than a head moves"
        )
    return aligned


def align_onto(volumes: Series, image: sitk.Image, progress: Progress = silent) -> Aligned:
    """Lay the volumes of a series onto an image of like contrast (T1-weighted gradient echoes, say), and interpolate each once (cubic).

    The brightest is fitted to the image, the others to the brightest: the volumes of one series are more like each other.

    Parameters
    ----------
    volumes
        (t, z, y, x) on any grid.
    image
        Where the head is to lie; the result has its grid.

    Raises
    ------
    InputError
        If the volumes do not look like the image or each other, or do not overlap it.
    """
    found = _within(volumes, part(progress, 0.0, 0.6))
    one = Series(array(brightest(volumes))[None], volumes.grid, volumes.name)
    across = _movements(one, image, part(progress, 0.6, 1.0))
    if not across.like.all():
        raise InputError(f"{volumes.name} looks too different from the image that it is to be aligned to")
    first = across.transforms[0]
    transforms = [
        sitk.CompositeTransform([t, first]) if c else first for t, c in zip(found.transforms, found.corrected)
    ]
    return _laid(volumes, image, transforms, found.corrected | across.corrected[0])


@dataclass(frozen=True)
class _Found:
    """Of each volume: points of the image to its own, whether it moved, and whether it looks `like` the image."""

    transforms: tuple[sitk.Transform, ...]
    corrected: np.ndarray
    like: np.ndarray


def brightest(volumes: Series) -> sitk.Image:
    """The volume with the highest mean."""
    return volumes.grid.image(volumes.frames[_brightest(volumes)])


def _brightest(volumes: Series) -> int:
    return int(np.argmax(np.nan_to_num(volumes.frames).mean(axis=(1, 2, 3))))


def _within(volumes: Series, progress: Progress) -> _Found:
    """Movements against the brightest volume."""
    found = _movements(volumes, brightest(volumes), progress)
    if not found.like.all():
        which = int(np.flatnonzero(~found.like)[0]) + 1
        raise InputError(
            f"volume {which} of {volumes.name} looks too different from volume {_brightest(volumes) + 1} to be aligned to it"
        )
    return found


def _movements(volumes: Series, image: sitk.Image, progress: Progress) -> _Found:
    grid = Grid.of(image)
    seen = [array(resample(volumes.grid.image(frame), grid)) for frame in volumes.frames]
    # What lies outside a volume is no dark tissue; where nothing does, the skin's outer edge helps.
    covered = array(resample(volumes.grid.image(np.ones(volumes.grid.shape, np.float32)), grid)) > _COVERED
    mask = None
    if not covered.all():
        head = boolean(resample_mask(foreground(image), grid)) & covered
        if not head.any():
            raise InputError(f"{volumes.name} does not overlap the image that it is to be aligned to")
        mask = grid.image(head)
    together = Series(np.stack([array(image), *seen]), grid, volumes.name)
    motion = correct_motion(together, MotionSettings(reference_frames=1), mask, progress)
    return _Found(motion.transforms[1:], motion.corrected[1:], np.isfinite(motion.uncertainty_mm[1:]))


def _laid(volumes: Series, image: sitk.Image, transforms: Sequence[sitk.Transform], moved: np.ndarray) -> Aligned:
    grid = Grid.of(image)
    same = volumes.grid.matches(grid)
    frames = [
        frame if same and not moves else _moved(volumes.grid.image(frame), grid, transform)
        for frame, transform, moves in zip(volumes.frames, transforms, moved)
    ]
    inside = boolean(resample_mask(foreground(image), grid))
    points = positions(grid, inside)[:: max(1, int(inside.sum()) // 2000)]
    far = [np.sqrt(np.square(moved_points(t, points) - points).sum(axis=1).mean()) for t in transforms]
    return Aligned(Series(np.stack(frames), grid, volumes.name), tuple(transforms), np.array(far))


def _moved(volume: sitk.Image, grid: Grid, transform: sitk.Transform) -> np.ndarray:
    # Cubic: linear interpolation mixes tissues, which makes T1 of a small tumour some percent too long.
    found = array(resample(volume, grid, transform, "bspline"))
    values = array(volume)
    return np.clip(found, min(0.0, float(values.min())), float(values.max()))
