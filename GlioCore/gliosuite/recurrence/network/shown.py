"""What the network is shown of a visit: images, where they were measured, and where the lesion lies, in the box that is predicted."""

from collections.abc import Collection
from dataclasses import dataclass, replace

import numpy as np

from ...images import box_around
from ..features import relative
from ..inputs import REACH_MM, REQUIRED, Inputs

# Tran 2025's six, and the perfusion maps; names of `inputs.CHANNELS`, of which the first two are `inputs.REQUIRED`.
SEEN = (*REQUIRED, "adc", "fa", "cni", "ccri", "ktrans", "ve", "vp", "cbv", "tmax")
_OPTIONAL = len(REQUIRED)  # the first of those that may be missing
_NEAR_MM = 15.0  # from a lesion, over which nearness falls to 1/e; chosen
_PLACES = 4
CHANNELS_IN = 2 * len(SEEN) - _OPTIONAL + _PLACES


@dataclass(frozen=True)
class Shown:
    """A visit as the network sees it.

    Attributes
    ----------
    images
        (`SEEN`, z, y, x) float32 in units that patients share, NaN where nothing was measured; of the box.
    places
        Nearness to T2L and to CEL (1 in it), cavity, brain; (4, z, y, x) float32; of the box.
    region
        Where the network learns: the brain without cavity within `inputs.REACH_MM` of the T2 lesion, and the lesion; of the box.
    where
        Where it is asked: there, but outside the lesion; boolean (z, y, x) of the whole grid.
    box
        Of the whole grid.
    target
        The lesion now and at progression, of the box; None where not known.
    share
        Voxels of the target over those of the brain without cavity, which Tran 2025 calls f; 0 without a target.
    """

    images: np.ndarray
    places: np.ndarray
    region: np.ndarray
    where: np.ndarray
    box: tuple[slice, slice, slice]
    target: np.ndarray | None
    share: float

    @classmethod
    def of(cls, inputs: Inputs) -> "Shown":
        """What is shown of inputs."""
        masks = inputs.masks
        away = inputs.away("t2l")
        tissue = masks["brain"] & ~masks["cavity"]
        region = tissue & (away <= REACH_MM)
        box = box_around(region)
        found = relative(inputs)
        none = np.full(away.shape, np.nan, np.float32)
        images = np.stack([found.get(name, none)[box] for name in SEEN]).astype(np.float32)
        near = [np.exp(-inputs.away(name)[box] / _NEAR_MM) for name in ("t2l", "cel")]
        places = np.stack([*near, masks["cavity"][box], masks["brain"][box]]).astype(np.float32)
        target, share = None, 0.0
        if inputs.target is not None:
            target, share = inputs.target[box], float(inputs.target.sum() / tissue.sum())
        return cls(images, places, region[box], region & (away > 0), box, target, share)

    @property
    def inner(self) -> np.ndarray:
        """`where`, of the box."""
        return self.where[self.box]

    def near(self, name: str) -> np.ndarray:
        """Values of an image in `where` (n,); none of one that the network does not look at."""
        return self.images[SEEN.index(name)][self.inner] if name in SEEN else np.empty(0, np.float32)

    def showing(self, names: Collection[str]) -> "Shown":
        """The same with these images alone."""
        gone = np.array([name not in names for name in SEEN])
        images = self.images.copy()
        images[gone] = np.nan
        return replace(self, images=images)

    def usual(self, name: str) -> "Shown":
        """The same with what most of normal brain has, in place of one of `inputs.REQUIRED`, which are divided by it."""
        images = self.images.copy()
        images[SEEN.index(name)] = 1.0
        return replace(self, images=images)

    def stacked(self, low: np.ndarray, high: np.ndarray) -> np.ndarray:
        """What goes into the network (`CHANNELS_IN`, z, y, x), float32.

        Images are carried from `low` to `high` (`SEEN`) onto 0 to 1, and are 0 where they were not measured; for those that may be missing
        a channel each says where they were; and the places.
        """
        known = np.isfinite(self.images)
        spread = lambda v: v[:, None, None, None]
        values = (self.images - spread(low)) / spread(np.maximum(high - low, 1e-6))
        values = np.where(known, values.clip(0, 1), 0)
        return np.concatenate([values, known[_OPTIONAL:], self.places]).astype(np.float32)


def known_of(image: int) -> int:
    """The channel of `Shown.stacked` that says where an image that may be missing, by its place in `SEEN`, was measured."""
    return len(SEEN) + image - _OPTIONAL
