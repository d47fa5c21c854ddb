"""Rigid alignment of frames whose contrast changes, by linear algebra: intensities and motion are solved for together.

Where contrast agent changes an image, any measure of likeness moves the frame a little to make up for the change. What tells motion
from contrast is what takes up none (skull, skin, fluid): `unchanging` finds it in the aligned curves, and the last fits see little else.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from scipy import ndimage

from ...compute import each
from ...images import Grid
from ..similarity import positions
from .splines import TO_SPLINE, coefficients_of, filtered, gaussian, spline_at

# A product of this many multiplications or fewer stays in one thread of any BLAS, so that its last digits do not hang on their number.
_ALONE = 2**17
_REACH_MM = 60.0  # rotations count as the movement they make at this distance
_LONGEST_MM = 12.0  # one Gauss-Newton step goes no farther
_REWEIGHTED = 2  # times that points are weighed anew in one step
_STILL_MM = 0.1  # frames that are off by less are averaged as they are: the mean is hardly less sharp


@dataclass(frozen=True)
class Rigid:
    """Points of the reference to points of a frame: ``matrix @ (p - centre) + centre + shift``, LPS mm, `centre` being the level's."""

    matrix: np.ndarray = field(default_factory=lambda: np.eye(3))
    shift: np.ndarray = field(default_factory=lambda: np.zeros(3))

    def displacement(self, arms: np.ndarray) -> np.ndarray:
        """How far points (n, 3), given from the centre, move: (n, 3) in mm."""
        return arms @ (self.matrix - np.eye(3)).T + self.shift

    def after(self, first: "Rigid") -> "Rigid":
        """This movement after another."""
        return Rigid(self.matrix @ first.matrix, self.matrix @ first.shift + self.shift)

    @property
    def inverse(self) -> "Rigid":
        """The way back."""
        return Rigid(self.matrix.T, -self.matrix.T @ self.shift)

    @property
    def vector(self) -> np.ndarray:
        """Shift (mm) and rotation vector (radians), (6,)."""
        m = self.matrix
        axis = np.array([m[2, 1] - m[1, 2], m[0, 2] - m[2, 0], m[1, 0] - m[0, 1]]) / 2
        sine = np.linalg.norm(axis)
        angle = np.arctan2(sine, (np.trace(m) - 1) / 2)
        return np.concatenate([self.shift, axis * (angle / sine if sine > 1e-12 else 1.0)])

    def on(self, grid: Grid, centre: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Matrix (3, 3) and offset (3,) of this movement between a grid's indices in array order."""
        axes = np.reshape(grid.direction, (3, 3)) * grid.spacing
        start = self.matrix @ (grid.origin - centre) + centre + self.shift - grid.origin
        return np.linalg.solve(axes, self.matrix @ axes)[::-1, ::-1], np.linalg.solve(axes, start)[::-1]

    def into(self, grid: Grid, centre: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Matrix (3, 3) and offset (3,) from arms to a grid's indices in array order, after this movement."""
        axes = np.reshape(grid.direction, (3, 3)) * grid.spacing
        return np.linalg.solve(axes, self.matrix)[::-1], np.linalg.solve(axes, centre + self.shift - grid.origin)[::-1]

    @classmethod
    def of(cls, vector: np.ndarray) -> "Rigid":
        """From a shift and a rotation vector (6,)."""
        angle = float(np.linalg.norm(vector[3:]))
        x, y, z = vector[3:] / max(angle, 1e-12)
        cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
        return cls(np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross, np.array(vector[:3], float))


@dataclass(frozen=True)
class Seen:
    """A frame's values (n,) at a level's points after a movement, and which of them lie inside it."""

    move: Rigid
    values: np.ndarray
    inside: np.ndarray

    def only(self, chosen: np.ndarray) -> "Seen":
        """At some of the points."""
        return Seen(self.move, self.values[chosen], self.inside[chosen])


@dataclass(frozen=True)
class Fit:
    """A frame's movement, the covariance (6, 6) of its `Rigid.vector`, what was last `seen` of it at the level's points, the residuals
    `left` (times the root of the points' weights), the share of points inside the frame, and how like the reference the moved frame is
    (correlation).
    """

    move: Rigid
    covariance: np.ndarray
    seen: Seen
    left: np.ndarray
    inside: float
    likeness: float


def weighted(columns: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """``columns.T @ diag(weights) @ columns`` of (n, k), the same bytes whatever the number of threads."""
    n, k = columns.shape
    size = max(_ALONE // (k * k), 8)
    whole = n // size * size
    heavy = columns * weights[:, None]
    parts = [a[:whole].reshape(-1, size, k) for a in (heavy, columns)]
    return np.matmul(parts[0].swapaxes(1, 2), parts[1]).sum(axis=0) + heavy[whole:].T @ columns[whole:]


@dataclass(frozen=True)
class Level:
    """The frames of a series at one resolution, as coefficients of cubic B-splines (t, z, y, x), and the points at which they are compared.

    `arms` (n, 3) are the points from `centre` in mm, `axes` (6, m) the movements that are sought: all, or those within the plane.
    """

    grid: Grid
    coefficients: np.ndarray
    arms: np.ndarray
    centre: np.ndarray
    where: np.ndarray
    axes: np.ndarray
    correlated: float

    @classmethod
    def of(cls, frames: np.ndarray, grid: Grid, head: np.ndarray, centre: np.ndarray, mm: float) -> "Level":
        """Smooth the frames (t, z, y, x) by a Gaussian of SD `mm`, thin them out as far as that allows, and look at the boolean `head`."""
        steps = [max(1, int(1.7 * mm / s)) if n >= 16 else 1 for s, n in zip(grid.spacing, grid.size)]
        sds = [mm / s if n > 1 else 0.0 for s, n in zip(grid.spacing, grid.size)]

        coefficients = np.empty((len(frames), *(-(-n // k) for n, k in zip(grid.shape, steps[::-1]))), np.float32)

        def spline(t: int) -> None:
            frame = frames[t]
            for axis, (sd, step) in enumerate(zip(sds[::-1], steps[::-1])):
                if sd and step == 1:
                    frame = filtered(frame, np.convolve(gaussian(sd), TO_SPLINE), axis)
                elif sd:
                    frame = filtered(filtered(frame, gaussian(sd), axis, step), TO_SPLINE, axis)
            coefficients[t] = frame

        each(spline, range(len(frames)))
        spacing = tuple(float(s * k) for s, k in zip(grid.spacing, steps))
        small = Grid.made(coefficients.shape[:0:-1], spacing, grid.origin, grid.direction)
        mask = head[tuple(slice(None, None, k) for k in steps[::-1])]
        # Neighbours share their noise where smoothing is wider than a voxel.
        correlated = float(
            np.prod([max(2 * np.sqrt(np.pi) * mm / s, 1.0) for s, n in zip(spacing, grid.size) if n > 1])
        )
        arms = positions(small, mask) - centre
        return cls(small, coefficients, arms, centre, np.argwhere(mask), movements(grid), correlated)

    def only(self, chosen: np.ndarray | slice) -> "Level":
        """The same frames at some of the points."""
        return replace(self, arms=self.arms[chosen], where=self.where[chosen])

    def sharpest(self, coefficients: np.ndarray, most: int) -> "Level":
        """The same frames at the points, `most` or fewer, where an image with these coefficients is steepest: those that show movement."""
        steep = np.square(self._slope(coefficients)[1]).sum(axis=1)
        return self.only(np.sort(np.argsort(-steep, kind="stable")[:most]))

    def at(self, t: int, move: Rigid, chosen: np.ndarray | slice = slice(None)) -> Seen:
        """A frame's values at the moved points."""
        return Seen(move, *spline_at(self.coefficients[t], self.arms[chosen], *move.into(self.grid, self.centre)))

    def mean(self, frames: Sequence[int], moves: Sequence[Rigid]) -> np.ndarray:
        """Coefficients (z, y, x) of the mean of some frames after alignment; where none needs any, of the frames as they are."""
        if all(_length(m.vector) < _STILL_MM for m in moves):
            return self.coefficients[list(frames)].mean(axis=0, dtype=np.float64)
        everywhere = np.indices(self.grid.shape, float).reshape(3, -1).T
        total = np.zeros(len(everywhere))
        for t, move in zip(frames, moves):
            total += spline_at(self.coefficients[t], everywhere, *move.on(self.grid, self.centre))[0]
        return coefficients_of(total.reshape(self.grid.shape) / len(frames))

    def _slope(self, coefficients: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Values (n,) of an image with these coefficients at the points, and its gradient (n, 3) per mm."""
        smooth, slope = np.array([1, 4, 1]) / 6, np.array([1, 0, -1]) / 2

        def read(along: int | None) -> np.ndarray:
            result = coefficients
            for axis, n in enumerate(coefficients.shape):
                if n > 1:
                    kernel = slope if axis == along else smooth
                    result = ndimage.convolve1d(result, kernel, axis=axis, mode="mirror")
                elif axis == along:
                    result = np.zeros_like(result)
            return result[tuple(self.where.T)]

        matrix = np.linalg.inv(np.reshape(self.grid.direction, (3, 3)) * self.grid.spacing)
        return read(None), np.stack([read(2), read(1), read(0)], axis=1) @ matrix


def movements(grid: Grid) -> np.ndarray:
    """The movements (6, m) that a grid shows: all six, or for fewer than four slices the three within their plane."""
    thin = [i for i, n in enumerate(grid.size) if n < 4]
    if not thin:
        return np.eye(6)
    directions = np.reshape(grid.direction, (3, 3)).T
    plane = [d for i, d in enumerate(directions) if i != thin[0]]
    none = np.zeros(3)
    return np.array([np.r_[plane[0], none], np.r_[plane[1], none], np.r_[none, directions[thin[0]]]]).T


@dataclass(frozen=True)
class Reference:
    """What frames are compared with: functions of the reference's intensity and of place (n, k), and their derivatives by intensity (n, k);
    the intensity itself (n,), its gradient (n, 3) per mm, its change (n, m) with each of the level's movements, and its `scale` in the
    frames' unit.
    """

    basis: np.ndarray
    slopes: np.ndarray
    values: np.ndarray
    gradient: np.ndarray
    change: np.ndarray
    scale: float

    @classmethod
    def of(cls, level: Level, coefficients: np.ndarray, degree: int) -> "Reference":
        """From an image's spline coefficients; intensities may change by a polynomial of `degree`, and linearly over the head.

        Receive fields stay where they are while the head moves, hence the terms in place.
        """
        values, gradient = level._slope(coefficients)
        scale = float(np.percentile(np.abs(values), 95)) or 1.0
        b, gradient = values / scale, gradient / scale
        place = level.arms / np.maximum(np.abs(level.arms).max(axis=0), 1.0)
        basis = [b**d for d in range(degree + 1)] + [b * p for p in place.T]
        slopes = [d * b ** max(d - 1, 0) for d in range(degree + 1)] + list(place.T)
        change = np.concatenate([gradient, np.cross(level.arms, gradient)], axis=1) @ level.axes
        return cls(np.stack(basis, axis=1), np.stack(slopes, axis=1), b, gradient, change, scale)

    def only(self, chosen: np.ndarray | slice) -> "Reference":
        """At some of the points."""
        basis, slopes, values, gradient, change = (
            a[chosen] for a in (self.basis, self.slopes, self.values, self.gradient, self.change)
        )
        return Reference(basis, slopes, values, gradient, change, self.scale)


def _length(vector: np.ndarray) -> float:
    """How far a movement goes (mm), roughly."""
    return float(np.linalg.norm(vector[:3]) + _REACH_MM * np.linalg.norm(vector[3:]))


def _inverse(system: np.ndarray) -> np.ndarray:
    """Pseudoinverse of a symmetric matrix without negative eigenvalues (`numpy.linalg.pinv` takes three times as long)."""
    values, vectors = np.linalg.eigh(system)
    known = values > 1e-10 * values[-1]
    some = vectors[:, known]
    return (some / values[known]) @ some.T


def fit(
    level: Level,
    reference: Reference,
    t: int,
    seen: Seen,
    weights: np.ndarray,
    robust: bool,
    tolerance_mm: float,
    iterations: int = 20,
) -> Fit:
    """Move frame `t` onto the reference by Gauss-Newton steps from where it was seen; the intensity map and the step are one linear system.

    Derivatives are those of the reference, so that a step costs one interpolation of the frame.

    Parameters
    ----------
    weights
        Of the level's points (n,), 0-1; those of weight 0 are not looked at.
    robust
        Whether points that fit badly count less (Tukey's biweight at 4.685 standard deviations).
    """
    chosen = np.flatnonzero(weights > 0)
    w = weights[chosen]
    part, now, axes = reference.only(chosen), seen.only(chosen), level.axes
    k = part.basis.shape[1]
    trust = np.ones(len(chosen))
    alpha = None
    for _ in range(iterations):
        y = now.values / reference.scale
        if alpha is None:
            system = weighted(np.column_stack([part.basis, y]), w * now.inside)
            alpha = _inverse(system[:k, :k]) @ system[:k, k]
        columns = np.concatenate([part.basis, -(part.slopes @ alpha)[:, None] * part.change, y[:, None]], axis=1)
        for _ in range(_REWEIGHTED if robust else 1):
            heavy = w * trust * now.inside
            system = weighted(columns, heavy)
            size = np.sqrt(np.diag(system)) + 1e-12
            system /= np.outer(size, size)
            inverse = _inverse(system[:-1, :-1])
            solution = inverse @ system[:-1, -1] * size[-1] / size[:-1]
            residual = y - columns[:, :-1] @ solution
            if robust and now.inside.any():
                sd = 1.4826 * float(np.median(np.abs(residual[now.inside]))) + 1e-12
                trust = np.clip(1 - (residual / (4.685 * sd)) ** 2, 0, None) ** 2
        alpha, delta = solution[:k], axes @ solution[k:]
        length = _length(delta)
        if not np.isfinite(length):
            move = now.move
            break
        move = now.move.after(Rigid.of(delta * min(1.0, _LONGEST_MM / max(length, 1e-12))))
        if length < tolerance_mm:
            break
        now = level.at(t, move, chosen)
    total = max(float(heavy.sum()), 1e-12)
    variance = float((heavy * residual**2).sum()) / total
    some = inverse[k:, k:] / np.outer(size[k:-1], size[k:-1])
    # Weights are 1 over the variance but for a factor, which the residuals give.
    covariance = axes @ some @ axes.T * variance * level.correlated
    y = y - (heavy * y).sum() / total
    b = part.values - (heavy * part.values).sum() / total
    spread = np.sqrt((heavy * y * y).sum() * (heavy * b * b).sum())
    likeness = float((heavy * y * b).sum() / spread) if spread > 0 else 0.0
    last = Seen(now.move, seen.values.copy(), seen.inside.copy())
    last.values[chosen], last.inside[chosen] = now.values, now.inside
    left = np.zeros(len(weights))
    left[chosen] = residual * np.sqrt(w) * now.inside
    return Fit(move, covariance, last, left, float((w * now.inside).sum() / w.sum()), likeness)


def unchanging(reference: Reference, seen: Sequence[Seen], forgiven_mm: float) -> np.ndarray:
    """Weights (n,) of a level's points: near 1 where the aligned curves hold nothing but noise, near 0 where signal changes over time.

    Parameters
    ----------
    seen
        The frames that count, aligned.
    forgiven_mm
        Change that so much misalignment would make is not held against a point, so that edges stay while alignment is still rough.
    """
    inside = np.stack([s.inside for s in seen])
    curves = np.stack([s.values for s in seen]) / reference.scale
    # Second differences of a point's curve are noise but for the few frames of a bolus.
    second = np.diff(curves, 2, axis=0) if len(seen) > 4 else curves - curves.mean(axis=0)
    noise = float(np.median(np.abs(second))) * 1.4826 / np.sqrt(6.0 if len(seen) > 4 else 1.0) + 1e-6
    away = np.where(inside, curves - reference.values, 0.0)
    square = (away**2).sum(axis=0) / np.maximum(inside.sum(axis=0), 1)
    steep = np.linalg.norm(reference.gradient, axis=1) * forgiven_mm
    excess = np.maximum(square - noise**2 - steep**2, 0.0)
    weights = (noise**2 / (noise**2 + excess)) ** 3
    weights[inside.mean(axis=0) < 0.5] = 0.0
    return np.where(weights < 0.02, 0.0, weights)
