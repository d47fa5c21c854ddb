"""Bringing the AIF of a DCE series to the level of a sinus: by one fit of both signals, or by the ratio of their tails."""

from dataclasses import dataclass, field

import numpy as np
from scipy import ndimage

from ...curves import noise_sd
from ...images import Series
from ..signal import Spgr, concentrations
from .arteries import first_pass
from .bloodfit import VENOUS_T1, BloodFit, fit_blood, sudden_moves
from .movement import vessel_signal
from .sinus import find_sinus, tail

_DEEP_MM = 25.0
_USUAL = (0.4, 0.6)  # of the deep voxels, by their rise
_LONGEST_FRAME_S = 6.0  # above it the samples no longer determine the first pass
# What is taken in a fit's place is an AIF read near the highest signal, whose peak is far too low: a poor fit is nearer.
_POOR_RESIDUAL, _MOST_RESIDUAL = 2.0, 4.0
_MOST_PEAK_SD = 0.25
_SUSPECT, _EXPLAINS = 1.0, 0.7  # a residual that a movement may explain, and how much of it must go
_LEAST_NOISE = 0.008
_LEAST_FACTOR = 0.5  # of both tails: tissue in an artery's voxels makes it larger than 1


@dataclass(frozen=True)
class Venous:
    """What a sinus says of an AIF; `blood` where both signals were fitted, else `curve` (whole blood, mM) whose tail counts, else neither.

    `numbers` goes into the record.
    """

    how: str
    notes: tuple[str, ...]
    numbers: dict[str, float]
    times_s: np.ndarray
    voxels: np.ndarray | None = None
    blood: BloodFit | None = None
    curve: np.ndarray | None = field(default=None, repr=False)

    def factor(self, artery: np.ndarray) -> float:
        """What an artery's curve (t,) is multiplied with so that its tail is that of the sinus."""
        return 1.0 if self.curve is None else tail_factor(artery, self.curve, self.times_s)

    def believed(self, artery: np.ndarray) -> "Venous":
        """Itself; without its curve where that is so far below an artery's that it cannot be blood."""
        factor = self.factor(artery)
        if factor >= _LEAST_FACTOR:
            return self
        why = f"what was taken for a vein ends at {factor:.2f} of the artery's level"
        return Venous("not scaled to a sinus", (f"the AIF is not scaled to a venous sinus: {why}",), {}, self.times_s)


def tail_factor(artery: np.ndarray, sinus: np.ndarray, times_s: np.ndarray) -> float:
    """Ratio of the means of the last two minutes; 1 where the artery's is not above 0."""
    level = tail(artery, times_s)
    return tail(sinus, times_s) / level if level > 0 and tail(sinus, times_s) > 0 else 1.0


def fit_to_sinus(
    series: Series,
    raw: np.ndarray,
    times_s: np.ndarray,
    acquisition: Spgr | None,
    t10_blood_s: float,
    region: np.ndarray,
    arteries: np.ndarray,
    n_baseline: int,
) -> Venous:
    """Find a sinus and what it says of the concentration in the arteries.

    Parameters
    ----------
    series, raw
        In steady state; `raw` are its curves (n, t) within `region` (z, y, x).
    acquisition
        How the signal follows from concentration; None where the series holds concentrations.
    t10_blood_s
        T1 of blood before contrast, s.
    arteries
        Boolean (z, y, x).
    """

    def without(why: str) -> Venous:
        return Venous("not scaled to a sinus", (f"the AIF is not scaled to a venous sinus: {why}",), {}, times_s)

    is_signal = acquisition is not None
    before = raw[:, :n_baseline].mean(axis=1) if is_signal else None
    rise = raw if before is None else raw - before[:, None]
    signal = vessel_signal(series, arteries, times_s, n_baseline)
    own = signal - signal[:n_baseline].mean() if is_signal else signal
    found = find_sinus(rise, region, series.grid.spacing, times_s, n_baseline, own, is_signal, before)
    if found is None:
        return without("no large vein was found")
    if found.why_not:
        return without(found.why_not)
    numbers = {f"sinus_{k}": v for k, v in found.quality.items()}
    frame = float(np.median(np.diff(times_s)))
    why = ""
    if is_signal and frame <= _LONGEST_FRAME_S:
        moves, perhaps = sudden_moves(series.frames, region, first_pass(times_s, n_baseline))
        mean = vessel_signal(series, found.voxels, times_s, n_baseline)
        noise = tuple(max(noise_sd(y) / y[:n_baseline].mean(), _LEAST_NOISE) for y in (signal, mean))
        tissue = _deep_signal(series, region, n_baseline)

        def fitted(moved: tuple[int, ...]) -> BloodFit:
            return fit_blood(
                times_s,
                signal,
                mean,
                tissue,
                n_baseline,
                acquisition.tr_s,
                acquisition.flip_angle_deg,
                t10_blood_s,
                acquisition.r1,
                acquisition.te_s or 0.0,
                moved,
                noise,
            )

        fit = fitted(moves)
        if fit.residual > _SUSPECT:
            # What a motion correction leaves of a movement is hard to see in the images, and plain in the vessels.
            tried = {tuple(sorted((*moves, frame))) for frame in perhaps}
            more = {moved: fitted(moved) for moved in sorted(tried)}
            best = min(more, key=lambda moved: more[moved].residual, default=moves)
            if best in more and more[best].residual < _EXPLAINS * fit.residual:
                moves, fit = best, more[best]
        if fit.residual <= _MOST_RESIDUAL and fit.peak_sd <= _MOST_PEAK_SD:
            return _fitted(found.voxels, fit, numbers, acquisition, moves, n_baseline, times_s)
        why = (
            f"artery and sinus could not be fitted together (residual {fit.residual:.1f}, peak known to {100 * fit.peak_sd:.0f} %): "
            "only its tail is scaled"
        )
    there = series.curves(found.voxels).astype(np.float64)
    curve = concentrations(there, acquisition, VENOUS_T1 * t10_blood_s, n_baseline)
    curve = curve[np.isfinite(curve).all(axis=1)]
    if not len(curve):
        return without("the signal of the vein is above the highest possible (flip angle, T1 of blood)")
    curve = curve.mean(axis=0).astype(np.float64)
    how = f"scaled to the tail of a venous sinus ({int(found.voxels.sum())} voxels, last two minutes)"
    return Venous(how, (why,) if why else (), numbers, times_s, found.voxels, curve=curve)


