"""A structure's contours by plane: how thick a plane's slice is, their volume, their voxels on any grid."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import SimpleITK as sitk

from ...images import Grid, resample_mask
from .contours import fill
from .polygons import area, crossing_themselves, grouped
from .structures import Contour, Structure

_ONE_PLANE_MM = 0.05  # contours whose planes are no farther apart lie in one plane: rounding in files, not slices
_ON_SLICE, _ALONE_ON_SLICE = 0.25, 0.5  # of a slice: how far off its middle planes, and a single plane, may lie
_ALIKE = 0.1  # share that two slice distances may differ by and count as the same

_LEAST_LOST = 1e-3  # share of a structure beyond the image's edge that is worth a sentence


@dataclass(frozen=True)
class Planes:
    """Contours by plane: the normal, where each plane lies along it (mm), its contours, and how far contours leave their plane (mm)."""

    normal: np.ndarray
    at: np.ndarray
    contours: list[list[Contour]]
    flatness: float

    @cached_property
    def loops(self) -> list[list[np.ndarray]]:
        """Per plane its contours as points (n, 2) in mm within the plane, along their longest edge and across it."""
        edges = [np.roll(c.points, -1, axis=0) - c.points for g in self.contours for c in g]
        longest = max((e[np.argmax((e**2).sum(axis=1))] for e in edges), key=lambda v: float(v @ v))
        along = longest - (longest @ self.normal) * self.normal
        if not along.any():
            along = np.cross(self.normal, np.eye(3)[np.argmin(np.abs(self.normal))])
        along = along / np.linalg.norm(along)
        frame = np.stack([along, np.cross(self.normal, along)], axis=1)
        return [[c.points @ frame for c in g] for g in self.contours]

    @cached_property
    def groups(self) -> list[tuple[list[list[int]], int]]:
        """Per plane what `grouped` says of its loops; contours that are marked as XOR are never joined."""
        apart = lambda group: ([[i] for i in range(len(group))], 0)
        return [
            apart(group) if any(c.xor for c in group) else grouped(loops)
            for group, loops in zip(self.contours, self.loops)
        ]

    @cached_property
    def areas(self) -> list[float]:
        """Per plane the area inside its contours in mm2: holes taken out, overlapping contours joined."""
        return [area(loops, groups) for loops, (groups, _) in zip(self.loops, self.groups)]

    @property
    def across(self) -> int:
        """How many contours lie across others of their plane."""
        return sum(n for _, n in self.groups)

    @cached_property
    def across_themselves(self) -> int:
        """How many contours lie across themselves."""
        return sum(crossing_themselves(loops) for loops in self.loops)

    @property
    def faults(self) -> list[str]:
        """What is wrong with how the contours were drawn, in sentences."""
        found = []
        if self.flatness > _ONE_PLANE_MM:
            found.append(f"its contours leave their plane by up to {self.flatness:.2f} mm")
        if self.across:
            found.append(
                f"{self.across} contours cross others of their plane; their union was taken (a hole drawn a little over the edge stays one)"
            )
        if self.across_themselves:
            found.append(f"{self.across_themselves} contours cross themselves; what is inside them is not certain")
        return found

    @cached_property
    def continued(self) -> np.ndarray:
        """For each plane but the last whether some contour of it lies over one of the next plane (their boxes overlap)."""
        boxes = [np.array([(p.min(axis=0), p.max(axis=0)) for p in loops]) for loops in self.loops]  # (n, 2, 2)
        over = lambda a, b: bool(((a[:, None, 0] < b[None, :, 1]) & (a[:, None, 1] > b[None, :, 0])).all(axis=2).any())
        return np.array([over(a, b) for a, b in zip(boxes, boxes[1:])], bool)

    def every(self, step_mm: float) -> int:
        """2 where the structure was drawn on every second slice of a series with this slice distance, 3 for every third ...; else 1.

        It takes three planes or more, evenly spaced, that lie over each other: parts of a structure on separate slices do not.
        """
        gaps = np.diff(self.at) / step_mm
        if len(gaps) < 2 or not self.continued.all() or np.ptp(gaps) > _ALIKE:
            return 1
        return max(1, round(float(gaps.mean())))

    def on_slices(self, grid: Grid) -> np.ndarray | None:
        """The slice of a grid that each plane lies on, or None where they lie on other planes."""
        axis = np.reshape(grid.direction, (3, 3))[:, 2]
        level = (np.sign(self.normal @ axis) * self.at - np.asarray(grid.origin) @ axis) / grid.spacing[2]
        index = np.floor(level + 0.5)
        near = _ON_SLICE if len(level) > 1 else _ALONE_ON_SLICE
        fits = abs(self.normal @ axis) > 1 - 1e-6 and np.abs(level - index).max() <= near
        return index.astype(int) if fits else None


def planes_of(structure: Structure, hint: np.ndarray | None = None) -> Planes:
    """Sort contours into parallel planes; `hint` is a normal to take where the contours agree with it."""
    points = [c.points for c in structure.contours]
    normal = None
    if hint is not None:
        flatness = max(float(np.ptp(p @ hint)) for p in points)
        normal = hint if flatness < _ONE_PLANE_MM else None
    if normal is None:
        widest = max(points, key=lambda p: float(np.linalg.norm(np.ptp(p, axis=0))))
        normal = np.linalg.svd(widest - widest.mean(axis=0), full_matrices=False)[2][2]
        normal = normal * (1 if normal[np.argmax(np.abs(normal))] > 0 else -1)
        flatness = max(float(np.ptp(p @ normal)) for p in points)
    at = np.array([float((p @ normal).mean()) for p in points])
    groups: list[list[int]] = []
    for i in np.argsort(at, kind="stable"):
        if groups and at[i] - at[groups[-1][0]] < _ONE_PLANE_MM:
            groups[-1].append(int(i))
        else:
            groups.append([int(i)])
    levels = np.array([at[g].mean() for g in groups])
    return Planes(normal, levels, [[structure.contours[i] for i in g] for g in groups], flatness)


# ------------------------------------------------------------------------------------------------------------ thickness


def common_step(structures: Sequence[Structure]) -> float | None:
    """The distance of the slices that a set's structures were drawn on, as their planes show it; None where they do not.

    Only planes whose contours lie over each other show it: parts of a structure on separate slices are as far apart as they are.
    """
    gaps = np.concatenate([np.empty(0), *(np.diff(p.at)[p.continued] for p in map(planes_of, structures))])
    if not gaps.size:
        return None
    return float(np.median(gaps[gaps < 1.5 * gaps.min()]))  # of those that are one step


def slab_mm(structure: Structure, planes: Planes, slices: Grid | None = None) -> float | None:
    """How thick a slice each contour stands for in mm: what the file says, else the slice distance of what it was drawn on.

    Parameters
    ----------
    slices
        Grid of the series that it was drawn on; None: the planes of the whole set show it, or nothing does.
    """
    if structure.slab_mm is not None:
        return structure.slab_mm
    drawn_on = slices is not None and planes.on_slices(slices) is not None
    step = slices.spacing[2] if slices is not None and drawn_on else structure.step_mm
    return None if step is None else step * planes.every(step)


def contour_areas(structure: Structure) -> list[tuple[float, float]]:
    """Per plane its place along the contours' normal (mm) and the area inside its contours (mm2), holes taken out."""
    if not structure.contours:
        return []
    planes = planes_of(structure)
    return [(float(at), a) for at, a in zip(planes.at, planes.areas)]


