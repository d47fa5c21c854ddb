"""Order in time and position, and frame times, on generated series whose file names are shuffled."""

import dicom_study as ds
import numpy as np
import pytest
from gliosuite.dicom import read_dicom_series
from gliosuite.dicom.headers import files_in, read_headers
from gliosuite.dicom.sort import arrange, split
from gliosuite.dicom.volumes import acquisition as describe
from gliosuite.dicom.volumes import read_dicom_volume
from gliosuite.errors import InputError
from gliosuite.images import Grid

TIMES = [0.0, 5.2, 10.4, 15.6, 20.8, 26.0, 31.2, 36.4, 41.6, 46.8, 52.5]


def truth(n_times: int = 11, n_slices: int = 4) -> np.ndarray:
    """Frames (t, z, y, x) in which every voxel's value says where and when it is."""
    t, z, y, x = np.meshgrid(np.arange(n_times), np.arange(n_slices), np.arange(6), np.arange(5), indexing="ij")
    return (1000 * t + 100 * z + 10 * y + x).astype(np.int16)


@pytest.mark.parametrize("vendor", ["siemens", "ge", "philips"])
@pytest.mark.parametrize("angles", [(0.0, 0.0), (18.0, -7.0)])
def test_classic_dynamic_is_put_in_order_with_its_times(tmp_path, vendor, angles):
    write = {"siemens": ds.siemens_dynamic, "ge": ds.ge_dynamic, "philips": ds.philips_dynamic}[vendor]
    write(tmp_path, truth(), TIMES, ds.Patient(), 7, ds.SPGR | ds.GADOLINIUM, angles=angles)
    series, acquisition = read_dicom_series(tmp_path)
    np.testing.assert_array_equal(series.frames, truth())
    np.testing.assert_allclose(acquisition["times_s"], TIMES, atol=1e-3)
    assert (acquisition["tr_ms"], acquisition["te_ms"], acquisition["flip_angle_deg"]) == (5.4, 1.8, 12.0)
    row, column = ds.axes(angles)
    expected = np.stack([row, column, np.cross(row, column)], axis=1)
    np.testing.assert_allclose(np.reshape(series.grid.direction, (3, 3)), expected, atol=1e-6)
    np.testing.assert_allclose(series.grid.spacing, (2, 2, 4), atol=1e-5)
    np.testing.assert_allclose(series.grid.origin, (-20, -25, 30), atol=1e-5)


def test_enhanced_dynamic_is_put_in_order_with_its_times_and_own_scaling(tmp_path):
    slopes = [1.0 + 0.25 * t for t in range(11)]
    ds.enhanced(tmp_path, truth(), ds.Patient(), 7, TIMES, contrast=True, slopes=slopes, angles=(18.0, -7.0))
    series, acquisition = read_dicom_series(tmp_path)
    np.testing.assert_allclose(series.frames, truth() * np.reshape(slopes, (-1, 1, 1, 1)))
    np.testing.assert_allclose(acquisition["times_s"], TIMES)
    assert (acquisition["tr_ms"], acquisition["te_ms"], acquisition["flip_angle_deg"]) == (5.0, 2.0, 12.0)
    assert acquisition["contrast"] == {"agent": "Gadobutrol", "volume_ml": 7.5}


def test_enhanced_times_can_come_from_the_vendors_own_element(tmp_path):
    ds.enhanced(tmp_path, truth(), ds.Patient(), 7, contrast=True, philips_begin_s=TIMES)
    series, acquisition = read_dicom_series(tmp_path)
    np.testing.assert_array_equal(series.frames, truth())
    np.testing.assert_allclose(acquisition["times_s"], TIMES, atol=1e-4)


def test_one_enhanced_file_per_time_point(tmp_path):
    """As newer Siemens scanners write them: every file says that it is the first temporal position."""
    for t, frame in enumerate(truth()):
        number = (t * 7) % 11 + 1  # the files' own numbers say nothing
        ds.enhanced(
            tmp_path, frame[np.newaxis], ds.Patient(), 7, contrast=True, acquired_s=[TIMES[t]], instance=number, seed=t
        )
    series, acquisition = read_dicom_series(tmp_path)
    np.testing.assert_array_equal(series.frames, truth())
    np.testing.assert_allclose(acquisition["times_s"], TIMES, atol=1e-3)


