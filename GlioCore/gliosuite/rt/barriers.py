"""What stops a margin, what slows it and what lets it through.

Tumour cells follow tracts: falx and tentorium stop them, the corpus callosum and the peduncles let them pass, and few get into the
ventricles. A margin with barriers is therefore the length of the shortest way (`geodesic`), not a margin with something cut off.

References
----------
Niyazi M et al., Radiother Oncol 2023;184:109663 (ESTRO-EANO: skull, falx, tentorium 0 mm, ventricles 5 mm, no reduction at callosum and
peduncles, optic pathway and brainstem 0 mm where no tract connects them); Kruser TJ et al., J Neurooncol 2019;143:157; Shusharina N et al.,
Radiother Oncol 2020;152:166 (shortest ways).
"""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from scipy import ndimage

from ..atlas import LABELS, continued_compartments, register_template, similarity_to_template, template_structures
from ..errors import InputError, beside, option
from ..images import Grid, array, boolean, change, read_mask, resample, resample_mask, signed_distance

WALLS = ("falx", "tentorium")
CHOICES = ("brainstem", "chiasm")  # stop a margin unless they are named as ways through
OPEN = ("callosum", "peduncles")
NAMES = ("brain", *WALLS, "ventricles", *CHOICES, *OPEN)
VENTRICLE_MM = 5.0  # how far a margin that starts at a ventricle's wall gets into it (ESTRO-EANO 2023)
# `similarity_to_template` of what is left without lesion and shading. Chosen half-way (geometric mean) between blobs in the shape of a
# brain (.03) and the lowest of seven heads (.08; real ones .08 to .37, simulated ones .6 and .7).
_LEAST_SIMILARITY = 0.05
_REDRAWN_MM = 4.0  # chosen: about how far a registered ventricle's wall lies from the true one; farther off, other things look alike
_SHADING_MM = 20.0  # chosen: wider than gyri and ventricles, narrower than a coil's shading
_SUFFIXES = (".nii.gz", ".nii", ".nrrd", ".mha")


@dataclass(frozen=True)
class Barriers:
    """Where a margin may go.

    Attributes
    ----------
    domain
        0/1: open to the margin. What a mask to grow covers is open always: it is there already.
    cost
        How many mm of margin a mm takes, 1 or more; 1 everywhere where it is None.
    """

    domain: sitk.Image
    cost: sitk.Image | None = None

    def check(self, grid: Grid) -> None:
        """Refuse barriers that lie on another grid or cost less than nothing extra.

        Raises
        ------
        InputError
            With what is wrong.
        """
        for name, image in (("domain", self.domain), ("cost", self.cost)):
            if image is not None and not Grid.of(image).matches(grid):
                raise InputError(
                    f"the barriers' {name} lies on another grid than the mask to grow ({image.GetSize()} and {grid.size} voxels); "
                    "one grid is needed"
                )
        if not boolean(self.domain).any():
            raise InputError("the barriers' domain is empty; where a margin may go is needed")
        if self.cost is not None and not array(self.cost).min() >= 1:
            raise InputError("the barriers' cost falls below 1 or is undefined; 1 or more is needed in every voxel")


@dataclass(frozen=True)
class BarrierMasks:
    """Masks by name (`NAMES`) that barriers are made of, and where they come from.

    Attributes
    ----------
    through
        Of `CHOICES`, those that a margin may pass.
    """

    masks: Mapping[str, sitk.Image]
    source: str
    through: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        unknown = [n for n in self.masks if n not in NAMES]
        if unknown:
            raise InputError(f"{unknown[0]} is no barrier that is known; the names are {', '.join(NAMES)}")
        wrong = [n for n in self.through if n not in CHOICES]
        if wrong:
            raise InputError(f"{wrong[0]} is no structure to choose a way through; choose from {', '.join(CHOICES)}")
        if not self.masks:
            raise InputError(f"no barrier is given; at least one mask of {', '.join(NAMES)} is needed")

    @property
    def rules(self) -> dict[str, str]:
        """Of each mask, what it does."""
        rule = {"brain": "margins stay inside", "ventricles": f"let {VENTRICLE_MM:g} mm in"}
        rule |= dict.fromkeys(WALLS, "stops") | dict.fromkeys(OPEN, "lets through")
        rule |= {n: "lets through" if n in self.through else "stops" for n in CHOICES}
        return {n: rule[n] for n in NAMES if n in self.masks}

    def on(self, grid: Grid) -> "BarrierMasks":
        """The same masks on one grid; sheets stay at least a voxel thick."""
        carried = {n: (_sheet if n in WALLS else resample_mask)(m, grid) for n, m in self.masks.items()}
        return BarrierMasks(carried, self.source, self.through)

    def barriers(self, brain: sitk.Image, margin_mm: float) -> Barriers:
        """What a margin inside the brain meets; all masks on the brain's grid.

        The cost of ventricles is such that a margin that starts at their wall gets `VENTRICLE_MM` in, whatever the margin.
        """
        grid = Grid.of(brain)
        masks = {n: boolean(m) for n, m in self.masks.items()}
        room = boolean(brain) & masks.get("brain", True)
        for name in (*WALLS, *(n for n in CHOICES if n not in self.through)):
            room &= ~masks.get(name, np.bool_(False))
        for name in OPEN:
            room |= masks.get(name, np.bool_(False)) & boolean(brain)
        cost = np.where(masks.get("ventricles", np.bool_(False)), max(margin_mm / VENTRICLE_MM, 1.0), 1.0)
        return Barriers(grid.image(room), grid.image(np.broadcast_to(cost, grid.shape).astype(np.float32)))


