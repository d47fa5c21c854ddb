"""The kinetic fit (DCE) on a CPU in kernels that numba compiles; `blocks` takes them where numba is there and voxels are many."""

from ..bases import Bases
from . import pairs, rates
from .pairs import PairFit
from .profile import Profile
from .rates import Bounds, FittedBlock, RateFit
from .spread import covariance

__all__ = ["CompiledFit", "FittedBlock", "Profile", "covariance", "prepare"]

CompiledFit = RateFit | PairFit


def prepare(model: str, names: tuple[str, ...], bases: Bases, bounds: Bounds, signed: bool) -> CompiledFit | None:
    """Make the tables of a fit whose parameters are `names`; None where there is no kernel for it."""
    if model == "patlak" and "delay" not in names:
        return None  # linear: the arrays of numpy are faster
    if model in rates.MODELS:
        return rates.prepare(model, names, bases, bounds, signed)
    if model == "2cxm" and "delay" not in names:
        return pairs.prepare(names, bases, bounds)
    return None
