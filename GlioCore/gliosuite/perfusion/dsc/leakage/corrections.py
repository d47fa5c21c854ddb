"""Contrast agent leakage in DSC: how much of a ΔR2* curve is vascular, and how much comes from agent outside the vessels.

All three corrections write ΔR2*(t) = K1 v(t) - K2 l(t), v being a vascular curve and l what leaks out of it, and are linear but for few
parameters, which are searched on a grid by matrix products. K2 > 0 is T1-dominant leakage (the curve is too low), K2 < 0 T2*-dominant.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from ....compute import CPU, Device, back
from ...kinetics import convolve
from .vascular import KEP, Basis, Vessels, closest, gain, vessels

BIDIRECTIONAL_KEP = np.linspace(0.0, KEP[-1], 25)  # 1/min; chosen: steps of 0.05, which neighbouring curves hardly show


@dataclass(frozen=True)
class Leakage:
    """A leakage fit. Arrays are float64 (n,), `corrected` float32 (n, t).

    Attributes
    ----------
    corrected
        ΔR2* with the leakage taken out, 1/s.
    k1, k2, k1_sd, k2_sd
        Weight of the vascular curve (1) and of the leakage (1/s).
    kep
        Return rate from the tissue in 1/min; None with ``bsw``.
    mtt_s, delay_s
        Of the vascular residue function; None but with ``residue``.
    sse
        Sum of squared residuals.
    n_parameters
        How many were fitted to each curve.
    node
        With ``residue``: which node of `vascular.vessels` each voxel has.
    """

    corrected: np.ndarray
    k1: np.ndarray
    k2: np.ndarray
    k1_sd: np.ndarray
    k2_sd: np.ndarray
    sse: np.ndarray
    n_parameters: int
    kep: np.ndarray | None = None
    mtt_s: np.ndarray | None = None
    delay_s: np.ndarray | None = None
    node: np.ndarray | None = None


def reference_voxels(dr2star: np.ndarray, n_baseline: int, n_tail: int = 10) -> np.ndarray:
    """Perfused voxels that do not enhance: the mean of the last frames lies within one standard deviation of the baseline.

    Perfused means three neighbouring frames whose mean is above three standard deviations of the baseline. Where fewer than 20 voxels
    qualify, the quarter of the perfused ones whose tail is nearest to the baseline, relative to its noise, is taken.

    References
    ----------
    Boxerman JL et al., AJNR 2006;27:859.
    """
    values, noise, level = _baseline(dr2star, n_baseline)
    tail = np.abs(values[:, -n_tail:].mean(axis=1) - level) / noise
    perfused = perfused_voxels(dr2star, n_baseline)
    chosen = perfused & (tail <= 1.0)
    if chosen.sum() < 20 and perfused.any():
        chosen = perfused & (tail <= np.quantile(tail[perfused], 0.25))
    return chosen if chosen.any() else np.isfinite(dr2star).all(axis=1)


def perfused_voxels(dr2star: np.ndarray, n_baseline: int) -> np.ndarray:
    """Curves (n, t) with three neighbouring frames whose mean is above three standard deviations of the baseline."""
    values, noise, level = _baseline(dr2star, n_baseline)
    passing = (values[:, :-2] + values[:, 1:-1] + values[:, 2:]).max(axis=1) / 3.0
    return np.isfinite(dr2star).all(axis=1) & (passing - level > 3.0 * noise)


def _baseline(dr2star: np.ndarray, n_baseline: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The curves, 0 where one is not finite, and the SD and level of each one's baseline."""
    values = np.where(np.isfinite(dr2star).all(axis=1)[:, None], dr2star, 0.0)
    before = values[:, :n_baseline]
    return values, np.maximum(before.std(axis=1, ddof=1 if n_baseline > 1 else 0), 1e-9), before.mean(axis=1)


def correct_bsw(dr2star: np.ndarray, dt_s: float, reference: np.ndarray, device: Device = CPU) -> Leakage:
    """Boxerman, Schmainda and Weisskoff: v is the mean curve of the non-enhancing brain, l its running integral.

    Parameters
    ----------
    dr2star
        (n, t) 1/s.
    dt_s
        Frame interval in s.
    reference
        Mean curve (t,) of non-enhancing voxels, 1/s.
    """
    times = dt_s * np.arange(reference.size)
    leak = 60.0 * convolve(times, reference, 0.0)
    return _few(dr2star, reference, leak, {}, device)


def correct_bidirectional(dr2star: np.ndarray, dt_s: float, reference: np.ndarray, device: Device = CPU) -> Leakage:
    """As `correct_bsw`, with a way back from the tissue at kep: l is the mean curve convolved with ``exp(-kep t)``.

    References
    ----------
    Leu K et al., AJNR 2016;37:1440.
    """
    times = dt_s * np.arange(reference.size)
    leak = 60.0 * convolve(times, reference, BIDIRECTIONAL_KEP)
    return _few(dr2star, reference, leak, {"kep": BIDIRECTIONAL_KEP}, device)


