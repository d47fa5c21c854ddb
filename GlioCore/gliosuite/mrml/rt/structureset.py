"""Target volumes as an RT structure set: which DICOM series it refers to, what is checked before, and where it goes."""

import os
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import slicer

from ...errors import InputError, require
from ..segments import is_drafted, mask_from_segment
from ..volumes import grid_of
from . import comparison
from .choices import TO_DATABASE, TO_FOLDER
from .request import TargetsRequest, TargetsResult, drafted_roles

if TYPE_CHECKING:
    from ...dicom.geometry import Stack
    from ...rt.rtstruct.preflight import Finding

# The structures that targets are made of, and how each is called and typed in the structure set.
_ROIS = {
    "brain": ("Brain", "ORGAN"),
    "cel": ("GTV_CEL", "GTV"),
    "t2l": ("GTV_T2L", "GTV"),
    "cavity": ("Cavity", "CAVITY"),
    "necrosis": ("GTV_Necrosis", "GTV"),
}
_SERIES_UID, _SERIES_TITLE = "0020,000e", "0008,103e"


@dataclass(frozen=True)
class DicomSource:
    """The files of the DICOM series that a volume was loaded from, its UID and its description."""

    files: tuple[Path, ...]
    uid: str
    title: str

    def stack(self) -> "Stack":
        """The series as structure sets refer to it."""
        from ...dicom.geometry import read_stack

        folder = Path(os.path.commonpath([p.parent for p in self.files]))
        return read_stack(folder, self.uid or None, bool(self.uid), self.files)


@dataclass(frozen=True)
class ExportRequest:
    """How a structure set is to be written.

    Parameters
    ----------
    series_folder
        Folder of the DICOM series, where the volume itself does not say which it is.
    destination
        One of `choices.DESTINATIONS`.
    folder
        Where it goes, if not into the database.
    label
        Structure set label, at most 16 characters.
    allow_derived
        Take a series that is marked as a reformat or a secondary copy.
    accepted_by
        Who has looked at the structures that are drafts and accepts them; they are called drafts where nobody has.
    """

    series_folder: str = ""
    destination: str = TO_FOLDER
    folder: str = ""
    label: str = "GlioSuite"
    allow_derived: bool = False
    accepted_by: str = ""


def dicom_database() -> Any:
    """The application's DICOM database, or None where there is none that is open."""
    database = getattr(slicer, "dicomDatabase", None)
    return database if database is not None and database.isOpen else None


def dicom_source(node: Any) -> DicomSource | None:
    """The DICOM series that a volume was loaded from, by the instances that it names; None where it names none or a file is gone."""
    uids = (node.GetAttribute("DICOM.instanceUIDs") or "").split() if node is not None else []
    database = dicom_database()
    if not uids or database is None:
        return None
    files = tuple(Path(file) for uid in uids if (file := database.fileForInstance(uid)))
    if len(files) < len(uids) or not all(f.is_file() for f in files):
        return None
    return DicomSource(
        tuple(dict.fromkeys(files)),  # one of many frames is one file
        database.instanceValue(uids[0], _SERIES_UID) or "",
        database.instanceValue(uids[0], _SERIES_TITLE) or node.GetName(),
    )


def _series(request: TargetsRequest, folder: str) -> Any:
    """What is drawn on: the reference's own series, else that of the folder."""
    found = dicom_source(request.reference)
    if found is not None:
        return found.stack()
    if not folder:
        raise InputError(
            "the reference was not loaded from Slicer's DICOM database, and no folder is chosen; the folder of its DICOM series is needed"
        )
    return folder


def rois_of(result: TargetsResult, request: TargetsRequest) -> list[Any]:
    """Targets and the structures that they are made of as they are now, so that a person's corrections go along.

    Raises
    ------
    InputError
        If the reference or a segment is gone.
    """
    from ...rt.rtstruct import Roi

    if request.reference is None:
        raise InputError("the image that the targets were drawn on is gone from the scene; compute the targets again")
    grid = grid_of(request.reference)
    rois = []
    for name, kind in result.kinds.items():
        color = _color(result.segmentation, comparison.segment_of(result, name))
        mask = comparison.mask_of(result, name, grid)
        rois.append(Roi(name, mask, kind, color, result.described[name], draft=name in result.drafts))
    for role, (node, identifier) in request.segments.items():
        if role in _ROIS:  # the progression was seen later: it is no structure of a plan
            name, kind = _ROIS[role]
            mask, drafted = mask_from_segment(node, identifier, grid), is_drafted(node, identifier)
            algorithm = "AUTOMATIC" if drafted else "MANUAL"
            rois.append(Roi(name, mask, kind, _color(node, identifier), "", algorithm, drafted))
    return rois


