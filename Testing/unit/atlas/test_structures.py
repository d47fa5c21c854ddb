"""Structures and compartments on the template: sizes, places, and that compartments stay shut however they are sampled."""

import numpy as np
import pytest
import SimpleITK as sitk
from gliosuite.atlas import structures
from gliosuite.atlas import template as anatomy
from gliosuite.images import Grid, array, boolean
from scipy import ndimage

LEFT, RIGHT, BELOW, OPEN = 1, 2, 3, 4


@pytest.fixture(scope="module")
def labels():
    return array(structures.template_structures(), np.uint8)


@pytest.fixture(scope="module")
def axes():
    """MNI mm along the template's axes, shaped for arrays (z, y, x)."""
    x, y, z = structures._axes(anatomy.template().grid)
    return x[None, None, :], y[None, :, None], z[:, None, None]


def at(values: np.ndarray, *point: float) -> np.ndarray:
    """Values within 2 mm of an MNI point."""
    i, j, k = anatomy.template().t1.TransformPhysicalPointToIndex((-float(point[0]), -float(point[1]), float(point[2])))
    return values[k - 2 : k + 3, j - 2 : j + 3, i - 2 : i + 3]


@pytest.mark.parametrize(
    ("name", "low_cc", "high_cc"),
    [
        ("brainstem", 22, 33),
        ("thalami", 13, 22),
        ("callosum", 14, 26),
        ("cerebellum", 140, 200),
        ("ventricles", 15, 28),
    ],
)
def test_sizes_are_an_adults(labels, name, low_cc, high_cc):
    assert low_cc < (labels == structures.LABELS[name]).sum() / 1000 < high_cc


@pytest.mark.parametrize(
    ("name", "point"),
    [
        ("brainstem", (4, -24, -32)),
        ("brainstem", (-6, -28, -14)),
        ("brainstem", (0, -44, -60)),
        ("thalami", (12, -18, 6)),
        ("thalami", (-16, -28, 6)),
        ("callosum", (0, 30, 4)),
        ("callosum", (0, -5, 25)),
        ("callosum", (0, -39, 15)),
        ("cerebellum", (0, -65, -25)),
        ("cerebellum", (-35, -60, -40)),
        ("ventricles", (10, 10, 12)),
        ("ventricles", (0, -45, -32)),
        ("falx", (0, 55, 20)),
        ("falx", (0, 0, 60)),
        ("falx", (0, -80, 20)),
        ("tentorium", (30, -65, -18)),
        ("tentorium", (-45, -50, -29)),
    ],
)
def test_structures_are_where_textbooks_say(labels, name, point):
    assert (at(labels, *point) == structures.LABELS[name]).any()


def test_structures_are_symmetric_and_whole(labels):
    for name in ("brainstem", "thalami", "callosum", "cerebellum"):
        mask = labels == structures.LABELS[name]
        mirrored = mask[:, :, ::-1]
        assert 2 * (mask & mirrored).sum() / (2 * mask.sum()) > 0.97
        parts = ndimage.label(mask, np.ones((3, 3, 3)))[0]
        largest = np.sort(np.bincount(parts.ravel())[1:])[::-1]
        assert largest[: 2 if name == "thalami" else 1].sum() > 0.98 * mask.sum(), name


def test_falx_is_a_thin_sheet_with_a_free_edge(labels, axes):
    x, y, z = axes
    falx = labels == structures.LABELS["falx"]
    assert np.abs(np.broadcast_to(x, falx.shape)[falx]).max() <= 1
    assert falx.sum(axis=2).max() == 2, "2 mm"
    _, column, _ = (a.ravel() for a in axes)
    lowest = {c: np.broadcast_to(z, falx.shape)[:, column == c][falx[:, column == c]].min() for c in (30.0, 0.0, -35.0)}
    # The callosum's upper surface at these places is at 13, 30 and 27 mm: the gap closes towards the back.
    gaps = [lowest[30.0] - 13, lowest[0.0] - 30, lowest[-35.0] - 27]
    assert gaps[0] > gaps[1] > gaps[2] > 0
    depth = np.ptp(np.broadcast_to(y, falx.shape)[falx & (z == 5)])
    assert depth > 140, "from the frontal to the occipital bone"


