"""Maps of MR spectroscopic imaging: where they were measured, and indices that compare two metabolites with normal tissue."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk
from scipy import ndimage

from .errors import InputError
from .images import Grid, array, boolean

INDICES = {"cni": ("cho", "naa"), "ccri": ("cho", "cre"), "crni": ("cre", "naa")}
PEAKS = ("cho", "cre", "naa")
_LEAST = 20  # voxels of normal tissue that make a line; chosen: the SD of as many is known to a sixth
_ABOVE_SD = 2.0  # McKnight 2001: what lies farther above the line is not normal
_FEW = 3  # voxels, below which there is no line at all


def metabolite_index(first: np.ndarray, second: np.ndarray, normal: np.ndarray, sure: bool = False) -> np.ndarray:
    """Distance of voxels from the line that two metabolites follow in normal tissue, in SDs of normal tissue's distance from it.

    CNI is the index of choline and NAA, CCrI of choline and creatine, CrNI of creatine and NAA: positive where the first is high for
    the second. The line is found by least squares; voxels more than two SDs above it are taken out and the line is fitted again until
    none is left to take out, so that tumour among the candidates does not count as normal. It goes through the origin, since both
    peaks vanish together in fluid: brain with fluid in it is normal.

    Parameters
    ----------
    first, second
        Peak heights, arrays of one shape; NaN where nothing was measured.
    normal
        Boolean, candidates for normal tissue.
    sure
        Whether all candidates are known to be normal: none is taken out then.

    Returns
    -------
    numpy.ndarray
        float32; NaN where a peak is, and everywhere where fewer than three candidates are left or normal tissue does not vary.

    References
    ----------
    McKnight TR et al., J Magn Reson Imaging 2001;13:167; J Neurosurg 2002;97:794.

    Examples
    --------
    >>> rng = np.random.default_rng(1)
    >>> naa = rng.uniform(60, 100, 400)
    >>> cho = 0.5 * naa + rng.normal(0, 3, 400)
    >>> cho[0], naa[0] = 80, 40
    >>> metabolite_index(cho, naa, np.ones(400, bool))[0].round()
    np.float32(22.0)
    """
    none = np.full(first.shape, np.nan, np.float32)
    line = _line(first, second, normal, sure)
    if line is None:
        return none
    slope, sd, _ = line
    return ((first - slope * second) / (np.hypot(1, slope) * sd)).astype(np.float32)


def _line(
    first: np.ndarray, second: np.ndarray, normal: np.ndarray, sure: bool
) -> tuple[np.float64, np.float64, int] | None:
    """Slope of the line, the SD of normal tissue's distance from it, and how many voxels are normal; None where there is no line."""
    normal = normal & np.isfinite(first) & np.isfinite(second)
    x, y = second[normal].astype(np.float64), first[normal].astype(np.float64)
    keep = np.ones(x.size, bool)
    slope = sd = np.float64(0)
    for _ in range(50):
        if keep.sum() < _FEW or not x[keep].any():
            return None
        slope = (x[keep] * y[keep]).sum() / (x[keep] ** 2).sum()
        away = (y - slope * x) / np.hypot(1, slope)
        sd = np.sqrt((away[keep] ** 2).mean())
        left = keep & (away <= _ABOVE_SD * sd)
        if sure or left.sum() == keep.sum():
            break
        keep = left
    return None if sd < 1e-9 else (slope, sd, int(keep.sum()))


def indices(peaks: Mapping[str, np.ndarray], normal: np.ndarray, sure: bool = False) -> dict[str, np.ndarray]:
    """CNI, CCrI and CrNI of peak heights by metabolite, those whose two peaks are there; see `metabolite_index`."""
    pairs = {name: pair for name, pair in INDICES.items() if set(pair) <= set(peaks)}
    return {name: metabolite_index(peaks[a], peaks[b], normal, sure) for name, (a, b) in pairs.items()}


