"""From a start near the optimum to the optimum itself: bounded Levenberg-Marquardt for many voxels at once."""

from typing import Any, NamedTuple

from ...compute import dots
from .bases import Cell
from .models import Curve, Model

_FEW = 0.1  # of a block: so few voxels are better polished together with those of other blocks
_LONG, _LEAST = 0.05, 0.05  # steps of the flow, and what is left of its reciprocal, as fractions
_SOON = 0.05  # s: a step in the delay that is taken without looking


class Precision(NamedTuple):
    """How far to go: fractions of sums of squares.

    Attributes
    ----------
    tolerance
        Of the sum of squares of the residual: what a full step would still gain when a voxel counts as done.
    far
        The same where that step is long.
    nothing
        The same where that step is damped.
    rounding
        Of the curve's own sum of squares: gains below this are arithmetic noise.
    floor
        Of the scaled J^T J: what two parameters that do the same leave on its diagonal.
    iterations
        At most.
    """

    tolerance: float
    far: float
    nothing: float
    rounding: float
    floor: float
    iterations: int


DOUBLE = Precision(3e-7, 1e-8, 1e-10, 1e-24, 1e-14, 250)
SINGLE = Precision(1e-5, 1e-5, 1e-5, 1e-12, 1e-6, 8)  # whose result is no more than a start


def solve(
    xp: Any, curvature: list[list[Any]], gradient: Any, free: Any, damping: Any, floor: float = DOUBLE.floor
) -> tuple[Any, Any]:
    """Marquardt's step (p, n) and what it gains if the model is linear; parameters that are not free stay.

    `curvature` is the lower triangle of J^T J, rows of (n,).
    """
    n = gradient.shape[0]
    # Rounding can leave a negative diagonal where a parameter does nothing.
    scale = [
        free[i] / xp.sqrt(xp.where(curvature[i][i] > 0, curvature[i][i], 1.0 + 0.0 * gradient[i])) for i in range(n)
    ]
    lower: list[list[Any]] = [[None] * n for _ in range(n)]
    for i in range(n):
        for j in range(i + 1):
            value = 1.0 + damping if i == j else curvature[i][j] * scale[i] * scale[j]
            for k in range(j):
                value = value - lower[i][k] * lower[j][k]
            # Two parameters that do the same leave nothing on the diagonal: the floor keeps their step finite.
            lower[i][j] = xp.sqrt(xp.abs(value) + floor) if i == j else value / lower[j][j]
    step: list[Any] = [None] * n
    for i in range(n):
        value = gradient[i] * scale[i]
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
    cell: Cell,
    model: Model,
    y: Any,
    outside: Any,
    p: Any,
    lowest: Any,
    highest: Any,
    delay: bool,
    whole: bool,
    precision: Precision = DOUBLE,
) -> tuple[Any, Any, list[list[Any]], Any, Any]:
    """Go to the optimum inside the bounds.

    Parameters
    ----------
    y
        Curves in the subspace (r, n).
    outside
        Their sum of squares outside it (n,), which counts when convergence is judged.
    p
        Start (p, n) within `lowest` and `highest` (p, 1) or (p, n); the delay is the last one where it is fitted.
    whole
        Whether to go on until all voxels are done; otherwise the last few are left as they are.

    Returns
    -------
    p, gradient, curvature, curve, left
        (p, n), gradient (p, n), J^T J (lower triangle, rows of (n,)), the fitted curve (r, n), and indices of voxels that are not done.
    """
    xp = cell.xp
    count, n = p.shape

    # The state of a voxel is one column: parameters, gradient, triangle of J^T J, sum of squares; damping, and what stays as it is.
    def evaluate(cell: Cell, q: Any, target: Any, damping: Any, rest: Any, size: Any) -> tuple[Any, Any]:
        found = model.curve(cell, q, q[-1] if delay else None)
        residual = target - found.value
        rows = [*q, *_normal_equations(xp, found, residual, 0.0 * q[0])]
        return xp.stack([*rows, dots(xp, residual, residual), damping, rest, size]), found.value

    def parts(state: Any) -> tuple[Any, Any, list[list[Any]]]:
        rows = iter(state[2 * count :])
        return state[:count], state[count : 2 * count], [[next(rows) for _ in range(i + 1)] for i in range(count)]

    state, curve = evaluate(cell, p, y, 0.0 * outside + 1e-6, outside, dots(xp, y, y))
    final, shown, active = state, curve, None
    left = xp.where(outside < 0)[0]
    for _ in range(precision.iterations):
        q, g, h = parts(state)
        value, damping, rest, size = state[-4:]
        free = ~(((q <= lowest) & (g <= 0)) | ((q >= highest) & (g >= 0)))
        step, gain = solve(xp, h, g, free, damping, precision.floor)
        ahead = q + step
        if model.exchange:
            ahead[0] = _along_reciprocal(xp, q[0], step[0])
        trial = xp.minimum(xp.maximum(ahead, lowest), highest)
        # The last step is taken without looking: it gains next to nothing, but brings parameters ever closer to the optimum. One
        # that a bound cuts short is none of these: its other parts were meant to go with what was cut.
        near = xp.abs(trial - q) <= 0.01 * (xp.abs(q) + 0.01)
        if delay:
            near[-1] |= xp.abs(trial[-1] - q[-1]) <= _SOON
        near = (near & (trial == ahead)).all(0)
        # A strongly damped step gains little whether or not the optimum is near.
        settled = (gain <= xp.where(near, precision.tolerance, precision.far) * (value + rest)) & (damping <= 1e-3)
        # Steps that go to and fro keep a little damping for long.
        settled |= (gain <= precision.nothing * (value + rest)) & (damping <= 1.0)
        done = settled | (gain <= precision.rounding * size) | (damping > 1e12)
        keep = xp.where(~done)[0]
        state[:count] = xp.where(near & done & (damping <= 1e-3), trial, q)
        state[-3] = xp.where(settled, 1e13 + 0.0 * damping, damping)
        few = keep.shape[0] <= (0 if whole else _FEW * n)
        if few or keep.shape[0] < 0.8 * done.shape[0]:
            if active is None:
                final, shown, active = state, curve, keep
            else:
                final[:, active], shown[:, active] = state, curve
                active = active[keep]
            if few:
                left = active
                break
            state, curve, y = state[:, keep], curve[:, keep], y[:, keep]
            trial, gain, done = trial[:, keep], gain[keep], done[keep]
            cell = cell.rows(keep)
            if lowest.shape[1] > 1:
                lowest, highest = lowest[:, keep], highest[:, keep]
        value, damping, rest, size = state[-4:]
        new, new_curve = evaluate(cell, trial, y, damping, rest, size)
        worse = ~(new[-4] < value) | done
        # Where much less is gained than a linear model promises, the full step overshoots and would go to and fro.
        as_promised = value - new[-4] > 0.5 * gain
        new[-3] = xp.clip(damping * xp.where(as_promised, 0.1, 5.0), 1e-9, None)
        back = xp.where(worse)[0]
        if back.shape[0]:
            new[:, back], new_curve[:, back] = state[:, back], curve[:, back]
            new[-3, back] = damping[back] * xp.where(done[back], 1.0, 10.0)
        state, curve = new, new_curve
    else:
        if active is None:
            final, shown = state, curve
        else:
            final[:, active], shown[:, active] = state, curve
    p, gradient, curvature = parts(final)
    return p, gradient, curvature, shown, left


