"""What GlioPerfusion does with nodes: a series and its settings become a command line, the maps that it writes become nodes."""

import csv
import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError
from ..files import write_text
from ..images import Series, read_image, suffix, write_image, write_series
from ..perfusion.settings import T10_TISSUE_S, DceSettings, DscSettings
from ..steps import Progress, silent
from . import process
from .curves import mask_from_points, plot_curves
from .display import show_chart, show_map, show_over
from .process import Job, abandon
from .segments import mask_from_segment, refuse_shared, segmentation_from_masks
from .sequences import filed, series_from_node, title_of
from .volumes import image_from_node, node_from_image, place_beside, unique_name

AIFS = ("automatic", "control points", "segment", "population (Parker)", "CSV file")
# The first of these that a step wrote is shown over the series; the order is also that of the nodes.
_VOXELS = {"aif_mask": "AIF voxels", "sinus_mask": "sinus voxels"}  # masks of a step that are shown, and their segments
_MAPS = {
    "DCE": ("ktrans", "ve", "vp", "kep", "fp", "ps", "delay", "misfit"),
    "DSC": ("cbv", "ncbv", "cbf", "ncbf", "mtt", "tmax", "ttp", "k1", "k2", "psr", "ph"),
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
    t10_s, t1_map
        Native T1 in s for all voxels (DCE), or a map node (s) on any grid; DSC corrects leakage better with a map.
    b1_map
        A map node of the actual over the nominal flip angle on any grid, which DSC uses with the flip angle.
    aif
        One of `AIFS`; the fields below it say which points, segment or file.
    segment, mask, nawm
        ``(segmentation node, segment id)``; a mask of None leaves the choice of voxels to the step. With `nawm`, normal-appearing white
        matter, DSC gives CBV and CBF relative to it too.
    model, leakage, deconvolution
        As ``gliosuite dce`` and ``gliosuite dsc`` name them.
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
    t10_s: float = T10_TISSUE_S
    t1_map: Any = None
    b1_map: Any = None
    hematocrit: float = DceSettings.hematocrit
    relaxivity: float = DceSettings.relaxivity
    model: str = DceSettings.model
    leakage: str = DscSettings.leakage
    deconvolution: str = DscSettings.deconvolution
    aif: str = "automatic"
    points: Any = None
    segment: tuple[Any, str] | None = None
    aif_file: str = ""
    mask: tuple[Any, str] | None = None
    nawm: tuple[Any, str] | None = None
    name: str = ""


@dataclass
class PerfusionResult:
    """Nodes that came back: maps by quantity, the AIF's chart and the voxels it was taken from, and the step's own summary."""

    maps: dict[str, Any] = field(default_factory=dict)
    aif: Any = None
    voxels: Any = None
    summary: dict[str, Any] = field(default_factory=dict)


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


def arguments(request: PerfusionRequest, folder: Path) -> list[str]:
    """Write the inputs of a request into `folder`; return the command line arguments of the step (results go to ``folder/out``).

    Raises
    ------
    InputError
        If something that the kind needs is missing or unfit.
    """
    series = series_from_node(request.series)
    if len(request.times_s) != series.n_times:
        raise InputError(
            f"{series.name} has {series.n_times} frames and {len(request.times_s)} times; one time in s per frame is needed"
        )
    needed = {"DCE": ("tr_ms", "flip_angle_deg"), "DSC": ("te_ms",)}[request.kind]
    titles = {
        "tr_ms": "the repetition time (TR, ms)",
        "te_ms": "the echo time (TE, ms)",
        "flip_angle_deg": "the flip angle",
    }
    for key in needed:
        if getattr(request, key) <= 0:
            raise InputError(f"{titles[key]} of {series.name} is not known; {request.kind} maps need it")
    # The step's sentences name the file: it is called as the node is.
    called = "".join(c if c.isalnum() else "_" for c in title_of(request.series))[:60] or "series"
    file = folder / "series" / f"{called}.nii"  # to deflate it would hold the application for many seconds
    write_series(series, file, request.times_s[1] - request.times_s[0])
    write_text(folder / "times.txt", "".join(f"{float(t)!r}\n" for t in request.times_s))
    result = [request.kind.lower(), str(file), "--times", str(folder / "times.txt")]
    # DSC reckons with T1 exactly where these are known.
    helpful = [k for k in ("tr_ms", "flip_angle_deg") if request.kind == "DSC" and getattr(request, k) > 0]
    for key in (*needed, *helpful):
        result += ["--" + key.replace("_deg", "").replace("_", "-"), f"{getattr(request, key):g}"]
    for flag, value in (("--baseline", request.baseline), ("--arrival", request.arrival_s)):
        if value is not None:
            result += [flag, f"{value:g}"]
    result += ["--aif", _aif(request, series, folder)]
    if request.kind == "DCE":
        result += ["--t10", _t10(request, folder), "--model", request.model]
        result += ["--hematocrit", f"{request.hematocrit:g}", "--relaxivity", f"{request.relaxivity:g}"]
    else:
        result += ["--leakage", request.leakage, "--deconvolution", request.deconvolution]
        if request.t1_map is not None:
            result += ["--t10", _t10(request, folder)]
        if request.b1_map is not None:
            write_image(image_from_node(request.b1_map), folder / "b1.nii")
            result += ["--b1", str(folder / "b1.nii")]
    nawm = request.nawm if request.kind == "DSC" else None
    artery = request.segment if request.aif == "segment" else None
    refuse_shared({"AIF": artery, "mask": request.mask, "normal-appearing white matter": nawm})
    for name, segment in (("mask", request.mask), ("nawm", nawm)):
        if segment is not None:
            write_image(mask_from_segment(*segment, series.grid), folder / f"{name}.nii")
            result += [f"--{name}", str(folder / f"{name}.nii")]
    return [*result, "--out", str(folder / "out")]


def _t10(request: PerfusionRequest, folder: Path) -> str:
    if request.t1_map is None:
        return f"{request.t10_s:g}"
    write_image(image_from_node(request.t1_map), folder / "t10.nii")
    return str(folder / "t10.nii")


def _aif(request: PerfusionRequest, series: Series, folder: Path) -> str:
    """The value of ``--aif``: a word, or the file of a mask or curve."""
    if request.aif == "automatic":
        return "auto"
    if request.aif == "population (Parker)":
        if request.kind == "DSC":
            raise InputError("the population AIF is one of DCE (mM in plasma); choose another for DSC")
        return "parker"
    if request.aif == "CSV file":
        if not request.aif_file:
            raise InputError("no AIF file is chosen; a CSV with the columns time_s and concentration is needed")
        return str(Path(request.aif_file).absolute())
    if request.aif == "control points":
        if request.points is None:
            raise InputError("no control points are chosen for the AIF; place at least one on an artery")
        mask = mask_from_points(request.points, series.grid)
    else:
        if request.segment is None:
            raise InputError("no segment is chosen for the AIF; draw one on an artery")
        mask = mask_from_segment(*request.segment, series.grid)
    write_image(mask, folder / "aif_mask.nii")
    return str(folder / "aif_mask.nii")


def load(request: PerfusionRequest, folder: Path, summary: dict[str, Any]) -> PerfusionResult:
    """The results in ``folder/out`` as nodes beside the series: maps with colours, ranges and units; the AIF as table and chart, and
    the voxels that it was taken from as segments. No node is called as one that is there."""
    keys = [key for quantity in _MAPS[request.kind] for key in (quantity, f"{quantity}_sd")]
    name = unique_name(request.name or title_of(request.series), [f" {key}" for key in (*keys, "AIF")])
    beside = filed(request.series)
    result = PerfusionResult(summary=summary)
    written = {p.name.removesuffix(suffix(p)): p for p in sorted((folder / "out").iterdir()) if suffix(p)}
    for key in keys:
        if key in written:
            node = node_from_image(read_image(written[key]), f"{name} {key}")
            show_map(node, key)
            place_beside(node, beside, f"{name} maps")
            result.maps[key] = node
    voxels = {title: read_image(written[key]) for key, title in _VOXELS.items() if key in written}
    if voxels and result.maps:
        result.voxels = segmentation_from_masks(voxels, next(iter(result.maps.values())), f"{name} AIF voxels")
        place_beside(result.voxels, beside, f"{name} maps")
    curve = folder / "out" / "aif.csv"
    if curve.exists():
        with curve.open(encoding="utf-8", newline="") as stream:
            rows = list(csv.DictReader(stream))
        columns = {key: np.array([float(row[key]) for row in rows]) for key in ("time_s", "concentration")}
        y_title = "plasma [mM]" if request.kind == "DCE" else "ΔR2* [1/s]"
        result.aif = plot_curves(columns["time_s"], {"AIF": columns["concentration"]}, f"{name} AIF", y_title)
    return result


def show(result: PerfusionResult) -> None:
    """The first map over what the views show, and the AIF in a plot view."""
    if result.maps:
        show_over(next(iter(result.maps.values())))
    if result.aif is not None:
        show_chart(result.aif)


def start(request: PerfusionRequest) -> Job:
    """Write the inputs into a new temporary folder; `finish` or `abandon` removes it."""
    folder = Path(tempfile.mkdtemp(prefix="gliosuite-"))
    try:
        return Job(request, folder, arguments(request, folder))
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def finish(job: Job, summary: dict[str, Any]) -> PerfusionResult:
    """The nodes of a step that is done."""
    try:
        return load(job.request, job.folder, summary)
    finally:
        abandon(job)


def compute(request: PerfusionRequest, progress: Progress = silent, run: Any = process.run) -> PerfusionResult:
    """All of it, waiting for the step: for batch use and tests; a panel starts the step itself and stays alive."""
    job = start(request)
    try:
        return load(request, job.folder, run(job.arguments, progress))
    finally:
        abandon(job)
