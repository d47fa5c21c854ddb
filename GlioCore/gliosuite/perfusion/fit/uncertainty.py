"""What the data can tell: standard deviations at the optimum, the profile over kep, and whether the model fits at all."""

from typing import Any

import numpy as np

from ...compute import back, cast, product_rows, subset
from .search import Nodes

UNKNOWN = 1e30  # the variance of what the data say nothing about: infinity would turn 0 times it into NaN
_WIDE = 0.25  # above this SD of ln kep the sum of squares is no parabola, and its profile is looked at
_CHI2 = 3.84  # 95 % of one degree of freedom
_NORMAL = 1.96
FALSE_ALARMS = 0.01
_ONE_PERCENT = 2.326  # standard deviations that a normal variable exceeds in 1 %


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


def natural(
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


def widen_by_profile(
    nodes: Nodes,
    delay_index: int | np.ndarray,
    y: Any,
    variance: Any,
    values: dict[str, Any],
    sd: dict[str, Any],
    sd_log_kep: Any,
) -> None:
    """Widen the SD of kep and ve, in place, where the sum of squares is not a parabola over ln kep.

    At the rates of a table, at one of its delays (or each voxel's own), the weights are solved for again; what kep and ve are where the
    profile likelihood stays within its 95 % limit is the interval that the SD then stands for (its longer side over 1.96). Where the data
    cannot tell kep, the interval reaches the end of the table, and the SD of ve says so.
    """
    xp = nodes.xp
    wide = xp.where((sd_log_kep > _WIDE) & (variance > 0))[0]
    if not wide.shape[0]:
        return
    if np.ndim(delay_index) == 0:
        _widen(nodes, int(delay_index), y, variance, values, sd, wide)
        return
    own = np.asarray(delay_index)[back(wide)]
    for index in np.unique(own):
        which = np.flatnonzero(own == index)
        some = wide[subset(which, wide)]
        _widen(nodes, int(index), y, variance, values, sd, some)


def _widen(
    nodes: Nodes, index: int, y: Any, variance: Any, values: dict[str, Any], sd: dict[str, Any], wide: Any
) -> None:
    xp = nodes.xp
    n_columns = nodes.shape[1]
    some = slice(index * n_columns, (index + 1) * n_columns)
    length, overlap = nodes.length[some], nodes.overlap[some]
    target = cast(y[:, wide], single=True)
    # Slices of a table are not contiguous; the product's blocks want them to be.
    upright = np.ascontiguousarray(nodes.upright[:, some]) if xp is np else nodes.upright[:, some]
    a, b = product_rows(target, upright), product_rows(target, nodes.companion[:, index : index + 1])
    # The column and its companion where both weights may stand, otherwise the better of the two alone. In place: there are many nodes.
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
    likely = explained >= (best - _CHI2 * variance[wide])[:, None]
    rates = xp.exp(nodes.log_rates)
    weight /= rates
    for name, at_nodes in (("kep", rates), ("ve", weight)):
        off = at_nodes - cast(values[name][wide], single=True)[:, None]
        off = xp.abs(off)
        off *= likely
        longest = (xp.amax(off, axis=1) if xp is np else off.amax(dim=1)) / _NORMAL
        sd[name][wide] = xp.maximum(longest, sd[name][wide])


def misfit_limit(n_times: int, n_parameters: int) -> float:
    """Correlation of neighbouring residuals above which a fit is said to miss the curve.

    Residuals of a model that fits are as independent as the noise; what a model cannot follow lasts for several frames. Under white
    noise the correlation of neighbouring residuals is nearly normal with the variance (n - 2) / (n^2 - 1); fitting p smooth parameters
    lowers its mean by about p / n. The limit is the value that 1 % of fitting curves exceed. No noise level has to be known.

    References
    ----------
    Durbin J, Watson GS, Biometrika 1950;37:409.
    """
    return _ONE_PERCENT * float(np.sqrt((n_times - 2) / (n_times**2 - 1))) - n_parameters / n_times
