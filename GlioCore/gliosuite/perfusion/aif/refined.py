"""What a coarsely sampled AIF does between its samples, from the curves of the tissue that it feeds.

At frames of 5 s a first pass has two or three samples, and straight lines between them make ktrans and vp wrong by up to 30 %. But each
tissue is reached at a time of its own, so that its curve samples the bolus between the AIF's frames, and what has leaked holds the area
under it. One fit has all: a smooth curve, and for each of some two hundred tissue curves the parameters of the extended Tofts model with a
delay. What is left open is given as relative standard deviations of the parameters, the same for all voxels of a kind: an error of the AIF
is shared by them, and no average over voxels makes it smaller.
"""

from dataclasses import dataclass, field

import numpy as np

from ...curves import noise_sd
from .exponentials import decaying, dispersed
from .smooth import STEP_S, SmoothCurves, not_negative, on_grid

NAMES = ("ktrans", "vp", "log_kep", "delay", "level")
_LOW = np.array([0.0, 0.0, np.log(1e-3), -5.0, -np.inf])
_HIGH = np.array([5.0, 1.0, np.log(20.0), 12.0, np.inf])
_LONGEST = np.array([np.inf, 0.2, 1.0, 1.0, np.inf])  # steps of a parameter; chosen
_RATES = np.geomspace(
    2e-3, 20.0, 28
)  # 1/min; chosen, between two of them convolutions are nearly linear in the logarithm
# Of the samples, beside their noise, over their value and over the peak; of the tissue curves, over their peak. Chosen: what neither a
# table's digits nor the model are good for.
_SAMPLE_ERROR, _LEAST_SAMPLE_ERROR, _CURVE_ERROR = 0.01, 0.002, 0.005
_DISPERSION_SD_S = 1.0  # prior, of what lies between artery and tissue; chosen: 0.3 to 1.2 s in simulated patients
# Of the differences that give the derivatives by the dispersion (s) and by the logarithm of kep.
_TAU_STEP_S, _APART = 0.05, 1e-3
_MOST_STEPS, _ENOUGH = 20, 0.3  # of the fit; the gain (in units of chi squared) below which it ends; chosen
_TRIALS, _SHORTER = 5, 0.4  # of a step that made things worse, and how much shorter the next is; chosen
_AT_BOUND = 1e-9


