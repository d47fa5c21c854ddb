"""The later scan on the earlier one's grid, and what progressed.

Rigid and affine stages by `registration` (this room is its application to two visits, hence the import), then a B-spline that follows
the local correlation of equal contrasts: mutual information of the whole head moves healthy tissue with the tumour.
"""

import csv
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk

from ..case import SERIES_ROLES, Case
from ..errors import InputError
from ..images import Grid, array, boolean, call_draft, change, is_draft, resample, resample_mask, said_of, volume_cc
from ..steps import Progress, named, part, silent
from .freeform import FreeformSettings, deform
from .quality import Pair, Quality, displacement_field, field_jacobian, judge, landmark_error
from .register import compared_region, register
from .settings import RegistrationSettings
from .similarity import positions

_CONTRASTS = (
    "t1c",
    "flair",
    "t1",
    "t2",
)  # those that the deformable stage compares, in the order of choice; two at most
_CARRIED = {"cel": "progression_cel", "t2l": "progression_t2l"}
# What has no counterpart at the other visit: the deformable stage does not look there, lest it pull healthy tissue into it. Oedema has one.
NOT_COMPARED = ("cel", "necrosis", "cavity")
_LANDMARKS = ("landmarks.csv", "followup_landmarks.csv")  # beside case.json: of the baseline, of the later visit


@dataclass(frozen=True)
class FollowupSettings:
    """How two visits are brought together.

    Parameters
    ----------
    linear
        Rigid and affine stages between the visits, and the limits beyond which the whole is refused.
    deformable
        The B-spline stage; None leaves it out.
    """

    linear: RegistrationSettings = field(default_factory=lambda: RegistrationSettings(stages=("rigid", "affine")))
    deformable: FreeformSettings | None = field(default_factory=lambda: FreeformSettings(metric="correlation"))


@dataclass(frozen=True)
class Followup:
    """The later visit seen from the earlier one.

    `transform` maps baseline to follow-up points (LPS), `inverse` back; `images` and `masks` (``progression_cel``,
    ``progression_t2l``) lie on the baseline grid, `jacobian` too (volume at follow-up per volume at baseline).
    """

    transform: sitk.Transform
    inverse: sitk.Transform
    images: dict[str, sitk.Image]
    masks: dict[str, sitk.Image]
    jacobian: sitk.Image
    quality: Quality
    engine: str
    summary: dict[str, Any]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Visits:
    """Two visits brought together by linear maps: the later reference to the earlier one, and each visit's images to its reference.

    `transform` maps baseline to follow-up points (LPS); `within_earlier` and `within_later` map the reference's points to those of each
    role of that visit; `reference` is the role registered, `used` those that a deformable stage compares.
    """

    reference: str
    used: tuple[str, ...]
    transform: sitk.Transform
    within_earlier: dict[str, sitk.Transform]
    within_later: dict[str, sitk.Transform]
    quality: Quality
    engine: str
    notes: tuple[str, ...]


def align_visits(
    baseline: Mapping[str, sitk.Image],
    later: Mapping[str, sitk.Image],
    settings: FollowupSettings | None = None,
    engine: str = "auto",
    brainsfit: str | Path | None = None,
    progress: Progress = silent,
) -> Visits:
    """The linear part of `register_followup`, which needs no mask.

    Raises
    ------
    InputError
        If no role is common to both visits, or a registration is refused.
    """
    settings = settings or FollowupSettings()
    common = [r for r in _CONTRASTS if r in baseline and r in later]
    if not common:
        raise InputError(
            f"baseline ({', '.join(baseline) or 'no images'}) and follow-up ({', '.join(later) or 'no images'}) have no image in "
            f"common; one of {', '.join(_CONTRASTS)} of both visits is needed"
        )
    reference, used = common[0], tuple(common[:2])
    stretch = part(progress, 0.0, 0.5)
    found = register(
        baseline[reference], later[reference], settings.linear, engine=engine, brainsfit=brainsfit, progress=stretch
    )
    earlier = _within_visit(baseline, reference, used, engine, brainsfit, part(progress, 0.5, 0.65))
    within = _within_visit(later, reference, tuple(later), engine, brainsfit, part(progress, 0.65, 1.0))
    return Visits(reference, used, found.transform, earlier, within, found.quality, found.engine, found.notes)