def _color(node: Any, identifier: str) -> tuple[int, int, int]:
    red, green, blue = (round(255 * c) for c in node.GetSegmentation().GetSegment(identifier).GetColor())
    return red, green, blue


def drafts_of(result: TargetsResult, request: TargetsRequest) -> list[str]:
    """Names of the structures that are drafts or rest on drafts, as they would be written."""
    return [*result.drafts, *(_ROIS[role][0] for role in drafted_roles(request) if role in _ROIS)]


def check(result: TargetsResult, request: TargetsRequest, wanted: ExportRequest) -> tuple["Finding", ...]:
    """The pre-flight list: what would be said of the structure set, and what would keep it from being written."""
    from ...images import accepting
    from ...rt.rtstruct import preflight
    from ...rt.rtstruct.drafts import marked

    series = _series(request, wanted.series_folder)
    rois, label, drafts = marked(rois_of(result, request), wanted.label, accepting(wanted.accepted_by or None))
    return (*preflight(series, rois, label, allow_derived=wanted.allow_derived), *drafts)


def export(result: TargetsResult, request: TargetsRequest, wanted: ExportRequest) -> tuple[Any, str]:
    """Write targets and the structures they come from as an RT structure set on the original DICOM series.

    Returns
    -------
    ExportedSet, str
        What was written, and where it is now, in words.

    Raises
    ------
    InputError
        If no series or folder is chosen, a segment is gone or empty, or the series is unfit; then nothing is written.

    Warns
    -----
    UserWarning
        What the pre-flight list has to say: an old MR, thick slices, holes.
    """
    from ...images import accepting
    from ...rt.rtstruct import export_rtstruct
    from ...rt.rtstruct.export import SAID

    with _place(wanted) as path:
        series = _series(request, wanted.series_folder)
        exported = export_rtstruct(
            path,
            series,
            rois_of(result, request),
            wanted.label,
            allow_derived=wanted.allow_derived,
            timed=True,
            drafts_accepted_by=accepting(wanted.accepted_by or None),
        )
        for finding in exported.findings:
            if finding.level == "warning" and finding.check not in SAID:  # of these the export warns itself
                warnings.warn(finding.sentence, stacklevel=2)
        if wanted.destination == TO_FOLDER:
            return exported, str(path)
        _insert(path)
        return exported, f"{TO_DATABASE}, beside its images"


@contextmanager
def _place(wanted: ExportRequest) -> Iterator[Path]:
    """The file to write: a new one of the folder, or one that the database copies."""
    name = "RS_" + "".join(c if c.isalnum() or c in "-_" else "_" for c in wanted.label)
    if wanted.destination == TO_DATABASE:
        if dicom_database() is None:
            raise InputError(f"{TO_DATABASE} is not open; open it in the DICOM module, or export to a folder")
        with tempfile.TemporaryDirectory(prefix="gliosuite-", ignore_cleanup_errors=True) as folder:
            yield Path(folder) / f"{name}.dcm"
        return
    if not wanted.folder:
        raise InputError("no folder is chosen for the RT structure set")
    number, path = 1, Path(wanted.folder) / f"{name}.dcm"
    while path.exists():  # what lies there may have been sent already
        number += 1
        path = path.with_name(f"{name}_{number}.dcm")
    yield path


def _insert(path: Path) -> None:
    """Copy a DICOM file into the application's database, and see that it has arrived."""
    pydicom = require("pydicom", "DICOM files")
    uid = str(pydicom.dcmread(path, specific_tags=["SOPInstanceUID"]).SOPInstanceUID)
    database = dicom_database()
    database.insert(str(path), True, False)  # store a copy, without a thumbnail
    if not database.fileForInstance(uid):
        raise InputError(f"{TO_DATABASE} did not take the structure set; export it to a folder and import that")