@pytest.mark.parametrize("also", [{}, {"component": ("MAGNITUDE", "PHASE")}])
def test_the_dimensions_of_an_enhanced_file_tell_the_time_points(tmp_path, also):
    """Frames stored in any order, no time and no temporal position: DimensionIndexValues alone, beside phase images in one case."""
    ds.enhanced(tmp_path, truth(), ds.Patient(), 7, contrast=True, dimensions_only=True, **also)
    series, _ = read_dicom_series(tmp_path)
    np.testing.assert_array_equal(series.frames, truth())


def test_a_single_slice_can_be_dynamic(tmp_path):
    ds.siemens_dynamic(tmp_path, truth(n_slices=1), TIMES, ds.Patient(), 7, ds.SPGR | ds.GADOLINIUM)
    np.testing.assert_array_equal(read_dicom_series(tmp_path)[0].frames, truth(n_slices=1))


def test_mosaic_tiles_become_slices_in_their_place(tmp_path):
    frames = truth(n_slices=5)
    ds.mosaic(tmp_path, frames, TIMES, ds.Patient(), 7, ds.EPI | ds.GADOLINIUM, angles=(18.0, -7.0))
    series, acquisition = read_dicom_series(tmp_path)
    np.testing.assert_array_equal(series.frames, frames)
    np.testing.assert_allclose(series.grid.origin, (-20, -25, 30), atol=1e-5)
    np.testing.assert_allclose(acquisition["times_s"], TIMES, atol=1e-3)


def test_times_run_on_past_midnight(tmp_path):
    times = [50381.0 + t for t in TIMES]  # 10:00 + 13:59:41 = 23:59:41

    ds.siemens_dynamic(tmp_path, truth(), times, ds.Patient(), 7, ds.EPI | ds.GADOLINIUM)
    series, acquisition = read_dicom_series(tmp_path)
    np.testing.assert_array_equal(series.frames, truth())
    np.testing.assert_allclose(acquisition["times_s"], TIMES, atol=1e-3)


def test_frames_that_nothing_but_a_clock_orders_run_on_past_midnight(tmp_path):
    def mark(d, t, z):
        d.AcquisitionTime = d.ContentTime = ds.clock(86391.0 + 1.5 * t)
        d.InstanceNumber = (7 * t) % 11 + 1
        del d.SeriesDate

    ds.classic(tmp_path, truth(), ds.Patient(), 7, ds.EPI | ds.GADOLINIUM, per_slice=mark)
    series, acquisition = read_dicom_series(tmp_path)
    np.testing.assert_array_equal(series.frames, truth())
    np.testing.assert_allclose(acquisition["times_s"], 1.5 * np.arange(11), atol=1e-3)
    assert acquisition["times_from"] == "AcquisitionTime"


@pytest.mark.parametrize("what", ["orientation", "spacing", "echo time", "flip angle"])
@pytest.mark.parametrize("alternate", ["slices", "frames"])
def test_last_digits_do_not_split_a_series(tmp_path, what, alternate):
    """Values on both sides of where rounding to any number of digits would have an edge."""

    def mark(d, t, z):
        sign = 1 if (z if alternate == "slices" else t) % 2 else -1
        d.AcquisitionNumber = t + 1
        d.AcquisitionTime = ds.clock(36000 + 1.5 * t)
        if what == "orientation":
            c = 0.9995 + 2e-6 * sign
            d.ImageOrientationPatient = [1, 0, 0, 0, f"{c:.6f}", f"{np.sqrt(1 - c * c):.6f}"]
            step = np.cross([1, 0, 0], [0, 0.9995, np.sqrt(1 - 0.9995**2)]) * 4.0
            d.ImagePositionPatient = [f"{v:.6f}" for v in (-20, -25, 30) + z * step]
        elif what == "spacing":
            d.PixelSpacing = [f"{1.79685 + 1e-7 * sign:.8f}"] * 2
        elif what == "echo time":
            d.EchoTime = f"{29.95 + 0.001 * sign:.3f}"
        else:
            d.FlipAngle = f"{60 + 1e-6 * sign:.6f}"

    ds.classic(tmp_path, truth(), ds.Patient(), 7, ds.EPI | ds.GADOLINIUM, per_slice=mark)
    series, acquisition = read_dicom_series(tmp_path)
    np.testing.assert_array_equal(series.frames, truth())
    np.testing.assert_allclose(acquisition["times_s"], 1.5 * np.arange(11), atol=1e-3)
    np.testing.assert_allclose(series.grid.spacing[2], 4.0, atol=1e-4)


