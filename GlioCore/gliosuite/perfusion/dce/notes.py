"""What a reader of DCE maps must know of the series that they were made from."""

import numpy as np

from ..signal import FLOOR_SNR, near_floor


def on_floor(signal: np.ndarray, n_baseline: int, sigma: float) -> list[str]:
    """The sentence on curves (n, t) whose noise floor is taken off; none where there is none. `sigma` is the noise's SD."""
    low = near_floor(signal, n_baseline, sigma)
    if not low.any():
        return []
    return [
        f"the noise floor of the magnitude (SD {sigma:.3g}) was taken off {100 * float(low.mean()):.1f} % of the curves, whose signal before "
        f"contrast is below {FLOOR_SNR:g} times the noise"
    ]
