"""Diffusion and spectroscopy: ADC and FA on a block of a real brain and on tensors that are known, CNI of simulated patients; tables with
bars, and an exit code.

``python Testing/bench/bench_diffusion.py [--data FILE.nii] [--dipy PYTHON] [--seed N]``. `FILE.nii` is the block of the test data
(`dwi-brain-small`), whose README has the medians of an ordinary fit; `PYTHON` an interpreter with dipy, to compare with. Tensors are
generated, in random directions, with Rician noise; SNR is that of one volume without diffusion weight. dipy weights once, ours twice.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "Testing" / "standin"))

import diffusion_series as ds
from bench_dce_uncertainty import gliosuite
from gliosuite.diffusion import Gradients, dti_maps, fit_tensor, gradients_beside
from gliosuite.diffusion.settings import DtiSettings
from gliosuite.images import Grid, Series, array, boolean, read_image, read_series, resample_mask, write_image
from gliosuite.metabolites import metabolite_maps
from gliosuite.simulate import simulate_case

SEED = 662_607  # not looked at while the method was made, which was on seeds below 100
N = 20_000  # tensors of a kind
README_MD, README_FA, README_N = 8.488e-4, 0.343, 966
# ADC in mm2/s and FA: about those of the tissues.
TISSUES = {
    "white matter": (0.75e-3, 0.60),
    "grey matter": (0.85e-3, 0.15),
    "tumour": (1.30e-3, 0.12),
    "oedema": (1.45e-3, 0.25),
    "fluid": (3.00e-3, 0.02),
}
SCHEMES = {
    "6 directions, 1 b0": ds.scheme(ds.SIX),
    "30 directions, 5 b0": ds.scheme(ds.spread(30), 5),
    "64 directions, 1 b0": ds.scheme(ds.spread(64)),
    "20 directions, b = 500 and 1500, 3 b0": ds.scheme(ds.spread(20), 3, (500.0, 1500.0)),
}
SNRS = (40.0, 20.0)
FAILED: list[str] = []


def line(what: str, found: str, bar: str = "", met: bool | None = None) -> None:
    """One row of the table."""
    print(f"{what:<46}{found:<46}{bar:<16}{'' if met is None else 'met' if met else 'MISSED'}", flush=True)
    if met is False:
        FAILED.append(what)


def real(path: Path) -> None:
    """The block of a real brain, by the command."""
    print(f"\nA block of a real brain ({path.name}), against the medians of its README (ordinary least squares)")
    series, gradients = read_series(path), gradients_beside(path)
    signals = series.curves()
    plain = fit_tensor(signals, gradients.b, gradients.directions, weighted=False)
    at = ((signals[:, 0] > 100) & np.isfinite(plain.adc) & ~plain.negative).reshape(series.grid.shape)
    line("voxels with S0 > 100 and positive eigenvalues", str(at.sum()), str(README_N), int(at.sum()) == README_N)
    with tempfile.TemporaryDirectory() as folder:
        write_image(series.grid.image(np.ones(series.grid.shape, bool)), Path(folder) / "all.nii.gz")
        for fit, bar in (("ordinary", 1.0), ("weighted", 2.0)):
            gliosuite("dti", path, "--fit", fit, "--mask", Path(folder) / "all.nii.gz", "--out", Path(folder) / fit)
            for name, true in (("adc", README_MD), ("fa", README_FA)):
                found = float(np.nanmedian(array(read_image(Path(folder) / fit / f"{name}.nii.gz"))[at]))
                away = 100 * (found / true - 1)
                line(
                    f"{fit}, median {name}",
                    f"{found:.4g} ({away:+.2f} %)",
                    f"{true:.4g} +- {bar:g} %",
                    abs(away) <= bar,
                )


def known(seed: int) -> None:
    """Bias and scatter of both fits on generated tensors."""
    print(
        f"\n{N} generated tensors of each kind, Rician noise: mean error and SD (ADC in %, FA as it is), weighted | ordinary"
    )
    for name, (b, g) in SCHEMES.items():
        for snr in SNRS:
            print(f"{name}, SNR {snr:g}")
            for tissue, (adc, fa) in TISSUES.items():
                rng = np.random.default_rng([seed, len(b), round(snr), round(adc * 1e6)])
                d = ds.tensors(np.full(N, adc), np.full(N, fa), rng)
                values = ds.noisy(ds.signals(1000.0, d, b, g), 1000.0 / snr, rng)
                fits = [fit_tensor(values, b, g, weighted) for weighted in (True, False)]
                text = " | ".join(_error(100 * (f.adc / adc - 1), 2) for f in fits)
                more = " | ".join(_error(f.fa - fa, 3) for f in fits)
                print(f"  {tissue:<14} ADC {text:<42} FA {more}", flush=True)


def _error(values: np.ndarray, digits: int) -> str:
    return f"{np.nanmean(values):+.{digits}f} +- {np.nanstd(values):.{digits}f}"


def speed(seed: int) -> None:
    """A brain of 128 x 128 x 60 voxels in 65 volumes."""
    rng = np.random.default_rng(seed)
    b, g = SCHEMES["64 directions, 1 b0"]
    grid = Grid((128, 128, 60), (2.0, 2.0, 2.0), (0.0, 0.0, 0.0), tuple(np.eye(3).ravel()))
    place = [(np.arange(n) - (n - 1) / 2) / (n / 2) for n in grid.shape]
    inside = sum(v**2 for v in np.meshgrid(*place, indexing="ij")) < 0.6
    some = ds.noisy(
        ds.signals(1000.0, ds.tensors(rng.uniform(0.6e-3, 2e-3, 5000), rng.uniform(0, 0.8, 5000), rng), b, g), 40.0, rng
    )
    frames = np.zeros((b.size, *grid.shape), np.float32)
    frames[:, inside] = some[np.arange(inside.sum()) % 5000].T
    series = Series(frames, grid, "dwi")
    print(f"\n128 x 128 x 60 voxels, 65 volumes, {inside.sum()} voxels in the mask")
    for fit in ("weighted", "ordinary"):
        start = time.process_time()
        dti_maps(series, Gradients.of(b, g), DtiSettings(fit), grid.image(inside))
        line(f"{fit}, processor time", f"{time.process_time() - start:.1f} s")


def spectroscopy(seed: int, count: int = 8) -> None:
    """CNI of simulated patients from peaks in a box, with masks as a run has them."""
    print(
        f"\nCNI of {count} simulated patients, peaks with noise, normal tissue sought outside the lesion: medians over patients"
    )
    rows = []
    for i in range(count):
        patient = simulate_case(seed + i, grid_mm=3.0, scans=("structural", "mrsi"))
        images = {n: patient.case.images_held[n] for n in ("cho", "cre", "naa")}
        grid = Grid.of(images["cho"])
        masks = {n: patient.truth[n] for n in ("brain", "cel", "t2l", "cavity") if n in patient.truth.maps}
        on = {n: boolean(resample_mask(m, grid)) for n, m in masks.items()}
        sick = np.any([on[n] for n in ("cel", "t2l", "cavity") if n in on], axis=0)
        found = metabolite_maps(images, grid.image(on["brain"]), grid.image(sick))
        if "cni" not in found.maps:
            continue
        cni = array(found.maps["cni"])
        normal = on["brain"] & ~sick & np.isfinite(cni)
        lesion = on["cel"] if on.get("cel", sick).any() else sick
        rows.append([np.median(cni[normal]), cni[normal].std(), 100 * (cni[normal] > 2).mean(), np.median(cni[lesion])])
    normal, sd, above, lesion = np.median(rows, axis=0)
    line("brain outside the lesion: median, SD", f"{normal:+.2f}, {sd:.2f}")
    line("brain outside the lesion above 2", f"{above:.1f} %")
    line("enhancing lesion: median", f"{lesion:.1f}", f"{len(rows)} of {count} patients")


_DIPY = """
import sys, numpy as np, dipy
from dipy.core.gradients import gradient_table
from dipy.reconst.dti import TensorModel
signals, b, g = (np.load(f"{sys.argv[1]}/{n}.npy") for n in ("signals", "b", "g"))
table = gradient_table(b, bvecs=g)
for kind in ("OLS", "WLS"):
    fit = TensorModel(table, fit_method=kind).fit(signals)
    np.save(f"{sys.argv[1]}/{kind}.npy", np.stack([fit.md, fit.fa]))
