"""DICOM RT structure sets: written, read back, checked."""

from .check import check_structures
from .export import (
    export_rtstruct,
    preflight,
    read_rtstruct,
    require_same_frame,
    require_same_patient,
    write_rtstruct,
)
from .preflight import Finding
from .reading import on_grid, read_structures
from .registration import accepted_registration, write_registration
from .structures import StructureSet
from .writing import Roi

__all__ = [
    "Finding",
    "Roi",
    "StructureSet",
    "accepted_registration",
    "check_structures",
    "export_rtstruct",
    "on_grid",
    "preflight",
    "read_rtstruct",
    "read_structures",
    "require_same_frame",
    "require_same_patient",
    "write_registration",
    "write_rtstruct",
]
