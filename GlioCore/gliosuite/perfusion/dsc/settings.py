"""What a DSC series is refused for before it is turned into maps, and how it was excited."""

import numpy as np

from ...curves import check_frames
from ...images import Series
from ...settings import check
from ..settings import DscSettings, check_known
from .leakage.excitation import Excitation


def excitation(
    settings: DscSettings, t10_s: np.ndarray | None = None, b1: np.ndarray | None = None
) -> Excitation | None:
    """How the series was excited, or None where that is not wholly known.

    `t10_s` and `b1` are values of maps (n,), in place of ``settings.t10_s`` and of the nominal flip angle.
    """
    if settings.te_ms is None or settings.tr_ms is None or settings.flip_angle_deg is None:
        return None
    return Excitation.measured(
        settings.te_ms / 1000.0,
        settings.tr_ms / 1000.0,
        settings.flip_angle_deg,
        settings.t10_s if t10_s is None else t10_s,
        1.0 if b1 is None else b1,
    )


def check_settings(settings: DscSettings, series: Series) -> None:
    """Refuse what cannot be computed; see `DscSettings`."""
    check_frames(series, "DSC series")
    if settings.input == "signal":
        check_known(settings, series, "te_ms")
    check(settings, "tr_ms", "flip_angle_deg", of=f"{series.name}: ")
    check(settings, "t10_s", "aif_r2star", "tissue_r2star")
