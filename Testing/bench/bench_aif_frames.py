"""An AIF given as a table at frame times of 5 s: what is left of the error that lies between its samples.

Run by ``make bench``, or alone: ``python Testing/bench/bench_aif_frames.py [first seed]``. It ends with 1 if a bar fails.

Simulated: a continuous bolus of three shapes, sampled every 5 s with noise of 1 % of its peak; four tissues of 250 voxels, each reached
0.3 to 4 s after the artery (one delay per tissue), their curves convolved on a grid of 0.1 s from the continuous bolus, with noise of 1/20
and 1/50 of their median peak. Maps by `dce_maps` as it comes, from a series of concentrations (what a signal's baseline adds to the SDs is
another bench's). Bars: the median relative error over the voxels, averaged over the boluses, within 3 %; 95 % intervals cover 90 to 97 %.
"""

import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "GlioCore"))

from gliosuite.images import Grid, Series, array
from gliosuite.perfusion.aif import Aif
from gliosuite.perfusion.dce import dce_maps
from gliosuite.perfusion.kinetics import PARKER, extended_tofts, parker_form
from gliosuite.perfusion.settings import DceSettings
from gliosuite.simulate.blood import disperse

SEEDS = 24  # boluses of a shape
FINAL = 7300  # not looked at before the method was fixed (7100 to 7107 and 7200 to 7211 were)
SHAPES = ("parker", "gamma", "square")
SNRS = (20, 50)
FINE = 0.1 * np.arange(3001)
VOXELS, TISSUES = 250, 4
GRID = Grid((25, 10, TISSUES), (1.0, 1.0, 1.0), (0.0, 0.0, 0.0), (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0))
BIAS, COVER = 0.03, (0.90, 0.97)


def around(rng, value, share=0.15):
    return value * float(np.exp(np.clip(rng.normal(0, share), -2 * share, 2 * share)))


def bolus(shape, rng, arrival):
    """Plasma (mM) on the fine grid; a first pass, and what follows it."""
    t = FINE - arrival
    if shape == "parker":
        width, again = around(rng, 1.0), around(rng, 1.0, 0.25)
        form = replace(
            PARKER,
            centres=(width * PARKER.centres[0], width * PARKER.centres[1]),
            widths=(width * PARKER.widths[0], width * PARKER.widths[1]),
            areas=(PARKER.areas[0], again * PARKER.areas[1]),
        )
        return disperse(FINE, parker_form(t / 60.0, form), rng.uniform(0.6, 2.0)) / 0.58
    if shape == "gamma":
        # As in the simulations of Ostergaard L et al., Magn Reson Med 1996;36:715: (t / b)^3 exp(-t / b), b = 1.5 s.
        x = np.maximum(t, 0.0) / around(rng, 1.5)
        first = x**3 * np.exp(-x)
    else:
        # 10 ml at 2 ml/s, through a short passage: two exponentials of 1.5 s.
        first = ((t >= 0) & (t < around(rng, 5.0))).astype(float)
        for _ in range(2):
            first = disperse(FINE, first, around(rng, 1.5))
    first *= rng.uniform(6.0, 11.0) / first.max()
    area = float(first.sum() * 0.1)
    late = np.interp(FINE - rng.uniform(10.0, 16.0), FINE, disperse(FINE, disperse(FINE, first, 5.0), 3.0))
    stays = disperse(FINE, disperse(FINE, np.cumsum(first) * 0.1, 10.0), 8.0) / area
    tail = stays * np.exp(-np.maximum(t, 0.0) * rng.uniform(0.0015, 0.004)) * rng.uniform(0.8, 1.3)
    return first + 0.3 * late + tail


