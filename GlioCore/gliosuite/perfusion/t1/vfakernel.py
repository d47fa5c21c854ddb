"""T1 from spoiled gradient echoes at several flip angles (VFA), compiled: what `vfa` does in arrays, voxel by voxel."""

import math

import numpy as np

from ...compute.compiled import inlined, kernel

_MORE_STEPS = 20  # of Newton's method; chosen as a bound on the work
_CLOSE = 1e-4  # of ln q: after a step as short as this the next would be 1e-8
_NOISY = 0.98  # of the sum of squares: as in `vfa`, what explains less is noise, in which the line can lead astray
_LONGEST = 0.7  # step of ln q, as in `vfa`


@inlined
def newton(
    v: float, signals: np.ndarray, a: np.ndarray, b: np.ndarray, low: float, high: float
) -> tuple[float, bool, float, float]:
    """`vfa._step` for one voxel: ln q after the step, whether it is the last one needed, the linear factor then, and what was explained."""
    q = math.exp(v)
    ff = fd = dd = sf = sd = se = 0.0
    for i in range(signals.shape[0]):
        # f = 1 / (a + b q); with t = b q f its derivatives by ln q are -t f and (2 t - 1) t f.
        t = b[i] * q
        f = 1.0 / (a[i] + t)
        t *= f
        part, square = signals[i] * f, f * f
        ff += square
        sf += part
        fd += square * t
        sd += part * t
        dd += square * t * t
        se += part * t * t
    fe, se, fd, sd = 2.0 * dd - fd, 2.0 * se - sd, -fd, -sd
    level = sf / ff
    # Half the derivative of (s f)^2 / (f f), and its derivative.
    away = sd - level * fd
    change = (away - level * fd) / ff
    second = change * away + level * (se - change * fd - level * (dd + fe))
    plain = -(level * level) * (dd - fd * fd / ff)
    concave = second < 0.3 * plain
    bend = second if concave else plain
    step = -level * away / (bend if bend < 0.0 else bend - 1.0)
    step = min(max(step, -_LONGEST), _LONGEST)
    after = (sf + step * (sd + 0.5 * step * se)) / (ff + step * (2.0 * fd + step * (dd + fe)))
    return min(max(v + step, low), high), concave and abs(step) < _CLOSE, after, sf * level


@inlined
def project(v: float, signals: np.ndarray, a: np.ndarray, b: np.ndarray) -> tuple[float, float]:
    """The linear factor at ln q = v, and the sum of squares that it explains where it is above 0."""
    q = math.exp(v)
    ff = sf = 0.0
    for i in range(signals.shape[0]):
        f = 1.0 / (a[i] + b[i] * q)
        ff += f * f
        sf += signals[i] * f
    return sf / ff, max(sf, 0.0) ** 2 / ff


@kernel
def fit_t1(
    signals: np.ndarray,
    angles: np.ndarray,
    b1: np.ndarray,
    tr_s: float,
    range_s: tuple[float, float],
    usual_s: float,
    starts: int,
    t1: np.ndarray,
    m0: np.ndarray,
) -> None:
    """T1 (s) and M0 of voxels (n,), NaN where there is none in `range_s`.

    Parameters
    ----------
    signals, angles
        (n, angles) float64 and (angles,) in radians.
    b1
        (n,) actual over nominal flip angle, or (1,) for all.
    usual_s, starts
        The T1 at which the line is weighted best, and nodes of the coarse grid of ln q; see `vfa`.
    t1, m0
        (n,) float32.
    """
    count = angles.shape[0]
    low, high = math.log(-math.expm1(-tr_s / range_s[1])), math.log(-math.expm1(-tr_s / range_s[0]))
    lowest, highest = math.exp(low), math.exp(high)
    usual = -math.expm1(-tr_s / usual_s)
    a, b, weight = np.empty(count), np.empty(count), np.empty(count)
    for j in range(count):
        weight[j] = (math.tan(0.5 * angles[j]) + usual / math.tan(angles[j])) ** -2
    angled = 0.0  # the flip angles' scale that a and b belong to
    for i in range(signals.shape[0]):
        t1[i] = m0[i] = np.float32(np.nan)
        scale = b1[i] if b1.shape[0] > 1 else b1[0]
        total = largest = 0.0
        for j in range(count):
            total += signals[i, j]
            largest = max(largest, signals[i, j])
        if not (math.isfinite(total) and largest > 0.0 and math.isfinite(scale) and scale > 0.0):
            continue
        if scale != angled:
            angled = scale
            for j in range(count):
                a[j], b[j] = math.tan(0.5 * scale * angles[j]), 1.0 / math.tan(scale * angles[j])
        # Slope of the weighted line S / sin = E1 S / tan + M0 q.
        w = x1 = y1 = xx = xy = energy = 0.0
        for j in range(count):
            s = signals[i, j]
            x, y = s * b[j], s * (a[j] + b[j])
            w += weight[j]
            x1 += weight[j] * x
            y1 += weight[j] * y
            xx += weight[j] * x * x
            xy += weight[j] * x * y
            energy += s * s
        spread = xx - x1 * x1 / w
        slope = (xy - x1 * y1 / w) / spread if spread > 0.0 else 0.0
        v = math.log(min(max(1.0 - slope, lowest), highest))
        sure = False
        level = explained = 0.0
        if 0.0 < slope < 1.0:
            for _ in range(_MORE_STEPS):
                v, sure, level, explained = newton(v, signals[i], a, b, low, high)
                if sure:
                    break
        if not sure or explained < _NOISY * energy:
            # The line lies out of range or in noise, or Newton's method has not settled: the best of a coarse grid, and more steps.
            best = project(v, signals[i], a, b)[1]
            for node in range(starts):
                at = low + (high - low) * node / (starts - 1)
                gain = project(at, signals[i], a, b)[1]
                if gain > best:
                    v, best = at, gain
            for _ in range(_MORE_STEPS):
                v, sure, level, explained = newton(v, signals[i], a, b, low, high)
                if sure:
                    break
            level = project(v, signals[i], a, b)[0]
        if level > 0.0 and low + 1e-6 < v < high - 1e-6:
            q = math.exp(v)
            t1[i], m0[i] = -tr_s / math.log1p(-q), level / q
