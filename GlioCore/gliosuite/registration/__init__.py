"""One image onto another, two visits onto each other, and how good it is."""

from .brainsfit import find_brainsfit
from .followup import (
    NOT_COMPARED,
    FollowupSettings,
    Visits,
    align_visits,
    followup_of,
    landmarks_beside,
    read_landmarks,
    register_followup,
)
from .pictures import write_checkerboard, write_motion
from .register import common_grid, register
from .settings import ENGINES, RegistrationSettings
from .transforms import check_transform_name, write_transform

__all__ = [
    "ENGINES",
    "NOT_COMPARED",
    "FollowupSettings",
    "RegistrationSettings",
    "Visits",
    "align_visits",
    "check_transform_name",
    "common_grid",
    "find_brainsfit",
    "followup_of",
    "landmarks_beside",
    "read_landmarks",
    "register",
    "register_followup",
    "write_checkerboard",
    "write_motion",
    "write_transform",
]
