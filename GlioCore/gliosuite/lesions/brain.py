"""The brain mask: of stripped images as it is, of heads by the template and the surface nearby, or by HD-BET or SynthStrip."""

import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from scipy import ndimage
from scipy.spatial import cKDTree

from ..atlas import covered, register_template, similarity_to_template, stripped
from ..atlas.structures import dura_distance
from ..atlas.template import template
from ..errors import InputError, beside, door, option
from ..images import (
    Grid,
    Series,
    array,
    boolean,
    read_image,
    resample,
    resample_mask,
    signed_distance,
    volume_cc,
    write_image,
)
from ..steps import Progress, part, silent
from .drafts import dilate, enclosed, opened

METHODS = ("auto", "atlas", "synthstrip", "hd-bet")
_EXECUTABLES = {"synthstrip": "mri_synthstrip", "hd-bet": "hd-bet"}

_GRID_MM = 2.0  # the surface is smooth at this scale; the mask is cut on the image's own grid
_OFFSETS_MM = np.arange(-16.0, 11.0)  # where the brain's surface is looked for, from the template's (positive outwards)
_SPACING_MM = 3.0  # between surface points
# The template's mask holds the space around the brain, so the surface is rather further in than out; affine registration errs by some mm.
_OFFSET_MEAN_MM, _OFFSET_SD_IN_MM, _OFFSET_SD_OUT_MM = -0.5, 5.0, 4.0
_BONE = 2.0  # that much darkness in a row (mm of half-tissue intensity) is bone: tissue behind it is muscle or marrow and counts less
# Marrow of the skull is as bright as brain, and bone and fluid before it can be thinner than a voxel; it is a sheet of 2 to 5 mm, and less
# than this from the skull's tables, while gyri are 7 mm and more: half of what brain measures at least, mm.
_THIN_MM = 2.0
# Chosen: tumour at the surface reaches that far below the template's, orbits and marrow do not; sinuses lie that near falx and tentorium.
_DEEP_MM, _SINUS_MM = 8.0, 5.0
_WIDE_MM = 30.0  # within which normal brain is sought for what enhances
_LIKE_TISSUE = 0.6  # of brain tissue's intensity, above which a voxel belongs to such a sheet: half-way between fluid and cortex on T1
_NECROTIC = 0.8  # of brain tissue, below which what a rim encloses is necrosis
_UNLIKE = -0.6  # how much such tissue counts, and fat
_BEHIND_BONE = 0.2  # how much tissue there counts
_STIFFNESS = 0.6  # cost of 1 mm between a point's offset and its neighbours' mean, against 1 mm of wrong tissue
# Chosen: a film of pia and fluid over the cortex belongs to a brain mask; it is 1 to 2 mm in simulated heads, less in real ones.
_RIM_MM = 1.4
_CREST_MM, _CREST_SHARE = (
    4.0,
    65.0,
)  # chosen on simulated heads: gyri are cut off by 2 mm in the mean, sulci are rarely 1 in 3 points
_VOLUME_CC = (
    900.0,
    2000.0,
)  # adult brains with their sulci; the widest range reported for intracranial volume is about 1000-2000


@dataclass(frozen=True)
class Brain:
    """A brain mask, where it is from, and how it was made.

    Parameters
    ----------
    mask
        uint8 0/1 on the image's grid.
    source
        ``"image"`` (it was stripped by somebody already: its foreground) or ``"draft"``.
    how
        One sentence.
    covered
        Part (0-1) of the brain in the field of view, as far as known.
    transform
        From points of the image to points of the template, where that was how.
    """

    mask: sitk.Image
    source: str
    how: str
    covered: float = 1.0
    transform: sitk.Transform | None = None


