"""Between MR signal and concentration: spoiled gradient echo (DCE) and susceptibility contrast (DSC)."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from ..compute import blocks, each
from ..steps import silent

# Named here too for those who simulate: they import the physics alone.
from .settings import HEMATOCRIT as HEMATOCRIT
from .settings import RELAXIVITY as RELAXIVITY

# ΔR2* of whole blood, 1/(mM s) and 1/(mM2 s): linear, and quadratic where there is much contrast agent; at 1.5 T (van Osch MJP et al.,
# Magn Reson Med 2003;49:1067).
BLOOD_R2STAR = (7.62, 0.574)
# Chosen: the floor adds half a percent to the signal there, which is less than noise leaves of any baseline.
FLOOR_SNR = 10.0
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


def spgr_signal(r1: ArrayLike, tr_s: float, flip_angle_deg: ArrayLike) -> np.ndarray:
    """Steady-state signal of a spoiled gradient echo per unit of equilibrium magnetisation; `r1` = 1 / T1 in 1/s, no T2* decay.

    ``sin(a) (1 - E1) / (1 - cos(a) E1)`` with ``E1 = exp(-TR r1)`` and the flip angle a.

    References
    ----------
    Ernst RR, Anderson WA, Rev Sci Instrum 1966;37:93.
    """
    angle = np.deg2rad(np.asarray(flip_angle_deg, np.float64))
    e1 = np.exp(-tr_s * np.asarray(r1))
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
    before: ArrayLike | None = None,
) -> np.ndarray:
    """Concentration from spoiled gradient echo signal, by the exact inverse of the signal equation.

    `spgr_signal` is solved for R1(t), and ``C(t) = (R1(t) - 1 / T10) / r1``.

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
    before
        The signal before contrast (...,), in place of that mean.

    Returns
    -------
    numpy.ndarray
        Concentration (..., t) in mM, float64; NaN where no concentration gives that signal or where the baseline is not above 0.

    Examples
    --------
    >>> signal = [[100.0, 100.0, 405.2, 286.9]]
    >>> spgr_to_concentration(signal, tr_s=0.005, flip_angle_deg=15, t10_s=1.2, r1=4.5, n_baseline=2).round(2) + 0.0
    array([[0. , 0. , 1. , 0.5]])
    """
    signal = np.asarray(signal, np.float64)
    r10 = 1.0 / np.asarray(t10_s, np.float64)[..., None]
    cosine = np.cos(np.deg2rad(np.asarray(flip_angle_deg, np.float64)))[..., None]
    mean = signal[..., :n_baseline].mean(axis=-1) if before is None else np.asarray(before, np.float64)
    baseline = mean[..., None]
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

    The equation of `spgr_signal` at ``R1 = 1 / T10 + r1 C``. With an echo time `te_s` in s and `r2star` in 1/(mM s) it decays by
    ``exp(-te_s r2star C)`` as well.

    Examples
    --------
    >>> concentration_to_spgr([[0.0, 1.0, 0.5]], tr_s=0.005, flip_angle_deg=15, t10_s=1.2, r1=4.5, s0=[100.0]).round(1)
    array([[100. , 405.2, 286.9]])
    """
    r10 = 1.0 / np.asarray(t10_s, np.float64)[..., None]
    angle = np.asarray(flip_angle_deg, np.float64)[..., None]
    rate = r10 + r1 * np.asarray(concentration_mM, np.float64)
    unit = spgr_signal(rate, tr_s, angle) / spgr_signal(r10, tr_s, angle)
    if te_s * r2star > 0:
        unit = unit * np.exp(-te_s * r2star * np.asarray(concentration_mM, np.float64))
    return np.asarray(s0, np.float64)[..., None] * unit


def without_floor(mean_square: ArrayLike, count: int, sigma: float) -> np.ndarray:
    """The signal whose magnitude has this mean square over `count` values, without what noise adds.

    ``<S^2> = A^2 + 2 sigma^2`` for a Rician magnitude S of the signal A (Gudbjartsson H, Patz S, Magn Reson Med 1995;34:910). The root of
    an uncertain square is too low on average, by ``sigma^2 / (2 count A)``, so that ``(2 - 1 / count) sigma^2`` is taken away: half as much
    from a single frame as from a mean of many. Where less than nothing is left, the result is below 0, so that means stay right.
    """
    square = np.asarray(mean_square, np.float64) - (2.0 - 1.0 / count) * sigma**2
    return np.sign(square) * np.sqrt(np.abs(square))


