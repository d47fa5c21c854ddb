"""Registration, lesions and follow-up of a case."""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import SimpleITK as sitk

from ..atlas import stripped
from ..case import Case
from ..compute import each
from ..curves import before_bolus
from ..errors import InputError, door
from ..files import plain, write_json
from ..images import (
    Grid,
    array,
    boolean,
    carried,
    is_draft,
    read_image,
    resample,
    resample_mask,
    said_of,
    volume_cc,
    write_image,
)
from ..steps import Progress, named, part
from .context import PROGRESSION, REFERENCES, SERIES_NEEDS, STRUCTURAL, Done, Run, SkippedStep
from .diffusion import unweighted_of

if TYPE_CHECKING:
    from ..dicom.geometry import Stack
    from ..lesions import Brain
    from ..registration import Visits
    from ..rt.rtstruct import StructureSet

_AS_IT_LIES = "as it lies"
_ONE_BRAIN = (
    0.995  # Dice of two stripped brains: a shift of .25 mm makes less; of BraTS' images .9986 and more (five visits)
)
# Chosen: one image that was resampled is as good as the same, also with its shading taken out; moved by 2 mm, heads lose .02 and more.
_ASIDE_MM, _LEAST_ALIKE, _MORE_ALIKE, _LEAST_SHARED = 2.0, 0.5, 0.005, 0.05
_ONE_PLACE = 0.1  # of the smallest side of a voxel: chosen, headers that round a place are off by less
_NAMES = {"--brain": "masks.brain in case.json"}  # of an option, for who started a run


def registered(run: Run, folder: Path, progress: Progress) -> Done:
    """Every image rigidly on the reference, resampled to the common grid; a refused one is left out and said.

    Images that were laid onto each other before (`_one_space`) are taken as they lie, all others too where the step is to be skipped.
    """
    from ..registration import RegistrationSettings, register

    if run.reference is None:
        raise SkippedStep(f"the case has none of {', '.join(REFERENCES)}, so there is nothing to register to")
    still = run.case.image(run.reference)
    outline = stripped(still)
    fixed = resample(still, run.grid)
    write_image(fixed, folder / f"{run.reference}.nii.gz", run.reference)
    asked = run.settings.skips("registered")
    settings = RegistrationSettings(stages=("rigid",))
    done = Done(settings=plain(settings) | {"reference": run.reference, "spacing_mm": run.settings.spacing_mm})
    still_of = {r: lambda case, r=r: before_bolus(case.series(r)) for r in SERIES_NEEDS} | {"dti": unweighted_of}
    moving = [r for r in (*STRUCTURAL, *still_of) if r in run and r != run.reference]

    def carry(role: str) -> tuple[dict[str, Any], float | None]:
        stretch = part(named(progress, role), moving.index(role) / len(moving), (moving.index(role) + 1) / len(moving))
        image = still_of[role](run.case) if role in still_of else run.case.image(role)
        transform: sitk.Transform = sitk.Euler3DTransform()
        cpu_s = None
        if asked or _one_space(outline, image):
            said = {"verdict": _AS_IT_LIES}
        else:
            try:
                result = register(fixed, image, settings, engine=run.settings.engine, progress=stretch)
            except InputError as error:
                return {"verdict": "refused", "why": str(error)}, None
            transform, said, cpu_s = result.transform, plain(result.quality) | {"engine": result.engine}, result.cpu_s
        sitk.WriteTransform(transform, str(folder / f"{role}.tfm"))
        if role not in still_of:
            write_image(resample(image, run.grid, transform), folder / f"{role}.nii.gz", role)
        return said, cpu_s

    for role, (said, cpu_s) in zip(moving, each(carry, moving)):
        done.summary[role] = said
        if cpu_s is not None:
            done.cpu_seconds[role] = round(cpu_s, 2)
        if said["verdict"] == "refused":
            done.lose(f"{role} was left out: {said['why']}")
        else:
            write_json(folder / f"{role}.json", said)
    taken = ", ".join(r for r, q in done.summary.items() if q["verdict"] == _AS_IT_LIES)
    if taken:
        why = (
            "as --skip registered asks"
            if asked
            else "with its grid and its brain, stripped: they were registered before"
        )
        done.notes.append(f"Taken as they lie on {run.reference}, {why}: {taken}.")
    return done


