"""What each barrier does, which masks are refused, and where the template's barriers land."""

import numpy as np
import pytest
import SimpleITK as sitk
from gliosuite.atlas import structures
from gliosuite.atlas import template as anatomy
from gliosuite.errors import InputError
from gliosuite.images import Grid, array, boolean, resample, write_image
from gliosuite.rt.barriers import (
    BarrierMasks,
    Barriers,
    _flat,
    _like_core,
    carried_barriers,
    find_barriers,
    read_barriers,
)
from gliosuite.rt.margins import expand
from gliosuite.rt.margins.expand import distance_map
from scipy import ndimage
from scipy.spatial import cKDTree

GRID = Grid((60, 50, 50), (1.0,) * 3, (0.0,) * 3, tuple(np.eye(3).ravel()))
Z, Y, X = np.indices(GRID.shape)
LESION = (X - 18) ** 2 + (Y - 25) ** 2 + (Z - 25) ** 2 <= 64
BRAIN = np.ones(GRID.shape, bool)
PLATE = np.abs(X - 30) < 1


def grown(margin: float = 20.0, through: tuple[str, ...] = (), **masks: np.ndarray) -> np.ndarray:
    given = BarrierMasks({n: GRID.image(m) for n, m in masks.items()}, "phantom", through)
    return boolean(expand(GRID.image(LESION), margin, given.barriers(GRID.image(BRAIN), margin)))


@pytest.mark.parametrize("name", ["falx", "tentorium", "brainstem", "chiasm"])
def test_what_stops_a_margin(name):
    assert not grown(**{name: PLATE})[X >= 30].any()


@pytest.mark.parametrize("name", ["brainstem", "chiasm"])
def test_brainstem_and_chiasm_may_be_ways_through(name):
    plain = boolean(expand(GRID.image(LESION), 20))
    assert np.array_equal(grown(through=(name,), **{name: PLATE}), plain)


@pytest.mark.parametrize("name", ["callosum", "peduncles"])
def test_what_crosses_a_wall_lets_the_margin_through(name):
    gap = PLATE & (abs(Y - 25) < 4) & (abs(Z - 25) < 4)
    result = grown(falx=PLATE, **{name: gap})
    assert result[(X == 35) & (Y == 25) & (Z == 25)].all()
    assert not result[PLATE & ~gap].any()


@pytest.mark.parametrize("margin", [15.0, 20.0])
def test_a_ventricle_lets_five_mm_in(margin):
    lesion, ventricle = (X > 5) & (X < 21), X >= 21
    masks = BarrierMasks({"ventricles": GRID.image(ventricle)}, "phantom")
    brain = GRID.image(BRAIN)
    way = array(distance_map(GRID.image(lesion), margin + 5, masks.barriers(brain, margin)))[25, 25]
    depth = np.interp(margin, way[21:27], np.arange(6) + 0.5)
    assert depth == pytest.approx(5, abs=0.5)
    entered = boolean(expand(GRID.image(lesion), margin, masks.barriers(brain, margin)))[25, 25, 21:].sum()
    assert entered in (4, 5)


def test_a_brain_mask_limits_and_the_lesion_itself_is_always_in():
    small = (X < 24) & (X > 14)
    result = grown(brain=small)
    assert result[LESION].all()
    assert not result[~small & ~LESION].any()


def test_rules_are_told():
    masks = BarrierMasks(
        {n: GRID.image(PLATE) for n in ("chiasm", "falx", "ventricles", "brainstem")}, "phantom", ("chiasm",)
    )
    assert masks.rules == {"falx": "stops", "ventricles": "let 5 mm in", "brainstem": "stops", "chiasm": "lets through"}


def test_a_sheet_keeps_its_hold_on_a_coarser_grid():
    coarse = Grid((20, 17, 17), (3.0,) * 3, (0.4, 0.7, 0.2), GRID.direction)
    sheet = np.abs((X - 30) + 0.5 * (Y - 25)) < 0.8
    carried = boolean(BarrierMasks({"falx": GRID.image(sheet)}, "phantom").on(coarse).masks["falx"])
    parts, _ = ndimage.label(~carried)
    assert parts[8, 8, 2] != parts[8, 8, 18]
    assert carried.mean() < 0.2


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"domain": GRID.blank()}, "domain is empty"),
        (
            {"domain": Grid((5, 5, 5), (1.0,) * 3, (0.0,) * 3, GRID.direction).blank()},
            "another grid than the mask to grow",
        ),
        ({"cost": sitk.Cast(GRID.blank(), sitk.sitkFloat32)}, "cost falls below 1"),
    ],
)
def test_unfit_barriers_are_refused(change, sentence):
    with pytest.raises(InputError, match=sentence):
        expand(GRID.image(LESION), 5, Barriers(**({"domain": GRID.image(BRAIN)} | change)))


