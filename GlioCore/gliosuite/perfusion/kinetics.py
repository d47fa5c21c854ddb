"""Forward models of contrast agent kinetics: from a plasma concentration to a tissue concentration.

Times are in s, concentrations in mM, ktrans, kep and ps in 1/min, fp in ml/100ml/min, ve and vp fractions. The arterial input
function (AIF) is taken as piecewise linear between its samples, 0 before the first one and constant after the last one, and is
convolved *exactly* with the exponentials of the models: a sum over 5 s frames costs a factor of five in the accuracy of vp.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import gammaln

_ROUNDING = 1e-11  # of times after a difference: what counts as before the start

# Georgiou et al., Magn Reson Med 2019;81:1955, Table 3 (mM, 1/min, min).
_GEORGIOU_HEIGHTS = (0.37, 0.33, 10.06)
_GEORGIOU_RATES = (0.11, 1.17, 16.02)
_GEORGIOU_ALPHA, _GEORGIOU_BETA, _GEORGIOU_TAU = 5.26, 0.032, 0.129


@dataclass(frozen=True)
class ParkerForm:
    """The parameters of Parker's equation; see `parker_form`. Times in one unit, areas in mM times that unit.

    Attributes
    ----------
    areas, centres, widths
        Of the Gaussians of first pass and recirculation.
    tail, decay
        Height (mM) and rate of the exponential that follows.
    slope, shift
        Of the sigmoid that lets it begin.
    """

    areas: tuple[float, float]
    centres: tuple[float, float]
    widths: tuple[float, float]
    tail: float
    decay: float
    slope: float
    shift: float


# The population's; min, mM min. Parker GJM et al., Magn Reson Med 2006;56:993, Table 1.
PARKER = ParkerForm((0.809, 0.330), (0.17046, 0.365), (0.0563, 0.132), 1.050, 0.1685, 38.078, 0.483)


def parker_form(times: ArrayLike, form: ParkerForm = PARKER) -> np.ndarray:
    """Parker's equation: two Gaussians and an exponential modulated by a sigmoid.

    ``C(t) = sum_n A_n / (s_n sqrt(2 pi)) exp(-(t - T_n)^2 / (2 s_n^2)) + a exp(-b t) / (1 + exp(-s (t - tau)))`` for t >= 0, else 0.

    Parameters
    ----------
    times
        After the curve's start, (t,), in the unit of `form`.

    Returns
    -------
    numpy.ndarray
        (t,) mM.

    References
    ----------
    Parker GJM et al., Magn Reson Med 2006;56:993, equation 1.
    """
    first, recirculation, tail = parker_terms(times, form)
    return tail + first + recirculation


def parker_terms(times: ArrayLike, form: ParkerForm = PARKER) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The terms of `parker_form`, each (t,): first pass, recirculation, and what follows."""
    t = np.asarray(times, np.float64)
    after = np.maximum(t, 0.0)
    begun = t >= -_ROUNDING
    tail = form.tail * np.exp(-form.decay * after) / (1.0 + np.exp(-form.slope * (after - form.shift)))
    first, recirculation = (
        np.where(begun, area / (width * np.sqrt(2.0 * np.pi)) * np.exp(-0.5 * ((t - centre) / width) ** 2), 0.0)
        for area, centre, width in zip(form.areas, form.centres, form.widths)
    )
    return first, recirculation, np.where(begun, tail, 0.0)


def parker_aif(times_s: ArrayLike, delay_s: float = 0.0) -> np.ndarray:
    """Population AIF of Parker et al. 2006, concentration in whole blood.

    The equation of `parker_form` with the population's parameters, evaluated at ``times_s - delay_s`` (never resampled); 0 before that.

    Parameters
    ----------
    times_s
        Times (t,) in s.
    delay_s
        When the curve starts, s.

    Returns
    -------
    numpy.ndarray
        Blood concentration (t,) in mM; divide by ``1 - hematocrit`` for plasma.

    References
    ----------
    Parker GJM et al., Magn Reson Med 2006;56:993.

    Examples
    --------
    >>> parker_aif([0.0, 25.0, 35.0, 90.0], delay_s=25.0).round(2).tolist()
    [0.0, 0.08, 6.04, 0.87]
    """
    return parker_form((np.asarray(times_s, np.float64) - delay_s) / 60.0)


