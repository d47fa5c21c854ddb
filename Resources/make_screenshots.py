"""Redraw the pictures of Resources/Screenshots: from the demo's results and from test data whose licence allows showing a figure.

``make screenshots`` runs it. Pictures of data that are not at hand are left as they are, and that is said.
"""

import io
import json
import os
import sys
import tarfile
import tempfile
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
OUT = ROOT / "Resources" / "Screenshots"
DATA = Path(os.environ.get("GLIOSUITE_DATA") or ROOT.parent / "shared" / "data")


def save(png: bytes, name: str) -> None:
    """Write a picture 1000 pixels wide with 128 colours, which keeps it below 300 kB."""
    from PIL import Image

    picture = Image.open(io.BytesIO(png)).convert("RGB")
    picture = picture.resize((1000, round(picture.height * 1000 / picture.width)), Image.Resampling.LANCZOS)
    # Coverage keeps the outlines' few colours among many greys.
    picture.quantize(128, method=Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE).save(OUT / name, optimize=True)
    print(f"{name}: {(OUT / name).stat().st_size // 1000} kB")


def demo(folder: Path) -> None:
    """Lesions, maps and target volumes of the simulated patient."""
    from gliosuite.cli import main
    from gliosuite.pictures import contours_figure, display, maps_figure
    from gliosuite.report import load_results

    if main(["demo", "--out", str(folder)]) != 0:
        sys.exit("the demo failed")
    r = load_results(folder)
    looks = display()["regions"]
    lesion = {looks[n]["title"]: (r.masks[n], looks[n]["color"]) for n in ("t2l", "cel")}
    maps = {n: r.maps[n] for n in ("ktrans", "ve", "vp", "ncbv")}
    save(maps_figure(r.images["t1c"], maps, lesion, r.masks["brain"], r.masks["cel"], r.spacing), "demo-maps.png")
    outlines = {n: (m, c) for (n, m), c in zip(r.ctvs.items(), display()["ctvs"])}
    later = r.masks["progression_cel"] | r.masks["progression_t2l"]
    outlines["lesion at progression"] = (later, looks["progression"]["color"])
    backgrounds = {"T1c": r.images["t1c"], "FLAIR": r.images["flair"]}
    save(contours_figure(backgrounds, outlines, r.masks["brain"], r.masks["cel"], r.spacing), "demo-targets.png")


def tcga(folder: Path) -> None:
    """Four series with strong motion, registered, with drafts (TCGA-LGG, CC BY 3.0)."""
    from gliosuite.case import Case
    from gliosuite.pictures import contours_figure, display
    from gliosuite.pipeline import RunSettings, run_case
    from gliosuite.report import load_results

    source = DATA / "glioma-tcga-fg-6692" / "native-brainmasked"
    files = {
        r: next(source.glob(f"*_{k}_native*"))
        for r, k in (("t1c", "t1c"), ("t1", "t1"), ("t2", "t2"), ("flair", "fla"))
    }
    images = {r: {"path": os.path.relpath(p, folder)} for r, p in files.items()}
    (folder / "case.json").write_text(json.dumps({"id": "TCGA-FG-6692", "images": images}))
    run_case(Case.load(folder), folder / "results", RunSettings())
    r = load_results(folder / "results")
    looks = display()["regions"]
    outlines = {f"draft: {looks[n]['title']}": (r.masks[n], looks[n]["color"]) for n in ("t2l", "cel")}
    backgrounds = {"T1c": r.images["t1c"], "FLAIR": r.images["flair"]}
    save(contours_figure(backgrounds, outlines, r.masks["brain"], r.masks["cel"], r.spacing), "tcga-registration.png")


def planning_mr(folder: Path) -> None:
    """CTVs round a drawn ellipsoid on a stereotactic planning MR (Vestibular-Schwannoma-SEG, CC BY 4.0)."""
    import SimpleITK as sitk
    from gliosuite.brain import brain_mask
    from gliosuite.dicom import read_dicom_volume
    from gliosuite.images import Grid, array, boolean, resample
    from gliosuite.pictures import canonical, contours_figure, display
    from gliosuite.rt.ctv import Structures, target_volumes

    with tarfile.open(next((DATA / "head-mr-dicom").glob("*.tar.gz"))) as archive:
        archive.extractall(folder, filter="data")
    native = read_dicom_volume(folder)
    image = canonical(resample(native, Grid.of(native).isotropic(1.0)))
    grid = Grid.of(image)
    brain = brain_mask(image).mask
    centre = np.argwhere(boolean(brain)).mean(axis=0) + np.array([6, 5, 28])
    place = (np.indices(grid.shape).T - centre).T / np.array([14.0, 18.0, 12.0])[:, None, None, None]
    gtv = grid.image(((place**2).sum(axis=0) <= 1) & boolean(brain))
    volumes = {n: target_volumes(n, Structures(brain, cel=gtv, t2l=gtv)) for n in ("rtog", "estro-eano")}
    outlines = {"drawn ellipsoid": (boolean(gtv), display()["regions"]["cel"]["color"])}
    for (name, v), color in zip(volumes.items(), display()["ctvs"]):
        outlines[f"{v.targets[0].rule.ctv_name} ({name})"] = (boolean(v.ctv), color)
    outlines["brain mask (draft)"] = (boolean(brain), display()["regions"]["brain"]["color"])
    picture = contours_figure(
        {"T1 with contrast": array(sitk.Cast(image, sitk.sitkFloat32))},
        outlines,
        boolean(brain),
        boolean(gtv),
        grid.spacing,
    )
    save(picture, "vs-seg-ctv.png")


if __name__ == "__main__":
    OUT.mkdir(parents=True, exist_ok=True)
    for draw, needs in ((demo, None), (tcga, "glioma-tcga-fg-6692"), (planning_mr, "head-mr-dicom")):
        if needs and not (DATA / needs).exists():
            print(f"{needs} is not at hand, its picture was left as it is")
            continue
        with tempfile.TemporaryDirectory() as scratch:
            draw(Path(scratch))