def test_unknown_names_and_nothing_at_all_are_refused():
    for masks, through, sentence in (
        ({"skin": GRID.blank()}, (), "skin is no barrier that is known; the names are brain, falx"),
        ({"falx": GRID.blank()}, ("falx",), "falx is no structure to choose a way through"),
        ({}, (), "no barrier is given"),
    ):
        with pytest.raises(InputError, match=sentence):
            BarrierMasks(masks, "phantom", through)


def test_a_folder_of_masks(tmp_path):
    for name in ("falx", "ventricles"):
        write_image(GRID.image(PLATE), tmp_path / f"{name}.nii.gz")
    (tmp_path / "notes.txt").write_text("looked at")
    found = read_barriers(tmp_path, GRID)
    assert sorted(found.masks) == ["falx", "ventricles"]
    assert np.array_equal(boolean(found.masks["falx"]), PLATE)
    with pytest.raises(InputError, match=r"a way through the chiasm is asked for, but .* has no mask of it"):
        read_barriers(tmp_path, GRID, ("chiasm",))
    write_image(GRID.image(PLATE), tmp_path / "falx.nrrd")
    with pytest.raises(InputError, match=r"one barrier twice"):
        read_barriers(tmp_path, GRID)
    (tmp_path / "falx.nrrd").rename(tmp_path / "faulx.nrrd")
    with pytest.raises(InputError, match=r"faulx.nrrd is no barrier that is known; the names are"):
        read_barriers(tmp_path, GRID)


def test_folders_without_barriers_are_refused(tmp_path):
    with pytest.raises(InputError, match="holds no barrier; masks named brain, falx"):
        read_barriers(tmp_path, GRID)
    with pytest.raises(InputError, match=r"none is no folder|is no folder; --barriers takes"):
        read_barriers(tmp_path / "none", GRID)
    far = Grid(GRID.size, GRID.spacing, (900.0, 0.0, 0.0), GRID.direction)
    write_image(far.image(PLATE), tmp_path / "falx.nii.gz")
    with pytest.raises(InputError, match="does not overlap the image of the target volumes"):
        read_barriers(tmp_path, GRID)


@pytest.mark.parametrize("spacing", [1.5, 3.0])
def test_the_templates_barriers_part_its_compartments(spacing):
    grid = anatomy.template().grid.isotropic(spacing)
    masks = {n: boolean(m) for n, m in carried_barriers(sitk.Transform(), grid).items()}
    assert set(masks) == {"falx", "tentorium", "ventricles", "brainstem", "callosum", "peduncles"}
    parts = array(
        sitk.Resample(structures.template_compartments(), grid.blank(), sitk.Transform(), sitk.sitkNearestNeighbor),
        np.uint8,
    )
    walls = masks["falx"] | masks["tentorium"]
    joined, _ = ndimage.label((parts > 0) & (parts < 4) & ~walls)
    for one, other in ((1, 2), (1, 3), (2, 3)):
        assert not set(np.unique(joined[(parts == one) & ~walls])) & set(
            np.unique(joined[(parts == other) & ~walls])
        ) - {0}
    assert 1 < masks["peduncles"].sum() * grid.voxel_cc < 8
    assert not (masks["peduncles"] & masks["brainstem"]).any()


@pytest.fixture
def placed(monkeypatch):
    """The template stands in for the patient: registration itself is tested in its own room, and measured in the benchmark."""
    asked = {}

    def register(image, mask, stages):
        asked.update(image=image, mask=mask, stages=stages)
        return sitk.Transform(3, sitk.sitkIdentity)

    monkeypatch.setattr("gliosuite.rt.barriers.register_template", register)
    return asked


@pytest.fixture(scope="module")
def coarse():
    """The template's T1, brain and labels at 3 mm."""
    t = anatomy.template()
    grid = t.grid.isotropic(3.0)
    labels = sitk.Resample(structures.template_structures(), grid.blank(), sitk.Transform(), sitk.sitkNearestNeighbor)
    return resample(t.t1, grid), resample(t.brain, grid) > 0.5, array(labels, np.uint8)


