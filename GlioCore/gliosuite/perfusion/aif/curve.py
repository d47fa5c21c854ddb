"""Arterial input functions: found automatically, from a mask, from a table, or from a population; and what is known of each.

For DCE an AIF is a plasma concentration in mM, for DSC the ΔR2* of an artery in 1/s.
"""

import csv
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from ...curves import noise_sd
from ...errors import InputError
from ...images import Grid
from ..kinetics import ParkerForm, georgiou_aif, parker_aif, parker_terms
from .refined import Spread

_LEAST_SAMPLES = 4  # of a table; chosen, a baseline, a rise, a peak and what follows
_STARTS_LOW = 0.1  # of its highest value; chosen, a curve that begins with more has begun before
_PASS_S, _OVER_NOISE = 35.0, 5.0  # of a first pass, and SD that it is above its noise by; chosen
_FINE_S = 0.5  # sampling of a fitted AIF; chosen, a tenth of the width of a first pass
# Parker's form fitted to samples over their peak: lowest, first and highest value of area (s), centre and width (s) of the first pass and
# of the recirculation; tail, decay (1/s), slope (1/s), shift (s); start after the arrival (s). First values are the population's (Parker
# 2006) in seconds; the ranges were chosen, wide enough for any injection.
_FORM_RANGE = np.array(
    [
        [0.0, 9.0, 60.0],
        [2.0, 10.2, 30.0],
        [1.0, 3.4, 12.0],
        [0.0, 3.6, 60.0],
        [4.0, 21.9, 60.0],
        [2.0, 7.9, 30.0],
        [0.0, 0.18, 2.0],
        [0.0, 0.0028, 0.05],
        [0.1, 0.63, 3.0],
        [2.0, 29.0, 60.0],
        [-15.0, 0.0, 15.0],
    ]
)


@dataclass(frozen=True)
class Aif:
    """An arterial input function and how it came about.

    Attributes
    ----------
    times_s, concentration
        (m,) s; plasma mM (DCE) or ΔR2* 1/s (DSC).
    how
        A sentence for the report.
    method
        ``"auto"``, ``"mask"``, ``"csv"``, ``"parker"`` or ``"georgiou"``.
    voxels, sinus
        Boolean (z, y, x), the voxels it was taken from and those of the vein that scaled it, or None.
    fitted
        Whether the curve is a parametric fit to the measured samples.
    measured_times_s, measured
        The samples that were fitted, or None.
    quality
        Numbers that say how good it is: of the voxels (`arteries.find_arteries`), of the sinus and of what was made of it (``sinus_...``).
    notes
        What a reader must know of it.
    pure
        Whether the ΔR2* is known to be that of blood alone.
    spread
        What its own uncertainty does to the parameters of a fit with it; None where that is not known.
    """

    times_s: np.ndarray
    concentration: np.ndarray
    how: str
    method: str
    voxels: np.ndarray | None = None
    fitted: bool = False
    measured_times_s: np.ndarray | None = None
    measured: np.ndarray | None = None
    notes: tuple[str, ...] = ()
    quality: Mapping[str, float] = field(default_factory=dict)
    sinus: np.ndarray | None = None
    pure: bool = False
    spread: Spread | None = field(default=None, repr=False)

    def record(self) -> dict:
        """What fit.json says of it."""
        return {
            "method": self.method,
            "how": self.how,
            "voxels": None if self.voxels is None else int(self.voxels.sum()),
            "fitted": self.fitted,
            "peak": float(self.concentration.max()),
            "quality": dict(self.quality),
            "sinus_voxels": None if self.sinus is None else int(self.sinus.sum()),
            "measured_times_s": self.measured_times_s,
            "measured": self.measured,
            "notes": self.notes,
        }


