"""Segments and masks: a segment to any grid by signed distance, masks to segments with our names, colours and terminology."""

import json
from collections.abc import Mapping

import numpy as np
import SimpleITK as sitk
import slicer
import vtk
from vtk.util import numpy_support

from .. import resources
from ..errors import InputError
from ..images import DRAFT, Grid, as_grid, boolean, is_draft, resample_mask, said_of
from .volumes import grid_from_matrix, ijk_to_ras, refuse_transform

_DRAFT = "GlioSuite.Draft"  # tag of a segment
_EDITOR = "SegmentEditor"  # singleton tag by which Slicer's Segment Editor finds its settings
_UNSURE = "GlioSuite.Unsure"  # tag of a draft: why nothing takes it by itself


def segment_called(segmentation: slicer.vtkMRMLSegmentationNode, name: str) -> str:
    """The identifier of the segment of that name, which may be called a draft before it; empty where there is none."""
    segments = segmentation.GetSegmentation()
    return str(segments.GetSegmentIdBySegmentName(name) or segments.GetSegmentIdBySegmentName(f"{DRAFT} {name}") or "")


def mask_from_segment(
    segmentation: slicer.vtkMRMLSegmentationNode, segment_id: str, like: sitk.Image | Grid
) -> sitk.Image:
    """A segment as a uint8 0/1 mask on the grid of `like`.

    Raises
    ------
    InputError
        If the segment does not exist, is empty or does not overlap the grid, or the segmentation lies under a transform.
    """
    refuse_transform(segmentation)
    segment = segmentation.GetSegmentation().GetSegment(segment_id)
    if segment is None:
        raise InputError(f"{segmentation.GetName()} has no segment {segment_id!r}; choose one of its segments")
    name = f"segment {segment.GetName()} of {segmentation.GetName()}"
    labelmap = slicer.vtkOrientedImageData()
    binary = slicer.vtkSegmentationConverter.GetSegmentationBinaryLabelmapRepresentationName()
    if not segmentation.GetSegmentation().ContainsRepresentation(binary):
        segmentation.CreateBinaryLabelmapRepresentation()
    extent = (0, -1, 0, -1, 0, -1)
    if segmentation.GetBinaryLabelmapRepresentation(segment_id, labelmap):
        extent = labelmap.GetExtent()
    size = tuple(b - a + 1 for a, b in zip(extent[::2], extent[1::2], strict=True))
    if min(size) < 1:
        raise InputError(f"{name} is empty; draw or import it first")
    voxels = numpy_support.vtk_to_numpy(labelmap.GetPointData().GetScalars()).reshape(size[::-1]) > 0
    if not voxels.any():
        raise InputError(f"{name} is empty; draw or import it first")
    matrix = vtk.vtkMatrix4x4()
    labelmap.GetImageToWorldMatrix(matrix)
    to_ras = slicer.util.arrayFromVTKMatrix(matrix)
    # The label map is cropped to the segment: two voxels around it let the signed distance cross its edge.
    to_ras[:3, 3] += to_ras[:3, :3] @ (np.array(extent[::2]) - 2)
    padded = np.pad(voxels, 2)
    mask = grid_from_matrix(to_ras, padded.shape[::-1], name).image(padded)
    carried = _pasted(mask, as_grid(like))
    if not boolean(carried).any():
        raise InputError(f"{name} does not overlap the image that it is for; a segment on that image is needed")
    return carried


def is_drafted(segmentation: slicer.vtkMRMLSegmentationNode, segment_id: str) -> bool:
    """Whether a segment is a draft that a program made: a correction by hand does not change that, only a person's word does."""
    segment = segmentation.GetSegmentation().GetSegment(segment_id)
    return segment is not None and bool(segment.HasTag(_DRAFT))


def is_unsure(segmentation: slicer.vtkMRMLSegmentationNode, segment_id: str) -> bool:
    """Whether the program itself doubts a draft, so that only a person chooses it."""
    segment = segmentation.GetSegmentation().GetSegment(segment_id)
    return segment is not None and bool(segment.HasTag(_UNSURE))


def call_unsure(segmentation: slicer.vtkMRMLSegmentationNode, segment_id: str, why: str) -> None:
    """Say of a draft that the program itself doubts it: in its name, and for `is_unsure`."""
    segment = segmentation.GetSegmentation().GetSegment(segment_id)
    segment.SetTag(_DRAFT, "1")
    segment.SetTag(_UNSURE, why)
    segment.SetName(f"{DRAFT}, unsure: {segment.GetName().removeprefix(f'{DRAFT} ')}")


def refuse_shared(roles: Mapping[str, tuple[slicer.vtkMRMLSegmentationNode, str] | None]) -> None:
    """Refuse one segment in two roles.

    Parameters
    ----------
    roles
        What a role is called, to ``(segmentation node, segment id)``, or None.

    Raises
    ------
    InputError
        Naming the segment and both roles.
    """
    taken: dict[tuple[str, str], str] = {}
    for role, choice in roles.items():
        if choice is None:
            continue
        node, identifier = choice
        other = taken.setdefault((node.GetID(), identifier), role)
        segment = node.GetSegmentation().GetSegment(identifier)
        if other != role and segment is not None:
            raise InputError(
                f"segment {segment.GetName()} of {node.GetName()} is chosen as {other} and as {role}; one segment for each is needed"
            )


