"""Maps by the networks of Lyoo 2025: mean and SD of four samples of ktrans, vp and ve, from raw signal without an AIF."""

import numpy as np
import SimpleITK as sitk
from numpy.typing import ArrayLike

from ....errors import InputError, option
from ....images import Series, map_image
from ....steps import Progress, silent
from ....training import Model, read_model
from ....training.model_folder import shipped
from ...prepared import prepare
from ...settings import DceSettings
from ..posterior import Synthesis, beyond, limits
from .cases import KIND, NAMES
from .figures import LEAST_SD
from .inference import SAMPLES, Networks, values_of
from .raw import raw_curves, summary

_MARGIN = 0.1  # of the range trained on, by which a curve may lie outside; chosen, less than the posterior's: here no fit takes over
_FAR = 4.0  # SDs that hold 95 % of the truth, from which on the SD is called too small: twice a Gaussian's; chosen
_SHOWN = ("ktrans", "ve", "vp")  # in the posterior's order


def lyoo2025(
    series: Series,
    times_s: ArrayLike,
    settings: DceSettings,
    mask: sitk.Image | None = None,
    model: Model | None = None,
    device: str = "cpu",
    progress: Progress = silent,
    one_stage: bool = False,
) -> Synthesis:
    """ktrans, ve and vp of a raw DCE series.

    Parameters
    ----------
    series
        4-D signal, its head where it was in the first frames.
    times_s
        (t,) s.
    settings
        Of which baseline, arrival, what to do with invalid voxels and, for the note that the series is unlike those trained on, repetition
        time and flip angle count.
    mask
        Voxels to show, on any grid; the head where None. The networks see the head whatever the mask.
    model
        Of `read_model`; the one that travels with the library where None.
    device
        Of torch.
    one_stage
        Take the temporal network's maps as they are, as the ablation in Table 1 of the paper does; their SD is 0.

    Raises
    ------
    InputError
        If torch is missing, the series holds no raw signal or shows no bolus, or the mask is empty.
    """
    if settings.input != "signal":
        raise InputError(
            f"{series.name} holds {settings.input}; {KIND} takes raw signal ({option('--input')} signal), or choose "
            f"{option('--model')} posterior"
        )
    model = model or read_model(shipped(KIND), KIND)
    networks = Networks.of(model, device)
    progress(0.05, "finding the bolus")
    p = prepare(series, times_s, settings, mask)
    raw = raw_curves(p, settings)
    progress(0.1, "temporal network")
    first = networks.first(raw.curves)
    across, along = (np.flatnonzero(raw.region.any(axis=axes)) for axes in ((0, 2), (0, 1)))
    box = (slice(None), slice(across[0], across[-1] + 1), slice(along[0], along[-1] + 1))
    inside = raw.region[box]
    images = np.zeros((inside.shape[0], len(NAMES), *inside.shape[1:]), np.float32)
    np.moveaxis(images, 1, -1)[inside] = first
    progress(0.6, "probabilistic U-Net")
    mean, sd = values_of(images[None] if one_stage else networks.samples(images))
    chosen = p.fitted[raw.region]
    values, spread = (np.moveaxis(of, 1, -1)[inside][chosen] for of in (mean, sd))
    between = limits(model.about["trained_between"], _MARGIN)
    outside = (beyond(summary(raw.curves), *between) | bool(raw.unlike))[chosen]
    share = float(outside.mean())
    found: dict[str, dict[str, sitk.Image]] = {"maps": {}, "sd": {}, "lower": {}, "upper": {}}
    for name in _SHOWN:
        k = NAMES.index(name)
        wide = model.about["intervals"]["0.95"][name] * np.maximum(spread[:, k], LEAST_SD)
        ends = {"lower": np.maximum(values[:, k] - wide, 0.0), "upper": values[:, k] + wide}
        for key, of in ({"maps": values[:, k], "sd": spread[:, k]} | ends).items():
            found[key][name] = map_image(of, p.fitted, series.grid)
    return Synthesis(
        found["maps"],
        found["sd"],
        found["lower"],
        found["upper"],
        map_image(outside, p.fitted, series.grid),
        series.grid.image(p.fitted),
        [*p.notes, *raw.notes, *_notes(share, raw.unlike, model.about["intervals"]["0.95"])],
        {"model": KIND, "weights_sha256": model.about["weights_sha256"], "outside_share": share, "samples": SAMPLES},
    )


def _notes(share: float, unlike: list[str], held: dict[str, float]) -> list[str]:
    notes = [
        f"maps are means of {SAMPLES} samples of networks trained on simulated patients, which saw neither AIF nor T1; their SD says what "
        "the latent of two numbers leaves open, not what the noise does; they are for comparison: work with fitted maps"
    ]
    if max(held.values()) > _FAR:
        said = ", ".join(f"{held[name]:.0f} of {name}" for name in _SHOWN)
        notes.append(
            f"the SD is far too small: in patients held out from training the truth lay within {said} SDs of the mean in 95 % of the "
            "voxels, where a Gaussian's lies within 2"
        )
    if unlike:
        notes.append(f"the series is unlike those the networks were trained on: {', and '.join(unlike)}")
    elif share > 0:
        notes.append(
            f"{100 * share:.1f} % of the voxels have curves unlike those the networks were trained on (out_of_distribution)"
        )
    return notes
