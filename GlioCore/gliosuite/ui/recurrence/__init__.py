"""The GlioRecurrence panel, a file for each of its sections."""

from .panel import RecurrencePanel

__all__ = ["RecurrencePanel"]
