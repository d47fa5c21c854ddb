"""DICOM: a study in, maps out."""

import importlib
from typing import Any

# Loaded when asked for, so that whoever needs one of them does not pay for the others.
_PUBLIC = {
    "scan": "study",
    "import_study": "importing",
    "import_bids": "bids",
    "read_dicom_flip_angles": "volumes",
    "read_dicom_image": "volumes",
    "read_dicom_series": "volumes",
    "read_dicom_volume": "volumes",
}
__all__ = [
    "import_bids",
    "import_study",
    "read_dicom_flip_angles",
    "read_dicom_image",
    "read_dicom_series",
    "read_dicom_volume",
    "scan",
]


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        return getattr(importlib.import_module(f".{_PUBLIC[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