def _along_reciprocal(xp: Any, flow: Any, step: Any) -> Any:
    """Where a step of the flow leads: where flow is high, curves are nearly linear in its reciprocal, and long steps go along that."""
    share = step / xp.clip(flow, 1e-3, None)
    return xp.where(xp.abs(share) > _LONG, flow / xp.clip(1.0 - share, _LEAST, None), flow + step)


def _normal_equations(xp: Any, found: Curve, residual: Any, none: Any) -> list[Any]:
    """The gradient and the lower triangle of J^T J, each (n,); `none` are zeros."""
    columns = found.columns if found.by_delay is None else [*found.columns, found.by_delay]
    count = len(columns)
    gradient = [dots(xp, c, residual) for c in columns]
    gram = {(i, j): dots(xp, columns[i], columns[j]) + none for i in range(count) for j in range(i + 1)}
    if found.mix is None:
        return [*gradient, *gram.values()]
    at = lambda i, j: gram[max(i, j), min(i, j)]
    inner = range(len(found.columns))
    mixed = [[sum(m[k] * at(k, j) for k in inner) for j in range(count)] for m in found.mix]
    total = lambda m, row: sum(m[k] * row[k] for k in inner)
    result = [total(m, gradient) for m in found.mix] + gradient[len(inner) :]
    for i, row in enumerate(mixed):
        result += [total(m, row) for m in found.mix[: i + 1]]
    if found.by_delay is not None:
        result += [row[-1] for row in mixed] + [at(count - 1, count - 1)]
    return result
