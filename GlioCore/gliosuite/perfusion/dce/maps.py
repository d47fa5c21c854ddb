"""DCE from a series to maps: bolus, concentration, AIF, kinetic fit; one function for the command line, the pipeline and Slicer."""

from dataclasses import replace

import numpy as np
import SimpleITK as sitk
from numpy.typing import ArrayLike

from ...errors import InputError
from ...images import Grid, Series, array, boolean, map_image, resample, resample_mask
from ...steps import Progress, part, silent
from ..aif import POPULATIONS, Aif
from ..fit import DEFAULT_BOUNDS, CurveFit, fit_curves
from ..noise import SignalNoise
from ..prepared import Prepared, prepare, strongest
from ..result import MeanCurve, PerfusionMaps
from ..settings import T10_TISSUE_S, DceSettings
from ..signal import concentrations
from ..t1 import b1_values, check_t10
from .aif import between_samples, choose_aif, floor_noise, widened
from .dispersion import LONGEST_S, disperse, find_dispersion
from .notes import aif_notes, fit_notes, series_notes
from .picking import DcePicking
from .presets import preset_record
from .semiquantitative import semiquantitative
from .settings import acquisition, check_settings

# The maps of each model, in the order in which they are written and shown.
_MAPS = {
    "tofts": ("ktrans", "ve", "kep"),
    "etm": ("ktrans", "ve", "vp", "kep"),
    "patlak": ("ktrans", "vp", "ps"),
    "2cxm": ("ktrans", "ve", "vp", "kep", "fp", "ps"),
    "2cum": ("ktrans", "vp", "fp", "ps"),
    "auto": ("ktrans", "ve", "vp", "kep"),
}
_AT_BOUND = 0.98  # of kep's upper bound; chosen: the polish ends this close to it or at it
_FEW = 3  # frames; chosen: the mean of a shorter baseline is hardly better than one frame


def dce_aif(
    series: Series,
    times_s: ArrayLike,
    settings: DceSettings,
    aif: str | sitk.Image = "auto",
    mask: sitk.Image | None = None,
) -> Aif:
    """The AIF of a DCE series alone; see `dce_maps`."""
    return DcePicking.of(series, times_s, settings, mask).aif(aif)


