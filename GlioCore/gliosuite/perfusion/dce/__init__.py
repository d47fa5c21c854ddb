"""DCE: from a series to ktrans, ve and vp maps."""

from ..output import write
from ..settings import DceSettings
from ..t1 import check_t10
from .maps import dce_aif, dce_maps
from .picking import DcePicking
from .presets import preset, preset_settings
from .settings import check_settings

__all__ = [
    "DcePicking",
    "DceSettings",
    "check_settings",
    "check_t10",
    "dce_aif",
    "dce_maps",
    "preset",
    "preset_settings",
    "write",
]
