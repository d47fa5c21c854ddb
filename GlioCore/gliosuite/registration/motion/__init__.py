"""Rigid motion of a 4-D series, found and undone frame by frame."""

from .correct import Motion, MotionSettings, correct_motion
from .onto import Aligned, align_flip_angles, align_onto, brightest

__all__ = ["Aligned", "Motion", "MotionSettings", "align_flip_angles", "align_onto", "brightest", "correct_motion"]