def _one_space(outline: sitk.Image | None, image: sitk.Image) -> bool:
    """Whether an image has the grid and, stripped, the brain of the reference, whose outline is given: so programs leave images.

    Heads that are not stripped share a grid too where nobody moved the field of view between two scans, however the patient moved.
    """
    if outline is None or not Grid.of(image).matches(Grid.of(outline)):
        return False
    own = stripped(image)
    if own is None:
        return False
    one, other = boolean(outline), boolean(own)
    return bool(2 * (one & other).sum() >= _ONE_BRAIN * (one.sum() + other.sum()))


def brain(run: Run, progress: Progress) -> "Brain | None":
    """The brain, where it has to be found and is found on the reference, which no registration moves; else None."""
    from ..lesions import LesionSettings, brain_mask, main_image

    given = "brain" in run.case.masks and not run.settings.skips("brain")
    if given or run.reference is None or main_image(run) != run.reference:
        return None
    fixed = resample(run.case.image(run.reference), run.grid)
    with door(_NAMES):
        return brain_mask(fixed, LesionSettings().brain_method, progress)


def lesions(run: Run, folder: Path, progress: Progress) -> Done:
    """The case's own masks on the common grid, and drafts for what it lacks."""
    from ..lesions import MASKS, SUGGESTIONS, LesionSettings, find_lesions

    images = {r: read_image(p) for r in STRUCTURAL if (p := run.result("registered", f"{r}.nii.gz"))}
    if not images:
        raise SkippedStep("no registered image to draw them on")
    given = {r: carried_mask(run, r) for r in MASKS if r in run.case.masks and not run.settings.skips(r)}
    unchecked = [r for r in given if is_draft(mask_says(run, r))]
    given |= _from_labelmap(run)
    settings = LesionSettings(post_operative=run.case.clinical.get("resection") in ("GTR", "STR"))
    with door(_NAMES):
        found = find_lesions(images, given, settings, progress, run.early, unchecked)
    done = Done(settings=plain(settings), notes=list(found.notes))
    for name, mask in found.masks.items():
        write_image(mask, folder / f"{name}.nii.gz", f"{name} ({found.sources[name]})")
    for name, mask in found.suggestions.items():
        write_image(mask, folder / SUGGESTIONS / f"{name}.nii.gz", f"{name} (suggestion)")
    done.summary = found.table() | {
        f"{name}_suggestion": {
            "volume_cc": cc,
            "source": "suggestion",
            "how": f"lesions/{SUGGESTIONS}/{name}.nii.gz; used for nothing",
        }
        for name, cc in found.suggested_cc().items()
    }
    return done


def mask_says(run: Run, role: str) -> str:
    """What the file of a mask of the case says of it."""
    from ..rt.rtstruct import read_structures

    path, roi = run.case.mask_path(role), run.case.roi(role)
    return said_of(read_image(path)) if roi is None else read_structures(path).find(roi).description


def _from_labelmap(run: Run) -> dict[str, sitk.Image]:
    """Masks from ``masks.labelmap`` of case.json, ``{"path", "convention"}``."""
    entry = run.case.data.get("masks", {}).get("labelmap")
    if entry is None or run.settings.skips("labelmap"):
        return {}
    if not isinstance(entry, dict) or "convention" not in entry:
        raise InputError(
            f'{run.case.source}: masks.labelmap has no convention; {{"path": "...", "convention": "brats2013"}} is needed'
        )
    from ..lesions import from_labelmap

    masks = from_labelmap(read_image(run.case.mask_path("labelmap")), entry["convention"])
    return {role: _onto_grid(run, mask, f"{role} of masks.labelmap") for role, mask in masks.items()}


def carried_image(run: Run, role: str) -> sitk.Image:
    """An image of the case on the common grid, through the transform of the image whose grid it has; 0 outside."""
    image = run.case.image(role)
    return resample(image, run.grid, _transform_of(run, Grid.of(image))[0])


