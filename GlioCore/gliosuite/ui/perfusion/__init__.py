"""The GlioPerfusion panel, a file per section."""

from .panel import PerfusionPanel

__all__ = ["PerfusionPanel"]
