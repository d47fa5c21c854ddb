"""DSC curves of five tissue types: a gamma variate, and leakage that stays; levels after Yun et al. 2023, relative to white matter."""

import numpy as np
from gliosuite.curves import Bolus
from gliosuite.images import Grid
from gliosuite.recurrence.habitats.curves import LesionCurves, aligned, arrival_time

# Baseline, drop and recovery of each pattern. Yun prints the drops of high angiogenic tumour, baseline and drop of cellular tumour and
# infiltrated oedema, baseline and recovery of perinecrotic tissue and vasogenic oedema; what it does not print is chosen.
PATTERNS = {
    "cel": (
        ("angiogenic", 1.60, 1.32, 0.80),
        ("angiogenic", 1.35, 0.95, 0.80),
        ("cellular", 0.76, 0.62, 0.80),
        ("perinecrotic", 2.08, 0.80, 0.58),
    ),
    "nel": (
        ("angiogenic", 1.50, 1.10, 0.82),
        ("cellular", 0.81, 0.51, 0.82),
        ("infiltrated", 1.58, 0.51, 0.84),
        ("vasogenic", 2.25, 0.60, 0.78),
    ),
}
REFERENCES = {"artery": (1.3, 1.16, 0.8), "gm": (1.18, 0.64, 0.79), "wm": (1.11, 0.37, 0.81), "csf": (3.04, 0.1, 0.65)}
ADC = {"angiogenic": 1.2e-3, "cellular": 0.9e-3, "perinecrotic": 1.8e-3, "infiltrated": 1.3e-3, "vasogenic": 1.6e-3}
_VOXEL, _PATIENT = 0.07, 0.04  # log-SD of baselines and drops, between voxels and between patients
_SHAPE, _WIDTH_S = 3.0, 1.5  # of the gamma variate: its peak 4.5 s after the arrival


def _signal(times, baseline, drop, psr, arrival, width):
    """Signal (n, t) of voxels (n, 1)."""
    t = np.maximum(times - arrival, 0.0)
    top = _SHAPE * width
    bolus = (t / top) ** _SHAPE * np.exp(_SHAPE - t / width)
    stays = 1 - np.exp(-((t / (2.5 * top)) ** 2))
    peak = -np.log1p(-np.minimum(drop / baseline, 0.95))
    left = -np.log1p(-np.minimum(drop / baseline, 0.95) * (1 - psr))
    return baseline * np.exp(-np.maximum(peak * bolus, left * stays))


def tissue_patient(seed, n=100, tr_s=1.5, frames=60, snr=50.0):
    """A patient with `n` voxels of each pattern, and the label of each voxel."""
    rng = np.random.default_rng([seed, 18])
    times = tr_s * np.arange(frames)
    arrival = rng.uniform(9.0, 11.0 if frames * tr_s < 60 else 20.0)
    width = _WIDTH_S * np.exp(0.12 * rng.standard_normal())
    noisy = lambda s: np.hypot(s + rng.normal(0, 1.11 / snr, s.shape), rng.normal(0, 1.11 / snr, s.shape))
    curves, labels, cel = [], [], []
    for region, patterns in PATTERNS.items():
        for name, baseline, drop, psr in patterns:
            own = np.exp(_PATIENT * rng.standard_normal(2))
            b = baseline * own[0] * np.exp(_VOXEL * rng.standard_normal((n, 1)))
            share = drop / baseline * own[1] * np.exp(_VOXEL * rng.standard_normal((n, 1)))
            curves.append(noisy(_signal(times, b, share * b, psr, arrival + rng.uniform(0, 1.0, (n, 1)), width)))
            labels += [name] * n
            cel += [region == "cel"] * n
    pure = {k: _signal(times, np.full((1, 1), v[0]), v[1], v[2], arrival, width) for k, v in REFERENCES.items()}
    white = pure["wm"][0]
    first = int(np.searchsorted(times, arrival))
    found = arrival_time(white, times, Bolus(0, first, int(white.argmin()), 0.3))
    scale = float(aligned(pure["wm"], times, found).mean())
    adc = np.array([ADC[name] for name in labels]) * np.exp(0.08 * rng.standard_normal(len(labels)))
    lesion = LesionCurves(
        aligned(np.concatenate(curves), times, found) / np.float32(scale),
        np.array(cel),
        np.arange(len(labels)),
        Grid.made((len(labels), 1, 1), (2.0, 2.0, 5.0), (0.0, 0.0, 0.0), (1.0, 0, 0, 0, 1.0, 0, 0, 0, 1.0)),
        {k: (aligned(v, times, found)[0] / scale).astype(np.float32) for k, v in pure.items()},
        tr_s,
        adc.astype(np.float32),
    )
    return lesion, np.array(labels)
