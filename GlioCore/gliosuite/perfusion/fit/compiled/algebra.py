"""Small pieces of the compiled kinetic fit (DCE): an exponential over a part of a frame, and two weights within bounds."""

import math

from ....compute.compiled import inlined

# (-1)^n / (n + 2)!; below the limit these terms leave an error of 1e-14, and the closed forms above it lose no more.
_SERIES = tuple((-1.0) ** n / math.factorial(n + 2) for n in range(12))
_SMALL = 0.5


@inlined
def decayed(q: float) -> tuple[float, float, float]:
    """``(q - 1 + exp(-q)) / q^2`` for q not below 0, and its two derivatives."""
    if q < _SMALL:
        f, f1, f2 = _SERIES[11], 0.0, 0.0
        for n in range(10, -1, -1):
            f2 = f2 * q + f1
            f1 = f1 * q + f
            f = f * q + _SERIES[n]
        return f, f1, 2.0 * f2
    e = math.exp(-q)
    f = (q - 1.0 + e) / (q * q)
    f1 = (1.0 - e - 2.0 * q * f) / (q * q)
    f2 = (e - 2.0 * f - 4.0 * q * f1) / (q * q)
    return f, f1, f2


@inlined
def two_weights(
    yb: float,
    ys: float,
    bb: float,
    bs: float,
    ss: float,
    low_b: float,
    high_b: float,
    low_s: float,
    high_s: float,
) -> tuple[float, float, bool, bool]:
    """Weights w, p of two columns b, s that lower ``|y - w b - p s|^2`` most within bounds, and whether each lies inside its bounds.

    From the scalar products of y, b and s. A column that is 0 gets its lower bound.
    """
    determinant = bb * ss - bs * bs
    if determinant > 1e-14 * bb * ss:
        w = (yb * ss - ys * bs) / determinant
        p = (ys * bb - yb * bs) / determinant
        if low_b <= w <= high_b and low_s <= p <= high_s:
            return w, p, True, True
    # The optimum lies on an edge of the rectangle, or both columns are one: the best of the four edges.
    best, best_w, best_p, free_w, free_p = math.inf, low_b, low_s, False, False
    for edge in range(4):
        if edge < 2:
            w = low_b if edge == 0 else high_b
            p = (ys - w * bs) / ss if ss > 0.0 else low_s
            inside = low_s < p < high_s
            p = min(max(p, low_s), high_s)
        else:
            p = low_s if edge == 2 else high_s
            w = (yb - p * bs) / bb if bb > 0.0 else low_b
            inside = low_b < w < high_b
            w = min(max(w, low_b), high_b)
        loss = w * (w * bb - 2.0 * yb) + p * (p * ss - 2.0 * ys) + 2.0 * w * p * bs
        if loss < best:
            best, best_w, best_p = loss, w, p
            free_w, free_p = edge >= 2 and inside, edge < 2 and inside
    return best_w, best_p, free_w, free_p
