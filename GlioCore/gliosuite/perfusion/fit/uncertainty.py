"""What the data determine of a kinetic fit (DCE): standard deviations at the optimum, the profile likelihood of kep, and the misfit."""

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.special import stdtrit

from ...compute import back, cast, dots, product, product_rows, subset
from .models import Curve
from .polish import normal_equations
from .search import SearchGrid

UNKNOWN = 1e30  # the variance of what the data say nothing about: infinity would turn 0 times it into NaN
_SINGULAR = (
    1e10  # of a parameter's variance over what it were if the others were known; chosen, where double precision ends
)
# SD of ln kep above which its profile likelihood is computed; chosen, since a parabola over ln kep is a good one over kep where the SD is
# small, and the profile takes time.
_WIDE = 0.25
_CHI2_95 = 3.84  # 95 % quantile of chi-squared with one degree of freedom
_NORMAL_975 = 1.96  # standard deviations on either side that hold 95 % of a normal variable
# Of the bound of kep: a profile that ends at it ends there but for the rounding of single precision, which must not decide. Chosen: far
# less than the nodes of a profile lie apart.
_BELOW = 1.0 - 1e-5
FALSE_ALARMS = 0.01  # of the misfit map; chosen
_NORMAL_99 = 2.326  # standard deviations that a normal variable exceeds in 1 %, `FALSE_ALARMS`


def covariance(xp: Any, curvature: list[list[Any]]) -> list[list[Any]]:
    """Inverse of J^T J, rows of (n,); of J^T J the lower triangle is enough.

    The variance is `UNKNOWN` where the data say nothing about a parameter.
    """
    n = len(curvature)
    diagonal = [curvature[i][i] for i in range(n)]
    one = 1.0 + 0.0 * diagonal[0]
    scale = [1.0 / xp.sqrt(xp.where(d > 0, d, one)) for d in diagonal]
    lower: list[list[Any]] = [[None] * n for _ in range(n)]
    inverse: list[list[Any]] = [[None] * n for _ in range(n)]
    for i in range(n):
        for j in range(i + 1):
            value = (1.0 + 1e-14) * one if i == j else curvature[i][j] * scale[i] * scale[j]
            for k in range(j):
                value = value - lower[i][k] * lower[j][k]
            lower[i][j] = xp.sqrt(xp.clip(value, 1e-14, None)) if i == j else value / lower[j][j]
        for j in range(i + 1):
            value = one if i == j else 0.0 * one
            for k in range(j, i):
                value = value - lower[i][k] * inverse[k][j]
            inverse[i][j] = value / lower[i][i]
    result: list[list[Any]] = [[None] * n for _ in range(n)]
    for i in range(n):
        for j in range(i + 1):
            value = sum(inverse[k][i] * inverse[k][j] for k in range(i, n)) * scale[i] * scale[j]
            result[i][j] = xp.where(diagonal[i] > 0, value, UNKNOWN * one) if i == j else value
            result[j][i] = result[i][j]
    return result


def with_signal_noise(
    xp: Any,
    spread: list[list[Any]],
    curvature: list[list[Any]],
    middle: list[list[Any]],
) -> list[list[Any]]:
    """The covariance of least squares where noise is neither even nor independent: ``(J^T J)^-1 J^T V J (J^T J)^-1``, rows of (n,).

    Parameters
    ----------
    spread
        ``(J^T J)^-1``, of `covariance`; it stays where J^T J is nearly singular, since the data then say nothing either way.
    curvature, middle
        Lower triangles of J^T J and of J^T V J (`noise_matrix`), rows of (n,).

    References
    ----------
    White H, Econometrica 1980;48:817.
    """
    inner = range(len(spread))
    at = lambda i, j: middle[max(i, j)][min(i, j)]
    half = [[sum(spread[i][k] * at(k, j) for k in inner) for j in inner] for i in inner]
    singular = sum(1.0 * (spread[i][i] * curvature[i][i] > _SINGULAR) for i in inner) > 0
    result = [list(row) for row in spread]
    for i in inner:
        for j in inner:
            value = sum(half[i][k] * spread[k][j] for k in inner)
            nothing = (spread[i][i] >= UNKNOWN) | (spread[j][j] >= UNKNOWN)
            result[i][j] = xp.where(singular | nothing, spread[i][j], value)
    return result


