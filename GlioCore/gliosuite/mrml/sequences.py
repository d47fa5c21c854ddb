"""4-D series in the scene: sequence nodes and MultiVolume nodes to `Series`, with their times and acquisition values."""

import re
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import slicer
import slicer.util

from ..dicom.elements import seconds
from ..errors import InputError
from ..images import Series
from .volumes import grid_of, moved_grid, node_from_image, refuse_transform, registration_of

_UNITS = {"s": 1.0, "sec": 1.0, "second": 1.0, "seconds": 1.0, "ms": 1e-3, "msec": 1e-3, "milliseconds": 1e-3}
_NO_UNIT = ("", "na")  # what nodes say that name no unit
_TAGS = {  # our name: MultiVolume's attribute, DICOM tag
    "tr_ms": ("RepetitionTime", "0018,0080"),
    "te_ms": ("EchoTime", "0018,0081"),
    "flip_angle_deg": ("FlipAngle", "0018,1314"),
}
_SAID = ("t10_s", "hematocrit", "relaxivity")  # what a case says of a series, which no DICOM file does
_TIMELESS = (
    "EchoTime",
    "RepetitionTime",
    "FlipAngle",
)  # by these, in ms too, MultiVolumeImporter tells frames apart as well
_CLOCKS = ("AcquisitionTime", "SeriesTime", "ContentTime")  # these start anew at midnight
_ACQUISITION_TIME, _TEMPORAL_RESOLUTION = "0008,0032", "0020,0110"
_TICK_S = 1.0  # of clocks without fractions
_DAY_S = 86400.0


@dataclass(frozen=True)
class Timing:
    """The times that a node gives to its frames.

    Parameters
    ----------
    values
        What the node says of its frames, one rising number each; None where that is no time.
    unit
        ``"s"`` or ``"ms"``, or ``""`` where the node names no unit of time.
    reason
        Why there are no times, in words that follow the node's name; empty where there are.
    note
        What is to be known of times that there are.
    """

    values: tuple[float, ...] | None
    unit: str
    reason: str = ""
    note: str = ""

    def seconds(self, unit: str | None = None) -> tuple[float, ...] | None:
        """Times in s from the first frame on; `unit` overrides the node's. None where the node has no times or no unit is known."""
        unit = unit or self.unit
        if self.values is None or not unit:
            return None
        return tuple(round((v - self.values[0]) * _UNITS[unit], 6) for v in self.values)


def is_series(node: slicer.vtkMRMLNode) -> bool:
    """Whether a node is one that `series_from_node` can take by its kind: a sequence of scalar volumes, or a MultiVolume."""
    if node.IsA("vtkMRMLSequenceNode"):
        first = node.GetNthDataNode(0) if node.GetNumberOfDataNodes() else None
        return first is not None and bool(first.IsA("vtkMRMLScalarVolumeNode"))
    return is_multivolume(node)


def is_multivolume(node: slicer.vtkMRMLNode) -> bool:
    """Whether a node is a MultiVolume: all frames in one volume. A sequence that MultiVolumeImporter loads has the attributes too."""
    if not node.IsA("vtkMRMLVolumeNode"):
        return False
    return bool(node.IsA("vtkMRMLMultiVolumeNode") or node.GetAttribute("MultiVolume.NumberOfFrames"))


def n_frames(node: slicer.vtkMRMLNode) -> int:
    """Number of frames of a sequence or MultiVolume node."""
    if not is_multivolume(node):
        return int(node.GetNumberOfDataNodes())
    image = node.GetImageData()
    return 0 if image is None else int(image.GetNumberOfScalarComponents())


def proxy_of(node: slicer.vtkMRMLNode) -> slicer.vtkMRMLNode:
    """What stands for a series in views and subject hierarchy: the volume that its browser shows, or the node itself."""
    if node.IsA("vtkMRMLSequenceNode"):
        for browser in slicer.util.getNodesByClass("vtkMRMLSequenceBrowserNode"):
            proxy = browser.GetProxyNode(node)
            if proxy is not None:
                return proxy
    return node


