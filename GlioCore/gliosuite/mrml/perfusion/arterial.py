"""The arterial input function while it is picked: points, their curves and their mean in a chart, candidates, the table."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import slicer
import slicer.util

from ... import resources
from ...errors import InputError
from ...perfusion.aif import Aif, read_aif
from ...perfusion.dce import DcePicking
from ...perfusion.dsc import DscPicking
from ...perfusion.output import write_aif
from ...perfusion.settings import DceSettings, DscSettings
from ..curves import Curve, Point, control_points, mask_from_points, plot_curves, rgb
from ..sequences import n_frames, proxy_of, title_of
from ..volumes import TO_LPS, registration_of, unique_name
from .maps import AIF_TITLE
from .request import PerfusionRequest, aif_source, check_known, checked, settings

MEAN, AIF, ARRIVAL = "mean", "AIF", "arrival"  # curves of the chart; the points' are called as the points are
CANDIDATE = "candidate"  # the description of a point that the automatic search placed
_GREY = "#888888"  # of candidates and of the arrival; chosen, it is told from all colours of curves
_THICK, _THIN = 4.0, 1.5  # pixels; chosen


@dataclass(frozen=True)
class Picked:
    """A control point, and the highest value of its voxel's curve with its time in s; NaN where it has none, as outside the series."""

    point: Point
    curve: np.ndarray | None = None
    peak: float = float("nan")
    peak_s: float = float("nan")


@dataclass
class Drawn:
    """What a chart shows.

    Attributes
    ----------
    chart
        The node.
    points
        All points of the request's node, in its order.
    aif
        The mean of the points that count, or the AIF as a step would take it; None where there is none, and `why` says why not.
    n_baseline, arrival_s
        Frames of the baseline, and when contrast agent arrives, s.
    peak_frame
        Frame of the whole series, from 0, in which the bolus is strongest.
    """

    chart: Any
    points: list[Picked] = field(default_factory=list)
    aif: Aif | None = None
    why: str = ""
    n_baseline: int = 0
    arrival_s: float = 0.0
    peak_frame: int = 0


class ArterialInput:
    """Draws AIFs of series; the last series is kept as it was prepared, so that a click costs milliseconds."""

    def __init__(self) -> None:
        self._key: Any = None
        self._picking: DcePicking | DscPicking | None = None

    def forget(self) -> None:
        """Let the series go."""
        self._key = self._picking = None

    def picking(self, request: PerfusionRequest) -> DcePicking | DscPicking:
        """The series of a request, prepared.

        Raises
        ------
        InputError
            If what the request holds is not enough, or the series shows no bolus.
        """
        frames = n_frames(request.series)
        given = request.kind, request.times_s, request.baseline, request.arrival_s
        key = (request.series.GetID(), frames, place_of(request.series), *given)
        asked = settings(request)
        if key != self._key:
            self.forget()
            series = checked(request)
            if isinstance(asked, DscSettings):
                self._picking = DscPicking.of(series, request.times_s, asked)
            else:
                self._picking = DcePicking.of(series, request.times_s, asked)
            self._key = key
        check_known(request)
        known = self._picking
        if isinstance(known, DscPicking) and isinstance(asked, DscSettings):
            return replace(known, settings=asked)
        assert isinstance(known, DcePicking)
        assert isinstance(asked, DceSettings)
        return replace(known, settings=asked)

    def draw(self, request: PerfusionRequest, chart: Any = None, whole: bool = False, second: Any = None) -> Drawn:
        """Draw the curve of each point and the mean of those that count, or with `whole` the AIF as a step would take it.

        Parameters
        ----------
        chart
            Chart to fill anew, or None for a new one.
        whole
            Whether to draw the AIF of any source, brought to the level of a large vein where that is asked for: some seconds.
        second
            Another reader's points, whose mean is drawn beside.

        Raises
        ------
        InputError
            If the series cannot be used; with `whole`, if there is no AIF.
        """
        picking = self.picking(request)
        p = picking.prepared
        drawn = Drawn(chart, n_baseline=p.n_baseline, arrival_s=float(p.times_s[p.n_baseline]), peak_frame=p.bolus.peak)
        by_points = request.aif == "control points"
        if by_points and request.points is not None:
            drawn.points = _picked(picking, control_points(request.points))
        curves: dict[str, Curve] = {}
        try:
            if whole:
                drawn.aif = _whole(picking, request)
            elif by_points:
                drawn.aif = _mean(picking, request.points)
            else:
                drawn.why = "press Draw to see it"
        except InputError as error:
            if whole:
                raise
            drawn.why = str(error)
        if drawn.aif is not None:
            title = AIF if whole else MEAN
            curves[title] = Curve(drawn.aif.times_s, drawn.aif.concentration, width=_THICK)
        if second is not None and second is not request.points:
            try:
                other = _mean(picking, second)
                curves[second.GetName()] = Curve(other.times_s, other.concentration, width=_THICK, dashed=True)
            except InputError as error:
                drawn.why = drawn.why or str(error)
        for picked in drawn.points:
            if picked.curve is not None:
                title = _free(picked.point.label, curves)
                color = "" if picked.point.counts else _GREY
                curves[title] = Curve(p.times_s, picked.curve, color, _THIN)
        top = max((float(np.nanmax(c.values)) for c in curves.values()), default=1.0)
        at = np.array([drawn.arrival_s, drawn.arrival_s])
        curves[_free(ARRIVAL, curves)] = Curve(at, np.array([0.0, top]), _GREY, _THIN, dashed=True)
        name = unique_name(f"{title_of(request.series)} AIF, drawn") if chart is None else chart.GetName()
        drawn.chart = plot_curves(curves, name, AIF_TITLE[request.kind], chart)
        return drawn

    def suggest(self, request: PerfusionRequest, points: Any) -> int:
        """Add the voxels that the automatic search takes for arterial as candidates: points that do not count yet; how many were added.

        Raises
        ------
        InputError
            If none is found.
        """
        picking = self.picking(request)
        grid = picking.prepared.series.grid
        taken = {point.voxel(grid) for point in control_points(points)}
        added = 0
        blank = grid.blank()
        with slicer.util.NodeModify(points):
            for z, y, x in picking.candidates().tolist():
                if (x, y, z) in taken:
                    continue
                ras = TO_LPS @ blank.TransformIndexToPhysicalPoint((x, y, z))
                added += 1
                index = points.AddControlPointWorld(*(float(v) for v in ras), f"{CANDIDATE} {added}")
                points.SetNthControlPointSelected(index, False)
                points.SetNthControlPointDescription(index, CANDIDATE)
        return added

    def save(self, request: PerfusionRequest, path: str) -> Aif:
        """Write the AIF as a step would take it into a table that `gliosuite dce` and `dsc` read.

        Raises
        ------
        InputError
            If there is no AIF, or `path` is no name of a table.
        """
        if not path:
            raise InputError("no file is chosen for the AIF's table; a name that ends in .csv is needed")
        if Path(path).suffix.lower() != ".csv":
            raise InputError(f"{path} is not the name of a table; it must end in .csv")
        aif = _whole(self.picking(request), request)
        write_aif(aif, Path(path).absolute())
        return aif


