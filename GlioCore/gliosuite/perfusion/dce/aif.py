"""The AIF of a DCE series: from a mask, found, of a population, or given; sampled or of a parametric form."""

from dataclasses import replace

import numpy as np
import SimpleITK as sitk

from ...curves import enhancing_mean, mask_array
from ...errors import InputError
from ..aif import (
    POPULATIONS,
    Aif,
    ArterialData,
    check_bolus,
    find_arteries,
    fit_parametric,
    fit_to_sinus,
    population_aif,
)
from ..fit import fit_curves
from ..noise import magnitude_noise
from ..prepared import Prepared
from ..settings import DceSettings
from ..signal import concentrations, mean_concentration, near_floor
from .settings import acquisition

_PLASMA_MM = (0.2, 50.0)  # highest values that plasma may have, mM; chosen, wide enough for any dose and slow infusions
_LEAST_BASELINE = 3  # frames; chosen: fewer are not shortened, since their mean would be one frame's noise
# s between frames: below, the samples show the first pass themselves; above, they no longer determine it, and the form would invent a peak.
_FORM_HELPS_S = (2.0, 6.0)
# Chosen: a form is taken whose residual is noise (in units of its SD) or below a hundredth of the peak, and whose own peak, between the
# samples, is not far above them.
_RESIDUAL_NOISE, _RESIDUAL_TOP, _HIGHEST = 2.0, 0.01, 1.5


def choose_aif(p: Prepared, settings: DceSettings, aif: str | Aif | sitk.Image) -> Aif:
    """The AIF in plasma: ``"auto"``, ``"parker"``, ``"georgiou"``, a mask of an artery, or one that is there already."""
    series, times_s, n_baseline, raw = p.series, p.times_s, p.n_baseline, p.raw
    if isinstance(aif, Aif):
        top = float(aif.concentration.max())
        if _PLASMA_MM[0] <= top <= _PLASMA_MM[1]:
            return aif
        note = (
            f"the AIF's highest value is {top:.3g} mM, where plasma has some 2 to 20 after a usual dose: check its unit"
        )
        return replace(aif, notes=(*aif.notes, note))
    if isinstance(aif, str) and aif in POPULATIONS:
        return _aligned_population(p, settings, aif)
    if isinstance(aif, str) and aif != "auto":
        raise InputError(f"AIF {aif!r} is not known; auto, {', '.join(POPULATIONS)}, a table or a mask is needed")
    # Contrast agent is in the arteries before the tissue shows it: the last frame of its baseline is none of theirs.
    n_baseline = max(n_baseline - 1, min(n_baseline, _LEAST_BASELINE))
    quality: dict[str, float] = {}
    notes: tuple[str, ...] = ()
    if isinstance(aif, sitk.Image):
        voxels = mask_array(aif, series)
        curves = _concentration(series.curves(voxels), p, settings, n_baseline)
        method, what = "mask", "mean of {n} voxels of the AIF mask"
        known = curves[np.isfinite(curves).all(axis=1)]
        if known.size:
            check_bolus(known.mean(axis=0), times_s, n_baseline, f"{series.name}: the AIF mask")
    else:
        index, quality = _search(raw, times_s, n_baseline, settings)
        voxels = p.in_region(index)
        curves = _concentration(raw[index], p, settings, n_baseline)
        method = "auto"
        what = f"found automatically ({settings.aif_search} search): mean of {{n}} voxels, score {quality['score']:.1f}"
        notes = ("the AIF was found automatically: look at its curve and voxels before using absolute values",)
    fitted = (
        fit_to_sinus(
            ArterialData(series, raw, times_s, p.region, voxels, n_baseline),
            acquisition(settings),
            settings.t10_blood_s,
        )
        if settings.sinus
        else None
    )
    if fitted is not None and fitted.blood is not None:
        concentration, at = fitted.blood.concentration, fitted.blood.times_s
        samples = fitted.blood.samples / (1.0 - settings.hematocrit)
        if settings.aif_fit is False:
            concentration, at = np.interp(times_s, at, concentration), times_s
        count = int(voxels.sum())
    else:
        good = np.isfinite(curves).all(axis=1)
        if not good.any():
            raise InputError(
                f"no voxel of the AIF mask has a concentration curve in {series.name}; choose other voxels"
            )
        concentration, at, count = (
            np.maximum(curves[good].mean(axis=0).astype(np.float64), 0.0),
            times_s,
            int(good.sum()) if good.size > 1 else int(voxels.sum()),
        )
        # Noise before arrival would be convolved with everything that follows.
        concentration[:n_baseline] = 0.0
        fitted = None if fitted is None else fitted.believed(concentration)
        if fitted is not None and fitted.curve is not None:
            quality = quality | {"sinus_factor": fitted.factor(concentration)}
            concentration = concentration * quality["sinus_factor"]
    how = f"{what.format(n=count)}; {fitted.how + '; ' if fitted else ''}divided by 1 - hematocrit {settings.hematocrit:g}"
    made = Aif(at, concentration / (1.0 - settings.hematocrit), how, method, voxels, notes=notes, quality=quality)
    if fitted is None:
        return made
    made = replace(made, notes=(*notes, *fitted.notes), quality=quality | fitted.numbers, sinus=fitted.voxels)
    if fitted.blood is None or settings.aif_fit is False:
        return made
    seen = np.isfinite(samples)
    return replace(made, fitted=True, measured_times_s=times_s[seen], measured=samples[seen])


