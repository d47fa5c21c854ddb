"""What GlioPerfusion does with nodes: a series and its settings become a command line, the maps that it writes become nodes."""

import csv
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ...files import write_text
from ...images import read_image, suffix, write_image, write_series
from ...steps import Progress, silent
from .. import process
from ..curves import Curve, plot_curves
from ..display import show_chart, show_map, show_over
from ..process import Job, abandon, begun
from ..segments import mask_from_segment, refuse_shared, segmentation_from_masks
from ..sequences import filed, title_of
from ..volumes import image_from_node, node_from_image, place_beside, unique_name
from .request import PerfusionRequest, aif_source, checked, file_name

# The first of these that a step wrote is shown over the series; the order is also that of the nodes.
_VOXELS = {"aif_mask": "AIF voxels", "sinus_mask": "sinus voxels"}  # masks of a step that are shown, and their segments
AIF_TITLE = {"DCE": "plasma [mM]", "DSC": "ΔR2* [1/s]"}
_REFINED = ("ktrans", "ve", "vp", "delay")
_MAPS = {
    "DCE": ("ktrans", "ve", "vp", "kep", "fp", "ps", "delay", "misfit"),
    "DSC": ("cbv", "ncbv", "cbf", "ncbf", "mtt", "tmax", "ttp", "k1", "k2", "psr", "ph"),
}


@dataclass
class PerfusionResult:
    """Nodes that came back: maps by quantity, the AIF's chart and the voxels it was taken from, and the step's own summary."""

    maps: dict[str, Any] = field(default_factory=dict)
    aif: Any = None
    voxels: Any = None
    summary: dict[str, Any] = field(default_factory=dict)


def arguments(request: PerfusionRequest, folder: Path) -> list[str]:
    """Write the inputs of a request into `folder`; return the command line arguments of the step (results go to ``folder/out``).

    Raises
    ------
    InputError
        If something that the kind needs is missing or unfit.
    """
    series = checked(request)
    file = (
        folder / "series" / f"{file_name(request.series)}.nii"
    )  # to deflate it would hold the application for many seconds
    write_series(series, file, request.times_s[1] - request.times_s[0])
    write_text(folder / "times.txt", "".join(f"{float(t)!r}\n" for t in request.times_s))
    command = ["synthesize", "predict"] if request.refined else [request.kind.lower()]
    result = [*command, str(file), "--times", str(folder / "times.txt")]
    # Beyond what each needs, the echo time tells DCE of T2* decay in blood, and TR and flip angle tell DSC of T1.
    for key in ("tr_ms", "te_ms", "flip_angle_deg"):
        if getattr(request, key) > 0:
            result += ["--" + key.replace("_deg", "").replace("_", "-"), f"{getattr(request, key):g}"]
    for flag, value in (("--baseline", request.baseline), ("--arrival", request.arrival_s)):
        if value is not None:
            result += [flag, f"{value:g}"]
    source = aif_source(request, series)
    if not isinstance(source, str):
        write_image(source, folder / "aif_mask.nii")
        source = str(folder / "aif_mask.nii")
    result += ["--aif", source]
    if request.kind == "DCE":
        result += ["--t10", _t10(request, folder), "--relaxivity", f"{request.relaxivity:g}"]
        # What is refined is always extended Tofts; there --model is the network.
        result += [] if request.refined else ["--model", request.model]
        if request.aif != "CSV file":  # which holds plasma already
            result += ["--hematocrit", f"{request.hematocrit:g}"]
        result += [] if request.sinus else ["--no-sinus"]
    else:
        result += ["--vof"] if request.vof else []
        result += ["--leakage", request.leakage, "--deconvolution", request.deconvolution]
        if request.t1_map is not None:
            result += ["--t10", _t10(request, folder)]
        if request.b1_map is not None:
            write_image(image_from_node(request.b1_map), folder / "b1.nii")
            result += ["--b1", str(folder / "b1.nii")]
    result += [] if request.motion else ["--no-motion"]
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


def load(request: PerfusionRequest, folder: Path, summary: dict[str, Any]) -> PerfusionResult:
    """The results in ``folder/out`` as nodes beside the series: maps with colours, ranges and units; the AIF as table and chart, and
    the voxels that it was taken from as segments. No node is called as one that is there."""
    keys = [key for quantity in _MAPS[request.kind] for key in (quantity, f"{quantity}_sd")]
    refined = [key for quantity in _REFINED for key in (quantity, f"{quantity}_sd")] if request.refined else []
    every = [*keys, *(f"refined {key}" for key in refined), "AIF"]
    name = unique_name(request.name or title_of(request.series), [f" {key}" for key in every])
    beside = filed(request.series)
    result = PerfusionResult(summary=summary)
    out = folder / "out"
    made = {p.name.removesuffix(suffix(p)): p for p in sorted(out.iterdir()) if suffix(p)} if refined else {}
    fit = out / "fitted" if refined else out
    written = {p.name.removesuffix(suffix(p)): p for p in sorted(fit.iterdir()) if suffix(p)}
    # What was refined is looked at first; a map's SD is sought in its own folder.
    for wanted, files, called in ((refined, made, "refined "), (keys, written, "")):
        for key in wanted:
            if key in files:
                node = node_from_image(read_image(files[key]), f"{name} {called}{key}")
                show_map(node, key)
                place_beside(node, beside, f"{name} {called}maps")
                result.maps[f"{called}{key}"] = node
    voxels = {title: read_image(written[key]) for key, title in _VOXELS.items() if key in written}
    if voxels and result.maps:
        result.voxels = segmentation_from_masks(voxels, next(iter(result.maps.values())), f"{name} AIF voxels")
        place_beside(result.voxels, beside, f"{name} maps")
    curve = fit / "aif.csv"
    if curve.exists():
        with curve.open(encoding="utf-8", newline="") as stream:
            rows = list(csv.DictReader(stream))
        columns = {key: np.array([float(row[key]) for row in rows]) for key in ("time_s", "concentration")}
        y_title = AIF_TITLE[request.kind]
        result.aif = plot_curves({"AIF": Curve(columns["time_s"], columns["concentration"])}, f"{name} AIF", y_title)
    return result


def show(result: PerfusionResult) -> None:
    """The first map over what the views show, and the AIF in a plot view."""
    if result.maps:
        show_over(next(iter(result.maps.values())))
    if result.aif is not None:
        show_chart(result.aif)


def start(request: PerfusionRequest) -> Job:
    """Write the inputs into a new temporary folder; `finish` or `abandon` removes it."""
    return begun(request, lambda folder: arguments(request, folder))


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
