"""Rigid motion of a 4-D series, found and undone frame by frame."""

from .correct import Motion, MotionSettings, correct_motion
from .onto import Aligned, align_flip_angles, align_onto, brightest
from .steady import Steady, steady, uncorrected

__all__ = [
    "Aligned",
    "Motion",
    "MotionSettings",
    "Steady",
    "align_flip_angles",
    "align_onto",
    "brightest",
    "correct_motion",
    "steady",
    "uncorrected",
]