def carried_mask(run: Run, role: str) -> sitk.Image:
    """A mask of the case on the common grid; one that misses the reference image is refused."""
    roi = run.case.roi(role)
    if roi is not None:
        return _drawn_mask(run, role, roi)
    return _onto_grid(run, run.case.mask(role), f"masks.{role} ({run.case.mask_path(role).name})")


def drawn_on(case: Case, role: str) -> tuple["StructureSet", str | None, "Stack | None"]:
    """The structure set that a mask of a case is a ROI of, and the image role and DICOM series that it was drawn on; None where not known.

    Raises
    ------
    InputError
        If the set has no such ROI, or was drawn on none of the series that the case names.
    """
    from ..dicom.geometry import read_stack
    from ..rt.rtstruct import read_structures, require_same_frame, require_same_patient

    path = case.mask_path(role)
    contents = read_structures(path)
    contents.find(str(case.roi(role)))
    folders = {image: folder for image in case.images if (folder := case.dicom(image)) is not None}
    for image, folder in folders.items():
        series = read_stack(folder, contents.series_uid or None)
        if series.header.series_uid == contents.series_uid:
            require_same_patient(contents.patient_id, series, path)
            require_same_frame(contents.frame_of_reference, series, path)
            require_same_place(case, image, series)
            return contents, image, series
    if folders:
        raise InputError(
            f"{case.source}: masks.{role}: {path.name} was drawn on the series {contents.series_uid or '(not named)'}, which is none of "
            "those under dicom; the folder of that series is needed there"
        )
    return contents, None, None


def require_same_place(case: Case, role: str, series: "Stack") -> None:
    """Refuse an image that does not lie where the DICOM series does that the case names for it: contours would lie beside it.

    An image with the corners of the series does, whatever the order of its axes; another (resampled, cropped) where it is more alike there
    than `_ASIDE_MM` aside.

    Raises
    ------
    InputError
        With how far their corners lie apart.
    """
    from ..dicom.volumes import volume

    image = case.image(role)
    apart = Grid.of(image).apart(series.grid)
    if apart <= _ONE_PLACE * min(series.grid.spacing):
        return
    smooth = lambda i: sitk.SmoothingRecursiveGaussian(sitk.Cast(i, sitk.sitkFloat32), _ASIDE_MM / 2)
    still, moving = smooth(image), smooth(volume(series.series))
    seen, shown = sitk.Cast(series.grid.blank() + 1, sitk.sitkFloat32), array(image) != 0  # 0: stripped off

    def alike(by: Sequence[float]) -> float:
        """Pearson's correlation with the series moved by so many mm."""
        moved = sitk.TranslationTransform(3, by)
        both = shown & (array(resample(seen, Grid.of(image), moved)) > 0.5)
        if both.sum() < _LEAST_SHARED * both.size:
            return 0.0
        return float(np.corrcoef(array(still)[both], array(resample(moving, Grid.of(image), moved))[both])[0, 1])

    here = alike((0.0, 0.0, 0.0))
    aside = max(alike((np.eye(3)[a] * mm).tolist()) for a in range(3) for mm in (-_ASIDE_MM, _ASIDE_MM))
    if here < _LEAST_ALIKE or aside > here + _MORE_ALIKE:
        raise InputError(
            f"{case.path(role).name} ({role}) does not lie where its DICOM series does ({series.folder.name}, corners up to {apart:.1f} mm "
            "apart), so that contours of one would lie beside the other; the series that the image was made of, and where it has been "
            "registered or moved since, the image as it was, are needed"
        )


def _drawn_mask(run: Run, role: str, roi: str) -> sitk.Image:
    """A ROI of an RT structure set, ``{"path": "RS.dcm", "roi": "GTV"}`` of case.json, on the common grid.

    It goes there through the transform of the image whose DICOM series it was drawn on; where the case names no series, by position.
    """
    from ..rt.rtstruct import on_grid

    contents, image, series = drawn_on(run.case, role)
    if series is None:
        warnings.warn(
            f"masks.{role}: the case names no DICOM series, so the contours of {roi} were taken by position alone, as lying on "
            f"{run.reference}",
            stacklevel=2,
        )
    if image is None or series is None or image == run.reference:
        return on_grid(contents, roi, run.grid, series)
    transform = run.transform(image)
    if transform is None:
        raise InputError(
            f"masks.{role} was drawn on {image}, which could not be registered to {run.reference}; images that can are needed"
        )
    return resample_mask(on_grid(contents, roi, series.grid, series), run.grid, transform)


