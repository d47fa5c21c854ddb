"""Clinical target volumes by rule: which masks make the GTV, how far the margin goes, all inside the brain."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from ...errors import InputError, option
from ...images import Grid, as_grid, boolean, resample_mask
from ..barriers import BarrierMasks
from ..margins import expand
from .edges import at_edge, lost_cc
from .midline import SLACK_MM, crossing_cc, midline
from .predicted import REACH_MM, SMOOTHING_MM, Candidates, Satellite
from .schemes import Scheme, TargetRule, scheme

_LEAST_CROSSING_CC = 0.5  # chosen: less is within what the plane is known to
_LEAST_LOST_CC = 0.05  # chosen: it is said to a tenth of a cc
_TITLES = {
    "cel": "enhancing lesion (cel)",
    "t2l": "T2 lesion (t2l)",
    "cavity": "resection cavity (cavity)",
    "brain": "brain mask",
    "necrosis": "necrosis",
}
# What a GTV holds, as a planning system shows it beside the contour.
_WORDS = {"cel": "enhancing lesion", "t2l": "T2 lesion", "cavity": "resection cavity", "necrosis": "necrosis"}


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

    @property
    def lesion(self) -> sitk.Image | None:
        """The whole lesion, cavity and necrosis too; None where there is none. Its masks lie on one grid."""
        parts = [m for m in (self.cel, self.t2l, self.cavity, self.necrosis) if m is not None]
        return Grid.of(parts[0]).image(np.any([boolean(m) for m in parts], axis=0)) if parts else None

    def on(self, grid: Grid) -> "Structures":
        """The same masks on one grid, carried by their signed distance."""
        carried = lambda mask: None if mask is None else resample_mask(mask, grid)
        return Structures(
            resample_mask(self.brain, grid),
            carried(self.cel),
            carried(self.t2l),
            carried(self.cavity),
            carried(self.necrosis),
            tuple(resample_mask(m, grid) for m in self.critical),
        )


@dataclass(frozen=True)
class Target:
    """One GTV, its CTV and, where it was asked for, its PTV (uint8, one grid); what the GTV holds, and how the CTV was made of it."""

    rule: TargetRule
    gtv: sitk.Image
    ctv: sitk.Image
    holds: str
    how: str
    ptv: sitk.Image | None = None


@dataclass(frozen=True)
class TargetVolumes:
    """What `target_volumes` makes: one target, or two where a scheme has two phases; `gtv` and `ctv` are the first one's.

    Attributes
    ----------
    volumes_cc
        Volume by ROI name.
    notes
        Sentences on what was missing, cut off or left out.
    barriers
        What the margins met, by name, with its rule; empty where they ran straight.
    barriers_source
        ``none``, or where the barriers come from.
    satellites
        Predicted parts that do not touch the lesion.
    """

    scheme: Scheme
    targets: tuple[Target, ...]
    volumes_cc: dict[str, float]
    notes: tuple[str, ...]
    barriers: dict[str, str] = field(default_factory=dict)
    barriers_source: str = "none"
    satellites: tuple[Satellite, ...] = ()

    @property
    def gtv(self) -> sitk.Image:
        """The first phase's GTV."""
        return self.targets[0].gtv

    @property
    def ctv(self) -> sitk.Image:
        """The first phase's CTV."""
        return self.targets[0].ctv

    def said(self, target: Target) -> str:
        """How one of the targets was made: scheme, year, rule, dose level, and what became of barriers."""
        dose = f", {target.rule.dose}" if target.rule.dose else ""
        text = f"{self.scheme.title} ({self.scheme.year}){dose}: {target.how}"
        if target.rule.margin_mm is None and self.barriers:
            return f"{text}; barriers do not apply to what is predicted"
        return text if self.barriers else f"{text}; no barriers"


