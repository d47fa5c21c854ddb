"""The only reader and writer of images: truncated files, geometry, masks carried between grids."""

import gzip
import os

import numpy as np
import pytest
import SimpleITK as sitk
from gliosuite import images
from gliosuite.errors import InputError
from gliosuite.images import Grid, Series
from scipy import ndimage

OBLIQUE = tuple(
    sitk.Euler3DTransform((0, 0, 0), 0.3, -0.2, 0.5).GetMatrix()  # a rotation about three axes
)
GRID = Grid((9, 8, 7), (1.0, 1.5, 2.5), (-10.0, 20.0, 5.0), OBLIQUE)
VALUES = np.random.default_rng(1).integers(-500, 500, GRID.shape).astype(np.int16)


def ball(grid: Grid, centre_mm, radius_mm: float) -> np.ndarray:
    z, y, x = np.meshgrid(*[np.arange(n) for n in grid.shape], indexing="ij")
    index = np.stack([x, y, z], -1).reshape(-1, 3)
    points = index @ (np.reshape(grid.direction, (3, 3)) * grid.spacing).T + grid.origin
    return (np.linalg.norm(points - centre_mm, axis=1) <= radius_mm).reshape(grid.shape)


# ------------------------------------------------------------------------------------------------------- writing and reading


@pytest.mark.parametrize("name", ["a.nii.gz", "a.nii", "a.nrrd", "a.mha"])
def test_an_image_comes_back_as_it_was(tmp_path, name):
    path = images.write_image(GRID.image(VALUES), tmp_path / "new" / name, "ktrans 1/min")
    back = images.read_image(path)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(back), VALUES)
    assert back.GetPixelID() == sitk.sitkInt16
    assert Grid.of(back).matches(GRID)
    assert [p.name for p in path.parent.iterdir()] == [name]


def test_the_same_image_gives_the_same_bytes_and_keeps_its_description(tmp_path):
    a = images.write_image(GRID.image(VALUES), tmp_path / "a.nii.gz", "ktrans 1/min").read_bytes()
    b = images.write_image(GRID.image(VALUES), tmp_path / "b.nii.gz", "ktrans 1/min").read_bytes()
    assert a == b
    assert b"ktrans 1/min" in gzip.decompress(a)[:348]


@pytest.mark.parametrize("name", ["s.nii.gz", "s.mha", "s.nrrd"])
def test_a_series_comes_back_as_it_was(tmp_path, name):
    frames = np.stack([VALUES + t for t in range(5)]).astype(np.float32)
    path = images.write_series(Series(frames, GRID), tmp_path / name, 2.5)
    back = images.read_series(path)
    np.testing.assert_array_equal(back.frames, frames)
    assert back.n_times == 5
    assert back.grid.matches(GRID)
    np.testing.assert_array_equal(back.curves(VALUES > 400)[0], frames[:, VALUES > 400][:, 0])
    with pytest.raises(InputError, match=r"has 5 volumes; one 3-D image is needed"):
        images.read_image(path)


def test_frames_as_components_are_a_series(tmp_path):
    """Slicer writes sequences so."""
    frames = np.stack([VALUES + t for t in range(5)]).astype(np.float32)
    vector = sitk.Compose([GRID.image(f) for f in frames])
    images.write_image(vector, tmp_path / "s.seq.nrrd")
    np.testing.assert_array_equal(images.read_series(tmp_path / "s.seq.nrrd").frames, frames)
    with pytest.raises(InputError, match="5 values per voxel; a scalar image is needed"):
        images.read_image(tmp_path / "s.seq.nrrd")


def test_one_volume_is_no_series(tmp_path):
    path = images.write_image(GRID.image(VALUES), tmp_path / "a.nii.gz")
    with pytest.raises(InputError, match="has 1 time point; a 4-D series is needed"):
        images.read_series(path)


# ------------------------------------------------------------------------------------------------------------ damaged files


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz", "a.nrrd", "raw.nrrd", "a.mha", "raw.mha"])
@pytest.mark.parametrize("kept", [0.97, 0.5])
def test_a_truncated_file_is_refused(tmp_path, name, kept):
    path = tmp_path / name
    big = Grid((40, 40, 20), (1.0, 1.0, 1.0), (0.0, 0.0, 0.0), (1.0, 0, 0, 0, 1.0, 0, 0, 0, 1.0))
    noise = np.random.default_rng(2).integers(-500, 500, big.shape).astype(np.int16)
    if name.startswith("raw"):
        sitk.WriteImage(big.image(noise), str(path), useCompression=False)
    else:
        images.write_image(big.image(noise), path)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(kept * len(whole))])
    with pytest.raises(InputError, match=name.replace(".", r"\.")) as error:
        images.read_image(path)
    assert "\n" not in str(error.value)