def _onto_grid(run: Run, mask: sitk.Image, name: str) -> sitk.Image:
    """Carry a mask to the common grid: through the transform of the image whose grid it has, else as it lies."""
    transform, known = _transform_of(run, Grid.of(mask))
    return carried(mask, run.grid, name, transform, f"the {run.reference} image", known)


def _transform_of(run: Run, grid: Grid) -> tuple[sitk.Transform | None, bool]:
    """From points of the reference to points of the image that has this grid, None for none; and whether any image has it."""
    if run.reference is not None and grid.matches(run.grid_of(run.reference)):
        return None, True
    for role in STRUCTURAL:
        if role in run and role != run.reference and grid.matches(run.grid_of(role)):
            transform = run.transform(role)
            if transform is not None:
                return transform, True
    return None, False


def visits(run: Run, progress: Progress) -> "Visits | None":
    """The later visit brought onto this one by linear maps; None without a later visit."""
    from ..registration import FollowupSettings, align_visits

    later = run.case.followup
    if later is None:
        return None
    return align_visits(
        _baseline(run), _later(later), FollowupSettings(), engine=run.settings.engine, progress=progress
    )


def _baseline(run: Run) -> dict[str, sitk.Image]:
    return {r: read_image(p) for r in REFERENCES if (p := run.result("registered", f"{r}.nii.gz"))}


def _later(later: Case) -> dict[str, sitk.Image]:
    return {r: later.image(r) for r in REFERENCES if r in later.images}


def progression(run: Run, folder: Path, progress: Progress) -> Done:
    """The later visit on the common grid, and what progressed."""
    given = {r: carried_mask(run, r) for r in PROGRESSION if r in run.case.masks and not run.settings.skips(r)}
    later = run.case.followup
    if later is None and not given:
        raise SkippedStep("the case has neither a follow-up nor a progression mask")
    done = Done()
    if later is not None:
        done = _followup(run, later, folder, progress, skip=tuple(given))
    for role, mask in given.items():
        drafted = is_draft(mask_says(run, role))
        write_image(mask, folder / f"{role}.nii.gz", f"{role} ({'draft' if drafted else 'file'})")
        done.summary[f"{role}_cc"] = round(volume_cc(mask), 3)
        unchecked = ", a draft that no person has checked" if drafted else ""
        done.notes.append(f"{role} is the case's own mask{unchecked}.")
    return done


def _followup(run: Run, later: Case, folder: Path, progress: Progress, skip: tuple[str, ...]) -> Done:
    from ..registration import NOT_COMPARED, FollowupSettings, landmarks_beside, register_followup, write_transform

    wanted = [r.removeprefix("progression_") for r in PROGRESSION if r not in skip]
    drawn = (*wanted, *(r for r in NOT_COMPARED if f"progression_{r}" not in PROGRESSION))
    masks = {r: later.mask(r) for r in drawn if r in later.masks and not later.roi(r)}
    brain = run.result("lesions", "brain.nii.gz")
    settings = FollowupSettings()
    found = register_followup(
        _baseline(run),
        _later(later),
        masks,
        run.grid,
        read_image(brain) if brain else None,
        landmarks_beside(run.case),
        settings=settings,
        engine=run.settings.engine,
        progress=progress,
        visits=run.early,
        masks=run.masks(*NOT_COMPARED),
    )
    for role, image in found.images.items():
        write_image(image, folder / f"followup_{role}.nii.gz", f"follow-up {role} on the baseline grid")
    for role, mask in found.masks.items():
        write_image(mask, folder / f"{role}.nii.gz", said_of(mask) or f"{role} carried from the follow-up")
    write_image(found.jacobian, folder / "jacobian.nii.gz", "volume at follow-up per volume at baseline")
    write_transform(found.transform, folder / "baseline_to_followup.h5")
    write_transform(found.inverse, folder / "followup_to_baseline.h5")
    days = later.data.get("days")
    when = {} if days is None else {"days": days}
    return Done(when | dict(found.summary), plain(settings), list(found.notes))
