"""The concentration in blood that artery, venous sinus and tissue of a DCE series show together: one fit of their signals.

Near its highest value the signal of blood hardly rises with concentration, so that a flip angle off by a few percent (B1), some tissue in
the voxel, or fresh blood that flows in, change the peak that is read from it several times over. But both curves come from one blood: what
leaves the arteries passes the sinus later, wider, and with the same area, and it saturates there less. Where the flip angle is wrong, no
one concentration gives both signals. The fit finds the one that does. Tissue helps: it holds little agent, its signal does not saturate,
and it determines how high the first pass is over what follows.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from ..kinetics import ParkerForm, parker_form
from ..signal import BLOOD_R2STAR, Spgr, spgr_signal

FINE_S = 0.5  # chosen: a tenth of the width of a first pass, and of a usual frame
# Venous over arterial T1 at 3 T and a hematocrit of 0.42 (Lu H et al., Magn Reson Med 2004;52:679).
VENOUS_T1 = 1584.0 / 1664.0
TISSUE_T1_S = 1.2  # chosen, between grey and white matter at 3 T
_LEAST_BASELINE = 3  # frames; chosen, with fewer their level is not known
# What is not noise, as fractions: of an artery's and a sinus' signal what no such model describes, the noise of tissue's mean signal, and
# of its rise what is not described. Chosen: with them the residual of simulated patients is about 1.
_MODEL_ERROR, _TISSUE_NOISE, _TISSUE_ERROR = 0.01, 0.003, 0.02
_STARTS_S = (-3.0, 0.0, 3.0)  # shifts of the start; chosen: half the width of a first pass to either side
_BOLUS_S = 40.0  # after the baseline: where the artery's peak is sought; chosen, before the recirculation is over
_MOST_EVALUATIONS = 300  # of each start; chosen as a bound on the work


@dataclass(frozen=True)
class Parameter:
    """A parameter of the fit: where it starts, its bounds, its prior (an expected value with an SD), and the size of its steps.

    Attributes
    ----------
    log_prior
        Whether the SD is that of the logarithm; an infinite SD is no prior.
    """

    start: float
    low: float
    high: float
    sd: float = np.inf
    log_prior: bool = False
    step: float | None = None


# Parker's form in seconds: the population's values, and bounds wide enough for any injection. The priors' SD were chosen about as wide as
# patients differ (`simulate.blood.draw_blood`: widths by 15 %, recirculation by 25 %); the area, the dose, and the decay, the kidneys, are
# left to the data.
_FORM = {
    "area": Parameter(50.0, 2.0, 400.0, np.inf, True),  # of the first pass, mM s
    "centre": Parameter(10.2, 4.0, 25.0, 0.15, True),
    "width": Parameter(3.4, 1.0, 12.0, 0.15, True),
    "second_area": Parameter(0.41, 0.01, 2.0, 0.3, True),  # over the first
    "second_centre": Parameter(21.9, 8.0, 60.0, 0.15, True),
    "second_width": Parameter(7.9, 2.0, 30.0, 0.15, True),
    "tail": Parameter(0.0216, 1e-3, 0.2, 0.3, True),  # over the first area, 1/s
    "decay": Parameter(0.0028, 0.0, 0.05, np.inf, True),  # 1/s
    "slope": Parameter(0.63, 0.05, 3.0, 0.25, True),  # 1/s
    "shift": Parameter(29.0, 5.0, 60.0, 0.15, True),
}
# What the signals are made with. B1 varies by some 10 % in a head at 3 T. The other priors were chosen: the artery's voxels are the purest
# ones found, but a voxel is as large as an artery, so the share's prior is wide; a sinus is much wider than a voxel, and its voxels hold
# little else; little fresh blood is left where a slab is excited well beyond its edge. What has no prior, the signals determine.
_SIGNAL = {
    "flip": Parameter(1.0, 0.6, 1.4, 0.1),  # of the artery, over nominal
    "sinus_flip": Parameter(1.0, 0.6, 1.4, 0.1),
    "share": Parameter(0.85, 0.15, 1.0, 0.2),  # of the artery in its voxels' signal before contrast
    "inflow": Parameter(0.05, 0.0, 0.7, 0.1),  # of fresh blood in it
    "delay": Parameter(2.0, 0.0, 10.0),  # from artery to sinus, s
    "dispersion": Parameter(4.0, 0.5, 20.0),  # likewise
    "vp": Parameter(0.02, 1e-4, 0.5, step=0.02),  # tissue's
    "leak": Parameter(1e-5, 0.0, 0.01, step=1e-5),  # 1/s
    "tissue_delay": Parameter(0.5, -2.0, 6.0, step=1.0),  # s
    "tissue_dispersion": Parameter(2.0, 0.2, 15.0, step=2.0),  # s
    "sinus_share": Parameter(0.97, 0.7, 1.0, 0.03, step=0.05),
}
_EARLIEST_S = 15.0  # of the start, before and after the last frame of the baseline; chosen
_LEAST_STEP = 0.05  # of parameters that start near 0; chosen


class _Parameters(NamedTuple):
    """One value per parameter, by name, in the order in which the optimiser has them."""

    area: float
    centre: float
    width: float
    second_area: float
    second_centre: float
    second_width: float
    tail: float
    decay: float
    slope: float
    shift: float
    start: float
    flip: float
    sinus_flip: float
    share: float
    inflow: float
    delay: float
    dispersion: float
    vp: float
    leak: float
    tissue_delay: float
    tissue_dispersion: float
    sinus_share: float


@dataclass(frozen=True)
class BloodSignals:
    """What the fit explains.

    Attributes
    ----------
    times_s
        (t,) s, in steady state.
    artery, sinus, tissue
        (t,) mean signals; that of tissue deep in the brain, most of it without a large vessel.
    n_baseline
        Frames before the bolus.
    moves
        First frames after sudden moves of the head.
    noise
        SD of the noise of artery and sinus, over the signal before contrast.
    """

    times_s: np.ndarray
    artery: np.ndarray
    sinus: np.ndarray
    tissue: np.ndarray
    n_baseline: int
    moves: tuple[int, ...] = ()
    noise: tuple[float, float] = (0.02, 0.02)


@dataclass(frozen=True)
class BloodFit:
    """Concentration in blood that explains the signals of artery and sinus.

    Attributes
    ----------
    times_s, concentration
        (m,) every half second; whole blood, mM.
    samples
        (t,) mM: the artery's signal turned into concentration with what was found; NaN where it is above the highest possible.
    flip_artery, flip_sinus
        Flip angles over nominal.
    share, inflow
        The artery's share of its voxels' signal before the bolus, and that of fresh blood.
    delay_s, dispersion_s
        From artery to sinus.
    residual
        Root mean square over the expected SD; about 1 where the model describes the signals.
    peak_sd
        Relative SD of the peak.
    """

    times_s: np.ndarray
    concentration: np.ndarray
    samples: np.ndarray
    flip_artery: float
    flip_sinus: float
    share: float
    inflow: float
    delay_s: float
    dispersion_s: float
    residual: float
    peak_sd: float


def relative_signal(
    concentration_mM: np.ndarray, acquisition: Spgr, flip: float, t10_s: float, te_s: float
) -> np.ndarray:
    """Signal of blood over that before contrast, at `flip` times the nominal angle; T2* decay as in whole blood (`BLOOD_R2STAR`)."""
    angle = flip * acquisition.flip_angle_deg
    r10 = 1.0 / t10_s
    rise = spgr_signal(r10 + acquisition.r1 * concentration_mM, acquisition.tr_s, angle)
    rise = rise / spgr_signal(r10, acquisition.tr_s, angle)
    linear, square = BLOOD_R2STAR
    return rise * np.exp(-te_s * (linear * concentration_mM + square * concentration_mM**2))


def fit_blood(signals: BloodSignals, acquisition: Spgr, t10_s: float) -> BloodFit:
    """Fit the signals of an artery, a sinus and tissue by one blood.

    The artery's concentration has Parker's form (two Gaussians and a sigmoid exponential); the sinus' is that one, delayed and dispersed by
    an exponential; tissue takes up a share of it, dispersed likewise, and some that stays. The artery's voxels also hold tissue, whose
    signal stays, and fresh blood, whose extra signal is gone once T1 is short. Before and after a sudden move of the head, signals are
    scaled freely: other voxels hold the vessels then.

    Parameters
    ----------
    acquisition
        Without an echo time there is no T2* decay.
    t10_s
        T1 before contrast of arterial blood; that of venous blood is 0.952 of it.
    """
    model = _Model.of(signals, acquisition, t10_s)
    best = _optimum(model)
    p = _Parameters(*best.x)
    arterial = model.arterial(p)
    residual = float(np.sqrt(np.mean(model.misfit(p) ** 2)))
    return BloodFit(
        model.fine_s + signals.times_s[0],
        arterial,
        _samples(model, p),
        float(p.flip),
        float(p.sinus_flip),
        float(p.share),
        float(p.inflow),
        float(p.delay),
        float(p.dispersion),
        residual,
        max(residual, 1.0) * _relative_peak_sd(model, best),
    )


@dataclass(frozen=True)
class _Model:
    """The three signals as functions of the parameters, and the data, both over the signal before contrast.

    Attributes
    ----------
    data, sd
        (3, t) signals of artery, sinus and tissue, and the SD of what the model leaves.
    scaled_freely
        Masks (t,) of frames whose level is not compared with the rest's.
    times_s, fine_s
        From the first frame on, s: of the frames (t,), and every half second (m,).
    last_baseline
        The last frame of the baseline.
    """

    data: np.ndarray
    sd: np.ndarray
    scaled_freely: list[np.ndarray]
    times_s: np.ndarray
    fine_s: np.ndarray
    last_baseline: int
    acquisition: Spgr
    t10_s: float

    @classmethod
    def of(cls, signals: BloodSignals, acquisition: Spgr, t10_s: float) -> "_Model":
        t = signals.times_s - signals.times_s[0]
        frames = np.arange(t.size)
        # Stretches between sudden moves; the main one is that in which the bolus comes.
        stretch = np.searchsorted(np.asarray(signals.moves, int), frames, side="right")
        main = stretch[min(signals.n_baseline + 1, t.size - 1)]
        baseline = (frames < signals.n_baseline) & (stretch == main)
        level_is_known = baseline.sum() >= _LEAST_BASELINE
        if not level_is_known:
            baseline = frames < signals.n_baseline
        data = np.stack([y / y[baseline].mean() for y in (signals.artery, signals.sinus, signals.tissue)])
        noise = np.array([*signals.noise, _TISSUE_NOISE])[:, None]
        error = np.array([[_MODEL_ERROR], [_MODEL_ERROR], [_TISSUE_ERROR]]) * (data - [[0], [0], [1]])
        return cls(
            data,
            np.sqrt(noise**2 + error**2),
            [stretch == k for k in range(stretch[-1] + 1) if k != main or not level_is_known],
            t,
            np.arange(0.0, t[-1] + FINE_S, FINE_S),
            signals.n_baseline - 1,
            acquisition,
            t10_s,
        )

    def arterial(self, p: _Parameters) -> np.ndarray:
        """Concentration in the artery (m,), mM."""
        form = ParkerForm(
            (1.0, p.second_area),
            (p.centre, p.second_centre),
            (p.width, p.second_width),
            p.tail,
            p.decay,
            p.slope,
            p.shift,
        )
        return p.area * parker_form(self.fine_s - p.start, form)

    def _in_tissue(self, p: _Parameters, arterial: np.ndarray) -> np.ndarray:
        """Concentration in tissue (t,), mM."""
        at = self.times_s - p.tissue_delay
        passing = np.interp(at, self.fine_s, _dispersed(arterial, p.tissue_dispersion))
        return p.vp * passing + p.leak * np.interp(at, self.fine_s, np.cumsum(arterial) * FINE_S)

    def unscaled(self, p: _Parameters) -> np.ndarray:
        """The signals (3, t) of a head that does not move."""
        arterial = self.arterial(p)
        here = np.interp(self.times_s, self.fine_s, arterial)
        there = np.interp(self.times_s - p.delay, self.fine_s, _dispersed(arterial, p.dispersion))
        te_s = self.acquisition.te_s or 0.0
        rise = relative_signal(here, self.acquisition, p.flip, self.t10_s, te_s)
        sinus = relative_signal(there, self.acquisition, p.sinus_flip, VENOUS_T1 * self.t10_s, te_s)
        tissue = relative_signal(self._in_tissue(p, arterial), self.acquisition, p.flip, TISSUE_T1_S, 0.0)
        return np.stack(
            [
                # Fresh blood stays within the slab for some seconds, its extra signal decaying with T1: one second is taken.
                p.share * rise + p.inflow * np.exp(-self.acquisition.r1 * here) + 1.0 - p.share - p.inflow,
                1.0 - p.sinus_share + p.sinus_share * sinus,
                tissue,
            ]
        )

    def signals(self, p: _Parameters) -> np.ndarray:
        """The signals (3, t), scaled freely before and after sudden moves."""
        model = self.unscaled(p)
        for frames in self.scaled_freely:
            part = model[:, frames]
            model[:, frames] *= ((part * self.data[:, frames]).sum(axis=1) / (part**2).sum(axis=1))[:, None]
        return model

    def misfit(self, p: _Parameters) -> np.ndarray:
        """Model less data over the SD, (3, t)."""
        return (self.signals(p) - self.data) / self.sd


def _dispersed(curve: np.ndarray, tau_s: float) -> np.ndarray:
    """A curve (m,) convolved with an exponential of area 1; samples count as steps of half a second (a recursive filter, for its speed)."""
    from scipy.signal import lfilter

    kept = np.exp(-FINE_S / tau_s)
    return lfilter([1.0 - kept], [1.0, -kept], curve)


def _optimum(model: _Model) -> Any:
    """The best of scipy's least-squares results from several starts of the curve."""
    from scipy.optimize import least_squares

    form_at, form_sd = (np.array([getattr(p, name) for p in _FORM.values()]) for name in ("start", "sd"))
    held = [name for name, p in _SIGNAL.items() if np.isfinite(p.sd)]
    held_at, held_sd = (np.array([getattr(_SIGNAL[n], name) for n in held]) for name in ("start", "sd"))
    held_index = [_Parameters._fields.index(n) for n in held]

    def residuals(x: np.ndarray) -> np.ndarray:
        expected = np.log(x[: form_at.size] / form_at + 1e-12) / form_sd
        return np.concatenate([model.misfit(_Parameters(*x)).ravel(), expected, (x[held_index] - held_at) / held_sd])

    t, n = model.times_s, model.last_baseline + 1
    bolus = model.data[0, n : n + max(4, int(_BOLUS_S / np.median(np.diff(t))))]
    peak_s = t[n + int(np.argmax(bolus))]
    earliest, latest = t[n - 1] - _EARLIEST_S, t[n - 1] + _EARLIEST_S
    best = None
    for shift in _STARTS_S:
        begin = float(np.clip(peak_s - _FORM["centre"].start + shift, earliest + 0.1, latest - 0.1))
        parameters = [*_FORM.values(), Parameter(begin, earliest, latest), *_SIGNAL.values()]
        found = least_squares(
            residuals,
            [p.start for p in parameters],
            bounds=([p.low for p in parameters], [p.high for p in parameters]),
            x_scale=[max(abs(p.start), _LEAST_STEP) if p.step is None else p.step for p in parameters],
            max_nfev=_MOST_EVALUATIONS,
        )
        best = found if best is None or found.cost < best.cost else best
    return best


