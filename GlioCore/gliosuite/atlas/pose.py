"""Where a head lies: a pattern placed on an image from nothing, by mutual information over a lattice of points."""

import numpy as np
import SimpleITK as sitk
from scipy import ndimage
from scipy.optimize import minimize

from ..compute.compiled import compiled, worthwhile
from ..errors import InputError
from ..images import array, boolean
from . import posekernel

_STEP_MM = 6.0  # lattice of the search for a first pose
_PITCHES_DEG = (
    -24.0,
    -12.0,
    0.0,
    12.0,
    24.0,
)  # heads are nodded; they are seldom turned or tilted by more than the optimiser can take
# Chosen, because the search then starts within half such a step of the truth, which its first steps of 6 mm bridge.
_OFFSETS_AP_MM = (-16.0, 0.0, 16.0)
_OFFSETS_IS_MM = 8.0
# What is known of heads before looking: nod, tilt, turn (rad), logarithms of size against the template, shears; mean and SD.
# The template is larger than most heads.
_POSE_MEAN = np.array([0.0, 0.0, 0.0, -0.04, -0.04, -0.04, 0.0, 0.0, 0.0])
_POSE_SD = np.array([0.3, 0.15, 0.2, 0.08, 0.08, 0.08, 0.05, 0.05, 0.05])
_PRIOR = 0.005  # weight of one SD squared against mutual information in nats
BINS = 20  # of the joint histogram: chosen, because some 10 000 points of the lattice then fill its 400 cells
_STARTS = 8  # first poses that are refined


def find_pose(
    moving: sitk.Image, trusted: sitk.Image | None, pattern: sitk.Image, counted: sitk.Image, brain: sitk.Image
) -> sitk.AffineTransform:
    """Place a pattern of a head on an image from nothing: the map from points of the pattern to points of the image.

    The cost is minus the mutual information over points of the pattern, times the part of them that lies in the image (less than
    a whole head may be there), plus a prior that heads are of human size and held roughly straight. A lattice of nods and positions
    gives the starts; Powell's method refines pose and size, then shear, since neither the cost nor the prior needs a gradient so.

    Parameters
    ----------
    moving
        The image, its voxels by rank (0-1).
    trusted
        Where it can be trusted, uint8 on its grid; None for everywhere.
    pattern, counted, brain
        Grey levels 0-255, what of them counts, and the brain, on one grid.

    Raises
    ------
    InputError
        If hardly any of a brain would lie in the image.
    """
    values = array(moving)
    usable = np.ones(values.shape, bool) if trusted is None else boolean(trusted)
    points = _points(moving, np.argwhere((values > 0.25) & usable))
    top, bottom = np.percentile(points[:, 2], [99.9, 0.1])
    upper = points[points[:, 2] > top - 150.0]  # a neck would draw the centre back
    middle = np.percentile(upper[:, :2], [3, 97], axis=0).mean(axis=0)

    step = int(_STEP_MM)
    index = np.argwhere(boolean(counted)[::step, ::step, ::step]) * step
    classes = (array(pattern)[tuple(index.T)] / 256.0 * BINS).astype(int)
    brain_points = _points(pattern, np.argwhere(boolean(brain)))
    centre = (brain_points.min(axis=0) + brain_points.max(axis=0)) / 2
    lattice = _points(pattern, index) - centre
    to_index = np.linalg.inv(np.reshape(moving.GetDirection(), (3, 3)) * moving.GetSpacing())
    filled = np.where(usable, values, np.float32(np.nan))
    count = _counts_compiled if worthwhile(len(lattice), repeated=True) else _counts

    def cost(parameters: np.ndarray, order: int = 1) -> float:
        at = (lattice @ _matrix(parameters).T + parameters[:3] - moving.GetOrigin()) @ to_index.T
        joint = count(filled, at, classes, order)
        seen = float(joint.sum()) / len(classes)
        if seen < 0.3:
            return 10.0
        n = len(parameters)
        prior = (((parameters[3:] - _POSE_MEAN[: n - 3]) / _POSE_SD[: n - 3]) ** 2).sum()
        return -_mutual_information(joint) * seen + _PRIOR * float(prior)

    starts = []
    for pitch in _PITCHES_DEG:
        for ap in _OFFSETS_AP_MM:
            for height in np.arange(bottom - 30.0, top + 30.0, _OFFSETS_IS_MM):
                pose = np.array([middle[0], middle[1] + ap, height, np.deg2rad(pitch), 0, 0, *_POSE_MEAN[3:6]])
                starts.append((cost(pose, order=0), tuple(pose)))
    starts.sort()
    # Powell's method ends in the nearest hollow, and nod and height trade against each other: neighbours of the best start are tried too.
    chosen = starts[:_STARTS]
    chosen += [s for s in starts if np.linalg.norm(np.subtract(s[1][:3], starts[0][1][:3])) > 20.0][:1]
    first_steps = np.diag([6.0, 6.0, 6.0, 0.1, 0.1, 0.1, 0.05, 0.05, 0.05])
    # Each goes on with the directions that the one before has found.
    options = {"direc": first_steps, "xtol": 0.02, "ftol": 2e-3, "maxiter": 6}
    climbed = [minimize(cost, pose, method="Powell", options=options) for _, pose in chosen]
    best = min(climbed, key=lambda result: result.fun)
    if best.fun > 1.0:
        raise InputError(
            "the template does not fit the image: less than a third of a brain would lie in its field of view"
        )
    last_steps = np.diag([2.0, 2.0, 2.0, 0.03, 0.03, 0.03, 0.02, 0.02, 0.02, 0.03, 0.03, 0.03])
    best = minimize(
        cost,
        np.concatenate([best.x, np.zeros(3)]),
        method="Powell",
        options={"direc": last_steps, "xtol": 0.01, "ftol": 5e-4, "maxiter": 6},
    )
    affine = sitk.AffineTransform(3)
    affine.SetCenter([float(c) for c in centre])
    affine.SetMatrix([float(v) for v in _matrix(best.x).ravel()])
    affine.SetTranslation([float(v) for v in best.x[:3] - centre])
    return affine