@dataclass(frozen=True)
class Spread:
    """What an AIF's uncertainty does to the parameters of voxels: as to those of the likest of some curves.

    Attributes
    ----------
    kinds
        (n, 3): logarithm of ktrans over vp, logarithm of kep, delay (s).
    relative
        By parameter, (n,): SD over the value; of the delay, s.
    """

    kinds: np.ndarray
    relative: dict[str, np.ndarray]

    def of(self, values: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """SD by parameter (n,) of voxels with some `values` (n,): ktrans and delay, and vp, kep, ve where they have them."""
        from scipy.spatial import cKDTree

        known = np.flatnonzero(np.isfinite(values["ktrans"]))
        one = {name: v[known] for name, v in values.items()}
        absent = np.zeros(known.size)
        at = kinds(one["ktrans"], one.get("vp", absent), one.get("kep", absent), one.get("delay", absent))
        nearest = cKDTree(self.kinds).query(at)[1] if known.size else known
        result = {}
        for name, like in _LIKE.items():
            if name in values:
                size = 1.0 if name == "delay" else np.abs(one[name])
                result[name] = np.zeros(values[name].shape)
                result[name][known] = self.relative[like][nearest] * size
        return result


# Parameters that share the relative error of another; a flow is as far off as the height of the first pass, which vp stands for.
_LIKE = {
    "ktrans": "ktrans",
    "ps": "ktrans",
    "vp": "vp",
    "fp": "vp",
    "kep": "kep",
    "ve": "ve",
    "delay": "delay",
}


def kinds(ktrans: np.ndarray, vp: np.ndarray, kep: np.ndarray, delay_s: np.ndarray) -> np.ndarray:
    """What curves have in common that an AIF's error changes alike (n, 3); see `Spread`."""
    ratio = np.log(np.maximum(ktrans, 1e-4)) - np.log(np.maximum(vp, 1e-3))
    return np.stack([ratio, np.log(np.maximum(kep, 1e-2)), delay_s], axis=1)


@dataclass(frozen=True)
class RefinedAif:
    """An AIF between its samples.

    Attributes
    ----------
    times_s, concentration
        (m,) every half second; in the samples' unit.
    spread
        What its uncertainty does to voxels' parameters.
    dispersion_s
        Of the tissue's input, beyond the artery's curve.
    residual
        Root mean square of the curves' residuals over their SD; about 1 where the model describes them.
    """

    times_s: np.ndarray
    concentration: np.ndarray
    spread: Spread
    dispersion_s: float
    residual: float


def samples_sd(samples: np.ndarray) -> np.ndarray:
    """What samples (n,) of an AIF are good for."""
    top = float(samples.max())
    return np.sqrt(float(noise_sd(samples)) ** 2 + (_SAMPLE_ERROR * samples) ** 2 + (_LEAST_SAMPLE_ERROR * top) ** 2)


def refine(
    smooth: SmoothCurves,
    aif_times_s: np.ndarray,
    samples: np.ndarray,
    times_s: np.ndarray,
    curves: np.ndarray,
    start: dict[str, np.ndarray],
) -> RefinedAif:
    """The likeliest smooth curve, given an AIF's samples and the curves of tissue that it feeds.

    Gauss-Newton steps for the curve, from which each tissue's own parameters are projected out (variable projection); after each, the
    tissues' parameters follow by Levenberg-Marquardt steps.

    Parameters
    ----------
    smooth
        `SmoothCurves.through` the samples.
    aif_times_s, samples
        (n,) s, and plasma concentration in mM.
    times_s, curves
        (t,) s; tissue concentration (k, t) in mM.
    start
        ktrans (1/min), vp, kep (1/min) and delay (s), each (k,), for the curve nearest to the samples.
    """
    fit = _Joint(smooth, aif_times_s, samples, samples_sd(samples), times_s, curves, _curves_sd(curves))
    level = np.zeros(len(curves))
    own = np.stack([start["ktrans"], start["vp"], np.log(start["kep"]), start["delay"], level], axis=1)
    state = _State(np.append(smooth.nearest(aif_times_s, samples, fit.samples_sd), 2.0 * _TAU_STEP_S), own)
    state = fit.followed(state, np.full(len(curves), 1e-3))
    for _ in range(_MOST_STEPS):
        better = fit.step(state)
        gain = state.misfit - better.misfit
        state = better
        if gain < _ENOUGH:
            break
    system = fit.system(state)
    freedom = curves.size - own.size - state.shared.size
    return RefinedAif(
        smooth.times_s,
        smooth.basis @ state.shared[:-1],
        fit.spread(state, system),
        float(state.shared[-1]),
        float(np.sqrt(state.of_curves.sum() / max(freedom, 1))),
    )


def _curves_sd(curves: np.ndarray) -> np.ndarray:
    return np.sqrt(noise_sd(curves) ** 2 + (_CURVE_ERROR * curves.max(axis=1)) ** 2)


@dataclass(frozen=True)
class _State:
    """Where the fit is.

    Attributes
    ----------
    shared
        (b + 1,): the AIF's coefficients, and the dispersion between artery and tissue in s.
    own
        (k, 5) the tissues' parameters, in the order of `NAMES`; the level is that of their frames, which the baseline's noise moves.
    damping, of_curves, misfit
        (k,) Levenberg-Marquardt damping; (k,) squared residuals over the variance; what is minimised.
    """

    shared: np.ndarray
    own: np.ndarray
    damping: np.ndarray = field(default_factory=lambda: np.zeros(0))
    of_curves: np.ndarray = field(default_factory=lambda: np.zeros(0))
    misfit: float = np.inf


@dataclass(frozen=True)
class _System:
    """The linear system of a Gauss-Newton step: `curvature` (b + 1, b + 1) and `slope` (b + 1,) of the shared parameters, the tissues'
    parameters projected out; `own_by_shared` (k, 5, b + 1) and `own_step` (k, 5) say how these follow.
    """

    curvature: np.ndarray
    slope: np.ndarray
    own_by_shared: np.ndarray
    own_step: np.ndarray


@dataclass(frozen=True)
class _Joint:
    """The data of the fit, and its steps."""

    smooth: SmoothCurves
    aif_times_s: np.ndarray
    samples: np.ndarray
    samples_sd: np.ndarray
    times_s: np.ndarray
    curves: np.ndarray
    curves_sd: np.ndarray

    def _input(self, shared: np.ndarray) -> np.ndarray:
        """What reaches the tissue (m,)."""
        return dispersed(self.smooth.basis @ shared[:-1], STEP_S, float(shared[-1]))

    def _frames(self, delay_s: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return on_grid(self.times_s - delay_s[:, None] - self.smooth.times_s[0], self.smooth.times_s.size)

    def _model(self, own: np.ndarray, curve: np.ndarray, kep: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Plasma and what has leaked (2, k, t) per unit of vp and ktrans, and their derivatives by time (2, k, t), per s."""
        index, weights, slopes = self._frames(own[:, 3])
        leaked = decaying(curve, STEP_S, kep / 60.0) / 60.0
        each = np.arange(len(own))[:, None, None]
        at = np.stack([curve[index], leaked[each, index]])
        return (at * weights).sum(axis=-1), (at * slopes).sum(axis=-1)

    def _residuals(self, own: np.ndarray, curve: np.ndarray) -> np.ndarray:
        ktrans, vp, log_kep, _, level = own.T
        (plasma, leaked), _ = self._model(own, curve, np.exp(log_kep))
        return self.curves - ktrans[:, None] * leaked - vp[:, None] * plasma - level[:, None]

    def _by_own(self, own: np.ndarray, curve: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Residuals (k, t), and the model's derivatives (k, t, 5) by the tissues' parameters; 0 by those that would leave their bounds."""
        ktrans, vp, log_kep, _, level = own.T
        kep = np.exp(log_kep)
        (plasma, leaked), (plasma_rise, leaked_rise) = self._model(own, curve, kep)
        (_, faster), _ = self._model(own, curve, kep * (1.0 + _APART))
        by = np.stack(
            [
                leaked,
                plasma,
                ktrans[:, None] * (faster - leaked) / _APART,
                -ktrans[:, None] * leaked_rise - vp[:, None] * plasma_rise,
                np.ones_like(plasma),
            ],
            axis=2,
        )
        residuals = self.curves - ktrans[:, None] * leaked - vp[:, None] * plasma - level[:, None]
        outwards = np.einsum("kti,kt->ki", by, residuals)
        held = ((own <= _LOW + _AT_BOUND) & (outwards <= 0)) | ((own >= _HIGH - _AT_BOUND) & (outwards >= 0))
        by *= ~held[:, None, :]
        return residuals, by

    def followed(self, state: _State, damping: np.ndarray, steps: int = 2) -> _State:
        """The tissues' parameters after some Levenberg-Marquardt steps, the shared ones fixed."""
        own, curve, variance = state.own, self._input(state.shared), self.curves_sd**2
        misfit = (self._residuals(own, curve) ** 2).sum(axis=1) / variance
        for _ in range(steps):
            residuals, by = self._by_own(own, curve)
            normal, scale = _scaled(np.einsum("kti,ktj->kij", by, by), damping)
            slope = np.einsum("kti,kt->ki", by, residuals) / scale
            step = np.linalg.solve(normal, slope[:, :, None])[:, :, 0] / scale
            tried = np.clip(own + np.clip(step, -_LONGEST, _LONGEST), _LOW, _HIGH)
            after = (self._residuals(tried, curve) ** 2).sum(axis=1) / variance
            better = after <= misfit
            own, misfit = np.where(better[:, None], tried, own), np.where(better, after, misfit)
            damping = np.clip(np.where(better, 0.2 * damping, 8.0 * damping), 1e-7, 1e2)
        c, tau = state.shared[:-1], state.shared[-1]
        of_samples = ((self.samples - self.smooth.at(self.aif_times_s) @ c) / self.samples_sd) ** 2
        prior = c @ self.smooth.precision @ c + (tau / _DISPERSION_SD_S) ** 2
        return _State(state.shared, own, damping, misfit, float(misfit.sum() + of_samples.sum() + prior))

    def _by_shared(self, state: _State) -> np.ndarray:
        """The model's derivatives (k, t, b + 1) by the shared parameters; convolutions by interpolation between rates."""
        ktrans, vp, log_kep, delay, _ = state.own.T
        tau = float(state.shared[-1])
        basis = np.ascontiguousarray(dispersed(self.smooth.basis.T, STEP_S, tau))
        table = decaying(basis, STEP_S, _RATES[:, None] / 60.0) / 60.0
        table, basis = np.ascontiguousarray(np.moveaxis(table, 1, 2)), np.ascontiguousarray(basis.T)
        index, weights, _ = self._frames(delay)
        low, span = np.log(_RATES[0]), np.log(_RATES[1] / _RATES[0])
        x = np.clip((log_kep - low) / span, 0.0, _RATES.size - 1.001)
        rate = x.astype(np.int64)[:, None]
        part = (x[:, None] - rate)[:, :, None]
        result = np.zeros((*self.curves.shape, state.shared.size))
        for point in range(index.shape[-1]):
            there, weight = index[..., point], weights[..., point, None]
            leaked = table[rate, there]
            leaked += part * (table[rate + 1, there] - leaked)
            result[..., :-1] += weight * (ktrans[:, None, None] * leaked + vp[:, None, None] * basis[there])
        wider = np.append(state.shared[:-1], tau + _TAU_STEP_S)
        before, after = (self._residuals(state.own, self._input(s)) for s in (state.shared, wider))
        result[..., -1] = (before - after) / _TAU_STEP_S
        return result

    def system(self, state: _State) -> _System:
        """The Gauss-Newton system at a state."""
        residuals, by_own = self._by_own(state.own, self._input(state.shared))
        by_shared = self._by_shared(state)
        size, weight = state.shared.size, 1.0 / self.curves_sd
        normal, scale = _scaled(np.einsum("kti,ktj->kij", by_own, by_own), np.full(len(weight), 1e-9))
        mixed = np.einsum("kti,ktb->kib", by_own, by_shared) / scale[:, :, None]
        right = np.einsum("kti,kt->ki", by_own, residuals) / scale
        solved = np.linalg.solve(normal, np.concatenate([mixed, right[:, :, None]], axis=2))
        follows, step = solved[:, :, :-1], solved[:, :, -1]
        rows = (by_shared * weight[:, None, None]).reshape(-1, size)
        taken = (mixed * weight[:, None, None]).reshape(-1, size)
        curvature = rows.T @ rows - taken.T @ (follows * weight[:, None, None]).reshape(-1, size)
        slope = rows.T @ (residuals * weight[:, None]).ravel() - taken.T @ (step * weight[:, None]).ravel()
        at_samples = np.pad(self.smooth.at(self.aif_times_s), ((0, 0), (0, 1))) / self.samples_sd[:, None]
        prior = np.pad(self.smooth.precision, ((0, 1), (0, 1)))
        prior[-1, -1] = _DISPERSION_SD_S**-2
        slope += at_samples.T @ (self.samples / self.samples_sd - at_samples @ state.shared) - prior @ state.shared
        curvature += at_samples.T @ at_samples + prior
        return _System(curvature, slope, follows / scale[:, :, None], step / scale)

    def step(self, state: _State) -> _State:
        """The state after a step, which is shortened until it is better; the same state where none is."""
        system = self.system(state)
        towards = not_negative(system.curvature, system.curvature @ state.shared + system.slope) - state.shared
        for trial in range(_TRIALS):
            change = towards * _SHORTER**trial
            follow = system.own_step - system.own_by_shared @ change
            own = np.clip(state.own + np.clip(follow, -_LONGEST, _LONGEST), _LOW, _HIGH)
            after = self.followed(_State(state.shared + change, own), state.damping)
            if after.misfit <= state.misfit:
                return after
        return state

    def spread(self, state: _State, system: _System) -> Spread:
        """What the shared parameters' uncertainty does to the tissues', by Laplace's approximation."""
        free = state.shared > _AT_BOUND * np.append(np.full(state.shared.size - 1, self.samples.max()), 1.0)
        covariance = np.zeros_like(system.curvature)
        covariance[np.ix_(free, free)] = np.linalg.inv(system.curvature[np.ix_(free, free)])
        own = np.einsum("kib,bc,kjc->kij", system.own_by_shared, covariance, system.own_by_shared, optimize=True)
        ktrans, vp, log_kep, delay, _ = state.own.T
        # By the logarithms of ktrans and vp.
        size = np.stack([np.maximum(ktrans, 1e-6), np.maximum(vp, 1e-6)], axis=1)
        own[:, :2] /= size[:, :, None]
        own[:, :, :2] /= size[:, None, :]
        variance = {
            "ktrans": own[:, 0, 0],
            "vp": own[:, 1, 1],
            "kep": own[:, 2, 2],
            "ve": own[:, 0, 0] + own[:, 2, 2] - 2.0 * own[:, 0, 2],
            "delay": own[:, 3, 3],
        }
        at = kinds(ktrans, vp, np.exp(log_kep), delay)
        return Spread(at, {name: np.sqrt(np.maximum(v, 0.0)) for name, v in variance.items()})


def _scaled(normal: np.ndarray, damping: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Normal matrices (k, p, p) scaled to a diagonal of 1 plus the damping (k,), and the scales (k, p)."""
    size = normal.shape[1]
    scale = np.sqrt(np.einsum("kii->ki", normal)) + 1e-12
    normal = normal / scale[:, :, None] / scale[:, None, :]
    return normal + damping[:, None, None] * np.eye(size), scale
