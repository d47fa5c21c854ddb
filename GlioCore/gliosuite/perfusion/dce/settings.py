"""How a DCE series is turned into maps: what is refused before it is, and how concentrations follow from signal."""

from ...curves import check_frames
from ...errors import InputError, option
from ...images import Series
from ...settings import check
from ..fit import check_bounds
from ..settings import DceSettings, check_known
from ..signal import Spgr


def acquisition(settings: DceSettings) -> Spgr | None:
    """How concentrations follow from the series; None where it holds concentrations already."""
    if settings.input == "concentration":
        return None
    if settings.tr_ms is None or settings.flip_angle_deg is None:
        raise InputError(
            "the repetition time or the flip angle is not known; give both "
            f"({option('--tr-ms')}, {option('--flip-angle')})"
        )
    te_s = None if settings.te_ms is None else settings.te_ms / 1000.0
    return Spgr(settings.tr_ms / 1000.0, settings.flip_angle_deg, settings.relaxivity, te_s, settings.r2star)


def check_settings(settings: DceSettings, series: Series) -> None:
    """Refuse what cannot be computed; see `DceSettings`."""
    check_frames(series, "DCE series")
    if settings.input == "signal":
        check_known(settings, series, "tr_ms", "flip_angle_deg")
    check(settings, "hematocrit")
    if settings.te_ms is None and settings.r2star is not None:
        raise InputError(
            f"the T2* relaxivity is given without the echo time; give both ({option('--te-ms')}, {option('--r2star')})"
        )
    check(settings, "relaxivity", "te_ms", "r2star", "t10_blood_s", "dispersion_s")
    check_bounds(settings.bounds, settings.model, settings.delay is not False)