def test_the_templates_barriers_are_carried_to_a_patient(placed, coarse):
    t1, brain, labels = coarse
    grid = Grid.of(t1)
    lesion = grid.image(labels == structures.LABELS["thalami"])
    found = find_barriers(t1, brain, lesion, through=("brainstem",))
    assert (found.source, found.rules["brainstem"]) == ("template registered to the image", "lets through")
    assert placed["stages"] == ("affine", "bspline")
    assert not boolean(placed["mask"])[boolean(lesion)].any(), "the lesion takes no part"
    for name in ("ventricles", "callosum", "falx"):
        a, b = (np.argwhere(m) * 3 for m in (labels == structures.LABELS[name], boolean(found.masks[name])))
        assert cKDTree(b).query(a)[0].mean() < 2, name


def test_an_image_without_a_head_is_refused(placed):
    grid = anatomy.template().grid.isotropic(6.0)
    noise = grid.image(np.random.default_rng(0).random(grid.shape).astype(np.float32))
    with pytest.raises(InputError, match=r"the template does not fit the image .*give masks"):
        find_barriers(noise, grid.image(np.ones(grid.shape, bool)))


def test_ventricles_are_redrawn_by_the_image(coarse):
    """Placed 3 mm off, dark in the image or bright: they end where the image says; without contrast they stay."""
    _, brain, labels = coarse
    grid = Grid.of(brain)
    true = labels == structures.LABELS["ventricles"]
    off = np.roll(true, 1, axis=1)
    dice = lambda a, b: 2 * (a & b).sum() / (a.sum() + b.sum())
    noise = np.random.default_rng(0).normal(0, 8, grid.shape)
    for fluid in (20, 300):
        values = np.where(true, fluid, 120) + noise
        redrawn = _like_core(values.astype(np.float32), off, boolean(brain), grid)
        assert dice(off, true) < 0.75
        assert dice(redrawn, true) > 0.85
    assert np.array_equal(_like_core(noise.astype(np.float32), off, boolean(brain), grid), off)


def test_shading_is_taken_out_and_tissue_stays():
    inside = (X - 30) ** 2 / 25**2 + (Y - 25) ** 2 / 20**2 + (Z - 25) ** 2 / 20**2 <= 1
    tissue = np.where(ndimage.gaussian_filter(np.random.default_rng(3).standard_normal(GRID.shape), 3) > 0, 1.2, 0.8)
    shading = 1 + 0.5 * (Y - 25) / 25
    head = Grid(GRID.size, (3.0,) * 3, GRID.origin, GRID.direction)
    flat = lambda v: array(_flat(head.image((300 * v).astype(np.float32)), inside, inside))
    even, shaded = flat(tissue), flat(tissue * shading)
    assert np.ptp(even[~inside]) == 0
    front, back = inside & (Y > 35), inside & (Y < 15)
    ratio = lambda v: v[front].mean() / v[back].mean() / (tissue[front].mean() / tissue[back].mean())
    assert ratio(tissue * shading) > 1.7
    assert ratio(shaded) < 1.25
    assert np.corrcoef(even[inside], shaded[inside])[0, 1] > 0.9


def test_the_command_writes_a_folder_that_margins_take(tmp_path, gliosuite, monkeypatch):
    from gliosuite.rt import barriers

    seen = {}

    def placed(image, brain, lesion, grid):
        seen["lesion"] = boolean(lesion)
        return BarrierMasks({"falx": grid.image(PLATE)}, "template registered to the image")

    monkeypatch.setattr(barriers, "find_barriers", placed)
    for name, mask in (("brain", BRAIN), ("cel", LESION), ("cavity", np.roll(LESION, 5, 2))):
        write_image(GRID.image(mask), tmp_path / f"{name}.nii.gz")
    (tmp_path / "walls").mkdir()
    (tmp_path / "walls" / "notes.txt").write_text("mine")
    lesion = ("--lesion", tmp_path / "cel.nii.gz", tmp_path / "cavity.nii.gz", "--out", tmp_path / "walls")
    code, _, err = gliosuite("barriers", "--brain", tmp_path / "brain.nii.gz", *lesion)
    assert code == 2
    assert "--image is missing" in err.splitlines()[-1]
    code, _, _ = gliosuite(
        "barriers", "--image", tmp_path / "brain.nii.gz", "--brain", tmp_path / "brain.nii.gz", *lesion
    )
    assert code == 0
    assert np.array_equal(seen["lesion"], LESION | np.roll(LESION, 5, 2))
    assert (tmp_path / "walls" / "notes.txt").exists()
    assert list(read_barriers(tmp_path / "walls", GRID).masks) == ["falx"]
