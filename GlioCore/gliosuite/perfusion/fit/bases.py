"""Basis functions of the kinetic fit (DCE): the convolved AIF tabulated over rate and delay, in a compressed subspace.

All kinetic models are linear but for their rates and the delay. Three things make their curves cheap and exact at any rate and delay:

* The convolution of the AIF with ``exp(-k t)`` is smooth over ``ln(k + 1 / T)``, T being the duration of the scan (slower rates all look
  alike), so that a Chebyshev series of some thirty terms holds it to nine digits.
* Between two neighbouring delays the AIF is linear, so that the convolution follows from the one at the later delay in closed form.
* All these curves span few directions, on which curves are projected once.
"""

from dataclasses import dataclass, replace
from functools import lru_cache
from types import ModuleType
from typing import Any

import numpy as np
from scipy.linalg.lapack import dgeqp3, dorgqr

from ...compute import CPU, Device, product, subset
from .. import kinetics

# Chosen: what the subspace and the series leave out is then no more than the rounding of float32 frames (test_bases asks for 1e-6).
_SMALLEST_SINGULAR_VALUE = 1e-7  # of the largest; the curves are normalised first
_SKETCH_ROWS = 256  # of the randomised range finder (Halko N et al., SIAM Rev 2011;53:217): many times the dimensions that are kept
# Terms of the Chebyshev series: some thirty hold it to nine digits where rates span the usual 1e-3 to 20 /min (with a scan of minutes, a
# factor of a hundred in k + 1 / T), more for the exchange models.
_TERMS, _MOST_TERMS, _WIDE = 40, 64, 100.0
_SMALLEST_TERM = 1e-9  # of the largest coefficient
# Entries of a matrix above which OpenBLAS starts threads for a product with a vector (its source says 9216, and 8192 for an outer
# product). They wait for the next product for some 20 ms, at full speed: more than the fit of a curve takes.
_PIECE = 8192


@dataclass(frozen=True)
class DelayCell:
    """The tables between two neighbouring delays, or at delay 0 where none is fitted (``gap_s`` 0); or those of a cell for each voxel.

    Attributes
    ----------
    gap_s
        Length of the cell in s.
    late_s
        Its later delay in s; (n,) where voxels lie in cells of their own.
    series
        (2 r, c) Chebyshev coefficients of the convolution at the later delay, and of its derivative by the series' own coordinate;
        or (n, 2 r, c).
    plasma_late, plasma_early, integral_late
        (r, 1) or (r, n) the AIF at both delays and its running integral at the later one.
    """

    xp: Any
    log_rates: tuple[float, float]
    damping: float
    gap_s: float
    late_s: Any
    series: Any
    plasma_late: Any
    plasma_early: Any
    integral_late: Any

    def at(self, log_rate: Any, delay_s: Any | None) -> tuple[Any, Any, Any]:
        """Convolution (r, n) with ``exp(-k t)`` and its derivatives by ln k and by the delay (s); the last None without a delay.

        Beyond the fastest rate of the table the convolution is the AIF over k.
        """
        xp = self.xp
        beyond = log_rate > self.log_rates[1]
        if beyond.any():
            share = xp.exp(xp.clip(self.log_rates[1] - log_rate, None, 0.0))
            value, slope, by_delay = self.at(xp.clip(log_rate, *self.log_rates), delay_s)
            return value * share, slope * share, None if by_delay is None else by_delay * share
        rate = xp.exp(xp.clip(log_rate, self.log_rates[0], None))
        shifted = rate + self.damping
        low, high = (float(np.log(np.exp(v) + self.damping)) for v in self.log_rates)
        scale = 2.0 / (high - low)
        x = (xp.log(shifted) - low) * scale - 1.0
        terms = self.series.shape[-1]
        polynomials = xp.empty((terms, x.shape[0]), dtype=x.dtype) if xp is np else x.new_empty((terms, x.shape[0]))
        polynomials[0] = 1.0
        polynomials[1] = x
        twice = 2.0 * x
        for i in range(2, terms):
            polynomials[i] = twice * polynomials[i - 1] - polynomials[i - 2]
        if self.series.ndim == 2:
            both = product(self.series, polynomials)
        else:
            both = (self.series @ polynomials.T[:, :, None])[:, :, 0].T
        rank = both.shape[0] // 2
        small = 1.0 / shifted  # the series is of (k + damping) times the convolution, which varies less
        value = both[:rank]
        value *= small
        slope = both[rank:]
        slope *= scale * small
        slope -= value
        slope *= rate * small
        if delay_s is None:
            return value, slope, None
        # From the later delay on, the convolution decays and what the AIF brings in the meantime is added.
        step = (self.late_s - delay_s) / 60.0
        decayed = rate * step
        first, last, decay = kinetics.segment_weights(decayed, xp)
        share = (self.late_s - delay_s) / self.gap_s
        slope -= decayed * value
        slope *= decay
        by_first, by_last = step * (decay - 2.0 * first), step * (first - last)
        slope += self._line(by_first + by_last, by_last * share)
        value *= decay
        value += self._line(step * (first + last), step * last * share)
        by_delay = (rate / 60.0) * value
        by_delay += self._line(-1.0 / 60.0 + 0.0 * share, share / -60.0)
        return value, slope, by_delay

    def _line(self, late: Any, further: Any) -> Any:
        """The AIF at the later delay times one weight (n,), and what it gains towards the earlier one times another."""
        gain = self.plasma_early - self.plasma_late
        if self.series.ndim == 2:
            line = self.xp.concatenate([self.plasma_late, gain], axis=1)
            return product(line, self.xp.stack([late, further]))
        return self.plasma_late * late + gain * further

    def rows(self, keep: Any) -> "DelayCell":
        """The tables of some voxels only."""
        if self.series.ndim == 2:
            return self
        at = {f: getattr(self, f)[:, keep] for f in ("plasma_late", "plasma_early", "integral_late")}
        return replace(self, late_s=self.late_s[keep], series=self.series[keep], **at)

    def plasma(self, delay_s: Any | None) -> tuple[Any, Any]:
        """The AIF (r, n or 1) at the delay, and its derivative by the delay (r, 1); the last None without a delay."""
        if delay_s is None:
            return self.plasma_late, None
        slope = (self.plasma_late - self.plasma_early) / self.gap_s
        return slope * (delay_s - self.late_s) + self.plasma_late, slope

    def integral(self, delay_s: Any | None) -> tuple[Any, Any]:
        """The AIF's running integral (r, n or 1) and its derivative by the delay; the last None without a delay."""
        if delay_s is None:
            return self.integral_late, None
        plasma, _ = self.plasma(delay_s)
        step = (self.late_s - delay_s) / 60.0
        return self.integral_late + (0.5 * step) * (self.plasma_late + plasma), plasma / -60.0


