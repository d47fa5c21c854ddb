"""From a start near the optimum to the optimum itself: bounded Levenberg-Marquardt for many voxels at once."""

from typing import Any

from .arrays import dots
from .bases import Cell
from .models import Model

_ITERATIONS = 80
_FEW = 0.03  # of a block: so few voxels are better polished together with those of other blocks
_TOLERANCE = 1e-8  # of the sum of squares: what a full step would still gain when a voxel counts as done
_ROUNDING = 1e-24  # of the curve's own sum of squares: gains below this are arithmetic noise


def normal_equations(
    cell: Cell, model: Model, p: Any, y: Any, delay: bool
) -> tuple[Any, Any, list[list[Any]], Any]:
    """Sum of squares (n,), gradient (p, n), curvature J^T J as a triangle of (n,), and the fitted curve (r, n)."""
    xp = cell.xp
    curve, columns, by_delay = model.curve(cell, p, p[-1] if delay else None)
    if delay:
        columns = [*columns, by_delay]
    residual = y - curve
    gradient = xp.stack([dots(xp, c, residual) for c in columns])
    curvature = [[dots(xp, columns[i], columns[j]) for j in range(i + 1)] for i in range(len(columns))]
    return dots(xp, residual, residual), gradient, curvature, curve


def solve(xp: Any, curvature: Any, gradient: Any, free: Any, damping: Any) -> tuple[Any, Any]:
    """Marquardt's step (p, n) and what it gains if the model is linear; parameters that are not free stay.

    `curvature` is (p, p, n) with its lower triangle filled.
    """
    n = gradient.shape[0]
    scale = [free[i] / xp.sqrt(xp.where(curvature[i][i] > 0, curvature[i][i], 1.0 + 0.0 * damping)) for i in range(n)]
    lower: list[list[Any]] = [[None] * n for _ in range(n)]
    for i in range(n):
        for j in range(i + 1):
            value = 1.0 + damping if i == j else curvature[i][j] * scale[i] * scale[j]
            for k in range(j):
                value = value - lower[i][k] * lower[j][k]
            # Two parameters that do the same leave nothing on the diagonal: the floor keeps their step finite.
            lower[i][j] = xp.sqrt(xp.clip(value, 1e-14, None)) if i == j else value / lower[j][j]
    right = [gradient[i] * scale[i] for i in range(n)]
    step: list[Any] = [None] * n
    for i in range(n):
        value = right[i]
        for k in range(i):
            value = value - lower[i][k] * step[k]
        step[i] = value / lower[i][i]
    gain = sum(s * s for s in step)
    for i in reversed(range(n)):
        value = step[i]
        for k in range(i + 1, n):
            value = value - lower[k][i] * step[k]
        step[i] = value / lower[i][i]
    return xp.stack([s * f for s, f in zip(step, scale)]), gain


def polish(
    cell: Cell, model: Model, y: Any, outside: Any, p: Any, lowest: Any, highest: Any, delay: bool, whole: bool
) -> tuple[Any, Any, Any, Any, Any]:
    """Go to the optimum inside the bounds.

    Parameters
    ----------
    y
        Curves in the subspace (r, n).
    outside
        Their sum of squares outside it (n,), which counts when convergence is judged.
    p
        Start (p, n) within `lowest` and `highest` (p, 1); the delay is the last one where it is fitted.
    whole
        Whether to go on until all voxels are done; otherwise the last few are left as they are.

    Returns
    -------
    p, gradient, curvature, curve, left
        (p, n), gradient (p, n), J^T J (p, p, n; lower triangle), the fitted curve (r, n), and indices of voxels that are not done.
    """
    xp = cell.xp
    count, n = p.shape

    def evaluate(q: Any, target: Any) -> tuple[Any, Any, Any, Any]:
        sse, gradient, triangle, curve = normal_equations(cell, model, q, target, delay)
        curvature = xp.zeros_like(q[None] * q[:, None])
        for i in range(count):
            for j in range(i + 1):
                curvature[i, j] = triangle[i][j]
        return sse, gradient, curvature, curve

    sse, gradient, curvature, curve = evaluate(p, y)
    damping = 0.0 * sse + 1e-6
    active = xp.where(sse == sse)[0]
    energy = dots(xp, y, y)
    # Views while all voxels are active, copies of those that still are later on.
    now = [p, y, sse, gradient, curvature, curve, damping, outside, energy]
    for iteration in range(_ITERATIONS):
        q, target, value, g, h, _, lam, rest, size = now
        free = ~(((q <= lowest) & (g <= 0)) | ((q >= highest) & (g >= 0)))
        step, gain = solve(xp, h, g, free * 1.0, lam)
        trial = xp.clip(q + step, lowest, highest)
        # A strongly damped step gains little whether or not the optimum is near.
        done = (gain <= _TOLERANCE * (value + rest)) & (lam <= 1e-3)
        done |= (gain <= _ROUNDING * size) | (lam > 1e12)
        keep = xp.where(~done)[0]
        if keep.shape[0] <= (0 if whole else _FEW * p.shape[1]):
            if iteration:
                _store(now, active, (p, gradient, curvature, curve))
            return p, gradient, curvature, curve, active[keep]
        if keep.shape[0] < done.shape[0]:
            if iteration:
                _store(now, active, (p, gradient, curvature, curve))
            now = [v[..., keep] for v in now]
            trial, active, gain = trial[:, keep], active[keep], gain[keep]
        q, target, value, g, h, shown, lam, rest, size = now
        new_value, new_g, new_h, new_shown = evaluate(trial, target)
        better = new_value < value
        # Where much less is gained than a linear model promises, the full step overshoots and would go to and fro.
        as_promised = value - new_value > 0.5 * gain
        change = xp.where(better, xp.where(as_promised, 0.1, 5.0), 10.0)
        now = [
            xp.where(better, trial, q),
            target,
            xp.where(better, new_value, value),
            xp.where(better, new_g, g),
            xp.where(better, new_h, h),
            xp.where(better, new_shown, shown),
            xp.clip(lam * change, 1e-9, None),
            rest,
            size,
        ]
    _store(now, active, (p, gradient, curvature, curve))
    return p, gradient, curvature, curve, active[:0]


def _store(now: list[Any], active: Any, whole: tuple[Any, ...]) -> None:
    """Write the state of the active voxels where it belongs."""
    current = (now[0], *now[3:6])
    for target, values in zip(whole, current):
        target[..., active] = values
