"""DCE from a series to maps: bolus, concentration, AIF, kinetic fit; one function for the command line, the pipeline and Slicer."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from ...curves import Bolus, check_times, enhancing_mean, find_bolus, mask_array, search_mask, usable_voxels
from ...images import Series, array, map_image, resample
from ...steps import Progress, part, silent
from ..aif import Aif
from ..fit import AUTO, FALSE_ALARMS, CurveFit, fit_curves
from ..settings import T10_TISSUE_S, DceSettings
from ..signal import concentrations
from ..t1 import b1_values
from .aif import choose_aif, maybe_fit
from .presets import preset_record
from .semiquantitative import UNITS as SEMIQUANTITATIVE
from .semiquantitative import semiquantitative
from .settings import acquisition, check_settings, check_t10

UNITS = {
    "ktrans": "1/min",
    "ve": "fraction",
    "vp": "fraction",
    "kep": "1/min",
    "fp": "ml/100ml/min",
    "ps": "1/min",
    "delay": "s",
    "rmse": "mM",
    "model": "1 tofts, 2 patlak, 3 etm",
    "misfit": "1 where the model does not fit",
    "ktrans_unclamped": "1/min",
    "ps_unclamped": "1/min",
    "vp_unclamped": "fraction",
    **SEMIQUANTITATIVE,
}


@dataclass(frozen=True)
class DceMaps:
    """Maps on the native grid of the series, and how they came about.

    Attributes
    ----------
    maps
        float32 images by name (``ktrans``, ``ve``, ... ``rmse``); 0 outside the mask, NaN where undefined.
    sd
        Standard deviations by the name of the map.
    mask
        Voxels that were fitted; uint8.
    times_s
        Of the frames that were used.
    mean_curve, mean_fit
        Mean concentration (t,) of the fitted voxels that enhance most, and the model's curve for them, for the picture.
    notes
        What a reader must know.
    record
        What more fit.json says: the T1 before contrast, the preset and what overrides it.
    """

    maps: dict[str, sitk.Image]
    sd: dict[str, sitk.Image]
    mask: sitk.Image
    aif: Aif
    settings: DceSettings
    bolus: Bolus
    times_s: np.ndarray
    mean_curve: np.ndarray
    mean_fit: np.ndarray
    units: dict[str, str]
    medians: dict[str, float | None]
    notes: list[str]
    aif_unit: str = "plasma (mM)"
    curve_unit: str = "tissue (mM)"
    curve_title: str = "mean of the 5 % that enhance most"
    fit_label: str = "model"
    record: dict = field(default_factory=dict)


def find_dce_bolus(series: Series, mask: np.ndarray, settings: DceSettings) -> Bolus:
    """Baseline and arrival from the voxels of `mask` that enhance most."""
    curve = enhancing_mean(series.curves(mask), rising=True)
    return find_bolus(curve, True, series.name)


def dce_aif(
    series: Series,
    times_s: np.ndarray,
    settings: DceSettings,
    aif: str | sitk.Image = "auto",
    mask: sitk.Image | None = None,
) -> Aif:
    """The AIF of a DCE series alone; see `dce_maps`."""
    check_settings(settings, series)
    times = check_times(times_s, series.n_times, series.name)
    is_signal = settings.input == "signal"
    inside = mask_array(mask, series, is_signal)
    fitted = usable_voxels(series, inside, mask is not None, is_signal, settings.allow_invalid_voxels)
    region = search_mask(series, fitted, mask is not None) if is_signal else fitted
    bolus = find_dce_bolus(series, region, settings)
    steady = Series(series.frames[bolus.steady :], series.grid, series.name)
    return choose_aif(steady, times[bolus.steady :], settings, aif, region, bolus)


def dce_maps(
    series: Series,
    times_s: np.ndarray,
    settings: DceSettings,
    aif: str | Aif | sitk.Image = "auto",
    t10: float | sitk.Image = T10_TISSUE_S,
    mask: sitk.Image | None = None,
    progress: Progress = silent,
    b1: sitk.Image | None = None,
) -> DceMaps:
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

    Raises
    ------
    InputError
        If the series, its times, mask, T1 or AIF cannot be used; the text says why.
    """
    check_settings(settings, series)
    times = check_times(times_s, series.n_times, series.name)
    check_t10(t10)
    t10_values = array(resample(t10, series.grid)) if isinstance(t10, sitk.Image) else float(t10)
    is_signal = settings.input == "signal"
    inside = mask_array(mask, series, is_signal)
    notes: list[str] = []
    scale = None if b1 is None else b1_values(b1, series.grid, inside)
    fitted = usable_voxels(series, inside, mask is not None, is_signal, settings.allow_invalid_voxels)
    progress(0.05, "finding the bolus")
    region = search_mask(series, fitted, mask is not None) if is_signal else fitted
    bolus = find_dce_bolus(series, region, settings)
    if bolus.steady:
        series = Series(series.frames[bolus.steady :], series.grid, series.name)
        times = times[bolus.steady :]
        notes.append(f"the first {bolus.steady} frames, before steady state, were left out")
    n_baseline = bolus.arrival - bolus.steady
    notes.append(f"contrast agent arrives at {times[n_baseline]:.1f} s; baseline of {n_baseline} frames")
    if n_baseline < 3:
        notes.append(f"the baseline has only {n_baseline} frames: concentrations are less certain")
    progress(0.1, "arterial input function")
    chosen = choose_aif(series, times, settings, aif, region, bolus)
    chosen, aif_notes = maybe_fit(chosen, times, settings, n_baseline)
    notes += [*chosen.notes, *aif_notes]
    progress(0.2, "concentration")
    values = t10_values[fitted] if isinstance(t10_values, np.ndarray) else t10_values
    curves = concentrations(
        series.curves(fitted), acquisition(settings), values, n_baseline, 1.0 if scale is None else scale[fitted]
    )
    fit = fit_curves(
        curves,
        times,
        chosen.concentration,
        settings.model,
        settings.delay,
        chosen.times_s,
        settings.bounds,
        settings.device,
        progress=part(progress, 0.25, 0.95),
        unclamped=settings.unclamped,
    )
    progress(0.95, "maps")
    t10_s = t10_values if isinstance(t10_values, float) else None
    record = {"t10_s": "map" if t10_s is None else t10_s, "b1": "nominal" if b1 is None else "map"}
    record |= preset_record(settings, t10_s, aif if isinstance(aif, str) else chosen.method)
    for name, values in record.get("preset", {}).get("overridden", {}).items():
        notes.append(
            f"preset {settings.preset}: {name} is {values['used']} in place of the preset's {values['preset']}"
        )
    maps = _collect(series, times, settings, chosen, bolus, inside, fitted, curves, fit, notes)
    return replace(maps, record=record)


