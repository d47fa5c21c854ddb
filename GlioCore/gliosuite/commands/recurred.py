"""Simulated patients as a recurrence model sees them: scans of one visit brought together, perfusion fitted, progression beside it."""

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ..errors import InputError
from ..perfusion.settings import T10_TISSUE_S

if TYPE_CHECKING:
    import numpy as np
    import SimpleITK as sitk

    from ..images import Grid
    from ..perfusion.result import PerfusionMaps
    from ..recurrence import Inputs
    from ..recurrence.followup.classes import Followed
    from ..simulate.patient import SimulatedCase

# Error of the transforms in training, about what registration leaves between scans of a visit; chosen.
_SHIFT_MM, _TURN_DEG = 0.5, 0.3
_SCANS = ("structural", "diffusion", "mrsi")
_FLOW = ("vfa", "dce", "dsc")  # what perfusion needs
_SCAN_OF = {"adc": "diffusion", "fa": "diffusion", "t1": "t1", "flair": "flair"}  # of other roles: spectroscopy
_MAPS = {"dce": ("ktrans", "ve", "vp"), "dsc": ("cbv", "tmax")}


def recurred(seed: int, preset: str = "default", perfusion: bool = True, grid_mm: float = 3.0) -> "Inputs | None":
    """What a model sees of the simulated patient of a seed, with its target; None for one without lesion or progression.

    Images are laid together by the simulation's transforms with a small error, as a registration leaves one; perfusion is fitted to the raw
    series. The masks are the simulation's own.

    Parameters
    ----------
    perfusion
        Whether DCE and DSC are scanned and fitted, which takes ten times as long. A series that cannot be fitted is left out.
    grid_mm
        Voxels of what it sees.
    """
    import SimpleITK as sitk

    from ..images import Grid
    from ..recurrence.inputs import CHANNELS, GRID_MM, TARGET, Inputs
    from ..simulate.cohort import simulate_case

    patient = simulate_case(seed, preset, min(GRID_MM, grid_mm), _SCANS + (_FLOW if perfusion else ()))
    held = {n: v for n, v in patient.case.images_held.items() if isinstance(v, sitk.Image)}
    masks = _masks(patient, *TARGET)
    if not set(TARGET) & set(masks) or not {"cel", "t2l"} & set(masks):
        return None
    images = {n: held[n] for n in CHANNELS if n in held}
    scan_of = {n: _SCAN_OF.get(n, "mrsi") for n in images if n != "t1c"}
    measured: dict[str, sitk.Image] = {}
    for scan, fit in (("dce", _dce), ("dsc", _dsc)) if perfusion else ():
        try:
            found = fit(patient)
        except InputError:
            continue
        for name in _MAPS[scan]:
            images[name], measured[name], scan_of[name] = found.maps[name], found.mask, scan
    return Inputs.of(images, masks, Grid.of(held["t1c"]).isotropic(grid_mm), _registered(patient, scan_of), measured)


def local(seed: int, preset: str = "ve-foci", grid_mm: float = 3.0) -> "Inputs | None":
    """What a model of local recurrence sees of the simulated patient of a seed before surgery, by Yoon 2024's protocol (`Inputs.local`).

    It sees T1c, FLAIR, and ve as the dce preset ``yoon2024`` fits it to the raw series (Tofts, T1 1 s), laid together as in `recurred`. Who
    does not recur has an empty target. None for one without a lesion that does not enhance, or whose series cannot be fitted.
    """
    import SimpleITK as sitk

    from ..images import Grid
    from ..perfusion.dce import dce_maps
    from ..perfusion.dce.presets import preset as dce_preset
    from ..recurrence.inputs import GRID_MM, TARGET, Inputs
    from ..simulate.cohort import simulate_case
    from .heads import Measured

    patient = simulate_case(seed, preset, min(GRID_MM, grid_mm), ("structural", "dce"))
    held = {n: v for n, v in patient.case.images_held.items() if isinstance(v, sitk.Image)}
    analysis = dce_preset("yoon2024")
    try:
        measured = Measured.of(patient.case, t1=False, b1=False)
        settings = replace(measured.settings, **analysis.settings, preset=analysis.name)
        found = dce_maps(measured.series, measured.times_s, settings, analysis.aif, analysis.t10_s or T10_TISSUE_S)
        grid = Grid.of(held["t1c"]).isotropic(grid_mm)
        images = {"t1c": held["t1c"], "flair": held["flair"], "ve": found.maps["ve"]}
        transforms = _registered(patient, {"flair": "flair", "ve": "dce"})
        inputs = Inputs.of(images, _masks(patient), grid, transforms, {"ve": found.mask})
        return inputs.local(_on(patient, TARGET[0], grid), _on(patient, "necrosis", grid))
    except InputError:
        return None


def _on(patient: "SimulatedCase", name: str, grid: "Grid") -> "np.ndarray":
    """A mask of the simulation on a grid, (z, y, x); empty where it has none."""
    import numpy as np

    from ..images import boolean, resample_mask

    truth = patient.truth
    return boolean(resample_mask(truth[name], grid)) if name in truth.maps else np.zeros(grid.shape, bool)


def _masks(patient: "SimulatedCase", *more: str) -> "dict[str, sitk.Image]":
    """The simulation's own masks, those that it has."""
    return {n: patient.truth[n] for n in ("brain", "cel", "t2l", "cavity", *more) if n in patient.truth.maps}


def _registered(patient: "SimulatedCase", scan_of: dict[str, str]) -> "dict[str, sitk.Transform]":
    """By image: points of T1c to points of its scan, with a small error, as a registration leaves one."""
    import numpy as np
    import SimpleITK as sitk

    rng = np.random.default_rng([patient.seed, 17])
    moved: dict[str, sitk.Transform] = {}
    for scan in sorted(set(scan_of.values())):
        error = sitk.Euler3DTransform()
        error.SetRotation(*(float(v) for v in np.deg2rad(_TURN_DEG) * rng.standard_normal(3)))
        error.SetTranslation([float(v) for v in _SHIFT_MM * rng.standard_normal(3)])
        moved[scan] = sitk.CompositeTransform([patient.truth.transforms[scan], error])
    return {name: moved[scan] for name, scan in scan_of.items()}


def followed(seed: int, inputs: "Inputs", preset: str = "default") -> "tuple[Followed, dict[str, Any]]":
    """What became of the simulated patient of a seed, on the grid of what a model sees of him (`recurred`), and his clinical facts."""
    from ..recurrence.followup.classes import Followed
    from ..recurrence.inputs import GRID_MM, TARGET
    from ..simulate.cohort import simulate_case

    patient = simulate_case(seed, preset, min(GRID_MM, inputs.grid.spacing[0]), ())
    on = lambda name: _on(patient, name, inputs.grid)
    later = {n.removeprefix("progression_"): on(n) for n in TARGET}
    return Followed(str(seed), inputs, later, on("ventricles") | on("necrosis")), patient.case.clinical


def _dce(patient: "SimulatedCase") -> "PerfusionMaps":
    from .heads import Measured

    return Measured.of(patient.case).fit()


def _dsc(patient: "SimulatedCase") -> "PerfusionMaps":
    from ..perfusion.dsc import dsc_maps
    from ..perfusion.settings import DscSettings
    from ..registration.steady import steady

    about = patient.case.data["images"]["dsc"]
    settings = DscSettings(te_ms=about["te_ms"], tr_ms=about["tr_ms"])
    settings = replace(settings, flip_angle_deg=about.get("flip_angle_deg", settings.flip_angle_deg))
    return dsc_maps(steady(patient.case.series("dsc")).series, about["times_s"], settings)
