"""Contrast agent leakage in DSC: how much of a ΔR2* curve is vascular, and how much comes from agent outside the vessels.

All three corrections write ΔR2*(t) = K1 v(t) - K2 l(t), v being a vascular curve and l what leaks out of it, and are linear but for few
parameters, which are searched on a grid by one matrix product. K2 > 0 is T1-dominant leakage (the curve is too low), K2 < 0 T2*-dominant.
"""

from dataclasses import dataclass

import numpy as np

from .kinetics import convolve

BIDIRECTIONAL_KEP = np.linspace(0.0, 1.2, 25)  # 1/min: higher rates make the leakage look like the first pass
RESIDUE_MTT_S = np.geomspace(1.5, 14.0, 16)
RESIDUE_DELAY_S = np.arange(-1.0, 5.01, 0.5)
RESIDUE_KEP = np.linspace(0.0, 1.2, 5)  # 1/min
_BLOCK = 8192


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
    """

    corrected: np.ndarray
    k1: np.ndarray
    k2: np.ndarray
    k1_sd: np.ndarray
    k2_sd: np.ndarray
    sse: np.ndarray
    kep: np.ndarray | None = None
    mtt_s: np.ndarray | None = None
    delay_s: np.ndarray | None = None


def reference_voxels(dr2star: np.ndarray, n_baseline: int, n_tail: int = 10) -> np.ndarray:
    """Perfused voxels that do not enhance: the mean of the last frames lies within one standard deviation of the baseline.

    Perfused means three neighbouring frames whose mean is above three standard deviations of the baseline. Where fewer than 20 voxels
    qualify, the quarter of the perfused ones whose tail is nearest to the baseline, relative to its noise, is taken.

    References
    ----------
    Boxerman JL et al., AJNR 2006;27:859.
    """
    finite = np.isfinite(dr2star).all(axis=1)
    values = np.where(finite[:, None], dr2star, 0.0)
    noise = np.maximum(values[:, :n_baseline].std(axis=1, ddof=1 if n_baseline > 1 else 0), 1e-9)
    level = values[:, :n_baseline].mean(axis=1)
    tail = np.abs(values[:, -n_tail:].mean(axis=1) - level) / noise
    passing = (values[:, :-2] + values[:, 1:-1] + values[:, 2:]).max(axis=1) / 3.0
    perfused = finite & (passing - level > 3.0 * noise)
    chosen = perfused & (tail <= 1.0)
    if chosen.sum() < 20 and perfused.any():
        chosen = perfused & (tail <= np.quantile(tail[perfused], 0.25))
    return chosen if chosen.any() else finite


def correct_bsw(dr2star: np.ndarray, dt_s: float, reference: np.ndarray) -> Leakage:
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
    return _search(dr2star, reference[None, :], leak, {})


def correct_bidirectional(dr2star: np.ndarray, dt_s: float, reference: np.ndarray) -> Leakage:
    """As `correct_bsw`, with a way back from the tissue at kep: l is the mean curve convolved with ``exp(-kep t)``.

    References
    ----------
    Leu K et al., AJNR 2016;37:1440.
    """
    times = dt_s * np.arange(reference.size)
    leak = 60.0 * convolve(times, reference, BIDIRECTIONAL_KEP)
    vessel = np.repeat(reference[None, :], BIDIRECTIONAL_KEP.size, axis=0)
    return _search(dr2star, vessel, leak, {"kep": BIDIRECTIONAL_KEP})


def correct_residue(dr2star: np.ndarray, dt_s: float, aif: np.ndarray) -> Leakage:
    """Residue function and leakage together, from the AIF: indifferent to each voxel's mean transit time and delay.

    v is the AIF convolved with an exponential residue of area 1 (mean transit time 1.5 to 14 s) and delayed (-1 to 5 s); l is v convolved
    with ``exp(-kep t)`` (kep 0 to 1.2 /min).

    References
    ----------
    Bjornerud A et al., J Cereb Blood Flow Metab 2011;31:2041, for the idea of a correction that does not depend on the transit time.
    """
    times = dt_s * np.arange(aif.size)
    mtt, delay, kep = (g.ravel() for g in np.meshgrid(RESIDUE_MTT_S, RESIDUE_DELAY_S, RESIDUE_KEP, indexing="ij"))
    out = 60.0 / mtt
    through = convolve(times, aif, out, delay, times)
    vessel = out[:, None] * through
    back = convolve(times, aif, kep, delay, times)
    # The convolution of two exponentials is their difference.
    leak = 60.0 * (out / (out - kep))[:, None] * (back - through)
    return _search(dr2star, vessel, leak, {"mtt_s": mtt, "delay_s": delay, "kep": kep})


def _search(dr2star: np.ndarray, vessel: np.ndarray, leak: np.ndarray, nodes: dict[str, np.ndarray]) -> Leakage:
    """For every voxel the node whose pair of curves, vessel weight above 0, leaves the smallest residual."""
    n, count = dr2star.shape
    vv, ll, vl = (vessel**2).sum(1), (leak**2).sum(1), (vessel * leak).sum(1)
    first = vessel / np.sqrt(vv)[:, None]
    apart = leak - (vl / vv)[:, None] * vessel
    apart_norm = np.sqrt((apart**2).sum(1))
    second = apart / apart_norm[:, None]
    basis = np.concatenate([first, second]).T.astype(np.float32)
    corrected = np.full((n, count), np.nan, np.float32)
    k1, k2, k1_sd, k2_sd, sse = (np.full(n, np.nan) for _ in range(5))
    found = {name: np.full(n, np.nan) for name in nodes}
    size = vessel.shape[0]
    for i in range(0, n, _BLOCK):
        block = np.asarray(dr2star[i : i + _BLOCK])
        rows = np.flatnonzero(np.isfinite(block).all(axis=1))
        block = block[rows].astype(np.float64)
        if size > 1:
            projected = block.astype(np.float32) @ basis
            a, b = projected[:, :size], projected[:, size:]
            weight = a / np.sqrt(vv).astype(np.float32) - b * (vl / vv / apart_norm).astype(np.float32)
            gain = np.where(weight > 0, a * a + b * b, -1.0)
            best = np.argmax(gain, axis=1)
        else:
            best = np.zeros(rows.size, int)
        on_first, on_second = (block * first[best]).sum(1), (block * second[best]).sum(1)
        lost = on_second / apart_norm[best]
        kept = on_first / np.sqrt(vv[best]) - lost * vl[best] / vv[best]
        residual = block - kept[:, None] * vessel[best] - lost[:, None] * leak[best]
        at = i + rows
        k1[at], k2[at], sse[at] = kept, -lost, (residual**2).sum(1)
        corrected[at] = block - lost[:, None] * leak[best]
        spread = np.sqrt(sse[at] / max(count - 2 - len(nodes), 1))
        determinant = vv[best] * ll[best] - vl[best] ** 2
        k1_sd[at], k2_sd[at] = spread * np.sqrt(ll[best] / determinant), spread * np.sqrt(vv[best] / determinant)
        for name, values in nodes.items():
            found[name][at] = values[best]
    return Leakage(corrected, k1, k2, k1_sd, k2_sd, sse, **found)
