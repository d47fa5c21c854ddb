"""DSC curves to numbers: leakage correction, blood volume, flow and timing, without images."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from ..curves import find_bolus
from ..errors import InputError
from ..steps import Progress, silent
from .deconvolution import METHODS, deconvolve
from .leakage import Leakage, correct_bidirectional, correct_bsw, correct_residue, reference_voxels

LEAKAGE = ("none", "bsw", "bidirectional", "residue")


@dataclass(frozen=True)
class DscFit:
    """What `perfusion_maps` found; arrays float32 (n,), NaN where a curve is not finite.

    Attributes
    ----------
    cbv
        ml/100ml: 100 times the area of the leakage-corrected curve over that of the AIF, unscaled by kappa.
    cbv_uncorrected
        The same without leakage correction.
    cbf
        ml/100ml/min.
    mtt_s, tmax_s
        s; cbv / cbf, and the time of the residue function's maximum.
    k1, k2, k1_sd, k2_sd
        Of the leakage fit (1, 1/s); None with ``leakage="none"``.
    kep
        1/min; with ``bidirectional`` and ``residue``.
    reference
        Voxels (n,) that served as the non-enhancing reference, or None.
    corrected
        ΔR2* (n, t) with the leakage taken out.
    """

    cbv: np.ndarray
    cbv_uncorrected: np.ndarray
    cbf: np.ndarray
    mtt_s: np.ndarray
    tmax_s: np.ndarray
    corrected: np.ndarray
    k1: np.ndarray | None = None
    k2: np.ndarray | None = None
    k1_sd: np.ndarray | None = None
    k2_sd: np.ndarray | None = None
    kep: np.ndarray | None = None
    reference: np.ndarray | None = None


def perfusion_maps(
    dr2star: ArrayLike,
    dt_s: float,
    aif_dr2star: ArrayLike,
    leakage: str = "residue",
    deconvolution: str = "osvd",
    reference: np.ndarray | None = None,
    device: str = "auto",
    progress: Progress = silent,
) -> DscFit:
    """Blood volume, flow and timing from ΔR2* curves.

    Parameters
    ----------
    dr2star
        (n, t) 1/s, baseline near 0.
    dt_s
        Frame interval in s.
    aif_dr2star
        (t,) 1/s.
    leakage
        ``"none"``, ``"bsw"``, ``"bidirectional"`` or ``"residue"``; see `leakage`.
    deconvolution
        ``"osvd"``, ``"csvd"``, ``"ssvd"`` or ``"tikhonov"``; see `deconvolution`.
    reference
        Boolean (n,), non-enhancing voxels whose mean curve serves ``bsw`` and ``bidirectional``. Where None, perfused voxels whose last
        ten frames lie within one standard deviation of their baseline (`leakage.reference_voxels`).
    device
        ``"auto"`` or ``"cpu"``.

    Raises
    ------
    InputError
        If a method is not known or curves and AIF do not belong together.
    """
    curves = np.asarray(dr2star)
    curves = curves.reshape(-1, curves.shape[-1])
    aif = np.asarray(aif_dr2star, np.float64)
    if leakage not in LEAKAGE:
        raise InputError(f"leakage correction {leakage!r} is not known; choose from {', '.join(LEAKAGE)}")
    if deconvolution not in METHODS:
        raise InputError(f"deconvolution {deconvolution!r} is not known; choose from {', '.join(METHODS)}")
    if device == "cuda":
        raise InputError("DSC maps run on the CPU; use --device cpu or auto")
    if aif.shape != curves.shape[1:] or not np.isfinite(aif).all() or aif.sum() <= 0:
        raise InputError(
            f"an AIF of {aif.size} samples with an area of {aif.sum():.3g} for curves of {curves.shape[1]} time points; as many "
            "finite samples with an area above 0 are needed"
        )
    progress(0.0, "leakage")
    fit: Leakage | None = None
    chosen = None
    if leakage == "residue":
        fit = correct_residue(curves, dt_s, aif)
    elif leakage != "none":
        n_baseline = _baseline_frames(aif)
        chosen = reference_voxels(curves, n_baseline) if reference is None else np.asarray(reference, bool)
        chosen = chosen & np.isfinite(curves).all(axis=1)
        if not chosen.any():
            raise InputError("the leakage reference has no voxel with a finite curve; non-enhancing brain is needed")
        mean = curves[chosen].mean(axis=0, dtype=np.float64)
        fit = {"bsw": correct_bsw, "bidirectional": correct_bidirectional}[leakage](curves, dt_s, mean)
    corrected = curves if fit is None else fit.corrected
    area = float(aif.sum())
    cbv = 100.0 * corrected.sum(axis=1, dtype=np.float64) / area
    before = 100.0 * curves.sum(axis=1, dtype=np.float64) / area
    progress(0.4, "deconvolution")
    residue = deconvolve(corrected, dt_s, aif, deconvolution)
    cbf = 6000.0 * residue.height
    with np.errstate(divide="ignore", invalid="ignore"):
        mtt = np.where((cbf > 0) & (cbv > 0), 60.0 * cbv / cbf, np.nan)
    single = lambda a: None if a is None else np.asarray(a, np.float32)
    more = {} if fit is None else {k: single(getattr(fit, k)) for k in ("k1", "k2", "k1_sd", "k2_sd", "kep")}
    progress(1.0, "deconvolution")
    return DscFit(
        single(cbv),
        single(before),
        single(cbf),
        single(mtt),
        single(residue.tmax_s),
        corrected,
        reference=chosen,
        **more,
    )


def _baseline_frames(aif: np.ndarray) -> int:
    """Frames before the bolus arrives in the AIF, at least one."""
    try:
        return max(find_bolus(aif, True).arrival, 1)
    except InputError:
        return max(int(np.argmax(aif > 0.1 * aif.max())), 1)