def read_aif(path: str | Path, times_s: np.ndarray) -> Aif:
    """Read ``time_s,concentration`` from a CSV file (plasma mM for DCE, ΔR2* for DSC).

    Raises
    ------
    InputError
        If a column is missing, a value is no number, times do not rise, or the curve ends before the series does.
    """
    path = Path(path)
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.DictReader(stream)
            names = [n.strip() for n in reader.fieldnames or []]
            rows = [{(k or "").strip(): v for k, v in row.items()} for row in reader]
    except FileNotFoundError as error:
        raise InputError(
            f"{path} does not exist; an AIF table with the columns time_s,concentration is needed"
        ) from error
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path} cannot be read as a table: {error}") from error
    if not {"time_s", "concentration"} <= set(names):
        raise InputError(f"{path} has the columns {', '.join(names) or 'none'}; time_s and concentration are needed")
    short = next((i for i, r in enumerate(rows, 1) if r["concentration"] is None or r["time_s"] is None), None)
    if short is not None:
        raise InputError(
            f"{path} has too few values in row {short} after its head; time_s,concentration are needed in each"
        )
    try:
        times, values = np.array([[float(r["time_s"]), float(r["concentration"])] for r in rows]).reshape(-1, 2).T
    except ValueError as error:
        raise InputError(
            f"{path} holds a value that is no number ({error}); time_s,concentration rows are needed"
        ) from error
    if times.size < _LEAST_SAMPLES:
        raise InputError(f"{path} has {times.size} rows; an AIF of {_LEAST_SAMPLES} samples at least is needed")
    if not np.isfinite([times, values]).all():
        row = int(np.flatnonzero(~np.isfinite([times, values]).all(axis=0))[0])
        raise InputError(
            f"{path} has {times[row]:g},{values[row]:g} in row {row + 1} after its head; finite numbers are needed"
        )
    if (np.diff(times) <= 0).any():
        i = int(np.flatnonzero(np.diff(times) <= 0)[0])
        raise InputError(
            f"{path}: time_s does not rise from {times[i]:g} s to {times[i + 1]:g} s; rising times are needed"
        )
    frame = float(np.median(np.diff(times_s)))
    unit = _other_unit(times, times_s)
    if times[-1] < times_s[-1] - 1.01 * frame or times[0] > times_s[-1]:
        raise InputError(
            f"{path} runs from {times[0]:g} s to {times[-1]:g} s and the series ends at {times_s[-1]:g} s; an AIF that covers "
            f"the series is needed (it is 0 before its first sample){unit}"
        )
    # The last one may lie well beyond the end.
    if (inside := int((times <= times_s[-1] + frame).sum())) < _LEAST_SAMPLES - 1:
        raise InputError(
            f"{path} has {inside} of its {times.size} samples before the series ends at {times_s[-1]:g} s; "
            f"{_LEAST_SAMPLES - 1} at least are needed{unit}"
        )
    if values.max() <= 0:
        raise InputError(f"{path} is nowhere above 0; an arterial curve with a bolus is needed")
    notes: tuple[str, ...] = ()
    if times[0] > times_s[0] + frame and values[0] > _STARTS_LOW * values.max():
        notes = (
            f"the AIF table begins at {times[0]:g} s with {100 * values[0] / values.max():.0f} % of its highest value and counts as 0 "
            "before: if it begins after the bolus, all values are wrong",
        )
    return Aif(times, values, f"read from a table of {times.size} samples", "csv", notes=notes)


def _other_unit(times: np.ndarray, times_s: np.ndarray) -> str:
    """What a table's times seem to be in where they do not fit a series, as the end of a sentence."""
    for factor, name in ((60.0, "minutes"), (1e-3, "milliseconds")):
        if 0.7 * times_s[-1] <= factor * times[-1] <= 1.5 * times_s[-1]:
            return f"; its times look like {name}"
    return ""


def check_bolus(curve: np.ndarray, times_s: np.ndarray, arrival: int, source: str) -> None:
    """Refuse the curve (t,) of an artery in which no bolus passes, as of a mask in air.

    Raises
    ------
    InputError
        If its highest value, or the mean of its first pass, is within its noise.
    """
    noise = float(noise_sd(curve))
    pass_ = (times_s >= times_s[arrival]) & (times_s <= times_s[arrival] + _PASS_S)
    if curve.max() > _OVER_NOISE * noise and curve[pass_].mean() > _OVER_NOISE * noise / np.sqrt(pass_.sum()):
        return
    raise InputError(
        f"{source} shows no bolus: its mean curve has a highest value of {curve.max():.3g} and noise of {noise:.3g}; voxels of an artery "
        "are needed"
    )


POPULATIONS = {"parker": (parker_aif, "Parker 2006"), "georgiou": (georgiou_aif, "Georgiou 2019")}


