"""What artery and sinus say together of the concentration in blood: one fit of both signals.

Near its highest value the signal of blood hardly rises with concentration, so that a flip angle off by a few percent (B1), some tissue in
the voxel, or fresh blood that flows in, change the peak that is read from it several times over. But both curves come from one blood: what
leaves the arteries passes the sinus later, wider, and with the same area, and it saturates there less. Where the flip angle is wrong, no
one concentration gives both signals. The fit finds the one that does. Tissue helps: it holds
little agent, its signal does not saturate, and it tells how high the first pass is over what follows.
"""

from dataclasses import dataclass

import numpy as np

from ..signal import BLOOD_R2STAR, spgr_signal

FINE_S = 0.5
VENOUS_T1 = (
    1584.0 / 1664.0
)  # venous over arterial T1 at 3 T and a hematocrit of 0.42 (Lu H et al., Magn Reson Med 2004;52:679)
_ENOUGH = 3  # baseline frames without which their level is not known
# What the fit expects and how surely (SD): flip angles over nominal, the artery's share of its voxels, fresh blood, the sinus' share. B1
# varies by some 10 % in a head at 3 T; the others are chosen.
_EXPECTED = np.array([1.0, 1.0, 0.85, 0.05, 0.97])
_SPREAD = np.array([0.1, 0.1, 0.2, 0.1, 0.03])
_MODEL_ERROR = 0.01  # of the signal: what no such model describes
# Spread along the head's edge over its usual one. As the bolus passes, some vessels fill while others empty, and that is up to 2.9 in
# simulated patients 0-59 (3.5 in one); else it is 1.4. A move of a millimetre is 4 to 10, and 1.4 to 2.3 once it was corrected and is only
# blur.
_MOVED, _MOVED_IN_BOLUS, _PERHAPS, _MOST_PERHAPS = 1.6, 3.7, 1.3, 4
TISSUE_T1_S = 1.2  # between grey and white matter at 3 T
_TISSUE_NOISE = 0.003
_TISSUE_ERROR = 0.02  # of the rise of its signal


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


# The parameters after those of the form: its start (s); what the signals of artery and sinus are made with; what tissue takes up (volume
# fraction, leak in 1/s, delay and dispersion in s); the vein's share of the sinus' voxels.
_START, _FLIP, _SINUS_FLIP, _SHARE, _INFLOW, _DELAY, _DISPERSION = range(10, 17)
_VP, _LEAK, _TISSUE_DELAY, _TISSUE_DISPERSION, _SINUS_SHARE = range(17, 22)
# Parker's form: area 1 (mM s), centre 1, width 1 (s), area 2 over 1, centre 2, width 2, height of the tail over area 1, decay, slope (1/s),
# shift (s). The population's values, and the SD of their logarithms (chosen); None: not held.
_FORM = np.array([50.0, 10.2, 3.4, 0.41, 21.9, 7.9, 0.0216, 0.0028, 0.63, 29.0])
_FORM_SPREAD = np.array([np.inf, 0.15, 0.15, 0.3, 0.15, 0.15, 0.3, np.inf, 0.25, 0.15])
_FORM_RANGE = (
    np.array([2.0, 4.0, 1.0, 0.01, 8.0, 2.0, 1e-3, 0.0, 0.05, 5.0]),
    np.array([400.0, 25.0, 12.0, 2.0, 60.0, 30.0, 0.2, 0.05, 3.0, 60.0]),
)


def _form(p: np.ndarray, start_s: float, times: np.ndarray) -> np.ndarray:
    u = times - start_s
    after = np.maximum(u, 0.0)
    curve = p[6] * np.exp(-p[7] * after) / (1.0 + np.exp(-p[8] * (after - p[9])))
    for area, centre, width in ((1.0, p[1], p[2]), (p[3], p[4], p[5])):
        curve = curve + area / (width * np.sqrt(2 * np.pi)) * np.exp(-0.5 * ((u - centre) / width) ** 2)
    return np.where(u < 0, 0.0, p[0] * curve)


def relative_signal(
    concentration_mM: np.ndarray, tr_s: float, flip_deg: float, t10_s: float, r1: float, te_s: float
) -> np.ndarray:
    """Signal of blood over that before contrast; T2* decay as in whole blood (`signal.BLOOD_R2STAR`)."""
    rise = spgr_signal(1.0 / t10_s + r1 * concentration_mM, tr_s, flip_deg) / spgr_signal(1.0 / t10_s, tr_s, flip_deg)
    linear, square = BLOOD_R2STAR
    return rise * np.exp(-te_s * (linear * concentration_mM + square * concentration_mM**2))


