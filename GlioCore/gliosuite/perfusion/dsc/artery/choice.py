"""The AIF of a DSC series: from a mask, found, or given."""

import numpy as np
import SimpleITK as sitk

from ....curves import mask_array
from ....errors import InputError, option
from ...aif import (
    Aif,
    PureCurve,
    check_bolus,
    find_arteries,
    first_pass,
    is_clipped,
    pure_curve,
    tissue_signal,
)
from ...prepared import Prepared
from ...settings import DscSettings
from ...signal import signal_to_dr2star
from .concentration import blood_concentration, blood_dr2star
from .restored import levelled, topped, usual_tissue


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
        raise InputError(f"the echo time is not known; give it with {option('--te-ms')}")
    return settings.te_ms / 1000.0


def search_arteries(p: Prepared, settings: DscSettings, curves: np.ndarray) -> tuple[np.ndarray, dict[str, float]]:
    """As `find_arteries`, of a prepared series whose ΔR2* is `curves` (n, t)."""
    before = p.raw[:, : p.n_baseline].mean(axis=1) if settings.input == "signal" else None
    return find_arteries(curves, p.times_s, p.n_baseline, settings.n_aif_voxels, before, settings.aif_search)


def choose_aif(p: Prepared, settings: DscSettings, aif: str | Aif | sitk.Image, tissue: np.ndarray) -> Aif:
    """The AIF in ΔR2* (1/s): ``"auto"``, a mask of an artery, or one that is there already; `p` has even times, `tissue` (n, t) is the ΔR2*
    of the voxels to be fitted.
    """
    series, times_s, n_baseline = p.series, p.times_s, p.n_baseline
    if isinstance(aif, Aif):
        even = np.interp(times_s, aif.times_s, aif.concentration, left=0.0)
        return Aif(times_s, even, aif.how, aif.method, aif.voxels, notes=(*aif.notes, *_clipping(even, times_s)))
    quality: dict[str, float] = {}
    pure = None
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
        curves = dr2star(signal, settings, n_baseline)
        index, quality = search_arteries(p, settings, curves)
        voxels = p.in_region(index)
        curve, method, made = curves[index].mean(axis=0), "auto", "mean"
        if settings.aif_search == "own" and settings.input == "signal":  # the published searches average
            window = first_pass(times_s, n_baseline)
            pure = pure_curve(signal[index], tissue_signal(signal, n_baseline), n_baseline, window)
            if pure is not None:
                curve, made = _restored(pure, p, settings, tissue), "the blood's share"
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
    return Aif(times_s, curve, what, method, voxels, notes=notes, quality=quality, pure=pure is not None)


def relation_of_blood(settings: DscSettings) -> str:
    """How ΔR2* follows concentration where it is known to be that of blood alone."""
    return "quadratic" if settings.aif_r2star == "auto" else settings.aif_r2star


def _restored(pure: PureCurve, p: Prepared, settings: DscSettings, tissue: np.ndarray) -> np.ndarray:
    """ΔR2* (t,) of pure blood, with the top and the late level that its voxels do not tell; `tissue` as in `choose_aif`."""
    relation = relation_of_blood(settings)
    curve = topped(pure, p.times_s, echo_s(settings), relation)
    passing = first_pass(p.times_s, p.n_baseline)
    usual = usual_tissue(tissue, p.n_baseline, passing)
    if usual is None:
        return curve
    dt = float(np.median(np.diff(p.times_s)))
    return blood_dr2star(levelled(blood_concentration(curve, relation), usual, dt), relation)


def _clipping(curve: np.ndarray, times_s: np.ndarray) -> tuple[str, ...]:
    if not is_clipped(curve, times_s):
        return ()
    return ("the AIF has a plateau instead of a peak, so its signal is probably clipped: cbv and cbf are too high",)
