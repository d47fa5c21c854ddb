"""NIfTI from one buffer: the numbers and the geometry are ITK's, for every kind of number, byte order, scaling and orientation."""

import gzip
import struct

import numpy as np
import pytest
import SimpleITK as sitk
from gliosuite import images
from gliosuite.errors import InputError
from gliosuite.images.nifti import deflate, numbers, read_content, read_header

# The files written here have a qform and an sform that differ, which is said.
pytestmark = pytest.mark.filterwarnings("ignore:.*has two positions")

SIZE = (7, 6, 5, 3)  # x, y, z, t
CODES = {"u1": 2, "i2": 4, "i4": 8, "f4": 16, "f8": 64, "i1": 256, "u2": 512, "u4": 768}


def nifti(kind, order="<", slope=0.0, intercept=0.0, forms=(1, 1), version=1, size=SIZE):
    """A file's bytes, written by hand: a rotated qform, and an sform that differs from it."""
    head = bytearray(352 if version == 1 else 544)
    put = lambda form, at, *values: struct.pack_into(order + form, head, at, *values)
    dims = [len(size), *size, *[1] * (7 - len(size))]
    width = np.dtype(kind).itemsize
    turn = np.deg2rad(25)
    sform = np.array([[-1.9, 0.3, 0.0, 30.0], [0.3, 1.9, 0.0, -40.0], [0.0, 0.0, 2.5, 12.0]])
    quatern = (0.0, 0.0, np.sin(turn / 2))
    if version == 1:
        put("i", 0, 348)
        put("8h", 40, *dims)
        put("hh", 70, CODES[kind], 8 * width)
        put("8f", 76, -1.0, 2.0, 2.1, 2.5, 4.0, 1, 1, 1)
        put("3f", 108, 352, slope, intercept)
        put("b", 123, 2 | 8)
        put("hh", 252, *forms)
        put("6f", 256, *quatern, 10.0, -20.0, 5.0)
        put("12f", 280, *sform.ravel())
        head[344:348] = b"n+1\0"
    rng = np.random.default_rng(0)
    values = rng.integers(0, 120, size[::-1]).astype(kind)
    if kind[0] == "f":
        values = rng.normal(0, 100, size[::-1]).astype(kind)
    return bytes(head) + values.astype(order + kind).tobytes(), values


def itk(path):
    image = sitk.ReadImage(str(path))
    return sitk.GetArrayFromImage(image), image


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("kind", list(CODES))
@pytest.mark.parametrize("scale", [(0.0, 0.0), (1.0, 0.0), (0.37, -5.0), (1.0, 3.0)])
def test_numbers_are_those_of_itk(tmp_path, kind, order, scale):
    content, values = nifti(kind, order, *scale)
    path = tmp_path / "a.nii.gz"
    path.write_bytes(gzip.compress(content, 1))
    expected, image = itk(path)
    found = numbers(*read_content(path))
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(found, expected)
    if scale[0] in (0.0, 1.0) and not scale[1]:
        np.testing.assert_array_equal(found, values)
    series = images.read_series(path)
    np.testing.assert_array_equal(series.frames, expected.astype(np.float32))
    np.testing.assert_allclose(series.grid.origin, image.GetOrigin()[:3])
    assert series.file_dt_s == pytest.approx(4.0)


@pytest.mark.parametrize("forms", [(1, 1), (1, 0), (0, 1), (0, 0), (2, 1)])
def test_geometry_is_that_of_itk(tmp_path, forms):
    path = tmp_path / "a.nii"
    path.write_bytes(nifti("i2", forms=forms, size=SIZE[:3])[0])
    _, expected = itk(path)
    found = images.read_image(path)
    assert found.GetPixelID() == expected.GetPixelID()
    for what in ("Size", "Spacing", "Origin", "Direction"):
        assert getattr(found, f"Get{what}")() == getattr(expected, f"Get{what}")()
    for key in found.GetMetaDataKeys():
        assert found.GetMetaData(key) == expected.GetMetaData(key)
    assert found.HasMetaDataKey("descrip")


def test_nan_and_infinity_are_nan(tmp_path):
    content, values = nifti("f4")
    values = values.copy()
    values[0, 1, 2, 3], values[1, 0, 0, 0] = np.nan, np.inf
    path = tmp_path / "a.nii"
    path.write_bytes(content[:352] + values.tobytes())
    frames = images.read_series(path).frames
    assert np.isnan(frames[0, 1, 2, 3])
    assert np.isnan(frames[1, 0, 0, 0])
    assert np.isfinite(frames).sum() == values.size - 2


def test_frames_may_lie_on_the_fifth_axis_and_volumes_have_trailing_ones(tmp_path):
    path = tmp_path / "a.nii"
    path.write_bytes(nifti("i2", size=(7, 6, 5, 1, 3))[0])
    assert images.read_series(path).frames.shape == (3, 5, 6, 7)
    path.write_bytes(nifti("i2", size=(7, 6, 5, 1))[0])
    assert images.read_image(path).GetSize() == (7, 6, 5)
    with pytest.raises(InputError, match="has 1 time point"):
        images.read_series(path)


def test_the_file_is_read_once_and_not_by_itk(tmp_path, monkeypatch):
    path = tmp_path / "a.nii.gz"
    path.write_bytes(gzip.compress(nifti("i2")[0]))

    def never(*_, **__):
        raise AssertionError("ITK decoded the voxels")

    monkeypatch.setattr(sitk, "ReadImage", never)
    assert images.read_series(path).n_times == 3


