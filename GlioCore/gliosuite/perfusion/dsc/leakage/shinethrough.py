"""T1 shine-through in DSC: leaked agent brightens the signal by what the signal equation says, and that saturates.

Leakage corrections write the effect of leaked agent as a weight times what has leaked, which is a first-order term. At a flip angle of 60
degrees and a TR of 1.5 s, half a millimole per litre outside the vessels has used up most of what T1 can add to the signal. The term is
then too small while the bolus passes and too large at the end, and least squares take the difference from the blood volume. Where leakage
is seen to act on T1, the voxel is fitted through the signal equation (`signalfit`) in its place.
"""

from dataclasses import replace

import numpy as np

from ....compute import Device
from ...settings import HEMATOCRIT, RELAXIVITY
from ...signal import BLOOD_R2STAR
from .corrections import Leakage
from .excitation import Excitation, first_order
from .signalfit import Model, signal_noise
from .vascular import Vessels

SIGNIFICANT = 3.0  # standard deviations of K2 from which leakage is taken to be there
_VISIBLE = 0.03  # of the signal: a first-order term that never moves it by more needs no better one
_WORSE = 4.0  # by how much of twice the log likelihood the first-order term must fit better to be kept


def correct_shine_through(
    dr2star: np.ndarray,
    dt_s: float,
    aif: np.ndarray,
    linear: Leakage,
    table: Vessels,
    scan: Excitation,
    device: Device,
) -> tuple[Leakage, np.ndarray]:
    """Carry leakage through the signal equation where it acts on T1.

    That is in voxels whose K2 is above three standard deviations and whose first-order term changes the signal by more than 3 %.

    Parameters
    ----------
    dr2star
        (n, t) 1/s.
    linear
        Result of `corrections.correct_residue` with `table`, which is that of ``aif``.

    Returns
    -------
    Leakage
        `linear` with those voxels replaced, but for the few where the first-order term fits clearly better. There K2 is the weight of small
        concentrations, and `sse` that of the signal fit as ΔR2*.
    numpy.ndarray
        Boolean (n,): which were replaced.
    """
    replaced = np.zeros(linear.k1.shape, bool)
    term = scan.te_s * np.abs(linear.corrected - dr2star).max(axis=1)
    leaky = np.flatnonzero((linear.k2 > SIGNIFICANT * linear.k2_sd) & (term > _VISIBLE))
    if not leaky.size:
        return linear, replaced
    assert linear.node is not None  # `correct_residue` gives it
    here = scan.of(leaky)
    curves = dr2star[leaky].astype(np.float64)
    signal = np.exp(-scan.te_s * curves)
    noise = signal_noise(signal)
    vessel = table.vessel[:, :, 0]
    fit = Model(aif, dt_s, here, device).fit(signal, noise)
    assert table.leak is not None  # tables of a correction have it
    transit, delay, _ = np.unravel_index(linear.node[leaky], table.leak.shape[:3])
    explained = curves - linear.corrected[leaky] + linear.k1[leaky, None] * vessel[transit, delay]
    chi2 = ((signal - np.exp(-scan.te_s * explained)) ** 2).sum(axis=1) / noise**2
    good = (fit.chi2 < chi2 + _WORSE) & (fit.k1 > 0)
    rows = leaky[good]
    replaced[rows] = True
    # Of agent that leaks at 1 /min, per second and unit of the vessels' curve.
    weight = -(first_order(here) + fit.ratio) * RELAXIVITY / 60.0 / BLOOD_R2STAR[0] / (1.0 - HEMATOCRIT)
    values = {
        "corrected": fit.vascular + fit.remaining,
        "k1": fit.k1,
        "k2": weight * fit.ktrans,
        "k1_sd": fit.k1_sd,
        "k2_sd": np.abs(weight) * fit.ktrans_sd,
        "sse": (fit.remaining**2).sum(axis=1),
        "kep": fit.kep,
        "mtt_s": fit.mtt_s,
        "delay_s": fit.delay_s,
    }
    merged = {}
    for name, value in values.items():
        merged[name] = getattr(linear, name).copy()
        merged[name][rows] = value[good]
    return replace(linear, **merged), replaced
