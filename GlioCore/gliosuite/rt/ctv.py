"""Clinical target volumes by rule: which masks make the GTV, how far the margin goes, all inside the brain."""

import json
from dataclasses import dataclass, fields
from functools import cache

import numpy as np
import SimpleITK as sitk
from scipy import ndimage

from ..errors import InputError
from ..images import Grid, array, as_grid, boolean, resample, resample_mask, volume_cc
from ..resources import read_text
from .margins import expand

_TITLES = {
    "cel": "enhancing lesion (cel)",
    "t2l": "T2 lesion (t2l)",
    "cavity": "resection cavity (cavity)",
    "brain": "brain mask",
    "necrosis": "necrosis",
}


@dataclass(frozen=True)
class TargetRule:
    """One GTV and the CTV made from it; `margin_mm` is None where a probability takes its place."""

    ctv_name: str
    gtv_name: str
    gtv: tuple[str, ...]
    needs: tuple[str, ...]
    margin_mm: float | None
    dose: str | None


@dataclass(frozen=True)
class Scheme:
    """A row of the scheme table; `ptv_mm` is the usual range of the margin from CTV to PTV, for information."""

    name: str
    title: str
    year: int
    source: str
    ptv_mm: tuple[float, float] | None
    targets: tuple[TargetRule, ...]


@dataclass(frozen=True)
class Structures:
    """The masks that target volumes are made of; 0/1 images on any grid, of which those that are missing are None.

    Attributes
    ----------
    brain
        What no CTV leaves.
    cel, t2l, cavity
        Enhancing lesion, T2 lesion (CEL included or not), resection cavity.
    necrosis
        Counted with the enhancing lesion where it is given.
    critical
        Removed from every CTV (brainstem, thalamus).
    """

    brain: sitk.Image
    cel: sitk.Image | None = None
    t2l: sitk.Image | None = None
    cavity: sitk.Image | None = None
    necrosis: sitk.Image | None = None
    critical: tuple[sitk.Image, ...] = ()

    def on(self, grid: Grid) -> "Structures":
        """The same masks on one grid, carried by their signed distance."""
        carried = {}
        for f in fields(self):
            value = getattr(self, f.name)
            if f.name == "critical":
                carried[f.name] = tuple(resample_mask(m, grid) for m in value)
            elif value is not None:
                carried[f.name] = resample_mask(value, grid)
        return Structures(**carried)


@dataclass(frozen=True)
class Target:
    """One GTV and its CTV (uint8, one grid), and how they were made."""

    rule: TargetRule
    gtv: sitk.Image
    ctv: sitk.Image
    how: str


@dataclass(frozen=True)
class TargetVolumes:
    """What `target_volumes` makes: one target, or two where a scheme has two phases; `gtv` and `ctv` are the first one's.

    Attributes
    ----------
    volumes_cc
        Volume by ROI name.
    notes
        Sentences on what was missing, cut off or left out.
    """

    scheme: Scheme
    targets: tuple[Target, ...]
    volumes_cc: dict[str, float]
    notes: tuple[str, ...]

    @property
    def gtv(self) -> sitk.Image:
        """The first phase's GTV."""
        return self.targets[0].gtv

    @property
    def ctv(self) -> sitk.Image:
        """The first phase's CTV."""
        return self.targets[0].ctv


@cache
def schemes() -> dict[str, Scheme]:
    """The scheme table (``resources/ctv_schemes.json``) by name."""
    table = {}
    for row in json.loads(read_text("ctv_schemes.json"))["schemes"]:
        targets = tuple(
            TargetRule(**{**t, "gtv": tuple(t["gtv"]), "needs": tuple(t["needs"])}) for t in row.pop("targets")
        )
        ptv = row.pop("ptv_mm")
        table[row["name"]] = Scheme(**row, ptv_mm=tuple(ptv) if ptv else None, targets=targets)
    return table


