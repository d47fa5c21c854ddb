"""What an RT structure set file holds: its contours in mm, their volumes, their voxels on any grid, and what is wrong with it."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import SimpleITK as sitk

from ..errors import InputError, require
from ..images import Grid, boolean, resample_mask
from .contours import area, fill
from .dicomseries import DicomSeries, quiet_pydicom

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

RT_STRUCTURE_SET = "1.2.840.10008.5.1.4.1.1.481.3"
_CLOSED = ("CLOSED_PLANAR", "CLOSEDPLANAR_XOR", "CLOSED_PLANAR_XOR")
_CONTOUR_DATA = 0x30060050


@dataclass(frozen=True)
class Contour:
    """One closed planar contour: points (n, 3) in LPS mm; `instance` and `frame` are what it says it lies on."""

    points: np.ndarray
    instance: str = ""
    frame: int | None = None


@dataclass(frozen=True)
class Structure:
    """One ROI of a structure set; contours of other kinds than closed planar ones are left out and counted in `problems`."""

    name: str
    number: int
    interpreted_type: str
    color_rgb: tuple[int, int, int] | None
    contours: tuple[Contour, ...]
    problems: tuple[str, ...] = ()


@dataclass(frozen=True)
class StructureSet:
    """A structure set as it was read."""

    path: Path
    label: str
    frame_of_reference: str
    series_uid: str
    approval: str
    structures: tuple[Structure, ...]


@dataclass(frozen=True)
class _Planes:
    """A structure's contours by plane: the normal, where each plane lies along it (mm), the planes' spacing, and their contours."""

    normal: np.ndarray
    at: np.ndarray
    spacing: float | None
    contours: list[list[Contour]]
    flatness: float


def read_structures(path: str | Path) -> StructureSet:
    """Read the contours of an RT structure set.

    Raises
    ------
    InputError
        If the file is missing, not DICOM, or not a structure set.
    """
    path = Path(path)
    pydicom = require("pydicom", "reading RT structure sets")
    invalid = require("pydicom.errors", "reading RT structure sets").InvalidDicomError
    if not path.is_file():
        raise InputError(f"{path} does not exist; an RT structure set is needed")
    try:
        with quiet_pydicom():
            dataset = pydicom.dcmread(path)
    except (invalid, EOFError) as error:
        raise InputError(f"{path} is not a DICOM file; an RT structure set is needed") from error
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}") from error
    if dataset.get("SOPClassUID") != RT_STRUCTURE_SET:
        raise InputError(
            f"{path} is a DICOM object of modality {dataset.get('Modality', '?')}; an RT structure set is needed"
        )
    types = {
        int(o.ReferencedROINumber): str(o.get("RTROIInterpretedType", "") or "")
        for o in dataset.get("RTROIObservationsSequence", ()) or ()
    }
    drawn = {int(c.ReferencedROINumber): c for c in dataset.get("ROIContourSequence", ()) or ()}
    frames, structures = [], []
    for roi in dataset.get("StructureSetROISequence", ()) or ():
        number = int(roi.ROINumber)
        frames.append(str(roi.get("ReferencedFrameOfReferenceUID", "") or ""))
        structures.append(
            _structure(str(roi.get("ROIName", "") or f"ROI{number}"), number, types.get(number, ""), drawn.get(number))
        )
    if not structures:
        raise InputError(f"{path} holds no ROI")
    references = [
        str(s.get("SeriesInstanceUID", ""))
        for f in dataset.get("ReferencedFrameOfReferenceSequence", ()) or ()
        for t in f.get("RTReferencedStudySequence", ()) or ()
        for s in t.get("RTReferencedSeriesSequence", ()) or ()
    ]
    frames.append(str(dataset.get("FrameOfReferenceUID", "") or ""))
    return StructureSet(
        path,
        str(dataset.get("StructureSetLabel", "") or ""),
        next((f for f in frames if f), ""),
        references[0] if references else "",
        str(dataset.get("ApprovalStatus", "") or ""),
        tuple(structures),
    )


def _structure(name: str, number: int, kind: str, drawn: "Dataset | None") -> Structure:
    contours, odd, short, wrong_count, twice = [], 0, 0, 0, 0
    seen: set[bytes] = set()
    for item in (drawn.get("ContourSequence", ()) or ()) if drawn is not None else ():
        points = _points(item)
        if str(item.get("ContourGeometricType", "")) not in _CLOSED:
            odd += 1
        elif points is None or len(points) < 3:
            short += 1
        else:
            wrong_count += int(item.get("NumberOfContourPoints", 0) or 0) != len(points)
            key = points.tobytes()
            if key in seen:  # the same contour twice would cancel itself
                twice += 1
                continue
            seen.add(key)
            images = item.get("ContourImageSequence", ()) or ()
            frame = images[0].get("ReferencedFrameNumber") if images else None
            if isinstance(frame, Sequence) and not isinstance(frame, str):
                frame = frame[0] if frame else None
            instance = str(images[0].get("ReferencedSOPInstanceUID", "")) if images else ""
            contours.append(Contour(points, instance, int(frame) if frame else None))
    problems = [
        f"{n} {what}"
        for n, what in (
            (odd, "contours are not closed planar ones and were left out"),
            (short, "contours have fewer than 3 points and were left out"),
            (wrong_count, "contours hold another number of points than they say"),
            (twice, "contours occur twice and were taken once"),
        )
        if n
    ]
    color = drawn.get("ROIDisplayColor") if drawn is not None else None
    rgb = tuple(int(v) for v in color) if color is not None and len(color) == 3 else None
    return Structure(name, number, kind, rgb, tuple(contours), tuple(problems))


def _points(item: "Dataset") -> np.ndarray | None:
    """Contour Data as (n, 3), from the file's bytes where they are still at hand: pydicom's own conversion takes minutes on large sets."""
    element: Any = item.get_item(_CONTOUR_DATA) if _CONTOUR_DATA in item else None
    value = None if element is None else element.value
    if value is None or len(value) == 0:
        return None
    numbers = value.strip(b" \0").split(b"\\") if isinstance(value, bytes) else value
    try:
        flat = np.array([float(v) for v in numbers])
    except ValueError:
        return None
    return flat.reshape(-1, 3) if flat.size % 3 == 0 else None


# ------------------------------------------------------------------------------------------------------- planes and volumes


def _planes(structure: Structure, hint: np.ndarray | None = None) -> _Planes:
    """Sort contours into parallel planes; `hint` is a normal to take where the contours agree with it."""
    points = [c.points for c in structure.contours]
    normal = None
    if hint is not None:
        flatness = max(float(np.ptp(p @ hint)) for p in points)
        normal = hint if flatness < 0.05 else None
    if normal is None:
        widest = max(points, key=lambda p: float(np.linalg.norm(np.ptp(p, axis=0))))
        normal = np.linalg.svd(widest - widest.mean(axis=0), full_matrices=False)[2][2]
        normal = normal * (1 if normal[np.argmax(np.abs(normal))] > 0 else -1)
        flatness = max(float(np.ptp(p @ normal)) for p in points)
    at = np.array([float((p @ normal).mean()) for p in points])
    order = np.argsort(at, kind="stable")
    groups: list[list[int]] = []
    for i in order:
        if groups and at[i] - at[groups[-1][0]] < 0.05:
            groups[-1].append(int(i))
        else:
            groups.append([int(i)])
    levels = np.array([at[g].mean() for g in groups])
    gaps = np.diff(levels)
    return _Planes(
        normal,
        levels,
        float(np.median(gaps)) if gaps.size else None,
        [[structure.contours[i] for i in g] for g in groups],
        flatness,
    )


def _flat_points(points: np.ndarray, normal: np.ndarray) -> np.ndarray:
    """Points (n, 3) as (n, 2) mm in the plane of `normal`."""
    across = np.cross(normal, np.eye(3)[np.argmin(np.abs(normal))])
    across /= np.linalg.norm(across)
    return points @ np.stack([across, np.cross(normal, across)], axis=1)


def contour_areas(structure: Structure) -> list[tuple[float, float]]:
    """Per plane its place along the contours' normal (mm) and the area inside its contours (mm2), holes taken out."""
    if not structure.contours:
        return []
    planes = _planes(structure)
    return [
        (float(at), area([_flat_points(c.points, planes.normal) for c in group]))
        for at, group in zip(planes.at, planes.contours)
    ]


