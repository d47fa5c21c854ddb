import numpy as np
import pytest
from gliosuite.atlas import LABELS
from gliosuite.simulate import phantom
from scipy import ndimage


@pytest.fixture(scope="module")
def head():
    return phantom.build_head(3, 3.0, 18.0)


@pytest.fixture(scope="module")
def fine():
    return phantom.build_head(3, 1.0, 18.0)


def test_random_field_has_unit_variance_and_is_the_same_on_any_grid():
    fine = phantom.random_field(phantom.head_grid(2.0), phantom.stream(1, "x"), 9.0)
    coarse = phantom.random_field(phantom.head_grid(6.0), phantom.stream(1, "x"), 9.0)
    assert fine.std() == pytest.approx(1.0, abs=0.1)
    assert abs(fine.mean()) < 0.1
    # Each coarse voxel's centre is that of the middle one of 3 x 3 x 3 fine ones.
    nz, ny, nx = (n // 3 for n in fine.shape)
    middle = fine[1 : 3 * nz : 3, 1 : 3 * ny : 3, 1 : 3 * nx : 3]
    np.testing.assert_allclose(middle, coarse[:nz, :ny, :nx], atol=1e-4)


def test_parts_have_streams_of_their_own():
    a, b = phantom.stream(5, "dce"), phantom.stream(5, "dsc")
    assert a.random() != b.random()
    assert phantom.stream(5, "dce").random() == phantom.stream(5, "dce").random()


def test_head_is_whole(head):
    total = sum(head.tissues.values())
    assert total.min() >= 0
    assert total.max() <= 1 + 1e-5
    np.testing.assert_allclose(total[head.brain], 1, atol=1e-5)
    assert 1100 < head.brain.sum() * head.grid.voxel_cc < 1950, "an adult's"
    assert 5 < head.ventricles.sum() * head.grid.voxel_cc < 60
    assert not (head.ventricles & ~head.brain).any()


def test_seed_lies_in_white_matter(head):
    index = tuple(np.round((head.seed_mm - head.grid.origin) / head.grid.spacing).astype(int)[::-1])
    assert head.tissues["wm"][index] > 0.6


def test_scalp_and_skull_surround_the_brain(head):
    z = np.flatnonzero(head.brain.any(axis=(1, 2)))
    middle = z[int(len(z) * 0.6)]
    for name in ("bone", "fat"):
        assert head.tissues[name][middle].max() > 0.5
        assert head.tissues[name][head.brain].max() == 0
    bare = phantom.build_head(3, 3.0, 18.0, skull=False)
    assert sum(bare.tissues.values())[~bare.brain].max() == 0


def test_arteries_and_sinus_hold_whole_voxels(fine):
    for name in ("artery", "vein"):
        assert (fine.tissues[name] > 0.98).sum() * fine.grid.voxel_cc > 0.5


def test_same_seed_same_head_other_seed_other_head(head):
    again, other = phantom.build_head(3, 3.0, 18.0), phantom.build_head(4, 3.0, 18.0)
    for name, values in head.tissues.items():
        assert values.tobytes() == again.tissues[name].tobytes()
    assert np.abs(head.tissues["wm"] - other.tissues["wm"]).mean() > 0.01


def test_mass_pushes_tissue_away():
    grid = phantom.head_grid(3.0)
    centre = np.array([30.0, 0.0, 20.0])
    x, y, z = phantom.positions(grid)
    field = phantom.push(grid, centre, 20.0, 3.0)
    outward = sum(f * (p - c) for f, p, c in zip(field, (x, y, z), centre))
    distance = np.sqrt(sum((p - c) ** 2 for p, c in zip((x, y, z), centre)))
    size = np.sqrt(sum(f**2 for f in field))
    assert outward.min() >= 0
    assert size.max() == pytest.approx(3.0, rel=0.02)
    assert abs(distance.ravel()[size.argmax()] - 20.0) < 3.0


def test_head_has_structures_and_compartments(head, fine):
    assert not (head.compartments[~head.brain]).any()
    assert (head.compartments[head.brain] > 0).all()
    for name, label in LABELS.items():
        assert (head.structures == label).any(), name
        if name in ("brainstem", "thalami", "cerebellum", "callosum"):  # the same on every grid, up to its voxels
            volumes = [(h.structures == label).sum() * h.grid.voxel_cc for h in (head, fine)]
            assert volumes[0] == pytest.approx(volumes[1], rel=0.06), name
    # Structures are warped with the tissues: the callosum is white, the ventricles are fluid, the stem is in the open.
    assert fine.tissues["wm"][fine.structures == LABELS["callosum"]].mean() > 0.85
    assert (fine.ventricles & (fine.structures == LABELS["ventricles"])).sum() > 0.9 * fine.ventricles.sum()
    assert (fine.compartments[(fine.structures == LABELS["brainstem"]) & fine.brain] == 4).all()
    left, right = ((fine.compartments == c).sum() for c in (1, 2))
    assert left == pytest.approx(right, rel=0.1)


def test_dura_is_a_thin_sheet_of_the_same_volume_on_every_grid(head, fine):
    volumes = [h.tissues["dura"].sum() * h.grid.voxel_cc for h in (head, fine)]
    assert 8 < volumes[1] < 15
    assert volumes[0] == pytest.approx(volumes[1], rel=0.05)
    assert head.tissues["dura"].max() < 0.4, "1 mm in voxels of 3 mm"
    sheets = np.isin(fine.structures, (LABELS["falx"], LABELS["tentorium"]))
    assert fine.tissues["dura"][ndimage.binary_dilation(sheets)].sum() > 0.95 * fine.tissues["dura"].sum()
    falx = ndimage.binary_dilation(fine.structures == LABELS["falx"], np.ones((1, 1, 5)))
    thick = (fine.tissues["dura"] * falx).sum(axis=2)[(fine.structures == LABELS["falx"]).any(axis=2)]
    assert 0.7 < np.median(thick) < 1.1, "1 mm on the template, which is larger than most heads"


def test_straight_sinus_lies_where_falx_and_tentorium_join(fine):
    vein = (fine.tissues["vein"] > 0.5) & fine.brain & (fine.compartments != 4)
    near = ndimage.distance_transform_edt(~(fine.structures == LABELS["falx"])) <= 3
    near &= ndimage.distance_transform_edt(~(fine.structures == LABELS["tentorium"])) <= 3
    assert 150 < (vein & near).sum() < 1500


def test_mass_effect_scales_the_displacement():
    with_mass, without, far = (
        phantom.build_head(3, 3.0, r, mass_effect=m) for r, m in ((18.0, 1.0), (18.0, 0.0), (30.0, 0.0))
    )
    assert without.tissues["wm"].tobytes() == far.tissues["wm"].tobytes()
    assert with_mass.tissues["wm"].tobytes() != without.tissues["wm"].tobytes()
    np.testing.assert_array_equal(with_mass.seed_mm, without.seed_mm)


def test_grey_and_white_share_a_voxel_without_fluid(fine):
    bare = phantom.build_head(3, 1.0, 18.0, skull=False)
    both = (fine.tissues["gm"] > 0.3) & (fine.tissues["wm"] > 0.3)
    assert fine.tissues["csf"][both].mean() < 0.05
    for name in ("gm", "wm", "dura"):
        inside = fine.brain & (fine.tissues["artery"] == 0)
        np.testing.assert_allclose(fine.tissues[name][inside], bare.tissues[name][inside], atol=0.01)