def contour_volume_cc(structure: Structure, slices: Grid | None = None) -> float | None:
    """Area of the polygons times the thickness of their slices, in cubic centimetres; None where that is not known.

    `slices` is the grid of the series that the structure was drawn on.
    """
    if not structure.contours:
        return 0.0
    planes = planes_of(structure, None if slices is None else np.reshape(slices.direction, (3, 3))[:, 2])
    slab = slab_mm(structure, planes, slices)
    return None if slab is None else sum(planes.areas) * slab / 1000.0


# ------------------------------------------------------------------------------------------------------------ voxels


def rasterise(structure: Structure, grid: Grid, slices: Grid | None = None) -> tuple[sitk.Image, list[str]]:
    """The voxels of a grid whose centres lie inside a structure's contours.

    Contours belong to slices by their position, whatever instance they refer to. Where their planes are the grid's slices, voxels are
    filled slice by slice; otherwise on a stack of the contours' own planes, from which the mask is carried over by its signed distance.

    Parameters
    ----------
    slices
        Grid of the series that the structure was drawn on, where it is known.

    Returns
    -------
    tuple
        Mask (uint8) and what had to be left out or changed, in sentences.
    """
    if not structure.contours:
        return grid.blank(), ["it has no closed contour"]
    notes: list[str] = []
    planes = planes_of(structure, np.reshape(grid.direction, (3, 3))[:, 2])
    slab = slab_mm(structure, planes, slices)
    index = planes.on_slices(grid)
    if slab is None:
        slab = grid.spacing[2]
        notes.append(
            f"nothing says how thick its slices are; {slab:g} mm was taken, as in the image, and the series that it was drawn on is needed"
        )
    if index is not None and abs(slab / grid.spacing[2] - 1) < _ALIKE:
        return _filled(planes, index, grid, notes), notes
    every = planes.every(grid.spacing[2]) if index is not None else 1
    drawn = (
        f" (every {'2nd' if every == 2 else '3rd' if every == 3 else f'{every}th'} slice alone)" if every > 1 else ""
    )
    notes.append(
        f"its contours lie on other planes than the slices{drawn} and were carried over by their signed distance"
    )
    return resample_mask(_extruded(planes, grid, slab), grid), notes