def points_mask(points_ras_mm: list[tuple[float, float, float]], grid: Grid, radius_mm: float = 0.0) -> sitk.Image:
    """The voxels that points lie in, or all within a radius, as a mask.

    Parameters
    ----------
    points_ras_mm
        R, A, S in mm, as 3D Slicer shows them.
    radius_mm
        0: one voxel each.

    Raises
    ------
    InputError
        If there is none, or one lies outside the grid.
    """
    if not points_ras_mm:
        raise InputError("no point is given for the AIF; at least one R,A,S in mm is needed")
    blank = grid.blank()
    chosen = np.zeros(grid.shape, bool)
    centres = None
    for point in points_ras_mm:
        lps = (-point[0], -point[1], point[2])
        index = blank.TransformPhysicalPointToIndex(lps)
        if any(not 0 <= i < n for i, n in zip(index, grid.size)):
            raise InputError(
                f"the AIF point {','.join(f'{v:g}' for v in point)} (R,A,S in mm) lies outside the series; choose one within it"
            )
        chosen[index[::-1]] = True
        if radius_mm > 0:
            if centres is None:
                axes = np.reshape(grid.direction, (3, 3)) * np.array(grid.spacing)
                steps = np.moveaxis(np.indices(grid.shape)[::-1], 0, -1)
                centres = steps @ axes.T + np.array(grid.origin)
            chosen |= ((centres - np.array(lps)) ** 2).sum(axis=-1) <= radius_mm**2
    return grid.image(chosen)


def population_aif(times_s: np.ndarray, arrival_s: float, hematocrit: float, population: str = "parker") -> Aif:
    """A population's AIF (one of `POPULATIONS`) in plasma, starting at `arrival_s`, evaluated every half second."""
    blood, who = POPULATIONS[population]
    fine = np.arange(times_s[0], times_s[-1] + _FINE_S, _FINE_S)
    plasma = blood(fine, arrival_s) / (1.0 - hematocrit)
    how = f"population AIF of {who} from {arrival_s:.1f} s, blood divided by 1 - hematocrit {hematocrit:g}"
    note = "the AIF is a population average: absolute values carry its error for this patient"
    return Aif(fine, plasma, how, population, notes=(note,))


def fit_parametric(aif: Aif, arrival_s: float) -> tuple[Aif, float, float]:
    """Fit Parker's functional form (two Gaussians and a sigmoid exponential) to the samples of an AIF.

    Returns
    -------
    fitted, residual, noise
        The curve every half second; root mean square of the residual, and the noise of the samples, in the AIF's unit.

    Notes
    -----
    At 5 s frames a fit on the fine grid removes most of the bias that comes from taking the AIF as straight between its samples.
    """
    from scipy.optimize import least_squares

    scale = float(aif.concentration.max())
    t, y = aif.times_s, aif.concentration / scale
    low, start, high = _FORM_RANGE.T.copy()
    low[-1] += arrival_s
    start[-1] += arrival_s
    high[-1] += arrival_s

    def form(p: np.ndarray, times: np.ndarray) -> np.ndarray:
        terms = parker_terms(times - p[10], ParkerForm((p[0], p[3]), (p[1], p[4]), (p[2], p[5]), *p[6:10]))
        return terms[0] + terms[1] + terms[2]

    peak_s = float(t[np.argmax(y)])
    fits = []
    for shift in (-3.0, 0.0, 3.0):
        guess = start.copy()
        guess[10] = np.clip(peak_s - start[1] + shift, low[10] + 0.1, high[10] - 0.1)
        fits.append(least_squares(lambda p: form(p, t) - y, guess, bounds=(low, high), x_scale=np.maximum(start, 0.05)))
    best = min(fits, key=lambda f: f.cost)
    residual = scale * float(np.sqrt(2.0 * best.cost / max(t.size - start.size, 1)))
    fine = np.arange(t[0], t[-1] + _FINE_S, _FINE_S)
    curve = scale * form(best.x, fine)
    fitted = replace(
        aif,
        times_s=fine,
        concentration=curve,
        fitted=True,
        measured_times_s=aif.times_s,
        measured=aif.concentration,
        how=f"{aif.how}; replaced by Parker's form fitted to it",
    )
    return fitted, residual, float(noise_sd(aif.concentration))
