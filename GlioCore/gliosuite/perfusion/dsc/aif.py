"""The AIF of a DSC series: from a mask, found, or given; scaled to a venous output function where asked for."""

from dataclasses import replace

import numpy as np
import SimpleITK as sitk

from ...curves import mask_array
from ...errors import InputError
from ..aif import Aif, check_bolus, find_arteries, find_sinus, first_pass, is_clipped, pure_curve, tissue_signal
from ..prepared import Prepared
from ..settings import DscSettings
from ..signal import signal_to_dr2star
from .arterial import blood_concentration, blood_dr2star
from .level import levelled, usual_tissue


def dr2star(curves: np.ndarray, settings: DscSettings, n_baseline: int) -> np.ndarray:
    """ΔR2* (n, t) float32 of signal curves; unchanged where the input is ΔR2* already."""
    if settings.input == "dr2star":
        return curves
    return signal_to_dr2star(curves, echo_s(settings), n_baseline).astype(np.float32)


def echo_s(settings: DscSettings) -> float:
    """The echo time in s.

    Raises
    ------
    InputError
        If it is not known.
    """
    if settings.te_ms is None:
        raise InputError("the echo time is not known; give it with --te-ms")
    return settings.te_ms / 1000.0


def choose_aif(p: Prepared, settings: DscSettings, aif: str | Aif | sitk.Image) -> Aif:
    """The AIF in ΔR2* (1/s): ``"auto"``, a mask of an artery, or one that is there already; `p` has even times."""
    series, times_s, n_baseline = p.series, p.times_s, p.n_baseline
    if isinstance(aif, Aif):
        even = np.interp(times_s, aif.times_s, aif.concentration, left=0.0)
        return Aif(times_s, even, aif.how, aif.method, aif.voxels, notes=(*aif.notes, *_clipping(even, times_s)))
    quality: dict[str, float] = {}
    notes: tuple[str, ...] = ()
    if isinstance(aif, sitk.Image):
        voxels = mask_array(aif, series)
        curves = dr2star(series.curves(voxels), settings, n_baseline)
        good = np.isfinite(curves).all(axis=1)
        if not good.any():
            raise InputError(f"no voxel of the AIF mask has a ΔR2* curve in {series.name}; choose other voxels")
        curve, method, what = curves[good].mean(axis=0), "mask", f"mean of {good.sum()} voxels of the AIF mask"
        check_bolus(curve, times_s, n_baseline, f"{series.name}: the AIF mask")
    elif aif == "auto":
        signal = p.raw
        before = signal[:, :n_baseline].mean(axis=1) if settings.input == "signal" else None
        curves = dr2star(signal, settings, n_baseline)
        index, quality = find_arteries(curves, times_s, n_baseline, settings.n_aif_voxels, before, settings.aif_search)
        voxels = p.in_region(index)
        curve, method, made = curves[index].mean(axis=0), "auto", "mean"
        if settings.aif_search == "own" and settings.input == "signal":  # the published searches average
            window = first_pass(times_s, n_baseline)
            tissue = tissue_signal(signal, n_baseline)
            pure = pure_curve(signal[index], tissue, echo_s(settings), n_baseline, window, times_s)
            if pure is not None:
                curve, made = _levelled(pure.dr2star, p, settings), "the blood's share"
                quality["lowest_share"] = float(pure.shares.min())
                quality["mean_peak"], quality["peak"] = quality["peak"], float(curve[window].max())
        what = (
            f"found automatically ({settings.aif_search} search): {made} of {index.size} voxels, peak {quality['peak']:.3g}, width "
            f"{quality['width_s']:.1f} s"
        )
        notes = ("the AIF was found automatically: look at its curve and voxels before using absolute values",)
    else:
        raise InputError(f"AIF {aif!r} is not known; auto, a table or a mask is needed")
    curve = curve.astype(np.float64)
    notes = (*notes, *_clipping(curve, times_s))
    chosen = Aif(times_s, curve, what, method, voxels, notes=notes, quality=quality)
    return _to_vof(chosen, p, settings) if settings.vof else chosen


def _levelled(curve: np.ndarray, p: Prepared, settings: DscSettings) -> np.ndarray:
    """ΔR2* (t,) of pure blood with the level after its first pass that tissue has."""
    tissue = usual_tissue(dr2star(p.fitted_curves(), settings, p.n_baseline), p.n_baseline, first_pass(p.times_s, p.n_baseline))
    if tissue is None:
        return curve
    dt = float(np.median(np.diff(p.times_s)))
    return blood_dr2star(levelled(blood_concentration(curve), tissue, dt))


def _to_vof(aif: Aif, p: Prepared, settings: DscSettings) -> Aif:
    """Scale an AIF to the area of a sinus' first pass: what a small artery lacks is what its voxels share with tissue."""
    series, times_s, n_baseline = p.series, p.times_s, p.n_baseline
    curves = dr2star(p.raw, settings, n_baseline)
    found = find_sinus(curves, p.region, series.grid.spacing, times_s, n_baseline, aif.concentration)
    if found is None or found.why_not:
        why = found.why_not if found else "no large vein was found"
        return replace(aif, notes=(*aif.notes, f"the AIF is not scaled to a venous output function: {why}"))
    vein = dr2star(series.curves(found.voxels), settings, n_baseline).mean(axis=0).astype(np.float64)
    if is_clipped(vein, times_s):
        why = "the vein has a plateau instead of a peak, so its signal is probably clipped"
        return replace(aif, notes=(*aif.notes, f"the AIF is not scaled to a venous output function: {why}"))
    window = first_pass(times_s, n_baseline)
    factor = float(vein[window].sum() / aif.concentration[window].sum())
    note = (
        "the AIF is scaled to a venous output function: ΔR2* of blood is taken as proportional to concentration, which "
        "overestimates the higher of the two"
    )
    numbers = {f"sinus_{k}": v for k, v in found.quality.items()} | {"sinus_factor": factor}
    return replace(
        aif,
        concentration=aif.concentration * factor,
        how=f"{aif.how}; times {factor:.2f} for the area of a venous sinus ({int(found.voxels.sum())} voxels)",
        notes=(*aif.notes, note),
        quality={**aif.quality, **numbers},
        sinus=found.voxels,
    )


def _clipping(curve: np.ndarray, times_s: np.ndarray) -> tuple[str, ...]:
    if not is_clipped(curve, times_s):
        return ()
    return ("the AIF has a plateau instead of a peak, so its signal is probably clipped: cbv and cbf are too high",)
