"""Habitats in the scene: a segment a pattern with its colour, and the chart of the mean curves, from what a command or a run left."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
import slicer
import slicer.util

from ..errors import InputError
from ..files import read_json
from ..images import array, read_image
from ..recurrence.habitats.output import MAP, RECORD
from ..resources import rgb
from .curves import Curve, plot_curves
from .display import show_chart
from .segments import oriented
from .volumes import unique_name

_NAME = "Habitats"


@dataclass(frozen=True)
class SceneHabitats:
    """The `segmentation` with a segment for each pattern that there is, the `chart`, the rows of `patterns` and the `notes`."""

    segmentation: Any
    chart: Any
    patterns: tuple[dict[str, Any], ...]
    notes: tuple[str, ...]


def load(folder: str) -> SceneHabitats:
    """Load the habitats of a folder of `gliosuite run` or `gliosuite habitats predict`.

    Raises
    ------
    InputError
        If none is chosen, or it holds none.
    """
    if not folder:
        raise InputError("no folder is chosen; results of `gliosuite run` or `gliosuite habitats predict` are needed")
    own = next((f for f in (Path(folder) / "habitats", Path(folder)) if (f / RECORD).exists()), None)
    if own is None:
        raise InputError(
            f"{folder} holds no {RECORD}; results of `gliosuite run` with a DSC series and a lesion are needed"
        )
    record = read_json(own / RECORD)
    on_t1c = own / "on_t1c" / MAP
    image = read_image(on_t1c if on_t1c.exists() else own / MAP)
    there = tuple(p for p in record["patterns"] if p["voxels"])
    name = unique_name(_NAME)
    return SceneHabitats(
        _segmentation(image, there, name), _chart(record, there, f"{name}: mean curves"), there, tuple(record["notes"])
    )


def _segmentation(image: sitk.Image, patterns: tuple[dict[str, Any], ...], name: str) -> Any:
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", name)
    node.CreateDefaultDisplayNodes()
    logic = slicer.vtkSlicerSegmentationsModuleLogic
    for row in patterns:
        color = [part / 255 for part in rgb(row["color"])]
        identifier = node.GetSegmentation().AddEmptySegment("", row["title"], color)
        mask = sitk.GetImageFromArray((array(image, np.uint8) == row["value"]).astype(np.uint8))
        mask.CopyInformation(image)
        logic.SetBinaryLabelmapToSegment(oriented(mask), node, identifier, logic.MODE_REPLACE)
    return node


def _chart(record: dict[str, Any], patterns: tuple[dict[str, Any], ...], name: str) -> Any:
    times = np.asarray(record["times_s"], float)
    curves = {p["title"]: Curve(times, np.asarray(record["curves"][p["pattern"]], float), p["color"]) for p in patterns}
    return plot_curves(curves, name, "signal over white matter")


def show(found: SceneHabitats) -> None:
    """The chart in the layout; segments are seen as soon as they are there."""
    show_chart(found.chart)