def _counts(filled: np.ndarray, at: np.ndarray, classes: np.ndarray, order: int) -> np.ndarray:
    """How often each class meets each grey level, (BINS, BINS), at points (n, 3) in voxels (x, y, z); those outside are left out."""
    found = ndimage.map_coordinates(filled, at[:, ::-1].T, order=order, cval=np.nan)
    seen = np.isfinite(found)
    cells = classes[seen] * BINS + np.minimum((found[seen] * BINS).astype(int), BINS - 1)
    return np.bincount(cells, minlength=BINS * BINS).reshape(BINS, BINS)


def _counts_compiled(filled: np.ndarray, at: np.ndarray, classes: np.ndarray, order: int) -> np.ndarray:
    """`_counts` in a kernel, in a sixth of the time: the same numbers, since the kernel does the same sums in the same order."""
    joint = np.zeros((BINS, BINS), np.int64)
    compiled(posekernel).count_pairs(filled, at, classes, order, joint)
    return joint


def _matrix(parameters: np.ndarray) -> np.ndarray:
    """Linear part of a pose: place (3, not used), angles about x, y, z (rad), logarithms of size along x, y, z, shears."""
    cx, cy, cz = np.cos(parameters[3:6])
    sx, sy, sz = np.sin(parameters[3:6])
    about_x = np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    about_z = np.array([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]])
    shape = np.diag(np.exp(parameters[6:9]))
    if len(parameters) > 9:
        shape[0, 1], shape[0, 2], shape[1, 2] = parameters[9:12]
    return about_z @ about_y @ about_x @ shape


def _points(image: sitk.Image, index_zyx: np.ndarray) -> np.ndarray:
    """Positions (n, 3) in mm (LPS) of voxels given as (z, y, x)."""
    matrix = np.reshape(image.GetDirection(), (3, 3)) * image.GetSpacing()
    return index_zyx[:, ::-1] @ matrix.T + image.GetOrigin()


def _mutual_information(joint: np.ndarray) -> float:
    """Mutual information (nats) of a joint histogram."""
    p = joint / max(joint.sum(), 1)
    outer = p.sum(axis=1, keepdims=True) * p.sum(axis=0, keepdims=True)
    filled = p > 0
    return float((p[filled] * np.log(p[filled] / outer[filled])).sum())
