"""The signals of artery, venous sinus and tissue of a DCE series as functions of one blood's concentration, and their derivatives."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ..kinetics import ParkerForm, parker_form, parker_terms
from ..signal import BLOOD_R2STAR, Spgr, spgr_signal
from .exponentials import dispersed, read

FINE_S = 0.5  # chosen: a tenth of the width of a first pass, and of a usual frame
# Venous over arterial T1 at 3 T and a hematocrit of 0.42 (Lu H et al., Magn Reson Med 2004;52:679).
VENOUS_T1 = 1584.0 / 1664.0
TISSUE_T1_S = 1.2  # chosen, between grey and white matter at 3 T
_LEAST_BASELINE = 3  # frames; chosen, with fewer their level is not known
# What is not noise, as fractions: of an artery's and a sinus' signal what no such model describes, the noise of tissue's mean signal, and
# of its rise what is not described. Chosen: with them the residual of simulated patients is about 1.
_MODEL_ERROR, _TISSUE_NOISE, _TISSUE_ERROR = 0.01, 0.003, 0.02
LEAST_STEP = 0.05  # of parameters that start near 0; chosen


@dataclass(frozen=True)
class Parameter:
    """A parameter of the fit: where it starts, its bounds, its prior (an expected value with an SD), and the size of its steps.

    An infinite SD is no prior.
    """

    start: float
    low: float
    high: float
    sd: float = np.inf
    step: float | None = None


# Parker's form in seconds: the population's values, and bounds wide enough for any injection. The priors' SD were chosen about as wide as
# patients differ (`simulate.blood.draw_blood`: widths by 15 %, recirculation by 25 %); the area, the dose, and the decay, the kidneys, are
# left to the data.
FORM = {
    "area": Parameter(50.0, 2.0, 400.0, np.inf),  # of the first pass, mM s
    "centre": Parameter(10.2, 4.0, 25.0, 0.15),
    "width": Parameter(3.4, 1.0, 12.0, 0.15),
    "second_area": Parameter(0.41, 0.01, 2.0, 0.3),  # over the first
    "second_centre": Parameter(21.9, 8.0, 60.0, 0.15),
    "second_width": Parameter(7.9, 2.0, 30.0, 0.15),
    "tail": Parameter(0.0216, 1e-3, 0.2, 0.3),  # over the first area, 1/s
    "decay": Parameter(0.0028, 0.0, 0.05, np.inf),  # 1/s
    "slope": Parameter(0.63, 0.05, 3.0, 0.25),  # 1/s
    "shift": Parameter(29.0, 5.0, 60.0, 0.15),
}
# What the signals are made with. B1 varies by some 10 % in a head at 3 T. The other priors were chosen: the artery's voxels are the purest
# ones found, but a voxel is as large as an artery, so the share's prior is wide; a sinus is much wider than a voxel, and its voxels hold
# little else; little fresh blood is left where a slab is excited well beyond its edge. What has no prior, the signals determine.
SIGNAL = {
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


class BloodParameters(NamedTuple):
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


_OF_ARTERY = (*FORM, "start")


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


def _relative_slopes(
    concentration_mM: np.ndarray, acquisition: Spgr, flip: float, t10_s: float, te_s: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """`relative_signal`, and its derivatives by the concentration and by the flip angle over nominal."""
    value = relative_signal(concentration_mM, acquisition, flip, t10_s, te_s)
    nominal = np.deg2rad(acquisition.flip_angle_deg)
    sine, cosine = np.sin(flip * nominal), np.cos(flip * nominal)
    e10 = np.exp(-acquisition.tr_s / t10_s)
    e1 = e10 * np.exp(-acquisition.tr_s * acquisition.r1 * concentration_mM)
    linear, square = BLOOD_R2STAR
    by_concentration = acquisition.tr_s * acquisition.r1 * e1 * (1.0 / (1.0 - e1) - cosine / (1.0 - cosine * e1))
    by_concentration -= te_s * (linear + 2.0 * square * concentration_mM)
    by_flip = nominal * sine * (e10 / (1.0 - cosine * e10) - e1 / (1.0 - cosine * e1))
    return value, value * by_concentration, value * by_flip


@dataclass(frozen=True)
class BloodModel:
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
    def of(cls, signals: BloodSignals, acquisition: Spgr, t10_s: float) -> "BloodModel":
        """The model of some signals; `t10_s` is that of arterial blood before contrast."""
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

    def arterial(self, p: BloodParameters) -> np.ndarray:
        """Concentration in the artery (m,), mM."""
        return p.area * parker_form(self.fine_s - p.start, _form(p))

    def unscaled(self, p: BloodParameters) -> np.ndarray:
        """The signals (3, t) of a head that does not move."""
        te_s = self.acquisition.te_s or 0.0
        here, there, inside = self._concentrations(p, self.arterial(p)[None])
        return np.stack(
            [
                # Fresh blood stays within the slab for some seconds, its extra signal decaying with T1: one second is taken.
                p.share * relative_signal(here[0], self.acquisition, p.flip, self.t10_s, te_s)
                + p.inflow * np.exp(-self.acquisition.r1 * here[0])
                + 1.0
                - p.share
                - p.inflow,
                1.0
                - p.sinus_share
                + p.sinus_share
                * relative_signal(there[0], self.acquisition, p.sinus_flip, VENOUS_T1 * self.t10_s, te_s),
                relative_signal(inside[0], self.acquisition, p.flip, TISSUE_T1_S, 0.0),
            ]
        )

    def signals(self, p: BloodParameters) -> np.ndarray:
        """The signals (3, t), scaled freely before and after sudden moves."""
        model = self.unscaled(p)
        for frames in self.scaled_freely:
            part = model[:, frames]
            model[:, frames] *= ((part * self.data[:, frames]).sum(axis=1) / (part**2).sum(axis=1))[:, None]
        return model

    def misfit(self, p: BloodParameters) -> np.ndarray:
        """Model less data over the SD, (3, t)."""
        return (self.signals(p) - self.data) / self.sd

    def slopes(self, p: BloodParameters) -> np.ndarray:
        """The derivatives of `misfit` by the parameters, (3, t, 22)."""
        by = {name: np.zeros((3, self.times_s.size)) for name in BloodParameters._fields}
        te_s = self.acquisition.te_s or 0.0
        curves = np.concatenate([self.arterial(p)[None], self._arterial_slopes(p)])
        (here, *by_here), (there, *by_there), (inside, *by_inside) = self._concentrations(p, curves)
        rise, steep, by_flip = _relative_slopes(here, self.acquisition, p.flip, self.t10_s, te_s)
        sinus, sinus_steep, by_sinus_flip = _relative_slopes(
            there, self.acquisition, p.sinus_flip, VENOUS_T1 * self.t10_s, te_s
        )
        _, tissue_steep, by_tissue_flip = _relative_slopes(inside, self.acquisition, p.flip, TISSUE_T1_S, 0.0)
        fresh = np.exp(-self.acquisition.r1 * here)
        steep = p.share * steep - p.inflow * self.acquisition.r1 * fresh
        sinus_steep = p.sinus_share * sinus_steep
        for name, *rows in zip(_OF_ARTERY, by_here, by_there, by_inside):
            by[name][:] = np.stack([steep, sinus_steep, tissue_steep]) * rows
        by["flip"][0], by["flip"][2] = p.share * by_flip, by_tissue_flip
        by["sinus_flip"][1] = p.sinus_share * by_sinus_flip
        by["share"][0], by["inflow"][0], by["sinus_share"][1] = rise - 1.0, fresh - 1.0, sinus - 1.0
        arterial = curves[0]
        late = self.times_s - p.delay
        passing = dispersed(arterial, FINE_S, p.dispersion)
        by["delay"][1] = -sinus_steep * _slope(passing, late)
        by["dispersion"][1] = sinus_steep * read(_by_dispersion(arterial, passing, p.dispersion), FINE_S, late)
        late = self.times_s - p.tissue_delay
        passing = dispersed(arterial, FINE_S, p.tissue_dispersion)
        staying = _integral(arterial)
        by["vp"][2] = tissue_steep * read(passing, FINE_S, late)
        by["leak"][2] = tissue_steep * read(staying, FINE_S, late)
        by["tissue_delay"][2] = -tissue_steep * (p.vp * _slope(passing, late) + p.leak * _slope(staying, late))
        more = _by_dispersion(arterial, passing, p.tissue_dispersion)
        by["tissue_dispersion"][2] = tissue_steep * p.vp * read(more, FINE_S, late)
        result = np.stack(list(by.values()), axis=-1)
        model = self.unscaled(p)
        for frames in self.scaled_freely:
            part, data, change = model[:, frames], self.data[:, frames], result[:, frames]
            square = (part**2).sum(axis=1)
            scale = (part * data).sum(axis=1) / square
            by_scale = np.einsum("rt,rtp->rp", data - 2.0 * scale[:, None] * part, change) / square[:, None]
            result[:, frames] = scale[:, None, None] * change + by_scale[:, None, :] * part[:, :, None]
        return result / self.sd[:, :, None]

    def _concentrations(self, p: BloodParameters, arterial: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """In artery, sinus and tissue at the frames, each (k, t), of curves (k, m) in the artery: all three are linear in it."""
        late = self.times_s - p.tissue_delay
        inside = p.vp * dispersed(arterial, FINE_S, p.tissue_dispersion) + p.leak * _integral(arterial)
        there = read(dispersed(arterial, FINE_S, p.dispersion), FINE_S, self.times_s - p.delay)
        return read(arterial, FINE_S, self.times_s), there, read(inside, FINE_S, late)

    def _arterial_slopes(self, p: BloodParameters) -> np.ndarray:
        """The derivatives of `arterial` (11, m) by the parameters that it has, in the order of `_OF_ARTERY`."""
        t = self.fine_s - p.start
        after = np.maximum(t, 0.0)
        first, second, tail = (p.area * term for term in parker_terms(t, _form(p)))
        z1, z2 = (t - p.centre) / p.width, (t - p.second_centre) / p.second_width
        begun = 1.0 / (1.0 + np.exp(p.slope * (after - p.shift)))  # 1 less the sigmoid
        return np.stack(
            [
                (first + second + tail) / p.area,
                first * z1 / p.width,
                first * (z1**2 - 1.0) / p.width,
                second / p.second_area,
                second * z2 / p.second_width,
                second * (z2**2 - 1.0) / p.second_width,
                tail / p.tail,
                -after * tail,
                tail * begun * (after - p.shift),
                -tail * begun * p.slope,
                first * z1 / p.width + second * z2 / p.second_width - tail * (begun * p.slope - p.decay),
            ]
        )


def _form(p: BloodParameters) -> ParkerForm:
    return ParkerForm(
        (1.0, p.second_area),
        (p.centre, p.second_centre),
        (p.width, p.second_width),
        p.tail,
        p.decay,
        p.slope,
        p.shift,
    )


def _by_dispersion(curve: np.ndarray, wide: np.ndarray, tau_s: float) -> np.ndarray:
    """The derivative of `dispersed` by tau: ``tau y' + y = x`` differentiated, whose right side is ``-y' = (y - x) / tau``."""
    return dispersed((wide - curve) / tau_s, FINE_S, tau_s)


def _integral(curve: np.ndarray) -> np.ndarray:
    """The running integral of curves (..., m), times s; exact between samples."""
    result = np.zeros_like(curve)
    np.cumsum((curve[..., 1:] + curve[..., :-1]) * (0.5 * FINE_S), axis=-1, out=result[..., 1:])
    return result


def _slope(curve: np.ndarray, times_s: np.ndarray) -> np.ndarray:
    """The derivative by time of what `read` gives, per s."""
    x = times_s / FINE_S
    index = np.clip(x.astype(np.int64), 0, curve.shape[-1] - 2)
    inside = (x >= 0.0) & (x <= curve.shape[-1] - 1.0)
    return np.where(inside, (curve[..., index + 1] - curve[..., index]) / FINE_S, 0.0)
