"""The kinetic fit's last part (DCE): bounded Levenberg-Marquardt for many voxels at once, from a start near the optimum to it."""

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from ...compute import dots
from .bases import DelayCell
from .models import Curve, Model

_LEFT_TO_OTHERS = 0.1  # of a block: chosen, so few voxels are better polished together with those of other blocks
_STILL_ACTIVE = 0.8  # of a block: chosen, only where fewer are still active is it worth copying them
# Steps of the flow beyond this fraction go along its reciprocal, of which at least that fraction is left. Chosen: shorter ones are the same
# either way, and the reciprocal must stay above 0.
LONG_STEP, LEAST_RECIPROCAL = 0.05, 0.05
SHORT_STEP = 0.01  # of a parameter: chosen, such a step is taken without looking where it gains nothing
_SHORT_DELAY_STEP_S = 0.05  # the same of the delay
GIVEN_UP = 1e12  # damping beyond which no step changes a parameter in double precision


class Precision(NamedTuple):
    """How far to go: fractions of sums of squares.

    Those of `DOUBLE` were chosen so that no sum of squares lies more than 1e-6 of it above scipy's lowest (test_curvefit).

    Attributes
    ----------
    tolerance
        Of the sum of squares of the residual: what a full step would still gain when a voxel counts as done.
    far
        The same where that step is long.
    nothing
        The same where that step is damped.
    rounding
        Of the curve's own sum of squares: decreases below this are rounding errors.
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
    """Marquardt's step (p, n) and by how much the sum of squares falls if the model is linear; parameters that are not free stay.

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
    predicted = sum(s * s for s in step)
    for i in reversed(range(n)):
        value = step[i]
        for k in range(i + 1, n):
            value = value - lower[k][i] * step[k]
        step[i] = value / lower[i][i]
    return xp.stack([s * f for s, f in zip(step, scale)]), predicted


@dataclass(frozen=True)
class Problem:
    """What is minimised: a model in one delay cell (or each voxel in its own), within bounds.

    Attributes
    ----------
    has_delay
        Whether the delay is the last parameter.
    lowest, highest
        (p, 1) or (p, n).
    """

    cell: DelayCell
    model: Model
    has_delay: bool
    lowest: Any
    highest: Any

    def rows(self, keep: Any) -> "Problem":
        """Of some voxels only."""
        own = self.lowest.shape[1] > 1
        lowest, highest = (v[:, keep] if own else v for v in (self.lowest, self.highest))
        return replace(self, cell=self.cell.rows(keep), lowest=lowest, highest=highest)

    def evaluate(self, p: Any, y: Any, damping: Any, outside: Any, size: Any) -> tuple[Any, Any]:
        """The state (s, n) at parameters p (p, n), and the curve there (r, n); see `_State`."""
        xp = self.cell.xp
        found = self.model.curve(self.cell, p, p[-1] if self.has_delay else None)
        residual = y - found.value
        rows = [*p, *normal_equations(xp, found, residual, 0.0 * p[0])]
        return xp.stack([*rows, dots(xp, residual, residual), damping, outside, size]), found.value


class Polished(NamedTuple):
    """Parameters p and gradient (p, n), J^T J (lower triangle, rows of (n,)), the fitted curve (r, n), indices of unfinished voxels."""

    p: Any
    gradient: Any
    curvature: list[list[Any]]
    curve: Any
    left: Any


class _State(NamedTuple):
    """The state of a voxel is one column, so that voxels are picked out at once; these are views of its rows.

    Parameters, gradient, triangle of J^T J, sum of squares of the residual; Marquardt's damping; sums of squares outside the subspace and
    of the curve.
    """

    p: Any
    gradient: Any
    curvature: list[list[Any]]
    sse: Any
    damping: Any
    outside: Any
    size: Any

    @classmethod
    def of(cls, state: Any, count: int) -> "_State":
        rows = iter(state[2 * count :])
        curvature = [[next(rows) for _ in range(i + 1)] for i in range(count)]
        return cls(state[:count], state[count : 2 * count], curvature, *state[-4:])


_SSE, _DAMPING = -4, -3  # rows of the state


