"""The diffusion tensor of many voxels at once, by least squares on the logarithm of the signal."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from ..compute import blocks, each
from ..errors import InputError
from ..steps import Progress, silent
from .gradients import Gradients, design

_BLOCK = 2**13  # voxels; chosen: their normal equations take 6 MB
_WEIGHTINGS = 2  # fits with the weights of the one before; Veraart 2013: the second changes little, a third nothing
_RIDGE = 1e-12  # of a diagonal: chosen, keeps an empty equation solvable and changes no digit of another
_STEEP = 30.0  # of a logarithm: chosen, weights that are smaller by e^60 are next to none
_TELLS = (
    1e-5  # smallest over largest eigenvalue, for a voxel with missing samples: chosen, whole ones have .001 and more
)
_PAIRS = [(i, j) for i in range(7) for j in range(i, 7)]


@dataclass(frozen=True)
class Tensors:
    """Tensors of n voxels; NaN where there are none.

    Attributes
    ----------
    adc
        (n,) mm2/s: a third of the trace.
    fa
        (n,) 0-1, with eigenvalues below 0 taken for 0.
    s0
        (n,) signal without diffusion weight, in the unit of the signal.
    weakest
        (n,) the lowest signal that the tensor predicts for any volume.
    variance
        (n,) of the noise of the signal by the residuals; NaN where nothing is left over to tell it.
    negative
        (n,) whether an eigenvalue was below 0.
    left_out
        (n,) samples that were not above 0, and played no part.
    directional
        Sum of squares of all voxels that the tensor explains beyond its mean, over that which is expected of noise or of directions that do
        not belong to their volumes (about 1); NaN where nothing is left over.
    data, model, residual
        Per volume (t,): means of the signal and of what the tensors predict over the voxels with a tensor, and the root mean square
        difference.
    """

    adc: np.ndarray
    fa: np.ndarray
    s0: np.ndarray
    weakest: np.ndarray
    variance: np.ndarray
    negative: np.ndarray
    left_out: np.ndarray
    directional: float
    data: np.ndarray
    model: np.ndarray
    residual: np.ndarray


def fit_tensor(
    signals: ArrayLike,
    b_values: ArrayLike,
    b_vectors: ArrayLike,
    weighted: bool = True,
    progress: Progress = silent,
) -> Tensors:
    """Tensors by linear least squares on ln S, weighted by the squared signal that an ordinary fit predicts, or ordinary.

    The variance of ln S is that of the signal over its square, so that ordinary least squares gives the weakest signals, which are mostly
    noise, as much weight as the others.

    Parameters
    ----------
    signals
        (n, t); samples of 0 and below, or not finite, are left out.
    b_values
        (t,) in s/mm2.
    b_vectors
        (t, 3) of length 1, in any one frame.

    Raises
    ------
    InputError
        If b-values and directions do not determine a tensor.

    References
    ----------
    Basser PJ, Mattiello J, LeBihan D, J Magn Reson B 1994;103:247. Salvador R et al., Hum Brain Mapp 2005;24:144. Veraart J et al.,
    NeuroImage 2013;81:335.

    Examples
    --------
    >>> b = [0, 1000, 1000, 1000, 1000, 1000, 1000]
    >>> h = 0.5**0.5
    >>> g = [[0, 0, 0], [h, h, 0], [h, -h, 0], [h, 0, h], [h, 0, -h], [0, h, h], [0, h, -h]]
    >>> diagonal = np.array([1.7e-3, 0.3e-3, 0.3e-3])
    >>> signals = 900 * np.exp(-np.array(b) * (np.square(g) @ diagonal))
    >>> found = fit_tensor(signals[None], b, g)
    >>> found.adc.round(6), found.fa.round(3)
    (array([0.000767], dtype=float32), array([0.799], dtype=float32))
    """
    signals = np.asarray(signals)
    gradients = Gradients.of(np.asarray(b_values), np.asarray(b_vectors))
    matrix = design(gradients.b, gradients.directions)
    n, t = signals.shape
    if t != len(matrix):
        raise InputError(f"{t} signals and {len(matrix)} b-values; one b-value per signal is needed")
    if np.linalg.matrix_rank(matrix) < 7:
        raise InputError(
            "these b-values and directions do not determine a tensor: 6 independent directions and 2 b-values do"
        )
    found = {k: np.full(n, np.nan, np.float32) for k in ("adc", "fa", "s0", "weakest", "variance")}
    negative, left_out = np.zeros(n, bool), np.zeros(n, np.int32)

    def block(rows: slice) -> np.ndarray:
        values = np.asarray(signals[rows], np.float64)
        beta, valid, free = _fit(values, matrix, weighted)
        known = np.isfinite(beta[:, 0])
        left_out[rows] = (~valid).sum(axis=1)
        tensors = np.empty((len(beta), 3, 3))
        for (i, j), column in zip(((0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2)), range(1, 7)):
            tensors[:, i, j] = tensors[:, j, i] = np.where(known, beta[:, column], 0)
        eigenvalues = np.linalg.eigvalsh(tensors)
        mean = eigenvalues.mean(axis=1)
        known &= mean > 0
        predicted = np.exp(np.clip(np.where(known[:, None], beta, 0) @ matrix.T, -700, 700))
        away = np.where(valid & known[:, None], values - predicted, 0)
        squares = (away**2).sum(axis=1)
        keep = lambda v: np.where(known, v, np.nan)
        with np.errstate(divide="ignore", invalid="ignore"):
            found["variance"][rows] = keep(np.where(free > 0, squares / free, np.nan))
        found["adc"][rows] = keep(mean / 1000.0)
        found["fa"][rows] = keep(anisotropy(eigenvalues.clip(0)))
        found["s0"][rows] = keep(np.exp(np.clip(beta[:, 0], -80, 80)))
        found["weakest"][rows] = keep(predicted.min(axis=1))
        negative[rows] = known & (eigenvalues[:, 0] < 0)
        # What a tensor explains beyond its trace, in the metric of the signal, by five more numbers.
        whole = known & valid.all(axis=1) & (free > 0)
        round_ = np.exp(np.clip(_isotropic(values[whole], predicted[whole], matrix), -700, 700))
        gained = ((values[whole] - round_) ** 2).sum(axis=1) - squares[whole]
        shown = np.where(known[:, None] & valid, 1.0, 0.0)
        return np.concatenate(
            [
                (shown * values).sum(axis=0, where=valid),
                (shown * predicted).sum(axis=0),
                (away**2).sum(axis=0),
                shown.sum(axis=0),
                [gained.sum() / 5.0, (squares[whole] / free[whole]).sum()],
            ]
        )

    sums = np.sum(each(block, list(blocks(n, _BLOCK)), progress, "fitting tensors"), axis=0)
    counts = np.maximum(sums[3 * t : 4 * t], 1)
    directional = float(sums[-2] / sums[-1]) if sums[-1] > 0 else float("nan")
    data, model, residual = sums[:t] / counts, sums[t : 2 * t] / counts, np.sqrt(sums[2 * t : 3 * t] / counts)
    return Tensors(
        **found,
        negative=negative,
        left_out=left_out,
        directional=directional,
        data=data,
        model=model,
        residual=residual,
    )


def anisotropy(eigenvalues: np.ndarray) -> np.ndarray:
    """Fractional anisotropy (n,) of eigenvalues (n, 3); 0 where all are 0."""
    away = eigenvalues - eigenvalues.mean(axis=1, keepdims=True)
    whole = (eigenvalues**2).sum(axis=1)
    return np.sqrt(1.5 * (away**2).sum(axis=1) / np.where(whole > 0, whole, 1.0))


def _fit(values: np.ndarray, matrix: np.ndarray, weighted: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Parameters (n, 7), NaN where they are not determined; which samples count (n, t); samples left over (n,)."""
    valid = np.isfinite(values) & (values > 0)
    logs = np.log(np.where(valid, values, 1.0))
    beta = logs @ np.linalg.pinv(matrix).T
    some = ~valid.all(axis=1)
    if some.any():
        beta[some] = _solve(logs[some], valid[some].astype(np.float64), matrix)
    for _ in range(_WEIGHTINGS if weighted else 0):
        predicted = beta @ matrix.T
        predicted -= predicted.max(axis=1, keepdims=True)
        beta = _solve(logs, np.where(valid, np.exp(2.0 * predicted.clip(-_STEEP)), 0.0), matrix)
    if some.any():
        # Samples that are missing can be those that tell one direction.
        normal = np.linalg.eigvalsh(_normal(valid[some].astype(np.float64), matrix))
        lost = np.flatnonzero(some)[normal[:, 0] < _TELLS * normal[:, -1]]
        beta[lost] = np.nan
    return beta, valid, valid.sum(axis=1) - 7


