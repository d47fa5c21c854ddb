"""What a DSC series is refused for before it is turned into maps, and how it was excited."""

from ...curves import check_frames
from ...images import Series
from ...settings import check
from ..settings import DscSettings, check_known
from .excitation import Excitation


def excitation(settings: DscSettings) -> Excitation | None:
    """How the series was excited, or None where that is not wholly known."""
    if settings.te_ms is None or settings.tr_ms is None or settings.flip_angle_deg is None:
        return None
    return Excitation(settings.te_ms / 1000.0, settings.tr_ms / 1000.0, settings.flip_angle_deg, settings.t10_s)


def check_settings(settings: DscSettings, series: Series) -> None:
    """Refuse what cannot be computed; see `DscSettings`."""
    check_frames(series, "DSC series")
    if settings.input == "signal":
        check_known(settings, series, "te_ms")
    for name in ("tr_ms", "flip_angle_deg"):
        if getattr(settings, name) is not None:
            check(settings, name, of=f"{series.name}: ")
    check(settings, "t10_s")
