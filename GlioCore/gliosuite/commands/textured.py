"""Simulated patients as a model of recurrence patterns sees them: features of CBV fitted from the DSC series, and how they recurred."""

from pathlib import Path
from typing import Any

from ..errors import InputError
from ..files import read_json, write_csv, write_json
from ..steps import Progress, part

GRID_MM = 2.0  # of the simulation: DSC is 2 x 2 x 5 mm; features are measured at the millimetre of their settings
CLINICAL = ("age", "sex", "mgmt", "pfs_days", "pfs_event", "recurrence_local", "recurrence_distant")


def textured(seed: int, preset: str = "texture") -> dict[str, Any]:
    """Features and outcome of the simulated patient of a seed.

    DSC is scanned without motion, so that none need be corrected, and laid on the anatomy by the simulation's transform; masks are the
    simulation's own.

    Returns
    -------
    dict
        ``features`` by name and ``clinical`` by key.

    Raises
    ------
    InputError
        If a lesion is too small or the series cannot be fitted.
    """

    from ..images import Grid, boolean, non_enhancing, resample, resample_mask
    from ..perfusion.dsc import dsc_maps
    from ..perfusion.settings import DscSettings
    from ..recurrence.radiomics import measure
    from ..recurrence.settings import RadiomicsSettings
    from ..simulate.acquisition import Effects
    from ..simulate.cohort import simulate_case

    patient = simulate_case(seed, preset, GRID_MM, ("dsc",), Effects.without(["motion"]))
    truth, about = patient.truth, patient.case.data["images"]["dsc"]
    if not {"cel", "t2l"} <= set(truth.maps):
        raise InputError("the patient has no enhancing lesion or no T2 lesion")
    series, transform = patient.case.series("dsc"), truth.transforms["dsc"]
    native = {n: resample_mask(truth[n], series.grid, transform.GetInverse()) for n in ("brain", "t2l")}
    # Blood volume does not hang on how flow is deconvolved; this way is the fastest.
    settings = DscSettings(
        te_ms=about["te_ms"],
        tr_ms=about["tr_ms"],
        flip_angle_deg=about["flip_angle_deg"],
        deconvolution="osvd",
    )
    maps = dsc_maps(
        series,
        about["times_s"],
        settings,
        mask=native["brain"],
        nawm="auto",
        brain=native["brain"],
        lesion=native["t2l"],
    ).maps
    grid = Grid.of(truth["cel"]).isotropic(RadiomicsSettings.grid_mm)
    masks = {n: resample_mask(truth[n], grid) for n in ("cel", "t2l", "necrosis") if n in truth.maps}
    nel = non_enhancing({n: boolean(m) for n, m in masks.items()})
    cbv = resample(maps["ncbv"], grid, transform, outside=float("nan"))
    found = measure(cbv, masks["cel"], grid.image(nel), grid)
    clinical = patient.case.clinical
    return {"features": found.features, "clinical": {n: clinical[n] for n in CLINICAL}}


def simulated(patients: int, first: int, folder: Path, progress: Progress) -> Path:
    """A table of simulated patients; each is kept in a file of `folder`, so that a stopped run goes on."""
    found = []
    for i in range(patients):
        seed = first + i
        path = folder / f"patient-{seed}.json"
        within = part(progress, i / patients, (i + 1) / patients)
        within(0.0, f"patient {i + 1} of {patients}")
        if not path.exists():
            try:
                row = textured(seed)
            except InputError as error:
                row = {"refused": str(error)}
            folder.mkdir(parents=True, exist_ok=True)
            write_json(path, row)
        row = read_json(path)
        if "features" in row:
            found.append({"id": f"sim-{seed}", "simulated": 1, **row["clinical"], **row["features"]})
    table = folder / "table.csv"
    write_csv(table, list(found[0]), [list(r.values()) for r in found])
    return table