def noise_matrix(
    xp: Any, found: Curve, directions: Any, gains: tuple[Any, Any], n_baseline: int, residual: Any
) -> list[list[Any]]:
    """J^T V J, V being the covariance of the frames' errors over the mean square of the residual; lower triangle, rows of (n,).

    V has the noise of each frame on its diagonal, and the error of the signal before contrast, which all frames share. How large the
    noise of the signal is, the residual says, each frame's over its gain: where much agent is, the fit follows the noise.

    Parameters
    ----------
    found
        The curve's derivatives in the subspace.
    directions
        (t, r) of the subspace.
    gains
        See `SignalNoise.gains`; (n, t).
    residual
        (n, t) mM.
    """
    by_frame, by_baseline = (g.T for g in gains)
    frames = lambda c: by_frame * product(directions, c)
    late = None if found.by_delay is None else frames(found.by_delay)
    weighted = Curve(None, [frames(c) for c in found.columns], late, found.mix)
    left = residual.T
    size = dots(xp, left, left)
    rows = normal_equations(xp, weighted, by_baseline / by_frame, 0.0 * size)
    count = round((2 * len(rows) + 2.25) ** 0.5 - 1.5)  # of count (count + 3) / 2 rows
    shared, triangle = rows[:count], iter(rows[count:])
    signal = left / by_frame
    # The residual knows the noise only so well: 1.96 SD are to hold what Student's t does.
    wider = (float(stdtrit(left.shape[0] - count, 0.975)) / _NORMAL_975) ** 2
    scale = wider * dots(xp, signal, signal) / xp.where(size > 0, size, 1.0 + 0.0 * size)
    return [[scale * (next(triangle) + shared[i] * shared[j] / n_baseline) for j in range(i + 1)] for i in range(count)]


