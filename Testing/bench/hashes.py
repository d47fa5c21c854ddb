"""Hashes of what a version computes, to hold two versions against each other: images by voxels and geometry, tables, and fits.

``python Testing/bench/hashes.py results DIR > a.json`` for a folder of results, ``... fits > a.json`` for a set of fits, and
``... compare a.json b.json``, which prints what differs and ends with 1 where anything does. Fits use calls of the interface alone, so
that older versions can be asked too.
"""

import hashlib
import itertools
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk

MODELS = ("tofts", "etm", "patlak", "2cxm", "2cum", "auto")
DECONVOLUTIONS = ("osvd", "csvd", "ssvd", "tikhonov")
LEAKAGE = ("none", "bsw", "bidirectional", "residue")
DEVICES = ("cpu", "torch-cpu")


def _hash(*arrays: Any) -> str:
    digest = hashlib.sha256()
    for values in arrays:
        values = np.ascontiguousarray(values)
        digest.update(f"{values.dtype}{values.shape}".encode() + values.tobytes())
    return digest.hexdigest()[:20]


def results(folder: Path) -> dict[str, str]:
    """A hash per image (voxels and geometry, unpacked), table, transform, structure-set contour and picture."""
    found = {}
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        name = path.relative_to(folder).as_posix()
        if path.name.endswith(".nii.gz"):
            image = sitk.ReadImage(str(path))
            geometry = [*image.GetSize(), *image.GetSpacing(), *image.GetOrigin(), *image.GetDirection()]
            found[name] = _hash(sitk.GetArrayFromImage(image), np.array(geometry))
        elif path.suffix in (".csv", ".tfm", ".h5", ".png", ".txt"):
            found[name] = hashlib.sha256(path.read_bytes()).hexdigest()[:20]
        elif path.name == "RS.dcm":
            import pydicom

            contours = [
                np.array(c.ContourData, float)
                for r in pydicom.dcmread(path).ROIContourSequence
                for c in getattr(r, "ContourSequence", [])
            ]
            found[name] = _hash(*contours)
    return found


def fits() -> dict[str, str]:
    """A hash of the arrays of each model with and without delay, each deconvolution and each leakage correction, by numpy and torch."""
    from gliosuite.perfusion.dsc import perfusion_maps
    from gliosuite.perfusion.fit import fit_curves
    from gliosuite.perfusion.kinetics import extended_tofts, parker_aif

    rng = np.random.default_rng(5)
    times = np.arange(60) * 5.0
    aif = parker_aif(times, 30.0) / 0.58
    n = 300
    curves = extended_tofts(times, aif, rng.uniform(0.005, 0.3, n), rng.uniform(0.1, 0.5, n), rng.uniform(0, 0.1, n))
    curves = (curves + rng.normal(0, 0.02, curves.shape)).astype(np.float32)
    found = {}
    for model, delay, device in itertools.product(MODELS, (False, True), DEVICES):
        fit = fit_curves(curves, times, aif, model=model, delay=delay, device=device)
        names = [k for k in ("ktrans", "ve", "vp", "kep", "fp", "ps", "delay_s", "sse") if getattr(fit, k) is not None]
        found[f"fit {model}{' delay' if delay else ''} {device}"] = _hash(
            *(getattr(fit, k) for k in names), *(fit.sd[k] for k in sorted(fit.sd))
        )
    seconds = np.arange(60) * 1.5
    blood = 80 * np.clip((seconds - 20) / 4, 0, None) ** 3 * np.exp(-(seconds - 20) / 1.6)
    blood /= blood.max() / 80
    tissue = np.array([np.convolve(blood, np.exp(-seconds / m))[:60] * 0.01 for m in rng.uniform(2, 12, n)])
    tissue = (tissue + rng.normal(0, 0.5, tissue.shape)).astype(np.float32)
    for deconvolution, leakage, device in itertools.product(DECONVOLUTIONS, LEAKAGE, DEVICES):
        maps = perfusion_maps(tissue, 1.5, blood, leakage=leakage, deconvolution=deconvolution, device=device)
        names = [k for k in ("cbv", "cbf", "mtt_s", "tmax_s", "k1", "k2") if getattr(maps, k, None) is not None]
        found[f"dsc {deconvolution} {leakage} {device}"] = _hash(*(getattr(maps, k) for k in names))
    return found


def compare(before: dict[str, str], after: dict[str, str]) -> int:
    """Print what differs; 1 where anything does."""
    for name in sorted(before.keys() | after.keys()):
        if before.get(name) != after.get(name):
            print(f"{name}: {before.get(name, 'absent')} -> {after.get(name, 'absent')}")
    same = sum(after.get(n) == h for n, h in before.items())
    print(f"{same} of {len(before)} are equal; {len(after.keys() - before.keys())} are new")
    return int(before != after)


if __name__ == "__main__":
    if sys.argv[1:2] == ["compare"]:
        sys.exit(compare(*(json.loads(Path(p).read_text()) for p in sys.argv[2:4])))
    print(json.dumps(results(Path(sys.argv[2])) if sys.argv[1:2] == ["results"] else fits(), indent=1))
