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
WALLS = ("falx", "tentorium", "ventricles", "callosum")
DATA = Path(os.environ.get("GLIOSUITE_DATA") or ROOT.parent / "shared" / "data")


def save(png: bytes, name: str) -> None:
    """Write a picture below 300 kB: 256 colours, among them the outlines' own, and as wide as that allows."""
    from gliosuite.resources import colors, display
    from PIL import Image, ImageColor

    known = colors([*display()["regions"], *(f"CTV_{name}" for name in display()["targets"])]).values()
    whole = Image.open(io.BytesIO(png)).convert("RGB")
    there = {pixel for _, pixel in whole.getcolors(whole.width * whole.height)}
    own = sorted(c for c in {*known, *display()["palette"]} if ImageColor.getrgb(c) in there)
    for width in (1330, 1200, 1000, 900, 800, 700):
        picture = whole.resize((width, round(whole.height * width / whole.width)), Image.Resampling.LANCZOS)
        found = picture.quantize(256 - len(own)).getpalette()[: 3 * (256 - len(own))]
        palette = Image.new("P", (1, 1))
        palette.putpalette(found + [c for color in own for c in ImageColor.getrgb(color)])
        picture.quantize(palette=palette, dither=Image.Dither.NONE).save(OUT / name, optimize=True)
        if (OUT / name).stat().st_size < 300_000:
            break
    print(f"{name}: {width} pixels wide, {(OUT / name).stat().st_size // 1000} kB")


def demo(folder: Path) -> None:
    """Lesions, maps and target volumes of the simulated patient."""
    from gliosuite.cli import main
    from gliosuite.report.pictures import maps_figure, slices_figure
    from gliosuite.report.results import load_results
    from gliosuite.resources import colors, display

    if main(["demo", "--out", str(folder)]) != 0:
        sys.exit("the demo failed")
    r = load_results(folder)
    looks = display()["regions"]
    lesion = {looks[n]["title"]: (r.masks[n], looks[n]["color"]) for n in ("t2l", "cel")}
    maps = {n: r.maps[n] for n in ("ktrans", "ve", "vp", "ncbv")}
    save(maps_figure(r.images["t1c"], maps, lesion, r.masks["brain"], r.masks["cel"], r.spacing), "demo-maps.png")
    shades = colors(list(r.ctvs))
    outlines = {n: (m, shades[n]) for n, m in r.ctvs.items()}
    later = r.masks["progression_cel"] | r.masks["progression_t2l"]
    outlines["lesion at progression"] = (later, looks["progression"]["color"])
    rows = [(title, r.images[role], outlines) for role, title in (("t1c", "T1c"), ("flair", "FLAIR"))]
    save(slices_figure(rows, r.masks["brain"], r.masks["cel"], r.spacing), "demo-targets.png")


def tcga(folder: Path) -> None:
    """Four series with strong motion, registered, with drafts (TCGA-LGG, CC BY 3.0)."""
    from gliosuite.case import Case
    from gliosuite.pipeline.context import RunSettings
    from gliosuite.pipeline.run import run_case
    from gliosuite.report.pictures import slices_figure
    from gliosuite.report.results import load_results
    from gliosuite.resources import display

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
    rows = [(title, volume, outlines) for title, volume in backgrounds.items()]
    save(slices_figure(rows, r.masks["brain"], r.masks["cel"], r.spacing), "tcga-registration.png")