def measured(maps: Sequence[np.ndarray]) -> np.ndarray:
    """Where maps of one measurement (z, y, x) were measured: the box of the excitation, boolean (z, y, x).

    Scanners fill the image around the box with 0 or NaN. Voxels that are 0 in every map lie outside, unless voxels that are not enclose
    them: fluid within the box has no peaks either. Where one map is NaN, nothing was measured.
    """
    known = np.all([np.isfinite(m) for m in maps], axis=0)
    some = np.any([np.nan_to_num(m) != 0 for m in maps], axis=0)
    return known & ndimage.binary_fill_holes(some)


@dataclass(frozen=True)
class MetaboliteMaps:
    """What spectroscopy says, on its own grid.

    Attributes
    ----------
    maps
        Peaks and indices by name, float32; NaN outside the box.
    box
        Where it was measured, uint8.
    made
        The indices that were computed here.
    normal_voxels
        How many voxels the line of each of these rests on.
    notes
        What a reader should know.
    """

    maps: dict[str, sitk.Image]
    box: sitk.Image
    made: tuple[str, ...]
    normal_voxels: dict[str, int]
    notes: list[str]


def metabolite_maps(
    images: Mapping[str, sitk.Image], brain: sitk.Image | None = None, lesion: sitk.Image | None = None
) -> MetaboliteMaps:
    """Maps of one measurement with nothing outside its box, and the indices that are not among them.

    Parameters
    ----------
    images
        By name: ``cho cre naa`` give the indices; ``lac lip cni ccri crni`` and others are carried along. All lie on one grid.
    brain, lesion
        Masks on that grid: normal tissue is sought in voxels of the brain (default the box) outside the lesion (default none is known),
        where there are enough of them.

    Raises
    ------
    InputError
        If the maps lie on different grids, or hold nothing.
    """
    first = next(iter(images))
    grid = Grid.of(images[first])
    other = next((n for n, image in images.items() if not Grid.of(image).matches(grid)), None)
    if other is not None:
        raise InputError(
            f"the {other} map lies on another grid than {first}; maps of one spectroscopic measurement on one grid are needed"
        )
    values = {name: array(image) for name, image in images.items()}
    # Lipid and lactate are 0 in much of the box, peaks of the others hardly anywhere.
    box = measured([v for n, v in values.items() if n in PEAKS] or list(values.values()))
    if not box.any():
        raise InputError(f"the maps {', '.join(images)} are 0 or undefined everywhere; peak heights are needed")
    values = {name: np.where(box, v, np.nan).astype(np.float32) for name, v in values.items()}
    normal, said = _normal(box, *(None if m is None else boolean(m) for m in (brain, lesion)))
    found, counts, notes = {}, {}, []
    for name, (a, b) in INDICES.items():
        if name in values or a not in values or b not in values:
            continue
        line = _line(values[a], values[b], normal, sure=False)
        if line is None or line[2] < _LEAST:
            notes.append(
                f"{name} was not computed: {0 if line is None else line[2]} voxels of normal tissue were found, {_LEAST} are needed"
            )
            continue
        found[name], counts[name] = metabolite_index(values[a], values[b], normal), line[2]
    if found:
        how = ", ".join(f"{name} on {n}" for name, n in counts.items())
        notes.insert(
            0, f"{', '.join(found)}: SDs from the line of normal tissue (McKnight 2001), {said}; voxels: {how}"
        )
    maps = {name: grid.image(v) for name, v in (values | found).items()}
    return MetaboliteMaps(maps, grid.image(box), tuple(found), counts, notes)


def _normal(box: np.ndarray, brain: np.ndarray | None, lesion: np.ndarray | None) -> tuple[np.ndarray, str]:
    """Candidates for normal tissue, and a sentence's part on where they were sought."""
    if brain is not None and (brain & box).sum() >= _LEAST:
        inside, where = brain & box, "the brain"
    else:
        inside, where = box, "the box"
    if lesion is not None and lesion.any():
        if (inside & ~lesion).sum() >= 2 * _LEAST:
            return inside & ~lesion, f"sought in {where} outside the lesion, what lies above it taken out"
        return inside, f"sought in all of {where}, since too little of it lies outside the lesion, tumour taken out"
    return inside, f"sought in all of {where}, tumour taken out"
