"""An image as a DICOM series of an invented patient, so that what refers to DICOM (RT structure sets) can be tried."""

import hashlib
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from .. import files
from ..errors import require
from ..images import array


def simulated_uid(*parts: object) -> str:
    """A UID under 2.25 (UUID-derived root) that depends on `parts` alone."""
    digest = hashlib.sha256("/".join(str(p) for p in parts).encode()).digest()
    value = int.from_bytes(digest[:16], "big")
    value = (value & ~(0xF << 76) | (8 << 76)) & ~(0x3 << 62) | (2 << 62)  # version 8, RFC 9562's for such UUIDs
    return f"2.25.{value}"


def write_dicom_series(
    image: sitk.Image,
    folder: str | Path,
    description: str,
    seed: int,
    modality: str = "MR",
    series_number: int = 1,
) -> list[Path]:
    """Write one file per slice (MR Image Storage, explicit VR little endian, int16); the same arguments give the same bytes.

    Parameters
    ----------
    image
        3-D; rounded to int16.
    folder
        Made where needed; files are ``IM0001.dcm`` onwards.
    description
        Series description; series of one patient differ by it.
    seed
        The patient: series with the same seed share patient, study and frame of reference.
    modality
        Only ``"MR"``.

    Returns
    -------
    list of Path
        The files in slice order.

    Raises
    ------
    InputError
        If pydicom is missing or the folder cannot be written.
    """
    if modality != "MR":
        raise ValueError(f"modality {modality!r}; only MR series are simulated")
    pydicom = require("pydicom", "DICOM series")
    from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage

    voxels = np.clip(np.round(array(image)), -32768, 32767).astype("<i2")
    direction = np.reshape(image.GetDirection(), (3, 3))
    spacing = image.GetSpacing()
    study, series = simulated_uid(seed, "study"), simulated_uid(seed, "series", description)
    white = float(np.percentile(voxels, 99.5))
    written = []
    with files.staged(folder) as partial:
        for k in range(voxels.shape[0]):
            position = image.TransformIndexToPhysicalPoint((0, 0, k))
            ds = Dataset()
            ds.SpecificCharacterSet = "ISO_IR 192"
            ds.ImageType = ["ORIGINAL", "PRIMARY", "OTHER"]
            ds.InstanceCreationDate = ds.StudyDate = ds.SeriesDate = ds.AcquisitionDate = ds.ContentDate = "20000101"
            ds.InstanceCreationTime = ds.StudyTime = ds.SeriesTime = ds.AcquisitionTime = ds.ContentTime = "120000"
            ds.SOPClassUID = MRImageStorage
            ds.SOPInstanceUID = simulated_uid(seed, description, k)
            ds.AccessionNumber = ""
            ds.Modality = modality
            ds.Manufacturer = "GlioSuite simulation"
            ds.InstitutionName = "None (simulated)"
            ds.ReferringPhysicianName = ""
            ds.StudyDescription = "Simulated glioma study"
            ds.SeriesDescription = description
            ds.ManufacturerModelName = "gliosuite.simulate"
            ds.DeviceSerialNumber = "0"
            ds.SoftwareVersions = "1"
            ds.PatientName = "GlioSuite^Simulated"
            ds.PatientID = f"SIM{seed}"
            ds.PatientBirthDate = ""
            ds.PatientSex = "O"
            ds.PatientIdentityRemoved = "YES"
            ds.DeidentificationMethod = "No patient: simulated"
            ds.BodyPartExamined = "BRAIN"
            ds.ScanningSequence = ["GR", "IR"]
            ds.SequenceVariant = "MP"
            ds.ScanOptions = ""
            ds.MRAcquisitionType = "3D"
            ds.SliceThickness = f"{spacing[2]:.6g}"
            ds.SpacingBetweenSlices = f"{spacing[2]:.6g}"
            ds.RepetitionTime = "2000"
            ds.EchoTime = "3"
            ds.InversionTime = "900"
            ds.FlipAngle = "9"
            ds.EchoTrainLength = "1"
            ds.MagneticFieldStrength = "3"
            ds.PatientPosition = "HFS"
            ds.StudyInstanceUID = study
            ds.SeriesInstanceUID = series
            ds.StudyID = "1"
            ds.SeriesNumber = str(series_number)
            ds.AcquisitionNumber = "1"
            ds.InstanceNumber = str(k + 1)
            ds.ImagePositionPatient = [f"{p:.10g}" for p in position]
            ds.ImageOrientationPatient = [f"{v:.10g}" for v in (*direction[:, 0], *direction[:, 1])]
            ds.FrameOfReferenceUID = simulated_uid(seed, "frame of reference")
            ds.PositionReferenceIndicator = ""
            ds.SamplesPerPixel = 1
            ds.PhotometricInterpretation = "MONOCHROME2"
            ds.Rows, ds.Columns = voxels.shape[1:]
            ds.PixelSpacing = [f"{spacing[1]:.10g}", f"{spacing[0]:.10g}"]
            ds.BitsAllocated = ds.BitsStored = 16
            ds.HighBit = 15
            ds.PixelRepresentation = 1
            ds.WindowCenter, ds.WindowWidth = f"{white / 2:.6g}", f"{max(white, 1):.6g}"
            ds.PixelData = voxels[k].tobytes()
            meta = FileMetaDataset()
            meta.MediaStorageSOPClassUID = MRImageStorage
            meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
            meta.TransferSyntaxUID = ExplicitVRLittleEndian
            meta.ImplementationClassUID = simulated_uid("gliosuite")
            meta.ImplementationVersionName = "GLIOSUITE"
            path = partial / f"IM{k + 1:04d}.dcm"
            file = FileDataset(str(path), ds, preamble=b"\0" * 128, file_meta=meta)
            if int(pydicom.__version__.split(".")[0]) >= 3:
                file.save_as(path, enforce_file_format=True)
            else:
                file.is_little_endian, file.is_implicit_VR = True, False
                file.save_as(path, write_like_original=False)
            written.append(Path(folder) / path.name)
    return written
