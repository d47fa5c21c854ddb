"""How a DSC series is turned into maps, and what is refused before it is."""

from dataclasses import dataclass

from ...curves import check_frames
from ...errors import InputError
from ...images import Series
from .shinethrough import Excitation

T10_S = 1.5  # of enhancing tumour at 3 T, roughly


@dataclass(frozen=True)
class DscSettings:
    """How a DSC series is turned into maps.

    Parameters
    ----------
    te_ms, tr_ms
        Echo and repetition time; the echo time is not needed with ``input="dr2star"``.
    leakage
        ``"none"``, ``"bsw"``, ``"bidirectional"``, ``"residue"``, or ``"auto"``: per voxel by the corrected Akaike criterion.
    deconvolution
        ``"osvd"``, ``"csvd"``, ``"ssvd"`` or ``"tikhonov"``.
    input
        ``"signal"`` or ``"dr2star"`` (1/s).
    allow_invalid_voxels
        Leave voxels with NaN or negative signal out instead of refusing the series.
    n_aif_voxels
        How many voxels the automatic AIF takes at most (search ``"own"``).
    aif_search
        How it seeks them: ``"own"``, ``"mouridsen"`` or ``"peruzzo"``; see `arteries`.
    vof
        Whether an AIF taken from the series is scaled so that its first pass has the area of a large vein's (venous output function).
    flip_angle_deg, t10_s
        Flip angle, and T1 before the bolus in s. With flip angle, `tr_ms` and `te_ms`, ``"residue"`` and ``"auto"`` carry leakage
        through the signal equation (`shinethrough`).
    """

    te_ms: float | None = None
    tr_ms: float | None = None
    leakage: str = "residue"
    deconvolution: str = "osvd"
    input: str = "signal"
    allow_invalid_voxels: bool = False
    n_aif_voxels: int = 20
    aif_search: str = "own"
    vof: bool = False
    flip_angle_deg: float | None = None
    t10_s: float = T10_S

    def excitation(self) -> Excitation | None:
        """How the series was excited, or None where that is not wholly known."""
        if None in (self.te_ms, self.tr_ms, self.flip_angle_deg):
            return None
        return Excitation(self.te_ms / 1000.0, self.tr_ms / 1000.0, self.flip_angle_deg, self.t10_s)


def check_settings(settings: DscSettings, series: Series) -> None:
    """Refuse what cannot be computed; see `DscSettings`."""
    check_frames(series, "DSC series")
    if settings.input == "signal":
        if settings.te_ms is None:
            raise InputError(f"{series.name}: the echo time is not known; give it with --te-ms")
        if not settings.te_ms > 0:
            raise InputError(
                f"{series.name}: the echo time is {settings.te_ms:g}; a number above 0 ms is needed (--te-ms)"
            )
    if settings.tr_ms is not None and not settings.tr_ms > 0:
        raise InputError(
            f"{series.name}: the repetition time is {settings.tr_ms:g}; a number above 0 ms is needed (--tr-ms)"
        )
    if settings.flip_angle_deg is not None and not 0 < settings.flip_angle_deg <= 90:
        raise InputError(
            f"{series.name}: the flip angle is {settings.flip_angle_deg:g}; one above 0 and up to 90 degrees is needed (--flip-angle)"
        )
    if not 0.1 <= settings.t10_s <= 10.0:
        raise InputError(f"the T1 before the bolus is {settings.t10_s:g}; one between 0.1 and 10 s is needed (--t10)")
