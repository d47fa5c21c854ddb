"""What an RT structure set file holds: its contours in mm, their volumes, their voxels on any grid, and what is wrong with it."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import SimpleITK as sitk

from ...dicom.geometry import RT_STRUCTURE_SET, quiet_pydicom
from ...errors import InputError, require
from ...images import Grid, boolean, resample_mask
from .contours import area, fill

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

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
    patient_id: str = ""


@dataclass(frozen=True)
class Planes:
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
        str(dataset.get("PatientID", "") or ""),
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
    rgb = (int(color[0]), int(color[1]), int(color[2])) if color is not None and len(color) == 3 else None
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


def planes_of(structure: Structure, hint: np.ndarray | None = None) -> Planes:
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
    return Planes(
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
    planes = planes_of(structure)
    return [
        (float(at), area([_flat_points(c.points, planes.normal) for c in group]))
        for at, group in zip(planes.at, planes.contours)
    ]


def contour_volume_cc(structure: Structure, spacing_mm: float | None = None) -> float | None:
    """Area of the polygons times the distance of their planes, in cubic centimetres; None for one plane without a known spacing."""
    if not structure.contours:
        return 0.0
    spacing = spacing_mm or planes_of(structure).spacing
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
    planes = planes_of(structure, axes[:, 2])
    level = (planes.at - np.asarray(grid.origin) @ axes[:, 2]) / grid.spacing[2]
    parallel = abs(planes.normal @ axes[:, 2]) > 1 - 1e-6
    alike = planes.spacing is None or abs(planes.spacing / grid.spacing[2] - 1) < 0.1
    near = np.abs(level - np.floor(level + 0.5)).max() <= (0.5 if planes.spacing is None else 0.25)
    if parallel and alike and near:
        return _filled(planes, np.floor(level + 0.5).astype(int), grid, notes), notes
    notes.append("its contours lie on other planes than the slices and were carried over by their signed distance")
    return resample_mask(_extruded(planes, grid), grid), notes


def _filled(planes: Planes, index: np.ndarray, grid: Grid, notes: list[str]) -> sitk.Image:
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


def _extruded(planes: Planes, like: Grid) -> sitk.Image:
    """The contours on a grid of their own planes, as fine as `like` in plane, each reaching half-way to the next plane.

    Planes are repeated in layers of about 1 mm: on thick slices the signed distance would round off what the first and last contour hold.
    """
    spacing = planes.spacing or like.spacing[2]
    layers = max(1, round(spacing))
    normal, axes = planes.normal, np.reshape(like.direction, (3, 3))
    across = axes[:, np.argmin(np.abs(normal @ axes))]
    across = across - (across @ normal) * normal
    across /= np.linalg.norm(across)
    frame = np.stack([across, np.cross(normal, across), normal])
    points = np.concatenate([c.points for g in planes.contours for c in g]) @ frame.T
    step = min(1.0, *like.spacing)
    index = np.round((planes.at - planes.at[0]) / spacing).astype(int) + 1
    # Empty voxels all round, since the signed distance is taken from the edge; outlines of voxels fall between the new voxels' centres.
    low = np.append(points[:, :2].min(axis=0) - 2.5 * step, planes.at[0] - spacing * (1 + (1 - 1 / layers) / 2))
    size = np.ceil((points[:, :2].max(axis=0) + 3 * step - low[:2]) / step).astype(int) + 1
    x, y, z = (float(v) for v in low @ frame)
    grid = Grid(
        (int(size[0]), int(size[1]), int(index[-1] + 2) * layers),
        (step, step, spacing / layers),
        (x, y, z),
        tuple(float(v) for v in frame.T.ravel()),
    )
    mask = np.zeros((index[-1] + 2, *grid.shape[1:]), bool)
    for k, group in zip(index, planes.contours):
        mask[k] |= fill([(c.points @ frame.T - low)[:, :2] / step for c in group], grid.shape[1:])
    return grid.image(np.repeat(mask, layers, axis=0))


def own_mask(structure: Structure) -> sitk.Image:
    """A structure's voxels on a grid made from its contours alone, 1 mm or finer: what a file without its images can be drawn on."""
    planes = planes_of(structure)
    return _extruded(planes, Grid((1, 1, 1), (1.0, 1.0, planes.spacing or 1.0), (0.0,) * 3, tuple(np.eye(3).ravel())))


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