def contour_volume_cc(structure: Structure, spacing_mm: float | None = None) -> float | None:
    """Area of the polygons times the distance of their planes, in cubic centimetres; None for one plane without a known spacing."""
    if not structure.contours:
        return 0.0
    spacing = spacing_mm or _planes(structure).spacing
    return None if spacing is None else sum(a for _, a in contour_areas(structure)) * spacing / 1000.0


# ------------------------------------------------------------------------------------------------------------ voxels


def rasterise(structure: Structure, grid: Grid) -> tuple[sitk.Image, list[str]]:
    """The voxels of a grid whose centres lie inside a structure's contours.

    Contours belong to slices by their position, whatever instance they refer to. Where their planes are the grid's slices, voxels are
    filled slice by slice; otherwise on a stack of the contours' own planes, from which the mask is carried over by its signed distance.

    Returns
    -------
    tuple
        Mask (uint8) and what had to be left out or changed, in sentences.
    """
    notes: list[str] = []
    if not structure.contours:
        return grid.blank(), ["it has no closed contour"]
    axes = np.reshape(grid.direction, (3, 3))
    planes = _planes(structure, axes[:, 2])
    level = (planes.at - np.asarray(grid.origin) @ axes[:, 2]) / grid.spacing[2]
    parallel = abs(planes.normal @ axes[:, 2]) > 1 - 1e-6
    alike = planes.spacing is None or abs(planes.spacing / grid.spacing[2] - 1) < 0.1
    near = np.abs(level - np.floor(level + 0.5)).max() <= (0.5 if planes.spacing is None else 0.25)
    if parallel and alike and near:
        return _filled(planes, np.floor(level + 0.5).astype(int), grid, notes), notes
    notes.append("its contours lie on other planes than the slices and were carried over by their signed distance")
    own = _own_grid(planes, grid)
    index = np.round((planes.at - planes.at[0]) / own.spacing[2]).astype(int)
    return resample_mask(_filled(planes, index, own, notes), grid), notes