def real_slice(folder: Path) -> None:
    """T1 and kinetic maps of one real DCE slice, not of a brain (DCEMRI.jl's demo, MIT)."""
    import scipy.io
    from gliosuite.images import Grid, Series, array, boolean
    from gliosuite.perfusion.aif import Aif
    from gliosuite.perfusion.dce import dce_maps
    from gliosuite.perfusion.dce.settings import DceSettings
    from gliosuite.perfusion.t1 import T1Settings, t1_maps
    from gliosuite.report.pictures import maps_figure

    m = scipy.io.loadmat(DATA / "dce-invivo-vfa" / "invivo.mat")
    grid = Grid((192, 192, 1), (1.0, 1.0, 1.0), (0.0, 0.0, 0.0), (1.0, 0, 0, 0, 1.0, 0, 0, 0, 1.0))
    vfa, dce = (Series(m[k].astype(np.float32)[:, None], grid, k) for k in ("T1data", "DCEdata"))
    t1 = t1_maps(vfa, T1Settings(7.939, tuple(range(20, 1, -2))))
    times = m["t"].ravel().astype(float)
    aif = Aif(times, m["Cp"].ravel().astype(float), "given with the data", "csv")
    body = {"kep": (1e-3, 20.0)}  # /min; the default's are of brain
    maps = dce_maps(dce, times, DceSettings(tr_ms=7.939, flip_angle_deg=20.0, bounds=body), aif, t1.t1)
    shown = {"t1": array(t1.t1)} | {n: array(maps.maps[n]) for n in ("ktrans", "ve", "vp")}
    shown["ve"] = np.where(np.isfinite(array(maps.sd["ve"])), shown["ve"], np.nan)
    inside = boolean(maps.mask)
    save(maps_figure(dce.frames[-1], shown, {}, inside, inside, grid.spacing, oriented=False), "invivo-maps.png")


def planning_mr(folder: Path) -> None:
    """CTVs round a drawn ellipsoid on a stereotactic planning MR (Vestibular-Schwannoma-SEG, CC BY 4.0)."""
    import SimpleITK as sitk
    from gliosuite.dicom.volumes import read_dicom_volume
    from gliosuite.images import Grid, array, boolean, resample
    from gliosuite.lesions.brain import brain_mask
    from gliosuite.report import canonical, contours_figure
    from gliosuite.resources import colors, display
    from gliosuite.rt.targets import Structures, target_volumes

    with tarfile.open(next((DATA / "head-mr-dicom").glob("*.tar.gz"))) as archive:
        archive.extractall(folder)
    native = read_dicom_volume(folder)
    image = canonical(resample(native, Grid.of(native).isotropic(1.0)))
    grid = Grid.of(image)
    brain = brain_mask(image).mask
    centre = np.argwhere(boolean(brain)).mean(axis=0) + np.array([6, 5, 28])
    place = (np.indices(grid.shape).T - centre).T / np.array([14.0, 18.0, 12.0])[:, None, None, None]
    gtv = grid.image(((place**2).sum(axis=0) <= 1) & boolean(brain))
    volumes = {n: target_volumes(n, Structures(brain, cel=gtv, t2l=gtv)) for n in ("rtog", "estro-eano")}
    outlines = {"drawn ellipsoid": (boolean(gtv), display()["regions"]["cel"]["color"])}
    for name, v in volumes.items():
        ctv = v.targets[0].rule.ctv_name
        outlines[f"{ctv} ({name})"] = (boolean(v.ctv), colors([ctv])[ctv])
    outlines["brain mask (draft)"] = (boolean(brain), display()["regions"]["brain"]["color"])
    picture = contours_figure(
        {"T1 with contrast": array(sitk.Cast(image, sitk.sitkFloat32))},
        outlines,
        boolean(brain),
        boolean(gtv),
        grid.spacing,
    )
    save(picture, "vs-seg-ctv.png")