def shown(node: slicer.vtkMRMLNode) -> slicer.vtkMRMLNode:
    """What stands for an image or series in views; a sequence whose browser shows nothing yet gets its proxy."""
    if node.IsA("vtkMRMLSequenceNode") and proxy_of(node) is node:
        for browser in slicer.util.getNodesByClass("vtkMRMLSequenceBrowserNode"):
            if browser.IsSynchronizedSequenceNodeID(node.GetID(), True):
                slicer.modules.sequences.logic().UpdateProxyNodesFromSequences(browser)
    return proxy_of(node)


def show_frame(node: slicer.vtkMRMLNode, frame: int) -> slicer.vtkMRMLNode:
    """Let a series' browser show a frame, counted from 0 in the order in which they were taken; what stands for the series in views."""
    if not node.IsA("vtkMRMLSequenceNode"):
        display = node.GetDisplayNode()
        if display is not None and hasattr(display, "SetFrameComponent"):
            display.SetFrameComponent(frame)
        return node
    item = (frame + _after_midnight(node)) % node.GetNumberOfDataNodes()
    for browser in slicer.util.getNodesByClass("vtkMRMLSequenceBrowserNode"):
        if browser.IsSynchronizedSequenceNodeID(node.GetID(), True):
            browser.SetSelectedItemNumber(item)
            # The application does this itself where it observes the browser.
            slicer.modules.sequences.logic().UpdateProxyNodesFromSequences(browser)
    return shown(node)


def filed(node: slicer.vtkMRMLNode) -> slicer.vtkMRMLNode:
    """Of a series and its proxy, the one that lies in a study of the subject hierarchy, as loaders put the one or the other."""
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    proxy = proxy_of(node)
    for one in (proxy, node):
        item = hierarchy.GetItemByDataNode(one)
        if item and hierarchy.GetItemParent(item) != hierarchy.GetSceneItemID():
            return one
    return proxy


def title_of(node: slicer.vtkMRMLNode) -> str:
    """A series' name without what its loader adds to say how it was loaded (`` - 60 frames Volume Sequence by AcquisitionTime``)."""
    return re.sub(r" - (as a )?\d+ frames .*$", "", node.GetName())


def _frames(node: slicer.vtkMRMLSequenceNode) -> list[slicer.vtkMRMLVolumeNode]:
    frames = [node.GetNthDataNode(i) for i in range(node.GetNumberOfDataNodes())]
    if not frames:
        raise InputError(f"{node.GetName()} has no frames; a sequence of volumes is needed")
    odd = next((f for f in frames if not f.IsA("vtkMRMLScalarVolumeNode")), None)
    if odd is not None:
        raise InputError(f"{node.GetName()} holds {odd.GetClassName()} items; a sequence of volumes is needed")
    return frames


def series_from_node(node: slicer.vtkMRMLNode) -> Series:
    """A sequence or MultiVolume node as a series, its frames in the order in which they were taken.

    Where a registration was accepted (`volumes.registration_of`), the series lies where it is seen: its grid is moved, its voxels are not.

    Raises
    ------
    InputError
        If the node is of another kind, empty, under a transform, or its frames differ in geometry.
    """
    shown = proxy_of(node)
    registered = registration_of(shown)
    if shown is not node and registered is None:
        refuse_transform(shown)
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
        grid = grid_of(node, registered is not None)
        stack = np.array(np.moveaxis(slicer.util.arrayFromVolume(node), -1, 0), dtype=np.float32, order="C")
    else:
        raise InputError(
            f"{node.GetName()} is a {node.GetClassName()}; a sequence (Sequences module) or a MultiVolume is needed"
        )
    first = _after_midnight(node)
    if registered is not None:
        grid = moved_grid(grid, registered)
    return Series(np.roll(stack, -first, axis=0) if first else stack, grid, node.GetName())


