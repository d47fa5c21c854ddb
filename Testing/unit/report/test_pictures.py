"""Which slices are shown, and pictures of them."""

import io

import numpy as np
import pytest
from gliosuite.report.pictures import COUNT, contours_figure, data_uri, maps_figure, slices_figure, slices_that_matter

pytest.importorskip("matplotlib")
SHAPE = (40, 50, 44)
AT = np.indices(SHAPE)


def ball(radius: float, z: float = 20.0) -> np.ndarray:
    return np.sqrt((AT[0] - z) ** 2 + (AT[1] - 25) ** 2 + (AT[2] - 22) ** 2) <= radius


BRAIN, LESION = ball(18), ball(7, 23)
IMAGE = np.where(BRAIN, 100.0 + AT[0], 0).astype(np.float32)


def size(png: bytes) -> tuple[int, int]:
    from PIL import Image

    return Image.open(io.BytesIO(png)).size


def test_six_slices_cross_the_lesion_with_its_largest_among_them():
    found = slices_that_matter(LESION)
    assert len(found) == COUNT == len(set(found))
    assert found == sorted(found)
    assert 23 in found
    assert all(LESION[z].any() for z in found)


@pytest.mark.parametrize("thickness", [1, 2, 4])
def test_a_thin_lesion_shows_all_its_slices(thickness):
    mask = np.zeros(SHAPE, bool)
    mask[10 : 10 + thickness, 20:25, 20:25] = True
    assert slices_that_matter(mask) == list(range(10, 10 + thickness))


def test_without_a_lesion_slices_lie_round_the_middle():
    found = slices_that_matter(np.zeros(SHAPE, bool))
    assert len(found) == COUNT
    assert min(found) >= 0
    assert max(found) < SHAPE[0]
    assert slices_that_matter(np.zeros((1, 5, 5), bool)) == [0]


def test_pictures_are_as_wide_as_each_other_and_the_same_each_time():
    outlines = {"brain": (BRAIN, "#9e9e9e"), "lesion": (LESION, "#ff4d4d")}
    draw = lambda: contours_figure({"T1c": IMAGE}, outlines, BRAIN, LESION, (1.0, 1.0, 1.0))
    first = draw()
    assert first == draw()
    rows = slices_figure([("before", IMAGE, outlines), ("after", IMAGE, {})], BRAIN, LESION, (1.0, 1.0, 1.0))
    maps = maps_figure(IMAGE, {"ktrans": IMAGE / 1000, "ve": IMAGE / 300}, outlines, BRAIN, LESION, (1.0, 1.0, 1.0))
    assert size(first)[0] == size(rows)[0] == size(maps)[0]


def test_maps_of_one_slice_stand_side_by_side():
    flat = dict.fromkeys(("t1", "ktrans", "ve", "vp"), IMAGE[20:21] / 1000)
    wide, tall = size(maps_figure(IMAGE[20:21], flat, {}, BRAIN[20:21], BRAIN[20:21], (1.0, 1.0, 1.0), oriented=False))
    assert wide > 2 * tall


def test_the_page_holds_a_smaller_picture():
    png = contours_figure({"T1c": IMAGE}, {}, BRAIN, LESION, (1.0, 1.0, 1.0))
    assert data_uri(png).startswith("data:image/")
    assert len(data_uri(png)) < len(png)