def test_a_truncated_nifti_says_what_is_missing(tmp_path):
    path = images.write_image(GRID.image(VALUES), tmp_path / "a.nii")
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(InputError, match=r"a\.nii is truncated: 1350 bytes found, 1360 needed for 9x8x7 voxels"):
        images.read_image(path)
    packed = tmp_path / "b.nii.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()))  # a whole gzip stream of a truncated file
    with pytest.raises(InputError, match=r"b\.nii\.gz is truncated"):
        images.read_image(packed)


def test_a_damaged_gzip_stream_is_refused(tmp_path):
    path = images.write_image(GRID.image(VALUES), tmp_path / "a.nii.gz")
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"a\.nii\.gz"):
        images.read_image(path)


def test_what_is_no_image_is_refused(tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        images.read_image(tmp_path / "a.nii.gz")
    with pytest.raises(InputError, match="is a folder"):
        images.read_image(tmp_path)
    for name, text in (
        ("a.txt", "its name must end in one of"),
        ("a.nii", "not a NIfTI file"),
        ("a.nrrd", "not an NRRD file"),
        ("a.mha", r"a\.mha"),
    ):
        (tmp_path / name).write_bytes(b"not an image at all" * 30)
        with pytest.raises(InputError, match=text):
            images.read_image(tmp_path / name)
    (tmp_path / "RS.dcm").write_bytes(b"\0" * 128 + b"DICM")
    with pytest.raises(
        InputError, match=r"RS\.dcm is a DICOM file; a structure of an RT structure set is named behind it"
    ):
        images.read_image(tmp_path / "RS.dcm")


def test_writing_to_a_full_disk_leaves_nothing(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(InputError, match="no space left"):
        images.write_image(GRID.image(VALUES), tmp_path / "out" / "a.nii.gz")
    assert list(tmp_path.iterdir()) == []


def test_a_file_cut_short_by_the_disk_is_noticed(tmp_path, monkeypatch):
    """ITK says nothing when the disk fills while it writes."""
    write = sitk.WriteImage

    def short(image, path, **options):
        write(image, path, **options)
        with open(path, "r+b") as stream:
            stream.truncate(400)

    monkeypatch.setattr(sitk, "WriteImage", short)
    with pytest.raises(InputError, match="could not be written whole: the disk may be full"):
        images.write_image(GRID.image(VALUES), tmp_path / "out" / "a.nii")
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_suffix_is_refused(tmp_path):
    with pytest.raises(InputError, match="is not an image name that GlioSuite writes"):
        images.write_image(GRID.image(VALUES), tmp_path / "a.png")


# ----------------------------------------------------------------------------------------------------------------- geometry


def test_isotropic_grid_has_the_same_field_of_view():
    iso = GRID.isotropic(0.5)
    assert iso.size == (18, 24, 35)
    edge = lambda g, sign: (
        np.asarray(g.origin)
        + np.reshape(g.direction, (3, 3))
        @ ((np.asarray(g.size) - 1) / 2 * np.asarray(g.spacing) + sign * np.asarray(g.size) * np.asarray(g.spacing) / 2)
    )
    for sign in (-1, 1):
        np.testing.assert_allclose(edge(iso, sign), edge(GRID, sign), atol=1e-9)


def test_grids_match_to_a_hundredth_of_a_voxel():
    moved = Grid(GRID.size, GRID.spacing, tuple(np.add(GRID.origin, (0.005, 0, 0))), GRID.direction)
    assert GRID.matches(moved)
    assert not GRID.matches(Grid(GRID.size, GRID.spacing, tuple(np.add(GRID.origin, (0.05, 0, 0))), GRID.direction))
    assert not GRID.matches(Grid((9, 8, 6), GRID.spacing, GRID.origin, GRID.direction))


def test_an_array_of_another_shape_does_not_fit():
    with pytest.raises(ValueError, match="does not fit"):
        GRID.image(np.zeros((9, 8, 7)))


def test_linear_resampling_of_a_ramp_is_exact():
    grid = Grid((20, 20, 20), (1.0, 1.0, 1.0), (-10.0, -10.0, -10.0), (1.0, 0, 0, 0, 1.0, 0, 0, 0, 1.0))
    z, y, x = np.meshgrid(*[np.arange(20) - 10.0] * 3, indexing="ij")
    target = Grid((5, 5, 5), (0.7, 0.7, 0.7), (-1.0, -1.5, -2.0), OBLIQUE)
    moved = images.array(images.resample(grid.image((x + 2 * y - z).astype(np.float32)), target))
    index = np.stack(np.meshgrid(*[np.arange(5)] * 3, indexing="ij"), -1)[..., ::-1].reshape(-1, 3)
    points = index @ (np.reshape(OBLIQUE, (3, 3)) * 0.7).T + target.origin
    np.testing.assert_allclose(moved.ravel(), points @ (1.0, 2.0, -1.0), atol=1e-4)


# -------------------------------------------------------------------------------------------------------------------- masks


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (1.0, 1.0, 3.0)])
def test_a_mask_keeps_its_volume_and_place_on_another_grid(spacing):
    """The ball on both grids is the truth; nearest neighbour would leave staircases."""
    identity = (1.0, 0, 0, 0, 1.0, 0, 0, 0, 1.0)
    coarse = Grid((40, 40, round(40 / spacing[2])), spacing, (-20.0, -20.0, -20.0 + spacing[2] / 2), identity)
    fine = Grid((60, 60, 60), (0.6, 0.6, 0.6), (-18.0, -17.5, -17.7), identity)
    centre = (0.3, -0.2, 0.4)
    carried = images.resample_mask(coarse.image(ball(coarse, centre, 12.0)), fine)
    truth = ball(fine, centre, 12.0)
    found = images.boolean(carried)
    assert carried.GetPixelID() == sitk.sitkUInt8
    dice = 2 * (found & truth).sum() / (found.sum() + truth.sum())
    nearest = images.boolean(images.resample(coarse.image(ball(coarse, centre, 12.0)), fine, interpolation="nearest"))
    assert dice > 0.97
    assert dice > 2 * (nearest & truth).sum() / (nearest.sum() + truth.sum())
    assert images.volume_cc(carried) == pytest.approx(4 / 3 * np.pi * 1.2**3, rel=0.03)


