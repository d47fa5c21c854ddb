"""Maps of the posterior: what fit, prior and network together say of ktrans, ve, vp and delay in each voxel, with 95 % intervals."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import SimpleITK as sitk

from ...compute import blocks, each
from ...errors import InputError
from ...images import Grid, array, boolean, map_image
from ...steps import Progress, part, silent
from ...training import Model, read_model
from ...training.model_folder import shipped
from ..aif.venous import FLIP_FACTORS
from ..dce.notes import unusual_vp
from .features import NAMES, PARAMETERS, from_scale, inputs
from .fitted import Fitted
from .network import gaussian
from .spatial import CHANNELS, GROUPS, LAYERS, N_OUT, channels, refine

_BLOCK = 8192  # voxels at a time; chosen, their layers stay in a processor's cache
KIND = "posterior"
SPATIAL = "spatial."  # before the names of the weights of the networks that look at neighbours
_SD_OF_HALF = 1.0 / 0.6745  # a Gaussian's SD over the half width of the interval that holds half of it
_95 = 1.96
_MARGIN = 0.15  # of the range of an input that was trained on, by which it may lie outside; chosen
_LEAST_ROOM = 1e-3  # by which it may at least, since some inputs were the same in all series
# Inputs that all voxels of a series share begin here.
_SHARED = NAMES.index("frame interval")


@dataclass(frozen=True)
class Synthesis:
    """Maps of a posterior on the native grid of the series.

    Attributes
    ----------
    maps
        Median of the posterior by ``ktrans ve vp delay``; the fitted value where a voxel lies outside what the network was trained on.
        0 outside the mask.
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


@dataclass(frozen=True)
class Distribution:
    """A Gaussian of each fitted voxel, in the order of the mask's voxels.

    Attributes
    ----------
    mean, spread
        (n, 4) on the scales of `features.PARAMETERS`.
    outside
        Voxels (n,) outside what the network was trained on.
    held
        How many SDs either way hold the truth in 50, 90 and 95 % of the voxels: by level and parameter, a number or (n,).
    """

    mean: np.ndarray
    spread: np.ndarray
    outside: np.ndarray
    held: dict[str, dict[str, Any]]


def distribution(fitted: Fitted, model: Model, progress: Progress = silent) -> Distribution:
    """What the network says of each voxel of a fit's mask, with its neighbours where the model has a stage for them."""
    mask = boolean(fitted.mask)
    values, sd, rmse, misfit = fitted.voxels()
    n = len(rmse)
    t10 = None if fitted.t10 is None else array(fitted.t10)[mask]
    mean, spread = np.empty((n, len(PARAMETERS)), np.float32), np.empty((n, len(PARAMETERS)), np.float32)
    outside, held = np.empty(n, bool), model.about["intervals"]
    together = of_neighbours(model)
    read = np.empty((n if together else 0, CHANNELS), np.float32)

    def block(rows: slice) -> None:
        some = lambda of: {name: v[rows] for name, v in of.items()}
        voxels = inputs(some(values), some(sd), rmse[rows], misfit[rows], fitted.scan)
        outside[rows] = beyond(voxels.told, *trained_within(model))
        mean[rows], spread[rows] = gaussian(model.weights, voxels)
        if together:
            read[rows] = channels(voxels.told, mean[rows], spread[rows], None if t10 is None else t10[rows])

    each(block, list(blocks(n, _BLOCK)), part(progress, 0.0, 0.4), "posterior of each voxel")
    if together and n:
        mean, spread, likely = refine(together, mask, read, mean, spread, part(progress, 0.4, 1.0))
        # Each voxel's interval is that of the tissues that it may be, by how likely it is of each.
        by_tissue = model.about["tissue_intervals"]
        held = {q: {k: likely @ np.asarray(v, np.float32) for k, v in of.items()} for q, of in by_tissue.items()}
    return Distribution(mean, spread, outside | bool(contradicted(fitted)), held)