def target_volumes(
    name: str,
    structures: Structures,
    like: sitk.Image | Grid | None = None,
    margin_mm: float | None = None,
    probability: sitk.Image | None = None,
    threshold: float | None = None,
    volume_cc: float | None = None,
    like_scheme: str | None = None,
    *,
    barriers: BarrierMasks | None = None,
    ptv_mm: float | None = None,
    table: str | Path | None = None,
    smoothing_mm: float = SMOOTHING_MM,
    keep_satellites: bool = False,
    probability_source: str = "a file",
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
    barriers
        What margins from GTV to CTV go round; None: they run straight. They bear on every scheme alike.
    ptv_mm
        Make PTVs: the CTV and this margin, which no barrier and no brain mask stops.
    table
        An edited scheme table in place of the library's.
    smoothing_mm, keep_satellites, probability_source
        Scheme ``model`` alone: the scale of smoothing and closing; whether parts that do not touch the lesion are kept; what made the
        probability, for the record.

    Raises
    ------
    InputError
        If a mask that the scheme needs is missing, a mask is empty, nothing of the GTV lies in the brain, or the options contradict.
    """
    rules = scheme(name, table)
    grid = as_grid(like if like is not None else structures.brain)
    structures = structures.on(grid)
    brain = boolean(structures.brain)
    if not brain.any():
        raise InputError(
            "the brain mask is empty on the grid of the target volumes; a brain mask of the same patient is needed"
        )
    predicts = any(rule.margin_mm is None for rule in rules.targets)
    _check_options(name, predicts, margin_mm, probability, threshold, volume_cc, like_scheme)
    if ptv_mm is not None and not (np.isfinite(ptv_mm) and 0 <= ptv_mm <= 20):
        raise InputError(f"a PTV margin of {ptv_mm} mm is out of range; 0 to 20 mm is needed")
    barriers = barriers.on(grid) if barriers is not None else None
    notes: list[str] = []
    targets: list[Target] = []
    satellites: list[Satellite] = []
    plane = midline(structures.brain)
    for rule in rules.targets:
        absent = [r for r in rule.needs if getattr(structures, r) is None]
        if rule.rest_of and absent:
            notes.append(f"{rule.ctv_name} was not made: it needs the {_TITLES[absent[0]]}, which is not given.")
            continue
        gtv, holds = _gtv(name, rule, structures, brain, grid, notes)
        if rule.margin_mm is not None:
            margin = rule.margin_mm if margin_mm is None else margin_mm
            ctv, how = _expanded(rule, gtv, margin, structures, grid, barriers, notes)
            how = f"{holds} + {how}"
        else:
            assert probability is not None  # `_check_options` has seen to it
            if like_scheme is not None:
                made = target_volumes(like_scheme, structures, grid, barriers=barriers, table=table)
                volume_cc = made.volumes_cc[made.targets[0].rule.ctv_name]
            candidates = Candidates.of(gtv, brain, probability, grid, smoothing_mm, keep_satellites)
            ctv, how, satellites = _predicted(candidates, threshold, volume_cc, notes)
            how += f" from {probability_source}, with {holds}"
            how += f" (volume of {like_scheme})" if like_scheme else ""
            if at_edge(ctv):
                notes.append(f"{rule.ctv_name} reaches the image's edge; what is predicted beyond it is not known.")
        ctv, how = _cut(ctv, how, rule, structures, targets)
        if not ctv.any():
            if rule.rest_of:
                notes.append(f"{rule.ctv_name} was not made: {rule.rest_of} leaves nothing of it over.")
                continue
            raise InputError(
                f"{rule.ctv_name} is empty: nothing of it is left inside the brain and outside the critical structures"
            )
        crossing = None if plane is None else crossing_cc(plane, grid.image(gtv), grid.image(ctv))
        if crossing is not None and crossing > _LEAST_CROSSING_CC:
            notes.append(
                f"{rule.ctv_name} crosses the midline: {crossing:.1f} cc of it lie more than {SLACK_MM:g} mm beyond the plane of symmetry "
                "of the brain mask; see whether tumour can get there."
            )
        ptv = None
        if ptv_mm is not None:
            ptv = expand(grid.image(ctv), ptv_mm)
            _say_lost(rule.ptv_name, lost_cc(grid.image(ctv), ptv_mm), notes)
        targets.append(Target(rule, grid.image(gtv), grid.image(ctv), holds, how, ptv))
    return TargetVolumes(
        rules,
        tuple(targets),
        _volumes(targets, grid),
        tuple(dict.fromkeys(notes)),
        barriers.rules if barriers is not None else {},
        barriers.source if barriers is not None else "none",
        tuple(satellites),
    )


def _say_lost(name: str, lost: float, notes: list[str]) -> None:
    """Say that a target volume is cut by the image's edge."""
    if lost > _LEAST_LOST_CC:
        notes.append(
            f"{name} is cut by the edge of the image: about {lost:.1f} cc of it would lie beyond; an image that covers it is needed."
        )


def _expanded(
    rule: TargetRule,
    gtv: np.ndarray,
    margin_mm: float,
    structures: Structures,
    grid: Grid,
    barriers: BarrierMasks | None,
    notes: list[str],
) -> tuple[np.ndarray, str]:
    """The GTV and its margin, inside the brain and round barriers; and how it was made."""
    if at_edge(gtv):
        notes.append(f"{rule.gtv_name} reaches the edge of the image and may be cut by it.")
    walls = barriers.barriers(structures.brain, margin_mm) if barriers is not None else None
    ctv = boolean(expand(grid.image(gtv), margin_mm, walls)) & boolean(structures.brain)
    _say_lost(rule.ctv_name, lost_cc(grid.image(gtv), margin_mm, structures.brain, walls), notes)
    how = f"{margin_mm:g} mm, inside the brain"
    if barriers is not None:
        how += f", round {', '.join(barriers.rules)} ({barriers.source})"
    return ctv, how


def _cut(
    ctv: np.ndarray, how: str, rule: TargetRule, structures: Structures, earlier: list[Target]
) -> tuple[np.ndarray, str]:
    """A CTV without critical structures and without the earlier target that it is the rest of; and how it was made."""
    for mask in structures.critical:
        ctv &= ~boolean(mask)
    if structures.critical:
        how += ", critical structures removed"
    if rule.rest_of:
        ctv &= ~np.any([boolean(t.ctv) for t in earlier if t.rule.ctv_name == rule.rest_of], axis=0)
        how += f", without {rule.rest_of}"
    return ctv, how


def _volumes(targets: list[Target], grid: Grid) -> dict[str, float]:
    """Volume in cc by ROI name."""
    volumes: dict[str, float] = {}
    for t in targets:
        for roi, mask in ((t.rule.gtv_name, t.gtv), (t.rule.ctv_name, t.ctv), (t.rule.ptv_name, t.ptv)):
            if mask is not None:
                volumes[roi] = round(float(boolean(mask).sum()) * grid.voxel_cc, 4)
    return volumes


def _check_options(
    name: str,
    predicts: bool,
    margin_mm: float | None,
    probability: sitk.Image | None,
    threshold: float | None,
    volume_cc: float | None,
    like_scheme: str | None,
) -> None:
    wanted = [v for v in (threshold, volume_cc, like_scheme) if v is not None]
    if predicts:
        if probability is None or len(wanted) != 1 or margin_mm is not None:
            raise InputError(
                f"scheme {name} needs a probability ({option('--probability')}), one of {option('--threshold')}, {option('--volume-cc')}, "
                f"{option('--like')} and {option('--sensitivity')}, and no {option('--margin-mm')}"
            )
        if threshold is not None and not 0 < threshold < 1:
            raise InputError(f"threshold {threshold} is out of range; a probability between 0 and 1 is needed")
    elif probability is not None or wanted:
        raise InputError(
            f"scheme {name} takes no probability, threshold or volume; these belong to {option('--scheme')} model"
        )
    if margin_mm is not None and not (np.isfinite(margin_mm) and 0 <= margin_mm <= 50):
        raise InputError(f"margin {margin_mm} mm is out of range; 0 to 50 mm is needed")


def _gtv(
    name: str, rule: TargetRule, structures: Structures, brain: np.ndarray, grid: Grid, notes: list[str]
) -> tuple[np.ndarray, str]:
    """The union of a rule's masks inside the brain, and which they were and were not."""
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
    absent = [r for r in (*rule.gtv, *(["necrosis"] if "cel" in rule.gtv else [])) if r not in given]
    without = f" (no {', no '.join(_WORDS[r] for r in absent)})" if absent else ""
    return gtv, " + ".join(_WORDS[r] for r in given) + without


def _predicted(
    candidates: Candidates, threshold: float | None, volume: float | None, notes: list[str]
) -> tuple[np.ndarray, str, list[Satellite]]:
    """The CTV of a probability at a threshold, or of a volume."""
    voxel_cc = candidates.grid.voxel_cc
    if threshold is not None:
        level, how = threshold, f"probability >= {threshold:.3g}"
    else:
        assert volume is not None  # `_check_options` has seen to it
        count = volume / voxel_cc
        least, most = (float(m.sum()) for m in (candidates.lesion, candidates.score > -1))
        if not least <= count <= most:
            raise InputError(
                f"a CTV of {volume:g} cc is not possible: the lesion has {least * voxel_cc:.1f} cc, and the brain within "
                f"{REACH_MM:g} mm of it {most * voxel_cc:.1f} cc"
            )
        level = candidates.level_for(count)
        how = f"probability >= {level:.3g} (CTV of {volume:.1f} cc wanted)"
    ctv = candidates.ctv(level)
    found = candidates.satellites(level, ctv)
    if found:
        total = sum(s.volume_cc for s in found)
        what = "were kept" if candidates.keep_satellites else "were left out"
        notes.append(
            f"{total:.2f} cc in {len(found)} parts that are predicted to recur do not touch the lesion and {what}."
        )
    beyond = candidates.beyond_cc(level)
    if beyond > 0:
        notes.append(
            f"At least {beyond:.2f} cc that are predicted to recur lie beyond {REACH_MM:g} mm from the lesion and were left out."
        )
    return candidates.whole(ctv), how, found
