"""Transit of blood through tissue: what an artery's curve becomes for many residue functions, dispersions, transit times and delays.

The vascular curve is the AIF, dispersed on its way to the tissue (convolved with an exponential), delayed, and convolved with a residue
function of area 1. The residue function is the share of blood still in the tissue when transit times are gamma distributed: shape 1 is
well mixed (exponential), infinity is plug flow (a box).
"""

from dataclasses import dataclass

import numpy as np
from scipy import interpolate, special

from ...kinetics import convolve_sampled

# Chosen: neighbours leave residuals that single voxels of a scan cannot tell apart; the transit times that they give differ by a tenth.
SHAPES = (1.0, 1.25, 1.6, 2.2, 3.3, 6.0, 12.0, np.inf)
DISPERSIONS_S = (0.0, 0.5, 1.0, 1.5, 2.0)  # s; chosen: from an artery next to the tissue to one beyond a narrow vessel
# s; chosen: from capillaries with a shunt to a transit that outlasts the series. One step is an eighth.
MTT_S = np.geomspace(1.0, 24.0, 28)
DELAY_S = np.arange(-2.0, 8.01, 0.25)  # s; chosen: below 0 for tissue that the AIF's artery does not feed
_LEAST_SAMPLES = 10  # of an AIF after its arrival, for cross-validation; chosen
_FINE_S = 0.1  # s; chosen: convolutions on this grid differ by less than 0.1 % from finer ones


@dataclass(frozen=True)
class Transit:
    """Unit vectors of the vascular curves of all nodes, in few dimensions and without nuisance.

    A node is a dispersion, a shape, a transit time and a delay, in this order of axes.

    Attributes
    ----------
    axes
        Dispersions (s), shapes, mean transit times (s), delays (s).
    onto
        (t, r): what a curve is multiplied with to get its parts along the dimensions.
    parts
        (r, nodes) float32: the unit vectors.
    size
        (nodes,): the length of each vascular curve before it was made a unit vector; unit of the AIF.
    nuisance
        (t, m) orthonormal: what is taken out of curves before they are compared.
    """

    axes: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]
    onto: np.ndarray
    parts: np.ndarray
    size: np.ndarray
    nuisance: np.ndarray

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Number of values on each axis."""
        dispersions, shapes, mtts, delays = (a.size for a in self.axes)
        return dispersions, shapes, mtts, delays


def transit(aif: np.ndarray, dt_s: float) -> Transit:
    """Tabulate the vascular curves of an AIF (t,) sampled every `dt_s`.

    Two things are taken out of all curves: a level, since the baseline's mean has an error that all frames share; and the integral of a
    vascular curve, which is what leakage, its correction, a drift, and an AIF whose tail is not the tissue's leave behind.
    """
    parts = int(np.ceil(dt_s / _FINE_S))
    step = dt_s / parts
    frames = dt_s * np.arange(aif.size)
    fine = step * np.arange((aif.size - 1) * parts + 1)
    arterial = _arterial(frames, aif, fine)
    remaining = np.stack([_residue(shape, fine) for shape in SHAPES])
    curves = np.empty((len(DISPERSIONS_S), len(SHAPES), MTT_S.size, DELAY_S.size, aif.size))
    for row, dispersion in zip(curves, DISPERSIONS_S):
        feeding = convolve_sampled(arterial, np.exp(-fine / dispersion) / dispersion, step) if dispersion else arterial
        row[:] = _sampled(convolve_sampled(feeding, remaining, step), frames, step)
    flat = curves.reshape(-1, aif.size)
    typical = curves[0, SHAPES.index(1.6), MTT_S.size // 2, np.searchsorted(DELAY_S, 1.0)]
    nuisance = np.linalg.qr(np.stack([np.ones(aif.size), np.cumsum(typical)], axis=1))[0]
    flat = flat - (flat @ nuisance) @ nuisance.T
    size = np.sqrt((flat**2).sum(axis=1))
    unit = flat / size[:, None]
    strength, directions = np.linalg.eigh(unit.T @ unit)
    onto = directions[:, strength > 1e-7 * strength[-1]]
    axes = (np.array(DISPERSIONS_S), np.array(SHAPES), MTT_S, DELAY_S)
    return Transit(axes, onto, (unit @ onto).T.astype(np.float32), size, nuisance)


def _arterial(frames: np.ndarray, aif: np.ndarray, fine: np.ndarray) -> np.ndarray:
    """The AIF on the fine grid: a cubic spline, smoothed as far as cross-validation finds noise in it.

    Noise of the AIF is the same for all voxels; left in, it would pass for a property of the tissue (a dispersed AIF has less of it).
    """
    start = max(int(np.argmax(aif != 0)) - 1, 0)
    if aif.size - start < _LEAST_SAMPLES:
        return interpolate.CubicSpline(frames, aif)(fine)
    spline = interpolate.make_smoothing_spline(frames[start:], aif[start:])
    return np.where(fine > frames[start], spline(fine), 0.0)


def _residue(shape: float, times_s: np.ndarray) -> np.ndarray:
    """Residue functions (transit times, t) of area 1, in 1/s."""
    if np.isfinite(shape):
        return special.gammaincc(shape, shape * times_s / MTT_S[:, None]) / MTT_S[:, None]
    step = times_s[1] - times_s[0]
    # The step in which a box ends holds part of it.
    return np.clip(MTT_S[:, None] / step - times_s / step + 0.5, 0.0, 1.0) / MTT_S[:, None]


def _sampled(curves: np.ndarray, frames: np.ndarray, step: float) -> np.ndarray:
    """Curves (..., fine times) at the frames after each delay: (..., delays, t); 0 before the first sample."""
    late = (frames[None] - DELAY_S[:, None]) / step
    before = np.clip(np.floor(late).astype(int), 0, curves.shape[-1] - 2)
    part = np.clip(late - before, 0.0, 1.0)
    return np.where(late < 0, 0.0, curves[..., before] * (1 - part) + curves[..., before + 1] * part)
