"""Compressed DICOM: decoded exactly, or refused by the name of its transfer syntax."""

import dicom_study as ds
import numpy as np
import pytest
import SimpleITK as sitk
from gliosuite.dicom import read_dicom_series
from gliosuite.dicom.volumes import read_dicom_volume
from gliosuite.errors import InputError

FRAME = np.random.default_rng(5).integers(0, 3000, (4, 32, 40)).astype(np.int16)


def jpeg(tmp_path, pixels: np.ndarray, compressor: str) -> tuple[bytes, str]:
    """Encapsulated pixels and transfer syntax, lossless, as ITK writes them."""
    import pydicom

    image = sitk.GetImageFromArray(pixels.astype(np.uint16)[np.newaxis])
    writer = sitk.ImageFileWriter()
    writer.SetFileName(str(tmp_path / "one.dcm"))
    writer.SetUseCompression(True)
    writer.SetCompressor(compressor)
    writer.Execute(image)
    whole = pydicom.dcmread(tmp_path / "one.dcm")
    return whole.PixelData, str(whole.file_meta.TransferSyntaxUID)


@pytest.mark.parametrize(
    "compressor, name", [("JPEG2000", "1.2.840.10008.1.2.4.90"), ("JPEG", "1.2.840.10008.1.2.4.70")]
)
def test_jpeg_is_decoded_and_rescaled_once(tmp_path, compressor, name):
    import pydicom

    src, files = tmp_path / "src", []
    for file in ds.classic(src, FRAME, ds.Patient(), 3, ds.T1, slope=2.0, intercept=-5.0):
        whole = pydicom.dcmread(file)
        data, syntax = jpeg(tmp_path, whole.pixel_array, compressor)
        assert syntax == name
        whole.PixelData = data
        whole["PixelData"].VR = "OB"
        whole["PixelData"].is_undefined_length = True
        del whole.PixelRepresentation
        whole.PixelRepresentation = 0
        files.append(ds.save(whole, file, syntax))
    np.testing.assert_array_equal(sitk.GetArrayFromImage(read_dicom_volume(src)), FRAME * 2 - 5)
    content = files[0].read_bytes()
    for length in (len(content) - 20, len(content) // 2):
        files[0].write_bytes(content[:length])
        with pytest.raises(InputError, match=files[0].name):
            read_dicom_volume(src)


def test_run_length_encoding_is_decoded(tmp_path):
    import pydicom

    for file in ds.classic(tmp_path, FRAME, ds.Patient(), 3, ds.T1):
        whole = pydicom.dcmread(file)
        whole.compress(pydicom.uid.RLELossless)
        whole.save_as(file)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(read_dicom_volume(tmp_path)), FRAME)


def test_jpeg_ls_is_decoded(tmp_path):
    import pydicom

    pytest.importorskip("jpeg_ls", reason="pyjpegls, which writes the test's JPEG-LS files, is not installed")
    for file in ds.classic(tmp_path, FRAME, ds.Patient(), 3, ds.T1, slope=2.0, intercept=-5.0):
        whole = pydicom.dcmread(file)
        whole.compress(pydicom.uid.JPEGLSLossless)
        whole.save_as(file)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(read_dicom_volume(tmp_path)), FRAME * 2 - 5)


def test_a_truncated_compressed_file_is_refused(tmp_path):
    import pydicom

    files = ds.classic(tmp_path, FRAME, ds.Patient(), 3, ds.T1)
    for file in files:
        whole = pydicom.dcmread(file)
        whole.compress(pydicom.uid.RLELossless)
        whole.save_as(file)
    content = files[2].read_bytes()
    for length in (len(content) - 20, len(content) // 2):
        files[2].write_bytes(content[:length])
        with pytest.raises(InputError, match=files[2].name):
            read_dicom_volume(tmp_path)


def test_implicit_little_endian_keeps_private_numbers(tmp_path):
    """Without VRs in the file, private values come as raw bytes."""
    times = [0.0, 5.5, 11.0, 16.5, 22.0, 27.5, 33.0, 38.5, 44.0, 49.5, 55.0]
    frames = np.stack([FRAME + t for t in range(len(times))])
    ds.philips_dynamic(tmp_path, frames, times, ds.Patient(), 3, ds.SPGR | ds.GADOLINIUM, syntax="1.2.840.10008.1.2")
    series, acquisition = read_dicom_series(tmp_path)
    np.testing.assert_array_equal(series.frames, frames)
    np.testing.assert_allclose(acquisition["times_s"], times)


def test_unknown_compression_is_refused_by_name(tmp_path):
    import pydicom

    for file in ds.classic(tmp_path, FRAME, ds.Patient(), 3, ds.T1):
        whole = pydicom.dcmread(file)
        whole.PixelData = pydicom.encaps.encapsulate([b"\0" * 64])
        whole["PixelData"].VR = "OB"
        whole["PixelData"].is_undefined_length = True
        ds.save(whole, file, "1.2.840.10008.1.2.4.102")
    with pytest.raises(InputError, match=r"is compressed as MPEG-4 .*; export the series uncompressed, or convert it"):
        read_dicom_volume(tmp_path)


def test_multi_frame_with_several_bytes_too_few_is_refused(tmp_path):
    frames = np.stack([FRAME + t for t in range(11)])
    file = ds.enhanced(tmp_path, frames, ds.Patient(), 3, [5.0 * t for t in range(11)], contrast=True)
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(InputError, match=r"enhanced_3_1 is truncated: 112540 bytes of pixels found, 112640 needed"):
        read_dicom_series(tmp_path)
