"""Digital patients for tests, and where their arteries are."""

import contextlib
import csv
import io
from pathlib import Path
from typing import Any

import numpy as np

# Centre line of the first segment of the middle cerebral artery (M1), right or left, in MNI mm (RAS), as the simulator draws it.
M1_MM = ((20.0, 3.5, -18.5), (24.0, 4.0, -19.0), (29.0, 3.0, -18.5), (34.0, 2.0, -18.0))


def simulated(folder: Path, seed: int, scans: str = "structural,dce", grid_mm: float = 3.0) -> Path:
    """A case folder of one patient."""
    from gliosuite.cli import main

    out = folder / "cohort"
    options = ["--n", "1", "--seed", str(seed), "--scans", scans, "--grid-mm", f"{grid_mm:g}", "--out", str(out)]
    with contextlib.redirect_stdout(io.StringIO()):
        assert main(["simulate", *options, "--quiet"]) == 0
    return next(p for p in sorted(out.iterdir()) if (p / "case.json").exists())


def brain_of(case: Path) -> Any:
    """The simulation's own brain mask of a patient."""
    from gliosuite.images import read_mask

    return read_mask(case.parent / "truth" / case.name / "brain.nii.gz")


def predicted_by_library(case: Path, folder: Path) -> tuple[Any, np.ndarray, np.ndarray]:
    """The recurrence of a patient with the masks and images of its case (T1c, FLAIR, T1), and the maps (z, y, x) written to `folder`."""
    from gliosuite.images import Grid, array, boolean, read_image, read_mask
    from gliosuite.recurrence import Inputs, predict
    from gliosuite.recurrence.inputs import GRID_MM
    from gliosuite.recurrence.output import write

    images = {name: read_image(case / f"{name}.nii.gz") for name in ("t1c", "flair", "t1")}
    masks = {role: read_mask(p) for role in ("cel", "t2l", "cavity") if (p := case / f"{role}.nii.gz").exists()}
    brain, grid = brain_of(case), Grid.of(images["t1c"])
    found = predict(Inputs.of(images, masks | {"brain": brain}, grid.isotropic(GRID_MM)))
    write(found, folder, brain, grid.image(boolean(masks["cel"]) | boolean(masks["t2l"])), masks.get("cavity"))
    probability, sd = (array(read_image(folder / f"{name}.nii.gz")) for name in ("probability", "probability_sd"))
    return found, probability, sd


def m1_points(case: Path, count: int, role: str = "dce") -> list[tuple[float, float, float]]:
    """The centres (RAS, mm) of `count` voxels of a series, of those near M1 that hold most of the artery."""
    from gliosuite.images import array, read_image, read_series, resample

    grid = read_series(case / f"{role}.nii.gz").grid
    share = array(resample(read_image(case.parent / "truth" / case.name / "artery.nii.gz"), grid))
    voxels = np.argwhere(share > 0)
    blank = grid.blank()
    ras = np.array([blank.TransformIndexToPhysicalPoint([int(v) for v in k[::-1]]) for k in voxels]) * (-1, -1, 1)
    lines = np.array([(side * x, y, z) for side in (-1, 1) for x, y, z in M1_MM])
    near = np.linalg.norm(ras[:, None] - lines, axis=-1).min(axis=1) < 9.0  # the anatomy is warped
    order = np.argsort(-share[tuple(voxels.T)] * near, kind="stable")[:count]
    assert near[order].all()
    return [(float(r), float(a), float(s)) for r, a, s in ras[order]]


def manual_aif(case: Path, ras: list[tuple[float, ...]], out: Path, *more: str) -> tuple[np.ndarray, np.ndarray]:
    """Times and values of ``gliosuite aif --method manual`` on a patient's DCE series with points (RAS, mm); its table is `out`."""
    from gliosuite.case import Case
    from gliosuite.cli import main

    known = Case.load(case).acquisition("dce")
    times = out.with_suffix(".times.txt")
    times.write_text("\n".join(f"{t!r}" for t in known["times_s"]))
    points = ";".join(",".join(f"{v:.9g}" for v in point) for point in ras)
    given = (("tr-ms", "tr_ms"), ("te-ms", "te_ms"), ("flip-angle", "flip_angle_deg"), ("hematocrit", "hematocrit"))
    acquired = [f"--{n}={known[k]:g}" for n, k in given]
    command = ["aif", str(case / "dce.nii.gz"), "--kind", "dce", "--method", "manual", f"--times={times}", *acquired]
    with contextlib.redirect_stdout(io.StringIO()):
        assert main([*command, f"--aif-points={points}", *more, f"--out={out}", "--quiet"]) == 0
    with out.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    times_s, values = (np.array([float(row[key]) for row in rows]) for key in ("time_s", "concentration"))
    return times_s, values


def curves_of(chart: Any) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Times and values of a chart's curves by their titles."""
    found = {}
    for i in range(chart.GetNumberOfPlotSeriesNodes()):
        series = chart.GetNthPlotSeriesNode(i)
        table = series.GetTableNode().GetTable()
        columns = [table.GetColumnByName(name) for name in (series.GetXColumnName(), series.GetYColumnName())]
        x, y = (np.array([c.GetValue(k) for k in range(table.GetNumberOfRows())]) for c in columns)
        found[series.GetName()] = (x, y)
    return found
