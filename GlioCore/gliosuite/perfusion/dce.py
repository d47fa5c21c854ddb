"""DCE from a series to maps: bolus, concentration, AIF, kinetic fit; one function for the command line, the pipeline and Slicer."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from ..curves import Bolus, check_times, enhancing_mean, find_bolus, mask_array, search_mask, usable_voxels
from ..errors import InputError
from ..images import Series, array, map_image, resample
from ..steps import Progress, part, silent
from .aif import Aif, find_arteries, fit_parametric, population_aif
from .fit import AUTO, CurveFit, fit_curves
from .semiquantitative import UNITS as SEMIQUANTITATIVE
from .semiquantitative import semiquantitative
from .signal import spgr_to_concentration
from .uncertainty import FALSE_ALARMS

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
MIN_FRAMES = 10
_BLOCK = 32768


@dataclass(frozen=True)
class DceSettings:
    """How a DCE series is turned into maps.

    Parameters
    ----------
    tr_ms, flip_angle_deg
        Of the spoiled gradient echo; not needed with ``input="concentration"``.
    relaxivity
        1/(mM s).
    hematocrit
        Fraction; blood concentrations are divided by 1 minus it, once.
    t10_blood_s
        T1 of blood before contrast in s, for an AIF taken from the series (1.65 s: 3 T, Lu 2004).
    model
        ``"etm"``, ``"tofts"``, ``"patlak"``, ``"2cxm"``, ``"2cum"`` or ``"auto"``.
    delay
        Whether to fit each voxel's arrival after the AIF.
    input
        ``"signal"`` or ``"concentration"`` (mM).
    aif_fit
        Whether to replace a sampled AIF by Parker's form fitted to it; None: where frames are more than 2 s apart and the fit's residual
        is within noise.
    allow_invalid_voxels
        Leave voxels with NaN or negative signal out instead of refusing the series.
    n_aif_voxels
        How many voxels the automatic AIF takes at most.
    bounds
        Lowest and highest value by parameter, in place of the fit's defaults.
    unclamped
        Whether to add maps of ktrans (or ps) and vp that may be below 0, for means over a region.
    semiquantitative
        Whether to add iauc60, iauc90, wash_in, wash_out, ttp and max_enhancement; see `semiquantitative.semiquantitative`.
    te_ms, r2star
        Echo time in ms and effective transverse relaxivity in 1/(mM s), to take T2* decay into account; both or neither.
    device
        ``"auto"``, ``"cpu"`` or ``"cuda"``, for the kinetic fit.
    """

    tr_ms: float | None = None
    flip_angle_deg: float | None = None
    relaxivity: float = 4.5
    hematocrit: float = 0.42
    t10_blood_s: float = 1.65
    model: str = "etm"
    delay: bool = False
    input: str = "signal"
    aif_fit: bool | None = None
    allow_invalid_voxels: bool = False
    n_aif_voxels: int = 20
    bounds: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    unclamped: bool = False
    semiquantitative: bool = False
    te_ms: float | None = None
    r2star: float | None = None
    device: str = "auto"


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


def check_t10(t10: float | sitk.Image, source: str = "the T1 map") -> None:
    """Refuse a T1 that is not above 0, or that is in milliseconds (above 20, the median of a map)."""
    if isinstance(t10, sitk.Image):
        values = array(t10)
        known = values[np.isfinite(values) & (values > 0)]
        if not known.size:
            raise InputError(f"{source} has no voxel above 0; T1 in s is needed")
        middle = float(np.median(known))
        what = f"{source} has a median of {middle:g}"
    else:
        middle, what = float(t10), f"t10 is {t10:g}"
    if middle > 20:
        raise InputError(f"{what}, which looks like milliseconds; T1 in s is needed (divide it by 1000)")
    if not middle > 0:
        raise InputError(f"{what}; a T1 above 0 s is needed")


def concentrations(curves: np.ndarray, settings: DceSettings, t10_s: np.ndarray | float, n_baseline: int) -> np.ndarray:
    """Concentration (n, t) float32 of signal curves; unchanged where the input is concentration already."""
    if settings.input == "concentration":
        return curves
    result = np.empty(curves.shape, np.float32)
    t10 = np.broadcast_to(np.asarray(t10_s, np.float64), curves.shape[:1])
    for i in range(0, curves.shape[0], _BLOCK):
        rows = slice(i, i + _BLOCK)
        with np.errstate(invalid="ignore", divide="ignore"):
            usable = np.where(t10[rows] > 0, t10[rows], np.nan)
        result[rows] = spgr_to_concentration(
            curves[rows],
            settings.tr_ms / 1000.0,
            settings.flip_angle_deg,
            usable,
            settings.relaxivity,
            n_baseline,
            te_s=(settings.te_ms or 0.0) / 1000.0,
            r2star=settings.r2star or 0.0,
        )
    return result


def check_settings(settings: DceSettings, series: Series) -> None:
    """Refuse what cannot be computed; see `DceSettings`."""
    if series.n_times < MIN_FRAMES:
        plural = "" if series.n_times == 1 else "s"
        raise InputError(
            f"DCE series has {series.n_times} time point{plural}; at least {MIN_FRAMES} are needed ({series.name}, 4th axis)"
        )
    if settings.input == "signal":
        for value, what, option in (
            (settings.tr_ms, "repetition time", "--tr-ms"),
            (settings.flip_angle_deg, "flip angle", "--flip-angle"),
        ):
            if value is None:
                raise InputError(f"{series.name}: the {what} is not known; give it with {option}")
            if not value > 0:
                raise InputError(f"{series.name}: the {what} is {value:g}; a number above 0 is needed ({option})")
    if not 0 <= settings.hematocrit < 1:
        raise InputError(f"hematocrit is {settings.hematocrit:g}; a fraction from 0 to below 1 is needed (e.g. 0.42)")
    if (settings.te_ms is None) != (settings.r2star is None):
        raise InputError(
            "the echo time and the T2* relaxivity belong together; give both or neither (--te-ms, --r2star)"
        )
    if not settings.relaxivity > 0:
        raise InputError(f"relaxivity is {settings.relaxivity:g}; a number above 0 in 1/(mM s) is needed (e.g. 4.5)")


def find_dce_bolus(series: Series, mask: np.ndarray, settings: DceSettings) -> Bolus:
    """Baseline and arrival from the voxels of `mask` that enhance most."""
    curve = enhancing_mean(series.curves(mask), rising=True)
    return find_bolus(curve, True, series.name)


def choose_aif(
    series: Series,
    times_s: np.ndarray,
    settings: DceSettings,
    aif: str | Aif | sitk.Image,
    mask: np.ndarray,
    bolus: Bolus,
) -> Aif:
    """The AIF in plasma: ``"auto"``, ``"parker"``, a mask of an artery, or one that is there already.

    `series` and `times_s` start in steady state.
    """
    n_baseline = bolus.arrival - bolus.steady
    if isinstance(aif, Aif):
        return aif
    if isinstance(aif, str) and aif == "parker":
        return _aligned_population(series, times_s, settings, mask, n_baseline)
    if isinstance(aif, str) and aif != "auto":
        raise InputError(f"AIF {aif!r} is not known; auto, parker, a table or a mask is needed")
    blood = settings.t10_blood_s
    if isinstance(aif, sitk.Image):
        voxels = mask_array(aif, series)
        curves = concentrations(series.curves(voxels), settings, blood, n_baseline)
        good = np.isfinite(curves).all(axis=1)
        if not good.any():
            raise InputError(
                f"no voxel of the AIF mask has a concentration curve in {series.name}; choose other voxels"
            )
        mean, method, what, notes = (
            curves[good].mean(axis=0),
            "mask",
            f"mean of {good.sum()} voxels of the AIF mask",
            (),
        )
    else:
        curves = concentrations(series.curves(mask), settings, blood, n_baseline)
        index, quality = find_arteries(curves, times_s, n_baseline, settings.n_aif_voxels)
        voxels = np.zeros(mask.shape, bool)
        voxels[tuple(axis[index] for axis in np.nonzero(mask))] = True
        mean, method = curves[index].mean(axis=0), "auto"
        what = (
            f"found automatically: mean of {index.size} voxels, peak {quality['peak']:.2f} mM in blood, width "
            f"{quality['width_s']:.1f} s"
        )
        notes = ("the AIF was found automatically: look at its curve and voxels before using absolute values",)
    plasma = np.maximum(mean.astype(np.float64), 0.0) / (1.0 - settings.hematocrit)
    # Noise before arrival would be convolved with everything that follows.
    plasma[:n_baseline] = 0.0
    return Aif(
        times_s, plasma, f"{what}; divided by 1 - hematocrit {settings.hematocrit:g}", method, voxels, notes=notes
    )


def _aligned_population(
    series: Series, times_s: np.ndarray, settings: DceSettings, mask: np.ndarray, n_baseline: int
) -> Aif:
    """Parker's AIF at the arrival that explains the enhancing voxels best: 2 s of error would change ktrans by tens of percent."""
    curves = concentrations(series.curves(mask), settings, settings.t10_blood_s, n_baseline)
    curves = curves[np.isfinite(curves).all(axis=1)]
    start = float(times_s[n_baseline - 1])
    if not curves.size:
        return population_aif(times_s, start, settings.hematocrit)
    first = population_aif(times_s, start, settings.hematocrit)
    fit = fit_curves(enhancing_mean(curves)[None], times_s, first.concentration, "etm", True, first.times_s)
    late = float(fit.delay_s[0]) if np.isfinite(fit.sse[0]) else 0.0
    return population_aif(times_s, start + late, settings.hematocrit)


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
    t10: float | sitk.Image = 1.0,
    mask: sitk.Image | None = None,
    progress: Progress = silent,
) -> DceMaps:
    """Kinetic maps of a DCE series.

    Parameters
    ----------
    series
        4-D signal, or concentration in mM (``settings.input``).
    times_s
        (t,) s.
    aif
        ``"auto"``, ``"parker"``, an `Aif` (plasma), or a mask of an artery.
    t10
        T1 before contrast in s; a number or a map.
    mask
        Voxels to fit, on any grid; the head where None.

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
    chosen, aif_notes = _maybe_fit(chosen, times, settings, n_baseline)
    notes += [*chosen.notes, *aif_notes]
    progress(0.2, "concentration")
    values = t10_values[fitted] if isinstance(t10_values, np.ndarray) else t10_values
    curves = concentrations(series.curves(fitted), settings, values, n_baseline)
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
    return _collect(series, times, settings, chosen, bolus, inside, fitted, curves, fit, notes)


def _maybe_fit(aif: Aif, times: np.ndarray, settings: DceSettings, n_baseline: int) -> tuple[Aif, list[str]]:
    """Replace a coarsely sampled AIF by its parametric form, where asked for or where that is sure to help."""
    frame = float(np.median(np.diff(aif.times_s)))
    # Above 6 s the samples no longer determine the first pass, and the form would invent a peak.
    if settings.aif_fit is False or (settings.aif_fit is None and not 2.0 < frame <= 6.0):
        return aif, []
    fitted, residual, noise = fit_parametric(aif, float(times[n_baseline - 1]))
    top = float(aif.concentration.max())
    limit = max(2.0 * noise, 0.01 * top)
    if settings.aif_fit is None and (residual > limit or fitted.concentration.max() > 1.5 * top):
        return aif, [
            f"the AIF is used as sampled: a parametric fit (residual {residual:.3g} mM) is not within its noise"
        ]
    return fitted, [f"the AIF is Parker's form fitted to its samples (residual {residual:.3g} mM)"]


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


def write(result: DceMaps, out_dir: str | Path, format: str = "nii.gz") -> dict:
    """Write the maps, their SD, mask.nii.gz, aif.csv, fit.json and qc.png, all or nothing; returns the record in fit.json.

    Raises
    ------
    InputError
        If the folder cannot be written.
    """
    from .output import write_maps

    return write_maps(result, out_dir, format, "dce")
