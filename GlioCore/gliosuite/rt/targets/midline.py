"""The midline of a brain, as the plane that its mask mirrors itself in best, and what of a target volume lies beyond it."""

from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk
from scipy import ndimage, optimize

from ...images import Grid, array, boolean, signed_distance

_POINTS = 6000  # of the mask that are mirrored
_FAR_MM = 8.0  # a mirrored point that misses the mask by more counts as this far: where a brain is cut off, one half alone has it
_POOR_MM = (
    2.0  # chosen: masks whose mirror image misses them by more on average have no plane that could be called a midline
)
# Chosen: turned by 15 degrees, a plane must fit worse by this; simulated brains' do by 0.3 to 0.6 mm, a ball's by nothing.
_TURN, _CLEAR_MM = np.radians(15), 0.15
SLACK_MM = (
    5.0  # chosen: a tumour pushes the falx 1 to 3 mm off the plane in the median of simulated brains (95 %: up to 7 mm)
)
_ONE_SIDED = 0.9  # share of a lesion on one side from which on it is said to lie there


@dataclass(frozen=True)
class Midline:
    """A plane: `normal` (unit, LPS, towards the patient's left) and its place along it in mm; `misfit_mm` of the mask's two halves."""

    normal: np.ndarray
    at_mm: float
    misfit_mm: float

    def side(self, mask: sitk.Image) -> np.ndarray:
        """Distances in mm of a mask's voxels from the plane, above 0 on the patient's left."""
        return _positions(mask) @ self.normal - self.at_mm


def midline(brain: sitk.Image) -> Midline | None:
    """The plane of symmetry of a brain mask that lies within 30 degrees of sagittal; None where the mask has no good one."""
    # Every so many voxels that they lie some 3 mm apart: more of them move the plane by less than 0.1 mm.
    x, y, z = (max(1, int(3.0 / v)) for v in brain.GetSpacing())
    brain = brain[::x, ::y, ::z]
    points = _positions(brain)
    if len(points) < 1000:
        return None
    points = points[:: max(1, len(points) // _POINTS)]
    centre = points.mean(axis=0)
    grid = Grid.of(brain)
    # The distance beyond the mask; beyond the image it stays what it is at the edge.
    outside = np.clip(array(signed_distance(brain)), 0.0, _FAR_MM)
    back = np.linalg.inv(np.reshape(grid.direction, (3, 3)) * grid.spacing)

    def plane(parameters: np.ndarray) -> tuple[np.ndarray, float]:
        normal = np.array([1.0, *np.tan(parameters[:2])])
        normal /= np.linalg.norm(normal)
        return normal, float(centre @ normal + parameters[2])

    def misfit(parameters: np.ndarray) -> float:
        normal, at = plane(parameters)
        mirrored = points - 2 * (points @ normal - at)[:, None] * normal
        index = (mirrored - grid.origin) @ back.T
        return float(ndimage.map_coordinates(outside, index.T[::-1], order=1, mode="nearest").mean())

    start = np.array([[0, 0, 0], [0.1, 0, 0], [0, 0.1, 0], [0, 0, 4.0]], float)
    found = optimize.minimize(
        misfit, start[0], method="Nelder-Mead", options={"initial_simplex": start, "xatol": 1e-3, "fatol": 1e-4}
    )
    if found.fun > _POOR_MM or np.abs(found.x[:2]).max() > np.radians(30):
        return None
    turned = [found.x + turn for turn in _TURN * np.array([(1, 0, 0), (-1, 0, 0), (0, 1, 0), (0, -1, 0)])]
    if min(map(misfit, turned)) < found.fun + _CLEAR_MM:
        return None  # round masks mirror themselves in any plane
    normal, at = plane(found.x)
    return Midline(normal, at, float(found.fun))


def crossing_cc(plane: Midline, gtv: sitk.Image, ctv: sitk.Image) -> float | None:
    """Volume in cc of a CTV more than `SLACK_MM` beyond the midline, seen from its GTV; None where the GTV lies on both sides itself."""
    left = float((plane.side(gtv) > 0).mean())
    if max(left, 1 - left) < _ONE_SIDED:
        return None
    side = plane.side(ctv) * (1 if left > 0.5 else -1)
    return float((side < -SLACK_MM).sum()) * Grid.of(ctv).voxel_cc


def _positions(mask: sitk.Image) -> np.ndarray:
    """Centres (n, 3) of a mask's voxels in mm (LPS)."""
    grid = Grid.of(mask)
    index = np.argwhere(boolean(mask))[:, ::-1]
    return index * grid.spacing @ np.reshape(grid.direction, (3, 3)).T + grid.origin