def tcga_targets(_folder: Path) -> None:
    """CTVs of a real glioma on T1c and FLAIR, and who covers what (TCGA-LGG, CC BY 3.0; automatic segmentation, Apache-2.0).

    Straight margins, margins round barriers that were placed by registration, and a CTV from a probability that no model made: the T2
    lesion, blurred.
    """
    from gliosuite.images import Grid, array, boolean, read_image, resample
    from gliosuite.report import canonical, contours_figure
    from gliosuite.report.pictures import slices_figure
    from gliosuite.resources import colors, display
    from gliosuite.rt.barriers import find_barriers
    from gliosuite.rt.compare import difference_map
    from gliosuite.rt.targets import Structures, target_volumes
    from scipy import ndimage

    source = DATA / "glioma-tcga-fg-6692" / "brats-space"
    images = {
        t: canonical(read_image(next(source.glob(f"*{k}*_bet.nii.gz")))) for t, k in (("T1c", "t1c"), ("FLAIR", "fla"))
    }
    grid = Grid.of(images["T1c"])
    labels = array(canonical(read_image(next(source.glob("*simple*.nii.gz")))), int)
    brain = grid.image(array(images["T1c"]) > 0)
    cel, t2l = grid.image(labels == 4), grid.image(labels > 0)
    made = {n: target_volumes(n, Structures(brain, cel=cel, t2l=t2l)) for n in ("rtog", "estro-eano")}
    looks = display()["regions"]
    outlines = {looks[n]["title"]: (boolean(m), looks[n]["color"]) for n, m in (("cel", cel), ("t2l", t2l))}
    ctvs = {v.targets[0].rule.ctv_name: v.targets[0].ctv for v in made.values()}
    shades = colors([*ctvs, "CTV_RTOG round barriers", *WALLS, "CTV_MODEL", "CTV_MODEL_LOW"])
    for name, mask in ctvs.items():
        outlines[name] = (boolean(mask), shades[name])
    backgrounds = {t: array(resample(i, grid)) for t, i in images.items()}
    inside, focus = boolean(brain), boolean(t2l)
    over = lambda drawn: [(title, volume, drawn) for title, volume in backgrounds.items()]
    save(slices_figure(over(outlines), inside, focus, grid.spacing), "tcga-ctv.png")
    map_, shares = difference_map(ctvs, grid, brain)
    alone = lambda s: (f"{s.covered_by[0]} alone", shades[s.covered_by[0]])
    fills = {s.label: alone(s) if len(s.covered_by) == 1 else ("both", "#9e9e9e") for s in shares}
    drawn = {n: outlines[n] for n in ctvs}
    picture = contours_figure(
        {"T1c": backgrounds["T1c"]}, drawn, inside, focus, grid.spacing, (array(map_, int), fills)
    )
    save(picture, "tcga-difference.png")

    lesions = {looks[n]["title"]: outlines[looks[n]["title"]] for n in ("cel", "t2l")}
    walls = find_barriers(images["T1c"], brain, t2l, grid)
    way = target_volumes("rtog", Structures(brain, cel=cel, t2l=t2l), barriers=walls)
    shown = lesions | {
        "CTV_RTOG, straight": outlines["CTV_RTOG"],
        "CTV_RTOG round barriers": (boolean(way.ctv), shades["CTV_RTOG round barriers"]),
    }
    for name in WALLS:
        shown[name] = (boolean(walls.masks[name]), shades[name])
    save(slices_figure(over(shown), inside, focus, grid.spacing), "tcga-barriers.png")

    soft = ndimage.gaussian_filter(focus.astype(np.float32), 8 / np.asarray(grid.spacing)[::-1])
    model = target_volumes(
        "model", Structures(brain, cel=cel, t2l=t2l), probability=grid.image(soft), threshold=0.15,
        probability_source="the T2 lesion blurred (Gaussian, SD 8 mm): no model made it",
    )  # fmt: skip
    shown = dict(lesions)
    for target in model.targets[::-1]:  # the ring of the lower level first: it would cover the other
        shown[target.rule.ctv_name] = (boolean(target.ctv), shades[target.rule.ctv_name])
    save(slices_figure(over(shown), inside, focus, grid.spacing), "tcga-predicted.png")


if __name__ == "__main__":
    OUT.mkdir(parents=True, exist_ok=True)
    only = sys.argv[1:]
    for draw, needs in (
        (demo, None),
        (tcga, "glioma-tcga-fg-6692"),
        (real_slice, "dce-invivo-vfa"),
        (planning_mr, "head-mr-dicom"),
        (tcga_targets, "glioma-tcga-fg-6692"),
    ):
        if only and draw.__name__ not in only:
            continue
        if needs and not (DATA / needs).exists():
            print(f"{needs} is not at hand, its picture was left as it is")
            continue
        with tempfile.TemporaryDirectory() as scratch:
            draw(Path(scratch))
