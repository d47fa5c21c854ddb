"""4-D series in the scene: sequence nodes and MultiVolume nodes to `Series`, with their times and acquisition values."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import slicer
import slicer.util

from ..errors import InputError
from ..images import Series
from .volumes import grid_of, node_from_image, refuse_transform

_UNITS = {"s": 1.0, "sec": 1.0, "second": 1.0, "seconds": 1.0, "ms": 1e-3, "msec": 1e-3, "milliseconds": 1e-3}
_TAGS = {  # our name: MultiVolume's attribute, DICOM tag
    "tr_ms": ("RepetitionTime", "0018,0080"),
    "te_ms": ("EchoTime", "0018,0081"),
    "flip_angle_deg": ("FlipAngle", "0018,1314"),
}


@dataclass(frozen=True)
class Timing:
    """The times that a node gives to its frames.

    Parameters
    ----------
    values
        Index values as the node has them, one per frame; None where they are no rising numbers.
    unit
        ``"s"`` or ``"ms"``, or ``""`` where the node names no unit of time.
    """

    values: tuple[float, ...] | None
    unit: str

    def seconds(self, unit: str | None = None) -> tuple[float, ...] | None:
        """Times in s from the first frame on; `unit` overrides the node's. None where the node has no times or no unit is known."""
        unit = unit or self.unit
        if self.values is None or not unit:
            return None
        return tuple(round((v - self.values[0]) * _UNITS[unit], 6) for v in self.values)


def is_multivolume(node: slicer.vtkMRMLNode) -> bool:
    """Whether a node is a MultiVolume: all frames in one volume, as MultiVolumeImporter loads them."""
    return bool(node.IsA("vtkMRMLMultiVolumeNode") or node.GetAttribute("MultiVolume.NumberOfFrames"))


def _frames(node: slicer.vtkMRMLSequenceNode) -> list[slicer.vtkMRMLVolumeNode]:
    frames = [node.GetNthDataNode(i) for i in range(node.GetNumberOfDataNodes())]
    if not frames:
        raise InputError(f"{node.GetName()} has no frames; a sequence of volumes is needed")
    odd = next((f for f in frames if not f.IsA("vtkMRMLScalarVolumeNode")), None)
    if odd is not None:
        raise InputError(f"{node.GetName()} holds {odd.GetClassName()} items; a sequence of volumes is needed")
    return frames


def series_from_node(node: slicer.vtkMRMLNode) -> Series:
    """A sequence or MultiVolume node as a series.

    Raises
    ------
    InputError
        If the node is of another kind, empty, under a transform, or its frames differ in geometry.
    """
    if node.IsA("vtkMRMLSequenceNode"):
        frames = _frames(node)
        grid = grid_of(frames[0])
        for number, frame in enumerate(frames[1:], 2):
            if not grid_of(frame).matches(grid):
                raise InputError(
                    f"{node.GetName()}: frame {number} lies on another grid than frame 1; frames of one geometry are needed"
                )
        stack = np.stack([np.asarray(slicer.util.arrayFromVolume(f), dtype=np.float32) for f in frames])
    elif is_multivolume(node):
        refuse_transform(node)
        grid = grid_of(node)
        stack = np.array(np.moveaxis(slicer.util.arrayFromVolume(node), -1, 0), dtype=np.float32, order="C")
    else:
        raise InputError(
            f"{node.GetName()} is a {node.GetClassName()}; a sequence (Sequences module) or a MultiVolume is needed"
        )
    return Series(stack, grid, node.GetName())


def timing(node: slicer.vtkMRMLNode) -> Timing:
    """The index values of a sequence or MultiVolume node and their unit."""
    if node.IsA("vtkMRMLSequenceNode"):
        texts = [node.GetNthIndexValue(i) for i in range(node.GetNumberOfDataNodes())]
        unit = node.GetIndexUnit()
    else:
        texts = (node.GetAttribute("MultiVolume.FrameLabels") or "").split(",")
        unit = node.GetAttribute("MultiVolume.FrameIdentifyingDICOMTagUnits")
    try:
        values = tuple(float(text) for text in texts)
    except ValueError:
        values = ()
    rising = len(values) > 1 and all(b > a for a, b in zip(values, values[1:], strict=False))
    scale = _UNITS.get((unit or "").strip().lower(), 0.0)
    return Timing(values if rising else None, {1.0: "s", 1e-3: "ms"}.get(scale, ""))


def acquisition(node: slicer.vtkMRMLNode, dicom_value: Callable[[str, str], str] | None = None) -> dict[str, float]:
    """``tr_ms te_ms flip_angle_deg`` as far as the node's attributes, or the DICOM files it was loaded from, say them.

    Parameters
    ----------
    node
        Sequence or MultiVolume node.
    dicom_value
        ``(SOP instance UID, tag) -> text``; the application's DICOM database where None.
    """
    if dicom_value is None and getattr(slicer, "dicomDatabase", None) is not None:
        dicom_value = slicer.dicomDatabase.instanceValue
    first = node.GetNthDataNode(0) if node.IsA("vtkMRMLSequenceNode") and node.GetNumberOfDataNodes() else node
    uids = (first.GetAttribute("DICOM.instanceUIDs") or node.GetAttribute("DICOM.instanceUIDs") or "").split()
    found = {}
    for key, (attribute, tag) in _TAGS.items():
        texts = [n.GetAttribute(a) for n in (node, first) for a in (key, f"MultiVolume.DICOM.{attribute}")]
        if dicom_value is not None and uids:
            texts.append(dicom_value(uids[0], tag))
        for text in texts:
            try:
                value = float(text)
            except (TypeError, ValueError):
                continue
            if value > 0:
                found[key] = value
                break
    return found


def node_from_series(series: Series, times_s: tuple[float, ...], name: str) -> slicer.vtkMRMLSequenceNode:
    """A sequence node in the scene from a series, indexed by time in s, with a browser to play it."""
    sequence = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSequenceNode", name)
    sequence.SetIndexName("time")
    sequence.SetIndexUnit("s")
    sequence.SetIndexTypeFromString("numeric")
    frame = node_from_image(series.frame(0), name)
    for index, time in enumerate(times_s):
        slicer.util.updateVolumeFromArray(frame, series.frames[index])
        sequence.SetDataNodeAtValue(frame, f"{time:g}")
    display = frame.GetDisplayNode()
    slicer.mrmlScene.RemoveNode(frame)
    if display is not None:
        slicer.mrmlScene.RemoveNode(display)
    browser = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSequenceBrowserNode", f"{name} browser")
    browser.SetAndObserveMasterSequenceNodeID(sequence.GetID())
    return sequence