def georgiou_aif(times_s: ArrayLike, delay_s: float = 0.0) -> np.ndarray:
    """Population AIF of Georgiou et al. 2019 (Horsfield's form), concentration in whole blood.

    Three exponentials times the passes of the bolus: gamma variates, each later and wider than the one before, that end in a constant.

    Parameters
    ----------
    times_s
        Times (t,) in s.
    delay_s
        When the curve starts. The formula is evaluated at ``times_s - delay_s`` (never resampled), and is 0 before that.

    Returns
    -------
    numpy.ndarray
        Blood concentration (t,) in mM; divide by ``1 - hematocrit`` for plasma.
    """
    t = (np.asarray(times_s, np.float64) - delay_s) / 60.0
    after = np.maximum(t, 0.0)
    passes = np.zeros_like(after)
    for j in range(int(after.max(initial=0.0) / _GEORGIOU_TAU) + 1):
        late = after - j * _GEORGIOU_TAU
        here = late > 0
        shape = (j + 1) * _GEORGIOU_ALPHA + j
        # In logarithms: late passes have powers that overflow.
        x = np.log(late[here] / _GEORGIOU_BETA)
        passes[here] += np.exp(shape * x - np.exp(x) - gammaln(shape + 1.0)) / _GEORGIOU_BETA
    decays = sum(a * np.exp(-m * after) for a, m in zip(_GEORGIOU_HEIGHTS, _GEORGIOU_RATES))
    return np.where(t > 0, decays * passes, 0.0)


def interpolate_aif(times_s: ArrayLike, aif: ArrayLike, aif_times_s: ArrayLike) -> np.ndarray:
    """The AIF at any times: linear between its samples, 0 before the first, constant after the last."""
    times, nodes, values = (np.asarray(v, np.float64) for v in (times_s, aif_times_s, aif))
    return np.interp(times, nodes, values, left=0.0)


def convolve(
    times_s: ArrayLike,
    aif: ArrayLike,
    rate_per_min: ArrayLike,
    delay_s: ArrayLike = 0.0,
    aif_times_s: ArrayLike | None = None,
) -> np.ndarray:
    """Convolve an AIF exactly with ``exp(-rate t)``; rate 0 gives its running integral.

    Parameters
    ----------
    times_s
        Times (t,) in s at which the result is wanted; they need neither be even nor those of the AIF.
    aif
        Samples (m,) of the AIF.
    rate_per_min
        One rate or (n,), in 1/min.
    delay_s
        One delay or (n,), in s; positive where the tissue is later than the AIF.
    aif_times_s
        Times (m,) of the AIF's samples in s; `times_s` where None.

    Returns
    -------
    numpy.ndarray
        (n, t) in the AIF's unit times minutes.
    """
    times = np.asarray(times_s, np.float64)
    nodes = times if aif_times_s is None else np.asarray(aif_times_s, np.float64)
    aif = np.asarray(aif, np.float64)
    if aif.shape != nodes.shape:
        raise ValueError(f"AIF of {aif.size} samples at {nodes.size} times; aif_times_s must have one time per sample")
    rate, delay = np.broadcast_arrays(
        np.atleast_1d(np.asarray(rate_per_min, np.float64)) / 60.0, np.atleast_1d(np.asarray(delay_s, np.float64))
    )
    # Nodes are walked once per distinct rate, time first so that each step writes one row.
    rates, which = np.unique(rate, return_inverse=True)
    at_nodes = np.zeros((nodes.size, rates.size))
    steps = np.round(np.diff(nodes), 9)
    weights = {step: segment_weights(rates * step) for step in np.unique(steps)}
    for j, step in enumerate(steps, 1):
        early, late, decay = weights[step]
        at_nodes[j] = decay * at_nodes[j - 1] + step * (early * aif[j - 1] + late * aif[j])
    if aif_times_s is None and not delay.any():
        return at_nodes.T[which] / 60.0
    late = times[None, :] - delay[:, None]
    before = np.clip(np.searchsorted(nodes, late, side="right") - 1, 0, nodes.size - 1)
    gap = np.maximum(late - nodes[before], 0.0)
    here = np.interp(late, nodes, aif, left=0.0)
    x = rate[:, None] * gap
    early, last, decay = segment_weights(x)
    result = decay * at_nodes[before, which[:, None]] + gap * (early * aif[before] + last * here)
    return np.where(late < nodes[0], 0.0, result) / 60.0