def polish(problem: Problem, y: Any, outside: Any, p: Any, whole: bool, precision: Precision = DOUBLE) -> Polished:
    """Go to the optimum inside the bounds.

    Parameters
    ----------
    y
        Curves in the subspace (r, n).
    outside
        Their sum of squares outside it (n,), which counts when convergence is judged.
    p
        Start (p, n) within the bounds; the delay is the last one where it is fitted.
    whole
        Whether to go on until all voxels are done; otherwise the last few are left as they are.

    References
    ----------
    Marquardt DW, J Soc Ind Appl Math 1963;11:431.
    """
    xp = problem.cell.xp
    count, n = p.shape
    state, curve = problem.evaluate(p, y, 0.0 * outside + 1e-6, outside, dots(xp, y, y))
    final, final_curve, active = state, curve, None
    left = xp.where(outside < 0)[0]  # none
    for _ in range(precision.iterations):
        trial, predicted, done = _step(problem, state, count, precision)
        keep = xp.where(~done)[0]
        few = keep.shape[0] <= (0 if whole else _LEFT_TO_OTHERS * n)
        if few or keep.shape[0] < _STILL_ACTIVE * done.shape[0]:
            if active is None:
                final, final_curve, active = state, curve, keep
            else:
                final[:, active], final_curve[:, active] = state, curve
                active = active[keep]
            if few:
                left = active
                break
            state, curve, y = state[:, keep], curve[:, keep], y[:, keep]
            trial, predicted, done = trial[:, keep], predicted[keep], done[keep]
            problem = problem.rows(keep)
        state, curve = _advance(problem, state, curve, y, trial, predicted, done)
    else:
        if active is None:
            final, final_curve = state, curve
        else:
            final[:, active], final_curve[:, active] = state, curve
    found = _State.of(final, count)
    return Polished(found.p, found.gradient, found.curvature, final_curve, left)


def _step(problem: Problem, state: Any, count: int, precision: Precision) -> tuple[Any, Any, Any]:
    """Where the next step leads (p, n), the decrease predicted of it (n,), and which voxels are done (n,); those take it in `state`."""
    xp, lowest, highest = problem.cell.xp, problem.lowest, problem.highest
    q, gradient, curvature, sse, damping, outside, size = _State.of(state, count)
    free = ~(((q <= lowest) & (gradient <= 0)) | ((q >= highest) & (gradient >= 0)))
    step, predicted = solve(xp, curvature, gradient, free, damping, precision.floor)
    ahead = q + step
    if problem.model.exchange:
        ahead[0] = _along_reciprocal(xp, q[0], step[0])
    trial = xp.minimum(xp.maximum(ahead, lowest), highest)
    # The last step is taken without looking: it gains next to nothing, but brings parameters ever closer to the optimum. One
    # that a bound cuts short is none of these: its other parts were meant to go with what was cut.
    near = xp.abs(trial - q) <= SHORT_STEP * (xp.abs(q) + SHORT_STEP)
    if problem.has_delay:
        near[-1] |= xp.abs(trial[-1] - q[-1]) <= _SHORT_DELAY_STEP_S
    near = (near & (trial == ahead)).all(0)
    # A strongly damped step gains little whether or not the optimum is near.
    settled = (predicted <= xp.where(near, precision.tolerance, precision.far) * (sse + outside)) & (damping <= 1e-3)
    # Steps that go to and fro keep a little damping for long.
    settled |= (predicted <= precision.nothing * (sse + outside)) & (damping <= 1.0)
    done = settled | (predicted <= precision.rounding * size) | (damping > GIVEN_UP)
    state[:count] = xp.where(near & done & (damping <= 1e-3), trial, q)
    state[_DAMPING] = xp.where(settled, 10.0 * GIVEN_UP + 0.0 * damping, damping)
    return trial, predicted, done


def _advance(
    problem: Problem, state: Any, curve: Any, y: Any, trial: Any, predicted: Any, done: Any
) -> tuple[Any, Any]:
    """State and curve after a step: where the sum of squares does not fall, the voxel stays and its damping rises."""
    xp = problem.cell.xp
    sse, damping, outside, size = state[-4:]
    new, new_curve = problem.evaluate(trial, y, damping, outside, size)
    rejected = ~(new[_SSE] < sse) | done
    # Where much less is gained than a linear model promises, the full step overshoots and would go to and fro.
    as_predicted = sse - new[_SSE] > 0.5 * predicted
    new[_DAMPING] = xp.clip(damping * xp.where(as_predicted, 0.1, 5.0), 1e-9, None)
    stay = xp.where(rejected)[0]
    if stay.shape[0]:
        new[:, stay], new_curve[:, stay] = state[:, stay], curve[:, stay]
        new[_DAMPING, stay] = damping[stay] * xp.where(done[stay], 1.0, 10.0)
    return new, new_curve


def _along_reciprocal(xp: Any, flow: Any, step: Any) -> Any:
    """Where a step of the flow leads: where flow is high, curves are nearly linear in its reciprocal, and long steps go along that."""
    share = step / xp.clip(flow, 1e-3, None)
    return xp.where(xp.abs(share) > LONG_STEP, flow / xp.clip(1.0 - share, LEAST_RECIPROCAL, None), flow + step)


def normal_equations(xp: Any, found: Curve, residual: Any, none: Any) -> list[Any]:
    """The gradient J^T residual and then the rows of the lower triangle of J^T J, each (n,); `none` are zeros."""
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
