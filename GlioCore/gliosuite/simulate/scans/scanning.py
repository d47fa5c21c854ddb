"""What all scans share: sampling a head's tissues on a scan's grid, motion during a series, and what a scan gives back."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import SimpleITK as sitk

from ...images import Grid, Series, array
from ..acquisition import CLASSES, Effects, bias_field, rician, sample
from ..properties import Physiology, flow, maps_of
from ..treatment import rigid

LEAST_FRACTION = (
    0.004  # of a voxel, below which a tissue does not count: fractions are kept to 1/255, and less is rounding
)
_CENTRE = (0.0, 18.0, 10.0)  # of the head, LPS mm: what it turns about
# Of a series, chosen, as of a patient who lies still: SD of the drift along and about each axis in mm and degrees, and the mean number of
# sudden moves.
_DRIFT, _STEPS = 0.25, 0.5
_STEP_MM, _STEP_DEG = (0.5, 3.0), (0.5, 3.0)  # of a sudden move, from and to


@dataclass(frozen=True)
class Packed:
    """A head's volume fractions (`CLASSES`) and fields, ready to be sampled on any scan's grid."""

    fractions: sitk.Image
    fields: sitk.Image
    field_names: tuple[str, ...]
    finest_mm: float

    @classmethod
    def of(cls, grid: Grid, fractions: Mapping[str, np.ndarray], fields: Mapping[str, np.ndarray]) -> "Packed":
        """Pack arrays (z, y, x) on the head's grid; fractions are kept to 1/255."""
        stack = np.stack([np.round(fractions[name] * 255).astype(np.uint8) for name in CLASSES], axis=-1)
        images = []
        for values in (stack, np.stack(list(fields.values()), axis=-1)):
            image = sitk.GetImageFromArray(values, isVector=True)
            image.SetSpacing(grid.spacing)
            image.SetOrigin(grid.origin)
            images.append(image)
        return cls(images[0], images[1], tuple(fields), grid.spacing[2])

    def on(self, grid: Grid, to_head: sitk.Transform | None, effects: Effects) -> tuple[dict, dict]:
        """Fractions and fields on a scan's grid, both by name (z, y, x)."""
        mixed = sample(self.fractions, grid, to_head, self.finest_mm) / np.float32(255)
        if not effects.partial_volume:
            most = np.where(mixed.sum(axis=-1) > 0.5, mixed.argmax(axis=-1), -1)
            mixed = (most[..., None] == np.arange(len(CLASSES))).astype(np.float32)
        # Beyond the head's box fields go on as they end: flip angles do not fall to 0 there.
        image = sitk.Resample(
            self.fields, grid.blank(), to_head or sitk.Transform(), sitk.sitkLinear, 0.0, self.fields.GetPixelID(), True
        )
        waves = sitk.GetArrayViewFromImage(image)
        names = enumerate(self.field_names)
        return dict(zip(CLASSES, np.moveaxis(mixed, -1, 0))), {name: waves[..., i].copy() for i, name in names}


@dataclass(frozen=True)
class Scanned:
    """What a scan gives.

    Parameters
    ----------
    images
        Images and series by role.
    acquisition
        What ``case.json`` says of them, by role; without paths.
    maps
        Truth on the scan's own grid by name (``dce_ktrans``): each voxel has the values of its main tissue, ``..._tissue`` is that tissue
        (1 + index in `CLASSES`, 0 air), ``..._share`` how much of the voxel it takes. ``dce_held_ktrans`` (and ``ve``, ``vp``) is what
        the voxel holds of all its tissues together.
    curves
        True AIF (n, 2): time in s, every 0.1 s, and concentration.
    motion
        (frames, 6): shift in mm and rotation in degrees about x, y, z of each frame; None where no series was taken.
    """

    images: Mapping[str, sitk.Image | Series]
    acquisition: dict[str, dict[str, Any]]
    maps: dict[str, sitk.Image] = field(default_factory=dict)
    curves: dict[str, np.ndarray] = field(default_factory=dict)
    motion: np.ndarray | None = None


