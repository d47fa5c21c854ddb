"""Rigid motion of a 4-D series, found and undone frame by frame."""

from .correct import Motion, MotionSettings, correct_motion

__all__ = ["Motion", "MotionSettings", "correct_motion"]