def brain_mask(image: sitk.Image, method: str = "auto", progress: Progress = silent) -> Brain:
    """Find the brain on an image of a head, stripped or not.

    Parameters
    ----------
    image
        3-D MR image, LPS; T1 with or without contrast is best.
    method
        ``"auto"``: a stripped image's foreground; else SynthStrip or HD-BET where the executable ``mri_synthstrip`` or ``hd-bet`` is on
        PATH; else the template. ``"atlas"``, ``"synthstrip"``, ``"hd-bet"``: that one.

    Raises
    ------
    InputError
        If what was found is not plausible as a brain, or the executable asked for is missing or fails.
    """
    if method not in METHODS:
        raise InputError(f"brain method {method!r} is not known; choose from {', '.join(METHODS)}")
    if method == "auto":
        foreground = stripped(image)
        if foreground is not None:
            return _already_stripped(foreground)
        method = next((m for m, executable in _EXECUTABLES.items() if shutil.which(executable)), "atlas")
    if method == "atlas":
        return _by_template(image, progress)
    progress(0.0, f"brain mask by {method}")
    mask = _by_executable(image, method)
    volume = volume_cc(mask)
    if not 0.3 * _VOLUME_CC[0] < volume < _VOLUME_CC[1] * 1.1:
        raise InputError(
            f"the brain mask by {method} has {volume:.0f} cc, which is no brain; give a mask with {option('--brain')} or choose "
            "method atlas"
        )
    return Brain(mask, "draft", f"{_EXECUTABLES[method]}, {volume:.0f} cc")