def segment_weights(x: Any, xp: Any = np) -> tuple[Any, Any, Any]:
    """Weights of the first and last value of a line integrated over 0-1 with the weight ``exp(-x (1 - s))``, and ``exp(-x)``.

    In numpy or torch (`xp`). The convolution of a line between two samples with an exponential, exactly.
    """
    # Below the limit the closed forms cancel; five terms of the series leave an error below 1e-12 (in single precision 1e-5).
    small = x < (1e-2 if x.dtype == xp.float64 else 0.3)
    safe = xp.where(small, 1.0 + 0.0 * x, x)
    decay = xp.exp(-safe)
    first = xp.where(
        small, 0.5 + x * (-1 / 3 + x * (1 / 8 + x * (-1 / 30 + x / 144))), (1 - decay - safe * decay) / safe**2
    )
    last = xp.where(small, 0.5 + x * (-1 / 6 + x * (1 / 24 + x * (-1 / 120 + x / 720))), (safe - 1 + decay) / safe**2)
    return first, last, xp.exp(-x)


def convolve_sampled(curve: np.ndarray, kernel: np.ndarray, step: float) -> np.ndarray:
    """Convolve an evenly sampled curve (..., t) with a kernel (..., t) of any form, by the trapezoidal rule (FFT); in the unit of `step`.

    For exponentials `convolve` is exact, and needs no even samples.
    """
    length = 2 * curve.shape[-1]
    weighted = kernel.copy()
    weighted[..., 0] *= 0.5
    product = np.fft.rfft(curve, length) * np.fft.rfft(weighted, length)
    return np.fft.irfft(product, length)[..., : curve.shape[-1]] * step


def tofts(
    times_s: ArrayLike,
    aif_plasma_mM: ArrayLike,
    ktrans: ArrayLike,
    ve: ArrayLike,
    delay_s: ArrayLike = 0.0,
    aif_times_s: ArrayLike | None = None,
) -> np.ndarray:
    """Tofts model: leakage into the extravascular extracellular space, no plasma term.

    ``C(t) = ktrans int_0^t Cp(u) exp(-kep (t - u)) du`` with ``kep = ktrans / ve``.

    Parameters
    ----------
    times_s
        Times (t,) in s.
    aif_plasma_mM
        Plasma concentration (m,) in mM.
    ktrans, ve
        1/min and fraction; floats or (n,).
    delay_s
        Arrival after the AIF in s; float or (n,).
    aif_times_s
        Times (m,) of the AIF; `times_s` where None.

    Returns
    -------
    numpy.ndarray
        Tissue concentration (n, t) in mM.

    References
    ----------
    Tofts PS et al., J Magn Reson Imaging 1999;10:223.

    Examples
    --------
    >>> import numpy as np
    >>> times_s = np.arange(0.0, 300.0, 5.0)
    >>> aif_plasma_mM = parker_aif(times_s, delay_s=25.0) / (1 - 0.42)
    >>> curves = tofts(times_s, aif_plasma_mM, ktrans=[0.1, 0.2], ve=0.3)
    >>> curves.shape, curves[0, [8, 59]].round(3).tolist()
    ((2, 60), [0.13, 0.296])
    """
    ktrans, ve, delay = _columns(ktrans, ve, delay_s)
    kep = ktrans / np.maximum(ve, 1e-12)
    return ktrans[:, None] * convolve(times_s, aif_plasma_mM, kep, delay, aif_times_s)


