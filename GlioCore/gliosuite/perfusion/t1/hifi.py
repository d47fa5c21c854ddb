"""DESPOT1-HIFI: T1 and the flip angle's true scale together, from flip angles and inversion-prepared spoiled gradient echoes."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk
from numpy.typing import ArrayLike

from ...compute import blocks, each
from ...curves import check_signal, mask_array
from ...errors import InputError
from ...images import Series
from ...settings import settings_of
from ...steps import Progress, silent
from ..settings import DceSettings, InversionSettings
from ..signal import spgr_signal
from .vfa import T1Maps, check_angles, collect

# Grid of T1 (s) and of the flip angle's scale: chosen, the polish leads from the best node to the optimum (test_hifi).
_T1 = np.geomspace(0.05, 8.0, 40)
_SCALE = np.linspace(0.4, 1.8, 29)
_RANGE = np.log([[0.02, 20.0], [0.2, 3.0]])  # of both; chosen, well beyond tissue and beyond any B1
_BLOCK = 4096  # voxels; chosen, a block stays in a processor's cache
_STEPS = 30  # of Levenberg-Marquardt; chosen, as a bound
_LEAST_LARGEST_TI_MS = 10.0  # chosen: inversion recovery is sampled over hundreds of ms


@dataclass(frozen=True)
class Shot:
    """One image: a spoiled gradient echo, or a train of them after an inversion.

    Attributes
    ----------
    flip_angle_deg
        Nominal, in degrees.
    tr_s
        Repetition time, or the spacing of the echoes in a train, in s.
    delay_s
        From the inversion to the first pulse of the train in s; None for a spoiled gradient echo in steady state.
    pulses
        Number of pulses in a train.
    recovery_s
        From the end of a train to the next inversion in s.
    centre
        When the centre of k-space is read, as a fraction of the train.
    """

    flip_angle_deg: float
    tr_s: float
    delay_s: float | None = None
    pulses: int = 1
    recovery_s: float = 0.0
    centre: float = 0.5

    def signal(self, t1_s: ArrayLike, scale: ArrayLike) -> np.ndarray:
        """Magnitude per unit of equilibrium magnetisation; `scale` is the actual over the nominal flip angle.

        References
        ----------
        Deichmann R et al., NeuroImage 2000;12:112 (magnetisation during a train of pulses after an ideal inversion).
        """
        t1, scale = np.asarray(t1_s, np.float64), np.asarray(scale, np.float64)
        angle = self.flip_angle_deg * scale
        if self.delay_s is None:
            return spgr_signal(1.0 / t1, self.tr_s, angle)
        # Pulses drive the magnetisation with a shorter time constant towards a lower value.
        rate = 1.0 / t1 - np.log(np.abs(np.cos(np.deg2rad(angle)))) / self.tr_s
        driven = np.expm1(-self.tr_s / t1) / np.expm1(-self.tr_s * rate)
        train = np.exp(-self.pulses * self.tr_s * rate)
        rest, wait = np.exp(-self.recovery_s / t1), np.exp(-self.delay_s / t1)
        start = (1.0 - wait) - wait * (1.0 - rest) - driven * (1.0 - train) * rest * wait
        start = start / (1.0 + train * rest * wait)
        at_centre = driven + (start - driven) * np.exp(-self.centre * self.pulses * self.tr_s * rate)
        return np.abs(at_centre * np.sin(np.deg2rad(angle)))


def fit_hifi(
    signals: ArrayLike, shots: list[Shot], progress: Progress = silent
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """T1, M0 and the scale of the flip angle by nonlinear least squares.

    M0 is linear and solved for; the other two are searched on a grid and polished by Levenberg-Marquardt.

    Parameters
    ----------
    signals
        (n, n_shots) magnitudes.
    shots
        How each was taken; at least three, one of them after an inversion.

    Returns
    -------
    t1_s, m0, scale : numpy.ndarray
        float32 (n,); NaN where a signal is not finite, none is above 0, or the fit ends on the border of T1 0.02-20 s, scale 0.2-3.

    Raises
    ------
    InputError
        If there are too few shots, no inversion, or as many signals as shots are not given.

    References
    ----------
    Deoni SCL, J Magn Reson Imaging 2007;26:1106.
    """
    signals = np.asarray(signals)
    if len(shots) < 3 or all(s.delay_s is None for s in shots):
        raise InputError(
            f"{len(shots)} images; at least three, one of them after an inversion, are needed for DESPOT1-HIFI"
        )
    if signals.shape[-1] != len(shots):
        raise InputError(f"{signals.shape[-1]} signals and {len(shots)} descriptions; as many descriptions are needed")
    shape = lambda x: np.stack([s.signal(np.exp(x[0]), np.exp(x[1])) for s in shots])
    grid = np.log(np.stack(np.meshgrid(_T1, _SCALE, indexing="ij")).reshape(2, -1))
    nodes = shape(grid)
    nodes /= np.linalg.norm(nodes, axis=0)
    result = np.full((3, signals.shape[0]), np.nan, np.float32)

    def block(some: slice) -> None:
        values = np.asarray(signals[some], np.float64)
        rows = np.flatnonzero(np.isfinite(values).all(axis=1) & (values.max(axis=1) > 0))
        if rows.size:
            target = values[rows].T
            x = grid[:, np.argmax(target.T @ nodes, axis=1)]
            result[:, some.start + rows] = _polish(target, x, shape)

    each(block, list(blocks(signals.shape[0], _BLOCK)), progress, "fitting T1 and flip angle")
    return result[0], result[1], result[2]


def _polish(target: np.ndarray, x: np.ndarray, shape: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """T1, M0, scale (3, n) from signals (shots, n) and starts (2, n) of ln T1 and ln scale; M0 is projected out."""

    def residual(x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        f = shape(x)
        m0 = (target * f).sum(0) / (f * f).sum(0)
        rest = target - m0 * f
        return m0, rest, (rest * rest).sum(0)

    low, high = _RANGE[:, :1], _RANGE[:, 1:]
    damping = np.full(x.shape[1], 1e-3)
    m0, rest, value = residual(x)
    for _ in range(_STEPS):
        columns = []
        for i in range(2):
            moved = x.copy()
            moved[i] += 1e-6
            columns.append((residual(moved)[1] - rest) / 1e-6)
        a, b = columns
        aa, bb, ab = (a * a).sum(0) * (1 + damping), (b * b).sum(0) * (1 + damping), (a * b).sum(0)
        ra, rb = (a * rest).sum(0), (b * rest).sum(0)
        determinant = np.maximum(aa * bb - ab**2, 1e-300)
        step = -np.stack([bb * ra - ab * rb, aa * rb - ab * ra]) / determinant
        trial = np.clip(x + np.clip(step, -0.5, 0.5), low, high)
        new_m0, new_rest, new_value = residual(trial)
        better = new_value < value
        x, m0, rest = np.where(better, trial, x), np.where(better, new_m0, m0), np.where(better, new_rest, rest)
        value = np.where(better, new_value, value)
        damping = np.clip(damping * np.where(better, 0.1, 10.0), 1e-9, 1e9)
    valid = (m0 > 0) & ((x > low + 1e-6) & (x < high - 1e-6)).all(axis=0)
    return np.where(valid, np.stack([np.exp(x[0]), m0, np.exp(x[1])]), np.nan)


def hifi_maps(
    vfa: Series,
    inverted: Series,
    settings: InversionSettings,
    mask: sitk.Image | None = None,
    progress: Progress = silent,
) -> T1Maps:
    """T1, M0 and B1 maps of a VFA series and inversion-prepared images on the same grid (DESPOT1-HIFI).

    Raises
    ------
    InputError
        If images and settings differ in number, the grids differ, or the series or mask cannot be used.
    """
    check_angles(vfa, settings.vfa)
    if inverted.n_times != len(settings.ti_ms):
        raise InputError(
            f"{inverted.name} has {inverted.n_times} volumes and {len(settings.ti_ms)} inversion times are given; one per volume is needed"
        )
    if not inverted.grid.matches(vfa.grid):
        raise InputError(f"{inverted.name} and {vfa.name} lie on different grids; resample one of them to the other")
    ranges, of = settings_of(DceSettings), f"{inverted.name}: of its trains "
    ranges["tr_ms"].check(settings.spacing_ms, of)
    ranges["flip_angle_deg"].check(settings.flip_angle_deg, of)
    if settings.pulses < 1:
        raise InputError(f"{of}the number of pulses is {settings.pulses}; 1 or more are needed")
    if not min(settings.ti_ms) > 0 or max(settings.ti_ms) < _LEAST_LARGEST_TI_MS:
        said = ", ".join(f"{t:g}" for t in settings.ti_ms)
        raise InputError(f"{inverted.name}: the inversion times are {said} ms, which tell no T1; were they given in s?")
    shots = [Shot(a, settings.vfa.tr_ms / 1000.0) for a in settings.vfa.flip_angles_deg]
    train = (settings.flip_angle_deg, settings.spacing_ms / 1000.0)
    shots += [
        Shot(*train, ti / 1000.0, settings.pulses, settings.recovery_ms / 1000.0, settings.centre)
        for ti in settings.ti_ms
    ]
    inside = mask_array(mask, vfa)
    fitted = check_signal(vfa, inside, settings.vfa.allow_invalid_voxels)
    fitted = check_signal(inverted, fitted, settings.vfa.allow_invalid_voxels)
    signals = np.concatenate([vfa.curves(fitted), inverted.curves(fitted)], axis=1)
    return collect(vfa, inside, fitted, settings, *fit_hifi(signals, shots, progress))
