"""T1 mapping from spoiled gradient echo series at several flip angles (VFA)."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from numpy.typing import ArrayLike

from ..curves import check_signal, mask_array
from ..errors import InputError
from ..files import staged, write_json
from ..images import Series, array, boolean, resample, write_image
from ..steps import Progress, silent
from .signal import spgr_signal

_RANGE_S = (0.02, 20.0)
_STARTS = 24
_BLOCK = 65536


def fit_vfa(
    signals: ArrayLike, flip_angles_deg: ArrayLike, tr_s: float, b1: ArrayLike = 1.0, device: str = "auto"
) -> tuple[np.ndarray, np.ndarray]:
    """T1 and M0 by nonlinear least squares of the spoiled gradient echo equation.

    M0 is linear and solved for; T1 is searched on a logarithmic grid and polished by Gauss-Newton, so there is no start value.

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
        ``"auto"`` or ``"cpu"``.

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
    if device == "cuda":
        raise InputError("the T1 fit runs on the CPU; use --device cpu or auto")
    if np.unique(angles).size < 2:
        raise InputError(
            f"{angles.size} flip angles ({', '.join(f'{a:g}' for a in angles)}); two different ones are needed"
        )
    if signals.shape[-1] != angles.size:
        raise InputError(f"{signals.shape[-1]} signals and {angles.size} flip angles; as many flip angles are needed")
    b1 = np.broadcast_to(np.asarray(b1, np.float64), signals.shape[:1])
    t1 = np.full(signals.shape[0], np.nan, np.float32)
    m0 = np.full(signals.shape[0], np.nan, np.float32)
    for i in range(0, signals.shape[0], _BLOCK):
        block = np.asarray(signals[i : i + _BLOCK], np.float64)
        scale = b1[i : i + _BLOCK]
        rows = np.flatnonzero(
            np.isfinite(block).all(axis=1) & (block.max(axis=1) > 0) & np.isfinite(scale) & (scale > 0)
        )
        if rows.size:
            t1[i + rows], m0[i + rows] = _fit(block[rows], angles[None, :] * scale[rows, None], tr_s)
    return t1, m0


def _fit(signals: np.ndarray, angles: np.ndarray, tr_s: float) -> tuple[np.ndarray, np.ndarray]:
    def shape(log_t1: np.ndarray) -> np.ndarray:
        return spgr_signal(np.exp(-log_t1)[:, None], tr_s, angles)

    lowest, highest = np.log(_RANGE_S)
    best = np.full(signals.shape[0], -np.inf)
    x = np.zeros(signals.shape[0])
    for start in np.linspace(lowest, highest, _STARTS):
        f = shape(np.full(signals.shape[0], start))
        gain = (signals * f).sum(1) / np.linalg.norm(f, axis=1)
        x = np.where(gain > best, start, x)
        best = np.maximum(best, gain)
    # Gauss-Newton on ln T1 with M0 projected out (Kaufman), kept within the grid cells around the best start.
    gap = (highest - lowest) / (_STARTS - 1)
    low, high = np.maximum(x - gap, lowest), np.minimum(x + gap, highest)
    cosine = np.cos(np.deg2rad(angles))
    for _ in range(12):
        f = shape(x)
        rate = tr_s * np.exp(-x)[:, None]
        e1 = np.exp(-rate)
        slope = f * rate * e1 * (-1.0 / (1.0 - e1) + cosine / (1.0 - cosine * e1))
        ff = (f * f).sum(1)
        m0 = (signals * f).sum(1) / ff
        residual = signals - m0[:, None] * f
        apart = m0[:, None] * (slope - ((slope * f).sum(1) / ff)[:, None] * f)
        step = (residual * apart).sum(1) / np.maximum((apart * apart).sum(1), 1e-300)
        x = np.clip(x + np.clip(step, -gap, gap), low, high)
    f = shape(x)
    m0 = (signals * f).sum(1) / (f * f).sum(1)
    valid = (m0 > 0) & (x > lowest + 1e-6) & (x < highest - 1e-6)
    return np.where(valid, np.exp(x), np.nan), np.where(valid, m0, np.nan)


@dataclass(frozen=True)
class T1Settings:
    """How a VFA series was taken: repetition time in ms, flip angles in degrees, and whether invalid voxels are left out."""

    tr_ms: float
    flip_angles_deg: tuple[float, ...]
    allow_invalid_voxels: bool = False


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
    t1, m0 = fit_vfa(series.curves(fitted), angles, settings.tr_ms / 1000.0, scale)
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
