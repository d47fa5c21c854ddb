"""How a DCE series is turned into maps: settings, what is refused, and concentrations from signal."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import SimpleITK as sitk

from ...curves import check_frames
from ...errors import InputError
from ...images import Series, array
from ..signal import Spgr


@dataclass(frozen=True)
class DceSettings:
    """How a DCE series is turned into maps.

    Parameters
    ----------
    tr_ms, flip_angle_deg
        Of the spoiled gradient echo; not needed with ``input="concentration"``.
    relaxivity
        1/(mM s).
    hematocrit
        Fraction; blood concentrations are divided by 1 minus it, once.
    t10_blood_s
        T1 of blood before contrast in s, for an AIF taken from the series (1.65 s: 3 T, Lu 2004).
    model
        ``"etm"``, ``"tofts"``, ``"patlak"``, ``"2cxm"``, ``"2cum"`` or ``"auto"``.
    delay
        Whether to fit each voxel's arrival after the AIF.
    input
        ``"signal"`` or ``"concentration"`` (mM).
    aif_fit
        Whether to replace a sampled AIF by Parker's form fitted to it; None: where frames are more than 2 s apart and the fit's residual
        is within noise.
    allow_invalid_voxels
        Leave voxels with NaN or negative signal out instead of refusing the series.
    n_aif_voxels
        How many voxels the automatic AIF takes at most (search ``"own"``).
    aif_search
        How it seeks them: ``"own"``, ``"mouridsen"`` or ``"peruzzo"``; see `arteries`.
    sinus
        Whether an AIF taken from the series is brought to the level of a large vein's curve, where one is found; see `venous`.
    bounds
        Lowest and highest value by parameter, in place of the fit's defaults.
    unclamped
        Whether to add maps of ktrans (or ps) and vp that may be below 0, for means over a region.
    semiquantitative
        Whether to add iauc60, iauc90, wash_in, wash_out, ttp and max_enhancement; see `semiquantitative.semiquantitative`.
    te_ms, r2star
        Echo time in ms and effective transverse relaxivity of tissue in 1/(mM s), to take T2* decay into account. The echo time alone is
        enough for the blood of the AIF.
    device
        ``"auto"``, ``"cpu"`` or ``"cuda"``, for the kinetic fit.
    preset
        Which paper's settings these started from (see `presets`), for the record; it changes nothing by itself.
    """

    tr_ms: float | None = None
    flip_angle_deg: float | None = None
    relaxivity: float = 4.5
    hematocrit: float = 0.42
    t10_blood_s: float = 1.65
    model: str = "etm"
    delay: bool = False
    input: str = "signal"
    aif_fit: bool | None = None
    allow_invalid_voxels: bool = False
    n_aif_voxels: int = 20
    aif_search: str = "own"
    sinus: bool = True
    bounds: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    unclamped: bool = False
    semiquantitative: bool = False
    te_ms: float | None = None
    r2star: float | None = None
    device: str = "auto"
    preset: str | None = None

    @property
    def acquisition(self) -> Spgr | None:
        """How concentrations follow from the series; None where it holds concentrations already."""
        if self.input == "concentration":
            return None
        te_s = None if self.te_ms is None else self.te_ms / 1000.0
        return Spgr(self.tr_ms / 1000.0, self.flip_angle_deg, self.relaxivity, te_s, self.r2star)


def check_t10(t10: float | sitk.Image, source: str = "the T1 map") -> None:
    """Refuse a T1 that is not above 0, or that is in milliseconds (above 20, the median of a map)."""
    if isinstance(t10, sitk.Image):
        values = array(t10)
        known = values[np.isfinite(values) & (values > 0)]
        if not known.size:
            raise InputError(f"{source} has no voxel above 0; T1 in s is needed")
        middle = float(np.median(known))
        what = f"{source} has a median of {middle:g}"
    else:
        middle, what = float(t10), f"t10 is {t10:g}"
    if middle > 20:
        raise InputError(f"{what}, which looks like milliseconds; T1 in s is needed (divide it by 1000)")
    if not middle > 0:
        raise InputError(f"{what}; a T1 above 0 s is needed")


def check_settings(settings: DceSettings, series: Series) -> None:
    """Refuse what cannot be computed; see `DceSettings`."""
    check_frames(series, "DCE series")
    if settings.input == "signal":
        for value, what, option in (
            (settings.tr_ms, "repetition time", "--tr-ms"),
            (settings.flip_angle_deg, "flip angle", "--flip-angle"),
        ):
            if value is None:
                raise InputError(f"{series.name}: the {what} is not known; give it with {option}")
            if not value > 0:
                raise InputError(f"{series.name}: the {what} is {value:g}; a number above 0 is needed ({option})")
    if not 0 <= settings.hematocrit < 1:
        raise InputError(f"hematocrit is {settings.hematocrit:g}; a fraction from 0 to below 1 is needed (e.g. 0.42)")
    if settings.te_ms is None and settings.r2star is not None:
        raise InputError("the T2* relaxivity is given without the echo time; give both (--te-ms, --r2star)")
    if not settings.relaxivity > 0:
        raise InputError(f"relaxivity is {settings.relaxivity:g}; a number above 0 in 1/(mM s) is needed (e.g. 4.5)")
