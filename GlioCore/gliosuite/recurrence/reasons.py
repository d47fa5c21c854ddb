"""What drove the probability of one voxel: occlusion, which both kinds of model allow since they take missing images."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..errors import InputError
from ..resources import look
from . import voxelwise
from .ensemble import calibrated
from .features import NAMES, feature_of, features_of, normal_brain
from .inputs import CHANNELS, KINDS, REACH_MM, REQUIRED, SEEN, Inputs
from .network import ask
from .prediction import shipped
from .settings import NETWORK

if TYPE_CHECKING:
    from ..training import Model

RELATIVE = "x normal"  # the unit of what is divided by the commonest value of normal brain
_DISTANCES = {"t2l": "from T2L", "cel": "from CEL", "cavity": "from cavity"}
_SIZES = {"t2l": "T2L size", "cel": "CEL size"}
_STAND_IN = "Inputs stand in for each other, so that these numbers do not add up."
HOW = (
    "Log odds and probability are those with all inputs against those without one: an image with its smoothed values, or a size of the "
    "lesion, is made missing, a distance is put to its median among the voxels that were predicted. It tells what the model used, not "
    "what causes recurrence.",
    f"{_STAND_IN} T1c, FLAIR and sizes were never missing in training: without "
    "one, a tree goes where most of its voxels went.",
)
HOW_NETWORK = (
    "Log odds and probability are those with all images against those without one, in the whole of the region that is predicted: it is "
    "made missing, T1c and FLAIR are put to what most of normal brain has. It tells what the model used, not what causes recurrence.",
    f"{_STAND_IN} What the lesion's outline tells is not taken away: the network was never without it.",
)


@dataclass(frozen=True)
class Reason:
    """What one input adds in a voxel.

    Attributes
    ----------
    input
        For people: an image, a distance, a size of the lesion, or several of them together.
    value, unit
        What the model was shown; None where it was not measured in the voxel, and for several together.
    percentile
        The share (0-100) of the patient's normal-appearing brain that lies below; None as `value`,
        for what is no image, and where none of it was measured.
    low, high
        Between what values near the lesion lay in training, widened (``ranges`` of model.json); None for what is no image.
    log_odds, log_odds_sd
        Of recurrence, calibrated, with all inputs less those without this one: mean and SD over the members.
    without
        The probability without it.
    """

    input: str
    value: float | None
    unit: str
    percentile: float | None
    low: float | None
    high: float | None
    log_odds: float
    log_odds_sd: float
    without: float


@dataclass(frozen=True)
class Reasons:
    """What drove a voxel.

    Attributes
    ----------
    probability, sd
        As the map has them at the centre of the model's voxel, which is coarser than an image's.
    reasons
        Single inputs, and then several together, each by how much they add or take away.
    notes
        How the numbers are to be read, and which images were left out.
    """

    probability: float
    sd: float
    reasons: tuple[Reason, ...]
    notes: tuple[str, ...]

    def record(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def reasons(inputs: Inputs, point_lps_mm: Sequence[float], model: "Model | None" = None) -> Reasons:
    """What each input adds to the log odds of recurrence in the voxel that holds a point; see `HOW` and `HOW_NETWORK`.

    Parameters
    ----------
    inputs, model
        As `prediction.predict` takes them.
    point_lps_mm
        x, y, z.

    Raises
    ------
    InputError
        If nothing is predicted there, and as `prediction.predict`.
    """
    model = model or shipped()
    found = (_of_network if model.about["kind"] == NETWORK else _of_trees)(inputs, point_lps_mm, model)
    calibration = model.about["calibration"]
    probability = calibrated(found.log_odds, calibration)
    added = calibration["slope"] * (found.log_odds[:, :1] - found.log_odds[:, 1:])
    rows = [
        Reason(title, **said, log_odds=float(a.mean()), log_odds_sd=float(a.std()), without=float(p.mean()))
        for (title, said), a, p in zip((*found.single, *found.several), added.T, probability.T[1:])
    ]
    by_size = lambda some: sorted(some, key=lambda r: -abs(r.log_odds))
    n = len(found.single)
    return Reasons(
        float(probability[:, 0].mean()),
        float(probability[:, 0].std()),
        (*by_size(rows[:n]), *by_size(rows[n:])),
        found.notes,
    )


_NOTHING: dict[str, Any] = dict.fromkeys(("value", "percentile", "low", "high")) | {"unit": ""}


class _Occluded(NamedTuple):
    """Single inputs and several together, each with what it is called and what is known of it; the log odds of each member
    (m, 1 + inputs), first with all of them; and what a reader must know.
    """

    single: list[tuple[str, dict[str, Any]]]
    several: list[tuple[str, dict[str, Any]]]
    log_odds: np.ndarray
    notes: tuple[str, ...]


def _of_trees(inputs: Inputs, point_lps_mm: Sequence[float], model: "Model") -> _Occluded:
    values, where, used, left_out = voxelwise.seen(inputs, model)
    voxel = _voxel(inputs, where, point_lps_mm)
    own = values[_row(where, voxel)]
    usual = {
        f"from_{name}_mm": float(np.median(values[:, NAMES.index(f"from_{name}_mm")]))
        for name in _DISTANCES
        if inputs.masks[name].any()
    }
    # Of each input: what it is called, what is known of it, and what its features are without it.
    single: list[tuple[str, dict[str, Any], dict[str, float]]] = []
    several: list[tuple[str, dict[str, Any], dict[str, float]]] = []
    missing = lambda *names: {f: np.nan for n in names for f in features_of(n)}
    shown = {n: float(own[NAMES.index(feature_of(n))]) for n in used}
    for name, said in _of_images(inputs, shown, voxel, model):
        single.append((CHANNELS[name].title, said, missing(name)))
    for kind, together in _kinds(used):
        several.append((f"all {kind}", _NOTHING, missing(*together)))
    for name, title in _DISTANCES.items():
        if (feature := f"from_{name}_mm") in usual:
            said = {"unit": "mm", "value": float(own[NAMES.index(feature)])}
            single.append((title, _NOTHING | said, {feature: usual[feature]}))
    for name, title in _SIZES.items():
        said = {"unit": "cc", "value": float(inputs.masks[name].sum() * inputs.grid.voxel_cc)}
        single.append((title, _NOTHING | said, {f"log_{name}_cc": np.nan}))
    several.append(("all distances", _NOTHING, usual))
    several.append(("all sizes", _NOTHING, {f"log_{name}_cc": np.nan for name in _SIZES}))
    rows = np.repeat(own[None], 1 + len(single) + len(several), axis=0)
    for row, (_title, _said, change) in zip(rows[1:], (*single, *several)):
        for feature, value in change.items():
            row[NAMES.index(feature)] = value
    plain = lambda some: [(title, said) for title, said, _change in some]
    return _Occluded(plain(single), plain(several), voxelwise.raw_log_odds(model, rows), (*HOW, *left_out))


def _of_network(inputs: Inputs, point_lps_mm: Sequence[float], model: "Model") -> _Occluded:
    one, used, left_out = ask.seen(inputs, model)
    voxel = _voxel(inputs, one.where, point_lps_mm)
    row = _row(one.where, voxel)
    inner = tuple(i - part.start for i, part in zip(voxel, one.box))
    shown = {n: float(one.images[(SEEN.index(n), *inner)]) for n in used}
    single = [(CHANNELS[name].title, said) for name, said in _of_images(inputs, shown, voxel, model)]
    together = list(_kinds(used))
    without = [one.usual(n) if n in REQUIRED else one.showing(set(used) - {n}) for n in used]
    without += [one.showing(set(used) - set(names)) for _kind, names in together]
    log_odds = np.stack([ask.answers(model, view)[:, row] for view in (one, *without)], axis=1)
    several = [(f"all {kind}", _NOTHING) for kind, _names in together]
    return _Occluded(single, several, log_odds, (*HOW_NETWORK, *left_out))


def _of_images(
    inputs: Inputs, shown: Mapping[str, float], voxel: tuple[int, int, int], model: "Model"
) -> Iterator[tuple[str, dict[str, Any]]]:
    """What is known of each image that was looked at, from the values that the model was shown in the voxel."""
    normal = normal_brain(inputs)
    for name, value in shown.items():
        (low, high), image = model.about["ranges"][name], inputs.images[name]
        said = {"unit": RELATIVE if CHANNELS[name].scaled else look(name).unit, "low": low, "high": high}
        if np.isfinite(value):
            beside = image[normal & np.isfinite(image)]  # empty where spectroscopy saw the lesion alone
            said |= {
                "value": value,
                "percentile": 100.0 * float((beside < image[voxel]).mean()) if beside.size else None,
            }
        yield name, _NOTHING | said


def _kinds(used: Sequence[str]) -> Iterator[tuple[str, list[str]]]:
    """Kinds of scan, but for the one that is needed, of which several images were looked at, with these."""
    for kind in KINDS[1:]:
        together = [n for n in used if CHANNELS[n].kind == kind]
        if len(together) > 1:
            yield kind, together


def _row(where: np.ndarray, voxel: tuple[int, int, int]) -> int:
    """Which of the voxels that are predicted one is."""
    return int(np.count_nonzero(where.ravel()[: np.ravel_multi_index(voxel, where.shape)]))


def _voxel(inputs: Inputs, where: np.ndarray, point_lps_mm: Sequence[float]) -> tuple[int, int, int]:
    """The voxel (z, y, x) that holds a point, in which the model was asked."""
    x, y, z = (int(i) for i in inputs.grid.blank().TransformPhysicalPointToIndex([float(v) for v in point_lps_mm]))
    voxel, masks = (z, y, x), inputs.masks
    place = ",".join(f"{v:g}" for v in (-point_lps_mm[0], -point_lps_mm[1], point_lps_mm[2]))
    if not all(0 <= i < n for i, n in zip(voxel, where.shape)):
        why = "lies outside the images"
    elif not masks["brain"][voxel]:
        why = "lies outside the brain, where nothing is predicted"
    elif masks["cavity"][voxel]:
        why = "lies in the cavity, where nothing is predicted"
    elif masks["t2l"][voxel]:
        why = "lies in the lesion, where the probability is 1 by definition"
    elif not where[voxel]:
        why = f"lies farther than {REACH_MM:g} mm from the T2 lesion, where nothing is predicted"
    else:
        return voxel
    raise InputError(f"the place {place} (R,A,S in mm) {why}; choose one in the brain round the lesion")
