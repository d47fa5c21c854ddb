"""Brain, enhancing lesion (CEL), T2 lesion (T2L), necrosis, non-enhancing lesion (NEL), cavity and ventricles of one visit.

Masks come from files where there are any; what is missing is drafted (`drafts`), and a draft is called a draft wherever it is shown.
"""

from collections.abc import Callable, Collection, Container, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import SimpleITK as sitk

from ..atlas import register_template, template_ventricles
from ..atlas.structures import dura_distance
from ..atlas.template import template
from ..compute import each
from ..errors import InputError, beside
from ..images import Grid, array, boolean, resample, resample_mask, volume_cc
from ..settings import setting
from ..steps import Progress, part, silent
from . import drafts
from .brain import METHODS, Brain, brain_mask
from .enhancing import enhancement, enhancing_lesion

SUGGESTIONS = "suggestions"  # the folder that they are written to, beside the masks
MASKS = ("brain", "cel", "t2l", "nel", "necrosis", "cavity", "ventricles")

# What the numbers of a label map mean. "core" is tumour that does not enhance: part of the T2 lesion and so of NEL.
CONVENTIONS: dict[str, dict[int, str]] = {
    "brats2013": {1: "necrosis", 2: "edema", 3: "core", 4: "cel"},  # also BRATS 2015
    "brats2017": {
        1: "necrosis",
        2: "edema",
        4: "cel",
    },  # 2017-2021: label 1 is necrosis and non-enhancing core together
    "brats2023": {1: "necrosis", 2: "edema", 3: "cel"},
    "brats2024": {1: "necrosis", 2: "edema", 3: "cel", 4: "cavity"},  # post-treatment: NETC, SNFH, ET, RC
    "hd-glio": {1: "edema", 2: "cel"},  # 1: non-enhancing T2/FLAIR hyperintensity
}
TISSUES = ("cel", "necrosis", "edema", "core", "cavity", "brain", "ventricles")

# A draft is unsure, and no target volume is to rest on it, where it is small or lies on both sides of the head.
UNSURE = ("cel", "t2l")  # the drafts that targets rest on
LEAST_CC = 1.0  # chosen: below it vessels, plexus and dura are as likely
_MIDLINE_MM = 5.0  # chosen: a tumour pushes the midline that far off the template's
_OTHER_SIDE = 0.1  # of a draft's volume


@dataclass(frozen=True)
class LesionSettings:
    """Settings of `find_lesions`.

    Parameters
    ----------
    brain_method
        How the brain is found where no mask is given: ``auto``, ``atlas``, ``synthstrip``, ``hd-bet``.
    post_operative
        Look for a resection cavity: CSF-like regions in the lesion are cavity, not necrosis.
    """

    brain_method: str = setting("auto", "how to find the brain", title="brain method", choices=METHODS)
    post_operative: bool = setting(False, "look for a resection cavity (default not)")


@dataclass(frozen=True)
class Lesions:
    """Masks of one visit on one grid.

    Parameters
    ----------
    masks
        Name to uint8 0/1 image, of `MASKS`.
    sources
        Name to ``"file"`` (given), ``"image"`` (the foreground of a stripped image), ``"draft"``, or ``"derived"`` (computed from
        other masks that are no drafts).
    how
        Name to one sentence.
    notes
        What a reader should know: nothing found, contradictions, missing images.
    suggestions
        Name to image of what is too uncertain for a draft: shown to be looked at, used for nothing.
    unsure
        Of drafts that no target volume is to rest on unless a person accepts them, the reason.
    """

    masks: dict[str, sitk.Image]
    sources: dict[str, str]
    how: dict[str, str]
    notes: list[str] = field(default_factory=list)
    suggestions: dict[str, sitk.Image] = field(default_factory=dict)
    unsure: dict[str, str] = field(default_factory=dict)

    def volumes_cc(self) -> dict[str, float]:
        """Volume of each mask in cubic centimetres."""
        return {name: volume_cc(mask) for name, mask in self.masks.items()}

    def suggested_cc(self) -> dict[str, float]:
        """Volume of each suggestion in cubic centimetres."""
        return {name: round(volume_cc(mask), 3) for name, mask in self.suggestions.items()}

    def table(self) -> dict[str, dict]:
        """What ``lesions.json`` holds of each mask: volume, source, how, and of a draft that is unsure the reason."""
        return {
            name: {"volume_cc": round(volume_cc(mask), 3), "source": self.sources[name], "how": self.how[name]}
            | ({"unsure": self.unsure[name]} if name in self.unsure else {})
            for name, mask in self.masks.items()
        }