def _collect(
    series: Series,
    times: np.ndarray,
    settings: DceSettings,
    aif: Aif,
    bolus: Bolus,
    inside: np.ndarray,
    fitted: np.ndarray,
    curves: np.ndarray,
    fit: CurveFit,
    notes: list[str],
) -> DceMaps:
    names = {
        "tofts": ("ktrans", "ve", "kep"),
        "etm": ("ktrans", "ve", "vp", "kep"),
        "patlak": ("ktrans", "vp", "ps"),
        "2cxm": ("ktrans", "ve", "vp", "kep", "fp", "ps"),
        "2cum": ("ktrans", "vp", "fp", "ps"),
        "auto": ("ktrans", "ve", "vp", "kep"),
    }[settings.model] + (("delay",) if settings.delay else ())
    known = np.isfinite(fit.sse)
    done = np.zeros_like(fitted)
    done[fitted] = known

    def image(values: np.ndarray) -> sitk.Image:
        whole = np.zeros(fitted.shape, np.float32)
        whole[inside] = np.nan
        # An infinite SD says that the data know nothing of the parameter: undefined.
        whole[fitted] = np.where(known & np.isfinite(values), values, np.nan)
        return series.grid.image(whole)

    maps = {name: image(fit.values[name]) for name in names}
    rmse = np.sqrt(fit.sse / times.size)
    maps["rmse"] = image(rmse)
    if fit.chosen is not None:
        maps["model"] = map_image(fit.chosen.astype(np.float32), fitted, series.grid)
    maps["misfit"] = map_image(fit.misfit.astype(np.float32), fitted, series.grid)
    for name, values in (fit.unclamped or {}).items():
        maps[f"{name}_unclamped"] = image(values)
    if settings.semiquantitative:
        for name, values in semiquantitative(curves, times, bolus.arrival - bolus.steady).items():
            maps[name] = image(values)
    sd = {name: image(fit.sd[name]) for name in names}
    left_out = int(inside.sum() - done.sum())
    if left_out:
        notes.append(f"{left_out} of {int(inside.sum())} voxels of the mask could not be fitted and are NaN")
    if known.any():
        notes.append(
            f"the model does not fit in {100 * float(fit.misfit[known].mean()):.1f} % of the voxels (neighbouring residuals are "
            f"correlated; {100 * FALSE_ALARMS:.0f} % is expected by chance)"
        )
    ve = fit.ve_valid
    if ve is not None and known.any():
        notes.append(f"ve lies outside 0-1 in {100 * float(np.mean(~ve[known])):.1f} % of the fitted voxels")
    medians = {n: float(np.nanmedian(fit.values[n][known])) if known.any() else None for n in names}
    top = np.flatnonzero(known)
    top = top[np.argsort(-curves[top].mean(axis=1), kind="stable")[: max(1, top.size // 20)]]
    mean, model = curves[top].mean(axis=0), np.full(times.size, np.nan)
    if top.size:
        model = fit.rows(top).predict().mean(axis=0)
    if fit.model == "auto":
        counts = np.bincount(fit.chosen[known], minlength=len(AUTO) + 1)[1:]
        share = ", ".join(f"{m} {100 * c / max(known.sum(), 1):.0f} %" for m, c in zip(AUTO, counts))
        notes.append(f"model by corrected Akaike criterion: {share}")
    units = {k: UNITS[k] for k in maps}
    mask = series.grid.image(done)
    return DceMaps(maps, sd, mask, aif, settings, bolus, times, mean, model, units, medians, notes)


def write(
    result: DceMaps,
    out_dir: str | Path,
    format: str = "nii.gz",
    regions: Mapping[str, sitk.Image] | None = None,
) -> dict:
    """Write the maps, their SD, mask.nii.gz, aif.csv, fit.json and qc.png, all or nothing; returns the record in fit.json.

    With `regions` (masks by name on the grid of the maps), regions.csv and regions_histogram.csv too.

    Raises
    ------
    InputError
        If the folder cannot be written.
    """
    from ..output import write_maps

    return write_maps(result, out_dir, format, "dce", regions)