def frame_values(node: slicer.vtkMRMLNode, stride: int) -> np.ndarray:
    """Values (t, n) of every `stride`-th voxel along each axis, in the node's own order of frames; empty where it holds none."""
    every = (slice(None, None, stride),) * 3
    if is_multivolume(node):
        return (
            np.moveaxis(slicer.util.arrayFromVolume(node)[every], -1, 0).reshape(n_frames(node), -1).astype(np.float32)
        )
    frames = [node.GetNthDataNode(i) for i in range(node.GetNumberOfDataNodes())]
    frames = [f for f in frames if f.IsA("vtkMRMLScalarVolumeNode") and f.GetImageData() is not None]
    same = [slicer.util.arrayFromVolume(f)[every].ravel() for f in frames]
    if len({values.size for values in same}) != 1:
        return np.zeros((0, 0), np.float32)
    return np.stack(same).astype(np.float32)


def timing(node: slicer.vtkMRMLNode) -> Timing:
    """What a sequence or MultiVolume node says of the times of its frames.

    A DICOM series that the application loads as sequence is indexed by frame number; its times lie in ``MultiVolume.FrameLabels``, as
    those of a MultiVolume do, or where the loader left these out, in the files that the application's DICOM database knows. Frames that
    are told apart by another quantity have none, and neither has an index that only counts.
    """
    values, unit, quantity = _labels(node)
    counts = n_frames(node)
    scale = _UNITS.get(unit.lower(), 0.0)
    named = {1.0: "s", 1e-3: "ms"}.get(scale, "")
    if quantity in _TIMELESS or (not named and unit.lower() not in _NO_UNIT):
        of = f"{quantity} [{unit}]" if quantity else f"a quantity in {unit}"
        return Timing(None, "", f"tells its frames apart by {of}, not by time")
    if len(values) != counts or len(values) < 2 or any(b <= a for a, b in pairwise(values)):
        return Timing(None, named, "has no rising number for each frame")
    if not named and all(b - a == 1 for a, b in pairwise(values)):
        return Timing(None, "", "only counts its frames")
    first = _after_midnight(node)
    values = (*values[first:], *(v + _DAY_S / scale for v in values[:first]))
    if quantity not in _CLOCKS or not named or not _ticks([v * scale for v in values]):
        return Timing(values, named)
    resolution = _database(node, _TEMPORAL_RESOLUTION)
    finer = [i * resolution * 1e-3 / scale for i in range(counts)]
    apart = [v - f for v, f in zip(values, finer, strict=True)]
    if resolution and (max(apart) - min(apart)) * scale < _TICK_S:
        return Timing(
            tuple(finer), named, note="times by TemporalResolution, with which the clock, of whole seconds, agrees"
        )
    return Timing(
        values, named, note=f"{quantity} is a clock of whole seconds, so that each time may be wrong by {_TICK_S:g} s"
    )


def _ticks(times_s: list[float]) -> bool:
    """Whether these are times of a clock of whole seconds, of frames at an even interval that it cannot tell."""
    steps = [round(b - a, 6) for a, b in pairwise(times_s)]
    return all(round(t, 6) % _TICK_S == 0 for t in times_s) and 0 < max(steps) - min(steps) <= _TICK_S


def _database(node: slicer.vtkMRMLNode, tag: str) -> float:
    """A number of the DICOM files that a node was loaded from; 0 where the application's database does not know it."""
    database = getattr(slicer, "dicomDatabase", None)
    uids = _first_uids(node)
    return _number(database.instanceValue(uids[0], tag)) if database is not None and uids else 0.0


def _number(text: str | None) -> float:
    """The number that a text is, or 0."""
    try:
        return float(text or 0)
    except ValueError:
        return 0.0


def _first_uids(node: slicer.vtkMRMLNode) -> list[str]:
    """The SOP instance UIDs of a series' first frame, or of all its frames; empty where it was not loaded from DICOM."""
    first = node.GetNthDataNode(0) if node.IsA("vtkMRMLSequenceNode") and node.GetNumberOfDataNodes() else node
    return (first.GetAttribute("DICOM.instanceUIDs") or node.GetAttribute("DICOM.instanceUIDs") or "").split()


