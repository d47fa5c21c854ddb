"""Peak height and percentage of signal recovery of DSC curves."""

import numpy as np

from ...curves import noise_sd
from ...errors import option

_PASSED_S = 10.0  # after the peak; chosen: earlier frames are first pass, not recovery


def recovery(
    curves: np.ndarray, times_s: np.ndarray, n_baseline: int, peak: int, te_ms: float | None, n_tail: int
) -> tuple[dict[str, np.ndarray], str]:
    """Peak height ``ph`` (1/s) and recovery ``psr`` (%), and the sentence that states the window.

    Parameters
    ----------
    curves
        ΔR2* (n, t), 1/s.
    times_s
        (t,) s.
    n_baseline, peak
        Frames before the bolus, and the frame of its peak.
    te_ms
        Echo time; without it ``psr`` is left out.
    n_tail
        Frames at the end that count as recovered.
    """
    ph = curves.max(axis=1)
    if te_ms is None:
        return {"ph": ph}, f"psr needs the echo time ({option('--te-ms')}) where the input is ΔR2*, and was left out"
    if times_s[-n_tail] < times_s[peak] + _PASSED_S:
        return (
            {"psr": np.full(ph.shape, np.nan), "ph": ph},
            f"psr is undefined: the last {n_tail} frames begin within {_PASSED_S:g} s of the peak",
        )
    if n_baseline < 3:
        # Two frames have no standard deviation worth the name, and the next ones are the bolus.
        noise = noise_sd(curves[:, -n_tail:])
    else:
        noise = curves[:, :n_baseline].std(axis=1, ddof=1)
    relative = np.exp(-curves * te_ms / 1000.0)
    lowest, end = relative.min(axis=1), relative[:, -n_tail:].mean(axis=1)
    drop = 1.0 - lowest
    # Within three standard deviations there is no bolus to recover from.
    clear = drop > 3.0 * noise * te_ms / 1000.0
    psr = np.where(clear, 100.0 * (end - lowest) / np.where(clear, drop, 1.0), np.nan)
    note = (
        f"psr: recovery is the mean of the last {n_tail} frames ({times_s[-n_tail]:.4g} to {times_s[-1]:.4g} s); undefined where the "
        "drop is within 3 SD of the baseline"
    )
    return {"psr": psr, "ph": ph}, note