def test_colours_are_left_to_itk(tmp_path):
    colour = sitk.GetImageFromArray(np.zeros((2, 3, 4, 3), np.uint8), isVector=True)
    sitk.WriteImage(colour, str(tmp_path / "a.nii"))
    with pytest.raises(InputError, match="3 values per voxel; a scalar image is needed"):
        images.read_image(tmp_path / "a.nii")


def test_what_is_no_header_is_refused(tmp_path):
    with pytest.raises(InputError, match="100 bytes of header found, 348 needed"):
        read_header(b"\0" * 100, tmp_path / "a.nii")
    broken = bytearray(nifti("i2")[0])
    struct.pack_into("<8h", broken, 40, 4, 7, 0, 5, 3, 1, 1, 1)
    with pytest.raises(InputError, match="impossible dimensions"):
        read_header(bytes(broken), tmp_path / "a.nii")


def test_nifti_2_is_named(tmp_path):
    path = tmp_path / "a.nii"
    path.write_bytes(struct.pack("<i", 540) + b"n+2\0\r\n\032\n" + bytes(700))
    for read in (images.read_image, images.read_series, images.check_file):
        with pytest.raises(InputError, match="is a NIfTI-2 file, which ITK does not read; convert it to NIfTI-1"):
            read(path)


@pytest.mark.parametrize(
    "kind, bytes_each, what",
    [
        (128, 3, "colours"),
        (2304, 4, "colours"),
        (32, 8, "complex numbers"),
        (1792, 16, "complex"),
        (1536, 16, "a kind"),
    ],
)
def test_what_is_no_plain_number_is_named(tmp_path, kind, bytes_each, what):
    content = bytearray(nifti("u1")[0][:352])
    struct.pack_into("<hh", content, 70, kind, 8 * bytes_each)
    path = tmp_path / "a.nii"
    path.write_bytes(bytes(content) + bytes(int(np.prod(SIZE)) * bytes_each))
    for read in (images.read_image, images.read_series):
        with pytest.raises(InputError, match=rf"holds .*{what}.* \(NIfTI data type {kind}\)"):
            read(path)


def positioned(path, sform_shift=0.0, shear=0.0):
    """A file whose sform is its qform but for a shift (mm) or a shear; both at 25 degrees."""
    head = bytearray(nifti("i2", size=SIZE[:3])[0])
    turn = np.deg2rad(25)
    axes = np.array([[np.cos(turn), -np.sin(turn), 0], [np.sin(turn), np.cos(turn), 0], [0, 0, 1]]) * [2.0, 2.1, -2.5]
    axes[0, 1] += shear
    struct.pack_into("<12f", head, 280, *np.column_stack([axes, [10 + sform_shift, -20, 5]]).ravel())
    path.write_bytes(bytes(head))
    return path


def test_two_positions_of_one_file_are_said_where_they_differ_by_millimetres(tmp_path, recwarn, capfd):
    images.read_image(positioned(tmp_path / "same.nii"))
    images.read_image(positioned(tmp_path / "rounded.nii", 0.1))
    assert not recwarn.list
    with pytest.warns(UserWarning, match=r"\(qform and sform\) that lie up to 3.0 mm apart; the sform was taken"):
        image = images.read_image(positioned(tmp_path / "moved.nii", 3.0))
    assert image.GetOrigin() == pytest.approx((-13, 20, 5))
    with pytest.warns(UserWarning, match="the qform was taken"):
        image = images.read_image(positioned(tmp_path / "sheared.nii", 0.0, 0.4))
    assert image.GetOrigin() == pytest.approx((-10, 20, 5))
    content = bytearray((tmp_path / "sheared.nii").read_bytes())
    struct.pack_into("<hh", content, 252, 0, 1)
    (tmp_path / "sheared.nii").write_bytes(bytes(content))
    with pytest.raises(InputError, match="is sheared: its axes are not at right angles"):
        images.read_image(tmp_path / "sheared.nii")
    assert not capfd.readouterr().err  # of ITK


@pytest.mark.parametrize("real", [True, False])
def test_what_is_deflated_comes_back_and_holds_no_time(real):
    values = np.zeros((20, 50, 50), np.float32 if real else np.int16)
    values[5:15] = np.random.default_rng(0).normal(0, 100, (10, 50, 50))
    packed = deflate(values.tobytes(), real)
    assert gzip.decompress(packed) == values.tobytes()
    assert packed[4:8] == bytes(4)
    assert packed == deflate(values.tobytes(), real)
    assert len(packed) < 0.6 * values.nbytes


def test_a_map_is_written_as_small_as_before(tmp_path):
    values = np.zeros((20, 50, 50), np.float32)
    values[5:15] = np.abs(np.random.default_rng(0).normal(0, 0.1, (10, 50, 50)))
    path = images.write_image(sitk.GetImageFromArray(values), tmp_path / "a.nii.gz", "ktrans [1/min]")
    sitk.WriteImage(sitk.GetImageFromArray(values), str(tmp_path / "b.nii.gz"))
    assert path.stat().st_size < 1.03 * (tmp_path / "b.nii.gz").stat().st_size
    np.testing.assert_array_equal(sitk.GetArrayFromImage(sitk.ReadImage(str(path))), values)
