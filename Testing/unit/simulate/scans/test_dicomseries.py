"""A made-up visit as DICOM: every kind of scan written, and read back by our importer, pydicom, GDCM and a validator."""

import subprocess

import numpy as np
import pytest
import SimpleITK as sitk
from gliosuite.dicom import read_dicom_series
from gliosuite.dicom.importing import import_study
from gliosuite.dicom.volumes import read_dicom_volume
from gliosuite.images import Grid, Series
from gliosuite.simulate.scans.dicomseries import Study, simulated_uid, write_dicom_series, write_dicom_study

pydicom = pytest.importorskip("pydicom", reason="pydicom is not installed")

C, S = np.cos(0.3), np.sin(0.3)
GRID = Grid((12, 10, 6), (1.8, 2.1, 3.0), (-12.0, 8.0, -30.5), (1.0, 0, 0, 0, C, -S, 0, S, C))
TIMES = [0.0, 4.833, 9.667, 14.5, 19.333, 24.167, 29.0, 33.833, 38.667, 43.5, 48.333, 53.167]
SPGR = {"tr_ms": 3.5, "te_ms": 1.5, "flip_angle_deg": 10.0}
MPRAGE = {"tr_ms": 2000.0, "te_ms": 3.0, "ti_ms": 900.0, "flip_angle_deg": 9.0}
ACQUISITIONS = {
    "t1": MPRAGE,
    "t1c": MPRAGE,
    "t2": {"tr_ms": 5000.0, "te_ms": 95.0, "flip_angle_deg": 90.0},
    "flair": {"tr_ms": 9000.0, "te_ms": 115.0, "ti_ms": 2400.0, "flip_angle_deg": 90.0},
    "dce": SPGR | {"times_s": TIMES},
    "dsc": {"tr_ms": 1500.0, "te_ms": 30.0, "flip_angle_deg": 60.0, "times_s": [1.5 * t for t in range(12)]},
    "vfa": {"tr_ms": 5.4, "te_ms": 1.8, "flip_angle_deg": [2.0, 5.0, 10.5, 15.0]},
}
MAPS = {"adc": 3e-3, "fa": 1.0, "b1": 1.25, "cho": 40.0, "naa": 60.0, "lac": 0.04, "ccri": 3.0, "cni": 7.0}
STUDY = Study("made-up", 5, clinical={"age": 57, "sex": "M"})


def signal(seed: int, *frames: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 900, (*frames, *GRID.shape)).astype(np.float32)


@pytest.fixture(scope="module")
def images():
    found = {role: GRID.image(signal(i).astype(np.int16)) for i, role in enumerate(("t1", "t1c", "t2", "flair"))}
    for role, count in (("dce", 12), ("dsc", 12), ("vfa", 4)):
        found[role] = Series(signal(len(found), count), GRID)
    for role, largest in MAPS.items():
        values = largest * np.random.default_rng(len(found)).random(GRID.shape, np.float32)
        if role in ("cho", "naa", "lac", "ccri", "cni"):
            values[:, :3] = np.nan
        if role == "cni":
            values -= 3
        found[role] = GRID.image(values)
    return found


@pytest.fixture(scope="module")
def written(images, tmp_path_factory):
    return write_dicom_study(images, ACQUISITIONS, tmp_path_factory.mktemp("dicom"), STUDY)


def first(folder) -> "pydicom.Dataset":
    return pydicom.dcmread(min(folder.rglob("*.dcm")))


def test_a_folder_per_role_in_the_order_of_the_examination(images, written):
    assert set(written) == set(images)
    assert list(written)[-3:] == ["dce", "t1c", "dsc"]
    starts = [float(first(folder).SeriesTime) for folder in written.values()]
    assert starts == sorted(starts)
    assert sorted(p.name for p in written["t1c"].iterdir()) == [f"IM{k:04d}.dcm" for k in range(1, 7)]
    assert len(list(written["dce"].iterdir())) == 72
    assert sorted(p.relative_to(written["vfa"]).as_posix() for p in written["vfa"].rglob("*1.dcm")) == [
        f"{i}/IM0001.dcm" for i in (1, 2, 3, 4)
    ]