def _filled(planes: Planes, index: np.ndarray, grid: Grid, notes: list[str]) -> sitk.Image:
    """Fill each plane's contours into the slice that `index` says; where two planes meet in a slice the later one is joined to it."""
    mask = np.zeros(grid.shape, bool)
    matrix = np.linalg.inv(np.reshape(grid.direction, (3, 3)) * grid.spacing)
    beyond = 0
    lost = 0.0
    for i, (k, group) in enumerate(zip(index, planes.contours)):
        if not 0 <= k < grid.size[2]:
            beyond += len(group)
            continue
        loops = [((c.points - grid.origin) @ matrix.T)[:, :2] for c in group]
        groups = planes.groups[i][0] if len(loops) > 1 else None
        mask[k] |= fill(loops, grid.shape[1:], groups)
        lost += _off_image(loops, groups, grid)
    if beyond:
        notes.append(f"{beyond} contours lie outside the slices and were left out")
    whole = sum(planes.areas) if lost else 0.0
    if lost > _LEAST_LOST * whole:
        notes.append(
            f"it leaves the image: {100 * lost / whole:.1f} % of it ({lost * grid.spacing[2] / 1000:.2f} cc) lie beyond the edges of the "
            "slices and were left out"
        )
    return grid.image(mask)


def _off_image(loops: list[np.ndarray], groups: list[list[int]] | None, grid: Grid) -> float:
    """The area in mm2 within loops (pixel coordinates) that lies beyond the edges of the image."""
    low, high = np.array([-0.5, -0.5]), np.array(grid.size[:2]) - 0.5
    # Within a pixel of the edge are outlines that run along it, rounded ones too.
    if all((p >= low - 1).all() and (p <= high + 1).all() for p in loops):
        return 0.0
    edge = np.array([low, (high[0], low[1]), high, (low[0], high[1])])
    groups = groups or [[i] for i in range(len(loops))]
    inside = area(loops, groups)
    either = area([*loops, edge], [*groups, [len(loops)]])  # in one of the two alone
    shared = 0.5 * (inside + area([edge]) - either)
    return (inside - shared) * grid.spacing[0] * grid.spacing[1]


def _extruded(planes: Planes, like: Grid, slab: float) -> sitk.Image:
    """The contours on a grid of their own planes, as fine as `like` in plane, each as thick as its slice.

    Planes are repeated in layers of about 1 mm: on thick slices the signed distance would round off what the first and last contour hold.
    """
    layers = max(1, round(slab))
    normal, axes = planes.normal, np.reshape(like.direction, (3, 3))
    across = axes[:, np.argmin(np.abs(normal @ axes))]
    across = across - (across @ normal) * normal
    across /= np.linalg.norm(across)
    frame = np.stack([across, np.cross(normal, across), normal])
    points = np.concatenate([c.points for g in planes.contours for c in g]) @ frame.T
    step = min(1.0, *like.spacing)
    index = np.round((planes.at - planes.at[0]) / slab).astype(int) + 1
    # Empty voxels all round, since the signed distance is taken from the edge; outlines of voxels fall between the new voxels' centres.
    low = np.append(points[:, :2].min(axis=0) - 2.5 * step, planes.at[0] - slab * (1 + (1 - 1 / layers) / 2))
    size = np.ceil((points[:, :2].max(axis=0) + 3 * step - low[:2]) / step).astype(int) + 1
    x, y, z = (float(v) for v in low @ frame)
    grid = Grid(
        (int(size[0]), int(size[1]), int(index[-1] + 2) * layers),
        (step, step, slab / layers),
        (x, y, z),
        tuple(float(v) for v in frame.T.ravel()),
    )
    mask = np.zeros((index[-1] + 2, *grid.shape[1:]), bool)
    for k, group, (groups, _) in zip(index, planes.contours, planes.groups):
        mask[k] |= fill([(c.points @ frame.T - low)[:, :2] / step for c in group], grid.shape[1:], groups)
    return grid.image(np.repeat(mask, layers, axis=0))


def own_mask(structure: Structure) -> sitk.Image | None:
    """A structure's voxels on a grid made from its contours alone, 1 mm or finer; None where nothing says how thick its slices are."""
    planes = planes_of(structure)
    slab = slab_mm(structure, planes)
    if slab is None:
        return None
    return _extruded(planes, Grid((1, 1, 1), (1.0, 1.0, slab), (0.0,) * 3, tuple(np.eye(3).ravel())), slab)