def _fitted(
    voxels: np.ndarray,
    fit: BloodFit,
    numbers: dict[str, float],
    acquisition: Spgr,
    moves: tuple[int, ...],
    n_baseline: int,
    times_s: np.ndarray,
) -> Venous:
    notes = []
    if acquisition.te_s is None:
        notes.append(
            "the echo time is not known, so T2* decay in blood is left out: the peak of the AIF is somewhat low (--te-ms)"
        )
    if moves:
        when = ", ".join(f"{times_s[m]:.0f}" for m in moves)
        notes.append(f"the head moved at once at {when} s; the AIF's level before and after is not compared")
    if fit.residual > _POOR_RESIDUAL:
        notes.append(
            f"artery and sinus are described poorly by one blood (residual {fit.residual:.1f}; about 1 is usual): the AIF may be off by "
            "more than its standard deviation says"
        )
    if fit.share < 0.5:
        notes.append(f"only {100 * fit.share:.0f} % of the signal of the AIF's voxels is an artery's")
    numbers = numbers | {
        "sinus_flip_factor": fit.flip_sinus,
        "flip_factor": fit.flip_artery,
        "artery_share": fit.share,
        "inflow": fit.inflow,
        "sinus_delay_s": fit.delay_s,
        "sinus_dispersion_s": fit.dispersion_s,
        "fit_residual": fit.residual,
        "peak_relative_sd": fit.peak_sd,
    }
    how = (
        f"fitted together with a venous sinus ({int(voxels.sum())} voxels): flip angle {fit.flip_artery:.2f} and {fit.flip_sinus:.2f} of "
        f"nominal, artery {100 * fit.share:.0f} % of its voxels, peak known to {100 * fit.peak_sd:.0f} %"
    )
    return Venous(how, tuple(notes), numbers, times_s, voxels, fit)


def _deep_signal(series: Series, region: np.ndarray, n_baseline: int) -> np.ndarray:
    """Signal (t,) of ordinary tissue over that before contrast: the mean of the voxels deep in the head whose rise is the most usual.

    Deep: away from scalp and muscle. Which voxels are usual is told by their mean rise, once: the median at each time would go between
    grey and white matter as noise and bolus come and go, and have a first pass that neither has.
    """
    sampling = series.grid.spacing[1::-1]
    deep = np.stack([ndimage.distance_transform_edt(np.pad(s, 1), sampling)[1:-1, 1:-1] for s in region])
    curves = series.curves(region & (deep >= min(_DEEP_MM, 0.5 * float(deep.max()))))
    before = curves[:, :n_baseline].mean(axis=1)
    usable = np.isfinite(curves).all(axis=1) & (before > 0.3 * np.median(before))
    relative = curves[usable] / before[usable, None]
    rise = relative[:, n_baseline:].mean(axis=1)
    low, high = np.quantile(rise, _USUAL)
    return relative[(rise >= low) & (rise <= high)].mean(axis=0, dtype=np.float64)
