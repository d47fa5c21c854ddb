"""What all DICOM objects that are written here share: patient and study, date, UIDs that the content determines, character set, file."""

import io
import uuid
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...dicom.geometry import IDENTITY, Stack, quiet_pydicom
from ...errors import require

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

_UTF8 = "ISO_IR 192"
_TEXTS = ("LO", "LT", "PN", "SH", "ST", "UC", "UT")  # value representations that follow the character set (PS3.5 6.2)

_CONTOUR_DATA = 0x30060050


def item(**elements: object) -> "Dataset":
    """A data set, or an item of a sequence, with these elements by keyword."""
    result = require("pydicom.dataset", "writing DICOM objects").Dataset()
    for keyword, value in elements.items():
        setattr(result, keyword, value)
    return result


def now() -> tuple[str, str]:
    """Date and time of what is written, as DICOM has them; to the second."""
    moment = datetime.now()
    return moment.strftime("%Y%m%d"), moment.strftime("%H%M%S")


def content_uid(*content: str | bytes) -> str:
    """A UID that the content determines."""
    text = "\n".join(c if isinstance(c, str) else uuid.uuid5(uuid.NAMESPACE_OID, c.hex()).hex for c in content)
    return f"2.25.{uuid.uuid5(uuid.NAMESPACE_OID, text).int}"


def identify(dataset: "Dataset") -> None:
    """Give an object the UIDs of instance and series that all of its content determines: what differs in anything gets others.

    Its texts are first put into a character set that holds them.
    """
    hold_texts(dataset)
    for keyword in ("SOPInstanceUID", "SeriesInstanceUID"):
        setattr(dataset, keyword, "")
    content = _encoded(dataset)
    dataset.SOPInstanceUID = content_uid("instance", content)
    dataset.SeriesInstanceUID = content_uid("series", content)


def _encoded(dataset: "Dataset") -> bytes:
    stream = io.BytesIO()
    buffer = require("pydicom.filebase", "writing DICOM objects").DicomFileLike(stream)
    buffer.is_little_endian, buffer.is_implicit_VR = True, False
    with quiet_pydicom():
        require("pydicom.filewriter", "writing DICOM objects").write_dataset(buffer, dataset)
    return stream.getvalue()


def hold_texts(dataset: "Dataset") -> None:
    """Write an object in UTF-8 where the character set of its images does not hold one of its texts, such as a name in another script."""
    charset = require("pydicom.charset", "writing DICOM objects")
    names = dataset.get("SpecificCharacterSet") or ""
    # None is the default repertoire, which is ASCII (PS3.5 6.1.1).
    encodings = charset.convert_encodings(names) if names else ["ascii"]
    texts = list(_texts(dataset))  # decodes what was read in the images' own character set
    if not all(any(_holds(e, text) for e in encodings) for text in texts):
        dataset.SpecificCharacterSet = _UTF8


def _holds(encoding: str, text: str) -> bool:
    try:
        text.encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def _texts(dataset: "Dataset") -> Iterator[str]:
    """All texts of an object, but numbers that stand as they are written (contours: decoding them takes minutes)."""
    for tag in list(dataset.keys()):
        vr = dataset.get_item(tag).VR
        if vr is None and tag != _CONTOUR_DATA:  # of a file that leaves it to the dictionary
            vr = dataset[tag].VR
        if vr == "SQ":
            for one in dataset[tag].value:
                yield from _texts(one)
        elif vr in _TEXTS:
            value: Any = dataset[tag].value
            yield from (str(v) for v in ([] if value is None else value if isinstance(value, list) else [value]))


def patient_and_study(dataset: "Dataset", series: Stack) -> None:
    """Copy patient and study of a series' images into an object that belongs to them."""
    for keyword in IDENTITY:
        if keyword in series.identity:
            dataset.add(series.identity[keyword])
    for keyword in (
        "StudyDate", "StudyTime", "AccessionNumber", "ReferringPhysicianName", "StudyID",
        "PatientName", "PatientID", "PatientBirthDate", "PatientSex",
    ):  # fmt: skip
        if keyword not in dataset:
            setattr(dataset, keyword, "")


def save(dataset: "Dataset", path: Path) -> None:
    """Write an object as explicit VR little endian with file meta information, with pydicom 2 or 3."""
    pydicom = require("pydicom", "writing RT structure sets")
    meta = require("pydicom.dataset", "writing RT structure sets").FileMetaDataset()
    meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    meta.TransferSyntaxUID = "1.2.840.10008.1.2.1"
    dataset.file_meta = meta
    with quiet_pydicom():
        if int(pydicom.__version__.split(".")[0]) < 3:
            dataset.is_little_endian, dataset.is_implicit_VR = True, False
            pydicom.dcmwrite(path, dataset, write_like_original=False)
        else:
            pydicom.dcmwrite(path, dataset, enforce_file_format=True)
