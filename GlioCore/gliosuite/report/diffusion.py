"""The report's section on diffusion: ADC and FA, and how each volume of the series fits the tensors."""

from typing import Any

import numpy as np

from ..files import read_json
from .markup import escape, figure
from .parts import Section, focus, outlines
from .results import DTI_MAPS, Results


def _diffusion(results: Results, draw: bool) -> str:
    from .pictures import maps_figure

    path = results.folder / "dti" / "fit.json"
    if not path.exists():
        return ""
    known: dict[str, Any] = read_json(path)
    shown = {n: results.maps[n] for n in DTI_MAPS if n in results.maps}
    text = ""
    if draw and shown and results.images:
        background = results.images.get("t1c", next(iter(results.images.values())))
        drawn = outlines(results, ("t2l", "cel"))
        picture = maps_figure(background, shown, drawn, results.masks["brain"], focus(results), results.spacing)
        text += figure(
            picture,
            "Maps over T1c inside the brain mask, from below upwards; fitted on the grid of the series, then carried to T1c.",
        )
    if draw and known.get("signal"):
        text += _volumes(known)
    return text + f"<p>{escape(_said(known))}</p>"


def _said(known: dict[str, Any]) -> str:
    medians = known["medians"]
    found = f"ADC {1e3 * medians['adc']:.2f} · 10⁻³ mm²/s" + (f", FA {medians['fa']:.2f}" if "fa" in medians else "")
    snr = known.get("snr")
    noise = "" if snr is None else f" Signal without diffusion weight over noise: {snr:.0f}."
    return f"Volumes: {known['volumes']}. Medians of what was fitted: {found}.{noise}"


def _volumes(known: dict[str, Any]) -> str:
    """The mean signal of each volume and of the tensors, and what is left of it."""
    from .plots import SHADES, Curve, Panel, curves_figure

    signal = {n: np.asarray(v, float) for n, v in known["signal"].items()}
    at = np.asarray(known["volumes_used"], float)
    spans = [float(v) for v in known["odd_volumes"]]
    curves = [
        Curve(at, signal["data"], "data", SHADES[1], "."),
        Curve(at, signal["model"], "tensor", SHADES[0]),
    ]
    whole = float(signal["data"].max()) or 1.0
    left = [Curve(at, 100 * signal["residual"] / whole, "", SHADES[1], ".-")]
    panels = [
        Panel("Mean signal of the volumes", "volume", "signal", curves, spans=spans, floor=0.0),
        Panel("What the tensors leave of it", "volume", "RMS, % of the brightest", left, spans=spans, floor=0.0),
    ]
    marked = " Volumes that do not fit the others are marked." if spans else ""
    return figure(curves_figure(panels), f"How each volume fits the tensors: movement and dropouts stand out.{marked}")


DIFFUSION = Section(6, "Diffusion", _diffusion)
