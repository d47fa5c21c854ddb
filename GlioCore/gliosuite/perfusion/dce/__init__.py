"""DCE: from a series to ktrans, ve and vp maps."""

from ..settings import DceSettings
from .maps import UNITS, dce_aif, dce_maps, write
from .presets import preset, preset_settings
from .settings import check_settings, check_t10

__all__ = [
    "UNITS",
    "DceSettings",
    "check_settings",
    "check_t10",
    "dce_aif",
    "dce_maps",
    "preset",
    "preset_settings",
    "write",
]
