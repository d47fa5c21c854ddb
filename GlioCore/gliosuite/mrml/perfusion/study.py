"""A study in the scene: which part each image plays, and whether a series is DCE or DSC."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
import slicer
import slicer.util

from ... import resources
from ...dicom.roles import T2_STAR_TE_MS, Verdict, judge_all, judge_name
from ...errors import InputError
from ...perfusion.t1 import check_t10
from ..sequences import acquisition, frame_values, is_series
from ..volumes import QUANTITY, ROLE, plain_volumes

_NONE = "none"  # the attribute's value where a person says that an image has no role
_ONE = ("t1c", "t1", "t2", "flair", "b1", "t1_map")  # what one image alone can be
_HEADERS = 3  # of a volume that are read: first, middle and last; chosen, fewer pass for a localizer
_STRIDE = 4  # of the voxels, along each axis, that tell DCE from DSC; chosen
_STRONGEST = 95.0  # percentile of what voxels change by; chosen, vessels and lesions are a twentieth of a head
# Where the echo time is not known: spoiled gradient echoes of DCE repeat within some ms, echo-planar volumes of DSC in a second or two
# (Welker et al. 2015); what lies between tells nothing. Chosen.
_SPOILED_TR_MS, _PLANAR_TR_MS = 10.0, 500.0
_BASELINE = 3  # frames; chosen, as few as a baseline has


@dataclass(frozen=True)
class Entry:
    """An image or series, its role (``t1c``, ...; empty: none), and why."""

    node: Any
    role: str
    why: str


def entries() -> list[Entry]:
    """The scene's images and series with their roles: as a person or a case said, or guessed from DICOM attributes, else from names.

    Where several are guessed to be what one alone can be, the finest of them is.
    """
    found = []
    volumes = _volumes()
    by_headers = _judged(volumes)
    for node in [*volumes, *_series()]:
        said = node.GetAttribute(ROLE)
        if said:
            found.append(Entry(node, "" if said == _NONE else said, "as it was chosen"))
        elif is_series(node):
            found.append(_of_series(node))
        elif node.GetAttribute(QUANTITY):
            found.append(Entry(node, "t1_map", "it was measured here"))
        else:
            named = judge_name(node.GetName())
            # Headers tell signals from values, but of values no more than a name does.
            verdict = named if named.role == "t1_map" else by_headers.get(node.GetID()) or named
            found.append(Entry(node, verdict.role or "", verdict.why))
    known = resources.display()["choices"]["role"]
    found = [e if e.role in known else replace(e, role="") for e in found]
    rank = lambda e: (bool(e.node.GetAttribute(ROLE)), e.node.GetImageData().GetNumberOfPoints())
    for role in _ONE:
        rivals = sorted((e for e in found if e.role == role), key=rank)
        for lesser in rivals[:-1]:
            why = f"{lesser.why}; {rivals[-1].node.GetName()} is finer"
            found[found.index(lesser)] = Entry(lesser.node, "", why)
    return found


def with_role(role: str) -> list[Any]:
    """The nodes that have a role."""
    return [entry.node for entry in entries() if entry.role == role]


def unfit_t1(node: Any) -> str:
    """Why a volume cannot be a map of T1 in s; empty where it can."""
    try:
        check_t10(sitk.GetImageFromArray(slicer.util.arrayFromVolume(node).astype(np.float32)), node.GetName())
    except InputError as error:
        return str(error)
    return ""


def choose_role(node: Any, role: str) -> None:
    """What a person says: the role of a node, and of no other where one alone can have it."""
    for entry in entries() if role in _ONE else ():
        if entry.role == role and entry.node is not node:
            entry.node.SetAttribute(ROLE, _NONE)
    node.SetAttribute(ROLE, role or _NONE)


def _volumes() -> list[Any]:
    """Scalar volumes that are images of a patient or maps of T1: no other map or picture of ours, and none that is empty."""
    return [
        node
        for node in plain_volumes()
        if node.GetImageData() is not None and node.GetAttribute(QUANTITY) in (None, "", "t1") and not is_series(node)
    ]


def _series() -> list[Any]:
    nodes = [n for cls in ("vtkMRMLSequenceNode", "vtkMRMLScalarVolumeNode") for n in slicer.util.getNodesByClass(cls)]
    return [node for node in nodes if is_series(node)]


def _judged(nodes: list[Any]) -> dict[str, Verdict]:
    """By the identifier of a node that was loaded from DICOM: the verdict on its files, which the application's database knows."""
    database = getattr(slicer, "dicomDatabase", None)
    files: dict[str, list[Path]] = {}
    if database is None:
        return {}
    for node in nodes:
        uids = (node.GetAttribute("DICOM.instanceUIDs") or "").split()
        some = [uids[i] for i in sorted({0, len(uids) // 2, len(uids) - 1})] if len(uids) >= _HEADERS else []
        paths = [Path(p) for p in map(database.fileForInstance, some) if p]
        if paths:
            files[node.GetID()] = paths
    if not files:
        return {}
    from ...dicom.headers import read_headers
    from ...dicom.sort import split

    read = {node: read_headers(paths, pixels=False)[0] for node, paths in files.items()}
    series = split(header for headers in read.values() for header in headers)
    verdicts = {s.header.series_uid: v for joined, v in judge_all(series) for s in joined.slices}
    return {node: verdicts[h[0].series_uid] for node, h in read.items() if h and h[0].series_uid in verdicts}


def _of_series(node: Any) -> Entry:
    if node.GetAttribute("MultiVolume.FrameIdentifyingDICOMTagName") == "FlipAngle":
        return Entry(node, "vfa", "its frames differ in their flip angle")
    named = judge_name(node.GetName())
    if named.role in ("vfa", "dce", "dsc"):
        return Entry(node, named.role, named.why)
    kind, why = kind_of(node)
    return Entry(node, kind.lower(), why)


def kind_of(node: Any) -> tuple[str, str]:
    """``"DCE"`` or ``"DSC"``, and why: as was chosen, else by echo or repetition time, else by name, else by what the signal does."""
    said = node.GetAttribute(ROLE)
    if said in ("dce", "dsc"):
        return said.upper(), "as it was chosen"
    taken = acquisition(node)
    te_ms, tr_ms = taken.get("te_ms", 0.0), taken.get("tr_ms", 0.0)
    if te_ms:
        dsc = te_ms >= T2_STAR_TE_MS
        return ("DSC" if dsc else "DCE"), f"TE {te_ms:g} ms: {'T2*' if dsc else 'T1'}-weighted"
    if 0 < tr_ms < _SPOILED_TR_MS or tr_ms > _PLANAR_TR_MS:
        dsc = tr_ms > _PLANAR_TR_MS
        return (
            "DSC" if dsc else "DCE"
        ), f"TR {tr_ms:g} ms, as of {'an echo-planar' if dsc else 'a spoiled gradient echo'} series"
    named = judge_name(node.GetName())
    if named.role in ("dce", "dsc"):
        return named.role.upper(), named.why
    up, down = _changes(frame_values(node, _STRIDE))
    return ("DSC", "its signal falls with the bolus") if down > up else ("DCE", "its signal rises with the bolus")


def _changes(frames: np.ndarray) -> tuple[float, float]:
    """By what share of its signal a strongly changing voxel rises and falls over frames (t, n); 0 where there are too few."""
    if len(frames) <= _BASELINE + 1:
        return 0.0, 0.0
    before = frames[1 : 1 + _BASELINE].mean(axis=0)  # the first may be brighter
    bright = before > 0.2 * np.percentile(before, 98)
    if not bright.any():
        return 0.0, 0.0
    relative = frames[1:, bright] / before[bright] - 1.0
    # A frame alone is noise or movement: the second highest and lowest count.
    ordered = np.sort(relative, axis=0)
    return float(np.percentile(ordered[-2], _STRONGEST)), float(np.percentile(-ordered[1], _STRONGEST))