def dce_maps(
    series: Series,
    times_s: ArrayLike,
    settings: DceSettings,
    aif: str | Aif | sitk.Image = "auto",
    t10: float | sitk.Image = T10_TISSUE_S,
    mask: sitk.Image | None = None,
    progress: Progress = silent,
    b1: sitk.Image | None = None,
    lesion: sitk.Image | None = None,
) -> PerfusionMaps:
    """Kinetic maps of a DCE series.

    Parameters
    ----------
    series
        4-D signal, or concentration in mM (``settings.input``).
    times_s
        (t,) s.
    aif
        ``"auto"``, ``"parker"``, ``"georgiou"``, an `Aif` (plasma), or a mask of an artery.
    t10
        T1 before contrast in s; a number or a map.
    mask
        Voxels to fit, on any grid; the head where None.
    b1
        Map of the actual over the nominal flip angle, on any grid; 1 everywhere where None. The AIF's own flip angle is fitted with the
        sinus, or taken as nominal.
    lesion
        The enhancing lesion, on any grid: its mean curve is kept beside the fit; that of the 5 % that enhance most where None.

    Raises
    ------
    InputError
        If the series, its times, mask, T1 or AIF cannot be used; the text says why.
    """
    check_settings(settings, series)
    check_t10(t10)
    progress(0.05, "finding the bolus")
    p = prepare(series, times_s, settings, mask)
    t10_s: float | np.ndarray = (
        array(resample(t10, series.grid))[p.fitted] if isinstance(t10, sitk.Image) else float(t10)
    )
    if isinstance(t10, sitk.Image) and not Grid.of(t10).matches(series.grid):
        p.notes.append(
            "the T1 map is on another grid and was used in its own position: where the head moved between the scans, ktrans is wrong "
            "at edges (`gliosuite t1 --onto SERIES` makes one in the position of the series)"
        )
    scale = 1.0 if b1 is None else b1_values(b1, series.grid, p.inside)[p.fitted]
    p.notes.append(f"contrast agent arrives at {p.times_s[p.n_baseline]:.1f} s; baseline of {p.n_baseline} frames")
    if p.n_baseline < _FEW:
        p.notes.append(f"the baseline has only {p.n_baseline} frames: concentrations are less certain")
    progress(0.1, "arterial input function")
    sigma = floor_noise(p, settings)
    chosen = choose_aif(p, settings, aif, sigma)
    progress(0.2, "concentration")
    scanned = acquisition(settings)
    curves = concentrations(p.fitted_curves(), scanned, t10_s, p.n_baseline, scale, sigma)
    _check_curves(curves, t10_s, scale)
    more_notes = [*aif_notes(chosen, settings.hematocrit), *series_notes(p, settings, t10_s, sigma)]
    chosen, form_notes = between_samples(chosen, curves, p.times_s, settings, p.n_baseline)
    p.notes.extend([*chosen.notes, *form_notes, *more_notes])
    settings = _resolved(settings, curves, p, chosen)
    at, feeding = disperse(chosen.times_s, chosen.concentration, settings.dispersion_s or 0.0)
    noise = None
    if scanned is not None:
        flip = np.asarray(scale) * scanned.flip_angle_deg
        noise = SignalNoise.of(scanned, t10_s, flip, p.n_baseline, len(curves))
    fit = fit_curves(
        curves,
        p.times_s,
        feeding,
        settings.model,
        bool(settings.delay),
        at,
        settings.bounds,
        settings.device,
        progress=part(progress, 0.25, 0.95),
        unclamped=settings.unclamped,
        noise=noise,
    )
    fit = widened(fit, chosen)
    progress(0.95, "maps")
    one_t10 = t10_s if isinstance(t10_s, float) else None
    more = preset_record(settings, one_t10, aif if isinstance(aif, str) else chosen.method)
    for name, values in more["preset"]["overridden"].items() if more else ():
        p.notes.append(
            f"preset {settings.preset}: {name} is {values['used']} in place of the preset's {values['preset']}"
        )
    record = {"t10_s": "map" if one_t10 is None else one_t10, "b1": "nominal" if b1 is None else "map", **more}
    made = _collect(p, settings, chosen, curves, fit, record, lesion)
    return made if isinstance(t10_s, float) else replace(made, t10=p.image(t10_s, np.isfinite(fit.sse)))


def _resolved(settings: DceSettings, curves: np.ndarray, p: Prepared, aif: Aif) -> DceSettings:
    """Settings whose delay, dispersion and bounds are those that the fit takes; the notes say what was found."""
    delay = aif.method not in POPULATIONS if settings.delay is None else settings.delay
    bounds = {**DEFAULT_BOUNDS, **settings.bounds}
    dispersion_s = settings.dispersion_s
    if dispersion_s is None:
        # An exchange model's plasma spreads the bolus itself.
        fitted = delay and settings.model in ("tofts", "etm", "patlak", "auto")
        dispersion_s = find_dispersion(curves, p.times_s, aif.concentration, aif.times_s, bounds) if fitted else 0.0
        if fitted:
            p.notes.append(
                f"dispersion of the bolus between the AIF's artery and the tissue: mean {dispersion_s:.1f} s, found from all voxels"
            )
            if dispersion_s > 0.95 * LONGEST_S:
                p.notes.append(
                    "the dispersion found is the longest that is sought: the AIF is not what feeds this tissue, or it is too narrow; "
                    "ktrans and vp may be wrong"
                )
    return replace(settings, delay=delay, dispersion_s=dispersion_s, bounds=bounds)


