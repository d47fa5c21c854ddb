"""What a series says of its own tissue: how residue shapes, transit times, delays and dispersion are distributed among its voxels.

One noisy curve cannot tell a short transit that starts late from a long one of another shape. All curves of a series together can, since
they share the AIF and, but for what differs between tissues, the shape. The distribution is therefore estimated from a sample of the
series (empirical Bayes, by expectation maximisation), for each dispersion of the AIF on its own, and serves as the prior of each voxel. How
far the curves are believed about the dispersion is measured by what their fits leave in all of them alike (`_independent`).

One fifth of the prior stays as broad as it was, so that tissue unlike the rest is not taken for it.
"""

from dataclasses import dataclass

import numpy as np

from ....compute import each
from .transit import Transit

N_SAMPLE = 1000  # voxels; chosen: half as many as before, which halves the time of learning
_CYCLES = 40  # of three steps of expectation maximisation each; chosen, most series need fewer
_STILL = 0.001  # chosen: a step this small (in logarithms, and seconds of delay) changes no map by 1 %
_FAR = 16.0  # how many steps one extrapolation may take; chosen
_BROAD = 0.2  # chosen, see above
# Where the search starts, and what it falls back to where there are few curves: log-normal transit times and normal delays. Transit times
# of normal and diseased brain lie between 3 and 15 s; chosen.
_MTT_S, _MTT_LOG_SD = 5.0, 0.7
_DELAY_S, _DELAY_SD_S = 1.0, 2.0
_FEW = 10.0  # curves that this start is worth; chosen
_LEAST_LOG_SD, _LEAST_SD_S = 0.1, 0.25  # narrower ones than neighbouring nodes cannot be seen
_FITTED = 4  # of a curve's directions are spent on amplitude, transit time, delay and shape
_PLUG = 3.0  # shape of transit times from which noisy curves look like a box; chosen on simulated series (5)
_DISPERSION_S = 1.0  # s; mean of the exponential prior of dispersion; chosen


@dataclass(frozen=True)
class Distribution:
    """Transit times log-normal around `mtt_s` (`log_sd`), delays normal around `delay_s` (`delay_sd_s`), and shares of the shapes."""

    mtt_s: float
    log_sd: float
    delay_s: float
    delay_sd_s: float
    shapes: np.ndarray

    @classmethod
    def of(cls, vector: np.ndarray) -> "Distribution":
        """From what `vector` gives; no narrower than neighbouring nodes can show."""
        log_mtt, log_sd, delay, delay_log_sd, *shapes = vector
        shares = np.exp(np.array(shapes) - max(shapes))
        return cls(
            float(np.exp(np.clip(log_mtt, 0.0, 3.2))),
            float(max(np.exp(log_sd), _LEAST_LOG_SD)),
            float(delay),
            float(max(np.exp(delay_log_sd), _LEAST_SD_S)),
            shares / shares.sum(),
        )

    def vector(self) -> np.ndarray:
        """All of it as numbers of any sign."""
        sizes = [np.log(self.mtt_s), np.log(self.log_sd), self.delay_s, np.log(self.delay_sd_s)]
        return np.concatenate([sizes, np.log(self.shapes)])

    def marginals(self, table: Transit) -> tuple[np.ndarray, np.ndarray]:
        """Shares of the nodes in transit time and delay that are not broad."""
        log_mtt, delay = np.log(table.axes[2]), table.axes[3]
        return _normal(log_mtt, np.log(self.mtt_s), self.log_sd), _normal(delay, self.delay_s, self.delay_sd_s)


@dataclass(frozen=True)
class Learned:
    """A distribution for each dispersion, and the share of the latter; from `n` curves of which `noise` (root mean square, over that of
    the whole) is unexplained.
    """

    dispersions_s: np.ndarray
    shares: np.ndarray
    distributions: tuple[Distribution, ...]
    n: int
    noise: float

    def nodes(self, table: Transit) -> np.ndarray:
        """The prior of every node, in the shape of the grid."""
        broad = _broad(table)
        result = np.empty(table.shape)
        for row, share, distribution in zip(result, self.shares, self.distributions):
            mtt, delay = ((1 - _BROAD) * own + _BROAD * wide for own, wide in zip(distribution.marginals(table), broad))
            row[:] = share * distribution.shapes[:, None, None] * mtt[:, None] * delay
        return result

    def plug(self, table: Transit) -> float:
        """Share of the shapes that noisy curves do not tell from a box."""
        return float(self.shares @ [d.shapes[table.axes[1] >= _PLUG].sum() for d in self.distributions])

    def said(self) -> str:
        """One sentence for a reader."""
        mean = lambda name: float(self.shares @ [getattr(d, name) for d in self.distributions])
        return (
            f"prior learned from {self.n} voxels: transit time {mean('mtt_s'):.1f} s, delay {mean('delay_s'):.1f} s, dispersion of the AIF "
            f"{float(self.shares @ self.dispersions_s):.1f} s"
        )


