"""What is made of a study before its maps: a series in which the head keeps still, and T1 from flip angles."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import slicer

from ...errors import InputError
from ...images import read_image, read_series, write_image, write_series
from ..curves import Curve, plot_curves
from ..display import show_chart, show_map, show_over
from ..process import Job, abandon, begun
from ..sequences import acquisition, filed, is_series, node_from_series, series_from_node, title_of
from ..volumes import ROLE, image_from_node, node_from_image, place_beside, unique_name
from .request import file_name

_FLIP_TAG = "0018,1314"


@dataclass(frozen=True)
class T1Request:
    """Images of several flip angles (one series, or a volume each), how they were taken, and the series that T1 is for.

    Attributes
    ----------
    images
        Nodes.
    flip_angles_deg
        One per volume.
    tr_ms
        Repetition time.
    onto
        DCE series, on whose grid T1 is given; None: on the images' own.
    b1
        Map node of the actual over the nominal flip angle, or None.
    """

    images: tuple[Any, ...]
    flip_angles_deg: tuple[float, ...]
    tr_ms: float
    onto: Any = None
    b1: Any = None


@dataclass(frozen=True)
class MotionRequest:
    """A series, and its times in s."""

    series: Any
    times_s: tuple[float, ...]


def flip_angles(nodes: Sequence[Any]) -> tuple[float, ...]:
    """Flip angles in degrees of images or of a series' frames, one each, as far as attributes or the DICOM database know all of them."""
    found: list[float] = []
    for node in nodes:
        texts = node.GetAttribute("flip_angle_deg") or ""
        if not texts and node.GetAttribute("MultiVolume.FrameIdentifyingDICOMTagName") == "FlipAngle":
            texts = node.GetAttribute("MultiVolume.FrameLabels") or ""
        if not texts:
            texts = ",".join(_tags(node))
        try:
            found += [float(text) for text in texts.split(",")]
        except ValueError:
            return ()
    return tuple(found)


def _tags(node: Any) -> list[str]:
    """The flip angle of each frame, or of a volume, by the DICOM database; empty texts where it is not known."""
    database = getattr(slicer, "dicomDatabase", None)
    frames = [node.GetNthDataNode(i) for i in range(node.GetNumberOfDataNodes())] if is_series(node) else [node]
    uids = [(frame.GetAttribute("DICOM.instanceUIDs") or "").split()[:1] for frame in frames]
    return [database.instanceValue(uid[0], _FLIP_TAG) if database is not None and uid else "" for uid in uids]


def parse_flip_angles(text: str) -> tuple[float, ...]:
    """Flip angles in degrees from what was typed.

    Raises
    ------
    InputError
        If it is empty or holds no numbers.
    """
    try:
        values = tuple(float(part) for part in text.replace(";", " ").replace(",", " ").split())
    except ValueError as error:
        raise InputError(f"the flip angles hold {str(error).split(': ')[-1]}; degrees are needed") from error
    if not values:
        raise InputError("the flip angles are not known; type one per volume, in degrees")
    return values


def start_t1(request: T1Request) -> Job:
    """Write the inputs into a new temporary folder; `finish_t1` or `abandon` removes it.

    Raises
    ------
    InputError
        If images are missing or unfit.
    """
    if not request.images:
        raise InputError("no image has the role flip angles; choose them in the table of the study")
    if request.tr_ms <= 0:
        raise InputError("the repetition time of the flip angles (TR, ms) is not known; T1 needs it")

    def arguments(folder: Path) -> list[str]:
        files = []
        for number, node in enumerate(request.images):
            file = folder / f"vfa{number}.nii"
            if is_series(node):
                write_series(series_from_node(node), file, 1.0)
            else:
                write_image(image_from_node(node), file)
            files.append(str(file))
        angles = ",".join(f"{angle:g}" for angle in request.flip_angles_deg)
        result = ["t1", "--vfa", *files, "--flip-angles", angles, "--tr-ms", f"{request.tr_ms:g}"]
        if request.onto is not None:
            onto = folder / f"{file_name(request.onto)}.nii"
            write_series(series_from_node(request.onto), onto, 1.0)
            result += ["--onto", str(onto)]
        if request.b1 is not None:
            write_image(image_from_node(request.b1), folder / "b1.nii")
            result += ["--b1", str(folder / "b1.nii")]
        return [*result, "--out", str(folder / "out")]

    return begun(request, arguments)


def finish_t1(job: Job, _summary: dict[str, Any]) -> Any:
    """The T1 map, shown over the series that it is for."""
    request = job.request
    about = request.onto if request.onto is not None else request.images[0]
    try:
        image = read_image(job.folder / "out" / "t1.nii.gz")
    finally:
        abandon(job)
    node = node_from_image(image, unique_name(f"{title_of(about)} T1"))
    show_map(node, "t1")
    place_beside(node, filed(about), f"{title_of(about)} maps")
    show_over(node)
    return node


def start_motion(request: MotionRequest) -> Job:
    """Write the series into a new temporary folder; `finish_motion` or `abandon` removes it."""

    def arguments(folder: Path) -> list[str]:
        file = folder / "series" / f"{file_name(request.series)}.nii"
        write_series(series_from_node(request.series), file, 1.0)
        return ["motion", str(file), "--out", str(folder / "out.nii")]

    return begun(request, arguments)


def finish_motion(job: Job, _summary: dict[str, Any]) -> tuple[Any, Any]:
    """The series with its frames moved back, taken as the other was, and the chart of the movement, which is shown."""
    series = job.request.series
    try:
        moved = read_series(job.folder / "out.nii")
        with (job.folder / "out.csv").open(encoding="utf-8", newline="") as stream:
            rows = list(csv.DictReader(stream))
    finally:
        abandon(job)
    name = unique_name(f"{title_of(series)}, motion corrected")
    node = node_from_series(moved, job.request.times_s, name)
    for key, value in acquisition(series).items():
        node.SetAttribute(key, f"{value:g}")
    node.SetAttribute(ROLE, series.GetAttribute(ROLE))
    place_beside(node, filed(series))
    times = np.array(job.request.times_s)
    curves = {
        f"{axis} [{unit}]": Curve(times, np.array([float(row[f"{axis}_{key}"]) for row in rows]), dashed=key == "deg")
        for key, unit in (("mm", "mm"), ("deg", "°"))
        for axis in "xyz"
    }
    chart = plot_curves(curves, f"{name}: movement", "mm, degrees")
    show_chart(chart)
    return node, chart
