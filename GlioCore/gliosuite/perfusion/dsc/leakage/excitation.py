"""How a DSC series was excited, and what a change of T1 does to its signal."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ...settings import T10_LESION_S

# Relative SD of the T1 before the bolus. Chosen: where it is assumed, the spread of tumours' T1 at 3 T; in a map, errors of variable flip
# angles and of the head's position.
T10_ASSUMED_SD, T10_MAP_SD = 0.2, 0.1
_T10 = 0.1, 10.0  # s; chosen: what a map has outside is noise


@dataclass(frozen=True)
class Excitation:
    """How a series was excited, and the tissue's T1 before the bolus.

    Attributes
    ----------
    te_s, tr_s
        Echo and repetition time.
    flip_angle_deg
        Nominal flip angle.
    t10_s
        T1 before the bolus in s: a number, or one of each curve (n,).
    b1
        Actual over nominal flip angle: a number, or one of each curve (n,).
    t10_sd
        Relative SD of `t10_s`.
    """

    te_s: float
    tr_s: float
    flip_angle_deg: float
    t10_s: float | np.ndarray
    b1: float | np.ndarray = 1.0
    t10_sd: float = T10_ASSUMED_SD

    def of(self, rows: np.ndarray) -> "Excitation":
        """That of some curves (numbers)."""
        pick = lambda values: np.broadcast_to(values, rows.shape) if np.ndim(values) == 0 else np.asarray(values)[rows]
        return replace(self, t10_s=pick(self.t10_s), b1=pick(self.b1))

    def cosine(self) -> np.ndarray:
        """Of the actual flip angle."""
        return np.cos(np.deg2rad(np.multiply(self.flip_angle_deg, self.b1)))

    @classmethod
    def measured(
        cls, te_s: float, tr_s: float, flip_angle_deg: float, t10_s: float | np.ndarray, b1: float | np.ndarray
    ) -> "Excitation":
        """From numbers or the values of maps (n,); where a map says nothing (not above 0), T1 1.5 s and the nominal flip angle hold."""
        t10, scale, sd = t10_s, b1, T10_ASSUMED_SD
        if isinstance(t10, np.ndarray):
            t10, sd = np.clip(np.where(t10 > 0, t10, T10_LESION_S), *_T10), T10_MAP_SD
        if isinstance(scale, np.ndarray):
            scale = np.where(scale > 0, scale, 1.0)
        return cls(te_s, tr_s, flip_angle_deg, t10, scale, sd)


def shine_through(rate: Any, scan: Excitation, xp: Any = np) -> Any:
    """Apparent change of R2* (1/s, negative) by a change `rate` (1/s, at least 0) of R1, T1 and flip angle being numbers."""
    cosine = float(scan.cosine())
    rest = float(np.exp(-scan.tr_s / scan.t10_s))
    e1 = rest * xp.exp(-scan.tr_s * rate)
    # The ratio of the signals; the angle's sine cancels.
    gain = (1.0 - e1) / (1.0 - cosine * e1) * ((1.0 - cosine * rest) / (1.0 - rest))
    return -xp.log(gain) / scan.te_s


def first_order(scan: Excitation) -> np.ndarray:
    """Apparent change of R2* per change of R1 where it is small; of the shape of T1 and flip angle."""
    cosine = scan.cosine()
    e1 = np.exp(-scan.tr_s / np.asarray(scan.t10_s, np.float64))
    return -scan.tr_s / scan.te_s * e1 * (1.0 / (1.0 - e1) - cosine / (1.0 - cosine * e1))