print(dipy.__version__)
"""


def compared(python: str, path: Path | None, seed: int) -> None:
    """Voxel by voxel against dipy."""
    print("\nAgainst dipy, voxel by voxel: median and 99th percentile of the difference (ADC in %, FA as it is)")
    rng = np.random.default_rng(seed)
    b, g = SCHEMES["30 directions, 5 b0"]
    d = ds.tensors(rng.uniform(0.5e-3, 2e-3, N), rng.uniform(0, 0.8, N), rng)
    sets = {"generated, SNR 20": (ds.noisy(ds.signals(1000.0, d, b, g), 50.0, rng), b, g)}
    if path is not None:
        gradients, signals = gradients_beside(path), read_series(path).curves()
        some = (signals > 0).all(axis=1) & (signals[:, 0] > 100)
        sets[path.name] = (signals[some].astype(float), gradients.b, gradients.directions)
    for name, (signals, b, g) in sets.items():
        with tempfile.TemporaryDirectory() as folder:
            for key, values in (("signals", signals), ("b", b), ("g", g)):
                np.save(Path(folder) / f"{key}.npy", values)
            clean = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
            done = subprocess.run([python, "-c", _DIPY, folder], capture_output=True, text=True, check=True, env=clean)
            version = done.stdout.split()[-1]
            for kind, weighted in (("OLS", False), ("WLS", True)):
                fit = fit_tensor(signals, b, g, weighted)
                fine = np.isfinite(fit.adc) & ~fit.negative
                md, fa = np.load(Path(folder) / f"{kind}.npy")[:, fine]
                adc_away, fa_away = 100 * np.abs(fit.adc[fine] / md - 1), np.abs(fit.fa[fine] - fa)
                adc_text, fa_text = (
                    f"{np.median(v):.{n}f}, {np.percentile(v, 99):.{n}f}" for v, n in ((adc_away, 4), (fa_away, 5))
                )
                text = f"ADC {adc_text}; FA {fa_text}"
                line(f"{name}, {kind} (dipy {version})", text, "median < .5 %", bool(np.median(adc_away) < 0.5))


def main() -> int:
    """Print the tables; 1 where a bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    usual = ROOT.parent / "shared" / "data"
    parser.add_argument(
        "--data", default=Path(os.environ.get("GLIOSUITE_DATA") or usual) / "dwi-brain-small" / "small_64D.nii"
    )
    parser.add_argument("--dipy", help="an interpreter that has dipy")
    parser.add_argument("--seed", type=int, default=SEED)
    args = parser.parse_args()
    path = Path(args.data) if Path(args.data).exists() else None
    if path is not None:
        real(path)
    else:
        print(f"{args.data} is not there: no real data")
    known(args.seed)
    speed(args.seed)
    spectroscopy(args.seed)
    if args.dipy:
        compared(args.dipy, path, args.seed)
    print(f"\n{len(FAILED)} bars missed{': ' + '; '.join(FAILED) if FAILED else ''}")
    return bool(FAILED)


if __name__ == "__main__":
    sys.exit(main())
