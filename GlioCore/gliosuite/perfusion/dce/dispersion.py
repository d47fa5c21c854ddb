"""Dispersion of the bolus between the artery that was sampled and the tissue (DCE), shared by all voxels.

Blood does not reach all capillaries at once: what was a sharp bolus in the artery arrives spread out, and spreads further while it passes
the tissue. A fit that knows of a delay only takes the late part of it for a compartment that empties fast. One exponential, the same for
the whole organ, is what thousands of voxels together determine well and a single one does not.
"""

from collections.abc import Mapping

import numpy as np
from scipy.optimize import brentq, minimize_scalar

from ..fit import CurveFit, fit_curves
from ..kinetics import convolve
from ..prepared import evenly

LONGEST_S = 10.0  # chosen: beyond, it would be as slow as the fastest compartment that the fit still allows
# Chosen: that many voxels tell the mean to a few tenths of a second (bench_patients.py), and more only take time.
_VOXELS = 600
_TOLERANCE_S = 0.15
_STEP_S = 1.0  # s between nodes of a dispersed AIF at most; chosen: far below what any frame interval shows
# Of the log-likelihood: less is no evidence of dispersion. Half the 99.9 % quantile of chi-squared with one degree of freedom.
_EVIDENCE = 5.4
_PLASMA_SD = 2.0  # chosen: of vp, as for a 95 % interval


def disperse(times_s: np.ndarray, aif: np.ndarray, mean_s: float) -> tuple[np.ndarray, np.ndarray]:
    """An AIF convolved with an exponential of area 1.

    ``C(t) = 1 / tau int_0^t A(u) exp(-(t - u) / tau) du``, exactly for an AIF that is linear between its samples.

    Parameters
    ----------
    times_s, aif
        (m,) s and mM.
    mean_s
        tau in s; 0 leaves the AIF as it is.

    Returns
    -------
    times_s, aif
        (k,), a second apart at most.

    References
    ----------
    Calamante F et al., Magn Reson Med 2000;44:466 (dispersion of the bolus as a convolution with an exponential).
    """
    if mean_s <= 0:
        return times_s, aif
    pieces = np.ceil(np.diff(times_s) / _STEP_S).astype(int)
    # Behind the last sample the AIF is constant, and so, but for the exponential's end, is what has become of it.
    within = np.arange(pieces.sum()) - np.repeat(np.cumsum(pieces) - pieces, pieces)
    fine = np.append(
        np.repeat(times_s[:-1], pieces) + within * np.repeat(np.diff(times_s) / pieces, pieces), times_s[-1]
    )
    return fine, convolve(fine, aif, 60.0 / mean_s, 0.0, times_s)[0] * (60.0 / mean_s)


def find_dispersion(
    curves: np.ndarray,
    times_s: np.ndarray,
    aif: np.ndarray,
    aif_times_s: np.ndarray,
    bounds: Mapping[str, tuple[float, float]],
) -> float:
    """The mean dispersion in s with which extended Tofts with delay fits a sample of the voxels best; 0 where there is no evidence of any.

    Each voxel's noise is its own: the likelihood of voxel i is ``-t / 2 ln sse_i``, so that no bright vessel decides alone. A dispersion
    goes with an earlier arrival, and an AIF that is too narrow asks for more of it; blood does not reach most of the tissue before the
    artery, so that it is no longer than what leaves the median delay at 0.

    Parameters
    ----------
    curves
        (n, t) mM; rows that are not finite are left out.
    times_s, aif, aif_times_s
        As in `fit_curves`.
    bounds
        Of the fit, by parameter.
    """
    good = np.flatnonzero(np.isfinite(curves).all(axis=1))
    some = curves[evenly(good, _VOXELS)]

    def fitted(mean_s: float) -> CurveFit:
        at, dispersed = disperse(aif_times_s, aif, mean_s)
        return fit_curves(some, times_s, dispersed, "etm", True, at, dict(bounds), "kernels")

    def costs(fit: CurveFit) -> np.ndarray:
        sse = fit.sse.astype(np.float64)
        # A curve that is fitted without a residual (a phantom's) must not decide alone either.
        return 0.5 * times_s.size * np.log(np.maximum(sse, 1e-12 * max(float(sse.max()), 1e-30)))

    best = minimize_scalar(
        lambda mean_s: float(costs(fitted(mean_s)).sum()),
        bounds=(0.0, LONGEST_S),
        method="bounded",
        options={"xatol": _TOLERANCE_S},
    ).x
    without, spread = fitted(0.0), fitted(best)
    # Without plasma, vp and a delay are one, since A = (dC/dt + kep C) / ktrans. A dispersed AIF parts them and so gains a parameter in
    # each such voxel, dispersion or not: these are no evidence.
    gained = float((costs(without) - costs(spread))[has_plasma(without)].sum())
    if gained <= _EVIDENCE or usual_delay(without) <= 0:
        return 0.0
    if usual_delay(spread) < 0:
        best = brentq(lambda mean_s: usual_delay(fitted(mean_s)), 0.0, best, xtol=_TOLERANCE_S)
    return float(round(best, 2))


def has_plasma(fit: CurveFit) -> np.ndarray:
    """Which voxels (n,) of a fit with vp have plasma beyond doubt."""
    return np.asarray(fit.values["vp"] > _PLASMA_SD * fit.sd["vp"])


def usual_delay(fit: CurveFit, among: np.ndarray | bool = True) -> float:
    """Median delay (s) after the AIF of the voxels, `among` some (n,), that have plasma beyond doubt; 0 where none has."""
    delay = fit.values["delay"][has_plasma(fit) & among]
    return float(np.median(delay)) if delay.size else 0.0