def scheme(name: str) -> Scheme:
    """One row of the scheme table.

    Raises
    ------
    InputError
        If there is no such scheme.
    """
    if name not in schemes():
        raise InputError(f"CTV scheme {name!r} is not known; choose from {', '.join(schemes())}")
    return schemes()[name]


def target_volumes(
    name: str,
    structures: Structures,
    like: sitk.Image | Grid | None = None,
    margin_mm: float | None = None,
    probability: sitk.Image | None = None,
    threshold: float | None = None,
    volume_cc: float | None = None,
    like_scheme: str | None = None,
) -> TargetVolumes:
    """GTV and CTV of a scheme, inside the brain.

    Parameters
    ----------
    name
        A row of the scheme table: ``rtog``, ``s3-eortc``, ``estro-eano`` ...
    structures
        The masks; carried to the grid of `like` (default: the brain mask's).
    margin_mm
        Another margin than the scheme's.
    probability, threshold, volume_cc, like_scheme
        Scheme ``model`` alone: a recurrence probability 0-1, and one of: the least probability that is included, the CTV's volume, or the
        scheme whose CTV volume it gets.

    Raises
    ------
    InputError
        If a mask that the scheme needs is missing, a mask is empty, nothing of the GTV lies in the brain, or the options contradict.
    """
    rules = scheme(name)
    grid = as_grid(like if like is not None else structures.brain)
    structures = structures.on(grid)
    brain = boolean(structures.brain)
    if not brain.any():
        raise InputError(
            "the brain mask is empty on the grid of the target volumes; a brain mask of the same patient is needed"
        )
    wanted = [
        o
        for o, v in (("threshold", threshold), ("volume_cc", volume_cc), ("like_scheme", like_scheme))
        if v is not None
    ]
    if name == "model":
        if probability is None or len(wanted) != 1 or margin_mm is not None:
            raise InputError(
                "scheme model needs a probability (--probability), one of --threshold, --volume-cc and --like, and no --margin-mm"
            )
    elif probability is not None or wanted:
        raise InputError(f"scheme {name} takes no probability, threshold or volume; these belong to --scheme model")
    if margin_mm is not None and not (np.isfinite(margin_mm) and 0 <= margin_mm <= 50):
        raise InputError(f"margin {margin_mm} mm is out of range; 0 to 50 mm is needed")
    notes: list[str] = []
    targets = []
    for rule in rules.targets:
        gtv, parts = _gtv(name, rule, structures, brain, grid, notes)
        if name == "model":
            if like_scheme is not None:
                volume_cc = next(iter(_ctv_volumes(like_scheme, structures, grid).values()))
            ctv, how = _predicted(gtv, brain, probability, threshold, volume_cc, grid, notes)
            how += f", with {' + '.join(parts)}" + (f" (volume of {like_scheme})" if like_scheme else "")
        else:
            margin = rule.margin_mm if margin_mm is None else margin_mm
            ctv = boolean(expand(grid.image(gtv), margin)) & brain
            how = f"{' + '.join(parts)} + {margin:g} mm, inside the brain"
        for mask in structures.critical:
            ctv &= ~boolean(mask)
        if structures.critical:
            how += ", critical structures removed"
        if not ctv.any():
            raise InputError(
                f"{rule.ctv_name} is empty: nothing of it is left inside the brain and outside the critical structures"
            )
        targets.append(Target(rule, grid.image(gtv), grid.image(ctv), how))
    volumes: dict[str, float] = {}
    for target in targets:
        volumes[target.rule.gtv_name] = round(float(boolean(target.gtv).sum()) * grid.voxel_cc, 4)
        volumes[target.rule.ctv_name] = round(float(boolean(target.ctv).sum()) * grid.voxel_cc, 4)
    return TargetVolumes(rules, tuple(targets), volumes, tuple(dict.fromkeys(notes)))