def extended_tofts(
    times_s: ArrayLike,
    aif_plasma_mM: ArrayLike,
    ktrans: ArrayLike,
    ve: ArrayLike,
    vp: ArrayLike,
    delay_s: ArrayLike = 0.0,
    aif_times_s: ArrayLike | None = None,
) -> np.ndarray:
    """Extended Tofts model: as `tofts`, and a plasma space of fraction `vp` that follows the AIF.

    ``C(t) = vp Cp(t) + ktrans int_0^t Cp(u) exp(-kep (t - u)) du``; parameters and result as in `tofts`, vp a fraction.

    References
    ----------
    Tofts PS, J Magn Reson Imaging 1997;7:91.

    Examples
    --------
    >>> import numpy as np
    >>> times_s = np.arange(0.0, 300.0, 5.0)
    >>> aif_plasma_mM = parker_aif(times_s, delay_s=25.0) / (1 - 0.42)
    >>> extended_tofts(times_s, aif_plasma_mM, ktrans=0.1, ve=0.3, vp=0.05)[0, [8, 59]].round(3).tolist()
    [0.371, 0.339]
    """
    ktrans, ve, vp, delay = _columns(ktrans, ve, vp, delay_s)
    plasma = vp[:, None] * _delayed(times_s, aif_plasma_mM, delay, aif_times_s)
    return plasma + tofts(times_s, aif_plasma_mM, ktrans, ve, delay, aif_times_s)


def patlak(
    times_s: ArrayLike,
    aif_plasma_mM: ArrayLike,
    ps: ArrayLike,
    vp: ArrayLike,
    delay_s: ArrayLike = 0.0,
    aif_times_s: ArrayLike | None = None,
) -> np.ndarray:
    """Patlak model: plasma space and one-way leakage at `ps` (1/min).

    ``C(t) = vp Cp(t) + ps int_0^t Cp(u) du``; parameters and result as in `tofts`.

    References
    ----------
    Patlak CS et al., J Cereb Blood Flow Metab 1983;3:1.

    Examples
    --------
    >>> import numpy as np
    >>> times_s = np.arange(0.0, 300.0, 5.0)
    >>> aif_plasma_mM = parker_aif(times_s, delay_s=25.0) / (1 - 0.42)
    >>> patlak(times_s, aif_plasma_mM, ps=0.02, vp=0.05)[0, [8, 59]].round(3).tolist()
    [0.268, 0.179]
    """
    ps, vp, delay = _columns(ps, vp, delay_s)
    plasma = vp[:, None] * _delayed(times_s, aif_plasma_mM, delay, aif_times_s)
    return plasma + ps[:, None] * convolve(times_s, aif_plasma_mM, np.zeros_like(ps), delay, aif_times_s)


def two_cxm(
    times_s: ArrayLike,
    aif_plasma_mM: ArrayLike,
    fp: ArrayLike,
    ps: ArrayLike,
    ve: ArrayLike,
    vp: ArrayLike,
    delay_s: ArrayLike = 0.0,
    aif_times_s: ArrayLike | None = None,
) -> np.ndarray:
    """Two-compartment exchange model: plasma flow `fp` (ml/100ml/min), exchange at `ps` (1/min) between `vp` and `ve`.

    With concentrations cp and ce in plasma and interstitium, and the flow F = fp / 100 in 1/min::

        vp dcp/dt = F (Cp - cp) - ps (cp - ce)
        ve dce/dt = ps (cp - ce)
        C = vp cp + ve ce

    whose solution is the AIF convolved with two exponentials (`two_cxm_exponentials`). Other parameters and result as in `tofts`.

    References
    ----------
    Sourbron SP, Buckley DL, Magn Reson Med 2011;66:735.

    Examples
    --------
    >>> import numpy as np
    >>> times_s = np.arange(0.0, 300.0, 5.0)
    >>> aif_plasma_mM = parker_aif(times_s, delay_s=25.0) / (1 - 0.42)
    >>> two_cxm(times_s, aif_plasma_mM, fp=40.0, ps=0.1, ve=0.3, vp=0.05)[0, [8, 59]].round(3).tolist()
    [0.302, 0.319]
    """
    fp, ps, ve, vp, delay = _columns(fp, ps, ve, vp, delay_s)
    first, second, fast, slow = two_cxm_exponentials(fp, ps, ve, vp)
    result = first[:, None] * convolve(times_s, aif_plasma_mM, fast, delay, aif_times_s)
    return result + second[:, None] * convolve(times_s, aif_plasma_mM, slow, delay, aif_times_s)