def floor_noise(p: Prepared, settings: DceSettings) -> float:
    """SD of the noise whose floor counts (`signal.near_floor`); 0 where it is to be left, or the series is no magnitude."""
    if not settings.noise_floor or settings.input == "concentration":
        return 0.0
    return magnitude_noise(p.raw, p.n_baseline)


def _concentration(curves: np.ndarray, p: Prepared, settings: DceSettings, n_baseline: int) -> np.ndarray:
    """Concentrations (n, t) of an artery's curves (n, t); one, of their mean square, where that lies near the noise floor."""
    scanned, sigma = acquisition(settings), floor_noise(p, settings)
    if scanned is not None and near_floor(curves, n_baseline, sigma).mean() > 0.5:
        mean = mean_concentration(curves, scanned, settings.t10_blood_s, n_baseline, sigma)
        if np.isfinite(mean).all():
            return mean[None]
    return concentrations(curves, scanned, settings.t10_blood_s, n_baseline, sigma=sigma)


def _search(
    raw: np.ndarray, times_s: np.ndarray, n_baseline: int, settings: DceSettings
) -> tuple[np.ndarray, dict[str, float]]:
    """Arteries among voxels, by the rise of their signal: near its highest value, the concentration that it gives is mostly noise."""
    if settings.input == "concentration":
        return find_arteries(raw, times_s, n_baseline, settings.n_aif_voxels, search=settings.aif_search)
    before = raw[:, :n_baseline].mean(axis=1)
    rise = raw - before[:, None]
    index, quality = find_arteries(rise, times_s, n_baseline, settings.n_aif_voxels, before, settings.aif_search, True)
    # Height and width of a signal that saturates say nothing of the blood.
    return index, {k: v for k, v in quality.items() if k not in ("peak", "width_s")}


def _aligned_population(p: Prepared, settings: DceSettings, population: str) -> Aif:
    """A population's AIF at the arrival that explains the enhancing voxels best: 2 s of error would change ktrans by tens of percent."""
    times_s, n_baseline = p.times_s, p.n_baseline
    curves = concentrations(p.raw, acquisition(settings), settings.t10_blood_s, n_baseline)
    curves = curves[np.isfinite(curves).all(axis=1)]
    start = float(times_s[n_baseline - 1])
    if not curves.size:
        return population_aif(times_s, start, settings.hematocrit, population)
    first = population_aif(times_s, start, settings.hematocrit, population)
    fit = fit_curves(enhancing_mean(curves)[None], times_s, first.concentration, "etm", True, first.times_s)
    late = float(np.float32(fit.values["delay"][0])) if np.isfinite(fit.sse[0]) else 0.0
    return population_aif(times_s, start + late, settings.hematocrit, population)


def maybe_fit(aif: Aif, times: np.ndarray, settings: DceSettings, n_baseline: int) -> tuple[Aif, list[str]]:
    """Replace a coarsely sampled AIF by its parametric form, where asked for or where that is sure to help."""
    if aif.fitted:
        return aif, []
    frame = float(np.median(np.diff(aif.times_s)))
    if settings.aif_fit is False or (settings.aif_fit is None and not _FORM_HELPS_S[0] < frame <= _FORM_HELPS_S[1]):
        return aif, []
    fitted, residual, noise = fit_parametric(aif, float(times[n_baseline - 1]))
    top = float(aif.concentration.max())
    limit = max(_RESIDUAL_NOISE * noise, _RESIDUAL_TOP * top)
    if settings.aif_fit is None and (residual > limit or fitted.concentration.max() > _HIGHEST * top):
        return aif, [
            f"the AIF is used as sampled: a parametric fit (residual {residual:.3g} mM) is not within its noise"
        ]
    return fitted, [f"the AIF is Parker's form fitted to its samples (residual {residual:.3g} mM)"]