def _normal(weights: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Normal matrices (n, 7, 7) of weights (n, t)."""
    products = weights @ np.stack([matrix[:, i] * matrix[:, j] for i, j in _PAIRS], axis=1)
    normal = np.empty((len(weights), 7, 7))
    for k, (i, j) in enumerate(_PAIRS):
        normal[:, i, j] = normal[:, j, i] = products[:, k]
    return normal


def _solve(logs: np.ndarray, weights: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Weighted least squares (n, 7)."""
    normal = _normal(weights, matrix)
    diagonal = np.arange(7)
    normal[:, diagonal, diagonal] += _RIDGE * (1.0 + normal[:, diagonal, diagonal])
    return np.linalg.solve(normal, ((weights * logs) @ matrix)[..., None])[..., 0]


def _isotropic(values: np.ndarray, predicted: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """ln S (n, t) of the best isotropic diffusion, with the weights of a fit that predicts `predicted`."""
    slope = matrix[:, 1:4].sum(axis=1)  # -b / 1000
    weights = predicted**2
    weights /= weights.sum(axis=1, keepdims=True)
    logs = np.log(values)
    at, level = weights @ slope, (weights * logs).sum(axis=1)
    spread = weights @ slope**2 - at**2
    fall = ((weights * logs) @ slope - at * level) / np.where(spread > 0, spread, 1.0)
    return level[:, None] + fall[:, None] * (slope - at[:, None])


def fit_means(
    signals: ArrayLike, b_values: ArrayLike, shells: ArrayLike, weighted: bool = True
) -> tuple[np.ndarray, np.ndarray]:
    """ADC (mm2/s) and S0 (n,) of ln S = ln S0 - b ADC, of means of ln S over the volumes of each shell; NaN where a sample is not above 0.

    Parameters
    ----------
    signals
        (n, t).
    b_values, shells
        (t,): in s/mm2; a number for each volume, the same within a shell.
    weighted
        By the squared signal that the ordinary fit predicts, times the number of volumes.
    """
    values = np.asarray(signals, np.float64)
    numbers = np.asarray(shells)
    b = np.asarray(b_values, np.float64) / 1000.0
    valid = np.asarray((np.isfinite(values) & (values > 0)).all(axis=1))
    logs = np.log(np.where(valid[:, None], values, 1.0))
    kinds, counts = np.unique(numbers, return_counts=True)
    mean = np.stack([logs[:, numbers == k].mean(axis=1) for k in kinds], axis=1)
    level = np.stack([b[numbers == k].mean() for k in kinds])
    weights = np.broadcast_to(counts.astype(np.float64), mean.shape)
    for step in range(2 if weighted else 1):
        total = weights.sum(axis=1)
        at, height = weights @ level / total, (weights * mean).sum(axis=1) / total
        spread = weights @ level**2 / total - at**2
        fall = ((weights * mean) @ level / total - at * height) / spread
        predicted = height[:, None] + fall[:, None] * (level - at[:, None])
        if step == 0:
            weights = counts * np.exp(2.0 * (predicted - predicted.max(axis=1, keepdims=True)).clip(-_STEEP))
    adc = np.where(valid, -fall / 1000.0, np.nan)
    s0 = np.where(valid, np.exp(np.clip(height - fall * at, -80, 80)), np.nan)
    return np.where(adc > 0, adc, np.nan).astype(np.float32), s0.astype(np.float32)
