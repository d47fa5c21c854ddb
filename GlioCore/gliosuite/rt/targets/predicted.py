"""A CTV from a recurrence probability: the lesion and what is predicted to recur around it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from scipy import ndimage

from ...errors import InputError
from ...images import Grid, array, boolean, read_image, read_mask, resample, said_of
from ..margins import box_round, centre_distance

REACH_MM = 40.0  # the farthest from the lesion that clinicians would treat (Tran 2025)
SMOOTHING_MM = 2.0  # chosen: two voxels of the images that probabilities are made on; specks and pits of one voxel go
_LESION = 2.0  # above every probability
_CUBE = np.ones((3, 3, 3), bool)


def told(image: sitk.Image, name: str) -> str:
    """What a probability says of where it comes from (its NIfTI description), else its name and that nothing is said."""
    return said_of(image) or f"{name} (its source is not stated)"


def check_probability(values: np.ndarray) -> None:
    """Refuse what is no probability.

    Raises
    ------
    InputError
        With the range that was found.
    """
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    if not (low >= -1e-3 and high <= 1.001):
        raise InputError(
            f"the probability runs from {low:.3g} to {high:.3g}; 0 to 1 is needed (a fraction, not percent)"
        )


@dataclass(frozen=True)
class Satellite:
    """A predicted part that does not touch the lesion."""

    volume_cc: float
    mean_probability: float
    max_probability: float
    distance_mm: float


@dataclass(frozen=True)
class Candidates:
    """Nested CTVs: each level of `score` gives one.

    Attributes
    ----------
    score
        Probability, smoothed and closed (z, y, x); `_LESION` in the lesion, -1 where no CTV may be.
    probability
        As it was given, on the grid.
    lesion, away_mm
        The lesion, and the distance from it.
    box
        All of this lies in this part of the grid.
    beyond_cc
        Per level, see `beyond`.
    """

    score: np.ndarray
    probability: np.ndarray
    lesion: np.ndarray
    away_mm: np.ndarray
    brain: np.ndarray
    box: tuple[slice, ...]
    grid: Grid
    keep_satellites: bool

    @classmethod
    def of(
        cls,
        lesion: np.ndarray,
        brain: np.ndarray,
        probability: sitk.Image,
        grid: Grid,
        smoothing_mm: float = SMOOTHING_MM,
        keep_satellites: bool = False,
    ) -> "Candidates":
        """Smooth (Gaussian, inside the brain), close (ball; both of `smoothing_mm`) and clip a probability at `REACH_MM` from the lesion.

        A closing of grey values closes the outline at every level at once.

        Raises
        ------
        InputError
            If the probability is not one.
        """
        if not 0 <= smoothing_mm <= 10:
            raise InputError(f"a smoothing of {smoothing_mm} mm is out of range; 0 to 10 mm is needed")
        spacing = np.asarray(grid.spacing)[::-1]
        box = box_round(lesion, np.ceil((REACH_MM + 4 * smoothing_mm) / spacing).astype(int) + 1)
        values = np.nan_to_num(array(resample(probability, grid))[box], nan=0.0)
        check_probability(values)
        lesion, brain = lesion[box], brain[box]
        away = centre_distance(lesion, spacing)
        score = values.astype(np.float32)
        if smoothing_mm > 0:
            blur = lambda v: ndimage.gaussian_filter(v.astype(np.float32), smoothing_mm / spacing, truncate=3.0)
            score = blur(values * brain) / np.maximum(blur(brain), 1e-3)
        score[~brain] = -1
        score[lesion] = _LESION
        radius = [round(smoothing_mm / s) for s in grid.spacing]
        if any(radius):
            score = array(sitk.GrayscaleMorphologicalClosing(sitk.GetImageFromArray(score), radius, sitk.sitkBall))
        score[~brain | (away > REACH_MM)] = -1
        score[lesion] = _LESION
        return cls(score, values, lesion, away, brain, box, grid, keep_satellites)

    def ctv(self, level: float) -> np.ndarray:
        """The CTV at a level, in the box: holes filled; parts that do not touch the lesion are left out, unless they are kept."""
        chosen = self.score >= level
        if not self.keep_satellites:
            labels, _ = ndimage.label(chosen, _CUBE)
            touching = np.zeros(labels.max() + 1, bool)
            touching[np.unique(labels[self.lesion])] = True
            touching[0] = False
            chosen = touching[labels]
        return ndimage.binary_fill_holes(chosen) & self.brain | self.lesion

    def level_for(self, count: float) -> float:
        """The lowest level whose CTV has at most `count` voxels; the next lower one has more."""
        ranked = np.unique(self.score[(self.score > 0) & (self.score < _LESION)])
        low, high = 0, ranked.size
        while low < high:
            middle = (low + high) // 2
            low, high = (low, middle) if self.ctv(ranked[middle]).sum() <= count else (middle + 1, high)
        return float(ranked[low]) if low < ranked.size else _LESION

    def satellites(self, level: float, ctv: np.ndarray) -> list[Satellite]:
        """The parts at a level that do not touch the lesion, largest first."""
        labels, _ = ndimage.label(self.score >= level, _CUBE)
        touching = np.unique(labels[self.lesion])
        found = []
        for label, box in enumerate(ndimage.find_objects(labels), 1):
            part = labels[box] == label
            if label in touching:
                continue
            p = self.probability[box][part]
            volume = float(part.sum()) * self.grid.voxel_cc
            found.append(Satellite(volume, float(p.mean()), float(p.max()), float(self.away_mm[box][part].min())))
        return sorted(found, key=lambda s: -s.volume_cc)

    def beyond_cc(self, level: float) -> float:
        """How much reaches the level beyond `REACH_MM`, within the box that was looked at."""
        return float((self.brain & (self.away_mm > REACH_MM) & (self.probability >= level)).sum()) * self.grid.voxel_cc

    def whole(self, part: np.ndarray) -> np.ndarray:
        """A mask of the box on the whole grid."""
        result = np.zeros(self.grid.shape, bool)
        result[self.box] = part
        return result


@dataclass(frozen=True)
class Validated:
    """A threshold chosen on validation cases, and what it reached there."""

    threshold: float
    sensitivity: float
    least: float
    cases: int


def threshold_for(
    cases: Sequence[tuple[Candidates, np.ndarray]], sensitivity: float, least_threshold: float = 0.005
) -> Validated:
    """The highest threshold at which CTVs cover a wanted share of the progression, on average over validation cases.

    Parameters
    ----------
    cases
        Of each case, the candidates, and the lesion at progression on the whole of their grid.
    sensitivity
        Wanted mean sensitivity, 0-1.

    Raises
    ------
    InputError
        If no threshold reaches it.
    """
    if not 0 < sensitivity < 1:
        raise InputError(f"a sensitivity of {sensitivity} is out of range; a share between 0 and 1 is needed")

    def reached(level: float) -> np.ndarray:
        return np.array([(c.ctv(level) & p[c.box]).sum() / max(p.sum(), 1) for c, p in cases])

    low, high = least_threshold, 1.0
    at_low = reached(low).mean()
    if at_low < sensitivity:
        raise InputError(
            f"no threshold reaches a sensitivity of {sensitivity:g} on the {len(cases)} validation cases: the most is {at_low:.3f}, "
            f"at {low:g}"
        )
    for _ in range(12):
        middle = (low + high) / 2
        low, high = (middle, high) if reached(middle).mean() >= sensitivity else (low, middle)
    found = reached(low)
    return Validated(low, float(found.mean()), float(found.min()), len(cases))


def read_validation(
    folder: str | Path, smoothing_mm: float = SMOOTHING_MM, keep_satellites: bool = False
) -> list[tuple[Candidates, np.ndarray]]:
    """Validation cases: a folder each with images ``probability progression brain`` and at least one of ``cel t2l cavity``.

    Raises
    ------
    InputError
        If there is none, or one is incomplete.
    """
    folder = Path(folder)
    places = sorted(p for p in folder.iterdir() if p.is_dir()) if folder.is_dir() else []
    if not places:
        raise InputError(
            f"{folder} has no validation cases; a folder for each, with probability, progression, brain and lesion, is needed"
        )
    cases = []
    for place in places:
        found = {p.name.split(".")[0]: p for p in sorted(place.iterdir()) if p.is_file()}
        for name in ("probability", "progression", "brain"):
            if name not in found:
                raise InputError(
                    f"validation case {place} has no {name} image; probability, progression, brain and lesion are needed"
                )
        roles = [n for n in ("cel", "t2l", "cavity") if n in found]
        if not roles:
            raise InputError(f"validation case {place} has no lesion; at least one of cel, t2l and cavity is needed")
        image = read_image(found["probability"])
        grid = Grid.of(image)
        brain = boolean(read_mask(found["brain"], grid))
        lesion = np.any([boolean(read_mask(found[n], grid)) for n in roles], axis=0) & brain
        if not lesion.any():
            raise InputError(
                f"validation case {place}: the lesion lies outside the brain mask; masks of one patient are needed"
            )
        progression = boolean(read_mask(found["progression"], grid)) & brain
        cases.append((Candidates.of(lesion, brain, image, grid, smoothing_mm, keep_satellites), progression))
    return cases