def test_importer_makes_the_same_images_of_it(images, written, tmp_path):
    source = written["t1"].parent
    imported = import_study(source, tmp_path / "case")
    case = imported.case
    assert set(case.images) == set(images)
    assert imported.notes == ()
    assert case.clinical == {"age": 57.0, "sex": "M"}
    for role, image in images.items():
        if isinstance(image, Series):
            got = case.series(role)
            assert got.grid.matches(GRID)
            np.testing.assert_array_equal(got.frames, image.frames, err_msg=role)
        else:
            got = case.image(role)
            assert Grid.of(got).matches(GRID)
            expected = sitk.GetArrayFromImage(image)
            # Half a step of what is stored, which is at most 1/6553 of the largest value.
            step = np.nanmax(np.abs(expected)) / 6553.4 if role in MAPS else 0
            np.testing.assert_allclose(sitk.GetArrayFromImage(got), expected, rtol=0, atol=step / 2, err_msg=role)
        for key, value in ACQUISITIONS.get(role, {}).items():
            assert case.acquisition(role)[key] == value, (role, key)
    assert case.acquisition("dce")["times_from"] == "AcquisitionTime"


def test_single_folders_are_read_too(images, written):
    series, acquisition = read_dicom_series(written["vfa"])
    np.testing.assert_array_equal(series.frames, images["vfa"].frames)
    assert acquisition["flip_angle_deg"] == [2.0, 5.0, 10.5, 15.0]
    metabolite = sitk.GetArrayFromImage(read_dicom_volume(written["cho"]))
    assert np.isnan(metabolite[:, :3]).all()
    assert np.isfinite(metabolite[:, 3:]).all()


def test_gdcm_reads_voxels_and_geometry(images, written):
    def read(names):
        reader = sitk.ImageSeriesReader()
        reader.SetFileNames(names)
        return reader.Execute()

    image = read(sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(written["t1c"])))
    assert Grid.of(image).matches(GRID)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(image), sitk.GetArrayFromImage(images["t1c"]))
    frame = read([str(written["dce"] / f"IM{6 * 7 + k:04d}.dcm") for k in range(1, 7)])
    assert Grid.of(frame).matches(GRID)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(frame), images["dce"].frames[7])
    adc = read(sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(written["adc"])))
    np.testing.assert_allclose(sitk.GetArrayFromImage(adc), sitk.GetArrayFromImage(images["adc"]), atol=0.5e-7)


def test_headers_of_a_dynamic_series(written):
    ds = pydicom.dcmread(written["dce"] / "IM0044.dcm")
    assert (ds.InstanceNumber, ds.TemporalPositionIdentifier, ds.NumberOfTemporalPositions) == (44, 8, 12)
    start = pydicom.dcmread(written["dce"] / "IM0001.dcm").AcquisitionTime
    assert float(ds.AcquisitionTime) - float(start) == pytest.approx(33.833, abs=1e-6)
    assert (ds.RepetitionTime, ds.EchoTime, ds.FlipAngle) == (3.5, 1.5, 10)
    assert (ds.ContrastBolusAgent, ds.ContrastBolusRoute) == ("Gadobutrol", "IV")
    assert ds.SliceLocation == pytest.approx(np.asarray(ds.ImagePositionPatient) @ (0, -S, C))
    assert "ContrastBolusAgent" not in first(written["t1"])


def test_maps_say_what_their_numbers_mean(written):
    adc, cho = first(written["adc"]), first(written["cho"])
    assert adc.RescaleSlope == 1e-7
    mapping = adc.RealWorldValueMappingSequence[0]
    assert mapping.RealWorldValueSlope == 1e-7
    assert mapping.MeasurementUnitsCodeSequence[0].CodeValue == "mm2/s"
    assert list(adc.ImageType) == ["DERIVED", "PRIMARY", "DIFFUSION MAP", "ADC"]
    assert "PixelPaddingValue" not in adc
    assert cho.PixelPaddingValue == -32768
    assert cho.RescaleSlope == 0.002


def test_one_patient_study_and_frame_of_reference_per_visit(images, written, tmp_path):
    later = Study("made-up", 5, "followup", 181, STUDY.clinical)
    other = write_dicom_study({"t1c": images["t1c"]}, ACQUISITIONS, tmp_path, later)
    everything = [pydicom.dcmread(p, stop_before_pixels=True) for p in written["t1"].parent.rglob("*.dcm")]
    followup = first(other["t1c"])
    for keyword in ("PatientID", "PatientName", "PatientSex"):
        assert {str(ds[keyword].value) for ds in everything} == {str(followup[keyword].value)}
    for keyword in ("StudyInstanceUID", "FrameOfReferenceUID", "StudyDate"):
        values = {str(ds[keyword].value) for ds in everything}
        assert len(values) == 1
        assert str(followup[keyword].value) not in values
    assert len({ds.SeriesInstanceUID for ds in everything}) == len(images) + 3  # four flip angles
    assert len({ds.SOPInstanceUID for ds in everything}) == len(everything)
    assert all(pydicom.uid.UID(ds.SOPInstanceUID).is_valid for ds in everything)
    assert (everything[0].StudyDate, followup.StudyDate) == ("20000101", "20000630")
    assert (everything[0].PatientAge, followup.PatientAge) == ("057Y", "057Y")


