"""A digital patient, made on this machine: images, series and structures in the scene, its T1c in the application's DICOM database."""

import tempfile
from pathlib import Path
from typing import Any

import slicer

from ..case import Case
from ..images import read_mask
from . import process
from .case import load_case
from .layout import show_image
from .segments import segmentation_from_masks

_SEED = 3  # chosen: a patient with a cavity, an enhancing rest and a progression
_GRID_MM = 2.0  # chosen: made within seconds


def digital_patient(seed: int = _SEED, grid_mm: float = _GRID_MM, run: Any = process.run) -> dict[str, Any]:
    """Make a simulated patient and load it; the application waits.

    The brain mask is the simulation's own. Where the DICOM database is open, T1c lies in it too (its comment says that no patient
    was scanned), since an RT structure set has to refer to a DICOM series.

    Returns
    -------
    dict
        Node by image role, and ``"masks"``.
    """
    with tempfile.TemporaryDirectory(prefix="gliosuite-", ignore_cleanup_errors=True) as folder:
        options = ["--n", "1", "--seed", str(seed), "--grid-mm", f"{grid_mm:g}", "--out", folder]
        name = run(["simulate", *options])["cases"][0]
        place = Path(folder) / name
        nodes = load_case(place)
        brain = read_mask(Path(folder) / "truth" / name / "brain.nii.gz")
        segmentation_from_masks({"brain": brain}, nodes["t1c"], "", nodes["masks"])
        database = getattr(slicer, "dicomDatabase", None)
        if database is not None and database.isOpen:
            _into_database(Case.load(place), seed, Path(folder) / "dicom", nodes["t1c"], database)
    show_image(nodes["t1c"])
    return nodes


def _into_database(case: Case, seed: int, folder: Path, node: Any, database: Any) -> None:
    """Put a case's T1c into the database, and let its node name the instances, as one that was loaded from there does."""
    from pydicom import dcmread

    from ..simulate.scans.dicomseries import Study, write_dicom_study

    study = Study(case.id, seed, clinical=case.clinical)
    written = write_dicom_study({"t1c": case.image("t1c")}, {"t1c": case.acquisition("t1c")}, folder, study)
    uids = []
    for path in sorted(written["t1c"].iterdir()):
        database.insert(str(path), True, False)
        uids.append(str(dcmread(path, specific_tags=["SOPInstanceUID"]).SOPInstanceUID))
    node.SetAttribute("DICOM.instanceUIDs", " ".join(uids))
