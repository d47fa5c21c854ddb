"""What a recurrence model looks at: the images and the lesion of one visit, on one grid."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
from scipy import ndimage

from ..errors import InputError
from ..files import atomic
from ..images import Grid, array, boolean, non_enhancing, resample, resample_mask

GRID_MM = 3.0  # voxels of Tran 2025
REACH_MM = 40.0  # from the T2 lesion: as far as Tran 2025 looks
REQUIRED = ("t1c", "flair")
# By the network: Tran 2025's six, and the perfusion maps.
SEEN = (*REQUIRED, "adc", "fa", "cni", "ccri", "ktrans", "ve", "vp", "cbv", "tmax")
TARGET = ("progression_cel", "progression_t2l")
NEL = "nel"  # the mask that local recurrence is asked in
NOBODY = "in no patient does tumour enhance later inside the non-enhancing lesion, so there is nothing to find"
_BOX = 12**0.5  # width of a box over its standard deviation


@dataclass(frozen=True)
class Channel:
    """An image that a model may look at.

    Attributes
    ----------
    title
        For people.
    kind
        What kind of scan it comes from: channels of one kind are there together.
    scaled
        Whether its unit is the scanner's own, so that it is divided by what most of normal brain has.
    """

    title: str
    kind: str
    scaled: bool


# By role of a case, or name of a perfusion map.
CHANNELS: dict[str, Channel] = {
    "t1c": Channel("T1c", "anatomy", True),
    "t1": Channel("T1", "anatomy", True),
    "flair": Channel("FLAIR", "anatomy", True),
    "adc": Channel("ADC", "diffusion", True),
    "fa": Channel("FA", "diffusion", True),
    "cho": Channel("choline", "spectroscopy", True),
    "cre": Channel("creatine", "spectroscopy", True),
    "naa": Channel("NAA", "spectroscopy", True),
    "lac": Channel("lactate", "spectroscopy", False),
    "lip": Channel("lipid", "spectroscopy", False),
    "cni": Channel("CNI", "spectroscopy", False),
    "ccri": Channel("CCrI", "spectroscopy", False),
    "crni": Channel("CrNI", "spectroscopy", False),
    "ktrans": Channel("ktrans", "perfusion", False),
    "ve": Channel("ve", "perfusion", False),
    "vp": Channel("vp", "perfusion", False),
    "cbv": Channel("CBV", "perfusion", True),
    "tmax": Channel("Tmax", "perfusion", False),
}
KINDS = ("anatomy", "diffusion", "perfusion", "spectroscopy")


@dataclass(frozen=True)
class Inputs:
    """One visit on one grid; nothing of a later visit but, for training, the target.

    Attributes
    ----------
    images
        By names of `CHANNELS`, float32 (z, y, x); NaN where nothing was measured.
    masks
        ``brain``, ``cel``, ``t2l`` (with the enhancing lesion) and ``cavity``, booleans (z, y, x); of `local`, ``nel`` too.
    grid
        Of all of these.
    target
        The lesion at this visit and at progression, inside the brain, boolean (z, y, x); of `local`, what enhances later inside ``nel``.
        None where not known.
    """

    images: dict[str, np.ndarray]
    masks: dict[str, np.ndarray]
    grid: Grid
    target: np.ndarray | None = None

    @classmethod
    def of(
        cls,
        images: Mapping[str, sitk.Image],
        masks: Mapping[str, sitk.Image],
        grid: Grid,
        transforms: Mapping[str, sitk.Transform] | None = None,
        measured: Mapping[str, sitk.Image] | None = None,
    ) -> "Inputs":
        """Carry images and masks onto `grid`.

        Parameters
        ----------
        images
            By names of `CHANNELS`; others are passed over.
        masks
            ``brain``, ``cel`` and ``t2l`` (one of these at least), ``cavity``; with ``progression_cel`` or ``progression_t2l`` there is a
            target.
        transforms
            By image: points of `grid` to points of the image; those that lie there already have none.
        measured
            By image: a mask on its grid outside which its values mean nothing.

        Raises
        ------
        InputError
            If T1c or FLAIR, the brain or the lesion is missing.
        """
        for name in REQUIRED:
            if name not in images:
                raise InputError(f"there is no {CHANNELS[name].title} image ({name}); T1c and FLAIR are needed")
        if "brain" not in masks:
            raise InputError("there is no brain mask, outside which nothing is predicted")
        on = {name: boolean(resample_mask(mask, grid)) for name, mask in masks.items()}
        brain = on["brain"]
        none = np.zeros_like(brain)
        cavity = on.get("cavity", none) & brain
        cel = on.get("cel", none) & brain & ~cavity
        lesion = (on.get("t2l", cel) | cel) & brain & ~cavity
        if not lesion.any():
            raise InputError("there is no lesion (cel or t2l) inside the brain, around which it could recur")
        later = [on[name] for name in TARGET if name in on]
        target = np.any([lesion, *later], axis=0) & brain & ~cavity if later else None
        carried = {
            name: averaged(images[name], grid, (transforms or {}).get(name), (measured or {}).get(name))
            for name in CHANNELS
            if name in images
        }
        return cls(carried, {"brain": brain, "cel": cel, "t2l": lesion, "cavity": cavity}, grid, target)

    def write(self, path: Path) -> None:
        """Keep it in a file of numpy (.npz); masks take a bit a voxel."""
        lie = {f.name: np.asarray(getattr(self.grid, f.name)) for f in fields(self.grid)}
        masks = self.masks | ({} if self.target is None else {"target": self.target})
        arrays: dict[str, Any] = {f"image:{n}": v for n, v in self.images.items()}
        arrays |= {f"grid:{n}": v for n, v in lie.items()} | {f"mask:{n}": np.packbits(v) for n, v in masks.items()}
        with atomic(path) as partial:
            np.savez_compressed(partial, **arrays)

    @classmethod
    def read(cls, path: Path) -> "Inputs":
        """What `write` kept."""
        with np.load(path) as found:
            held = {n: found[n] for n in found.files}
        of = lambda kind: {n.removeprefix(kind): v for n, v in held.items() if n.startswith(kind)}
        grid = Grid(*(tuple(v.tolist()) for v in of("grid:").values()))
        count = int(np.prod(grid.shape))
        masks = {n: np.unpackbits(v, count=count).reshape(grid.shape).astype(bool) for n, v in of("mask:").items()}
        return cls(of("image:"), {n: v for n, v in masks.items() if n != "target"}, grid, masks.get("target"))

    def local(self, later: np.ndarray | None = None, necrosis: np.ndarray | None = None) -> "Inputs":
        """The same, asked about local recurrence as Yoon 2024 has it: tumour that enhances later inside the lesion that does not now.

        Parameters
        ----------
        later, necrosis
            What enhances at the later visit, empty where nothing does, and what is necrotic now, boolean (z, y, x).

        Raises
        ------
        InputError
            If there is no lesion that does not enhance.
        """
        masks = self.masks
        nel = non_enhancing(masks if necrosis is None else masks | {"necrosis": necrosis})
        if not nel.any():
            raise InputError(
                "there is no lesion that does not enhance (t2l without cel, necrosis and cavity), in which it could recur"
            )
        return replace(self, masks=masks | {NEL: nel}, target=None if later is None else later & nel)

    @property
    def certain(self) -> np.ndarray:
        """Where the target lies by definition, boolean (z, y, x): in the lesion; of `local`, nowhere."""
        return self.masks["t2l"] & (NEL not in self.masks)

    def need(self, names: Sequence[str]) -> None:
        """Refuse to go on without one of some images.

        Raises
        ------
        InputError
            If one is missing, or was measured nowhere.
        """
        missing = [CHANNELS[n].title for n in names if n not in self.images or not np.isfinite(self.images[n]).any()]
        if missing:
            raise InputError(f"the model looks at {', '.join(names)}, and there is no {', no '.join(missing)}")

    def away(self, name: str) -> np.ndarray:
        """Distance (mm) of voxels' centres from a mask, 0 in it; infinite where it is empty; float32 (z, y, x)."""
        mask = self.masks[name]
        if not mask.any():
            return np.full(mask.shape, np.inf, np.float32)
        return ndimage.distance_transform_edt(~mask, self.grid.spacing[::-1]).astype(np.float32)

    def without(self, kinds: Collection[str]) -> "Inputs":
        """The same without the channels of some of `KINDS`; T1c and FLAIR always stay."""
        kept = {n: v for n, v in self.images.items() if n in REQUIRED or CHANNELS[n].kind not in kinds}
        return Inputs(kept, self.masks, self.grid, self.target)


def averaged(
    image: sitk.Image, grid: Grid, transform: sitk.Transform | None = None, measured: sitk.Image | None = None
) -> np.ndarray:
    """An image on a grid, whose voxels, where they are larger, hold means of the image's; NaN where nothing was measured.

    The image is smoothed by a Gaussian that makes its voxels as wide (by their variance) as the grid's, so that noise falls as in a mean.

    Returns
    -------
    numpy.ndarray
        float32 (z, y, x).
    """
    values = array(image)
    known = np.isfinite(values) if measured is None else np.isfinite(values) & boolean(measured)
    own = np.asarray(image.GetSpacing()[::-1])
    sigma = np.sqrt(np.maximum(np.square(grid.spacing[::-1]) - np.square(own), 0)) / _BOX / own
    blur = lambda v: ndimage.gaussian_filter(v, sigma, truncate=3.0) if sigma.any() else v
    source = Grid.of(image)
    carry = lambda v: array(resample(source.image(blur(v.astype(np.float32))), grid, transform))
    weight = carry(known)
    return np.where(weight > 0.5, carry(np.where(known, values, 0)) / np.maximum(weight, 0.5), np.nan).astype(
        np.float32
    )