def place_of(series: Any) -> Any:
    """What changes where a series lies: the registration that was accepted for it, or None."""
    registered = registration_of(proxy_of(series))
    return None if registered is None else (registered.GetID(), registered.GetMTime())


def new_points(name: str) -> Any:
    """A node for a reader's points; candidates are grey."""
    points = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", unique_name(name))
    points.CreateDefaultDisplayNodes()
    display = points.GetDisplayNode()
    display.SetSelectedColor(*rgb(resources.display()["curves"][0]))
    display.SetColor(*rgb(_GREY))
    return points


def placed(points: Any) -> tuple[Point, ...]:
    """The points of a node, or none; a point that is still under the mouse is none."""
    return () if points is None else tuple(control_points(points))


def accept(points: Any, counting: Mapping[int, bool]) -> None:
    """Let control points count, or not, by their index."""
    with slicer.util.NodeModify(points):
        for index, counts in counting.items():
            points.SetNthControlPointSelected(index, counts)


def remove_candidates(points: Any) -> int:
    """Remove the points that do not count; how many they were."""
    gone = [point.index for point in control_points(points) if not point.counts]
    for index in reversed(gone):
        points.RemoveNthControlPoint(index)
    return len(gone)


def _whole(picking: DcePicking | DscPicking, request: PerfusionRequest) -> Aif:
    """The AIF as a step would take it."""
    p = picking.prepared
    source = aif_source(request, p.series)
    return picking.aif(read_aif(str(source), p.times_s) if request.aif == "CSV file" else source)


def _mean(picking: DcePicking | DscPicking, points: Any) -> Aif:
    if points is None:
        raise InputError("no point is placed yet")
    return picking.mean(mask_from_points(points, picking.prepared.series.grid))


def _picked(picking: DcePicking | DscPicking, points: list[Point]) -> list[Picked]:
    p = picking.prepared
    voxels = [point.voxel(p.series.grid) for point in points]
    inside = [voxel[::-1] for voxel in voxels if voxel is not None]
    found = iter(picking.curves(np.array(inside))) if inside else iter(())
    result = []
    for point, voxel in zip(points, voxels, strict=True):
        curve = None if voxel is None else next(found)
        if curve is None or not np.isfinite(curve).all():
            result.append(Picked(point))
        else:
            top = int(np.argmax(curve))
            result.append(Picked(point, curve, float(curve[top]), float(p.times_s[top])))
    return result


def _free(title: str, taken: Iterable[str]) -> str:
    """`title`, with a number where it is taken."""
    found, number = title, 2
    while found in taken:
        found, number = f"{title} ({number})", number + 1
    return found