def series_brain(series: Series, progress: Progress = silent) -> Brain:
    """Find the brain on a 4-D series of a head: as `brain_mask` does, on the series' mean over time.

    Where that is refused, as for DSC, whose fluid is as bright as the brain, on how far the signal falls below that of the first frames.

    Raises
    ------
    InputError
        If what was found is not plausible as a brain.
    """
    frames = np.nan_to_num(series.frames, posinf=0.0, neginf=0.0)
    mean = frames.mean(axis=0)
    if mean.min() == mean.max():
        raise InputError(f"{series.name} has the same value everywhere; a series of a head is needed to find the brain")
    few = max(series.n_times // 10, 1)
    lowest = np.partition(frames, few - 1, axis=0)[:few].mean(axis=0)
    fall = np.maximum(frames[:few].mean(axis=0) - lowest, 0)
    with door({"--brain": option("--mask")}):
        try:
            return brain_mask(series.grid.image(mean.astype(np.float32)), progress=progress)
        except InputError as error:
            try:
                if not fall.any():
                    raise error
                return brain_mask(series.grid.image(fall.astype(np.float32)), "atlas", progress)
            except InputError:
                raise InputError(f"no brain mask of {series.name}: {error}") from error


def _already_stripped(foreground: sitk.Image) -> Brain:
    inside = boolean(foreground)
    volume = volume_cc(foreground)
    whole = not (inside[0].any() or inside[-1].any())
    if volume < (_VOLUME_CC[0] * 0.75 if whole else 50.0):
        raise InputError(
            f"what is not background in the image measures {volume:.0f} cc, too little for a brain ({_VOLUME_CC[0]:.0f} cc and more); "
            f"give a brain mask with {option('--brain')}"
        )
    return Brain(foreground, "image", f"the image was skull-stripped already: its foreground, {volume:.0f} cc")


def _by_executable(image: sitk.Image, method: str) -> sitk.Image:
    executable = shutil.which(_EXECUTABLES[method])
    if executable is None:
        raise InputError(
            f"{_EXECUTABLES[method]} is not on PATH; install it, or choose method atlas, which needs nothing installed"
        )
    with tempfile.TemporaryDirectory() as folder:
        source, result = Path(folder) / "head.nii.gz", Path(folder) / "brain.nii.gz"
        write_image(image, source)
        call = [executable, "-i", str(source), "-o", str(result)]
        done = subprocess.run(call + (["-device", "cpu"] if method == "hd-bet" else []), capture_output=True, text=True)
        if done.returncode != 0 or not result.exists():
            said = (done.stderr or done.stdout).strip().splitlines()
            raise InputError(
                f"{_EXECUTABLES[method]} failed (exit code {done.returncode}: {said[-1] if said else 'no message'}); "
                f"choose method atlas or give a mask with {option('--brain')}"
            )
        # Both give the stripped image; their flags for a mask file differ between versions.
        inside = array(read_image(result)) != 0
    labels, n = ndimage.label(inside)
    if n == 0:
        raise InputError(
            f"{_EXECUTABLES[method]} left nothing of the image; give a brain mask with {option('--brain')}"
        )
    largest = labels == np.bincount(labels.ravel())[1:].argmax() + 1
    return Grid.of(image).image(ndimage.binary_fill_holes(largest))


# ------------------------------------------------------------------------------------------------------------ by the template


def _by_template(image: sitk.Image, progress: Progress) -> Brain:
    """Carry the template's brain onto the head, then move its surface to where the tissue ends."""
    progress(0.0, "registering the template")
    transform = register_template(image)
    seen = covered(image, transform)
    fit = similarity_to_template(image, transform)
    progress(0.6, "finding the brain's surface")
    level, edge = _surface(image, transform, part(progress, 0.6, 0.95))
    inside = array(resample(level, image, outside=1e3)) < 0
    radius = [max(round(2.0 / s), 1) for s in image.GetSpacing()]
    grid = Grid.of(image)
    opened = sitk.BinaryMorphologicalOpening(grid.image(inside), radius, sitk.sitkBall)
    labels, n = ndimage.label(boolean(opened))
    if n:
        inside = ndimage.binary_fill_holes(labels == np.bincount(labels.ravel())[1:].argmax() + 1)
    mask = grid.image(inside)
    _check(mask, resample_mask(template().brain, image, transform), seen, fit, edge)
    how = (
        f"template registered (correlation ratio {fit:.2f}) and its surface moved to the edge of the tissue "
        f"(clear over {100 * edge:.0f} % of it); {volume_cc(mask):.0f} cc"
    )
    if seen < 0.95:
        how += f"; about {100 * seen:.0f} % of the brain lies in the field of view"
    return Brain(mask, "draft", how, seen, transform)


def _check(mask: sitk.Image, atlas: sitk.Image, seen: float, fit: float, edge: float) -> None:
    """Refuse what cannot be a brain."""
    remedy = f"give a brain mask with {option('--brain')}, or install SynthStrip or HD-BET"
    if seen < 0.3:
        raise InputError(
            f"only {beside(100 * seen, 30)} % of a brain lies in the image's field of view; at least 30 % is needed: {remedy}"
        )
    if fit < 0.03 or edge < 0.5:
        explained, clear = beside(100 * fit, 3), beside(100 * edge, 50)
        raise InputError(
            f"no brain was recognised in the image (the template explains {explained} % of its grey levels, a clear edge was found "
            f"over {clear} % of the surface; 3 % and 50 % are needed): {remedy}"
        )
    volume, (least, most) = volume_cc(mask) / seen, _VOLUME_CC
    if not least <= volume <= most:
        found = beside(volume, least if volume < least else most)
        raise InputError(
            f"the brain mask would mean a brain of {found} cc; {least:.0f}-{most:.0f} cc is plausible: {remedy}"
        )
    a, b = boolean(mask), boolean(atlas)
    dice = 2.0 * float((a & b).sum()) / max(float(a.sum() + b.sum()), 1.0)
    if dice < 0.8:
        raise InputError(
            f"the brain mask and the registered template overlap by a Dice of {beside(dice, 0.8, 2)}; 0.8 is needed: {remedy}"
        )


def _surface(image: sitk.Image, transform: sitk.Transform, progress: Progress) -> tuple[sitk.Image, float]:
    """A level function of the brain on a coarse grid (below 0 inside), and the part (0-1) of its surface that has a clear edge.

    Every point of the template's surface looks along its normal for the offset up to which there is tissue and from which there is none
    (CSF, bone, fat); the offsets of neighbours hold each other, so that sulci and vessels do not draw the surface in and muscle behind
    thin bone does not draw it out.
    """
    grid, fine_grid = Grid.of(image).isotropic(_GRID_MM), Grid.of(image).isotropic(1.0)
    source = sitk.SmoothingRecursiveGaussian(sitk.Cast(image, sitk.sitkFloat32), 0.5)
    distance = array(signed_distance(resample_mask(template().brain, grid, transform)))
    coarse = array(resample(source, grid, outside=np.nan))
    tissue = _tissue(coarse, distance)
    fine = array(resample(source, fine_grid, outside=np.nan))  # thin bone is seen on a finer grid only
    # Seen against a wider surrounding, since what is bright itself raises the narrow one.
    tumour = _tumour(fine, _tissue(coarse, distance, _WIDE_MM), distance, grid, fine_grid, transform)
    if tumour.any():
        # Such a tumour would turn in the surface that it reaches: its rim is as bright as fat, its necrosis as dark as bone, behind which
        # tissue counts little, and beside it brain seems dark. It is taken as brain.
        tissue = _tissue(coarse, distance, without=boolean(resample_mask(fine_grid.image(tumour), grid)))
        local = array(resample(grid.image(tissue.local), fine_grid, outside=np.nan))
        fine = np.where(tumour, tissue.dark + tissue.centre * local, fine)

    smooth = ndimage.gaussian_filter(distance, 1.5)
    normal = np.stack(np.gradient(smooth, _GRID_MM), -1)
    normal /= np.maximum(np.linalg.norm(normal, axis=-1, keepdims=True), 1e-6)
    shell = np.argwhere(ndimage.binary_dilation(distance < 0) & (distance > 0))
    cells = (shell * _GRID_MM // _SPACING_MM).astype(np.int64)
    _, first = np.unique(cells, axis=0, return_index=True)
    points = shell[np.sort(first)]
    normals = normal[tuple(points.T)]
    points = (
        points - normals * (smooth[tuple(points.T)] / _GRID_MM)[:, None]
    )  # from the voxel's centre to the surface itself

    along = points[:, None, :] + normals[:, None, :] * (_OFFSETS_MM / _GRID_MM)[None, :, None]
    shape = along.shape[:2]
    at = along.reshape(-1, 3).T
    # Both grids cover the same field of view from edge to edge, so an index goes over by the ratio of sizes.
    scale = (np.array(fine_grid.shape) / np.array(grid.shape))[:, None]
    found = ndimage.map_coordinates(fine, (at + 0.5) * scale - 0.5, order=1, cval=np.nan).reshape(shape)
    local = ndimage.map_coordinates(tissue.local, at, order=1, mode="nearest").reshape(shape)
    level = (found - tissue.dark) / local
    gain = tissue.likeness(level)
    body = _body(fine, tissue, grid, fine_grid)
    inside = ndimage.map_coordinates(body, (at + 0.5) * scale - 0.5, order=0).reshape(shape)
    # Behind the brain, that is: where none was met, as in a brainstem on thick slices, tissue is taken as it looks.
    behind = np.maximum.accumulate(inside, axis=1) & ~inside
    gain = np.where((gain > 0) & behind, _UNLIKE, gain)
    seen = np.isfinite(level)
    total = np.cumsum(gain, axis=1)
    behind_bone = np.maximum.accumulate(np.maximum.accumulate(total, axis=1) - total > _BONE, axis=1)
    total = np.cumsum(np.where(behind_bone & (gain > 0), _BEHIND_BONE * gain, gain), axis=1)
    progress(0.4, "smoothing the surface")
    _, near = cKDTree(points * _GRID_MM).query(points * _GRID_MM, k=9)
    # Twice: a template that is too large or too small all over is known by where the surface settled first.
    mean = _OFFSET_MEAN_MM
    for _ in range(2):
        off = _OFFSETS_MM - mean
        score = total - off**2 / (2 * np.where(off > 0, _OFFSET_SD_OUT_MM, _OFFSET_SD_IN_MM) ** 2)
        settled = _settle(score, near[:, 1:])
        mean = float(np.median(settled))
    offset = _crests(settled, total, near)

    # Whether there is an edge is asked where the points settled: crests bridge sulci, where there is none.
    inner = (_OFFSETS_MM[None] < settled[:, None] - 0.5) & (_OFFSETS_MM[None] > settled[:, None] - 7)
    outer = (_OFFSETS_MM[None] > settled[:, None] + 0.5) & (_OFFSETS_MM[None] < settled[:, None] + 6)
    measured = (inner & seen).any(axis=1) & (outer & seen).any(axis=1)
    high = _row_percentile(np.where(inner & seen, level, np.nan)[measured], 60)
    low = np.where(outer & seen, level, np.inf)[measured].min(axis=1)
    edge = float((high - low > 0.5 * tissue.centre).mean()) if measured.any() else 0.0

    progress(0.7, "cutting the mask")
    band = np.argwhere((distance > _OFFSETS_MM[0] - 2) & (distance < _OFFSETS_MM[-1] + 2))
    foot = band - normal[tuple(band.T)] * (smooth[tuple(band.T)] / _GRID_MM)[:, None]
    away, nearest = cKDTree(points).query(foot, k=4)
    weight = 1.0 / (away + 0.5)
    result = distance.copy()
    result[tuple(band.T)] -= (offset[nearest] * weight).sum(axis=1) / weight.sum(axis=1)
    return grid.image(result.astype(np.float32)), edge


def _tumour(
    fine: np.ndarray, tissue: "_Tissue", distance: np.ndarray, grid: Grid, fine_grid: Grid, transform: sitk.Transform
) -> np.ndarray:
    """Enhancing tumour and the necrosis in it, on the fine grid.

    Tumour is told from fat and sinuses by its place: thick, off falx, tentorium and midline, most of it inside the template's brain
    (`distance` is that to its surface), and deep in some part.
    """
    relative = np.nan_to_num(
        (fine - tissue.dark) / array(resample(grid.image(tissue.local), fine_grid, outside=np.nan))
    )
    away = array(resample(grid.image(distance), fine_grid, outside=1e3))
    bright = (relative > tissue.bright) & (away < _OFFSETS_MM[-1])
    if not bright[away < -_DEEP_MM].any():
        return np.zeros_like(bright)
    off = array(resample(dura_distance(), fine_grid, transform, outside=10.0)) > _SINUS_MM
    labels, n = ndimage.label(opened(bright & off, fine_grid, _THIN_MM))
    parts = np.arange(1, n + 1)
    inner = ndimage.mean(away < 0, labels, parts) > 0.5
    kept = np.flatnonzero(inner & (ndimage.minimum(away, labels, parts) < -_DEEP_MM)) + 1
    rim = bright & dilate(np.isin(labels, kept), fine_grid, 2 * _SINUS_MM) & (off | (away < -_SINUS_MM))
    return rim | enclosed(rim, relative < _NECROTIC * tissue.centre, fine_grid)


def _body(fine: np.ndarray, tissue: "_Tissue", grid: Grid, fine_grid: Grid) -> np.ndarray:
    """Tissue that is thick and hangs together: brain without marrow, scalp and dura; boolean on the fine grid."""
    local = array(resample(grid.image(tissue.local), fine_grid, outside=np.nan))
    relative = np.nan_to_num((fine - tissue.dark) / local)
    like = (relative > _LIKE_TISSUE * tissue.centre) & (relative < tissue.bright)
    radius = [max(round(_THIN_MM / s), 1) for s in fine_grid.spacing]
    core = sitk.BinaryErode(fine_grid.image(like), radius, sitk.sitkBall)
    labels, n = ndimage.label(boolean(core))
    if n == 0:
        return like
    core = fine_grid.image(labels == np.bincount(labels.ravel())[1:].argmax() + 1)
    return like & boolean(sitk.BinaryDilate(core, radius, sitk.sitkBall))


def _row_percentile(values: np.ndarray, percent: float) -> np.ndarray:
    """A percentile of each row's numbers, as `numpy.nanpercentile` gives it; at least one of a row is not NaN."""
    ordered = np.sort(values, axis=1)  # NaN last
    at = (np.isfinite(values).sum(axis=1) - 1) * (percent / 100.0)
    low = np.floor(at).astype(np.int64)
    rows = np.arange(len(values))
    a, b, t = ordered[rows, low], ordered[rows, np.ceil(at).astype(np.int64)], at - low
    return np.where(t < 0.5, a + (b - a) * t, b - (b - a) * (1 - t))


@dataclass(frozen=True)
class _Tissue:
    """Brain tissue's intensity: `local` (z, y, x) above `dark` (CSF); relative to it `centre` and `spread`."""

    local: np.ndarray
    dark: float
    centre: float
    spread: float

    @property
    def bright(self) -> float:
        """The relative intensity above which there is fat, or contrast agent."""
        return self.centre + max(4.0 * self.spread, 0.35 * self.centre)

    def likeness(self, relative: np.ndarray) -> np.ndarray:
        """How much a relative intensity looks like brain tissue (1) rather than CSF, bone or fat (-1.5); 0 where unknown."""
        result = np.clip((relative - 0.5 * self.centre) / (0.25 * self.centre), -1.5, 1.0)
        # Fat, enhancing dura and sinuses are bright; that is less sure than darkness, since tumour enhances too.
        result[relative > self.bright] = _UNLIKE
        return np.nan_to_num(result)


def _tissue(
    values: np.ndarray, distance: np.ndarray, reach_mm: float = 10.0, without: np.ndarray | None = None
) -> _Tissue:
    """Learn brain tissue's intensity inside the template's brain from what is about `reach_mm` away (coil sensitivity)."""
    core = np.isfinite(values) & (distance < -6.0)
    if core.sum() * _GRID_MM**3 < 10_000:
        raise InputError(
            f"less than 10 cc of the brain's inside lies in the image's field of view; give a brain mask with {option('--brain')}"
        )
    dark, middle = (float(v) for v in np.percentile(values[core], [1, 60]))
    tissue = core & (values > 0.5 * (dark + middle))
    if without is not None:
        tissue &= ~without
    sigma = reach_mm / _GRID_MM
    weight = ndimage.gaussian_filter(tissue.astype(np.float32), sigma)
    field = ndimage.gaussian_filter(np.where(tissue, values - dark, 0.0).astype(np.float32), sigma)
    local = np.where(weight > 1e-4, field / np.maximum(weight, 1e-4), middle - dark)
    local = np.maximum(local, 0.1 * (middle - dark)).astype(np.float32)
    relative = ((values - dark) / local)[tissue]
    centre = float(np.median(relative))
    return _Tissue(local, dark, centre, 1.4826 * float(np.median(np.abs(relative - centre))))


def _settle(score: np.ndarray, near: np.ndarray) -> np.ndarray:
    """The offset (mm) of each surface point: high score, close to its neighbours'. `near` (n, k) are their rows."""
    pooled = 0.5 * score + 0.5 * score[near].mean(axis=1)
    offset = _OFFSETS_MM[pooled.argmax(axis=1)].astype(float)
    for _ in range(30):
        mean = np.median(offset[near], axis=1)
        wanted = score - _STIFFNESS * (_OFFSETS_MM[None] - mean[:, None]) ** 2
        offset = 0.5 * offset + 0.5 * _OFFSETS_MM[wanted.argmax(axis=1)]
    return offset[near].mean(axis=1) * 0.5 + offset * 0.5


def _crests(offset: np.ndarray, total: np.ndarray, near: np.ndarray) -> np.ndarray:
    """Settled offsets (mm) moved out to the crests of the gyri: points settle between crests and sulci, and a brain is whole at its crests.

    Each point looks up to `_CREST_MM` further out for where tissue ends (`total` (n, offsets) is tissue met so far); of each
    neighbourhood (`near`, the point itself first) nearly the furthest counts, so that sulci are bridged and single vessels left out.
    """
    ahead = _OFFSETS_MM[None] - offset[:, None]
    window = (ahead >= -0.5) & (ahead <= _CREST_MM)
    end = np.maximum(_OFFSETS_MM[np.where(window, total, -np.inf).argmax(axis=1)], offset)
    return np.maximum(np.percentile(end[near], _CREST_SHARE, axis=1), offset) + _RIM_MM
