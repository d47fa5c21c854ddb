"""Arterial input functions: found automatically, from a mask, from a table, or from a population; and what is known of each.

For DCE an AIF is a plasma concentration in mM, for DSC the ΔR2* of an artery in 1/s.
"""

import csv
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ..curves import noise_sd
from ..errors import InputError
from .kinetics import georgiou_aif, parker_aif

_FIRST_PASS_S = 35.0
_FINE_S = 0.5  # sampling of a fitted AIF
_SOME = 5  # as many curves must be early, or tall, before that counts as a mark to measure others by
_EARLY_S = 1.5


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
    voxels
        Boolean (z, y, x), the voxels it was taken from, or None.
    fitted
        Whether the curve is a parametric fit to the measured samples.
    measured_times_s, measured
        The samples that were fitted, or None.
    notes
        What a reader must know of it.
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

    def record(self) -> dict:
        """What fit.json says of it."""
        return {
            "method": self.method,
            "how": self.how,
            "voxels": None if self.voxels is None else int(self.voxels.sum()),
            "fitted": self.fitted,
            "peak": float(self.concentration.max()),
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
    try:
        times, values = np.array([[float(r["time_s"]), float(r["concentration"])] for r in rows]).reshape(-1, 2).T
    except (TypeError, ValueError) as error:
        raise InputError(
            f"{path} holds a value that is no number ({error}); time_s,concentration rows are needed"
        ) from error
    if times.size < 4 or not np.isfinite([times, values]).all():
        raise InputError(
            f"{path} has {times.size} rows, some of them not finite or too few; at least 4 finite ones are needed"
        )
    if (np.diff(times) <= 0).any():
        i = int(np.flatnonzero(np.diff(times) <= 0)[0])
        raise InputError(
            f"{path}: time_s does not rise from {times[i]:g} s to {times[i + 1]:g} s; rising times are needed"
        )
    frame = float(np.median(np.diff(times_s)))
    if times[-1] < times_s[-1] - 1.01 * frame or times[0] > times_s[-1]:
        raise InputError(
            f"{path} runs from {times[0]:g} s to {times[-1]:g} s and the series ends at {times_s[-1]:g} s; an AIF that covers "
            "the series is needed (it is 0 before its first sample)"
        )
    if values.max() <= 0:
        raise InputError(f"{path} is nowhere above 0; an arterial curve with a bolus is needed")
    return Aif(times, values, f"read from a table of {times.size} samples", "csv")


POPULATIONS = {"parker": (parker_aif, "Parker 2006"), "georgiou": (georgiou_aif, "Georgiou 2019")}


def population_aif(times_s: np.ndarray, arrival_s: float, hematocrit: float, population: str = "parker") -> Aif:
    """A population's AIF (one of `POPULATIONS`) in plasma, starting at `arrival_s`, evaluated every half second."""
    blood, who = POPULATIONS[population]
    fine = np.arange(times_s[0], times_s[-1] + _FINE_S, _FINE_S)
    plasma = blood(fine, arrival_s) / (1.0 - hematocrit)
    how = f"population AIF of {who} from {arrival_s:.1f} s, blood divided by 1 - hematocrit {hematocrit:g}"
    note = "the AIF is a population average: absolute values carry its error for this patient"
    return Aif(fine, plasma, how, population, notes=(note,))


def find_arteries(
    curves: np.ndarray,
    times_s: np.ndarray,
    arrival: int,
    n_voxels: int = 20,
    before: np.ndarray | None = None,
) -> tuple[np.ndarray, dict[str, float]]:
    """Choose arterial voxels among concentration (or ΔR2*) curves; deterministic.

    The criteria of Mouridsen et al. 2006 and Peruzzo et al. 2011 (high, early, narrow, smooth), in the order in which they separate
    arteries from the rest. Of the tallest 2 % (300 to 2000) whose bolus passes, those with a peak below five times their baseline noise
    or with a plateau (clipped) are dropped. *Early* comes first, because veins are as tall and wider vessels: the bolus' first moment may
    be at most 1.5 s later than that of the earliest curves. The roughest quarter is dropped. *Tall* comes next, because early curves that
    are lower are mixed with tissue: at least 0.85 of the tallest early ones. The rest are scored by the sum of their robust z-scores, and
    of the best, those that agree with the median curve are taken.

    Parameters
    ----------
    curves
        (n, t); not finite ones are left out.
    times_s
        (t,) s.
    arrival
        First frame of the bolus.
    n_voxels
        How many voxels to take at most.
    before
        Signal (n,) before the bolus. Curves where it is below 0.7 or above 1.5 times that of the early, tall ones are left out: mostly
        bone or air with a little of an artery, or blood that flows in fresh. None where the curves are no signal.

    Returns
    -------
    index, quality
        Indices into `curves`, best first; peak, first moment (s), width (s) and score of their mean.

    Raises
    ------
    InputError
        If no curve qualifies.
    """
    window = (times_s >= times_s[max(arrival - 1, 0)]) & (times_s <= times_s[arrival] + _FIRST_PASS_S)
    first = max(arrival - 1, 0)
    index, peak = _tallest(curves, window, arrival)
    some = curves[index].astype(np.float64)
    noise = np.array([noise_sd(c[: max(arrival, 5)]) for c in some])
    noise = np.maximum(noise, np.median(noise))  # a few baseline frames can look quiet by chance
    t, pass_ = times_s[window], np.maximum(some[:, window], 0.0)
    # Roughness is judged outside the first pass: inside it, a sharp bolus would pass for noise.
    rough = np.array([noise_sd(c) for c in some[:, ~window]]) / np.maximum(peak, 1e-12)
    # A first pass is more than one high frame: its second highest counts as well.
    second = np.sort(pass_, axis=1)[:, -2]
    good = (peak > 5.0 * noise) & (second > 4.0 * noise) & (peak > 0)
    if good.any():
        # Below half of the tallest (the third tallest, against a single outlier) it is tissue or a voxel shared with it.
        good &= peak >= 0.5 * _among_highest(peak[good], 3)
    unclipped = good & ~np.array([is_clipped(c, times_s) for c in some])
    good = unclipped if unclipped.sum() >= 3 else good
    if not good.any():
        raise InputError(
            "no arterial curve was found automatically: no voxel has a first pass above five times its noise; give the AIF as a "
            "mask or a table (--aif)"
        )
    moment = (pass_ * t).sum(axis=1) / np.maximum(pass_.sum(axis=1), 1e-12)
    good &= moment <= -_among_highest(-moment[good], _SOME) + _EARLY_S
    if good.sum() > 8:
        good &= rough <= np.quantile(rough[good], 0.75)
    if before is not None:
        level = before[index]
        usual = np.median(level[good & (peak >= 0.8 * _among_highest(peak[good], _SOME))])
        alike = good & (level >= 0.7 * usual) & (level <= 1.5 * usual)
        good = alike if alike.sum() >= 3 else good
    good &= peak >= 0.85 * _among_highest(peak[good], _SOME)
    width = np.array([_width(c[first:], times_s[first:], 0.5) for c in some])
    score = _z(peak, good) - _z(moment, good) - _z(width, good) - 0.5 * _z(rough, good)
    order = np.flatnonzero(good)[np.argsort(-score[good], kind="stable")][: 2 * n_voxels]
    shapes = some[order] / np.linalg.norm(some[order], axis=1, keepdims=True)
    middle = np.median(shapes, axis=0)
    agreement = shapes @ (middle / max(np.linalg.norm(middle), 1e-12))
    chosen = order[agreement >= min(0.9, np.median(agreement))][:n_voxels]
    mean = some[chosen].mean(axis=0)
    part = np.maximum(mean[window], 0.0)
    quality = {
        "peak": float(mean[window].max()),
        "first_moment_s": float((part * t).sum() / part.sum()),
        "width_s": float(_width(mean[first:], times_s[first:], 0.5)),
        "score": float(score[chosen].mean()),
    }
    return index[chosen], quality


def _tallest(curves: np.ndarray, window: np.ndarray, arrival: int) -> tuple[np.ndarray, np.ndarray]:
    """The 2 % of curves (300 to 2000) with the highest first pass, tallest first, and its height."""
    finite = np.flatnonzero(np.isfinite(curves).all(axis=1))
    baseline = curves[finite, : max(arrival, 1)]
    peak = curves[np.ix_(finite, window)].max(axis=1) - baseline.mean(axis=1)
    count = int(np.clip(round(0.02 * finite.size), 300, 2000))
    after = np.arange(curves.shape[1]) > np.flatnonzero(window)[-1]
    if after.sum() >= 5:
        # A bolus passes. At edges, a head that has moved changes the signal for good, or frame by frame.
        rest = curves[np.ix_(finite, after)] - baseline.mean(axis=1)[:, None]
        passes = (np.median(rest, axis=1) <= 0.35 * peak) & (rest.max(axis=1) <= 0.6 * peak)
        if passes.any():
            finite, peak, baseline = finite[passes], peak[passes], baseline[passes]
    # Voxels of air or bone inside a mask have a signal near 0 and so the tallest "curves" of all: they must not crowd the arteries out.
    if baseline.shape[1] >= 4:
        own = np.diff(baseline, axis=1).std(axis=1) / np.sqrt(2.0)
        usual = float(np.median(own))
        clear = (own <= 4.0 * usual) & (peak > 5.0 * np.maximum(own, usual))
        if clear.any():
            finite, peak = finite[clear], peak[clear]
    tall = np.argsort(-peak, kind="stable")[:count]
    return finite[tall], peak[tall]


def _among_highest(values: np.ndarray, number: int) -> float:
    """The `number`-th highest value, or the lowest where there are fewer."""
    return float(np.sort(values)[-min(number, values.size)])


def is_clipped(curve: np.ndarray, times_s: np.ndarray) -> bool:
    """Whether a bolus has a plateau in place of a peak (signal floor), judged by its width at 95 % against that at half height.

    The ratio is 0.27 for a Gaussian and 0.62 for one clipped at 70 %; it is judged where at least four frames lie above half height.
    """
    peak = int(np.argmax(curve))
    half = _width(curve, times_s, 0.5)
    frame = float(np.median(np.diff(times_s)))
    if curve[peak] <= 0 or half < 4 * frame:
        return False
    return _width(curve, times_s, 0.95) > 0.5 * half


def _width(curve: np.ndarray, times_s: np.ndarray, level: float) -> float:
    """Width (s) of the highest peak at a fraction of its height, by linear interpolation."""
    peak = int(np.argmax(curve))
    limit = level * curve[peak]

    def edge(step: int) -> float:
        i = peak
        while 0 <= i + step < curve.size and curve[i + step] > limit:
            i += step
        j = i + step
        if not 0 <= j < curve.size:
            return times_s[i]
        share = (curve[i] - limit) / max(curve[i] - curve[j], 1e-12)
        return times_s[i] + share * (times_s[j] - times_s[i])

    return float(edge(1) - edge(-1))


def _z(values: np.ndarray, among: np.ndarray) -> np.ndarray:
    middle = np.median(values[among])
    spread = 1.4826 * np.median(np.abs(values[among] - middle))
    return np.clip((values - middle) / max(spread, 1e-6 * max(abs(middle), 1e-6)), -4.0, 4.0)


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
    # area 1, centre 1, width 1, area 2, centre 2, width 2 (s), height, decay (1/s), slope (1/s), shift (s), delay (s)
    start = np.array([9.0, 10.2, 3.4, 3.6, 21.9, 7.9, 0.18, 0.0028, 0.63, 29.0, arrival_s])
    low = np.array([0.0, 2.0, 1.0, 0.0, 4.0, 2.0, 0.0, 0.0, 0.1, 2.0, arrival_s - 15.0])
    high = np.array([60.0, 30.0, 12.0, 60.0, 60.0, 30.0, 2.0, 0.05, 3.0, 60.0, arrival_s + 15.0])

    def form(p: np.ndarray, times: np.ndarray) -> np.ndarray:
        u = times - p[10]
        after = np.maximum(u, 0.0)
        bolus = [
            p[i] / (p[i + 2] * np.sqrt(2 * np.pi)) * np.exp(-0.5 * ((u - p[i + 1]) / p[i + 2]) ** 2) for i in (0, 3)
        ]
        tail = p[6] * np.exp(-p[7] * after) / (1.0 + np.exp(-p[8] * (after - p[9])))
        return np.where(u < 0, 0.0, bolus[0] + bolus[1] + tail)

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
    return fitted, residual, noise_sd(aif.concentration)
