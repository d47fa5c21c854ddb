"""Drafts: masks that a program made and nobody has looked at. Files say so themselves, in the description that they carry."""

import re

import SimpleITK as sitk

from ..errors import InputError, option

DRAFT = "DRAFT"
_KEYS = ("descrip", "ITK_FileNotes")  # of NIfTI as ITK reads it, and of what else it writes
_SAYS = re.compile(r"\bDRAFT\b|\((?:draft|suggestion)\)")
_NAME_LENGTH = 64  # of a DICOM person name


def said_of(image: sitk.Image) -> str:
    """The description that an image's file carries; empty where it has none."""
    return next((image.GetMetaData(k).strip() for k in _KEYS if image.HasMetaDataKey(k)), "")


def is_draft(description: str) -> bool:
    """Whether a description says that what it is about is a draft.

    Examples
    --------
    >>> is_draft("cel (draft)"), is_draft("CTV_6000: DRAFT (cel): CEL + 20 mm"), is_draft("drafted by a reader")
    (True, True, False)
    """
    return bool(_SAYS.search(description))


def call_draft(mask: sitk.Image, description: str = DRAFT) -> None:
    """Let a mask say of itself, as its file would, that it is a draft."""
    mask.SetMetaData(_KEYS[0], description)


def accepting(name: str | None) -> str:
    """The name of who accepts drafts; empty where nobody does.

    Raises
    ------
    InputError
        If what was given is no name.
    """
    if name is None:
        return ""
    clean = name.strip()
    if not clean or "\\" in clean or len(clean) > _NAME_LENGTH or not clean.isprintable():
        raise InputError(
            f"{option('--drafts-accepted-by')} {name!r} names nobody; who looked at the drafts and accepts them is needed "
            f"(at most {_NAME_LENGTH} characters)"
        )
    return clean