def fit_blood(
    times_s: np.ndarray,
    artery: np.ndarray,
    sinus: np.ndarray,
    tissue: np.ndarray,
    n_baseline: int,
    tr_s: float,
    flip_angle_deg: float,
    t10_s: float,
    r1: float,
    te_s: float = 0.0,
    moves: tuple[int, ...] = (),
    noise: tuple[float, float] = (0.02, 0.02),
) -> BloodFit:
    """Fit the signals of an artery, a sinus and tissue by one blood.

    The artery's concentration has Parker's form (two Gaussians and a sigmoid exponential); the sinus' is that one, delayed and dispersed by
    an exponential; tissue takes up a share of it, dispersed likewise, and some that stays. The artery's voxels also hold tissue, whose
    signal stays, and fresh blood, whose extra signal is gone once T1 is short. Before and after a sudden move of the head, signals are
    scaled freely: other voxels hold the vessels then.

    Parameters
    ----------
    times_s
        (t,) s, in steady state.
    artery, sinus, tissue
        (t,) mean signals; that of tissue deep in the brain, most of it without a large vessel.
    n_baseline
        Frames before the bolus.
    t10_s
        Of arterial blood; that of venous blood is 0.952 of it.
    r1
        1/(mM s).
    te_s
        0: no T2* decay.
    moves
        First frames after sudden moves.
    noise
        SD of the noise of both, over the signal before contrast.
    """
    from scipy.optimize import least_squares
    from scipy.signal import lfilter

    t = times_s - times_s[0]
    fine = np.arange(0.0, t[-1] + FINE_S, FINE_S)
    segment = np.searchsorted(np.asarray(moves, int), np.arange(t.size), side="right")
    main = segment[min(n_baseline + 1, t.size - 1)]
    baseline = (np.arange(t.size) < n_baseline) & (segment == main)
    held = baseline.sum() >= _ENOUGH
    if not held:
        baseline = np.arange(t.size) < n_baseline
    data = np.stack([y / y[baseline].mean() for y in (artery, sinus, tissue)])
    sd = np.sqrt(
        np.array([*noise, _TISSUE_NOISE])[:, None] ** 2
        + (np.array([[_MODEL_ERROR], [_MODEL_ERROR], [_TISSUE_ERROR]]) * (data - [[0], [0], [1]])) ** 2
    )
    free = [segment == k for k in range(segment[-1] + 1) if k != main or not held]
    low = np.concatenate(
        [_FORM_RANGE[0], [t[n_baseline - 1] - 15.0], [0.6, 0.6, 0.15, 0.0, 0.0, 0.5, 1e-4, 0.0, -2.0, 0.2, 0.7]]
    )
    high = np.concatenate(
        [_FORM_RANGE[1], [t[n_baseline - 1] + 15.0], [1.4, 1.4, 1.0, 0.7, 10.0, 20.0, 0.5, 0.01, 6.0, 15.0, 1.0]]
    )

    def blood(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        arterial = _form(x[:_START], x[_START], fine)
        kept = np.exp(-FINE_S / x[_DISPERSION])
        return arterial, lfilter([1.0 - kept], [1.0, -kept], arterial)

    def perfused(x: np.ndarray, arterial: np.ndarray) -> np.ndarray:
        kept = np.exp(-FINE_S / x[_TISSUE_DISPERSION])
        passing = np.interp(t - x[_TISSUE_DELAY], fine, lfilter([1.0 - kept], [1.0, -kept], arterial))
        return x[_VP] * passing + x[_LEAK] * np.interp(t - x[_TISSUE_DELAY], fine, np.cumsum(arterial) * FINE_S)

    def unscaled(x: np.ndarray) -> np.ndarray:
        arterial, venous = blood(x)
        here, there = np.interp(t, fine, arterial), np.interp(t - x[_DELAY], fine, venous)
        rise = relative_signal(here, tr_s, x[_FLIP] * flip_angle_deg, t10_s, r1, te_s)
        return np.stack(
            [
                # Fresh blood stays within the slab for some seconds, its extra signal decaying with T1: one second is taken.
                x[_SHARE] * rise + x[_INFLOW] * np.exp(-r1 * here) + 1.0 - x[_SHARE] - x[_INFLOW],
                1.0
                - x[_SINUS_SHARE]
                + x[_SINUS_SHARE]
                * relative_signal(there, tr_s, x[_SINUS_FLIP] * flip_angle_deg, VENOUS_T1 * t10_s, r1, te_s),
                relative_signal(perfused(x, arterial), tr_s, x[_FLIP] * flip_angle_deg, TISSUE_T1_S, r1, 0.0),
            ]
        )

    def signals(x: np.ndarray) -> np.ndarray:
        model = unscaled(x)
        for frames in free:
            of = model[:, frames]
            model[:, frames] *= ((of * data[:, frames]).sum(axis=1) / (of**2).sum(axis=1))[:, None]
        return model

    def residuals(x: np.ndarray) -> np.ndarray:
        expected = np.log(x[:_START] / _FORM + 1e-12) / _FORM_SPREAD
        return np.concatenate(
            [
                ((signals(x) - data) / sd).ravel(),
                expected,
                (x[[_FLIP, _SINUS_FLIP, _SHARE, _INFLOW, _SINUS_SHARE]] - _EXPECTED) / _SPREAD,
            ]
        )

    peak_s = t[
        n_baseline + int(np.argmax(data[0, n_baseline : n_baseline + max(4, int(40.0 / np.median(np.diff(t))))]))
    ]
    best = None
    for shift in (-3.0, 0.0, 3.0):
        begin = np.clip(peak_s - _FORM[1] + shift, low[_START] + 0.1, high[_START] - 0.1)
        guess = np.concatenate([_FORM, [begin, *_EXPECTED[:4], 2.0, 4.0, 0.02, 1e-5, 0.5, 2.0, _EXPECTED[4]]])
        found = least_squares(
            residuals,
            guess,
            bounds=(low, high),
            x_scale=np.concatenate([np.maximum(np.abs(guess[:_VP]), 0.05), [0.02, 1e-5, 1.0, 2.0, 0.05]]),
            max_nfev=300,
        )
        best = found if best is None or found.cost < best.cost else best
    x = best.x
    arterial, _ = blood(x)
    covariance = np.linalg.pinv(best.jac.T @ best.jac)
    slope = np.zeros(x.size)
    for i in range(_START + 1):
        other = x.copy()
        other[i] += 1e-4 * max(abs(x[i]), 0.05)
        slope[i] = (blood(other)[0].max() - arterial.max()) / (other[i] - x[i]) / arterial.max()
    grid = np.linspace(0.0, 3.0 * arterial.max(), 3000)
    table = relative_signal(grid, tr_s, x[_FLIP] * flip_angle_deg, t10_s, r1, te_s)
    top = int(np.argmax(table))
    seen = data[0] * unscaled(x)[0] / signals(x)[0]
    alone = (seen - x[_INFLOW] * np.exp(-r1 * np.interp(t, fine, arterial)) - (1.0 - x[_SHARE] - x[_INFLOW])) / x[
        _SHARE
    ]
    residual = float(np.sqrt(np.mean(((signals(x) - data) / sd) ** 2)))
    return BloodFit(
        fine + times_s[0],
        arterial,
        np.interp(alone, table[: top + 1], grid[: top + 1], right=np.nan),
        *(float(v) for v in x[_FLIP : _DISPERSION + 1]),
        residual,
        max(residual, 1.0) * float(np.sqrt(slope @ covariance @ slope)),
    )


def sudden_moves(frames: np.ndarray, mask: np.ndarray, passing: np.ndarray) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Frames (of t, z, y, x) before which the head moved at once, and those before which it may have, likeliest first.

    Along the edge of `mask` a move makes some voxels brighter and others darker, contrast agent only the one or the other. So the
    smaller of the two spreads (of the differences between neighbouring frames, 5th and 95th percentile about the median) is compared with
    its usual size; in the first pass, in the frames `passing` (t,), when that happens to vessels as well, it must be larger.
    """
    from scipy import ndimage

    square = np.ones((1, 3, 3))
    rim = ndimage.binary_dilation(mask, square) & ~ndimage.binary_erosion(mask, square)
    if rim.sum() < 50:
        return (), ()
    difference = np.diff(frames[:, rim], axis=0)
    low, middle, high = np.percentile(difference, [5, 50, 95], axis=1)
    spread = np.minimum(middle - low, high - middle)
    limit = np.where(passing[1:], _MOVED_IN_BOLUS, _MOVED)
    ratio = spread / np.median(spread)
    perhaps = np.flatnonzero((ratio > _PERHAPS) & (ratio <= limit))
    likeliest = perhaps[np.argsort(-ratio[perhaps], kind="stable")][:_MOST_PERHAPS]
    return tuple(int(i) + 1 for i in np.flatnonzero(ratio > limit)), tuple(int(i) + 1 for i in likeliest)
