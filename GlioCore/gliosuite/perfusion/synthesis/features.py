"""What the posterior network is told of a voxel: its fit, how well that is known, and how the series was taken.

The fit of extended Tofts with delay is all but a sufficient statistic of a curve, whatever its frames and its AIF are, so that one network
serves any number of frames and any interval. Parameters are learned on scales on which a curve tells them about evenly (`to_scale`), and
in units of what fit and prior together leave open (`Inputs.width`): where the fit is sharp, that is its own SD, and a network that adds
nothing gives the fit back.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ..aif.arteries import peak_width

PARAMETERS = ("ktrans", "ve", "vp", "delay")
# Added before the logarithm is taken, 1/min and fraction: below, values are noise in any series, and a logarithm alone would be all tail.
_OFFSET = {"ktrans": 1e-3, "vp": 2e-3}
_VE = (0.01, 0.99)  # where its logit ends
# Mean and SD of the prior on those scales: of the parameters of the simulated tissues, rounded.
PRIOR = {"ktrans": (-4.9, 1.6), "ve": (-1.4, 0.9), "vp": (-3.6, 1.0), "delay": (1.0, 1.2)}
# Of a frame: how narrow an AIF's peak can be known to be; chosen, narrower than any that was trained on.
_NARROWEST = 0.7
_FARTHEST = 6.0  # how far an input may lie from 0; chosen: what is farther says no more
NAMES = (
    *(f"{name} of the fit" for name in PARAMETERS),
    *(f"width of {name}" for name in PARAMETERS),
    *(f"{name} over its SD" for name in ("ktrans", "vp")),
    "ve not told",
    "kep",
    "kep at its bound",
    "residual over the AIF's peak",
    "residual over ktrans",
    "misfit",
    "frame interval",
    "time after arrival",
    "frames of the baseline",
    "peak of the AIF",
    "area of the AIF",
    "width of the AIF",
    "tail of the AIF over its peak",
    "T1 measured",
    "haematocrit given",
    "AIF of a population",
)


def to_scale(name: str, values: np.ndarray) -> np.ndarray:
    """A parameter on the scale on which it is learned."""
    if name in _OFFSET:
        return np.log(np.maximum(values, 0.0) + _OFFSET[name])
    if name == "ve":
        inside = np.clip(values, *_VE)
        return np.log(inside / (1.0 - inside))
    return np.asarray(values, np.float64)


def from_scale(name: str, values: np.ndarray) -> np.ndarray:
    """The parameter back from its scale; 0 at least."""
    if name in _OFFSET:
        return np.maximum(np.exp(np.minimum(values, 3.0)) - _OFFSET[name], 0.0)
    if name == "ve":
        return 1.0 / (1.0 + np.exp(-values))
    return values


def _slope(name: str, values: np.ndarray) -> np.ndarray:
    """Of `to_scale` where the fit lies."""
    if name in _OFFSET:
        return 1.0 / (np.maximum(values, 0.0) + _OFFSET[name])
    if name == "ve":
        inside = np.clip(values, 0.02, 0.98)
        return 1.0 / (inside * (1.0 - inside))
    return np.ones_like(values)


@dataclass(frozen=True)
class Scan:
    """What all voxels of a series share.

    Parameters
    ----------
    times_s
        (t,) s.
    n_baseline
        Frames before the bolus.
    aif_times_s, aif
        (m,) s; plasma in mM.
    highest_kep
        Upper bound of the fit's kep, 1/min.
    t1_measured, hematocrit_given, population
        Whether T1 is a map, the haematocrit this patient's, the AIF one of a population.
    """

    times_s: np.ndarray
    n_baseline: int
    aif_times_s: np.ndarray
    aif: np.ndarray
    highest_kep: float
    t1_measured: bool
    hematocrit_given: bool
    population: bool = False

    def numbers(self) -> list[float]:
        """What the network is told of it, about 0 and of the size of 1."""
        at, curve = self.aif_times_s, np.maximum(self.aif, 0.0)
        peak, area = float(curve.max()), float(np.trapezoid(curve, at)) / 60.0
        dt, rest = float(np.median(np.diff(self.times_s))), float(self.times_s[-1] - self.times_s[self.n_baseline - 1])
        width = max(float(peak_width(curve, at, 0.5)), _NARROWEST * dt)
        return [
            np.log(dt / 4.0),
            np.log(rest / 240.0),
            np.log(self.n_baseline / 6.0),
            np.log(max(peak, 1e-3) / 7.0),
            np.log(max(area, 1e-3) / 7.0),
            np.log(width / 9.0),
            np.log(max(float(curve[-1]), 1e-3) / max(peak, 1e-3) / 0.15),
            float(self.t1_measured),
            float(self.hematocrit_given),
            float(self.population),
        ]


@dataclass(frozen=True)
class Inputs:
    """What the network reads of voxels, and where its answer begins.

    Attributes
    ----------
    told
        (n, len(NAMES)) float32.
    centre, width
        (n, 4) on the scales of `PARAMETERS`: mean and SD of the product of the fit's likelihood and the prior, each parameter alone.
    """

    told: np.ndarray
    centre: np.ndarray
    width: np.ndarray


def inputs(
    values: Mapping[str, np.ndarray], sd: Mapping[str, np.ndarray], rmse: np.ndarray, misfit: np.ndarray, scan: Scan
) -> Inputs:
    """From the fit of extended Tofts with delay.

    Parameters
    ----------
    values, sd
        By ``ktrans ve vp kep delay``, (n,) each; an SD that is not finite says that the data do not tell the parameter.
    rmse
        Of the residual, mM (n,).
    misfit
        Whether the model does not fit (n,).
    """
    n = len(rmse)
    centre, width = np.empty((n, len(PARAMETERS))), np.empty((n, len(PARAMETERS)))
    told = []
    for i, name in enumerate(PARAMETERS):
        mean, spread = PRIOR[name]
        fitted = to_scale(name, np.nan_to_num(values[name], nan=0.0))
        known = np.isfinite(values[name]) & np.isfinite(sd[name])
        # An SD below a thousandth of the prior's is a curve without noise.
        own = np.maximum(np.where(known, sd[name], 1.0) * _slope(name, np.nan_to_num(values[name])), 1e-3 * spread)
        precision = np.where(known, 1.0 / own**2, 0.0)
        centre[:, i] = (precision * np.where(known, fitted, 0.0) + mean / spread**2) / (precision + 1.0 / spread**2)
        width[:, i] = 1.0 / np.sqrt(precision + 1.0 / spread**2)
        told.append((fitted - mean) / spread)
    told += [np.log(width[:, i] / PRIOR[name][1]) / 2.0 for i, name in enumerate(PARAMETERS)]
    for name in ("ktrans", "vp"):
        told.append(np.arcsinh(np.nan_to_num(values[name] / np.maximum(sd[name], 1e-9), posinf=0.0)) / 2.0)
    peak = max(float(scan.aif.max()), 1e-3)
    told += [
        (~np.isfinite(sd["ve"])).astype(np.float64),
        np.log(np.maximum(np.nan_to_num(values["kep"]), 1e-3)) / 2.0,
        (values["kep"] >= 0.98 * scan.highest_kep).astype(np.float64),
        np.log(np.maximum(rmse, 1e-5) / peak / 0.005) / 2.0,
        np.log(np.maximum(rmse, 1e-5) / peak / (np.maximum(np.nan_to_num(values["ktrans"]), 0.0) + 1e-3)) / 2.0,
        np.asarray(misfit, np.float64),
    ]
    table = np.empty((n, len(NAMES)), np.float32)
    own = len(told)
    table[:, :own] = np.clip(np.stack(told, axis=1), -_FARTHEST, _FARTHEST)
    table[:, own:] = np.clip(scan.numbers(), -_FARTHEST, _FARTHEST)
    return Inputs(table, centre.astype(np.float32), width.astype(np.float32))