def _ctv_volumes(name: str, structures: Structures, grid: Grid) -> dict[str, float]:
    made = target_volumes(name, structures, grid)
    return {t.rule.ctv_name: volume_cc(t.ctv) for t in made.targets}


def _gtv(
    name: str, rule: TargetRule, structures: Structures, brain: np.ndarray, grid: Grid, notes: list[str]
) -> tuple[np.ndarray, list[str]]:
    """The union of a rule's masks inside the brain, and which they were."""
    given = {r: m for r in rule.gtv if (m := getattr(structures, r)) is not None}
    for role in rule.needs:
        if role not in given:
            raise InputError(f"CTV scheme {name} needs the {_TITLES[role]}, which is not given")
    if not given:
        listed = " or the ".join(_TITLES[r] for r in rule.gtv)
        raise InputError(f"CTV scheme {name} needs the {listed}, and none of them is given")
    for role in rule.gtv:
        if role not in given:
            notes.append(f"{rule.gtv_name} was made without the {_TITLES[role]}, which is not given.")
    if "cel" in given and structures.necrosis is not None:
        given["necrosis"] = structures.necrosis
    for role, mask in given.items():
        if not boolean(mask).any():
            raise InputError(
                f"the {_TITLES[role]} is empty on the grid of the target volumes; leave it out or give one that is not"
            )
    whole = np.any([boolean(m) for m in given.values()], axis=0)
    gtv = whole & brain
    if not gtv.any():
        raise InputError(
            f"{rule.gtv_name} lies outside the brain mask altogether; masks of one patient in one position are needed"
        )
    outside = float((whole & ~brain).sum()) * grid.voxel_cc
    if outside > 0.1:
        notes.append(f"{outside:.2f} cc of {rule.gtv_name} lie outside the brain mask and were cut off.")
    return gtv, list(given)


def _predicted(
    gtv: np.ndarray,
    brain: np.ndarray,
    probability: sitk.Image,
    threshold: float | None,
    volume: float | None,
    grid: Grid,
    notes: list[str],
) -> tuple[np.ndarray, str]:
    """The lesion and what is predicted to recur: parts that touch the lesion, holes filled, inside the brain."""
    values = np.nan_to_num(array(resample(probability, grid)), nan=0.0)
    values[~brain] = -1
    values[gtv] = np.inf
    closed = lambda level: _touching(values >= level, gtv, brain)
    if threshold is not None:
        if not 0 < threshold < 1:
            raise InputError(f"threshold {threshold} is out of range; a probability between 0 and 1 is needed")
        level, how = threshold, f"probability >= {threshold:g}"
    else:
        count = volume / grid.voxel_cc
        if not gtv.sum() <= count <= brain.sum():
            raise InputError(
                f"a CTV of {volume:g} cc is not possible: the lesion has {gtv.sum() * grid.voxel_cc:.1f} cc and the brain "
                f"{brain.sum() * grid.voxel_cc:.1f} cc"
            )
        ranked = np.unique(values[brain & ~gtv & (values > 0)])
        # The volume grows as the level falls: the lowest level whose CTV is still within the wanted volume.
        low, high = 0, ranked.size
        while low < high:
            middle = (low + high) // 2
            low, high = (low, middle) if closed(ranked[middle]).sum() <= count else (middle + 1, high)
        level = float(ranked[low]) if low < ranked.size else np.inf
        how = f"probability >= {level:.3g} (CTV of {volume:.1f} cc wanted)"
    ctv = closed(level)
    apart = float(((values >= level) & ~ctv).sum()) * grid.voxel_cc
    if apart > 0:
        notes.append(f"{apart:.2f} cc that are predicted to recur do not touch the lesion and were left out.")
    return ctv, how


def _touching(mask: np.ndarray, lesion: np.ndarray, brain: np.ndarray) -> np.ndarray:
    labels, _ = ndimage.label(mask, np.ones((3, 3, 3)))
    return ndimage.binary_fill_holes(np.isin(labels, np.unique(labels[lesion]))) & brain
