"""What GlioPerfusion is asked for: nodes and settings, and what was typed."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import SimpleITK as sitk

from ...errors import InputError
from ...images import Series
from ...perfusion.settings import T10_TISSUE_S, DceSettings, DscSettings
from ..curves import mask_from_points
from ..segments import mask_from_segment
from ..sequences import series_from_node, title_of

AIFS = ("automatic", "control points", "segment", "population (Parker)", "population (Georgiou)", "CSV file")
_POPULATIONS = {"population (Parker)": "parker", "population (Georgiou)": "georgiou"}
_NEEDED = {"DCE": ("tr_ms", "flip_angle_deg"), "DSC": ("te_ms",)}
_TITLES = {
    "tr_ms": "the repetition time (TR, ms)",
    "te_ms": "the echo time (TE, ms)",
    "flip_angle_deg": "the flip angle",
}


@dataclass
class PerfusionRequest:
    """What to compute, on which nodes.

    Parameters
    ----------
    series
        Sequence or MultiVolume node.
    kind
        ``"DCE"`` or ``"DSC"``.
    times_s
        One time per frame, s, rising.
    tr_ms, te_ms, flip_angle_deg
        Acquisition; 0 is unknown. DCE needs TR and flip angle, DSC needs TE and corrects leakage better with all three.
    baseline, arrival_s
        Frames before the contrast agent, or when it arrives, s; None leaves both to the step.
    motion
        Whether frames are moved to where the head was in the first ones before maps are made.
    t10_s, t1_map
        Native T1 in s for all voxels (DCE), or a map node (s) on any grid; DSC corrects leakage better with a map.
    b1_map
        A map node of the actual over the nominal flip angle on any grid, which DSC uses with the flip angle.
    aif
        One of `AIFS`; the fields below it say which points, segment or file.
    sinus, vof
        Whether an AIF taken from the series is brought to the level of a large vein: of DCE, of DSC.
    segment, mask, nawm
        ``(segmentation node, segment id)``; a mask of None leaves the choice of voxels to the step. With `nawm`, normal-appearing white
        matter, DSC gives CBV and CBF relative to it too.
    model, leakage, deconvolution
        As ``gliosuite dce`` and ``gliosuite dsc`` name them.
    refine
        Whether extended Tofts' maps (DCE) are refined by the posterior network too.
    name
        Prefix of the result nodes; the series' name where empty.
    """

    series: Any
    kind: str = "DCE"
    times_s: tuple[float, ...] = ()
    tr_ms: float = 0.0
    te_ms: float = 0.0
    flip_angle_deg: float = 0.0
    baseline: int | None = None
    arrival_s: float | None = None
    motion: bool = True
    t10_s: float = T10_TISSUE_S
    t1_map: Any = None
    b1_map: Any = None
    hematocrit: float = DceSettings.hematocrit
    relaxivity: float = DceSettings.relaxivity
    model: str = DceSettings.model
    leakage: str = DscSettings.leakage
    deconvolution: str = DscSettings.deconvolution
    aif: str = "automatic"
    sinus: bool = DceSettings.sinus
    vof: bool = DscSettings.vof
    points: Any = None
    segment: tuple[Any, str] | None = None
    aif_file: str = ""
    mask: tuple[Any, str] | None = None
    nawm: tuple[Any, str] | None = None
    refine: bool = False
    name: str = ""

    @property
    def refined(self) -> bool:
        """Whether the network has a part in it: it knows extended Tofts alone."""
        return self.refine and self.kind == "DCE" and self.model == "etm"


def parse_times(text: str, n_frames: int) -> tuple[float, ...]:
    """Times in s from what was typed: one number is the frame interval, several are one time per frame.

    Raises
    ------
    InputError
        If the text is empty, no numbers, of another count than frames, or does not rise.
    """
    try:
        values = [float(part) for part in text.replace(";", " ").replace(",", " ").split()]
    except ValueError as error:
        raise InputError(f"the times hold {str(error).split(': ')[-1]}; numbers in s are needed") from error
    if not values:
        raise InputError(
            "the times of the frames are not known; type the frame interval in s, or one time per frame, "
            "or choose the unit of the series' index"
        )
    if len(values) == 1:
        if values[0] <= 0:
            raise InputError(f"the frame interval is {values[0]:g} s; more than 0 is needed")
        values = [i * values[0] for i in range(n_frames)]
    if len(values) != n_frames:
        raise InputError(f"{len(values)} times are given for {n_frames} frames; as many times as frames are needed")
    if any(b <= a for a, b in zip(values, values[1:], strict=False)):
        raise InputError("the times do not rise; one rising time in s per frame is needed")
    return tuple(values)


def parse_number(text: str, kind: type, what: str) -> Any:
    """A number of a type from what was typed, None where nothing was; `what` it is called.

    Raises
    ------
    InputError
        If the text is no such number.
    """
    if not text.strip():
        return None
    try:
        return kind(text)
    except ValueError:
        whole = "a whole number" if kind is int else "a number"
        raise InputError(f"{what} is {text.strip()!r}; {whole} is needed, or nothing, to have it found") from None


def file_name(series: Any) -> str:
    """A file's name, without ending, that is the series' as far as a file can be called so: sentences of a step name it."""
    return "".join(c if c.isalnum() else "_" for c in title_of(series))[:60] or "series"


def checked(request: PerfusionRequest) -> Series:
    """The series of a request.

    Raises
    ------
    InputError
        If its times or what its kind needs are not known.
    """
    check_known(request)
    series = series_from_node(request.series)
    if len(request.times_s) != series.n_times:
        raise InputError(
            f"{series.name} has {series.n_times} frames and {len(request.times_s)} times; one time in s per frame is needed"
        )
    return series


def check_known(request: PerfusionRequest) -> None:
    """Refuse a request whose kind needs what is not known.

    Raises
    ------
    InputError
        Naming it.
    """
    for key in _NEEDED[request.kind]:
        if getattr(request, key) <= 0:
            raise InputError(f"{_TITLES[key]} of {request.series.GetName()} is not known; {request.kind} maps need it")


def settings(request: PerfusionRequest) -> DceSettings | DscSettings:
    """The settings of a request, as its command would have them."""
    known = {key: getattr(request, key) or None for key in _TITLES}
    shared: dict[str, Any] = {**known, "baseline": request.baseline, "arrival_s": request.arrival_s}
    if request.kind == "DSC":
        return DscSettings(**shared, vof=request.vof, leakage=request.leakage, deconvolution=request.deconvolution)
    return DceSettings(
        **shared,
        sinus=request.sinus,
        hematocrit=request.hematocrit,
        relaxivity=request.relaxivity,
        model=request.model,
    )


def aif_source(request: PerfusionRequest, series: Series) -> str | sitk.Image:
    """Where a request's AIF comes from: a word that the step knows, the path of a table, or a mask on the series' grid.

    Raises
    ------
    InputError
        If what was chosen is missing or unfit.
    """
    if request.aif == "automatic":
        return "auto"
    if request.aif in _POPULATIONS:
        if request.kind == "DSC":
            raise InputError("the population AIF is one of DCE (mM in plasma); choose another for DSC")
        return _POPULATIONS[request.aif]
    if request.aif == "CSV file":
        if not request.aif_file:
            raise InputError("no AIF file is chosen; a CSV with the columns time_s and concentration is needed")
        return str(Path(request.aif_file).absolute())
    if request.aif == "control points":
        if request.points is None:
            raise InputError("no control points are chosen for the AIF; place at least one on an artery")
        return mask_from_points(request.points, series.grid)
    if request.segment is None:
        raise InputError("no segment is chosen for the AIF; draw one on an artery")
    return mask_from_segment(*request.segment, series.grid)