def moving(tmp_path, drift, number=True):
    """A series whose volumes lie where ``drift(t)`` puts them."""

    def mark(d, t, z):
        if number:
            d.TemporalPositionIdentifier = t + 1
        d.AcquisitionTime = ds.clock(36000 + 1.5 * t)
        d.ImagePositionPatient = [f"{v:.6f}" for v in np.array([-20.0, -25.0, 30.0 + 4 * z]) + drift(t)]

    ds.classic(tmp_path, truth(), ds.Patient(), 7, ds.EPI | ds.GADOLINIUM, per_slice=mark)


@pytest.mark.parametrize("number", [True, False])
def test_volumes_that_follow_the_head_by_a_fraction_of_a_voxel_are_taken_together_and_said(tmp_path, number):
    moving(tmp_path, lambda t: np.array([0.02, -0.01, 0.05]) * t, number)
    series, _ = read_dicom_series(tmp_path)
    np.testing.assert_array_equal(series.frames, truth())
    assert series.grid.origin == pytest.approx((-20, -25, 30))
    found = split(read_headers(files_in(tmp_path))[0])
    assert [(s.n_slices, s.n_times) for s in found] == [(4, 11)]
    warned = describe(found[0], arrange(found[0]), "dsc")[1]
    assert "lie up to 0.55 mm apart" in warned[0]


@pytest.mark.parametrize("drift", [(0.0, 0.0, 0.7), (0.5, 0.0, 0.0)])
def test_volumes_that_lie_elsewhere_are_refused(tmp_path, drift):
    moving(tmp_path, lambda t: np.asarray(drift) * t)
    text = refused(tmp_path, read_dicom_series)
    far = 10 * max(drift)
    assert f"lie in different places (time point 11 up to {far:.1f} mm from the first, voxels of 2 x 2 x 4 mm)" in text


@pytest.mark.parametrize("place", [[0.0, 0.0, 1.0], [0.0, 0.0, -1.0]])
def test_volume_is_stacked_along_rows_times_columns(tmp_path, place):
    """Slices stored from top to bottom give the same image as from bottom to top."""
    frame = truth(1)[0]
    step = np.asarray(place) * 4

    def mark(d, t, z):
        index = z if place[2] > 0 else len(frame) - 1 - z
        d.ImagePositionPatient = list(np.array([-20.0, -25.0, 30.0]) + index * np.abs(step))
        d.InstanceNumber = z + 1
        ds.put_pixels(d, frame[index])

    ds.classic(tmp_path, frame, ds.Patient(), 3, ds.T1, per_slice=mark)
    image = read_dicom_volume(tmp_path)
    grid = Grid.of(image)
    assert grid.origin == pytest.approx((-20, -25, 30))
    import SimpleITK as sitk

    np.testing.assert_array_equal(sitk.GetArrayFromImage(image), frame)
    assert image.GetPixelID() == sitk.sitkInt16


def test_fractional_slope_is_applied_exactly(tmp_path):
    import SimpleITK as sitk

    frame = truth(1)[0]
    ds.classic(tmp_path, frame, ds.Patient(), 3, ds.T1, slope=0.5, intercept=-3.0)
    image = read_dicom_volume(tmp_path)
    assert image.GetPixelID() == sitk.sitkFloat32
    np.testing.assert_array_equal(sitk.GetArrayFromImage(image), frame * 0.5 - 3.0)


@pytest.mark.parametrize(
    "kind, padding, missing", [("DERIVED", 5, True), ("ORIGINAL", 5, False), ("DERIVED", 0, False)]
)
def test_padding_of_a_map_is_no_value(tmp_path, kind, padding, missing):
    """Zero is a value, whatever the header says; so is everything in an image as measured."""
    import SimpleITK as sitk

    frame = np.arange(4 * 5 * 6, dtype=np.int16).reshape(4, 5, 6)
    attributes = ds.DWI | {"ImageType": [kind, "PRIMARY", "DIFFUSION", "ADC"]}

    def pad(dataset, t, z):
        dataset.add_new("PixelPaddingValue", "US", padding)

    ds.classic(tmp_path, frame, ds.Patient(), 3, attributes, slope=0.5, per_slice=pad)
    read = sitk.GetArrayFromImage(read_dicom_volume(tmp_path))
    expected = np.where(missing & (frame == padding), np.nan, frame * 0.5)
    np.testing.assert_array_equal(read, expected)


