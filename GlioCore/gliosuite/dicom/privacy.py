"""Keep what names the patient out of texts and paths, and original DICOM files apart from what may be passed on."""

import os
import re
import shutil
from collections.abc import Iterable
from pathlib import Path

from .headers import Header

LINK_NOTE = (
    "dicom/ holds the original files of some series (hard links where the disk allows, copies elsewhere); their headers name the "
    "patient, so leave that folder out when passing the case on"
)
_STRUCK = "[…]"


def words_of(headers: Iterable[Header]) -> frozenset[str]:
    """All words that name a patient in the headers: names, numbers, birth dates, accession numbers; in lower case."""
    empty: frozenset[str] = frozenset()
    return empty.union(*(identity.words for identity in {h.identity for h in headers}))


def redacted(text: str, words: Iterable[str]) -> str:
    """`text` with the patient's words struck out; short ones only where they stand alone."""
    for word in sorted(words, key=len, reverse=True):
        pattern = re.escape(word)
        if len(word) < 5:
            pattern = rf"(?<![A-Za-z0-9]){pattern}(?![A-Za-z0-9])"
        text = re.sub(pattern, _STRUCK, text, flags=re.IGNORECASE)
    return text


def names_patient(text: str, words: Iterable[str]) -> bool:
    """Whether a text holds one of the patient's words."""
    return redacted(text, words) != text


def relative_folder(files: Iterable[Path], out: Path, all_dicom: set[Path], words: Iterable[str]) -> str | None:
    """The path from `out` to the folder of a series; None unless the series is alone in it and the path names no patient."""
    files = {f.resolve() for f in files}
    folders = {f.parent for f in files}
    if len(folders) != 1:
        return None
    folder = folders.pop()
    if any(f.parent == folder and f not in files for f in all_dicom):
        return None
    try:
        relative = Path(os.path.relpath(folder, out.resolve())).as_posix()
    except ValueError:  # another drive on Windows
        relative = folder.as_posix()
    return None if names_patient(relative, words) else relative


def link(files: Iterable[Path], folder: Path) -> None:
    """Put the files into `folder` under neutral names: as hard links where the disk allows, else as copies."""
    folder.mkdir(parents=True, exist_ok=True)
    for i, source in enumerate(files):
        target = folder / f"{i + 1:05d}.dcm"
        try:
            os.link(source, target)
        except FileExistsError:
            raise  # copying onto a link would write into the original
        except OSError:  # another disk, or one without hard links
            shutil.copyfile(source, target)
