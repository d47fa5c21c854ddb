"""T1 before contrast: from flip angles, and from inversion recovery beside them."""

from .hifi import InversionSettings, hifi_maps
from .vfa import T1Settings, b1_values, fit_vfa, t1_maps, write

__all__ = ["InversionSettings", "T1Settings", "b1_values", "fit_vfa", "hifi_maps", "t1_maps", "write"]
