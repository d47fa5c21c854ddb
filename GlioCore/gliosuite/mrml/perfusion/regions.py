"""Numbers and histograms of maps over the segments of a segmentation."""

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import slicer.util

from ...errors import InputError
from ...files import write_csv
from ...images import boolean, is_draft
from ...perfusion.regions import only_known_ve
from ...resources import look
from ...statistics import histogram_table, statistics_table
from ..curves import Curve, plot_curves
from ..segments import mask_from_segment
from ..volumes import grid_of, unique_name
from .uncertainty import Map, beside

_FLAGS = ("misfit", "fast")  # maps of yes and no: 0 is no, wherever a voxel was fitted
EVERYTHING = "all of the map"  # the region of all voxels that have a value


@dataclass(frozen=True)
class Regions:
    """Masks (k, j, i) by name on the grid of a map, and what could not be taken."""

    masks: Mapping[str, np.ndarray]
    colors: Mapping[str, str]
    notes: tuple[str, ...] = ()


def regions_of(segmentation: Any, one: Map) -> Regions:
    """The segments of a segmentation on a map's grid; one that is empty there is noted and left out."""
    masks, colors, notes = {}, {}, []
    grid = grid_of(one.node)
    segments = segmentation.GetSegmentation()
    for index in range(segments.GetNumberOfSegments()):
        identifier = segments.GetNthSegmentID(index)
        segment = segments.GetSegment(identifier)
        try:
            masks[segment.GetName()] = boolean(mask_from_segment(segmentation, identifier, grid))
        except InputError as error:
            notes.append(str(error))
            continue
        colors[segment.GetName()] = "#" + "".join(f"{round(255 * c):02x}" for c in segment.GetColor())
    return Regions(masks, colors, tuple(notes))


def _arrays(some: list[Map], percent: float | None) -> dict[str, np.ndarray]:
    """The maps by quantity, as `gliosuite dce` counts them in its regions.csv."""
    values = {one.quantity: one.values(percent) for one in some}
    fitted = np.any([np.isfinite(one.values()) for one in some if one.sd is not None], axis=0)
    for name in _FLAGS:
        if name in values and fitted.any():
            values[name] = np.where(fitted, np.nan_to_num(values[name]), np.nan)
    ve = next((one for one in some if one.quantity == "ve"), None)
    only_known_ve(values, None if ve is None or ve.sd is None else slicer.util.arrayFromVolume(ve.sd))
    return values


def summary(one: Map, regions: Mapping[str, np.ndarray], percent: float | None) -> list[tuple[Any, ...]]:
    """For each region and for all of the map: how many of its voxels that have a value are left (%), their median and median SD."""
    whole, left = one.values(), one.values(percent)
    sd = None if one.sd is None else slicer.util.arrayFromVolume(one.sd)
    rows = []
    for name, mask in {EVERYTHING: np.isfinite(whole), **regions}.items():
        defined, shown = mask & np.isfinite(whole), mask & np.isfinite(left)
        share = 100.0 * shown.sum() / defined.sum() if defined.any() else float("nan")
        median = float(np.median(left[shown])) if shown.any() else float("nan")
        known = float(np.median(sd[shown])) if sd is not None and shown.any() else float("nan")
        rows.append((name, share, median, known))
    return rows


def statistics(
    one: Map, regions: Mapping[str, np.ndarray], percent: float | None = None, alone: bool = False
) -> tuple[list[str], list[list[Any]]]:
    """Header and rows of regions.csv for a map and those that were made with it, itself first; or `alone`: one row per map and region."""
    some = sorted(beside(one), key=lambda other: other.node is not one.node)
    arrays = _arrays(some, percent)
    arrays = {one.quantity: arrays[one.quantity]} if alone else arrays
    heads = {name: look(name).head for name in arrays}
    spacing = one.node.GetSpacing()
    return statistics_table(arrays, heads, regions, spacing, {name for name in regions if is_draft(name)})


def histogram(one: Map, regions: Regions, percent: float | None = None, chart: Any = None) -> Any:
    """The chart of a map's values in each region: the share of its voxels in each bin (%), in the segment's colour.

    Raises
    ------
    InputError
        If no region has a value.
    """
    name, title = one.quantity, look(one.quantity)
    values = _arrays(beside(one), percent)[name]
    _, rows = histogram_table({name: values}, {}, regions.masks)
    if not rows:
        raise InputError(f"{one.node.GetName()} has no value in these segments")
    inner = rows[1:-1]
    middle = np.array([(float(row[2]) + float(row[3])) / 2 for row in inner])
    curves = {}
    for column, region in enumerate(regions.masks, 4):
        counts = np.array([row[column] for row in inner], float)
        if counts.any():
            curves[region] = Curve(middle, 100.0 * counts / counts.sum(), regions.colors[region])
    called = unique_name(f"{one.node.GetName()} histogram") if chart is None else chart.GetName()
    chart = plot_curves(curves, called, "voxels [%]", chart)
    chart.SetXAxisTitle(f"{title.title} [{title.head}]" if title.head else title.title)
    return chart


def as_text(header: list[str], rows: list[list[Any]]) -> str:
    """A table with tabs, as spreadsheets take it from the clipboard."""
    stream = io.StringIO(newline="")
    csv.writer(stream, delimiter="\t", lineterminator="\n").writerows([header, *rows])
    return stream.getvalue()


def save(header: list[str], rows: list[list[Any]], path: str) -> None:
    """Write a table as CSV.

    Raises
    ------
    InputError
        If `path` is no name of a table, or cannot be written.
    """
    if Path(path).suffix.lower() != ".csv":
        raise InputError(f"{path or 'nothing'} is given as the table's file; a name that ends in .csv is needed")
    write_csv(Path(path).absolute(), header, rows)
