"""DCE: ktrans near the noise floor of the magnitude, by the command on phantoms of QIBA's layout; a table with bars, and an exit code.

``python Testing/bench/bench_dce_floor.py``. The phantoms are our own, simulated: tissue of ktrans .01 to .35 /min by ve .01 to .5 in blocks
of 10 x 10 voxels beside a vessel of 10 x 50 voxels (QIBA's tofts v6), 61 frames of 6 s, flip angle 30 degrees, TR 5 ms, Rician noise.
The bars are of the median over all voxels with ktrans >= .05 and ve >= .05 of each phantom, for the model that the phantom is made with.
"""

import contextlib
import io
import sys
import tempfile
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from gliosuite import cli
from gliosuite.images import array, read_image
from gliosuite.perfusion import kinetics
from gliosuite.perfusion.signal import concentration_to_spgr, spgr_signal

# Not looked at while the method was made, which was on seeds 1 to 3, 501 to 519, 601 to 716 and on former final ones.
SEEDS = (244_949, 282_842, 316_227)
# At T1 .2 s and SNR 3 the vessel's baseline has an SNR of .48: 5000 voxels and frames of it leave its S0 uncertain by 6.8 % at best
# (Cramer-Rao), concentrations by 11 %. Three such phantoms tell the mean to 6 %, as much as the bar; with these it is 2.8 %.
MORE = tuple(range(331_662, 331_662 + 13))
KTRANS, VE = np.array([0.01, 0.02, 0.05, 0.1, 0.2, 0.35]), np.array([0.01, 0.05, 0.1, 0.2, 0.5])
TIMES = 6.0 * np.arange(61)
TR_S, FLIP, R1, HEMATOCRIT, T10_BLOOD = 0.005, 30.0, 4.5, 0.45, 1.44
BLOCK, ARRIVAL_S, M0 = 10, 60.0, 1000.0
BAR = 6.0  # %
FAILED: list[str] = []


def line(what: str, found: str, bar: str = "", met: bool | None = None) -> None:
    """One row of the table."""
    print(f"{what:<44}{found:<64}{bar:<14}{'' if met is None else 'met' if met else 'MISSED'}", flush=True)
    if met is False:
        FAILED.append(what)


def phantom(t10_s: float, snr: float, seed: int, folder: Path) -> np.ndarray:
    """Write dce.nii.gz, tissue.nii.gz and vessel.nii.gz; the number of each voxel's block (y, x), -1 in the vessel."""
    fine = 0.1 * np.arange(round(TIMES[-1] / 0.1) + 1)
    plasma = kinetics.parker_aif(fine, ARRIVAL_S) / (1.0 - HEMATOCRIT)
    curves = kinetics.tofts(TIMES, plasma, np.repeat(KTRANS, VE.size), np.tile(VE, KTRANS.size), 0.0, fine)
    before, blood_before = (M0 * float(spgr_signal(1.0 / t, TR_S, FLIP)) for t in (t10_s, T10_BLOOD))
    tissue = concentration_to_spgr(curves, TR_S, FLIP, t10_s, R1, np.full(len(curves), before))
    blood = concentration_to_spgr(
        kinetics.parker_aif(TIMES, ARRIVAL_S)[None], TR_S, FLIP, T10_BLOOD, R1, [blood_before]
    )
    block = np.arange(len(curves)).reshape(KTRANS.size, VE.size).repeat(BLOCK, axis=0).repeat(BLOCK, axis=1)
    block = np.concatenate([block, np.full((BLOCK, block.shape[1]), -1)])
    clean = np.where((block >= 0)[..., None], tissue[block], blood[0])
    rng = np.random.default_rng([seed, round(100 * t10_s), round(snr)])
    noisy = np.hypot(*(part + rng.normal(0, before / snr, clean.shape) for part in (clean, 0.0)))
    frames = [sitk.GetImageFromArray(noisy[None, ..., i].astype(np.float32)) for i in range(TIMES.size)]
    sitk.WriteImage(sitk.JoinSeries(frames), str(folder / "dce.nii.gz"))
    rows = "".join(f"{t:.1f},{c:.7g}\n" for t, c in zip(fine[::5], plasma[::5]))
    (folder / "aif.csv").write_text("time_s,concentration\n" + rows)
    for name, mask in (("tissue", block >= 0), ("vessel", block < 0)):
        sitk.WriteImage(sitk.GetImageFromArray(mask[None].astype(np.uint8)), str(folder / f"{name}.nii.gz"))
    return block


