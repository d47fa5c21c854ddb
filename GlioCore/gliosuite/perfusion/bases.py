"""The convolved AIF as tables over rate and delay, in a compressed subspace: what the kinetic fit and the leakage fit share.

All kinetic models are linear but for their rates and the delay. The convolution of the AIF with ``exp(-k t)`` is tabulated on a grid of
``ln k`` (and delay), projected on the few directions that all these curves span, and read between the nodes by cubic Hermite
interpolation: with 192 rates over four decades its relative error is below 1e-7.
"""

from dataclasses import dataclass

import numpy as np

from .kinetics import convolve, interpolate_aif

_CUT = 1e-7  # singular values below this fraction of the largest are dropped; the curves are normalised first
_SKETCH = 256
_STENCIL = np.array([-1.0, 9.0, -45.0, 0.0, 45.0, -9.0, 1.0]) / 60.0  # first derivative, error of sixth order


@dataclass(frozen=True)
class Bases:
    """Tables of the convolved AIF.

    Attributes
    ----------
    rates
        (g,) 1/min, evenly spaced in the logarithm.
    delays
        (d,) s, evenly spaced; one 0 where no delay is fitted.
    directions
        (t, r) orthonormal: curves times this are their coordinates in the subspace.
    exponential
        (d, g, r) convolution with ``exp(-k t)``.
    plasma, integral
        (d, r) the AIF itself and its running integral (rate 0).
    """

    rates: np.ndarray
    delays: np.ndarray
    directions: np.ndarray
    exponential: np.ndarray
    plasma: np.ndarray
    integral: np.ndarray
    _cells: np.ndarray
    _integral_slope: np.ndarray

    @property
    def n_delays(self) -> int:
        """Number of delays in the table."""
        return self.delays.size

    def at(self, log_rate: np.ndarray, delay_s: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Exponential basis (n, r) at any rate and delay, and its derivatives by ln k and by the delay (s)."""
        start = np.log(self.rates[0])
        step = np.log(self.rates[1]) - start
        column, s = _cell((log_rate - start) / step, self.rates.size)
        along = _hermite(s, step)
        if self.n_delays == 1:
            value, by_rate = np.matmul(np.stack(along, axis=1), self._cells[0, column]).swapaxes(0, 1)
            return value, by_rate, np.zeros_like(value)
        gap = self.delays[1] - self.delays[0]
        row, t = _cell((delay_s - self.delays[0]) / gap, self.n_delays)
        across = _hermite(t, gap)
        # Tensor product of the two one-dimensional interpolations; the order of the 16 is that of `_cells`.
        outer = lambda a, b: (a[:, :, None] * b[:, None, :]).reshape(a.shape[0], 16)
        weights = np.stack([outer(across[0], along[0]), outer(across[0], along[1]), outer(across[1], along[0])], axis=1)
        return tuple(np.matmul(weights, self._cells[row, column]).swapaxes(0, 1))

    def plasma_at(self, delay_s: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The AIF (n, r) at any delay and its derivative by the delay; linear between nodes, as the AIF itself is."""
        if self.n_delays == 1:
            return np.broadcast_to(self.plasma[0], (delay_s.size, self.plasma.shape[1])), np.zeros((1, 1))
        gap = self.delays[1] - self.delays[0]
        row, t = _cell((delay_s - self.delays[0]) / gap, self.n_delays)
        slope = self.plasma[row + 1] - self.plasma[row]
        return self.plasma[row] + t[:, None] * slope, slope / gap

    def integral_at(self, delay_s: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The AIF's running integral (n, r) at any delay and its derivative by the delay."""
        if self.n_delays == 1:
            return np.broadcast_to(self.integral[0], (delay_s.size, self.integral.shape[1])), np.zeros((1, 1))
        gap = self.delays[1] - self.delays[0]
        row, t = _cell((delay_s - self.delays[0]) / gap, self.n_delays)
        nodes = np.stack(
            [self.integral[row], self._integral_slope[row], self.integral[row + 1], self._integral_slope[row + 1]], 1
        )
        value, slope = (np.einsum("nf,nfr->nr", w, nodes) for w in _hermite(t, gap))
        return value, slope


def build_bases(
    times_s: np.ndarray,
    aif: np.ndarray,
    aif_times_s: np.ndarray,
    rate_range: tuple[float, float],
    delay_range_s: tuple[float, float] | None = None,
    n_rates: int | None = None,
) -> Bases:
    """Tabulate the convolved AIF.

    Parameters
    ----------
    times_s, aif, aif_times_s
        Times (t,) of the curves; AIF (m,) and its times (m,).
    rate_range
        Lowest and highest rate in 1/min.
    delay_range_s
        Lowest and highest delay in s, or None for none.
    n_rates
        Number of rates; 192 where None.
    """
    delays = np.zeros(1) if delay_range_s is None else _delay_nodes(aif_times_s, delay_range_s)
    n_rates = n_rates or 192
    step = np.log(rate_range[1] / rate_range[0]) / (n_rates - 1)
    rates = rate_range[0] * np.exp(step * np.arange(n_rates))
    # Three more nodes at either end, for the derivative by ln k.
    wider = rate_range[0] * np.exp(step * np.arange(-3, n_rates + 3))
    table = convolve(times_s, aif, np.tile(wider, delays.size), np.repeat(delays, wider.size), aif_times_s)
    table = table.reshape(delays.size, wider.size, times_s.size)
    exponential = table[:, 3:-3]
    by_rate = sum(w / step * table[:, i : i + n_rates] for i, w in enumerate(_STENCIL) if w)
    plasma = interpolate_aif(times_s[None, :] - delays[:, None], aif, aif_times_s)
    integral = convolve(times_s, aif, np.zeros(delays.size), delays, aif_times_s)

    # d/dt (a * exp(-k t)) = a - k (a * exp(-k t)), and a later delay is an earlier time.
    by_delay = (rates[:, None] * exponential - plasma[:, None, :]) / 60.0
    by_both = rates[:, None] * (exponential + by_rate) / 60.0

    # Every third rate spans what lies between; at 1321 frames all of them would take seconds.
    spanning = exponential[:, ::3].reshape(-1, times_s.size)
    directions = _directions(np.concatenate([spanning, plasma, integral]))
    exponential, by_rate, by_delay, by_both = (
        np.ascontiguousarray(table @ directions) for table in (exponential, by_rate, by_delay, by_both)
    )
    nodes = lambda table: np.stack([table[..., :-1, :], table[..., 1:, :]], axis=-2)
    along = np.stack([nodes(exponential), nodes(by_rate)], axis=-2)  # (d, g-1, node, field, r)
    along_slope = np.stack([nodes(by_delay), nodes(by_both)], axis=-2)
    along, along_slope = (t.reshape(*t.shape[:2], 4, t.shape[-1]) for t in (along, along_slope))
    cells = along
    if delays.size > 1:
        cells = np.concatenate([along[:-1], along_slope[:-1], along[1:], along_slope[1:]], axis=2)
    return Bases(
        rates,
        delays,
        directions,
        exponential,
        plasma @ directions,
        integral @ directions,
        np.ascontiguousarray(cells),
        -plasma @ directions / 60.0,
    )


def _delay_nodes(aif_times_s: np.ndarray, delay_range_s: tuple[float, float]) -> np.ndarray:
    """Delays about 1 s apart, so that the AIF's corners fall on nodes where its frames are even."""
    frame = float(np.median(np.diff(aif_times_s)))
    step = frame / np.ceil(frame) if frame >= 0.5 else frame * np.ceil(0.5 / frame)
    first, last = np.floor(delay_range_s[0] / step - 1e-9), np.ceil(delay_range_s[1] / step + 1e-9)
    return step * np.arange(first, last + 1)


def _directions(curves: np.ndarray) -> np.ndarray:
    """Orthonormal directions (t, r) that span the curves (m, t)."""
    norm = np.linalg.norm(curves, axis=1, keepdims=True)
    curves = curves[norm[:, 0] > 0] / norm[norm[:, 0] > 0]
    if min(curves.shape) > _SKETCH:
        # A few hundred random mixtures of the curves span what they all span; the generator's seed is fixed.
        curves = np.random.default_rng(0).standard_normal((_SKETCH, curves.shape[0])) @ curves
    # Reduced to a triangle first: the Gram matrix would lose half of the digits.
    _, values, rows = np.linalg.svd(np.linalg.qr(curves, mode="r"), full_matrices=False)
    return np.ascontiguousarray(rows[values > _CUT * values[0]].T)


def _cell(position: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Index of the cell that a position (in nodes) falls into, and where in it (0-1); held at the ends of the table."""
    position = np.clip(position, 0.0, count - 1)
    index = np.minimum(position.astype(np.int64), count - 2)
    return index, position - index


def _hermite(s: np.ndarray, step: float) -> tuple[np.ndarray, np.ndarray]:
    """Weights (n, 4) of value and slope at both nodes of a cell for the value at `s` (0-1), and for the derivative."""
    value = np.stack(
        [(1 + 2 * s) * (1 - s) ** 2, step * s * (1 - s) ** 2, s**2 * (3 - 2 * s), step * s**2 * (s - 1)], axis=1
    )
    slope = np.stack([6 * s * (s - 1) / step, (1 - s) * (1 - 3 * s), 6 * s * (1 - s) / step, s * (3 * s - 2)], axis=1)
    return value, slope