def two_cxm_exponentials(
    fp: np.ndarray, ps: np.ndarray, ve: np.ndarray, vp: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The 2CXM's impulse response as two exponentials: weights and rates ``(w_fast, w_slow, k_fast, k_slow)``, all 1/min."""
    flow = fp / 100.0
    plasma = flow / np.maximum(vp, 1e-9)
    plasma_out = (flow + ps) / np.maximum(vp, 1e-9)
    tissue_out = np.where(ps > 0, ps / np.maximum(ve, 1e-9), 0.0)
    total = plasma_out + tissue_out
    fast = 0.5 * (total + np.sqrt(np.maximum(total**2 - 4.0 * tissue_out * plasma, 0.0)))
    slow = tissue_out * plasma / np.maximum(fast, 1e-30)  # the product of the rates: no cancellation
    share = (fast - plasma) / np.maximum(fast - slow, 1e-30)
    return flow * (1.0 - share), flow * share, fast, slow


def two_cum(
    times_s: ArrayLike,
    aif_plasma_mM: ArrayLike,
    fp: ArrayLike,
    ps: ArrayLike,
    vp: ArrayLike,
    delay_s: ArrayLike = 0.0,
    aif_times_s: ArrayLike | None = None,
) -> np.ndarray:
    """Two-compartment uptake model: as `two_cxm`, with no way back from the tissue.

    With F = fp / 100 and the extraction E = ps / (F + ps), ``C(t) = F int_0^t Cp(u) ((1 - E) exp(-(F + ps) / vp (t - u)) + E) du``.

    References
    ----------
    Sourbron SP, Buckley DL, Phys Med Biol 2012;57:R1.

    Examples
    --------
    >>> import numpy as np
    >>> times_s = np.arange(0.0, 300.0, 5.0)
    >>> aif_plasma_mM = parker_aif(times_s, delay_s=25.0) / (1 - 0.42)
    >>> two_cum(times_s, aif_plasma_mM, fp=40.0, ps=0.02, vp=0.05)[0, [8, 59]].round(3).tolist()
    [0.284, 0.169]
    """
    fp, ps, vp, delay = _columns(fp, ps, vp, delay_s)
    flow = fp / 100.0
    extraction = ps / np.maximum(flow + ps, 1e-30)
    wash_out = (flow + ps) / np.maximum(vp, 1e-9)
    result = (flow * (1.0 - extraction))[:, None] * convolve(times_s, aif_plasma_mM, wash_out, delay, aif_times_s)
    kept = convolve(times_s, aif_plasma_mM, np.zeros_like(flow), delay, aif_times_s)
    return result + (flow * extraction)[:, None] * kept


def _columns(*values: ArrayLike) -> list[np.ndarray]:
    return list(np.broadcast_arrays(*[np.atleast_1d(np.asarray(v, np.float64)) for v in values]))


def _delayed(times_s: ArrayLike, aif: ArrayLike, delay: np.ndarray, aif_times_s: ArrayLike | None) -> np.ndarray:
    nodes = times_s if aif_times_s is None else aif_times_s
    return interpolate_aif(np.asarray(times_s, np.float64)[None, :] - delay[:, None], aif, nodes)