def ratios(folder: Path, block: np.ndarray, t10_s: float, *options: object) -> tuple[float, float]:
    """Of ktrans by the command over the truth: the median over all voxels that count, and the block median farthest from 1."""
    aif = () if "--aif" in options else ("--aif", folder / "vessel.nii.gz")
    files = (*aif, "--mask", folder / "tissue.nii.gz", "--out", folder / "out")
    acquisition = ("--dt", TIMES[1], "--tr-ms", 1000 * TR_S, "--flip-angle", FLIP, "--t10", t10_s)
    blood = ("--t10-blood", T10_BLOOD, "--hematocrit", HEMATOCRIT, "--bounds", "kep=0.001,20")
    words = ("dce", folder / "dce.nii.gz", *acquisition, *blood, *files, *options, "--quiet")
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()) as errors:
        code = cli.main([str(w) for w in words])
    if code == 2:  # refused: where noise leaves the vessel no baseline
        return np.nan, np.nan
    if code:
        raise RuntimeError(f"dce ended with {code}: {errors.getvalue()[-400:]}")
    truth = np.repeat(KTRANS, VE.size)
    counts = (truth >= 0.05) & (np.tile(VE, KTRANS.size) >= 0.05)
    found = array(read_image(folder / "out" / "ktrans.nii.gz"))[0] / truth[block]
    inside = (block >= 0) & counts[block]
    medians = [float(np.nanmedian(found[block == i])) for i in np.flatnonzero(counts)]
    return float(np.nanmedian(found[inside])), max(medians, key=lambda m: abs(m - 1.0))


WAYS = {
    "tofts": ("--model", "tofts", "--no-delay"),
    "tofts, floor left": ("--model", "tofts", "--no-delay", "--no-noise-floor"),
    "tofts, AIF given": ("--model", "tofts", "--no-delay", "--aif", "FOLDER/aif.csv"),
    "defaults (etm, delay)": (),
}


def main() -> int:
    """All phantoms; the number of bars missed decides the exit code."""
    print(f"seeds {', '.join(map(str, SEEDS))}; at T1 .2 s and SNR 3 or 5 {MORE[0]} to {MORE[-1]} too")
    print("ktrans over the truth: medians over the phantom, and the farthest median of a block")
    for t10_s in (1.0, 0.5, 0.2):
        for snr in (3, 5, 10):
            found: dict[str, list[tuple[float, float]]] = {way: [] for way in WAYS}
            for seed in SEEDS + (MORE if t10_s == 0.2 and snr < 10 else ()):
                with tempfile.TemporaryDirectory() as name:
                    folder = Path(name)
                    block = phantom(t10_s, snr, seed, folder)
                    for way, options in WAYS.items():
                        options = tuple(str(o).replace("FOLDER", name) for o in options)
                        found[way].append(ratios(folder, block, t10_s, *options))
            for way, values in found.items():
                whole = [v[0] for v in values]
                shown = "  ".join(f"{a:.3f} ({b:.2f})" for a, b in values[: len(SEEDS)])
                off = 100 * abs(float(np.nanmean(whole)) - 1)
                counted = int(np.isfinite(whole).sum())
                more = f" +- {np.nanstd(whole, ddof=1) / counted**0.5:.3f}" if len(whole) > len(SEEDS) else ""
                more += f", {len(whole) - counted} of {len(whole)} refused" if counted < len(whole) else ""
                bar = (f"<= {BAR:g} %", off <= BAR) if way == "tofts" else ("", None)
                line(f"T1 {t10_s:g} s, SNR {snr}, {way}", f"{shown}   mean {np.nanmean(whole):.3f}" + more, *bar)
    print(f"\n{len(FAILED)} bars missed" if FAILED else "\nall bars met")
    return 1 if FAILED else 0


if __name__ == "__main__":
    sys.exit(main())
