"""Hashes of what a version computes, to hold two versions against each other: images by voxels and geometry, tables, and fits.

``python Testing/bench/hashes.py results DIR > a.json`` for a folder of results, ``... fits > a.json`` for a set of fits, and
``... compare a.json b.json``, which prints what differs and ends with 1 where anything does; ``... differences BEFORE AFTER`` prints by
how much two folders of results differ. Fits use calls of the interface alone, so
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


def _image_difference(a: Path, b: Path) -> str:
    """How far two images lie apart."""
    first, second = sitk.ReadImage(str(a)), sitk.ReadImage(str(b))
    x, y = (sitk.GetArrayFromImage(i) for i in (first, second))
    geometry = lambda i: [*i.GetSize(), *i.GetSpacing(), *i.GetOrigin(), *i.GetDirection()]
    if geometry(first) != geometry(second):
        return "another grid"
    if x.dtype.kind in "iu":
        return f"{int((x != y).sum())} of {int((x > 0).sum())} voxels"
    known = np.isfinite(x) & np.isfinite(y)
    apart = int((np.isfinite(x) != np.isfinite(y)).sum())
    largest = float(np.abs(x[known].astype(np.float64) - y[known]).max())
    relative = largest / max(float(np.abs(x[known]).max()), 1e-30)
    return f"at most {relative:.1e} of the largest value" + (f", {apart} voxels defined in one alone" if apart else "")


def _table_difference(a: Path, b: Path) -> str:
    """How far the numbers of two tables lie apart."""
    cells = [[c for line in p.read_text().splitlines() for c in line.split(",")] for p in (a, b)]
    if len(cells[0]) != len(cells[1]):
        return "another number of cells"
    worst, text = 0.0, 0
    for x, y in zip(*cells, strict=True):
        if x != y:
            try:
                worst = max(worst, abs(float(x) - float(y)) / max(abs(float(x)), 1e-30))
            except ValueError:
                text += 1
    return f"at most {worst:.1e} of a number" + (f", {text} cells of text" if text else "")


def differences(before: Path, after: Path) -> None:
    """Print a table of what is not equal in two folders of results, and by how much."""
    old, new = results(before), results(after)
    print("| file | difference |\n|---|---|")
    for name in sorted(old.keys() | new.keys()):
        if old.get(name) == new.get(name):
            continue
        a, b = before / name, after / name
        if name not in old or name not in new:
            said = "new" if name in new else "gone"
        elif name.endswith(".nii.gz"):
            said = _image_difference(a, b)
        elif name.endswith((".csv", ".txt")):
            said = _table_difference(a, b)
        elif name.endswith(".png"):
            x, y = (sitk.GetArrayFromImage(sitk.ReadImage(str(p))).astype(float) for p in (a, b))
            said = f"at most {np.abs(x - y).max():.0f} of 255" if x.shape == y.shape else "another size"
        else:
            said = "not the same bytes"
        print(f"| {name} | {said} |")
    print(f"\n{sum(new.get(n) == h for n, h in old.items())} of {len(old)} files are equal.")


if __name__ == "__main__":
    if sys.argv[1:2] == ["compare"]:
        sys.exit(compare(*(json.loads(Path(p).read_text()) for p in sys.argv[2:4])))
    if sys.argv[1:2] == ["differences"]:
        differences(Path(sys.argv[2]), Path(sys.argv[3]))
        sys.exit()
    print(json.dumps(results(Path(sys.argv[2])) if sys.argv[1:2] == ["results"] else fits(), indent=1))