def _check_curves(curves: np.ndarray, t10_s: float | np.ndarray, scale: float | np.ndarray) -> None:
    """Refuse curves (n, t) none of which can be fitted, with the reason."""
    if np.isfinite(curves).all(axis=1).any():
        return
    for name, values in (("T1", t10_s), ("B1", scale)):
        if not (np.isfinite(values) & (np.asarray(values) > 0)).any():
            raise InputError(f"the {name} map has no value above 0 inside the mask, so no curve there can be fitted")
    raise InputError(
        f"none of the {len(curves)} curves inside the mask can be fitted: a signal, T1 or B1 there is 0, negative or undefined, or no "
        "concentration gives such a signal; check them, the flip angle and the repetition time"
    )


def _collect(
    p: Prepared,
    settings: DceSettings,
    aif: Aif,
    curves: np.ndarray,
    fit: CurveFit,
    record: dict[str, object],
    lesion: sitk.Image | None,
) -> PerfusionMaps:
    """Maps, and what a reader must know of them, from curves (n, t) in mM and their fit."""
    names = _MAPS[settings.model] + (("delay",) if settings.delay else ())
    known = np.isfinite(fit.sse)
    sd = {name: fit.sd[name] for name in names}
    if fit.ve is not None and fit.vp is not None:
        # More plasma than fluid outside the vessels: an error of the AIF's shape, which the model takes for a small compartment.
        sd |= {name: np.where(fit.ve <= fit.vp, np.inf, sd[name]) for name in ("ve", "kep")}
    grid = p.series.grid
    maps = {name: p.image(fit.values[name], known) for name in names}
    maps["rmse"] = p.image(np.sqrt(fit.sse / p.times_s.size), known)
    if fit.chosen is not None:
        maps["model"] = map_image(fit.chosen.astype(np.float32), p.fitted, grid)
    maps["misfit"] = map_image(fit.misfit.astype(np.float32), p.fitted, grid)
    if "kep" in names and "fp" not in names:
        # What the frames cannot tell from plasma that comes late: its ktrans is no leakage.
        fast = fit.values["kep"] >= _AT_BOUND * settings.bounds["kep"][1]
        maps["fast"] = map_image(fast.astype(np.float32), p.fitted, grid)
        if known.any():
            p.notes.append(
                f"kep lies at its upper bound of {settings.bounds['kep'][1]:g} /min in {100 * float(fast[known].mean()):.1f} % of the "
                "voxels (fast.nii.gz): there ktrans shows how blood arrives rather than how it leaks"
            )
    for name, values in (fit.unclamped or {}).items():
        maps[f"{name}_unclamped"] = p.image(values, known)
    if settings.semiquantitative:
        for name, values in semiquantitative(curves, p.times_s, p.n_baseline).items():
            maps[name] = p.image(values, known)
    p.notes.extend([*p.left_out(known), *fit_notes(fit, known, sd.get("ve"), grid.voxel_cc)])
    top, shown = _shown(p, known, curves, lesion)
    model = fit.rows(top).predict().mean(axis=0) if top.size else np.full(p.times_s.size, np.nan)
    return PerfusionMaps(
        step="dce",
        maps=maps,
        sd={name: p.image(values, known) for name, values in sd.items()},
        mask=grid.image(p.where(known)),
        aif=aif,
        aif_unit="plasma (mM)",
        settings=settings,
        bolus=p.bolus,
        n_baseline=p.n_baseline,
        times_s=p.times_s,
        mean=MeanCurve(curves[top].mean(axis=0), model, shown, "tissue (mM)", "model"),
        medians={n: float(np.nanmedian(fit.values[n][known])) if known.any() else None for n in names},
        notes=p.notes,
        record=record,
    )


def _shown(p: Prepared, known: np.ndarray, curves: np.ndarray, lesion: sitk.Image | None) -> tuple[np.ndarray, str]:
    """Which of the fitted curves are averaged for the picture, and what they are."""
    if lesion is not None:
        inside = np.flatnonzero(known & boolean(resample_mask(lesion, p.series.grid))[p.fitted])
        if inside.size:
            return inside, f"mean of the enhancing lesion ({inside.size} voxels)"
    top = np.flatnonzero(known)
    return strongest(top, curves[top].mean(axis=1)), "mean of the 5 % that enhance most"