def test_every_file_says_that_no_patient_was_scanned(written):
    for path in written["t1"].parent.rglob("*.dcm"):
        ds = pydicom.dcmread(path, stop_before_pixels=True)
        assert str(ds.PatientName) == "Simulated^made-up"
        for keyword in (
            "ImageComments",
            "PatientComments",
            "StudyDescription",
            "Manufacturer",
            "DeidentificationMethod",
        ):
            assert "simulat" in ds[keyword].value.lower()


def test_same_input_same_bytes(images, written, tmp_path):
    again = write_dicom_study(images, ACQUISITIONS, tmp_path, STUDY)
    for role, folder in written.items():
        for path in folder.rglob("*.dcm"):
            assert (again[role] / path.relative_to(folder)).read_bytes() == path.read_bytes()


def test_validators_find_no_error(written, tool):
    slope = "RescaleSlope and RescaleIntercept"
    for role, folder in written.items():
        report = checked(tool("dciodvfy"), max(folder.rglob("*.dcm")))
        assert "MRImage" in report
        found = [line for line in report.splitlines() if line.startswith(("Error", "Warning"))]
        # A slope is no part of the classic MR image, though readers look for it there, and vendors write it.
        about_slope = [w for w in found if slope in w or "DS Rescale" in w or "Standard Extended SOP Class" in w]
        assert found == about_slope, (role, found)
        assert len(found) == (5 if role in MAPS else 0), (role, found)
    assert checked(tool("dcentvfy"), *sorted(written["t1"].parent.rglob("*.dcm"))) == ""


def checked(program: str, *paths) -> str:
    run = subprocess.run([program, *map(str, paths)], capture_output=True, text=True)
    return run.stdout + run.stderr


def test_extreme_values_are_kept_within_what_is_stored(tmp_path):
    """All NaN, all 0, negative, and signals that int16 does not hold."""
    values = {"fa": np.full(GRID.shape, np.nan), "b1": np.zeros(GRID.shape), "cni": np.full(GRID.shape, -3.2767)}
    values["t1"] = np.full(GRID.shape, 70000.0)
    images = {role: GRID.image(v.astype(np.float32)) for role, v in values.items()}
    written = write_dicom_study(images, ACQUISITIONS, tmp_path, STUDY)
    read = {role: sitk.GetArrayFromImage(read_dicom_volume(folder)) for role, folder in written.items()}
    assert np.isnan(read["fa"]).all()
    assert (read["b1"] == 0).all()
    np.testing.assert_allclose(read["cni"], -3.2767, atol=1e-4)
    assert (read["t1"] == 32767).all()


def test_unknown_role_is_refused_and_nothing_written(images, tmp_path):
    with pytest.raises(ValueError, match="role 'pet' has no DICOM form"):
        write_dicom_study({"pet": images["t1"]}, {}, tmp_path / "d", STUDY)
    assert not (tmp_path / "d").exists()


def test_one_series_alone(images, tmp_path):
    files = write_dicom_series(images["t1c"], tmp_path / "a", "T1c", 5)
    assert [p.name for p in files] == [f"IM{k:04d}.dcm" for k in range(1, 7)]
    ds, other = pydicom.dcmread(files[0]), first_of(images["t1"], tmp_path / "b", "T1")
    assert ds.SeriesDescription == "T1c"
    assert ds.StudyInstanceUID == other.StudyInstanceUID
    assert ds.FrameOfReferenceUID == other.FrameOfReferenceUID
    assert ds.SeriesInstanceUID != other.SeriesInstanceUID
    again = write_dicom_series(images["t1c"], tmp_path / "c", "T1c", 5)
    assert [p.read_bytes() for p in again] == [p.read_bytes() for p in files]


def first_of(image, folder, description) -> "pydicom.Dataset":
    return pydicom.dcmread(write_dicom_series(image, folder, description, 5)[0])


def test_uids_are_valid():
    for i in range(50):
        uid = simulated_uid("a", i)
        assert pydicom.uid.UID(uid).is_valid
        assert uid.startswith("2.25.")
        assert len(uid) <= 64
        number = int(uid[5:])
        assert (number >> 76) & 0xF == 8
        assert (number >> 62) & 0x3 == 2
