"""What the network is shown of a visit: images, where they were measured, and where the lesion lies, in the box that is predicted."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ...images import box_around
from ..features import relative
from ..inputs import NEL, REACH_MM, REQUIRED, SEEN, Inputs

_OPTIONAL = len(REQUIRED)  # the first of those that may be missing
_NEAR_MM = 15.0  # from a lesion, over which nearness falls to 1/e; chosen
_PLACES = 4
_QUARTILES = 1.349  # apart, in standard deviations of a Gaussian
_AROUND = 2  # voxels of the box round what local recurrence is asked in; chosen


@dataclass(frozen=True)
class Shown:
    """A visit as the network sees it.

    Attributes
    ----------
    names
        Of the images: `SEEN`, or some of these, in its order.
    images
        (`names`, z, y, x) float32 in units that patients share, NaN where nothing was measured; of the box.
    places
        Nearness to T2L and to CEL (1 in it), cavity, brain; (4, z, y, x) float32; of the box.
    region
        Where the network learns: the brain without cavity within `inputs.REACH_MM` of the T2 lesion, and the lesion; of local recurrence
        (`Inputs.local`), the lesion that does not enhance; of the box.
    where
        Where it is asked: there, but not where the target is certain; boolean (z, y, x) of the whole grid.
    box
        Of the whole grid.
    target
        `Inputs.target`, of the box; None where not known.
    share
        Voxels of the target over those of the brain without cavity, which Tran 2025 calls f; 0 without a target.
    """

    names: tuple[str, ...]
    images: np.ndarray
    places: np.ndarray
    region: np.ndarray
    where: np.ndarray
    box: tuple[slice, slice, slice]
    target: np.ndarray | None
    share: float

    @classmethod
    def of(cls, inputs: Inputs, names: Sequence[str] = SEEN) -> "Shown":
        """What is shown of inputs, of which `names` are looked at."""
        masks = inputs.masks
        tissue = masks["brain"] & ~masks["cavity"]
        if NEL in masks:
            region, around = masks[NEL], _AROUND
        else:
            region, around = tissue & (inputs.away("t2l") <= REACH_MM), 0
        box = box_around(region, [around] * 3)
        found = relative(inputs)
        none = np.full(region.shape, np.nan, np.float32)
        if NEL in masks:
            found = {name: _standard(image, region) for name, image in found.items()}
        images = np.stack([found.get(name, none)[box] for name in names]).astype(np.float32)
        near = [np.exp(-inputs.away(name)[box] / _NEAR_MM) for name in ("t2l", "cel")]
        places = np.stack([*near, masks["cavity"][box], masks["brain"][box]]).astype(np.float32)
        target, share = None, 0.0
        if inputs.target is not None:
            target, share = inputs.target[box], float(inputs.target.sum() / tissue.sum())
        where = region & ~inputs.certain
        return cls(tuple(names), images, places, region[box], where, box, target, share)

    @property
    def inner(self) -> np.ndarray:
        """`where`, of the box."""
        return self.where[self.box]

    def near(self, name: str) -> np.ndarray:
        """Values of an image in `where` (n,); none of one that the network does not look at."""
        return self.images[self.names.index(name)][self.inner] if name in self.names else np.empty(0, np.float32)

    def showing(self, names: Collection[str]) -> "Shown":
        """The same with these images alone."""
        gone = np.array([name not in names for name in self.names])
        images = self.images.copy()
        images[gone] = np.nan
        return replace(self, images=images)

    def usual(self, name: str) -> "Shown":
        """The same with what most of normal brain has, in place of one of `inputs.REQUIRED`, which are divided by it."""
        images = self.images.copy()
        images[self.names.index(name)] = 1.0
        return replace(self, images=images)

    def stacked(self, low: np.ndarray, high: np.ndarray) -> np.ndarray:
        """What goes into the network (`channels_in`, z, y, x), float32.

        Images are carried from `low` to `high` (`names`) onto 0 to 1, and are 0 where they were not measured; for those that may be missing
        a channel each says where they were; and the places.
        """
        known = np.isfinite(self.images)
        spread = lambda v: v[:, None, None, None]
        values = (self.images - spread(low)) / spread(np.maximum(high - low, 1e-6))
        values = np.where(known, values.clip(0, 1), 0)
        return np.concatenate([values, known[_OPTIONAL:], self.places]).astype(np.float32)


def _standard(image: np.ndarray, region: np.ndarray) -> np.ndarray:
    """An image less its median in a region, in standard deviations there, of which the quartiles tell; 0 outside.

    What is to be found stands out little in one lesion, far less than lesions, brain and air differ.
    """
    values = image[region & np.isfinite(image)]
    if not values.size:
        return image
    low, middle, high = np.percentile(values, (25, 50, 75))
    return np.where(region, (image - middle) / max((high - low) / _QUARTILES, 1e-6), 0)


def channels_in(names: Sequence[str]) -> int:
    """How many channels `Shown.stacked` has of images by name."""
    return 2 * len(names) - _OPTIONAL + _PLACES


def known_of(image: int) -> int:
    """The channel of `Shown.stacked` that says where an image that may be missing, by its place in `SEEN`, was measured."""
    return len(SEEN) + image - _OPTIONAL
