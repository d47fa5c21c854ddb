"""The concentration in blood that artery, venous sinus and tissue of a DCE series show together: one fit of their signals.

Near its highest value the signal of blood hardly rises with concentration, so that a flip angle off by a few percent (B1), some tissue in
the voxel, or fresh blood that flows in, change the peak that is read from it several times over. But both curves come from one blood: what
leaves the arteries passes the sinus later, wider, and with the same area, and it saturates there less. Where the flip angle is wrong, no
one concentration gives both signals. The fit finds the one that does. Tissue helps: it holds little agent, its signal does not saturate,
and it determines how high the first pass is over what follows.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..signal import Spgr
from .bloodmodel import FORM, LEAST_STEP, SIGNAL, BloodModel, BloodParameters, BloodSignals, Parameter, relative_signal

# Shifts of the start in s; chosen: up to half the width of a first pass to either side. With three, one of twelve fits ended 6 % above.
STARTS_S = (-3.0, -1.5, 0.0, 1.5, 3.0)
_BOLUS_S = 40.0  # after the baseline: where the artery's peak is sought; chosen, before the recirculation is over
_EARLIEST_S = 15.0  # of the start, before and after the last frame of the baseline; chosen
_MOST_EVALUATIONS = 300  # of each start; chosen as a bound on the work


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
    model = BloodModel.of(signals, acquisition, t10_s)
    best = optimum(model)
    p = BloodParameters(*best.x)
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


def optimum(model: BloodModel) -> Any:
    """The best of scipy's least-squares results from several starts of the curve."""
    from scipy.optimize import least_squares

    form_at, form_sd = (np.array([getattr(p, name) for p in FORM.values()]) for name in ("start", "sd"))
    held = [name for name, p in SIGNAL.items() if np.isfinite(p.sd)]
    held_at, held_sd = (np.array([getattr(SIGNAL[n], name) for n in held]) for name in ("start", "sd"))
    held_index = [BloodParameters._fields.index(n) for n in held]
    n_form = form_at.size

    def residuals(x: np.ndarray) -> np.ndarray:
        expected = np.log(x[:n_form] / form_at + 1e-12) / form_sd
        return np.concatenate(
            [model.misfit(BloodParameters(*x)).ravel(), expected, (x[held_index] - held_at) / held_sd]
        )

    def jacobian(x: np.ndarray) -> np.ndarray:
        expected, others = np.zeros((n_form, x.size)), np.zeros((len(held), x.size))
        expected[np.arange(n_form), np.arange(n_form)] = 1.0 / (x[:n_form] + 1e-12 * form_at) / form_sd
        others[np.arange(len(held)), held_index] = 1.0 / held_sd
        return np.concatenate([model.slopes(BloodParameters(*x)).reshape(-1, x.size), expected, others])

    t, n = model.times_s, model.last_baseline + 1
    bolus = model.data[0, n : n + max(4, int(_BOLUS_S / np.median(np.diff(t))))]
    peak_s = t[n + int(np.argmax(bolus))]
    earliest, latest = t[n - 1] - _EARLIEST_S, t[n - 1] + _EARLIEST_S
    best = None
    for shift in STARTS_S:
        begin = float(np.clip(peak_s - FORM["centre"].start + shift, earliest + 0.1, latest - 0.1))
        parameters = [*FORM.values(), Parameter(begin, earliest, latest), *SIGNAL.values()]
        found = least_squares(
            residuals,
            [p.start for p in parameters],
            jacobian,
            bounds=([p.low for p in parameters], [p.high for p in parameters]),
            x_scale=[max(abs(p.start), LEAST_STEP) if p.step is None else p.step for p in parameters],
            max_nfev=_MOST_EVALUATIONS,
        )
        best = found if best is None or found.cost < best.cost else best
    return best


def _relative_peak_sd(model: BloodModel, best: Any) -> float:
    """Relative SD of the peak of the artery's concentration, from the curvature at the optimum."""
    peak = model.arterial(BloodParameters(*best.x)).max()
    covariance = np.linalg.pinv(best.jac.T @ best.jac)
    slope = np.zeros(best.x.size)
    for i in range(len(FORM) + 1):
        other = best.x.copy()
        other[i] += 1e-4 * max(abs(best.x[i]), LEAST_STEP)
        slope[i] = (model.arterial(BloodParameters(*other)).max() - peak) / (other[i] - best.x[i]) / peak
    return float(np.sqrt(slope @ covariance @ slope))


def _samples(model: BloodModel, p: BloodParameters) -> np.ndarray:
    """The artery's signal turned into concentration (t,), mM; NaN where it is above the highest possible."""
    arterial = model.arterial(p)
    grid = np.linspace(0.0, 3.0 * arterial.max(), 3000)
    table = relative_signal(grid, model.acquisition, p.flip, model.t10_s, model.acquisition.te_s or 0.0)
    highest = int(np.argmax(table))
    seen = model.data[0] * model.unscaled(p)[0] / model.signals(p)[0]
    fresh = p.inflow * np.exp(-model.acquisition.r1 * np.interp(model.times_s, model.fine_s, arterial))
    rise = (seen - fresh - (1.0 - p.share - p.inflow)) / p.share
    return np.interp(rise, table[: highest + 1], grid[: highest + 1], right=np.nan)
