"""The AIF of a DCE series brought to the level of a venous sinus: by one fit of both signals, or by the ratio of their tails."""

from dataclasses import dataclass, field, replace

import numpy as np
from scipy import ndimage

from ...curves import noise_sd
from ...errors import option
from ...images import Series
from ..signal import Spgr, concentrations
from .arteries import first_moment, first_pass
from .bloodfit import BloodFit, fit_blood
from .bloodmodel import VENOUS_T1, BloodSignals
from .movement import sudden_moves, vessel_signal
from .sinus import LATER_S, Sinus, find_sinus, tail

_DEEP_MM = 25.0  # from the edge of the head; chosen, scalp and muscle lie nearer
_USUAL = (0.4, 0.6)  # quantiles of the deep voxels' rise: chosen, the middle fifth is ordinary tissue
_LONGEST_FRAME_S = 6.0  # above it the samples no longer determine the first pass
# What is taken in a fit's place is an AIF read near the highest signal, whose peak is far too low: a poor fit is nearer. Chosen: where the
# model describes the signals the residual is about 1.
_POOR_RESIDUAL, _MOST_RESIDUAL = 2.0, 4.0
# Of the flip angle at the sinus, as fitted, over the one that was given. B1 at 3 T varies by some 20 %; a repetition time that is wrong by
# two looks like a flip angle that is wrong by the square root of it.
FLIP_FACTORS = (0.8, 1.2)
_MOST_PEAK_SD = 0.25  # chosen: beyond, the tail's factor is nearer
_SUSPECT, _EXPLAINS = 1.0, 0.7  # a residual that a movement may explain, and what may be left of it then; chosen
_LEAST_NOISE = 0.008  # of the signal; chosen, because the mean of a dozen voxels still pulsates
# Of both tails; chosen: tissue in an artery's voxels makes the factor larger than 1, and a vein holds the same blood.
_LEAST_FACTOR = 0.5
_LEAST_SHARE = 0.5  # of an artery in its voxels, below which a note says so; chosen


@dataclass(frozen=True)
class SinusScaling:
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

    def believed(self, artery: np.ndarray) -> "SinusScaling":
        """Itself; without its curve where that is so far below an artery's that it cannot be blood."""
        factor = self.factor(artery)
        if factor >= _LEAST_FACTOR:
            return self
        why = f"what was taken for a vein ends at {factor:.2f} of the artery's level"
        return _without(why, self.times_s)


def tail_factor(artery: np.ndarray, sinus: np.ndarray, times_s: np.ndarray) -> float:
    """Ratio of the means of the last two minutes; 1 where the artery's is not above 0."""
    level = tail(artery, times_s)
    return tail(sinus, times_s) / level if level > 0 and tail(sinus, times_s) > 0 else 1.0


@dataclass(frozen=True)
class ArterialData:
    """What is known where a sinus is sought.

    Attributes
    ----------
    series, curves
        In steady state; `curves` are its curves (n, t) within `region`.
    times_s
        (t,) s.
    region, arteries
        Boolean (z, y, x): where vessels are sought, and where the AIF is taken.
    n_baseline
        Frames before the bolus.
    earliest
        Boolean (z, y, x): arteries that the sinus comes later than, where the AIF was taken by somebody, maybe in a vein; else None.
    """

    series: Series
    curves: np.ndarray
    times_s: np.ndarray
    region: np.ndarray
    arteries: np.ndarray
    n_baseline: int
    earliest: np.ndarray | None = None


def fit_to_sinus(data: ArterialData, acquisition: Spgr | None, t10_blood_s: float) -> SinusScaling:
    """Find a sinus and what it says of the concentration in the arteries.

    Parameters
    ----------
    acquisition
        How the signal follows from concentration; None where the series holds concentrations.
    t10_blood_s
        T1 of blood before contrast, s.
    """
    is_signal = acquisition is not None
    before = data.curves[:, : data.n_baseline].mean(axis=1) if is_signal else None
    rise = data.curves if before is None else data.curves - before[:, None]
    artery, artery_rise = _vessel(data, data.arteries, is_signal)
    notes: tuple[str, ...] = ()
    if data.earliest is not None:
        first, first_rise = _vessel(data, data.earliest, is_signal)
        later = _moment(artery_rise, data) - _moment(first_rise, data)
        if later >= LATER_S[0]:
            artery = first
            notes = (
                f"the AIF's voxels show the bolus {later:.1f} s after the arteries that are found automatically, as a vein does: "
                "where blood is fitted together with a sinus, its first pass is that of those arteries",
            )
        artery_rise = first_rise
    spacing = data.series.grid.spacing
    sinus = find_sinus(rise, data.region, spacing, data.times_s, data.n_baseline, artery_rise, is_signal, before)
    if sinus is None:
        return _without("no large vein was found", data.times_s, notes)
    if sinus.why_not:
        return _without(sinus.why_not, data.times_s, notes)
    if acquisition is not None and float(np.median(np.diff(data.times_s))) <= _LONGEST_FRAME_S:
        fit, moves = _fit_with_moves(data, artery, sinus, acquisition, t10_blood_s)
        if fit.residual <= _MOST_RESIDUAL and fit.peak_sd <= _MOST_PEAK_SD:
            return _fitted(sinus, fit, acquisition, tuple(float(data.times_s[m]) for m in moves), data.times_s, notes)
        notes = (
            *notes,
            f"artery and sinus could not be fitted together (residual {fit.residual:.1f}, peak known to {100 * fit.peak_sd:.0f} %): "
            "only its tail is scaled",
        )
    curves = data.series.curves(sinus.voxels).astype(np.float64)
    curves = concentrations(curves, acquisition, VENOUS_T1 * t10_blood_s, data.n_baseline)
    curves = curves[np.isfinite(curves).all(axis=1)]
    if not len(curves):
        why = "the signal of the vein is above the highest possible (flip angle, T1 of blood)"
        return _without(why, data.times_s, notes)
    curve = curves.mean(axis=0).astype(np.float64)
    how = f"scaled to the tail of a venous sinus ({int(sinus.voxels.sum())} voxels, last two minutes)"
    return SinusScaling(how, notes, _numbers(sinus), data.times_s, sinus.voxels, curve=curve)


