"""The arterial input function of DCE (plasma, mM) and DSC (ΔR2*, 1/s): where it is found, and what it is."""

from .arteries import find_arteries, first_pass, is_clipped, peak_width
from .curve import POPULATIONS, Aif, check_bolus, fit_parametric, points_mask, population_aif, read_aif
from .purity import PureCurve, pure_curve, tissue_signal
from .refined import Spread, refine, samples_sd
from .sinus import find_sinus
from .smooth import SmoothCurves
from .venous import ArterialData, fit_to_sinus

__all__ = [
    "POPULATIONS",
    "Aif",
    "ArterialData",
    "PureCurve",
    "SmoothCurves",
    "Spread",
    "check_bolus",
    "find_arteries",
    "find_sinus",
    "first_pass",
    "fit_parametric",
    "fit_to_sinus",
    "is_clipped",
    "peak_width",
    "points_mask",
    "population_aif",
    "pure_curve",
    "read_aif",
    "refine",
    "samples_sd",
    "tissue_signal",
]
