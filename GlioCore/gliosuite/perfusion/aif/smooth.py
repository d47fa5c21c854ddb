"""Smooth curves that an AIF may be: cubic B-splines that are not negative, and how likely each is before the tissue has been seen."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

STEP_S = 0.5  # of the grid on which curves are known and convolved; chosen, a third of the knots' distance
# Between knots as the bolus passes: 1 and 1.5 s did equally well on simulated boluses, 2 s was too stiff for an injection with edges.
_KNOTS_S = 1.5
_CLOSE_S = 45.0  # knots are close for so long after the bolus begins, and then ever farther apart:
_GROWTH, _FARTHEST_S = 1.2, 15.0  # chosen, what follows the passes is smooth
_BEGUN = 0.05  # of the peak; chosen
_BEFORE = 2  # frames before the first one that has begun: between the two last of them the bolus may begin
# Prior SD of the second derivative that one second of the curve has by itself, over the peak per s^2, and what is left of it once the bolus
# has passed. That of Parker's first pass is up to 0.09, that of a square injection 0.3. Chosen: of 0.1, 0.2, 0.4 and 0.8, on 24 simulated
# boluses (bench_aif_frames.py, seeds 7100-7107), the first hides narrow peaks, and the last two let the curve ring.
_BEND, _BEND_LATER = 0.2, 0.02
_PASSES_S, _FADES_S = 12.0, 8.0  # after the peak: how long the former holds, and how fast it falls to the latter


@dataclass(frozen=True)
class SmoothCurves:
    """Curves ``basis @ c`` with c >= 0, and the precision (inverse covariance) of c before the tissue has been seen.

    Attributes
    ----------
    times_s
        (m,) every half second.
    basis
        (m, b); 0 before the bolus may begin.
    precision
        (b, b).
    """

    times_s: np.ndarray
    basis: np.ndarray
    precision: np.ndarray

    @classmethod
    def through(cls, times_s: np.ndarray, samples: np.ndarray, end_s: float) -> "SmoothCurves":
        """Curves for an AIF with these samples (n,), up to `end_s`."""
        from scipy.interpolate import BSpline

        fine = np.arange(times_s[0], max(times_s[-1], end_s) + STEP_S, STEP_S)
        top = int(np.argmax(samples))
        begun = int(np.flatnonzero(samples > _BEGUN * samples[top])[0])
        knots = [float(times_s[max(begun - _BEFORE, 0)])]
        gap = _KNOTS_S
        while knots[-1] <= fine[-1]:
            if knots[-1] > times_s[begun] + _CLOSE_S:
                gap = min(_GROWTH * gap, _FARTHEST_S)
            knots.append(knots[-1] + gap)
        padded = np.concatenate([[knots[0]] * 3, knots, [knots[-1]] * 3])
        count = padded.size - 4
        inside = fine >= knots[0]
        splines = BSpline(padded, np.eye(count), 3)
        # The first spline is the only one that is not 0 where the curve begins.
        basis, bend = np.zeros((2, fine.size, count - 1))
        basis[inside], bend[inside] = splines(fine[inside])[:, 1:], splines(fine[inside], 2)[:, 1:]
        fading = np.exp(-np.maximum(fine - times_s[top] - _PASSES_S, 0.0) / _FADES_S)
        bend /= (_BEND * samples[top] * np.maximum(fading, _BEND_LATER))[:, None]
        return cls(fine, basis, bend.T @ bend * STEP_S)

    @cached_property
    def size(self) -> int:
        """How many numbers a curve has."""
        return self.basis.shape[1]

    def at(self, times_s: np.ndarray) -> np.ndarray:
        """The basis at some times (n, b); 0 before the grid."""
        index, weights, _ = on_grid(times_s - self.times_s[0], self.times_s.size)
        return np.einsum("ni,nib->nb", weights, self.basis[index])

    def nearest(self, times_s: np.ndarray, samples: np.ndarray, sd: np.ndarray) -> np.ndarray:
        """The likeliest curve (b,) of some samples (n,) with their SD."""
        there = self.at(times_s) / sd[:, None]
        return not_negative(there.T @ there + self.precision, there.T @ (samples / sd))


def on_grid(after_s: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """How what is known on a grid of `size` points is read between them, at times after its start.

    By cubic pieces with the slopes of central differences (Catmull and Rom 1974): straight ones have corners at the points, which frames at
    even times reach all at once as a delay changes, and there a fit gets stuck.

    Returns
    -------
    index, weights, slopes
        (..., 4) each: points, and their weights in the value and in its derivative (per s); 0 before the start.
    """
    x = np.clip(after_s / STEP_S, 0.0, size - 1.0)
    first = np.minimum(x.astype(np.int64), size - 2)
    u = x - first
    index = np.clip(first[..., None] + np.arange(-1, 3), 0, size - 1)
    weights = np.stack(
        [
            u * (-0.5 + u * (1.0 - 0.5 * u)),
            1.0 + u * u * (-2.5 + 1.5 * u),
            u * (0.5 + u * (2.0 - 1.5 * u)),
            u * u * (-0.5 + 0.5 * u),
        ],
        axis=-1,
    )
    slopes = np.stack(
        [
            -0.5 + u * (2.0 - 1.5 * u),
            u * (-5.0 + 4.5 * u),
            0.5 + u * (4.0 - 4.5 * u),
            u * (-1.0 + 1.5 * u),
        ],
        axis=-1,
    )
    begun = (after_s >= 0.0)[..., None]
    return index, np.where(begun, weights, 0.0), np.where(begun, slopes / STEP_S, 0.0)


def not_negative(curvature: np.ndarray, slope: np.ndarray) -> np.ndarray:
    """The x >= 0 with the lowest ``x' curvature x / 2 - slope' x``.

    References
    ----------
    Lawson CL, Hanson RJ, Solving Least Squares Problems, 1974, chapter 23.
    """
    from scipy.optimize import nnls

    scale = 1.0 / np.sqrt(np.diag(curvature))
    even = curvature * scale[:, None] * scale
    lower = np.linalg.cholesky(even + 1e-12 * np.eye(scale.size))
    return nnls(lower.T, np.linalg.solve(lower, slope * scale))[0] * scale