@dataclass(frozen=True)
class Bases:
    """Tables of the convolved AIF.

    Attributes
    ----------
    log_rates
        Lowest and highest ln of the rate in 1/min.
    delays
        (d,) s, evenly spaced; one 0 where no delay is fitted.
    directions
        (t, r) orthonormal: curves times this are their coordinates in the subspace.
    series
        (d, 2 r, c) see `DelayCell`.
    plasma, integral
        (d, r) the AIF itself and its running integral (rate 0).
    """

    device: Device
    log_rates: tuple[float, float]
    damping: float
    delays: np.ndarray
    directions: Any
    series: Any
    plasma: Any
    integral: Any
    dtype: str = "float64"

    @property
    def xp(self) -> ModuleType:
        """The namespace of the tables."""
        return self.device.xp

    @property
    def cell_s(self) -> float:
        """Length of a cell in s; 0 where no delay is fitted."""
        return float(self.delays[1] - self.delays[0]) if self.delays.size > 1 else 0.0

    @property
    def n_cells(self) -> int:
        """Number of cells between delays; 1 where no delay is fitted."""
        return max(self.delays.size - 1, 1)

    def cell(self, index: int | np.ndarray) -> DelayCell:
        """The tables between delays `index` and ``index + 1``; of a cell for each voxel where `index` is an array (n,)."""
        late = np.minimum(np.asarray(index) + 1, self.delays.size - 1)
        there = lambda v: subset(v, self.series)
        one = late.ndim == 0
        at, early = (int(late), int(index)) if one else (there(late), there(np.asarray(index)))
        column = lambda table, i: table[i][:, None] if one else table[i].T
        return DelayCell(
            self.xp,
            self.log_rates,
            self.damping,
            self.cell_s,
            float(self.delays[at]) if one else there(self.delays[late]),
            self.series[at],
            column(self.plasma, at),
            column(self.plasma, early),
            column(self.integral, at),
        )

    def exponentials(self, log_rates: np.ndarray) -> np.ndarray:
        """Convolutions (d, r, k) with ``exp(-k t)`` at some rates, at all delays of the table; numpy."""
        rates = np.exp(log_rates)
        low, high = (float(np.log(np.exp(v) + self.damping)) for v in self.log_rates)
        x = np.clip((np.log(rates + self.damping) - low) * (2.0 / (high - low)) - 1.0, -1.0, 1.0)
        polynomials = np.cos(np.arange(self.series.shape[2])[:, None] * np.arccos(x)) / (rates + self.damping)
        return self.series[:, : self.directions.shape[1]] @ polynomials

    def to(self, device: Device, dtype: str = "float64") -> "Bases":
        """The same tables on a device, in a precision."""
        fields = ("directions", "series", "plasma", "integral")
        return replace(self, device=device, dtype=dtype, **{f: device.put(getattr(self, f), dtype) for f in fields})


