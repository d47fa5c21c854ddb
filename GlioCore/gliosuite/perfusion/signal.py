"""Between MR signal and concentration: spoiled gradient echo (DCE) and susceptibility contrast (DSC)."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from ..compute import blocks, each
from ..steps import silent

# Named here too for those who simulate: they import the physics alone.
from .settings import HEMATOCRIT as HEMATOCRIT
from .settings import RELAXIVITY as RELAXIVITY

# ΔR2* of whole blood, 1/(mM s) and 1/(mM2 s): linear, and quadratic where there is much contrast agent (van Osch MJP et al., Magn Reson Med
# 2003;49:1067).
BLOOD_R2STAR = (7.6, 0.57)
_BLOCK = 2048  # with 60 frames a block stays in a processor's cache
_STEPS = 40  # of Newton's method where T2* counts; near the highest possible signal it converges slowly


@dataclass(frozen=True)
class Spgr:
    """A spoiled gradient echo series of a gadolinium agent: all that turns its signal into concentration but the tissue's own T1.

    Parameters
    ----------
    tr_s, flip_angle_deg
        Repetition time in s, nominal flip angle in degrees.
    r1
        Longitudinal relaxivity in 1/(mM s).
    te_s
        Echo time in s; None where it is not known.
    r2star
        Effective transverse relaxivity of tissue in 1/(mM s); None leaves T2* decay out.
    """

    tr_s: float
    flip_angle_deg: float
    r1: float
    te_s: float | None = None
    r2star: float | None = None


def spgr_signal(r1: np.ndarray, tr_s: float, flip_angle_deg: ArrayLike) -> np.ndarray:
    """Steady-state signal of a spoiled gradient echo per unit of equilibrium magnetisation; `r1` in 1/s, no T2* decay."""
    angle = np.deg2rad(np.asarray(flip_angle_deg, np.float64))
    e1 = np.exp(-tr_s * r1)
    return np.sin(angle) * (1.0 - e1) / (1.0 - np.cos(angle) * e1)


def spgr_to_concentration(
    signal: ArrayLike,
    tr_s: float,
    flip_angle_deg: ArrayLike,
    t10_s: ArrayLike,
    r1: float,
    n_baseline: int,
    te_s: float = 0.0,
    r2star: float = 0.0,
) -> np.ndarray:
    """Concentration from spoiled gradient echo signal, by the exact inverse of the signal equation.

    Parameters
    ----------
    signal
        (..., t), any scale.
    tr_s
        Repetition time in s.
    flip_angle_deg
        Flip angle in degrees; one, or one per curve (...,) where a B1 map corrects it.
    t10_s
        T1 before contrast in s; one, or one per curve (...,).
    r1
        Relaxivity in 1/(mM s).
    n_baseline
        The mean of frames ``[0, n_baseline)`` is the signal before contrast.
    te_s, r2star
        Echo time in s and effective transverse relaxivity in 1/(mM s): the signal decays by ``exp(-te_s r2star C)`` as well. Of the two
        concentrations that then give a signal the lower one is taken.

    Returns
    -------
    numpy.ndarray
        Concentration (..., t) in mM, float64; NaN where no concentration gives that signal or where the baseline is not above 0.
    """
    signal = np.asarray(signal, np.float64)
    r10 = 1.0 / np.asarray(t10_s, np.float64)[..., None]
    cosine = np.cos(np.deg2rad(np.asarray(flip_angle_deg, np.float64)))[..., None]
    baseline = signal[..., :n_baseline].mean(axis=-1, keepdims=True)
    e10 = np.exp(-tr_s * r10)
    with np.errstate(divide="ignore", invalid="ignore"):
        # s = S/S0 * (1 - e10) / (1 - cos e10) is the signal per sin(angle) M0; it is solved for e1.
        scaled = np.where(baseline > 0, signal / baseline, np.nan) * (1.0 - e10) / (1.0 - cosine * e10)
        ratio = (1.0 - scaled * cosine) / (1.0 - scaled)
        change = np.log(ratio) / tr_s - r10
    change = np.where((scaled < 1.0) & (ratio > 0), change, np.nan)
    result = change / r1
    decay = te_s * r2star
    if not decay > 0:
        return result
    # Newton's method on the logarithm of the signal, which bends downwards: from below the root every step stays below it.
    with np.errstate(invalid="ignore", divide="ignore"):
        wanted = np.log(scaled)
    for _ in range(_STEPS):
        with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
            e1 = np.exp(-tr_s * (r10 + r1 * result))
            bare = (1.0 - e1) / (1.0 - cosine * e1)
            slope = tr_s * r1 * e1 * (1.0 / (1.0 - e1) - cosine / (1.0 - cosine * e1)) - decay
            step = (wanted - np.log(bare) + decay * result) / slope
            # Past the highest signal that there is, the slope is no longer above 0.
            result = np.where(slope > 0, result + step, np.nan)
    return np.where(np.abs(step) <= 1e-9 * (1.0 + np.abs(result)), result, np.nan)


def concentration_to_spgr(
    concentration_mM: ArrayLike,
    tr_s: float,
    flip_angle_deg: ArrayLike,
    t10_s: ArrayLike,
    r1: float,
    s0: ArrayLike = 1.0,
    te_s: float = 0.0,
    r2star: float = 0.0,
) -> np.ndarray:
    """Spoiled gradient echo signal of a concentration (..., t); `s0` is the signal before contrast, so 0 mM gives `s0`.

    With an echo time `te_s` in s and `r2star` in 1/(mM s) it decays by ``exp(-te_s r2star C)`` as well.
    """
    r10 = 1.0 / np.asarray(t10_s, np.float64)[..., None]
    angle = np.asarray(flip_angle_deg, np.float64)[..., None]
    rate = r10 + r1 * np.asarray(concentration_mM, np.float64)
    unit = spgr_signal(rate, tr_s, angle) / spgr_signal(r10, tr_s, angle)
    if te_s * r2star > 0:
        unit = unit * np.exp(-te_s * r2star * np.asarray(concentration_mM, np.float64))
    return np.asarray(s0, np.float64)[..., None] * unit


def signal_to_dr2star(signal: ArrayLike, te_s: float, n_baseline: int) -> np.ndarray:
    """Change of the transverse relaxation rate, ``-ln(S / S0) / TE``.

    Parameters
    ----------
    signal
        (..., t).
    te_s
        Echo time in s.
    n_baseline
        S0 is the mean of frames ``[0, n_baseline)``.

    Returns
    -------
    numpy.ndarray
        (..., t) in 1/s, float64. Frames with a signal at or below 0 (noise in a full bolus) are taken at a hundredth of S0, so that
        one of them does not spoil the curve; NaN where S0 is not above 0.
    """
    signal = np.asarray(signal, np.float64)
    baseline = signal[..., :n_baseline].mean(axis=-1, keepdims=True)
    baseline = np.where(baseline > 0, baseline, np.nan)
    return -np.log(np.where(signal > 0, signal / baseline, 0.01 * baseline / baseline)) / te_s


def concentrations(
    curves: np.ndarray,
    acquisition: Spgr | None,
    t10_s: np.ndarray | float,
    n_baseline: int,
    b1: np.ndarray | float = 1.0,
) -> np.ndarray:
    """Concentration (n, t) float32 of signal curves, in threads; unchanged where `acquisition` is None: they are concentrations already.

    `b1` is the actual over the nominal flip angle; one, or one per curve (n,).
    """
    if acquisition is None:
        return curves
    result = np.empty(curves.shape, np.float32)
    t10, flip = (
        np.broadcast_to(np.asarray(v, np.float64), curves.shape[:1])
        for v in (t10_s, np.asarray(b1) * acquisition.flip_angle_deg)
    )

    def block(rows: slice) -> None:
        with np.errstate(invalid="ignore", divide="ignore"):
            usable = np.where(t10[rows] > 0, t10[rows], np.nan)
        result[rows] = spgr_to_concentration(
            curves[rows],
            acquisition.tr_s,
            flip[rows],
            usable,
            acquisition.r1,
            n_baseline,
            te_s=acquisition.te_s or 0.0,
            r2star=acquisition.r2star or 0.0,
        )

    each(block, list(blocks(curves.shape[0], _BLOCK)), silent, "concentration")
    return result
