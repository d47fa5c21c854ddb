"""The AIF of a DCE series: from a mask, found, of a population, or given; sampled or of a parametric form."""

from dataclasses import replace

import numpy as np
import SimpleITK as sitk

from ...curves import enhancing_mean, mask_array, noise_sd
from ...errors import InputError
from ..aif import (
    POPULATIONS,
    Aif,
    ArterialData,
    SmoothCurves,
    check_bolus,
    find_arteries,
    fit_parametric,
    fit_to_sinus,
    population_aif,
    refine,
    samples_sd,
)
from ..fit import DEFAULT_BOUNDS, CurveFit, fit_curves
from ..noise import magnitude_noise
from ..prepared import Prepared, evenly
from ..settings import DceSettings
from ..signal import concentrations, mean_concentration, near_floor
from .settings import acquisition

_PLASMA_MM = (0.2, 50.0)  # highest values that plasma may have, mM; chosen, wide enough for any dose and slow infusions
_POSSIBLE_MM = (
    0.05,
    300.0,
)  # chosen: far beyond any dose and any phantom, and well below what a thousandfold makes of usual ones
_LEAST_BASELINE = 3  # frames; chosen: fewer are not shortened, since their mean would be one frame's noise
# s between frames: below, the samples show the first pass themselves; above, they no longer determine it, and the form would invent a peak.
_FORM_HELPS_S = (2.0, 6.0)
# Likewise for the tissue's help; above, two samples or fewer lie in a first pass.
_TISSUE_HELPS_S = (2.0, 12.0)
_SAMPLE = 4000  # curves that are looked at, evenly over the mask; chosen
# Curves that are fitted, and how few will do; chosen: with 1000 the AIF was no better in simulations, and took five times as long.
_TISSUES, _LEAST_TISSUES = 200, 30
_RISES_S, _PASSES_S = 10.0, 40.0  # before and after the AIF's peak: where a tissue's bolus is looked for; chosen
_VESSEL = 0.5  # vp; chosen
_FAST = 0.95  # of the highest kep: faster is at the bound
_RAYLEIGH_MEAN = float(np.sqrt(np.pi / 2))  # of a magnitude without signal, in SD of its noise
_CONTRADICTED = 0.6  # chosen: the darkest hundredth of means over 20 frames of pure noise lies at .73 of their mean
_STANDS_OUT = 2.5  # standard errors; chosen: by chance once in 160 baselines, which costs them a frame
_POOR = 1.5  # residual over noise; chosen
# Chosen: a form is taken whose residual is noise (in units of its SD) or below a hundredth of the peak, and whose own peak, between the
# samples, is not far above them.
_RESIDUAL_NOISE, _RESIDUAL_TOP, _HIGHEST = 2.0, 0.01, 1.5


