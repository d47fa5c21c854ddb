"""A small DCE and DSC series with masks, T1 maps and tables, as files."""

from pathlib import Path

import numpy as np
from gliosuite.images import Grid, Series, write_image, write_series
from gliosuite.perfusion.kinetics import extended_tofts, parker_aif
from gliosuite.perfusion.signal import concentration_to_spgr, spgr_signal

GRID = Grid((12, 12, 3), (4.0, 4.0, 5.0), (0, 0, 0), (1, 0, 0, 0, 1, 0, 0, 0, 1))
TIMES = 2.0 * np.arange(50)
DCE = ("--tr-ms", 5, "--flip-angle", 15, "--t10", 1.2)


def write_small_series(tmp_path: Path) -> Path:
    """Write them into a folder; the folder."""
    rng = np.random.default_rng(0)
    blood = parker_aif(TIMES, 20.0)
    inside = np.zeros(GRID.shape, bool)
    inside[:, 2:10, 2:10] = True
    artery = np.zeros(GRID.shape, bool)
    artery[:, 3:5, 3:5] = True
    tissue = extended_tofts(TIMES, blood / 0.58, 0.1, 0.3, 0.04)[0]
    curves = np.where(artery[inside][:, None], blood, tissue)
    signal = np.full((50, *GRID.shape), 1.0)
    signal[:, inside] = concentration_to_spgr(curves, 0.005, 15.0, np.where(artery[inside], 1.65, 1.2), 4.5, 500.0).T
    write_series(
        Series(np.abs(signal + rng.normal(0, 0.5, signal.shape)).astype(np.float32), GRID), tmp_path / "dce.nii.gz"
    )
    drop = np.full((50, *GRID.shape), 5.0)
    drop[:, inside] = 700 * np.exp(-0.03 * np.where(artery[inside][:, None], 4 * blood, 0.3 * tissue + 0.1 * blood)).T
    write_series(Series(np.abs(drop + rng.normal(0, 2, drop.shape)).astype(np.float32), GRID), tmp_path / "dsc.nii.gz")
    vfa = np.stack([np.where(inside, 1000 * spgr_signal(np.array(1 / 1.2), 0.005, a), 1.0) for a in (2.0, 5, 10, 15)])
    write_series(Series(vfa.astype(np.float32), GRID), tmp_path / "vfa.nii.gz")
    write_image(GRID.image(inside), tmp_path / "mask.nii.gz")
    write_image(GRID.image(artery), tmp_path / "artery.nii.gz")
    write_image(GRID.image(np.zeros(GRID.shape, bool)), tmp_path / "empty.nii.gz")
    write_image(GRID.image(np.full(GRID.shape, 1200.0, np.float32)), tmp_path / "t1_ms.nii.gz")
    (tmp_path / "times.txt").write_text("\n".join(f"{t:g}" for t in TIMES))
    (tmp_path / "times.csv").write_text("frame,time_s\n" + "".join(f"{i},{t:g}\n" for i, t in enumerate(TIMES)))
    (tmp_path / "aif.csv").write_text(
        "time_s,concentration\n" + "".join(f"{t:g},{c / 0.58:g}\n" for t, c in zip(TIMES, blood))
    )
    return tmp_path