# ------------------------------------------------------------------------------------------------------------- what is refused


def refused(tmp_path, read=read_dicom_volume) -> str:
    with pytest.raises(InputError) as error:
        read(tmp_path)
    return str(error.value)


def by_position(files):
    import pydicom

    return sorted(files, key=lambda f: pydicom.dcmread(f, stop_before_pixels=True).InstanceNumber)


def test_a_missing_slice_is_named(tmp_path):
    files = by_position(ds.classic(tmp_path, truth(1, 8)[0], ds.Patient(), 3, ds.T1))
    files[4].unlink()
    text = refused(tmp_path)
    assert "series 3 has missing slices: 1 between 42.0 and 50.0 mm" in text
    assert "a distance of 4.00 mm throughout is needed" in text


def test_a_missing_image_of_one_time_point_is_named(tmp_path):
    files = by_position(ds.siemens_dynamic(tmp_path, truth(), TIMES, ds.Patient(), 7, ds.SPGR | ds.GADOLINIUM))
    files[6].unlink()  # time 2, position 3
    assert (
        "series 7 has missing slices: position 3 of 4 (38.0 mm along the normal) has 10 images, the others 11"
        in refused(tmp_path, read_dicom_series)
    )


def test_a_copied_slice_is_named(tmp_path):
    files = by_position(ds.classic(tmp_path, truth(1)[0], ds.Patient(), 3, ds.T1))
    (tmp_path / "copy").write_bytes(files[2].read_bytes())
    text = refused(tmp_path)
    assert "doubled slices" in text
    assert "copy" in text
    for file in files:
        (tmp_path / f"{file.name}.copy").write_bytes(file.read_bytes())
    assert "are the same image (and 3 more pairs); remove one of them" in refused(tmp_path)


def test_slices_doubled_under_new_uids_are_refused(tmp_path):
    frame = truth(1)[0]
    ds.classic(tmp_path / "a", frame, ds.Patient(), 3, ds.T1)

    def other(d, t, z):
        d.SOPInstanceUID += ".7"

    ds.classic(tmp_path / "b", frame, ds.Patient(), 3, ds.T1, per_slice=other)
    assert "series 3 has doubled slices: each position occurs 2 times" in refused(tmp_path, read_dicom_series)


def test_a_tilted_gantry_is_refused(tmp_path):
    def shear(d, t, z):
        d.ImagePositionPatient = [-20, -25 + 1.2 * z, 30 + 4 * z]

    ds.ct(tmp_path, truth(1)[0], ds.Patient(), per_slice=shear)
    assert "is sheared: each slice lies 1.20 mm beside the one below" in refused(tmp_path)


def test_a_truncated_file_is_named(tmp_path):
    files = ds.classic(tmp_path, truth(1)[0], ds.Patient(), 3, ds.T1)
    whole = files[1].read_bytes()
    files[1].write_bytes(whole[:-20])
    text = refused(tmp_path)
    assert f"{files[1]} is truncated: 40 bytes of pixels found, 60 needed" in text
    files[1].write_bytes(whole[:200])
    assert f"{files[1]} is a damaged or truncated DICOM file" in refused(tmp_path)


def test_a_file_cut_anywhere_is_refused(tmp_path):
    files = by_position(ds.classic(tmp_path, truth(1)[0], ds.Patient(), 3, ds.T1))
    whole = files[-1].read_bytes()  # the last slice: without it, the others would still be a whole image
    for length in range(132, len(whole), 23):
        files[-1].write_bytes(whole[:length])
        text = refused(tmp_path)
        assert str(files[-1]) in text
        assert "truncated" in text


def test_a_folder_without_dicom_says_so(tmp_path):
    (tmp_path / "notes.txt").write_text("nothing here")
    assert "holds no DICOM file (1 other files)" in refused(tmp_path)
    assert "does not exist" in refused(tmp_path / "nowhere")


def test_one_series_is_needed(tmp_path):
    ds.classic(tmp_path, truth(1)[0], ds.Patient(), 3, ds.T1)
    assert "holds no 4-D series" in refused(tmp_path, read_dicom_series)
    ds.classic(tmp_path / "more", truth(1)[0], ds.Patient(), 4, ds.T2)
    assert "holds 2 3-D image: series 3; series 4" in refused(tmp_path)