def learn(curves: np.ndarray, table: Transit, grid_error: float) -> Learned:
    """Estimate the distribution of a series' curves (n, t); `grid_error` as `posterior.GRID_ERROR`."""
    seen = _sample(curves, table)
    cosines = np.clip(seen @ table.parts, 0.0, 1.0)
    free = curves.shape[1] - table.nuisance.shape[1]
    shape = table.shape
    noise = np.sqrt(np.median(1.0 - cosines.max(axis=1) ** 2)) if len(cosines) else 1.0

    def of_dispersion(row: np.ndarray) -> tuple[Distribution, float]:
        log_likelihood = -0.5 * (free - 1) * np.log(1.0 + grid_error - row.astype(np.float64) ** 2)
        most = log_likelihood.max(axis=1, keepdims=True)
        likelihood = np.exp(log_likelihood - most).astype(np.float32).reshape(-1, *shape[1:])
        distribution, total = _distribution(likelihood, table)
        return distribution, float((np.log(total) + most[:, 0]).sum())

    by_dispersion = cosines.reshape(len(cosines), shape[0], table.size.size // shape[0]).swapaxes(0, 1)
    found, evidence = zip(*each(of_dispersion, list(by_dispersion)))
    n = len(cosines)
    weight = _independent(seen, cosines, int(np.argmax(evidence)), noise**2 / free, table) / n if n else 0.0
    score = np.array(evidence) * weight + np.log(dispersed(table.axes[0]))
    shares = np.exp(score - score.max())
    return Learned(table.axes[0], shares / shares.sum(), found, n, float(noise))


def _independent(seen: np.ndarray, cosines: np.ndarray, row: int, variance: float, table: Transit) -> float:
    """How many of `seen` curves (n, r) count as independent: as many as have a mean whose noise is what the fits have in common.

    An error of the AIF is one error for all voxels. What it leaves in all of them alike, with the dispersion (`row`) that explains most,
    is seen in the mean of their residuals; noise of `variance` would leave `variance` / n in each direction.
    """
    n, width = len(seen), table.size.size // table.shape[0]
    at = row * width + np.argmax(cosines[:, row * width : (row + 1) * width], axis=1)
    rest = seen - np.take_along_axis(cosines, at[:, None], 1) * table.parts[:, at].T
    common = rest.mean(axis=0, dtype=np.float64)
    return min(float(n), variance * max(seen.shape[1] - _FITTED, 1) / max(float(common @ common), 1e-12))


def _sample(curves: np.ndarray, table: Transit) -> np.ndarray:
    """Unit vectors (n, r) of some of the curves, as `Transit.parts`, evenly spread among those in which the model explains most.

    Curves without a bolus say nothing of transit, and the steepest tenth may be vessels.
    """
    finite = np.flatnonzero(np.isfinite(curves).all(axis=1))
    some = finite[:: max(finite.size // (4 * N_SAMPLE), 1)]
    y = curves[some].astype(np.float64)
    y -= (y @ table.nuisance) @ table.nuisance.T
    size = np.sqrt((y**2).sum(axis=1))
    some = np.flatnonzero(size > 0)
    y = y[some] / size[some, None]
    z = (y @ table.onto).astype(np.float32)
    coarse = table.parts[:, ::17]  # enough to tell a bolus from noise
    explained = np.clip((z @ coarse).max(axis=1), 0.0, 1.0) if some.size else np.empty(0)
    order = np.argsort(-explained, kind="stable")[: max(explained.size // 2, min(explained.size, N_SAMPLE))]
    order = np.sort(order)[:: max(order.size // N_SAMPLE, 1)][:N_SAMPLE]
    return z[order]


def _distribution(likelihood: np.ndarray, table: Transit) -> tuple[Distribution, np.ndarray]:
    """The distribution that explains likelihoods (n, shapes, transit times, delays) best, and each curve's evidence under it.

    Expectation maximisation creeps where shapes are alike, so that every third step is extrapolated from the two before it, and kept
    where it explains more (SQUAREM; Varadhan R, Roland C, Scand J Stat 2008;35:335).
    """
    n_shapes = likelihood.shape[1]
    shares = np.full(n_shapes, 1.0 / n_shapes)
    now = Distribution(_MTT_S, _MTT_LOG_SD, _DELAY_S, _DELAY_SD_S, shares)
    for _ in range(_CYCLES):
        first, _ = _maximised(now, likelihood, table)
        second, reached = _maximised(first, likelihood, table)
        step = first.vector() - now.vector()
        turn = second.vector() - first.vector() - step
        length = float(np.sqrt(step @ step))
        if length < _STILL:
            break
        far = min(max(length / max(float(np.sqrt(turn @ turn)), 1e-12), 1.0), _FAR)
        guess, total = _maximised(Distribution.of(now.vector() + 2 * far * step + far**2 * turn), likelihood, table)
        now = guess if np.log(total).sum() >= np.log(reached).sum() else second
    return now, _maximised(now, likelihood, table)[1]


def _maximised(now: Distribution, likelihood: np.ndarray, table: Transit) -> tuple[Distribution, np.ndarray]:
    """One step of expectation maximisation, and each curve's evidence (n,) before it."""
    n, n_shapes = likelihood.shape[:2]
    log_mtt, delay = np.log(table.axes[2]), table.axes[3]
    flat = likelihood.reshape(n * n_shapes, log_mtt.size, delay.size)
    own_mtt, own_delay = now.marginals(table)
    mtt, late = (
        ((1 - _BROAD) * own + _BROAD * wide).astype(np.float32)
        for own, wide in zip((own_mtt, own_delay), _broad(table))
    )
    by_mtt = flat @ late
    by_delay = mtt @ flat
    by_shape = (by_mtt @ mtt).reshape(n, n_shapes).astype(np.float64)
    total = by_shape @ now.shapes
    weight = now.shapes / total[:, None]
    shapes = (by_shape * weight).sum(axis=0) + _FEW / n_shapes
    # Of each node's share, what belongs to the narrow part of the prior.
    in_mtt = (1 - _BROAD) * own_mtt * (weight.ravel() @ by_mtt)
    in_delay = (1 - _BROAD) * own_delay * (weight.ravel() @ by_delay)
    middle, spread = _moments(log_mtt, in_mtt, np.log(_MTT_S), _MTT_LOG_SD)
    late_middle, late_spread = _moments(delay, in_delay, _DELAY_S, _DELAY_SD_S)
    values = [middle, np.log(spread), late_middle, np.log(late_spread)]
    return Distribution.of(np.concatenate([values, np.log(shapes / shapes.sum())])), total


def _moments(values: np.ndarray, weight: np.ndarray, start: float, start_sd: float) -> tuple[float, float]:
    """Mean and SD, with `_FEW` more values that lie as the start has it."""
    count = weight.sum() + _FEW
    mean = (weight @ values + _FEW * start) / count
    variance = (weight @ (values - mean) ** 2 + _FEW * ((start - mean) ** 2 + start_sd**2)) / count
    return float(mean), float(np.sqrt(variance))


def dispersed(nodes_s: np.ndarray) -> np.ndarray:
    """Share of each node's cell in the exponential prior of dispersion; cells end halfway between nodes, the last one nowhere."""
    edges = np.concatenate([[0.0], 0.5 * (nodes_s[1:] + nodes_s[:-1]), [np.inf]])
    return -np.diff(np.exp(-edges / _DISPERSION_S))


def _normal(values: np.ndarray, mean: float, sd: float) -> np.ndarray:
    shares = np.exp(-0.5 * ((values - mean) / sd) ** 2)
    return shares / shares.sum()


def _broad(table: Transit) -> tuple[np.ndarray, np.ndarray]:
    """Shares of the nodes in transit time and delay before anything is learned."""
    return _normal(np.log(table.axes[2]), np.log(_MTT_S), _MTT_LOG_SD), _normal(table.axes[3], _DELAY_S, _DELAY_SD_S)
