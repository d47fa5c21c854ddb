"""Registration, lesions and follow-up of a case."""

from pathlib import Path

import SimpleITK as sitk

from ..errors import InputError
from ..files import plain, write_json
from ..images import Grid, array, boolean, read_image, resample, resample_mask, volume_cc, write_image
from ..steps import Progress, part
from .context import REFERENCES, SERIES_NEEDS, STRUCTURAL, Done, Run, SkippedStep


def registered(run: Run, folder: Path, progress: Progress) -> Done:
    """Every image rigidly on the reference, resampled to the common grid; a refused one is left out and said."""
    from .registration import RegistrationSettings, register

    if run.reference is None:
        raise SkippedStep(f"the case has none of {', '.join(REFERENCES)}, so there is nothing to register to")
    fixed_native = run.case.image(run.reference)
    fixed = resample(
        fixed_native,
        run.grid,
        interpolation="bspline" if run.settings.spacing_mm < min(fixed_native.GetSpacing()) else "linear",
    )
    write_image(
        sitk.Clamp(fixed, lowerBound=0.0) if array(fixed_native).min() >= 0 else fixed,
        folder / f"{run.reference}.nii.gz",
        run.reference,
    )
    settings = RegistrationSettings(stages=("rigid",))
    done = Done(settings=plain(settings) | {"reference": run.reference, "spacing_mm": run.settings.spacing_mm})
    moving = [r for r in (*STRUCTURAL, "dce", "dsc") if r in run and r != run.reference]
    for i, role in enumerate(moving):
        stretch = part(progress, i / len(moving), (i + 1) / len(moving))
        image = run.case.series(role).frame(0) if role in SERIES_NEEDS else run.case.image(role)
        if role in SERIES_NEEDS:
            image = _bright_frame(run, role)
        try:
            result = register(fixed, image, settings, engine=run.settings.engine, progress=stretch)
        except InputError as error:
            done.summary[role] = {"verdict": "refused", "why": str(error)}
            done.notes.append(f"{role} was left out: {error}")
            continue
        sitk.WriteTransform(result.transform, str(folder / f"{role}.tfm"))
        if role not in SERIES_NEEDS:
            write_image(resample(image, run.grid, result.transform), folder / f"{role}.nii.gz", role)
        done.summary[role] = plain(result.quality) | {"engine": result.engine}
        write_json(folder / f"{role}.json", done.summary[role])
    return done


def _bright_frame(run: Run, role: str) -> sitk.Image:
    """The frame of a series that registers best: the mean before the bolus, that is the first tenth of the frames."""
    series = run.case.series(role)
    return series.grid.image(series.frames[: max(1, series.n_times // 10)].mean(axis=0))


def lesions(run: Run, folder: Path, progress: Progress) -> Done:
    """The case's own masks on the common grid, and drafts for what it lacks."""
    from .lesions import find_lesions

    images = {r: read_image(p) for r in STRUCTURAL if (p := run.result("registered", f"{r}.nii.gz"))}
    if not images:
        raise SkippedStep("no registered image to draw them on")
    given = {
        role: _carried_mask(run, role)
        for role in run.case.masks
        if role not in run.settings.skip and role != "labelmap"
    }
    given |= _from_labelmap(run)
    found = find_lesions(images, given, progress=progress)
    done = Done(settings=plain(found.settings), notes=list(found.notes))
    for name, mask in found.masks.items():
        if name.startswith("progression"):
            continue
        write_image(mask, folder / f"{name}.nii.gz", f"{name} ({found.sources[name]})")
        done.summary[name] = {
            "volume_cc": round(volume_cc(mask), 3),
            "source": found.sources[name],
            "how": found.how[name],
        }
    return done


def _from_labelmap(run: Run) -> dict[str, sitk.Image]:
    """Masks from ``masks.labelmap`` of case.json, ``{"path", "convention"}``."""
    entry = run.case.data.get("masks", {}).get("labelmap")
    if entry is None or "labelmap" in run.settings.skip:
        return {}
    if not isinstance(entry, dict) or "convention" not in entry:
        raise InputError(
            f'{run.case.source}: masks.labelmap has no convention; {{"path": "...", "convention": "brats2013"}} is needed'
        )
    from .lesions import from_labelmap

    masks = from_labelmap(read_image(run.case.mask_path("labelmap")), entry["convention"])
    return {role: _onto_grid(run, mask) for role, mask in masks.items()}


def _carried_mask(run: Run, role: str) -> sitk.Image:
    mask = _onto_grid(run, run.case.mask(role))
    if not boolean(mask).any():
        raise InputError(
            f"{run.case.mask_path(role)} does not overlap the {run.reference} image; a mask drawn on an image of this case is needed"
        )
    return mask


def _onto_grid(run: Run, mask: sitk.Image) -> sitk.Image:
    """Carry a mask to the common grid: through the transform of the image whose grid it has, else as it lies."""
    grid = Grid.of(mask)
    for role in STRUCTURAL:
        if role in run and role != run.reference and grid.matches(Grid.of(run.case.image(role))):
            transform = run.transform(role)
            if transform is not None:
                return resample_mask(mask, run.grid, transform)
    return resample_mask(mask, run.grid)


def progression(run: Run, folder: Path, progress: Progress) -> Done:
    """The later visit on the common grid, and what progressed."""
    raise SkippedStep("the case has no follow-up")
