"""Radiomic features of a lesion of usual size: how long, how much memory, and beside pyradiomics on the whole image, with a bar for each.

The map is noise of a few scales, the lesions are balls: 28 and 123 cc in 160 x 200 x 170 voxels of 1 mm.

``python Testing/bench/bench_radiomics.py``
"""

import logging
import resource
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "GlioCore")]

import numpy as np
from gliosuite.images import Grid
from gliosuite.recurrence.radiomics import measure
from scipy import ndimage

GRID = Grid.made((160, 200, 170), (1.0, 1.0, 1.0), (0.0, 0.0, 0.0), (1.0, 0, 0, 0, 1.0, 0, 0, 0, 1.0))
SECONDS, GIB, CLOSE = 25, 1.0, 1e-6
missed = 0


def bar(name: str, said: str, met: bool) -> None:
    """Print a bar, and whether it is met."""
    global missed
    missed += not met
    print(f"{name:<66} {said:<30} {'met' if met else 'MISSED'}", flush=True)


def main() -> int:
    """Measure, and measure again with pyradiomics alone."""
    rng = np.random.default_rng(18)
    noise = lambda scale: ndimage.zoom(rng.standard_normal([n // scale + 2 for n in GRID.shape]), scale, order=1)[
        tuple(slice(n) for n in GRID.shape)
    ]
    cbv = (1.5 + 0.3 * noise(1) + 0.4 * noise(4) + 0.4 * noise(12)).astype(np.float32)
    away = np.sqrt(sum((a - c) ** 2 for a, c in zip(np.indices(GRID.shape), (85, 105, 70))))
    cel, t2l = away < (28000 * 0.75 / np.pi) ** (1 / 3), away < (151000 * 0.75 / np.pi) ** (1 / 3)
    begun = time.monotonic()
    found = measure(GRID.image(cbv), GRID.image(cel), GRID.image(t2l & ~cel), GRID)
    seconds = time.monotonic() - begun
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"CE {found.volumes_cc['CE']:.0f} cc, NE {found.volumes_cc['NE']:.0f} cc, grey levels {found.bins}")
    bar("features", f"{len(found.features)}", len(found.features) == 1702)
    bar(f"time < {SECONDS} s", f"{seconds:.1f} s", seconds < SECONDS)
    bar(f"memory < {GIB:g} GiB", f"{peak:.2f} GiB", peak < GIB)
    from radiomics import featureextractor, setVerbosity

    setVerbosity(logging.ERROR)
    extractor = featureextractor.RadiomicsFeatureExtractor(binWidth=5, additionalInfo=False)
    extractor.enableAllFeatures()
    extractor.enableImageTypes(Original={}, Wavelet={})
    image, worst = GRID.image(100.0 * cbv.astype(np.float64)), 0.0
    for name, inside in (("CE", cel), ("NE", t2l & ~cel)):
        for key, value in extractor.execute(image, GRID.image(inside)).items():
            mine = found.features[f"{name}_{key.replace('wavelet-', 'wavelet_')}"]
            worst = max(worst, abs(mine - float(value)) / max(abs(float(value)), 1e-12))
    bar(f"beside pyradiomics on the whole image, relative < {CLOSE:g}", f"{worst:.1e}", worst < CLOSE)
    return int(missed > 0)


if __name__ == "__main__":
    sys.exit(main())