def test_a_mask_on_the_same_grid_is_not_touched():
    mask = VALUES > 200
    np.testing.assert_array_equal(images.boolean(images.resample_mask(GRID.image(mask), GRID)), mask)


def test_signed_distance_is_zero_half_way_across_the_edge():
    grid = Grid((11, 1, 1), (2.0, 1.0, 1.0), (0.0, 0.0, 0.0), (1.0, 0, 0, 0, 1.0, 0, 0, 0, 1.0))
    line = np.zeros(grid.shape, bool)
    line[..., 4:7] = True
    distance = images.array(images.signed_distance(grid.image(line)))[0, 0]
    assert (distance[4:7] < 0).all()
    assert (np.delete(distance, [4, 5, 6]) > 0).all()
    assert distance[3] == -distance[4]
    assert (images.array(images.signed_distance(grid.blank())) > 1e5).all()
    assert (images.array(images.signed_distance(grid.blank() + 1)) < -1e5).all()


def test_labels_are_carried_without_gaps_or_mixtures():
    identity = (1.0, 0, 0, 0, 1.0, 0, 0, 0, 1.0)
    grid = Grid((20, 20, 20), (1.5, 1.5, 1.5), (0.0, 0.0, 0.0), identity)
    labels = np.zeros(grid.shape, np.uint8)
    labels[4:16, 4:16, 4:10], labels[4:16, 4:16, 10:16] = 1, 4
    fine = Grid((30, 30, 30), (1.0, 1.0, 1.0), (-0.25, -0.25, -0.25), identity)
    carried = sitk.GetArrayFromImage(images.resample_labels(grid.image(labels), fine))
    assert set(np.unique(carried)) == {0, 1, 4}
    assert (carried[15, 15, 6:24] > 0).all()


def test_read_mask_takes_labels_and_carries_them(tmp_path):
    labels = np.zeros(GRID.shape, np.uint8)
    labels[2:5, 2:6, 2:7], labels[3, 3, 3] = 1, 4
    path = images.write_image(GRID.image(labels), tmp_path / "m.nii.gz")
    np.testing.assert_array_equal(images.boolean(images.read_mask(path)), labels > 0)
    np.testing.assert_array_equal(images.boolean(images.read_mask(path, labels=[4])), labels == 4)
    other = images.read_mask(path, GRID.isotropic(1.0))
    assert Grid.of(other).matches(GRID.isotropic(1.0))
    assert images.volume_cc(other) == pytest.approx(images.volume_cc(GRID.image(labels > 0)), rel=0.1)


