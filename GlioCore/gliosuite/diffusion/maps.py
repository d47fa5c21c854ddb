"""ADC and FA maps of a diffusion-weighted series."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk

from ..curves import mask_array
from ..errors import InputError
from ..files import staged, write_json
from ..images import Series, boolean, write_image
from ..resources import look
from ..settings import check
from ..steps import Progress, part, silent
from .gradients import TENSOR, Gradients, plan
from .settings import DtiSettings
from .tensor import Tensors, fit_means, fit_tensor

# Chosen, in SDs of the noise: without a diffusion weight, tissue has ten and more; at three, a magnitude is hardly more than noise.
_LEAST_S0 = 3.0
_FLOOR = 3.0  # below so many SDs, the floor of a magnitude lifts a signal by more than a twentieth
_TOLD_FLOOR = 0.05  # of the voxels; chosen: fewer are said to nobody
# What noise adds to the FA of grey matter, times squared SNR and number of weighted volumes, at b = 1000: .13 at an SNR of 20 with 6,
# .03 with 30 (validation/diffusion.md). Chosen: less than .03 is said to nobody, and more than .3 is a guess.
_EXCESS, _TOLD_EXCESS, _MOST_EXCESS = 330.0, 0.03, 0.3
_LEAST_GAIN = 1.5  # chosen: directions that belong to other volumes gain 1 and less, a brain 5 and more
# Times the residual that volumes with the like weight have, and as a share of the worst: one that is off pulls others away. Chosen.
_ODD, _WORST = 3.0, 0.5
_MOST_ODD = 8  # volumes that a sentence names
_AIR = 0.5  # signal beside a head over that of the head, at most; chosen: noise makes .1 to .3, brain beside brain .8


@dataclass(frozen=True)
class DtiMaps:
    """ADC, and FA where the directions tell it, on the native grid; NaN where undefined, 0 outside the mask.

    Attributes
    ----------
    maps
        ``adc`` in mm2/s, ``fa`` 0-1.
    mask
        Where ADC was computed, uint8.
    settings, medians, record
        What was chosen; medians over the mask; what fit.json says beyond.
    notes, losses
        What a reader should know; what was asked for and cannot be had.
    """

    maps: dict[str, sitk.Image]
    mask: sitk.Image
    settings: DtiSettings
    medians: dict[str, float]
    record: dict[str, Any]
    notes: list[str]
    losses: list[str]


def dti_maps(
    series: Series,
    gradients: Gradients,
    settings: DtiSettings | None = None,
    mask: sitk.Image | None = None,
    progress: Progress = silent,
) -> DtiMaps:
    """ADC and FA of a series.

    Six independent directions and two b-values give the tensor: ADC is a third of its trace. Of fewer directions, ADC is the mean over
    them where they are spread evenly (three at right angles, say), or where volumes without any direction are means themselves.

    Parameters
    ----------
    gradients
        Of the series' volumes.
    mask
        Voxels to fit, on any grid; None for the head.

    Raises
    ------
    InputError
        If b-values and volumes differ in number, if not even ADC can be told, or if no voxel has one.
    """
    settings = settings or DtiSettings()
    check(settings, "fit", "b_max")
    gradients.check_count(series)
    chosen = plan(gradients, settings.b_max, series.name)
    inside, whole = _voxels(series, mask)
    signals = series.curves(inside)[:, chosen.volumes]
    b, directions = gradients.b[chosen.volumes], gradients.directions[chosen.volumes]
    used = Gradients(b, directions)
    weighted = settings.fit == "weighted"
    record: dict[str, Any] = {
        "kind": chosen.kind,
        "volumes": used.told(),
        "b_values": b,
        "volumes_used": chosen.volumes + 1,
    }
    how = f"{settings.fit} least squares"
    notes = list(chosen.notes)
    if chosen.kind == TENSOR:
        count = len(np.unique(directions[directions.any(axis=1)].round(3), axis=0))
        notes.insert(0, f"Tensor by {how} of {used.told()} in {count} directions; ADC is a third of its trace.")
        fit = fit_tensor(signals, b, directions, weighted, part(progress, 0.1, 0.9))
        adc, fa = fit.adc, fit.fa
        more, told = _judged(fit, used, chosen.volumes)
        record |= more
        notes += told
        fine = np.isfinite(adc)
        if record["noise"] is not None:
            fine &= ~(fit.s0 < _LEAST_S0 * record["noise"])
    else:
        notes.insert(0, f"ADC by {how} of {used.told()}. {chosen.why}")
        adc = fit_means(signals, b, used.shells(), weighted)[0]
        fa = None
        fine = np.isfinite(adc)
    if not fine.any():
        raise InputError(
            f"{series.name}: ADC could be computed in no voxel: the signal does not fall with the b-value; are the b-values those of these "
            "volumes, in their order?"
        )
    lost = int((~fine).sum())
    if lost:
        notes.append(
            f"{lost} of {fine.size} voxels have no ADC and are NaN: signal of noise alone, or one that does not fall with the b-value."
        )
    notes += whole
    notes.append("Movement between the volumes and distortions by eddy currents and by the field were not corrected.")

    def image(values: np.ndarray) -> sitk.Image:
        whole = np.zeros(inside.shape, np.float32)
        whole[inside] = np.where(fine, values, np.nan)
        return series.grid.image(whole)

    found = {"adc": adc} | ({} if fa is None else {"fa": fa})
    done = np.zeros_like(inside)
    done[inside] = fine
    medians = {name: float(np.median(v[fine])) for name, v in found.items()}
    losses = [] if fa is not None else [chosen.why]
    return DtiMaps(
        {n: image(v) for n, v in found.items()}, series.grid.image(done), settings, medians, record, notes, losses
    )


def _voxels(series: Series, mask: sitk.Image | None) -> tuple[np.ndarray, list[str]]:
    """Voxels to fit: the mask, else the head, else the whole image where it shows nothing but tissue; and what is to be said of it."""
    inside = mask_array(mask, series)
    mean = np.nan_to_num(series.mean)
    if mask is not None or inside.all() or np.median(mean[~inside]) <= _AIR * np.median(mean[inside]):
        return inside, []
    return mean > 0, ["All voxels were fitted, since nothing in the image is as dark as the air beside a head."]


def _judged(fit: Tensors, used: Gradients, volumes: np.ndarray) -> tuple[dict[str, Any], list[str]]:
    """What a tensor fit says of the series itself: for the record, and in sentences."""
    notes = []
    known = np.isfinite(fit.adc)
    if negative := int(fit.negative.sum()):
        notes.append(
            f"{negative} voxels ({_percent(negative, known)}) have a tensor with an eigenvalue below 0, which is noise or movement: their "
            "FA takes it for 0, their ADC is the mean as it is."
        )
    if samples := int((fit.left_out > 0).sum()):
        notes.append(
            f"In {samples} voxels ({_percent(samples, fit.adc)}) samples that are not above 0 were left out, so that ADC is somewhat "
            "too low there."
        )
    free = volumes.size - 7
    variance = fit.variance[np.isfinite(fit.variance)]
    noise = snr = None
    if free > 0 and variance.size:
        # The median of a chi-squared variable over its mean (Wilson and Hilferty).
        noise = float(np.sqrt(np.median(variance) / (1 - 2 / (9 * free)) ** 3))
    if free <= 0:
        notes.append(
            f"{volumes.size} volumes are no more than a tensor has numbers, so that their noise cannot be told; it makes FA too high where "
            "there are no fibres."
        )
    if noise:
        snr = float(np.median(fit.s0[known]) / noise)
        excess = _EXCESS / (snr**2 * used.weighted.sum())
        if excess > _TOLD_EXCESS:
            notes.append(
                f"The signal without diffusion weight is {snr:.1f} times the noise (median), which makes the FA of grey matter too high by "
                f"about {min(excess, _MOST_EXCESS):.2f}."
            )
        floor = int((fit.weakest[known] < _FLOOR * noise).sum())
        if floor > _TOLD_FLOOR * known.sum():
            notes.append(
                f"In {floor} voxels ({_percent(floor, known)}) the weakest signal is below {_FLOOR:g} SD of the noise, whose floor makes "
                "ADC too low there."
            )
        if fit.directional < _LEAST_GAIN:
            notes.append(
                f"The directions explain no more of the signal than chance does ({fit.directional:.1f}; brain has 5 and more): are they "
                "those of these volumes, in their order?"
            )
    odd = volumes[_odd(fit.residual, used)]
    if odd.size:
        named = ", ".join(str(v + 1) for v in odd[:_MOST_ODD]) + (" and others" if odd.size > _MOST_ODD else "")
        notes.append(f"Volumes that do not fit the others (movement, dropouts): {named}.")
    record = {
        "noise": noise,
        "snr": snr,
        "directional": fit.directional if np.isfinite(fit.directional) else None,
        "negative_eigenvalues": negative,
        "odd_volumes": odd + 1,
        "signal": {"data": fit.data, "model": fit.model, "residual": fit.residual},
    }
    return record, notes


def _odd(residual: np.ndarray, used: Gradients) -> np.ndarray:
    """Volumes whose residual is far above that of others of their shell."""
    shells = used.shells()
    usual = np.array([np.median(residual[shells == k]) for k in shells])
    several = np.array([(shells == k).sum() > 2 for k in shells])
    return np.flatnonzero(several & (residual > np.maximum(_ODD * usual, _WORST * residual.max())) & (usual > 0))


def _percent(count: int, among: np.ndarray) -> str:
    whole = int(np.count_nonzero(among)) if among.dtype == bool else among.size
    return f"{100 * count / max(whole, 1):.1f} %"


def write(made: DtiMaps, out_dir: str | Path, format: str = "nii.gz") -> dict[str, Any]:
    """Write adc, fa where it is known, mask and fit.json, all or nothing; returns what fit.json holds."""
    record = {
        "step": "dti",
        "settings": made.settings,
        "units": {name: look(name).unit for name in made.maps},
        "medians": made.medians,
        "fitted_voxels": int(boolean(made.mask).sum()),
        **made.record,
        "notes": made.notes,
    }
    with staged(out_dir) as folder:
        for name, image in made.maps.items():
            write_image(image, folder / f"{name}.{format}", f"{name} [{look(name).unit}]")
        write_image(made.mask, folder / f"mask.{format}", "mask [0 or 1]")
        write_json(folder / "fit.json", record)
    return record
