"""T1 before contrast: from flip angles, and from inversion recovery beside them."""

from ..settings import InversionSettings, T1Settings
from .given import check_t10
from .hifi import hifi_maps
from .vfa import b1_values, fit_vfa, t1_maps, write

__all__ = ["InversionSettings", "T1Settings", "b1_values", "check_t10", "fit_vfa", "hifi_maps", "t1_maps", "write"]
