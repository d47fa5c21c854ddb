"""A T1 before contrast agent that a user gives."""

import numpy as np
import SimpleITK as sitk

from ...errors import InputError
from ...images import array

_LEAST_S = 0.05  # chosen: fat has 0.3 s, and no phantom with which T1 is checked less than this


def check_t10(t10: float | sitk.Image, source: str = "the T1 map") -> None:
    """Refuse a T1 below what tissue has (a map's median), or one in milliseconds (above 20)."""
    if isinstance(t10, sitk.Image):
        values = array(t10)
        known = values[np.isfinite(values) & (values > 0)]
        if not known.size:
            raise InputError(f"{source} has no voxel above 0; T1 in s is needed")
        middle = float(np.median(known))
        what = f"{source} has a median of {middle:g}"
    else:
        middle, what = float(t10), f"t10 is {t10:g}"
    if middle > 20:
        raise InputError(f"{what}, which looks like milliseconds; T1 in s is needed (divide it by 1000)")
    if not middle >= _LEAST_S:
        raise InputError(f"{what}; a T1 of {_LEAST_S:g} s or more is needed")