def from_labelmap(
    image: sitk.Image, convention: str | Mapping[int, str], name: str = "the label map"
) -> dict[str, sitk.Image]:
    """Masks from a label map, by a convention that the user names; numbers alone do not tell one from another.

    Parameters
    ----------
    convention
        A key of `CONVENTIONS`, or label numbers to names of `TISSUES`.
    name
        How messages call the label map.

    Returns
    -------
    dict
        ``cel``, ``t2l`` (the whole lesion: oedema, core, necrosis and CEL), ``nel`` and, where the convention has them and they are not
        empty, ``necrosis``, ``cavity``, ``brain``, ``ventricles``. uint8.

    Raises
    ------
    InputError
        If the convention is unknown, a label is not of it, or there is none at all.
    """
    if isinstance(convention, str):
        if convention not in CONVENTIONS:
            raise InputError(f"label convention {convention!r} is not known; choose from {', '.join(CONVENTIONS)}")
        meaning, called = CONVENTIONS[convention], convention
    else:
        meaning, called = {int(k): str(v) for k, v in convention.items()}, "the given mapping"
        if unknown := sorted(set(meaning.values()) - set(TISSUES)):
            raise InputError(f"label mapping names {', '.join(unknown)}; known are {', '.join(TISSUES)}")
    values = sitk.GetArrayViewFromImage(image)
    found = np.unique(values)
    if not np.all(np.equal(found, np.round(found))):
        raise InputError(
            f"{name} holds numbers that are not whole (e.g. {found[found != np.round(found)][0]:g}); labels are needed"
        )
    labels = [int(v) for v in found if v != 0]
    listed = ", ".join(map(str, labels)) or "none but 0"
    if not labels:
        raise InputError(f"{name} is empty: no label but 0 was found")
    if extra := [v for v in labels if v not in meaning]:
        fitting = [c for c, m in CONVENTIONS.items() if set(labels) <= set(m)]
        hint = f"; conventions with these labels: {', '.join(fitting)}" if fitting else ""
        raise InputError(
            f"{name} has label {', '.join(map(str, extra))}, which {called} has not (it has {', '.join(map(str, sorted(meaning)))}); "
            f"labels found: {listed}{hint}"
        )
    grid = Grid.of(image)
    region = {t: np.isin(values, [k for k, v in meaning.items() if v == t]) for t in TISSUES}
    lesion = set(meaning.values()) & {"cel", "necrosis", "edema", "core"}
    result = {}
    if "cel" in lesion:
        result["cel"] = region["cel"]
    if lesion & {"edema", "core"}:
        result["t2l"] = region["cel"] | region["necrosis"] | region["edema"] | region["core"]
        result["nel"] = region["edema"] | region["core"]
    for tissue in ("necrosis", "cavity", "brain", "ventricles"):
        if region[tissue].any():
            result[tissue] = region[tissue]
    return {role: grid.image(mask) for role, mask in result.items()}


def main_image(roles: Container[str]) -> str:
    """The role of the image that the brain is found on: the first of t1c, t1, flair and t2 that there is."""
    return next(r for r in ("t1c", "t1", "flair", "t2") if r in roles)


