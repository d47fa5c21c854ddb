"""Examples for the posterior network: simulated curves fitted as a series is, with an AIF, a T1 and a haematocrit that are a little off."""

from typing import Any, NamedTuple

import numpy as np

from ..dce.dispersion import disperse
from ..fit import DEFAULT_BOUNDS, fit_curves
from ..kinetics import interpolate_aif, parker_aif
from ..noise import SignalNoise
from ..settings import HEMATOCRIT, T10_TISSUE_S
from ..signal import concentrations
from .features import PARAMETERS, Inputs, Scan, inputs, to_scale

# Errors of what is measured, as natural logarithms unless said; chosen near what the automatic AIF and T1 of simulated patients show.
_AIF_SCALE, _AIF_POOR, _POOR_SHARE = 0.05, 0.2, 0.1  # SD of its height; SD in the share of series where it is poor
_AIF_DISPERSION_S = 0.5  # SD
_AIF_LATE_S = 0.4  # SD
_T1_SHARED, _T1_OWN = 0.03, 0.06  # SD of a series and of a voxel
_B1_KNOWN, _B1_SD = 0.5, 0.02  # share of series, SD of the map's noise
_T1_MEASURED, _HEMATOCRIT_KNOWN, _POPULATION = 0.75, 0.5, 0.1  # shares of series
_ARTERIAL_LATE_S = 0.4  # that population AIFs are placed too early by at most


class Examples(NamedTuple):
    """What the network is told, and the truth (n, 4) in units of `Inputs.width` from `Inputs.centre`; the tissue of each."""

    voxels: Inputs
    truth: np.ndarray
    tissue: np.ndarray


def examples(curves: Any, rng: np.random.Generator) -> Examples:
    """Fit simulated curves (`simulate.curves.Curves`) by what a series would have told of AIF, T1 and blood."""
    n = len(curves.signal)
    measured, known = rng.random() < _T1_MEASURED, rng.random() < _HEMATOCRIT_KNOWN
    population = rng.random() < _POPULATION
    t10: Any = T10_TISSUE_S
    if measured:
        error = _T1_SHARED * rng.standard_normal() + _T1_OWN * rng.standard_normal(n)
        t10 = curves.t10_s * np.exp(error)
    b1 = curves.b1 + _B1_SD * rng.standard_normal(n) if rng.random() < _B1_KNOWN else np.ones(n)
    hematocrit = curves.hematocrit if known else HEMATOCRIT
    at, late_s = curves.blood_times_s, _AIF_LATE_S * rng.standard_normal()
    if population:
        start = curves.times_s[curves.n_baseline - 1] + rng.uniform(0.0, _ARTERIAL_LATE_S)
        aif = parker_aif(at, start) * (1.0 - HEMATOCRIT) / (1.0 - hematocrit)
        dispersion = 0.0
    else:
        spread = _AIF_POOR if rng.random() < _POOR_SHARE else _AIF_SCALE
        scale = np.exp(spread * rng.standard_normal()) / (1.0 - hematocrit)
        aif = scale * interpolate_aif(at - late_s, curves.arterial, at)
        dispersion = max(curves.feeding_s + _AIF_DISPERSION_S * rng.standard_normal(), 0.0)
    concentration = concentrations(curves.signal, curves.acquisition, t10, curves.n_baseline, b1)
    nodes, feeding = disperse(at, aif, dispersion)
    noise = SignalNoise.of(curves.acquisition, t10, b1 * curves.acquisition.flip_angle_deg, curves.n_baseline, n)
    # The delay of a population's AIF is fitted too: its arrival is not known.
    fit = fit_curves(concentration, curves.times_s, feeding, "etm", True, nodes, noise=noise)
    scan = Scan(
        curves.times_s, curves.n_baseline, at, aif, DEFAULT_BOUNDS["kep"][1], bool(measured), bool(known), population
    )
    good = np.flatnonzero(np.isfinite(fit.sse))
    rmse = np.sqrt(fit.sse[good] / curves.times_s.size)
    voxels = inputs(
        {k: v[good] for k, v in fit.values.items()},
        {k: v[good] for k, v in fit.sd.items()},
        rmse,
        fit.misfit[good],
        scan,
    )
    # A delay is one after the AIF that was given.
    truth = curves.truth | {"delay": curves.truth["delay"] - (0.0 if population else late_s)}
    scaled = np.stack([to_scale(name, truth[name][good]) for name in PARAMETERS], axis=1)
    return Examples(voxels, ((scaled - voxels.centre) / voxels.width).astype(np.float32), curves.tissue[good])