def parameters_with_sd(
    xp: Any, model: str, names: list[str], found: Any, spread: list[list[Any]]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Parameters by name, those that follow from others included, and their standard deviations.

    Parameters
    ----------
    names
        Of the parameters in `found` (p, n).
    spread
        Their covariance, rows of (n,).
    """
    at = {name: i for i, name in enumerate(names)}
    values = {name: found[i] for name, i in at.items() if name != "log_kep"}
    sd = {name: xp.sqrt(spread[at[name]][at[name]]) for name in values}

    def derived(name: str, value: Any, slopes: dict[str, Any]) -> None:
        values[name] = value
        total = 0.0
        for a, x in slopes.items():
            for b, y in slopes.items():
                total = total + x * y * spread[at[a]][at[b]]
        sd[name] = xp.sqrt(xp.abs(total))

    if "log_kep" in at:
        kep = xp.exp(found[at["log_kep"]])
        ktrans = values["ktrans"]
        derived("kep", kep, {"log_kep": kep})
        derived("ve", ktrans / kep, {"ktrans": 1.0 / kep, "log_kep": -ktrans / kep})
    elif model == "patlak":
        values["ktrans"], sd["ktrans"] = values["ps"], sd["ps"]
    else:
        flow, ps = values["fp"] / 100.0, values["ps"]
        total = xp.clip(flow + ps, 1e-12, None)
        slopes = {"fp": (ps / total) ** 2 / 100.0, "ps": (flow / total) ** 2}
        derived("ktrans", flow * ps / total, slopes)
        if model == "2cxm":
            ve = xp.clip(values["ve"], 1e-12, None)
            by_ve = {"ve": -values["ktrans"] / ve**2}
            derived("kep", values["ktrans"] / ve, {k: v / ve for k, v in slopes.items()} | by_ve)
    return values, sd


def without_unknown(
    xp: Any, values: dict[str, Any], sd: dict[str, Any], log_kep: Any, sd_log_kep: Any, highest: float
) -> dict[str, Any]:
    """SD of ve and kep (n,), infinite where the curve has no return from outside the vessels that could be told from none, or from plasma.

    That is where ktrans is less than 1.96 SD above 0, or the 95 % interval of ln kep reaches `highest`, its bound: exchange as fast as that
    looks like plasma.
    """
    weak = values["ktrans"] < _NORMAL_975 * sd["ktrans"]
    fast = (log_kep + _NORMAL_975 * sd_log_kep >= highest) | ~(
        values["kep"] + _NORMAL_975 * sd["kep"] < _BELOW * float(np.exp(highest))
    )
    return {name: xp.where(weak | fast, xp.inf + 0.0 * log_kep, sd[name]) for name in ("ve", "kep")}


def widen_by_profile(
    grid: SearchGrid,
    delay_index: int | np.ndarray,
    y: Any,
    variance: Any,
    values: dict[str, Any],
    sd: dict[str, Any],
    sd_log_kep: Any,
    sides: Callable[..., dict[str, Any]] | None = None,
) -> dict[str, Any]:
    """The SD of kep and ve, widened where the sum of squares is not a parabola over ln kep.

    At the rates of a grid, at one of its delays (or each voxel's own), the weights are solved for again (profile likelihood); what kep and
    ve are where the profile stays within its 95 % limit is the interval that the SD then stands for (its longer side over 1.96). Where the
    data do not determine kep, the interval reaches the end of the grid, and the SD of ve says so. `sides` may take the place of
    `longest_sides`.
    """
    xp = grid.xp
    widened = {name: 1.0 * sd[name] for name in ("kep", "ve")}
    wide = xp.where((sd_log_kep > _WIDE) & (variance > 0))[0]
    if not wide.shape[0]:
        return widened
    own = delay_index[back(wide)] if isinstance(delay_index, np.ndarray) and delay_index.ndim else delay_index
    found = {k: values[k][wide] for k in widened}
    within = _CHI2_95 * variance[wide]
    longest = sides(own, y[:, wide], within, found) if sides else longest_sides(grid, own, y[:, wide], within, found)
    for name in widened:
        side = longest[name] / _NORMAL_975
        widened[name][wide] = xp.maximum(side, sd[name][wide])
    return widened


def longest_sides(
    grid: SearchGrid, delay_index: int | np.ndarray, y: Any, within: Any, values: dict[str, Any]
) -> dict[str, Any]:
    """How far kep and ve (n,) are from those at any node that explains up to `within` (n,) less than the best, at each voxel's delay."""
    if not isinstance(delay_index, np.ndarray):
        return _longest_side(grid, int(delay_index), y, within, values)
    longest: dict[str, Any] = {"kep": 0.0 * within, "ve": 0.0 * within}
    for index in np.unique(delay_index):
        some = subset(np.flatnonzero(delay_index == index), y)
        part = _longest_side(grid, int(index), y[:, some], within[some], {k: v[some] for k, v in values.items()})
        for name, side in part.items():
            longest[name][some] = cast(side, single=False)
    return longest


def _longest_side(grid: SearchGrid, index: int, y: Any, within: Any, values: dict[str, Any]) -> dict[str, Any]:
    """`longest_sides` at one delay of the grid."""
    xp = grid.xp
    n_rates = grid.shape[1]
    here = slice(index * n_rates, (index + 1) * n_rates)
    length, overlap = grid.length[here], grid.overlap[here]
    target = cast(y, single=True)
    # Slices of a table are not contiguous; the product's blocks want them to be.
    orthogonal = np.ascontiguousarray(grid.orthogonal[:, here]) if xp is np else grid.orthogonal[:, here]
    a, b = product_rows(target, orthogonal), product_rows(target, grid.second[:, index : index + 1])
    # Both basis functions where both weights may stand, otherwise the better of the two alone. In place: there are many nodes.
    inside = (a >= 0) & (b >= a * (overlap / length))
    norm = xp.sqrt(length**2 + overlap**2)
    alone = a * (length / norm)
    alone += b * (overlap / norm)
    alone = xp.clip(alone, 0.0, None)
    explained = xp.maximum(alone, xp.clip(b, 0.0, None))
    alone /= norm
    weight = xp.where(inside, a / length, alone)
    a *= a
    a += b * b
    explained *= explained
    explained = xp.where(inside, a, explained)
    best = xp.amax(explained, axis=1) if xp is np else explained.amax(dim=1)
    likely = explained >= (best - within)[:, None]
    rates = xp.exp(grid.log_rates)
    weight /= rates
    result = {}
    for name, at_nodes in (("kep", rates), ("ve", weight)):
        side = xp.abs(at_nodes - cast(values[name], single=True)[:, None])
        side *= likely
        result[name] = xp.amax(side, axis=1) if xp is np else side.amax(dim=1)
    return result


def misfit_limit(n_times: int, n_parameters: int) -> float:
    """Correlation of neighbouring residuals above which a fit is said to miss the curve.

    Residuals of a model that fits are as independent as the noise; what a model cannot follow lasts for several frames. Under white
    noise the correlation of neighbouring residuals is nearly normal with the variance (n - 2) / (n^2 - 1); fitting p smooth parameters
    lowers its mean by about p / n. The limit is the value that 1 % of fitting curves exceed. No noise level has to be known.

    References
    ----------
    Durbin J, Watson GS, Biometrika 1950;37:409.
    """
    return _NORMAL_99 * float(np.sqrt((n_times - 2) / (n_times**2 - 1))) - n_parameters / n_times
