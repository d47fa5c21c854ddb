"""Target volumes by rule and from a recurrence probability."""

from .ctv import Structures, TargetVolumes, target_volumes
from .merging import DrawnTarget, drawn_once
from .predicted import Validated, check_probability, read_validation, threshold_for, told
from .schemes import scheme

__all__ = [
    "DrawnTarget",
    "Structures",
    "TargetVolumes",
    "Validated",
    "check_probability",
    "drawn_once",
    "read_validation",
    "scheme",
    "target_volumes",
    "threshold_for",
    "told",
]