def test_tentorium_is_a_tent_with_a_notch(labels, axes):
    x, _, _ = axes
    tent = labels == structures.LABELS["tentorium"]
    heights = np.where(tent, axes[2], np.nan)

    def height(at_x, at_y):
        column = heights[:, (axes[1].ravel() == at_y).nonzero()[0][0], (x.ravel() == at_x).nonzero()[0][0]]
        return np.nanmean(column)

    assert height(2.0, -56.0) > height(20.0, -56.0) + 12 > height(45.0, -56.0) + 15
    assert height(20.0, -45.0) == pytest.approx(height(-20.0, -45.0), abs=1.0)
    midbrain = tent & (abs(x) < 13) & (axes[1] > -36)
    assert not midbrain.any(), "the notch is open"
    # The valley between lobe and cerebellum is dark: the sheet lies in it.
    t1 = array(anatomy.template().t1)
    inside = boolean(anatomy.template().brain) & (abs(x) > 8)
    shifted = np.roll(tent, 4, axis=0), np.roll(tent, -4, axis=0)
    assert t1[tent & inside].mean() < min(t1[s & inside].mean() for s in shifted) - 15


def test_cerebellum_lies_below_and_occipital_lobe_above(labels):
    compartments = array(structures.template_compartments(), np.uint8)
    for point, expected in (
        ((30, -80, -35), BELOW),
        ((-8, -50, -8), BELOW),
        ((20, -85, -8), RIGHT),
        ((-30, -40, -14), LEFT),
        ((-45, 10, -35), LEFT),
        ((22, -30, -18), RIGHT),
        ((0, -5, 25), OPEN),
        ((0, -25, -30), OPEN),
        ((2, 2, -5), OPEN),
    ):
        assert (at(compartments, *point) == expected).mean() > 0.6, (point, expected)
    assert ((compartments > 0) == boolean(anatomy.template().brain)).all()
    assert (compartments[labels == structures.LABELS["cerebellum"]] == BELOW).mean() > 0.99


def sampled(spacing_mm: float, seed: int | None) -> tuple[np.ndarray, np.ndarray]:
    """Compartments by nearest neighbour on a grid of `spacing_mm`, bent smoothly by up to about 8 mm, and the position's x (LPS) there."""
    t = anatomy.template()
    grid = t.grid.isotropic(spacing_mm)
    bend = sitk.Transform()
    if seed is not None:
        bend = sitk.BSplineTransformInitializer(t.t1, [6, 6, 6], 3)
        bend.SetParameters(tuple(np.random.default_rng(seed).normal(0, 6.0, len(bend.GetParameters()))))
    found = sitk.Resample(structures.template_compartments(), grid.blank(), bend, sitk.sitkNearestNeighbor)
    x = -structures._axes(t.grid)[0].astype(np.float32)
    place = Grid.of(t.t1).image(np.ascontiguousarray(np.broadcast_to(x, t.grid.shape)))
    return array(found, np.uint8), array(sitk.Resample(place, grid.blank(), bend, sitk.sitkLinear, 0.0))


def flood(compartments: np.ndarray, through_open: bool) -> set[int]:
    """Compartments that a spread from the left cerebrum reaches: faces between 1, 2 and 3 are walls, 4 is open to all."""
    walled = np.array([0, LEFT, RIGHT, BELOW, OPEN if through_open else 0])[compartments]
    joined = []
    for one in (LEFT, RIGHT, BELOW):  # one compartment with what is open: no wall within
        parts, _ = ndimage.label((walled == one) | (walled == OPEN))
        joined.append(parts)
    reached = walled == LEFT
    while True:
        before = reached.sum()
        for parts in joined:
            keep = np.unique(parts[reached])
            reached = reached | np.isin(parts, keep[keep > 0])
        if reached.sum() == before:
            return set(np.unique(compartments[reached]).tolist())


@pytest.mark.parametrize("spacing_mm", [1.0, 2.0, 3.0])
@pytest.mark.parametrize("seed", [None, 1])
def test_compartments_are_watertight(spacing_mm, seed):
    compartments, x = sampled(spacing_mm, seed)
    assert flood(compartments, through_open=False) == {LEFT}
    assert flood(compartments, through_open=True) == {LEFT, RIGHT, BELOW, OPEN}
    # A wall is only worth as much as its place: no voxel bears the other side's label by more than a voxel.
    assert x[compartments == LEFT].min() > -spacing_mm
    assert x[compartments == RIGHT].max() < spacing_mm