def _labels(node: slicer.vtkMRMLNode) -> tuple[tuple[float, ...], str, str]:
    """The numbers that a node gives to its frames (empty where they are none), their unit, and the quantity that they are of."""
    texts = node.GetAttribute("MultiVolume.FrameLabels")
    if texts is not None or not node.IsA("vtkMRMLSequenceNode"):
        numbers = (texts or "").split(",")
        unit = node.GetAttribute("MultiVolume.FrameIdentifyingDICOMTagUnits")
        quantity = node.GetAttribute("MultiVolume.FrameIdentifyingDICOMTagName")
    else:
        taken = () if node.GetIndexUnit() else _acquired(node)
        if taken:
            return taken, "s", "AcquisitionTime"
        numbers = [node.GetNthIndexValue(i) for i in range(node.GetNumberOfDataNodes())]
        unit, quantity = node.GetIndexUnit(), node.GetIndexName()
    try:
        values = tuple(float(number) for number in numbers)
    except ValueError:
        values = ()
    return values, (unit or "").strip(), (quantity or "").strip()


def _acquired(node: slicer.vtkMRMLSequenceNode) -> tuple[float, ...]:
    """The time of the day at which each frame was taken, s, by the DICOM database; empty where it is not known, or the same for some."""
    database = getattr(slicer, "dicomDatabase", None)
    if database is None:
        return ()
    times: list[float] = []
    for number in range(node.GetNumberOfDataNodes()):
        uids = (node.GetNthDataNode(number).GetAttribute("DICOM.instanceUIDs") or "").split()
        taken = seconds("", database.instanceValue(uids[0], _ACQUISITION_TIME)) if uids else None
        if taken is None:
            return ()
        past_midnight = bool(times) and times[-1] - taken > _DAY_S / 2
        times.append(taken + _DAY_S if past_midnight else taken)
    return tuple(times) if len(set(times)) == len(times) else ()


def _after_midnight(node: slicer.vtkMRMLNode) -> int:
    """The frame that was taken first, where a series went on past midnight: the loader sorts by the clock; 0 for all others."""
    values, unit, quantity = _labels(node)
    scale = _UNITS.get(unit.lower(), 0.0)
    if quantity not in _CLOCKS or not scale:
        return 0
    # No series lasts half a day.
    return next((i for i, (a, b) in enumerate(pairwise(values), 1) if (b - a) * scale > _DAY_S / 2), 0)


def acquisition(node: slicer.vtkMRMLNode) -> dict[str, float]:
    """``tr_ms te_ms flip_angle_deg`` as far as attributes of a sequence or MultiVolume, or the DICOM files it was loaded from, say them.

    Of a series that came with a case also ``t10_s hematocrit relaxivity``, as far as the case says them.
    """
    first = node.GetNthDataNode(0) if node.IsA("vtkMRMLSequenceNode") and node.GetNumberOfDataNodes() else node
    found = {}
    for key, (attribute, tag) in _TAGS.items():
        texts = [n.GetAttribute(a) for n in (node, first) for a in (key, f"MultiVolume.DICOM.{attribute}")]
        value = next((v for v in map(_number, texts) if v > 0), 0.0) or _database(node, tag)
        if value > 0:
            found[key] = value
    return found | {key: value for key in _SAID if (value := _number(node.GetAttribute(key))) > 0}


def node_from_series(series: Series, times_s: tuple[float, ...], name: str) -> slicer.vtkMRMLSequenceNode:
    """A sequence node in the scene from a series, indexed by time in s, with a browser to play it."""
    sequence = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSequenceNode", name)
    sequence.SetIndexName("time")
    sequence.SetIndexUnit("s")
    sequence.SetIndexTypeFromString("numeric")
    frame = node_from_image(series.frame(0), name)
    for index, time in enumerate(times_s):
        slicer.util.updateVolumeFromArray(frame, series.frames[index])
        sequence.SetDataNodeAtValue(frame, f"{time:.9g}")
    display = frame.GetDisplayNode()
    slicer.mrmlScene.RemoveNode(frame)
    if display is not None:
        slicer.mrmlScene.RemoveNode(display)
    browser = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSequenceBrowserNode", f"{name} browser")
    browser.SetAndObserveMasterSequenceNodeID(sequence.GetID())
    return sequence