def scan_truth(
    prefix: str,
    grid: Grid,
    fractions: Mapping[str, np.ndarray],
    fields: Mapping[str, np.ndarray],
    physiology: Physiology,
    effects: Effects,
    names: tuple[str, ...],
    held: tuple[str, ...] = (),
) -> dict[str, sitk.Image]:
    """The truth of a scan as `Scanned.maps` holds it; parameters `names` (t1 is called t10 there), those `held` too."""
    shares = np.stack([fractions[name] for name in CLASSES])
    most = shares.max(axis=0)
    main = np.where(most > 0.05, shares.argmax(axis=0) + 1, 0).astype(np.uint8)
    maps = maps_of(main, fields, physiology, effects, names)
    if "t1" in maps:
        maps["t10"] = maps.pop("t1")
    if "cbv" in maps:
        maps["cbf"] = flow(maps["cbv"], maps["mtt"])
    maps |= {"tissue": main, "share": most}
    maps |= {f"held_{name}": values for name, values in _held(fractions, fields, physiology, effects, held).items()}
    return {f"{prefix}_{name}": grid.image(values) for name, values in maps.items()}


def _held(
    fractions: Mapping[str, np.ndarray],
    fields: Mapping[str, np.ndarray],
    physiology: Physiology,
    effects: Effects,
    names: tuple[str, ...],
) -> dict[str, np.ndarray]:
    """What voxels hold of ktrans, ve and vp: the sum over their tissues; fluid that no agent reaches adds nothing."""
    result = {name: np.zeros(fractions[CLASSES[0]].shape, np.float32) for name in names}
    for tissue in CLASSES if names else ():
        inside = fractions[tissue] > LEAST_FRACTION
        if not inside.any():
            continue
        p = physiology.values(tissue, {k: v[inside] for k, v in fields.items()}, effects, ("ktrans", "ve", "vp"))
        p["ve"] = np.where(p["ktrans"] > 0, p["ve"], np.float32(0))
        for name in names:
            result[name][inside] += fractions[tissue][inside] * p[name]
    return result


def motion(rng: np.random.Generator, frames: int) -> np.ndarray:
    """Draw how a head moves in a series: shifts in mm and angles in degrees about x, y, z (frames, 6).

    A drift (normal, SD .25 mm and degrees at the end, growing as the time to the power of 1.5) with a jitter of an eighth of it, and rare
    steps: their number is Poisson with a mean of .5, each at any frame but the first few, of .5-3 mm and .5-3 degrees (log-uniform) in
    any direction; the head stays where it went. All chosen.
    """
    turn = rigid(rng, _DRIFT, _DRIFT).GetParameters()
    end = np.concatenate([turn[3:], np.rad2deg(turn[:3])])
    path = end * (np.arange(frames) / frames)[:, None] ** 1.5 + rng.normal(size=(frames, 6)) * np.abs(end) / 8
    for _ in range(rng.poisson(_STEPS)):
        first = int(rng.integers(3, frames))
        for columns, (low, high) in ((slice(0, 3), _STEP_MM), (slice(3, 6), _STEP_DEG)):
            way = rng.normal(size=3)
            path[first:, columns] += way / np.linalg.norm(way) * np.exp(rng.uniform(np.log(low), np.log(high)))
    return path


def moved(frame: np.ndarray, grid: Grid, step: np.ndarray) -> np.ndarray:
    """A frame of a head that moved by one row of `motion`; what comes in from beyond its edge is as the edge.

    Cubic: a scan's signal is band-limited, and a head does not blur because it moved.
    """
    turn = sitk.Euler3DTransform()
    turn.SetCenter(_CENTRE)
    turn.SetParameters([float(v) for v in (*np.deg2rad(step[3:]), *step[:3])])
    image = grid.image(frame)
    found = array(sitk.Resample(image, image, turn, sitk.sitkBSpline, 0.0, sitk.sitkFloat32, True))
    return np.clip(found, 0.0, float(frame.max()))


def finish(
    frames: np.ndarray, grid: Grid, reference: float, snr: float, effects: Effects, rng: np.random.Generator
) -> tuple[Series, np.ndarray | None]:
    """Motion, bias and noise; whole numbers with the reference tissue near 400. Returns the series and how the head moved."""
    moving, biased, noisy = rng.spawn(3)
    frames *= np.float32(400 / reference)
    path = None
    if effects.motion:
        path = motion(moving, len(frames))
        for i, step in enumerate(path):
            frames[i] = moved(frames[i], grid, step)
    if effects.bias:
        frames *= bias_field(grid, biased)
    if effects.noise:
        for frame in frames:
            frame[...] = np.round(rician(frame, 400 / snr, noisy))
    return Series(frames, grid, "simulated series"), path