def correct_residue(
    dr2star: np.ndarray, dt_s: float, aif: np.ndarray, device: Device = CPU, table: Vessels | None = None
) -> Leakage:
    """Residue function and leakage together, from the AIF: indifferent to each voxel's mean transit time and delay.

    v is the AIF seen through a residue function with a mean transit time of 1.5 to 16 s and a delay of -1.5 to 5 s (`vascular`); l is v
    convolved with ``exp(-kep t)`` (kep 0 to 1.2 /min).

    References
    ----------
    Bjornerud A et al., J Cereb Blood Flow Metab 2011;31:2041, for the idea of a correction that does not depend on the transit time.
    """
    table = table or vessels(np.asarray(aif, np.float64), dt_s, True)
    assert table.leak is not None  # tables of a correction have it
    mtt, delay, kep = table.nodes()
    node = closest(dr2star, table, device)
    count = table.vessel.shape[-1]
    vessel = np.broadcast_to(table.vessel, table.leak.shape).reshape(-1, count)
    names = {"mtt_s": mtt, "delay_s": delay, "kep": kep}
    return _solved(dr2star, vessel, table.leak.reshape(-1, count), node, names, 5, device)


def _few(dr2star: np.ndarray, reference: np.ndarray, leak: np.ndarray, names: dict, device: Device) -> Leakage:
    """For every voxel the node, of few, that leaves the smallest residual."""
    xp = device.xp
    vessel = np.repeat(np.asarray(reference, np.float64)[None], len(leak), axis=0)
    best = np.zeros(dr2star.shape[0], np.int64)
    if len(leak) > 1:
        basis = Basis.of(vessel, leak)
        assert basis.second is not None  # with a leak there is one
        first, second, overlap = device.put(basis.first[:1].T), device.put(basis.second.T), device.put(basis.overlap)
        for i in range(0, best.size, device.block):
            y = device.put(dr2star[i : i + device.block])
            best[i : i + device.block] = back(
                xp.argmax(gain(y @ first + 0 * (y @ second), y @ second, overlap, xp), axis=1)
            )
    return _solved(dr2star, vessel, leak, best, names, 2 + len(names), device)


def _solved(
    dr2star: np.ndarray,
    vessel: np.ndarray,
    leak: np.ndarray,
    node: np.ndarray,
    names: dict[str, np.ndarray],
    n_parameters: int,
    device: Device,
) -> Leakage:
    """Weights of the curves of each voxel's node by least squares, their SD, and the curve without the leakage."""
    xp = device.xp
    n, count = dr2star.shape
    vv, ll, vl = (vessel**2).sum(axis=1), (leak**2).sum(axis=1), (vessel * leak).sum(axis=1)
    free = max(count - n_parameters, 1)
    determinant = vv * ll - vl**2
    moments = device.put(np.stack([vv, ll, vl, determinant]))
    v, lost = device.put(vessel), device.put(leak)
    index = device.put(node, "int64")
    corrected = np.empty((n, count), np.float32)
    found = np.empty((5, n))
    for i in range(0, n, device.block):
        rows = slice(i, i + device.block)
        y = device.put(dr2star[rows])
        at = index[rows]
        vessels_here, leaks_here = v[at], lost[at]
        vv, ll, vl, determinant = moments[:, at]
        on_v, on_l = (y * vessels_here).sum(axis=1), (y * leaks_here).sum(axis=1)
        k1 = (ll * on_v - vl * on_l) / determinant
        weight = (vv * on_l - vl * on_v) / determinant
        without = y - weight[:, None] * leaks_here
        sse = ((without - k1[:, None] * vessels_here) ** 2).sum(axis=1)
        spread = xp.sqrt(sse / free)
        results = (k1, -weight, spread * xp.sqrt(ll / determinant), spread * xp.sqrt(vv / determinant), sse)
        for row, values in zip(found, results):
            row[rows] = back(values)
        corrected[rows] = back(without)
    finite = np.isfinite(found[4])
    corrected[~finite] = np.nan
    found[:, ~finite] = np.nan
    more = {name: np.where(finite, values[node], np.nan) for name, values in names.items()}
    k1, k2, k1_sd, k2_sd, sse = found
    return Leakage(
        corrected,
        k1,
        k2,
        k1_sd,
        k2_sd,
        sse,
        n_parameters,
        kep=more.get("kep"),
        mtt_s=more.get("mtt_s"),
        delay_s=more.get("delay_s"),
        node=node if "mtt_s" in names else None,
    )


def akaike(fit: Leakage, count: int) -> Any:
    """Corrected Akaike criterion (n,) of curves of `count` frames; the noise is one more parameter."""
    k = fit.n_parameters + 1
    return count * np.log(np.maximum(fit.sse, 1e-300) / count) + 2.0 * k + 2.0 * k * (k + 1) / max(count - k - 1, 1)
