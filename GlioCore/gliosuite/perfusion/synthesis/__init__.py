"""Maps refined by networks: a posterior of each voxel with its uncertainty."""

from .fitted import FILES, Fitted
from .posterior import Synthesis, posterior

__all__ = ["FILES", "Fitted", "Synthesis", "posterior"]