def _relative_peak_sd(model: _Model, best: Any) -> float:
    """Relative SD of the peak of the artery's concentration, from the curvature at the optimum."""
    peak = model.arterial(_Parameters(*best.x)).max()
    covariance = np.linalg.pinv(best.jac.T @ best.jac)
    slope = np.zeros(best.x.size)
    for i in range(len(_FORM) + 1):
        other = best.x.copy()
        other[i] += 1e-4 * max(abs(best.x[i]), _LEAST_STEP)
        slope[i] = (model.arterial(_Parameters(*other)).max() - peak) / (other[i] - best.x[i]) / peak
    return float(np.sqrt(slope @ covariance @ slope))


def _samples(model: _Model, p: _Parameters) -> np.ndarray:
    """The artery's signal turned into concentration (t,), mM; NaN where it is above the highest possible."""
    arterial = model.arterial(p)
    grid = np.linspace(0.0, 3.0 * arterial.max(), 3000)
    table = relative_signal(grid, model.acquisition, p.flip, model.t10_s, model.acquisition.te_s or 0.0)
    highest = int(np.argmax(table))
    seen = model.data[0] * model.unscaled(p)[0] / model.signals(p)[0]
    fresh = p.inflow * np.exp(-model.acquisition.r1 * np.interp(model.times_s, model.fine_s, arterial))
    rise = (seen - fresh - (1.0 - p.share - p.inflow)) / p.share
    return np.interp(rise, table[: highest + 1], grid[: highest + 1], right=np.nan)
