"""Maps of the posterior: what fit, prior and network together say of ktrans, ve, vp and delay in each voxel, with 95 % intervals."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import SimpleITK as sitk

from ...compute import blocks, each
from ...images import Grid, array, boolean
from ...steps import Progress, silent
from ...training import Model, read_model
from ...training.model_folder import shipped
from .features import NAMES, PARAMETERS, Scan, from_scale, inputs
from .fitted import Fitted
from .network import gaussian

_BLOCK = 8192  # voxels at a time; chosen, their layers stay in a processor's cache
_NORMAL_68 = 0.9945  # SDs of a Gaussian that hold 68 % of it
_NORMAL_95 = 1.96
_MARGIN = 0.1  # of the range of an input that was trained on, by which it may lie outside; chosen
# Inputs that all voxels of a series share begin here.
_SHARED = NAMES.index("frame interval")


@dataclass(frozen=True)
class Synthesis:
    """Maps of a posterior on the native grid of the series.

    Attributes
    ----------
    maps
        Median of the posterior by ``ktrans ve vp delay``; the fitted value where a voxel lies outside what the network was trained on.
        0 outside the mask, NaN where nothing was fitted.
    sd
        Half the width of the interval that holds 68 %.
    lower, upper
        Ends of the 95 % interval.
    outside
        1 where a voxel lies outside what the network was trained on.
    mask
        Voxels with a result.
    notes
        What a reader must know.
    record
        What synthesis.json says.
    """

    maps: dict[str, sitk.Image]
    sd: dict[str, sitk.Image]
    lower: dict[str, sitk.Image]
    upper: dict[str, sitk.Image]
    outside: sitk.Image
    mask: sitk.Image
    notes: list[str]
    record: dict[str, Any]


def posterior(fitted: Fitted, model: Model | None = None, progress: Progress = silent) -> Synthesis:
    """Refine a fit of extended Tofts with delay by the posterior network.

    Parameters
    ----------
    model
        Of `read_model`; the one that travels with the library where None.

    Raises
    ------
    InputError
        If the model's files are damaged.
    """
    model = model or read_model(shipped("posterior"), "posterior")
    mask = boolean(fitted.mask)
    values = {name: array(image)[mask] for name, image in fitted.values.items()}
    sd = {name: array(image)[mask] for name, image in fitted.sd.items()}
    rmse, misfit = array(fitted.rmse)[mask], array(fitted.misfit)[mask] > 0
    n = len(rmse)
    found = {end: {name: np.empty(n, np.float32) for name in PARAMETERS} for end in ("", "sd", "lower", "upper")}
    outside = np.empty(n, bool)
    held = model.about["intervals"]

    def block(rows: slice) -> None:
        pick = lambda of: {name: v[rows] for name, v in of.items()}
        voxels = inputs(pick(values), pick(sd), rmse[rows], misfit[rows], fitted.scan)
        outside[rows] = _outside(voxels.told, model.about["trained_between"])
        mean, spread = gaussian(model.weights, voxels)
        for i, name in enumerate(PARAMETERS):
            # One SD of the interval that holds half, which was calibrated, is that of a Gaussian.
            one, two = held["0.5"][name] / 0.6745 * _NORMAL_68, held["0.95"][name]
            back = lambda by, i=i, name=name: from_scale(name, mean[:, i] + by * spread[:, i])
            found[""][name][rows] = back(0.0)
            found["sd"][name][rows] = 0.5 * (back(one) - back(-one))
            found["lower"][name][rows], found["upper"][name][rows] = back(-two), back(two)

    each(block, list(blocks(n, _BLOCK)), progress, "posterior of each voxel")
    _fitted_where(outside, found, values, sd)
    share = float(outside.mean()) if n else 0.0
    grid = Grid.of(fitted.mask)
    draw = lambda of: {name: _image(of[name], mask, grid) for name in PARAMETERS}
    return Synthesis(
        draw(found[""]),
        draw(found["sd"]),
        draw(found["lower"]),
        draw(found["upper"]),
        _image(outside, mask, grid),
        fitted.mask,
        _notes(fitted.scan, share, model),
        {"model": "posterior", "weights_sha256": model.about["weights_sha256"], "outside_share": share},
    )


def _outside(told: np.ndarray, between: Any) -> np.ndarray:
    """Which voxels (n,) have an input beyond those that were trained on."""
    low, high = (np.asarray(v, np.float32) for v in between)
    room = _MARGIN * (high - low) + 1e-3
    return np.asarray(((told < low - room) | (told > high + room)).any(axis=1))


def _fitted_where(
    outside: np.ndarray,
    found: Mapping[str, dict[str, np.ndarray]],
    values: Mapping[str, np.ndarray],
    sd: Mapping[str, np.ndarray],
) -> None:
    """Put the fitted values in place where the network was not trained."""
    for name in PARAMETERS if outside.any() else ():
        value, spread = values[name][outside], sd[name][outside]
        found[""][name][outside] = value
        found["sd"][name][outside] = spread
        low, high = value - _NORMAL_95 * spread, value + _NORMAL_95 * spread
        found["lower"][name][outside] = low if name == "delay" else np.maximum(low, 0.0)
        found["upper"][name][outside] = high


def _image(values: np.ndarray, mask: np.ndarray, grid: Grid) -> sitk.Image:
    result = np.zeros(mask.shape, np.float32)
    result[mask] = values
    return grid.image(result)


def _notes(scan: Scan, share: float, model: Model) -> list[str]:
    notes = [
        "maps are medians of a posterior learned from simulated patients; look at the fitted maps beside them",
    ]
    low, high = (np.asarray(v) for v in model.about["trained_between"])
    numbers = np.array(scan.numbers())
    room = _MARGIN * (high - low)[_SHARED:] + 1e-3
    far = [
        name
        for name, n, a, b, r in zip(NAMES[_SHARED:], numbers, low[_SHARED:], high[_SHARED:], room)
        if not a - r <= n <= b + r
    ]
    if far:
        notes.append(
            f"the series lies outside what the network was trained on ({', '.join(far)}): all voxels show the fitted values"
        )
    elif share > 0:
        notes.append(
            f"{100 * share:.1f} % of the voxels lie outside what the network was trained on and show the fitted values "
            "(out_of_distribution)"
        )
    if scan.population:
        notes.append("the AIF is a population's: intervals are as wide as that makes them")
    return notes