def of_neighbours(model: Model) -> list[dict[str, np.ndarray]]:
    """The weights of each network that looks at neighbours, as `spatial.refine` takes them; empty without one.

    Raises
    ------
    InputError
        If they are of networks of another shape.
    """
    found: dict[str, dict[str, np.ndarray]] = {}
    for name, values in model.weights.items():
        if name.startswith(SPATIAL):
            member, _, layer = name.removeprefix(SPATIAL).partition(".")
            found.setdefault(member, {})[layer] = values
    last = f"{len(LAYERS) - 1}.bias"
    if any(last not in one or one[last].shape != (N_OUT + len(GROUPS),) for one in found.values()):
        raise InputError("this posterior was trained by another version of GlioSuite; train it anew (synthesize train)")
    return list(found.values())


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
    model = model or read_model(shipped(KIND), KIND)
    found = distribution(fitted, model, progress)
    mask, grid, held = boolean(fitted.mask), Grid.of(fitted.mask), found.held
    maps: dict[str, dict[str, sitk.Image]] = {"": {}, "sd": {}, "lower": {}, "upper": {}}
    for i, name in enumerate(PARAMETERS):
        # One SD of the interval that holds half, which was calibrated, is that of a Gaussian.
        one, two = held["0.5"][name] * _SD_OF_HALF, held["0.95"][name]
        back = lambda by, i=i, name=name: from_scale(name, found.mean[:, i] + by * found.spread[:, i])
        values = {"": back(0.0), "sd": 0.5 * (back(one) - back(-one)), "lower": back(-two), "upper": back(two)}
        if found.outside.any():
            value, sd = (array(of[name])[mask][found.outside] for of in (fitted.values, fitted.sd))
            least = -np.inf if name == "delay" else 0.0
            fit = {"": value, "sd": sd, "lower": np.maximum(value - _95 * sd, least), "upper": value + _95 * sd}
            for end in values:
                values[end][found.outside] = fit[end]
        for end, of in values.items():
            maps[end][name] = map_image(of, mask, grid)
    share = float(found.outside.mean()) if len(found.outside) else 0.0
    return Synthesis(
        maps[""],
        maps["sd"],
        maps["lower"],
        maps["upper"],
        map_image(found.outside, mask, grid),
        fitted.mask,
        [*_notes(fitted, share, model), *_of_prior(array(fitted.sd["ve"])[mask][~found.outside], len(found.outside))],
        {"model": KIND, "weights_sha256": model.about["weights_sha256"], "outside_share": share},
    )


def contradicted(fitted: Fitted) -> str:
    """Why a series was not taken as was said, or its AIF is wrong, by what its blood says; empty where nothing speaks against it."""
    low, high = FLIP_FACTORS
    if fitted.flip_factor is not None and not low <= fitted.flip_factor <= high:
        return (
            f"the blood's signal asks for {fitted.flip_factor:.2f} times the flip angle that was given, so that the repetition time or the "
            "flip angle is not what was said"
        )
    vp = unusual_vp(array(fitted.values["vp"])[boolean(fitted.mask)], Grid.of(fitted.mask).voxel_cc)
    return "" if vp is None else f"the median vp is {100 * vp:.1f} %, as no brain's is, so that the AIF is wrong"


def limits(between: Any, margin: float, least: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """How low and how high inputs (k,) may be, from the ranges that were trained on: by a share of the range outside, or by the least."""
    low, high = (np.asarray(v, np.float32) for v in between)
    room = margin * (high - low) + np.float32(least)
    return low - room, high + room


def beyond(told: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Which voxels (n,) have an input (n, k) that is lower or higher than `limits` let it be."""
    return np.asarray(((told < low) | (told > high)).any(axis=1))


def trained_within(model: Model) -> tuple[np.ndarray, np.ndarray]:
    """The `limits` (k,) of a posterior's inputs."""
    return limits(model.about["trained_between"], _MARGIN, _LEAST_ROOM)


def _of_prior(sd: np.ndarray, count: int) -> list[str]:
    """The sentence on voxels whose ve the fit does not tell, from its SDs (n,) where the network speaks; `count` voxels in all."""
    share = float(np.sum(~np.isfinite(sd))) / max(count, 1)
    if not share:
        return []
    return [
        f"in {100 * share:.0f} % of the voxels the curve does not determine ve: there value and interval are those of the simulated "
        "tissues, not this patient's"
    ]


def _notes(fitted: Fitted, share: float, model: Model) -> list[str]:
    scan = fitted.scan
    notes = [
        "maps are medians of a posterior learned from simulated patients; look at the fitted maps beside them",
    ]
    shared = zip(NAMES[_SHARED:], scan.numbers(), *(end[_SHARED:] for end in trained_within(model)))
    far = [name for name, value, low, high in shared if not low <= value <= high]
    if why := contradicted(fitted):
        notes.append(f"{why}: all voxels show the fitted values, which are wrong for the same reason")
    elif far:
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