def _excess(
    ratio: np.ndarray, acquisition: Spgr, t10_s: np.ndarray, flip_angle_deg: np.ndarray, noise: np.ndarray
) -> np.ndarray:
    """By how much noise raises concentration on average (n, t), mM: ``C'' noise^2 / 2``, since it bends upwards over the signal.

    `ratio` (n, t) is the signal over that before contrast, `noise` (n,) its SD likewise; T2* decay is left out.
    """
    e10, cosine = np.exp(-acquisition.tr_s / t10_s)[:, None], np.cos(np.deg2rad(flip_angle_deg))[:, None]
    unit = (1.0 - e10) / (1.0 - cosine * e10)
    with np.errstate(invalid="ignore", divide="ignore"):
        scaled = unit * ratio
        bend = unit**2 * (1.0 / (1.0 - scaled) ** 2 - (cosine / (1.0 - cosine * scaled)) ** 2)
        return 0.5 * noise[:, None] ** 2 * bend / (acquisition.tr_s * acquisition.r1)


def near_floor(curves: np.ndarray, n_baseline: int, sigma: float) -> np.ndarray:
    """Which curves (n, t) of a magnitude lie less than `FLOOR_SNR` times the noise above 0 before contrast; none where `sigma` is 0."""
    return curves[:, :n_baseline].mean(axis=1) < FLOOR_SNR * sigma


def mean_concentration(
    curves: np.ndarray, acquisition: Spgr, t10_s: float, n_baseline: int, sigma: float
) -> np.ndarray:
    """Concentration (t,) of what is the same in all curves (n, t) of a magnitude near its noise floor.

    Their squares are averaged, of which the floor can be taken off exactly; a mean of their concentrations would keep it.
    """
    square = (curves.astype(np.float64) ** 2).mean(axis=0)
    before = without_floor(square[:n_baseline].mean(), n_baseline * len(curves), sigma)
    signal = without_floor(square, len(curves), sigma)
    return _of_acquisition(signal, acquisition, acquisition.flip_angle_deg, t10_s, before)


def _of_acquisition(
    signal: np.ndarray, acquisition: Spgr, flip_angle_deg: ArrayLike, t10_s: ArrayLike, before: ArrayLike
) -> np.ndarray:
    """`spgr_to_concentration` of a signal (..., t) with what the acquisition says; `before` (...,) is the signal before contrast."""
    decay = {"te_s": acquisition.te_s or 0.0, "r2star": acquisition.r2star or 0.0}
    return spgr_to_concentration(
        signal, acquisition.tr_s, flip_angle_deg, t10_s, acquisition.r1, 0, **decay, before=before
    )


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

    References
    ----------
    Rosen BR et al., Magn Reson Med 1990;14:249.

    Examples
    --------
    >>> signal_to_dr2star([[100.0, 100.0, 50.0, 80.0]], te_s=0.03, n_baseline=2).round(2) + 0.0
    array([[ 0.  ,  0.  , 23.1 ,  7.44]])
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
    sigma: float = 0.0,
) -> np.ndarray:
    """Concentration (n, t) float32 of signal curves, in threads; unchanged where `acquisition` is None: they are concentrations already.

    Parameters
    ----------
    curves
        (n, t).
    t10_s, b1
        T1 before contrast in s, and the actual over the nominal flip angle; one, or one per curve (n,).
    sigma
        SD of the noise whose floor is taken off curves that lie near it (`near_floor`); 0 leaves all as they are.
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
        signal, before = curves[rows], curves[rows, :n_baseline].mean(axis=1, dtype=np.float64)
        low = near_floor(signal, n_baseline, sigma)
        if low.any():
            signal = signal.astype(np.float64)
            square = signal[low] ** 2
            before[low] = without_floor(square[:, :n_baseline].mean(axis=1), n_baseline, sigma)
            signal[low] = without_floor(square, 1, sigma)
        result[rows] = _of_acquisition(signal, acquisition, flip[rows], usable, before)
        if low.any():
            result[rows][low] -= _excess(
                signal[low] / before[low, None], acquisition, usable[low], flip[rows][low], sigma / before[low]
            )

    each(block, list(blocks(curves.shape[0], _BLOCK)), silent, "concentration")
    return result
