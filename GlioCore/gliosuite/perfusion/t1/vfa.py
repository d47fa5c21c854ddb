"""T1 mapping from spoiled gradient echo series at several flip angles (VFA)."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
from numpy.typing import ArrayLike

from ...compute import Device, back, blocks, cast, choose_device, dots, each
from ...compute.compiled import compiled, worthwhile
from ...curves import check_signal, mask_array
from ...errors import InputError
from ...files import staged, write_json
from ...images import Grid, Series, array, boolean, resample, write_image
from ...resources import look
from ...settings import settings_of
from ...steps import Progress, silent
from ..settings import DceSettings, T1Settings
from . import vfakernel

_RANGE_S = (0.02, 20.0)  # of T1; chosen, fat has 0.3 s and fluid 4 s
# Nodes of the coarse grid of ln q; chosen, Newton's method leads from the best of them to the optimum (test_vfa).
_STARTS = 12
_BLOCK = 2**17  # voxels; chosen, smaller blocks wait for the interpreter
_BLOCK_COMPILED = 2**14  # voxels in a kernel; chosen
_USUAL_S = 1.2  # chosen, between white and grey matter: where the line is weighted best
# Of Newton's method in single precision, and from the coarse grid; chosen, each doubles the digits.
_ROUGH_STEPS, _MORE_STEPS = 2, 20
_NOISY = 0.98  # of the sum of squares: chosen, what explains less is noise, in which the line can lead astray
_LEAST_LARGEST_DEG = 2.0  # chosen: a series of smaller angles shows no T1


def fit_vfa(
    signals: ArrayLike,
    flip_angles_deg: ArrayLike,
    tr_s: float,
    b1: ArrayLike = 1.0,
    device: str = "auto",
    linear: bool = False,
) -> tuple[np.ndarray, np.ndarray]:
    """T1 and M0 by nonlinear least squares of the spoiled gradient echo equation.

    ``S = M0 sin(a) (1 - E1) / (1 - cos(a) E1)`` with ``E1 = exp(-TR / T1)``, the flip angle a and the repetition time TR. M0 is linear
    and solved for; T1 is taken from the straight line through the transformed signals or from a coarse grid, whichever is better, and
    polished by Newton's method.

    Parameters
    ----------
    signals
        (n, n_angles).
    flip_angles_deg
        (n_angles,) in degrees.
    tr_s
        Repetition time in s.
    b1
        Actual over nominal flip angle; one, or (n,).
    device
        ``"auto"``, ``"cpu"``, or ``"cuda"`` (torch).
    linear
        Take the straight line alone (Gupta 1977; Deoni 2003): fast in any software, and biased by noise.

    Returns
    -------
    t1_s, m0 : numpy.ndarray
        float32 (n,); NaN where the signal is not finite, not above 0, or fits no T1 between 0.02 and 20 s.

    Raises
    ------
    InputError
        If there are fewer than two different angles, or as many signals as angles are not given.

    References
    ----------
    Gupta RK, J Magn Reson 1977;25:231 (the line). Deoni SCL, Rutt BK, Peters TM, Magn Reson Med 2003;49:515.

    Examples
    --------
    >>> import numpy as np
    >>> from gliosuite.perfusion.signal import spgr_signal
    >>> signals = 1000 * np.stack([spgr_signal(1 / 1.2, 0.005, angle) for angle in (2, 5, 12)])
    >>> t1_s, m0 = fit_vfa(signals[None], (2, 5, 12), tr_s=0.005)
    >>> t1_s.round(3), m0.round(1)
    (array([1.2], dtype=float32), array([1000.], dtype=float32))
    """
    signals = np.asarray(signals)
    angles = np.asarray(flip_angles_deg, np.float64).ravel()
    if np.unique(angles).size < 2:
        raise InputError(
            f"{angles.size} flip angles ({', '.join(f'{a:g}' for a in angles)}); two different ones are needed"
        )
    if signals.shape[-1] != angles.size:
        raise InputError(f"{signals.shape[-1]} signals and {angles.size} flip angles; as many flip angles are needed")
    where = choose_device(device)
    n = signals.shape[0]
    b1 = np.asarray(b1, np.float64)
    t1, m0 = np.full(n, np.nan, np.float32), np.full(n, np.nan, np.float32)

    def kernel(rows: slice) -> None:
        values = np.ascontiguousarray(signals[rows], np.float64)
        scale = np.ascontiguousarray(b1[rows] if b1.ndim else b1[None])
        compiled(vfakernel).fit_t1(
            values, np.deg2rad(angles), scale, float(tr_s), _RANGE_S, _USUAL_S, _STARTS, t1[rows], m0[rows]
        )

    def block(rows: slice) -> None:
        # One row per angle, so that every operation walks through memory in order.
        values = np.ascontiguousarray(signals[rows].T)
        scale = where.put(b1[rows]) if b1.ndim else float(b1)
        t1[rows], m0[rows] = (back(v) for v in _fit(where, values, np.deg2rad(angles), scale, tr_s, linear))

    if where.compiled and not linear and worthwhile(n):
        each(kernel, list(blocks(n, _BLOCK_COMPILED)), silent, "fitting T1")
    else:
        each(block, list(blocks(n, 2 * _BLOCK if where.place else _BLOCK)), silent, "fitting T1")
    return t1, m0


def _fit(device: Device, values: np.ndarray, angles: np.ndarray, b1: Any, tr_s: float, linear: bool) -> tuple[Any, Any]:
    """T1 and M0 (n,) from signals (angles, n).

    With q = 1 - exp(-TR / T1) the signal is M0 q / (a + b q), a = tan(angle / 2), b = 1 / tan(angle): one factor that is linear, and one
    number to search for.
    """
    xp, signals = device.xp, device.put(values)
    top = xp.amax(signals, axis=0) if xp is np else signals.amax(dim=0)
    one = xp.ones_like(top)
    valid = xp.isfinite(signals.sum(axis=0)) & (top > 0)
    mapped = not isinstance(b1, float)
    if mapped:
        valid = valid & xp.isfinite(b1) & (b1 > 0)
    if not valid.all():
        signals, b1 = xp.where(valid, signals, one), xp.where(valid, b1, one) if mapped else b1
    # Python's floats leave the precision of what they meet as it is.
    tangent = xp.tan if mapped else math.tan
    angle = [float(v) * b1 for v in angles]
    a: list[Any] = [tangent(0.5 * v) for v in angle]
    b: list[Any] = [1.0 / tangent(v) for v in angle]
    low, high = (float(np.log(-np.expm1(-tr_s / t))) for t in reversed(_RANGE_S))
    limits = (float(np.exp(low)), float(np.exp(high)))
    if linear:
        slope, level = _line(
            signals, [1.0 / (xp.sin if mapped else math.sin)(v) for v in angle], b, [1.0] * len(angles)
        )
        q = xp.clip(1.0 - slope, *limits)
        m0 = level / q
        valid = valid & (slope < 1.0) & (slope > 0.0) & (m0 > 0)
        t1 = -tr_s / xp.log1p(-q)
        valid = valid & (t1 > _RANGE_S[0]) & (t1 < _RANGE_S[1])
        return xp.where(valid, t1, xp.nan + 0.0 * t1), xp.where(valid, m0, xp.nan + 0.0 * m0)

    # The line and the first steps need no more than four digits, which the last step doubles.
    single = cast(signals, single=True)
    single_a, single_b = ([cast(r, single=True) if mapped else r for r in rows] for rows in (a, b))
    usual = -np.expm1(-tr_s / _USUAL_S)
    weights = [float((np.tan(0.5 * v) + usual / np.tan(v)) ** -2) for v in angles]
    slope, _ = _line(single, [x + y for x, y in zip(single_a, single_b)], single_b, weights)
    v = xp.log(xp.clip(1.0 - slope, *limits))
    for _ in range(_ROUGH_STEPS):
        v = _step(xp, v, single, single_a, single_b, (low, high))[0]
    v, sure, level, explained = _step(xp, cast(v, single=False), signals, a, b, (low, high))
    noisy = explained < _NOISY * dots(xp, signals, signals)
    rest = xp.where(~sure | noisy | (slope <= 0) | (slope >= 1))[0]
    if rest.shape[0]:
        # The line lies out of range or in noise, or Newton's method has not settled: the best of a coarse grid, and more steps.
        a, b = ([r[rest] if mapped else r for r in rows] for rows in (a, b))
        some = signals[:, rest]
        start, best = v[rest], _projection(xp, v[rest], some, a, b)[1]
        for node in np.linspace(low, high, _STARTS):
            gain = _projection(xp, node + 0.0 * start, some, a, b)[1]
            start, best = xp.where(gain > best, node + 0.0 * start, start), xp.where(gain > best, gain, best)
        for _ in range(_MORE_STEPS):
            start = _step(xp, start, some, a, b, (low, high))[0]
        v[rest], level[rest] = start, _projection(xp, start, some, a, b)[0]
    q = xp.exp(v)
    valid = valid & (level > 0) & (v > low + 1e-6) & (v < high - 1e-6)
    return xp.where(valid, -tr_s / xp.log1p(-q), xp.nan + 0.0 * q), xp.where(valid, level / q, xp.nan + 0.0 * q)


def _line(signals: Any, over_sine: list[Any], over_tangent: list[Any], weights: list[float]) -> tuple[Any, Any]:
    """Slope and offset of S / sin = E1 S / tan + M0 q through all angles.

    Weighted by the squared sensitivity of the signal at a usual T1 it is next to the optimum; unweighted it is the classical line.
    """
    total = x1 = y1 = xx = xy = 0.0
    for s, over, b, weight in zip(signals, over_sine, over_tangent, weights):
        x, y = s * b, s * over
        wx = weight * x
        total, x1, y1 = total + weight, x1 + wx, y1 + weight * y
        xx, xy = xx + wx * x, xy + wx * y
    spread = xx - x1 * x1 / total
    slope = (xy - x1 * y1 / total) / (spread + (spread <= 0))
    return slope, (y1 - slope * x1) / total


def _projection(xp: Any, v: Any, signals: Any, a: list[Any], b: list[Any]) -> tuple[Any, Any]:
    """The linear factor at ln q = v, and the sum of squares that the signal equation explains with a factor not below 0."""
    q = xp.exp(v)
    ff = sf = 0.0
    for s, x, y in zip(signals, a, b):
        f = 1.0 / (x + y * q)
        ff, sf = ff + f * f, sf + s * f
    return sf / ff, xp.where(sf > 0, sf, 0.0 * sf) ** 2 / ff


def _step(
    xp: Any, v: Any, signals: Any, a: list[Any], b: list[Any], limits: tuple[float, float]
) -> tuple[Any, Any, Any, Any]:
    """A step of Newton's method on ln q with the linear factor projected out; Gauss-Newton's where the curve bends the wrong way.

    Returns
    -------
    v, sure, level, explained
        ln q after the step; whether it was a Newton step below 1e-4, so that the next would be below 1e-8; the linear factor after a
        sure step; the sum of squares that is explained before the step.
    """
    q = xp.exp(v)
    ff, fd, dd, sf, sd, se = (xp.zeros_like(v) for _ in range(6))
    for s, x, y in zip(signals, a, b):
        # f = 1 / (a + b q); with t = b q f its derivatives by ln q are -t f and (2 t - 1) t f.
        t = y * q
        f = t + x
        f = 1.0 / f
        t *= f
        part = s * f
        f *= f
        for total, other in ((ff, sf), (fd, sd), (dd, se)):
            total += f
            other += part
            if total is not dd:
                f *= t
                part *= t
    fe, se = 2.0 * dd - fd, 2.0 * se - sd
    fd, sd = -fd, -sd
    level = sf / ff
    # Half the derivative of (s f)^2 / (f f), and its derivative.
    away = sd - level * fd
    change = (away - level * fd) / ff
    second = change * away + level * (se - change * fd - level * (dd + fe))
    plain = -(level**2) * (dd - fd * fd / ff)
    concave = second < 0.3 * plain
    bend = xp.where(concave, second, plain)
    step = xp.clip(-level * away / (bend - 1.0 * (bend >= 0)), -0.7, 0.7)
    after = (sf + step * (sd + 0.5 * step * se)) / (ff + step * (2.0 * fd + step * (dd + fe)))
    return xp.clip(v + step, *limits), concave & (xp.abs(step) < 1e-4), after, sf * level


@dataclass(frozen=True)
class T1Maps:
    """T1 in s and M0 in the unit of the input, on the native grid; NaN where undefined, 0 outside the mask.

    `b1`, the actual over the nominal flip angle, is there where it was estimated (DESPOT1-HIFI).
    """

    t1: sitk.Image
    m0: sitk.Image
    mask: sitk.Image
    settings: Any
    median_t1_s: float | None
    notes: list[str]
    b1: sitk.Image | None = None


def t1_maps(
    series: Series,
    settings: T1Settings,
    b1: sitk.Image | None = None,
    mask: sitk.Image | None = None,
    progress: Progress = silent,
) -> T1Maps:
    """T1 and M0 maps of a series with one volume per flip angle.

    Raises
    ------
    InputError
        If volumes and flip angles differ in number, or the series or mask cannot be used.
    """
    check_angles(series, settings)
    inside = mask_array(mask, series)
    fitted = check_signal(series, inside, settings.allow_invalid_voxels)
    scale = 1.0 if b1 is None else b1_values(b1, series.grid, fitted)[fitted]
    progress(0.1, "fitting T1")
    angles = settings.flip_angles_deg
    found = fit_vfa(series.curves(fitted), angles, settings.tr_ms / 1000.0, scale, settings.device, settings.linear)
    return collect(series, inside, fitted, settings, *found)


def b1_values(b1: sitk.Image, grid: Grid, mask: np.ndarray) -> np.ndarray:
    """A map of the actual over the nominal flip angle on a grid, (z, y, x); refused where its median in `mask` cannot be one."""
    values = array(resample(b1, grid))
    middle = float(np.median(values[mask]))
    if not 0.2 < middle < 5:
        raise InputError(
            f"the B1 map has a median of {middle:g}; the actual over the nominal flip angle is needed (about 1)"
        )
    return values


def check_angles(series: Series, settings: T1Settings) -> None:
    """Refuse a series without one flip angle per volume, or impossible numbers."""
    angles = settings.flip_angles_deg
    if series.n_times != len(angles):
        raise InputError(
            f"{series.name} has {series.n_times} volumes and {len(angles)} flip angles are given; one flip angle per volume is needed"
        )
    ranges = settings_of(DceSettings)
    ranges["tr_ms"].check(settings.tr_ms, f"{series.name}: ")
    most = ranges["flip_angle_deg"].high or 90.0
    if not all(0 < a <= most for a in angles):
        said = ", ".join(f"{a:g}" for a in angles)
        raise InputError(
            f"{series.name}: the flip angles are {said}; angles above 0 and up to {most:g} degrees are needed"
        )
    if max(angles) < _LEAST_LARGEST_DEG:
        raise InputError(
            f"the largest flip angle is {max(angles):g} degrees, which tells no T1; were the angles given in radians?"
        )


def collect(
    series: Series,
    inside: np.ndarray,
    fitted: np.ndarray,
    settings: Any,
    t1: np.ndarray,
    m0: np.ndarray,
    b1: np.ndarray | None = None,
) -> T1Maps:
    """Maps of values at the voxels `fitted` (z, y, x), a part of the mask `inside`."""
    known = np.isfinite(t1)
    if not known.any():
        raise InputError(
            "T1 could be fitted in no voxel: the signals do not follow the spoiled gradient echo at these flip angles and repetition time"
        )

    def image(values: np.ndarray) -> sitk.Image:
        whole = np.zeros(inside.shape, np.float32)
        whole[inside] = np.nan
        whole[fitted] = values
        return series.grid.image(whole)

    done = np.zeros_like(inside)
    done[fitted] = known
    notes = []
    if inside.sum() > known.sum():
        notes.append(f"{int(inside.sum() - known.sum())} of {int(inside.sum())} voxels have no T1 and are NaN")
    median = float(np.median(t1[known])) if known.any() else None
    field = None if b1 is None else image(b1)
    return T1Maps(image(t1), image(m0), series.grid.image(done), settings, median, notes, field)


def write(maps: T1Maps, out_dir: str | Path, format: str = "nii.gz") -> dict:
    """Write t1, m0, mask, fit.json and b1 where it was estimated, all or nothing; returns what fit.json holds."""
    images = {"t1": maps.t1, "m0": maps.m0} | ({} if maps.b1 is None else {"b1": maps.b1})
    record = {
        "step": "t1",
        "settings": maps.settings,
        "units": {name: look(name).unit for name in images},
        "medians": {"t1": maps.median_t1_s},
        "fitted_voxels": int(boolean(maps.mask).sum()),
        "notes": maps.notes,
    }
    with staged(out_dir) as folder:
        for name, image in images.items():
            write_image(image, folder / f"{name}.{format}", f"{name} [{look(name).unit}]")
        write_image(maps.mask, folder / f"mask.{format}", "mask [0 or 1]")
        write_json(folder / "fit.json", record)
    return record