def test_read_mask_of_probabilities_is_cut_at_a_half(tmp_path):
    values = np.linspace(0, 1, VALUES.size, dtype=np.float32).reshape(GRID.shape)
    path = images.write_image(GRID.image(values), tmp_path / "m.nii.gz")
    np.testing.assert_array_equal(images.boolean(images.read_mask(path)), values > 0.5)


def test_an_empty_mask_and_one_beside_the_image_are_refused(tmp_path):
    empty = images.write_image(GRID.blank(), tmp_path / "empty.nii.gz")
    with pytest.raises(InputError, match=r"empty\.nii\.gz is empty: no voxel above 0"):
        images.read_mask(empty)
    path = images.write_image(GRID.image(VALUES > 400), tmp_path / "m.nii.gz")
    with pytest.raises(InputError, match=r"no voxel with a label of \[7\]"):
        images.read_mask(path, labels=[7])
    far = Grid(GRID.size, GRID.spacing, (500.0, 0.0, 0.0), GRID.direction)
    with pytest.raises(InputError, match=r"m\.nii\.gz does not overlap the image that it is for"):
        images.read_mask(path, far)


def test_map_image_puts_values_where_the_mask_is():
    mask = VALUES > 300
    image = images.map_image(np.arange(mask.sum()), mask, GRID)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(image)[mask], np.arange(mask.sum()))
    assert not sitk.GetArrayFromImage(image)[~mask].any()


def test_curves_are_the_frames_of_each_voxel():
    grid = Grid((30, 20, 20), (1.0, 1.0, 1.0), (0, 0, 0), GRID.direction)
    frames = np.random.default_rng(0).normal(size=(3, *grid.shape)).astype(np.float32)
    series = images.Series(frames, grid)
    some = frames[0] > -0.5  # more voxels than one block holds
    for mask in (some, np.zeros_like(some), np.ones_like(some)):
        np.testing.assert_array_equal(series.curves(mask), frames[:, mask].T)
    np.testing.assert_array_equal(series.curves(), frames.reshape(3, -1).T)
    assert series.curves(some).flags.c_contiguous


TURNED = sitk.Euler3DTransform((1.0, 2.0, 3.0), 0.2, -0.3, 0.4, (2.0, -1.0, 3.5))


@pytest.mark.parametrize("transform", [None, TURNED], ids=["as it lies", "turned"])
@pytest.mark.parametrize("corner", [(4, 5, 6), (0, 0, 0), (12, 14, 10)], ids=["inside", "at the corner", "far corner"])
def test_a_mask_is_carried_as_by_the_distance_in_the_whole_image(transform, corner):
    source = Grid((20, 22, 18), (1.5, 1.0, 2.0), (-10.0, 3.0, 5.0), (1.0, 0, 0, 0, 1, 0, 0, 0, 1))
    target = Grid((31, 29, 27), (1.1, 1.3, 1.7), (-12.3, 1.1, 2.7), source.direction)
    rng = np.random.default_rng(3)
    mask = np.zeros(source.shape, bool)
    place = tuple(slice(c, c + 8) for c in corner[::-1])
    mask[place] = rng.random(mask[place].shape) > 0.3
    far = images.resample(images.signed_distance(source.image(mask)), target, transform, outside=1e6)
    carried = images.boolean(images.resample_mask(source.image(mask), target, transform))
    assert carried.any()
    np.testing.assert_array_equal(carried, images.array(far) < -1e-5)


def test_half_way_between_inside_and_outside_is_outside_whatever_the_rounding():
    grid = Grid((8, 8, 8), (0.7, 0.7, 0.7), (0.1, 0.2, 0.3), (1.0, 0, 0, 0, 1, 0, 0, 0, 1))
    mask = np.zeros(grid.shape, bool)
    mask[:, :, :4] = True
    for shift in np.linspace(-30, 30, 41):
        moved = Grid(grid.size, grid.spacing, (0.1 + 0.35, 0.2, 0.3 + shift * 0.7 - shift * 0.7), grid.direction)
        carried = images.boolean(images.resample_mask(grid.image(mask), moved))
        assert carried[:, :, :3].all()
        assert not carried[:, :, 3:].any()


