"""Figures of the RT room: margin error and time, structure set export, other readers. ``python Testing/bench/bench_rt.py``."""

import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

sys.path[:0] = [str(Path(__file__).parents[1] / "standin"), str(Path(__file__).parents[2] / "GlioCore")]

from dicom_series import Stack, shapes, write_series
from gliosuite.images import Grid, boolean, read_image
from gliosuite.rt.check import check_structures
from gliosuite.rt.dicomseries import read_dicom_series
from gliosuite.rt.margins import expand
from gliosuite.rt.rtstruct import Roi, read_rtstruct, write_rtstruct
from gliosuite.rt.structures import read_structures

STACKS = {
    "1x1x1": Stack((96, 96, 72)),
    "1x1x3": Stack((96, 96, 32), (1.0, 1.0, 3.0)),
    "oblique 1x1x3": Stack((96, 96, 32), (1.0, 1.0, 3.0), "oblique"),
    "sagittal 256": Stack((64, 72, 256), (1.0, 1.0, 0.5), "sagittal"),
    ".9375x.9375x1.2": Stack((96, 96, 60), (0.9375, 0.9375, 1.2), "oblique"),
    "reversed": Stack((96, 96, 72), reversed=True),
}


def margins() -> None:
    """Volume error of grown and shrunk spheres, five sub-voxel positions each."""
    print("margin error, % of the sphere's volume: mean (largest)")
    for radius, margin in ((15.3, 20), (15.3, 15), (15.3, 5), (6, 15), (30, -10)):
        cells = []
        for spacing in ((1, 1, 1), (3, 1, 1), (3, 3, 3)):
            random = np.random.default_rng(3)
            errors = []
            for _ in range(5):
                step = np.asarray(spacing, float)
                size = np.ceil(2 * (max(radius, radius + margin) + 4) / step).astype(int)
                centre = (size / 2 + random.random(3) - 0.5) * step
                grid = Grid(tuple(int(s) for s in size), tuple(step), (0.0,) * 3, tuple(np.eye(3).ravel()))
                index = np.indices(grid.shape)[::-1].reshape(3, -1).T * step
                inside = (np.linalg.norm(index - centre, axis=1) <= radius).reshape(grid.shape)
                volume = boolean(expand(grid.image(inside), margin)).sum() * step.prod()
                errors.append(100 * (volume / (4 / 3 * np.pi * (radius + margin) ** 3) - 1))
            cells.append(f"{'x'.join(map(str, spacing))} {np.mean(errors):+.2f} ({np.abs(errors).max():.2f})")
        print(f"  r {radius} mm {margin:+} mm: " + "  ".join(cells))
    grid = Grid((240, 240, 155), (1.0,) * 3, (0.0,) * 3, tuple(np.eye(3).ravel()))
    index = (np.indices(grid.shape)[::-1].reshape(3, -1).T - (100, 120, 80)) / (35, 25, 28)
    lesion = grid.image((np.linalg.norm(index, axis=1) <= 1).reshape(grid.shape))
    start = time.perf_counter()
    expand(lesion, 20)
    print(f"  20 mm around a 103 cc ellipsoid on 240x240x155 at 1 mm: {time.perf_counter() - start:.2f} s")


def structure_sets(folder: Path) -> None:
    """Six geometries, six shapes: polygon volume, validators, other readers."""
    print(
        "structure sets: largest polygon volume error %, least Dice (ours, plastimatch), dciodvfy errors, problems with references"
    )
    for name, stack in STACKS.items():
        place = folder / name.replace(" ", "_")
        grid = write_series(place / "series", stack)
        masks = shapes(grid)
        records = write_rtstruct(
            place / "rs.dcm", place / "series", [Roi(n, grid.image(m), "CTV") for n, m in masks.items()]
        )
        volume = max(abs(100 * (r.volume_contours_cc / r.volume_voxels_cc - 1)) for r in records)
        ours = read_rtstruct(place / "rs.dcm", place / "series")
        dice = lambda a, b: 2 * (a & b).sum() / (a.sum() + b.sum())
        own = min(dice(boolean(ours[n]), m) for n, m in masks.items())
        theirs, errors = "-", "-"
        if shutil.which("plastimatch"):
            subprocess.run(
                ["plastimatch", "convert", "--input", place / "rs.dcm", "--referenced-ct", place / "series",
                 "--output-prefix", place / "out", "--prefix-format", "nrrd"],
                capture_output=True, check=True,
            )  # fmt: skip
            least = min(dice(boolean(read_image(place / "out" / f"{n}.nrrd")), m) for n, m in masks.items())
            theirs = f"{least:.5f}"
        if shutil.which("dciodvfy"):
            errors = subprocess.run(["dciodvfy", place / "rs.dcm"], capture_output=True, text=True).stderr.count(
                "Error"
            )
        report = check_structures(read_structures(place / "rs.dcm"), read_dicom_series(place / "series"))
        problems = sum(len(r["problems"]) for r in report["rois"]) + len(report["problems"])
        print(f"  {name:16} {volume:.4f} %  {own:.5f}  {theirs}  {errors}  {problems}")


def export_time(folder: Path) -> None:
    """Five structures on a 256-slice sagittal MPRAGE."""
    grid = write_series(folder / "mprage", Stack((256, 256, 256), (1.0, 1.0, 1.0), "sagittal"))
    index = np.indices(grid.shape).reshape(3, -1).T - np.array(grid.shape) / 2
    radius = np.linalg.norm(index, axis=1).reshape(grid.shape)
    rois = [Roi(f"CTV_{i}", grid.image((radius < 70 - 8 * i) & (radius > 20 - 3 * i)), "CTV") for i in range(5)]
    start = time.perf_counter()
    write_rtstruct(folder / "five.dcm", folder / "mprage", rois)
    size = (folder / "five.dcm").stat().st_size / 1e6
    print(
        f"export of 5 structures on 256 slices, read back and compared: {time.perf_counter() - start:.1f} s, {size:.1f} MB"
    )


if __name__ == "__main__":
    margins()
    with tempfile.TemporaryDirectory() as scratch:
        structure_sets(Path(scratch))
        export_time(Path(scratch))
