"""Registration, lesions and follow-up of a case."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import SimpleITK as sitk

from ..case import Case
from ..compute import each
from ..curves import before_bolus
from ..errors import InputError, door
from ..files import plain, write_json
from ..images import Grid, boolean, is_draft, read_image, resample, resample_mask, said_of, volume_cc, write_image
from ..steps import Progress, named, part
from .context import PROGRESSION, REFERENCES, SERIES_NEEDS, STRUCTURAL, Done, Run, SkippedStep

if TYPE_CHECKING:
    from ..lesions import Brain
    from ..registration import Visits

_NAMES = {"--brain": "masks.brain in case.json"}  # of an option, for who started a run


def registered(run: Run, folder: Path, progress: Progress) -> Done:
    """Every image rigidly on the reference, resampled to the common grid; a refused one is left out and said."""
    from ..registration import RegistrationSettings, register

    if run.reference is None:
        raise SkippedStep(f"the case has none of {', '.join(REFERENCES)}, so there is nothing to register to")
    fixed = resample(run.case.image(run.reference), run.grid)
    write_image(fixed, folder / f"{run.reference}.nii.gz", run.reference)
    settings = RegistrationSettings(stages=("rigid",))
    done = Done(settings=plain(settings) | {"reference": run.reference, "spacing_mm": run.settings.spacing_mm})
    moving = [r for r in (*STRUCTURAL, "dce", "dsc") if r in run and r != run.reference]

    def carry(role: str) -> dict[str, Any]:
        stretch = part(named(progress, role), moving.index(role) / len(moving), (moving.index(role) + 1) / len(moving))
        image = before_bolus(run.case.series(role)) if role in SERIES_NEEDS else run.case.image(role)
        try:
            result = register(fixed, image, settings, engine=run.settings.engine, progress=stretch)
        except InputError as error:
            return {"verdict": "refused", "why": str(error)}
        sitk.WriteTransform(result.transform, str(folder / f"{role}.tfm"))
        if role not in SERIES_NEEDS:
            write_image(resample(image, run.grid, result.transform), folder / f"{role}.nii.gz", role)
        return plain(result.quality) | {"engine": result.engine}

    for role, said in zip(moving, each(carry, moving)):
        done.summary[role] = said
        if said["verdict"] == "refused":
            done.notes.append(f"{role} was left out: {said['why']}")
        else:
            write_json(folder / f"{role}.json", said)
    return done


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
    unchecked = [r for r in given if is_draft(_said(run, r))]
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


def _said(run: Run, role: str) -> str:
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
    return {role: _onto_grid(run, mask) for role, mask in masks.items()}


def carried_image(run: Run, role: str) -> sitk.Image:
    """An image of the case on the common grid, through the transform of the image whose grid it has; 0 outside."""
    image = run.case.image(role)
    return resample(image, run.grid, _transform_of(run, Grid.of(image)))


def carried_mask(run: Run, role: str) -> sitk.Image:
    """A mask of the case on the common grid; one that misses the reference image is refused."""
    roi = run.case.roi(role)
    mask = _onto_grid(run, run.case.mask(role)) if roi is None else _drawn_mask(run, role, roi)
    if not boolean(mask).any():
        raise InputError(
            f"{run.case.mask_path(role)} does not overlap the {run.reference} image; a mask drawn on an image of this case is needed"
        )
    return mask


def _drawn_mask(run: Run, role: str, roi: str) -> sitk.Image:
    """A ROI of an RT structure set, ``{"path": "RS.dcm", "roi": "GTV"}`` of case.json, on the common grid.

    It goes there through the transform of the image whose DICOM series it was drawn on.
    """
    from ..dicom.geometry import read_stack
    from ..rt.rtstruct import on_grid, read_structures, require_same_frame, require_same_patient

    path = run.case.mask_path(role)
    contents = read_structures(path)
    for image in run.case.images:
        folder = run.case.dicom(image)
        if folder is None:
            continue
        series = read_stack(folder, contents.series_uid or None)
        if series.header.series_uid != contents.series_uid:
            continue
        require_same_patient(contents.patient_id, series, path)
        require_same_frame(contents.frame_of_reference, series, path)
        if image == run.reference:
            return on_grid(contents, roi, run.grid, series)
        transform = run.transform(image)
        if transform is None:
            raise InputError(f"{path} was drawn on {image}, which could not be registered to {run.reference}")
        return resample_mask(on_grid(contents, roi, series.grid, series), run.grid, transform)
    raise InputError(
        f"{run.case.source}: masks.{role}: {path.name} was drawn on the series {contents.series_uid or '(not named)'}, which is none of "
        "those under dicom; the folder of that series is needed there"
    )


def _onto_grid(run: Run, mask: sitk.Image) -> sitk.Image:
    """Carry a mask to the common grid: through the transform of the image whose grid it has, else as it lies."""
    return resample_mask(mask, run.grid, _transform_of(run, Grid.of(mask)))


def _transform_of(run: Run, grid: Grid) -> sitk.Transform | None:
    """From points of the reference to points of the image that has this grid; None for the reference's own and unknown ones."""
    if run.reference is not None and grid.matches(run.grid_of(run.reference)):
        return None
    for role in STRUCTURAL:
        if role in run and role != run.reference and grid.matches(run.grid_of(role)):
            transform = run.transform(role)
            if transform is not None:
                return transform
    return None


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
        write_image(mask, folder / f"{role}.nii.gz", f"{role} (file)")
        done.summary[f"{role}_cc"] = round(volume_cc(mask), 3)
        done.notes.append(f"{role} is the case's own mask.")
    return done


def _followup(run: Run, later: Case, folder: Path, progress: Progress, skip: tuple[str, ...]) -> Done:
    from ..registration import FollowupSettings, register_followup, write_transform

    wanted = [r.removeprefix("progression_") for r in PROGRESSION if r not in skip]
    masks = {r: later.mask(r) for r in wanted if r in later.masks}
    brain = run.result("lesions", "brain.nii.gz")
    settings = FollowupSettings()
    found = register_followup(
        _baseline(run),
        _later(later),
        masks,
        run.grid,
        read_image(brain) if brain else None,
        settings=settings,
        engine=run.settings.engine,
        progress=progress,
        visits=run.early,
    )
    for role, image in found.images.items():
        write_image(image, folder / f"followup_{role}.nii.gz", f"follow-up {role} on the baseline grid")
    for role, mask in found.masks.items():
        write_image(mask, folder / f"{role}.nii.gz", f"{role} carried from the follow-up")
    write_image(found.jacobian, folder / "jacobian.nii.gz", "volume at follow-up per volume at baseline")
    write_transform(found.transform, folder / "baseline_to_followup.h5")
    write_transform(found.inverse, folder / "followup_to_baseline.h5")
    return Done(dict(found.summary), plain(settings), list(found.notes))