def test_maps_carried_by_one_matrix_are_those_of_resample():
    source = Grid((12, 9, 7), (1.5, 1.0, 2.0), (-10.0, 3.0, 5.0), (0.0, 1, 0, -1, 0, 0, 0, 0, 1))
    target = Grid((16, 15, 14), (1.1, 1.3, 1.7), (-14.0, -14.0, 2.0), (1.0, 0, 0, 0, 1, 0, 0, 0, 1))
    rng = np.random.default_rng(4)
    where = rng.random(target.shape) > 0.4
    matrix = images.interpolation(source, target, TURNED, where)
    assert 0 < (matrix.sum(axis=1) > 0).sum() < where.sum()
    for _ in range(2):
        values = rng.normal(size=source.shape).astype(np.float32)
        expected = images.array(images.resample(source.image(values), target, TURNED))[where]
        np.testing.assert_allclose(matrix @ values.ravel(), expected, atol=2e-6)


def test_what_is_read_is_shared_until_the_file_changes(tmp_path, monkeypatch):
    from gliosuite.images import reading

    path = images.write_image(GRID.image(np.ones(GRID.shape, np.float32)), tmp_path / "a.nii.gz")
    calls = []
    read = reading._read_file
    monkeypatch.setattr(reading, "_read_file", lambda p, known=None: calls.append(p) or read(p, known))
    shelf = tmp_path / "shelf"
    shelf.mkdir()
    with images.shared_reading(shelf):
        first, second = images.read_image(path), images.read_image(path)
        assert len(calls) == 1
        assert Grid.of(second).matches(Grid.of(first))
        np.testing.assert_array_equal(images.array(second), images.array(first))
        assert second.GetMetaData("nifti_type") == first.GetMetaData("nifti_type")
        images.write_image(GRID.image(np.full(GRID.shape, 2, np.float32)), path)
        assert images.array(images.read_image(path)).min() == 2
    images.read_image(path)
    assert len(calls) == 3


def test_a_full_shelf_is_no_reason_not_to_read(tmp_path):
    path = images.write_image(GRID.image(np.ones(GRID.shape, np.float32)), tmp_path / "a.nii.gz")
    with images.shared_reading(tmp_path / "missing"):
        assert images.array(images.read_image(path)).min() == 1


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (0.9, 0.9, 1.1), (1.0, 1.0, 4.0)])
@pytest.mark.parametrize("noisy", [False, True])
def test_a_mask_is_carried_as_by_its_whole_distance(spacing, noisy):
    from gliosuite.images import resampling

    rng = np.random.default_rng(7)
    values = rng.normal(size=(14, 17, 20))
    mask = images.Grid.made((20, 17, 14), spacing, (3.0, -2.0, 1.0), np.eye(3).ravel()).image(
        (values if noisy else ndimage.gaussian_filter(values, 2.0)) > 0.02
    )
    grid = images.Grid.made((31, 24, 22), np.multiply(spacing, 0.7), (4.0, -1.0, 0.0), np.eye(3).ravel())
    move = sitk.Euler3DTransform((5.0, 5.0, 5.0), 0.1, -0.05, 0.2, (0.5, 0.0, -1.0))
    whole = images.array(images.resample(images.signed_distance(mask), grid, move, outside=1e6)) < resampling._TIE_MM
    assert np.array_equal(images.boolean(images.resample_mask(mask, grid, move)), whole)


def test_what_is_written_is_shared_too(tmp_path, monkeypatch):
    from gliosuite.images import reading

    values = np.random.default_rng(8).normal(size=(5, 6, 7)).astype(np.float32)
    values[0, 0] = np.nan
    image = images.Grid.made((7, 6, 5), (1.0, 1.5, 2.0), (3.0, 2.0, 1.0), np.eye(3).ravel()).image(values)
    first = images.write_image(image, tmp_path / "first.nii.gz", "a map")
    plain = images.read_image(first)
    (tmp_path / "shelf").mkdir()
    with images.shared_reading(tmp_path / "shelf"):
        moved = images.write_image(image, tmp_path / "second.nii.gz", "a map").rename(tmp_path / "third.nii.gz")
        monkeypatch.setattr(reading, "read_content", None)  # nothing is inflated
        shared = images.read_image(moved), images.read_image(moved)
    for found in shared:
        assert np.array_equal(images.array(found), images.array(plain), equal_nan=True)
        assert images.Grid.of(found) == images.Grid.of(plain)
        assert found.GetMetaData("descrip") == plain.GetMetaData("descrip")