def find_lesions(
    images: Mapping[str, sitk.Image],
    given: Mapping[str, sitk.Image] | None = None,
    settings: LesionSettings | None = None,
    progress: Progress = silent,
    brain: Brain | None = None,
    unchecked: Collection[str] = (),
) -> Lesions:
    """Complete the masks of one visit: given ones win, missing ones are drafted or derived.

    Parameters
    ----------
    images
        Any of ``t1c t1 flair t2`` on one grid (registered to each other); T1c or FLAIR is needed.
    given
        Masks on the same grid, by names of `MASKS`.
    brain
        What `brain_mask` found in the main one of the same images, where that has been done before.
    unchecked
        Of the given masks, those that are drafts of an earlier run and stay drafts.

    Raises
    ------
    InputError
        If no usable image is there, grids differ, or no plausible brain is found.
    """
    settings, given = settings or LesionSettings(), dict(given or {})
    if not {"t1c", "flair", "t1", "t2"} & set(images):
        raise InputError("lesions need an image: t1c (enhancing lesion) and flair (T2 lesion) are best")
    main = images[main_image(images)]
    grid = Grid.of(main)
    for role, image in [*images.items(), *given.items()]:
        if not Grid.of(image).matches(grid):
            raise InputError(f"{role} is not on the grid of the other images; register and resample it first")
    if unknown := sorted(set(given) - set(MASKS)):
        raise InputError(f"mask {', '.join(unknown)} is not known; known are {', '.join(MASKS)}")

    masks = {name: boolean(mask) for name, mask in given.items()}
    sources, how = dict.fromkeys(given, "file"), dict.fromkeys(given, "given")
    for name in set(unchecked) & set(given):
        sources[name], how[name] = "draft", "given, and called a draft by its own file"
    notes: list[str] = []

    def put(name: str, mask: np.ndarray, source: str, sentence: str) -> None:
        masks[name], sources[name], how[name] = mask, source, sentence

    progress(0.0, "brain")
    placed = None
    if "brain" not in masks:
        found = brain or brain_mask(main, settings.brain_method, part(progress, 0.0, 0.3))
        placed = found.transform
        put("brain", boolean(found.mask), found.source, found.how)
        if found.covered < 0.95:
            notes.append(f"only about {100 * found.covered:.0f} % of the brain lies in the field of view")
        held = [masks[n] for n in ("cel", "t2l", "necrosis", "cavity") if n in given]
        beyond = float((np.any(held, axis=0) & ~boolean(found.mask)).sum()) * grid.voxel_cc if held else 0.0
        if beyond > 0:
            # A cavity at the surface is as dark as the space around the brain: what a reader drew there belongs to the brain all the same.
            whole = sitk.BinaryMorphologicalClosing(grid.image(np.any([*held, masks["brain"]], axis=0)), [2, 2, 2])
            put("brain", boolean(whole), found.source, f"{found.how}; extended by {beyond:.1f} cc of the given masks")
    inside = masks["brain"]

    suggestions: dict[str, np.ndarray] = {}
    unsure: dict[str, str] = {}
    if any(name not in masks for name in ("cel", "t2l", "necrosis", "ventricles", "cavity")):
        to_template = _draft(images, masks, put, notes, suggestions, settings, grid, placed, progress)
        drafted = [n for n in UNSURE if sources.get(n) == "draft" and masks[n].any()]
        unsure = {n: reason for n in drafted if (reason := _doubt(masks[n], grid, to_template))}
        notes += [f"the draft of {n} is unsure ({why}): no target volume rests on it" for n, why in unsure.items()]
    if "nel" not in masks and "t2l" in masks and "cel" not in suggestions:
        rest = masks["t2l"] & ~masks["cel"] & ~masks["necrosis"] if "cel" in masks else masks["t2l"].copy()
        if "cavity" in masks:
            rest &= ~masks["cavity"]
        made = {sources[n] for n in ("t2l", "cel", "necrosis", "cavity") if n in masks}
        kind = "draft" if "draft" in made else "derived"
        put("nel", rest, kind, "T2 lesion without enhancing lesion, necrosis and cavity")
        if "cel" not in masks:
            how["nel"] = "the T2 lesion: no enhancing lesion is known"

    for name in ("cel", "t2l"):
        if name in masks and masks[name].any():
            outside = float((masks[name] & ~inside).sum()) / float(masks[name].sum())
            if outside > 0.01:
                notes.append(
                    f"{100 * outside:.0f} % of {name} ({sources[name]}) lies outside the brain mask ({sources['brain']})"
                )
    if {"cel", "t2l"} <= set(masks) and sources["cel"] == sources["t2l"] == "file" and masks["cel"].any():
        apart = float((masks["cel"] & ~masks["t2l"]).sum()) / float(masks["cel"].sum())
        if apart > 0.5:
            notes.append(f"{100 * apart:.0f} % of the given cel lies outside the given t2l: is t2l the oedema alone?")
    progress(1.0, "lesions done")
    ordered = {name: grid.image(masks[name]) for name in MASKS if name in masks}
    shown = {name: grid.image(mask) for name, mask in suggestions.items()}
    return Lesions(ordered, {n: sources[n] for n in ordered}, {n: how[n] for n in ordered}, notes, shown, unsure)


