"""The GlioRT panel, a section a file, in the order of work."""

from .panel import TargetsPanel

__all__ = ["TargetsPanel"]
