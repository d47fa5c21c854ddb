"""Simulated patients as the habitats' model sees them: the curves of a lesion before surgery, and what is true of them."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    import numpy as np

    from ..recurrence.habitats.curves import LesionCurves

PRESET = "habitats"
_GRID_MM = 3.0  # of the truth; the series' voxels are 3 x 3 x 5 mm


@dataclass(frozen=True)
class Perfused:
    """A simulated patient: the curves of the lesion, the label (n,) of each by `simulate.planted.HABITATS`, and the clinical keys."""

    lesion: "LesionCurves"
    truth: "np.ndarray"
    clinical: dict[str, Any]


def perfused(seed: int, preset: str = PRESET) -> Perfused:
    """The simulated patient of a seed, scanned without motion; masks are the simulation's own."""
    import numpy as np
    import SimpleITK as sitk

    from ..images import array, boolean, non_enhancing, resample, resample_mask
    from ..recurrence.habitats.gathering import gathered
    from ..simulate.acquisition import Effects
    from ..simulate.cohort import simulate_case

    patient = simulate_case(seed, preset, _GRID_MM, ("dsc", "diffusion"), Effects.without(("motion",)))
    series, truth = patient.case.series("dsc"), patient.truth
    back = truth.transforms["dsc"].GetInverse()
    there = {n: truth[n] for n in ("brain", "cel", "t2l", "necrosis", "cavity") if n in truth.maps}
    on: dict[str, np.ndarray] = {n: boolean(resample_mask(m, series.grid, back)) for n, m in there.items()}
    regions = {"cel": on.get("cel", np.zeros_like(on["brain"])), "nel": non_enhancing(on), "brain": on["brain"]}
    to_adc = sitk.CompositeTransform([truth.transforms["diffusion"], back])
    adc = array(resample(cast("sitk.Image", patient.case.image("adc")), series.grid, to_adc, outside=float("nan")))
    times = np.asarray(patient.case.data["images"]["dsc"]["times_s"])
    lesion = gathered(series.frames, times, series.grid, regions, adc=adc)
    labels = sitk.Resample(truth["habitats"], series.grid.blank(), back, sitk.sitkNearestNeighbor, 0)
    return Perfused(lesion, sitk.GetArrayFromImage(labels).ravel()[lesion.voxels], dict(patient.case.clinical))
