"""How images are registered."""

from dataclasses import dataclass

from ..settings import setting

ENGINES = ("auto", "brainsfit", "simpleitk")
STARTS = ("search", "moments", "center-of-head", "geometry", "identity")


@dataclass(frozen=True)
class RegistrationSettings:
    """How a registration runs and when it is refused; the same parameters serve both engines.

    Parameters
    ----------
    stages
        Of ``rigid``, ``affine``, ``bspline``, in this order. Images of one patient on one day need ``rigid`` alone.
    start
        ``"search"`` tries several positions (as they lie, centres of the images, of the heads, centres of mass) and rotations on a
        coarse level and keeps the best; the other names fix one position, as BRAINSFit's initializeTransformMode does.
    search_deg
        Rotations tried by the search about each axis: 0 and plus and minus this, degrees.
    bins
        Bins of the joint histogram of Mattes mutual information.
    samples
        Points at which the images are compared, on a regular grid.
    iterations
        At most, per stage and level.
    minimum_step
        A stage ends when its steps are shorter than this (mm).
    levels_mm
        Voxel sizes of the linear stages' levels in mm, coarse to fine (SimpleITK).
    spline_grid
        B-spline cells along x, y, z of the fixed image.
    spline_levels_mm
        Voxel sizes of the B-spline stage's two levels in mm (SimpleITK).
    bending
        Weight of the B-spline's bending energy (SimpleITK; None: see `freeform.FreeformSettings`).
    seed
        Of the sampling.
    tolerance
        Mutual information (nats) may fall by this much: images that were aligned before stay accepted.
    min_overlap
        Least Dice coefficient of the two heads, or masks, where both images have voxels.
    max_rotation_deg, max_scale
        A rotation or stretch beyond these is refused.
    """

    stages: tuple[str, ...] = ("rigid",)
    start: str = setting("search", "how to find a starting position", title="start", choices=STARTS)
    search_deg: float = 15.0
    bins: int = 50
    samples: int = 50_000
    iterations: int = 200
    minimum_step: float = 0.001
    levels_mm: tuple[float, ...] = (4.0, 2.0)
    spline_grid: tuple[int, int, int] = (14, 10, 12)
    spline_levels_mm: tuple[float, ...] = (4.0, 3.0)
    bending: float | None = None
    seed: int = 1
    tolerance: float = 0.01
    min_overlap: float = 0.4
    max_rotation_deg: float = 60.0
    max_scale: float = 1.3