def _filled(planes: _Planes, index: np.ndarray, grid: Grid, notes: list[str]) -> sitk.Image:
    """Fill each plane's contours into the slice that `index` says; where two planes meet in a slice the later one is joined to it."""
    mask = np.zeros(grid.shape, bool)
    matrix = np.linalg.inv(np.reshape(grid.direction, (3, 3)) * grid.spacing)
    outside = 0
    for k, group in zip(index, planes.contours):
        if not 0 <= k < grid.size[2]:
            outside += len(group)
            continue
        mask[k] |= fill([((c.points - grid.origin) @ matrix.T)[:, :2] for c in group], grid.shape[1:])
    if outside:
        notes.append(f"{outside} contours lie outside the slices and were left out")
    return grid.image(mask)


def _own_grid(planes: _Planes, like: Grid) -> Grid:
    """A grid whose slices are the contours' planes, around all contours, as fine as `like` in plane."""
    normal = planes.normal
    axes = np.reshape(like.direction, (3, 3))
    across = axes[:, np.argmin(np.abs(normal @ axes))]
    across = across - (across @ normal) * normal
    across /= np.linalg.norm(across)
    frame = np.stack([across, np.cross(normal, across), normal])
    points = np.concatenate([c.points for g in planes.contours for c in g]) @ frame.T
    step = min(1.0, *like.spacing)
    spacing = (step, step, planes.spacing or like.spacing[2])
    # A margin of empty voxels all round, since the signed distance is taken from the edge.
    low = np.append(points[:, :2].min(axis=0) - 3 * step, planes.at[0])
    size = np.ceil((points[:, :2].max(axis=0) + 3 * step - low[:2]) / step).astype(int) + 1
    count = round((planes.at[-1] - planes.at[0]) / spacing[2]) + 1
    return Grid((int(size[0]), int(size[1]), int(count)), spacing, tuple(low @ frame), tuple(frame.T.ravel()))


