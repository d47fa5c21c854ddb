"""Redraw the contact sheets of simulated patients: Resources/Screenshots/cohort-1.png to cohort-3.png.

``make screenshots`` runs it. Twelve patients of preset default, a run of seeds of which none was chosen.
"""

import io

import numpy as np
import SimpleITK as sitk
from make_screenshots import OUT, save
from scipy import ndimage

PATIENTS, PER_SHEET, FIRST_SEED = 12, 4, 1000
TILE = (190, 228)  # pixels of 1 mm: a head's box


def main() -> None:
    """Scans, contours, true maps and the follow-up, on three sheets."""
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing import get_context

    from PIL import Image

    seeds = range(FIRST_SEED, FIRST_SEED + PATIENTS)
    with ProcessPoolExecutor(2, get_context("spawn")) as pool:
        rows = list(pool.map(_row, seeds))
    for sheet in range(0, PATIENTS, PER_SHEET):
        buffer = io.BytesIO()
        Image.fromarray(np.vstack([_heads(), *rows[sheet : sheet + PER_SHEET]])).save(buffer, "PNG")
        save(buffer.getvalue(), f"cohort-{sheet // PER_SHEET + 1}.png")


def _heads() -> np.ndarray:
    """The line above the columns."""
    from PIL import Image, ImageDraw, ImageFont

    names = (
        "T1c",
        "FLAIR",
        "CEL, T2L, cavity",
        "ktrans (true, 0-0.15 /min)",
        "CBV (true, 0-12 ml/100ml)",
        "progression: T1c",
        "FLAIR",
    )
    picture = Image.new("RGB", (len(names) * TILE[0], 22), "black")
    for i, name in enumerate(names):
        ImageDraw.Draw(picture).text((i * TILE[0] + 4, 4), name, "white", ImageFont.load_default(13))
    return np.asarray(picture)


def _row(seed: int) -> np.ndarray:
    """One patient: the slice with most enhancing tumour at either visit."""
    from gliosuite.images import array, boolean
    from gliosuite.resources import display
    from gliosuite.simulate.cohort import simulate_case
    from matplotlib import colormaps
    from PIL import ImageColor

    looks = {name: ImageColor.getrgb(look["color"]) for name, look in display()["regions"].items()}
    patient = simulate_case(seed, scans=("structural",))
    truth, later = patient.truth, patient.case.followup

    def tile(image: np.ndarray, high: float, colors: str | None = None) -> np.ndarray:
        shown = np.clip(image / high, 0, 1)
        picture = colormaps[colors](shown)[..., :3] * 255 if colors else np.repeat(shown[..., None] * 255, 3, -1)
        height, width = TILE[1], TILE[0]
        y, x = (max((n - size) // 2, 0) for n, size in zip(image.shape, (height, width)))
        return picture[y : y + height, x : x + width].astype(np.uint8)

    def place(mask: np.ndarray) -> int:
        return int(mask.sum(axis=(1, 2)).argmax())

    z = place(boolean(truth["cel"] if "cel" in truth.maps else truth["t2l"]))
    t1c, flair = patient.case.image("t1c"), _on(patient.case.image("flair"), patient.case.image("t1c"))
    outlined = tile(array(flair)[z], 900)
    for role in ("t2l", "cavity", "cel"):
        if role in truth.maps:
            edge = _edge(boolean(truth[role])[z])
            outlined[tile(edge, 1)[..., 0] > 0] = looks[role]
    maps = []
    for name, high, colors in (("ktrans", 0.15, "inferno"), ("cbv", 12, "inferno")):
        inside = boolean(truth["brain"])[z]
        maps.append(tile(array(truth[name])[z] * inside, high, colors) * (tile(inside, 1) > 0))
    seen = later.mask("cel") if "cel" in later.masks else later.mask("t2l")
    then = place(boolean(seen))
    after = [tile(array(_on(later.image(r), later.image("t1c")))[then], h) for r, h in (("t1c", 900), ("flair", 900))]
    return np.hstack([tile(array(t1c)[z], 900), tile(array(flair)[z], 900), outlined, *maps, *after])


def _on(image: object, like: object) -> object:
    return sitk.Resample(image, like, sitk.Transform(), sitk.sitkLinear)


def _edge(mask: np.ndarray) -> np.ndarray:
    return (mask & ~ndimage.binary_erosion(mask)).astype(float)


if __name__ == "__main__":
    OUT.mkdir(parents=True, exist_ok=True)
    main()
