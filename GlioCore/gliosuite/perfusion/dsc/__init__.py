"""DSC: from a series to CBV, CBF, MTT and Tmax maps."""

from ..settings import DscSettings
from .fit import perfusion_maps
from .maps import UNITS, dsc_aif, dsc_maps, write
from .settings import check_settings

__all__ = ["UNITS", "DscSettings", "check_settings", "dsc_aif", "dsc_maps", "perfusion_maps", "write"]
