"""T1 mapping from spoiled gradient echo series at several flip angles (VFA)."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
from numpy.typing import ArrayLike

from ..curves import check_signal, mask_array
from ..errors import InputError
from ..files import staged, write_json
from ..images import Series, array, boolean, resample, write_image
from ..steps import Progress, silent
from .arrays import back, blocks, each, namespace, put

_RANGE_S = (0.02, 20.0)
_STARTS = 12
_BLOCK = 8192


def fit_vfa(
    signals: ArrayLike,
    flip_angles_deg: ArrayLike,
    tr_s: float,
    b1: ArrayLike = 1.0,
    device: str = "auto",
    linear: bool = False,
) -> tuple[np.ndarray, np.ndarray]:
    """T1 and M0 by nonlinear least squares of the spoiled gradient echo equation.

    M0 is linear and solved for; T1 is taken from the straight line through the transformed signals or from a coarse grid, whichever is
    better, and polished by Newton's method.

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
    """
    signals = np.asarray(signals)
    angles = np.asarray(flip_angles_deg, np.float64).ravel()
    if np.unique(angles).size < 2:
        raise InputError(
            f"{angles.size} flip angles ({', '.join(f'{a:g}' for a in angles)}); two different ones are needed"
        )
    if signals.shape[-1] != angles.size:
        raise InputError(f"{signals.shape[-1]} signals and {angles.size} flip angles; as many flip angles are needed")
    xp = namespace(device)
    n = signals.shape[0]
    b1 = np.asarray(b1, np.float64)
    t1, m0 = np.full(n, np.nan, np.float32), np.full(n, np.nan, np.float32)

    def block(rows: slice) -> None:
        values = put(xp, signals[rows], device).T
        scale = put(xp, b1 if b1.ndim == 0 else b1[rows], device)
        t1[rows], m0[rows] = (back(v) for v in _fit(xp, values, np.deg2rad(angles), scale, tr_s, linear))

    each(block, list(blocks(n, _BLOCK if xp is np else 16 * _BLOCK)), silent, "fitting T1")
    return t1, m0


def _fit(xp: Any, signals: Any, angles: np.ndarray, b1: Any, tr_s: float, linear: bool) -> tuple[Any, Any]:
    """T1 and M0 (n,) from signals (angles, n).

    With q = 1 - exp(-TR / T1) the signal is M0 q sin / (1 - cos + cos q): one factor that is linear, and one number to search for.
    """
    count = len(angles)
    top = xp.amax(signals, axis=0) if xp is np else signals.amax(dim=0)
    valid = xp.isfinite(signals.sum(axis=0)) & (top > 0) & xp.isfinite(b1) & (b1 > 0)
    signals = xp.where(valid, signals, 1.0 + 0.0 * top)
    angle = (
        [float(a) * xp.where(valid, b1, 1.0 + 0.0 * top) for a in angles]
        if b1.ndim
        else [float(a) * b1 for a in angles]
    )
    sine, cosine = [xp.sin(a) for a in angle], [xp.cos(a) for a in angle]
    low, high = (float(np.log(-np.expm1(-tr_s / t))) for t in reversed(_RANGE_S))
    # The line S / sin = E1 S / tan + M0 q through all angles; where noise takes it out of the range, the search below helps.
    x = [s * c / w for s, w, c in zip(signals, sine, cosine)]
    y = [s / w for s, w in zip(signals, sine)]
    mean_x, mean_y = sum(x) / count, sum(y) / count
    spread = sum((v - mean_x) ** 2 for v in x)
    slope = sum((v - mean_x) * (w - mean_y) for v, w in zip(x, y)) / (spread + (spread <= 0))
    q = xp.clip(1.0 - slope, float(np.exp(low)), float(np.exp(high)))
    if linear:
        m0 = (mean_y - slope * mean_x) / q
        valid = valid & (slope < 1.0) & (slope > 0.0) & (m0 > 0)
        t1 = -tr_s / xp.log1p(-q)
        valid = valid & (t1 > _RANGE_S[0]) & (t1 < _RANGE_S[1])
        return xp.where(valid, t1, xp.nan + 0.0 * t1), xp.where(valid, m0, xp.nan + 0.0 * m0)

    v, sure = _newton(xp, xp.log(q), signals, sine, cosine, (low, high), 3)
    noisy = _explained(xp, v, signals, sine, cosine) < 0.98 * sum(s * s for s in signals)
    rest = xp.where(~sure | noisy | (slope <= 0) | (slope >= 1))[0]
    if rest.shape[0]:
        # The line lies out of range or in noise, or Newton's method has not settled: the best of a coarse grid, and more steps.
        some = lambda rows: [r[rest] if r.ndim else r for r in rows]
        few, w, c = some(signals), some(sine), some(cosine)
        start, best = v[rest], _explained(xp, v[rest], few, w, c)
        for node in np.linspace(low, high, _STARTS):
            gain = _explained(xp, node + 0.0 * start, few, w, c)
            start, best = xp.where(gain > best, node + 0.0 * start, start), xp.where(gain > best, gain, best)
        v[rest] = _newton(xp, start, few, w, c, (low, high), 12)[0]
    q = xp.exp(v)
    shape = [w / (1.0 - c + c * q) for w, c in zip(sine, cosine)]
    level = sum(s * f for s, f in zip(signals, shape)) / sum(f * f for f in shape)
    valid = valid & (level > 0) & (v > low + 1e-6) & (v < high - 1e-6)
    return xp.where(valid, -tr_s / xp.log1p(-q), xp.nan + 0.0 * q), xp.where(valid, level / q, xp.nan + 0.0 * q)


def _explained(xp: Any, v: Any, signals: Any, sine: list[Any], cosine: list[Any]) -> Any:
    """Sum of squares that the signal equation explains at ln q = v, its linear factor not below 0."""
    q = xp.exp(v)
    shape = [w / (1.0 - c + c * q) for w, c in zip(sine, cosine)]
    along = sum(s * f for s, f in zip(signals, shape))
    return xp.where(along > 0, along, 0.0 * along) ** 2 / sum(f * f for f in shape)


def _newton(
    xp: Any, v: Any, signals: Any, sine: list[Any], cosine: list[Any], limits: tuple[float, float], steps: int
) -> tuple[Any, Any]:
    """Newton's method on ln q with the linear factor projected out; Gauss-Newton's step where the curve bends the wrong way.

    Returns ln q and where the last step was a Newton step below 1e-4, so that the next would be below 1e-8.
    """
    for _ in range(steps):
        q = xp.exp(v)
        ff = fd = dd = fe = sf = sd = se = 0.0
        for s, w, c in zip(signals, sine, cosine):
            r = c * q
            f = w / (r + (1.0 - c))
            r = r * f / w
            d = f * r
            e = d * (2.0 * r - 1.0)
            ff, fd, dd, fe = ff + f * f, fd - f * d, dd + d * d, fe + f * e
            sf, sd, se = sf + s * f, sd - s * d, se + s * e
        level = sf / ff
        # Half the derivative of (s f)^2 / (f f), and its derivative.
        away = sd - level * fd
        change = (away - level * fd) / ff
        second = change * away + level * (se - change * fd - level * (dd + fe))
        plain = -(level**2) * (dd - fd * fd / ff)
        concave = second < 0.3 * plain
        bend = xp.where(concave, second, plain)
        step = -level * away / (bend - 1.0 * (bend >= 0))
        v = xp.clip(v + xp.clip(step, -0.7, 0.7), *limits)
    return v, concave & (xp.abs(step) < 1e-4)


@dataclass(frozen=True)
class T1Settings:
    """How a VFA series was taken: repetition time in ms and flip angles in degrees; whether invalid voxels are left out; how to fit."""

    tr_ms: float
    flip_angles_deg: tuple[float, ...]
    allow_invalid_voxels: bool = False
    linear: bool = False
    device: str = "auto"


@dataclass(frozen=True)
class T1Maps:
    """T1 in s and M0 in the unit of the input, on the native grid; NaN where undefined, 0 outside the mask."""

    t1: sitk.Image
    m0: sitk.Image
    mask: sitk.Image
    settings: T1Settings
    median_t1_s: float | None
    notes: list[str]


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
    angles = settings.flip_angles_deg
    if series.n_times != len(angles):
        raise InputError(
            f"{series.name} has {series.n_times} volumes and {len(angles)} flip angles are given; one flip angle per volume is needed"
        )
    if not settings.tr_ms > 0 or not all(0 < a < 180 for a in angles):
        raise InputError(f"repetition time {settings.tr_ms:g} ms and flip angles {angles}; numbers above 0 are needed")
    inside = mask_array(mask, series)
    fitted = check_signal(series, inside, settings.allow_invalid_voxels)
    scale: np.ndarray | float = 1.0
    if b1 is not None:
        scale = array(resample(b1, series.grid))[fitted]
        if not 0.2 < np.median(scale) < 5:
            raise InputError(
                f"the B1 map has a median of {np.median(scale):g}; the actual over the nominal flip angle is needed (about 1)"
            )
    progress(0.1, "fitting T1")
    t1, m0 = fit_vfa(series.curves(fitted), angles, settings.tr_ms / 1000.0, scale, settings.device, settings.linear)
    known = np.isfinite(t1)

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
    return T1Maps(image(t1), image(m0), series.grid.image(done), settings, median, notes)


def write(maps: T1Maps, out_dir: str | Path, format: str = "nii.gz") -> dict:
    """Write t1, m0, mask and fit.json, all or nothing; returns what fit.json holds."""
    record = {
        "step": "t1",
        "settings": maps.settings,
        "units": {"t1": "s", "m0": "input units"},
        "medians": {"t1": maps.median_t1_s},
        "fitted_voxels": int(boolean(maps.mask).sum()),
        "notes": maps.notes,
    }
    with staged(out_dir) as folder:
        write_image(maps.t1, folder / f"t1.{format}", "t1 [s]")
        write_image(maps.m0, folder / f"m0.{format}", "m0 [input units]")
        write_image(maps.mask, folder / f"mask.{format}", "mask [0 or 1]")
        write_json(folder / "fit.json", record)
    return record