def register_followup(
    baseline: Mapping[str, sitk.Image],
    later: Mapping[str, sitk.Image],
    later_masks: Mapping[str, sitk.Image] | None = None,
    grid: Grid | None = None,
    brain: sitk.Image | None = None,
    landmarks: tuple[np.ndarray, np.ndarray] | None = None,
    settings: FollowupSettings | None = None,
    engine: str = "auto",
    brainsfit: str | Path | None = None,
    progress: Progress = silent,
    visits: Visits | None = None,
    masks: Mapping[str, sitk.Image] | None = None,
) -> Followup:
    """Bring a later visit onto the earlier one.

    Parameters
    ----------
    baseline, later
        Images by role, at least one role in common (t1c, flair, t1 or t2). Within a visit, images that lie on different grids are
        first registered rigidly to that visit's reference, the first common role; those on its grid are taken as aligned.
    later_masks
        Masks of the follow-up by role, drawn on any of its images; ``cel`` and ``t2l`` become what progressed, and the deformable stage
        does not look at `NOT_COMPARED`.
    grid
        The baseline grid that results lie on; None takes the baseline reference's own.
    brain
        Mask of the baseline brain (any grid): where the deformable stage looks.
    landmarks
        Corresponding points (n, 3) in mm (LPS) of baseline and follow-up.
    visits
        What `align_visits` found for the same images and settings, where that has been done before.
    masks
        Masks of the baseline (any grid): the deformable stage does not look at `NOT_COMPARED`.

    Raises
    ------
    InputError
        If no role is common to both visits, or a registration is refused.
    """
    settings = settings or FollowupSettings()
    if visits is None:
        visits = align_visits(baseline, later, settings, engine, brainsfit, part(progress, 0.0, 0.6))
    progress(0.6, "follow-up")
    reference, used, linear = visits.reference, visits.used, visits.transform
    fixed = baseline[reference]
    grid = grid or Grid.of(fixed)
    notes = list(visits.notes)
    transform, quality = linear, visits.quality
    pair = Pair.of(fixed, later[reference], None, None)
    drawn_on = {r: _drawn_on(mask, later, reference) for r, mask in (later_masks or {}).items()}
    left_out = 0.0
    if settings.deformable is not None:
        here = Grid.of(fixed)
        look = boolean(resample_mask(compared_region(pair, linear) if brain is None else brain, here))
        apart = [resample_mask(m, here) for r, m in (masks or {}).items() if r in NOT_COMPARED]
        for role, mask in (later_masks or {}).items():
            if role in NOT_COMPARED:
                there = sitk.CompositeTransform([visits.within_later[drawn_on[role]], linear])
                apart.append(resample_mask(mask, here, there))
        if apart:
            sick = look & np.any([boolean(m) for m in apart], axis=0)
            look, left_out = look & ~sick, float(sick.sum()) * here.voxel_cc
        moved = [resample(later[r], here, sitk.CompositeTransform([visits.within_later[r], linear])) for r in used]
        still = [resample(baseline[r], here, visits.within_earlier[r]) for r in used]
        identity = sitk.Transform(3, sitk.sitkIdentity)
        spline = deform(still, moved, identity, here.image(look), settings.deformable, part(progress, 0.6, 0.9))
        transform = sitk.CompositeTransform([linear, spline])
        quality = judge(pair, transform, settings.linear)
        if quality.verdict == "refused":
            raise InputError(f"the registration of the follow-up was refused: {quality.reason}")
    progress(0.9, "carrying the follow-up to the baseline grid")
    inverse = inverted(transform, Grid.of(fixed))
    # A B-spline is dear to evaluate: each voxel's way is computed once, for all images, masks and the Jacobian.
    field = displacement_field(transform, grid)
    jacobian = field_jacobian(field)
    way = sitk.DisplacementFieldTransform(field)  # takes the field's voxels with it
    to = {r: sitk.CompositeTransform([visits.within_later[r], way]) for r in later}
    images = {r: resample(image, grid, to[r]) for r, image in later.items()}
    carried = {}
    for role, name in _CARRIED.items():
        if later_masks and role in later_masks:
            mask = later_masks[role]
            if not Grid.of(later[drawn_on[role]]).matches(Grid.of(mask)):
                at_reference = resample_mask(mask, later[reference])
                notes.append(change(mask, at_reference, f"the follow-up's {role}", f"its {reference} image")[1] + ".")
            carried[name] = resample_mask(mask, grid, to[drawn_on[role]])
            if is_draft(said_of(mask)):
                call_draft(carried[name], f"{name} (draft), carried from the follow-up")
                notes.append(f"The follow-up's {role} is a draft that no person has checked, and so is {name}.")
            if not boolean(carried[name]).any():
                notes.append(f"The follow-up's {role} has no voxel on the baseline grid")

    inside = boolean(resample_mask(pair.fixed_mask if brain is None else brain, grid))
    determinant = array(jacobian)[inside]
    probe = positions(grid, inside)[:: max(1, int(inside.sum()) // 2000)]
    there_and_back = sitk.CompositeTransform([inverse, transform])
    summary: dict[str, Any] = {
        "reference": reference,
        "compared": list(used),
        "not_compared_cc": round(left_out, 3),
        "mutual_information_before": quality.mutual_information_before,
        "mutual_information_after": quality.mutual_information_after,
        "jacobian_min": round(float(determinant.min()), 4),
        "jacobian_max": round(float(determinant.max()), 4),
        "jacobian_share_not_positive": round(float((determinant <= 0).mean()), 6),
        "inverse_error_mm": round(float(landmark_error(there_and_back, probe, probe).max()), 4),
    }
    if landmarks is not None:
        if len(landmarks[0]) != len(landmarks[1]):
            raise InputError(
                f"{len(landmarks[0])} landmarks at baseline and {len(landmarks[1])} at follow-up; as many are needed"
            )
        for name, map_ in (("before", None), ("linear", linear), ("after", transform)):
            summary[f"landmark_error_{name}_mm"] = round(float(landmark_error(map_, *landmarks).mean()), 4)
    summary |= {f"{name}_cc": round(volume_cc(mask), 3) for name, mask in carried.items()}
    progress(1.0, "follow-up registered")
    return Followup(transform, inverse, images, carried, jacobian, quality, visits.engine, summary, tuple(notes))


def _drawn_on(mask: sitk.Image, later: Mapping[str, sitk.Image], reference: str) -> str:
    """The role of the follow-up's image that has the mask's grid, else the reference."""
    return next((r for r in later if Grid.of(later[r]).matches(Grid.of(mask))), reference)


def followup_of(
    case: Case,
    grid: Grid | None = None,
    landmarks: tuple[np.ndarray, np.ndarray] | None = None,
    settings: FollowupSettings | None = None,
    engine: str = "auto",
    brainsfit: str | Path | None = None,
    progress: Progress = silent,
) -> Followup:
    """`register_followup` on a case with a ``followup``; 4-D series stay out of it.

    Where no landmarks are given, they are those of `landmarks_beside`.

    Raises
    ------
    InputError
        If the case has no follow-up, or as `register_followup` says.
    """
    if case.followup is None:
        raise InputError(f"{case.source} has no followup; a later visit with its images is needed there")
    images = lambda visit: {r: visit.image(r) for r in visit.images if r not in (*SERIES_ROLES, "ct", "dose")}
    wanted = (*_CARRIED, *NOT_COMPARED)
    drawn = lambda visit: {r: visit.mask(r) for r in dict.fromkeys(wanted) if r in visit.masks and not visit.roi(r)}
    brain = case.mask("brain") if "brain" in case.masks else None
    given = (images(case), images(case.followup), drawn(case.followup), grid, brain)
    return register_followup(
        *given, landmarks or landmarks_beside(case), settings, engine, brainsfit, progress, masks=drawn(case)
    )


def landmarks_beside(case: Case) -> tuple[np.ndarray, np.ndarray] | None:
    """Landmarks of both visits, from ``landmarks.csv`` and ``followup_landmarks.csv`` beside case.json; None unless both are there."""
    first, second = (case.folder / name for name in _LANDMARKS)
    return (read_landmarks(first), read_landmarks(second)) if first.exists() and second.exists() else None


def read_landmarks(path: str | Path) -> np.ndarray:
    """Points (n, 3) in mm (LPS) of a CSV with the columns X, Y, Z.

    Raises
    ------
    InputError
        If the file is missing, or a column or a number is.
    """
    try:
        with Path(path).open(newline="", encoding="utf-8-sig") as stream:
            rows = list(csv.DictReader(stream))
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error
    try:
        points = np.array([[float(row[c]) for c in "XYZ"] for row in rows])
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{path} is no table of landmarks; columns X, Y, Z with numbers in mm (LPS) are needed"
        ) from error
    if not len(points):
        raise InputError(f"{path} holds no landmark; at least one row is needed")
    return points


def _within_visit(
    images: Mapping[str, sitk.Image],
    reference: str,
    roles: tuple[str, ...] | list[str],
    engine: str,
    brainsfit: str | Path | None,
    progress: Progress,
) -> dict[str, sitk.Transform]:
    """Maps from the reference's points to those of each role of the same visit."""
    to: dict[str, sitk.Transform] = {}
    for i, role in enumerate(roles):
        if Grid.of(images[role]).matches(Grid.of(images[reference])):
            to[role] = sitk.Transform(3, sitk.sitkIdentity)
        else:
            stretch = part(named(progress, role), i / len(roles), (i + 1) / len(roles))
            to[role] = register(
                images[reference], images[role], engine=engine, brainsfit=brainsfit, progress=stretch
            ).transform
    return to


def inverted(transform: sitk.Transform, grid: Grid, spacing_mm: float = 3.0) -> sitk.Transform:
    """The inverse of a linear transform, or of a composite of a linear one and a B-spline on `grid`.

    A B-spline has no inverse in closed form: its displacement field is inverted numerically on a grid of `spacing_mm`.
    """
    if transform.IsLinear():
        return transform.GetInverse()
    composite = sitk.CompositeTransform(transform)
    linear, spline = composite.GetNthTransform(0), composite.GetNthTransform(1)
    coarse = grid.isotropic(spacing_mm)
    field = sitk.TransformToDisplacementField(
        spline, sitk.sitkVectorFloat64, [int(s) for s in coarse.size], coarse.origin, coarse.spacing, coarse.direction
    )
    back = sitk.InvertDisplacementField(
        field, maximumNumberOfIterations=50, maxErrorToleranceThreshold=0.05, meanErrorToleranceThreshold=0.001
    )
    return sitk.CompositeTransform([sitk.DisplacementFieldTransform(back), linear.GetInverse()])
