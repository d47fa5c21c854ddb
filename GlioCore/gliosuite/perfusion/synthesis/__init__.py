"""Maps refined by networks: a posterior of each voxel with its uncertainty."""

from .fitted import FILES, Fitted
from .posterior import KIND, Synthesis, posterior

__all__ = ["FILES", "KIND", "Fitted", "Synthesis", "posterior"]
