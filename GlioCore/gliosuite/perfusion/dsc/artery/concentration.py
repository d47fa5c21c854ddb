"""Whether an AIF's ΔR2* is that of blood, quadratic in concentration, or proportional to it; chosen from the tissue's own curves.

In an artery ΔR2* grows faster than the concentration (van Osch MJP et al., Magn Reson Med 2003;49:1067), in tissue and beside an artery it
does not. An AIF taken for proportional where it is blood has a bolus too high for its tail, and what tissue then has too much of at the end
passes for leakage.
"""

import numpy as np

from ....compute import Device
from ...signal import BLOOD_R2STAR
from ..leakage.corrections import correct_residue, perfused_voxels
from ..leakage.vascular import closest, vessels

_VOXELS = 1000  # that are asked; chosen: the median of their answers is then certain
_LEAKY = 3.0  # standard deviations of K2
_FEW = 20  # of them; chosen: fewer may all be leaky


def blood_concentration(dr2star: np.ndarray, relation: str = "quadratic") -> np.ndarray:
    """Concentration in mM of blood with a ΔR2* in 1/s: van Osch's formula solved (``"quadratic"``), or its linear part alone.

    What is below 0 is noise, and stays in proportion.

    Examples
    --------
    >>> blood_concentration(np.array([7.62 * 5 + 0.574 * 25, -7.62])).round(3)
    array([ 5., -1.])
    """
    linear, square = BLOOD_R2STAR
    if relation == "linear":
        return dr2star / linear
    above = np.maximum(dr2star, 0.0)
    return np.minimum(dr2star, 0.0) / linear + (np.sqrt(linear**2 + 4.0 * square * above) - linear) / (2.0 * square)


def blood_dr2star(concentration: np.ndarray, relation: str = "quadratic") -> np.ndarray:
    """ΔR2* in 1/s of blood with a concentration in mM: what `blood_concentration` solves."""
    linear, square = BLOOD_R2STAR
    return linear * concentration + (square * np.maximum(concentration, 0.0) ** 2 if relation == "quadratic" else 0.0)


def arterial_relation(curves: np.ndarray, dt_s: float, aif: np.ndarray, n_baseline: int, device: Device) -> str:
    """How an AIF's ΔR2* (t,) follows concentration: what more curves (n, t) of normal tissue fit better without any leakage.

    Normal are perfused curves without leakage that acts on T1 (K2 of at most three standard deviations). Where fewer than 20 are, the AIF
    is left as it is.
    """
    asked = np.flatnonzero(perfused_voxels(curves, n_baseline))
    asked = asked[:: -(-asked.size // _VOXELS) or 1]
    fit = correct_residue(curves[asked], dt_s, aif, device)
    some = curves[asked[fit.k2 <= _LEAKY * fit.k2_sd]]
    if len(some) < _FEW:
        return "linear"
    linear = _residual(some, dt_s, aif, device)
    better = linear - _residual(some, dt_s, BLOOD_R2STAR[0] * blood_concentration(aif), device)
    return "quadratic" if np.median(better) > 0 else "linear"


def _residual(curves: np.ndarray, dt_s: float, aif: np.ndarray, device: Device) -> np.ndarray:
    """Logarithm of each curve's sum of squared residuals with vessels alone."""
    table = vessels(aif, dt_s, False)
    vessel = table.vessel.reshape(-1, aif.size)[closest(curves, table, device)]
    weight = (curves * vessel).sum(axis=1) / (vessel**2).sum(axis=1)
    return np.log(np.maximum(((curves - weight[:, None] * vessel) ** 2).sum(axis=1), 1e-300))