def _vessel(data: ArterialData, voxels: np.ndarray, is_signal: bool) -> tuple[np.ndarray, np.ndarray]:
    """Curve (t,) of voxels, and its rise."""
    curve = vessel_signal(data.series, voxels, data.times_s, data.n_baseline)
    return curve, curve - curve[: data.n_baseline].mean() if is_signal else curve


def _moment(rise: np.ndarray, data: ArterialData) -> float:
    return float(first_moment(rise, data.times_s, data.n_baseline))


def _without(why: str, times_s: np.ndarray, said: tuple[str, ...] = ()) -> SinusScaling:
    notes = (*said, f"the AIF is not scaled to a venous sinus: {why}")
    return SinusScaling("not scaled to a sinus", notes, {}, times_s)


def _numbers(sinus: Sinus) -> dict[str, float]:
    return {f"sinus_{k}": v for k, v in sinus.quality.items()}


def _fit_with_moves(
    data: ArterialData, artery: np.ndarray, sinus: Sinus, acquisition: Spgr, t10_blood_s: float
) -> tuple[BloodFit, tuple[int, ...]]:
    """The fit of both signals, and the first frames after the sudden moves that it takes into account."""
    times_s, n_baseline = data.times_s, data.n_baseline
    moves, perhaps = sudden_moves(data.series.frames, data.region, first_pass(times_s, n_baseline))
    vein = vessel_signal(data.series, sinus.voxels, times_s, n_baseline)
    noise = [max(float(noise_sd(y) / y[:n_baseline].mean()), _LEAST_NOISE) for y in (artery, vein)]
    tissue = _deep_signal(data.series, data.region, n_baseline)
    signals = BloodSignals(times_s, artery, vein, tissue, n_baseline, moves, (noise[0], noise[1]))
    fit = fit_blood(signals, acquisition, t10_blood_s)
    if fit.residual > _SUSPECT:
        # What a motion correction leaves of a movement is hard to see in the images, and plain in the vessels.
        tried = sorted({tuple(sorted((*moves, frame))) for frame in perhaps})
        more = {moved: fit_blood(replace(signals, moves=moved), acquisition, t10_blood_s) for moved in tried}
        best = min(more, key=lambda moved: more[moved].residual, default=moves)
        if best in more and more[best].residual < _EXPLAINS * fit.residual:
            return more[best], best
    return fit, moves


def _fitted(
    sinus: Sinus,
    fit: BloodFit,
    acquisition: Spgr,
    moves_s: tuple[float, ...],
    times_s: np.ndarray,
    said: tuple[str, ...],
) -> SinusScaling:
    notes = [*said]
    if acquisition.te_s is None:
        notes.append(
            "the echo time is not known, so T2* decay in blood is left out: the peak of the AIF is somewhat low "
            f"({option('--te-ms')})"
        )
    if moves_s:
        when = ", ".join(f"{t:.0f}" for t in moves_s)
        notes.append(f"the head moved suddenly at {when} s; the AIF's level before and after is not compared")
    if fit.residual > _POOR_RESIDUAL:
        notes.append(
            f"artery and sinus are described poorly by one blood (residual {fit.residual:.1f}; about 1 is usual): the AIF may be off by "
            "more than its standard deviation says"
        )
    if fit.share < _LEAST_SHARE:
        notes.append(f"only {100 * fit.share:.0f} % of the signal of the AIF's voxels is an artery's")
    if not FLIP_FACTORS[0] <= fit.flip_sinus <= FLIP_FACTORS[1]:
        notes.append(
            f"the blood's signal asks for {fit.flip_sinus:.2f} times the flip angle that was given: check {option('--tr-ms')} and "
            f"{option('--flip-angle')}; all maps hang on them"
        )
    numbers = _numbers(sinus) | {
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
        f"fitted together with a venous sinus ({int(sinus.voxels.sum())} voxels): flip angle {fit.flip_artery:.2f} and "
        f"{fit.flip_sinus:.2f} of nominal, artery {100 * fit.share:.0f} % of its voxels, peak known to {100 * fit.peak_sd:.0f} %"
    )
    return SinusScaling(how, tuple(notes), numbers, times_s, sinus.voxels, fit)


def _deep_signal(series: Series, region: np.ndarray, n_baseline: int) -> np.ndarray:
    """Signal (t,) of ordinary tissue over that before contrast: the mean of the voxels deep in the head whose rise is the most usual.

    Deep: away from scalp and muscle. Which voxels are usual is decided by their mean rise, once: the median at each time would go between
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
