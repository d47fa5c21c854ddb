"""The kinetic fit (DCE) on a CPU in kernels that numba compiles; `blocks` takes them where numba is there and voxels are many."""

from ..bases import Bases
from . import pairs, rates
from .pairs import PairFit
from .profile import Profile
from .rates import Bounds, FittedBlock, RateFit

__all__ = ["FEWEST", "CompiledFit", "FittedBlock", "Profile", "prepare"]

# Curves below which the arrays of numpy are as fast as loading numba. Which way is taken hangs on their number alone, so that a result
# does not depend on what a process did before.
FEWEST = 1000

CompiledFit = RateFit | PairFit


def prepare(model: str, names: tuple[str, ...], bases: Bases, bounds: Bounds, signed: bool) -> CompiledFit | None:
    """Make the tables of a fit whose parameters are `names`; None where there is no kernel for it."""
    if model in rates.MODELS:
        return rates.prepare(model, names, bases, bounds, signed)
    if model == "2cxm" and "delay" not in names:
        return pairs.prepare(names, bases, bounds)
    return None