def patient(shape, seed, snr, frame_s, delays_s):
    """Frame times, the AIF's samples, tissue curves (n, t), and the truth by parameter (n,)."""
    rng = np.random.default_rng([seed, SHAPES.index(shape)])
    arrival = 30.0 + rng.uniform(0.0, frame_s)
    plasma = bolus(shape, rng, arrival)
    times = np.arange(0.0, FINE[-1] - 0.05, frame_s)
    n = VOXELS * TISSUES
    true = {"ktrans": np.exp(rng.uniform(np.log(0.02), np.log(0.2), n)), "vp": rng.uniform(0.01, 0.1, n)}
    true["ve"] = np.maximum(rng.uniform(0.15, 0.5, n), true["ktrans"] / 3.0)
    if delays_s is None:
        delays_s = rng.uniform(0.3, 4.0, TISSUES)
    late = np.repeat(np.broadcast_to(delays_s, TISSUES), VOXELS)
    fractions = (true[k] for k in ("ktrans", "ve", "vp"))
    curves = extended_tofts(times, plasma, *fractions, late, FINE)
    curves = curves + rng.normal(0.0, np.median(curves.max(axis=1)) / snr, curves.shape)
    samples = np.interp(times, FINE, plasma) + rng.normal(0.0, 0.01 * plasma.max(), times.size)
    samples[times < arrival] = 0.0
    return times, np.maximum(samples, 0.0), curves, true


def measured(shape, seed, snr, frame_s, delays_s, **settings):
    """Median relative errors of ktrans and vp, coverage of their intervals, and seconds of the processor."""
    times, samples, curves, true = patient(shape, seed, snr, frame_s, delays_s)
    shape3 = (TISSUES, 10, VOXELS // 10)
    series = Series(np.moveaxis(curves.reshape(*shape3, -1), -1, 0).astype(np.float32), GRID, "phantom")
    mask = series.grid.image(np.ones(shape3, np.uint8))
    start = time.process_time()
    maps = dce_maps(
        series, times, DceSettings(input="concentration", **settings), Aif(times, samples, "table", "csv"), mask=mask
    )
    row = [time.process_time() - start]
    for name in ("ktrans", "vp"):
        found, sd = (array(m[name]).ravel() for m in (maps.maps, maps.sd))
        row += [float(np.nanmedian(found / true[name] - 1)), float(np.mean(np.abs(found - true[name]) <= 1.96 * sd))]
    return row


def table(title, first, frame_s, delays_s, barred, **settings):
    """Rows by shape and SNR; the number of bars that fail."""
    print(f"{title}; seeds {first} to {first + SEEDS - 1}")
    failed = 0
    for shape in SHAPES:
        for snr in SNRS:
            rows = np.array([measured(shape, first + i, snr, frame_s, delays_s, **settings) for i in range(SEEDS)])
            text = f"  {shape:<7} SNR {snr}  {np.median(rows[:, 0]):.1f} s"
            for i, name in ((1, "ktrans"), (3, "vp")):
                mean, worst, cover = rows[:, i].mean(), np.abs(rows[:, i]).max(), rows[:, i + 1].mean()
                good = abs(mean) <= BIAS, COVER[0] <= cover <= COVER[1]
                failed += barred * (2 - sum(good))
                marks = ["" if g or not barred else " FAILS" for g in good]
                text += (
                    f"   {name} {100 * mean:+.1f} %{marks[0]} (SD over boluses {100 * rows[:, i].std():.1f}, worst {100 * worst:.1f}), "
                    f"covers {100 * cover:.1f} %{marks[1]}"
                )
            print(text, flush=True)
    return failed


if __name__ == "__main__":
    first = int(sys.argv[1]) if len(sys.argv) > 1 else FINAL
    failed = table("5 s, as it comes (bars: 3 %, 90 to 97 %)", first, 5.0, None, True)
    table("5 s, straight between the samples (no bar)", first, 5.0, None, False, aif_fit=False)
    table("5 s, one delay of 1.7 s for all tissue (no bar)", first, 5.0, 1.7, False)
    table("10 s, as it comes (no bar)", first, 10.0, None, False)
    print(f"{failed} bars fail")
    sys.exit(failed > 0)
