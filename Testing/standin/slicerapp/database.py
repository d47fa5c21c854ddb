"""Stand-in for ``slicer.dicomDatabase``: files by instance, and copies of what is inserted."""

import shutil
from pathlib import Path


class Database:
    """A DICOM database whose copies lie in the folder `store`."""

    isOpen = True  # noqa: N815

    def __init__(self, store: Path) -> None:
        self.store, self.files, self.takes = store, {}, True
        store.mkdir(parents=True, exist_ok=True)

    def link(self, folder: Path) -> list[str]:
        """Know all files of a folder without copying them; their instances in name order."""
        return [self._know(path) for path in sorted(folder.iterdir())]

    def _know(self, path) -> str:
        import pydicom

        uid = str(pydicom.dcmread(path, specific_tags=["SOPInstanceUID"]).SOPInstanceUID)
        self.files[uid] = str(path)
        return uid

    def insert(self, path: str, store: bool = True, thumbnail: bool = True) -> None:
        if self.takes:
            self._know(shutil.copy(path, self.store / f"{len(self.files):05d}.dcm") if store else path)

    def fileForInstance(self, uid: str) -> str:  # noqa: N802
        return self.files.get(uid, "")

    def instanceValue(self, uid: str, tag: str) -> str:  # noqa: N802
        import pydicom

        header = pydicom.dcmread(self.files[uid], stop_before_pixels=True)
        return str(header[tag.replace(",", "")].value)