def _doubt(mask: np.ndarray, grid: Grid, to_template: sitk.Transform) -> str | None:
    """Why a draft is unsure; None where it is not."""
    volume = float(mask.sum()) * grid.voxel_cc
    if volume < LEAST_CC:
        return f"{beside(volume, LEAST_CC, 1)} cc, less than {LEAST_CC:g}"
    at = np.argwhere(mask)[:, ::-1]
    points = np.asarray(grid.origin) + at * grid.spacing @ np.reshape(grid.direction, (3, 3)).T
    affine = sitk.AffineTransform(to_template)
    row = np.reshape(affine.GetMatrix(), (3, 3))[0]
    centre = np.asarray(affine.GetCenter())
    across = (points - centre) @ row + centre[0] + affine.GetTranslation()[0] - _middle()[0]
    shares = float((across > _MIDLINE_MM).mean()), float((across < -_MIDLINE_MM).mean())
    if min(shares) > _OTHER_SIDE:
        return (
            f"on both sides of the head: {100 * shares[0]:.0f} % left and {100 * shares[1]:.0f} % right of the midline"
        )
    return None


def _draft(images, masks, put, notes, suggestions, settings, grid, placed, progress) -> sitk.Transform:
    """Draft what is missing in `masks`, in the order in which one needs the other; the transform from image to template."""
    inside = masks["brain"]
    progress(0.3, "comparing with normal brain, placing the template")
    compared = [role for role in ("t1c", "t1", "flair") if role in images]
    stage = next(images[r] for r in ("t1", "t1c", "flair", "t2") if r in images)
    stripped = sitk.Mask(
        sitk.Cast(stage, sitk.sitkFloat32), grid.image(inside), float(sitk.GetArrayViewFromImage(stage).min()) - 1.0
    )
    # The longest first.
    works: list[Callable[[], Any]] = [lambda: register_template(stripped, start=placed)]
    works += [partial(drafts.relative, images[role], inside) for role in compared]
    works += [dura_distance]
    transform, *relative, apart = each(lambda work: work(), works)
    scans = dict(zip(compared, relative))
    fluid = drafts.dark(scans.get("t1c", scans.get("t1")), scans.get("flair"), inside)
    if "ventricles" not in masks:
        atlas = boolean(resample_mask(template_ventricles(), grid, transform))
        put(
            "ventricles",
            drafts.ventricles(fluid, atlas, inside, grid),
            "draft",
            "CSF-like voxels connected with the template's ventricles",
        )
    out = inside & ~masks["ventricles"]

    progress(0.7, "T2 lesion")
    flair, t1c = scans.get("flair"), scans.get("t1c")
    candidates, one_sided = None, None
    if flair is not None:
        draw, compare = partial(drafts.t2_candidates, flair, out, grid), partial(_asymmetry, flair.z, grid, transform)
        candidates, one_sided = each(lambda work: work(), [draw, compare])
    # Necrosis holds protein: brighter than CSF on T1c, darker than oedema, and on FLAIR anything.
    dark = drafts.dark(t1c, None, out, 0.7) if t1c else fluid & out
    if "cel" not in masks and t1c:
        z = enhancement(t1c, scans.get("t1"))
        abnormal = None
        if candidates is not None and one_sided is not None:
            abnormal = drafts.abnormal_side(candidates, one_sided, grid)
        dura = array(resample(apart, grid, transform, outside=10.0))
        mirrored = _asymmetry(z, grid, transform)
        subtracted = "t1" in scans
        beside = (masks["ventricles"], abnormal, dark, mirrored, dura)
        found = enhancing_lesion(z, t1c, inside, *beside, grid, subtracted, masks.get("cavity"))
        notes += [told] if (told := found.told()) else []
        if subtracted:
            text = "T1c minus matched T1, above normal brain's spread; thin parts by the midline, tentorium, ventricles or surface left out"
            put("cel", found.mask, "draft", text)
            if not found.mask.any():
                notes.append("no enhancing lesion was found by the draft")
        elif found.mask.any():
            suggestions["cel"] = found.mask
            notes.append(
                "no T1, and on T1c alone bright blood or fat cannot be distinguished from enhancement: "
                f"{found.mask.sum() * grid.voxel_cc:.1f} cc are a suggestion of cel and no draft; "
                "nothing rests on it until a person has looked at it and given it as a mask"
            )
        else:
            notes.append("no T1, and on T1c alone nothing was found that could be an enhancing lesion")
    elif "cel" not in masks:
        notes.append("no T1c: no draft of the enhancing lesion")

    progress(0.85, "necrosis")
    rim = masks.get("cel", suggestions.get("cel"))
    if rim is not None:
        hole = drafts.enclosed(rim, dark, grid) & out
        if t1c:
            hole &= t1c.level < 1.0
        hole = drafts.opened(hole | drafts.lined(rim, dark & ~rim, inside, grid), grid, 1.0)
        watery = hole & fluid if settings.post_operative else np.zeros_like(hole)
        if "cavity" in masks:
            hole &= ~masks["cavity"]
        elif settings.post_operative:
            watery = drafts.opened(watery, grid, 2.0)
            put("cavity", watery, "draft", "CSF-like region that the enhancing rim encloses")
            hole &= ~watery
            if not watery.any():
                notes.append("no resection cavity was found by the draft")
        if "necrosis" not in masks and "cel" in suggestions:
            suggestions["necrosis"] = hole
        elif "necrosis" not in masks:
            put("necrosis", hole, "draft", "dark on T1c and enclosed by the enhancing lesion")
    if "t2l" not in masks and flair is not None and candidates is not None and one_sided is not None:
        core = np.zeros_like(inside) if rim is None else rim | masks.get("necrosis", suggestions.get("necrosis"))
        lesion = drafts.t2_lesion(candidates, core, one_sided, flair.z > drafts.SEED_SD, grid) & out
        if "cavity" in masks:
            lesion &= ~masks["cavity"]
        put(
            "t2l",
            lesion,
            "draft",
            "FLAIR above the range of normal brain, at the enhancing lesion or large and one-sided; holds CEL and necrosis",
        )
        if not lesion.any():
            notes.append("no T2 lesion was found by the draft")
    elif "t2l" not in masks:
        notes.append("no FLAIR: no draft of the T2 lesion")
    return transform


def _asymmetry(z: np.ndarray, grid: Grid, to_template: sitk.Transform) -> np.ndarray:
    """`z` minus its value on the other side of the head, smoothed over 3 mm since no brain is its own mirror image to the millimetre."""
    smooth = sitk.SmoothingRecursiveGaussian(grid.image(z.astype(np.float32)), 3.0)
    flip = sitk.ScaleTransform(3, (-1.0, 1.0, 1.0))
    flip.SetCenter(_middle())
    mirror = sitk.CompositeTransform([to_template.GetInverse(), flip, to_template])
    return sitk.GetArrayFromImage(smooth - resample(smooth, grid, mirror))


def _middle() -> tuple[float, float, float]:
    """A point of the template's plane of symmetry (x = 0 in MNI coordinates)."""
    return (0.0, *template().grid.origin[1:])
