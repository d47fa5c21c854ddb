"""The deformable stage: a cubic B-spline that bends no more than it must.

ITK's B-spline registration has no term against bending. Next to a tumour that grew or was resected, mutual information then pulls
healthy tissue along and the grid folds, so this stage is our own: the same transform (`SimpleITK.BSplineTransform`), the same mutual
information, plus bending energy (Rueckert 1999, IEEE TMI 18:712), with exact gradients. For two visits with the same contrast the
squared local correlation (Avants 2008, Med Image Anal 12:26) may take the place of mutual information.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk
from scipy import ndimage, optimize

from ..compute import product
from ..images import Grid, array, boolean, resample, resample_mask
from ..steps import Progress, silent
from .similarity import coarse, indices, interpolate, mutual_information, positions, unit


@dataclass(frozen=True)
class FreeformSettings:
    """How the deformable stage runs.

    Parameters
    ----------
    metric
        ``"mi"``: Mattes mutual information, for any pair of contrasts; ``"correlation"``: squared local correlation, for equal ones.
    spline_grid
        Number of B-spline cells along x, y, z of the fixed image at the finest level; a cell is at least 12 mm wide.
    levels_mm
        Voxel size of each level in mm, coarse to fine. Cells are as wide as `cells` says, in multiples of the finest ones.
    cells
        Width of a cell at each level.
    bending
        Weight of the mean bending energy (1/mm2); None takes 2000 for ``"mi"`` and 100 for ``"correlation"``.
    radius_mm
        Half width of the window of the local correlation in mm.
    iterations
        L-BFGS iterations at most, per level.
    bins
        Bins of the joint histogram.
    """

    metric: str = "mi"
    spline_grid: tuple[int, int, int] = (14, 10, 12)
    levels_mm: tuple[float, ...] = (4.0, 3.0)
    cells: tuple[float, ...] = (2.0, 1.0)
    bending: float | None = None
    radius_mm: float = 9.0
    iterations: int = 60
    bins: int = 50

    @property
    def bending_weight(self) -> float:
        """The weight that is used."""
        return self.bending if self.bending is not None else {"mi": 2000.0, "correlation": 100.0}[self.metric]


def deform(
    fixed: Sequence[sitk.Image],
    moving: Sequence[sitk.Image],
    linear: sitk.Transform,
    mask: sitk.Image,
    settings: FreeformSettings | None = None,
    progress: Progress = silent,
) -> sitk.BSplineTransform:
    """Find the B-spline that, followed by `linear`, takes fixed to moving points.

    Parameters
    ----------
    fixed, moving
        Images of the two sides, pair by pair (several contrasts count equally); all fixed ones on one grid.
    linear
        Map from fixed to moving points (LPS), found before.
    mask
        Where the images are compared, on any grid of the fixed side.

    Returns
    -------
    SimpleITK.BSplineTransform
        Map of fixed points to fixed points; ``CompositeTransform([linear, bspline])`` is the whole.
    """
    settings = settings or FreeformSettings()
    whole = Grid.of(fixed[0])
    spline = None
    for i, (spacing, width) in enumerate(zip(settings.levels_mm, settings.cells)):
        progress(i / len(settings.levels_mm), f"B-spline at {spacing:g} mm")
        level = whole.isotropic(spacing)
        inside = boolean(resample_mask(mask, level))
        pairs = []
        for f, m in zip(fixed, moving):
            a = array(resample(coarse(f, spacing), level), np.float64)
            b = array(resample(coarse(m, spacing), level, linear), np.float64)
            pairs.append((unit(a, inside), unit(b, inside)))
        problem = _Level(level, whole, inside, pairs, width, settings)
        start = problem.blank() if spline is None else problem.refit(spline)
        found = optimize.minimize(
            problem.cost,
            start.ravel(),
            jac=True,
            method="L-BFGS-B",
            options={"maxiter": settings.iterations, "maxcor": 8},
        )
        spline = problem.transform(found.x)
    if spline is None:
        raise ValueError("FreeformSettings.levels_mm is empty; one level at least is needed")
    return spline


class _Level:
    """One resolution: lattice, images, cost. Arrays (3, z, y, x); displacements along the image's own axes (z, y, x) in mm."""

    def __init__(
        self,
        level: Grid,
        whole: Grid,
        inside: np.ndarray,
        pairs: list[tuple[np.ndarray, np.ndarray]],
        width: float,
        settings: FreeformSettings,
    ) -> None:
        self.level, self.inside, self.settings = level, inside, settings
        # The spline's domain is the fixed image with a voxel of margin, so that every fixed voxel lies inside it.
        extent = (np.asarray(whole.size) + 1) * whole.spacing
        self.mesh = [
            max(1, int(min(round(n / width), e // (12.0 * width)))) for n, e in zip(settings.spline_grid, extent)
        ]
        direction = np.reshape(whole.direction, (3, 3))
        self.spline = sitk.BSplineTransform(3, 3)
        self.spline.SetTransformDomainOrigin(
            (np.asarray(whole.origin) - direction @ np.asarray(whole.spacing)).tolist()
        )
        self.spline.SetTransformDomainPhysicalDimensions(extent.tolist())
        self.spline.SetTransformDomainMeshSize(self.mesh)
        self.spline.SetTransformDomainDirection(whole.direction)
        lattice = Grid.of(self.spline.GetCoefficientImages()[0])
        self.lattice_shape = lattice.shape
        self.pitch = np.asarray(lattice.spacing[::-1])

        # Only the box around the mask is computed.
        margin = int(np.ceil(settings.radius_mm / level.spacing[0])) + 1
        self.box = tuple(
            slice(max(0, s.start - margin), s.stop + margin) for s in ndimage.find_objects(inside.astype(np.uint8))[0]
        )
        self.mask = inside[self.box]
        self.shape = self.mask.shape
        self.pairs = [(f[self.box], m) for f, m in pairs]
        self.start = np.asarray([s.start for s in self.box], float)
        corner = indices(lattice, self._position(self.start))[:, 0]
        self.basis = [
            _basis(corner[a] + np.arange(n) * level.spacing[0] / self.pitch[a], k)
            for a, (n, k) in enumerate(zip(self.shape, self.lattice_shape))
        ]
        self.index = np.indices(self.shape).reshape(3, -1) + self.start[:, None]

    def _position(self, index: np.ndarray) -> np.ndarray:
        return (
            np.asarray(self.level.origin)
            + np.reshape(self.level.direction, (3, 3)) @ (index[::-1] * self.level.spacing[0])
        )[None]

    def blank(self) -> np.ndarray:
        """No deformation."""
        return np.zeros((3, *self.lattice_shape))

    def refit(self, spline: sitk.BSplineTransform) -> np.ndarray:
        """The coefficients on this lattice that repeat the displacement of a coarser `spline` at the lattice's points."""
        lattice = Grid.of(self.spline.GetCoefficientImages()[0])
        direction = np.reshape(self.level.direction, (3, 3))
        # ITK's spline is the identity outside its domain, so the lattice's rim takes what its nearest point inside has.
        extent = np.asarray(self.spline.GetTransformDomainPhysicalDimensions())
        origin = np.asarray(self.spline.GetTransformDomainOrigin())
        along = (positions(lattice, np.ones(lattice.shape, bool)) - origin) @ direction
        points = np.clip(along, 1e-6 * extent, (1 - 1e-6) * extent) @ direction.T + origin
        moved = np.array([spline.TransformPoint(p) for p in points.tolist()]) - points
        along = (moved @ direction)[:, ::-1].T.reshape(3, *lattice.shape)
        return np.stack([ndimage.spline_filter(a, order=3, mode="mirror", output=np.float64) for a in along])

    def transform(self, x: np.ndarray) -> sitk.BSplineTransform:
        """The transform of the coefficients `x`."""
        along = x.reshape(3, -1)[::-1].T @ np.reshape(self.level.direction, (3, 3)).T
        self.spline.SetParameters(along.T.ravel().tolist())
        return sitk.BSplineTransform(self.spline)

    def cost(self, x: np.ndarray) -> tuple[float, np.ndarray]:
        """Bending minus similarity, and its gradient."""
        c = x.reshape(3, *self.lattice_shape)
        spacing = self.level.spacing[0]
        displacement = np.stack([_expand(a, self.basis) for a in c]).reshape(3, -1) / spacing
        total, gradient = 0.0, np.zeros_like(displacement)
        for f, m in self.pairs:
            values, slope, _ = interpolate(m, self.index + displacement)
            if self.settings.metric == "mi":
                chosen = self.mask.ravel()
                similarity, by_value = mutual_information(f.ravel()[chosen], values[chosen], self.settings.bins)
                weight = np.zeros(chosen.shape)
                weight[chosen] = by_value
            else:
                radius = max(1, round(self.settings.radius_mm / spacing))
                similarity, by_value = local_correlation(f, values.reshape(self.shape), self.mask, radius)
                weight = by_value.ravel()
            total -= similarity / len(self.pairs)
            gradient -= weight * slope / (spacing * len(self.pairs))
        bend, bend_gradient = bending_energy(c, self.pitch)
        shaped = gradient.reshape(3, *self.shape)
        back = np.stack([_gather(g, self.basis) for g in shaped])
        stiffness = self.settings.bending_weight
        return total + stiffness * bend, (back + stiffness * bend_gradient).ravel()


def _basis(position: np.ndarray, count: int) -> np.ndarray:
    """Cubic B-spline weights (n, count) of lattice points at `position` (n,), in lattice steps."""
    x = np.abs(position[:, None] - np.arange(count))
    return np.where(x < 1, 2 / 3 - x * x + x**3 / 2, np.where(x < 2, (2 - x) ** 3 / 6, 0.0))


def _expand(c: np.ndarray, basis: Sequence[np.ndarray]) -> np.ndarray:
    """Lattice (k, j, i) to voxels (z, y, x)."""
    slabs = np.matmul(basis[1], (c.reshape(-1, c.shape[2]) @ basis[2].T).reshape(*c.shape[:2], -1))  # (k, y, x)
    return product(basis[0], slabs.reshape(len(slabs), -1)).reshape(-1, *slabs.shape[1:])


def _gather(g: np.ndarray, basis: Sequence[np.ndarray]) -> np.ndarray:
    """Voxels (z, y, x) to lattice (k, j, i): the transpose of `_expand`."""
    return _expand(g, [b.T for b in basis])


def spline_displacement(spline: sitk.BSplineTransform, grid: Grid) -> np.ndarray | None:
    """Displacements (z, y, x, 3) in mm (LPS) of a cubic B-spline on the voxels of a grid that lies along its axes, axis by axis.

    None where the grid is turned against the spline or leaves its domain: ITK goes there voxel by voxel.
    """
    coefficients = spline.GetCoefficientImages()
    lattice = Grid.of(coefficients[0])
    if spline.GetOrder() != 3 or not np.allclose(lattice.direction, grid.direction, rtol=0, atol=1e-12):
        return None
    first = indices(lattice, np.asarray(grid.origin)[None])[:, 0]
    step = np.asarray(grid.spacing[::-1]) / lattice.spacing[::-1]
    places = [f + np.arange(n) * s for f, n, s in zip(first, grid.shape, step)]
    if any(p[0] < 1 or p[-1] >= n - 2 for p, n in zip(places, lattice.shape)):
        return None
    basis = [_basis(p, n) for p, n in zip(places, lattice.shape)]
    return np.stack([_expand(array(c, np.float64), basis) for c in coefficients], axis=-1)


def bending_energy(c: np.ndarray, pitch: np.ndarray) -> tuple[float, np.ndarray]:
    """Mean squared second difference of the lattice (3, z, y, x) and its gradient; `pitch` (3,) is the lattice step in mm."""
    total, gradient = 0.0, np.zeros_like(c)
    count = float(np.prod(c.shape[1:]))
    for a in range(3):
        for b in range(a, 3):
            if min(c.shape[1 + a], c.shape[1 + b]) < 3:
                continue
            scale = (1.0 if a == b else 2.0) / (pitch[a] * pitch[b]) ** 2 / count
            d = np.diff(np.diff(c, axis=1 + a), axis=1 + b)
            total += scale * float((d * d).sum())
            # The transpose of a difference is the negative difference of what is padded with zeros.
            for axis in (1 + b, 1 + a):
                d = -np.diff(d, axis=axis, prepend=0.0, append=0.0)
            gradient += 2 * scale * d
    return total, gradient


def local_correlation(f: np.ndarray, m: np.ndarray, mask: np.ndarray, radius: int) -> tuple[float, np.ndarray]:
    """Mean over the mask of the squared correlation in cubic windows, and its gradient by the voxels of `m`.

    Parameters
    ----------
    f, m
        Images (z, y, x) between 0 and 1.
    mask
        Boolean (z, y, x); only its voxels count inside a window.
    radius
        Half width of the window in voxels.
    """
    w = mask.astype(np.float64)
    mean = lambda a: ndimage.uniform_filter(a, 2 * radius + 1, mode="constant")
    share = mean(w) + 1e-6
    f_mean, m_mean = mean(f * w) / share, mean(m * w) / share
    # The floor keeps windows without structure, where noise alone would correlate, from counting.
    f_var = mean(f * f * w) / share - f_mean**2 + 1e-4
    m_var = mean(m * m * w) / share - m_mean**2 + 1e-4
    cov = mean(f * m * w) / share - f_mean * m_mean
    count = w.sum()
    value = float((cov * cov / (f_var * m_var) * w).sum() / count)
    a = 2 * cov / (f_var * m_var) * w / share
    b = 2 * cov * cov / (f_var * m_var**2) * w / share
    gradient = (f * mean(a) - mean(a * f_mean)) - (m * mean(b) - mean(b * m_mean))
    return value, gradient * w / count
