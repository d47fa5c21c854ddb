"""Which segment of a segmentation is which structure: by its terminology, else by its name, else a person chooses."""

import re
from collections.abc import Container, Sequence
from dataclasses import dataclass
from typing import Any

import slicer
import vtk

from ...images import DRAFT
from ..segments import is_unsure

TITLES = {
    "brain": "Brain",
    "cel": "Enhancing lesion (CEL)",
    "t2l": "T2 lesion (T2L)",
    "cavity": "Resection cavity",
    "necrosis": "Necrosis",
    "progression": "Progression",
}
ROLES = tuple(TITLES)

# Codes (scheme, value) that mean one structure and no other, as Slicer's and DICOM's lists have them, in SNOMED CT and its older form.
_CODES = {
    "brain": (("SCT", "12738006"), ("SRT", "T-A0100")),
    "cel": (("NCIt", "C113842"),),
    "t2l": (("SCT", "79654002"), ("SRT", "M-36300")),  # oedema
    "necrosis": (("SCT", "6574001"), ("SRT", "M-54000")),
}
# Words of names, in the order in which they decide: a lesion at progression is no lesion before treatment, whatever it holds.
_WORDS = {
    "progression": r"progress\w*|recur\w*|follow ?up",
    "cavity": r"cavity|resect\w*",
    "necrosis": r"necro\w*|ncr",
    "t2l": r"t2l?|flair|o?edema|snfh|whole tumou?r|wt",
    "cel": r"(?<!non )(?<!non)(cel|et|enhanc\w*|contrast enhanc\w*)",
    "brain": r"(whole )?brain( mask)?",
}


@dataclass(frozen=True)
class Match:
    """The segment found for a role and by what (``terminology`` or ``name``); an empty identifier where several fit, named in `rivals`."""

    identifier: str
    by: str
    rivals: tuple[str, ...] = ()


def segments_of(segmentation: Any) -> dict[str, str]:
    """Segment identifier to name, in the segmentation's order; empty for None."""
    if segmentation is None:
        return {}
    segments = segmentation.GetSegmentation()
    found = [segments.GetNthSegmentID(i) for i in range(segments.GetNumberOfSegments())]
    return {identifier: segments.GetSegment(identifier).GetName() for identifier in found}


def match_segments(segmentation: slicer.vtkMRMLSegmentationNode | None) -> dict[str, Match]:
    """The segment for each role (`ROLES`) that one is found for.

    A code that means a structure and no other decides; general ones (lesion, neoplasm) do not. Then names do. Where several segments fit a
    role alike, none is chosen. Drafts that the program itself doubts fit none.
    """
    if segmentation is None:
        return {}
    names = segments_of(segmentation)
    by_code: dict[str, list[str]] = {role: [] for role in ROLES}
    by_name: dict[str, list[str]] = {role: [] for role in ROLES}
    for identifier, name in names.items():
        if is_unsure(segmentation, identifier):
            continue
        named, coded = role_of_name(name), _role_of_code(segmentation.GetSegmentation().GetSegment(identifier))
        # What a name says of time holds: progression is coded as what it consists of.
        if coded is not None and named != "progression":
            by_code[coded].append(identifier)
        elif named is not None:
            by_name[named].append(identifier)
    found = {}
    for role in ROLES:
        for by, fitting in (("terminology", by_code[role]), ("name", by_name[role])):
            if fitting:
                alone = len(fitting) == 1
                rivals = () if alone else tuple(names[i] for i in fitting)
                found[role] = Match(fitting[0] if alone else "", by, rivals)
                break
    return found


def role_of_name(name: str) -> str | None:
    """The role that a segment's name tells of, or None.

    Examples
    --------
    >>> role_of_name("GTV_CEL"), role_of_name("non-enhancing"), role_of_name("brainstem"), role_of_name("Lesion at progression (CEL)")
    ('cel', None, None, 'progression')
    >>> role_of_name("Brain (draft)")
    'brain'
    """
    plain = re.sub(r"[^a-z0-9]+", " ", name.lower().removesuffix(" (draft)")).strip().removeprefix(f"{DRAFT.lower()} ")
    for role, words in _WORDS.items():
        # A brain is called so and nothing more: "brain metastasis" is none.
        pattern = rf"{words}" if role == "brain" else rf"(.* )?({words})( .*)?"
        if re.fullmatch(pattern, plain):
            return role
    return None


def _role_of_code(segment: slicer.vtkSegment) -> str | None:
    """The role that a segment's terminology entry (category~type~...) tells of, or None."""
    entry = vtk.reference("")
    segment.GetTag(slicer.vtkSegment.GetTerminologyEntryTagName(), entry)
    parts = str(entry).split("~")
    code = tuple(parts[2].split("^")[:2]) if len(parts) > 2 else ()
    return next((role for role, codes in _CODES.items() if code in codes), None)


def with_necrosis(roles: Sequence[str], there: Container[str]) -> tuple[str, ...]:
    """Those of the roles that are there; necrosis counts with the enhancing lesion, as in the schemes."""
    found = tuple(role for role in roles if role in there)
    return (*found, "necrosis") if "cel" in found and "necrosis" in there else found