def _sheet(mask: sitk.Image, grid: Grid) -> sitk.Image:
    """Carry a thin sheet to another grid without holes: on coarser voxels it is thickened to one of them."""
    source = Grid.of(mask)
    if source.matches(grid):
        return resample_mask(mask, grid)
    thicker = max(0.5 * (max(grid.spacing) - min(source.spacing)), 0.0)
    thick = source.image(array(signed_distance(mask)) <= thicker)
    return resample_mask(thick, grid)


def barrier_files(folder: str | Path, through: Sequence[str] = ()) -> dict[str, Path]:
    """Image files of a folder named ``falx``, ``tentorium``, ``ventricles`` ... (`NAMES`), by name.

    Raises
    ------
    InputError
        If the folder is missing, or holds no mask, an unknown one, one twice, or none of what shall let a margin through.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"{folder} is no folder; {option('--barriers')} takes a folder of masks, auto or none")
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        ending = next((s for s in _SUFFIXES if path.name.lower().endswith(s)), None)
        if ending is None:
            continue
        name = path.name[: -len(ending)].lower()
        if name not in NAMES:
            raise InputError(f"{path} is no barrier that is known; the names are {', '.join(NAMES)}")
        if name in found:
            raise InputError(
                f"{found[name].name} and {path.name} in {folder} are one barrier twice; one file is needed"
            )
        found[name] = path
    if not found:
        raise InputError(f"{folder} holds no barrier; masks named {', '.join(NAMES)} (e.g. falx.nii.gz) are needed")
    missing = [n for n in through if n not in found]
    if missing:
        raise InputError(f"a way through the {missing[0]} is asked for, but {folder} has no mask of it")
    return found


def read_barriers(folder: str | Path, grid: Grid, through: Sequence[str] = ()) -> BarrierMasks:
    """Barrier masks of a folder (`barrier_files`) on a grid.

    Raises
    ------
    InputError
        If a file is missing, unknown or unfit, or a mask is empty or lies elsewhere.
    """
    found = barrier_files(folder, through)
    given = {n: read_mask(p) for n, p in found.items()}
    masks = BarrierMasks(given, "masks given", tuple(through)).on(grid)
    for name, mask in masks.masks.items():
        if not boolean(mask).any():
            raise InputError(
                f"{found[name]} does not overlap the image of the target volumes; masks of one patient are needed"
            )
        # A sheet is thickened on purpose, so of walls only a lost place is told.
        unlike, sentence = change(given[name], mask, f"barrier {name}", "the target volumes")
        if unlike and (name not in WALLS or Grid.of(given[name]).size == grid.size):
            warnings.warn(sentence, stacklevel=2)
    return masks


def find_barriers(
    image: sitk.Image,
    brain: sitk.Image,
    lesion: sitk.Image | None = None,
    grid: Grid | None = None,
    through: Sequence[str] = (),
) -> BarrierMasks:
    """Barriers from the template of `structures`, registered to a patient (affine, then B-spline).

    Falx and tentorium are what parts the compartments, a voxel thick, so that they hold on any grid; the peduncles are the front of the
    midbrain. How far they lie from the truth on simulated patients: ``Testing/bench/bench_margins.py``. They are to be looked at.

    Parameters
    ----------
    image
        Structural image, best T1c.
    brain, lesion
        Masks on any grid; the lesion (all of it: necrosis, oedema, cavity) is kept out of the registration, and out of what judges it.
    grid
        Of the masks; the image's where None.

    Raises
    ------
    InputError
        If the template does not fit the image.
    """
    grid = grid or Grid.of(image)
    trusted = boolean(resample_mask(brain, image))
    if lesion is not None:
        # What a rim encloses belongs to the lesion too.
        trusted &= ~ndimage.binary_fill_holes(boolean(resample_mask(lesion, image)))
    stripped = _flat(image, boolean(resample_mask(brain, image)), trusted)
    rest = Grid.of(image).image(trusted)
    transform = register_template(stripped, rest, ("affine", "bspline"))
    found = similarity_to_template(stripped, transform, rest)
    if found < _LEAST_SIMILARITY:
        raise InputError(
            "barriers cannot be placed: the template does not fit the image (similarity "
            f"{beside(found, _LEAST_SIMILARITY, 2)}, {_LEAST_SIMILARITY} is needed); give masks ({option('--barriers')}) or none"
        )
    masks = carried_barriers(transform, grid)
    inside = resample_mask(brain, grid)
    masks = {n: m * inside if n in WALLS else m for n, m in masks.items()}
    if "ventricles" in masks:
        # The image shows where the ventricles end better than the template does: what looks like their core, near where they are placed.
        seen = resample_mask(rest, grid)
        masks["ventricles"] = grid.image(
            _like_core(array(resample(stripped, grid)), boolean(masks["ventricles"]), boolean(seen), grid)
        )
    return BarrierMasks(masks, "template registered to the image", tuple(through))


def _flat(image: sitk.Image, brain: np.ndarray, trusted: np.ndarray) -> sitk.Image:
    """The brain of an image over its own local mean (Gaussian, `_SHADING_MM`), 0 outside: a coil's shading must not pass for anatomy.

    Without it the template's B-spline bends to match shading where tissue contrast is low (a callosum 13 mm off in one simulated patient).
    """
    values = array(image)
    sigma = _SHADING_MM / np.asarray(image.GetSpacing())[::-1]
    blur = lambda v: ndimage.gaussian_filter(v.astype(np.float32), sigma, truncate=3.0)
    held = np.clip(values, *np.percentile(values[trusted], [5, 95]))
    mean = blur(held * trusted) / np.maximum(blur(trusted), 1e-3)
    return Grid.of(image).image(np.where(brain, values / np.maximum(mean, 1e-6), 0.0).astype(np.float32))


def _like_core(values: np.ndarray, placed: np.ndarray, trusted: np.ndarray, grid: Grid) -> np.ndarray:
    """A placed structure redrawn by the image: within `_REDRAWN_MM`, what is nearer in value to its core than to the rest of the brain.

    Parts must touch the core. Where core and brain hardly differ, or nothing is left, the structure stays as it was placed.
    """
    core = ndimage.binary_erosion(placed) & trusted
    rest = trusted & ~placed
    if core.sum() < 20 or not rest.any():
        return placed
    one, other = np.median(values[core]), np.median(values[rest])
    if abs(one - other) < 2 * np.median(np.abs(values[core] - one)):
        return placed
    near = ndimage.distance_transform_edt(~placed, sampling=grid.spacing[::-1]) <= _REDRAWN_MM
    alike = near & trusted & (np.abs(values - one) < np.abs(values - other))
    labels, _ = ndimage.label(ndimage.binary_opening(alike) | (alike & placed))
    touching = np.unique(labels[core & alike])
    return np.isin(labels, touching[touching > 0])


def carried_barriers(transform: sitk.Transform, grid: Grid) -> dict[str, sitk.Image]:
    """The template's barriers through a transform from points of the grid to points of the template."""
    nearest = lambda image: array(
        sitk.Resample(image, grid.blank(), transform, sitk.sitkNearestNeighbor, 0.0, sitk.sitkUInt8), np.uint8
    )
    labels, part = nearest(_labels()), nearest(continued_compartments())
    falx, tentorium = np.zeros(grid.shape, bool), np.zeros(grid.shape, bool)
    for axis in range(3):
        a, b = (np.moveaxis(part, axis, 0)[s] for s in (slice(None, -1), slice(1, None)))
        parted = (a != b) & (a > 0) & (b > 0) & (a < 4) & (b < 4)
        low = parted & (a < b)
        for wall, which in ((falx, np.maximum(a, b) < 3), (tentorium, np.maximum(a, b) == 3)):
            along = np.moveaxis(wall, axis, 0)
            along[:-1] |= low & which
            along[1:] |= parted & ~low & which
    masks = {"falx": falx, "tentorium": tentorium}
    masks |= {n: labels == LABELS[n] for n in ("ventricles", "callosum")}
    masks |= {"brainstem": labels == LABELS["brainstem"], "peduncles": labels == _PEDUNCLES}
    return {n: grid.image(m) for n, m in masks.items() if m.any()}


_PEDUNCLES = 1 + max(LABELS.values())
# The crura of the midbrain, MNI mm: above the pons, in front of the substantia nigra, off the midline.
_CRUS_ABOVE_MM, _CRUS_FRONT_MM, _CRUS_OFF_MM = -20.0, -24.0, 4.0


def _labels() -> sitk.Image:
    """The template's labels with the cerebral peduncles as one more."""
    image = template_structures()
    labels = array(image, np.uint8)
    grid = Grid.of(image)
    x, y, z = (
        o + s * np.arange(n) * d for o, s, n, d in zip(grid.origin, grid.spacing, grid.size, grid.direction[::4])
    )
    place = (z > _CRUS_ABOVE_MM)[:, None, None] & (-y > _CRUS_FRONT_MM)[:, None] & (abs(x) > _CRUS_OFF_MM)
    labels[(labels == LABELS["brainstem"]) & place] = _PEDUNCLES
    return grid.image(labels)