def test_without_what_is_open_only_midline_faces_join_the_hemispheres():
    """Left and right touch only near x = 0, and not through the callosum's or the thalami's tissue."""
    compartments, x = sampled(1.0, None)
    tissue = array(anatomy.template_csf()) < 0.5
    for axis in range(3):
        a, b = (np.take(compartments, range(i, compartments.shape[axis] - 1 + i), axis) for i in (0, 1))
        place = np.take(x, range(compartments.shape[axis] - 1), axis)
        touching = (np.minimum(a, b) == LEFT) & (np.maximum(a, b) == RIGHT)
        assert np.abs(place[touching]).max(initial=0) <= 1
    # White matter that crosses the midline is open: what crosses elsewhere is a blur of two banks of the fissure.
    middle = (np.abs(x) <= 1) & tissue & (array(anatomy.template().wm) > 128)
    assert np.isin(compartments[middle], (OPEN, BELOW)).mean() > 0.97


def rod(direction: np.ndarray, radius_mm: float, spacing_mm: tuple[float, float, float]) -> np.ndarray:
    """White matter as a long rod through the middle of a box of 60 mm."""
    axes = [np.arange(round(60 / s)) * s - 30 for s in spacing_mm]
    points = np.stack(np.meshgrid(*axes[::-1], indexing="ij"), -1)[..., ::-1]
    away = np.linalg.norm(points - (points @ direction)[..., None] * direction, axis=-1)
    return np.clip(radius_mm + 0.5 - away, 0, 1).astype(np.float32)


@pytest.mark.parametrize("direction", [(1.0, 0.0, 0.0), (0.0, 0.6, 0.8), (0.5, -0.5, 0.7071)])
def test_fibres_follow_a_rod(direction):
    direction = np.array(direction) / np.linalg.norm(direction)
    wm = rod(direction, 4.0, (2.0, 2.0, 3.0))
    found = structures.fibre_direction(wm, (2.0, 2.0, 3.0))
    middle = (wm > 0.9) & (rod(np.array([0.0, 0.0, 1.0]), 15.0, (2.0, 2.0, 3.0)) > 0)
    middle[:5] = middle[-5:] = False
    assert np.linalg.norm(found[wm > 0], axis=-1) == pytest.approx(1, abs=1e-5)
    assert np.degrees(np.arccos(np.clip(np.abs(found[middle] @ direction), 0, 1))).mean() < 6
    assert (found[wm > 0.9] @ direction > 0).all() or (found[wm > 0.9] @ direction < 0).all(), "one sign"


def test_fibres_lie_in_a_sheet_and_nowhere_without_white_matter():
    wm = np.zeros((30, 30, 30), np.float32)
    wm[14:17] = 1
    found = structures.fibre_direction(wm, (2.0, 2.0, 2.0), scale_mm=3.0)
    assert np.abs(found[14:17, 8:-8, 8:-8, 2]).max() < 0.05
    assert not found[0].any()
    assert not structures.fibre_direction(np.zeros_like(wm), (2.0, 2.0, 2.0)).any()


def test_fibres_of_the_template_run_as_known(labels):
    wm = array(anatomy.template().wm)[::2, ::2, ::2] / np.float32(255)
    found = structures.fibre_direction(wm, (2.0, 2.0, 2.0), labels=labels[::2, ::2, ::2])
    full = np.repeat(np.repeat(np.repeat(found, 2, 0), 2, 1), 2, 2)
    for point, axis in (
        ((0, -5, 25), 0),  # callosum, body
        ((0, 30, 4), 0),  # genu
        ((0, -38, 15), 0),  # splenium
        ((22, -20, 5), 2),  # corticospinal tract in the internal capsule
        ((5, -22, -30), 2),  # pons
        ((9, 0, 36), 1),  # cingulum
        ((32, -60, 4), 1),  # optic radiation
    ):
        assert np.abs(at(full[..., axis], *point)).mean() > 0.7, point
