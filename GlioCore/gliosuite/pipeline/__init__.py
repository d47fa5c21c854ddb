"""``gliosuite run``: a case through every step that it allows, each step whole or not at all, resumable."""

from .context import RunSettings
from .run import STEPS, check, run_case, write_report

__all__ = ["STEPS", "RunSettings", "check", "run_case", "write_report"]