def _pasted(mask: sitk.Image, grid: Grid) -> sitk.Image:
    """The mask on `grid`: copied where both share one lattice (exact and quick), carried by signed distance otherwise."""
    own = Grid.of(mask)
    start = np.array(grid.blank().TransformPhysicalPointToContinuousIndex(own.origin))
    shift = np.round(start).astype(int)
    size = own.size
    end = np.array(grid.blank().TransformPhysicalPointToContinuousIndex(tuple(own.corners()[-1])))
    if np.abs(start - shift).max() > 0.01 or np.abs(end - (shift + np.array(size) - 1)).max() > 0.01:
        return resample_mask(mask, grid)
    result = np.zeros(grid.shape, np.uint8)
    low = np.maximum(shift, 0)
    high = np.minimum(shift + size, grid.size)
    if (high > low).all():
        to = tuple(slice(a, b) for a, b in zip(low[::-1], high[::-1], strict=True))
        of = tuple(slice(a, b) for a, b in zip((low - shift)[::-1], (high - shift)[::-1], strict=True))
        result[to] = sitk.GetArrayViewFromImage(mask)[of]
    return grid.image(result)


def segmentation_from_masks(
    masks: Mapping[str, sitk.Image],
    reference: slicer.vtkMRMLVolumeNode,
    name: str,
    segmentation: slicer.vtkMRMLSegmentationNode | None = None,
) -> slicer.vtkMRMLSegmentationNode:
    """Masks as segments, with their region's colour, title and terminology; drawn as outlines.

    Parameters
    ----------
    masks
        Region name (``cel``, ``t2l``, ..., or a CTV's name) to mask.
    reference
        Volume whose geometry the segmentation refers to.
    name
        Name of a new node.
    segmentation
        Node to add to, or None for a new one; a segment of the same name is replaced.

    A mask whose file says that it is a draft makes a segment that says so, in its name too (`is_drafted`).
    """
    if segmentation is None:
        segmentation = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", name)
    segmentation.CreateDefaultDisplayNodes()
    segmentation.SetReferenceImageGeometryParameterFromVolumeNode(reference)
    segments = segmentation.GetSegmentation()
    display = segmentation.GetDisplayNode()
    shades = resources.colors(list(masks))
    for region, mask in masks.items():
        title, color, tag = appearance(region, shades[region])
        while old := segment_called(segmentation, title):
            segments.RemoveSegment(old)
        drafted = is_draft(said_of(mask))
        identifier = segments.AddEmptySegment("", f"{DRAFT} {title}" if drafted else title, color)
        if tag:
            segments.GetSegment(identifier).SetTag(slicer.vtkSegment.GetTerminologyEntryTagName(), tag)
        if drafted:
            segments.GetSegment(identifier).SetTag(_DRAFT, "1")
        slicer.vtkSlicerSegmentationsModuleLogic.SetBinaryLabelmapToSegment(
            oriented(mask), segmentation, identifier, slicer.vtkSlicerSegmentationsModuleLogic.MODE_REPLACE
        )
    display.SetAllSegmentsVisibility2DFill(False)
    display.SetAllSegmentsVisibility2DOutline(True)
    display.SetSliceIntersectionThickness(2)
    return segmentation


def edit(
    segmentation: slicer.vtkMRMLSegmentationNode, image: slicer.vtkMRMLVolumeNode, selected: str = "", inside: str = ""
) -> None:
    """Settings of Slicer's Segment Editor: what is drawn, on which image, and by identifier the only segment inside which one can draw.

    The module takes them when it is opened next.
    """
    scene = slicer.mrmlScene
    node = scene.GetSingletonNode(_EDITOR, "vtkMRMLSegmentEditorNode")
    if node is None:
        node = slicer.vtkMRMLSegmentEditorNode()
        node.SetSingletonTag(_EDITOR)
        node = scene.AddNode(node)
    node.SetAndObserveSegmentationNode(segmentation)
    node.SetAndObserveSourceVolumeNode(image)
    if selected:
        node.SetSelectedSegmentID(selected)
    modes = slicer.vtkMRMLSegmentationNode
    node.SetMaskMode(modes.EditAllowedInsideSingleSegment if inside else modes.EditAllowedEverywhere)
    node.SetMaskSegmentID(inside)
    if inside:
        node.SetOverwriteMode(node.OverwriteNone)  # else what is drawn would eat the mask


def appearance(region: str, color: str) -> tuple[str, tuple[float, float, float], str]:
    """Title, colour (of `resources.colors`, as numbers 0-1) and terminology tag of a region or another structure."""
    regions = resources.display()["regions"]
    base, _, variant = region.partition("_")  # what has no entry of its own: progression_t2l is a progression
    known = regions.get(region) or regions.get(base)
    title = region if known is None else f"{known['title']} ({variant.upper()})" if variant else known["title"]
    red, green, blue = (c / 255 for c in resources.rgb(color))
    rgb = (red, green, blue)
    code = json.loads(resources.read_text("terminology.json")).get(base.lower())
    if code is None:
        return title, rgb, ""
    category, kind = ("^".join(code[key]) for key in ("category", "type"))
    master = "Segmentation category and type - 3D Slicer General Anatomy list"
    return title, rgb, f"{master}~{category}~{kind}~^^~Anatomic codes - DICOM master list~^^~^^"


def oriented(mask: sitk.Image) -> slicer.vtkOrientedImageData:
    """A mask as the oriented image that segmentations hold."""
    voxels = np.ascontiguousarray(boolean(mask), dtype=np.uint8)
    image = slicer.vtkOrientedImageData()
    image.SetDimensions(*mask.GetSize())
    scalars = numpy_support.numpy_to_vtk(voxels.ravel(), deep=True, array_type=vtk.VTK_UNSIGNED_CHAR)
    image.GetPointData().SetScalars(scalars)
    image.SetGeometryFromImageToWorldMatrix(slicer.util.vtkMatrixFromArray(ijk_to_ras(Grid.of(mask))))
    return image