def build_bases(
    times_s: np.ndarray,
    aif: np.ndarray,
    aif_times_s: np.ndarray,
    rate_range: tuple[float, float],
    delay_range_s: tuple[float, float] | None = None,
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
    """
    delays = np.zeros(1) if delay_range_s is None else _delay_nodes(aif_times_s, delay_range_s)
    low, high = np.log(rate_range)
    damping = 60.0 / max(float(times_s[-1] - times_s[0]), 1.0)
    first, last = np.log(np.asarray(rate_range) + damping)
    count = _TERMS if last - first <= np.log(_WIDE) else _MOST_TERMS
    angle = np.pi * (np.arange(count) + 0.5) / count
    rates = np.maximum(np.exp(first + 0.5 * (last - first) * (np.cos(angle) + 1.0)) - damping, 0.0)
    late, which = np.unique(np.round(times_s - delays[:, None], 9), return_inverse=True)
    at_late = _convolutions(late, aif, aif_times_s, np.append(rates, 0.0))[which.reshape(delays.size, -1)]
    table = at_late[:, :, :-1].swapaxes(1, 2) * (rates + damping)[:, None]
    integral = at_late[:, :, -1]
    plasma = kinetics.interpolate_aif(times_s - delays[:, None], aif, aif_times_s)
    directions = _directions(np.concatenate([table[:, ::2].reshape(-1, times_s.size), plasma, integral]))
    transform = np.cos(np.outer(np.arange(count), angle)) * (2.0 / count)
    transform[0] *= 0.5
    series = (transform @ (table @ directions)).swapaxes(1, 2)
    size = np.abs(series).max(axis=(0, 1))
    terms = max(int(np.flatnonzero(size > _SMALLEST_TERM * size.max())[-1]) + 1, 3)
    series = series[:, :, :terms]
    slopes = series @ _chebyshev_slope(terms)
    return Bases(
        CPU,
        (float(low), float(high)),
        damping,
        delays,
        directions,
        np.ascontiguousarray(np.concatenate([series, slopes], axis=1)),
        plasma @ directions,
        integral @ directions,
    )


@lru_cache(maxsize=8)
def _chebyshev_slope(terms: int) -> np.ndarray:
    """Coefficients (terms,) of a Chebyshev series times this (terms, terms) are those of its derivative."""
    order = np.arange(terms)
    below = (order < order[:, None]) & ((order[:, None] - order) % 2 == 1)
    result = np.where(below, 2.0 * order[:, None], 0.0)
    result[:, 0] *= 0.5
    return result


def _convolutions(times_s: np.ndarray, aif: np.ndarray, aif_times_s: np.ndarray, rates: np.ndarray) -> np.ndarray:
    """`kinetics.convolve` at any times (t,) for rates (k,) in 1/min at once: (t, k).

    The AIF's nodes are walked in blocks side by side, so that few steps of the interpreter do for many nodes.
    """
    steps, kind = np.unique(np.round(np.diff(aif_times_s), 9), return_inverse=True)
    early, last, decay = kinetics.segment_weights(steps[:, None] * rates / 60.0)
    early, last = steps[:, None] * early, steps[:, None] * last
    even = steps.size == 1  # as nearly always: then one row does for all nodes
    length = int(np.ceil(np.sqrt(kind.size)))
    count = -(-kind.size // length)

    def by_block(values: np.ndarray) -> np.ndarray:
        """Of each node (n, ...) the place in its block, and then the block: (length, count, ...), so that a step is one piece of memory."""
        filled = np.zeros((count * length, *values.shape[1:]))
        filled[: kind.size] = values
        return np.ascontiguousarray(filled.reshape(count, length, *values.shape[1:]).swapaxes(0, 1))

    weights = (lambda rows: rows) if even else (lambda rows: by_block(rows[kind]))
    walked = weights(early) * by_block(aif[:-1])[:, :, None]
    walked += weights(last) * by_block(aif[1:])[:, :, None]
    kept = np.array(np.broadcast_to(decay, (length, 1, rates.size))) if even else by_block(decay[kind])
    for i in range(1, length):
        walked[i] += kept[i] * walked[i - 1]
        kept[i] *= kept[i - 1]
    starts = np.zeros((count, rates.size))  # what a block begins with
    for j in range(1, count):
        starts[j] = walked[-1, j - 1] + kept[-1, 0 if even else j - 1] * starts[j - 1]
    # From the node before each time on; at the first one there is nothing yet.
    before = np.clip(np.searchsorted(aif_times_s, times_s, side="right") - 1, 0, aif_times_s.size - 1)
    block, place = np.divmod(np.maximum(before - 1, 0), length)
    at_node = walked[place, block] + kept[place, 0 if even else block] * starts[block]
    at_node[before == 0] = 0.0
    gap = np.round(np.maximum(times_s - aif_times_s[before], 0.0), 9)
    gaps, kind = np.unique(gap, return_inverse=True)
    early, last, decay = kinetics.segment_weights(gaps[:, None] * rates / 60.0)
    early, last = gaps[:, None] * early, gaps[:, None] * last
    here = np.interp(times_s, aif_times_s, aif, left=0.0)
    by_gap = (lambda rows: rows) if gaps.size == 1 else (lambda rows: rows[kind])
    result = by_gap(decay) * at_node + by_gap(early) * aif[before, None] + by_gap(last) * here[:, None]
    result[times_s < aif_times_s[0]] = 0.0
    return result / 60.0


def _delay_nodes(aif_times_s: np.ndarray, delay_range_s: tuple[float, float]) -> np.ndarray:
    """Delays at which the AIF's corners lie where its frames are even: between two of them curves are smooth; 0.5 to 1 s apart (chosen)."""
    frame = float(np.median(np.diff(aif_times_s)))
    step = frame / np.ceil(frame) if frame >= 0.5 else frame * np.ceil(0.5 / frame)
    first, last = np.floor(delay_range_s[0] / step + 1e-9), np.ceil(delay_range_s[1] / step - 1e-9)
    nodes = step * np.arange(first, max(last, first + 1) + 1)
    # Rounding may leave the last node a hair short of the bound, and a voxel there would lie in no cell.
    nodes[0], nodes[-1] = min(nodes[0], delay_range_s[0]), max(nodes[-1], delay_range_s[1])
    return nodes


def _directions(curves: np.ndarray) -> np.ndarray:
    """Orthonormal directions (t, r) that span the curves (m, t)."""
    norm = np.linalg.norm(curves, axis=1, keepdims=True)
    curves = curves[norm[:, 0] > 0] / norm[norm[:, 0] > 0]
    if min(curves.shape) > _SKETCH_ROWS:
        # Random mixtures of the curves span what they all span; the generator's seed is fixed.
        curves = np.random.default_rng(0).standard_normal((_SKETCH_ROWS, curves.shape[0])) @ curves
    # Reduced to a triangle first: the Gram matrix would lose half of the digits. QR decomposition that takes the longest of what is left
    # first spans what singular vectors do, in a tenth of the time; its diagonal falls as singular values do, but for a small factor.
    found, _, tau, _, _ = dgeqp3(np.asfortranarray(_triangle(curves).T))
    length = np.abs(np.diagonal(found))
    rank = int(np.count_nonzero(length > _SMALLEST_SINGULAR_VALUE * length[0]))
    directions, _, _ = dorgqr(found[:, :rank], tau[:rank])
    return np.ascontiguousarray(directions)


def _triangle(curves: np.ndarray) -> np.ndarray:
    """R (t, t) of the QR decomposition of curves (m, t), by pieces in which OpenBLAS stays in this thread where t allows."""
    size = max(_PIECE // curves.shape[1], 2 * curves.shape[1])
    while len(curves) > size:
        missing = -len(curves) % size  # rows of zeros change nothing
        pieces = np.pad(curves, ((0, missing), (0, 0))).reshape(-1, size, curves.shape[1])
        curves = np.asarray(np.linalg.qr(pieces, mode="r")).reshape(-1, curves.shape[1])
    return np.asarray(np.linalg.qr(curves, mode="r"))
