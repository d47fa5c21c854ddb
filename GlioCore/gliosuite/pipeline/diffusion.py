"""ADC and FA of a case's diffusion series, and what its spectroscopy says, as steps of a run take them."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import SimpleITK as sitk

from ..case import Case
from ..errors import InputError, door
from ..files import plain
from ..images import Grid, boolean, resample_mask
from ..metabolites import metabolite_maps
from ..recurrence.inputs import CHANNELS
from ..steps import Progress, part
from .context import Done, Run, SkippedStep
from .maps import on_native, to_reference

if TYPE_CHECKING:
    from ..diffusion import Gradients

_NAMES = {"--bval": "images.dti.b_values in case.json", "--b-max": "gliosuite dti --b-max"}
_NEAR_MM = 10.0  # of a lesion, where tissue need not be normal; chosen: a voxel of spectroscopy


def gradients_of(case: Case) -> "Gradients":
    """b-values and directions of a case's diffusion series: of case.json, and what that leaves out from the files beside the series.

    Raises
    ------
    InputError
        If b-values are known from neither, or do not fit.
    """
    from ..diffusion import Gradients
    from ..diffusion.gradients import read_b_values, read_directions

    known, name = case.acquisition("dti"), case.path("dti").name
    b, vectors = known.get("b_values"), known.get("b_vectors")
    bval, bvec = (case.beside("dti", ending) for ending in (".bval", ".bvec"))
    if b is None:
        if bval is None:
            raise InputError(
                f"{case.source}: images.dti ({name}) has no b_values and no .bval file beside it; add them, in s/mm2, one per volume"
            )
        b = read_b_values(bval)
    if vectors is None and bvec is not None:
        vectors = read_directions(bvec, np.size(b))
    return Gradients.of(b, vectors, name)


def unweighted_of(case: Case) -> sitk.Image:
    """The image without diffusion weight of a case's series, which registration goes by."""
    from ..diffusion import unweighted

    return unweighted(case.series("dti"), gradients_of(case))


def dti(run: Run, folder: Path, progress: Progress) -> Done:
    """ADC and FA of the case, native and on the common grid."""
    from ..diffusion import dti_maps, write

    if "dti" not in run:
        raise SkippedStep("the case has no diffusion series")
    series, gradients = run.case.series("dti"), gradients_of(run.case)
    with door(_NAMES, "gliosuite dti"):
        made = dti_maps(
            series,
            gradients,
            None,
            on_native(run, "dti", series.grid, ("brain",)).get("brain"),
            part(progress, 0.0, 0.8),
        )
    write(made, folder)
    to_reference(run, "dti", made.mask, made.maps, folder)
    summary = {key: made.record.get(key) for key in ("kind", "volumes", "snr")} | {"medians": made.medians}
    return Done(summary, plain(made.settings), list(made.notes))


def spectra(run: Run, kind: str) -> tuple[dict[str, sitk.Image], list[str]]:
    """The case's maps of spectroscopy (the channels of this kind) with nothing outside their box, and the indices that they lack; notes.

    Voxels of spectroscopy are too coarse to be registered: they lie where the scanner says. Normal tissue is sought in the brain and away
    from the lesion.
    """
    names = [n for n, channel in CHANNELS.items() if channel.kind == kind and n in run]
    measurements: list[dict[str, sitk.Image]] = []
    for name in names:
        image = run.case.image(name)
        of_grid = next((m for m in measurements if Grid.of(next(iter(m.values()))).matches(Grid.of(image))), None)
        if of_grid is None:
            measurements.append(of_grid := {})
        of_grid[name] = image
    masks = run.masks("brain", "cel", "t2l", "cavity") if names else {}
    sick = [boolean(masks[n]) for n in ("cel", "t2l", "cavity") if n in masks]
    if sick:
        lesion = run.grid.image(np.any(sick, axis=0))
        masks["lesion"] = sitk.BinaryDilate(lesion, [round(_NEAR_MM / s) for s in run.grid.spacing])
    maps: dict[str, sitk.Image] = {}
    notes: list[str] = []
    for images in measurements:
        grid = Grid.of(next(iter(images.values())))
        carried = {n: resample_mask(masks[n], grid) for n in ("brain", "lesion") if n in masks}
        try:
            found = metabolite_maps(images, **carried)
        except InputError as error:
            notes.append(f"Spectroscopy was left out: {error}.")
            continue
        maps |= found.maps
        notes += found.notes
    return maps, notes