def own_geometry(structure: Structure) -> Grid:
    """A grid made from a structure's contours alone, 1 mm or finer in plane: what a file without its images can be drawn on."""
    spacing = _planes(structure).spacing or 1.0
    return _own_grid(_planes(structure), Grid((1, 1, 1), (1.0, 1.0, spacing), (0.0,) * 3, tuple(np.eye(3).ravel())))


def check_structures(contents: StructureSet, series: "DicomSeries | None" = None) -> dict[str, Any]:
    """What a structure set holds and what is wrong with it.

    Returns
    -------
    dict
        ``label``, ``approval``, ``rois`` (name, type, contours, planes, volumes in cc from contours and from voxels, problems) and
        ``problems`` of the whole set.
    """
    problems = []
    names = [s.name for s in contents.structures]
    if len(set(names)) < len(names):
        problems.append("two ROIs have the same name")
    if not contents.frame_of_reference:
        problems.append("it has no frame of reference UID")
    by_uid: dict[tuple[str, int | None], int] = {}
    if series is not None:
        by_uid = {(s.instance, s.frame): k for k, s in enumerate(series.slices)}
        if contents.series_uid != series.series_uid:
            problems.append("it refers to another series (SeriesInstanceUID differs)")
        if contents.frame_of_reference and contents.frame_of_reference != series.frame_of_reference:
            problems.append("its frame of reference is not that of the series")
    rois = []
    for structure in contents.structures:
        own = list(structure.problems)
        if len(structure.name) > 16:
            own.append(f"its name has {len(structure.name)} characters; TG-263 and many planning systems take 16")
        record: dict[str, Any] = {
            "name": structure.name,
            "type": structure.interpreted_type,
            "color_rgb": structure.color_rgb,
            "contours": len(structure.contours),
        }
        if structure.contours:
            grid = series.grid if series is not None else own_geometry(structure)
            mask, notes = rasterise(structure, grid)
            planes = _planes(structure)
            own += notes
            if planes.flatness > 0.05:
                own.append(f"its contours leave their plane by up to {planes.flatness:.2f} mm")
            if series is not None:
                own += _references(structure, series, by_uid)
            spacing = series.grid.spacing[2] if series is not None and planes.spacing is None else None
            record |= {
                "planes": len(planes.at),
                "volume_contours_cc": contour_volume_cc(structure, spacing),
                "volume_voxels_cc": float(boolean(mask).sum()) * grid.voxel_cc,
            }
        else:
            own.append("it has no closed contour")
        rois.append(record | {"problems": own})
    return {"label": contents.label, "approval": contents.approval, "rois": rois, "problems": problems}


def _references(structure: Structure, series: "DicomSeries", by_uid: dict[tuple[str, int | None], int]) -> list[str]:
    """How many contours refer to no slice, to an unknown one, or to another than they lie on."""
    normal = np.reshape(series.grid.direction, (3, 3))[:, 2]
    none = unknown = wrong = 0
    for contour in structure.contours:
        if not contour.instance:
            none += 1
        elif (k := by_uid.get((contour.instance, contour.frame))) is None:
            unknown += 1
        elif abs((contour.points.mean(axis=0) - series.slices[k].position) @ normal) > 0.5 * series.grid.spacing[2]:
            wrong += 1
    return [
        f"{n} of {len(structure.contours)} contours {what}"
        for n, what in (
            (none, "refer to no image"),
            (unknown, "refer to images that are not in the series"),
            (wrong, "refer to another slice than they lie on"),
        )
        if n
    ]


def on_grid(contents: StructureSet, name: str, grid: Grid) -> sitk.Image:
    """One ROI of a structure set as a mask on any grid.

    Raises
    ------
    InputError
        If there is no such ROI, or none of it lies on the grid.
    """
    found = [s for s in contents.structures if s.name == name]
    if not found:
        listed = ", ".join(s.name for s in contents.structures)
        raise InputError(f"{contents.path} has no ROI {name}; it has {listed}")
    mask, notes = rasterise(found[0], grid)
    if not boolean(mask).any():
        raise InputError(
            f"{contents.path}:{name} has no voxel on the image that it is for ({'; '.join(notes) or 'no overlap'})"
        )
    for note in (*found[0].problems, *notes):
        warnings.warn(f"{contents.path}:{name}: {note}", stacklevel=2)
    return mask
