"""DSC: from a series to CBV, CBF, MTT and Tmax maps."""

from ..output import write
from ..settings import DscSettings
from .fit import perfusion_maps
from .maps import dsc_aif, dsc_maps
from .picking import DscPicking
from .settings import check_settings

__all__ = ["DscPicking", "DscSettings", "check_settings", "dsc_aif", "dsc_maps", "perfusion_maps", "write"]