def choose_aif(p: Prepared, settings: DceSettings, aif: str | Aif | sitk.Image, sigma: float) -> Aif:
    """The AIF in plasma: ``"auto"``, ``"parker"``, ``"georgiou"``, a mask of an artery, or one that is there already.

    `sigma` is the SD of the noise whose floor counts; see `floor_noise`.
    """
    series, times_s, n_baseline, raw = p.series, p.times_s, p.n_baseline, p.raw
    if isinstance(aif, Aif):
        top = float(aif.concentration.max())
        if _PLASMA_MM[0] <= top <= _PLASMA_MM[1]:
            return aif
        if not _POSSIBLE_MM[0] <= top <= _POSSIBLE_MM[1]:
            other = "uM" if top > _POSSIBLE_MM[1] else "M"
            raise InputError(
                f"the AIF's highest value is {top:.4g}; {_POSSIBLE_MM[0]:g} to {_POSSIBLE_MM[1]:g} mM are possible in plasma; was it given "
                f"in {other}?"
            )
        note = (
            f"the AIF's highest value is {top:.3g} mM, where plasma has some 2 to 20 after a usual dose: check its unit"
        )
        return replace(aif, notes=(*aif.notes, note))
    if isinstance(aif, str) and aif in POPULATIONS:
        return _aligned_population(p, settings, aif)
    if isinstance(aif, str) and aif != "auto":
        raise InputError(f"AIF {aif!r} is not known; auto, {', '.join(POPULATIONS)}, a table or a mask is needed")
    n_baseline = arterial_baseline(n_baseline)
    quality: dict[str, float] = {}
    notes: tuple[str, ...] = ()
    earliest = None
    if isinstance(aif, sitk.Image):
        voxels = mask_array(aif, series)
        earliest = _arteries(p, n_baseline, settings) if settings.sinus else None
        curves = _concentration(series.curves(voxels), settings, n_baseline, sigma)
        method, what = "mask", "mean of {n} voxels of the AIF mask"
        known = curves[np.isfinite(curves).all(axis=1)]
        if known.size:
            check_bolus(known.mean(axis=0), times_s, n_baseline, f"{series.name}: the AIF mask")
    else:
        index, quality = search(raw, times_s, n_baseline, settings)
        voxels = p.in_region(index)
        curves = _concentration(raw[index], settings, n_baseline, sigma)
        method = "auto"
        what = f"found automatically ({settings.aif_search} search): mean of {{n}} voxels, score {quality['score']:.1f}"
        notes = ("the AIF was found automatically: look at its curve and voxels before using absolute values",)
    fitted = (
        fit_to_sinus(
            ArterialData(series, raw, times_s, p.region, voxels, n_baseline, earliest),
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


def arterial_baseline(n_baseline: int) -> int:
    """Frames before contrast agent in an artery, of as many in the tissue: it is there before the tissue shows it, so the last is none."""
    return max(n_baseline - 1, min(n_baseline, _LEAST_BASELINE))


def floor_noise(p: Prepared, settings: DceSettings) -> float:
    """SD of the noise whose floor counts (`signal.near_floor`); 0 where it is to be left, or the series is no magnitude.

    Movement passes for noise in curves; but the darkest voxels show the floor too, and where they lie far below it, they decide.
    """
    if not settings.noise_floor or settings.input == "concentration":
        return 0.0
    sigma = magnitude_noise(p.raw, p.n_baseline)
    mean = p.series.mean
    darkest = mean[np.isfinite(mean) & (mean > 0)]
    seen = float(np.percentile(darkest, 1)) / _RAYLEIGH_MEAN if darkest.size else sigma
    return seen if seen < _CONTRADICTED * sigma else sigma


def _concentration(curves: np.ndarray, settings: DceSettings, n_baseline: int, sigma: float) -> np.ndarray:
    """Concentrations (n, t) of an artery's curves (n, t); one, of their mean square, where that lies near the noise floor."""
    scanned = acquisition(settings)
    if scanned is not None and near_floor(curves, n_baseline, sigma).mean() > 0.5:
        n_baseline = _clean_baseline(curves, n_baseline)
        mean = mean_concentration(curves, scanned, settings.t10_blood_s, n_baseline, sigma)
        if np.isfinite(mean).all():
            return mean[None]
    return concentrations(curves, scanned, settings.t10_blood_s, n_baseline, sigma=sigma)


def _clean_baseline(curves: np.ndarray, n_baseline: int) -> int:
    """How many frames of a baseline an artery's curves (n, t) have without agent: those at its end that stand out are left out.

    Tissue in noise shows the bolus frames later than an artery, and near the floor the baseline is so small that .06 mM in one frame
    of eleven makes all concentrations too low by 8 %.
    """
    square = curves[:, :n_baseline].astype(np.float64) ** 2
    while n_baseline > _LEAST_BASELINE:
        rise = square[:, n_baseline - 1] - square[:, : n_baseline - 1].mean(axis=1)
        if len(rise) < 2 or rise.mean() <= _STANDS_OUT * rise.std(ddof=1) / np.sqrt(len(rise)):
            break
        n_baseline -= 1
    return n_baseline


def search(
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


def _arteries(p: Prepared, n_baseline: int, settings: DceSettings) -> np.ndarray | None:
    """Arteries found automatically, (z, y, x); None where none are: what somebody picked may be a vein, than which no sinus is later."""
    try:
        return p.in_region(search(p.raw, p.times_s, n_baseline, settings)[0])
    except InputError:
        return None


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


def between_samples(
    aif: Aif, curves: np.ndarray, times_s: np.ndarray, settings: DceSettings, n_baseline: int
) -> tuple[Aif, list[str]]:
    """A coarsely sampled AIF with what lies between its samples: as the tissue curves (n, t) show it, or as a form of a few parameters.

    The notes say which, and why not the former.
    """
    frame = float(np.median(np.diff(aif.times_s)))
    if aif.fitted or aif.method in POPULATIONS or settings.aif_fit is False:
        return aif, []
    notes: list[str] = []
    if settings.aif_fit is None and settings.delay is not False and _TISSUE_HELPS_S[0] < frame <= _TISSUE_HELPS_S[1]:
        refined, why_not = _refined(aif, curves, times_s, settings)
        if refined is not None:
            return refined, []
        notes = [f"the AIF between its samples could not be found from the tissue: {why_not}"]
    fitted, more = maybe_form(aif, times_s, settings, n_baseline)
    return fitted, [*notes, *more]


def _refined(aif: Aif, curves: np.ndarray, times_s: np.ndarray, settings: DceSettings) -> tuple[Aif | None, str]:
    """The AIF with what the tissue shows between its samples; or None, and why not."""
    samples = np.maximum(aif.concentration, 0.0)
    smooth = SmoothCurves.through(aif.times_s, samples, float(times_s[-1]))
    start = smooth.basis @ smooth.nearest(aif.times_s, samples, samples_sd(samples))
    good = np.flatnonzero(np.isfinite(curves).all(axis=1))
    some = evenly(good, _SAMPLE)
    if some.size < _LEAST_TISSUES:
        return None, f"{some.size} curves are too few, {_LEAST_TISSUES} are needed"
    # Those whose bolus stands out of their noise most; a vessel's is no tissue's, and neither is one that empties at once.
    after_peak = times_s - aif.times_s[int(np.argmax(samples))]
    passing = curves[some][:, (after_peak >= -_RISES_S) & (after_peak <= _PASSES_S)].mean(axis=1)
    clear = passing / np.maximum(noise_sd(curves[some]), 1e-12)
    some = some[np.sort(np.argsort(-clear, kind="stable")[: max(some.size // 2, _TISSUES)])]
    fit = fit_curves(curves[some], times_s, start, "etm", True, smooth.times_s, dict(settings.bounds), "cpu")
    highest = settings.bounds.get("kep", DEFAULT_BOUNDS["kep"])[1]
    found = {name: fit.values[name] for name in ("ktrans", "vp", "kep", "delay")}
    tissue = np.isfinite(fit.sse) & (found["vp"] < _VESSEL) & (found["kep"] < _FAST * highest)
    tissue &= (found["ktrans"] > 0) | (found["vp"] > 0)
    rows = np.flatnonzero(tissue)
    if rows.size < _LEAST_TISSUES:
        return None, f"{rows.size} curves are those of tissue, {_LEAST_TISSUES} are needed"
    # Of all delays alike: each samples the bolus elsewhere.
    rows = evenly(rows[np.argsort(found["delay"][rows], kind="stable")], _TISSUES)
    result = refine(
        smooth,
        aif.times_s,
        samples,
        times_s,
        curves[some[rows]].astype(np.float64),
        {n: v[rows] for n, v in found.items()},
    )
    if result.residual > _POOR:
        return None, f"the model describes the tissue poorly (residual {result.residual:.1f}, up to {_POOR:g} is taken)"
    numbers = {
        "tissue_curves": float(rows.size),
        "tissue_residual": result.residual,
        "tissue_dispersion_s": result.dispersion_s,
        "ktrans_relative_sd": float(np.median(result.spread.relative["ktrans"])),
        "vp_relative_sd": float(np.median(result.spread.relative["vp"])),
    }
    how = (
        f"{aif.how}; between its samples as {rows.size} tissue curves show it, which leaves ktrans uncertain by "
        f"{100 * numbers['ktrans_relative_sd']:.0f} % and vp by {100 * numbers['vp_relative_sd']:.0f} %"
    )
    made = replace(
        aif, times_s=result.times_s, concentration=result.concentration, how=how, fitted=True, spread=result.spread
    )
    return replace(
        made, measured_times_s=aif.times_s, measured=aif.concentration, quality={**aif.quality, **numbers}
    ), ""


def widened(fit: CurveFit, aif: Aif) -> CurveFit:
    """A fit whose SDs hold what is not known of the AIF."""
    if aif.spread is None:
        return fit
    more = aif.spread.of(fit.values)
    sd = {name: np.hypot(v, more.get(name, 0.0)).astype(v.dtype) for name, v in fit.sd.items()}
    return replace(fit, sd=sd)


def maybe_form(aif: Aif, times: np.ndarray, settings: DceSettings, n_baseline: int) -> tuple[Aif, list[str]]:
    """Replace a coarsely sampled AIF by its parametric form, where asked for or where that is sure to help."""
    frame = float(np.median(np.diff(aif.times_s)))
    if settings.aif_fit is None and not _FORM_HELPS_S[0] < frame <= _FORM_HELPS_S[1]:
        return aif, []
    fitted, residual, noise = fit_parametric(aif, float(times[n_baseline - 1]))
    top = float(aif.concentration.max())
    limit = max(_RESIDUAL_NOISE * noise, _RESIDUAL_TOP * top)
    if settings.aif_fit is None and (residual > limit or fitted.concentration.max() > _HIGHEST * top):
        return aif, [
            f"the AIF is used as sampled: a parametric fit (residual {residual:.3g} mM) is not within its noise"
        ]
    return fitted, [f"the AIF is Parker's form fitted to its samples (residual {residual:.3g} mM)"]
