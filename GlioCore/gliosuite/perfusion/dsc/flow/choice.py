"""Flow, transit time and timing of leakage-corrected curves: by a deconvolution, by the vascular model, or by what the data prefer.

Deconvolution without a model flattens the top of the residue function, so that its flow is too low and its transit time too long; the
vascular model (`posterior`) has no such bias, but is one family of residue functions, whose prior has to be learned from the series.
``auto`` takes the model where it can be learned: oSVD is taken for a series of few voxels, with a noisy AIF, or of noisy curves that look
like plug flow (from which the model learns a wrong shape, for all voxels alike), and for voxels in which the Bayesian information criterion
(Schwarz) says that the model misses what oSVD sees.
"""

from dataclasses import dataclass, replace

import numpy as np

from ....compute import Device
from ...settings import AUTO, VASCULAR
from .deconvolution import Residue, deconvolve
from .posterior import N_PARAMETERS, Posterior, fit_vascular

BY_MODEL, BY_OSVD = 1, 2  # in `Flow.chosen`
# Chosen on simulated residues from exponential to box: with fewer voxels at a peak of 8 times the noise a box is taken for a shorter
# transit of another shape, and the model's flow is worse than that of oSVD.
LEAST_VOXELS = 1000
# SD of the AIF's noise over its peak. Chosen there too: with twice as much, shapes that are learned are wrong. Automatic AIFs of simulated
# patients have 0.005 to 0.013.
_NOISY = 0.025


@dataclass(frozen=True)
class Flow:
    """Arrays (n,), NaN where undefined; the SDs are None where there is no vascular model, NaN where it was not chosen.

    Attributes
    ----------
    cbv, cbf, mtt_s, tmax_s
        ml/100ml, ml/100ml/min, s, s: the time at which the residue function is highest, which in the vascular model is the delay.
    chosen
        With ``auto``: `BY_MODEL` or `BY_OSVD`, 0 where neither; uint8.
    said
        What a reader must know.
    """

    cbv: np.ndarray
    cbf: np.ndarray
    mtt_s: np.ndarray
    tmax_s: np.ndarray
    cbv_sd: np.ndarray | None = None
    cbf_sd: np.ndarray | None = None
    mtt_sd: np.ndarray | None = None
    chosen: np.ndarray | None = None
    said: tuple[str, ...] = ()


def aif_noise(before: np.ndarray, peak: float) -> float:
    """SD of an AIF's noise over its peak, from the differences of its frames before the arrival (t,); 0 where there are too few to tell."""
    return float(np.diff(before).std() / np.sqrt(2.0) / peak) if before.size > 5 else 0.0


def flow(
    curves: np.ndarray, dt_s: float, aif: np.ndarray, noise: float, cbv: np.ndarray, method: str, device: Device
) -> Flow:
    """Deconvolve curves (n, t) by an AIF (t,) that is 0 before its arrival.

    Parameters
    ----------
    noise
        Of the AIF (`aif_noise`).
    cbv
        Blood volume by areas (n,), ml/100ml: it stays where the vascular model does not give one.
    method
        One of `settings.DECONVOLUTIONS`.
    """
    if method not in (VASCULAR, AUTO):
        return _by_residue(deconvolve(curves, dt_s, aif, method, device), cbv)
    why_not = _why_not(curves, noise) if method == AUTO else ""
    model = None if why_not else fit_vascular(curves, dt_s, aif, device)
    if method == AUTO and model is not None:
        why_not = model.doubt
    if why_not or model is None:
        other = _by_residue(deconvolve(curves, dt_s, aif, "osvd", device), cbv)
        said = (
            f"deconvolution: by oSVD, since {why_not} for the vascular model to be learned; no SD of cbv, cbf and mtt"
        )
        chosen = np.where(np.isfinite(cbv), BY_OSVD, 0).astype(np.uint8)
        return replace(other, chosen=chosen, said=(said,))
    here = np.isfinite(model.cbv)
    found = Flow(
        np.where(here, 100.0 * model.cbv, cbv),
        6000.0 * model.cbf,
        model.mtt_s,
        model.delay_s,
        100.0 * model.cbv_sd,
        6000.0 * model.cbf_sd,
        model.mtt_sd,
        said=(model.said,),
    )
    return found if method == VASCULAR else _preferred(curves, dt_s, aif, cbv, model, found, device)


def _why_not(curves: np.ndarray, noise: float) -> str:
    """Why the vascular model cannot be learned from a series; empty where it can."""
    known = int(np.isfinite(curves).all(axis=1).sum())
    if known < LEAST_VOXELS:
        return f"{known} voxels are too few ({LEAST_VOXELS} are needed)"
    if noise > _NOISY:
        return f"the AIF is too noisy ({100 * noise:.1f} % of its peak; at most {100 * _NOISY:.1f} %)"
    return ""


def _by_residue(residue: Residue, cbv: np.ndarray) -> Flow:
    cbf = 6000.0 * residue.height
    with np.errstate(divide="ignore", invalid="ignore"):
        mtt = np.where((cbf > 0) & (cbv > 0), 60.0 * cbv / cbf, np.nan)
    return Flow(cbv, cbf, mtt, residue.tmax_s)


def _preferred(
    curves: np.ndarray, dt_s: float, aif: np.ndarray, cbv: np.ndarray, model: Posterior, found: Flow, device: Device
) -> Flow:
    """The vascular model, or oSVD where the Bayesian information criterion prefers it or the model has no answer."""
    residue = deconvolve(curves, dt_s, aif, "osvd", device, model.nuisance)
    assert residue.sse is not None  # asked for
    assert residue.kept is not None
    count, level = curves.shape[1], model.nuisance.shape[1]
    with np.errstate(invalid="ignore"):
        better = _schwarz(residue.sse, residue.kept + level + 1, count) < _schwarz(
            model.sse, N_PARAMETERS + level, count
        )
    other = _by_residue(residue, cbv)
    take = better | ~np.isfinite(found.cbf)
    chosen = np.where(take, BY_OSVD, BY_MODEL)
    chosen[~np.isfinite(cbv)] = 0
    share = 100.0 * np.mean(chosen[chosen > 0] == BY_MODEL) if chosen.any() else 0.0
    note = (
        f"deconvolution: by the vascular model in {share:.1f} % of the voxels, by oSVD in the others, where the Bayesian "
        "information criterion prefers it (deconvolution_model); those have no SD"
    )
    values = ("cbv", "cbf", "mtt_s", "tmax_s")
    either = {name: np.where(take, getattr(other, name), getattr(found, name)) for name in values}
    spread = {name: np.where(take, np.nan, getattr(found, name)) for name in ("cbv_sd", "cbf_sd", "mtt_sd")}
    return replace(found, **either, **spread, chosen=chosen.astype(np.uint8), said=(note, *found.said))


def _schwarz(sse: np.ndarray, parameters: np.ndarray | int, count: int) -> np.ndarray:
    """Bayesian information criterion (n,) of curves of `count` frames (Schwarz G, Ann Stat 1978;6:461).

    The corrected Akaike criterion would never take oSVD, which keeps nearly as many singular values as there are frames, and the plain one
    takes it for noise.
    """
    return count * np.log(np.maximum(sse, 1e-300) / count) + np.log(count) * parameters
