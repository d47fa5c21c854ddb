"""Rigid registrations between a planning CT and an MR: accepted by a person, and as DICOM Spatial Registration objects."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import SimpleITK as sitk

from ...dicom.geometry import SPATIAL_REGISTRATION, Stack, quiet_pydicom
from ...errors import InputError, option, require
from ...steps import version
from .objects import identify, item, now, patient_and_study, save

if TYPE_CHECKING:
    from pydicom.dataset import Dataset


@dataclass(frozen=True)
class AcceptedRegistration:
    """A rigid registration that a person looked at: `transform` maps points of the planning CT to points of the MR (LPS, mm)."""

    transform: sitk.Transform
    accepted_by: str

    @property
    def matrix(self) -> np.ndarray:
        """Points of the planning CT to points of the MR, (4, 4)."""
        return rigid_matrix(self.transform)

    def sentence(self) -> str:
        """How far it moves, and who accepted it."""
        matrix = self.matrix
        angle = np.degrees(np.arccos(np.clip((np.trace(matrix[:3, :3]) - 1) / 2, -1, 1)))
        return f"rigid registration (turned by {angle:.1f} deg), looked at and accepted by {self.accepted_by}"


def accepted_registration(path: str | Path, accepted_by: str | None) -> AcceptedRegistration:
    """Read a rigid ITK transform that a person accepted.

    Raises
    ------
    InputError
        If nobody accepted it, or the file is no rigid transform.
    """
    name = (accepted_by or "").strip()
    if not name or "\\" in name or len(name) > 64:
        raise InputError(
            f"the registration {path} was not accepted by anyone: look at its picture (gliosuite register --picture P.png) and name who "
            f"accepts it with {option('--accepted-by')} (at most 64 characters)"
        )
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path} does not exist; the transform that gliosuite register wrote is needed")
    try:
        transform = sitk.ReadTransform(str(path))
    except RuntimeError as error:
        raise InputError(f"{path} is not an ITK transform; T.tfm of gliosuite register is needed") from error
    rigid_matrix(transform)
    return AcceptedRegistration(transform, name)


def rigid_matrix(transform: sitk.Transform) -> np.ndarray:
    """A rigid transform as a matrix (4, 4) on points in mm.

    Raises
    ------
    InputError
        If it bends, scales, shears or mirrors.
    """
    move = lambda p: np.array(transform.TransformPoint([float(v) for v in p]))
    offset = move((0, 0, 0))
    matrix = np.eye(4)
    matrix[:3, :3] = np.stack([move(e) - offset for e in 100.0 * np.eye(3)], axis=1) / 100.0
    matrix[:3, 3] = offset
    probe = np.random.default_rng(0).uniform(-150, 150, (20, 3))
    bent = max(np.abs(move(p) - matrix[:3, :3] @ p - offset).max() for p in probe)
    stretched = np.abs(matrix[:3, :3].T @ matrix[:3, :3] - np.eye(3)).max()
    if bent > 0.01 or stretched > 1e-4 or np.linalg.det(matrix[:3, :3]) < 0:
        raise InputError(
            "the transform is not rigid (it bends, scales or mirrors); contours go to a planning CT by a rigid registration alone "
            "(gliosuite register --stages rigid)"
        )
    return matrix


def write_registration(path: str | Path, series: Stack, planning: Stack, registration: AcceptedRegistration) -> None:
    """Write a DICOM Spatial Registration object that ties the frame of reference of an MR to that of its planning CT.

    The object's own frame of reference is the CT's; its matrix for the MR's frame maps points of the MR to the CT (PS3.3 C.20.2).

    Raises
    ------
    InputError
        If either series has no frame of reference, both have the same, or they belong to different patients.
    """
    for one in (series, planning):
        if not one.header.frame_of_reference:
            raise InputError(
                f"the images in {one.folder} have no frame of reference UID, so nothing can be registered to them"
            )
    if series.header.frame_of_reference == planning.header.frame_of_reference:
        raise InputError(
            f"{series.folder} and {planning.folder} share one frame of reference already; a registration object would contradict it"
        )
    patients = [str(one.identity.get("PatientID", "")) for one in (series, planning)]
    if all(patients) and patients[0] != patients[1]:
        raise InputError(
            f"{series.folder} and {planning.folder} are of different patients (PatientID differs); one patient is needed"
        )
    to_planning = np.linalg.inv(registration.matrix)
    day, time = now()
    d = item()
    patient_and_study(d, planning)
    d.SOPClassUID = SPATIAL_REGISTRATION
    d.InstanceCreationDate, d.InstanceCreationTime = day, time
    d.Modality = "REG"
    d.Laterality = ""
    d.SeriesNumber, d.InstanceNumber = 1, 1
    d.SeriesDescription = "GlioSuite registration (research)"
    d.Manufacturer = d.ManufacturerModelName = "GlioSuite"
    d.DeviceSerialNumber = "none"
    d.SoftwareVersions = version()
    d.FrameOfReferenceUID = planning.header.frame_of_reference
    d.PositionReferenceIndicator = planning.header.position_reference
    d.ContentDate, d.ContentTime = day, time
    d.ContentLabel = "GLIOSUITE"
    d.ContentDescription = "MR to planning CT, research use only"
    d.ContentCreatorName = registration.accepted_by
    comment = f"rigid, accepted by {registration.accepted_by}"[:64]
    d.RegistrationSequence = [
        _registered(planning, np.eye(4), "identity"),
        _registered(series, to_planning, comment),
    ]
    one_study = series.header.study_uid == planning.header.study_uid
    d.ReferencedSeriesSequence = [_referenced(one) for one in (planning, series)[: 2 if one_study else 1]]
    if not one_study:
        d.StudiesContainingOtherReferencedInstancesSequence = [
            item(StudyInstanceUID=series.header.study_uid, ReferencedSeriesSequence=[_referenced(series)])
        ]
    identify(d)
    save(d, Path(path))
    again = read_registration(path)
    if not np.allclose(again[series.header.frame_of_reference], to_planning, atol=1e-6):
        raise RuntimeError("the registration object did not read back as it was written")


def _registered(series: Stack, matrix: np.ndarray, comment: str) -> "Dataset":
    """How the frame of reference of a series goes to the object's own."""
    rigid = item(
        FrameOfReferenceTransformationMatrix=[_decimal(v) for v in matrix.ravel()],
        FrameOfReferenceTransformationMatrixType="RIGID",
    )
    code = item(CodeValue="125025", CodingSchemeDesignator="DCM", CodeMeaning="Visual Alignment")
    registered = item(
        FrameOfReferenceTransformationComment=comment,
        RegistrationTypeCodeSequence=[code],
        MatrixSequence=[rigid],
    )
    return item(
        FrameOfReferenceUID=series.header.frame_of_reference,
        ReferencedImageSequence=_images(series),
        MatrixRegistrationSequence=[registered],
    )


