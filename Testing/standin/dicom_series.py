"""Small MR series in any orientation, as DICOM files that pass dciodvfy: what structure sets are tested on."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from gliosuite.images import Grid

_MR = "1.2.840.10008.5.1.4.1.1.4"


def uid(text: str) -> str:
    """A UID that the text determines."""
    return f"2.25.{uuid.uuid5(uuid.NAMESPACE_OID, text).int}"


def rotated(x: float, y: float, z: float) -> np.ndarray:
    """Axes (columns) turned by angles in degrees around x, y, z."""
    a, b, c = np.radians((x, y, z))
    rx = [[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]]
    ry = [[np.cos(b), 0, np.sin(b)], [0, 1, 0], [-np.sin(b), 0, np.cos(b)]]
    rz = [[np.cos(c), -np.sin(c), 0], [np.sin(c), np.cos(c), 0], [0, 0, 1]]
    return np.array(rz) @ ry @ rx


AXES = {
    "axial": np.eye(3),
    "sagittal": np.array([[0, 0, -1], [1, 0, 0], [0, -1, 0]], float),
    "coronal": np.array([[1, 0, 0], [0, 0, 1], [0, -1, 0]], float),
    "oblique": rotated(18, -7, 4),
    "feet first": np.array([[1, 0, 0], [0, -1, 0], [0, 0, -1]], float),
}


@dataclass(frozen=True)
class Stack:
    """Size and spacing (x, y, z), orientation by name, slice numbers reversed or not."""

    size: tuple[int, int, int] = (64, 56, 40)
    spacing: tuple[float, float, float] = (1.0, 1.0, 1.0)
    axes: str = "axial"
    reversed: bool = False

    @property
    def grid(self) -> Grid:
        """The grid, around the origin up to a few odd mm."""
        matrix = AXES[self.axes]
        half = (np.asarray(self.size) - 1) * self.spacing / 2
        origin = np.array([3.127, -11.4, 20.33]) - matrix @ half
        return Grid(self.size, self.spacing, tuple(origin), tuple(matrix.ravel()))


def write_series(
    folder: Path,
    stack: Stack,
    name: str = "study",
    patient: str = "Stand-In",
    skip: Sequence[int] = (),
    frame: str | None = None,
    study: str | None = None,
) -> Grid:
    """Write one file per slice; `name` determines the UIDs, `skip` leaves slices out. Returns the grid.

    `frame` and `study` determine frame of reference and study where they are not the patient's own.
    """
    from pydicom.dataset import Dataset

    folder.mkdir(parents=True, exist_ok=True)
    grid = stack.grid
    matrix = np.reshape(grid.direction, (3, 3))
    number = lambda v: f"{v:.10g}"[:16]
    for k in range(grid.size[2]):
        if k in skip:
            continue
        position = np.asarray(grid.origin) + matrix[:, 2] * k * grid.spacing[2]
        d = Dataset()
        d.SpecificCharacterSet = "ISO_IR 100"
        d.ImageType = ["ORIGINAL", "PRIMARY", "M"]
        d.SOPClassUID, d.SOPInstanceUID = _MR, uid(f"{name} slice {k}")
        d.StudyDate = d.SeriesDate = "20200102"
        d.StudyTime = d.SeriesTime = "101500"
        d.AccessionNumber, d.Modality, d.Manufacturer = "A1", "MR", "Stand-in"
        d.ReferringPhysicianName, d.StudyDescription, d.SeriesDescription = "", "Head", "T1c"
        d.PatientName, d.PatientID, d.PatientBirthDate, d.PatientSex = patient, patient, "19600101", "F"
        d.ScanningSequence, d.SequenceVariant, d.ScanOptions, d.MRAcquisitionType = "GR", "SP", "", "3D"
        d.SliceThickness, d.EchoTime, d.RepetitionTime = number(grid.spacing[2]), "3", "1900"
        d.EchoTrainLength, d.PatientPosition = 1, "HFS"
        d.StudyInstanceUID, d.SeriesInstanceUID = uid(f"{study or patient} study"), uid(f"{name} series")
        d.StudyID, d.SeriesNumber = "1", 3
        d.InstanceNumber = (grid.size[2] - k) if stack.reversed else k + 1
        d.ImagePositionPatient = [number(v) for v in position]
        d.ImageOrientationPatient = [number(v) for v in (*matrix[:, 0], *matrix[:, 1])]
        d.FrameOfReferenceUID, d.PositionReferenceIndicator = uid(f"{frame or patient} frame of reference"), ""
        d.SamplesPerPixel, d.PhotometricInterpretation = 1, "MONOCHROME2"
        d.Rows, d.Columns = grid.size[1], grid.size[0]
        d.PixelSpacing = [number(grid.spacing[1]), number(grid.spacing[0])]
        d.BitsAllocated, d.BitsStored, d.HighBit, d.PixelRepresentation = 16, 12, 11, 0
        d.PixelData = np.full(grid.shape[1:], 100 + k, "<u2").tobytes()
        d["PixelData"].VR = "OW"
        save(d, folder / f"{d.InstanceNumber:04d}.dcm")
    return grid


def save(dataset, path: Path) -> None:
    """Write a data set as explicit VR little endian, with either generation of pydicom."""
    import pydicom
    from pydicom.dataset import FileMetaDataset

    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = dataset.SOPClassUID, dataset.SOPInstanceUID
    meta.TransferSyntaxUID = "1.2.840.10008.1.2.1"
    dataset.file_meta = meta
    if int(pydicom.__version__.split(".")[0]) < 3:
        dataset.is_little_endian, dataset.is_implicit_VR = True, False
        pydicom.dcmwrite(path, dataset, write_like_original=False)
    else:
        pydicom.dcmwrite(path, dataset, enforce_file_format=True)


def shapes(grid: Grid) -> dict[str, np.ndarray]:
    """Masks (z, y, x) that are hard to contour: sphere, shell, small sphere, CTV with hole, island and slit, thin shell, at the edge."""
    centre = (np.asarray(grid.size) - 1) / 2 * grid.spacing
    index = np.indices(grid.shape)[::-1].reshape(3, -1).T * grid.spacing
    radius = lambda middle: np.linalg.norm(index - middle, axis=1).reshape(grid.shape)
    r = radius(centre + 0.3)
    reach = float(min(centre)) - 2
    blob = r < reach * (
        0.8 + 0.15 * np.sin(index[:, 0] / 3).reshape(grid.shape) * np.cos(index[:, 1] / 4).reshape(grid.shape)
    )
    hole = radius(centre + np.array([2.0, -1.0, 0.5])) < 0.3 * reach
    island = radius(centre * (0.25, 0.25, 1.0)) < 4
    slit = np.abs(index[:, 0] - centre[0] + 6).reshape(grid.shape) < 1.5
    slit &= (index[:, 1] > centre[1]).reshape(grid.shape)
    return {
        "sphere": r < reach,
        "shell": (r < reach) & (r > 0.6 * reach),
        "small": r < 4,
        "ctv": (blob & ~hole & ~slit) | island,
        "thin_shell": (r < 0.9 * reach) & (r > 0.9 * reach - 1.4),
        "edge": radius((0.0, centre[1], 0.0)) < reach,
    }


def write_dose(
    path: Path, grid: Grid, values_gy: np.ndarray, patient: str = "Stand-In", layout: str = "relative"
) -> None:
    """Write an RT dose file; `layout` is how its planes' offsets are given: relative, positions (along z) or descending."""
    from pydicom.dataset import Dataset

    matrix = np.reshape(grid.direction, (3, 3))
    origin, offsets = np.asarray(grid.origin), np.arange(grid.size[2]) * grid.spacing[2]
    if layout == "descending":
        origin, offsets, values_gy = origin + matrix[:, 2] * offsets[-1], -offsets, values_gy[::-1]
    if layout == "positions":
        offsets = origin[2] + offsets * matrix[2, 2]
    scaling = float(values_gy.max()) / 65000
    d = Dataset()
    d.SOPClassUID, d.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.481.2", uid(f"{patient} dose")
    d.Modality, d.PatientName, d.PatientID = "RTDOSE", patient, patient
    d.StudyInstanceUID, d.SeriesInstanceUID = uid(f"{patient} study"), uid(f"{patient} dose series")
    d.FrameOfReferenceUID = uid(f"{patient} frame of reference")
    number = lambda v: f"{v:.10g}"[:16]
    d.ImagePositionPatient = [number(v) for v in origin]
    d.ImageOrientationPatient = [number(v) for v in (*matrix[:, 0], *matrix[:, 1])]
    d.PixelSpacing = [number(grid.spacing[1]), number(grid.spacing[0])]
    d.NumberOfFrames, d.Rows, d.Columns = grid.size[2], grid.size[1], grid.size[0]
    d.GridFrameOffsetVector = [number(v) for v in offsets]
    d.SamplesPerPixel, d.PhotometricInterpretation = 1, "MONOCHROME2"
    d.BitsAllocated, d.BitsStored, d.HighBit, d.PixelRepresentation = 16, 16, 15, 0
    d.DoseUnits, d.DoseType, d.DoseSummationType, d.DoseGridScaling = "GY", "PHYSICAL", "PLAN", f"{scaling:.9g}"
    d.PixelData = np.round(values_gy / float(d.DoseGridScaling)).astype("<u2").tobytes()
    d["PixelData"].VR = "OW"
    save(d, path)
