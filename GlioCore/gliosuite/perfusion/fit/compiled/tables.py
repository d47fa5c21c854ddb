"""Tables of the compiled kinetic fit (DCE): the convolved AIF as short polynomials, and the scalar products that all voxels share."""

from dataclasses import dataclass

import numpy as np

from ..bases import Bases

# Chosen: seven powers over pieces of this width of ln(k + 1 / T) repeat the Chebyshev series of `Bases` to its last digit or two.
TERMS = 8
GRAM_TERMS = 12  # of products of two such polynomials
_WIDTH = 0.3
_LANES = 8  # numbers in the processor's widest register: vectors are filled up with zeros to a multiple of it


@dataclass(frozen=True)
class Tables:
    """What the kernels read; all float64.

    Attributes
    ----------
    directions
        (t, R) the subspace's directions, filled up with columns of zeros.
    powers
        (cells, pieces, R, TERMS + 2) at the later delay of every cell, ``(k + damping)`` times the convolution as polynomials of the place
        in a piece (-1 to 1); then the AIF at the later delay, and what is added to it towards the earlier one.
    gram
        (cells, pieces, GRAM_TERMS, 4) the same of their products with late, with gain and with themselves, and of those of their slopes.
    grid
        (5,) the first ln(k + damping), half the width of a piece, the damping in 1/min, the length of a cell in min, and the fastest rate
        in 1/min.
    products
        (cells, 4) products of late with late, late with gain, gain with gain; the later delay in s.
    """

    directions: np.ndarray
    powers: np.ndarray
    gram: np.ndarray
    grid: np.ndarray
    products: np.ndarray


def build_tables(bases: Bases, of_integral: bool = False) -> Tables:
    """From `bases` in numpy; `of_integral`: the AIF's integral takes the place of its convolutions (one piece, rate 0)."""
    rank = bases.directions.shape[1]
    room = -(-rank // _LANES) * _LANES
    low, high = (float(np.log(np.exp(v) + bases.damping)) for v in bases.log_rates)
    pieces = max(int(np.ceil((high - low) / _WIDTH)), 1)
    half = 0.5 * (high - low) / pieces
    points = -np.cos(np.pi * (np.arange(TERMS) + 0.5) / TERMS)
    at = low + half * (2.0 * np.arange(pieces)[:, None] + 1.0 + points)
    x = (at.ravel() - low) * (2.0 / (high - low)) - 1.0
    chebyshev = np.polynomial.chebyshev.chebvander(x, bases.series.shape[2] - 1)
    last = np.minimum(np.arange(bases.n_cells) + 1, bases.delays.size - 1)
    if of_integral:
        powers = np.zeros((last.size, 1, TERMS, rank))
        powers[:, 0, 0] = bases.integral[last]
    else:
        values = (bases.series[last, :rank] @ chebyshev.T).reshape(-1, rank, pieces, TERMS)
        powers = (values @ np.linalg.inv(np.vander(points, increasing=True)).T).transpose(0, 2, 3, 1)
    late = bases.plasma[last]
    gain = bases.plasma[np.arange(bases.n_cells)] - late
    gram = _gram(powers, late, gain)
    products = [(late * late).sum(1), (late * gain).sum(1), (gain * gain).sum(1), bases.delays[last]]
    both = np.broadcast_to(np.stack([late, gain], axis=1)[:, None], (late.shape[0], powers.shape[1], 2, rank))
    powers = np.concatenate([powers, both], axis=2).swapaxes(2, 3)
    filled = np.zeros((*powers.shape[:2], room, TERMS + 2))
    filled[:, :, :rank] = powers
    directions = np.zeros((bases.directions.shape[0], room))
    directions[:, :rank] = bases.directions
    grid = np.array([low, half, bases.damping, bases.cell_s / 60.0 or 1.0, np.exp(bases.log_rates[1])])
    return Tables(directions, filled, gram, grid, np.stack(products, axis=1))


def _gram(powers: np.ndarray, late: np.ndarray, gain: np.ndarray) -> np.ndarray:
    """`Tables.gram` from powers (cells, pieces, TERMS, r) and the vectors late and gain (cells, r)."""
    points = -np.cos(np.pi * (np.arange(GRAM_TERMS) + 0.5) / GRAM_TERMS)
    to_points = np.vander(points, TERMS, increasing=True)
    # Terms first: then a few large products do for all cells and pieces.
    terms = np.ascontiguousarray(powers.transpose(2, 0, 3, 1))
    shape = (GRAM_TERMS, *terms.shape[1:])
    value = (to_points @ terms.reshape(TERMS, -1)).reshape(shape)
    slope = ((to_points[:, :-1] * np.arange(1, TERMS)) @ terms[1:].reshape(TERMS - 1, -1)).reshape(shape)
    vectors = np.stack([late, gain], axis=1)  # (cells, 2, r)
    products = np.empty((GRAM_TERMS, terms.shape[1], 4, terms.shape[3]))
    np.matmul(vectors, value, out=products[:, :, :2])
    np.einsum("mcrp,mcrp->mcp", value, value, out=products[:, :, 2])
    np.einsum("mcrp,mcrp->mcp", slope, slope, out=products[:, :, 3])
    found = np.linalg.inv(np.vander(points, increasing=True)) @ products.reshape(GRAM_TERMS, -1)
    return np.ascontiguousarray(found.reshape(products.shape).transpose(1, 3, 0, 2))