def _referenced(series: Stack) -> "Dataset":
    return item(SeriesInstanceUID=series.header.series_uid, ReferencedInstanceSequence=_images(series))


def _images(series: Stack) -> list["Dataset"]:
    """References to all instances of a series."""
    return [
        item(ReferencedSOPClassUID=series.header.sop_class, ReferencedSOPInstanceUID=instance)
        for instance in dict.fromkeys(s.instance for s in series.slices)
    ]


def read_registration(path: str | Path) -> dict[str, np.ndarray]:
    """The matrices (4, 4) of a DICOM Spatial Registration object by frame of reference UID; each maps to the object's own frame.

    Raises
    ------
    InputError
        If the file is missing or no such object.
    """
    path = Path(path)
    pydicom = require("pydicom", "reading registration objects")
    invalid = require("pydicom.errors", "reading registration objects").InvalidDicomError
    try:
        with quiet_pydicom():
            d = pydicom.dcmread(path)
    except (invalid, OSError, EOFError) as error:
        raise InputError(f"{path} cannot be read as DICOM; a spatial registration object is needed") from error
    if d.get("SOPClassUID") != SPATIAL_REGISTRATION:
        raise InputError(
            f"{path} is a DICOM object of modality {d.get('Modality', '?')}; a spatial registration object is needed"
        )
    found = {}
    for entry in d.RegistrationSequence:
        matrix = np.eye(4)
        for step in entry.MatrixRegistrationSequence:
            for one in step.MatrixSequence:  # applied in their order, PS3.3 C.20.2.1.1
                matrix = np.reshape([float(v) for v in one.FrameOfReferenceTransformationMatrix], (4, 4)) @ matrix
        found[str(entry.FrameOfReferenceUID)] = matrix
    return found


def _decimal(value: float) -> str:
    """At most 16 characters, as DS wants."""
    text = f"{value:.12g}"
    return text if len(text) <= 16 else f"{value:.8g}"
