"""What drove the probability of one voxel: occlusion, which the trees allow exactly since they take missing values."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import InputError
from ..resources import look
from .features import NAMES, feature_of, features_of, normal_brain
from .inputs import CHANNELS, KINDS, REACH_MM, Inputs
from .voxelwise import calibrated, raw_log_odds, seen, shipped

if TYPE_CHECKING:
    from ..training import Model

RELATIVE = "x normal"  # the unit of what is divided by the commonest value of normal brain
_DISTANCES = {"t2l": "from T2L", "cel": "from CEL", "cavity": "from cavity"}
_SIZES = {"t2l": "T2L size", "cel": "CEL size"}
HOW = (
    "Log odds and probability are those with all inputs against those without one: an image with its smoothed values, or a size of the "
    "lesion, is made missing, a distance is put to its median among the voxels that were predicted. It tells what the model used, not "
    "what causes recurrence.",
    "Inputs stand in for each other, so that these numbers do not add up. T1c, FLAIR and sizes were never missing in training: without "
    "one, a tree goes where most of its voxels went.",
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
    """What each input adds to the log odds of recurrence in the voxel that holds a point; see `HOW`.

    Parameters
    ----------
    inputs, model
        As `voxelwise.predict` takes them.
    point_lps_mm
        x, y, z.

    Raises
    ------
    InputError
        If nothing is predicted there, and as `voxelwise.predict`.
    """
    model = model or shipped()
    values, where, used, left_out = seen(inputs, model)
    voxel = _voxel(inputs, where, point_lps_mm)
    own = values[int(np.count_nonzero(where.ravel()[: np.ravel_multi_index(voxel, where.shape)]))]
    usual = {
        f"from_{name}_mm": float(np.median(values[:, NAMES.index(f"from_{name}_mm")]))
        for name in _DISTANCES
        if inputs.masks[name].any()
    }
    # Of each input: what it is called, what is known of it, and what its features are without it.
    nothing: dict[str, Any] = dict.fromkeys(("value", "percentile", "low", "high")) | {"unit": ""}
    single: list[tuple[str, dict[str, Any], dict[str, float]]] = []
    several: list[tuple[str, dict[str, Any], dict[str, float]]] = []
    normal = normal_brain(inputs)
    missing = lambda *names: {f: np.nan for n in names for f in features_of(n)}
    for name in used:
        channel, (low, high) = CHANNELS[name], model.about["ranges"][name]
        value, image = float(own[NAMES.index(feature_of(name))]), inputs.images[name]
        said = {"unit": RELATIVE if channel.scaled else look(name).unit, "low": low, "high": high}
        if np.isfinite(value):
            beside = image[normal & np.isfinite(image)]  # empty where spectroscopy saw the lesion alone
            said |= {
                "value": value,
                "percentile": 100.0 * float((beside < image[voxel]).mean()) if beside.size else None,
            }
        single.append((channel.title, nothing | said, missing(name)))
    for kind in KINDS[1:]:
        together = [n for n in used if CHANNELS[n].kind == kind]
        if len(together) > 1:
            several.append((f"all {kind}", nothing, missing(*together)))
    for name, title in _DISTANCES.items():
        if (feature := f"from_{name}_mm") in usual:
            said = {"unit": "mm", "value": float(own[NAMES.index(feature)])}
            single.append((title, nothing | said, {feature: usual[feature]}))
    for name, title in _SIZES.items():
        single.append(
            (
                title,
                nothing | {"unit": "cc", "value": float(inputs.masks[name].sum() * inputs.grid.voxel_cc)},
                {f"log_{name}_cc": np.nan},
            )
        )
    several.append(("all distances", nothing, usual))
    several.append(("all sizes", nothing, {f"log_{name}_cc": np.nan for name in _SIZES}))
    shown = np.repeat(own[None], 1 + len(single) + len(several), axis=0)
    for row, (_title, _said, change) in zip(shown[1:], (*single, *several)):
        for feature, value in change.items():
            row[NAMES.index(feature)] = value
    raw, calibration = raw_log_odds(model, shown), model.about["calibration"]
    probability = calibrated(raw, calibration)
    added = calibration["slope"] * (raw[:, :1] - raw[:, 1:])
    found = [
        Reason(title, **said, log_odds=float(a.mean()), log_odds_sd=float(a.std()), without=float(p.mean()))
        for (title, said, _), a, p in zip((*single, *several), added.T, probability.T[1:])
    ]
    by_size = lambda some: sorted(some, key=lambda r: -abs(r.log_odds))
    return Reasons(
        float(probability[:, 0].mean()),
        float(probability[:, 0].std()),
        (*by_size(found[: len(single)]), *by_size(found[len(single) :])),
        (*HOW, *left_out),
    )


def _voxel(inputs: Inputs, where: np.ndarray, point_lps_mm: Sequence[float]) -> tuple[int, int, int]:
    """The voxel (z, y, x) that holds a point, in which the trees were asked."""
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
